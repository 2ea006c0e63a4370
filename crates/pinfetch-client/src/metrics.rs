//! What handshakes have shown of the pins of each pattern.
//!
//! Only handshakes are counted: a request on a connection that is there touches nothing here. What takes time, the dates of
//! certificates, is read when somebody asks.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use foldhash::HashMap;
use pinfetch_pins::{Host, Pin, Policy, VerifiedPath};

use crate::connect::tls::Requirement;
use crate::gate::Gate;

/// What the handshakes with the hosts of one pattern have come to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PatternMetrics {
    /// The pattern, in canonical form.
    pub pattern: String,
    /// Handshakes that were accepted, in which the server proved its key.
    pub full: u64,
    /// Handshakes that resumed a session of such a one.
    pub resumed: u64,
    /// Handshakes that were refused because the verified path lacked the pins.
    pub enforced_mismatches: u64,
    /// Handshakes that were let through although the path lacked pins, since they are reported only.
    pub reported_mismatches: u64,
    /// The pattern's own pins, in the policy's order.
    pub pins: Vec<PinMetrics>,
    /// The certificate that ends first, of the paths that its hosts were last reached by.
    pub soonest_expiry: Option<Expiry>,
}

/// How often a pin was met.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PinMetrics {
    /// The pin.
    pub pin: Pin,
    /// Handshakes that were accepted and whose path held it.
    pub matches: u64,
    /// When the last one was.
    pub last: Option<SystemTime>,
}

/// The end of a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expiry {
    /// In Unix seconds; it is valid at that second for the last time.
    pub not_after: i64,
    /// The certificate's subject (RFC 4514).
    pub subject: String,
    /// Its pin.
    pub pin: Pin,
}

/// A handshake that ended in a verdict.
#[derive(Debug)]
pub struct Handshake<'a> {
    /// The host that was asked for.
    pub host: &'a Host,
    /// The port.
    pub port: u16,
    /// Who was at the other end: the proxy, where there is one.
    pub remote: SocketAddr,
    /// The number of the connection; none for a handshake that was refused.
    pub connection: Option<u32>,
    /// TLS 1.3 if true, else TLS 1.2; false where the handshake was refused.
    pub tls13: bool,
    /// Whether it resumed a session.
    pub resumed: bool,
    /// The first pin of the path that the host has; none where it has none, or none of them was met.
    pub matched: Option<Pin>,
    /// The patterns that demanded pins.
    pub patterns: Vec<&'a str>,
    /// The pins of the verified path, end entity first; none where nothing was verified.
    pub found: &'a [Pin],
}

/// Who is told of handshakes, while it wants to be.
#[derive(Clone)]
pub(crate) struct OnHandshake {
    is_wanted: Arc<AtomicBool>,
    tell: Arc<dyn Fn(&Handshake<'_>) + Send + Sync>,
}

impl OnHandshake {
    pub(crate) fn new(tell: impl Fn(&Handshake<'_>) + Send + Sync + 'static) -> Self {
        Self {
            is_wanted: Arc::default(),
            tell: Arc::new(tell),
        }
    }

    pub(crate) fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    pub(crate) fn tell(&self, handshake: &Handshake<'_>) {
        (self.tell)(handshake);
    }
}

impl fmt::Debug for OnHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnHandshake")
            .field("is_wanted", &self.is_wanted)
            .finish_non_exhaustive()
    }
}

/// The counters of one client, by pattern.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(HashMap<Box<str>, Counter>);

#[derive(Clone, Debug, Default)]
struct Counter {
    full: u64,
    resumed: u64,
    enforced: u64,
    reported: u64,
    pins: Vec<(Pin, u64, SystemTime)>,
    /// Of the last handshake, for hosts that are not remembered.
    path: Option<Arc<VerifiedPath>>,
}

impl Counters {
    /// A handshake over `path` was accepted under `requirement`.
    pub(crate) fn accepted(
        &mut self,
        requirement: &Requirement,
        path: &Arc<VerifiedPath>,
        resumed: bool,
    ) {
        let now = SystemTime::now();
        let mut seen: Vec<&str> = Vec::new();
        for set in requirement.sets() {
            for pattern in set.patterns() {
                if seen.contains(&&**pattern) {
                    continue; // of the URL's host and the server name alike
                }
                seen.push(pattern);
                let counter = self.counter(pattern);
                if resumed {
                    counter.resumed += 1;
                } else {
                    counter.full += 1;
                }
                for pin in path.pins().iter().filter(|pin| set.contains(pin)) {
                    match counter.pins.iter_mut().find(|(known, ..)| known == pin) {
                        Some((_, matches, last)) => (*matches, *last) = (*matches + 1, now),
                        None => counter.pins.push((*pin, 1, now)),
                    }
                }
                counter.path = Some(path.clone());
            }
        }
    }

    /// A path lacked the pins of `patterns`; the handshake was refused if they are enforced.
    pub(crate) fn missed(&mut self, patterns: &[impl AsRef<str>], is_enforced: bool) {
        for pattern in patterns {
            let counter = self.counter(pattern.as_ref());
            if is_enforced {
                counter.enforced += 1;
            } else {
                counter.reported += 1;
            }
        }
    }

    /// Forgets patterns that `policy` doesn't have.
    pub(crate) fn keep(&mut self, policy: &Policy) {
        self.0
            .retain(|pattern, _| policy.pins_of(pattern).is_some());
    }

    /// Adds what another client has counted.
    pub(crate) fn merge(&mut self, others: Self) {
        for (pattern, other) in others.0 {
            let counter = self.0.entry(pattern).or_default();
            counter.full += other.full;
            counter.resumed += other.resumed;
            counter.enforced += other.enforced;
            counter.reported += other.reported;
            for (pin, more, at) in other.pins {
                match counter.pins.iter_mut().find(|(known, ..)| *known == pin) {
                    Some((_, matches, last)) => {
                        (*matches, *last) = (*matches + more, at.max(*last));
                    }
                    None => counter.pins.push((pin, more, at)),
                }
            }
            counter.path = other.path.or(counter.path.take());
        }
    }

    fn counter(&mut self, pattern: &str) -> &mut Counter {
        if !self.0.contains_key(pattern) {
            self.0.insert(pattern.into(), Counter::default());
        }
        let counter = self.0.get_mut(pattern);
        counter.expect("it was put there if it wasn't") // `entry` would make a text of its own for each handshake
    }
}

/// Counters, and what they are to be read with.
pub(crate) struct Source {
    policy: Arc<Policy>,
    counters: Counters,
    /// By which paths hosts were last reached, and what is demanded of them.
    paths: Vec<(Requirement, Arc<VerifiedPath>)>,
}

impl Source {
    /// Those of `gate`, as they are.
    pub(crate) fn of(gate: &Gate) -> Self {
        let state = gate.lock();
        let origins = state.origins.values();
        Self {
            policy: state.policy.clone(),
            counters: state.counters.clone(),
            paths: origins.filter_map(|origin| origin.last_path()).collect(),
        }
    }

    /// Those of clients that are gone.
    pub(crate) fn of_past(counters: Counters, policy: Arc<Policy>) -> Self {
        Self {
            policy,
            counters,
            paths: Vec::new(),
        }
    }
}

/// What the handshakes of all of `sources` have come to, by pattern; patterns of the policy in force alone.
pub(crate) fn of(sources: impl IntoIterator<Item = Source>) -> Vec<PatternMetrics> {
    let mut all: BTreeMap<Box<str>, PatternMetrics> = BTreeMap::new();
    let mut ends = Ends::default();
    for source in sources {
        for (pattern, counter) in source.counters.0 {
            let Some(own) = source.policy.pins_of(&pattern) else {
                continue;
            };
            let metrics = all
                .entry(pattern)
                .or_insert_with_key(|pattern| PatternMetrics {
                    pattern: pattern.as_ref().into(),
                    ..PatternMetrics::default()
                });
            metrics.add(&counter, &own);
            if let Some(path) = &counter.path {
                metrics.end_with(ends.of(path));
            }
        }
        for (requirement, path) in &source.paths {
            for pattern in requirement.patterns() {
                if let Some(metrics) = all.get_mut(pattern) {
                    metrics.end_with(ends.of(path));
                }
            }
        }
    }
    all.into_values().collect()
}

impl PatternMetrics {
    fn add(&mut self, counter: &Counter, own: &[Pin]) {
        self.full += counter.full;
        self.resumed += counter.resumed;
        self.enforced_mismatches += counter.enforced;
        self.reported_mismatches += counter.reported;
        for pin in own {
            let index = self.pins.iter().position(|known| known.pin == *pin);
            let index = index.unwrap_or_else(|| {
                self.pins.push(PinMetrics {
                    pin: *pin,
                    matches: 0,
                    last: None,
                });
                self.pins.len() - 1
            });
            let met = counter.pins.iter().find(|(met, ..)| met == pin);
            if let (Some(metrics), Some((_, matches, last))) = (self.pins.get_mut(index), met) {
                metrics.matches += matches;
                metrics.last = metrics.last.max(Some(*last));
            }
        }
    }

    fn end_with(&mut self, end: Option<&Expiry>) {
        let Some(end) = end else { return };
        let soonest = self.soonest_expiry.as_ref();
        if soonest.is_none_or(|soonest| end.not_after < soonest.not_after) {
            self.soonest_expiry = Some(end.clone());
        }
    }
}

/// The first end of each path, read once.
#[derive(Default)]
struct Ends(HashMap<*const VerifiedPath, (Arc<VerifiedPath>, Option<Expiry>)>);

impl Ends {
    fn of(&mut self, path: &Arc<VerifiedPath>) -> Option<&Expiry> {
        // the path is kept with its end, so that no other can come to lie at its address
        let read = || (path.clone(), soonest_of(path));
        let (_, end) = self.0.entry(Arc::as_ptr(path)).or_insert_with(read);
        end.as_ref()
    }
}

fn soonest_of(path: &VerifiedPath) -> Option<Expiry> {
    let ends = path.certificates().into_iter().filter_map(|certificate| {
        Some(Expiry {
            not_after: certificate.not_after?,
            subject: certificate.subject,
            pin: certificate.pin,
        })
    });
    ends.min_by_key(|end| end.not_after)
}
