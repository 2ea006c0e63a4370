//! A jar as text, in the shape that tough-cookie serialises, so that jars go to and fro.

use pinfetch_pins::{Host, is_public_suffix};
use serde::Serialize;
use serde_json::{Map, Number, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::cookie::{Cookie, Part, SameSite};
use super::error::{CookieError, CookieJarError};
use super::parse::{LIFETIME, trim};
use super::store::Store;

/// What is written: tough-cookie's names, in its order. What has a default there is left out if it has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Jar<'c> {
    version: &'static str,
    store_type: &'static str,
    reject_public_suffixes: bool,
    cookies: Vec<Record<'c>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'c> {
    key: String,
    value: String,
    /// When it ends, `maxAge` worked in: tough-cookie counts that from the last access, and so past the server's date.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    domain: &'c str,
    path: &'c str,
    #[serde(skip_serializing_if = "is_false")]
    secure: bool,
    #[serde(skip_serializing_if = "is_false")]
    http_only: bool,
    host_only: bool,
    creation: String,
    last_accessed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    same_site: Option<&'static str>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Writes cookies that a jar held.
pub(super) fn write(cookies: &[Cookie]) -> String {
    let cookies = cookies
        .iter()
        .map(|cookie| Record {
            key: to_characters(&cookie.name),
            value: to_characters(&cookie.value),
            expires: cookie.expires.map(to_date),
            domain: &cookie.domain,
            path: &cookie.path,
            secure: cookie.secure,
            http_only: cookie.http_only,
            host_only: cookie.host_only,
            creation: to_date(cookie.created),
            last_accessed: to_date(cookie.last_access),
            same_site: cookie.same_site.name(),
        })
        .collect();
    let jar = Jar {
        version: concat!("pinfetch@", env!("CARGO_PKG_VERSION")),
        store_type: "MemoryCookieStore",
        reject_public_suffixes: true,
        cookies,
    };
    serde_json::to_string(&jar).expect("strings and flags are JSON")
}

/// Reads what [`write`] or tough-cookie wrote, at `now`.
pub(super) fn read(text: &str, now: i64) -> Result<Store, CookieJarError> {
    let value: Value = serde_json::from_str(text).map_err(|source| CookieJarError::Syntax {
        line: source.line(),
        column: source.column(),
        source,
    })?;
    let Some(Value::Array(elements)) = value.get("cookies") else {
        return Err(CookieJarError::Shape);
    };
    let mut store = Store::default();
    for (index, element) in elements.iter().enumerate() {
        let Value::Object(map) = element else {
            return Err(CookieJarError::Element { index });
        };
        let fields = Fields { index, map };
        let cookie = fields.cookie(now)?;
        // of more than fit, the jar lets go of what it would have let go of
        let _is_kept = store.insert(cookie, now);
    }
    Ok(store)
}

/// One element of `cookies`.
struct Fields<'j> {
    index: usize,
    map: &'j Map<String, Value>,
}

impl Fields<'_> {
    fn cookie(&self, now: i64) -> Result<Cookie, CookieJarError> {
        let host = self.domain()?;
        let domain = host.as_str().to_owned();
        let created = self.instant("creation")?.unwrap_or(now);
        let last_access = self.instant("lastAccessed")?.unwrap_or(created);
        let cookie = Cookie {
            name: self.octets("key")?,
            value: self.octets("value")?,
            // for hosts below a public suffix no cookie is; for that one host it may be (§5.7 step 9)
            host_only: self.flag("hostOnly")?.unwrap_or(false)
                || (host.ip().is_none() && is_public_suffix(&domain)),
            domain,
            path: self.text("path")?.unwrap_or("/").to_owned(),
            secure: self.flag("secure")?.unwrap_or(false),
            http_only: self.flag("httpOnly")?.unwrap_or(false),
            same_site: self.same_site()?,
            expires: self
                .expires(last_access)?
                .map(|expires| expires.min(now.saturating_add(LIFETIME))),
            created,
            last_access,
        };
        cookie.check().map_err(|(part, source)| {
            let field = match part {
                Part::Name => "key",
                Part::Value => "value",
                Part::Path => "path",
            };
            self.refused(field, source)
        })?;
        Ok(cookie)
    }

    /// Without the blanks that a field's parser takes off: ` __Host-a` is a prefixed name to a server.
    fn octets(&self, field: &'static str) -> Result<Vec<u8>, CookieJarError> {
        let octets = from_characters(self.text(field)?.unwrap_or_default());
        Ok(trim(&octets).to_vec())
    }

    fn domain(&self) -> Result<Host, CookieJarError> {
        let text = self
            .text("domain")?
            .ok_or_else(|| self.unexpected("domain", "a string"))?;
        text.strip_prefix('.')
            .unwrap_or(text)
            .parse()
            .map_err(|_| self.refused("domain", CookieError::Domain))
    }

    fn same_site(&self) -> Result<SameSite, CookieJarError> {
        match self.text("sameSite")? {
            None => Ok(SameSite::Default),
            Some(text) => SameSite::of(text.as_bytes())
                .ok_or_else(|| self.unexpected("sameSite", "\"strict\", \"lax\" or \"none\"")),
        }
    }

    /// `maxAge` before `expires`, as in a field; counted from the last access, as tough-cookie counts it.
    fn expires(&self, last_access: i64) -> Result<Option<i64>, CookieJarError> {
        let field = "maxAge";
        let expected = "a number, \"Infinity\" or \"-Infinity\"";
        let seconds = match self.map.get(field) {
            None | Some(Value::Null) => return self.instant("expires"),
            Some(Value::String(text)) if text == "Infinity" => i64::MAX,
            Some(Value::String(text)) if text == "-Infinity" => i64::MIN,
            Some(Value::Number(number)) => whole(number),
            Some(_) => return Err(self.unexpected(field, expected)),
        };
        Ok(Some(if seconds <= 0 {
            i64::MIN
        } else {
            last_access.saturating_add(seconds.saturating_mul(1000))
        }))
    }

    /// Unix milliseconds; none where there is no date or one that never comes.
    fn instant(&self, field: &'static str) -> Result<Option<i64>, CookieJarError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text == "Infinity" => Ok(None),
            Some(Value::String(text)) => from_date(text).map(Some).ok_or(()),
            Some(Value::Number(number)) => Ok(Some(whole(number))),
            Some(_) => Err(()),
        }
        .map_err(|()| self.unexpected(field, "an ISO 8601 date, milliseconds or \"Infinity\""))
    }

    fn text(&self, field: &'static str) -> Result<Option<&str>, CookieJarError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.unexpected(field, "a string")),
        }
    }

    fn flag(&self, field: &'static str) -> Result<Option<bool>, CookieJarError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.unexpected(field, "true or false")),
        }
    }

    fn unexpected(&self, field: &'static str, expected: &'static str) -> CookieJarError {
        CookieJarError::Field {
            index: self.index,
            field,
            expected,
        }
    }

    fn refused(&self, field: &'static str, source: CookieError) -> CookieJarError {
        CookieJarError::Refused {
            index: self.index,
            field,
            source,
        }
    }
}

/// One character an octet.
fn to_characters(octets: &[u8]) -> String {
    octets.iter().copied().map(char::from).collect()
}

/// One octet a character; UTF-8 if a character stands for none.
fn from_characters(text: &str) -> Vec<u8> {
    text.chars()
        .map(u8::try_from)
        .collect::<Result<_, _>>()
        .unwrap_or_else(|_| text.as_bytes().to_vec())
}

/// As JavaScript's `toISOString` writes it.
fn to_date(milliseconds: i64) -> String {
    let nanoseconds = i128::from(milliseconds.clamp(EARLIEST, LATEST)) * 1_000_000;
    let date = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .expect("the years 1 to 9999 are in the calendar");
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second(),
        date.millisecond()
    )
}

fn from_date(text: &str) -> Option<i64> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(date.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

fn whole(number: &Number) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and nobody needs half a millisecond"
    )]
    number
        .as_i64()
        .or_else(|| number.as_f64().map(|fraction| fraction as i64))
        .unwrap_or(i64::MAX)
}

/// The year 1 and the year 9999: what four digits can say.
const EARLIEST: i64 = -62_135_596_800_000;
const LATEST: i64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::CookieJar;
    use super::*;

    /// 2024-01-01T00:00:00.000Z
    const NOW: i64 = 1_704_067_200_000;

    fn jar() -> CookieJar {
        CookieJar::with_clock(|| NOW)
    }

    fn reread(jar: &CookieJar) -> CookieJar {
        CookieJar::from_json_with_clock(&jar.to_json(), || NOW).unwrap()
    }

    fn of(cookie: &Value) -> Result<Vec<Cookie>, CookieJarError> {
        let text = json!({ "cookies": [{ "key": "first", "domain": "example.com" }, cookie] });
        let jar = CookieJar::from_json_with_clock(&text.to_string(), || NOW)?;
        Ok(jar
            .cookies(None)
            .into_iter()
            .filter(|cookie| cookie.name != b"first")
            .collect())
    }

    #[test]
    fn a_jar_is_written_as_tough_cookie_writes_it() {
        let jar = jar();
        let url = "https://example.com/a/b".parse().unwrap();
        jar.set_at("a=b", &url, NOW - 1).unwrap();
        jar.set(
            "__Secure-c=d=e; Max-Age=3600; Domain=example.com; Path=/; Secure; HttpOnly; SameSite=Lax",
            &url,
        )
        .unwrap();
        let written: Value = serde_json::from_str(&jar.to_json()).unwrap();
        assert_eq!(
            written,
            json!({
                "version": concat!("pinfetch@", env!("CARGO_PKG_VERSION")),
                "storeType": "MemoryCookieStore",
                "rejectPublicSuffixes": true,
                "cookies": [
                    {
                        "key": "a",
                        "value": "b",
                        "domain": "example.com",
                        "path": "/a",
                        "hostOnly": true,
                        "creation": "2023-12-31T23:59:59.999Z",
                        "lastAccessed": "2023-12-31T23:59:59.999Z",
                    },
                    {
                        "key": "__Secure-c",
                        "value": "d=e",
                        "expires": "2024-01-01T01:00:00.000Z",
                        "domain": "example.com",
                        "path": "/",
                        "secure": true,
                        "httpOnly": true,
                        "hostOnly": false,
                        "creation": "2024-01-01T00:00:00.000Z",
                        "lastAccessed": "2024-01-01T00:00:00.000Z",
                        "sameSite": "lax",
                    },
                ],
            })
        );
    }

    #[test]
    fn a_written_jar_reads_as_the_same_jar() {
        let jar = jar();
        let url = "https://www.example.com/a/b".parse().unwrap();
        for text in [
            "a=b",
            "a=c; Path=/",
            "a=d; Domain=example.com; Max-Age=1",
            "nameless",
            "empty=",
            "__Host-a=b; Secure; Path=/; SameSite=Strict",
            "b=\t\"inner\tblanks, commas = signs\"",
            "grüße=😀; HttpOnly; SameSite=None; Secure",
        ] {
            jar.set(text, &url).unwrap();
        }
        jar.set(b"latin1=\xe9\xff", &url).unwrap();
        for host in [
            "127.0.0.1",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "localhost",
            "bücher.example",
        ] {
            let url = format!("https://{host}/").parse().unwrap();
            jar.set(format!("a={host}"), &url).unwrap();
        }
        let reread = reread(&jar);
        assert_eq!(reread.cookies(None), jar.cookies(None));
        assert_eq!(reread.cookies(None).len(), 14);
        assert_eq!(reread.header(&url), jar.header(&url));
    }

    #[test]
    fn what_tough_cookie_leaves_out_has_its_default() {
        let cookies =
            of(&json!({ "key": "a", "value": "b", "domain": "www.example.com" })).unwrap();
        let expected = Cookie {
            name: b"a".to_vec(),
            value: b"b".to_vec(),
            domain: "www.example.com".to_owned(),
            host_only: false,
            path: "/".to_owned(),
            secure: false,
            http_only: false,
            same_site: SameSite::Default,
            expires: None,
            created: NOW,
            last_access: NOW,
        };
        assert_eq!(cookies, [expected]);
        let nulls = json!({
            "key": "a", "value": "b", "domain": "www.example.com", "path": null, "secure": null, "httpOnly": null,
            "hostOnly": null, "expires": null, "maxAge": null, "creation": null, "lastAccessed": null,
            "sameSite": null, "extensions": null, "pathIsDefault": null, "unknown": { "of": [1] },
        });
        assert_eq!(of(&nulls).unwrap(), cookies);
    }

    #[test]
    fn dates_are_read_in_each_of_their_forms() {
        let hour = 3_600_000;
        for (fields, expires) in [
            (
                json!({ "expires": "2024-01-01T01:00:00.000Z" }),
                Some(NOW + hour),
            ),
            (
                json!({ "expires": "2024-01-01T02:00:00+01:00" }),
                Some(NOW + hour),
            ),
            (json!({ "expires": NOW + hour }), Some(NOW + hour)),
            (json!({ "expires": 1_704_070_800_000.5 }), Some(NOW + hour)),
            (json!({ "expires": "Infinity" }), None),
            (
                json!({ "expires": "9999-12-31T23:59:59.999Z" }),
                Some(NOW + LIFETIME),
            ),
            (json!({ "expires": 1e300 }), Some(NOW + LIFETIME)),
            (json!({ "expires": u64::MAX }), Some(NOW + LIFETIME)),
            (
                json!({ "maxAge": 7200, "expires": "Infinity" }),
                Some(NOW + 2 * hour),
            ),
            (
                json!({ "maxAge": "Infinity", "expires": NOW + 1 }),
                Some(NOW + LIFETIME),
            ),
            (
                json!({ "maxAge": 7200, "creation": NOW - hour }),
                Some(NOW + hour),
            ),
            (
                json!({ "maxAge": 7200, "creation": "Infinity", "lastAccessed": NOW - hour }),
                Some(NOW + hour),
            ),
        ] {
            let mut cookie = json!({ "key": "a", "domain": "example.com" });
            cookie
                .as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            let cookies = of(&cookie).unwrap_or_else(|error| panic!("{fields}: {error}"));
            assert_eq!(
                cookies
                    .iter()
                    .map(|cookie| cookie.expires)
                    .collect::<Vec<_>>(),
                [expires],
                "{fields}"
            );
        }
        for fields in [
            json!({ "expires": "2024-01-01T00:00:00.000Z" }), // now
            json!({ "expires": 0 }),
            json!({ "expires": -1e300 }),
            json!({ "maxAge": 0 }),
            json!({ "maxAge": "-Infinity" }),
            json!({ "maxAge": 1, "lastAccessed": NOW - 1000 }),
        ] {
            let mut cookie = json!({ "key": "a", "domain": "example.com" });
            cookie
                .as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            assert_eq!(of(&cookie).unwrap(), [], "{fields}");
        }
    }

    #[test]
    fn a_domain_is_brought_into_its_canonical_form() {
        for (domain, canonical, host_only) in [
            ("example.com", "example.com", false),
            (".Example.COM", "example.com", false),
            ("bücher.example", "xn--bcher-kva.example", false),
            ("[::1]", "::1", false),
            ("localhost", "localhost", true), // public suffixes: for that host alone
            ("github.io", "github.io", true),
        ] {
            let cookies = of(&json!({ "key": "a", "domain": domain })).unwrap();
            let found: Vec<_> = cookies
                .iter()
                .map(|cookie| (cookie.domain.as_str(), cookie.host_only))
                .collect();
            assert_eq!(found, [(canonical, host_only)], "{domain}");
        }
    }

    #[test]
    fn characters_past_latin_1_are_utf_8() {
        for (text, octets) in [
            ("\u{e9}", &b"\xe9"[..]),
            ("\u{c3}\u{a9}", b"\xc3\xa9"),
            ("\u{20ac}\u{e9}", "\u{20ac}\u{e9}".as_bytes()),
        ] {
            let cookies =
                of(&json!({ "key": "a", "value": text, "domain": "example.com" })).unwrap();
            assert_eq!(cookies[0].value, octets, "{text}");
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table of what can be wrong")]
    fn what_is_wrong_is_named_by_place_and_field() {
        let secret = "hunter2";
        for (fields, message) in [
            (
                json!({ "domain": null }),
                "cookies[1].domain: expected a string",
            ),
            (
                json!({ "domain": 1 }),
                "cookies[1].domain: expected a string",
            ),
            (
                json!({ "domain": "" }),
                "cookies[1].domain: a cookie's domain is a host's name or address",
            ),
            (
                json!({ "domain": "a b" }),
                "cookies[1].domain: a cookie's domain is a host's name or address",
            ),
            (
                json!({ "domain": "a..b" }),
                "cookies[1].domain: a cookie's domain is a host's name or address",
            ),
            (
                json!({ "domain": "https://a" }),
                "cookies[1].domain: a cookie's domain is a host's name or address",
            ),
            (json!({ "key": 1 }), "cookies[1].key: expected a string"),
            (
                json!({ "key": "", "value": " " }),
                "cookies[1].key: the cookie has neither a name nor a value",
            ),
            (
                json!({ "key": "a\r\nb" }),
                "cookies[1].key: the cookie holds a control character",
            ),
            (
                json!({ "value": "a\u{7f}b" }),
                "cookies[1].value: the cookie holds a control character",
            ),
            (
                json!({ "key": "a=b" }),
                "cookies[1].key: a cookie's name holds no `;` and no `=`, its value no `;`",
            ),
            (
                json!({ "value": "b; c=d" }),
                "cookies[1].value: a cookie's name holds no `;` and no `=`, its value no `;`",
            ),
            (
                json!({ "value": "v".repeat(4096) }),
                "cookies[1].value: the cookie's name and value have 4097 octets together, more than 4096",
            ),
            (
                json!({ "key": " __secure-a" }),
                "cookies[1].key: a name that begins with __Secure- needs Secure",
            ),
            (
                json!({ "key": "__Host-a", "secure": true }),
                "cookies[1].key: a name that begins with __Host- needs Secure, Path=/ and no Domain",
            ),
            (
                json!({ "key": "", "value": "__Host-a=b" }),
                "cookies[1].value: a cookie without a name cannot have a value that begins with __Secure- or __Host-",
            ),
            (
                json!({ "path": "a" }),
                "cookies[1].path: a cookie's path begins with a slash",
            ),
            (
                json!({ "path": "/ä" }),
                "cookies[1].path: the cookie's path is not ASCII: percent-encode it",
            ),
            (json!({ "path": [] }), "cookies[1].path: expected a string"),
            (
                json!({ "secure": "yes" }),
                "cookies[1].secure: expected true or false",
            ),
            (
                json!({ "httpOnly": 1 }),
                "cookies[1].httpOnly: expected true or false",
            ),
            (
                json!({ "hostOnly": {} }),
                "cookies[1].hostOnly: expected true or false",
            ),
            (
                json!({ "sameSite": "loose" }),
                "cookies[1].sameSite: expected \"strict\", \"lax\" or \"none\"",
            ),
            (
                json!({ "expires": "tomorrow" }),
                "cookies[1].expires: expected an ISO 8601 date, milliseconds or \"Infinity\"",
            ),
            (
                json!({ "creation": true }),
                "cookies[1].creation: expected an ISO 8601 date, milliseconds or \"Infinity\"",
            ),
            (
                json!({ "lastAccessed": "" }),
                "cookies[1].lastAccessed: expected an ISO 8601 date, milliseconds or \"Infinity\"",
            ),
            (
                json!({ "maxAge": "1" }),
                "cookies[1].maxAge: expected a number, \"Infinity\" or \"-Infinity\"",
            ),
        ] {
            let mut cookie = json!({ "key": "a", "value": secret, "domain": "example.com" });
            assert_eq!(of(&cookie).unwrap().len(), 1); // the control
            cookie
                .as_object_mut()
                .unwrap()
                .extend(fields.as_object().unwrap().clone());
            let error = of(&cookie).unwrap_err();
            assert_eq!(error.to_string(), message, "{fields}");
            assert!(!format!("{error:?}").contains(secret), "{fields}");
        }
    }

    #[test]
    fn what_is_no_jar_is_refused() {
        for (text, message) in [
            ("", "line 1, column 0: not JSON"),
            ("{\"cookies\":\n[}", "line 2, column 2: not JSON"),
            ("null", "a cookie jar is an object with a list `cookies`"),
            ("[]", "a cookie jar is an object with a list `cookies`"),
            ("{}", "a cookie jar is an object with a list `cookies`"),
            (
                "{\"cookies\":{}}",
                "a cookie jar is an object with a list `cookies`",
            ),
            ("{\"cookies\":[null]}", "cookies[0]: expected an object"),
        ] {
            let error = CookieJar::from_json(text).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
        assert!(
            CookieJar::from_json("{\"cookies\":[]}")
                .unwrap()
                .cookies(None)
                .is_empty()
        );
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(
            CookieJar::from_json(&deep),
            Err(CookieJarError::Syntax { .. })
        ));
    }

    #[test]
    fn more_cookies_than_fit_are_cut_to_those_used_last() {
        let cookies: Vec<_> = (0..200)
            .map(|index| json!({ "key": format!("a{index}"), "domain": "example.com", "lastAccessed": NOW + index }))
            .collect();
        let text = json!({ "cookies": cookies }).to_string();
        let jar = CookieJar::from_json_with_clock(&text, || NOW).unwrap();
        let kept = jar.cookies(None);
        assert_eq!(kept.len(), 180);
        assert_eq!(kept[0].name, b"a20");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,64}") {
            let _ = CookieJar::from_json(&text);
        }

        #[test]
        fn any_date_and_number_is_read_without_a_panic(date in "[0-9:TZ+.-]{0,30}", number: f64, now: i64) {
            let text = json!({ "cookies": [
                { "key": "a", "domain": "a", "expires": number, "creation": number, "maxAge": number },
                { "key": "b", "domain": "a", "lastAccessed": number, "maxAge": number },
                { "key": "c", "domain": "a", "expires": date },
            ] }).to_string();
            if let Ok(jar) = CookieJar::from_json_with_clock(&text, move || now) {
                let _ = jar.to_json();
            }
        }

        #[test]
        fn octets_come_back(octets: Vec<u8>) {
            prop_assert_eq!(from_characters(&to_characters(&octets)), octets);
        }

        #[test]
        fn dates_come_back(milliseconds in EARLIEST..=LATEST) {
            prop_assert_eq!(from_date(&to_date(milliseconds)), Some(milliseconds));
        }
    }
}
