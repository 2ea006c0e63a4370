//! How many connections a host may have, and who gets the next one.
//!
//! - A burst to a fresh origin makes one handshake: only when that one has shown HTTP/1.1 are more opened, one for each
//!   request that waits, up to the limit. An HTTP/2 origin keeps one connection.
//! - Requests wait in the order in which they came; a connection that becomes free goes to the one that waited longest.
//! - A connection enters the pool only under the policy then in force: it is judged and registered under one lock, which
//!   a swap takes too, and only then does its first byte leave.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pinfetch_pins::{Pin, Policy, VerifiedPath};
use tokio::sync::{Notify, oneshot};

use crate::config::{Config, ConnectionKey, Scheme, Unpinned};
use crate::connect::revocable::Revocable;
use crate::connect::tls::{OriginTls, Requirement, Verdict, Verification};
use crate::connect::{Connected, ConnectionFacts, Live, connect};
use crate::deadline::{Phase, Progress};
use crate::error::RequestError;
use crate::reload;
use crate::target::Destinations;

/// Origins without connections that a client remembers (their sessions and protocol) before it forgets them.
const REMEMBERED_ORIGINS: usize = 4096;
/// How often a handshake is begun again because a swap changed its host's pins meanwhile.
const RESTARTS: u32 = 16;
/// The bound of a handshake when requests have none.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(120);
/// HTTP/2 windows (RFC 9113 §6.9): the default of 64 KiB would stall a fast transfer on every round trip.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(5);

pub(crate) type RequestBody = Full<Bytes>;

/// The connections of one client, and the policy that they obey.
pub(crate) struct Gate {
    pub(crate) config: Config,
    /// The fields that every request carries.
    pub(crate) fields: HeaderMap,
    pub(crate) destinations: Destinations,
    verification: Verification,
    state: Mutex<State>,
    born: Instant,
    in_flight: AtomicUsize,
    ended: Notify,
    sweeping: AtomicBool,
    on_gone: Arc<dyn Fn(u32) + Send + Sync>,
    next_connection: Arc<AtomicU32>,
}

pub(crate) struct State {
    pub(crate) policy: Arc<Policy>,
    pub(crate) origins: HashMap<Arc<ConnectionKey>, Origin>,
    pub(crate) closed: bool,
}

/// What is known of one origin.
pub(crate) struct Origin {
    /// Why the policy in force has no request go there, where a swap has changed its mind.
    pub(crate) refusal: Option<RequestError>,
    pub(crate) requirement: Requirement,
    /// None for `http`.
    pub(crate) tls: Option<Arc<OriginTls>>,
    /// Every connection that is registered, whether it has shown its protocol yet or not.
    pub(crate) live: Vec<Arc<Live>>,
    pub(crate) idle: Vec<Http1>,
    pub(crate) http2: Option<Http2>,
    pub(crate) waiters: VecDeque<Waiter>,
    protocol: Option<Protocol>,
    attempts: usize,
    progress: Arc<Progress>,
    last_match: Option<(Arc<VerifiedPath>, Pin)>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Protocol {
    Http1,
    Http2,
}

pub(crate) type Waiter = oneshot::Sender<Result<Lease, RequestError>>;

/// An HTTP/1.1 connection that no request uses.
pub(crate) struct Http1 {
    sender: http1::SendRequest<RequestBody>,
    pub(crate) live: Arc<Live>,
    used: bool,
}

/// An HTTP/2 connection, shared.
#[derive(Clone)]
pub(crate) struct Http2 {
    sender: http2::SendRequest<RequestBody>,
    pub(crate) live: Arc<Live>,
}

/// The right to send one request. Dropped unused or after [`Lease::give_back`], the connection goes to the next.
pub(crate) enum Lease {
    Http1(Http1Lease),
    Http2(Http2Lease),
}

pub(crate) struct Http1Lease {
    connection: Option<Http1>,
    gate: Arc<Gate>,
    key: Arc<ConnectionKey>,
    pristine: bool,
}

pub(crate) struct Http2Lease {
    connection: Http2,
    gate: Arc<Gate>,
}

impl Lease {
    pub(crate) fn live(&self) -> &Arc<Live> {
        match self {
            Self::Http1(lease) => &lease.connection().live,
            Self::Http2(lease) => &lease.connection.live,
        }
    }

    /// Whether a request was sent on this connection before: only then can it have gone stale unnoticed.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(lease) => lease.connection().used,
            Self::Http2(_) => true, // shared: another request may always have been first
        }
    }

    /// Sends `request`; the error holds it again if no byte of it left.
    pub(crate) async fn send(
        &mut self,
        request: http::Request<RequestBody>,
    ) -> Result<
        http::Response<hyper::body::Incoming>,
        hyper::client::conn::TrySendError<http::Request<RequestBody>>,
    > {
        match self {
            Self::Http1(lease) => {
                lease.pristine = false;
                lease
                    .connection_mut()
                    .sender
                    .try_send_request(request)
                    .await
            }
            Self::Http2(lease) => lease.connection.sender.try_send_request(request).await,
        }
    }

    /// The exchange is over and the connection fit for another: it goes to the next request as soon as hyper agrees.
    pub(crate) fn give_back(self) {
        if let Self::Http1(mut lease) = self
            && let Some(mut connection) = lease.connection.take()
        {
            connection.used = true;
            if connection.sender.is_ready() {
                lease.gate.free(&lease.key, connection);
            } else {
                let (gate, key) = (lease.gate.clone(), lease.key.clone());
                tokio::spawn(async move {
                    if connection.sender.ready().await.is_ok() {
                        gate.free(&key, connection);
                    }
                });
            }
        }
    }
}

impl Http1Lease {
    fn connection(&self) -> &Http1 {
        self.connection
            .as_ref()
            .expect("taken only by give_back and drop, which end the lease")
    }

    fn connection_mut(&mut self) -> &mut Http1 {
        self.connection
            .as_mut()
            .expect("taken only by give_back and drop, which end the lease")
    }
}

impl Drop for Http1Lease {
    fn drop(&mut self) {
        // a connection in the middle of an exchange is of no use to anybody: dropping its sender ends it
        if let Some(connection) = self.connection.take()
            && self.pristine
        {
            self.gate.free(&self.key, connection);
        }
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        let live = &self.connection.live;
        live.idle_since.store(self.gate.now(), Ordering::Relaxed);
        live.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request as under way until dropped.
pub(crate) struct InFlight(Arc<Gate>);

impl InFlight {
    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

impl Gate {
    pub(crate) fn new(
        mut config: Config,
        fields: HeaderMap,
        verification: Verification,
        on_gone: Arc<dyn Fn(u32) + Send + Sync>,
        next_connection: Arc<AtomicU32>,
    ) -> Arc<Self> {
        let policy = Arc::new(std::mem::take(&mut config.policy));
        Arc::new(Self {
            config,
            fields,
            destinations: Destinations::default(),
            verification,
            state: Mutex::new(State {
                policy,
                origins: HashMap::new(),
                closed: false,
            }),
            born: Instant::now(),
            in_flight: AtomicUsize::new(0),
            ended: Notify::new(),
            sweeping: AtomicBool::new(false),
            on_gone,
            next_connection,
        })
    }

    /// The state. Never held across an `.await`; no lease may be dropped while it is held.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(self.clone())
    }

    /// Milliseconds since the client was made.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn is_insecure(&self) -> bool {
        matches!(self.verification, Verification::Insecure)
    }

    /// A connection to `key`'s origin, at once or after those who asked before.
    ///
    /// `attempt` receives the progress of the handshake that is waited for.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        key: &Arc<ConnectionKey>,
        attempt: &Mutex<Option<Arc<Progress>>>,
    ) -> Result<Lease, RequestError> {
        let waiting = {
            let mut state = self.lock();
            if state.closed {
                return Err(RequestError::ClientClosed);
            }
            let origin = self.origin(&mut state, key)?;
            if let Some(lease) = self.ready_lease(key, origin) {
                return Ok(lease);
            }
            while origin.waiters.front().is_some_and(Waiter::is_closed) {
                origin.waiters.pop_front(); // gave up: its time ran out, or nobody wants the answer
            }
            let (waiter, waiting) = oneshot::channel();
            origin.waiters.push_back(waiter);
            self.open_more(key, origin);
            if origin.attempts > 0 {
                *attempt.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(origin.progress.clone());
            }
            waiting
        };
        waiting.await.unwrap_or(Err(RequestError::ClientClosed))
    }

    /// The origin's entry, made on first use: that is where the policy has its say before DNS.
    fn origin<'s>(
        &self,
        state: &'s mut State,
        key: &Arc<ConnectionKey>,
    ) -> Result<&'s mut Origin, RequestError> {
        if !state.origins.contains_key(key) {
            let requirement = Requirement::of(&state.policy, key);
            self.admit(key, &requirement)?;
            if state.origins.len() >= REMEMBERED_ORIGINS {
                state.origins.retain(|_, origin| origin.is_in_use());
            }
            let origin = Origin {
                refusal: None,
                tls: self.tls_for(key, &requirement)?,
                requirement,
                live: Vec::new(),
                idle: Vec::new(),
                http2: None,
                waiters: VecDeque::new(),
                protocol: (key.scheme == Scheme::Http || !self.config.http2)
                    .then_some(Protocol::Http1),
                attempts: 0,
                progress: Arc::new(Progress::new(Phase::Queue)),
                last_match: None,
            };
            state.origins.insert(key.clone(), origin);
        }
        let origin = state.origins.get_mut(key);
        let origin = origin.ok_or_else(|| RequestError::Internal("an origin vanished".into()))?;
        match &origin.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(origin),
        }
    }

    /// What the policy says of the origin before a name is resolved.
    pub(crate) fn admit(
        &self,
        key: &ConnectionKey,
        requirement: &Requirement,
    ) -> Result<(), RequestError> {
        let (host, port) = (key.host.clone(), key.port);
        if requirement.is_pinned() && key.scheme == Scheme::Http {
            return Err(RequestError::Plaintext { host, port });
        }
        if !requirement.is_pinned() && self.config.unpinned == Unpinned::Refuse {
            return Err(RequestError::Unpinned { host, port });
        }
        Ok(())
    }

    pub(crate) fn tls_for(
        &self,
        key: &ConnectionKey,
        requirement: &Requirement,
    ) -> Result<Option<Arc<OriginTls>>, RequestError> {
        if key.scheme == Scheme::Http {
            return Ok(None);
        }
        OriginTls::new(
            &self.verification,
            requirement,
            key,
            self.config.http2,
            self.config.min_version,
        )
        .map(Some)
        .map_err(|error| RequestError::Internal(error.to_string().into()))
    }

    fn ready_lease(
        self: &Arc<Self>,
        key: &Arc<ConnectionKey>,
        origin: &mut Origin,
    ) -> Option<Lease> {
        if let Some(connection) = &origin.http2 {
            if !connection.live.is_revoked() && connection.sender.is_ready() {
                return Some(self.http2_lease(connection.clone()));
            }
            origin.http2 = None;
        }
        while let Some(connection) = origin.idle.pop() {
            // the last one used is the least likely to have been closed by the server
            if !connection.live.is_revoked() && connection.sender.is_ready() {
                return Some(self.http1_lease(key, connection));
            }
        }
        None
    }

    fn http1_lease(self: &Arc<Self>, key: &Arc<ConnectionKey>, connection: Http1) -> Lease {
        Lease::Http1(Http1Lease {
            connection: Some(connection),
            gate: self.clone(),
            key: key.clone(),
            pristine: true,
        })
    }

    fn http2_lease(self: &Arc<Self>, connection: Http2) -> Lease {
        connection.live.active.fetch_add(1, Ordering::Relaxed);
        Lease::Http2(Http2Lease {
            connection,
            gate: self.clone(),
        })
    }

    /// Begins as many handshakes as those who wait deserve.
    pub(crate) fn open_more(self: &Arc<Self>, key: &Arc<ConnectionKey>, origin: &mut Origin) {
        let waiting = origin.waiters.len();
        let wanted = match origin.protocol {
            // one tells which protocol it is, and one is all that HTTP/2 needs
            None | Some(Protocol::Http2) => usize::from(waiting > 0 && origin.attempts == 0),
            Some(Protocol::Http1) => {
                let room = self
                    .config
                    .connections
                    .saturating_sub(origin.live.len() + origin.attempts);
                waiting.saturating_sub(origin.attempts).min(room)
            }
        };
        for _ in 0..wanted {
            self.begin_attempt(key, origin, 0);
        }
    }

    fn begin_attempt(
        self: &Arc<Self>,
        key: &Arc<ConnectionKey>,
        origin: &mut Origin,
        restarts: u32,
    ) {
        origin.attempts += 1;
        let progress = origin.progress.clone();
        let attempt = Attempt {
            gate: self.clone(),
            key: key.clone(),
            tls: origin.tls.clone(),
            restarts,
            settled: false,
        };
        tokio::spawn(attempt.run(progress));
    }

    /// A connection is free: it goes to the one who waited longest.
    fn free(self: &Arc<Self>, key: &Arc<ConnectionKey>, connection: Http1) {
        let mut state = self.lock();
        if state.closed || connection.live.is_revoked() || connection.live.is_closed() {
            return; // dropping the sender ends the connection
        }
        let Some(origin) = state.origins.get_mut(key) else {
            return;
        };
        self.hand_out(key, origin, connection);
    }

    fn hand_out(
        self: &Arc<Self>,
        key: &Arc<ConnectionKey>,
        origin: &mut Origin,
        mut connection: Http1,
    ) {
        while let Some(waiter) = origin.waiters.pop_front() {
            match waiter.send(Ok(self.http1_lease(key, connection))) {
                // that one gave up meanwhile; taking the connection out keeps the lease's drop from freeing it again
                Err(Ok(Lease::Http1(mut lease))) => match lease.connection.take() {
                    Some(returned) => connection = returned,
                    None => return,
                },
                Ok(()) | Err(_) => return,
            }
        }
        connection
            .live
            .idle_since
            .store(self.now(), Ordering::Relaxed);
        origin.idle.push(connection);
        self.sweep_later();
    }

    /// Closes what has been idle too long. One task a client, and none when nothing is idle.
    fn sweep_later(self: &Arc<Self>) {
        if self.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let gate = Arc::downgrade(self);
        let pause = self
            .config
            .idle_timeout
            .clamp(Duration::from_millis(10), SWEEP);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(gate) = gate.upgrade() else { return };
                if !gate.sweep() {
                    return;
                }
            }
        });
    }

    /// Returns whether anything idle is left.
    fn sweep(&self) -> bool {
        let limit = u64::try_from(self.config.idle_timeout.as_millis()).unwrap_or(u64::MAX);
        let now = self.now();
        let mut left = false;
        let mut state = self.lock();
        for origin in state.origins.values_mut() {
            origin.idle.retain(|connection| {
                now.saturating_sub(connection.live.idle_since.load(Ordering::Relaxed)) < limit
            });
            left |= !origin.idle.is_empty();
            if let Some(connection) = &origin.http2 {
                let live = &connection.live;
                let expired = live.active.load(Ordering::Relaxed) == 0
                    && now.saturating_sub(live.idle_since.load(Ordering::Relaxed)) >= limit;
                if expired {
                    origin.http2 = None;
                } else {
                    left = true;
                }
            }
        }
        if !left {
            // under the lock: whoever makes something idle afterwards starts a new sweep
            self.sweeping.store(false, Ordering::Release);
        }
        left
    }

    /// Refuses new requests, waits for those under way (or ends them when `force`), and closes every connection.
    pub(crate) async fn close(self: &Arc<Self>, force: bool) {
        let waiters: Vec<Waiter> = {
            let mut state = self.lock();
            state.closed = true;
            if force {
                state
                    .origins
                    .values_mut()
                    .flat_map(|origin| origin.waiters.drain(..))
                    .collect()
            } else {
                Vec::new()
            }
        };
        for waiter in waiters {
            let _ = waiter.send(Err(RequestError::ClientClosed)); // who gave up needs no answer
        }
        if !force {
            loop {
                let mut ended = std::pin::pin!(self.ended.notified());
                ended.as_mut().enable();
                if self.in_flight.load(Ordering::Acquire) == 0 {
                    break;
                }
                ended.await;
            }
        }
        let origins: Vec<Origin> = self
            .lock()
            .origins
            .drain()
            .map(|(_, origin)| origin)
            .collect();
        let live: Vec<_> = origins
            .iter()
            .flat_map(|origin| origin.live.iter().cloned())
            .collect();
        drop(origins);
        for connection in live {
            connection.end();
            connection.until_closed().await;
        }
    }
}

impl Origin {
    fn is_in_use(&self) -> bool {
        self.attempts > 0 || !self.live.is_empty() || !self.waiters.is_empty()
    }
}

/// One handshake under way, owned by its task: whatever ends it, those who wait for it are answered.
struct Attempt {
    gate: Arc<Gate>,
    key: Arc<ConnectionKey>,
    tls: Option<Arc<OriginTls>>,
    restarts: u32,
    settled: bool,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.settled {
            self.fail(&RequestError::Internal(
                "a handshake's task ended early".into(),
            ));
        }
    }
}

impl Attempt {
    async fn run(mut self, progress: Arc<Progress>) {
        let limit = self.limit();
        let connecting = connect(
            &self.gate.config.lookup,
            &self.key,
            self.tls.as_deref(),
            &progress,
        );
        let outcome = match tokio::time::timeout(limit, connecting).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(RequestError::Timeout {
                phase: progress.phase(),
                limit,
            }),
        };
        match outcome {
            Ok(connected) => self.succeed(connected).await,
            Err(error) => self.fail(&error),
        }
    }

    /// Judges the connection under the policy in force now, registers it, and only then lets HTTP begin.
    async fn succeed(&mut self, connected: Connected) {
        let Connected {
            transport,
            remote,
            http2,
            tls,
        } = connected;
        let live = {
            let mut state = self.gate.lock();
            let closed = state.closed;
            let Some(origin) = state.origins.get_mut(&self.key) else {
                self.settled = true; // the client was closed: nobody waits
                return;
            };
            let path = tls.as_ref().and_then(|facts| facts.path.as_ref());
            let matched = match origin.requirement.judge(path.map(|path| &**path)) {
                Verdict::Accept(matched) => {
                    if let (Some(path), Some(pin)) = (path, matched) {
                        origin.last_match = Some((path.clone(), pin));
                    }
                    matched
                }
                Verdict::Refuse(_) if origin.waiters.is_empty() => {
                    origin.attempts -= 1; // nobody waits for it any more
                    self.settled = true;
                    return;
                }
                Verdict::Refuse(_) if self.restarts < RESTARTS && !closed => {
                    // The pins changed during the handshake. Another path might hold the new ones: shake hands again.
                    origin.attempts -= 1;
                    self.settled = true;
                    self.gate
                        .begin_attempt(&self.key, origin, self.restarts + 1);
                    return;
                }
                Verdict::Refuse(_) => {
                    drop(state);
                    self.fail(&RequestError::Internal(
                        "the pins kept changing during the handshake".into(),
                    ));
                    return;
                }
            };
            let id = self.gate.next_connection.fetch_add(1, Ordering::Relaxed);
            let live = Live::new(
                ConnectionFacts {
                    id,
                    remote,
                    http2,
                    tls,
                },
                self.gate.on_gone.clone(),
            );
            live.accept(matched);
            origin.live.push(live.clone());
            live
        };
        let stream = TokioIo::new(Revocable::new(transport, live.clone()));
        let driver = Driver {
            gate: Arc::downgrade(&self.gate),
            key: self.key.clone(),
            live: live.clone(),
        };
        let (ready, begun) = oneshot::channel();
        let task = tokio::spawn(drive(stream, http2, driver, ready));
        live.driven_by(task.abort_handle());
        let limit = self.limit();
        let host = self.key.host.clone();
        let error = match tokio::time::timeout(limit, begun).await {
            Ok(Ok(Ok(sender))) => return self.join(live, sender),
            Ok(Ok(Err(source))) => {
                let source = Arc::new(source);
                RequestError::Protocol {
                    host,
                    source,
                    http2,
                }
            }
            // the driver was ended before HTTP began
            Ok(Err(_)) => RequestError::Closed {
                host,
                remote: Some(remote),
            },
            Err(_elapsed) => RequestError::Timeout {
                phase: Phase::Tls,
                limit,
            },
        };
        live.end();
        self.fail(&live.refusal().unwrap_or(error));
    }

    /// How long each half of the way may take.
    fn limit(&self) -> Duration {
        self.gate.config.timeout.unwrap_or(LONGEST_ATTEMPT)
    }

    /// The connection speaks HTTP: those who wait get it.
    fn join(&mut self, live: Arc<Live>, sender: Sender) {
        self.settled = true;
        let mut state = self.gate.lock();
        let Some(origin) = state.origins.get_mut(&self.key) else {
            return;
        };
        origin.attempts -= 1;
        if live.is_revoked() {
            self.gate.open_more(&self.key, origin);
            return;
        }
        match sender {
            Sender::Http1(sender) => {
                origin.protocol = Some(Protocol::Http1);
                self.gate.hand_out(
                    &self.key,
                    origin,
                    Http1 {
                        sender,
                        live,
                        used: false,
                    },
                );
                self.gate.open_more(&self.key, origin);
            }
            Sender::Http2(sender) => {
                origin.protocol = Some(Protocol::Http2);
                live.idle_since.store(self.gate.now(), Ordering::Relaxed);
                let connection = Http2 { sender, live };
                origin.http2 = Some(connection.clone());
                let mut unclaimed = Vec::new();
                for waiter in std::mem::take(&mut origin.waiters) {
                    if let Err(lease) = waiter.send(Ok(self.gate.http2_lease(connection.clone()))) {
                        unclaimed.push(lease);
                    }
                }
                self.gate.sweep_later();
                drop(state);
                drop(unclaimed);
            }
        }
    }

    /// Answers those who waited for this handshake.
    fn fail(&mut self, error: &RequestError) {
        self.settled = true;
        let answered: Vec<Waiter> = {
            let mut state = self.gate.lock();
            let closed = state.closed;
            let Some(origin) = state.origins.get_mut(&self.key) else {
                return;
            };
            origin.attempts -= 1;
            let is_outdated = match (&self.tls, &origin.tls) {
                (Some(used), Some(current)) => !Arc::ptr_eq(used, current),
                _ => false, // plain TCP has no verdict that could be stale
            };
            if is_outdated && error.is_verdict() && self.restarts < RESTARTS && !closed {
                // the verdict is that of pins no longer in force
                self.gate
                    .begin_attempt(&self.key, origin, self.restarts + 1);
                return;
            }
            let answered = if origin.live.is_empty() {
                origin.waiters.drain(..).collect()
            } else {
                // connections that work will serve the others
                origin.waiters.pop_front().into_iter().collect()
            };
            self.gate.open_more(&self.key, origin);
            answered
        };
        let error = self.explain(error);
        for waiter in answered {
            let _ = waiter.send(Err(error.clone())); // who gave up needs no answer
        }
    }

    /// A bad pin says more when an earlier connection is remembered: which pin matched where.
    fn explain(&self, error: &RequestError) -> RequestError {
        if let RequestError::BadPin { report, remote } = error
            && let Some((path, pin)) = self
                .gate
                .lock()
                .origins
                .get(&self.key)
                .and_then(|origin| origin.last_match.clone())
        {
            let report = (**report).clone().with_last_match(&path, &pin);
            return RequestError::BadPin {
                report: Arc::new(report),
                remote: *remote,
            };
        }
        error.clone()
    }
}

enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// Begins HTTP on `stream` and moves its bytes until the connection ends. Its errors reach the requests they concern.
async fn drive(
    stream: TokioIo<Revocable>,
    http2: bool,
    driver: Driver,
    ready: oneshot::Sender<hyper::Result<Sender>>,
) {
    let _driver = driver; // declared first, so dropped last: the socket is closed by then
    if http2 {
        let begun = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(stream)
            .await;
        if let Some(connection) = hand_over(begun, ready, Sender::Http2) {
            let _ = connection.await;
        }
    } else {
        let begun = http1::Builder::new().handshake(stream).await;
        if let Some(connection) = hand_over(begun, ready, Sender::Http1) {
            let _ = connection.await;
        }
    }
}

/// Tells the attempt how HTTP began; the connection is left to drive.
fn hand_over<S, C>(
    begun: hyper::Result<(S, C)>,
    ready: oneshot::Sender<hyper::Result<Sender>>,
    sender_of: impl FnOnce(S) -> Sender,
) -> Option<C> {
    let (told, connection) = match begun {
        Ok((sender, connection)) => (Ok(sender_of(sender)), Some(connection)),
        Err(error) => (Err(error), None),
    };
    // an attempt that has given up drops the sender, which ends the connection
    let _ = ready.send(told);
    connection
}

/// Takes a connection out of the books when its driver ends, however it ends.
struct Driver {
    gate: Weak<Gate>,
    key: Arc<ConnectionKey>,
    live: Arc<Live>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.live.mark_closed();
        let Some(gate) = self.gate.upgrade() else {
            return;
        };
        let mut state = gate.lock();
        let Some(origin) = state.origins.get_mut(&self.key) else {
            return;
        };
        reload::forget(origin, &self.live);
        gate.open_more(&self.key, origin);
    }
}
