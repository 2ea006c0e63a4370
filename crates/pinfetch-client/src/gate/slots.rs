//! How many connections there may be to all hosts together, and which host gets the next one.
//!
//! A host that finds no slot free *starves*: it queues for the next one, behind those that came before. While some starve,
//! nobody keeps what it doesn't need: idle connections are closed for them, and a connection that serves its own host's
//! requests without a pause gives its slot up after a turn of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Gate, Origin};
use crate::config::ConnectionKey;
use crate::connect::Live;

/// How many requests a connection serves while other hosts starve: a handshake costs about as much as so many.
const TURN: u32 = 32;

/// The right to have a connection open, given back when dropped. None where there is no limit.
pub(crate) type Slot = Option<OwnedSemaphorePermit>;

/// The slots of one client.
pub(super) struct Slots {
    free: Option<Arc<Semaphore>>,
    starving: AtomicUsize,
}

/// No slot is free.
pub(super) struct NoneFree;

/// One host's place in the queue, until dropped.
pub(super) struct Starving<'a>(&'a Slots);

impl Slots {
    /// `limit` slots, or as many as anybody wants.
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self {
            free: limit.map(|limit| Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)))),
            starving: AtomicUsize::new(0),
        }
    }

    /// A slot, unless there is a limit and it is reached. Takes none from those who queue.
    pub(super) fn take(&self) -> Result<Slot, NoneFree> {
        match &self.free {
            None => Ok(None),
            Some(free) => match free.clone().try_acquire_owned() {
                Ok(slot) => Ok(Some(slot)),
                Err(_) => Err(NoneFree),
            },
        }
    }

    /// One more host starves: to be counted before its task waits, so that nothing becomes idle in between.
    pub(super) fn starve(&self) {
        self.starving.fetch_add(1, Ordering::AcqRel);
    }

    /// A slot for a host that was counted as starving, in its turn.
    pub(super) async fn wait(&self) -> Slot {
        let _starving = Starving(self);
        let free = self.free.clone()?;
        free.acquire_owned().await.ok() // never closed
    }

    /// Whether hosts starve besides the one that asks, which `starves` itself or doesn't.
    pub(super) fn others_starve(&self, starves: bool) -> bool {
        self.starving.load(Ordering::Acquire) > usize::from(starves)
    }

    /// Whether a connection has had its turn once it has served `requests` while others starved.
    pub(super) fn is_turn_over(requests: u32) -> bool {
        requests > TURN
    }
}

impl Gate {
    /// Queues for a slot in the origin's name.
    pub(super) fn starve(self: &Arc<Self>, key: &Arc<ConnectionKey>, origin: &mut Origin) {
        let Ok(runtime) = Handle::try_current() else {
            return; // as in `begin_attempt`
        };
        if std::mem::replace(&mut origin.starves, true) {
            return;
        }
        self.slots.starve();
        let (gate, key) = (self.clone(), key.clone());
        runtime.spawn(async move {
            gate.close_longest_idle();
            let slot = gate.slots.wait().await;
            let mut state = gate.lock();
            if let Some(origin) = state.origins.get_mut(&key) {
                origin.starves = false;
                origin.forget_abandoned();
                if origin.waiters.len() > origin.attempts {
                    gate.begin_attempt(&key, origin, 0, slot);
                    gate.open_more(&key, origin);
                }
            }
        });
    }

    /// Makes room: closes the connection that has been idle for longest, if one is.
    fn close_longest_idle(&self) {
        let mut state = self.lock();
        let mut longest: Option<(u64, &mut Origin)> = None;
        for origin in state.origins.values_mut() {
            let Some(since) = origin.idle_since() else {
                continue;
            };
            if longest.as_ref().is_none_or(|(before, _)| since < *before) {
                longest = Some((since, origin));
            }
        }
        let Some((_, origin)) = longest else { return };
        if origin.idle.is_empty() {
            if let Some(live) = origin.longest_idle_http2().map(|http2| http2.live.clone()) {
                live.end();
                origin.forget_unusable();
            }
        } else {
            origin.idle.remove(0); // the last one is used first
        }
        origin.forget_closed();
    }

    /// Whether a connection has served so many requests while other hosts wait for a slot that it gives up its own.
    pub(super) fn has_had_its_turn(&self, live: &Live, starves: bool) -> bool {
        self.slots.others_starve(starves) && Slots::is_turn_over(live.take_turn())
    }

    /// Whether hosts wait for a slot: whatever is idle is closed for them.
    pub(super) fn is_short_of_slots(&self) -> bool {
        self.slots.others_starve(false)
    }
}

impl Drop for Starving<'_> {
    fn drop(&mut self) {
        self.0.starving.fetch_sub(1, Ordering::AcqRel);
    }
}
