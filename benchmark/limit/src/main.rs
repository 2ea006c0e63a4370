//! The limit of the benchmark: what a request costs with hyper and rustls alone.
//!
//! No pool, no pins, no JavaScript: each worker has a connection (HTTP/1.1) for as long as the server keeps it, or all
//! share one (HTTP/2). Speaks the same protocol as the clients in TypeScript: a plan in JSON as the only argument, a
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
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What to do; `benchmark/plan.d.mts` is its twin.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    task: String,
    what: What,
    hostname: String,
    port: u16,
    path: String,
    ca: String,
    http2: bool,
    proxy: Option<String>,
    concurrency: u32,
    warmup: u32,
    requests: u32,
    started_at: f64,
}

#[derive(serde::Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum What {
    Text,
    Post,
    Json,
    Buffer,
    Stream,
    Save,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    cpu_us: u64,
    wall_us: u128,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    grown_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_ms: Option<f64>,
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
    if plan.proxy.is_some() || matches!(plan.what, What::Json | What::Save) {
        return Err("it has neither proxies, content codings nor files".into());
    }
    let origin = Arc::new(Origin {
        tls: TlsConnector::from(Arc::new(tls)),
        plan,
    });
    let outcome = match origin.plan.task.as_str() {
        "requests" => requests(&origin).await?,
        "hosts" => hosts(&origin).await?,
        "start" => start(&origin).await?,
        task => return Err(format!("it has no way to do {task}").into()),
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

async fn requests(origin: &Arc<Origin>) -> Result<Outcome, Bad> {
    let shared = if origin.plan.http2 {
        Some(origin.open_http2().await?)
    } else {
        None
    };
    round(origin, shared.as_ref(), origin.plan.warmup).await?;
    let meter = Meter::start();
    let bytes = round(origin, shared.as_ref(), origin.plan.requests).await?;
    Ok(meter.outcome(bytes))
}

/// One request over each of many connections, which then idle.
async fn hosts(origin: &Origin) -> Result<Outcome, Bad> {
    let mut kept = vec![origin.open_http1(&origin.plan.hostname).await?];
    let before = resident();
    let meter = Meter::start();
    let mut bytes = 0;
    for number in 1..=origin.plan.requests {
        let name = format!("h{number}.{}", origin.plan.hostname);
        let mut sender = origin.open_http1(&name).await?;
        let response = sender.send_request(origin.request(false)?).await?;
        bytes += origin.read(response.into_body()).await?;
        kept.push(sender);
    }
    let mut outcome = meter.outcome(bytes);
    outcome.grown_bytes = Some(resident().saturating_sub(before) / u64::from(origin.plan.requests));
    Ok(outcome)
}

async fn start(origin: &Arc<Origin>) -> Result<Outcome, Bad> {
    let bytes = round(origin, None, 1).await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let first_ms = now.as_secs_f64() * 1000.0 - origin.plan.started_at;
    Ok(Outcome {
        cpu_us: cpu_us(),
        wall_us: 0,
        bytes,
        grown_bytes: None,
        first_ms: Some(first_ms),
    })
}

struct Origin {
    tls: TlsConnector,
    plan: Plan,
}

type Http1 = http1::SendRequest<Full<Bytes>>;
type Http2 = http2::SendRequest<Full<Bytes>>;

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
            // a server that keeps nothing has closed the last
            if let Some(sender) = &mut own
                && sender.ready().await.is_err()
            {
                own = None;
            }
            let sender = match &mut own {
                Some(sender) => sender,
                None => own.insert(origin.open_http1(&origin.plan.hostname).await?),
            };
            sender.send_request(origin.request(false)?).await?
        };
        bytes += origin.read(response.into_body()).await?;
    }
    Ok(bytes)
}

impl Origin {
    fn request(&self, http2: bool) -> Result<http::Request<Full<Bytes>>, Bad> {
        let Plan {
            hostname,
            port,
            path,
            ..
        } = &self.plan;
        let (method, content) = match self.plan.what {
            What::Post => (http::Method::POST, vec![b'x'; 10 * 1024]),
            _ => (http::Method::GET, Vec::new()),
        };
        let request = http::Request::builder()
            .method(method)
            .header("accept", "*/*")
            .header("user-agent", "limit");
        let request = if http2 {
            request.uri(format!("https://{hostname}:{port}{path}"))
        } else {
            request
                .uri(path)
                .header("host", format!("{hostname}:{port}"))
        };
        Ok(request.body(content.into())?)
    }

    /// Reads a body as the plan says; its length.
    async fn read(&self, mut body: Incoming) -> Result<u64, Bad> {
        if self.plan.what != What::Stream {
            return Ok(body.collect().await?.to_bytes().len() as u64);
        }
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len) as u64;
        }
        Ok(bytes)
    }

    async fn open(&self, name: &str) -> Result<TokioIo<TlsStream<TcpStream>>, Bad> {
        let stream = TcpStream::connect(("127.0.0.1", self.plan.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned())?;
        Ok(TokioIo::new(self.tls.connect(name, stream).await?))
    }

    async fn open_http1(&self, name: &str) -> Result<Http1, Bad> {
        let (sender, connection) = http1::handshake(self.open(name).await?).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn open_http2(&self) -> Result<Http2, Bad> {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), self.open(&self.plan.hostname).await?).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

struct Meter {
    cpu: u64,
    wall: Instant,
}

impl Meter {
    fn start() -> Self {
        Self {
            cpu: cpu_us(),
            wall: Instant::now(),
        }
    }

    fn outcome(&self, bytes: u64) -> Outcome {
        Outcome {
            cpu_us: cpu_us() - self.cpu,
            wall_us: self.wall.elapsed().as_micros(),
            bytes,
            grown_bytes: None,
            first_ms: None,
        }
    }
}

/// The process's resident memory in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.map_or(0, |pages: u64| pages * 4096)
}

/// What the whole process has used, user and system, in microseconds.
fn cpu_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let microseconds = time.tv_sec * 1_000_000 + time.tv_nsec / 1_000;
    u64::try_from(microseconds).expect("time since the process began")
}
