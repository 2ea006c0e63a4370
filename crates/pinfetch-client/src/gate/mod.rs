//! How many connections a host may have, and who gets the next one.
//!
//! - A burst to a fresh origin makes one handshake: only when that one has shown HTTP/1.1 are more opened, one for each
//!   request that waits, up to the limit. An HTTP/2 origin keeps one connection, or a few if it is told to (`streams.rs`).
//! - Requests wait in the order in which they came; a connection that becomes free goes to the one that waited longest.
//! - A connection enters the pool only under the policy then in force: it is judged and registered under one lock, which
//!   a swap takes too, and only then does its first byte leave.

mod attempt;
mod lease;
mod proxies;
mod slots;
mod streams;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use foldhash::{HashMap, HashMapExt};
use http::HeaderMap;
use pinfetch_pins::{BadPin, Ending, Moment, Pin, Policy, Unpinned, VerifiedPath};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

pub(crate) use self::lease::{Http1Lease, Http2Lease, Lease};
pub use self::proxies::ProxyStats;
pub(crate) use self::proxies::{Proxies, Record as ProxyRecord};
pub(crate) use self::slots::Slot;

use self::attempt::Attempt;
use self::slots::{NoneFree, Slots};
use self::streams::Http2;
use crate::client::Environment;
use crate::clock::Clock;
use crate::config::{Config, ConnectionKey, Http2Choice, Scheme};
use crate::connect::dial::Dialing;
use crate::connect::tls::{OriginTls, Requirement, TlsSettings, Verdict, Verification};
use crate::connect::{ConnectionFacts, Live};
use crate::coverage::{HostSeen, Seen};
use crate::deadline::{Phase, Progress};
use crate::error::{Code, RequestError};
use crate::exchange::fields::{Field, to_map};
use crate::exchange::http1::Http1;
use crate::live_policy::Membership;
use crate::metrics::{Counters, OnHandshake};
use crate::notice::{Notice, OnNotice, Phase as ExpiryPhase, Told};
use crate::rehearsal::Rehearsal;
use crate::reload;
use crate::target::Destinations;

/// Origins without connections that a client remembers (their sessions and protocol) before it forgets them.
const REMEMBERED_ORIGINS: usize = 4096;
/// The policy's next change is looked at so much after it, and every so often: somebody may set the clock.
const TICK: Duration = Duration::from_millis(500);
const LONGEST_TICK: Duration = Duration::from_secs(60);
/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// The connections of one client, and the policy that they obey.
pub(crate) struct Gate {
    pub(crate) config: Config,
    /// The fields that every request carries.
    pub(crate) fields: Vec<Field>,
    /// The same for HTTP/2.
    pub(crate) http2_fields: HeaderMap,
    pub(crate) destinations: Destinations,
    pub(crate) proxies: Proxies,
    pub(crate) dialing: Dialing,
    verification: Verification,
    pub(crate) tls: TlsSettings,
    slots: Slots,
    state: Mutex<State>,
    /// Whom else the policy is shared with.
    membership: Mutex<Option<Membership>>,
    /// Held by the swap that is under way: those that come meanwhile follow in their order.
    pub(crate) swapping: tokio::sync::Mutex<()>,
    born: Instant,
    /// The same by the system's clock.
    began: SystemTime,
    on_handshake: OnHandshake,
    in_flight: AtomicUsize,
    ended: Notify,
    sweeping: AtomicBool,
    on_gone: Arc<dyn Fn(u32) + Send + Sync>,
    next_connection: Arc<AtomicU32>,
    pub(crate) clock: Clock,
    on_notice: OnNotice,
    /// Whether somebody waits for the policy's next change.
    watching: AtomicBool,
    /// Wakes that one: the next change may have come nearer.
    rescheduled: Arc<Notify>,
}

pub(crate) struct State {
    pub(crate) policy: Arc<Policy>,
    /// Once this differs, the policy has changed by itself.
    pub(crate) next_change: NextChange,
    pub(crate) told: Told,
    /// Boxed: a table of many has room for as many more.
    pub(crate) origins: HashMap<Arc<ConnectionKey>, Box<Origin>>,
    pub(crate) counters: Counters,
    pub(crate) seen: Seen,
    pub(crate) rehearsals: Vec<Rehearsal>,
    /// Whether no further requests are taken; those under way may go on.
    pub(crate) closed: bool,
    /// Whether nothing is connected to any more, for those under way neither.
    has_ended: bool,
}

/// When a policy changes by itself, in Unix seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NextChange {
    /// After what the clock says.
    present: Option<i64>,
    /// After the latest that it has said.
    latest: Option<i64>,
}

impl NextChange {
    pub(crate) fn of(policy: &Policy, now: Moment) -> Self {
        Self {
            present: policy.next_change(now.present),
            latest: policy.next_change(now.latest),
        }
    }
}

/// What is known of one origin.
pub(crate) struct Origin {
    /// Why the policy in force has no request go there, where a swap has changed its mind.
    pub(crate) refusal: Option<RequestError>,
    pub(crate) requirement: Requirement,
    /// None for `http`.
    pub(crate) tls: Option<Arc<OriginTls>>,
    /// The proxy in between, as far as TLS goes.
    pub(crate) proxy: Option<ProxySide>,
    /// Every connection that is registered, whether it has shown its protocol yet or not.
    pub(crate) live: Vec<Arc<Live>>,
    pub(crate) idle: Vec<Http1>,
    /// Those that take requests.
    pub(crate) http2: Vec<Http2>,
    pub(crate) waiters: VecDeque<Waiter>,
    protocol: Option<Protocol>,
    attempts: usize,
    /// Whether it queues for a slot.
    starves: bool,
    progress: Arc<Progress>,
    last_match: Option<(Arc<VerifiedPath>, Pin)>,
    /// What the last handshake has shown; none once the host was refused.
    pub(crate) reached: Option<Reached>,
    /// Where requests to its host are counted.
    pub(crate) seen: Arc<HostSeen>,
}

/// A host that was there.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    /// Its verified path; none where nothing was verified.
    pub(crate) path: Option<Arc<VerifiedPath>>,
    pub(crate) remote: SocketAddr,
}

/// What the policy demands of a proxy.
#[derive(Clone)]
pub(crate) struct ProxySide {
    pub(crate) requirement: Requirement,
    /// None for one without TLS.
    pub(crate) tls: Option<Arc<OriginTls>>,
    pub(crate) record: Arc<ProxyRecord>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Protocol {
    Http1,
    Http2,
}

pub(crate) type Waiter = oneshot::Sender<Result<Lease, RequestError>>;

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
        config: Config,
        policy: Arc<Policy>,
        fields: Vec<Field>,
        verification: Verification,
        tls: TlsSettings,
        environment: &Environment,
    ) -> Arc<Self> {
        let clock = Clock::default();
        Arc::new(Self {
            http2_fields: to_map(&fields),
            fields,
            destinations: Destinations::default(),
            proxies: Proxies::default(),
            dialing: Dialing::new(&config),
            slots: Slots::new(config.total_connections),
            config,
            verification,
            tls,
            state: Mutex::new(State {
                next_change: NextChange::of(&policy, clock.now()),
                policy,
                told: Told::default(),
                origins: HashMap::new(),
                counters: Counters::default(),
                seen: Seen::default(),
                rehearsals: Vec::new(),
                closed: false,
                has_ended: false,
            }),
            membership: Mutex::default(),
            swapping: tokio::sync::Mutex::default(),
            born: Instant::now(),
            began: SystemTime::now(),
            on_handshake: environment.on_handshake.clone(),
            in_flight: AtomicUsize::new(0),
            ended: Notify::new(),
            sweeping: AtomicBool::new(false),
            on_gone: environment.on_gone.clone(),
            next_connection: environment.next_connection.clone(),
            clock,
            on_notice: environment.on_notice.clone(),
            watching: AtomicBool::new(false),
            rescheduled: Arc::default(),
        })
    }

    /// The policy is that of `membership`, until the client is closed.
    pub(crate) fn obey(&self, membership: Membership) {
        *self.membership() = Some(membership);
    }

    /// Whether the policy is one that other clients obey, too.
    pub(crate) fn shares_its_policy(&self) -> bool {
        self.membership().is_some()
    }

    /// The policy is no other client's any more.
    fn leave(&self) {
        let membership = self.membership().take();
        if let Some(membership) = membership {
            let counters = std::mem::take(&mut self.lock().counters);
            membership.leave(counters);
        }
    }

    fn membership(&self) -> MutexGuard<'_, Option<Membership>> {
        let membership = self.membership.lock();
        membership.unwrap_or_else(PoisonError::into_inner)
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

    /// When the client was made.
    pub(crate) fn began(&self) -> SystemTime {
        self.began
    }

    pub(crate) fn verification(&self) -> &Verification {
        &self.verification
    }

    pub(crate) fn is_insecure(&self) -> bool {
        matches!(self.verification, Verification::Insecure)
    }

    /// A connection to `key`'s origin, at once or after those who asked before.
    ///
    /// `attempt` receives the progress of the handshake that is waited for. A request that `is_under_way` gets one from a
    /// client that is closing too.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        key: &Arc<ConnectionKey>,
        attempt: &Mutex<Option<Arc<Progress>>>,
        is_under_way: bool,
    ) -> Result<Lease, RequestError> {
        *attempt.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let waiting = {
            let mut state = self.lock();
            if state.has_ended || state.closed && !is_under_way {
                return Err(RequestError::ClientClosed);
            }
            if state.policy.has_dates() {
                reload::tick(self, &mut state)?;
                self.watch_clock();
            }
            let origin = self.origin(&mut state, key)?;
            if let Some(proxy) = &origin.proxy {
                proxy.record.enter()?;
            }
            if let Some(lease) = self.ready_lease(key, origin) {
                return Ok(lease);
            }
            let (waiter, waiting) = oneshot::channel();
            origin.waiters.push_back(waiter);
            if !origin.http2.is_empty() {
                self.serve_streams(origin);
            }
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
            let now = self.clock.now();
            let requirement = Requirement::of(&state.policy, key, now);
            let admitted = self.admit(key, &requirement);
            let proxy = admitted.and_then(|()| self.proxy_side(&state.policy, key, None));
            let proxy = proxy.inspect_err(|_| {
                state.seen.host(&key.host, key.port).count(self.now());
            })?;
            self.tell_unpinned(key, &requirement, &mut state.told);
            self.tell_endings(key, &requirement, proxy.as_ref(), now, &mut state.told);
            if state.origins.len() >= REMEMBERED_ORIGINS {
                state.origins.retain(|_, origin| origin.is_in_use());
            }
            let origin = Origin {
                refusal: None,
                tls: self.tls_for(key, &requirement)?,
                requirement,
                proxy,
                live: Vec::new(),
                idle: Vec::new(),
                http2: Vec::new(),
                waiters: VecDeque::new(),
                protocol: Self::protocol_of(key),
                attempts: 0,
                starves: false,
                progress: Arc::new(Progress::new(Phase::Queue)),
                last_match: None,
                reached: None,
                seen: state.seen.host(&key.host, key.port),
            };
            state.origins.insert(key.clone(), Box::new(origin));
        }
        let origin = state.origins.get_mut(key);
        let origin = origin.ok_or_else(|| RequestError::Internal("an origin vanished".into()))?;
        origin.seen.count(self.now());
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
        Self::admit_sets(key, requirement)?;
        let (host, port) = (key.host.clone(), key.port);
        if requirement.is_pinned() && key.scheme == Scheme::Http {
            return Err(RequestError::Plaintext { host, port });
        }
        if !requirement.has_pins() && self.unpinned(requirement) == Unpinned::Refuse {
            return Err(RequestError::Unpinned { host, port });
        }
        if key.scheme == Scheme::Http && key.http2 == Http2Choice::Only {
            return Err(RequestError::Argument(
                "http2 is 'only', and http: URLs have HTTP/1.1 alone: without TLS nobody agrees on HTTP/2".into(),
            ));
        }
        Ok(())
    }

    /// What pin sets say of a server or a proxy whatever its path: one has ended and refuses it, or no path can meet them.
    fn admit_sets(key: &ConnectionKey, requirement: &Requirement) -> Result<(), RequestError> {
        let (host, port) = (key.host.clone(), key.port);
        if let Some(Ending { pattern, expiry }) = requirement.refusal() {
            return Err(RequestError::Expired {
                host,
                port,
                pattern: pattern.as_ref().into(),
                at: expiry.at,
            });
        }
        if requirement.is_torn() {
            let problem = if requirement.sets().iter().any(|pins| pins.is_torn()) {
                format!("the policy's patterns that match {host} differ in their trust")
            } else {
                format!("the policy trusts {host} and serverName by different things")
            };
            return Err(RequestError::Option {
                code: Code::PolicyInvalidOption,
                problem: problem.into(),
            });
        }
        Ok(())
    }

    /// What becomes of hosts without pins: the stricter of what the client and the policy say.
    fn unpinned(&self, requirement: &Requirement) -> Unpinned {
        self.config.unpinned.max(requirement.unpinned())
    }

    /// Tells of a host without pins, once.
    fn tell_unpinned(&self, key: &ConnectionKey, requirement: &Requirement, told: &mut Told) {
        if requirement.has_pins() || self.unpinned(requirement) != Unpinned::Warn {
            return;
        }
        let (host, port) = (key.host.clone(), key.port);
        if told.is_new(&host, port) {
            let client = self.config.number;
            self.on_notice.tell(Notice::Unpinned { client, host, port });
        }
    }

    /// Tells of pin sets that end soon, or have ended, the proxy's included: once each.
    pub(crate) fn tell_endings(
        &self,
        key: &ConnectionKey,
        requirement: &Requirement,
        proxy: Option<&ProxySide>,
        now: Moment,
        told: &mut Told,
    ) {
        self.tell_own_endings(key, requirement, now, told);
        if let (Some(side), Some(proxy)) = (proxy, &key.proxy) {
            self.tell_own_endings(
                &ConnectionKey::of_proxy(proxy),
                &side.requirement,
                now,
                told,
            );
        }
    }

    fn tell_own_endings(
        &self,
        key: &ConnectionKey,
        requirement: &Requirement,
        now: Moment,
        told: &mut Told,
    ) {
        for ending in requirement.endings() {
            let phase = match ending.expiry.at {
                at if at <= now.latest => ExpiryPhase::Ended,
                at if at.saturating_sub(Policy::NOTICE) <= now.latest => ExpiryPhase::Soon,
                _ => continue,
            };
            if told.is_new_ending(ending, phase) {
                self.on_notice.tell(Notice::Ending {
                    client: self.config.number,
                    host: key.host.clone(),
                    port: key.port,
                    ending: ending.clone(),
                    phase,
                });
            }
        }
    }

    /// Tells of a request that goes over a connection of which pins in report mode have something to say.
    pub(crate) fn tell_report(&self, request: u32, live: &Live) {
        if let Some(report) = live.report() {
            self.on_notice.tell(Notice::Reported {
                request,
                report,
                remote: live.facts.remote,
            });
        }
    }

    /// Judges live connections when the policy changes by itself. One task a client, and none for policies without dates.
    fn watch_clock(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.watching.swap(true, Ordering::AcqRel) {
            return;
        }
        let (gate, rescheduled) = (Arc::downgrade(self), self.rescheduled.clone());
        runtime.spawn(async move {
            loop {
                let pause = {
                    let Some(gate) = gate.upgrade() else { return };
                    let mut state = gate.lock();
                    // what fails here fails for the next request, too, which tells
                    let _ = reload::tick(&gate, &mut state);
                    // a client that is closing waits for responses, which end at their date as ever
                    let is_over = state.closed && state.origins.is_empty();
                    if is_over || !state.policy.has_dates() {
                        gate.watching.store(false, Ordering::Release); // under the lock: see `acquire`
                        return;
                    }
                    let now = gate.clock.now().present;
                    let left = state
                        .next_change
                        .present
                        .map(|next| next.saturating_sub(now));
                    let left = left.map(|left| u64::try_from(left).unwrap_or(0));
                    // where all dates are past, the clock may be set back to before them
                    left.map_or(LONGEST_TICK, Duration::from_secs)
                        .clamp(TICK, LONGEST_TICK)
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = rescheduled.notified() => {}
                }
            }
        });
    }

    /// A policy is in force whose next change is another.
    pub(crate) fn reschedule(self: &Arc<Self>, state: &State) {
        if state.policy.has_dates() {
            self.watch_clock();
            self.rescheduled.notify_one();
        }
    }

    /// Which protocol the origin's connections speak, where nobody has to be asked.
    fn protocol_of(key: &ConnectionKey) -> Option<Protocol> {
        match (key.scheme, key.http2) {
            (Scheme::Http, _) | (_, Http2Choice::Never) => Some(Protocol::Http1),
            (Scheme::Https, Http2Choice::Only) => Some(Protocol::Http2),
            (Scheme::Https, Http2Choice::Offer) => None,
        }
    }

    pub(crate) fn tls_for(
        &self,
        key: &ConnectionKey,
        requirement: &Requirement,
    ) -> Result<Option<Arc<OriginTls>>, RequestError> {
        if key.scheme == Scheme::Http {
            return Ok(None);
        }
        OriginTls::new(&self.verification, requirement, key, &self.tls)
            .map(Some)
            .map_err(|error| RequestError::Internal(error.to_string().into()))
    }

    /// What `policy` demands of the proxy of `key`.
    ///
    /// # Errors
    /// A pinned proxy without TLS, and one that its pin sets refuse whatever its path.
    pub(crate) fn proxy_requirement(
        &self,
        policy: &Policy,
        key: &ConnectionKey,
    ) -> Result<Option<Requirement>, RequestError> {
        let Some(proxy) = &key.proxy else {
            return Ok(None);
        };
        let key = ConnectionKey::of_proxy(proxy);
        let requirement = Requirement::of(policy, &key, self.clock.now());
        Self::admit_sets(&key, &requirement)?;
        if requirement.is_pinned() && !proxy.is_tls() {
            let (host, port) = (key.host, key.port);
            return Err(RequestError::Plaintext { host, port });
        }
        Ok(Some(requirement))
    }

    /// What `policy` demands of the proxy of `key`, and TLS to it, which is that of `before` if the pins are the same.
    pub(crate) fn proxy_side(
        &self,
        policy: &Policy,
        key: &ConnectionKey,
        before: Option<&ProxySide>,
    ) -> Result<Option<ProxySide>, RequestError> {
        let (Some(proxy), Some(requirement)) = (&key.proxy, self.proxy_requirement(policy, key)?)
        else {
            return Ok(None);
        };
        let record = self.proxies.record(proxy);
        let key = ConnectionKey::of_proxy(proxy);
        let tls = match before {
            Some(before) if before.requirement.same_pins(&requirement) => before.tls.clone(),
            _ if !proxy.is_tls() => None,
            _ => {
                let tls = OriginTls::of_proxy(&self.verification, &requirement, &key, &self.tls);
                Some(tls.map_err(|error| RequestError::Internal(error.to_string().into()))?)
            }
        };
        Ok(Some(ProxySide {
            requirement,
            tls,
            record,
        }))
    }

    /// Judges the proxy of `key`, at `remote`, under the policy in force now, by the path of the handshake with it.
    ///
    /// # Errors
    /// Whatever a request through that proxy would be refused with; [`RequestError::ClientClosed`], where nobody waits for
    /// an answer any more.
    pub(crate) fn permits(
        &self,
        key: &ConnectionKey,
        remote: SocketAddr,
        path: Option<&Arc<VerifiedPath>>,
    ) -> Result<(), RequestError> {
        let policy = {
            let state = self.lock();
            if state.has_ended {
                return Err(RequestError::ClientClosed);
            }
            state.policy.clone()
        };
        let (Some(proxy), Some(requirement)) = (&key.proxy, self.proxy_requirement(&policy, key)?)
        else {
            return Ok(());
        };
        match requirement.judge(path.map(AsRef::as_ref)) {
            Verdict::Accept(_) => Ok(()),
            Verdict::Refuse(refusal) => {
                let key = ConnectionKey::of_proxy(proxy);
                Err(reload::refused_by(remote, &refusal, path.cloned(), &key))
            }
        }
    }

    fn ready_lease(
        self: &Arc<Self>,
        key: &Arc<ConnectionKey>,
        origin: &mut Origin,
    ) -> Option<Lease> {
        origin.forget_abandoned();
        // those who wait come first
        if origin.waiters.is_empty()
            && let Some(lease) = self.stream(origin)
        {
            return Some(Lease::Http2(lease));
        }
        // the last one used is the least likely to have been closed by the server
        while let Some(mut connection) = origin.idle.pop() {
            if connection.is_quiet() {
                return Some(self.http1_lease(key, connection));
            }
            drop(connection);
            origin.forget_closed();
        }
        None
    }

    fn http1_lease(self: &Arc<Self>, key: &Arc<ConnectionKey>, connection: Http1) -> Lease {
        Lease::Http1(Http1Lease::new(connection, self.clone(), key.clone()))
    }

    /// Begins as many handshakes as those who wait deserve.
    pub(crate) fn open_more(self: &Arc<Self>, key: &Arc<ConnectionKey>, origin: &mut Origin) {
        origin.forget_abandoned();
        let waiting = origin.waiters.len();
        let wanted = match origin.protocol {
            // one tells which protocol it is
            None => usize::from(waiting > 0 && origin.attempts == 0),
            // and one serves many
            Some(Protocol::Http2) if waiting > 0 && origin.attempts == 0 => {
                origin.forget_unusable();
                usize::from(origin.http2.len() < self.config.http2_settings.connections)
            }
            Some(Protocol::Http2) => 0,
            Some(Protocol::Http1) => {
                let room = self
                    .config
                    .connections
                    .saturating_sub(origin.live.len() + origin.attempts);
                waiting.saturating_sub(origin.attempts).min(room)
            }
        };
        for _ in 0..wanted {
            match self.slots.take() {
                Ok(slot) => self.begin_attempt(key, origin, 0, slot),
                Err(NoneFree) => return self.starve(key, origin),
            }
        }
    }

    fn begin_attempt(
        self: &Arc<Self>,
        key: &Arc<ConnectionKey>,
        origin: &mut Origin,
        restarts: u32,
        slot: Slot,
    ) {
        let Ok(runtime) = Handle::try_current() else {
            return; // a response dropped outside of the runtime: the next request opens what is wanted
        };
        origin.attempts += 1;
        let progress = origin.progress.clone();
        let attempt = Attempt {
            gate: self.clone(),
            key: key.clone(),
            tls: origin.tls.clone(),
            proxy_tls: origin.proxy.as_ref().and_then(|proxy| proxy.tls.clone()),
            proxy_record: origin.proxy.as_ref().map(|proxy| proxy.record.clone()),
            restarts,
            slot,
            settled: true,
        };
        runtime.spawn(attempt.run(progress));
    }

    /// A connection is free: it goes to the one who waited longest.
    fn free(self: &Arc<Self>, key: &Arc<ConnectionKey>, connection: Http1) {
        let mut state = self.lock();
        let ticked = reload::tick(self, &mut state); // whoever waits gets it under the policy of this moment
        if ticked.is_ok()
            && !connection.live.has_ended()
            && let Some(origin) = state.origins.get_mut(key)
        {
            return self.hand_out(key, origin, connection);
        }
        drop(state);
        drop(connection);
        self.lost(key);
    }

    /// A connection of `key`'s origin has closed: there is room for another.
    pub(super) fn lost(self: &Arc<Self>, key: &Arc<ConnectionKey>) {
        let mut state = self.lock();
        if let Some(origin) = state.origins.get_mut(key) {
            origin.forget_closed();
            self.open_more(key, origin);
            if key.is_lone() && !origin.is_in_use() {
                state.origins.remove(key);
            }
        }
    }

    fn hand_out(
        self: &Arc<Self>,
        key: &Arc<ConnectionKey>,
        origin: &mut Origin,
        mut connection: Http1,
    ) {
        origin.forget_abandoned();
        let is_idle = origin.waiters.is_empty();
        if is_idle && self.is_short_of_slots()
            || !is_idle && self.has_had_its_turn(&connection.live, origin.starves)
        {
            drop(connection);
            origin.forget_closed();
            return self.open_more(key, origin);
        }
        while let Some(waiter) = origin.waiters.pop_front() {
            match waiter.send(Ok(self.http1_lease(key, connection))) {
                // that one gave up meanwhile; taking the connection out keeps the lease's drop from freeing it again
                Err(Ok(Lease::Http1(lease))) => match lease.into_connection() {
                    Some(returned) => connection = returned,
                    None => return,
                },
                Ok(()) | Err(_) => return,
            }
        }
        if key.is_lone() {
            drop(connection); // nobody else may have it
            origin.forget_closed();
            return;
        }
        connection
            .live
            .idle_since
            .store(self.now(), Ordering::Relaxed);
        connection.rest();
        origin.idle.push(connection);
        self.sweep_later();
    }

    /// Closes what has been idle too long. One task a client, and none when nothing is idle.
    fn sweep_later(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let gate = Arc::downgrade(self);
        let pause = self
            .config
            .idle_timeout
            .clamp(Duration::from_millis(10), SWEEP);
        runtime.spawn(async move {
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
            origin.idle.retain_mut(|connection| {
                let idle_since = connection.live.idle_since.load(Ordering::Relaxed);
                // nobody else reads an idle connection: what the server has closed is found here
                now.saturating_sub(idle_since) < limit && connection.is_quiet()
            });
            origin.forget_closed();
            left |= !origin.idle.is_empty();
            origin.http2.retain(|http2| {
                let idle_since = http2.live.idle_since.load(Ordering::Relaxed);
                http2.live.streams() > 0 || now.saturating_sub(idle_since) < limit
            });
            left |= !origin.http2.is_empty();
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
            state.has_ended |= force;
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
        let origins: Vec<Box<Origin>> = {
            let mut state = self.lock();
            state.has_ended = true;
            state.origins.drain().map(|(_, origin)| origin).collect()
        };
        let live: Vec<_> = origins
            .iter()
            .flat_map(|origin| origin.live.iter().cloned())
            .collect();
        drop(origins);
        for connection in live {
            connection.end();
        }
        self.leave(); // not before: until then a swap concerns its connections
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Origin {
    /// Judges a connection by its remembered paths: the proxy's, if it has one to answer for, and the server's.
    fn judge(&self, facts: &ConnectionFacts) -> (Verdict, Option<Arc<VerifiedPath>>) {
        Self::judge_by(&self.requirement, self.proxy.as_ref(), facts)
    }

    /// The same by what another policy demands.
    pub(crate) fn judge_by(
        requirement: &Requirement,
        proxy: Option<&ProxySide>,
        facts: &ConnectionFacts,
    ) -> (Verdict, Option<Arc<VerifiedPath>>) {
        if let Some(proxy) = proxy
            && let refusal @ Verdict::Refuse(_) =
                proxy.requirement.judge(facts.proxy_path.as_deref())
        {
            return (refusal, facts.proxy_path.clone());
        }
        let path = facts.tls.as_ref().and_then(|tls| tls.path.clone());
        (requirement.judge(path.as_deref()), path)
    }

    /// The path that it was last reached by, and what is demanded of it; none of a host without pins.
    pub(crate) fn last_path(&self) -> Option<(Requirement, Arc<VerifiedPath>)> {
        let (path, _) = self.last_match.as_ref()?;
        Some((self.requirement.clone(), path.clone()))
    }

    /// What pins in report mode have to say of a connection that [`judge`](Self::judge) accepts.
    fn report(&self, facts: &ConnectionFacts) -> Option<Arc<BadPin>> {
        Self::report_by(&self.requirement, self.proxy.as_ref(), facts)
    }

    /// The same by what another policy demands.
    pub(crate) fn report_by(
        requirement: &Requirement,
        proxy: Option<&ProxySide>,
        facts: &ConnectionFacts,
    ) -> Option<Arc<BadPin>> {
        let of_proxy = proxy.filter(|proxy| proxy.tls.is_some());
        let of_proxy =
            of_proxy.and_then(|proxy| proxy.requirement.report(facts.proxy_path.as_ref()));
        let path = facts.tls.as_ref().and_then(|tls| tls.path.as_ref());
        of_proxy.or_else(|| requirement.report(path))
    }

    /// Takes connections that have closed out of the books.
    pub(crate) fn forget_closed(&mut self) {
        self.live.retain(|live| !live.has_ended());
    }

    /// Takes requests out of the queue that gave up: their time ran out, or nobody wants the answer.
    fn forget_abandoned(&mut self) {
        while self.waiters.front().is_some_and(Waiter::is_closed) {
            self.waiters.pop_front();
        }
    }

    /// Since when it has had an idle connection, in milliseconds of the client's clock.
    fn idle_since(&self) -> Option<u64> {
        let http1 = self.idle.first().map(|connection| &connection.live);
        let idle = http1.or(self.longest_idle_http2().map(|http2| &http2.live));
        idle.map(|live| live.idle_since.load(Ordering::Relaxed))
    }

    fn longest_idle_http2(&self) -> Option<&Http2> {
        let http2 = self.http2.iter();
        let idle = http2.filter(|http2| http2.live.streams() == 0 && !http2.live.has_ended());
        idle.min_by_key(|http2| http2.live.idle_since.load(Ordering::Relaxed))
    }

    fn is_in_use(&self) -> bool {
        self.attempts > 0 || !self.live.is_empty() || !self.waiters.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use pinfetch_pins::{Afterwards, Expiry, PinSetSource, PinSource, Rules};

    use super::*;
    use crate::config::MinVersion;
    use crate::connect::tls::provider;

    static HANDS: AtomicI64 = AtomicI64::new(0);

    fn gate_of(policy: Policy) -> Arc<Gate> {
        let tls = TlsSettings {
            min_version: MinVersion::Tls12,
            identity: None,
            key_log: None,
            provider: provider(None, false),
            look: None,
        };
        Gate::new(
            Config::default(),
            Arc::new(policy),
            Vec::new(),
            Verification::Insecure,
            tls,
            &Environment::new(|_| {}),
        )
    }

    #[tokio::test]
    async fn a_request_under_way_connects_while_a_client_closes_and_not_once_it_was_closed_by_force()
     {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = gate_of(Policy::default());
        let host = "127.0.0.1".parse().unwrap();
        let port = listener.local_addr().unwrap().port();
        let key = Arc::new(ConnectionKey::new(&gate.config, Scheme::Http, host, port));
        let progress = Mutex::default();

        let under_way = gate.enter();
        let closing = gate.close(false);
        let lease = tokio::select! {
            biased;
            () = closing => panic!("a request is under way"),
            lease = gate.acquire(&key, &progress, true) => lease,
        };
        drop(lease.unwrap());
        let refused = gate.acquire(&key, &progress, false).await;
        assert!(matches!(refused, Err(RequestError::ClientClosed)));

        gate.close(true).await;
        let refused = gate.acquire(&key, &progress, true).await;
        assert!(matches!(refused, Err(RequestError::ClientClosed)));
        drop(under_way);
    }

    #[test]
    fn pins_that_a_clock_set_ahead_has_put_in_report_mode_are_enforced_when_it_is_set_right() {
        let ends = |pattern: &str, then| PinSetSource {
            pattern: pattern.into(),
            pins: vec![PinSource::Text(Pin::from_bytes([1; 32]).to_string())],
            rules: Rules {
                expires: Some(Expiry { at: 1000, then }),
                ..Rules::default()
            },
            ..PinSetSource::default()
        };
        let policy = Policy::compile([
            ends("report.test", Afterwards::Report),
            ends("refuse.test", Afterwards::Refuse),
        ])
        .unwrap();
        let mut gate = gate_of(policy);
        Arc::get_mut(&mut gate).unwrap().clock = Clock::by(|| HANDS.load(Ordering::Relaxed));
        let key = |host: &str| {
            let key = ConnectionKey::new(&gate.config, Scheme::Https, host.parse().unwrap(), 443);
            Arc::new(key)
        };
        let (report, refuse) = (key("report.test"), key("refuse.test"));
        let mut state = gate.lock();
        for (now, is_enforced, is_refused) in [
            (0, true, false),
            (5000, false, true),
            (0, true, true),
            (1000, false, true),
        ] {
            HANDS.store(now, Ordering::Relaxed);
            reload::tick(&gate, &mut state).unwrap();
            let origin = gate.origin(&mut state, &report).unwrap();
            assert_eq!(origin.requirement.is_pinned(), is_enforced, "{now}");
            let origin = gate.origin(&mut state, &refuse);
            assert_eq!(origin.is_err(), is_refused, "{now}");
        }
    }
}
