//! Forward proxies on loopback: HTTP (RFC 9110 §9.3.6), over TLS or not, and SOCKS5 (RFC 1928, RFC 1929).
//!
//! They connect to whatever name they are asked for at `target`, so that names of tests lead to servers of the kit: also to
//! an [interceptor](crate::Behaviour)'s, which makes them proxies that read what they carry.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::KitError;
use crate::kit::{ProxyKind, ProxyRequest};
use crate::server::{Counted, Identity, lock};

/// A listening proxy. Dropping it closes its socket and its tunnels.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: JoinHandle<()>,
}

/// What reached a proxy so far.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyStats {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections still open.
    pub open: u64,
    /// TLS handshakes with the proxy itself that clients completed.
    pub handshakes: u64,
    /// Tunnels opened.
    pub tunnels: u64,
    /// Requests in absolute form passed on.
    pub forwarded: u64,
    /// Clients turned away for wrong or missing credentials.
    pub unauthorised: u64,
    /// Clients refused because the test said so.
    pub refused: u64,
    /// Bytes carried from clients to servers, through tunnels and after the heads of forwarded requests.
    pub bytes_to_servers: u64,
    /// Bytes carried from servers to clients.
    pub bytes_to_clients: u64,
    /// The authorities (`host:port`) that were asked for (the first 1024), as they were spelt, refused ones included.
    pub authorities: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    request: ProxyRequest,
    tls: Option<Arc<ServerConfig>>,
    refusal: Mutex<Option<u16>>,
    counters: Counters,
    authorities: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    open: AtomicU64,
    handshakes: AtomicU64,
    tunnels: AtomicU64,
    forwarded: AtomicU64,
    unauthorised: AtomicU64,
    refused: AtomicU64,
    bytes_to_servers: AtomicU64,
    bytes_to_clients: AtomicU64,
}

impl Proxy {
    /// Binds 127.0.0.1 and starts to accept, over TLS if there is an `identity` to present. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`KitError::Socket`] when no port is free, [`KitError::Tls`] when rustls refuses the configuration and
    /// [`KitError::InvalidField`] for a refusal that the protocol has no number for.
    pub fn start(request: ProxyRequest, identity: Option<Identity>) -> Result<Self, KitError> {
        check_refusal("refuse", request.kind, request.refuse)?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            refusal: Mutex::new(request.refuse),
            tls: identity.map(tls_config).transpose()?,
            request,
            counters: Counters::default(),
            authorities: Mutex::default(),
        });
        let listening = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            shared,
            address,
            listening,
        })
    }

    /// Refuses what clients ask for from now on, as [`ProxyRequest::refuse`] does, or no longer; open tunnels stay.
    ///
    /// # Errors
    ///
    /// [`KitError::InvalidField`] for a refusal that the protocol has no number for.
    pub fn refuse(&self, with: Option<u16>) -> Result<(), KitError> {
        check_refusal("with", self.shared.request.kind, with)?;
        *lock(&self.shared.refusal) = with;
        Ok(())
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What reached it so far.
    pub fn stats(&self) -> ProxyStats {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        ProxyStats {
            accepted: read(&counters.accepted),
            open: read(&counters.open),
            handshakes: read(&counters.handshakes),
            tunnels: read(&counters.tunnels),
            forwarded: read(&counters.forwarded),
            unauthorised: read(&counters.unauthorised),
            refused: read(&counters.refused),
            bytes_to_servers: read(&counters.bytes_to_servers),
            bytes_to_clients: read(&counters.bytes_to_clients),
            authorities: lock(&self.shared.authorities).clone(),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort(); // its JoinSet ends with it, and with that the tunnels
    }
}

fn check_refusal(field: &'static str, kind: ProxyKind, with: Option<u16>) -> Result<(), KitError> {
    let possible = match kind {
        ProxyKind::Connect => 300..=599,
        ProxyKind::Socks5 => 1..=255,
    };
    match with {
        Some(code) if !possible.contains(&code) => Err(KitError::InvalidField {
            field,
            problem: format!(
                "{code} is not from {} to {}",
                possible.start(),
                possible.end()
            ),
        }),
        _ => Ok(()),
    }
}

/// HTTP/1.1 only, without resumption: it is the proxy's behaviour that tests are about, not its TLS.
fn tls_config(identity: Identity) -> Result<Arc<ServerConfig>, KitError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(identity.into_resolver());
    config.alpn_protocols = vec![b"http/1.1".into()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut tunnels = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _unsupported = stream.set_nodelay(true);
        let open = Open::count(Arc::clone(&shared));
        tunnels.spawn(async move {
            let shared = &open.0;
            let Some(config) = &shared.tls else {
                return serve(stream, shared).await;
            };
            let stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
            shared.counters.handshakes.fetch_add(1, Ordering::Release);
            serve(stream, shared).await
        });
        while tunnels.try_join_next().is_some() {}
    }
}

/// An accepted connection; dropped when it is closed.
struct Open(Arc<Shared>);

impl Open {
    fn count(shared: Arc<Shared>) -> Self {
        shared.counters.accepted.fetch_add(1, Ordering::Release);
        shared.counters.open.fetch_add(1, Ordering::Release);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counters.open.fetch_sub(1, Ordering::Release);
    }
}

async fn serve(mut client: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> io::Result<()> {
    match shared.request.kind {
        ProxyKind::Connect => http(&mut client, shared).await,
        ProxyKind::Socks5 => socks5(&mut client, shared).await,
    }?;
    client.shutdown().await // after a refusal; the end of TLS is a message of its own
}

async fn http(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    shared: &Shared,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 16_384 {
            return Ok(());
        }
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let request = Request::read(&head);
    let Some(request) = request else {
        return answer(client, 405).await;
    };
    if let Some(credentials) = &shared.request.credentials {
        let expected = format!("Basic {}", BASE64_STANDARD.encode(credentials));
        if request.field("proxy-authorization") != Some(&expected) {
            shared.counters.unauthorised.fetch_add(1, Ordering::Release);
            return answer(client, 407).await;
        }
    }
    shared.note(&request.authority);
    if let Some(status) = shared.refusal() {
        return answer(client, status).await;
    }
    let Ok(mut server) = shared.reach(&request.authority).await else {
        return answer(client, 502).await;
    };
    if let Some(head) = &request.forwarded {
        shared.counters.forwarded.fetch_add(1, Ordering::Release);
        server.write_all(head.as_bytes()).await?;
    } else {
        shared.counters.tunnels.fetch_add(1, Ordering::Release);
        let established = b"HTTP/1.1 200 Connection Established\r\n\r\n";
        client.write_all(established).await?;
        client.flush().await?;
    }
    shared.carry(client, server).await
}

/// What an HTTP client wants of the proxy.
struct Request<'a> {
    fields: Vec<(&'a str, &'a str)>,
    authority: String,
    /// The head to send to the server; `None` for CONNECT.
    forwarded: Option<String>,
}

impl<'a> Request<'a> {
    /// Understands CONNECT with an authority, and any other method with an absolute URL of `http:`.
    fn read(head: &'a str) -> Option<Self> {
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let fields: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
            .collect();
        if method == "CONNECT" {
            let authority = target.to_owned();
            return Some(Self {
                fields,
                authority,
                forwarded: None,
            });
        }
        let rest = target.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let slash = if path.starts_with('/') { "" } else { "/" };
        let port = if authority.rsplit(']').next()?.contains(':') {
            ""
        } else {
            ":80"
        };
        // In origin form and for this once: a second request on the connection would not be looked at.
        let mut forwarded = format!("{method} {slash}{path} HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in &fields {
            let ours = ["proxy-authorization", "connection"];
            if !ours.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                forwarded.extend([name, ": ", value, "\r\n"]);
            }
        }
        Some(Self {
            authority: format!("{authority}{port}"),
            forwarded: Some(forwarded + "\r\n"),
            fields,
        })
    }

    fn field(&self, name: &str) -> Option<&str> {
        let found = self
            .fields
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }
}

/// Answers without a body; 407 with the challenge that it must have (RFC 9110 §15.5.8).
async fn answer(client: &mut (impl AsyncWrite + Unpin), status: u16) -> io::Result<()> {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let challenge = match status {
        407 => "proxy-authenticate: Basic realm=\"test\"\r\n",
        _ => "",
    };
    let reason = reason.unwrap_or("Refused");
    let head = format!("HTTP/1.1 {status} {reason}\r\n{challenge}content-length: 0\r\n\r\n");
    client.write_all(head.as_bytes()).await
}

async fn socks5(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    shared: &Shared,
) -> io::Result<()> {
    let _version = client.read_u8().await?;
    let methods = read_counted(client).await?;
    let method = if shared.request.credentials.is_some() {
        2
    } else {
        0
    };
    if !methods.contains(&method) {
        shared.counters.unauthorised.fetch_add(1, Ordering::Release);
        return client.write_all(&[5, 0xff]).await;
    }
    client.write_all(&[5, method]).await?;
    client.flush().await?;
    if let Some(credentials) = &shared.request.credentials {
        let _version = client.read_u8().await?;
        let mut given = read_counted(client).await?;
        given.push(b':');
        given.extend(read_counted(client).await?);
        let right = given == credentials.as_bytes();
        client.write_all(&[1, u8::from(!right)]).await?;
        client.flush().await?;
        if !right {
            shared.counters.unauthorised.fetch_add(1, Ordering::Release);
            return Ok(());
        }
    }
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let [_version, _command, _reserved, address_type] = request;
    let host = match address_type {
        1 => Ipv4Addr::from(client.read_u32().await?).to_string(),
        4 => format!("[{}]", Ipv6Addr::from(client.read_u128().await?)),
        _ => String::from_utf8_lossy(&read_counted(client).await?).into_owned(),
    };
    let authority = format!("{host}:{}", client.read_u16().await?);
    shared.note(&authority);
    let (code, server) = match shared.refusal() {
        Some(code) => (u8::try_from(code).unwrap_or(u8::MAX), None),
        None => match shared.reach(&authority).await {
            Ok(server) => (0, Some(server)),
            Err(_) => (5, None), // RFC 1928 §6: connection refused
        },
    };
    client.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    client.flush().await?;
    let Some(server) = server else { return Ok(()) };
    shared.counters.tunnels.fetch_add(1, Ordering::Release);
    shared.carry(client, server).await
}

/// A length of one byte and so many bytes.
async fn read_counted(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

impl Shared {
    fn note(&self, authority: &str) {
        let mut authorities = lock(&self.authorities);
        if authorities.len() < 1024 {
            authorities.push(authority.to_owned());
        }
    }

    /// What the test wants a client refused with, who is counted as that.
    fn refusal(&self) -> Option<u16> {
        let refusal = *lock(&self.refusal);
        if refusal.is_some() {
            self.counters.refused.fetch_add(1, Ordering::Release);
        }
        refusal
    }

    /// Connects to where the authority leads: the same port of `target`, or that port of it.
    async fn reach(&self, authority: &str) -> io::Result<TcpStream> {
        let asked = authority
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        let host = self.request.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = self
            .request
            .port
            .or(asked)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let server = TcpStream::connect((host, port)).await?;
        server.set_nodelay(true)?;
        Ok(server)
    }

    /// Carries bytes both ways, each counted before it is passed on.
    async fn carry(
        &self,
        client: &mut (impl AsyncRead + AsyncWrite + Unpin),
        server: TcpStream,
    ) -> io::Result<()> {
        let mut client = Counted {
            stream: client,
            received: &self.counters.bytes_to_servers,
        };
        let mut server = Counted {
            stream: server,
            received: &self.counters.bytes_to_clients,
        };
        copy_bidirectional(&mut client, &mut server)
            .await
            .map(|_| ())
    }
}
