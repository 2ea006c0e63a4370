//! A proxy of a test, which says what it was told to, and the tunnel once it is open.

use std::time::Duration;

use pinfetch_testkit::{Kit, ProxyStats};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split};
use tokio::net::TcpStream;

use super::*;

/// What a proxy does when it has said everything.
#[derive(Clone, Copy)]
pub(super) enum Ending {
    StayOpen,
    Close,
}

/// One attempt to open a tunnel, against a proxy whose answers are written without regard to what it is sent.
pub(super) struct Exchange {
    proxy: Proxy,
    target: TunnelTarget,
    fields: HeaderMap,
    answer: Vec<u8>,
    capacity: usize,
    ending: Ending,
}

pub(super) fn exchange(proxy: &str) -> Exchange {
    Exchange {
        proxy: proxy.parse().unwrap(),
        target: name("api.example.com", 443),
        fields: HeaderMap::new(),
        answer: Vec::new(),
        capacity: 1 << 20,
        ending: Ending::StayOpen,
    }
}

pub(super) fn name(host: &str, port: u16) -> TunnelTarget {
    TunnelTarget::of_host(&host.parse().unwrap(), port)
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

impl Exchange {
    pub(super) fn to(mut self, target: TunnelTarget) -> Self {
        self.target = target;
        self
    }

    pub(super) fn fields(mut self, fields: HeaderMap) -> Self {
        self.fields = fields;
        self
    }

    pub(super) fn answer(mut self, answer: &[u8]) -> Self {
        self.answer = answer.into();
        self
    }

    /// How many bytes are on their way at once: at 1, each arrives by itself.
    pub(super) fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    pub(super) fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// What became of it, and what the proxy was sent.
    pub(super) async fn run(self) -> (Result<(), ProxyError>, Vec<u8>) {
        let (client, server) = duplex(self.capacity);
        let (mut from_client, mut to_client) = split(server);
        let opening = async {
            let opened = open_tunnel(&self.proxy, client, &self.target, &self.fields).await;
            opened.map(drop) // and the client is gone, which ends the proxy's reading
        };
        let reading = async {
            let mut sent = Vec::new();
            from_client.read_to_end(&mut sent).await.unwrap();
            sent
        };
        let writing = async {
            let written = to_client.write_all(&self.answer).await;
            if matches!(self.ending, Ending::Close) && written.is_ok() {
                to_client.shutdown().await.unwrap();
            }
        };
        let all = async { tokio::join!(opening, reading, writing) };
        let limited = tokio::time::timeout(Duration::from_secs(10), all).await;
        let (outcome, sent, ()) = limited.expect("it waits for what the proxy won't say");
        (outcome, sent)
    }
}

#[tokio::test]
async fn an_open_tunnel_carries_bytes_both_ways_from_the_first_on() {
    for (proxy, answers) in [
        ("http://proxy.example", &b"HTTP/1.1 200 OK\r\n\r\n"[..]),
        (
            "https://user:pass@proxy.example",
            b"HTTP/1.1 200 OK\r\n\r\n",
        ),
        (
            "socks5://proxy.example",
            &[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        ),
        (
            "socks5h://user:pass@proxy.example",
            &[5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        ),
    ] {
        let (client, mut server) = duplex(1024);
        server.write_all(answers).await.unwrap();
        let target = name("api.example.com", 443);
        let mut tunnel = open_tunnel(&proxy.parse().unwrap(), client, &target, &HeaderMap::new())
            .await
            .unwrap();
        let mut asked = vec![0; 1024];
        let length = server.read(&mut asked).await.unwrap();
        assert!(length > 0);

        tunnel.write_all(b"ping").await.unwrap();
        let mut question = [0; 4];
        server.read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"ping");
        server.write_all(b"pong").await.unwrap();
        let mut answer = [0; 4];
        tunnel.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"pong");
    }
}

#[test]
fn a_proxy_is_shown_without_its_credentials() {
    let proxy: Proxy = "http://name:secret@proxy.example:8080".parse().unwrap();
    assert_eq!(proxy.to_string(), "http://proxy.example:8080");
    assert_eq!(
        format!("{proxy:?}"),
        "Proxy { url: http://proxy.example:8080, has_credentials: true }"
    );
}

#[tokio::test]
async fn a_broken_connection_keeps_its_cause() {
    let (client, server) = duplex(16);
    drop(server);
    let target = name("api.example.com", 443);
    let proxy = "http://proxy.example".parse().unwrap();
    let error = open_tunnel(&proxy, client, &target, &HeaderMap::new())
        .await
        .unwrap_err();
    match error.clone() {
        ProxyError::Io(cause) => assert_eq!(cause.kind(), std::io::ErrorKind::BrokenPipe),
        error => panic!("{error:?}"),
    }
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn proxies_of_the_test_kit_open_refuse_and_ask_for_credentials() {
    let mut kit = Kit::new();
    let mut command = async |command: Value| {
        let outcome = kit.execute(serde_json::from_value(command).unwrap());
        outcome.unwrap().await.unwrap()
    };
    let server = command(json!({ "cmd": "serve", "behaviour": "plain" })).await;
    let target = name(
        "api.example.test",
        u16::try_from(server["port"].as_u64().unwrap()).unwrap(),
    );
    for (kind, scheme, refusal) in [("connect", "http", 502), ("socks5", "socks5h", 2)] {
        let start = json!({ "cmd": "proxy", "kind": kind, "credentials": "user:" });
        let proxy = command(start).await;
        let (number, port) = (&proxy["server"], &proxy["port"]);
        let attempt = async |user_information: &str| {
            let url = format!("{scheme}://{user_information}127.0.0.1:{port}");
            let proxy: Proxy = url.parse().unwrap();
            let stream = TcpStream::connect((proxy.host().as_str(), proxy.port()))
                .await
                .unwrap();
            open_tunnel(&proxy, stream, &target, &HeaderMap::new()).await
        };

        let mut tunnel = attempt("user:@").await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        tunnel.write_all(request).await.unwrap();
        let mut response = String::new();
        tunnel.read_to_string(&mut response).await.unwrap();
        assert!(response.contains("hello from server"), "{response}");

        for wrong in ["", "user:wrong@", ":user@"] {
            let error = attempt(wrong).await.unwrap_err();
            assert!(error.is_authentication(), "{kind} {wrong:?}: {error:?}");
        }
        command(json!({ "cmd": "refuse", "server": number, "with": refusal })).await;
        match attempt("user:@").await.unwrap_err() {
            ProxyError::Refused { status, .. } => assert_eq!(status.as_u16(), refusal),
            ProxyError::Socks { code, .. } => assert_eq!(u16::from(code), refusal),
            error => panic!("{error:?}"),
        }
        let stats = command(json!({ "cmd": "stats", "server": number })).await;
        let stats: ProxyStats = serde_json::from_value(stats).unwrap();
        assert_eq!(
            (stats.tunnels, stats.unauthorised, stats.refused),
            (1, 3, 1)
        );
        assert_eq!(stats.authorities, [target.to_string(), target.to_string()]);
    }
}
