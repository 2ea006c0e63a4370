//! Why a URL names no proxy, and why a proxy opened no tunnel. Credentials enter neither.

use std::fmt;
use std::io;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, StatusCode};
use pinfetch_pins::HostError;

/// Why a text is not the URL of a proxy: the place and the mend. Nothing of the text is quoted, since any of it may be
/// credentials.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// No scheme, or another than the four.
    #[error("a proxy's URL begins with http://, https://, socks5:// or socks5h://")]
    Scheme,
    /// A space, a control character or a backslash, which readers of URLs take for different things.
    #[error(
        "a proxy's URL holds no space, control character or backslash: write it in the user name or password as % and \
         two hexadecimal digits"
    )]
    Character,
    /// Something after the port.
    #[error(
        "a proxy's URL ends after the port, without path, query and fragment: in the user name or password, write / as \
         %2F, ? as %3F and # as %23"
    )]
    Path,
    /// Nothing where the host should be.
    #[error("a proxy's URL needs a host after the scheme and the credentials")]
    NoHost,
    /// An IPv6 address without brackets.
    #[error("the host is followed by more than a port: write an IPv6 address in brackets")]
    Brackets,
    /// A host that is none.
    #[error("the host cannot be read: {0}")]
    Host(HostError),
    /// A port that is none.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// An `@` with neither a user name nor a password before it: most likely a variable that wasn't set.
    #[error("user name and password are both empty: fill them in, or leave the @ out")]
    NoCredentials,
    /// A `%` that encodes nothing (RFC 3986 §2.1).
    #[error("{0}: % must be followed by two hexadecimal digits; write % itself as %25")]
    PercentEncoding(UserInformation),
    /// A control character, percent-encoded (RFC 7617 §2).
    #[error("{0}: control characters cannot be sent; leave them out")]
    Control(UserInformation),
    /// A colon in the user name of an HTTP proxy: everything after the first colon would be the password (RFC 7617 §2).
    #[error("the user name: an HTTP proxy's cannot hold a colon; leave it out")]
    Colon,
    /// More than SOCKS has room for (RFC 1929 §2).
    #[error("{0}: SOCKS has room for 255 bytes, shorten it")]
    TooLong(UserInformation),
}

/// A part of the user information of a URL (RFC 3986 §3.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UserInformation {
    /// What stands before the first colon.
    UserName,
    /// What stands after it.
    Password,
}

impl fmt::Display for UserInformation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserName => "the user name",
            Self::Password => "the password",
        })
    }
}

/// Why a proxy opened no tunnel. Cheap to clone: one refusal answers every request that waited for the connection.
///
/// Text of the proxy's is in it as the proxy sent it, less what holds the credentials.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// An HTTP proxy answered CONNECT with another status than 2xx, such as 407 (it wants credentials, or others) or 502
    /// (it cannot reach the server). Its body is not read.
    #[error("the proxy refused with status {}{}", .status.as_u16(), Words(.reason))]
    Refused {
        /// The status; never 1xx or 2xx.
        status: StatusCode,
        /// The reason phrase, shortened; empty if the proxy gave none, or one with the credentials in it.
        reason: Arc<str>,
        /// The response's fields, such as `proxy-authenticate`, less those with the credentials in them.
        fields: Arc<HeaderMap>,
    },
    /// A bad pin was met through the proxy before, and the client has it that nothing goes through such a proxy.
    #[error(
        "nothing goes through the proxy since a bad pin was met through it, until it is released"
    )]
    Quarantined,
    /// A SOCKS proxy doesn't let this client in, whatever the server (RFC 1928 §3, RFC 1929 §2).
    #[error("{}", refused_credentials(*.given, *.status))]
    Authentication {
        /// Whether there were credentials to give.
        given: bool,
        /// The status by which the proxy rejected them; none if it didn't ask for them.
        status: Option<u8>,
    },
    /// A SOCKS proxy has not reached the server (RFC 1928 §6).
    #[error("the proxy refused with SOCKS reply {code}: {meaning}")]
    Socks {
        /// The reply code; never 0.
        code: u8,
        /// What RFC 1928 says that it means.
        meaning: &'static str,
    },
    /// The proxy broke the rules of its protocol, or speaks another one.
    #[error("the proxy broke the rules: {problem}")]
    Malformed {
        /// Which rule.
        problem: Arc<str>,
    },
    /// The proxy closed the connection before the tunnel was open.
    #[error("the proxy closed the connection before the tunnel was open")]
    Closed,
    /// Reading from or writing to the proxy failed.
    #[error("the connection to the proxy failed: {0}")]
    Io(#[source] Arc<io::Error>),
    /// A field of the caller's cannot go with CONNECT. Nothing was sent.
    #[error(transparent)]
    Field(#[from] ConnectFieldError),
}

impl ProxyError {
    /// Whether other credentials may help: 407, or a SOCKS proxy's word for it.
    pub fn is_authentication(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            Self::Authentication { .. } => true,
            Self::Socks { .. }
            | Self::Malformed { .. }
            | Self::Closed
            | Self::Io(_)
            | Self::Quarantined
            | Self::Field(_) => false,
        }
    }

    pub(super) fn malformed(problem: &str) -> Self {
        Self::Malformed {
            problem: problem.into(),
        }
    }
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(Arc::new(error)),
        }
    }
}

/// Why a field cannot go with a CONNECT request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFieldError {
    /// It is made here, or says something of content, which CONNECT has none of (RFC 9110 §9.3.6).
    #[error("{0}: CONNECT requests have one of their own, or none; leave it out")]
    Reserved(HeaderName),
    /// More than one `Proxy-Authorization`, counting the credentials in the proxy's URL.
    #[error(
        "proxy-authorization: there are several, counting the credentials in the proxy's URL; give one"
    )]
    TwoAuthorizations,
}

/// The proxy's own words in brackets, if there are any.
struct Words<'a>(&'a str);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.0)
    }
}

fn refused_credentials(given: bool, status: Option<u8>) -> String {
    match (given, status) {
        (_, Some(status)) => format!("the proxy rejected the credentials with status {status}"),
        (true, None) => {
            "the proxy takes neither a user name and password nor a client without".into()
        }
        (false, None) => {
            "the proxy lets no client in without credentials: put them into its URL before the host"
                .into()
        }
    }
}
