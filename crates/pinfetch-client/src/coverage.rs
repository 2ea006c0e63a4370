//! Which hosts requests went to, so that those without pins are seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use foldhash::HashMap;
use pinfetch_pins::{Host, order};

use crate::config::{ConnectionKey, Scheme};
use crate::connect::tls::Requirement;
use crate::gate::Gate;

/// Hosts that are listed; requests to others are counted together.
const LISTED: usize = 4096;

/// The hosts that a client's requests went to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Coverage {
    /// Hosts without pins under the policy in force, sorted.
    pub unpinned: Vec<HostCoverage>,
    /// Hosts with pins, sorted.
    pub pinned: Vec<HostCoverage>,
    /// How many requests went to hosts past the first 4096, which are not listed.
    pub overflow: u64,
}

/// What is known of the requests to one host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostCoverage {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// The patterns that give it pins.
    pub patterns: Vec<String>,
    /// How often it was asked for, redirects and repetitions included, whatever came of it.
    pub requests: u64,
    /// When it was first.
    pub first: SystemTime,
    /// When it was last.
    pub last: SystemTime,
}

/// The hosts that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    hosts: HashMap<(Host, u16), Arc<HostSeen>>,
    others: Arc<HostSeen>,
}

/// How often one of them was. Changed and read under the gate's lock, or by a reader who need not know exactly.
#[derive(Debug, Default)]
pub(crate) struct HostSeen {
    requests: AtomicU64,
    /// In milliseconds of the client's clock.
    first: AtomicU64,
    last: AtomicU64,
}

impl HostSeen {
    /// One more request, at `now`.
    pub(crate) fn count(&self, now: u64) {
        if self.requests.fetch_add(1, Ordering::Relaxed) == 0 {
            self.first.store(now, Ordering::Relaxed);
        }
        self.last.store(now, Ordering::Relaxed);
    }

    /// When the last request was, in milliseconds of the client's clock.
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}

impl Seen {
    /// Where requests to `host` are counted.
    pub(crate) fn host(&mut self, host: &Host, port: u16) -> Arc<HostSeen> {
        let place = (host.clone(), port);
        if let Some(seen) = self.hosts.get(&place) {
            return seen.clone();
        }
        if self.hosts.len() >= LISTED {
            return self.others.clone();
        }
        self.hosts.entry(place).or_default().clone()
    }
}

/// The hosts of `gate`, by the policy in force.
pub(crate) fn of(gate: &Gate) -> Coverage {
    let (policy, mut hosts, overflow) = {
        let state = gate.lock();
        let seen = &state.seen;
        let hosts: Vec<_> = seen
            .hosts
            .iter()
            .map(|(place, seen)| (place.clone(), seen.clone()))
            .collect();
        let overflow = seen.others.requests.load(Ordering::Relaxed);
        (state.policy.clone(), hosts, overflow)
    };
    order::sort_by(&mut hosts, |((a, a_port), _), ((b, b_port), _)| {
        (a.as_str(), a_port).cmp(&(b.as_str(), b_port))
    });
    let mut coverage = Coverage {
        overflow,
        ..Coverage::default()
    };
    for ((host, port), seen) in hosts {
        let key = ConnectionKey::new(&gate.config, Scheme::Https, host.clone(), port);
        let requirement = Requirement::of(&policy, &key, gate.clock.now());
        let mut patterns: Vec<String> = requirement.patterns().map(Into::into).collect();
        order::sort(&mut patterns);
        patterns.dedup();
        let at =
            |time: &AtomicU64| gate.began() + Duration::from_millis(time.load(Ordering::Relaxed));
        let list = if requirement.has_pins() {
            &mut coverage.pinned
        } else {
            &mut coverage.unpinned
        };
        list.push(HostCoverage {
            host,
            port,
            patterns,
            requests: seen.requests.load(Ordering::Relaxed),
            first: at(&seen.first),
            last: at(&seen.last),
        });
    }
    coverage
}
