//! How a connection is opened through a proxy: HTTP CONNECT (RFC 9110 §9.3.6), over TLS to the proxy or not, and SOCKS5
//! (RFC 1928, RFC 1929).
//!
//! A proxy is a stranger in the middle. Whatever it says before the tunnel is open ends in a [`ProxyError`] or nowhere:
//! no byte of it may pass for the server's, so one that arrives before anything was sent through the tunnel is an
//! error. A proxy's text never reaches an error with the credentials in it, even if the proxy sends them back.
mod environment;
mod error;
mod http;
mod socks;
mod url;

use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use ::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pinfetch_pins::Host;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use self::environment::{EnvironmentError, EnvironmentProxies, from_environment};
pub use self::error::{ConnectFieldError, ProxyError, ProxyUrlError, UserInformation};

/// A proxy: what it speaks, where it is, and the credentials for it.
///
/// Read from a URL by `FromStr`: `http:`, `https:`, `socks5:` or `socks5h:`, user name and password percent-encoded in
/// front of the host, the port by default 80, 443 or 1080. Two proxies are equal when all of that is: connections of one
/// user are never another's. `Display` and `Debug` leave the credentials out, so only a proxy without any round-trips.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Proxy(Arc<Parts>);

#[derive(Eq, Hash, PartialEq)]
struct Parts {
    scheme: ProxyScheme,
    host: Host,
    port: u16,
    credentials: Option<Credentials>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum ProxyScheme {
    /// HTTP, in the clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS version 5; names are resolved here.
    Socks5,
    /// SOCKS version 5; names are resolved by the proxy.
    Socks5h,
}

/// A user name and a password, either of which may be empty.
#[derive(Eq, Hash, PartialEq)]
struct Credentials {
    user_name: Box<[u8]>,
    password: Box<[u8]>,
    /// Both as HTTP sends them (RFC 7617 §2), ready for each request; `None` for SOCKS.
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// Whether TLS is spoken to the proxy itself; its certificate is for [`host`](Self::host).
    pub fn is_tls(&self) -> bool {
        self.0.scheme == ProxyScheme::Https
    }

    /// Whether it is an HTTP proxy, which takes requests for `http:` in absolute form (RFC 9112 §3.2.2), too.
    pub fn is_http(&self) -> bool {
        !self.0.scheme.is_socks()
    }

    /// Whether the proxy resolves names. If not, the caller does, and asks for an address.
    pub fn resolves_names(&self) -> bool {
        self.0.scheme != ProxyScheme::Socks5
    }

    /// Whether there are credentials for it.
    pub fn has_credentials(&self) -> bool {
        self.0.credentials.is_some()
    }

    /// The user name, as UTF-8 where it is; for whoever gave it, never for logs.
    pub fn user_name(&self) -> Option<String> {
        let credentials = self.0.credentials.as_ref()?;
        Some(String::from_utf8_lossy(&credentials.user_name).into_owned())
    }

    /// Where it is.
    pub fn host(&self) -> &Host {
        &self.0.host
    }

    /// The port; never 0.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The `Proxy-Authorization` for requests in absolute form (RFC 7617 §2), marked sensitive; none for SOCKS.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.0.credentials.as_ref()?.authorization.as_ref()
    }
}

impl Credentials {
    fn new(scheme: ProxyScheme, user_name: Box<[u8]>, password: Box<[u8]>) -> Self {
        let authorization = (!scheme.is_socks()).then(|| {
            let pair = [&*user_name, b":", &*password].concat();
            let text = format!("Basic {}", BASE64_STANDARD.encode(pair));
            let mut value = HeaderValue::try_from(text).expect("a field may hold all of base64");
            value.set_sensitive(true); // kept out of logs, and of HTTP/2's table
            value
        });
        Self {
            user_name,
            password,
            authorization,
        }
    }
}

impl ProxyScheme {
    fn is_socks(self) -> bool {
        matches!(self, Self::Socks5 | Self::Socks5h)
    }

    /// As it is written in a URL.
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }

    /// 1080 is RFC 1928 §3's.
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 | Self::Socks5h => 1080,
        }
    }
}

/// The URL without the credentials, the port always in it.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            scheme, host, port, ..
        } = &*self.0;
        let authority = TunnelTarget::of_host(host, *port);
        write!(f, "{}://{authority}", scheme.as_str())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("url", &format_args!("{self}"))
            .field("has_credentials", &self.has_credentials())
            .finish()
    }
}

/// Where a tunnel shall lead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TunnelTarget {
    host: TargetHost,
    port: u16,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum TargetHost {
    /// For the proxy to resolve.
    Name(Host),
    Address(IpAddr),
}

impl TunnelTarget {
    /// A host by its name, which the proxy resolves, or by its address if that is what it is.
    pub(crate) fn of_host(host: &Host, port: u16) -> Self {
        let host = match host.ip() {
            Some(address) => TargetHost::Address(address),
            None => TargetHost::Name(host.clone()),
        };
        Self { host, port }
    }

    /// An address that the caller has resolved. An IPv4-mapped IPv6 address is the IPv4 address that it stands for.
    pub(crate) fn of_address(address: SocketAddr) -> Self {
        Self {
            host: TargetHost::Address(address.ip().to_canonical()),
            port: address.port(),
        }
    }
}

/// In authority form, the port always in it (RFC 9112 §3.2.3).
impl fmt::Display for TunnelTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            TargetHost::Name(host) => write!(f, "{host}:{}", self.port),
            TargetHost::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
        }
    }
}

/// Asks the proxy at the other end of `stream`, through TLS if it [is so](Proxy::is_tls), for a tunnel to `target`;
/// `fields` go along with a CONNECT request, and nowhere with SOCKS.
///
/// A proxy that doesn't [resolve names](Proxy::resolves_names) is given an address by the caller. On success the next
/// byte read is the target's, in answer to what was written to it; on failure the stream is closed.
///
/// # Errors
/// Any [`ProxyError`]. [`ProxyError::Field`] before anything is written.
pub(crate) async fn open_tunnel<S: AsyncRead + AsyncWrite + Unpin>(
    proxy: &Proxy,
    mut stream: S,
    target: &TunnelTarget,
    fields: &HeaderMap,
) -> Result<S, ProxyError> {
    match proxy.0.scheme {
        ProxyScheme::Http | ProxyScheme::Https => {
            http::connect(&mut stream, proxy, target, fields).await?;
        }
        ProxyScheme::Socks5 | ProxyScheme::Socks5h => {
            socks::connect(&mut stream, proxy.0.credentials.as_ref(), target).await?;
        }
    }
    expect_silence(&mut stream).await?;
    Ok(stream)
}

/// Refuses what has arrived already: neither a TLS server nor an HTTP server speaks first (RFC 8446 §2, RFC 9112 §9),
/// so it is the proxy's. What arrives from now on meets TLS.
async fn expect_silence(stream: &mut (impl AsyncRead + Unpin)) -> Result<(), ProxyError> {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Err(ProxyError::Closed),
            Poll::Ready(Ok(())) => Err(ProxyError::malformed(EARLY)),
            Poll::Ready(Err(error)) => Err(error.into()),
        })
    })
    .await
}

const EARLY: &str = "it sent bytes through the tunnel before anything was asked of the server";

#[cfg(test)]
mod tests;
