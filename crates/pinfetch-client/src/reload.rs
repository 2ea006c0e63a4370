//! A policy swap: live connections judged again by their remembered path.
//!
//! After [`swap`] returns, nothing is sent on a connection that the new policy refuses; every other connection and
//! session goes on as if nothing had happened. It is made in two steps under the locks of all gates that it concerns:
//! everything that can fail first, then what can't, so that a swap takes effect for all origins of all clients or for none.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pinfetch_pins::{BadPin, Host, Moment, Pin, Policy, PolicyDiff, VerifiedPath, order};

use crate::config::ConnectionKey;
use crate::connect::Live;
use crate::connect::tls::{OriginTls, Refusal, Requirement, Verdict};
use crate::error::{Code, RequestError};
use crate::gate::{Gate, NextChange, Origin, ProxySide, Reached, State, Waiter};

/// How long after its last request a host still has traffic.
const TRAFFIC: Duration = Duration::from_secs(60);

/// From how many patterns on two policies are compared apart from the engine's thread.
const MANY_PATTERNS: usize = 1024;

/// What a swap has done.
#[derive(Clone, Debug, Default)]
pub struct Swap {
    /// How many live connections the new policy refused; they are closed.
    pub closed: usize,
    /// What the new policy says that the old one didn't.
    pub diff: PolicyDiff,
}

/// A host with traffic that a policy would refuse.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CutOff {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// How many of its connections have traffic: a request under way, or one answered in the last minute. Perhaps none,
    /// where the last one has just ended and requests wait for the next.
    pub connections: usize,
    /// The patterns of the new policy that the connections don't meet; none where pins are not what is wanting.
    pub patterns: Vec<Box<str>>,
    /// The pins of the verified path, end entity first; none over `http:`.
    pub found: Vec<Pin>,
    /// What its requests would be refused with.
    pub code: Code,
}

/// The hosts that a policy would cut off, as an error says it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CutOffs(pub(crate) Vec<CutOff>);

impl CutOffs {
    /// The hosts, sorted; at least one.
    pub fn hosts(&self) -> &[CutOff] {
        &self.0
    }
}

impl fmt::Display for CutOffs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TOLD: usize = 3;
        let hosts = self.hosts();
        f.write_str("the policy would cut off ")?;
        for (index, cut) in hosts.iter().take(TOLD).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}:{}", cut.host, cut.port)?;
            match cut.found.as_slice() {
                [] => write!(f, " ({})", cut.code)?,
                found => {
                    f.write_str(" (pins on its path: [")?;
                    for (index, pin) in found.iter().enumerate() {
                        write!(f, "{}{pin}", if index == 0 { "" } else { " " })?;
                    }
                    f.write_str("])")?;
                }
            }
        }
        if let Some(more @ 1..) = hosts.len().checked_sub(TOLD) {
            write!(f, " and {more} more")?;
        }
        f.write_str(", which has traffic now: the old policy stays in force; to swap all the same, force it")
    }
}

/// What two policies differ in; those that are large are compared on a thread of their own.
pub(crate) async fn compare(before: &Arc<Policy>, after: &Arc<Policy>) -> PolicyDiff {
    if before.len().max(after.len()) < MANY_PATTERNS {
        return before.diff(after);
    }
    let (before, after) = (before.clone(), after.clone());
    let compared = tokio::task::spawn_blocking(move || before.diff(&after)).await;
    compared.unwrap_or_default() // a runtime that is shutting down has nobody left to tell
}

/// Lets go of a policy that is in force no more; a large one apart from the engine's thread.
pub(crate) fn retire(policy: Arc<Policy>) {
    if policy.len() >= MANY_PATTERNS {
        drop(tokio::task::spawn_blocking(move || drop(policy)));
    }
}

/// Puts `policy` in force for all of `gates`, or for none; gives the number of connections that it closed.
///
/// The caller sees to it that no two swaps concern two of the same gates at once, which could wait for each other.
///
/// # Errors
/// [`RequestError::CutsOff`], unless forced, when a host that would be refused has traffic.
pub(crate) fn swap(
    gates: &[Arc<Gate>],
    policy: &Arc<Policy>,
    is_forced: bool,
) -> Result<usize, RequestError> {
    let mut answers = Vec::new();
    let mut refused = 0;
    {
        let mut plans = Vec::with_capacity(gates.len());
        let mut cut_off = Vec::new();
        for gate in gates {
            if gate.is_insecure() && !policy.is_empty() {
                return Err(insecure_with_pins());
            }
            let state = gate.lock();
            let plan = Plan::new(gate, &state, policy, gate.clock.now())?;
            if !is_forced {
                plan.note_cut_offs(gate, &state, &mut cut_off);
            }
            plans.push((gate, state, plan));
        }
        if !cut_off.is_empty() {
            order::sort_by(&mut cut_off, |a, b| {
                (a.host.as_str(), a.port).cmp(&(b.host.as_str(), b.port))
            });
            return Err(RequestError::CutsOff(Arc::new(CutOffs(cut_off))));
        }
        for (gate, mut state, plan) in plans {
            refused += plan.carry_out(gate, &mut state, policy, &mut answers);
        }
    }
    for (waiter, refusal) in answers {
        let _ = waiter.send(Err(refusal)); // who gave up needs no answer
    }
    Ok(refused)
}

/// Judges everything again where the policy in force changes by itself: a pin set has ended, or ends soon.
pub(crate) fn tick(gate: &Arc<Gate>, state: &mut State) -> Result<(), RequestError> {
    if !state.policy.has_dates() {
        return Ok(());
    }
    let now = gate.clock.now();
    if state.next_change == NextChange::of(&state.policy, now) {
        return Ok(());
    }
    let policy = state.policy.clone();
    let mut answers = Vec::new();
    let plan = Plan::new(gate, state, &policy, now)?;
    plan.carry_out(gate, state, &policy, &mut answers);
    for (waiter, refusal) in answers {
        let _ = waiter.send(Err(refusal)); // who gave up needs no answer
    }
    Ok(())
}

/// What a swap will change at one gate. Made and carried out under one lock, so that nothing moves in between.
struct Plan {
    /// By when the policy is judged.
    now: Moment,
    changes: Vec<Change>,
}

/// What becomes of one origin.
struct Change {
    key: Arc<ConnectionKey>,
    requirement: Requirement,
    tls: Option<Arc<OriginTls>>,
    proxy: Option<ProxySide>,
    /// Why no request goes there any more.
    refusal: Option<RequestError>,
    /// What the policy says of each live connection.
    verdicts: Vec<(Arc<Live>, Judged)>,
    /// Why the host as it was last reached would be refused.
    cuts_off: Option<RequestError>,
}

/// The pin for whose sake a connection stays, and what pins in report mode have to say of it; or why it ends.
type Judged = Result<(Option<Pin>, Option<Arc<BadPin>>), RequestError>;

impl Plan {
    fn new(gate: &Gate, state: &State, policy: &Policy, now: Moment) -> Result<Self, RequestError> {
        let changes = state.origins.iter().map(|(key, origin)| {
            let requirement = Requirement::of(policy, key, now);
            let tls = if requirement.same_pins(&origin.requirement) {
                origin.tls.clone()
            } else {
                gate.tls_for(key, &requirement)? // a new verifier: sessions of the old one don't resume under it
            };
            // a proxy that may not be used any more refuses the origin, as `admit` does
            let (proxy, admitted) = match gate.proxy_side(policy, key, origin.proxy.as_ref()) {
                Ok(proxy) => (proxy, gate.admit(key, &requirement)),
                Err(refusal) => (origin.proxy.clone(), Err(refusal)),
            };
            let judge = |live: &Arc<Live>| {
                if let Err(refusal) = &admitted {
                    return Err(refusal.clone());
                }
                let (facts, proxy) = (&live.facts, proxy.as_ref());
                match Origin::judge_by(&requirement, proxy, facts) {
                    (Verdict::Accept(matched), _) => {
                        Ok((matched, Origin::report_by(&requirement, proxy, facts)))
                    }
                    (Verdict::Refuse(refusal), path) => {
                        Err(refused_by(facts.remote, &refusal, path, key))
                    }
                }
            };
            let verdicts = origin.live.iter().map(|live| (live.clone(), judge(live)));
            let verdicts = verdicts.collect();
            let cuts_off = origin
                .reached
                .as_ref()
                .and_then(|Reached { path, remote }| {
                    if let Err(refusal) = &admitted {
                        return Some(refusal.clone());
                    }
                    match requirement.judge(path.as_deref()) {
                        Verdict::Accept(_) => None,
                        Verdict::Refuse(refusal) => {
                            Some(refused_by(*remote, &refusal, path.clone(), key))
                        }
                    }
                });
            Ok(Change {
                key: key.clone(),
                requirement,
                tls,
                proxy,
                refusal: admitted.err(),
                verdicts,
                cuts_off,
            })
        });
        let changes = changes.collect::<Result<_, RequestError>>()?;
        Ok(Self { now, changes })
    }

    /// Adds the hosts with traffic that it cuts off.
    fn note_cut_offs(&self, gate: &Gate, state: &State, noted: &mut Vec<CutOff>) {
        let now = gate.now();
        for change in &self.changes {
            let Some(origin) = state.origins.get(&change.key) else {
                continue;
            };
            for (live, verdict) in &change.verdicts {
                if let Err(refusal) = verdict
                    && !live.has_ended()
                    && origin.has_traffic(live, now)
                {
                    let tls = live.facts.tls.as_ref();
                    let path = tls.and_then(|tls| tls.path.as_deref());
                    change.note(refusal, path, 1, noted);
                }
            }
            // between two connections, a host that is asked for has none to go by: how it was reached last has to do
            let is_between = origin.live.iter().all(|live| live.has_ended())
                && is_lately(origin.seen.last(), now);
            if let (true, Some(refusal), Some(reached)) =
                (is_between, &change.cuts_off, &origin.reached)
            {
                change.note(refusal, reached.path.as_deref(), 0, noted);
            }
        }
    }

    /// Nothing here can fail. Gives the number of connections that were closed.
    fn carry_out(
        self,
        gate: &Arc<Gate>,
        state: &mut State,
        policy: &Arc<Policy>,
        answers: &mut Vec<(Waiter, RequestError)>,
    ) -> usize {
        let mut closed = 0;
        for change in self.changes {
            let (key, proxy) = (&change.key, change.proxy.as_ref());
            gate.tell_endings(key, &change.requirement, proxy, self.now, &mut state.told);
            let Some(origin) = state.origins.get_mut(&change.key) else {
                continue;
            };
            origin.requirement = change.requirement;
            if change.cuts_off.is_some() {
                origin.reached = None;
            }
            origin.tls = change.tls;
            origin.proxy = change.proxy;
            for (live, verdict) in change.verdicts {
                match verdict {
                    Ok((matched, report)) => live.accept(matched, report),
                    Err(refusal) => {
                        live.revoke(refusal);
                        closed += 1;
                        take_out(origin, &live);
                    }
                }
            }
            origin.forget_closed();
            // requests that come later are refused before DNS, as those to an origin not seen before
            origin.refusal = change.refusal;
            if let Some(refusal) = &origin.refusal {
                let waiters = origin.waiters.drain(..);
                answers.extend(waiters.map(|waiter| (waiter, refusal.clone())));
            } else {
                gate.open_more(&change.key, origin);
            }
        }
        state.rehearsals.retain(|rehearsal| !rehearsal.has_ended());
        state.counters.keep(policy);
        state.next_change = NextChange::of(policy, self.now);
        state.policy = policy.clone();
        gate.reschedule(state); // for connections that are open, though no request may come
        closed
    }
}

impl Change {
    /// Notes that its host is cut off by `refusal`, which had `path`.
    fn note(
        &self,
        refusal: &RequestError,
        path: Option<&VerifiedPath>,
        connections: usize,
        noted: &mut Vec<CutOff>,
    ) {
        if matches!(refusal, RequestError::BadPin { report, .. } if report.blocked.is_some()) {
            return; // blocking a key is the emergency brake: it acts at once, on hosts with traffic above all
        }
        let (host, port) = (&self.key.host, self.key.port);
        let other = noted
            .iter_mut()
            .find(|cut| cut.host == *host && cut.port == port);
        if let Some(other) = other {
            other.connections += connections;
            return;
        }
        let (patterns, found) = if let RequestError::BadPin { report, .. } = refusal {
            let patterns = report.patterns.iter().map(|text| text.as_str().into());
            (patterns.collect(), report.path.pins())
        } else {
            let patterns = self.requirement.patterns().map(Into::into);
            (
                patterns.collect(),
                path.map(VerifiedPath::pins).unwrap_or_default(),
            )
        };
        noted.push(CutOff {
            host: host.clone(),
            port,
            connections,
            patterns,
            found: found.to_vec(),
            code: refusal.code(),
        });
    }
}

/// Whether `at` is less than a minute before `now`; both in milliseconds of the client's clock.
fn is_lately(at: u64, now: u64) -> bool {
    u128::from(now.saturating_sub(at)) < TRAFFIC.as_millis()
}

impl Origin {
    /// Whether a request is under way on `live`, or was answered lately.
    fn has_traffic(&self, live: &Arc<Live>, now: u64) -> bool {
        let is_busy = if live.facts.http2 {
            live.streams() > 0
        } else {
            let mut idle = self.idle.iter();
            !idle.any(|connection| Arc::ptr_eq(&connection.live, live))
        };
        is_busy || live.has_served() && is_lately(live.idle_since.load(Ordering::Relaxed), now)
    }
}

/// No further request is given this connection.
fn take_out(origin: &mut Origin, live: &Arc<Live>) {
    origin
        .idle
        .retain(|connection| !Arc::ptr_eq(&connection.live, live));
    origin
        .http2
        .retain(|connection| !Arc::ptr_eq(&connection.live, live));
}

/// What becomes of the requests to a host that was reached over `path`.
pub(crate) fn refused_by(
    remote: SocketAddr,
    refusal: &Refusal,
    path: Option<Arc<VerifiedPath>>,
    key: &ConnectionKey,
) -> RequestError {
    let (host, port) = (key.host.clone(), key.port);
    let Some(path) = path else {
        return RequestError::Plaintext { host, port }; // plain TCP: `admit` has refused it before
    };
    match refusal.report(key, path) {
        Some(report) => RequestError::BadPin {
            report: Arc::new(report),
            remote,
        },
        // another connection may well be accepted: it is as if the server had closed this one
        None => RequestError::Closed {
            host,
            remote: Some(remote),
        },
    }
}

pub(crate) fn insecure_with_pins() -> RequestError {
    RequestError::Option {
        code: Code::PolicyInsecure,
        problem: "pins and insecureSkipVerify contradict each other: a pin is only worth something on a verified path; \
                  for a server of your own give its CA as `ca`"
            .into(),
    }
}
