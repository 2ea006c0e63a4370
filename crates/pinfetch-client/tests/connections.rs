//! Connections under load: policy swaps on several threads, bursts, cuts. Nothing is lost for a swap that accepts, nothing
//! passes one that refuses.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pinfetch_client::{
    Client, Code, Config, Environment, Http2Choice, LivePolicy, Lookup, PolicyChoice, Request,
    Swap, Trust, TrustAnchors,
};
use pinfetch_pins::{PinSetSource, PinSource, Policy};
use pinfetch_testkit::{Authority, CertificateRequest, Identity, Server, ServerOptions};
use tokio::task::JoinHandle;

const HOST: &str = "api.example.test";

struct Scene {
    server: Server,
    client: Client,
    leaf: String,
    intermediate: String,
    root: Vec<u8>,
    http2: bool,
}

impl Scene {
    fn url(&self) -> String {
        format!("https://{HOST}:{}/", self.server.address().port())
    }

    /// Another client, which obeys `live`.
    fn client_of(&self, live: &LivePolicy) -> Client {
        let policy = PolicyChoice::Live(live.clone());
        let config = config(policy, &self.server, &self.root, self.http2);
        Client::new(config, &Environment::default()).unwrap()
    }

    async fn swap(&self, policy: Policy) -> Swap {
        let policy = std::future::ready(Ok(Arc::new(policy)));
        self.client.set_policy(policy, true).await.unwrap()
    }
}

fn scene(http2: bool) -> Scene {
    let mut authority = Authority::new();
    let requests = [
        CertificateRequest {
            name: "root".into(),
            ca: true,
            ..CertificateRequest::default()
        },
        CertificateRequest {
            name: "intermediate".into(),
            issuer: Some("root".into()),
            ca: true,
            ..CertificateRequest::default()
        },
        CertificateRequest {
            name: "leaf".into(),
            issuer: Some("intermediate".into()),
            names: vec![HOST.into()],
            ..CertificateRequest::default()
        },
    ];
    for request in &requests {
        authority.issue(request).unwrap();
    }
    let issued = |name: &str| authority.get(name).unwrap();
    let server = Server::start(ServerOptions {
        identity: Some(Identity {
            chain: vec![
                issued("leaf").der().clone(),
                issued("intermediate").der().clone(),
            ],
            key: issued("leaf").signing_key().unwrap(),
        }),
        ..ServerOptions::default()
    })
    .unwrap();
    let leaf = issued("leaf").pin();
    let root = issued("root").der().to_vec();
    let config = config(policy(&leaf).into(), &server, &root, http2);
    Scene {
        server,
        client: Client::new(config, &Environment::default()).unwrap(),
        leaf,
        intermediate: issued("intermediate").pin(),
        root,
        http2,
    }
}

fn config(policy: PolicyChoice, server: &Server, root: &[u8], http2: bool) -> Config {
    Config {
        policy,
        trust: Trust::Anchors(TrustAnchors {
            ca: Some(vec![root.to_vec()]),
            ..TrustAnchors::default()
        }),
        lookup: Lookup::Map(Arc::new(HashMap::from([(
            HOST.parse().unwrap(),
            vec![server.address().ip()],
        )]))),
        http2: if http2 {
            Http2Choice::Offer
        } else {
            Http2Choice::Never
        },
        connections: 4,
        ..Config::default()
    }
}

fn policy(pin: &str) -> Policy {
    Policy::compile([PinSetSource {
        pattern: HOST.into(),
        exclude: false,
        pins: vec![PinSource::Text(pin.into())],
        ..PinSetSource::default()
    }])
    .unwrap()
}

async fn many_swaps(http2: bool) {
    let scene = Arc::new(scene(http2));
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (scene, over, answered) = (scene.clone(), over.clone(), answered.clone());
            tokio::spawn(async move {
                let url = scene.url();
                while !over.load(Ordering::Relaxed) {
                    let response = scene.client.send(Request::get(&url)).await.unwrap();
                    assert_eq!(response.status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let policies = [&scene.leaf, &scene.intermediate].map(|pin| policy(pin));
    for round in 0..100_000 {
        let swap = scene.swap(policies[round % 2].clone()).await;
        assert_eq!(swap.closed, 0, "both policies accept every connection");
        if round % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    over.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > 100, "there was no load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_swaps_fail_no_request_over_http1() {
    many_swaps(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_swaps_fail_no_request_over_http2() {
    many_swaps(true).await;
}

async fn refusing_swaps(http2: bool) {
    let scene = Arc::new(scene(http2));
    let over = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (scene, over) = (scene.clone(), over.clone());
            tokio::spawn(async move {
                let url = scene.url();
                let (mut passed, mut refused) = (0_u64, 0_u64);
                while !over.load(Ordering::Relaxed) {
                    match scene.client.send(Request::get(&url)).await {
                        Ok(_) => passed += 1,
                        Err(error) if error.code() == Code::BadPin => refused += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                (passed, refused)
            })
        })
        .collect();
    let stranger = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for _ in 0..60 {
        scene.swap(policy(stranger)).await;
        // the swap has resolved: what is open now, or was, has its last bytes; how long the server takes to read them is
        // the machine's affair
        let settled = || scene.server.settle(Duration::from_secs(30));
        assert!(settled().await.unwrap(), "a refused connection stayed open");
        let before = scene.server.stats().application_bytes;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(settled().await.unwrap(), "a refused connection stayed open");
        assert_eq!(
            scene.server.stats().application_bytes,
            before,
            "bytes left under pins that refuse"
        );
        scene.swap(policy(&scene.leaf)).await;
        let response = scene.client.send(Request::get(&scene.url())).await.unwrap();
        assert_eq!(response.status, 200); // the control
    }
    over.store(true, Ordering::Relaxed);
    let (mut passed, mut refused) = (0, 0);
    for task in load {
        let (ours, theirs) = task.await.unwrap();
        passed += ours;
        refused += theirs;
    }
    // how many is the machine's affair; without any, nothing was tried
    assert!(
        passed > 0 && refused > 0,
        "{passed} passed, {refused} were refused"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_after_a_swap_that_refuses_over_http1() {
    refusing_swaps(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_after_a_swap_that_refuses_over_http2() {
    refusing_swaps(true).await;
}

async fn burst(http2: bool) -> (u64, Vec<u32>) {
    let scene = Arc::new(scene(http2));
    let requests: Vec<_> = (0..64)
        .map(|_| {
            let scene = scene.clone();
            tokio::spawn(async move {
                let response = scene.client.send(Request::get(&scene.url())).await.unwrap();
                response.connection.facts().id
            })
        })
        .collect();
    let mut connections = Vec::new();
    for request in requests {
        connections.push(request.await.unwrap());
    }
    connections.sort_unstable();
    connections.dedup();
    (scene.server.stats().accepted, connections)
}

#[tokio::test]
async fn a_burst_to_a_fresh_http2_origin_makes_one_connection() {
    let (accepted, connections) = burst(true).await;
    assert_eq!((accepted, connections.len()), (1, 1));
}

#[tokio::test]
async fn a_burst_to_an_http1_origin_stays_within_the_limit() {
    let (accepted, connections) = burst(false).await;
    assert_eq!(accepted, 4);
    assert_eq!(connections.len(), 4, "every connection serves its share");
}

#[tokio::test]
async fn a_swap_that_pins_a_plain_origin_refuses_it_until_another_frees_it() {
    let scene = scene(false);
    let url = "http://127.0.0.1:9/";
    let plaintext = |pin: &str| {
        Policy::compile([PinSetSource {
            pattern: "127.0.0.1".into(),
            exclude: false,
            pins: vec![PinSource::Text(pin.into())],
            ..PinSetSource::default()
        }])
        .unwrap()
    };
    let code = async || {
        scene
            .client
            .send(Request::get(url))
            .await
            .unwrap_err()
            .code()
    };
    assert_eq!(code().await, Code::Connect); // nobody is there, and asking is allowed
    scene.swap(plaintext(&scene.leaf)).await;
    assert_eq!(code().await, Code::PolicyPlaintext);
    scene.swap(policy(&scene.leaf)).await;
    assert_eq!(code().await, Code::Connect);
}

async fn clients_that_come_and_go(http2: bool) {
    let scene = Arc::new(scene(http2));
    let live = LivePolicy::new(policy(&scene.leaf));
    // odd from when a swap that refuses has resolved until the next is asked for
    let phase = Arc::new(AtomicU64::new(0));
    let refused = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|index| {
            let (scene, live) = (scene.clone(), live.clone());
            let (phase, refused, over) = (phase.clone(), refused.clone(), over.clone());
            tokio::spawn(async move {
                let url = scene.url();
                let mut passed = 0_u64;
                while !over.load(Ordering::SeqCst) {
                    let client = scene.client_of(&live);
                    for round in 0..4 {
                        let request = Request {
                            reuse: Some(round != 2),
                            ..Request::get(&url)
                        };
                        let began = phase.load(Ordering::SeqCst);
                        match client.send(request).await {
                            Ok(_) => {
                                let ended = phase.load(Ordering::SeqCst);
                                assert!(began % 2 == 0 || ended != began, "a swap was passed by");
                                passed += 1;
                            }
                            Err(error) if error.code() == Code::BadPin => {
                                refused.fetch_add(1, Ordering::SeqCst);
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    if index % 2 == 0 {
                        client.close(false).await;
                    }
                }
                passed
            })
        })
        .collect();
    let set = async |pin: &str| {
        let policy = std::future::ready(Ok(Arc::new(policy(pin))));
        live.set(policy, true).await.unwrap()
    };
    let stranger = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for _ in 0..20 {
        set(stranger).await;
        phase.fetch_add(1, Ordering::SeqCst);
        let before = refused.load(Ordering::SeqCst);
        while refused.load(Ordering::SeqCst) < before + 16 {
            assert!(!load.iter().any(JoinHandle::is_finished), "a client failed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        phase.fetch_add(1, Ordering::SeqCst);
        set(&scene.leaf).await;
        for _ in 0..50 {
            assert_eq!(set(&scene.intermediate).await.closed, 0);
            assert_eq!(set(&scene.leaf).await.closed, 0);
        }
        let client = scene.client_of(&live);
        let response = client.send(Request::get(&scene.url())).await.unwrap();
        assert_eq!(response.status, 200); // the control
    }
    over.store(true, Ordering::SeqCst);
    let mut passed = 0;
    for task in load {
        passed += task.await.unwrap();
    }
    assert!(passed > 0);
    let metrics = live.metrics();
    assert_eq!(metrics.len(), 1);
    assert!(metrics[0].full + metrics[0].resumed > 0, "{metrics:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_come_and_go_obey_every_swap_over_http1() {
    clients_that_come_and_go(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_come_and_go_obey_every_swap_over_http2() {
    clients_that_come_and_go(true).await;
}

#[tokio::test]
async fn a_live_policy_knows_its_clients() {
    let scene = scene(true);
    let live = LivePolicy::new(policy(&scene.leaf));
    let (kept, closed, dropped) = (
        scene.client_of(&live),
        scene.client_of(&live),
        scene.client_of(&live),
    );
    assert_eq!(live.clients(), 3);
    drop(dropped);
    assert_eq!(live.clients(), 2);
    closed.close(false).await;
    assert_eq!(live.clients(), 1);
    drop((kept, closed));
    assert_eq!(live.clients(), 0);
}

async fn cut_connections(http2: bool) {
    let scene = Arc::new(scene(http2));
    let url = scene.url();
    for _ in 0..20 {
        scene.client.send(Request::get(&url)).await.unwrap();
        scene.server.kick().await;
        // the connection may be found closed, or be closed under the request: either way it is sent again
        scene.client.send(Request::get(&url)).await.unwrap();
    }
    let slow = format!("{url}slow/2000");
    let sending = tokio::spawn({
        let (scene, slow) = (scene.clone(), slow.clone());
        async move {
            scene
                .client
                .send(Request {
                    method: http::Method::POST,
                    ..Request::get(&slow)
                })
                .await
        }
    });
    while scene.server.stats().requests < 41 {
        tokio::task::yield_now().await;
    }
    scene.server.kick().await;
    let error = sending.await.unwrap().unwrap_err();
    assert_eq!(
        error.code(),
        Code::ConnectionClosed,
        "a POST is not sent twice: {error}"
    );
    assert_eq!(scene.server.stats().requests, 41);
}

#[tokio::test]
async fn a_cut_connection_loses_no_get_and_repeats_no_post_over_http1() {
    cut_connections(false).await;
}

#[tokio::test]
async fn a_cut_connection_loses_no_get_and_repeats_no_post_over_http2() {
    cut_connections(true).await;
}
