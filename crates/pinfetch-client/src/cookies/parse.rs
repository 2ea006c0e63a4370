//! A `Set-Cookie` field's value, read as draft-ietf-httpbis-rfc6265bis §5.6 has it: octet by octet, nothing decoded.

use super::error::CookieError;
use super::{SameSite, date};

/// What name and value may have together (§5.6).
pub(super) const NAME_AND_VALUE: usize = 4096;
/// What an attribute's value may have; a longer attribute is passed over (§5.6).
const ATTRIBUTE: usize = 1024;
/// How long a cookie may last (§5.5): 400 days, in milliseconds.
pub(super) const LIFETIME: i64 = 400 * 24 * 60 * 60 * 1000;

/// A field's value, taken apart. Where an attribute is repeated, the last that counts is here (§5.7).
#[derive(Debug, Eq, PartialEq)]
pub(super) struct SetCookie<'t> {
    pub(super) name: &'t [u8],
    pub(super) value: &'t [u8],
    /// Unix milliseconds, no further away than [`LIFETIME`]; none: a session's cookie.
    pub(super) expires: Option<i64>,
    /// Without its leading dot, not yet in lower case. An empty one stands for none.
    pub(super) domain: &'t [u8],
    pub(super) path: PathAttribute<'t>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    pub(super) same_site: SameSite,
}

/// The `Path` attribute. `__Host-` tells one that is not there from one that says nothing (§5.7 step 21).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PathAttribute<'t> {
    /// Not there.
    Absent,
    /// There, but empty or without a leading slash: the default path (§5.6.4).
    Default,
    /// A path.
    Given(&'t [u8]),
}

/// Reads `text`, received at `now` (Unix milliseconds).
pub(super) fn parse(text: &[u8], now: i64) -> Result<SetCookie<'_>, CookieError> {
    if text.iter().any(|octet| is_control(*octet)) {
        return Err(CookieError::ControlCharacter);
    }
    let mut parts = text.split(|octet| *octet == b';');
    let pair = parts.next().unwrap_or_default();
    let (name, value) = match split_at_equals(pair) {
        Some((name, value)) => (trim(name), trim(value)),
        None => (&b""[..], trim(pair)),
    };
    let octets = name.len() + value.len();
    if octets > NAME_AND_VALUE {
        return Err(CookieError::TooLong { octets });
    }
    let mut cookie = SetCookie {
        name,
        value,
        expires: None,
        domain: b"",
        path: PathAttribute::Absent,
        secure: false,
        http_only: false,
        same_site: SameSite::Default,
    };
    let (mut max_age, mut expires) = (None, None);
    for attribute in parts {
        let (name, value) = split_at_equals(attribute).unwrap_or((attribute, b""));
        let (name, value) = (trim(name), trim(value));
        if value.len() > ATTRIBUTE {
            continue;
        }
        if name.eq_ignore_ascii_case(b"expires") {
            expires = date::parse(value).or(expires); // what is no date is passed over (§5.6.1)
        } else if name.eq_ignore_ascii_case(b"max-age") {
            max_age = seconds(value).or(max_age);
        } else if name.eq_ignore_ascii_case(b"domain") {
            cookie.domain = value.strip_prefix(b".").unwrap_or(value);
        } else if name.eq_ignore_ascii_case(b"path") {
            cookie.path = if value.starts_with(b"/") {
                PathAttribute::Given(value)
            } else {
                PathAttribute::Default
            };
        } else if name.eq_ignore_ascii_case(b"secure") {
            cookie.secure = true;
        } else if name.eq_ignore_ascii_case(b"httponly") {
            cookie.http_only = true;
        } else if name.eq_ignore_ascii_case(b"samesite") {
            cookie.same_site = SameSite::of(value).unwrap_or_default();
        }
    }
    let latest = now.saturating_add(LIFETIME);
    cookie.expires = match (max_age, expires) {
        // the earliest date there is (§5.6.2)
        (Some(..=0), _) => Some(i64::MIN),
        (Some(seconds), _) => Some(now.saturating_add(seconds.saturating_mul(1000)).min(latest)),
        (None, Some(date)) => Some(date.min(latest)),
        (None, None) => None,
    };
    Ok(cookie)
}

/// What ends the life of a whole field: `%x00-08 / %x0A-1F / %x7F`. A tab is white space.
pub(super) fn is_control(octet: u8) -> bool {
    octet.is_ascii_control() && octet != b'\t'
}

/// Without the blanks and tabs at either end. Other white space of Unicode's or ASCII's stays (§5.6).
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    let Some(start) = text.iter().position(|octet| !is_blank(octet)) else {
        return b"";
    };
    let end = text
        .iter()
        .rposition(|octet| !is_blank(octet))
        .unwrap_or(start);
    text.get(start..=end).unwrap_or_default()
}

fn split_at_equals(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|octet| *octet == b'=')?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The seconds of a `Max-Age`, or none where it is to be passed over (§5.6.2). Numbers past the type's saturate: what is
/// made of them is cut to [`LIFETIME`] anyway.
fn seconds(value: &[u8]) -> Option<i64> {
    let (sign, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, value),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_i64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(sign * i64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn read(text: &str) -> SetCookie<'_> {
        parse(text.as_bytes(), NOW).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[test]
    fn name_and_value_end_at_the_first_equals_and_semicolon() {
        for (text, name, value) in [
            ("a=b", "a", "b"),
            ("a=b; Secure", "a", "b"),
            ("a=b;", "a", "b"),
            (" \ta \t=\t b \t;x", "a", "b"),
            ("a=b=c", "a", "b=c"),
            ("a==", "a", "="),
            ("a=", "a", ""),
            ("=b", "", "b"),
            ("==b", "", "=b"),
            ("b", "", "b"),
            ("", "", ""),
            ("=", "", ""),
            (";a=b", "", ""),
            ("a b=c d", "a b", "c d"),
            ("a=\"b; c\"", "a", "\"b"),  // quotes mean nothing
            ("a=b, c=d", "a", "b, c=d"), // nor do commas
            ("a%3D=%20", "a%3D", "%20"), // nor percent signs
            ("a=b\tc", "a", "b\tc"),
            ("a=\u{a0}b\u{a0}", "a", "\u{a0}b\u{a0}"), // no white space of these rules
            ("name=värde", "name", "värde"),
        ] {
            let cookie = read(text);
            assert_eq!(
                (cookie.name, cookie.value),
                (name.as_bytes(), value.as_bytes()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_control_character_anywhere_ends_it_all() {
        for octet in (0..=u8::MAX).filter(|octet| *octet != b';' && *octet != b'=') {
            for text in [
                [b"a", &[octet][..], b"b=c"].concat(),
                [b"a=b", &[octet][..], b"c"].concat(),
                [b"a=b; Path=/", &[octet][..]].concat(),
            ] {
                let expected = octet < 0x20 && octet != b'\t' || octet == 0x7f;
                let refused = parse(&text, NOW) == Err(CookieError::ControlCharacter);
                assert_eq!(refused, expected, "{text:?}");
            }
        }
    }

    #[test]
    fn name_and_value_may_have_4096_octets_together() {
        for (name, value, fits) in [
            (0, 4096, true),
            (1, 4095, true),
            (4096, 0, true),
            (2048, 2049, false),
            (0, 4097, false),
        ] {
            let text = format!("{}={} ; Secure", "n".repeat(name), "v".repeat(value));
            match parse(text.as_bytes(), NOW) {
                Ok(cookie) => assert!(fits && cookie.secure),
                Err(error) => {
                    assert!(!fits);
                    assert_eq!(error, CookieError::TooLong { octets: 4097 });
                }
            }
        }
    }

    #[test]
    fn the_last_attribute_that_counts_wins() {
        let long = "a".repeat(1025);
        for (attributes, domain, path) in [
            ("", "", PathAttribute::Absent),
            ("Domain=a.example", "a.example", PathAttribute::Absent),
            ("Domain=.a.example", "a.example", PathAttribute::Absent),
            ("Domain=..a.example", ".a.example", PathAttribute::Absent),
            (
                "domain = a.example; DOMAIN=b.example",
                "b.example",
                PathAttribute::Absent,
            ),
            ("Domain=a.example; Domain=", "", PathAttribute::Absent), // an empty one is an attribute too
            ("Domain=a.example; Domain", "", PathAttribute::Absent),
            (
                &format!("Domain=a.example; Domain={long}"),
                "a.example",
                PathAttribute::Absent,
            ),
            ("Path=/a", "", PathAttribute::Given(b"/a")),
            ("Path=/a; pAtH = /b", "", PathAttribute::Given(b"/b")),
            ("Path=/a; Path=b", "", PathAttribute::Default),
            ("Path=/a; Path", "", PathAttribute::Default),
            ("Path=\"/a\"", "", PathAttribute::Default),
            (
                &format!("Path=/a; Path=/{long}"),
                "",
                PathAttribute::Given(b"/a"),
            ),
            (&format!("Path=/{long}"), "", PathAttribute::Absent),
            (
                "Domian=a.example; Pat=/a; Path-=/b",
                "",
                PathAttribute::Absent,
            ),
        ] {
            let text = format!("a=b; {attributes}");
            let cookie = read(&text);
            assert_eq!(
                (cookie.domain, cookie.path),
                (domain.as_bytes(), path),
                "{text}"
            );
        }
        let at_most = "a".repeat(1023);
        assert_eq!(
            read(&format!("a=b; Path=/{at_most}")).path,
            PathAttribute::Given(format!("/{at_most}").as_bytes())
        );
    }

    #[test]
    fn flags_are_set_by_their_names_alone() {
        for (attributes, secure, http_only, same_site) in [
            ("Secure", true, false, SameSite::Default),
            (" sEcUrE =no", true, false, SameSite::Default),
            ("HttpOnly;;", false, true, SameSite::Default),
            ("Secure-ish; Http-Only", false, false, SameSite::Default),
            ("SameSite=Lax", false, false, SameSite::Lax),
            ("samesite = STRICT", false, false, SameSite::Strict),
            ("SameSite=None", false, false, SameSite::None),
            ("SameSite", false, false, SameSite::Default),
            (
                "SameSite=Lax; SameSite=Loose",
                false,
                false,
                SameSite::Default,
            ),
            ("SameSite=Loose; SameSite=Lax", false, false, SameSite::Lax),
        ] {
            let text = format!("a=b;{attributes}");
            let cookie = read(&text);
            assert_eq!(
                (cookie.secure, cookie.http_only, cookie.same_site),
                (secure, http_only, same_site),
                "{text}"
            );
        }
    }

    #[test]
    fn max_age_goes_before_expires_and_neither_past_400_days() {
        let capped = Some(NOW + 34_560_000_000);
        for (attributes, expires) in [
            ("", None),
            ("Max-Age=10", Some(NOW + 10_000)),
            ("Max-Age=0", Some(i64::MIN)),
            ("Max-Age=-1", Some(i64::MIN)),
            ("Max-Age=-99999999999999999999", Some(i64::MIN)),
            ("Max-Age=34560000", capped),
            ("Max-Age=34560001", capped),
            ("Max-Age=99999999999999999999", capped),
            ("Max-Age=007", Some(NOW + 7000)),
            ("Max-Age=10; Max-Age=20", Some(NOW + 20_000)),
            ("Max-Age=10; Max-Age=x", Some(NOW + 10_000)),
            ("Max-Age=10; Max-Age=", Some(NOW + 10_000)),
            ("Max-Age=", None),
            ("Max-Age=+1", None),
            ("Max-Age=-", None),
            ("Max-Age=1.5", None),
            ("Max-Age=1 0", None),
            ("Max-Age=\"10\"", None),
            ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            (
                "Expires=Wed, 15 Nov 2023 00:00:00 GMT",
                Some(1_700_006_400_000),
            ),
            ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", capped),
            ("Expires=never", None),
            (
                "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Expires=never",
                Some(0),
            ),
            (
                "Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
                Some(NOW + 10_000),
            ),
            (
                "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=10",
                Some(NOW + 10_000),
            ),
            (
                "Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=0",
                Some(i64::MIN),
            ),
        ] {
            let text = format!("a=b; {attributes}");
            assert_eq!(read(&text).expires, expires, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_a_panic(
            text in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b';'), Just(b'='), Just(b' ')], 0..256),
            now: i64,
        ) {
            if let Ok(cookie) = parse(&text, now) {
                prop_assert!(!cookie.name.contains(&b'=') && !cookie.name.contains(&b';'));
                prop_assert!(!cookie.value.contains(&b';'));
                prop_assert_eq!(trim(cookie.name), cookie.name);
                prop_assert_eq!(trim(cookie.value), cookie.value);
            }
        }
    }
}
