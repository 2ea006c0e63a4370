//! Certificate pins that are matched inside path building.
//!
//! A [`Policy`] says which hosts have which [`Pin`]s; a [`PinVerifier`] is a rustls verifier that accepts a server only
//! over a path, verified up to a trust anchor, that holds one of its host's pins. Certificates that a server sends but
//! the path does not use never count (RFC 7469 §2.6), and ordinary verification is never skipped.
//!
//! No I/O, no async, no clock of its own: useful to any program that uses rustls.
//!
//! ```
//! use std::sync::Arc;
//!
//! use pinfetch_pins::{Anchors, Host, PinSetSource, PinSource, PinVerifier, Policy};
//! use rustls::ClientConfig;
//! use rustls::crypto::ring;
//!
//! # fn anchors() -> Result<Anchors, Box<dyn std::error::Error>> {
//! #     let key = rcgen::KeyPair::generate()?;
//! #     let mut root = rcgen::CertificateParams::default();
//! #     root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
//! #     Ok(Anchors::from_certificates([root.self_signed(&key)?.der().clone()])?)
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = Policy::compile([PinSetSource {
//!     pattern: "*.example.com".into(),
//!     pins: vec![PinSource::Text("sha256/NQvyvzK2bRMPWDVfXSN5s3ZQ4hlSqB5Cmbz7Y2dIuLM=".into())],
//!     ..PinSetSource::default()
//! }])?;
//!
//! let host: Host = "API.example.com.".parse()?; // in its one canonical form
//! let pins = policy.lookup(&host, 443).to_effective(&host, 443);
//! assert!(pins.is_some());
//!
//! let provider = ring::default_provider();
//! let algorithms = provider.signature_verification_algorithms;
//! let verifier = PinVerifier::new(Arc::new(anchors()?), pins.map(Arc::new).into_iter().collect(), algorithms);
//! let config = ClientConfig::builder_with_provider(Arc::new(provider))
//!     .with_safe_default_protocol_versions()?
//!     .dangerous() // rustls' word for a verifier of one's own: this one refuses more than rustls', never less
//!     .with_custom_certificate_verifier(Arc::new(verifier))
//!     .with_no_client_auth();
//! # let _ = config;
//! # Ok(())
//! # }
//! ```
//!
//! A verifier belongs to one host's pins and never changes: rustls resumes sessions under the verifier that accepted them,
//! so new pins want a new verifier, and a configuration for each host.
#![forbid(unsafe_code)]

mod anchors;
mod diff;
mod error;
mod file;
mod hint;
mod host;
mod key;
mod memory;
#[doc(hidden)] // for pinfetch-client alone
pub mod order;
mod path;
mod pin;
mod place;
mod policy;
mod revocation;
mod suffix;
mod verifier;

pub use anchors::Anchors;
pub use diff::PolicyDiff;
pub use error::{
    AnchorsError, BadPin, HostError, PinError, PolicyError, RevocationListError, RuleProblem,
    VerifyCode, VerifyError,
};
pub use file::{FileError, FileKind, FilePin, describe_file};
pub use host::{Host, HostPattern};
pub use path::{
    Description, PathCertificate, PathEntry, Role, VerifiedPath, describe_certificate,
    describe_name,
};
pub use pin::Pin;
pub use place::{Demand, Places};
pub use policy::{
    Afterwards, EffectivePins, Ending, Expiry, Judgement, Mode, Moment, PinSetSource, PinSource,
    PinsInForce, Policy, PolicyBuilder, Rules, Trust, Unpinned,
};
pub use revocation::RevocationLists;
pub use suffix::is_public_suffix;
pub use verifier::{ChainRequest, PinVerifier, Verified, verify_chain};
