//! What a client can be told, and which of it a connection depends on.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pinfetch_pins::{Host, Policy, Unpinned};

use crate::connect::dns::Lookup;
use crate::connect::identity::Identity;
use crate::connect::proxy::{EnvironmentProxies, Proxy};
use crate::cookies::Cookies;
use crate::exchange::fields::Field;
use crate::live_policy::LivePolicy;
use crate::retry::Retry;

/// What a client can be told. Fixed for the client's life but for the policy, which [`Client::set_policy`] swaps.
///
/// [`Client::set_policy`]: crate::Client::set_policy
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with each other"
)]
pub struct Config {
    /// Which pins are in force.
    pub policy: PolicyChoice,
    /// What becomes of hosts without pins, unless the policy is stricter.
    pub unpinned: Unpinned,
    /// The number by which its [`Notice`](crate::Notice)s name the client.
    pub number: u32,
    /// Whose word on certificates counts.
    pub trust: Trust,
    /// The TLS server name for every connection, in place of the URL's host. Pins of both are looked up and both must hold.
    pub server_name: Option<Host>,
    /// Who the client is, for servers that ask.
    pub identity: Option<Identity>,
    /// The file that TLS secrets are appended to; whoever reads it reads the traffic.
    pub key_log: Option<PathBuf>,
    /// Whether the key exchange X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem) is offered before all others. Kilobytes more
    /// go back and forth for it.
    pub post_quantum: bool,
    /// The lowest TLS version.
    pub min_version: MinVersion,
    /// Whether HTTP/2 is offered, and HTTP/1.1 besides (ALPN, RFC 7301).
    pub http2: Http2Choice,
    /// What HTTP/2 connections are like.
    pub http2_settings: Http2Settings,
    /// What handshakes and HTTP/2 look like, where that is as another client's. Header fields then keep the places that
    /// `headers` gives them, whoever gives their values.
    pub look: Option<Look>,
    /// How many connections a host may have at once.
    pub connections: usize,
    /// How many connections there may be at once to all hosts together; no limit when `None`. At least 1.
    pub total_connections: Option<usize>,
    /// How long a request may take, body included; none when `None`.
    pub timeout: Option<Duration>,
    /// How long making a connection may take; as long as a request when `None`.
    pub connect_timeout: Option<Duration>,
    /// How long a response's header section may take once a connection is there, the request's body included.
    pub headers_timeout: Option<Duration>,
    /// How long a body may pause.
    pub body_timeout: Option<Duration>,
    /// When requests are sent again after a failure that may pass.
    pub retry: Retry,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// How large a response's body may be that is held in memory, in bytes. A stream is its reader's to bound.
    pub max_response_bytes: u64,
    /// Whether content codings are asked for and undone (RFC 9110 §8.4).
    pub decompress: bool,
    /// How many bytes a byte of an encoded body may become, once it has become a mebibyte. At least 1.
    pub max_expansion: u32,
    /// What becomes of redirects.
    pub redirect: RedirectMode,
    /// How many redirects in a row are followed.
    pub max_redirects: u32,
    /// Where cookies come from and go to.
    pub cookies: Cookies,
    /// Which proxies connections go through.
    pub proxy: ProxyChoice,
    /// Whether nothing more goes through a proxy through which a bad pin was met.
    pub quarantine: bool,
    /// Whether connections serve more than one request.
    pub reuse: bool,
    /// Where addresses come from.
    pub lookup: Lookup,
    /// How long addresses are remembered; not at all for no time.
    pub dns_ttl: Duration,
    /// Which addresses are tried.
    pub family: Family,
    /// The address that connections are made from; the system's choice if none.
    pub local_address: Option<IpAddr>,
    /// Header fields for every request that does not set them itself.
    pub headers: Vec<Field>,
    /// How large header and trailer sections of responses may be.
    pub header_limits: HeaderLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: PolicyChoice::default(),
            unpinned: Unpinned::Allow,
            number: 0,
            trust: Trust::Anchors(TrustAnchors::default()),
            server_name: None,
            identity: None,
            key_log: None,
            post_quantum: false,
            min_version: MinVersion::Tls12,
            http2: Http2Choice::Offer,
            http2_settings: Http2Settings::default(),
            look: None,
            connections: 128,
            total_connections: None,
            timeout: Some(Duration::from_secs(30)),
            connect_timeout: None,
            headers_timeout: None,
            body_timeout: None,
            retry: Retry::default(),
            idle_timeout: Duration::from_secs(60),
            max_response_bytes: 512 << 20,
            decompress: true,
            max_expansion: 200,
            redirect: RedirectMode::Follow,
            max_redirects: 20,
            cookies: Cookies::default(),
            proxy: ProxyChoice::Direct,
            quarantine: false,
            reuse: true,
            lookup: Lookup::System,
            dns_ttl: Duration::ZERO,
            family: Family::Any,
            local_address: None,
            headers: Vec::new(),
            header_limits: HeaderLimits::default(),
        }
    }
}

/// Which pins are in force.
#[derive(Clone, Debug)]
pub enum PolicyChoice {
    /// These, until the client is given others.
    Own(Arc<Policy>),
    /// Those that many clients obey.
    Live(LivePolicy),
}

impl Default for PolicyChoice {
    /// None.
    fn default() -> Self {
        Self::Own(Arc::default())
    }
}

impl PolicyChoice {
    /// Whether it pins something, or may one day.
    pub(crate) fn may_pin(&self) -> bool {
        match self {
            Self::Own(policy) => !policy.is_empty(),
            Self::Live(_) => true,
        }
    }
}

impl From<Policy> for PolicyChoice {
    fn from(policy: Policy) -> Self {
        Arc::new(policy).into()
    }
}

impl From<Arc<Policy>> for PolicyChoice {
    fn from(policy: Arc<Policy>) -> Self {
        Self::Own(policy)
    }
}

/// Which versions of HTTP are offered to servers (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Http2Choice {
    /// HTTP/1.1 alone.
    Never,
    /// HTTP/2 and, for servers without it, HTTP/1.1.
    Offer,
    /// HTTP/2 alone. `http:` URLs are refused: without TLS nobody agrees on it.
    Only,
}

impl Http2Choice {
    /// The names of the protocols (RFC 7301 §6), the preferred one first.
    pub(crate) fn protocols(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Never => &[b"http/1.1"],
            Self::Offer => &[b"h2", b"http/1.1"],
            Self::Only => &[b"h2"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

/// What HTTP/2 connections are like (RFC 9113).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Http2Settings {
    /// How many bytes of a response's body may be under way to somebody who has not read them (RFC 9113 §6.9.2); at most
    /// 2³¹ − 1.
    pub stream_window: u32,
    /// The same of all bodies of a connection together (RFC 9113 §6.9); from 65,535 to 2³¹ − 1.
    pub connection_window: u32,
    /// How large a frame may be that the server sends, in bytes: from 2¹⁴ to 2²⁴ − 1 (RFC 9113 §4.2). 2¹⁴ and unsaid when
    /// `None`.
    pub max_frame_size: Option<u32>,
    /// How large a table of fields the server may keep for its header compression, in bytes (RFC 7541 §4.2). 4096 and
    /// unsaid when `None`.
    pub header_table_size: Option<u32>,
    /// How many requests a connection may have under way, where the server allows more; at least 1. As many as the server
    /// allows when `None`.
    pub max_streams: Option<u32>,
    /// How many connections an origin may have; at least 1. Another is made when requests wait because those that are
    /// there have as many under way as they may.
    pub connections: usize,
    /// Whether silent connections are asked if they live.
    pub keep_alive: Option<KeepAlive>,
}

impl Default for Http2Settings {
    fn default() -> Self {
        Self {
            // the protocol's default of 64 KiB would stall a fast transfer on every round trip
            stream_window: 4 << 20,
            connection_window: 16 << 20,
            max_frame_size: None,
            header_table_size: None,
            max_streams: None,
            connections: 1,
            keep_alive: Some(KeepAlive::default()),
        }
    }
}

/// What a client offers in TLS and says over HTTP/2, by the numbers of IANA's registries, each list in the order in which
/// it is said. What the cryptography at hand lacks is left out; it is never added to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Look {
    /// TLS cipher suites.
    pub cipher_suites: Vec<u16>,
    /// Groups of the key exchange (RFC 8446 §4.2.7), X25519MLKEM768 among them where it is to be offered.
    pub groups: Vec<u16>,
    /// Signature schemes of certificates and handshakes (RFC 8446 §4.2.3).
    pub signature_schemes: Vec<u16>,
    /// Algorithms of certificate compression (RFC 8879 §3).
    pub certificate_compression: Vec<u16>,
    /// How many streams the server may push (`SETTINGS_MAX_CONCURRENT_STREAMS`), of which none is allowed.
    pub max_pushed_streams: Option<u32>,
    /// How large a header section the server is told to keep to (`SETTINGS_MAX_HEADER_LIST_SIZE`).
    pub max_header_list_size: Option<u32>,
}

/// When a silent HTTP/2 connection is asked whether it lives (RFC 9113 §6.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeepAlive {
    /// How long it may be silent while requests are under way.
    pub interval: Duration,
    /// How long its answer may take before it is taken for dead and closed.
    pub timeout: Duration,
}

impl Default for KeepAlive {
    /// A connection whose packets vanish must not keep its origin: HTTP/1.1 recovers by itself.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(15),
        }
    }
}

/// How large the header section of a response, or its trailer section, may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeaderLimits {
    /// In bytes: over HTTP/1.1 those that are sent, status line and line ends included; over HTTP/2 names and values, and
    /// 32 for each field (RFC 9113 §6.5.2).
    pub bytes: u32,
    /// In field lines.
    pub count: u32,
}

impl Default for HeaderLimits {
    /// As much as browsers take.
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            count: 512,
        }
    }
}

/// What becomes of redirects (fetch standard, redirect mode).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RedirectMode {
    /// They are followed; each hop is pinned by its own host's pins.
    Follow,
    /// They are responses like any other.
    Manual,
    /// They are errors.
    Error,
}

/// Which proxies connections go through.
#[derive(Clone, Debug)]
pub enum ProxyChoice {
    /// None.
    Direct,
    /// This one.
    Always(Proxy),
    /// Those that the environment names, for the targets that it names.
    Environment(EnvironmentProxies),
}

impl ProxyChoice {
    fn proxy_for(&self, scheme: Scheme, host: &Host, port: u16) -> Option<Proxy> {
        match self {
            Self::Direct => None,
            Self::Always(proxy) => Some(proxy.clone()),
            Self::Environment(proxies) => proxies.for_target(scheme, host, port).cloned(),
        }
    }
}

/// Which addresses are tried.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Family {
    /// Of either family.
    #[default]
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    pub(crate) fn covers(self, address: &IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// The lowest TLS version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MinVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// Whose word on certificates counts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Paths must end in one of these anchors.
    Anchors(TrustAnchors),
    /// Nobody's: certificates are not verified. Refused together with pins.
    Insecure,
}

/// Which trust anchors: by default Mozilla's, built in.
#[derive(Clone, Debug, Default)]
pub struct TrustAnchors {
    /// PEM or DER certificates in place of the built-in anchors.
    pub ca: Option<Vec<Vec<u8>>>,
    /// PEM or DER certificates besides the others.
    pub extra: Vec<Vec<u8>>,
    /// The operating system's anchors in place of the built-in ones.
    pub system: bool,
    /// Certificate revocation lists, in PEM or DER (RFC 5280 §5): paths must have no certificate that one of them names.
    pub crl: Vec<Vec<u8>>,
}

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// What two requests must have in common to share a connection or a TLS session.
///
/// Pools and sessions belong to one client, so what is fixed for the client's life needs no place here; the effective
/// pin set isn't here either: a swap judges live connections anew, and gives the host another verifier, under which no
/// old session resumes (see `reload.rs`).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ConnectionKey {
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) server_name: Option<Host>,
    /// Which versions of HTTP are offered.
    pub(crate) http2: Http2Choice,
    /// The proxy that it goes through, credentials and all: another's connections are nobody else's.
    pub(crate) proxy: Option<Proxy>,
    /// The number of the one request that the connection is for; 0 where requests share.
    pub(crate) lone: u64,
}

impl ConnectionKey {
    /// Every field of [`Config`] is named here, so that a new one doesn't compile until somebody has decided whether
    /// connections depend on it.
    pub(crate) fn new(config: &Config, scheme: Scheme, host: Host, port: u16) -> Arc<Self> {
        let Config {
            // of the request or swapped with the policy: in the key, or judged again at each swap
            server_name,
            http2,
            proxy,
            policy: _,
            unpinned: _,
            // fixed for the client, whose pool and sessions nobody shares
            trust: _,
            identity: _,
            key_log: _,
            number: _,
            post_quantum: _,
            min_version: _,
            http2_settings: _,
            look: _,
            lookup: _,
            dns_ttl: _,
            family: _,
            local_address: _,
            // limits and fields: no bearing on who is at the other end
            connections: _,
            total_connections: _,
            timeout: _,
            connect_timeout: _,
            headers_timeout: _,
            body_timeout: _,
            retry: _,
            idle_timeout: _,
            max_response_bytes: _,
            decompress: _,
            max_expansion: _,
            redirect: _,
            max_redirects: _,
            cookies: _,
            quarantine: _,
            // a request that shares nothing has a key of its own
            reuse: _,
            headers: _,
            header_limits: _,
        } = config;
        Arc::new(Self {
            proxy: proxy.proxy_for(scheme, &host, port),
            scheme,
            host,
            port,
            server_name: server_name.clone(),
            http2: *http2,
            lone: 0,
        })
    }

    /// The same origin by another way.
    pub(crate) fn through(&self, proxy: Option<Proxy>) -> Arc<Self> {
        Arc::new(Self {
            proxy,
            ..self.clone()
        })
    }

    /// The same origin with other versions of HTTP.
    pub(crate) fn speaking(&self, http2: Http2Choice) -> Arc<Self> {
        Arc::new(Self {
            http2,
            ..self.clone()
        })
    }

    /// The same origin by a connection of one request's own.
    pub(crate) fn alone(&self) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            lone: NEXT.fetch_add(1, Ordering::Relaxed),
            ..self.clone()
        })
    }

    /// Whether the connection is one request's alone.
    pub(crate) fn is_lone(&self) -> bool {
        self.lone != 0
    }

    /// The proxy as an origin of its own, whose name its certificate must prove and whose pins its path must hold.
    pub(crate) fn of_proxy(proxy: &Proxy) -> Self {
        Self {
            scheme: if proxy.is_tls() {
                Scheme::Https
            } else {
                Scheme::Http
            },
            host: proxy.host().clone(),
            port: proxy.port(),
            server_name: None,
            http2: Http2Choice::Never,
            proxy: None,
            lone: 0,
        }
    }

    /// Whether requests are sent to the proxy itself, in absolute form (RFC 9112 §3.2.2).
    pub(crate) fn is_forwarded(&self) -> bool {
        self.scheme == Scheme::Http && self.proxy.as_ref().is_some_and(Proxy::is_http)
    }

    /// The name that the server must prove: the override, or the URL's host.
    pub(crate) fn proven_name(&self) -> &Host {
        self.server_name.as_ref().unwrap_or(&self.host)
    }
}
