//! The engine of pinfetch: pinned HTTPS requests over HTTP/1.1 and HTTP/2.
//!
//! Every connection to a pinned host is verified by [`pinfetch_pins`] inside certificate path building, keeps its verdict
//! for life, and is judged again whenever the policy is swapped. Nothing is sent to, or read from, a pinned host over a
//! connection whose verified path does not hold one of its pins.
//!
//! The crate runs on any tokio runtime with its timer and I/O enabled and knows nothing of Node.
//!
//! ```
//! use pinfetch_client::{Client, Code, Config, Environment, Request};
//! use pinfetch_pins::{PinSetSource, PinSource, Policy};
//!
//! # use std::collections::HashMap;
//! # use std::sync::Arc;
//! # use pinfetch_client::{Lookup, Trust, TrustAnchors};
//! # use pinfetch_testkit::{Authority, CertificateRequest, Identity, Server, ServerOptions};
//! # const HOST: &str = "api.example.com";
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! # let mut authority = Authority::new();
//! # authority.issue(&CertificateRequest { name: "root".into(), ca: true, ..Default::default() })?;
//! # authority.issue(&CertificateRequest { name: "leaf".into(), issuer: Some("root".into()), names: vec![HOST.into()], ..Default::default() })?;
//! # let (root, leaf) = (authority.get("root")?, authority.get("leaf")?);
//! # let identity = Identity { chain: vec![leaf.der().clone()], key: leaf.signing_key()? };
//! # let server = Server::start(ServerOptions { identity: Some(identity), ..Default::default() })?;
//! # let url = format!("https://{HOST}:{}/", server.address().port());
//! # let pin = leaf.pin();
//! # let here = || Config {
//! #     trust: Trust::Anchors(TrustAnchors { ca: Some(vec![root.der().to_vec()]), ..Default::default() }),
//! #     lookup: Lookup::Map(Arc::new(HashMap::from([(HOST.parse().unwrap(), vec![server.address().ip()])]))),
//! #     ..Config::default()
//! # };
//! let environment = Environment::default(); // shared by all clients of a program
//! let pinned = |pin: &str| {
//!     let set = PinSetSource {
//!         pattern: "api.example.com".into(),
//!         pins: vec![PinSource::Text(pin.into())],
//!         ..PinSetSource::default()
//!     };
//!     let policy = Policy::compile([set])?.into();
//!     let config = Config {
//!         policy,
//! #       trust: here().trust,
//! #       lookup: here().lookup,
//!         ..Config::default()
//!     };
//!     Ok::<_, Box<dyn std::error::Error>>(Client::new(config, &environment)?)
//! };
//!
//! let response = pinned(&pin)?.send(Request::get(&url)).await?;
//! assert_eq!(response.status, 200);
//!
//! let other = pinned("sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")?;
//! let refusal = other.send(Request::get(&url)).await.unwrap_err();
//! assert_eq!(refusal.code(), Code::BadPin); // and no byte of the request was sent
//! # Ok(())
//! # })
//! # }
//! ```
#![forbid(unsafe_code)]

mod client;
mod clock;
mod coding;
mod config;
mod connect;
mod content;
mod cookies;
mod coverage;
mod deadline;
mod error;
mod exchange;
mod gate;
mod live_policy;
mod metrics;
mod notice;
mod policy_file;
mod redirect;
mod rehearsal;
mod reload;
mod retry;
mod target;

pub use client::{Client, Connection, Environment, Request, Response, ServerPins, TimeLimit, Via};
pub use coding::{Coding, CodingError};
pub use config::{
    Config, Family, HeaderLimits, Http2Choice, Http2Settings, KeepAlive, Look, MinVersion,
    PolicyChoice, ProxyChoice, RedirectMode, Trust, TrustAnchors,
};
pub use connect::dns::{Lookup, Resolve, ResolveError, Resolving};
pub use connect::identity::{Identity, IdentityError};
pub use connect::proxy::{
    ConnectFieldError, EnvironmentError, EnvironmentProxies, Proxy, ProxyError, ProxyUrlError,
    UserInformation, from_environment,
};
pub use connect::roots::{BUILT_IN_ROOTS, Roots, read_anchors};
pub use connect::{ConnectTimes, ConnectionFacts, TlsFacts};
pub use content::{ResponseBody, Streaming};
pub use cookies::{
    Cookie, CookieError, CookieJar, CookieJarError, Cookies, KeepCookies, Keeping, SameSite,
};
pub use coverage::{Coverage, HostCoverage};
pub use deadline::{Phase, Timings};
pub use error::{Code, RedirectProblem, RequestError};
pub use exchange::fields::{Field, FieldError, Fields};
pub use exchange::http1::Malformed;
pub use exchange::interim::OnInterim;
pub use exchange::upload::{RequestBody, Upload, UploadError};
pub use gate::ProxyStats;
pub use live_policy::LivePolicy;
pub use metrics::{Expiry, Handshake, PatternMetrics, PinMetrics};
pub use notice::{Notice, Phase as ExpiryPhase};
pub use pinfetch_pins::Unpinned;
pub use policy_file::{CaSets, read_policy_file};
pub use rehearsal::{HostRehearsal, Rehearsal, RehearsalReport};
pub use reload::{CutOff, CutOffs, Swap};
pub use retry::Retry;
pub use target::{parse_authority, without_userinfo};
