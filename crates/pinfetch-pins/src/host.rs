//! The one canonical form of a server's name, and what a policy may say of names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use rustls_pki_types::ServerName;

use crate::error::HostError;
use crate::suffix::is_public_suffix;

/// A server's name in its one canonical form: lower case, IDNA A-labels, no trailing dot; or an IP address, of which an
/// IPv4-mapped IPv6 one is the IPv4 address that it stands for.
///
/// Look-up, server name, `Host`, pool and cookies all use this form. Parsed as the URL standard parses a host, so that
/// no second reading of a URL can differ.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Host(Name);

#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Name {
    Dns(Arc<str>),
    Ip(IpAddr, Arc<str>),
}

impl Host {
    /// The host of a parsed URL.
    ///
    /// # Errors
    /// [`HostError`] for names that no certificate and no resolver can hold.
    pub fn from_url<S: AsRef<str>>(host: &url::Host<S>) -> Result<Self, HostError> {
        match host {
            url::Host::Domain(domain) => Self::of_domain(domain.as_ref()),
            url::Host::Ipv4(address) => Ok(Self::of_ip((*address).into())),
            url::Host::Ipv6(address) => Ok(Self::of_ip((*address).into())),
        }
    }

    /// The canonical text; an IPv6 address without brackets.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Dns(name) | Name::Ip(_, name) => name,
        }
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match &self.0 {
            Name::Dns(_) => None,
            Name::Ip(address, _) => Some(*address),
        }
    }

    /// The name as a certificate must hold it (RFC 6125, RFC 9525).
    #[expect(
        clippy::missing_panics_doc,
        reason = "no host can be made whose name would panic here"
    )]
    pub fn server_name(&self) -> ServerName<'static> {
        match &self.0 {
            Name::Ip(address, _) => ServerName::IpAddress((*address).into()),
            Name::Dns(name) => ServerName::try_from(name.to_string())
                .expect("checked when the host was made: see of_domain"),
        }
    }

    fn of_ip(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self(Name::Ip(address, address.to_string().into()))
    }

    /// `domain` is what the URL standard's host parser made of a name.
    fn of_domain(domain: &str) -> Result<Self, HostError> {
        let name = domain.strip_suffix('.').unwrap_or(domain);
        if name.is_empty() || name.split('.').any(str::is_empty) {
            return Err(HostError::EmptyLabel);
        }
        if name.contains('*') {
            return Err(HostError::Star);
        }
        if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
            return Err(HostError::TooLong);
        }
        // the one check that rustls makes before it sends a name or compares it with a certificate's
        if ServerName::try_from(name).is_err() {
            return Err(HostError::Invalid);
        }
        Ok(Self(Name::Dns(name.into())))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.contains("//") || text.contains(['/', '\\', '?', '#', '@']) {
            return Err(HostError::Url);
        }
        if text.contains('%') {
            return Err(HostError::Invalid); // no second spelling of a name, and no zone of an address
        }
        if is_canonical(text) {
            return Self::of_domain(text); // as most are, and policies of a million hosts
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::of_ip(address));
        }
        let host = url::Host::parse(text).map_err(|_| {
            if text.split('.').any(str::is_empty) {
                HostError::EmptyLabel
            } else {
                HostError::Invalid
            }
        })?;
        Self::from_url(&host)
    }
}

/// Whether the URL standard's host parser makes nothing else of `text`: lower-case letters, digits and hyphens, no label that
/// IDNA encodes (all of those begin with `xn--`), and a last label that makes it no address.
fn is_canonical(text: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let begins_with_a_letter =
        |label: &str| label.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    text.bytes().all(is_plain)
        && !text.contains("xn--")
        && text.rsplit('.').next().is_some_and(begins_with_a_letter)
}

/// What a policy may say of names: `api.example.com` (that host), `*.example.com` (exactly one more label: not the apex,
/// not nested) or `**.example.com` (the apex and any depth), each with an optional `:port`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HostPattern {
    scope: Scope,
    base: Host,
    port: Option<u16>,
}

/// How far a pattern reaches from its base; later ones are more specific.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Scope {
    /// `**.`: the base and everything below.
    AnyDepth,
    /// `*.`: exactly one label below the base.
    OneLabel,
    /// The base alone.
    Exact,
}

impl HostPattern {
    /// Whether this pattern speaks of `host` at `port`.
    pub fn matches(&self, host: &Host, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        let (base, host) = (self.base.as_str(), host.as_str());
        let below = || host.strip_suffix(base)?.strip_suffix('.');
        match self.scope {
            Scope::Exact => base == host,
            Scope::OneLabel => below().is_some_and(|label| !label.contains('.')),
            Scope::AnyDepth => base == host || below().is_some(),
        }
    }

    /// The port that it is limited to.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    pub(crate) fn base(&self) -> &Host {
        &self.base
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scope {
            Scope::Exact => "",
            Scope::OneLabel => "*.",
            Scope::AnyDepth => "**.",
        })?;
        match (self.base.ip(), self.port) {
            (Some(IpAddr::V6(address)), Some(port)) => write!(f, "[{address}]:{port}"),
            (_, Some(port)) => write!(f, "{}:{port}", self.base),
            (_, None) => write!(f, "{}", self.base),
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.contains(['/', '\\', '?', '#', '@']) {
            return Err(HostError::Url);
        }
        let (scope, rest) = match text.strip_prefix("**.") {
            Some(rest) => (Scope::AnyDepth, rest),
            None => match text.strip_prefix("*.") {
                Some(rest) => (Scope::OneLabel, rest),
                None => (Scope::Exact, text),
            },
        };
        if rest.contains('*') {
            return Err(HostError::Star);
        }
        let (name, port) = split_port(rest)?;
        let base: Host = name.parse()?;
        if scope != Scope::Exact {
            if base.ip().is_some() {
                return Err(HostError::StarOverAddress);
            }
            if is_public_suffix(base.as_str()) {
                return Err(HostError::PublicSuffix(base));
            }
        }
        Ok(Self { scope, base, port })
    }
}

/// A host and the port after it; an IPv6 address with a port stands in brackets.
fn split_port(text: &str) -> Result<(&str, Option<u16>), HostError> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text, None));
    }
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let end = text.find(']').ok_or(HostError::Invalid)?;
            let name = text.get(..=end).ok_or(HostError::Invalid)?;
            match rest.get(end..) {
                None | Some("") => (name, None),
                Some(after) => (
                    name,
                    Some(after.strip_prefix(':').ok_or(HostError::Invalid)?),
                ),
            }
        }
        None => match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let Some(port) = port else {
        return Ok((name, None));
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number != 0 => Ok((name, Some(number))),
        _ => Err(HostError::Port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn names_that_are_taken_as_they_stand_are_what_the_url_standard_makes_of_them(
            text in "[a-z0-9.-]{1,20}|(([a-z0-9-]{1,4}|xn--[a-z0-9]{1,6})\\.){0,3}[a-z0-9x-]{1,4}",
        ) {
            if is_canonical(&text) {
                let parsed = url::Host::parse(&text);
                let expected = match &parsed {
                    Ok(host) => Host::from_url(host),
                    Err(_) => Err(HostError::Invalid),
                };
                let host = text.parse::<Host>();
                proptest::prop_assert_eq!(host.as_ref().ok(), expected.as_ref().ok(), "{}", text);
            }
        }
    }

    #[test]
    fn every_spelling_of_a_host_has_one_form() {
        for (text, canonical) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.COM", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("api\u{3002}example\u{ff0e}com", "api.example.com"), // ideographic and fullwidth full stop
            ("\u{ff41}pi.example.com", "api.example.com"),        // fullwidth a
            ("bücher.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("faß.example", "xn--fa-hia.example"),
            ("FAẞ.example", "xn--fa-hia.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[0:0::0:1]", "::1"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("[::ffff:7f00:1]", "127.0.0.1"),
            ("_dmarc.example.com", "_dmarc.example.com"),
            ("__proto__", "__proto__"),
        ] {
            assert_eq!(
                text.parse::<Host>()
                    .unwrap_or_else(|error| panic!("{text}: {error}"))
                    .as_str(),
                canonical
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = format!("{}.example.com", "a".repeat(64));
        for (text, expected) in [
            ("", HostError::Empty),
            (".", HostError::EmptyLabel),
            ("a..b", HostError::EmptyLabel),
            (".example.com", HostError::EmptyLabel),
            ("example.com..", HostError::EmptyLabel),
            ("https://example.com", HostError::Url),
            ("example.com/path", HostError::Url),
            ("user@example.com", HostError::Url),
            ("ex ample.com", HostError::Invalid),
            ("ex\0ample.com", HostError::Invalid),
            ("%65xample.com", HostError::Invalid),
            ("fe80::1%eth0", HostError::Invalid),
            ("[::1", HostError::Invalid),
            (&long, HostError::TooLong),
            ("*.example.com", HostError::Star),
        ] {
            assert_eq!(text.parse::<Host>().unwrap_err(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_single_star_stands_for_exactly_one_label() {
        let pattern: HostPattern = "*.example.com".parse().unwrap();
        for (host, matches) in [
            ("api.example.com", true),
            ("API.example.com.", true), // canonical form first: case and trailing dot are gone
            ("example.com", false),     // the apex
            ("a.api.example.com", false),
            ("notexample.com", false),
            ("a.notexample.com", false),
            ("api.example.com.evil.test", false),
        ] {
            assert_eq!(
                pattern.matches(&host.parse().unwrap(), 443),
                matches,
                "{host}"
            );
        }
    }

    #[test]
    fn two_stars_stand_for_the_apex_and_any_depth() {
        let pattern: HostPattern = "**.example.com".parse().unwrap();
        for (host, matches) in [
            ("example.com", true),
            ("api.example.com", true),
            ("a.b.example.com", true),
            ("notexample.com", false),
            ("a.notexample.com", false),
        ] {
            assert_eq!(
                pattern.matches(&host.parse().unwrap(), 443),
                matches,
                "{host}"
            );
        }
    }

    #[test]
    fn a_port_limits_a_pattern() {
        for (pattern, host, port, matches) in [
            ("example.com:8443", "example.com", 8443, true),
            ("example.com:8443", "example.com", 443, false),
            ("[::1]:8443", "::1", 8443, true),
            ("::1", "::1", 443, true),
            ("127.0.0.1:1", "127.0.0.1", 1, true),
        ] {
            let parsed: HostPattern = pattern.parse().unwrap();
            assert_eq!(
                parsed.matches(&host.parse().unwrap(), port),
                matches,
                "{pattern}"
            );
            assert_eq!(parsed.to_string().parse::<HostPattern>().unwrap(), parsed);
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, expected) in [
            ("", HostError::Empty),
            ("*", HostError::Star),
            ("**", HostError::Star),
            ("*.", HostError::Empty),
            ("foo.*.example.com", HostError::Star),
            ("f*.example.com", HostError::Star),
            ("***.example.com", HostError::Star),
            ("*.com", HostError::PublicSuffix("com".parse().unwrap())),
            (
                "**.co.uk",
                HostError::PublicSuffix("co.uk".parse().unwrap()),
            ),
            (
                "*.github.io",
                HostError::PublicSuffix("github.io".parse().unwrap()),
            ),
            ("*.test", HostError::PublicSuffix("test".parse().unwrap())),
            ("*.127.0.0.1", HostError::StarOverAddress),
            ("example.com:0", HostError::Port),
            ("example.com:", HostError::Port),
            ("example.com:65536", HostError::Port),
            ("example.com:+80", HostError::Port),
            ("https://example.com", HostError::Url),
        ] {
            assert_eq!(
                text.parse::<HostPattern>().unwrap_err(),
                expected,
                "{text:?}"
            );
        }
    }
}
