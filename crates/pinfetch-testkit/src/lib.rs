//! Certificate authorities, TLS servers and interceptors on loopback, for pinfetch's tests, demo and benchmark.
//!
//! An [`Authority`] issues whatever certificates a case needs: roots, cross-signs, twins of the same name, expired
//! ones. A [`Server`] presents any of them, in any order, with any key, over real sockets, and counts what reaches
//! it: above all the plaintext bytes received after a handshake, which must be none when a pinned client meets an
//! [interceptor](Behaviour). [`Kit`] holds both behind the commands that the `pinfetch-testkit` program reads from
//! its standard input, so that a test in any language can use them from another process.
#![forbid(unsafe_code)]

mod authority;
mod error;
mod genuine;
mod interceptor;
mod kit;
mod proxy;
mod server;

pub use authority::{
    Authority, CertificateRequest, Issued, KeyType, RevocationList, RevocationRequest, Usage,
};
pub use error::KitError;
pub use interceptor::Behaviour;
pub use kit::{
    ChainEntry, Command, IssueRequest, Kit, Outcome, ProxyKind, ProxyRequest, ServeRequest,
    SwapAfter,
};
pub use kit::{RefuseRequest, StatsRequest, SwapRequest, TargetRequest};
pub use proxy::{Proxy, ProxyStats};
pub use server::{Identity, Resumption, Server, ServerOptions, ServerStats, Version};
