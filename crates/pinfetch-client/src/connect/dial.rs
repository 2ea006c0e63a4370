//! From a host's name to a TCP connection: addresses, remembered if wanted, tried as RFC 8305 has it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pinfetch_pins::Host;
use tokio::net::{TcpSocket, TcpStream};

use super::dns::{self, Lookup};
use crate::config::{Config, Family};
use crate::deadline::{Phase, Progress, micros};
use crate::error::RequestError;

/// How long one address is tried alone before the next joins (RFC 8305 §5: 250 ms).
const HEAD_START: Duration = Duration::from_millis(250);
/// How many hosts' addresses are remembered before all are forgotten.
const REMEMBERED: usize = 4096;

/// How a client opens TCP connections.
#[derive(Debug)]
pub(crate) struct Dialing {
    lookup: Lookup,
    family: Family,
    local_address: Option<IpAddr>,
    /// How long addresses are good for; nothing is remembered where that is no time.
    ttl: Duration,
    remembered: Mutex<HashMap<Host, Arc<Entry>>>,
}

/// A host's addresses and when they were found. Locked while somebody asks, for whom others wait.
type Entry = tokio::sync::Mutex<Option<(Instant, Vec<IpAddr>)>>;

/// A TCP connection.
pub(crate) struct Dialled {
    pub(crate) stream: TcpStream,
    pub(crate) remote: SocketAddr,
    /// How many microseconds the name took.
    pub(crate) resolved: u32,
}

impl Dialing {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            lookup: config.lookup.clone(),
            family: config.family,
            local_address: config.local_address,
            ttl: config.dns_ttl,
            remembered: Mutex::default(),
        }
    }

    /// The addresses of `host` that may be tried, at least one, in the order in which they are: families by turns
    /// (RFC 8305 §4), the first one the resolver's.
    pub(crate) async fn resolve(&self, host: &Host) -> Result<Vec<IpAddr>, RequestError> {
        let found = if self.ttl.is_zero() || host.ip().is_some() {
            dns::resolve(&self.lookup, host).await?
        } else {
            let entry = self.entry(host);
            let mut entry = entry.lock().await;
            match &*entry {
                Some((since, addresses)) if since.elapsed() < self.ttl => addresses.clone(),
                _ => {
                    let addresses = dns::resolve(&self.lookup, host).await?; // a failure is not remembered
                    *entry = Some((Instant::now(), addresses.clone()));
                    addresses
                }
            }
        };
        let fit = by_turns(found, |address| {
            self.family.covers(address)
                && self
                    .local_address
                    .is_none_or(|local| local.is_ipv4() == address.is_ipv4())
        });
        if fit.is_empty() {
            return Err(dns::failure(
                host,
                "ENODATA",
                "it has no address of the family that is asked for",
            ));
        }
        Ok(fit)
    }

    fn entry(&self, host: &Host) -> Arc<Entry> {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = remembered.get(host) {
            return entry.clone();
        }
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        let entry = Arc::new(Entry::default());
        remembered.insert(host.clone(), entry.clone());
        entry
    }

    /// Opens a TCP connection to the first address that answers, each next one joining after a head start (RFC 8305 §5).
    pub(crate) async fn dial(
        &self,
        host: &Host,
        port: u16,
        progress: &Progress,
    ) -> Result<Dialled, RequestError> {
        progress.enter(Phase::Dns);
        let begun = Instant::now();
        let addresses = self.resolve(host).await?;
        let resolved = micros(begun.elapsed());
        progress.enter(Phase::Connect);
        let mut waiting = addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, port));
        let mut racing = FuturesUnordered::new();
        let mut failure = None;
        loop {
            if let Some(address) = waiting.next() {
                racing.push(async move { (self.connect(address).await, address) });
            }
            let outcome = if waiting.len() == 0 {
                racing.next().await
            } else {
                match tokio::time::timeout(HEAD_START, racing.next()).await {
                    Ok(outcome) => outcome,
                    Err(_elapsed) => continue,
                }
            };
            match outcome {
                Some((Ok(stream), remote)) => {
                    // without it a small request would wait for the acknowledgement of the one before (RFC 896)
                    let _ = stream.set_nodelay(true);
                    return Ok(Dialled {
                        stream,
                        remote,
                        resolved,
                    });
                }
                Some((Err(error), address)) => failure = Some((error, address)),
                None => {}
            }
            if racing.is_empty() && waiting.len() == 0 {
                let (source, remote) = failure.unwrap_or_else(|| {
                    (
                        io::ErrorKind::AddrNotAvailable.into(),
                        ([0, 0, 0, 0], port).into(),
                    )
                });
                return Err(RequestError::Connect {
                    host: host.clone(),
                    remote,
                    source: Arc::new(source),
                });
            }
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let Some(local) = self.local_address else {
            return TcpStream::connect(address).await;
        };
        let socket = if local.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.bind(SocketAddr::new(local, 0))?;
        socket.connect(address).await
    }
}

/// The addresses that are `fit`, families by turns, beginning with the first one's.
fn by_turns(addresses: Vec<IpAddr>, fit: impl Fn(&IpAddr) -> bool) -> Vec<IpAddr> {
    let fit: Vec<IpAddr> = addresses.into_iter().filter(fit).collect();
    let Some(first) = fit.first() else {
        return fit;
    };
    let (same, other): (Vec<IpAddr>, Vec<IpAddr>) = fit
        .iter()
        .partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut turns = Vec::with_capacity(fit.len());
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    loop {
        match (same.next(), other.next()) {
            (None, None) => return turns,
            (one, two) => turns.extend(one.into_iter().chain(two)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_from_the_first() {
        let parse = |text: &str| -> Vec<IpAddr> {
            text.split_whitespace()
                .map(|address| address.parse().unwrap())
                .collect()
        };
        for (given, turns) in [
            ("", ""),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1 10.0.0.2 ::1 ::2", "10.0.0.1 ::1 10.0.0.2 ::2"),
            ("::1 ::2 ::3 10.0.0.1", "::1 10.0.0.1 ::2 ::3"),
            ("::1 10.0.0.1", "::1 10.0.0.1"),
        ] {
            assert_eq!(by_turns(parse(given), |_| true), parse(turns), "{given}");
        }
        let four = by_turns(parse("::1 10.0.0.1 ::2"), IpAddr::is_ipv4);
        assert_eq!(four, parse("10.0.0.1"));
    }
}
