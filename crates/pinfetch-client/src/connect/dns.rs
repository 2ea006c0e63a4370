//! From a host's name to addresses.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use pinfetch_pins::Host;

use crate::error::RequestError;

/// Why a resolver of the caller's own gave no address.
#[derive(Clone, Debug)]
pub struct ResolveError {
    /// The resolver's code, such as `ENOTFOUND`.
    pub code: String,
    /// The resolver's own words.
    pub message: String,
}

/// The answer of a [`Resolve`]: addresses in the order in which to try them.
pub type Resolving = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send>>;

/// A resolver of the caller's own. Names in the server name, `Host` and pins stay what they were.
pub trait Resolve: Send + Sync {
    /// Resolves `host`, which is never an IP literal.
    fn resolve(&self, host: &Host) -> Resolving;
}

/// Where addresses come from.
#[derive(Clone, Default)]
pub enum Lookup {
    /// The system's resolver (`getaddrinfo`).
    #[default]
    System,
    /// These answers first, the system's resolver for other hosts.
    Map(Arc<HashMap<Host, Vec<IpAddr>>>),
    /// The caller's own, for every name.
    Function(Arc<dyn Resolve>),
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Map(_) => "Map",
            Self::Function(_) => "Function",
        })
    }
}

/// The addresses of `host`, at least one.
pub(crate) async fn resolve(lookup: &Lookup, host: &Host) -> Result<Vec<IpAddr>, RequestError> {
    if let Lookup::Map(answers) = lookup
        && let Some(addresses) = answers.get(host)
    {
        return some(host, addresses.clone());
    }
    if let Some(address) = host.ip() {
        return Ok(vec![address]);
    }
    if let Lookup::Function(resolver) = lookup {
        let answer = resolver.resolve(host).await;
        return some(
            host,
            answer.map_err(|error| failure(host, &error.code, &error.message))?,
        );
    }
    let answer = tokio::net::lookup_host((host.as_str(), 0)).await;
    let answer = answer.map_err(|error| failure(host, "ENOTFOUND", &error.to_string()))?;
    some(host, answer.map(|address| address.ip()).collect())
}

fn some(host: &Host, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, RequestError> {
    if addresses.is_empty() {
        return Err(failure(host, "ENODATA", "the resolver gave no address"));
    }
    Ok(addresses)
}

pub(crate) fn failure(host: &Host, code: &str, reason: &str) -> RequestError {
    RequestError::Dns {
        host: host.clone(),
        system_code: code.into(),
        reason: reason.into(),
    }
}
