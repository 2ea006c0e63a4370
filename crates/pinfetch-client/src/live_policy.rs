//! One policy for many clients, swapped for all of them at once.
//!
//! Locks are taken in this order: the members', then their gates'. A gate takes itself out of the members when it goes,
//! so none may be dropped for good while the members are locked.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use foldhash::HashMap;
use pinfetch_pins::Policy;

use crate::error::RequestError;
use crate::gate::Gate;
use crate::metrics::{self, Counters, PatternMetrics, Source};
use crate::rehearsal::Rehearsal;
use crate::reload::{self, Swap};

/// A policy that many clients obey, and that is swapped for all of them or for none. Cheap to clone: clones are one.
#[derive(Clone)]
pub struct LivePolicy(Arc<Shared>);

struct Shared {
    /// Held by the swap that is under way: those that come meanwhile follow in their order.
    swapping: tokio::sync::Mutex<()>,
    members: Mutex<Members>,
}

struct Members {
    policy: Arc<Policy>,
    gates: HashMap<u64, Weak<Gate>>,
    next: u64,
    rehearsals: Vec<Rehearsal>,
    /// What clients that are gone have counted.
    past: Counters,
}

/// A client's place among those that obey a policy.
pub(crate) struct Membership {
    policy: LivePolicy,
    number: u64,
}

impl LivePolicy {
    /// `policy` is in force until another is [`set`](Self::set).
    pub fn new(policy: impl Into<Arc<Policy>>) -> Self {
        Self(Arc::new(Shared {
            swapping: tokio::sync::Mutex::default(),
            members: Mutex::new(Members {
                policy: policy.into(),
                gates: HashMap::default(),
                next: 0,
                rehearsals: Vec::new(),
                past: Counters::default(),
            }),
        }))
    }

    /// Puts the policy that `policy` resolves to in force for every client, as [`Client::set_policy`] does for one: all
    /// clients or none, whatever fails.
    ///
    /// # Errors
    /// [`RequestError::CutsOff`], and whatever `policy` fails with.
    ///
    /// [`Client::set_policy`]: crate::Client::set_policy
    pub async fn set(
        &self,
        policy: impl Future<Output = Result<Arc<Policy>, RequestError>>,
        is_forced: bool,
    ) -> Result<Swap, RequestError> {
        let _turn = self.0.swapping.lock().await;
        let policy = policy.await?;
        let before = self.policy();
        let diff = reload::compare(&before, &policy).await;
        let gates: Vec<Arc<Gate>>; // dropped after the lock
        let closed = {
            let mut members = self.lock(); // nobody joins in between
            gates = members.gates.values().filter_map(Weak::upgrade).collect();
            let closed = reload::swap(&gates, &policy, is_forced)?;
            members.past.keep(&policy);
            members.policy = policy;
            closed
        };
        drop(gates);
        reload::retire(before);
        Ok(Swap { closed, diff })
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<Policy> {
        self.lock().policy.clone()
    }

    /// How many clients obey it: those that are neither dropped nor closed.
    pub fn clients(&self) -> usize {
        let members = self.lock();
        let is_there = |gate: &&Weak<Gate>| gate.strong_count() > 0;
        members.gates.values().filter(is_there).count()
    }

    /// Tries `policy` on the traffic of every client, those that come included; see [`Client::rehearse`].
    ///
    /// [`Client::rehearse`]: crate::Client::rehearse
    pub fn rehearse(&self, policy: impl Into<Arc<Policy>>) -> Rehearsal {
        let rehearsal = Rehearsal::new(policy.into());
        let gates: Vec<Arc<Gate>>; // dropped after the lock
        {
            let mut members = self.lock(); // nobody joins in between
            gates = members.gates.values().filter_map(Weak::upgrade).collect();
            for gate in &gates {
                rehearsal.begin(gate);
            }
            members.rehearsals.retain(|other| !other.has_ended());
            members.rehearsals.push(rehearsal.clone());
        }
        drop(gates);
        rehearsal
    }

    /// What the handshakes of every client have shown, those that are gone included; see [`Client::metrics`].
    ///
    /// [`Client::metrics`]: crate::Client::metrics
    pub fn metrics(&self) -> Vec<PatternMetrics> {
        let gates: Vec<Arc<Gate>>; // dropped after the lock
        let past = {
            let members = self.lock();
            gates = members.gates.values().filter_map(Weak::upgrade).collect();
            Source::of_past(members.past.clone(), members.policy.clone())
        };
        let sources = gates.iter().map(|gate| Source::of(gate));
        metrics::of(sources.chain(std::iter::once(past)))
    }

    /// Takes in the gate that `make` makes for the policy in force. No swap comes in between.
    pub(crate) fn join(&self, make: impl FnOnce(Arc<Policy>) -> Arc<Gate>) -> Arc<Gate> {
        let mut members = self.lock();
        let gate = make(members.policy.clone());
        let number = members.next;
        members.next += 1;
        members.gates.insert(number, Arc::downgrade(&gate));
        for rehearsal in members.rehearsals.iter().filter(|it| !it.has_ended()) {
            rehearsal.begin(&gate);
        }
        gate.obey(Membership {
            policy: self.clone(),
            number,
        });
        gate
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        let members = &self.0.members;
        members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LivePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LivePolicy")
            .field("policy", &self.policy())
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}

impl Membership {
    /// Gives the place up, and leaves behind what was counted.
    pub(crate) fn leave(self, counters: Counters) {
        let mut members = self.policy.lock();
        members.gates.remove(&self.number);
        members.past.merge(counters);
    }
}
