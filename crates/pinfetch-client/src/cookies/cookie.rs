//! A cookie, and the rules that it must keep wherever it comes from (draft-ietf-httpbis-rfc6265bis §5.7).

use std::fmt;

use pinfetch_pins::is_public_suffix;

use super::error::CookieError;
use super::origin::Origin;
use super::parse::{NAME_AND_VALUE, PathAttribute, SetCookie, is_control};

/// A cookie as a [`CookieJar`](super::CookieJar) holds it. Times are Unix milliseconds.
///
/// Name and value are the octets that the server sent, never decoded; most servers mean UTF-8 or ASCII. `Debug` leaves
/// the value out.
#[derive(Clone, Eq, PartialEq)]
pub struct Cookie {
    /// May be empty: such a cookie is sent without an equals sign.
    pub name: Vec<u8>,
    /// May be empty, though not together with the name.
    pub value: Vec<u8>,
    /// The host in its canonical form (lower case, A-labels, no dot at either end, IPv6 without brackets).
    pub domain: String,
    /// Whether only `domain` itself gets the cookie, and no host below it.
    pub host_only: bool,
    /// Begins with a slash.
    pub path: String,
    /// Whether only secure origins get the cookie: TLS, or this machine.
    pub secure: bool,
    /// Whether the server wants it hidden from a page's scripts. Means nothing to a client without pages.
    pub http_only: bool,
    /// What the server wants of requests that other sites cause. Kept for those who ask; the jar sends it all the same.
    pub same_site: SameSite,
    /// When it ends; none: with the session, so with the jar.
    pub expires: Option<i64>,
    /// When a cookie of this name, domain and path first came.
    pub created: i64,
    /// When it was last set or sent.
    pub last_access: i64,
}

/// The `SameSite` attribute (§5.6.7).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum SameSite {
    /// None given, or none that is known.
    #[default]
    Default,
    /// For requests of any site's making.
    None,
    /// For requests of its own site's making and for navigation to it.
    Lax,
    /// For requests of its own site's making.
    Strict,
}

/// Which part of a cookie breaks a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Name,
    Value,
    Path,
}

impl SameSite {
    /// The attribute's value, in any case.
    pub(super) fn of(value: &[u8]) -> Option<Self> {
        [Self::None, Self::Lax, Self::Strict]
            .into_iter()
            .find(|known| {
                known
                    .name()
                    .is_some_and(|name| value.eq_ignore_ascii_case(name.as_bytes()))
            })
    }

    /// In lower case, as a serialised jar has it.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::None => Some("none"),
            Self::Lax => Some("lax"),
            Self::Strict => Some("strict"),
        }
    }
}

impl Cookie {
    /// What becomes of `set` when `origin` sends it at `now`: all of §5.7 up to step 22 that no other cookie has a say in.
    /// Step 18 is left out: without pages there are no cross-site requests.
    pub(super) fn received(
        set: &SetCookie<'_>,
        origin: &Origin<'_>,
        now: i64,
    ) -> Result<Self, CookieError> {
        let domain = attributed_domain(set.domain, origin)?;
        let path = match set.path {
            PathAttribute::Given(path) => ascii(path).ok_or(CookieError::PathNotAscii)?,
            PathAttribute::Absent | PathAttribute::Default => origin.default_path(),
        };
        let cookie = Self {
            name: set.name.to_vec(),
            value: set.value.to_vec(),
            host_only: domain.is_none(),
            domain: domain.unwrap_or_else(|| origin.host.to_string()),
            path: path.to_owned(),
            secure: set.secure,
            http_only: set.http_only,
            same_site: set.same_site,
            expires: set.expires,
            created: now,
            last_access: now,
        };
        if cookie.secure && !origin.is_secure {
            return Err(CookieError::InsecureOrigin);
        }
        if cookie.same_site == SameSite::None && !cookie.secure {
            return Err(CookieError::SameSiteNoneInsecure);
        }
        if has_prefix(&cookie.name, HOST) && set.path == PathAttribute::Absent {
            return Err(CookieError::HostPrefix); // although the default path may be a slash
        }
        cookie.check().map_err(|(_, error)| error)?;
        Ok(cookie)
    }

    /// The rules that hold for a cookie by itself (§5.7 steps 2 to 4 and 20 to 22, and what the parser sees to), with the
    /// part that breaks one.
    pub(super) fn check(&self) -> Result<(), (Part, CookieError)> {
        let (name, value) = (&self.name, &self.value);
        if name.is_empty() && value.is_empty() {
            return Err((Part::Name, CookieError::Empty));
        }
        for (part, octets, delimiters) in [
            (Part::Name, name, &b";="[..]),
            (Part::Value, value, &b";"[..]),
        ] {
            if octets.iter().any(|octet| is_control(*octet)) {
                return Err((part, CookieError::ControlCharacter));
            }
            if octets.iter().any(|octet| delimiters.contains(octet)) {
                return Err((part, CookieError::Delimiter));
            }
        }
        let octets = name.len() + value.len();
        if octets > NAME_AND_VALUE {
            return Err((Part::Value, CookieError::TooLong { octets }));
        }
        if !self.path.is_ascii() {
            return Err((Part::Path, CookieError::PathNotAscii));
        }
        if !self.path.starts_with('/') {
            return Err((Part::Path, CookieError::PathNotAbsolute));
        }
        if has_prefix(name, SECURE) && !self.secure {
            return Err((Part::Name, CookieError::SecurePrefix));
        }
        if has_prefix(name, HOST) && !(self.secure && self.host_only && self.path == "/") {
            return Err((Part::Name, CookieError::HostPrefix));
        }
        // `=__Host-a=b` has no name either: its value is what a server takes for a name and a value
        if name.is_empty() && (has_prefix(value, SECURE) || has_prefix(value, HOST)) {
            return Err((Part::Value, CookieError::NamelessPrefix));
        }
        Ok(())
    }

    /// Whether its time is over.
    pub(super) fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookie")
            .field("name", &String::from_utf8_lossy(&self.name))
            .field("domain", &self.domain)
            .field("host_only", &self.host_only)
            .field("path", &self.path)
            .field("secure", &self.secure)
            .field("http_only", &self.http_only)
            .field("same_site", &self.same_site)
            .field("expires", &self.expires)
            .field("created", &self.created)
            .field("last_access", &self.last_access)
            .finish_non_exhaustive()
    }
}

/// The cookie's domain if hosts below it shall get it too (§5.7 steps 7 to 10); none for a host-only cookie.
fn attributed_domain(attribute: &[u8], origin: &Origin<'_>) -> Result<Option<String>, CookieError> {
    if attribute.is_empty() {
        return Ok(None);
    }
    let domain = ascii(attribute)
        .ok_or(CookieError::DomainNotAscii)?
        .to_ascii_lowercase();
    if origin.host.ip().is_none() && is_public_suffix(&domain) {
        if domain == origin.host.as_str() {
            return Ok(None);
        }
        return Err(CookieError::PublicSuffix { domain });
    }
    if !origin.is_covered_by(&domain) {
        return Err(CookieError::DomainMismatch {
            domain,
            host: origin.host.to_string(),
        });
    }
    Ok(Some(domain))
}

const SECURE: &[u8] = b"__Secure-";
const HOST: &[u8] = b"__Host-";

/// Whatever the case (§5.4).
fn has_prefix(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn ascii(text: &[u8]) -> Option<&str> {
    text.is_ascii()
        .then(|| std::str::from_utf8(text).ok())
        .flatten()
}
