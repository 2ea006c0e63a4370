//! Forward proxies on loopback: HTTP CONNECT (RFC 9110 §9.3.6) and SOCKS5 (RFC 1928, RFC 1929).
//!
//! They connect to whatever name they are asked for at `target`, so that names of tests lead to servers of the kit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::KitError;
use crate::kit::{ProxyKind, ProxyRequest};
use crate::server::lock;

/// A listening proxy. Dropping it closes its socket and its tunnels.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: JoinHandle<()>,
}

/// What reached a proxy so far.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyStats {
    /// Connections accepted.
    pub accepted: u64,
    /// Tunnels opened.
    pub tunnels: u64,
    /// Clients turned away for wrong or missing credentials.
    pub unauthorised: u64,
    /// The authorities (`host:port`) that tunnels were asked for (the first 1024), as they were spelt.
    pub authorities: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    request: ProxyRequest,
    accepted: AtomicU64,
    tunnels: AtomicU64,
    unauthorised: AtomicU64,
    authorities: Mutex<Vec<String>>,
}

impl Proxy {
    /// Binds 127.0.0.1 and starts to accept. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`KitError::Socket`] when no port is free.
    pub fn start(request: ProxyRequest) -> Result<Self, KitError> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            request,
            accepted: AtomicU64::default(),
            tunnels: AtomicU64::default(),
            unauthorised: AtomicU64::default(),
            authorities: Mutex::default(),
        });
        let listening = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            shared,
            address,
            listening,
        })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What reached it so far.
    pub fn stats(&self) -> ProxyStats {
        ProxyStats {
            accepted: self.shared.accepted.load(Ordering::Acquire),
            tunnels: self.shared.tunnels.load(Ordering::Acquire),
            unauthorised: self.shared.unauthorised.load(Ordering::Acquire),
            authorities: lock(&self.shared.authorities).clone(),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort(); // its JoinSet ends with it, and with that the tunnels
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut tunnels = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.accepted.fetch_add(1, Ordering::Release);
        let shared = Arc::clone(&shared);
        tunnels.spawn(async move {
            match shared.request.kind {
                ProxyKind::Connect => connect(stream, &shared).await,
                ProxyKind::Socks5 => socks5(stream, &shared).await,
            }
        });
        while tunnels.try_join_next().is_some() {}
    }
}

async fn connect(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 16_384 {
            return Ok(());
        }
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some("CONNECT"), Some(authority)) = (words.next(), words.next()) else {
        return client
            .write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n")
            .await;
    };
    if let Some(credentials) = &shared.request.credentials {
        let expected = format!("Basic {}", BASE64_STANDARD.encode(credentials));
        let given = lines
            .filter_map(|line| line.split_once(':'))
            .find_map(|(name, value)| {
                name.eq_ignore_ascii_case("proxy-authorization")
                    .then_some(value.trim())
            });
        if given != Some(&expected) {
            shared.unauthorised.fetch_add(1, Ordering::Release);
            let challenge = b"HTTP/1.1 407 Proxy Authentication Required\r\n\
                proxy-authenticate: Basic realm=\"test\"\r\ncontent-length: 0\r\n\r\n";
            return client.write_all(challenge).await;
        }
    }
    let Ok(server) = shared.reach(authority).await else {
        return client
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
            .await;
    };
    client
        .write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        .await?;
    shared.tunnel(client, server).await
}

async fn socks5(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let _version = client.read_u8().await?;
    let methods = read_counted(&mut client).await?;
    let method = if shared.request.credentials.is_some() {
        2
    } else {
        0
    };
    if !methods.contains(&method) {
        shared.unauthorised.fetch_add(1, Ordering::Release);
        return client.write_all(&[5, 0xff]).await;
    }
    client.write_all(&[5, method]).await?;
    if let Some(credentials) = &shared.request.credentials {
        let _version = client.read_u8().await?;
        let mut given = read_counted(&mut client).await?;
        given.push(b':');
        given.extend(read_counted(&mut client).await?);
        let right = given == credentials.as_bytes();
        client.write_all(&[1, u8::from(!right)]).await?;
        if !right {
            shared.unauthorised.fetch_add(1, Ordering::Release);
            return Ok(());
        }
    }
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let [_version, _command, _reserved, address_type] = request;
    let host = match address_type {
        1 => Ipv4Addr::from(client.read_u32().await?).to_string(),
        4 => format!("[{}]", Ipv6Addr::from(client.read_u128().await?)),
        _ => String::from_utf8_lossy(&read_counted(&mut client).await?).into_owned(),
    };
    let authority = format!("{host}:{}", client.read_u16().await?);
    let reached = shared.reach(&authority).await;
    let refused = if reached.is_ok() { 0 } else { 5 }; // RFC 1928 §6: connection refused
    client
        .write_all(&[5, refused, 0, 1, 0, 0, 0, 0, 0, 0])
        .await?;
    shared.tunnel(client, reached?).await
}

/// A length of one byte and so many bytes.
async fn read_counted(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

impl Shared {
    /// Connects to where the authority leads: the same port of `target`, or that port of it.
    async fn reach(&self, authority: &str) -> io::Result<TcpStream> {
        {
            let mut authorities = lock(&self.authorities);
            if authorities.len() < 1024 {
                authorities.push(authority.to_owned());
            }
        }
        let asked = authority
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        let host = self.request.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = self
            .request
            .port
            .or(asked)
            .ok_or(io::ErrorKind::InvalidInput)?;
        TcpStream::connect((host, port)).await
    }

    async fn tunnel(&self, mut client: TcpStream, mut server: TcpStream) -> io::Result<()> {
        self.tunnels.fetch_add(1, Ordering::Release);
        copy_bidirectional(&mut client, &mut server)
            .await
            .map(|_| ())
    }
}
