//! The engine's threads: the first takes submissions, each runs the requests of its clients, and all write completions.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use foldhash::HashMap;
use http::{HeaderValue, Method, StatusCode};
use pinfetch_client::{
    Client, CookieJar, Cookies, Environment, Field, Http2Choice, LivePolicy, Lookup, OnInterim,
    Proxy, RedirectMode, Rehearsal, Request, RequestBody, RequestError, ResolveError, Response,
    ResponseBody, Retry, TimeLimit, Via,
};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::ask::{Addresses, CookieField, Keeper, Questions, Resolver};
use crate::held::Held;
use crate::observe;
use crate::queue::{Completions, INLINE_BODY};
use crate::stream::{Demand, Want, pump};
use crate::upload::Uploads;
use crate::wire::{self, BodyPlace, Malformed, Reader, Write, extra, submission};

/// A time limit that is not the request's own.
const LIMIT_OF_CLIENT: u32 = u32::MAX;

/// Whose work it is that is no client's.
pub(crate) const NO_CLIENT: u32 = 0;

/// A request body up to this size is copied out of its batch.
const COPIED_BODY: usize = 4 * 1024;

/// What JavaScript's thread and the engine's threads share.
pub(crate) struct Core {
    /// The threads beside the first.
    others: OnceLock<Vec<Handle>>,
    pub(crate) completions: Completions,
    environment: Environment,
    clients: Mutex<HashMap<u32, Client>>,
    next_client: AtomicU32,
    requests: Mutex<HashMap<u32, Running>>,
    /// Where wishes for the body of a request go, while it streams.
    streams: Mutex<HashMap<u32, mpsc::UnboundedSender<Demand>>>,
    pub(crate) lookups: Questions<Addresses>,
    pub(crate) cookies: Questions<CookieField>,
    pub(crate) jars: Held<CookieJar>,
    pub(crate) live_policies: Held<LivePolicy>,
    pub(crate) rehearsals: Held<Rehearsal>,
    pub(crate) uploads: Uploads,
}

/// A request's task. Whoever takes it out of the books answers for it: its own end, a cancellation, or a forced close.
struct Running {
    client: u32,
    task: AbortHandle,
}

/// The engine's threads and the way to them.
pub(crate) struct Threads {
    submissions: Mutex<Option<mpsc::UnboundedSender<Bytes>>>,
    /// The first one, which ends when there are no more submissions.
    first: Mutex<Option<JoinHandle<()>>>,
    others: Mutex<Vec<OtherThread>>,
}

/// A thread beside the first, which ends when its sender is dropped.
struct OtherThread {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Threads {
    /// Starts the engine on `count` threads, or one; `wake` is called on the first when the completion queue has become
    /// non-empty.
    pub(crate) fn start(
        core: Arc<Core>,
        count: u32,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, submissions) = mpsc::unbounded_channel();
        let (mut others, mut handles) = (Vec::new(), Vec::new());
        for number in 1..count {
            let runtime = runtime()?;
            handles.push(runtime.handle().clone());
            let (stop, stopped) = oneshot::channel();
            let thread = spawn(format!("pinfetch-{number}"), runtime, async {
                let _ = stopped.await; // it is dropped
            })?;
            others.push(OtherThread { stop, thread });
        }
        let _ = core.others.set(handles); // a core is started once
        let first = spawn("pinfetch".into(), runtime()?, run(core, submissions, wake))?;
        Ok(Self {
            submissions: Mutex::new(Some(sender)),
            first: Mutex::new(Some(first)),
            others: Mutex::new(others),
        })
    }

    /// Hands records to the engine; returns false when it has ended.
    pub(crate) fn submit(&self, records: Bytes) -> bool {
        let submissions = self
            .submissions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        submissions
            .as_ref()
            .is_some_and(|submissions| submissions.send(records).is_ok())
    }

    /// Ends every request and connection, and the threads. Returns when it is over; later calls do nothing.
    pub(crate) fn stop(&self) {
        drop(lock(&self.submissions).take());
        let first = lock(&self.first).take();
        // not before the first one has given every request up
        for thread in first.into_iter().chain(self.others()) {
            let _ = thread.join(); // it can't have panicked in a way that concerns whoever ends it
        }
    }

    fn others(&self) -> impl Iterator<Item = JoinHandle<()>> {
        let others = std::mem::take(&mut *lock(&self.others));
        others.into_iter().map(|OtherThread { stop, thread }| {
            drop(stop);
            thread
        })
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// A thread that runs `work`, and what is spawned on `runtime` meanwhile.
fn spawn(
    name: String,
    runtime: Runtime,
    work: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(move || {
        runtime.block_on(work);
        // a name that is still being resolved must not keep the process
        runtime.shutdown_timeout(Duration::ZERO);
    })
}

async fn run(
    core: Arc<Core>,
    mut submissions: mpsc::UnboundedReceiver<Bytes>,
    wake: impl Fn() + Send + 'static,
) {
    let waker = tokio::spawn(announce(core.clone(), wake));
    while let Some(batch) = submissions.recv().await {
        if !core.accept(&batch) {
            break;
        }
    }
    waker.abort();
    core.completions.end();
    lock(&core.clients).clear();
    for running in lock(&core.requests).drain() {
        running.1.task.abort();
    }
}

/// How often sockets are looked at once more, at most, before JavaScript is woken.
const LOOKS: u32 = 4;

/// Wakes JavaScript when the completion queue has become non-empty. A wake costs as much as an answered request: while
/// others are under way and still bring something each time their sockets are looked at, what they bring rides along.
async fn announce(core: Arc<Core>, wake: impl Fn()) {
    let filled = core.completions.filled();
    loop {
        filled.notified().await;
        for _ in 0..LOOKS {
            let running = lock(&core.requests).len();
            if running == 0 {
                break;
            }
            tokio::task::yield_now().await; // to every other task, and to the sockets
            if lock(&core.requests).len() == running {
                break;
            }
        }
        wake();
    }
}

/// What all clients of an engine share; what they have to tell goes into the queue.
fn environment(core: Weak<Core>) -> Environment {
    let told = core.clone();
    let tell = observe::teller(core.clone());
    let environment = Environment::new(move |connection| {
        if let Some(core) = core.upgrade() {
            core.completions
                .push_quietly(|out| wire::write_gone(out, connection));
        }
    });
    environment
        .with_handshakes(tell)
        .with_notices(move |notice| {
            if let Some(core) = told.upgrade() {
                core.completions
                    .push(|out| wire::write_notice(out, &notice));
            }
        })
}

impl Core {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new_cyclic(|core: &Weak<Self>| Self {
            others: OnceLock::new(),
            completions: Completions::default(),
            environment: environment(core.clone()),
            clients: Mutex::default(),
            next_client: AtomicU32::new(1),
            requests: Mutex::default(),
            streams: Mutex::default(),
            lookups: Questions::default(),
            cookies: Questions::default(),
            jars: Held::default(),
            live_policies: Held::default(),
            rehearsals: Held::default(),
            uploads: Uploads::default(),
        })
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn reserve_client(&self) -> u32 {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }

    /// Has `ask` look at a client, if it is known.
    pub(crate) fn with_client<T>(&self, client: u32, ask: impl FnOnce(&Client) -> T) -> Option<T> {
        lock(&self.clients).get(&client).map(ask)
    }

    /// The cookies of a client, if it is known.
    pub(crate) fn cookies_of(&self, client: u32) -> Option<Cookies> {
        self.with_client(client, |client| client.cookies().clone())
    }

    /// Tells JavaScript of the interim responses to request `id`.
    fn teller(self: &Arc<Self>, id: u32) -> OnInterim {
        let core = Arc::downgrade(self);
        OnInterim::new(move |status, fields| {
            if let Some(core) = core.upgrade() {
                core.completions
                    .push(|out| wire::write_information(out, id, status, fields));
            }
        })
    }

    pub(crate) fn add_client(&self, handle: u32, client: Client) {
        lock(&self.clients).insert(handle, client);
    }

    /// A resolver that asks JavaScript.
    pub(crate) fn resolver(self: &Arc<Self>, client: u32) -> Lookup {
        let core = Arc::downgrade(self);
        Lookup::Function(Arc::new(Resolver { core, client }))
    }

    /// A keeper of cookies that asks JavaScript.
    pub(crate) fn keeper(self: &Arc<Self>, client: u32) -> Cookies {
        let core = Arc::downgrade(self);
        Cookies::Keeper(Arc::new(Keeper { core, client }))
    }

    /// Returns false when the engine can go on no longer: a batch whose records have lost their bounds.
    fn accept(self: &Arc<Self>, batch: &Bytes) -> bool {
        let mut records = Reader::new(batch);
        while !records.is_empty() {
            let Ok(record) = records.bytes() else {
                return false;
            };
            // a panic here would end the engine, and with it every request of the process
            let accepted = catch_unwind(AssertUnwindSafe(|| self.accept_one(batch, record)));
            let fault = match accepted {
                Ok(Ok(())) => continue,
                Ok(Err(Malformed)) => "a submission was malformed",
                Err(_panic) => "a submission could not be carried out",
            };
            // a fault concerns the one request that the record names; nobody waits for the others
            if let Some((kind, id)) = named(record)
                && matches!(
                    kind,
                    submission::REQUEST
                        | submission::SET_POLICY
                        | submission::SET_LIVE_POLICY
                        | submission::CLOSE
                        | submission::PINS
                        | submission::READ
                        | submission::SAVE
                )
            {
                self.fail(id, &RequestError::Internal(fault.into()));
            } else if let Some((submission::LOOKUP_REPLY, lookup)) = named(record) {
                self.lookups.give_up(lookup); // whoever asked hears that there is no answer
            } else if let Some((submission::COOKIES_REPLY, asked)) = named(record) {
                self.cookies.give_up(asked);
            }
        }
        true
    }

    /// Answers `id` with `error`.
    pub(crate) fn fail(&self, id: u32, error: &RequestError) {
        self.completions
            .push(|out| wire::write_error(out, id, error));
    }

    fn accept_one(self: &Arc<Self>, batch: &Bytes, record: &[u8]) -> Result<(), Malformed> {
        let mut record = Reader::new(record);
        match record.u8()? {
            submission::REQUEST => self.begin_request(batch, record),
            submission::CANCEL => {
                let id = record.u32()?;
                self.end_request(id);
                Ok(())
            }
            submission::SET_POLICY => self.set_policy(batch, record),
            submission::SET_LIVE_POLICY => self.set_live_policy(batch, record),
            submission::RELEASE_LIVE_POLICY => self.release_live_policy(record),
            submission::RELEASE_REHEARSAL => self.release_rehearsal(record),
            submission::TELL_HANDSHAKES => self.tell_handshakes(record),
            submission::CLOSE => self.close(record),
            submission::LOOKUP_REPLY => self.lookup_reply(record),
            submission::RELEASE => {
                let client = record.u32()?;
                lock(&self.clients).remove(&client);
                Ok(())
            }
            submission::PINS => self.server_pins(record),
            submission::READ => self.read_body(record),
            submission::SAVE => self.save_body(record),
            submission::UPLOAD => self.upload(batch, record),
            submission::COOKIES_REPLY => self.cookies_reply(record),
            submission::RELEASE_JAR => {
                self.jars.release(record.u32()?);
                Ok(())
            }
            _ => Err(Malformed),
        }
    }

    /// Takes a request out of the books; true if it was still there.
    fn end_request(&self, id: u32) -> bool {
        lock(&self.requests).remove(&id).is_some_and(|running| {
            running.task.abort();
            true
        })
    }

    fn client(&self, handle: u32) -> Result<Client, RequestError> {
        lock(&self.clients)
            .get(&handle)
            .cloned()
            .ok_or(RequestError::ClientClosed)
    }

    fn begin_request(
        self: &Arc<Self>,
        batch: &Bytes,
        mut record: Reader<'_>,
    ) -> Result<(), Malformed> {
        let id = record.u32()?;
        let handle = record.u32()?;
        match read_request(self, id, batch, &mut record)? {
            Ok(request) => self.start_request(id, handle, request),
            Err(error) => self.fail(id, &error),
        }
        Ok(())
    }

    fn start_request(self: &Arc<Self>, id: u32, handle: u32, request: Request<'_>) {
        let client = match self.client(handle) {
            Ok(client) => client,
            Err(error) => return self.fail(id, &error),
        };
        let limit = request.max_response_bytes;
        let limit = limit.unwrap_or_else(|| client.max_response_bytes());
        let has_upload = matches!(request.body, Some(RequestBody::Stream(_)));
        let sending = client.send(request);
        self.spawn(id, handle, has_upload, async move |answer: Answer| {
            let response = match sending.await {
                Ok(response) => response,
                Err(error) => return answer.fail(&error),
            };
            match response.body {
                ResponseBody::Whole(ref body) if body.len() as u64 > limit => {
                    answer.fail(&RequestError::BodyTooLarge { limit });
                }
                ResponseBody::Whole(_) => {
                    if answer.take_out() {
                        answer.core.complete(answer.id, &response);
                    }
                }
                ResponseBody::Streaming(_) => {
                    // apart, so that requests without a stream have a small future
                    Box::pin(stream(answer, response, limit)).await;
                }
            }
        });
    }

    /// Runs `work` for `id` as a task that can be cancelled, and answers whatever happens.
    pub(crate) fn start<T, F>(
        self: &Arc<Self>,
        id: u32,
        handle: u32,
        begin: impl FnOnce(Client) -> F,
        complete: impl FnOnce(&Self, u32, T) + Send + 'static,
    ) where
        F: Future<Output = Result<T, RequestError>> + Send + 'static,
        T: Send,
    {
        match self.client(handle) {
            Ok(client) => self.run(id, handle, begin(client), complete),
            Err(error) => self.fail(id, &error),
        }
    }

    /// The same for `work` that is begun.
    pub(crate) fn run<T>(
        self: &Arc<Self>,
        id: u32,
        handle: u32,
        work: impl Future<Output = Result<T, RequestError>> + Send + 'static,
        complete: impl FnOnce(&Self, u32, T) + Send + 'static,
    ) where
        T: Send,
    {
        self.spawn(id, handle, false, async move |answer: Answer| {
            let outcome = work.await;
            if answer.take_out() {
                match outcome {
                    Ok(value) => complete(&answer.core, answer.id, value),
                    Err(error) => answer.core.fail(answer.id, &error),
                }
            }
        });
    }

    /// Spawns the task of `id`, which owes an answer.
    fn spawn<F>(
        self: &Arc<Self>,
        id: u32,
        client: u32,
        has_upload: bool,
        task: impl FnOnce(Answer) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let answer = Answer {
            core: self.clone(),
            id,
            has_upload,
        };
        // held while spawning, so that the task can't end before it is in the books
        let mut requests = lock(&self.requests);
        let task = self.spawn_for(client, task(answer)); // an answer dropped by a panic says so
        requests.insert(
            id,
            Running {
                client,
                task: task.abort_handle(),
            },
        );
    }

    /// Spawns `task` on the thread of `client`: all that a client does is done by one thread.
    fn spawn_for(
        &self,
        client: u32,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let others = self.others.get().map_or(&[][..], Vec::as_slice);
        let index = client as usize % (others.len() + 1);
        match index.checked_sub(1).and_then(|index| others.get(index)) {
            None => tokio::spawn(task),
            Some(other) => other.spawn(task),
        }
    }

    fn complete(&self, id: u32, response: &Response) {
        if response.connection.announce() {
            self.completions
                .push(|out| wire::write_connection(out, response.connection.facts()));
        }
        match &response.body {
            ResponseBody::Whole(body) if body.len() <= INLINE_BODY => self
                .completions
                .push(|out| wire::write_response(out, id, response, &BodyPlace::Inline(body))),
            ResponseBody::Whole(body) => {
                let length = body.len();
                self.completions.push_with_body(body.clone(), |out, token| {
                    wire::write_response(out, id, response, &BodyPlace::Token(token, length));
                });
            }
            ResponseBody::Streaming(_) => self
                .completions
                .push(|out| wire::write_response(out, id, response, &BodyPlace::Stream)),
        }
    }

    /// Passes on what JavaScript wants of the body of request `of`.
    fn demand(self: &Arc<Self>, id: u32, of: u32, what: Want) {
        let demand = Demand::new(self.clone(), id, what);
        if let Some(stream) = lock(&self.streams).get(&of) {
            let _ = stream.send(demand); // a stream that has just ended drops it, which answers it
        }
    }

    fn read_body(self: &Arc<Self>, mut record: Reader<'_>) -> Result<(), Malformed> {
        let id = record.u32()?;
        let of = record.u32()?;
        let what = if record.flag()? {
            Want::Rest
        } else {
            Want::Piece
        };
        self.demand(id, of, what);
        Ok(())
    }

    fn save_body(self: &Arc<Self>, mut record: Reader<'_>) -> Result<(), Malformed> {
        let id = record.u32()?;
        let of = record.u32()?;
        self.demand(id, of, Want::File(record.str()?.into()));
        Ok(())
    }

    fn close(self: &Arc<Self>, mut record: Reader<'_>) -> Result<(), Malformed> {
        let id = record.u32()?;
        let handle = record.u32()?;
        let force = record.flag()?;
        let Some(client) = lock(&self.clients).remove(&handle) else {
            self.completions.push(|out| wire::write_done(out, id, 0));
            return Ok(());
        };
        let ended: Vec<u32> = if force {
            lock(&self.requests)
                .iter()
                .filter(|(_, running)| running.client == handle)
                .map(|(id, _)| *id)
                .collect()
        } else {
            Vec::new()
        };
        for id in ended {
            if self.end_request(id) {
                self.fail(id, &RequestError::ClientClosed);
            }
        }
        let core = self.clone();
        self.spawn_for(handle, async move {
            client.close(force).await;
            core.completions.push(|out| wire::write_done(out, id, 0));
        });
        Ok(())
    }

    fn lookup_reply(&self, mut record: Reader<'_>) -> Result<(), Malformed> {
        let id = record.u32()?;
        let answer = if record.flag()? {
            let addresses = record.list(Reader::str)?;
            addresses.into_iter().map(address_of).collect()
        } else {
            Err(ResolveError {
                code: record.str()?.into(),
                message: record.str()?.into(),
            })
        };
        self.lookups.answer(id, answer);
        Ok(())
    }

    fn upload(&self, batch: &Bytes, mut record: Reader<'_>) -> Result<(), Malformed> {
        let id = record.u32()?;
        let has_ended = record.flag()?;
        let piece = record.bytes()?;
        let piece = (!has_ended).then(|| batch.slice_ref(piece));
        self.uploads.give(id, piece);
        Ok(())
    }

    fn cookies_reply(&self, mut record: Reader<'_>) -> Result<(), Malformed> {
        let id = record.u32()?;
        let is_answered = record.flag()?;
        let text = record.bytes()?;
        let answer = match HeaderValue::from_bytes(text) {
            _ if !is_answered => Err(String::from_utf8_lossy(text).into()),
            Ok(value) => Ok((!value.is_empty()).then_some(value)),
            Err(_) => Err("it gave a character that no field may hold (RFC 9110 §5.5)".into()),
        };
        self.cookies
            .answer(id, answer.map_err(RequestError::CookieJar));
        Ok(())
    }

    fn server_pins(self: &Arc<Self>, mut record: Reader<'_>) -> Result<(), Malformed> {
        let id = record.u32()?;
        let handle = record.u32()?;
        let authority: String = record.str()?.into();
        let presented = record.flag()?;
        let via = match record.opt(Reader::str)?.map_or(Ok(Via::OfClient), via) {
            Ok(via) => via,
            Err(problem) => {
                self.fail(id, &RequestError::Argument(problem.into()));
                return Ok(());
            }
        };
        self.start(
            id,
            handle,
            move |client| async move { client.server_pins(&authority, presented, &via).await },
            |core, id, seen| {
                core.completions
                    .push(|out| write_server_pins(out, id, &seen));
            },
        );
        Ok(())
    }
}

fn write_server_pins(out: &mut Vec<u8>, id: u32, seen: &pinfetch_client::ServerPins) {
    out.nested(|out| {
        out.u8(wire::completion::SERVER_PINS);
        out.u32(id);
        out.str(&seen.remote.to_string());
        out.u8(seen.path.is_some().into());
        out.nested(|out| match &seen.path {
            Some(path) => wire::write_path(out, Some(path)),
            None => wire::write_presented(out, &seen.presented),
        });
    });
}

pub(crate) fn read_request<'r>(
    core: &Arc<Core>,
    id: u32,
    batch: &Bytes,
    record: &mut Reader<'r>,
) -> Result<Result<Request<'r>, RequestError>, Malformed> {
    let method = match record.u8()? {
        0 => match Method::from_bytes(record.bytes()?) {
            Ok(method) => method,
            Err(_) => {
                return Ok(Err(RequestError::Argument(
                    "the method is not a token (RFC 9110 §9.1)".into(),
                )));
            }
        },
        1 => Method::GET,
        2 => Method::HEAD,
        3 => Method::POST,
        4 => Method::PUT,
        5 => Method::DELETE,
        6 => Method::PATCH,
        7 => Method::OPTIONS,
        _ => return Err(Malformed),
    };
    let timeout = match record.u32()? {
        LIMIT_OF_CLIENT => TimeLimit::OfClient,
        0 => TimeLimit::None,
        milliseconds => TimeLimit::Of(Duration::from_millis(milliseconds.into())),
    };
    let url = record.str()?;
    let count = record.size()?;
    let mut headers = Vec::with_capacity(count.min(256)); // of none: nothing is allocated
    for _ in 0..count {
        let length = record.u16()?.into();
        let name = record.take(length)?;
        match Field::new(name, record.bytes()?) {
            Ok(field) => headers.push(field),
            Err(error) => return Ok(Err(RequestError::Argument(error.to_string().into()))),
        }
    }
    let body = match record.u8()? {
        0 => None,
        1 => {
            let body = record.bytes()?;
            Some(RequestBody::Bytes(if body.len() <= COPIED_BODY {
                Bytes::copy_from_slice(body) // a small body that waits must not keep its whole batch
            } else {
                batch.slice_ref(body)
            }))
        }
        2 => {
            let length = u64::try_from(record.i64()?).ok(); // negative where nobody knows it
            Some(RequestBody::Stream(core.uploads.begin(core, id, length)))
        }
        _ => return Err(Malformed),
    };
    let mut request = Request {
        method,
        headers,
        body,
        timeout,
        number: id,
        ..Request::get(url)
    };
    while !record.is_empty() {
        match record.u8()? {
            extra::REDIRECT => request.redirect = Some(redirect_mode(record)?),
            extra::MAX_REDIRECTS => request.max_redirects = Some(record.u32()?),
            extra::DECOMPRESS => request.decompress = Some(record.flag()?),
            extra::MAX_RESPONSE_BYTES => {
                let limit = u64::try_from(record.i64()?).map_err(|_| Malformed)?;
                request.max_response_bytes = Some(limit);
            }
            extra::HEADERS_TIMEOUT => request.headers_timeout = Some(own_limit(record)?),
            extra::BODY_TIMEOUT => request.body_timeout = Some(own_limit(record)?),
            extra::RETRY => match retry(record)? {
                Ok(retry) => request.retry = Some(retry),
                Err(error) => return Ok(Err(error)),
            },
            extra::ON_INFORMATION => request.on_interim = Some(core.teller(id)),
            extra::CONNECT_TIMEOUT => request.connect_timeout = Some(own_limit(record)?),
            extra::HTTP2 => request.http2 = Some(http2_choice(record)?),
            extra::REUSE => request.reuse = Some(record.flag()?),
            extra::MAX_EXPANSION => request.max_expansion = Some(record.u32()?),
            extra::COOKIES => {
                let jar = record.opt(Reader::u32)?;
                request.cookies = Some(match jar {
                    None => Cookies::None,
                    Some(handle) => Cookies::Jar(core.jars.get(handle).ok_or(Malformed)?),
                });
            }
            extra::PROXY => match via(record.str()?) {
                Ok(via) => request.via = via,
                Err(problem) => return Ok(Err(RequestError::Argument(problem.into()))),
            },
            _ => return Err(Malformed),
        }
    }
    Ok(Ok(request))
}

/// A proxy by its URL; an empty one is none. The error quotes nothing of it.
pub(crate) fn proxy(url: &str) -> Result<Option<Proxy>, String> {
    if url.is_empty() {
        return Ok(None);
    }
    url.parse()
        .map(Some)
        .map_err(|error| format!("proxy: {error}"))
}

pub(crate) fn http2_choice(record: &mut Reader<'_>) -> Result<Http2Choice, Malformed> {
    Ok(match record.u8()? {
        0 => Http2Choice::Never,
        1 => Http2Choice::Offer,
        2 => Http2Choice::Only,
        _ => return Err(Malformed),
    })
}

/// A request's own limit of a phase; 0 for as long as it takes.
fn own_limit(record: &mut Reader<'_>) -> Result<Duration, Malformed> {
    let limit = Duration::from_millis(record.u32()?.into());
    Ok(if limit.is_zero() {
        Duration::MAX
    } else {
        limit
    })
}

/// When requests are sent again, as requests and configurations say it.
pub(crate) fn retry(record: &mut Reader<'_>) -> Result<Result<Retry, RequestError>, Malformed> {
    let attempts = record.u32()?;
    let methods = record.list(Reader::bytes)?;
    let statuses = record.list(Reader::u16)?;
    let backoff = Duration::from_millis(record.u32()?.into());
    let max_delay = Duration::from_millis(record.u32()?.into());
    let methods: Result<Vec<_>, _> = methods.into_iter().map(Method::from_bytes).collect();
    let statuses: Result<Vec<_>, _> = statuses.into_iter().map(StatusCode::from_u16).collect();
    let (Ok(methods), Ok(statuses)) = (methods, statuses) else {
        return Ok(Err(RequestError::Argument(
            "retry names a method that is no token, or a status that is none".into(),
        )));
    };
    Ok(Ok(Retry {
        attempts,
        methods,
        statuses,
        backoff,
        max_delay,
    }))
}

/// The way that a request is to go.
fn via(proxy_url: &str) -> Result<Via, String> {
    Ok(proxy(proxy_url)?.map_or(Via::Direct, Via::Proxy))
}

/// As requests and configurations say it.
pub(crate) fn redirect_mode(record: &mut Reader<'_>) -> Result<RedirectMode, Malformed> {
    match record.u8()? {
        0 => Ok(RedirectMode::Follow),
        1 => Ok(RedirectMode::Manual),
        2 => Ok(RedirectMode::Error),
        _ => Err(Malformed),
    }
}

/// The kind of a record, and whom it names.
fn named(record: &[u8]) -> Option<(u8, u32)> {
    let id = record.get(1..5)?.try_into().ok()?;
    Some((*record.first()?, u32::from_le_bytes(id)))
}

fn address_of(text: &str) -> Result<IpAddr, ResolveError> {
    text.parse().map_err(|_| ResolveError {
        code: "EINVAL".into(),
        message: format!("the lookup function answered {text:?}, which is no IP address"),
    })
}

/// The duty to answer a request: dropped without [`take_out`](Self::take_out) by a panic, it answers with our own fault.
struct Answer {
    core: Arc<Core>,
    id: u32,
    has_upload: bool,
}

impl Answer {
    /// Answers with `error`, if the request is still waited for.
    fn fail(&self, error: &RequestError) {
        if self.take_out() {
            self.core.fail(self.id, error);
        }
    }

    /// Whether the request is still waited for.
    fn is_waited_for(&self) -> bool {
        lock(&self.core.requests).contains_key(&self.id)
    }

    /// True if the request is still waited for; from now on this task answers.
    fn take_out(&self) -> bool {
        lock(&self.core.requests).remove(&self.id).is_some()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.has_upload {
            self.core.uploads.end(self.id);
        }
        if self.take_out() {
            let error = RequestError::Internal("a request's task ended early".into());
            self.core.fail(self.id, &error);
        }
    }
}

/// Hands a response over whose body is read on demand, and serves the demands. Until the body has ended the request
/// stays in the books: it can be cancelled, and ends with its client.
async fn stream(answer: Answer, mut response: Response, limit: u64) {
    if !answer.is_waited_for() {
        return;
    }
    let (sender, demands) = mpsc::unbounded_channel();
    lock(&answer.core.streams).insert(answer.id, sender);
    let answered = Answered(answer);
    let Answered(Answer { core, id, .. }) = &answered;
    core.complete(*id, &response);
    let empty = ResponseBody::Whole(Bytes::new());
    if let ResponseBody::Streaming(body) = std::mem::replace(&mut response.body, empty) {
        drop(response);
        pump(body, demands, limit).await;
    }
}

/// An answer that was given, and whose body may be under way.
struct Answered(Answer);

impl Drop for Answered {
    fn drop(&mut self) {
        let Answer { core, id, .. } = &self.0;
        lock(&core.streams).remove(id);
        self.0.take_out();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
