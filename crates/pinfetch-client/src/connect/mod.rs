//! From an origin to a connection that may be used: name, TCP, TLS and the verdict, in this order.

mod certificate_compression;
pub(crate) mod dial;
pub(crate) mod dns;
pub(crate) mod identity;
pub(crate) mod key_log;
mod post_quantum;
pub(crate) mod proxy;
pub(crate) mod revocable;
pub(crate) mod roots;
mod sessions;
pub(crate) mod socket;
pub(crate) mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use http::HeaderMap;
use pinfetch_pins::{BadPin, Pin, VerifiedPath, VerifyError};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::ConnectionKey;
use crate::connect::dial::Dialing;
use crate::connect::proxy::{ProxyError, TunnelTarget};
use crate::connect::revocable::Transport;
use crate::connect::socket::{Socket, Tcp};
use crate::connect::tls::OriginTls;
use crate::deadline::{Phase, Progress, micros};
use crate::error::RequestError;
use crate::gate::{ProxyRecord, Slot};

/// What is known of a connection from its handshake on.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// Unique in this process.
    pub id: u32,
    /// Who is at the other end.
    pub remote: SocketAddr,
    /// Whether HTTP/2 was negotiated.
    pub http2: bool,
    /// None over plain `http:`.
    pub tls: Option<TlsFacts>,
    /// How long it took to make.
    pub times: ConnectTimes,
    /// The path that was verified in the handshake with an `https:` proxy.
    pub(crate) proxy_path: Option<Arc<VerifiedPath>>,
    pub(crate) reported: Mutex<Option<Arc<BadPin>>>,
}

impl ConnectionFacts {
    /// What pins in report mode have to say of the connection, under the policy last in force: it would be refused if
    /// they were enforced.
    pub fn reported(&self) -> Option<Arc<BadPin>> {
        self.lock_reported().clone()
    }

    fn set_reported(&self, report: Option<Arc<BadPin>>) {
        *self.lock_reported() = report;
    }

    fn lock_reported(&self) -> MutexGuard<'_, Option<Arc<BadPin>>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the parts of making a connection took, in microseconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ConnectTimes {
    /// Resolving the host's name, or the proxy's.
    pub dns: u32,
    /// Connecting, a proxy's TLS and tunnel included.
    pub connect: u32,
    /// The TLS handshake with the server.
    pub tls: u32,
}

/// What is known of a TLS connection.
#[derive(Debug)]
pub struct TlsFacts {
    /// TLS 1.3 if true, else TLS 1.2.
    pub tls13: bool,
    /// The cipher suite, by its IANA number.
    pub cipher_suite: u16,
    /// Whether the handshake resumed an earlier session.
    pub resumed: bool,
    /// The path that was verified in this handshake, or in that of the session it resumed; none when verification is
    /// skipped.
    pub path: Option<Arc<VerifiedPath>>,
    matched: Mutex<Option<Pin>>,
}

impl TlsFacts {
    /// Whether there is a verified path, and, for a resumed session, whether its certificates are still valid: nobody
    /// looked at them in this handshake.
    fn is_still_verified(&self) -> bool {
        let Some(path) = &self.path else { return false };
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        !self.resumed || path.validity().is_some_and(|(_, to)| now <= to)
    }

    /// The pin of the URL's host that the path holds, end entity first, under the policy last in force.
    pub fn matched(&self) -> Option<Pin> {
        *self.matched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use, as the pool, the swap and the stream see it. It owns the socket: whoever ends the connection
/// closes it then and there, whatever tasks, queues and buffers stand above it.
pub(crate) struct Live {
    pub(crate) facts: ConnectionFacts,
    /// None once the connection has ended.
    transport: Mutex<Option<Transport>>,
    /// Given back when the connection ends.
    slot: Mutex<Slot>,
    /// Requests that it has served while other hosts waited for a slot.
    turns: AtomicU32,
    is_revoked: AtomicBool,
    refusal: Mutex<Option<RequestError>>,
    /// Whether pins in report mode have something to say of it.
    is_reported: AtomicBool,
    has_ended: AtomicBool,
    /// Who waits for the socket: woken to find the connection ended.
    waiting: AtomicWaker,
    /// Requests under way, over HTTP/2.
    active: AtomicUsize,
    /// When the last request ended, in milliseconds of the client's clock.
    pub(crate) idle_since: AtomicU64,
    /// Whether a response has come over it.
    has_served: AtomicBool,
    /// How many header sections have come over it, of HTTP/2.
    answers: AtomicU32,
    /// Whether anything has come over it since somebody asked.
    is_heard: AtomicBool,
    /// Whether requests wait for one of those under way to end, over HTTP/2.
    is_awaited: AtomicBool,
    is_retired: AtomicBool,
    announced: AtomicBool,
    known: AtomicBool,
    on_gone: Arc<dyn Fn(u32) + Send + Sync>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("facts", &self.facts)
            .field("is_revoked", &self.is_revoked)
            .finish_non_exhaustive()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.known.load(Ordering::Relaxed) {
            (self.on_gone)(self.facts.id);
        }
    }
}

impl Live {
    pub(crate) fn new(
        facts: ConnectionFacts,
        transport: Transport,
        slot: Slot,
        on_gone: Arc<dyn Fn(u32) + Send + Sync>,
    ) -> Arc<Self> {
        Arc::new(Self {
            facts,
            transport: Mutex::new(Some(transport)),
            slot: Mutex::new(slot),
            turns: AtomicU32::new(0),
            is_revoked: AtomicBool::new(false),
            refusal: Mutex::new(None),
            is_reported: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            waiting: AtomicWaker::new(),
            active: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            has_served: AtomicBool::new(false),
            answers: AtomicU32::new(0),
            is_heard: AtomicBool::new(false),
            is_awaited: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            known: AtomicBool::new(false),
            on_gone,
        })
    }

    /// The socket, none once the connection has ended. Held for one poll at most.
    pub(crate) fn transport(&self) -> MutexGuard<'_, Option<Transport>> {
        self.transport
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// True when the caller has to tell somebody of this connection: the first time, and when its facts have changed.
    pub(crate) fn announce(&self) -> bool {
        self.known.store(true, Ordering::Relaxed);
        !self.announced.swap(true, Ordering::Relaxed)
    }

    /// Whether it had served another before; from now on it has.
    pub(crate) fn serve(&self) -> bool {
        self.has_served.swap(true, Ordering::Relaxed)
    }

    /// What the server presented in the handshake, or in that of the session that it resumed; none over plain `http:` and
    /// once the connection has ended.
    pub(crate) fn presented(&self) -> Option<Vec<CertificateDer<'static>>> {
        match &*self.transport() {
            Some(Transport::Tls(stream)) => {
                stream.get_ref().1.peer_certificates().map(<[_]>::to_vec)
            }
            Some(Transport::Plain(_)) | None => None,
        }
    }

    pub(crate) fn has_served(&self) -> bool {
        self.has_served.load(Ordering::Relaxed)
    }

    /// Counts a request that it serves while other hosts wait for a slot; gives how many there were.
    pub(crate) fn take_turn(&self) -> u32 {
        self.turns.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// A response has begun.
    pub(crate) fn answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have begun; the number wraps around.
    pub(crate) fn answers(&self) -> u32 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Something has come from the other end.
    pub(crate) fn hear(&self) {
        self.is_heard.store(true, Ordering::Relaxed);
    }

    /// Whether something has come since this was last asked.
    pub(crate) fn take_heard(&self) -> bool {
        self.is_heard.swap(false, Ordering::Relaxed)
    }

    /// A request of HTTP/2 is under way.
    pub(crate) fn begin_stream(&self) {
        self.active.fetch_add(1, Ordering::SeqCst);
    }

    /// It is over; whether it was the last one.
    pub(crate) fn end_stream(&self) -> bool {
        self.active.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// How many requests of HTTP/2 are under way.
    pub(crate) fn streams(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    /// Requests wait for one of those under way to end. Said before the count of these is looked at for the last time, as
    /// who ends one looks here after it has counted: either sees the other.
    pub(crate) fn await_stream(&self) {
        self.is_awaited.store(true, Ordering::SeqCst);
    }

    /// Whether requests wait for one of those under way to end.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_awaited.load(Ordering::SeqCst)
    }

    /// Nobody waits any more.
    pub(crate) fn forget_awaited(&self) {
        self.is_awaited.store(false, Ordering::SeqCst);
    }

    /// Requests to come are sent on another connection; those under way may finish.
    pub(crate) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::Acquire)
    }

    /// Why the policy in force refuses this connection, once it does.
    pub(crate) fn refusal(&self) -> Option<RequestError> {
        self.refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What pins in report mode have to say of the connection.
    pub(crate) fn report(&self) -> Option<Arc<BadPin>> {
        if !self.is_reported.load(Ordering::Acquire) {
            return None; // of next to all
        }
        self.facts.reported()
    }

    /// The policy in force accepts the connection for the sake of `pin`, though pins in report mode may have something to
    /// say of it.
    pub(crate) fn accept(&self, pin: Option<Pin>, report: Option<Arc<BadPin>>) {
        let was_reported = self.is_reported.swap(report.is_some(), Ordering::AcqRel);
        if was_reported || report.is_some() {
            self.facts.set_reported(report);
            self.announced.store(false, Ordering::Relaxed);
        }
        let Some(tls) = &self.facts.tls else { return };
        let before = std::mem::replace(
            &mut *tls.matched.lock().unwrap_or_else(PoisonError::into_inner),
            pin,
        );
        if before != pin {
            self.announced.store(false, Ordering::Relaxed); // whoever was told is told again
        }
    }

    /// Ends the connection because the policy in force refuses it.
    pub(crate) fn revoke(&self, refusal: RequestError) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        self.is_revoked.store(true, Ordering::Release);
        self.end();
    }

    /// Ends the connection: its socket is closed when this returns, and who waits for it is woken.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        drop(self.transport().take());
        drop(
            self.slot
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        self.waiting.wake();
    }

    /// Whether the connection was revoked, ended, or closed by the peer.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Has `waker` woken when the connection ends.
    pub(crate) fn wake_when_ended(&self, waker: &Waker) {
        self.waiting.register(waker);
    }
}

/// A connection that may be used as far as its handshake can tell.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) transport: Transport,
    pub(crate) remote: SocketAddr,
    pub(crate) http2: bool,
    pub(crate) tls: Option<TlsFacts>,
    pub(crate) times: ConnectTimes,
    pub(crate) proxy_path: Option<Arc<VerifiedPath>>,
}

/// Where a connection leads, and how.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) dialing: &'a Dialing,
    pub(crate) key: &'a ConnectionKey,
    /// TLS to an `https:` proxy.
    pub(crate) proxy_tls: Option<&'a OriginTls>,
    /// Who counts what goes through the proxy.
    pub(crate) proxy_record: Option<&'a Arc<ProxyRecord>>,
    pub(crate) progress: &'a Progress,
    /// Whether the policy in force now lets anything be asked of the proxy at this address, by the path of the handshake
    /// with it: the one that the handshake was begun under may be in force no more.
    pub(crate) permits: &'a Permits<'a>,
}

/// See [`Route::permits`].
pub(crate) type Permits<'a> =
    dyn Fn(SocketAddr, Option<&Arc<VerifiedPath>>) -> Result<(), RequestError> + Sync + 'a;

/// A way to the server, on which nothing was sent.
struct Way {
    socket: Socket,
    remote: SocketAddr,
    times: ConnectTimes,
    proxy_path: Option<Arc<VerifiedPath>>,
}

/// Opens a connection along `route`, through `tls` unless its scheme is `http`.
pub(crate) async fn connect(
    route: Route<'_>,
    tls: Option<&OriginTls>,
) -> Result<Connected, RequestError> {
    let Route { key, progress, .. } = route;
    let mut way = open(route).await?;
    let Some(tls) = tls else {
        return Ok(Connected {
            transport: Transport::Plain(way.socket),
            remote: way.remote,
            http2: false,
            tls: None,
            times: way.times,
            proxy_path: way.proxy_path,
        });
    };
    progress.enter(Phase::Tls);
    let mut handshake = Instant::now();
    let mut stream = shake_hands(&tls.config, tls, key, way.socket, way.remote).await?;
    let mut facts = facts_of(&stream, tls);
    if tls.verifier.is_some() && !facts.is_still_verified() {
        // A session was resumed whose verified path is no longer remembered, or has expired since: no verdict, no use.
        drop(stream);
        way = open(route).await?;
        progress.enter(Phase::Tls);
        handshake = Instant::now();
        stream = shake_hands(&tls.without_sessions(), tls, key, way.socket, way.remote).await?;
        facts = facts_of(&stream, tls);
        if facts.path.is_none() {
            return Err(RequestError::Internal(
                "a verified handshake left no path".into(),
            ));
        }
    }
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if !http2 && tls.is_http2_only() {
        // a server that knows nothing of ALPN ignores the offer (RFC 7301 §3.2) and expects HTTP/1.1
        return Err(RequestError::Tls {
            source: Arc::new(rustls::Error::NoApplicationProtocol),
            host: key.proven_name().clone(),
            remote: way.remote,
        });
    }
    Ok(Connected {
        transport: Transport::Tls(Box::new(stream)),
        remote: way.remote,
        http2,
        tls: Some(facts),
        times: ConnectTimes {
            tls: micros(handshake.elapsed()),
            ..way.times
        },
        proxy_path: way.proxy_path,
    })
}

/// What a server presents, verified by `tls`' verifier.
pub(crate) struct Presented {
    pub(crate) remote: SocketAddr,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) path: Option<Arc<VerifiedPath>>,
}

/// A full handshake that sends nothing afterwards.
pub(crate) async fn present(route: Route<'_>, tls: &OriginTls) -> Result<Presented, RequestError> {
    let Way { socket, remote, .. } = open(route).await?;
    route.progress.enter(Phase::Tls);
    let stream = shake_hands(&tls.without_sessions(), tls, route.key, socket, remote).await?;
    let chain: Vec<_> = stream
        .get_ref()
        .1
        .peer_certificates()
        .unwrap_or_default()
        .to_vec();
    let path = chain.first().and_then(|end_entity| tls.path_of(end_entity));
    Ok(Presented {
        remote,
        chain,
        path,
    })
}

/// Opens the way to the server, through the proxy if there is one.
///
/// Boxed, so that its code is there once: a future's is compiled again in every crate that polls it.
fn open(route: Route<'_>) -> BoxFuture<'_, Result<Way, RequestError>> {
    Box::pin(open_unboxed(route))
}

async fn open_unboxed(route: Route<'_>) -> Result<Way, RequestError> {
    let Route {
        dialing,
        key,
        proxy_tls,
        proxy_record,
        progress,
        permits,
    } = route;
    let begun = Instant::now();
    let times = |dns| ConnectTimes {
        dns,
        connect: micros(begun.elapsed()).saturating_sub(dns),
        tls: 0,
    };
    let Some(proxy) = &key.proxy else {
        let dialled = dialing.dial(&key.host, key.port, progress).await?;
        return Ok(Way {
            socket: Socket::Tcp(Tcp::new(dialled.stream, None)),
            remote: dialled.remote,
            times: times(dialled.resolved),
            proxy_path: None,
        });
    };
    let failed = |source| RequestError::Proxy {
        proxy: proxy.to_string().into(),
        source,
    };
    let target = if proxy.resolves_names() {
        TunnelTarget::of_host(&key.host, key.port)
    } else {
        progress.enter(Phase::Dns);
        let addresses = dialing.resolve(&key.host).await?;
        let first = addresses.into_iter().next();
        let first =
            first.ok_or_else(|| RequestError::Internal("a name without addresses".into()))?;
        TunnelTarget::of_address(SocketAddr::new(first, key.port))
    };
    let dialled = dialing.dial(proxy.host(), proxy.port(), progress).await;
    let dialled = dialled.map_err(|error| match error {
        RequestError::Connect { source, .. } => failed(ProxyError::Io(source)),
        other => other,
    })?;
    let remote = dialled.remote;
    let stream = Tcp::new(dialled.stream, proxy_record.cloned());
    let (socket, proxy_path) = match proxy_tls {
        None => (Socket::Tcp(stream), None),
        Some(tls) => {
            progress.enter(Phase::Tls);
            let proxy_key = ConnectionKey::of_proxy(proxy);
            let stream = shake_hands(&tls.config, tls, &proxy_key, stream, remote).await?;
            let certificates = stream.get_ref().1.peer_certificates();
            let end_entity = certificates.and_then(<[_]>::first);
            let path = end_entity.and_then(|end_entity| tls.path_of(end_entity));
            (Socket::Tls(Box::new(stream)), path)
        }
    };
    permits(remote, proxy_path.as_ref())?; // credentials and the server's name leave only now
    let socket = if key.is_forwarded() {
        socket
    } else {
        progress.enter(Phase::Connect);
        let opened = proxy::open_tunnel(proxy, socket, &target, &HeaderMap::new()).await;
        opened.map_err(failed)?
    };
    Ok(Way {
        socket,
        remote,
        times: times(dialled.resolved),
        proxy_path,
    })
}

async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Arc<rustls::ClientConfig>,
    tls: &OriginTls,
    key: &ConnectionKey,
    stream: S,
    remote: SocketAddr,
) -> Result<TlsStream<S>, RequestError> {
    let connector = TlsConnector::from(config.clone());
    match connector.connect(tls.server_name.clone(), stream).await {
        Ok(stream) => Ok(stream),
        Err(error) => Err(handshake_failure(error, key, remote)),
    }
}

fn handshake_failure(error: io::Error, key: &ConnectionKey, remote: SocketAddr) -> RequestError {
    let host = key.proven_name().clone();
    if let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        return match VerifyError::in_rustls(tls) {
            Some(source) => match &*source {
                VerifyError::BadPin(report) => {
                    let mut report = (**report).clone();
                    if report.expected.is_empty() {
                        report.port = key.port; // without pins the verifier doesn't know it
                    }
                    RequestError::BadPin {
                        report: Arc::new(report),
                        remote,
                    }
                }
                _ => RequestError::Certificate {
                    source,
                    host,
                    remote,
                }, // every other refusal is the certificate's
            },
            None => RequestError::Tls {
                source: Arc::new(tls.clone()),
                host,
                remote,
            },
        };
    }
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return RequestError::Closed {
            host,
            remote: Some(remote),
        };
    }
    RequestError::Socket {
        host,
        remote,
        source: Arc::new(error),
    }
}

fn facts_of(stream: &TlsStream<Socket>, tls: &OriginTls) -> TlsFacts {
    let connection = stream.get_ref().1;
    let path = connection
        .peer_certificates()
        .and_then(<[_]>::first)
        .and_then(|end_entity| tls.path_of(end_entity));
    TlsFacts {
        tls13: connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3),
        cipher_suite: connection
            .negotiated_cipher_suite()
            .map_or(0, |suite| suite.suite().into()),
        resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        path,
        matched: Mutex::new(None), // judged when the connection joins the pool, under the policy then in force
    }
}
