//! A listening socket: who connected, which handshakes were completed or resumed, how many plaintext bytes arrived.
//!
//! The number that tests rest on is [`ServerStats::application_bytes`]: each byte that a peer sent *after* its
//! handshake, counted where it is decrypted, before anything above looks at it. Zero means that the peer refused
//! in the handshake. [`Server::settle`] makes reading it exact: it returns once every connection made so far is
//! accepted and closed, so that nothing can still be on its way.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::server::{
    Acceptor, ClientHello, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache,
};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{HandshakeKind, ServerConfig};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::LazyConfigAcceptor;

use crate::interceptor::Behaviour;
use crate::{KitError, genuine, interceptor};

/// What a server presents and how it behaves.
#[derive(Debug)]
pub struct ServerOptions {
    /// What it calls itself in bodies and in the `server-name` field.
    pub name: String,
    /// What it presents; `None` for a server that never completes a handshake.
    pub identity: Option<Identity>,
    /// The application protocols that it offers, the preferred one first.
    pub alpn: Vec<String>,
    /// The TLS versions that it speaks.
    pub versions: Vec<Version>,
    /// How sessions are resumed; several servers may share it.
    pub resumption: Resumption,
    /// The address that it listens on.
    pub host: IpAddr,
    /// The port that it listens on; 0 for any free one.
    pub port: u16,
    /// What it does once a peer connects.
    pub behaviour: Behaviour,
    /// Presents something else to every connection past the first so many.
    pub swap_after: Option<(u64, Identity)>,
    /// The origins that [`Behaviour::OriginFrame`] claims.
    pub origins: Vec<String>,
    /// How long an interceptor waits before it writes what nobody asked for.
    pub delay: Duration,
    /// The number of requests that an HTTP/2 connection may have in flight.
    pub streams: u32,
    /// Whether it also counts the datagrams that arrive at the same port over UDP.
    pub udp: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            name: "server".into(),
            identity: None,
            alpn: vec!["h2".into(), "http/1.1".into()],
            versions: vec![Version::Tls12, Version::Tls13],
            resumption: Resumption::none(),
            host: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            behaviour: Behaviour::Normal,
            swap_after: None,
            origins: Vec::new(),
            delay: Duration::from_millis(20),
            streams: 256,
            udp: false,
        }
    }
}

/// The certificates that a server presents, in that order, and the key that it signs handshakes with.
///
/// Neither is checked: the chain may be empty, garbage or somebody else's.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The presented chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key, which need not be the first certificate's.
    pub key: Arc<dyn SigningKey>,
}

impl Identity {
    pub(crate) fn into_resolver(self) -> Arc<dyn ResolvesServerCert> {
        Arc::new(Presented(Arc::new(CertifiedKey::new(self.chain, self.key))))
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum Version {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// What a server knows about earlier sessions.
#[derive(Clone, Debug)]
pub struct Resumption {
    tickets: Option<Arc<dyn ProducesTickets>>,
    sessions: Option<Arc<ServerSessionMemoryCache>>,
}

impl Resumption {
    /// No session is ever resumed.
    pub fn none() -> Self {
        Self {
            tickets: None,
            sessions: None,
        }
    }

    /// `tickets`: sessions travel in tickets (TLS 1.2 and 1.3). `sessions`: the server remembers them, by session id
    /// in TLS 1.2 and, without `tickets`, by the name of a ticket in TLS 1.3.
    ///
    /// # Errors
    ///
    /// [`KitError::Tls`] when no ticket key can be made.
    pub fn new(tickets: bool, sessions: bool) -> Result<Self, KitError> {
        Ok(Self {
            tickets: if tickets {
                Some(rustls::crypto::ring::Ticketer::new()?)
            } else {
                None
            },
            sessions: sessions.then(|| ServerSessionMemoryCache::new(4096)),
        })
    }
}

/// What reached a server so far.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerStats {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections still open.
    pub open: u64,
    /// Handshakes completed, the resumed ones included.
    pub handshakes: u64,
    /// Handshakes that resumed an earlier session.
    pub resumed: u64,
    /// Handshakes that failed, most of them because the peer refused.
    pub failures: u64,
    /// Why the last 32 handshakes failed, oldest first.
    pub failure_reasons: Vec<String>,
    /// Plaintext bytes received after the handshake, of all connections.
    pub application_bytes: u64,
    /// Requests received.
    pub requests: u64,
    /// Responses, or frames, written without a request.
    pub unsolicited: u64,
    /// Datagrams received at the same port over UDP.
    pub datagrams: u64,
    /// The different server names that peers sent (the first 1024), in the order of their first appearance.
    pub server_names: Vec<String>,
    /// Whether every connection was closed when these numbers were read.
    pub settled: bool,
}

/// A listening server. Dropping it closes its socket and its connections.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: Mutex<Vec<JoinHandle<()>>>,
}

impl Server {
    /// Binds the socket and starts to accept. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`KitError::Socket`] when the address cannot be bound and [`KitError::MissingKey`] when the behaviour needs
    /// an identity that is not there.
    pub fn start(options: ServerOptions) -> Result<Self, KitError> {
        let address = SocketAddr::new(options.host, options.port);
        let socket = socket_for(address)?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(4096)?;
        let address = listener.local_addr()?;
        let udp = options.udp.then(|| bind_udp(address)).transpose()?;
        let shared = Arc::new(Shared::new(options)?);
        let mut listening = vec![tokio::spawn(accept(listener, Arc::clone(&shared)))];
        listening
            .extend(udp.map(|socket| tokio::spawn(count_datagrams(socket, Arc::clone(&shared)))));
        Ok(Self {
            shared,
            address,
            listening: Mutex::new(listening),
        })
    }

    /// Presents `identity` in handshakes from now on; live connections stay as they are.
    ///
    /// # Errors
    ///
    /// [`KitError::Tls`] when rustls refuses the configuration.
    pub fn swap(&self, identity: Identity) -> Result<(), KitError> {
        let config = self.shared.settings.config(identity)?;
        *lock(&self.shared.config) = Some(config);
        Ok(())
    }

    /// Closes every live connection without a word, and returns how many there were.
    pub async fn kick(&self) -> usize {
        let tasks: Vec<_> = lock(&self.shared.connections)
            .drain()
            .map(|(_, task)| task)
            .collect();
        let count = tasks.len();
        close(tasks).await;
        count
    }

    /// Closes the socket and every live connection; the port is free when this returns.
    pub async fn stop(&self) {
        let listening = std::mem::take(&mut *lock(&self.listening));
        close(listening).await;
        self.kick().await;
    }

    /// Waits until every connection made before this call has been accepted and closed; `false` if some are still
    /// open after `within`.
    ///
    /// # Errors
    ///
    /// [`KitError::Socket`] when the kit cannot connect to its own server.
    pub async fn settle(&self, within: Duration) -> Result<bool, KitError> {
        let waiting = async {
            self.reach().await?;
            loop {
                let closed = self.shared.closed.notified();
                if self.shared.counters.open.load(Ordering::Acquire) == 0 {
                    return Ok(true);
                }
                closed.await;
            }
        };
        tokio::time::timeout(within, waiting)
            .await
            .unwrap_or(Ok(false))
    }

    /// How sessions of this server are resumed, to share with another.
    pub fn resumption(&self) -> Resumption {
        self.shared.settings.resumption.clone()
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What reached it so far.
    pub fn stats(&self) -> ServerStats {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let open = read(&counters.open);
        ServerStats {
            accepted: read(&counters.accepted),
            open,
            handshakes: read(&counters.handshakes),
            resumed: read(&counters.resumed),
            failures: read(&counters.failures),
            failure_reasons: lock(&self.shared.failure_reasons).iter().cloned().collect(),
            application_bytes: read(&counters.application_bytes),
            requests: read(&counters.requests),
            unsolicited: read(&counters.unsolicited),
            datagrams: read(&counters.datagrams),
            server_names: lock(&self.shared.server_names).clone(),
            settled: open == 0,
        }
    }

    /// Returns when the accept loop has met every connection made before this call: a connection of the kit's own,
    /// known by its address, has gone through the same queue.
    async fn reach(&self) -> Result<(), KitError> {
        let socket = socket_for(self.address)?;
        socket.bind(SocketAddr::new(self.address.ip(), 0))?;
        let (met, meeting) = oneshot::channel();
        lock(&self.shared.markers).insert(socket.local_addr()?, met);
        let _marker = socket.connect(self.address).await?;
        meeting
            .await
            .map_err(|_| KitError::Socket(io::ErrorKind::NotConnected.into()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        lock(&self.listening).iter().for_each(JoinHandle::abort);
        lock(&self.shared.connections)
            .values()
            .for_each(JoinHandle::abort);
    }
}

/// What the tasks of one server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) counters: Counters,
    config: Mutex<Option<Arc<ServerConfig>>>,
    swap_after: Mutex<Option<(u64, Arc<ServerConfig>)>>,
    server_names: Mutex<Vec<String>>,
    failure_reasons: Mutex<VecDeque<String>>,
    connections: Mutex<HashMap<u64, JoinHandle<()>>>,
    markers: Mutex<HashMap<SocketAddr, oneshot::Sender<()>>>,
    closed: Notify,
}

/// What a server was told and never changes.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) behaviour: Behaviour,
    pub(crate) origins: Vec<String>,
    pub(crate) delay: Duration,
    pub(crate) streams: u32,
    alpn: Vec<Vec<u8>>,
    versions: Vec<Version>,
    resumption: Resumption,
}

/// Plain atomics: a benchmark's requests must not wait for each other here.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) unsolicited: AtomicU64,
    accepted: AtomicU64,
    open: AtomicU64,
    handshakes: AtomicU64,
    resumed: AtomicU64,
    failures: AtomicU64,
    application_bytes: AtomicU64,
    datagrams: AtomicU64,
}

impl Shared {
    fn new(options: ServerOptions) -> Result<Self, KitError> {
        let settings = Settings {
            name: options.name,
            behaviour: options.behaviour,
            origins: options.origins,
            delay: options.delay,
            streams: options.streams,
            alpn: options.alpn.into_iter().map(String::into_bytes).collect(),
            versions: options.versions,
            resumption: options.resumption,
        };
        if options.identity.is_none() && settings.behaviour.completes_handshakes() {
            return Err(KitError::MissingKey);
        }
        let config = options
            .identity
            .map(|identity| settings.config(identity))
            .transpose()?;
        let swap_after = match options.swap_after {
            Some((connections, identity)) => Some((connections, settings.config(identity)?)),
            None => None,
        };
        Ok(Self {
            settings,
            counters: Counters::default(),
            config: Mutex::new(config),
            swap_after: Mutex::new(swap_after),
            server_names: Mutex::default(),
            failure_reasons: Mutex::default(),
            connections: Mutex::default(),
            markers: Mutex::default(),
            closed: Notify::new(),
        })
    }

    /// What the connection of that number (the first is 1) is presented with; decided when it is accepted.
    fn config_for(&self, number: u64) -> Option<Arc<ServerConfig>> {
        let mut config = lock(&self.config);
        let mut swap_after = lock(&self.swap_after);
        if let Some((_, later)) = swap_after.take_if(|(connections, _)| number > *connections) {
            *config = Some(later);
        }
        config.clone()
    }

    fn note_server_name(&self, hello: &ClientHello<'_>) {
        if let Some(name) = hello.server_name() {
            let mut names = lock(&self.server_names);
            if names.len() < 1024 && !names.iter().any(|seen| seen == name) {
                names.push(name.to_owned());
            }
        }
    }

    fn note_failure(&self, error: &io::Error) {
        let mut reasons = lock(&self.failure_reasons);
        if reasons.len() == 32 {
            reasons.pop_front();
        }
        reasons.push_back(error.to_string());
        self.counters.failures.fetch_add(1, Ordering::Release);
    }
}

impl Settings {
    fn config(&self, identity: Identity) -> Result<Arc<ServerConfig>, KitError> {
        let versions: Vec<_> = self
            .versions
            .iter()
            .map(|version| match version {
                Version::Tls12 => &rustls::version::TLS12,
                Version::Tls13 => &rustls::version::TLS13,
            })
            .collect();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)?
            .with_no_client_auth()
            .with_cert_resolver(identity.into_resolver());
        config.alpn_protocols.clone_from(&self.alpn);
        match &self.resumption.sessions {
            Some(sessions) => config.session_storage = Arc::clone(sessions) as _,
            None => config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {}),
        }
        if let Some(tickets) = &self.resumption.tickets {
            config.ticketer = Arc::clone(tickets);
        } else if self.resumption.sessions.is_none() {
            config.send_tls13_tickets = 0;
        }
        Ok(Arc::new(config))
    }
}

/// Presents one identity to everybody, whatever name was asked for and whether or not key and certificate agree.
#[derive(Debug)]
struct Presented(Arc<CertifiedKey>);

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await; // out of descriptors: let some close
            continue;
        };
        if let Some(met) = lock(&shared.markers).remove(&peer) {
            let _gone = met.send(());
            continue;
        }
        let _unsupported = stream.set_nodelay(true);
        let number = shared.counters.accepted.fetch_add(1, Ordering::Release) + 1;
        shared.counters.open.fetch_add(1, Ordering::Release);
        let open = Open {
            shared: Arc::clone(&shared),
            number,
        };
        let config = shared.config_for(number);
        // The lock is held across the spawn, so that a task that ends at once finds its entry to remove.
        let mut connections = lock(&shared.connections);
        connections.insert(number, tokio::spawn(connection(stream, config, open)));
    }
}

async fn connection(stream: TcpStream, config: Option<Arc<ServerConfig>>, open: Open) {
    let shared = &open.shared;
    match (shared.settings.behaviour, config) {
        (Behaviour::Plain, _) => talk(stream, &open, false).await,
        (behaviour, Some(config)) if behaviour.completes_handshakes() => {
            match handshake(stream, config, shared).await {
                Ok((stream, h2)) => talk(stream, &open, h2).await,
                Err(error) => shared.note_failure(&error),
            }
        }
        (behaviour, _) => match LazyConfigAcceptor::new(Acceptor::default(), stream).await {
            Ok(start) => {
                shared.note_server_name(&start.client_hello());
                let _ended = interceptor::break_handshake(start.io, behaviour).await;
            }
            Err(error) => shared.note_failure(&error),
        },
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Send + Unpin, open: &Open, h2: bool) {
    let shared = &open.shared;
    let received = &shared.counters.application_bytes;
    let mut stream = Counted { stream, received };
    let ended = match shared.settings.behaviour {
        Behaviour::Normal | Behaviour::Plain => genuine::serve(&mut stream, open, h2).await,
        _ => interceptor::misbehave(&mut stream, shared, h2).await,
    };
    if ended.is_err() {
        // A peer that sends and leaves at once makes our next write fail: what it sent counts none the less.
        let _ended =
            tokio::time::timeout(Duration::from_millis(100), interceptor::drain(&mut stream)).await;
    }
}

type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

async fn handshake(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    shared: &Shared,
) -> io::Result<(TlsStream, bool)> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    shared.note_server_name(&start.client_hello());
    let stream = start.into_stream(config).await?;
    let (_, session) = stream.get_ref();
    if session.handshake_kind() == Some(HandshakeKind::Resumed) {
        shared.counters.resumed.fetch_add(1, Ordering::Release);
    }
    let h2 = session.alpn_protocol() == Some(b"h2");
    shared.counters.handshakes.fetch_add(1, Ordering::Release);
    Ok((stream, h2))
}

/// An accepted connection; dropped when it is closed.
pub(crate) struct Open {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.shared.connections).remove(&self.number);
        self.shared.counters.open.fetch_sub(1, Ordering::Release);
        self.shared.closed.notify_waiters();
    }
}

/// A stream whose received bytes are counted as they are read, and decrypted.
pub(crate) struct Counted<'a, S> {
    pub(crate) stream: S,
    pub(crate) received: &'a AtomicU64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let poll = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let received = buffer.filled().len() - before;
        if received > 0 {
            let received = u64::try_from(received).unwrap_or(u64::MAX);
            this.received.fetch_add(received, Ordering::Release);
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

async fn count_datagrams(socket: UdpSocket, shared: Arc<Shared>) {
    let mut datagram = [0; 2048];
    while socket.recv(&mut datagram).await.is_ok() {
        shared.counters.datagrams.fetch_add(1, Ordering::Release);
    }
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
}

async fn close(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.abort();
        let _cancelled = task.await;
    }
}

/// A panic elsewhere leaves nothing half done behind these locks: each guards one plain value.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
