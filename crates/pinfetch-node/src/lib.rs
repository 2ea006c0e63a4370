//! The Node-API binding of pinfetch. It converts, calls, converts, and decides nothing.
#![expect(
    clippy::needless_pass_by_value,
    reason = "#[napi] passes strings by value"
)]

mod ask;
mod engine;
mod environment;
mod file;
mod held;
mod jars;
mod memory;
mod observe;
mod policies;
mod queue;
mod stream;
mod upload;
mod wake;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Buffer, BufferSlice, Either, Function};
use napi_derive::napi;

pub use crate::policies::{CompiledPolicy, FileTask};

use crate::engine::{Core, Threads};
use crate::wake::Waker;

/// A chunk up to this size is copied into a buffer of JavaScript's own, which costs less than a finalizer.
const COPIED_CHUNK: usize = 64 * 1024;

/// The engine of one Node environment.
#[napi]
pub struct Engine {
    core: Arc<Core>,
    threads: Arc<Threads>,
    /// Referenced while something is in flight.
    waker: Waker,
}

#[napi]
impl Engine {
    /// Starts the engine on so many threads, one at least. `wake` is called when the completion queue has become non-empty,
    /// once a batch.
    ///
    /// `on_libuv`: whether the runtime is Node, on libuv, whose functions others export without having them.
    ///
    /// # Errors
    /// When the system gives no thread.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: Env,
        wake: Function<'_, (), ()>,
        on_libuv: bool,
        threads: u32,
    ) -> napi::Result<Self> {
        let core = Core::new();
        let (waker, threads) = Waker::start(env, wake, on_libuv, |wake| {
            Threads::start(core.clone(), threads, wake).map(Arc::new)
        })?;
        Ok(Self {
            core,
            threads,
            waker,
        })
    }

    /// Makes a client; answers with a Reply record.
    #[napi(catch_unwind)]
    pub fn create_client(&self, config: &[u8]) -> Buffer {
        environment::create_client(&self.core, config).into()
    }

    /// What the requests of `client` through each proxy have come to, as a record.
    #[napi(catch_unwind)]
    pub fn proxy_stats(&self, client: u32) -> Buffer {
        environment::proxy_stats(&self.core, client).into()
    }

    /// Lets requests of `client` go through the proxy at `url` again; a Reply record.
    #[napi(catch_unwind)]
    pub fn release_proxy(&self, client: u32, url: String) -> Buffer {
        environment::release_proxy(&self.core, client, &url).into()
    }

    /// Makes a policy that clients share; policy and Reply are records.
    #[napi(catch_unwind)]
    pub fn create_live_policy(&self, policy: &[u8]) -> Buffer {
        policies::create_live_policy(&self.core, policy).into()
    }

    /// How many clients share a policy.
    #[napi(catch_unwind)]
    pub fn live_policy_clients(&self, policy: u32) -> u32 {
        policies::live_policy_clients(&self.core, policy)
    }

    /// What the handshakes of `client` have shown of its pins, as a record.
    #[napi(catch_unwind)]
    pub fn metrics(&self, client: u32) -> Buffer {
        observe::metrics(&self.core, client).into()
    }

    /// What the handshakes of all clients that share a policy have shown, as a record.
    #[napi(catch_unwind)]
    pub fn live_metrics(&self, policy: u32) -> Buffer {
        observe::live_metrics(&self.core, policy).into()
    }

    /// The hosts that requests of `client` went to, as a record.
    #[napi(catch_unwind)]
    pub fn coverage(&self, client: u32) -> Buffer {
        observe::coverage(&self.core, client).into()
    }

    /// Tries a policy on the traffic of `client`; policy and Reply are records.
    #[napi(catch_unwind)]
    pub fn rehearse(&self, client: u32, policy: &[u8]) -> Buffer {
        observe::rehearse(&self.core, client, policy).into()
    }

    /// Tries a policy on the traffic of all clients that share another; policy and Reply are records.
    #[napi(catch_unwind)]
    pub fn rehearse_live(&self, live: u32, policy: &[u8]) -> Buffer {
        observe::rehearse_live(&self.core, live, policy).into()
    }

    /// What a rehearsal has shown so far, as a record.
    #[napi(catch_unwind)]
    pub fn rehearsal_report(&self, rehearsal: u32) -> Buffer {
        observe::rehearsal_report(&self.core, rehearsal).into()
    }

    /// Ends a rehearsal; its report stays.
    #[napi(catch_unwind)]
    pub fn end_rehearsal(&self, rehearsal: u32) {
        observe::end_rehearsal(&self.core, rehearsal);
    }

    /// Asks something of a cookie jar; request and Reply are records.
    #[napi(catch_unwind)]
    pub fn cookie_jar(&self, request: &[u8]) -> Buffer {
        jars::cookie_jar(&self.core, request).into()
    }

    /// Takes the records that JavaScript wrote to `submissions[..length]` (bytes).
    ///
    /// Called once a tick. What is kept is copied: `submissions` is JavaScript's again on return.
    ///
    /// # Errors
    /// When `length` is past the end, or the engine has ended.
    #[napi(catch_unwind)]
    pub fn submit(&self, submissions: &[u8], length: u32) -> napi::Result<()> {
        let records = usize::try_from(length)
            .ok()
            .and_then(|length| submissions.get(..length));
        let records = records
            .ok_or_else(|| napi::Error::from_reason("length is past the end of submissions"))?;
        if self.threads.submit(Bytes::copy_from_slice(records)) {
            Ok(())
        } else {
            Err(napi::Error::from_reason("the engine has ended"))
        }
    }

    /// The oldest completion records that were not taken yet; null when there are none.
    ///
    /// # Errors
    /// When JavaScript can make no buffer.
    #[napi(catch_unwind)]
    pub fn drain(&self, env: &Env) -> napi::Result<Option<Buffer>> {
        match self.core.completions.take() {
            None => Ok(None),
            Some(chunk) if chunk.len() <= COPIED_CHUNK => BufferSlice::copy_from(env, chunk)?
                .into_buffer(env)
                .map(Some),
            Some(chunk) => Ok(Some(chunk.into())),
        }
    }

    /// The large body behind `token`, once and without copying.
    ///
    /// # Errors
    /// When no body has the token, or no longer.
    #[napi(catch_unwind)]
    pub fn take_body(&self, token: u32) -> napi::Result<Buffer> {
        let body = self.core.completions.take_body(token);
        let body = body.ok_or_else(|| napi::Error::from_reason("no body has this token"))?;
        Ok(Vec::from(body).into()) // of a body that nobody else holds, the vector that it was read into
    }

    /// Whether libuv's own handle wakes JavaScript, rather than Node-API's thread-safe function.
    #[napi(getter)]
    pub fn on_libuv(&self) -> bool {
        matches!(self.waker, Waker::Libuv(_))
    }

    /// Keeps the process alive until [`unref`](Self::unref).
    ///
    /// # Errors
    /// When the environment is closing.
    #[napi(catch_unwind, js_name = "ref")]
    pub fn refer(&self, env: &Env) -> napi::Result<()> {
        self.waker.refer(*env)
    }

    /// Lets the process end.
    ///
    /// # Errors
    /// When the environment is closing.
    #[napi(catch_unwind)]
    pub fn unref(&self, env: &Env) -> napi::Result<()> {
        self.waker.unref(*env)
    }

    /// Ends every request and connection, and the threads.
    #[napi(catch_unwind)]
    pub fn shutdown(&self) {
        self.threads.stop();
    }
}

/// Verifies a certificate chain as a handshake would; request and Reply are records.
#[napi(catch_unwind)]
pub fn verify_chain(request: &[u8]) -> Buffer {
    environment::verify_chain(request).into()
}

/// Compiles a policy, a record; what is wrong is told by a Reply.
///
/// # Errors
/// When JavaScript can make no object.
#[napi(catch_unwind)]
pub fn compile_policy(env: Env, policy: &[u8]) -> napi::Result<Either<CompiledPolicy, Buffer>> {
    CompiledPolicy::compile(env, policy)
}

/// The policy in the `text` of a file, a promise; null where it is to be read by those who can say what is wrong. The named
/// sets that the file may have are a record. Nobody changes the text meanwhile.
///
/// # Errors
/// For a record that is none.
#[napi(catch_unwind)]
pub fn read_policy_file(text: Buffer, sets: &[u8]) -> napi::Result<AsyncTask<FileTask>> {
    let task = FileTask::new(text, sets);
    let task = task.map_err(|_| napi::Error::from_reason("a malformed record"))?;
    Ok(AsyncTask::new(task))
}

/// The policy that another thread of the process holds by `handle`.
///
/// # Errors
/// When none does, or no longer.
#[napi(catch_unwind)]
pub fn adopt_policy(env: Env, handle: u32) -> napi::Result<CompiledPolicy> {
    CompiledPolicy::adopt(env, handle)
}

/// The patterns and pins in force for `authority` under a policy; policy and Reply are records.
#[napi(catch_unwind)]
pub fn policy_lookup(policy: &[u8], authority: String) -> Buffer {
    environment::policy_lookup(policy, &authority).into()
}

/// What the certificates of a path block say of themselves, as a record.
#[napi(catch_unwind)]
pub fn describe_path(path: &[u8]) -> Buffer {
    environment::describe_path(path).into()
}

/// The pins of what a file holds: certificates, public keys, private keys, certificate requests; a Reply record.
#[napi(catch_unwind)]
pub fn describe_inputs(file: &[u8], name: String) -> Buffer {
    environment::describe_inputs(file, &name).into()
}

/// The built-in trust anchors, their version first, as a record.
#[napi(catch_unwind)]
pub fn built_in_anchors() -> Buffer {
    environment::built_in_anchors().into()
}

/// The versions of what decides about trust, as JSON for people.
#[napi(catch_unwind)]
pub fn versions() -> String {
    environment::versions()
}
