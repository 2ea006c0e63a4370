//! A proxy's URL: what may stand in it, and what each part becomes.
//!
//! Split by hand (RFC 3986 §3.2) rather than by the URL standard, which takes a `#` in a password for the end of the
//! host, drops tabs, and doesn't tell `user:@` from `user@`. The host is read as every other host is.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use pinfetch_pins::Host;

use super::error::{ProxyUrlError, UserInformation};
use super::{Credentials, Parts, Proxy, ProxyScheme};

impl FromStr for Proxy {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(ProxyUrlError::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(ProxyUrlError::Scheme)?;
        let scheme = read_scheme(scheme)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !matches!(path, "" | "/") {
            return Err(ProxyUrlError::Path);
        }
        // the last @: a host holds none, a password may
        let (user_information, authority) = match authority.rsplit_once('@') {
            Some((user_information, authority)) => (Some(user_information), authority),
            None => (None, authority),
        };
        let (host, port) = split_port(authority)?;
        if host.is_empty() {
            return Err(ProxyUrlError::NoHost);
        }
        Ok(Self(Arc::new(Parts {
            scheme,
            host: host.parse::<Host>().map_err(ProxyUrlError::Host)?,
            port: match port {
                Some(port) => read_port(port)?,
                None => scheme.default_port(),
            },
            credentials: user_information
                .map(|text| read_credentials(scheme, text))
                .transpose()?,
        })))
    }
}

/// Schemes are written in either case (RFC 3986 §3.1).
fn read_scheme(text: &str) -> Result<ProxyScheme, ProxyUrlError> {
    [
        ProxyScheme::Http,
        ProxyScheme::Https,
        ProxyScheme::Socks5,
        ProxyScheme::Socks5h,
    ]
    .into_iter()
    .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
    .ok_or(ProxyUrlError::Scheme)
}

/// The host, brackets included, and the text after the colon.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), ProxyUrlError> {
    let end = if authority.starts_with('[') {
        authority.find(']').map_or(authority.len(), |at| at + 1)
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end);
    match rest.strip_prefix(':') {
        Some(port) if port.contains(':') => Err(ProxyUrlError::Brackets),
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(ProxyUrlError::Brackets),
    }
}

/// Digits only: no sign, which the number's own reader would take.
pub(super) fn read_port(text: &str) -> Result<u16, ProxyUrlError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ProxyUrlError::Port);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(ProxyUrlError::Port),
        Ok(port) => Ok(port),
    }
}

/// The user name ends at the first colon (RFC 3986 §3.2.1). Either part may be empty, with and without the colon.
fn read_credentials(scheme: ProxyScheme, text: &str) -> Result<Credentials, ProxyUrlError> {
    let (user_name, password) = text.split_once(':').unwrap_or((text, ""));
    let user_name = read_part(scheme, UserInformation::UserName, user_name)?;
    let password = read_part(scheme, UserInformation::Password, password)?;
    if user_name.is_empty() && password.is_empty() {
        return Err(ProxyUrlError::NoCredentials);
    }
    if !scheme.is_socks() && user_name.contains(&b':') {
        return Err(ProxyUrlError::Colon);
    }
    Ok(Credentials::new(scheme, user_name.into(), password.into()))
}

fn read_part(
    scheme: ProxyScheme,
    part: UserInformation,
    text: &str,
) -> Result<Cow<'_, [u8]>, ProxyUrlError> {
    let encodes = |after: &str| {
        let digits = after.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(encodes) {
        return Err(ProxyUrlError::PercentEncoding(part));
    }
    let bytes = Cow::from(percent_decode_str(text));
    if bytes.iter().any(u8::is_ascii_control) {
        return Err(ProxyUrlError::Control(part));
    }
    if scheme.is_socks() && bytes.len() > usize::from(u8::MAX) {
        return Err(ProxyUrlError::TooLong(part));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use pinfetch_pins::HostError;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_says_what_a_proxy_speaks_and_where_it_is() {
        for (text, printed) in [
            ("http://proxy.example", "http://proxy.example:80"),
            ("https://proxy.example", "https://proxy.example:443"),
            ("socks5://proxy.example", "socks5://proxy.example:1080"),
            ("socks5h://proxy.example", "socks5h://proxy.example:1080"),
            ("http://proxy.example:443/", "http://proxy.example:443"),
            ("HTTP://Proxy.Example.:8080", "http://proxy.example:8080"),
            ("SOCKS5H://127.0.0.1:9", "socks5h://127.0.0.1:9"),
            ("http://[::1]", "http://[::1]:80"),
            ("https://[0:0::1]:8443/", "https://[::1]:8443"),
            (
                "http://b\u{fc}cher.example",
                "http://xn--bcher-kva.example:80",
            ),
            ("http://user:pass@proxy.example", "http://proxy.example:80"),
            ("http://proxy.example:08080", "http://proxy.example:8080"),
        ] {
            let proxy: Proxy = text
                .parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(proxy.to_string(), printed, "{text}");
            let again: Proxy = printed.parse().unwrap();
            assert_eq!(again == proxy, !proxy.has_credentials(), "{text}");
            assert_eq!(proxy.is_tls(), printed.starts_with("https:"), "{text}");
            assert_eq!(proxy.is_http(), printed.starts_with("http"), "{text}");
            assert_eq!(
                proxy.resolves_names(),
                !printed.starts_with("socks5:"),
                "{text}"
            );
        }
    }

    #[test]
    fn user_information_is_percent_decoded_and_may_be_half_empty() {
        for (text, expected) in [
            ("proxy.example", None),
            (
                "user:pass@proxy.example",
                Some((&b"user"[..], &b"pass"[..])),
            ),
            ("user@proxy.example", Some((b"user", b""))),
            ("user:@proxy.example", Some((b"user", b""))),
            (":pass@proxy.example", Some((b"", b"pass"))),
            (
                "u%73er:p%40%2f%3A%23ss@proxy.example",
                Some((b"user", b"p@/:#ss")),
            ),
            ("user:a:b@proxy.example", Some((b"user", b"a:b"))),
            ("user:a@b@proxy.example", Some((b"user", b"a@b"))), // as the URL standard reads it
            ("user:%ff%FE@proxy.example", Some((b"user", b"\xff\xfe"))),
            (
                "user:\u{e9}%20+@proxy.example",
                Some((b"user", b"\xc3\xa9 +")),
            ),
            (
                "user-session-1_country=de:p@proxy.example",
                Some((b"user-session-1_country=de", b"p")),
            ),
        ] {
            for scheme in ["http", "https", "socks5", "socks5h"] {
                let proxy: Proxy = format!("{scheme}://{text}").parse().unwrap();
                let credentials = proxy.0.credentials.as_ref();
                let found = credentials.map(|found| (&*found.user_name, &*found.password));
                assert_eq!(found, expected, "{scheme}://{text}");
                assert_eq!(proxy.has_credentials(), expected.is_some());
                assert_eq!(
                    proxy.authorization().is_some(),
                    expected.is_some() && scheme.starts_with("http")
                );
            }
        }
        let proxy: Proxy = "http://Aladdin:open%20sesame@proxy.example"
            .parse()
            .unwrap();
        let value = proxy.authorization().unwrap(); // the example of RFC 7617 §2
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(value.is_sensitive());
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        use ProxyUrlError as Error;
        use UserInformation::{Password, UserName};
        for (text, expected) in [
            ("", Error::Scheme),
            ("proxy.example:8080", Error::Scheme),
            ("user:secret@proxy.example:8080", Error::Scheme),
            ("//proxy.example", Error::Scheme),
            ("http:proxy.example", Error::Scheme),
            ("http:/proxy.example", Error::Scheme),
            ("ftp://proxy.example", Error::Scheme),
            ("socks://proxy.example", Error::Scheme),
            ("socks4://proxy.example", Error::Scheme),
            ("http ://proxy.example", Error::Character),
            (" http://proxy.example", Error::Character),
            ("http://proxy.example\n", Error::Character),
            ("http://pro\txy.example", Error::Character),
            ("http://user:a b@proxy.example", Error::Character),
            ("http://user:a\\b@proxy.example", Error::Character),
            ("http://proxy.example/path", Error::Path),
            ("http://proxy.example//", Error::Path),
            ("http://proxy.example?query", Error::Path),
            ("http://proxy.example/?", Error::Path),
            ("http://proxy.example#", Error::Path),
            ("http://user:se/cret@proxy.example", Error::Path),
            ("http://user:1#cret@proxy.example", Error::Path),
            ("http://", Error::NoHost),
            ("http://:8080", Error::NoHost),
            ("http://user:secret@", Error::NoHost),
            ("http://user:secret@:8080", Error::NoHost),
            ("http://::1", Error::Brackets),
            ("http://::1:8080", Error::Brackets),
            ("http://[::1]8080", Error::Brackets),
            ("http://proxy.example:80:80", Error::Brackets),
            ("http://[::1", Error::Host(HostError::Invalid)),
            ("http://[proxy.example]", Error::Host(HostError::Invalid)),
            ("http://[fe80::1%25eth0]", Error::Host(HostError::Invalid)),
            ("http://a..b", Error::Host(HostError::EmptyLabel)),
            ("http://%70roxy.example", Error::Host(HostError::Invalid)),
            ("http://proxy.example:", Error::Port),
            ("http://proxy.example:0", Error::Port),
            ("http://proxy.example:65536", Error::Port),
            ("http://proxy.example:+80", Error::Port),
            ("http://proxy.example:port", Error::Port),
            ("http://@proxy.example", Error::NoCredentials),
            ("http://:@proxy.example", Error::NoCredentials),
            ("socks5://:@proxy.example", Error::NoCredentials),
            (
                "http://us%er:secret@proxy.example",
                Error::PercentEncoding(UserName),
            ),
            (
                "http://user:secret%@proxy.example",
                Error::PercentEncoding(Password),
            ),
            (
                "http://user:secret%4@proxy.example",
                Error::PercentEncoding(Password),
            ),
            (
                "http://user:%+4@proxy.example",
                Error::PercentEncoding(Password),
            ),
            (
                "http://user%0d%0a:secret@proxy.example",
                Error::Control(UserName),
            ),
            (
                "http://user:secret%00@proxy.example",
                Error::Control(Password),
            ),
            (
                "socks5://user:secret%7f@proxy.example",
                Error::Control(Password),
            ),
            ("https://us%3Aer:secret@proxy.example", Error::Colon),
        ] {
            assert_eq!(text.parse::<Proxy>().unwrap_err(), expected, "{text:?}");
        }
        "socks5://us%3Aer:secret@proxy.example"
            .parse::<Proxy>()
            .unwrap(); // SOCKS has lengths, not colons
    }

    #[test]
    fn socks_credentials_have_255_bytes_at_most() {
        let (fits, long) = ("x".repeat(255), "x".repeat(256));
        let parse = |text: String| text.parse::<Proxy>();
        parse(format!("socks5://{fits}:{fits}@proxy.example")).unwrap();
        parse(format!("http://{long}:{long}@proxy.example")).unwrap();
        for (text, part) in [
            (
                format!("socks5://{long}:{fits}@proxy.example"),
                UserInformation::UserName,
            ),
            (
                format!("socks5h://{fits}:{long}@proxy.example"),
                UserInformation::Password,
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), ProxyUrlError::TooLong(part));
        }
    }

    #[test]
    fn proxies_differ_by_everything_that_their_urls_say() {
        use std::collections::HashSet;
        let distinct = [
            "http://proxy.example",
            "https://proxy.example:80",
            "socks5://proxy.example:80",
            "socks5h://proxy.example:80",
            "http://proxy.example:81",
            "http://other.example",
            "http://user@proxy.example",
            "http://:user@proxy.example",
            "http://user:a@proxy.example",
            "http://user:A@proxy.example",
            "http://user2:a@proxy.example",
        ];
        let proxies: HashSet<Proxy> = distinct.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(proxies.len(), distinct.len());
        for same in ["HTTP://PROXY.example:80/", "http://us%65r:@proxy.example"] {
            assert!(proxies.contains(&same.parse().unwrap()), "{same}");
        }
    }

    proptest! {
        #[test]
        fn no_error_or_proxy_shows_credentials(
            scheme in "(http|https|socks5|socks5h|ftp|)",
            user in "QX[!-~]{8,20}",
            password in "XQ[!-~]{8,20}",
            host in "[a-z:.%/\\[\\]]{0,12}",
        ) {
            let text = format!("{scheme}://{user}:{password}@{host}");
            let shown = match text.parse::<Proxy>() {
                Ok(proxy) => format!("{proxy} {proxy:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!shown.contains("QX") && !shown.contains("XQ"), "{}", shown);
        }

        #[test]
        fn any_text_is_a_proxy_or_an_error(text in r"(https?|socks5h?)://[ -~é]{0,32}") {
            if let Ok(proxy) = text.parse::<Proxy>() {
                let printed = proxy.to_string();
                prop_assert_eq!(printed.parse::<Proxy>().unwrap().to_string(), printed);
            }
        }
    }
}
