//! A kit with a small public key infrastructure, and a client to try it with.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pinfetch_testkit::{Kit, KitError, ServerStats};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// A kit that has issued `root` → `leaf` and `other root` → `rogue`, both for `api.example.test`.
pub(crate) struct Bench {
    kit: Kit,
    issued: Value,
}

#[derive(Clone, Copy)]
pub(crate) struct Started {
    pub(crate) number: u64,
    pub(crate) port: u16,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let mut bench = Self {
            kit: Kit::new(),
            issued: Value::Null,
        };
        let names = ["api.example.test"];
        let issue = json!({ "cmd": "issue", "certificates": [
            { "name": "root", "ca": true },
            { "name": "leaf", "issuer": "root", "names": names },
            { "name": "other root", "ca": true },
            { "name": "rogue", "issuer": "other root", "names": names },
        ]});
        bench.issued = bench.command(issue).await.unwrap();
        bench
    }

    pub(crate) async fn command(&mut self, command: Value) -> Result<Value, KitError> {
        self.kit.execute(serde_json::from_value(command)?)?.await
    }

    pub(crate) async fn serve(&mut self, mut options: Value) -> Started {
        options["cmd"] = "serve".into();
        let started = self.command(options).await.unwrap();
        let port = u16::try_from(started["port"].as_u64().unwrap()).unwrap();
        Started {
            number: started["server"].as_u64().unwrap(),
            port,
        }
    }

    pub(crate) async fn stats(&mut self, server: Started) -> ServerStats {
        let stats = self
            .command(json!({ "cmd": "stats", "server": server.number }))
            .await
            .unwrap();
        serde_json::from_value(stats).unwrap()
    }

    /// The numbers once all connections are closed.
    pub(crate) async fn settled(&mut self, server: Started) -> ServerStats {
        let command = json!({ "cmd": "stats", "server": server.number, "settle": 5000 });
        serde_json::from_value(self.command(command).await.unwrap()).unwrap()
    }

    /// A client that trusts one of the roots.
    pub(crate) fn trusting(&self, root: &str) -> Client {
        let mut roots = RootCertStore::empty();
        let pem = self.issued[root]["pem"].as_str().unwrap();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        Client::new(
            builder()
                .with_root_certificates(roots)
                .with_no_client_auth(),
        )
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
}

pub(crate) type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

#[derive(Clone)]
pub(crate) struct Client(Arc<ClientConfig>);

impl Client {
    fn new(config: ClientConfig) -> Self {
        Self(Arc::new(config))
    }

    /// A client that trusts everybody and keeps the chain that it was presented.
    pub(crate) fn recording() -> (Self, Arc<Mutex<Vec<CertificateDer<'static>>>>) {
        let presented = Arc::default();
        let verifier = Arc::new(Recorder {
            presented: Arc::clone(&presented),
        });
        let config = builder()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        (Self::new(config), presented)
    }

    pub(crate) fn alpn(mut self, protocols: &[&str]) -> Self {
        Arc::make_mut(&mut self.0).alpn_protocols =
            protocols.iter().map(|name| (*name).into()).collect();
        self
    }

    pub(crate) async fn connect(&self, port: u16) -> std::io::Result<TlsStream> {
        self.handshake(TcpStream::connect(("127.0.0.1", port)).await?)
            .await
    }

    pub(crate) async fn handshake(&self, stream: TcpStream) -> std::io::Result<TlsStream> {
        let name = ServerName::try_from("api.example.test").unwrap();
        TlsConnector::from(Arc::clone(&self.0))
            .connect(name, stream)
            .await
    }

    pub(crate) async fn requests(&self, port: u16) -> Requests {
        let stream = self.connect(port).await.unwrap();
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            h2(stream).await
        } else {
            h1(stream).await
        }
    }
}

/// A connection that takes requests.
pub(crate) struct Requests {
    sender: Sender,
    connection: JoinHandle<()>,
}

enum Sender {
    H1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    H2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

pub(crate) async fn h1(stream: TlsStream) -> Requests {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    Requests {
        sender: Sender::H1(sender),
        connection: tokio::spawn(async { drop(connection.await) }),
    }
}

pub(crate) async fn h2(stream: TlsStream) -> Requests {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    Requests {
        sender: Sender::H2(sender),
        connection: tokio::spawn(async { drop(connection.await) }),
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    fields: http::HeaderMap,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Requests {
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, hyper::Error> {
        self.request("GET", path, "").await
    }

    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Answer, hyper::Error> {
        let request = Request::builder().method(method.parse::<Method>().unwrap());
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let response = match &mut self.sender {
            Sender::H1(sender) => {
                sender.ready().await?;
                let request = request.uri(path).header("host", "api.example.test");
                sender.send_request(request.body(body).unwrap()).await?
            }
            Sender::H2(sender) => {
                sender.ready().await?;
                let request = request.uri(format!("https://api.example.test{path}"));
                sender.send_request(request.body(body).unwrap()).await?
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: parts.status,
            body,
            fields: parts.headers,
        })
    }

    /// Waits until the connection is over.
    pub(crate) async fn ended(self) {
        self.connection.await.unwrap();
    }
}

#[derive(Debug)]
struct Recorder {
    presented: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        self.presented
            .lock()
            .unwrap()
            .extend(all.map(|certificate| certificate.clone().into_owned()));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
