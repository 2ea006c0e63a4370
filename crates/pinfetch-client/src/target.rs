//! From a URL's text to where its request goes.
//!
//! One reading of the host, the URL standard's, serves pins, DNS, server name, pool and `Host`. That reading costs more
//! than all else about a small request, so it is remembered by the text in front of the path: the same text always
//! means the same origin. Only texts whose path the URL standard would leave as it stands take that way.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;
use http::uri::{Authority, PathAndQuery};
use http::{Uri, uri};
use pinfetch_pins::Host;
use url::{Position, Url};

use crate::config::{Config, ConnectionKey, Scheme};
use crate::error::RequestError;
use crate::exchange::fields::{Field, write_line};

/// Origins whose reading a client remembers before it begins anew.
const REMEMBERED: usize = 4096;

/// Where requests to one origin go, and the fields that all of them carry.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) key: Arc<ConnectionKey>,
    scheme: uri::Scheme,
    authority: Authority,
    /// `Host` (RFC 9112 §3.2) and the client's own fields, as HTTP/1.1 sends them.
    http1_fields: Vec<u8>,
    /// How many bytes of these are `Host`'s line.
    host_line: usize,
}

/// A URL that was read.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) destination: Arc<Destination>,
    path: PathAndQuery,
    /// The canonical URL without its fragment, where it differs from the text.
    pub(crate) url: Option<String>,
}

impl Target {
    /// HTTP/2 sends its parts as pseudo-header fields (RFC 9113 §8.3.1).
    pub(crate) fn absolute(&self) -> Uri {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.destination.scheme.clone());
        parts.authority = Some(self.destination.authority.clone());
        parts.path_and_query = Some(self.path.clone());
        Uri::from_parts(parts).expect("a scheme, an authority and a path make a URI")
    }

    /// The whole URL.
    pub(crate) fn to_text(&self) -> String {
        let Destination {
            scheme, authority, ..
        } = &*self.destination;
        format!("{scheme}://{authority}{}", self.path)
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &str {
        self.path.path()
    }

    /// HTTP/1.1 sends the origin form (RFC 9112 §3.2.1).
    pub(crate) fn origin_form(&self) -> &str {
        self.path.as_str()
    }
}

impl Destination {
    /// Writes `Host` and `fields`, or the client's own where the request has none (RFC 9112 §5).
    pub(crate) fn write_fields(&self, fields: Option<&[Field]>, out: &mut Vec<u8>) {
        let Some(fields) = fields else {
            return out.extend_from_slice(&self.http1_fields);
        };
        out.extend_from_slice(self.http1_fields.get(..self.host_line).unwrap_or_default());
        for field in fields {
            field.write(out);
        }
    }
}

/// The origins that one client has read.
#[derive(Debug, Default)]
pub(crate) struct Destinations(Mutex<HashMap<Box<str>, Arc<Destination>>>);

impl Destinations {
    /// Reads `text`. `fields` are those that the client's requests carry.
    pub(crate) fn read(
        &self,
        config: &Config,
        fields: &[Field],
        text: &str,
    ) -> Result<Target, RequestError> {
        let plain = split_plain(text);
        if let Some((origin, path)) = plain
            && let Some(destination) = self.lock().get(origin)
            && let Ok(path) = PathAndQuery::try_from(path)
        {
            return Ok(Target {
                destination: destination.clone(),
                path,
                url: None,
            });
        }
        let target = read(config, fields, text)?;
        // only a canonical text is remembered: of any other, the response must tell the canonical URL each time
        if let Some((origin, _)) = plain
            && target.url.is_none()
        {
            let mut remembered = self.lock();
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(origin.into(), target.destination.clone());
        }
        Ok(target)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Arc<Destination>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text up to the path, and path and query, if the URL standard leaves the latter as they stand: no character that
/// it strips, encodes or takes for another, no segment that may be a dot segment, no fragment.
fn split_plain(text: &str) -> Option<(&str, &str)> {
    let after_scheme = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))?;
    let authority = after_scheme.find('/')?;
    if authority == 0 {
        return None; // the URL standard skips further slashes, and takes the host from what follows
    }
    let path = authority + (text.len() - after_scheme.len());
    let mut before = 0;
    for byte in text.bytes() {
        let plain = match byte {
            b'.' => before != b'/' && before != b'.',
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'~'
            | b'/'
            | b'?'
            | b'='
            | b'&'
            | b'+'
            | b','
            | b';'
            | b':'
            | b'!'
            | b'$'
            | b'('
            | b')'
            | b'*' => true,
            _ => false,
        };
        if !plain {
            return None;
        }
        before = byte;
    }
    let (origin, rest) = text.split_at(path);
    // a query or fragment before the first slash would make that slash part of it
    (!origin.contains('?')).then_some((origin, rest))
}

/// Parses as the URL standard does.
fn read(config: &Config, fields: &[Field], text: &str) -> Result<Target, RequestError> {
    let Parsed {
        mut url,
        scheme,
        host,
        port,
    } = Parsed::of(text)?;
    let unsendable = |problem: &dyn std::fmt::Display| bad_url(text, &problem.to_string());
    let name = if host.ip().is_some_and(|ip| ip.is_ipv6()) {
        format!("[{host}]")
    } else {
        host.to_string()
    };
    let authority = url
        .port()
        .map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
    let path = PathAndQuery::try_from(&url[Position::BeforePath..Position::AfterQuery])
        .map_err(|error| unsendable(&error))?;
    let mut http1_fields = Vec::new();
    write_line(&mut http1_fields, b"host", authority.as_bytes());
    let host_line = http1_fields.len();
    for field in fields {
        field.write(&mut http1_fields);
    }
    let destination = Destination {
        key: ConnectionKey::new(config, scheme, host, port),
        scheme: match scheme {
            Scheme::Http => uri::Scheme::HTTP,
            Scheme::Https => uri::Scheme::HTTPS,
        },
        authority: Authority::try_from(authority).map_err(|error| unsendable(&error))?,
        http1_fields,
        host_line,
    };
    url.set_fragment(None);
    Ok(Target {
        destination: Arc::new(destination),
        path,
        url: (url.as_str() != text).then(|| url.into()),
    })
}

/// Reads `host` or `host:port` (RFC 3986 §3.2 without user information); the port is 443 by default.
///
/// # Errors
/// [`RequestError::Url`] for anything else, a URL included.
pub fn parse_authority(authority: &str) -> Result<(Host, u16), RequestError> {
    if authority.contains(['/', '\\', '?', '#', '@']) {
        return Err(bad_url(authority, "a host, or host:port, is expected"));
    }
    let Parsed { host, port, .. } = Parsed::of(&format!("https://{authority}/"))?;
    Ok((host, port))
}

struct Parsed {
    url: Url,
    scheme: Scheme,
    host: Host,
    port: u16,
}

impl Parsed {
    fn of(text: &str) -> Result<Self, RequestError> {
        let url = Url::parse(text).map_err(|error| bad_url(text, &error.to_string()))?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            other => {
                return Err(bad_url(
                    text,
                    &format!("the scheme {other}: is not http: or https:"),
                ));
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad_url(
                text,
                "credentials in a URL are refused: send an Authorization field",
            ));
        }
        let host = url.host().ok_or_else(|| bad_url(text, "it has no host"))?;
        let host = Host::from_url(&host).map_err(|error| bad_url(text, &error.to_string()))?;
        let port = url
            .port_or_known_default()
            .ok_or_else(|| bad_url(text, "it has no port"))?;
        if port == 0 {
            return Err(bad_url(text, "port 0 cannot be connected to"));
        }
        Ok(Self {
            url,
            scheme,
            host,
            port,
        })
    }
}

fn bad_url(text: &str, problem: &str) -> RequestError {
    RequestError::Url {
        url: without_userinfo(text).into(),
        problem: problem.into(),
    }
}

/// `text` without what may be a user name and a password, even where it is no URL.
pub fn without_userinfo(text: &str) -> String {
    let start = text.find("//").map_or(0, |at| at + 2);
    let (head, rest) = text.split_at(start);
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host = authority
        .rfind('@')
        .map_or(authority, |at| authority.split_at(at + 1).1);
    format!("{head}{host}{tail}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(text: &str) -> (Result<Target, RequestError>, Result<Target, RequestError>) {
        let (config, fields, destinations) = (Config::default(), [], Destinations::default());
        let first = destinations.read(&config, &fields, text);
        let _ = first; // what it remembers is what the second reading uses
        (
            destinations.read(&config, &fields, text),
            read(&config, &fields, text),
        )
    }

    fn assert_same(text: &str) {
        match both(text) {
            (Ok(remembered), Ok(parsed)) => {
                assert_eq!(remembered.destination.key, parsed.destination.key, "{text}");
                assert_eq!(remembered.absolute(), parsed.absolute(), "{text}");
                assert_eq!(remembered.url, parsed.url, "{text}");
            }
            (Err(_), Err(_)) => {}
            (remembered, parsed) => panic!("{text}: {remembered:?} is not {parsed:?}"),
        }
    }

    proptest! {
        #[test]
        fn a_remembered_reading_is_the_url_standards(text in r"https?://[a-zA-Z0-9.:@\[\]_%\\-]{0,20}[/?#\\]?[ -~\t]{0,24}") {
            assert_same(&text);
        }
    }

    #[test]
    fn odd_urls_read_the_same_twice() {
        for text in [
            "https://API.example.com/a/../b",
            "https://api.example.com./x",
            "https://example.com/a b",
            "https://example.com/a?b'c",
            "https://example.com/.well-known/x",
            "https://example.com/%2e%2e/x",
            "https://example.com?a/b",
            "https://example.com:443/",
            "https://0x7f.1/",
            "https://example.com\\@evil.test/",
            "https://[::1]:8443/x",
            "https://exa\tmple.com/",
            "https:///example.com",
            "https:////example.com/x",
        ] {
            assert_same(text);
        }
    }

    #[test]
    fn an_origin_without_text_is_not_remembered() {
        let (config, destinations) = (Config::default(), Destinations::default());
        for (text, host) in [("https:///a.test", "a.test"), ("https:///b.test", "b.test")] {
            let target = destinations.read(&config, &[], text).unwrap();
            assert_eq!(target.destination.key.host.as_str(), host);
        }
    }

    #[test]
    fn a_bad_url_is_quoted_without_credentials() {
        for text in [
            "https://user:secret@example.com/x",
            "ftp://user:secret@example.com/",
            "https://user:secret@",
        ] {
            let error = parse_url_error(text);
            assert!(!error.contains("secret"), "{error}");
        }
    }

    fn parse_url_error(text: &str) -> String {
        read(&Config::default(), &[], text)
            .expect_err(text)
            .to_string()
    }
}
