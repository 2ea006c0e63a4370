//! The servers as a rustls and hyper client meets them.

#[cfg(test)]
mod client;

use std::time::Duration;

use client::{Bench, Client, h1, h2};
use http::StatusCode;
use rustls::HandshakeKind;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn a_client_that_refuses_in_the_handshake_sends_no_application_byte() {
    let mut bench = Bench::new().await;
    for versions in [["1.2"], ["1.3"]] {
        for alpn in [["h2"], ["http/1.1"]] {
            let rogue = bench.serve(json!({ "chain": ["rogue"], "key": "rogue", "versions": versions, "alpn": alpn })).await;
            bench
                .trusting("root")
                .alpn(&alpn)
                .connect(rogue.port)
                .await
                .unwrap_err();
            let stats = bench.settled(rogue).await;
            assert!(stats.settled, "{versions:?} {alpn:?}");
            assert_eq!(
                (stats.accepted, stats.failures, stats.handshakes),
                (1, 1, 0)
            );
            assert_eq!((stats.application_bytes, stats.requests), (0, 0));
            assert_eq!(stats.server_names, ["api.example.test"]);

            // The control: a client that trusts the issuer is let in, and every byte of it is counted.
            let mut stream = bench
                .trusting("other root")
                .alpn(&alpn)
                .connect(rogue.port)
                .await
                .unwrap();
            stream.write_all(b"twelve bytes").await.unwrap();
            stream.shutdown().await.unwrap();
            drop(stream);
            assert_eq!(
                bench.settled(rogue).await.application_bytes,
                12,
                "{versions:?} {alpn:?}"
            );
        }
    }
}

#[tokio::test]
async fn every_path_answers_over_both_protocols() {
    let mut bench = Bench::new().await;
    let server = bench
        .serve(json!({ "chain": ["leaf"], "key": "leaf", "name": "genuine" }))
        .await;
    for alpn in ["h2", "http/1.1"] {
        let mut client = bench
            .trusting("root")
            .alpn(&[alpn])
            .requests(server.port)
            .await;
        let hello = client.get("/").await.unwrap();
        assert_eq!(
            (hello.text(), hello.field("server-name")),
            ("hello from genuine", Some("genuine"))
        );
        let bytes = client.get("/bytes/1000000").await.unwrap();
        assert_eq!(
            (bytes.body.len(), bytes.field("content-length")),
            (1_000_000, Some("1000000"))
        );
        let chunked = client.get("/chunked/2345").await.unwrap();
        assert_eq!(
            (chunked.body.len(), chunked.field("content-length")),
            (2345, None)
        );
        assert_eq!(bytes.body[..2345], chunked.body[..]);
        assert_eq!(
            client.get("/status/503").await.unwrap().status,
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(client.get("/status/204").await.unwrap().text(), "");
        assert_eq!(client.get("/slow/1").await.unwrap().text(), "1 ms later");
        assert_eq!(
            client.get("/headers?x-a=1%202").await.unwrap().field("x-a"),
            Some("1 2")
        );
        let head = client.request("HEAD", "/bytes/77", "").await.unwrap();
        assert_eq!(
            (head.body.len(), head.field("content-length")),
            (0, Some("77"))
        );
        let echo = client.request("POST", "/echo?q=1", "hello").await.unwrap();
        let echo: serde_json::Value = serde_json::from_slice(&echo.body).unwrap();
        assert_eq!(echo["method"], "POST");
        assert_eq!(echo["path"], "/echo?q=1");
        assert_eq!(echo["body"], "aGVsbG8=");
        assert_eq!(echo["authority"], "api.example.test", "{echo}");
        assert_eq!(client.get("/close").await.unwrap().text(), "goodbye");
        client.ended().await;
    }
    assert_eq!(bench.settled(server).await.requests, 20);
}

#[tokio::test]
async fn resumed_sessions_are_counted_for_each_kind_of_resumption() {
    let mut bench = Bench::new().await;
    for (version, tickets, sessions, resumed) in [
        ("1.2", true, true, 1),
        ("1.2", true, false, 1),
        ("1.2", false, true, 1),
        ("1.2", false, false, 0),
        ("1.3", true, false, 1),
        ("1.3", false, true, 1),
        ("1.3", false, false, 0),
    ] {
        let case = format!("{version}, tickets {tickets}, sessions {sessions}");
        let options = json!({
            "chain": ["leaf"], "key": "leaf", "versions": [version], "tickets": tickets, "sessions": sessions,
        });
        let server = bench.serve(options).await;
        let client = bench.trusting("root");
        for _ in 0..2 {
            client
                .clone()
                .requests(server.port)
                .await
                .get("/")
                .await
                .unwrap();
        }
        let stats = bench.settled(server).await;
        assert_eq!((stats.handshakes, stats.resumed), (2, resumed), "{case}");
    }
}

#[tokio::test]
async fn a_server_with_the_ticket_key_of_another_resumes_its_sessions() {
    let mut bench = Bench::new().await;
    for version in ["1.2", "1.3"] {
        let genuine = bench
            .serve(json!({ "chain": ["leaf"], "key": "leaf", "versions": [version] }))
            .await;
        let rogue = json!({
            "chain": ["rogue"], "key": "rogue", "versions": [version], "ticketKeyOf": genuine.number, "name": "rogue",
        });
        let rogue = bench.serve(rogue).await;
        // The client keys its sessions by server name alone: it offers one server's ticket to the other.
        let client = bench.trusting("root");
        client
            .clone()
            .requests(genuine.port)
            .await
            .get("/")
            .await
            .unwrap();
        let answer = client
            .clone()
            .requests(rogue.port)
            .await
            .get("/")
            .await
            .unwrap();
        assert_eq!(answer.text(), "hello from rogue");
        let stream = client.connect(rogue.port).await.unwrap();
        assert_eq!(
            stream.get_ref().1.handshake_kind(),
            Some(HandshakeKind::Resumed),
            "{version}"
        );
        drop(stream);
        assert_eq!(bench.settled(rogue).await.resumed, 2);
        bench
            .trusting("root")
            .connect(rogue.port)
            .await
            .unwrap_err(); // the control: no session, no entry
    }
}

#[tokio::test]
async fn a_swap_changes_new_handshakes_and_spares_live_connections() {
    let mut bench = Bench::new().await;
    let server = bench
        .serve(json!({ "chain": ["leaf"], "key": "leaf", "tickets": false }))
        .await;
    let mut live = bench.trusting("root").requests(server.port).await;
    live.get("/").await.unwrap();
    bench
        .command(
            json!({ "cmd": "swap", "server": server.number, "chain": ["rogue"], "key": "rogue" }),
        )
        .await
        .unwrap();
    live.get("/").await.unwrap();
    bench
        .trusting("root")
        .connect(server.port)
        .await
        .unwrap_err();
    bench
        .trusting("other root")
        .connect(server.port)
        .await
        .unwrap();
}

#[tokio::test]
async fn swap_after_gives_exactly_so_many_connections_the_first_identity() {
    let mut bench = Bench::new().await;
    let later = json!({ "connections": 2, "chain": ["rogue"], "key": "rogue" });
    let server = bench
        .serve(json!({ "chain": ["leaf"], "key": "leaf", "swapAfter": later }))
        .await;
    for (root, welcome) in [
        ("root", true),
        ("root", true),
        ("root", false),
        ("other root", true),
    ] {
        assert_eq!(
            bench.trusting(root).connect(server.port).await.is_ok(),
            welcome
        );
    }
}

#[tokio::test]
async fn the_chain_is_presented_as_it_was_given() {
    let mut bench = Bench::new().await;
    let garbage = json!({ "der": "MAMBAf8=" });
    for (chain, length) in [
        (json!(["leaf"]), 1),
        (json!(["leaf", "root", "rogue", "root"]), 4),
        (json!(["rogue", "leaf", garbage]), 3),
        (json!([garbage]), 1),
        (json!([]), 0),
    ] {
        let server = bench
            .serve(json!({ "chain": chain, "key": "leaf", "versions": ["1.3"] }))
            .await;
        let (client, presented) = Client::recording();
        let _refused = client.connect(server.port).await;
        assert_eq!(presented.lock().unwrap().len(), length, "{chain}");
    }
    let hundred = vec!["leaf"; 100];
    let server = bench
        .serve(json!({ "chain": hundred, "key": "leaf" }))
        .await;
    bench.trusting("root").connect(server.port).await.unwrap();
}

#[tokio::test]
async fn a_signature_by_another_key_than_the_certificates_is_refused() {
    let mut bench = Bench::new().await;
    let server = bench
        .serve(json!({ "chain": ["leaf"], "key": "rogue" }))
        .await;
    let error = bench
        .trusting("root")
        .connect(server.port)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("BadSignature"), "{error}");
}

#[tokio::test]
async fn an_early_writer_writes_out_of_turn_and_a_speaker_before_it() {
    let mut bench = Bench::new().await;
    let server = json!({ "chain": ["leaf"], "key": "leaf", "behaviour": "early-writer", "name": "x", "delay": 1 });
    let server = bench.serve(server).await;
    let mut stream = bench
        .trusting("root")
        .alpn(&["http/1.1"])
        .connect(server.port)
        .await
        .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut received = String::new();
    while !received.ends_with("nobody asked for this") {
        received.push(stream.read_u8().await.unwrap().into());
    }
    assert!(received.contains("hello from x"), "{received}");
    drop(stream);

    let mut client = bench
        .trusting("root")
        .alpn(&["h2"])
        .requests(server.port)
        .await;
    assert_eq!(client.get("/").await.unwrap().text(), "hello from x");
    client.ended().await; // the client has met a stream that it never opened
    assert_eq!(bench.stats(server).await.unsolicited, 2);

    let server = bench
        .serve(json!({ "chain": ["leaf"], "key": "leaf", "behaviour": "speaks-first" }))
        .await;
    let mut stream = bench
        .trusting("root")
        .alpn(&["http/1.1"])
        .connect(server.port)
        .await
        .unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'H');
    assert_eq!(bench.stats(server).await.application_bytes, 0);
}

#[tokio::test]
async fn misbehaving_servers_misbehave() {
    let mut bench = Bench::new().await;
    for alpn in ["h2", "http/1.1"] {
        for (behaviour, succeeding) in [
            ("garbage", 0),
            ("cut-response", 0),
            ("close-after-request", 0),
            ("close-after-response", 1),
        ] {
            let server = bench
                .serve(json!({ "chain": ["leaf"], "key": "leaf", "behaviour": behaviour }))
                .await;
            let mut client = bench
                .trusting("root")
                .alpn(&[alpn])
                .requests(server.port)
                .await;
            for _ in 0..succeeding {
                client.get("/").await.unwrap();
            }
            assert!(client.get("/").await.is_err(), "{behaviour} over {alpn}");
        }
        for behaviour in ["stall-response", "stall-body"] {
            let server = bench
                .serve(json!({ "chain": ["leaf"], "key": "leaf", "behaviour": behaviour }))
                .await;
            let mut client = bench
                .trusting("root")
                .alpn(&[alpn])
                .requests(server.port)
                .await;
            let limit = Duration::from_millis(100);
            tokio::time::timeout(limit, client.get("/"))
                .await
                .map(|_| ())
                .unwrap_err();
            assert_eq!(
                bench.stats(server).await.requests,
                1,
                "{behaviour} over {alpn}"
            );
        }
        let server = json!({
            "chain": ["leaf"], "key": "leaf", "behaviour": "origin-frame", "origins": ["https://other.example.test"],
        });
        let server = bench.serve(server).await;
        let mut client = bench
            .trusting("root")
            .alpn(&[alpn])
            .requests(server.port)
            .await;
        assert!(
            client.get("/").await.unwrap().text().starts_with("hello"),
            "{alpn}"
        );
    }
    for behaviour in ["garbage-handshake", "close-handshake"] {
        let server = bench.serve(json!({ "behaviour": behaviour })).await;
        bench
            .trusting("root")
            .connect(server.port)
            .await
            .unwrap_err();
        assert_eq!(
            bench.settled(server).await.server_names,
            ["api.example.test"]
        );
    }
}

#[tokio::test]
async fn stalled_connections_are_open_until_kicked() {
    let mut bench = Bench::new().await;
    let server = bench.serve(json!({ "behaviour": "stall-handshake" })).await;
    let client = bench.trusting("root");
    let handshake = tokio::spawn(async move { client.connect(server.port).await.map(|_| ()) });
    while bench.stats(server).await.server_names.is_empty() {
        tokio::task::yield_now().await;
    }
    let stats = bench
        .command(json!({ "cmd": "stats", "server": server.number, "settle": 1 }))
        .await
        .unwrap();
    assert_eq!(
        (&stats["open"], &stats["settled"]),
        (&json!(1), &json!(false))
    );
    let kicked = bench
        .command(json!({ "cmd": "kick", "server": server.number }))
        .await
        .unwrap();
    assert_eq!(kicked["closed"], 1);
    handshake.await.unwrap().unwrap_err();
    assert_eq!(bench.settled(server).await.open, 0);
}

#[tokio::test]
async fn a_stopped_servers_port_can_be_taken_over() {
    let mut bench = Bench::new().await;
    let genuine = bench
        .serve(json!({ "chain": ["leaf"], "key": "leaf" }))
        .await;
    let mut live = bench.trusting("root").requests(genuine.port).await;
    live.get("/").await.unwrap();
    bench
        .command(json!({ "cmd": "stop", "server": genuine.number }))
        .await
        .unwrap();
    live.ended().await;
    let rogue = bench
        .serve(json!({ "chain": ["rogue"], "key": "rogue", "port": genuine.port }))
        .await;
    assert_eq!(rogue.port, genuine.port);
    bench
        .trusting("other root")
        .connect(rogue.port)
        .await
        .unwrap();
    bench
        .command(json!({ "cmd": "stats", "server": genuine.number }))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_plain_server_counts_what_comes_in_clear() {
    let mut bench = Bench::new().await;
    let server = bench
        .serve(json!({ "behaviour": "plain", "udp": true }))
        .await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let request = b"GET /close HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("goodbye"), "{answer}");
    drop(stream);
    let datagram = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    datagram
        .send_to(b"hello?", ("127.0.0.1", server.port))
        .await
        .unwrap();
    while bench.stats(server).await.datagrams == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        bench.settled(server).await.application_bytes,
        request.len() as u64
    );
}

#[tokio::test]
async fn ipv6_loopback_is_served_on_demand() {
    let mut bench = Bench::new().await;
    let server = bench
        .serve(json!({ "chain": ["leaf"], "key": "leaf", "host": "::1" }))
        .await;
    tokio::net::TcpStream::connect(("::1", server.port))
        .await
        .unwrap();
    assert_eq!(bench.settled(server).await.accepted, 1);
}

#[tokio::test]
async fn proxies_lead_to_the_kits_servers() {
    let mut bench = Bench::new().await;
    let server = bench
        .serve(json!({ "chain": ["leaf"], "key": "leaf" }))
        .await;
    let connect = json!({ "cmd": "proxy", "kind": "connect", "credentials": "user:secret" });
    let connect = bench.command(connect).await.unwrap();
    let port = u16::try_from(connect["port"].as_u64().unwrap()).unwrap();
    for (authorization, status) in [("dXNlcjpzZWNyZXQ=", "200"), ("dXNlcjp3cm9uZw==", "407")] {
        let mut tunnel = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        let head = format!(
            "CONNECT api.example.test:{} HTTP/1.1\r\nProxy-Authorization: Basic {authorization}\r\n\r\n",
            server.port
        );
        tunnel.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(tunnel.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        if status == "200" {
            let stream = bench
                .trusting("root")
                .alpn(&["http/1.1"])
                .handshake(tunnel)
                .await
                .unwrap();
            assert_eq!(
                h1(stream).await.get("/bytes/3").await.unwrap().text(),
                "abc"
            );
        }
    }
    let stats = bench
        .command(json!({ "cmd": "stats", "server": connect["server"] }))
        .await
        .unwrap();
    assert_eq!(
        (&stats["tunnels"], &stats["unauthorised"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        stats["authorities"],
        json!([format!("api.example.test:{}", server.port)])
    );

    let socks = bench
        .command(json!({ "cmd": "proxy", "kind": "socks5", "port": server.port }))
        .await
        .unwrap();
    let port = u16::try_from(socks["port"].as_u64().unwrap()).unwrap();
    let mut tunnel = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    tunnel.write_all(b"\x05\x01\x00").await.unwrap();
    assert_eq!(tunnel.read_u16().await.unwrap(), 0x0500);
    tunnel
        .write_all(b"\x05\x01\x00\x03\x10api.example.test\x01\xbb")
        .await
        .unwrap();
    let mut reply = [0; 10];
    tunnel.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply[..2], [5, 0]);
    let stream = bench
        .trusting("root")
        .alpn(&["h2"])
        .handshake(tunnel)
        .await
        .unwrap();
    assert_eq!(
        h2(stream).await.get("/bytes/3").await.unwrap().text(),
        "abc"
    );
    let stats = bench
        .command(json!({ "cmd": "stats", "server": socks["server"] }))
        .await
        .unwrap();
    assert_eq!(stats["authorities"], json!(["api.example.test:443"]));
}
