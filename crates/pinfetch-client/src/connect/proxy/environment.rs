//! Proxies that the environment names: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, read as curl reads them.
//!
//! No standard says what they mean. Read here, since a proxy that cannot be used has to be an error (passed over, it would
//! be a direct connection), and since an entry of `NO_PROXY` may have a port.

use std::net::IpAddr;

use ipnet::IpNet;
use pinfetch_pins::Host;

use super::Proxy;
use super::error::ProxyUrlError;
use super::url::read_port;
use crate::config::Scheme;

/// The proxies that an environment names, and the hosts that need none.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentProxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<Direct>,
}

/// A variable names a proxy that cannot be used. Its value, which may hold credentials, isn't quoted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{variable}: {source}")]
pub struct EnvironmentError {
    /// Which variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub source: ProxyUrlError,
}

/// Reads the proxies that `get` has for the well-known names. An empty value is as good as none.
///
/// - A name in lower case goes before the same in upper case, and that of a scheme before `ALL_PROXY`.
/// - A value without a scheme is an HTTP proxy's `host:port`.
/// - `HTTP_PROXY` is passed over when `REQUEST_METHOD` is set: in a CGI program (RFC 3875 §4.1.18) it is the `Proxy` field
///   of somebody's request. On Windows, where names have no case, so is `http_proxy`.
/// - `NO_PROXY` is a list, by commas or spaces, of hosts that are reached directly: `example.com` or `.example.com` (that
///   name and all below it), `*.example.com` (all below it), an IP address, a range of them (`10.0.0.0/8`), each with an
///   optional `:port`, or `*` for every host. Addresses are compared with a URL's, names aren't resolved. An entry that is
///   none of these means no host.
///
/// # Errors
/// [`EnvironmentError`] for the first proxy that cannot be read: it is never left out.
pub fn from_environment(
    get: impl Fn(&str) -> Option<String>,
) -> Result<EnvironmentProxies, EnvironmentError> {
    let get = |name| get(name).filter(|value| !value.trim().is_empty());
    let proxy = |names: &[&'static str]| {
        let found = names.iter().find_map(|name| Some((*name, get(name)?)));
        let Some((variable, value)) = found else {
            return Ok(None);
        };
        read_proxy(value.trim())
            .map(Some)
            .map_err(|source| EnvironmentError { variable, source })
    };
    let http: &[_] = match (get("REQUEST_METHOD").is_some(), cfg!(windows)) {
        (false, _) => &["http_proxy", "HTTP_PROXY"],
        (true, false) => &["http_proxy"],
        (true, true) => &[],
    };
    let all = proxy(&["all_proxy", "ALL_PROXY"])?;
    let direct = ["no_proxy", "NO_PROXY"].iter().find_map(|name| get(name));
    Ok(EnvironmentProxies {
        http: proxy(http)?.or_else(|| all.clone()),
        https: proxy(&["https_proxy", "HTTPS_PROXY"])?.or(all),
        direct: direct
            .unwrap_or_default()
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter_map(Direct::read)
            .collect(),
    })
}

impl EnvironmentProxies {
    /// The proxy for `host` at `port`; none for a direct connection.
    pub(crate) fn for_target(&self, scheme: Scheme, host: &Host, port: u16) -> Option<&Proxy> {
        let proxy = match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        proxy
            .as_ref()
            .filter(|_| !self.direct.iter().any(|entry| entry.speaks_of(host, port)))
    }
}

fn read_proxy(value: &str) -> Result<Proxy, ProxyUrlError> {
    if value.contains("://") {
        value.parse()
    } else {
        format!("http://{value}").parse()
    }
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug)]
struct Direct {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Hosts {
    Every,
    /// A name and all below it, or an address.
    From(Host),
    /// All below a name.
    Below(Host),
    Within(IpNet),
}

impl Direct {
    fn read(entry: &str) -> Option<Self> {
        if let Ok(address) = entry.parse::<IpAddr>() {
            let hosts = Hosts::From(address.to_string().parse().ok()?);
            return Some(Self { hosts, port: None });
        }
        // the colons of an IPv6 range come before the slash, those of an address stand in brackets
        let last = entry.rfind(['/', ']']).unwrap_or_default();
        let (hosts, port) = match entry.rfind(':').filter(|colon| *colon >= last) {
            Some(colon) => {
                let (hosts, port) = entry.split_at(colon);
                (hosts, Some(read_port(port.get(1..)?).ok()?))
            }
            None => (entry, None),
        };
        Some(Self {
            hosts: Hosts::read(hosts)?,
            port,
        })
    }

    fn speaks_of(&self, host: &Host, port: u16) -> bool {
        self.port.is_none_or(|own| own == port) && self.hosts.hold(host)
    }
}

impl Hosts {
    fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Every);
        }
        if let Some((address, length)) = text.split_once('/') {
            let bare = address
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .unwrap_or(address);
            return Some(Self::Within(format!("{bare}/{length}").parse().ok()?));
        }
        if let Some(name) = text.strip_prefix("*.") {
            return Some(Self::Below(name.parse().ok()?));
        }
        let name = text.strip_prefix('.').unwrap_or(text);
        Some(Self::From(name.parse().ok()?))
    }

    fn hold(&self, host: &Host) -> bool {
        let is_below = |base: &Host| {
            let front = host.as_str().strip_suffix(base.as_str());
            front.is_some_and(|front| front.ends_with('.')) // never so for an address, on either side
        };
        match self {
            Self::Every => true,
            Self::From(base) => host == base || is_below(base),
            Self::Below(base) => is_below(base),
            Self::Within(range) => host.ip().is_some_and(|address| range.contains(&address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<EnvironmentProxies, EnvironmentError> {
        from_environment(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn proxy_for(proxies: &EnvironmentProxies, scheme: Scheme, authority: &str) -> Option<String> {
        let (host, port) = crate::parse_authority(authority).unwrap();
        proxies
            .for_target(scheme, &host, port)
            .map(ToString::to_string)
    }

    #[test]
    fn each_scheme_has_the_first_proxy_that_is_named_for_it() {
        let (h, s, a) = (
            Some("http://h.example:80"),
            Some("http://s.example:80"),
            Some("socks5h://a.example:1080"),
        );
        for (variables, http, https) in [
            (&[][..], None, None),
            (&[("http_proxy", "http://h.example")], h, None),
            (&[("HTTP_PROXY", "http://h.example")], h, None),
            (&[("https_proxy", "http://s.example")], None, s),
            (&[("HTTPS_PROXY", "http://s.example")], None, s),
            (&[("all_proxy", "socks5h://a.example")], a, a),
            (&[("ALL_PROXY", "socks5h://a.example")], a, a),
            (
                &[
                    ("ALL_PROXY", "socks5h://a.example"),
                    ("HTTP_PROXY", "http://h.example"),
                ],
                h,
                a,
            ),
            (
                &[
                    ("HTTP_PROXY", "http://x.example"),
                    ("http_proxy", "http://h.example"),
                ],
                h,
                None,
            ),
            (
                &[
                    ("HTTPS_PROXY", "http://x.example"),
                    ("https_proxy", "http://s.example"),
                ],
                None,
                s,
            ),
            (
                &[
                    ("ALL_PROXY", "http://x.example"),
                    ("all_proxy", "socks5h://a.example"),
                ],
                a,
                a,
            ),
            (
                &[("HTTP_PROXY", "http://h.example"), ("http_proxy", "")],
                h,
                None,
            ), // as curl: empty is none
            (&[("http_proxy", " h.example:80 ")], h, None),
            (&[("http_proxy", "user:pass@h.example:80")], h, None),
            (&[("Http_Proxy", "http://h.example")], None, None),
            (
                &[("NO_PROXY", "*"), ("ALL_PROXY", "http://h.example")],
                None,
                None,
            ),
        ] {
            let proxies = of(variables).unwrap();
            for (scheme, expected) in [(Scheme::Http, http), (Scheme::Https, https)] {
                let found = proxy_for(&proxies, scheme, "api.example.com");
                assert_eq!(found.as_deref(), expected, "{variables:?} {scheme:?}");
            }
        }
    }

    #[test]
    fn a_cgi_programs_http_proxy_is_not_its_visitors() {
        let hostile = ("HTTP_PROXY", "http://x.example");
        let cgi = ("REQUEST_METHOD", "GET");
        for (variables, expected) in [
            (&[hostile, cgi][..], None),
            (
                &[hostile, cgi, ("ALL_PROXY", "a.example:1")],
                Some("http://a.example:1"),
            ),
            (&[hostile], Some("http://x.example:80")),
            #[cfg(not(windows))]
            (
                &[hostile, cgi, ("http_proxy", "h.example:2")],
                Some("http://h.example:2"),
            ),
        ] {
            let found = proxy_for(&of(variables).unwrap(), Scheme::Http, "api.example.com");
            assert_eq!(found.as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn no_proxy_names_hosts_and_ports() {
        for (list, authority, direct) in [
            ("*", "api.example.com", true),
            ("other.test,*", "api.example.com", true),
            ("*", "[::1]", true),
            ("example.com", "example.com", true),
            ("example.com", "api.example.com", true),
            ("example.com", "a.b.example.com", true),
            ("example.com", "notexample.com", false), // a label's end is no label
            ("example.com", "example.com.evil.test", false),
            ("api.example.com", "example.com", false),
            (".example.com", "example.com", true),
            (".example.com", "api.example.com", true),
            (".example.com", "notexample.com", false),
            ("*.example.com", "api.example.com", true),
            ("*.example.com", "example.com", false),
            ("EXAMPLE.com.", "api.example.com", true), // canonical form on either side
            ("b\u{fc}cher.example", "xn--bcher-kva.example", true),
            ("a.test, example.com", "example.com", true),
            ("a.test example.com", "example.com", true),
            (" ,,example.com,", "example.com", true),
            ("example.com:8443", "api.example.com:8443", true),
            ("example.com:8443", "api.example.com", false),
            ("example.com:443", "api.example.com", true),
            ("*:8443", "api.example.com:8443", true),
            ("*:8443", "api.example.com:443", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3:443", "10.1.2.3", true),
            ("10.1.2.3:80", "10.1.2.3", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.9.9.9/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8:8443", "10.0.0.1:8443", true),
            ("10.0.0.0/8:8443", "10.0.0.1", false),
            ("0.0.0.0/0", "api.example.com", false), // names are not resolved
            ("0.0.0.0/0", "[::1]", false),
            ("::/0", "[::1]", true),
            ("fd00::/8", "[fd12::1]", true),
            ("fd00::/8", "[fe80::1]", false),
            ("fd00::/8:8443", "[fd12::1]:8443", true),
            ("[fd00::]/8", "[fd12::1]", true),
            ("::1", "[::1]", true),
            ("0:0::1", "[::1]", true),
            ("[::1]", "[::1]", true),
            ("[::1]:443", "[::1]", true),
            ("[::1]:80", "[::1]", false),
            ("::ffff:10.1.2.3", "10.1.2.3", true),
            ("2.3", "10.1.2.3", false), // below an address is nothing
            // what means no host
            ("10.0.0.0/33", "10.0.0.1", false),
            ("example.com:0", "example.com", false),
            ("example.com:", "example.com", false),
            ("ex*.com", "example.com", false),
            (".", "example.com", false),
            ("*.", "example.com", false),
            ("", "example.com", false),
        ] {
            let proxies = of(&[("ALL_PROXY", "http://p.example"), ("NO_PROXY", list)]).unwrap();
            for scheme in [Scheme::Http, Scheme::Https] {
                let found = proxy_for(&proxies, scheme, authority);
                assert_eq!(found.is_none(), direct, "{list:?} {authority}");
            }
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_and_not_passed_over() {
        for (variable, value) in [
            ("HTTP_PROXY", "socks4://user:secret@p.example"),
            ("https_proxy", "user:secret@p.example:0"),
            ("ALL_PROXY", "http://user:secret@p.example/path"),
        ] {
            let error = of(&[(variable, value), ("NO_PROXY", "*")]).unwrap_err();
            assert_eq!(error.variable, variable);
            let shown = format!("{error} {error:?}");
            assert!(
                shown.starts_with(variable) && !shown.contains("secret"),
                "{shown}"
            );
        }
    }

    #[test]
    fn proxies_of_the_environment_are_shown_without_credentials() {
        let proxies = of(&[("ALL_PROXY", "http://name:secret@p.example")]).unwrap();
        let shown = format!("{proxies:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("name:"),
            "{shown}"
        );
    }
}
