//! Policies that are put in force: a client's own, and those that many clients share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use foldhash::HashMap;
use pinfetch_client::{LivePolicy, RequestError};
use pinfetch_pins::Policy;

use crate::engine::{Core, NO_CLIENT, lock};
use crate::environment::reply;
use crate::wire::{self, Malformed, Reader};

/// From how many bytes on a policy is compiled apart from the engine's thread, which has requests to run meanwhile.
const LARGE_POLICY: usize = 64 * 1024;

/// The policies that clients share, by handle, while JavaScript holds them.
#[derive(Default)]
pub(crate) struct LivePolicies {
    policies: Mutex<HashMap<u32, LivePolicy>>,
    next: AtomicU32,
}

impl LivePolicies {
    pub(crate) fn get(&self, handle: u32) -> Option<LivePolicy> {
        lock(&self.policies).get(&handle).cloned()
    }

    fn add(&self, policy: LivePolicy) -> u32 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.policies).insert(handle, policy);
        handle
    }

    fn release(&self, handle: u32) {
        let released = lock(&self.policies).remove(&handle);
        drop(released); // after the lock: it may be large
    }
}

/// Makes a policy that clients share; a Reply with its handle.
pub(crate) fn create_live_policy(core: &Core, policy: &[u8]) -> Vec<u8> {
    let compiled = read(policy).map(LivePolicy::new);
    reply(compiled.map(|live| core.live_policies.add(live).to_le_bytes().into()))
}

/// How many clients share a policy.
pub(crate) fn live_policy_clients(core: &Core, handle: u32) -> u32 {
    let live = core.live_policies.get(handle);
    live.map_or(0, |live| u32::try_from(live.clients()).unwrap_or(u32::MAX))
}

impl Core {
    pub(crate) fn set_policy(
        self: &Arc<Self>,
        batch: &Bytes,
        mut record: Reader<'_>,
    ) -> Result<(), Malformed> {
        let id = record.u32()?;
        let handle = record.u32()?;
        let is_forced = record.flag()?;
        let policy = compile(batch.slice_ref(record.rest()));
        self.start(
            id,
            handle,
            move |client| async move { client.set_policy(policy, is_forced).await },
            |core, id, swap| {
                core.completions
                    .push(|out| wire::write_swapped(out, id, &swap));
            },
        );
        Ok(())
    }

    pub(crate) fn set_live_policy(
        self: &Arc<Self>,
        batch: &Bytes,
        mut record: Reader<'_>,
    ) -> Result<(), Malformed> {
        let id = record.u32()?;
        let live = self.live_policies.get(record.u32()?).ok_or(Malformed)?;
        let is_forced = record.flag()?;
        let policy = compile(batch.slice_ref(record.rest()));
        self.run(
            id,
            NO_CLIENT,
            async move { live.set(policy, is_forced).await },
            |core, id, swap| {
                core.completions
                    .push(|out| wire::write_swapped(out, id, &swap));
            },
        );
        Ok(())
    }

    pub(crate) fn release_live_policy(&self, mut record: Reader<'_>) -> Result<(), Malformed> {
        self.live_policies.release(record.u32()?);
        Ok(())
    }
}

/// Compiles a policy, which is read when its turn has come.
async fn compile(encoded: Bytes) -> Result<Arc<Policy>, RequestError> {
    if encoded.len() < LARGE_POLICY {
        return read(&encoded);
    }
    let compiled = tokio::task::spawn_blocking(move || read(&encoded)).await;
    compiled.unwrap_or_else(|_| {
        let problem = "a policy could not be compiled";
        Err(RequestError::Internal(problem.into()))
    })
}

/// Reads and compiles a policy.
pub(crate) fn read(encoded: &[u8]) -> Result<Arc<Policy>, RequestError> {
    Ok(Arc::new(Reader::new(encoded).policy()??))
}
