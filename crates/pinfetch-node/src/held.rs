//! What JavaScript holds by a number: cookie jars, policies, rehearsals.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::HashMap;

use crate::engine::lock;

/// Values by their handles, while JavaScript holds them; others may hold them longer.
pub(crate) struct Held<T> {
    held: Mutex<HashMap<u32, T>>,
    next: AtomicU32,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            next: AtomicU32::new(1),
        }
    }
}

impl<T: Clone> Held<T> {
    pub(crate) fn get(&self, handle: u32) -> Option<T> {
        lock(&self.held).get(&handle).cloned()
    }

    pub(crate) fn add(&self, value: T) -> u32 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.held).insert(handle, value);
        handle
    }

    /// JavaScript holds it no longer. It is dropped by the caller, after the lock: it may be large.
    pub(crate) fn release(&self, handle: u32) -> Option<T> {
        lock(&self.held).remove(&handle)
    }
}
