//! The limit of the benchmark: what a request costs with hyper and rustls alone.
//!
//! No pool, no pins, no JavaScript: each worker has a connection (HTTP/1.1), all share one (HTTP/2), or each request
//! makes its own (cold). Speaks the same protocol as the clients in TypeScript: a plan in JSON as the only argument, a
//! result in JSON on standard output.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program, run by the benchmark only"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What to do; `benchmark/plan.ts` is its twin.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    hostname: String,
    port: u16,
    path: String,
    ca: String,
    http2: bool,
    cold: bool,
    concurrency: u32,
    warmup: u32,
    requests: u32,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    cpu_us: u64,
    wall_us: u128,
    bytes: u64,
}

type Bad = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Bad> {
    let plan: Plan = serde_json::from_str(&std::env::args().nth(1).ok_or("the plan is missing")?)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(plan.ca.as_bytes()) {
        roots.add(certificate?)?;
    }
    let mut tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![if plan.http2 {
        b"h2".to_vec()
    } else {
        b"http/1.1".to_vec()
    }];
    if plan.cold {
        tls.resumption = rustls::client::Resumption::disabled();
    }
    let origin = Arc::new(Origin {
        tls: TlsConnector::from(Arc::new(tls)),
        plan,
    });
    let shared = if origin.plan.http2 {
        Some(origin.open_http2().await?)
    } else {
        None
    };
    round(&origin, shared.as_ref(), origin.plan.warmup).await?;
    let (cpu, wall) = (cpu_us(), Instant::now());
    let bytes = round(&origin, shared.as_ref(), origin.plan.requests).await?;
    let outcome = Outcome {
        cpu_us: cpu_us() - cpu,
        wall_us: wall.elapsed().as_micros(),
        bytes,
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

struct Origin {
    tls: TlsConnector,
    plan: Plan,
}

type Http1 = http1::SendRequest<Empty<Bytes>>;
type Http2 = http2::SendRequest<Empty<Bytes>>;

async fn round(origin: &Arc<Origin>, shared: Option<&Http2>, requests: u32) -> Result<u64, Bad> {
    let left = Arc::new(AtomicU32::new(requests));
    let mut workers = Vec::new();
    for _ in 0..origin.plan.concurrency {
        let (origin, left, shared) = (origin.clone(), left.clone(), shared.cloned());
        workers.push(tokio::spawn(
            async move { work(&origin, &left, shared).await },
        ));
    }
    let mut bytes = 0;
    for worker in workers {
        bytes += worker.await??;
    }
    Ok(bytes)
}

async fn work(origin: &Origin, left: &AtomicU32, mut shared: Option<Http2>) -> Result<u64, Bad> {
    let mut bytes = 0;
    let mut own: Option<Http1> = None;
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        })
        .is_ok()
    {
        let response = if let Some(sender) = &mut shared {
            sender.send_request(origin.request(true)?).await?
        } else {
            if own.is_none() || origin.plan.cold {
                own = Some(origin.open_http1().await?);
            }
            let sender = own.as_mut().ok_or("no connection")?;
            sender.ready().await?;
            sender.send_request(origin.request(false)?).await?
        };
        bytes += response.into_body().collect().await?.to_bytes().len() as u64;
    }
    Ok(bytes)
}

impl Origin {
    fn request(&self, http2: bool) -> Result<http::Request<Empty<Bytes>>, Bad> {
        let Plan {
            hostname,
            port,
            path,
            ..
        } = &self.plan;
        let request = http::Request::builder()
            .header("accept", "*/*")
            .header("user-agent", "limit");
        let request = if http2 {
            request.uri(format!("https://{hostname}:{port}{path}"))
        } else {
            request
                .uri(path)
                .header("host", format!("{hostname}:{port}"))
        };
        Ok(request.body(Empty::new())?)
    }

    async fn open(&self) -> Result<TokioIo<TlsStream<TcpStream>>, Bad> {
        let stream = TcpStream::connect(("127.0.0.1", self.plan.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(self.plan.hostname.clone())?;
        Ok(TokioIo::new(self.tls.connect(name, stream).await?))
    }

    async fn open_http1(&self) -> Result<Http1, Bad> {
        let (sender, connection) = http1::handshake(self.open().await?).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn open_http2(&self) -> Result<Http2, Bad> {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), self.open().await?).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// What the whole process has used, user and system, in microseconds.
fn cpu_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let microseconds = time.tv_sec * 1_000_000 + time.tv_nsec / 1_000;
    u64::try_from(microseconds).expect("time since the process began")
}
