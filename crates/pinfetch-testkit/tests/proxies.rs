//! The proxies as a client meets them that writes their protocols byte by byte.

#[cfg(test)]
mod raw;

use std::sync::Arc;

use pinfetch_testkit::KitError;
use raw::{Bench, NAME, ask, ask_socks, get_through};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio_rustls::TlsConnector;

#[tokio::test]
async fn a_tunnels_bytes_are_counted_both_ways() {
    let mut bench = Bench::new().await;
    let proxy = bench.proxy(json!({ "kind": "connect" })).await;
    let mut stream = proxy.dial().await;
    let answer = ask(&mut stream, &bench.connect_head("")).await;
    assert_eq!(answer, "HTTP/1.1 200 Connection Established\r\n\r\n");
    assert_eq!(bench.stats(proxy).await.open, 1);
    let response = get_through(stream).await;
    assert!(response.ends_with("\r\n\r\nabc"), "{response}");

    let stats = bench.stats(proxy).await;
    assert_eq!((stats.accepted, stats.tunnels, stats.refused), (1, 1, 0));
    assert_eq!(stats.bytes_to_clients, response.len() as u64);
    assert_eq!(
        stats.bytes_to_servers,
        "GET /bytes/3 HTTP/1.1\r\nhost: api.example.test\r\nconnection: close\r\n\r\n".len() as u64
    );
    assert_eq!(
        stats.authorities,
        [format!("api.example.test:{}", bench.server)]
    );
}

#[tokio::test]
async fn a_proxy_refuses_with_what_it_is_told_and_for_as_long() {
    let mut bench = Bench::new().await;
    for (status, start, challenged) in [
        (407, "HTTP/1.1 407 Proxy Authentication Required\r\n", true),
        (502, "HTTP/1.1 502 Bad Gateway\r\n", false),
        (599, "HTTP/1.1 599 Refused\r\n", false),
    ] {
        let proxy = bench
            .proxy(json!({ "kind": "connect", "refuse": status }))
            .await;
        let answer = ask(&mut proxy.dial().await, &bench.connect_head("")).await;
        assert!(answer.starts_with(start), "{answer}");
        assert_eq!(answer.contains("proxy-authenticate: Basic"), challenged);

        let relent = json!({ "cmd": "refuse", "server": proxy.number });
        bench.command(relent).await.unwrap();
        let answer = ask(&mut proxy.dial().await, &bench.connect_head("")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let stats = bench.stats(proxy).await;
        assert_eq!(
            (stats.refused, stats.tunnels, stats.authorities.len()),
            (1, 1, 2)
        );
    }

    let proxy = bench.proxy(json!({ "kind": "socks5" })).await;
    for (with, code) in [(Some(2), 2), (Some(255), 255), (None, 0)] {
        let refuse = json!({ "cmd": "refuse", "server": proxy.number, "with": with });
        bench.command(refuse).await.unwrap();
        let mut stream = proxy.dial().await;
        let (method, reply) = ask_socks(&mut stream, bench.server).await;
        assert_eq!((method, reply[1]), (0x0500, code));
        if code == 0 {
            assert!(get_through(stream).await.ends_with("abc"));
        } else {
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0); // closed (RFC 1928 §6)
        }
    }
    let stats = bench.stats(proxy).await;
    assert_eq!((stats.accepted, stats.refused, stats.tunnels), (3, 2, 1));
}

#[tokio::test]
async fn refusals_that_no_protocol_has_are_errors() {
    let mut bench = Bench::new().await;
    let proxy = bench.proxy(json!({ "kind": "socks5" })).await;
    for command in [
        json!({ "cmd": "proxy", "kind": "connect", "refuse": 200 }),
        json!({ "cmd": "proxy", "kind": "socks5", "refuse": 0 }),
        json!({ "cmd": "proxy", "kind": "socks5", "refuse": 407 }),
        json!({ "cmd": "refuse", "server": proxy.number, "with": 256 }),
    ] {
        let outcome = bench.command(command.clone()).await;
        assert!(
            matches!(outcome, Err(KitError::InvalidField { .. })),
            "{command}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_proxy_with_a_certificate_speaks_tls() {
    let mut bench = Bench::new().await;
    let proxy = bench
        .proxy(json!({
            "kind": "connect", "chain": ["leaf"], "key": "leaf", "credentials": "user:secret",
        }))
        .await;
    let mut roots = RootCertStore::empty();
    roots.add(bench.root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    for (fields, status) in [
        ("Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n", "200"),
        ("", "407"),
    ] {
        let name = ServerName::try_from(NAME).unwrap();
        let mut stream = connector.connect(name, proxy.dial().await).await.unwrap();
        let answer = ask(&mut stream, &bench.connect_head(fields)).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        if status == "200" {
            assert!(get_through(stream).await.ends_with("abc"));
        } else {
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0); // TLS is closed properly, too
        }
    }
    let stats = bench.stats(proxy).await;
    assert_eq!(
        (stats.handshakes, stats.tunnels, stats.unauthorised),
        (2, 1, 1)
    );
}

#[tokio::test]
async fn a_request_in_absolute_form_is_passed_on_without_the_credentials() {
    let mut bench = Bench::new().await;
    let credentials = json!({ "kind": "connect", "credentials": "user:secret" });
    let proxy = bench.proxy(credentials).await;
    let mut stream = proxy.dial().await;
    let head = format!(
        "POST http://api.example.test:{}/echo?q HTTP/1.1\r\nHost: api.example.test\r\nX-A: b\r\n\
         Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\nContent-Length: 4\r\n\r\nbody",
        bench.server
    );
    let answer = ask(&mut stream, &head).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut echo = Vec::new();
    stream.read_to_end(&mut echo).await.unwrap();
    let echo: Value = serde_json::from_slice(&echo).unwrap();
    assert_eq!(
        (&echo["path"], &echo["body"]),
        (&json!("/echo?q"), &json!("Ym9keQ=="))
    );
    let fields = echo["headers"].to_string();
    assert!(
        fields.contains("x-a") && !fields.contains("proxy-authorization"),
        "{fields}"
    );

    let head = head.replace("dXNlcjpzZWNyZXQ=", "dXNlcjp3cm9uZw==");
    let answer = ask(&mut proxy.dial().await, &head).await;
    assert!(answer.starts_with("HTTP/1.1 407 "), "{answer}");
    let stats = bench.stats(proxy).await;
    assert_eq!(
        (stats.forwarded, stats.tunnels, stats.unauthorised),
        (1, 0, 1)
    );
    assert_eq!(stats.bytes_to_servers, 4);
    assert_eq!(
        stats.authorities,
        [format!("api.example.test:{}", bench.server)]
    );
}
