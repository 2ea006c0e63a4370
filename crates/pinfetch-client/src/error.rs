//! Why a request got no response: one enum, with a stable code for each kind of failure.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pinfetch_pins::{BadPin, Host, PolicyError, VerifyCode, VerifyError};

use crate::coding::CodingError;
use crate::connect::proxy::ProxyError;
use crate::deadline::Phase;
use crate::exchange::upload::UploadError;
use crate::reload::CutOffs;

/// Why a request got no response. New variants may come; [`code`](Self::code) is the contract, the text is not.
///
/// Cheap to clone: one failed handshake answers every request that waited for it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The verified path holds none of the pins in force. Final: no other address or protocol is tried.
    #[error("{report}")]
    BadPin {
        /// What was expected and what was found.
        report: Arc<BadPin>,
        /// Who answered.
        remote: SocketAddr,
    },
    /// The server's certificate does not verify, whatever the pins.
    #[error("{source}")]
    Certificate {
        /// Which rule the chain broke.
        source: Arc<VerifyError>,
        /// Who was expected.
        host: Host,
        /// Who answered.
        remote: SocketAddr,
    },
    /// The TLS handshake failed for another reason than the certificate.
    #[error("TLS handshake with {host} failed: {source}")]
    Tls {
        /// What rustls says.
        source: Arc<rustls::Error>,
        /// Who was expected.
        host: Host,
        /// Who answered.
        remote: SocketAddr,
    },
    /// The host's name has no address.
    #[error("cannot resolve {host}: {reason}")]
    Dns {
        /// The name that was looked up.
        host: Host,
        /// The resolver's code, such as `ENOTFOUND`.
        system_code: Arc<str>,
        /// The resolver's own words.
        reason: Arc<str>,
    },
    /// No address of the host accepted a connection.
    #[error("cannot connect to {host} at {remote}: {source}")]
    Connect {
        /// The host.
        host: Host,
        /// The last address that was tried.
        remote: SocketAddr,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// A proxy opened no way to the host. Nothing else is tried: a proxy that can't be used is never gone round.
    #[error("{proxy}: {source}")]
    Proxy {
        /// The proxy, without credentials.
        proxy: Arc<str>,
        /// What it said.
        source: ProxyError,
    },
    /// The peer closed the connection before the response was whole.
    #[error("{host} closed the connection before the response was complete")]
    Closed {
        /// The host.
        host: Host,
        /// Who closed.
        remote: Option<SocketAddr>,
    },
    /// Reading from or writing to the connection failed.
    #[error("the connection to {host} failed: {source}")]
    Socket {
        /// The host.
        host: Host,
        /// Who was at the other end.
        remote: SocketAddr,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The request outlasted its limit.
    #[error("{phase} took more than {} ms", .limit.as_millis())]
    Timeout {
        /// What was under way.
        phase: Phase,
        /// The limit in force for this request.
        limit: Duration,
    },
    /// The client was closed before the request could be sent.
    #[error("the client is closed")]
    ClientClosed,
    /// The peer broke the rules of HTTP/1.1 (RFC 9112) or HTTP/2 (RFC 9113).
    #[error("{host} broke the rules of HTTP: {source}")]
    Protocol {
        /// The host.
        host: Host,
        /// Which rule: a [`Malformed`](crate::Malformed) over HTTP/1.1, h2's error or the same over HTTP/2.
        source: Arc<dyn std::error::Error + Send + Sync>,
        /// Whether it was HTTP/2.
        http2: bool,
    },
    /// The response body is larger than the limit.
    #[error("the response body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in force, in bytes.
        limit: u64,
    },
    /// The body's content coding is broken, or grows beyond what is asked for (RFC 9110 §8.4).
    #[error("the body that {host} sent cannot be decoded: {source}")]
    Coding {
        /// The host.
        host: Host,
        /// What is wrong.
        source: CodingError,
    },
    /// The request's own body could not be sent to its end.
    #[error("the body of the request to {host} could not be sent: {source}")]
    Upload {
        /// The host.
        host: Host,
        /// What is wrong.
        source: UploadError,
    },
    /// A redirect is not to be followed, or cannot be (fetch standard, HTTP-redirect fetch).
    #[error("{host} redirects: {problem}")]
    Redirect {
        /// The host that redirects.
        host: Host,
        /// Where to, without credentials; empty if it doesn't say.
        location: Arc<str>,
        /// Why that is not followed.
        problem: RedirectProblem,
    },
    /// The body cannot be saved in a file.
    #[error("cannot save the body as {}: {source}", .path.display())]
    File {
        /// The file that was asked for.
        path: Arc<std::path::Path>,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// Whoever keeps the client's cookies failed to give them.
    #[error("the cookie jar failed: {0}")]
    CookieJar(Arc<str>),
    /// The policy or an option is wrong.
    #[error(transparent)]
    Policy(Arc<PolicyError>),
    /// The host has no pins, and the client refuses hosts without.
    #[error("{host}:{port} has no pins, and this client refuses hosts without pins")]
    Unpinned {
        /// The host.
        host: Host,
        /// The port.
        port: u16,
    },
    /// A pin set has ended that refuses its hosts then.
    #[error("the pins of {pattern:?} for {host}:{port} ended{}, and its hosts are refused since", on(*.at))]
    Expired {
        /// The host.
        host: Host,
        /// The port.
        port: u16,
        /// The pattern of the set, in canonical form.
        pattern: Arc<str>,
        /// When it ended, in Unix seconds.
        at: i64,
    },
    /// The host is pinned and the URL's scheme is `http`: nothing would prove who answers.
    #[error("{host}:{port} is pinned: http: is refused, use https:")]
    Plaintext {
        /// The host.
        host: Host,
        /// The port.
        port: u16,
    },
    /// The policy to be put in force refuses connections that have traffic; the one before stays in force.
    #[error("{0}")]
    CutsOff(Arc<CutOffs>),
    /// An option contradicts another or cannot be read.
    #[error("{problem}")]
    Option {
        /// Which of the option's failures.
        code: Code,
        /// What is wrong and how to mend it.
        problem: Arc<str>,
    },
    /// The URL cannot be requested.
    #[error("invalid URL {}: {problem}", quoted(.url))]
    Url {
        /// As it was given, without credentials.
        url: Arc<str>,
        /// What is wrong.
        problem: Arc<str>,
    },
    /// The method or a header field cannot be sent.
    #[error("{0}")]
    Argument(Arc<str>),
    /// Our own fault.
    #[error("internal error, please report: {0}")]
    Internal(Arc<str>),
}

/// A moment, in words.
/// A URL may have megabytes: its beginning is enough to recognise it by.
fn quoted(url: &str) -> String {
    const ENOUGH: usize = 200;
    match url.char_indices().nth(ENOUGH) {
        Some((end, _)) => format!("{:?}… ({} bytes)", url.split_at(end).0, url.len()),
        None => format!("{url:?}"),
    }
}

fn on(at: i64) -> String {
    u64::try_from(at).map_or_else(
        |_| String::new(),
        |at| {
            let at = std::time::UNIX_EPOCH + Duration::from_secs(at);
            format!(" on {}", httpdate::fmt_http_date(at))
        },
    )
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectProblem {
    /// The request says so.
    #[error("the request's redirect mode is error")]
    Refused,
    /// More than the limit in a row.
    #[error("more than {limit} redirects in a row")]
    TooMany {
        /// The limit in force.
        limit: u32,
    },
    /// The Location field is no http: or https: URL.
    #[error("its Location cannot be requested")]
    Location,
    /// The body would have to be sent again, and was a stream.
    #[error("the body is a stream, which cannot be sent again")]
    Body,
}

impl RequestError {
    /// The stable code. Exhaustive here, where it can be: a new variant must choose.
    pub fn code(&self) -> Code {
        match self {
            Self::BadPin { .. } => Code::BadPin,
            Self::Certificate { source, .. } => Code::of_verify(source.code()),
            Self::Tls { source, .. } => match **source {
                rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)
                | rustls::Error::PeerIncompatible(_) => Code::TlsVersion,
                rustls::Error::NoApplicationProtocol
                | rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol) => {
                    Code::TlsAlpn
                }
                rustls::Error::AlertReceived(_) => Code::TlsAlert,
                rustls::Error::NoCertificatesPresented => Code::TlsNoCertificate,
                _ => Code::TlsHandshake, // rustls' errors are open-ended: the rest is the general kind
            },
            Self::Dns { .. } => Code::Dns,
            Self::Connect { .. } => Code::Connect,
            Self::Proxy {
                source: ProxyError::Quarantined,
                ..
            } => Code::ProxyQuarantined,
            Self::Proxy { .. } => Code::Proxy,
            Self::Closed { .. } => Code::ConnectionClosed,
            Self::Socket { .. } => Code::Socket,
            Self::Timeout { .. } => Code::Timeout,
            Self::ClientClosed => Code::ClientClosed,
            Self::Protocol { http2: true, .. } => Code::Http2,
            Self::Protocol { http2: false, .. } => Code::HttpProtocol,
            Self::BodyTooLarge { .. } => Code::BodyTooLarge,
            Self::Coding { source, .. } => match source {
                CodingError::TooExpanded { .. } => Code::Expansion,
                CodingError::TooLarge { .. } => Code::BodyTooLarge,
                CodingError::Corrupt { .. }
                | CodingError::Truncated { .. }
                | CodingError::TooMany { .. } => Code::Coding,
            },
            Self::Redirect {
                problem: RedirectProblem::TooMany { .. },
                ..
            } => Code::TooManyRedirects,
            Self::Redirect { .. } => Code::Redirect,
            Self::Upload { .. } => Code::RequestBody,
            Self::File { .. } => Code::File,
            Self::CookieJar(_) => Code::CookieJar,
            Self::Policy(error) => Code::of_policy(error),
            Self::Unpinned { .. } => Code::PolicyUnpinned,
            Self::Expired { .. } => Code::PolicyExpired,
            Self::Plaintext { .. } => Code::PolicyPlaintext,
            Self::CutsOff(_) => Code::PolicyCutsOff,
            Self::Option { code, .. } => *code,
            Self::Url { .. } => Code::InvalidUrl,
            Self::Argument(_) => Code::InvalidArgument,
            Self::Internal(_) => Code::Internal,
        }
    }

    /// Whether the failure is a verdict on who answered, which no retry may change.
    pub fn is_verdict(&self) -> bool {
        matches!(self, Self::BadPin { .. } | Self::Certificate { .. })
    }
}

impl From<PolicyError> for RequestError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(Arc::new(error))
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal, $text:literal;)*) => {
        /// A stable code for each kind of failure: a number for records, a text for people. Neither is ever reused.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])* $name = $number,)*
        }

        impl Code {
            /// Every code, for tests that walk them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as users see it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// Our own fault.
    Internal = 1, "ERR_INTERNAL";
    /// The addon cannot be loaded: JavaScript's to tell, since there is no engine then.
    Addon = 2, "ERR_ADDON";
    /// The verified path holds no pin in force.
    BadPin = 10, "ERR_BAD_PIN";
    /// A certificate of every path has expired.
    CertExpired = 11, "ERR_CERT_EXPIRED";
    /// A certificate of every path is not valid yet.
    CertNotYetValid = 12, "ERR_CERT_NOT_YET_VALID";
    /// The certificate is for other names.
    CertNameMismatch = 13, "ERR_CERT_NAME_MISMATCH";
    /// No path ends in a trust anchor.
    CertUnknownIssuer = 14, "ERR_CERT_UNKNOWN_ISSUER";
    /// A certificate was revoked.
    CertRevoked = 15, "ERR_CERT_REVOKED";
    /// The certificate is not for servers.
    CertInvalidPurpose = 16, "ERR_CERT_INVALID_PURPOSE";
    /// A signature is wrong, or of an algorithm that is not accepted.
    CertBadSignature = 17, "ERR_CERT_BAD_SIGNATURE";
    /// A certificate cannot be parsed.
    CertBadEncoding = 18, "ERR_CERT_BAD_ENCODING";
    /// Path building gave up within its budget.
    CertTooComplex = 19, "ERR_CERT_TOO_COMPLEX";
    /// A constraint of a CA forbids the certificate.
    CertConstraint = 20, "ERR_CERT_CONSTRAINT";
    /// Another rule of RFC 5280 is broken.
    CertInvalid = 21, "ERR_CERT_INVALID";
    /// The handshake failed.
    TlsHandshake = 30, "ERR_TLS_HANDSHAKE";
    /// The peer refused the handshake.
    TlsAlert = 31, "ERR_TLS_ALERT";
    /// The peer sent no certificate.
    TlsNoCertificate = 32, "ERR_TLS_NO_CERTIFICATE";
    /// No TLS version or parameter in common.
    TlsVersion = 33, "ERR_TLS_VERSION";
    /// No version of HTTP in common.
    TlsAlpn = 34, "ERR_TLS_ALPN";
    /// The name has no address.
    Dns = 40, "ERR_DNS";
    /// No address accepted a connection.
    Connect = 41, "ERR_CONNECT";
    /// The connection ended too early.
    ConnectionClosed = 42, "ERR_CONNECTION_CLOSED";
    /// Reading or writing failed.
    Socket = 43, "ERR_SOCKET";
    /// A proxy refused or failed.
    Proxy = 44, "ERR_PROXY";
    /// A bad pin was met through the proxy before.
    ProxyQuarantined = 45, "ERR_PROXY_QUARANTINED";
    /// A time limit passed.
    Timeout = 50, "ERR_TIMEOUT";
    /// The caller's signal.
    Aborted = 51, "ABORT_ERR";
    /// The client is closed.
    ClientClosed = 52, "ERR_CLIENT_CLOSED";
    /// A body cannot be saved in a file.
    File = 53, "ERR_FILE";
    /// Whoever keeps the client's cookies failed.
    CookieJar = 54, "ERR_COOKIE_JAR";
    /// HTTP/1.1's rules were broken.
    HttpProtocol = 60, "ERR_HTTP_PROTOCOL";
    /// The body passes the limit.
    BodyTooLarge = 61, "ERR_HTTP_BODY_TOO_LARGE";
    /// HTTP/2's rules were broken.
    Http2 = 62, "ERR_HTTP2";
    /// A content coding is broken.
    Coding = 63, "ERR_HTTP_CONTENT_CODING";
    /// A content coding grows too much.
    Expansion = 64, "ERR_HTTP_EXPANSION";
    /// A redirect is not to be followed, or cannot be.
    Redirect = 65, "ERR_HTTP_REDIRECT";
    /// Too many redirects in a row.
    TooManyRedirects = 66, "ERR_HTTP_TOO_MANY_REDIRECTS";
    /// The request's own body could not be sent to its end.
    RequestBody = 67, "ERR_HTTP_REQUEST_BODY";
    /// A pin cannot be read.
    PolicyInvalidPin = 70, "ERR_POLICY_INVALID_PIN";
    /// A host pattern cannot be read.
    PolicyInvalidHost = 71, "ERR_POLICY_INVALID_HOST";
    /// The same pattern twice.
    PolicyDuplicateHost = 72, "ERR_POLICY_DUPLICATE_HOST";
    /// A pattern without pins.
    PolicyEmptyPinSet = 73, "ERR_POLICY_EMPTY_PIN_SET";
    /// A wildcard over a public suffix.
    PolicyPublicSuffix = 74, "ERR_POLICY_PUBLIC_SUFFIX";
    /// The host has no pins and must have some.
    PolicyUnpinned = 75, "ERR_POLICY_UNPINNED";
    /// `http:` to a pinned host.
    PolicyPlaintext = 76, "ERR_POLICY_PLAINTEXT";
    /// Pins together with skipped verification.
    PolicyInsecure = 77, "ERR_POLICY_INSECURE";
    /// An option is unknown, contradictory or of the wrong type.
    PolicyInvalidOption = 78, "ERR_POLICY_INVALID_OPTION";
    /// A trust anchor cannot be read.
    PolicyInvalidCa = 79, "ERR_POLICY_INVALID_CA";
    /// An exclusion of a policy file with settings of a pin set, and no pins.
    PolicyInvalidExclude = 80, "ERR_POLICY_INVALID_EXCLUDE";
    /// A pin set has ended.
    PolicyExpired = 81, "ERR_POLICY_EXPIRED";
    /// A policy file that must be signed is not.
    PolicyUnsigned = 82, "ERR_POLICY_UNSIGNED";
    /// The signature of a policy file is wrong, or not of those who may sign.
    PolicySignature = 83, "ERR_POLICY_SIGNATURE";
    /// A policy file is older than one that was seen.
    PolicyRollback = 84, "ERR_POLICY_ROLLBACK";
    /// A named set of a CA's roots that is unknown, or of which nobody said as of when.
    PolicyCaSet = 85, "ERR_POLICY_CA_SET";
    /// A new policy refuses connections that have traffic.
    PolicyCutsOff = 86, "ERR_POLICY_CUTS_OFF";
    /// The signature of a policy file has ended.
    PolicySignatureExpired = 87, "ERR_POLICY_SIGNATURE_EXPIRED";
    /// The URL cannot be requested.
    InvalidUrl = 90, "ERR_INVALID_URL";
    /// A method or header field cannot be sent.
    InvalidArgument = 91, "ERR_INVALID_ARGUMENT";
}

impl Code {
    /// The code of a certificate that does not verify.
    pub fn of_verify(code: VerifyCode) -> Self {
        Self::named(code.as_str())
    }

    /// The code of a policy that cannot be compiled.
    pub fn of_policy(error: &PolicyError) -> Self {
        Self::named(error.code())
    }

    /// The crate below names its codes as this one does; `tests` walks both lists.
    fn named(text: &str) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .unwrap_or(Self::Internal)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_pins_crate_has_a_number_here() {
        for code in VerifyCode::ALL {
            assert_ne!(Code::of_verify(*code), Code::Internal, "{}", code.as_str());
        }
    }

    #[test]
    fn no_code_stands_twice() {
        for (index, code) in Code::ALL.iter().enumerate() {
            for other in &Code::ALL[index + 1..] {
                assert_ne!(code.as_str(), other.as_str());
                assert_ne!(*code as u16, *other as u16);
            }
        }
    }
}
