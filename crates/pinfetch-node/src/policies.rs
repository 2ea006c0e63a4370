//! Policies: those that JavaScript holds compiled, those that are put in force, and those that many clients share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use napi::bindgen_prelude::{Buffer, Either, ObjectFinalize};
use napi::{Env, Task};
use napi_derive::napi;
use pinfetch_client::{CaSets, LivePolicy, RequestError, read_policy_file};
use pinfetch_pins::Policy;

use crate::engine::{Core, NO_CLIENT};
use crate::environment::reply;
use crate::held::Held;
use crate::wire::{self, Malformed, PolicyRecord, Reader};

/// From how many bytes on a policy is compiled apart from the engine's thread, which has requests to run meanwhile.
const LARGE_POLICY: usize = 64 * 1024;

/// Of the whole process: one thread may compile what another uses.
static COMPILED: LazyLock<Held<Arc<Policy>>> = LazyLock::new(Held::default);

/// A policy that JavaScript holds: as many clients as are given it obey the one.
#[napi(custom_finalize)]
pub struct CompiledPolicy {
    handle: u32,
    /// What V8 was told of, in bytes.
    size: i64,
}

impl CompiledPolicy {
    fn new(env: Env, policy: Arc<Policy>) -> napi::Result<Self> {
        let size = i64::try_from(policy.size()).unwrap_or(i64::MAX);
        env.adjust_external_memory(size)?;
        let handle = COMPILED.add(policy);
        Ok(Self { handle, size })
    }

    /// Compiles a policy; else a Reply that says what is wrong.
    pub(crate) fn compile(env: Env, policy: &[u8]) -> napi::Result<Either<Self, Buffer>> {
        match read(policy) {
            Ok(policy) => Self::new(env, policy).map(Either::A),
            Err(error) => Ok(Either::B(reply(Err(error)).into())),
        }
    }

    /// The policy that another thread's object holds.
    pub(crate) fn adopt(env: Env, handle: u32) -> napi::Result<Self> {
        let policy = COMPILED
            .get(handle)
            .ok_or_else(|| napi::Error::from_reason("no policy has this handle"))?;
        Self::new(env, policy)
    }
}

#[napi]
impl CompiledPolicy {
    /// What records name it by.
    #[napi(getter)]
    pub fn handle(&self) -> u32 {
        self.handle
    }

    /// Whether both say the same, in the same order.
    #[napi(catch_unwind)]
    pub fn equals(&self, other: &CompiledPolicy) -> bool {
        self.handle == other.handle || COMPILED.get(self.handle) == COMPILED.get(other.handle)
    }
}

impl ObjectFinalize for CompiledPolicy {
    fn finalize(self, env: Env) -> napi::Result<()> {
        COMPILED.release(self.handle);
        env.adjust_external_memory(-self.size)?;
        Ok(())
    }
}

/// Reads a large policy file, apart from JavaScript's thread.
pub struct FileTask {
    text: Buffer,
    sets: CaSets,
}

impl FileTask {
    /// `sets` is a record of the named sets that the file may have.
    pub(crate) fn new(text: Buffer, sets: &[u8]) -> Result<Self, Malformed> {
        let mut record = Reader::new(sets);
        let sets = record.list(|record| {
            let name = record.str()?.to_owned();
            let pins = record.list(|record| record.str()?.parse().map_err(|_| Malformed))?;
            Ok((name, pins))
        })?;
        let sets = sets.into_iter().collect();
        Ok(Self { text, sets })
    }
}

impl Task for FileTask {
    type Output = Option<Policy>;
    type JsValue = Option<CompiledPolicy>;

    fn compute(&mut self) -> napi::Result<Option<Policy>> {
        // napi-rs would let a panic end the process here
        let read = AssertUnwindSafe(|| read_policy_file(&self.text, &self.sets));
        Ok(catch_unwind(read).unwrap_or_default())
    }

    fn resolve(&mut self, env: Env, read: Option<Policy>) -> napi::Result<Option<CompiledPolicy>> {
        let compile = |policy| CompiledPolicy::new(env, Arc::new(policy));
        read.map(compile).transpose()
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

/// Reads a policy, and compiles it if it was not before.
pub(crate) fn read(encoded: &[u8]) -> Result<Arc<Policy>, RequestError> {
    next(&mut Reader::new(encoded))
}

/// The same of a policy that `record` goes on with.
pub(crate) fn next(record: &mut Reader<'_>) -> Result<Arc<Policy>, RequestError> {
    match record.policy()? {
        PolicyRecord::Compiled(handle) => COMPILED.get(handle).ok_or(Malformed.into()),
        PolicyRecord::Written(policy) => policy,
    }
}
