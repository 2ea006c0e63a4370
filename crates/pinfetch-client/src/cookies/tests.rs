//! The jar as its users see it: one rule of the draft a test, a case of it a row.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use proptest::prelude::*;
use url::Url;

use super::store::{PER_DOMAIN, TOTAL};
use super::*;

const NOW: i64 = 1_704_067_200_000;

fn url(text: &str) -> Url {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn jar() -> CookieJar {
    CookieJar::with_clock(|| NOW)
}

/// A jar whose clock the test moves.
fn clocked_jar() -> (CookieJar, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(NOW));
    let hands = clock.clone();
    (
        CookieJar::with_clock(move || hands.load(Ordering::Relaxed)),
        clock,
    )
}

/// The field of a request to `to`, an empty text for none.
fn sent(jar: &CookieJar, to: &str) -> String {
    jar.header(&url(to)).map_or(String::new(), |field| {
        String::from_utf8(field.as_bytes().to_vec()).unwrap()
    })
}

#[test]
fn prefixed_names_keep_what_they_promise() {
    for (from, text, expected) in [
        ("https://site.example/a", "__Secure-a=b; Secure", Ok(())),
        (
            "https://a.site.example/a",
            "__secure-a=b; Secure; Domain=site.example",
            Ok(()),
        ),
        (
            "https://site.example/a",
            "__SECURE-a=b",
            Err(CookieError::SecurePrefix),
        ),
        (
            "https://site.example/a",
            "__Secure-=b",
            Err(CookieError::SecurePrefix),
        ),
        (
            "http://site.example/a",
            "__Secure-a=b; Secure",
            Err(CookieError::InsecureOrigin),
        ),
        ("http://localhost/a", "__Secure-a=b; Secure", Ok(())),
        (
            "https://site.example/a",
            "__Host-a=b; Secure; Path=/",
            Ok(()),
        ),
        (
            "https://site.example/a",
            "__HOST-a=b; Path=/; Secure; HttpOnly",
            Ok(()),
        ),
        (
            "https://site.example/a",
            "__Host-a=b; Path=/",
            Err(CookieError::HostPrefix),
        ),
        (
            "https://site.example/a",
            "__Host-a=b; Secure",
            Err(CookieError::HostPrefix),
        ), // although that means /
        ("https://site.example/a", "__Host-a=b; Secure; Path", Ok(())), // so does this, and it says so
        (
            "https://site.example/a/b",
            "__Host-a=b; Secure; Path",
            Err(CookieError::HostPrefix),
        ),
        (
            "https://site.example/a",
            "__Host-a=b; Secure; Path=/a",
            Err(CookieError::HostPrefix),
        ),
        (
            "https://site.example/a",
            "__hOsT-a=b; Secure; Path=/; Domain=site.example",
            Err(CookieError::HostPrefix),
        ),
        (
            "https://site.example/a",
            "__Host-a=b; Secure; Path=/; Domain=",
            Ok(()),
        ),
        ("https://site.example/a", "__Hosta=b", Ok(())),
        ("https://site.example/a", "x__Host-a=b", Ok(())),
        ("https://site.example/a", "\"__Host-a\"=b", Ok(())),
    ] {
        assert_eq!(jar().set(text, &url(from)), expected, "{from} {text}");
    }
}

#[test]
fn a_nameless_cookie_imitates_no_prefix() {
    for (text, expected) in [
        ("=__Secure-a=b; Secure", Err(CookieError::NamelessPrefix)),
        (
            "=__host-a=b; Secure; Path=/",
            Err(CookieError::NamelessPrefix),
        ),
        ("__Host-", Err(CookieError::NamelessPrefix)),
        ("__SECURE-a; Secure", Err(CookieError::NamelessPrefix)),
        ("= \t__Host-a", Err(CookieError::NamelessPrefix)),
        ("=a__Host-b=c", Ok(())),
        ("a=__Host-b=c", Ok(())),
        ("__Host", Ok(())),
    ] {
        assert_eq!(
            jar().set(text, &url("https://site.example/")),
            expected,
            "{text}"
        );
    }
}

#[test]
fn a_cookie_has_a_name_or_a_value() {
    for (text, field) in [
        ("a=b", Ok("a=b")),
        ("a=", Ok("a=")),
        ("a", Ok("a")), // a value: the name is what is missing
        ("=a", Ok("a")),
        ("=a=b", Ok("a=b")), // not the cookie of the first row, though nobody can tell
        ("", Err(CookieError::Empty)),
        ("=", Err(CookieError::Empty)),
        (" \t = ", Err(CookieError::Empty)),
        ("; Path=/", Err(CookieError::Empty)),
        ("a=b\0", Err(CookieError::ControlCharacter)),
        ("a=b\r\nSet-Cookie: c=d", Err(CookieError::ControlCharacter)),
    ] {
        let jar = jar();
        let result = jar.set(text, &url("https://site.example/"));
        assert_eq!(result, field.clone().map(|_| ()), "{text:?}");
        assert_eq!(
            sent(&jar, "https://site.example/"),
            field.unwrap_or(""),
            "{text:?}"
        );
    }
}

#[test]
fn a_public_suffix_has_no_cookies_but_its_own() {
    for (from, domain, expected) in [
        ("https://example.com", "example.com", Ok(false)),
        ("https://example.com", "com", Err("com")),
        ("https://example.co.uk", ".CO.UK", Err("co.uk")),
        ("https://user.github.io", "github.io", Err("github.io")),
        ("https://github.io", "github.io", Ok(true)), // host-only: no user's page gets it
        ("https://a.localhost", "localhost", Err("localhost")),
        ("https://localhost", "localhost", Ok(true)),
        ("https://a.intranet", "intranet", Err("intranet")),
        ("https://b.a.intranet", "a.intranet", Ok(false)),
        (
            "https://a.b.kawasaki.jp",
            "b.kawasaki.jp",
            Err("b.kawasaki.jp"),
        ),
        ("https://a.city.kawasaki.jp", "city.kawasaki.jp", Ok(false)),
    ] {
        let jar = jar();
        let result = jar.set(format!("a=b; Domain={domain}"), &url(from));
        let host_only = result.map(|()| jar.cookies(None)[0].host_only);
        let expected = expected.map_err(|suffix| CookieError::PublicSuffix {
            domain: suffix.to_owned(),
        });
        assert_eq!(host_only, expected, "{from} {domain}");
    }
}

#[test]
fn a_cookie_goes_to_its_host_or_to_all_below_its_domain() {
    for (from, domain, to, goes) in [
        ("https://a.example.com", "", "https://a.example.com", true),
        (
            "https://a.example.com",
            "",
            "https://a.example.com:8443",
            true,
        ), // ports keep nothing apart
        ("https://a.example.com", "", "http://a.example.com", true),
        ("https://a.example.com", "", "https://A.EXAMPLE.COM.", true),
        (
            "https://a.example.com",
            "",
            "https://b.a.example.com",
            false,
        ),
        ("https://a.example.com", "", "https://example.com", false),
        (
            "https://a.example.com",
            "a.example.com",
            "https://b.a.example.com",
            true,
        ),
        (
            "https://a.example.com",
            "example.com",
            "https://example.com",
            true,
        ),
        (
            "https://a.example.com",
            "example.com",
            "https://b.example.com",
            true,
        ),
        (
            "https://a.example.com",
            "example.com",
            "https://notexample.com",
            false,
        ),
        (
            "https://a.example.com",
            "example.com",
            "https://example.com.evil.test",
            false,
        ),
        (
            "https://a.example.com",
            "EXAMPLE.com",
            "https://b.example.com",
            true,
        ),
        (
            "https://bücher.example",
            "",
            "https://xn--bcher-kva.example",
            true,
        ),
        (
            "https://bücher.example",
            "xn--bcher-kva.example",
            "https://a.bücher.example",
            true,
        ),
        ("https://127.0.0.1", "", "https://127.0.0.1", true),
        ("https://127.0.0.1", "127.0.0.1", "https://127.0.0.1", true),
        ("https://127.0.0.1", "127.0.0.1", "https://0x7f.1", true),
        ("https://127.0.0.1", "", "https://127.0.0.2", false),
        (
            "https://127.0.0.1",
            "",
            "https://127.0.0.1.example.com",
            false,
        ),
        ("https://[::1]", "", "https://[0:0::1]", true),
        ("https://[::ffff:10.0.0.1]", "", "https://10.0.0.1", true),
        ("wss://a.example.com", "", "https://a.example.com", true),
        ("https://a.example.com", "", "ftp://a.example.com", false),
    ] {
        let jar = jar();
        let text = if domain.is_empty() {
            "a=b".to_owned()
        } else {
            format!("a=b; Domain={domain}")
        };
        assert_eq!(jar.set(text, &url(from)), Ok(()), "{from} {domain}");
        assert_eq!(jar.header(&url(to)).is_some(), goes, "{from} {domain} {to}");
        assert_eq!(jar.cookies(Some(&url(to))).len(), usize::from(goes));
    }
}

#[test]
fn a_host_speaks_for_no_other() {
    let mismatch = |domain: &str, host: &str| CookieError::DomainMismatch {
        domain: domain.to_owned(),
        host: host.to_owned(),
    };
    for (from, domain, error) in [
        (
            "https://a.example.com",
            "b.example.com",
            mismatch("b.example.com", "a.example.com"),
        ),
        (
            "https://example.com",
            "a.example.com",
            mismatch("a.example.com", "example.com"),
        ),
        (
            "https://notexample.com",
            "example.com",
            mismatch("example.com", "notexample.com"),
        ),
        (
            "https://a.example.com",
            "..example.com",
            mismatch(".example.com", "a.example.com"),
        ),
        (
            "https://a.example.com",
            "example.com.",
            mismatch("example.com.", "a.example.com"),
        ),
        (
            "https://a.example.com",
            "example.com:443",
            mismatch("example.com:443", "a.example.com"),
        ),
        (
            "https://a.example.com",
            "\"example.com\"",
            mismatch("\"example.com\"", "a.example.com"),
        ),
        ("https://1.2.3.4", "3.4", mismatch("3.4", "1.2.3.4")),
        ("https://1.2.3.4", "4", mismatch("4", "1.2.3.4")),
        (
            "https://bücher.example",
            "bücher.example",
            CookieError::DomainNotAscii,
        ),
    ] {
        let text = format!("a=b; Domain={domain}");
        assert_eq!(jar().set(text, &url(from)), Err(error), "{from} {domain}");
    }
    assert_eq!(jar().set("a=b", &url("file:///a")), Err(CookieError::Url));
}

#[test]
fn a_cookie_goes_to_its_path_and_below() {
    for (from, path, to, goes) in [
        ("/a/b", "", "/a", true),
        ("/a/b", "", "/a/c", true),
        ("/a/b", "", "/", false),
        ("/a/", "", "/a", true),
        ("/a", "", "/b", true),
        ("/a/b", "; Path=/", "/c", true),
        ("/a/b", "; Path=/c", "/c/d", true), // any path, not only the request's own
        ("/a/b", "; Path=/c", "/cd", false),
        ("/a/b", "; Path=/c/", "/c", false),
        ("/a/b", "; Path=c", "/a", true),
        ("/a/b", "; Path=/a?", "/a?", false),
        ("/a/b", "; Path=/%61", "/a", false),
        ("/a/b", "; Path=/%61", "/%61/c", true),
        ("/a/b", "; Path=/A", "/a", false),
    ] {
        let jar = jar();
        let text = format!("a=b{path}");
        jar.set(text, &url(&format!("https://site.example{from}")))
            .unwrap();
        let field = jar.header(&url(&format!("https://site.example{to}")));
        assert_eq!(field.is_some(), goes, "{from} {path} {to}");
    }
    let error = jar()
        .set("a=b; Path=/ä", &url("https://site.example"))
        .unwrap_err();
    assert_eq!(error, CookieError::PathNotAscii);
}

#[test]
fn a_secure_cookie_comes_and_goes_only_where_nobody_listens() {
    for (from, comes) in [
        ("https://site.example/", true),
        ("http://site.example/", false),
        ("http://localhost/", true),
        ("http://127.0.0.1/", true),
        ("http://[::1]/", true),
    ] {
        let expected = if comes {
            Ok(())
        } else {
            Err(CookieError::InsecureOrigin)
        };
        assert_eq!(jar().set("a=b; Secure", &url(from)), expected, "{from}");
        assert_eq!(jar().set("a=b", &url(from)), Ok(()), "{from}"); // the control
    }
    let jar = jar();
    jar.set("a=b; Secure", &url("https://site.example"))
        .unwrap();
    jar.set("c=d", &url("https://site.example")).unwrap();
    assert_eq!(sent(&jar, "https://site.example"), "a=b; c=d");
    assert_eq!(sent(&jar, "http://site.example"), "c=d");
    jar.set("e=f; Secure", &url("https://localhost")).unwrap();
    assert_eq!(sent(&jar, "http://localhost:8080"), "e=f");
}

#[test]
fn plain_http_leaves_secure_cookies_alone() {
    let there = [
        ("https://a.site.example/", "s=1; Secure; Path=/login"),
        (
            "https://a.site.example/",
            "d=1; Secure; Domain=site.example",
        ),
        ("https://a.site.example/", "plain=1"),
    ];
    for (from, text, comes) in [
        ("http://a.site.example/", "s=2; Path=/login", false),
        ("http://a.site.example/", "s=2; Path=/login/en", false),
        ("http://a.site.example/", "s=2; Path=/", true), // the draft's example: not symmetric
        ("http://a.site.example/", "s=2; Path=/loginx", true),
        ("http://a.site.example/", "S=2; Path=/login", true), // names have a case
        (
            "http://a.site.example/",
            "s=2; Path=/login; Domain=site.example",
            false,
        ),
        (
            "http://site.example/",
            "s=2; Path=/login; Domain=site.example",
            false,
        ),
        ("http://b.a.site.example/", "s=2; Path=/login", false), // below the other's domain
        ("http://b.site.example/", "s=2; Path=/login", true),
        ("http://b.site.example/", "d=2", false),
        ("http://notsite.example/", "d=2", true),
        (
            "http://a.site.example/",
            "d=; Max-Age=0; Domain=site.example",
            false,
        ), // removing is overlaying
        ("http://a.site.example/", "plain=2", true),
        ("https://a.site.example/", "s=2; Path=/login", true),
        ("https://a.site.example/", "d=2; Domain=site.example", true),
    ] {
        let jar = jar();
        for (from, text) in there {
            jar.set(text, &url(from)).unwrap();
        }
        let expected = if comes {
            Ok(())
        } else {
            Err(CookieError::OverlaysSecure)
        };
        assert_eq!(jar.set(text, &url(from)), expected, "{from} {text}");
    }
    // this machine's plain http is as good as any
    let jar = jar();
    jar.set("a=1; Secure", &url("https://localhost/")).unwrap();
    jar.set("a=2", &url("http://localhost/")).unwrap();
    assert_eq!(sent(&jar, "http://localhost/"), "a=2");
}

#[test]
fn same_site_and_http_only_are_kept_and_hold_nothing_back() {
    for (attributes, expected) in [
        ("", Ok((SameSite::Default, false))),
        ("; SameSite=Lax; HttpOnly", Ok((SameSite::Lax, true))),
        ("; SameSite=Strict", Ok((SameSite::Strict, false))),
        ("; SameSite=None; Secure", Ok((SameSite::None, false))),
        ("; SameSite=None", Err(CookieError::SameSiteNoneInsecure)),
        ("; SameSite=sometimes", Ok((SameSite::Default, false))),
    ] {
        let jar = jar();
        let site = url("https://site.example/");
        let result = jar.set(format!("a=b{attributes}"), &site).map(|()| {
            assert_eq!(jar.header(&site).unwrap(), "a=b");
            let cookie = jar.cookies(None).remove(0);
            (cookie.same_site, cookie.http_only)
        });
        assert_eq!(result, expected, "{attributes}");
    }
}

#[test]
fn a_cookie_ends_when_its_time_comes() {
    let (jar, clock) = clocked_jar();
    let site = url("https://site.example/");
    jar.set("session=1", &site).unwrap();
    jar.set("short=1; Max-Age=10", &site).unwrap();
    jar.set("dated=1; Expires=Mon, 01 Jan 2024 00:00:20 GMT", &site)
        .unwrap();
    jar.set("capped=1; Max-Age=99999999999", &site).unwrap();
    for (seconds, field, count) in [
        (0, "session=1; short=1; dated=1; capped=1", 4),
        (9, "session=1; short=1; dated=1; capped=1", 4),
        (10, "session=1; dated=1; capped=1", 3),
        (19, "session=1; dated=1; capped=1", 3),
        (20, "session=1; capped=1", 2),
        (400 * 86_400 - 1, "session=1; capped=1", 2),
        (400 * 86_400, "session=1", 1),
        (4_000_000_000, "session=1", 1),
    ] {
        clock.store(NOW + seconds * 1000, Ordering::Relaxed);
        assert_eq!(jar.cookies(None).len(), count, "{seconds} before it is met");
        assert_eq!(sent(&jar, "https://site.example/"), field, "{seconds}");
        // and not only out of sight
        assert_eq!(jar.0.count.load(Ordering::Relaxed), count, "{seconds}");
    }
}

#[test]
fn an_expired_cookie_takes_its_predecessor_out() {
    for text in [
        "a=; Max-Age=0",
        "a=; Max-Age=-1",
        "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "a=; Expires=Thu, 01 Jan 1601 00:00:00 GMT",
    ] {
        let jar = jar();
        let site = url("https://site.example/");
        jar.set("a=b", &site).unwrap();
        jar.set("a=c; Path=/d", &site).unwrap();
        assert_eq!(jar.set(text, &site), Ok(()));
        assert_eq!(sent(&jar, "https://site.example/d"), "a=c", "{text}");
        jar.set("a=; Max-Age=0; Path=/d", &site).unwrap();
        assert_eq!(jar.set(text, &site), Ok(()), "again");
        assert_eq!(format!("{jar:?}"), "CookieJar { cookies: 0, domains: 0 }");
    }
}

#[test]
fn the_time_can_be_given_with_the_call() {
    let jar = jar();
    let site = url("https://site.example/");
    jar.set_at("a=b; Max-Age=10", &site, 5000).unwrap();
    assert_eq!(jar.header_at(&site, 14_999).unwrap(), "a=b");
    assert_eq!(jar.header_at(&site, 15_000), None);
    assert_eq!(jar.header_at(&site, 14_999), None); // gone for good
}

#[test]
fn longer_paths_go_first_then_older_cookies() {
    let (jar, clock) = clocked_jar();
    for (from, text) in [
        ("https://www.site.example/", "a=root"),
        ("https://www.site.example/", "a=long; Path=/dir/ectory"),
        ("https://www.site.example/", "b=short; Path=/dir"),
        ("https://www.site.example/", "a=wide; Domain=site.example"), // beside the host-only one
        (
            "https://www.site.example/",
            "c=wide; Domain=site.example; Path=/dir",
        ),
        ("https://www.site.example/", "d=root"), // in the same millisecond as the next
        ("https://www.site.example/", "0=root"),
    ] {
        jar.set(text, &url(from)).unwrap();
        if !text.starts_with('d') {
            clock.fetch_add(1, Ordering::Relaxed);
        }
    }
    assert_eq!(
        sent(&jar, "https://www.site.example/dir/ectory"),
        "a=long; b=short; c=wide; a=root; a=wide; d=root; 0=root"
    );
    let names = |cookies: Vec<Cookie>| -> String {
        cookies
            .iter()
            .map(|cookie| char::from(cookie.name[0]))
            .collect()
    };
    assert_eq!(
        names(jar.cookies(Some(&url("https://www.site.example/dir")))),
        "bcaad0"
    );
    assert_eq!(names(jar.cookies(None)), "aabacd0");
}

#[test]
fn a_cookie_set_anew_keeps_its_place() {
    let (jar, clock) = clocked_jar();
    let site = url("https://site.example/");
    jar.set("a=1; Secure", &site).unwrap();
    jar.set("b=1", &site).unwrap();
    clock.fetch_add(5, Ordering::Relaxed);
    jar.set("a=2; HttpOnly; Max-Age=10", &site).unwrap();
    assert_eq!(sent(&jar, "https://site.example/"), "a=2; b=1");
    let cookie = jar.cookies(None).remove(0);
    assert_eq!((cookie.created, cookie.last_access), (NOW, NOW + 5));
    assert_eq!(cookie.expires, Some(NOW + 5 + 10_000));
    assert!(
        cookie.http_only && !cookie.secure,
        "all else is the new one's"
    );
    // once it has expired it is another cookie
    clock.fetch_add(20_000, Ordering::Relaxed);
    jar.set("a=3", &site).unwrap();
    assert_eq!(sent(&jar, "https://site.example/"), "b=1; a=3");
}

#[test]
fn a_use_is_to_be_sent() {
    let (jar, clock) = clocked_jar();
    let site = url("https://site.example/");
    jar.set("a=1", &site).unwrap();
    jar.set("b=1; Path=/b", &site).unwrap();
    clock.fetch_add(5, Ordering::Relaxed);
    jar.cookies(Some(&site));
    jar.to_json();
    let accesses = || -> Vec<i64> {
        jar.cookies(None)
            .iter()
            .map(|cookie| cookie.last_access - NOW)
            .collect()
    };
    assert_eq!(accesses(), [0, 0]);
    jar.header(&site);
    assert_eq!(accesses(), [5, 0]);
}

#[test]
fn a_domain_has_180_cookies_and_lets_go_of_plain_ones_first() {
    let (jar, clock) = clocked_jar();
    let site = url("https://site.example/");
    let tick = || clock.fetch_add(1, Ordering::Relaxed);
    jar.set("oldest=1; Secure", &site).unwrap();
    tick();
    jar.set("unused=1; Path=/unused", &site).unwrap();
    tick();
    jar.set("brief=1; Max-Age=1; Secure", &site).unwrap();
    for index in jar.cookies(None).len()..PER_DOMAIN {
        tick();
        jar.set(format!("a{index}=1"), &site).unwrap();
    }
    tick();
    jar.header(&site);
    let has = |name: &str| {
        jar.cookies(None)
            .iter()
            .any(|cookie| cookie.name == name.as_bytes())
    };
    assert_eq!(jar.cookies(None).len(), PER_DOMAIN);

    jar.set("one=1", &site).unwrap();
    assert_eq!(jar.cookies(None).len(), PER_DOMAIN);
    assert!(!has("unused") && has("oldest") && has("a3") && has("one"));

    clock.fetch_add(1000, Ordering::Relaxed);
    jar.set("two=1", &site).unwrap();
    assert_eq!(
        jar.cookies(None).len(),
        PER_DOMAIN,
        "the expired one made room"
    );
    assert!(has("oldest") && has("a3") && !has("brief"));

    jar.set("three=1", &site).unwrap();
    assert!(has("oldest") && !has("a3") && has("a4"));

    // the number is the domain's, whoever below it sets them
    let below = url("https://www.site.example/");
    jar.set("four=1; Domain=site.example", &below).unwrap();
    assert!(!has("a4") && has("a5") && has("four"));
    assert_eq!(jar.cookies(None).len(), PER_DOMAIN);
}

#[test]
fn secure_cookies_are_not_crowded_out() {
    let (jar, clock) = clocked_jar();
    let site = url("https://site.example/");
    for index in 0..PER_DOMAIN {
        clock.fetch_add(1, Ordering::Relaxed);
        jar.set(format!("a{index}=1; Secure"), &site).unwrap();
    }
    let error = jar.set("plain=1", &site).unwrap_err();
    assert_eq!(
        error,
        CookieError::Crowded {
            domain: "site.example".to_owned()
        }
    );
    assert_eq!(jar.cookies(None)[0].name, b"a0");
    clock.fetch_add(1, Ordering::Relaxed);
    jar.set("more=1; Secure", &site).unwrap();
    assert_eq!(jar.cookies(None)[0].name, b"a1");
    assert_eq!(jar.cookies(None).len(), PER_DOMAIN);
    // the control: beside a full domain there is room
    jar.set("plain=1", &url("https://other.example/")).unwrap();
    assert_eq!(jar.cookies(None).len(), PER_DOMAIN + 1);
}

#[test]
fn a_jar_has_3000_cookies_and_lets_go_in_the_drafts_order() {
    let (jar, clock) = clocked_jar();
    let site = |index: usize| url(&format!("https://site{index}.example/"));
    let tick = || clock.fetch_add(1, Ordering::Relaxed);
    jar.set("brief=1; Max-Age=60", &site(0)).unwrap();
    jar.set("alone=1", &site(1)).unwrap();
    // a crowded domain: 51 cookies, the Secure ones older
    for index in 0..51 {
        tick();
        let secure = if index < 49 { "; Secure" } else { "" };
        jar.set(format!("c{index}=1{secure}"), &site(2)).unwrap();
    }
    for index in jar.cookies(None).len()..TOTAL {
        tick();
        jar.set("a=1", &site(100 + index)).unwrap();
    }
    assert_eq!(jar.cookies(None).len(), TOTAL);
    let has = |name: &str| {
        jar.cookies(None)
            .iter()
            .any(|cookie| cookie.name == name.as_bytes())
    };

    jar.set("b=1", &site(3)).unwrap();
    assert!(
        !has("c49") && has("c0") && has("alone"),
        "plain ones of a crowded domain go first"
    );
    // 50 are not crowded: then the one unused for longest, wherever
    jar.set("b=1", &site(4)).unwrap();
    assert!(!has("brief") && has("alone"));
    jar.set("b=1", &site(5)).unwrap();
    assert!(!has("alone") && has("c0"));
    assert_eq!(jar.cookies(None).len(), TOTAL);

    // expired ones go before all others, and all at once
    jar.set("brief=1; Max-Age=60", &site(6)).unwrap();
    jar.set("brief=2; Max-Age=60", &site(7)).unwrap();
    let oldest = jar.cookies(None)[0].name.clone();
    clock.fetch_add(60_000, Ordering::Relaxed);
    jar.set("b=1", &site(8)).unwrap();
    assert_eq!(jar.cookies(None).len(), TOTAL - 1);
    assert_eq!(jar.cookies(None)[0].name, oldest);
}

#[test]
fn bad_cookies_are_ignored_one_by_one() {
    let jar = jar();
    let fields: [&[u8]; 7] = [
        b"a=1",
        b"bad=\x01",
        b"",
        b"bad=1; Domain=other.example",
        b"__Host-bad=1",
        b"\xff=\xfe",
        b"b=2; Path=/; Version=1; Comment=\"?\"",
    ];
    jar.store(&url("https://site.example/"), fields);
    let field = jar.header(&url("https://site.example/")).unwrap();
    assert_eq!(field.as_bytes(), b"a=1; \xff=\xfe; b=2"); // octets go out as they came in
    jar.store(&url("file:///"), fields);
    jar.store(&url("https://site.example/"), []);
    assert_eq!(jar.cookies(None).len(), 3);
}

#[test]
fn cookies_can_be_taken_out() {
    let jar = jar();
    let site = url("https://www.site.example/");
    for text in [
        "a=1",
        "a=2; Domain=www.site.example",
        "a=3; Path=/b",
        "b=4",
        "a=5; Domain=site.example",
    ] {
        jar.set(text, &site).unwrap();
    }
    assert!(!jar.remove("www.site.example", "/", "c"));
    assert!(!jar.remove("www.site.example", "/c", "a"));
    assert!(!jar.remove("example", "/", "a"));
    assert!(jar.remove("www.site.example", "/", "a")); // host-only and not
    assert!(!jar.remove("www.site.example", "/", "a"));
    assert_eq!(sent(&jar, "https://www.site.example/b"), "a=3; b=4; a=5");
    jar.clear();
    assert_eq!(jar.header(&site), None);
    assert!(jar.cookies(None).is_empty());
}

#[test]
fn a_clone_is_the_same_jar_on_every_thread() {
    let jar = CookieJar::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let jar = jar.clone();
            scope.spawn(move || {
                for index in 0..50 {
                    let site = url(&format!("https://site{thread}.example/"));
                    jar.store(
                        &site,
                        [format!("a{index}=1; Domain=site{thread}.example").as_bytes()],
                    );
                    assert!(sent(&jar, site.as_str()).ends_with(&format!("a{index}=1")));
                    jar.header(&url("https://site0.example/"));
                }
            });
        }
    });
    assert_eq!(format!("{jar:?}"), "CookieJar { cookies: 200, domains: 4 }");
}

#[test]
fn a_panic_of_the_clock_leaves_the_jar_usable() {
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = broken.clone();
    let jar = CookieJar::with_clock(move || {
        assert!(!switch.load(Ordering::Relaxed), "no time");
        NOW
    });
    let site = url("https://site.example/");
    jar.set("a=b", &site).unwrap();
    broken.store(true, Ordering::Relaxed);
    let other = jar.clone();
    std::thread::spawn(move || other.cookies(None))
        .join()
        .unwrap_err();
    broken.store(false, Ordering::Relaxed);
    assert_eq!(jar.header(&site).unwrap(), "a=b");
}

#[test]
fn nothing_prints_a_value() {
    let secret = "hunter2";
    let jar = jar();
    let site = url("https://site.example/");
    jar.set(format!("a={secret}"), &site).unwrap();
    jar.set(secret, &site).unwrap();
    let refusals = [
        format!("a={secret}\x01"),
        format!("a={secret}; Domain=com"),
        format!("a={secret}; Domain=other.example"),
        format!("__Host-{secret}={secret}"),
        format!("__Host-{secret}"),
        format!("a={secret}{}", "v".repeat(4096)),
    ]
    .map(|text| jar.set(text, &site).unwrap_err());
    for error in refusals {
        assert!(!format!("{error:?} {error}").contains(secret), "{error}");
    }
    assert_eq!(format!("{jar:?}"), "CookieJar { cookies: 2, domains: 1 }");
    let cookies = format!("{:?}", jar.cookies(None));
    assert!(
        !cookies.contains(secret) && cookies.contains("site.example"),
        "{cookies}"
    );
}

/// Hosts that are easily taken for one another.
const HOSTS: [&str; 12] = [
    "site.example",
    "a.site.example",
    "b.a.site.example",
    "notsite.example",
    "example",
    "xsite.example",
    "site.example.a",
    "github.io",
    "user.github.io",
    "127.0.0.1",
    "27.0.0.1",
    "[::1]",
];

fn a_url() -> impl Strategy<Value = Url> {
    let path = proptest::sample::select(&["/", "/a", "/a/", "/a/b", "/ab", "/%61"][..]);
    (any::<bool>(), proptest::sample::select(&HOSTS[..]), path).prop_map(|(tls, host, path)| {
        url(&format!(
            "http{}://{host}{path}",
            if tls { "s" } else { "" }
        ))
    })
}

fn a_field() -> impl Strategy<Value = Vec<u8>> {
    let attribute = prop_oneof![
        proptest::sample::select(&HOSTS[..])
            .prop_map(|host| format!("; Domain={host}").into_bytes()),
        proptest::sample::select(
            &[
                "; Secure",
                "; Path=/",
                "; Path=/a",
                "; Path=/a/",
                "; Max-Age=5",
                "; Max-Age=0",
                "; HttpOnly",
                "; SameSite=Lax"
            ][..]
        )
        .prop_map(|text| text.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..8)
            .prop_map(|octets| [&b";"[..], &octets].concat()),
    ];
    let pair = prop_oneof![
        "[abc]{0,1}=?[0-9=]{0,2}".prop_map(String::into_bytes),
        "(__host-|__Secure-)[ab]=?[0-9]".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    (pair, proptest::collection::vec(attribute, 0..4))
        .prop_map(|(pair, attributes)| [pair, attributes.concat()].concat())
}

/// §5.1.3 once more, by labels.
fn covers(domain: &str, host: &str) -> bool {
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let labels = |name: &str| name.rsplit('.').map(str::to_owned).collect::<Vec<_>>();
    host == domain || !is_address && labels(host).starts_with(&labels(domain))
}

proptest! {
    #[test]
    fn a_cookie_is_never_sent_where_it_does_not_belong(
        steps in proptest::collection::vec((a_url(), a_field(), 0..10_000_i64), 1..20),
        to in a_url(),
    ) {
        let jar = jar();
        let mut now = NOW;
        for (from, field, pause) in steps {
            now += pause;
            let _ = jar.set_at(&field, &from, now);
        }
        let Some(header) = jar.header_at(&to, now) else { return Ok(()) };
        let host = to.host_str().unwrap().trim_matches(['[', ']']).to_owned();
        let is_secure = to.scheme() == "https" || host == "127.0.0.1" || host == "::1";
        let all = jar.cookies(None);
        // what may go there by the rules written out anew, in the order that they ask for
        let mut expected: Vec<_> = all.iter().filter(|cookie| {
            let path = cookie.path.trim_end_matches('/');
            (cookie.domain == host || !cookie.host_only && covers(&cookie.domain, &host))
                && (is_secure || !cookie.secure)
                && (to.path() == cookie.path || format!("{}/", to.path()).starts_with(&format!("{path}/")) && (to.path().len() > path.len() || cookie.path == path))
                && cookie.expires.is_none_or(|expires| expires > now)
        }).collect();
        expected.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let texts: Vec<Vec<u8>> = expected.iter().map(|cookie| match cookie.name.as_slice() {
            b"" => cookie.value.clone(),
            name => [name, b"=", &cookie.value].concat(),
        }).collect();
        prop_assert_eq!(header.as_bytes(), texts.join(&b"; "[..]));
        for cookie in &all {
            let is_suffix = ["example", "a", "github.io", "io"].contains(&cookie.domain.as_str());
            prop_assert!(cookie.host_only || !is_suffix, "{:?}", cookie);
            let name = cookie.name.to_ascii_lowercase();
            prop_assert!(cookie.secure || !name.starts_with(b"__secure-"));
            prop_assert!(cookie.secure && cookie.host_only && cookie.path == "/" || !name.starts_with(b"__host-"));
        }
    }

    #[test]
    fn whatever_a_jar_holds_comes_back_from_its_text(
        fields in proptest::collection::vec((a_url(), a_field()), 0..20),
    ) {
        let jar = jar();
        for (from, field) in fields {
            jar.store(&from, [field.as_slice()]);
        }
        let reread = CookieJar::from_json_with_clock(&jar.to_json(), || NOW).unwrap();
        prop_assert_eq!(reread.cookies(None), jar.cookies(None));
    }

    #[test]
    fn any_octets_are_stored_without_a_panic(field: Vec<u8>, now: i64) {
        let site = url("https://site.example/");
        let jar = CookieJar::with_clock(move || now);
        jar.store(&site, [field.as_slice()]);
        let _ = jar.header(&site);
        let _ = jar.to_json();
    }
}
