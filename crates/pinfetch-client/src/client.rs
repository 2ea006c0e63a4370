//! The story of one request, top to bottom, in the order in which it happens.

use std::fmt;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, COOKIE, USER_AGENT};
use http::{HeaderValue, Method, StatusCode, Version};
use pinfetch_pins::{EffectivePins, Host, Policy, VerifiedPath};
use rustls_pki_types::CertificateDer;
use tokio::time::Instant;

use crate::coding::{self, CodingError, Codings, Decoder, Limits};
use crate::config::{
    Config, ConnectionKey, Http2Choice, PolicyChoice, RedirectMode, Scheme, Trust,
};
use crate::connect::key_log::KeyLogFile;
use crate::connect::proxy::Proxy;
use crate::connect::roots::Roots;
use crate::connect::tls::{OriginTls, Requirement, TlsSettings, Verification, provider};
use crate::connect::{ConnectionFacts, Live, Route, present};
use crate::content::{self, Begun, ResponseBody, Streaming};
use crate::cookies::{Cookies, Keeping};
use crate::coverage::{self, Coverage};
use crate::deadline::{Phase, Progress, Timings};
use crate::error::{Code, RequestError};
use crate::exchange::fields::{Field, Fields, to_map, write_line};
use crate::exchange::interim::OnInterim;
use crate::exchange::upload::{Payload, RequestBody, Upload};
use crate::exchange::{Answer, Failed, Failure, Head, exchange};
use crate::gate::{Gate, InFlight, ProxyStats};
use crate::metrics::{self, Handshake, OnHandshake, PatternMetrics};
use crate::notice::{Notice, OnNotice};
use crate::rehearsal::Rehearsal;
use crate::reload::Swap;
use crate::retry::Retry;
use crate::target::{Target, parse_authority};
use crate::{redirect, reload};

/// How often a request is sent again on another connection where nothing of it was sent: a server that allows a handful
/// of requests a connection refuses the rest of a burst time and again.
const RESENDS: u32 = 64;
/// How often an idempotent request is sent again because its kept-alive connection had gone stale, or was revoked.
const REPLAYS: u32 = 3;
/// How often a request is sent again because the server refused its stream, after pauses that double from the first.
const REFUSALS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Longer than any request waits.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

const DEFAULT_USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("pinfetch/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// What the clients of one process or engine share: trust anchors, and the numbering of connections.
pub struct Environment {
    roots: Roots,
    pub(crate) next_connection: Arc<AtomicU32>,
    pub(crate) on_gone: Arc<dyn Fn(u32) + Send + Sync>,
    pub(crate) on_handshake: OnHandshake,
    pub(crate) on_notice: OnNotice,
}

impl Environment {
    /// `on_gone` hears of each connection that was announced ([`Connection::announce`]) and that no response will name
    /// any more.
    pub fn new(on_gone: impl Fn(u32) + Send + Sync + 'static) -> Self {
        Self {
            roots: Roots::default(),
            next_connection: Arc::new(AtomicU32::new(1)),
            on_gone: Arc::new(on_gone),
            on_handshake: OnHandshake::new(|_| {}),
            on_notice: OnNotice::default(),
        }
    }

    /// The same, with `tell` to hear of notices. It is called under a client's lock: it must ask nothing of clients.
    #[must_use]
    pub fn with_notices(self, tell: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        Self {
            on_notice: OnNotice::new(tell),
            ..self
        }
    }

    /// `tell` hears of each TLS handshake of a request that ended in a verdict, while [`tell_handshakes`] wants it. It is
    /// called under a client's lock: it must ask nothing of clients.
    ///
    /// [`tell_handshakes`]: Self::tell_handshakes
    #[must_use]
    pub fn with_handshakes(self, tell: impl Fn(&Handshake<'_>) + Send + Sync + 'static) -> Self {
        Self {
            on_handshake: OnHandshake::new(tell),
            ..self
        }
    }

    /// Whether handshakes are told of from now on; at first they aren't.
    pub fn tell_handshakes(&self, is_wanted: bool) {
        self.on_handshake.want(is_wanted);
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

/// An HTTP client whose pins cannot be bypassed. Cheap to clone: clones share pool, sessions and policy.
#[derive(Clone)]
pub struct Client {
    gate: Arc<Gate>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.gate.config)
            .finish_non_exhaustive()
    }
}

/// A request to send.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// An absolute `https:` or `http:` URL.
    pub url: &'a str,
    /// The number by which its [`Notice`]s name the request.
    pub number: u32,
    /// The request's own fields, in their order; they replace the client's of the same name.
    pub headers: Vec<Field>,
    /// The body.
    pub body: Option<RequestBody>,
    /// How long the request may take, body included.
    pub timeout: TimeLimit,
    /// What becomes of redirects, where that is not as the client says.
    pub redirect: Option<RedirectMode>,
    /// How many redirects in a row are followed, where that is not as the client says.
    pub max_redirects: Option<u32>,
    /// Whether content codings are undone, where that is not as the client says.
    pub decompress: Option<bool>,
    /// Where cookies come from and go to, where that is not as the client says.
    pub cookies: Option<Cookies>,
    /// How large a body may be that is held in memory, where that is not as the client says. For whoever reads it.
    pub max_response_bytes: Option<u64>,
    /// How many bytes a byte of an encoded body may become, where that is not as the client says.
    pub max_expansion: Option<u32>,
    /// How long it waits for its connection: in the queue, and while one is made for it and others.
    pub connect_timeout: Option<Duration>,
    /// How long the response's header section may take, where that is not as the client says.
    pub headers_timeout: Option<Duration>,
    /// How long the body may pause, where that is not as the client says.
    pub body_timeout: Option<Duration>,
    /// When it is sent again, where that is not as the client says.
    pub retry: Option<Retry>,
    /// Whether the connection serves other requests too, where that is not as the client says.
    pub reuse: Option<bool>,
    /// Which versions of HTTP are offered, where that is not as the client says.
    pub http2: Option<Http2Choice>,
    /// The proxy to go through.
    pub via: Via,
    /// Who is told of interim responses.
    pub on_interim: Option<OnInterim>,
}

impl<'a> Request<'a> {
    /// A GET without fields of its own.
    pub fn get(url: &'a str) -> Self {
        Self {
            method: Method::GET,
            url,
            number: 0,
            headers: Vec::new(),
            body: None,
            timeout: TimeLimit::OfClient,
            redirect: None,
            max_redirects: None,
            decompress: None,
            cookies: None,
            max_response_bytes: None,
            max_expansion: None,
            connect_timeout: None,
            headers_timeout: None,
            body_timeout: None,
            retry: None,
            reuse: None,
            http2: None,
            via: Via::OfClient,
            on_interim: None,
        }
    }
}

/// The way to the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Via {
    /// As the client's requests go.
    OfClient,
    /// No proxy.
    Direct,
    /// This proxy.
    Proxy(Proxy),
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimeLimit {
    /// As long as the client's requests may.
    OfClient,
    /// As long as it takes.
    None,
    /// So long.
    Of(Duration),
}

/// A response: its header section has come, and its body is there or to be read.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The version of HTTP that it came over.
    pub version: Version,
    /// The reason phrase, where it is not the standard one.
    pub reason: Option<Bytes>,
    /// The fields.
    pub headers: Fields,
    /// The body.
    pub body: ResponseBody,
    /// The trailer section (RFC 9110 §6.5), if one came with a whole body.
    pub trailers: Option<Fields>,
    /// The URL in its canonical form, where that differs from what was asked for.
    pub url: Option<String>,
    /// Whether it answers another URL than was asked for, to which redirects led.
    pub redirected: bool,
    /// How long it took.
    pub timings: Timings,
    /// Whether the connection had served another request before.
    pub is_reused: bool,
    /// The connection that it came over.
    pub connection: Connection,
}

/// The connection of a response.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Live>);

impl Connection {
    /// What is known of it.
    pub fn facts(&self) -> &ConnectionFacts {
        &self.0.facts
    }

    /// True the first time that it is called for this connection, whoever calls, and again when its facts have changed;
    /// the [`Environment`]'s `on_gone` is then called when the connection is gone.
    pub fn announce(&self) -> bool {
        self.0.announce()
    }
}

/// What a server shows in a handshake.
#[derive(Debug)]
pub struct ServerPins {
    /// Who answered.
    pub remote: std::net::SocketAddr,
    /// The verified path; none when the server was looked at unverified.
    pub path: Option<Arc<VerifiedPath>>,
    /// What the server sent, unverified.
    pub presented: Vec<CertificateDer<'static>>,
}

impl Client {
    /// Makes a client; connects to nobody yet.
    ///
    /// # Errors
    /// [`RequestError::Option`] when pins meet [`Trust::Insecure`] or a trust anchor or revocation list cannot be used.
    pub fn new(mut config: Config, environment: &Environment) -> Result<Self, RequestError> {
        let verification = match &config.trust {
            Trust::Insecure if config.policy.may_pin() => {
                return Err(reload::insecure_with_pins());
            }
            Trust::Insecure => Verification::Insecure,
            Trust::Anchors(wanted) => Verification::Anchors(
                environment.roots.load(wanted)?,
                environment.roots.load_revocations(&wanted.crl)?,
            ),
        };
        let fields = client_fields(&config)?;
        let tls = tls_settings(&config)?;
        let choice = std::mem::take(&mut config.policy); // else it would stay for the client's life
        let make = |policy| Gate::new(config, policy, fields, verification, tls, environment);
        let gate = match choice {
            PolicyChoice::Own(policy) => make(policy),
            PolicyChoice::Live(live) => live.join(make),
        };
        Ok(Self { gate })
    }

    /// Sends `request` and reads the response's header section, and its body where that is small.
    ///
    /// # Errors
    /// [`RequestError`], of which [`RequestError::BadPin`] means that no byte of the request was sent.
    pub fn send(
        &self,
        request: Request<'_>,
    ) -> impl Future<Output = Result<Response, RequestError>> + Send + use<> {
        let limit = match request.timeout {
            TimeLimit::OfClient => self.gate.config.timeout,
            TimeLimit::None => None,
            TimeLimit::Of(limit) => Some(limit),
        };
        let retry = request.retry.clone();
        // read here and boxed, so that the future stays small: it is moved to where it runs
        let prepared = Prepared::new(&self.gate, request).map(Box::new);
        let in_flight = self.gate.enter();
        // on the heap at once: the task that runs it would move it whole, from the stack and at its end
        Box::pin(async move { Self::send_prepared(in_flight, prepared?, limit, retry).await })
    }

    async fn send_prepared(
        in_flight: InFlight,
        request: Box<Prepared>,
        limit: Option<Duration>,
        retry: Option<Retry>,
    ) -> Result<Response, RequestError> {
        let progress = Progress::new(Phase::Queue);
        let attempt = Mutex::new(None);
        // pinned here, so that it is built where it runs, and only a pointer goes into the timer
        let gate = in_flight.gate().clone();
        let retry = retry.as_ref().unwrap_or(&gate.config.retry);
        let sending = std::pin::pin!(Self::follow(&gate, request, &progress, &attempt, retry));
        let Some(limit) = limit else {
            let (begun, request) = sending.await?;
            return Ok(begun.into_response(request, None, in_flight, &progress));
        };
        // a limit past the end of time is none
        let deadline = Instant::now().checked_add(limit);
        let deadline = deadline.unwrap_or_else(|| Instant::now() + NEVER);
        match tokio::time::timeout_at(deadline, sending).await {
            Ok(answered) => {
                let (begun, request) = answered?;
                Ok(begun.into_response(request, Some((deadline, limit)), in_flight, &progress))
            }
            Err(_elapsed) => {
                let phase = phase_of(&progress, &attempt);
                Err(RequestError::Timeout { phase, limit })
            }
        }
    }

    /// Sends `request`, and what redirects ask for instead; gives the last response, and the request that it answers.
    async fn follow(
        gate: &Arc<Gate>,
        mut request: Box<Prepared>,
        progress: &Progress,
        attempt: &Mutex<Option<Arc<Progress>>>,
        retry: &Retry,
    ) -> Result<(Answered, Box<Prepared>), RequestError> {
        let (mut hops, mut retries) = (0, 0);
        loop {
            if let Some(keeper) = request.take_cookie(gate) {
                request.cookie = keeper.await?;
            }
            let answered = Self::exchange(gate, &request, progress, attempt, hops > 0).await;

            let answered = answered.inspect_err(|error| {
                if let Some(proxy) = &request.key.proxy {
                    gate.proxies.record(proxy).count_failure(error);
                }
            });
            if retry.attempts > retries && request.has_its_body() {
                let delay = match &answered {
                    Ok(answered) => retry.after_response(&request.method, &answered.head, retries),
                    Err(error) => retry.after_error(&request.method, error, retries),
                };
                if let Some(delay) = delay {
                    drop(answered);
                    retries += 1;
                    progress.enter(Phase::Queue);
                    Box::pin(tokio::time::sleep(delay)).await;
                    continue;
                }
            }
            let answered = answered?;
            if let Some(keeper) = request.give_cookies(gate, &answered.head) {
                keeper.await;
            }
            match redirect::follow(gate, &request, &answered.head, hops)? {
                None => return Ok((answered, request)),
                Some(next) => request = next,
            }
            hops += 1;
        }
    }

    async fn exchange(
        gate: &Arc<Gate>,
        request: &Prepared,
        progress: &Progress,
        attempt: &Mutex<Option<Arc<Progress>>>,
        is_hop: bool,
    ) -> Result<Answered, RequestError> {
        let (mut resends, mut replays, mut refusals) = (0, 0, 0);
        loop {
            let is_under_way = is_hop || resends + replays + refusals > 0;
            progress.enter(Phase::Queue);
            let acquiring = gate.acquire(request.key(), attempt, is_under_way);
            let lease = match request.connect_timeout {
                None => acquiring.await?,
                // on the heap, as in `within`
                Some(limit) => match Box::pin(tokio::time::timeout(limit, acquiring)).await {
                    Ok(lease) => lease?,
                    Err(_elapsed) => {
                        let phase = phase_of(progress, attempt);
                        return Err(RequestError::Timeout { phase, limit });
                    }
                },
            };
            gate.tell_report(request.number, lease.live());
            let limit = request.headers_timeout;
            let answer = within(
                limit,
                Phase::Headers,
                exchange(lease, gate, request, progress),
            );
            let outcome = match answer.await {
                Ok(answer) => {
                    let limit = request.body_timeout;
                    within(limit, Phase::Body, Answered::begin(request, answer)).await
                }
                Err(failed) => Err(failed),
            };
            let error = match outcome {
                Ok(response) => return Ok(response),
                Err(Failed::Finally(error)) => return Err(error),
                Err(
                    Failed::Unsent(error)
                    | Failed::Refused(error)
                    | Failed::Stale(error)
                    | Failed::Revoked(error),
                ) if !request.has_its_body() => {
                    return Err(error);
                }
                Err(Failed::Refused(error)) => {
                    refusals += 1;
                    if refusals <= REFUSALS {
                        progress.enter(Phase::Queue);
                        let pause = FIRST_PAUSE * (1 << (refusals - 1));
                        Box::pin(tokio::time::sleep(pause)).await;
                        continue;
                    }
                    error
                }
                Err(Failed::Unsent(error)) => {
                    resends += 1;
                    if resends <= RESENDS {
                        continue;
                    }
                    error
                }
                // RFC 9110 §9.2.2: what is idempotent may be sent again when no response came
                Err(Failed::Stale(error) | Failed::Revoked(error)) => {
                    replays += 1;
                    if request.is_idempotent() && replays <= REPLAYS {
                        continue;
                    }
                    error
                }
            };
            return Err(error);
        }
    }

    /// Puts the policy that `policy` resolves to in force; it is awaited when the swaps that were asked for before are
    /// over. Resolves once the connections that the new policy refuses are closed: from then on nothing is sent on a
    /// connection whose verified path it refuses. Other connections don't notice.
    ///
    /// Unless `is_forced`, a policy that would cut off a host which has traffic (requests under way, or in the last minute)
    /// is refused, and nothing changes. A host that merely has no pins any more is not cut off.
    ///
    /// # Errors
    /// [`RequestError::CutsOff`]; [`RequestError::Option`] for pins on a client that skips verification;
    /// [`RequestError::Option`] where the policy is a [`LivePolicy`](crate::LivePolicy), which is set itself;
    /// [`RequestError::ClientClosed`]; and whatever `policy` fails with.
    pub async fn set_policy(
        &self,
        policy: impl Future<Output = Result<Arc<Policy>, RequestError>>,
        is_forced: bool,
    ) -> Result<Swap, RequestError> {
        if self.gate.shares_its_policy() {
            return Err(RequestError::Option {
                code: Code::PolicyInvalidOption,
                problem: "the client's pins are a LivePolicy, which other clients obey too: call its set(…), or give the \
                          client pins of its own"
                    .into(),
            });
        }
        let _turn = self.gate.swapping.lock().await;
        let policy = policy.await?;
        let before = {
            let state = self.gate.lock();
            if state.closed {
                return Err(RequestError::ClientClosed);
            }
            state.policy.clone()
        };
        let diff = reload::compare(&before, &policy).await;
        let closed = reload::swap(std::slice::from_ref(&self.gate), &policy, is_forced)?;
        reload::retire(before);
        Ok(Swap { closed, diff })
    }

    /// Tries `policy` on live traffic beside the one in force, enforcing nothing: what it would say of the connections there
    /// are, and of those that come, until [`Rehearsal::end`].
    ///
    /// # Errors
    /// [`RequestError::Option`] for pins on a client that skips verification.
    pub fn rehearse(&self, policy: impl Into<Arc<Policy>>) -> Result<Rehearsal, RequestError> {
        let rehearsal = Rehearsal::new(policy.into());
        rehearsal.fits(&self.gate)?;
        rehearsal.begin(&self.gate);
        Ok(rehearsal)
    }

    /// What handshakes have shown of the pins of each pattern of the policy in force that had one.
    pub fn metrics(&self) -> Vec<PatternMetrics> {
        metrics::of([metrics::Source::of(&self.gate)])
    }

    /// The hosts that requests went to, with and without pins.
    pub fn coverage(&self) -> Coverage {
        coverage::of(&self.gate)
    }

    /// Shakes hands with `authority` (`host` or `host:port`, 443 by default), sends nothing, and tells what it shows.
    ///
    /// With `presented`, whatever the server presents, unverified; else the verified path, under the policy in force.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`RequestError::Url`] for an authority that cannot be read.
    pub async fn server_pins(
        &self,
        authority: &str,
        presented: bool,
        via: &Via,
    ) -> Result<ServerPins, RequestError> {
        let _in_flight = self.gate.enter();
        let config = &self.gate.config;
        let (host, port) = parse_authority(authority)?;
        let mut key = ConnectionKey::new(config, Scheme::Https, host, port);
        match via {
            Via::OfClient => {}
            Via::Direct => key = key.through(None),
            Via::Proxy(proxy) => key = key.through(Some(proxy.clone())),
        }
        let policy = {
            let state = self.gate.lock();
            if state.closed {
                return Err(RequestError::ClientClosed);
            }
            state.policy.clone()
        };
        let internal = |error: rustls::Error| RequestError::Internal(error.to_string().into());
        let tls = if presented {
            OriginTls::unverified(&key, &self.gate.tls).map_err(internal)?
        } else {
            let requirement = Requirement::of(&policy, &key, self.gate.clock.now());
            self.gate.admit(&key, &requirement)?;
            self.gate
                .tls_for(&key, &requirement)?
                .ok_or_else(|| RequestError::Internal("https without TLS".into()))?
        };
        let progress = Progress::new(Phase::Dns);
        let proxy = self.gate.proxy_side(&policy, &key, None)?;
        let permits = |remote, path: Option<&_>| self.gate.permits(&key, remote, path);
        let route = Route {
            dialing: &self.gate.dialing,
            key: &key,
            proxy_tls: proxy.as_ref().and_then(|proxy| proxy.tls.as_deref()),
            proxy_record: proxy.as_ref().map(|proxy| &proxy.record),
            progress: &progress,
            permits: &permits,
        };
        let looking = present(route, &tls);
        let limit = config.timeout.unwrap_or(Duration::MAX);
        let seen = tokio::time::timeout(limit, looking)
            .await
            .map_err(|_elapsed| RequestError::Timeout {
                phase: progress.phase(),
                limit,
            })??;
        Ok(ServerPins {
            remote: seen.remote,
            path: seen.path,
            presented: seen.chain,
        })
    }

    /// What the client's requests through each proxy have come to.
    pub fn proxy_stats(&self) -> Vec<ProxyStats> {
        self.gate.proxies.stats()
    }

    /// Lets requests go through `proxy` again after a bad pin; says whether none could.
    pub fn release_proxy(&self, proxy: &Proxy) -> bool {
        self.gate.proxies.release(proxy)
    }

    /// Where the client's cookies are.
    pub fn cookies(&self) -> &Cookies {
        &self.gate.config.cookies
    }

    /// How large a body that is held in memory may be, in bytes.
    pub fn max_response_bytes(&self) -> u64 {
        self.gate.config.max_response_bytes
    }

    /// The pins in force for `host` and `port`, if it has any.
    pub fn pins_of(&self, host: &Host, port: u16) -> Option<EffectivePins> {
        let policy = self.gate.lock().policy.clone();
        let in_force = policy.lookup(host, port).at(self.gate.clock.now());
        in_force.to_effective(host, port)
    }

    /// Refuses new requests, waits for those under way, or with `force` answers those that wait with
    /// [`RequestError::ClientClosed`], and closes every connection.
    pub async fn close(&self, force: bool) {
        self.gate.close(force).await;
    }
}

/// What a request was doing, or, where it waited for a handshake, what that was doing.
fn phase_of(progress: &Progress, attempt: &Mutex<Option<Arc<Progress>>>) -> Phase {
    let waited_for = attempt.lock().unwrap_or_else(PoisonError::into_inner);
    match (progress.phase(), &*waited_for) {
        (Phase::Queue, Some(attempt)) => attempt.phase(),
        (phase, _) => phase,
    }
}

/// `exchange`, within a limit of its own if there is one.
async fn within<T>(
    limit: Option<Duration>,
    phase: Phase,
    exchange: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    let Some(limit) = limit else {
        return exchange.await;
    };
    // on the heap: requests without the limit need no room for a timer
    match Box::pin(tokio::time::timeout(limit, exchange)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(Failed::Finally(RequestError::Timeout { phase, limit })),
    }
}

/// A response whose header section has come, and of its body what is waited for.
struct Answered {
    head: Head,
    body: Begun,
    trailers: Option<Fields>,
    live: Arc<Live>,
}

impl Answered {
    async fn begin(request: &Prepared, answer: Answer) -> Result<Self, Failed> {
        let Answer { head, body, live } = answer;
        let mut trailers = None;
        let begun = match request.decoder(&head) {
            Ok(decoder) => content::begin(body, decoder, &mut trailers).await,
            Err(error) => Err(error.into()),
        };
        let failure = Failure {
            request,
            live: &live,
        };
        if let Some(refusal) = failure.refusal() {
            return Err(Failed::Revoked(refusal));
        }
        match begun {
            Ok(body) => Ok(Self {
                head,
                body,
                trailers,
                live,
            }),
            Err(broken) => Err(Failed::Finally(failure.broken(broken))),
        }
    }

    fn into_response(
        self,
        request: Box<Prepared>,
        deadline: Option<(Instant, Duration)>,
        in_flight: InFlight,
        progress: &Progress,
    ) -> Response {
        let url = request.target.url.clone();
        let redirected = request.is_redirected;
        let connection = Connection(self.live.clone());
        Response {
            status: self.head.status,
            version: self.head.version,
            reason: self.head.reason,
            headers: self.head.fields,
            body: match self.body {
                Begun::Whole(bytes) => ResponseBody::Whole(bytes),
                Begun::Open { first, content } => ResponseBody::Streaming(Box::new(
                    Streaming::new(first, content, request, self.live, deadline, in_flight),
                )),
            },
            trailers: self.trailers,
            url,
            redirected,
            timings: progress.timings(),
            is_reused: connection.0.serve(),
            connection,
        }
    }
}

/// A request that was checked and can be sent, again if need be.
pub(crate) struct Prepared {
    pub(crate) target: Target,
    pub(crate) key: Arc<ConnectionKey>,
    pub(crate) via: Via,
    pub(crate) method: Method,
    /// None for the client's own fields only.
    pub(crate) headers: Option<Vec<Field>>,
    pub(crate) body: Option<Arc<Payload>>,
    pub(crate) reuse: bool,
    pub(crate) http2: Option<Http2Choice>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) headers_timeout: Option<Duration>,
    pub(crate) body_timeout: Option<Duration>,
    pub(crate) redirect: RedirectMode,
    pub(crate) max_redirects: u32,
    pub(crate) decompress: bool,
    pub(crate) max_expansion: u32,
    pub(crate) cookies: Option<Cookies>,
    /// The `Cookie` field, where it comes from a jar.
    pub(crate) cookie: Option<HeaderValue>,
    /// The caller's own number for it.
    pub(crate) number: u32,
    pub(crate) is_redirected: bool,
    pub(crate) on_interim: Option<OnInterim>,
}

impl Prepared {
    fn new(gate: &Gate, request: Request<'_>) -> Result<Self, RequestError> {
        let Request {
            method,
            url,
            number,
            headers,
            body,
            timeout: _,
            redirect,
            max_redirects,
            decompress,
            cookies,
            max_response_bytes: _,
            max_expansion,
            connect_timeout,
            headers_timeout,
            body_timeout,
            retry: _,
            reuse,
            http2,
            via,
            on_interim,
        } = request;
        if matches!(method, Method::CONNECT | Method::TRACE) {
            return Err(RequestError::Argument(
                format!("the method {method} is not allowed").into(),
            ));
        }
        let target = gate.destinations.read(&gate.config, &gate.fields, url)?;
        let config = &gate.config;
        let decompress = decompress.unwrap_or(config.decompress);
        let headers = if headers.is_empty() && decompress == config.decompress {
            None
        } else {
            let asks = |field: &Field| field.name() == ACCEPT_ENCODING;
            let asks_itself = headers.iter().chain(&config.headers).any(asks);
            let mut headers = with_defaults(headers, &gate.fields, config.look.is_some())?;
            if !asks_itself && decompress != config.decompress {
                headers.retain(|field| !asks(field));
                headers.extend(decompress.then(accept_encoding));
            }
            Some(headers)
        };
        Ok(Self {
            key: key_of(&target, &via, http2, reuse.unwrap_or(config.reuse)),
            reuse: reuse.unwrap_or(config.reuse),
            http2,
            connect_timeout,
            headers_timeout: headers_timeout.or(config.headers_timeout),
            body_timeout: body_timeout.or(config.body_timeout),
            via,
            target,
            method,
            headers,
            body: body.map(|body| Arc::new(body.into())),
            redirect: redirect.unwrap_or(config.redirect),
            max_redirects: max_redirects.unwrap_or(config.max_redirects),
            decompress,
            max_expansion: max_expansion.unwrap_or(config.max_expansion),
            cookies,
            cookie: None,
            number,
            is_redirected: false,
            on_interim,
        })
    }

    pub(crate) fn key(&self) -> &Arc<ConnectionKey> {
        &self.key
    }

    /// The body, to be sent.
    pub(crate) fn take_body(&self) -> Option<RequestBody> {
        self.body.as_ref().and_then(|payload| payload.take())
    }

    /// The body, a stream of which nothing was sent, is here again.
    pub(crate) fn put_back(&self, upload: Upload) {
        if let Some(payload) = &self.body {
            payload.put_back(upload);
        }
    }

    /// Whether the body is here: one that is a stream can be sent once.
    pub(crate) fn has_its_body(&self) -> bool {
        self.body.as_ref().is_none_or(|payload| payload.is_there())
    }

    fn cookies<'a>(&'a self, gate: &'a Gate) -> &'a Cookies {
        self.cookies.as_ref().unwrap_or(&gate.config.cookies)
    }

    /// Takes from a jar the cookies that go along, unless the caller has named some; gives what a keeper promises of them.
    fn take_cookie(
        &mut self,
        gate: &Gate,
    ) -> Option<Keeping<Result<Option<HeaderValue>, RequestError>>> {
        self.cookie = match self.cookies(gate) {
            Cookies::None => None,
            Cookies::Jar(jar) => jar.header_to(&self.target),
            Cookies::Keeper(_) if self.names_cookies(gate) => None,
            Cookies::Keeper(keeper) => return Some(keeper.header(self.target.to_text())),
        };
        if self.cookie.is_some() && self.names_cookies(gate) {
            self.cookie = None;
        }
        None
    }

    fn names_cookies(&self, gate: &Gate) -> bool {
        let fields = self.headers.as_ref().unwrap_or(&gate.fields);
        fields.iter().any(|field| field.name() == COOKIE)
    }

    /// Puts what a server sets into the jar; gives what a keeper promises.
    fn give_cookies(&self, gate: &Gate, head: &Head) -> Option<Keeping<()>> {
        let mut set_cookie = head.fields.get_all("set-cookie").peekable();
        set_cookie.peek()?;
        match self.cookies(gate) {
            Cookies::None => None,
            Cookies::Jar(jar) => {
                jar.store_from(&self.target, set_cookie);
                None
            }
            Cookies::Keeper(keeper) => {
                let set_cookie = set_cookie.map(<[u8]>::to_vec).collect();
                Some(keeper.store(self.target.to_text(), set_cookie))
            }
        }
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// The header section for HTTP/1.1 (RFC 9112 §3–6).
    pub(crate) fn http1_message(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(512);
        message.extend_from_slice(self.method.as_str().as_bytes());
        message.push(b' ');
        let forwarded = self.key.proxy.as_ref().filter(|_| self.key.is_forwarded());
        match forwarded {
            None => message.extend_from_slice(self.target.origin_form().as_bytes()),
            Some(_) => message.extend_from_slice(self.target.to_text().as_bytes()),
        }
        message.extend_from_slice(b" HTTP/1.1\r\n");
        if let Some(value) = forwarded.and_then(Proxy::authorization) {
            write_line(&mut message, b"proxy-authorization", value.as_bytes());
        }
        self.target
            .destination
            .write_fields(self.headers.as_deref(), &mut message);
        if let Some(cookie) = &self.cookie {
            write_line(&mut message, b"cookie", cookie.as_bytes());
        }
        if self.key.is_lone() {
            write_line(&mut message, b"connection", b"close");
        }
        self.write_framing(&mut message);
        message.extend_from_slice(b"\r\n");
        message
    }

    /// The header section for an HTTP/2 connection of `gate` (RFC 9113 §8.3).
    pub(crate) fn http2_message(&self, gate: &Gate) -> http::Request<()> {
        let mut message = http::Request::new(());
        *message.method_mut() = self.method.clone();
        *message.version_mut() = Version::HTTP_2;
        *message.uri_mut() = self.target.absolute();
        *message.headers_mut() = match &self.headers {
            None => gate.http2_fields.clone(),
            Some(headers) => to_map(headers),
        };
        if let Some(cookie) = &self.cookie {
            message.headers_mut().insert(COOKIE, cookie.clone());
        }
        if let Some(length) = self.content_length() {
            message.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        message
    }

    /// Where the body ends (RFC 9112 §6).
    fn write_framing(&self, message: &mut Vec<u8>) {
        match self.content_length() {
            Some(length) => write_line(message, b"content-length", length.to_string().as_bytes()),
            None if self.body.is_some() => write_line(message, b"transfer-encoding", b"chunked"),
            None => {}
        }
    }

    /// The length that is told, where it is known. One of 0 is told where a body is usual (RFC 9110 §8.6).
    fn content_length(&self) -> Option<u64> {
        match &self.body {
            Some(payload) => payload.length(),
            None if matches!(self.method, Method::POST | Method::PUT | Method::PATCH) => Some(0),
            None => None,
        }
    }

    /// What undoes the codings of the body that `head` announces, if there are any that are known.
    fn decoder(&self, head: &Head) -> Result<Option<Decoder>, CodingError> {
        if !self.decompress || self.is_head() {
            return Ok(None);
        }
        let codings = Codings::of(head.fields.get_all("content-encoding"));
        let limits = Limits {
            bytes: u64::MAX, // what is held in memory has a limit of its own
            ratio: self.max_expansion,
        };
        if codings.is_applied() {
            Decoder::new(&codings, limits).map(Some)
        } else {
            Ok(None)
        }
    }

    /// RFC 9110 §9.2.2.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }
}

/// The connections that a request may use.
pub(crate) fn key_of(
    target: &Target,
    via: &Via,
    http2: Option<Http2Choice>,
    reuse: bool,
) -> Arc<ConnectionKey> {
    let mut key = shared_key_of(target, via);
    if let Some(http2) = http2.filter(|http2| *http2 != key.http2) {
        key = key.speaking(http2);
    }
    if reuse { key } else { key.alone() }
}

fn shared_key_of(target: &Target, via: &Via) -> Arc<ConnectionKey> {
    let key = &target.destination.key;
    let proxy = match via {
        Via::OfClient => return key.clone(),
        Via::Direct => None,
        Via::Proxy(proxy) => Some(proxy),
    };
    if key.proxy.as_ref() == proxy {
        key.clone()
    } else {
        key.through(proxy.cloned())
    }
}

fn tls_settings(config: &Config) -> Result<TlsSettings, RequestError> {
    let key_log = config.key_log.as_deref().map(|path| {
        KeyLogFile::open(path).map_err(|error| RequestError::Option {
            code: Code::PolicyInvalidOption,
            problem: format!("keyLogFile {}: {error}", path.display()).into(),
        })
    });
    Ok(TlsSettings {
        min_version: config.min_version,
        identity: config.identity.clone(),
        key_log: key_log
            .transpose()?
            .map(|file| Arc::new(file) as Arc<dyn rustls::KeyLog>),
        provider: provider(config.look.as_ref(), config.post_quantum),
        look: config.look.clone(),
    })
}

/// The fields that every request of a client carries, unless it sets them itself.
pub(crate) fn client_fields(config: &Config) -> Result<Vec<Field>, RequestError> {
    let mut defaults = vec![
        Field::of(ACCEPT, ANYTHING),
        Field::of(USER_AGENT, DEFAULT_USER_AGENT),
    ];
    defaults.extend(config.decompress.then(accept_encoding));
    with_defaults(config.headers.clone(), &defaults, false)
}

fn accept_encoding() -> Field {
    Field::of(ACCEPT_ENCODING, coding::ACCEPT_ENCODING.clone())
}

/// `fields` and those of `defaults` whose names it lacks: after them, or `in_place`, where `defaults` decides the order.
fn with_defaults(
    mut fields: Vec<Field>,
    defaults: &[Field],
    in_place: bool,
) -> Result<Vec<Field>, RequestError> {
    check_fields(&fields)?;
    if in_place {
        let own = fields.clone();
        let mut ordered = Vec::with_capacity(defaults.len() + fields.len());
        for default in defaults {
            let is_of_name = |field: &Field| field.name() == default.name();
            if own.iter().any(is_of_name) {
                ordered.extend(fields.extract_if(.., |field| is_of_name(field)));
            } else {
                ordered.push(default.clone());
            }
        }
        ordered.append(&mut fields);
        return Ok(ordered);
    }
    let own = fields.len();
    for default in defaults {
        let is_set = |field: &Field| field.name() == default.name();
        if !fields.get(..own).unwrap_or_default().iter().any(is_set) {
            fields.push(default.clone());
        }
    }
    Ok(fields)
}

/// Fields that decide where a message ends or to whom it goes are not the caller's to set (RFC 9112 §6, RFC 9113 §8.2.2).
fn check_fields(headers: &[Field]) -> Result<(), RequestError> {
    const NOT_THE_CALLERS: [&str; 9] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let is_refused = |field: &&Field| NOT_THE_CALLERS.contains(&field.name().as_str());
    match headers.iter().find(is_refused) {
        Some(field) => Err(RequestError::Argument(
            format!("the header field {} is set by the client from the URL, the body and the connection", field.name()).into(),
        )),
        None => Ok(()),
    }
}
