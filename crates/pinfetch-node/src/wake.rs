//! How the engine's thread calls JavaScript's, and what keeps the process alive meanwhile.
//!
//! Where the runtime is on libuv, a `uv_async_t` of our own: Node-API's thread-safe function holds a mutex while it wakes
//! JavaScript's thread, which then at once wants that mutex (docs/decisions/010). Other runtimes have that function.
#![expect(
    unsafe_code,
    reason = "libuv, and Node-API's way to call from its loop, have no safe face"
)]
#![expect(
    deprecated,
    reason = "refer and unref are the one way to let go of a thread-safe function without ending it"
)]

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::{NonNull, null, null_mut};
use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{Function, JsValue as _};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status, sys};

use crate::engine::Threads;

/// Wakes JavaScript, and by itself does not keep the process alive.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true, 0>;
/// Never called; keeps the process alive while it is referenced.
type KeepAlive = ThreadsafeFunction<(), (), (), Status, false, false, 0>;

/// JavaScript's end of the way: lets the process live or end.
pub(crate) enum Waker {
    Libuv(Async),
    ThreadSafe(Mutex<KeepAlive>),
}

impl Waker {
    /// Starts the engine's thread with `start`, which is given what wakes JavaScript: `wake` is then called on its
    /// thread, once for all wakes that it has not heard yet. At the end of `env` the thread is stopped.
    ///
    /// `on_libuv`: whether `env` runs on libuv, and its functions can be called.
    pub(crate) fn start(
        env: Env,
        wake: Function<'_, (), ()>,
        on_libuv: bool,
        start: impl FnOnce(Box<dyn Fn() + Send>) -> std::io::Result<Arc<Threads>>,
    ) -> napi::Result<(Self, Arc<Threads>)> {
        if let Some(libuv) = on_libuv.then(Libuv::find).flatten() {
            return Async::start(libuv, env, wake, start);
        }
        let mut keep_alive: KeepAlive = wake
            .build_threadsafe_function()
            .callee_handled::<false>()
            .build()?;
        keep_alive.unref(&env)?;
        let wake: Wake = wake
            .build_threadsafe_function()
            .callee_handled::<false>()
            .weak::<true>()
            .build()?;
        let thread = start(Box::new(move || {
            // a closing environment refuses, and has nobody left to wake
            wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }))
        .map_err(no_thread)?;
        env.add_env_cleanup_hook(thread.clone(), |thread| thread.stop())?;
        Ok((Self::ThreadSafe(Mutex::new(keep_alive)), thread))
    }

    /// Keeps the process alive until [`unref`](Self::unref).
    pub(crate) fn refer(&self, env: Env) -> napi::Result<()> {
        match self {
            Self::Libuv(waker) => {
                waker.refer();
                Ok(())
            }
            Self::ThreadSafe(keep_alive) => keep_alive
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .refer(&env),
        }
    }

    /// Lets the process end.
    pub(crate) fn unref(&self, env: Env) -> napi::Result<()> {
        match self {
            Self::Libuv(waker) => {
                waker.unref();
                Ok(())
            }
            Self::ThreadSafe(keep_alive) => keep_alive
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .unref(&env),
        }
    }
}

fn no_thread(error: std::io::Error) -> napi::Error {
    napi::Error::from_reason(error.to_string())
}

/// A `uv_handle_t`, `uv_async_t` included: known to libuv alone.
type Handle = c_void;
type OnAsync = unsafe extern "C" fn(*mut Handle);

/// The part of libuv's interface, stable throughout its version 1, that the runtime exports for addons.
#[derive(Clone, Copy)]
struct Libuv {
    async_init: unsafe extern "C" fn(*mut sys::uv_loop_s, *mut Handle, OnAsync) -> c_int,
    async_send: unsafe extern "C" fn(*mut Handle) -> c_int,
    close: unsafe extern "C" fn(*mut Handle, OnAsync),
    refer: unsafe extern "C" fn(*mut Handle),
    unref: unsafe extern "C" fn(*mut Handle),
    handle_size: unsafe extern "C" fn(c_int) -> usize,
}

/// `UV_ASYNC` of `uv_handle_type`.
const UV_ASYNC: c_int = 1;

impl Libuv {
    /// None where the program that runs exports no libuv 1.
    fn find() -> Option<Self> {
        #[cfg(unix)]
        let program = libloading::os::unix::Library::this();
        #[cfg(windows)]
        let program = libloading::os::windows::Library::this().ok()?;
        // SAFETY: the signatures are those of uv.h; a program stays loaded for as long as it runs
        unsafe {
            let version = *program
                .get::<unsafe extern "C" fn() -> c_uint>(c"uv_version")
                .ok()?;
            if version() >> 16 != 1 {
                return None;
            }
            Some(Self {
                async_init: *program.get(c"uv_async_init").ok()?,
                async_send: *program.get(c"uv_async_send").ok()?,
                close: *program.get(c"uv_close").ok()?,
                refer: *program.get(c"uv_ref").ok()?,
                unref: *program.get(c"uv_unref").ok()?,
                handle_size: *program.get(c"uv_handle_size").ok()?,
            })
        }
    }
}

/// A `uv_async_t` that calls a function of JavaScript's.
///
/// It lives from [`start`](Self::start) to the end of the environment, after which no JavaScript runs that could use it.
pub(crate) struct Async {
    libuv: Libuv,
    handle: NonNull<Handle>,
}

/// What a handle's callbacks need. Owned by the handle from `start` until `closed`.
struct State {
    libuv: Libuv,
    /// The `uv_async_t` itself, leaked too; its size is libuv's own affair.
    memory: *mut [u128],
    env: sys::napi_env,
    wake: sys::napi_ref,
    context: sys::napi_async_context,
    /// Asked of the environment: it waits for `closed`.
    hook: sys::napi_async_cleanup_hook_handle,
    thread: Option<Arc<Threads>>,
}

/// Wakes from the engine's thread.
struct Sender {
    libuv: Libuv,
    handle: NonNull<Handle>,
}

// SAFETY: uv_async_send is the one function of libuv that any thread may call, and the only one that a Sender calls
unsafe impl Send for Sender {}

impl Sender {
    fn send(&self) {
        // SAFETY: the handle is closed only after the engine's thread, which has this Sender, has ended
        unsafe { (self.libuv.async_send)(self.handle.as_ptr()) };
    }
}

impl Async {
    fn start(
        libuv: Libuv,
        env: Env,
        wake: Function<'_, (), ()>,
        start: impl FnOnce(Box<dyn Fn() + Send>) -> std::io::Result<Arc<Threads>>,
    ) -> napi::Result<(Waker, Arc<Threads>)> {
        let name = env.create_string("pinfetch")?;
        let raw = env.raw();
        // SAFETY: plain Node-API and libuv on JavaScript's thread, with values of this very scope. What is leaked here is
        // freed by `closed`, which libuv calls after any other callback
        unsafe {
            let mut uv_loop = null_mut();
            check(sys::napi_get_uv_event_loop(raw, &raw mut uv_loop))?;
            let mut reference = null_mut();
            check(sys::napi_create_reference(
                raw,
                wake.raw(),
                1,
                &raw mut reference,
            ))?;
            let mut context = null_mut();
            check(sys::napi_async_init(
                raw,
                null_mut(),
                name.raw(),
                &raw mut context,
            ))?;
            let size = (libuv.handle_size)(UV_ASYNC);
            let memory = Box::into_raw(vec![0; size.div_ceil(size_of::<u128>())].into());
            let handle = NonNull::new_unchecked(memory).cast::<Handle>();
            if (libuv.async_init)(uv_loop, handle.as_ptr(), woken) != 0 {
                drop(Box::from_raw(memory));
                return Err(napi::Error::from_reason("libuv has no room for a handle"));
            }
            let state = Box::into_raw(Box::new(State {
                libuv,
                memory,
                env: raw,
                wake: reference,
                context,
                hook: null_mut(),
                thread: None,
            }));
            handle.cast().write(state); // uv_handle_t's `data`
            (libuv.unref)(handle.as_ptr());
            let sender = Sender { libuv, handle };
            let started = start(Box::new(move || sender.send()));
            let thread = started.map_err(no_thread).and_then(|thread| {
                (*state).thread = Some(thread.clone());
                let hook = &raw mut (*state).hook;
                let added = sys::napi_add_async_cleanup_hook(raw, Some(ending), state.cast(), hook);
                check(added).map(|()| thread)
            });
            match thread {
                Ok(thread) => Ok((Waker::Libuv(Self { libuv, handle }), thread)),
                Err(error) => {
                    end(state);
                    Err(error)
                }
            }
        }
    }

    fn refer(&self) {
        // SAFETY: called by JavaScript, so on its thread and before the handle is closed
        unsafe { (self.libuv.refer)(self.handle.as_ptr()) };
    }

    fn unref(&self) {
        // SAFETY: as in `refer`
        unsafe { (self.libuv.unref)(self.handle.as_ptr()) };
    }
}

fn check(status: sys::napi_status) -> napi::Result<()> {
    if status == sys::Status::napi_ok {
        return Ok(());
    }
    Err(napi::Error::from_status(Status::from(status)))
}

/// libuv calls it on JavaScript's thread after a wake.
unsafe extern "C" fn woken(handle: *mut Handle) {
    // SAFETY: the handle is ours and open, so that its State is alive; Node-API's values live in the scope that is opened
    // and closed here
    unsafe {
        let state = state_of(handle);
        let env = (*state).env;
        let mut scope = null_mut();
        if sys::napi_open_handle_scope(env, &raw mut scope) != sys::Status::napi_ok {
            return;
        }
        call(env, (*state).wake, (*state).context);
        sys::napi_close_handle_scope(env, scope);
    }
}

/// Calls the function as Node's own callbacks are called: what it lets continue runs before the loop goes on.
///
/// # Safety
/// On JavaScript's thread, in a handle scope of `env`, whose the reference and the context are.
unsafe fn call(env: sys::napi_env, wake: sys::napi_ref, context: sys::napi_async_context) {
    let (mut global, mut function) = (null_mut(), null_mut());
    // SAFETY: as the caller promises
    unsafe {
        if sys::napi_get_global(env, &raw mut global) != sys::Status::napi_ok
            || sys::napi_get_reference_value(env, wake, &raw mut function) != sys::Status::napi_ok
        {
            return;
        }
        let status = sys::napi_make_callback(env, context, global, function, 0, null(), null_mut());
        let mut exception = null_mut();
        if status == sys::Status::napi_pending_exception
            && sys::napi_get_and_clear_last_exception(env, &raw mut exception)
                == sys::Status::napi_ok
        {
            // 'uncaughtException', as for any callback; refused where no JavaScript may run any more
            sys::napi_fatal_exception(env, exception);
        }
    }
}

/// The environment ends.
unsafe extern "C" fn ending(_hook: sys::napi_async_cleanup_hook_handle, state: *mut c_void) {
    // SAFETY: `start` gave this hook its State, which nothing else ends
    unsafe { end(state.cast()) };
}

/// Ends the engine's thread first, which wakes, then the handle.
///
/// # Safety
/// On JavaScript's thread, once.
unsafe fn end(state: *mut State) {
    // SAFETY: the State lives until `closed`, which libuv calls from its loop and not from here
    unsafe {
        if let Some(thread) = (*state).thread.take() {
            thread.stop();
        }
        sys::napi_delete_reference((*state).env, (*state).wake);
        sys::napi_async_destroy((*state).env, (*state).context);
        ((*state).libuv.close)((*state).memory.cast(), closed);
    }
}

/// libuv has let go of the handle.
unsafe extern "C" fn closed(handle: *mut Handle) {
    // SAFETY: both were leaked by `start`, and nothing calls back after this
    unsafe {
        let state = Box::from_raw(state_of(handle));
        drop(Box::from_raw(state.memory));
        if !state.hook.is_null() {
            sys::napi_remove_async_cleanup_hook(state.hook); // the environment waits for this
        }
    }
}

/// # Safety
/// With a handle of `start`'s that is not freed.
unsafe fn state_of(handle: *mut Handle) -> *mut State {
    // SAFETY: `data`, which belongs to whoever has the handle, is the first of the public fields of uv_handle_t
    unsafe { *handle.cast() }
}
