//! Tomorrow's policy beside today's: what it would say of live connections and of new ones, enforcing nothing.
//!
//! A connection is judged by its remembered path first. One that has none of tomorrow's pins need not be the end of its
//! host: a swap closes the connection, and another path may be built from the same chain. That is tried when somebody asks
//! for the report, once for each chain, away from the engine's thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use foldhash::HashMap;
use pinfetch_pins::{Host, Pin, Policy, order};
use rustls_pki_types::CertificateDer;

use crate::config::ConnectionKey;
use crate::connect::Live;
use crate::connect::tls::{Requirement, Verdict, Verification, verifies};
use crate::error::{Code, RequestError};
use crate::gate::Gate;

/// Hosts that are listed; connections to others are counted together.
const LISTED: usize = 4096;
/// Different chains of one host that are looked at.
const CHAINS: usize = 16;

/// A policy that is tried on live traffic. Clones are one.
#[derive(Clone, Debug)]
pub struct Rehearsal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// None once it has ended.
    policy: Mutex<Option<Arc<Policy>>>,
    since: SystemTime,
    has_ended: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    hosts: HashMap<(Host, u16), HostSeen>,
    /// Connections to hosts that are not listed, and those of them that the policy may refuse.
    others: (u64, u64),
}

#[derive(Debug, Default)]
struct HostSeen {
    connections: u64,
    passed: u64,
    /// Connections that nothing more can be said of than that their path lacks the pins.
    failed: u64,
    /// Connections of chains that are forgotten, since another path of theirs was found to be pinned.
    reconnected: u64,
    refusal: Option<Code>,
    was_pinned: bool,
    patterns: Vec<String>,
    found: Vec<Pin>,
    chains: Vec<(Arc<Chain>, u64)>,
}

/// A chain on which another path may be pinned.
#[derive(Debug)]
struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    verification: Verification,
    requirement: Requirement,
    name: Host,
    verdict: OnceLock<bool>,
}

/// What a rehearsal has shown so far.
#[derive(Clone, Debug)]
pub struct RehearsalReport {
    /// When it began.
    pub since: SystemTime,
    /// Every host that had a connection then, or has had one since; sorted.
    pub hosts: Vec<HostRehearsal>,
    /// Connections that were judged, to hosts past the first 4096 included.
    pub connections: u64,
    /// Connections to hosts past the first 4096 which the policy may refuse.
    pub overflow: u64,
}

impl RehearsalReport {
    /// Whether connections were judged, and the policy would cut off none of their hosts.
    pub fn is_safe(&self) -> bool {
        let is_safe = |host: &HostRehearsal| host.would_fail == 0 && host.refusal.is_none();
        self.connections > 0 && self.overflow == 0 && self.hosts.iter().all(is_safe)
    }
}

/// What the policy would mean to one host.
#[derive(Clone, Debug)]
pub struct HostRehearsal {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// Connections that were judged.
    pub connections: u64,
    /// Connections that the policy would leave alone.
    pub would_pass: u64,
    /// Connections that it would close, and whose server would be accepted again by another path.
    pub would_reconnect: u64,
    /// Connections whose server it would refuse.
    pub would_fail: u64,
    /// What every request would be refused with, before anything is sent: unpinned, or pinned over `http:`.
    pub refusal: Option<Code>,
    /// Whether the host has pins today, and would have none.
    pub becomes_unpinned: bool,
    /// The policy's patterns that match the host, sorted.
    pub patterns: Vec<String>,
    /// The pins of the verified path of a connection that would not pass, or else of the last one, end entity first.
    pub found: Vec<Pin>,
}

impl Rehearsal {
    pub(crate) fn new(policy: Arc<Policy>) -> Self {
        Self(Arc::new(Shared {
            policy: Mutex::new(Some(policy)),
            since: SystemTime::now(),
            has_ended: AtomicBool::new(false),
            seen: Mutex::default(),
        }))
    }

    /// Begins at `gate`: live connections are judged at once.
    pub(crate) fn begin(&self, gate: &Gate) {
        let mut state = gate.lock();
        state.rehearsals.retain(|other| !other.has_ended());
        for (key, origin) in &state.origins {
            for live in origin.live.iter().filter(|live| !live.has_ended()) {
                self.judge(gate, key, &origin.requirement, live);
            }
        }
        state.rehearsals.push(self.clone());
    }

    /// Whether the policy can be rehearsed at `gate`.
    pub(crate) fn fits(&self, gate: &Gate) -> Result<(), RequestError> {
        let pins = self.policy().is_some_and(|policy| !policy.is_empty());
        if gate.is_insecure() && pins {
            return Err(crate::reload::insecure_with_pins());
        }
        Ok(())
    }

    /// Judges no more connections, and lets go of the policy; the next report lets go of the chains. What it has seen stays.
    pub fn end(&self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
        let policy = self.lock_policy().take();
        drop(policy); // not under the lock
    }

    fn policy(&self) -> Option<Arc<Policy>> {
        self.lock_policy().clone()
    }

    fn lock_policy(&self) -> MutexGuard<'_, Option<Arc<Policy>>> {
        let policy = self.0.policy.lock();
        policy.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0.has_ended.load(Ordering::Relaxed)
    }

    /// Judges a connection to `key`'s origin, of which `today` is demanded.
    pub(crate) fn judge(
        &self,
        gate: &Gate,
        key: &ConnectionKey,
        today: &Requirement,
        live: &Arc<Live>,
    ) {
        let Some(policy) = self.policy() else {
            return; // it has ended
        };
        let policy = &*policy;
        let requirement = Requirement::of(policy, key, gate.clock.now());
        let side = gate.proxy_requirement(policy, key);
        let refusal = match &side {
            Err(refusal) => Some(refusal.code()),
            Ok(_) => gate
                .admit(key, &requirement)
                .err()
                .map(|error| error.code()),
        };
        let proxy = side.ok().flatten();
        let facts = &live.facts;
        let verdict = match &proxy {
            Some(proxy) => proxy.judge(facts.proxy_path.as_deref()),
            None => Verdict::Accept(None),
        };
        let is_proxys = matches!(verdict, Verdict::Refuse(_));
        let path = facts.tls.as_ref().and_then(|tls| tls.path.as_ref());
        let passes = !is_proxys
            && matches!(
                requirement.judge(path.map(AsRef::as_ref)),
                Verdict::Accept(_)
            );

        let mut seen = self.lock();
        let place = (key.host.clone(), key.port);
        if seen.hosts.len() >= LISTED && !seen.hosts.contains_key(&place) {
            seen.others.0 += 1;
            seen.others.1 += u64::from(refusal.is_some() || !passes);
            return;
        }
        let host = seen.hosts.entry(place).or_default();
        host.connections += 1;
        host.was_pinned |= today.is_pinned();
        host.refusal = host.refusal.or(refusal);
        if host.connections == 1 {
            let mut patterns: Vec<String> = requirement.patterns().map(Into::into).collect();
            order::sort(&mut patterns);
            patterns.dedup();
            host.patterns = patterns;
        }
        let missed_before = host.passed < host.connections - 1;
        if !(passes && missed_before) {
            let of = if is_proxys {
                facts.proxy_path.as_ref()
            } else {
                path
            };
            host.found = of.map(|path| path.pins().to_vec()).unwrap_or_default();
        }
        if refusal.is_some() {
            return; // said once for the host
        }
        if passes {
            host.passed += 1;
            return;
        }
        let chain = (!is_proxys).then(|| live.presented()).flatten();
        let Some(certificates) = chain else {
            host.failed += 1;
            return;
        };
        let name = key.proven_name();
        let known = host.chains.iter_mut().find(|(known, _)| {
            known.certificates == certificates
                && known.name == *name
                && known.verification.is(gate.verification())
        });
        if let Some((_, connections)) = known {
            *connections += 1;
        } else if host.chains.len() < CHAINS {
            let chain = Chain {
                certificates,
                verification: gate.verification().clone(),
                requirement,
                name: name.clone(),
                verdict: OnceLock::new(),
            };
            host.chains.push((Arc::new(chain), 1));
        } else {
            host.failed += 1;
        }
    }

    /// What it has shown so far. Builds the paths of chains that it hasn't yet: not for a thread that has other things to do.
    pub fn report(&self) -> RehearsalReport {
        let chains: Vec<Arc<Chain>> = {
            let seen = self.lock();
            let chains = seen.hosts.values().flat_map(|host| &host.chains);
            chains.map(|(chain, _)| chain.clone()).collect()
        };
        for chain in &chains {
            chain.verdict(); // while nobody waits for the lock
        }
        let mut seen = self.lock();
        if self.has_ended() {
            seen.hosts.values_mut().for_each(HostSeen::forget_chains);
        }
        let mut hosts: Vec<HostRehearsal> = seen.hosts.iter().map(host_report).collect();
        order::sort_by(&mut hosts, |a, b| {
            (a.host.as_str(), a.port).cmp(&(b.host.as_str(), b.port))
        });
        let listed: u64 = hosts.iter().map(|host| host.connections).sum();
        RehearsalReport {
            since: self.0.since,
            connections: listed + seen.others.0,
            overflow: seen.others.1,
            hosts,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn host_report(((host, port), seen): (&(Host, u16), &HostSeen)) -> HostRehearsal {
    let (mut would_reconnect, mut would_fail) = (seen.reconnected, seen.failed);
    for (chain, connections) in &seen.chains {
        // one that has come since the others were looked at waits for the next report, and counts as refused until then
        if chain.verdict.get() == Some(&true) {
            would_reconnect += connections;
        } else {
            would_fail += connections;
        }
    }
    HostRehearsal {
        host: host.clone(),
        port: *port,
        connections: seen.connections,
        would_pass: seen.passed,
        would_reconnect,
        would_fail,
        refusal: seen.refusal,
        becomes_unpinned: seen.was_pinned && seen.patterns.is_empty(),
        patterns: seen.patterns.clone(),
        found: seen.found.clone(),
    }
}

impl HostSeen {
    /// Keeps of the chains that were looked at only how many connections they had.
    fn forget_chains(&mut self) {
        self.chains.retain(|(chain, connections)| {
            match chain.verdict.get() {
                Some(true) => self.reconnected += connections,
                Some(false) => self.failed += connections,
                None => return true,
            }
            false
        });
    }
}

impl Chain {
    /// Whether a path of it is pinned.
    fn verdict(&self) -> bool {
        let verify = || {
            let (verification, requirement) = (&self.verification, &self.requirement);
            verifies(verification, requirement, &self.certificates, &self.name)
        };
        *self.verdict.get_or_init(verify)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_has_ended_keeps_counts_and_neither_policy_nor_chains() {
        let policy = Arc::new(Policy::default());
        let rehearsal = Rehearsal::new(policy.clone());
        let chain = |verdict| {
            let chain = Chain {
                certificates: Vec::new(),
                verification: Verification::Insecure,
                requirement: Requirement::default(),
                name: "a.test".parse().unwrap(),
                verdict: OnceLock::from(verdict),
            };
            Arc::new(chain)
        };
        let chains = [(chain(true), 3), (chain(false), 2)];
        let host = HostSeen {
            connections: 5,
            chains: chains.to_vec(),
            ..HostSeen::default()
        };
        let place = ("a.test".parse().unwrap(), 443);
        rehearsal.lock().hosts.insert(place, host);
        let held = || (Arc::strong_count(&policy), Arc::strong_count(&chains[0].0));
        let counts = || {
            let host = rehearsal.report().hosts.remove(0);
            (host.would_reconnect, host.would_fail)
        };
        assert_eq!((counts(), held()), ((3, 2), (2, 2)));
        rehearsal.end();
        assert_eq!((counts(), held()), ((3, 2), (1, 1)));
        assert_eq!(counts(), (3, 2));
    }
}
