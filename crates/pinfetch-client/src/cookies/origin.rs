//! Where cookies come from and go to: hosts, domains and paths (draft-ietf-httpbis-rfc6265bis §5.1.2 to §5.1.4).

use std::borrow::Cow;

use pinfetch_pins::Host;
use url::Url;

/// What of a request's URL decides about cookies. The port does not.
#[derive(Debug)]
pub(super) struct Origin<'u> {
    /// In the one canonical form, so without a trailing dot (§5.1.2).
    pub(super) host: Cow<'u, Host>,
    /// Whether `Secure` cookies may come and go here: TLS, or a host that is this machine. The draft leaves that to user
    /// agents and names both (§5.8.3).
    pub(super) is_secure: bool,
    /// The path as it is sent; neither decoded nor empty.
    pub(super) path: &'u str,
}

impl<'u> Origin<'u> {
    /// None for URLs without cookies: other schemes than HTTP's, hosts that no request can go to.
    pub(super) fn of(url: &'u Url) -> Option<Self> {
        let is_encrypted = match url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return None,
        };
        let host = Host::from_url(&url.host()?).ok()?;
        Some(Self {
            is_secure: is_encrypted || is_this_machine(&host),
            host: Cow::Owned(host),
            path: url.path(),
        })
    }

    /// Of a request whose URL was read already; `path` is without its query.
    pub(super) fn of_request(host: &'u Host, is_encrypted: bool, path: &'u str) -> Self {
        Self {
            is_secure: is_encrypted || is_this_machine(host),
            host: Cow::Borrowed(host),
            path,
        }
    }

    /// Each domain whose cookies may be sent here: the host itself, then whatever it is below. An address is below nothing.
    pub(super) fn domains(&self) -> impl Iterator<Item = &str> {
        let is_name = self.host.ip().is_none();
        std::iter::successors(Some(self.host.as_str()), move |domain| {
            let (_, parent) = domain.split_once('.').filter(|_| is_name)?;
            Some(parent)
        })
    }

    /// Whether the host is `domain` or below it (§5.1.3).
    pub(super) fn is_covered_by(&self, domain: &str) -> bool {
        let host = self.host.as_str();
        host == domain || (self.host.ip().is_none() && is_below(host, domain))
    }

    /// The path of cookies that come without one: the URL's up to, but not including, its last slash (§5.1.4).
    pub(super) fn default_path(&self) -> &'u str {
        match self.path.rsplit_once('/') {
            None | Some(("", _)) => "/",
            Some((parent, _)) => parent,
        }
    }
}

/// Whether `name` is one or more labels and then `domain`. Neither is an address.
pub(super) fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain)
        .is_some_and(|labels| labels.ends_with('.'))
}

/// Whether a cookie of `path` goes to `request_path`: the same path or one below it, segment by segment (§5.1.4).
pub(super) fn path_matches(request_path: &str, path: &str) -> bool {
    request_path
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || path.ends_with('/') || rest.starts_with('/'))
}

/// Addresses of the loopback interface and the names that stand for them (RFC 6761 §6.3).
fn is_this_machine(host: &Host) -> bool {
    match host.ip() {
        Some(address) => address.is_loopback(),
        None => host.as_str() == "localhost" || host.as_str().ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secure_origin_has_tls_or_is_this_machine() {
        for (url, is_secure) in [
            ("https://example.com", Some(true)),
            ("wss://example.com", Some(true)),
            ("http://example.com", Some(false)),
            ("ws://example.com", Some(false)),
            ("http://localhost:8080", Some(true)),
            ("http://LocalHost./", Some(true)),
            ("http://a.localhost", Some(true)),
            ("http://127.9.9.9", Some(true)),
            ("http://[::1]", Some(true)),
            ("http://[::ffff:127.0.0.1]", Some(true)),
            ("http://notlocalhost", Some(false)),
            ("http://localhost.example.com", Some(false)),
            ("http://127.0.0.1.example.com", Some(false)),
            ("http://10.0.0.1", Some(false)),
            ("ftp://example.com", None),
            ("file:///tmp", None),
            ("data:,a", None),
            ("foo://example.com", None),
            ("http://a..example.com", None), // no certificate and no resolver has an empty label
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(
                Origin::of(&url).map(|origin| origin.is_secure),
                is_secure,
                "{url}"
            );
        }
    }

    #[test]
    fn a_host_is_covered_by_itself_and_by_what_it_is_below() {
        for (url, domain, is_covered) in [
            ("https://example.com", "example.com", true),
            ("https://EXAMPLE.com.", "example.com", true),
            ("https://a.example.com", "example.com", true),
            ("https://b.a.example.com", "example.com", true),
            ("https://b.a.example.com", "com", true), // a public suffix is another check's matter
            ("https://example.com", "a.example.com", false),
            ("https://notexample.com", "example.com", false),
            ("https://example.com", "", false),
            ("https://example.com", ".com", false),
            ("https://example.com", "example.com.", false),
            ("https://bücher.example", "xn--bcher-kva.example", true),
            ("https://1.2.3.4", "1.2.3.4", true),
            ("https://1.2.3.4", "3.4", false),
            ("https://1.2.3.4", "4", false),
            ("https://[::1]", "::1", true),
            ("https://[::ffff:1.2.3.4]", "1.2.3.4", true),
        ] {
            let url = Url::parse(url).unwrap();
            let origin = Origin::of(&url).unwrap();
            assert_eq!(origin.is_covered_by(domain), is_covered, "{url} {domain}");
            // the walk up the labels finds the same domains
            assert_eq!(
                origin.domains().any(|candidate| candidate == domain),
                is_covered,
                "{url} {domain}"
            );
        }
    }

    #[test]
    fn the_default_path_ends_before_the_last_slash() {
        for (url, path) in [
            ("https://example.com", "/"),
            ("https://example.com/", "/"),
            ("https://example.com/a", "/"),
            ("https://example.com/a/", "/a"),
            ("https://example.com/a/b", "/a"),
            ("https://example.com/a/b/?c/d#e/f", "/a/b"),
            ("https://example.com//", "/"),
            ("https://example.com//a", "/"),
            ("https://example.com/a//b", "/a/"),
            ("https://example.com/%2Fa/b", "/%2Fa"),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(Origin::of(&url).unwrap().default_path(), path, "{url}");
        }
    }

    #[test]
    fn a_path_matches_itself_and_whole_segments_below_it() {
        for (request_path, path, matches) in [
            ("/", "/", true),
            ("/a", "/", true),
            ("/a", "/a", true),
            ("/a/", "/a", true),
            ("/a/b", "/a", true),
            ("/a/b", "/a/", true),
            ("/a//b", "/a/", true),
            ("/a", "/a/", false),
            ("/ab", "/a", false),
            ("/a", "/ab", false),
            ("/A", "/a", false),
            ("/%61", "/a", false), // nothing is decoded
            ("/", "/a", false),
        ] {
            assert_eq!(
                path_matches(request_path, path),
                matches,
                "{request_path} {path}"
            );
        }
    }
}
