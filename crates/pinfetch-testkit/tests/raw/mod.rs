//! A kit with a plain server, and a client that writes the protocols of proxies byte by byte.

use pinfetch_testkit::{Kit, KitError, ProxyStats};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const NAME: &str = "proxy.example.test";

/// A kit with a server that answers in the clear, and a certificate for [`NAME`].
pub(crate) struct Bench {
    kit: Kit,
    pub(crate) root: CertificateDer<'static>,
    pub(crate) server: u16,
}

#[derive(Clone, Copy)]
pub(crate) struct Started {
    pub(crate) number: u64,
    pub(crate) port: u16,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let mut kit = Kit::new();
        let mut command = async |command: Value| {
            let outcome = kit.execute(serde_json::from_value(command).unwrap());
            outcome.unwrap().await.unwrap()
        };
        let issued = command(json!({ "cmd": "issue", "certificates": [
            { "name": "root", "ca": true },
            { "name": "leaf", "issuer": "root", "names": [NAME] },
        ]}))
        .await;
        let pem = issued["root"]["pem"].as_str().unwrap();
        let server = command(json!({ "cmd": "serve", "behaviour": "plain" })).await;
        Self {
            root: CertificateDer::from_pem_slice(pem.as_bytes()).unwrap(),
            server: u16::try_from(server["port"].as_u64().unwrap()).unwrap(),
            kit,
        }
    }

    pub(crate) async fn command(&mut self, command: Value) -> Result<Value, KitError> {
        self.kit.execute(serde_json::from_value(command)?)?.await
    }

    pub(crate) async fn proxy(&mut self, mut request: Value) -> Started {
        request["cmd"] = "proxy".into();
        let started = self.command(request).await.unwrap();
        Started {
            number: started["server"].as_u64().unwrap(),
            port: u16::try_from(started["port"].as_u64().unwrap()).unwrap(),
        }
    }

    pub(crate) async fn stats(&mut self, proxy: Started) -> ProxyStats {
        let command = json!({ "cmd": "stats", "server": proxy.number });
        serde_json::from_value(self.command(command).await.unwrap()).unwrap()
    }

    pub(crate) fn connect_head(&self, fields: &str) -> String {
        let server = self.server;
        format!("CONNECT api.example.test:{server} HTTP/1.1\r\n{fields}\r\n")
    }
}

impl Started {
    pub(crate) async fn dial(self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }
}

pub(crate) async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), head: &str) -> String {
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(answer).unwrap()
}

/// A request through the tunnel; what comes back is the server's.
pub(crate) async fn get_through(mut tunnel: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let request = "GET /bytes/3 HTTP/1.1\r\nhost: api.example.test\r\nconnection: close\r\n\r\n";
    let head = ask(&mut tunnel, request).await;
    let mut body = String::new();
    tunnel.read_to_string(&mut body).await.unwrap();
    head + &body
}

/// The greeting without a password and a request by name: both answers.
pub(crate) async fn ask_socks(stream: &mut TcpStream, port: u16) -> (u16, [u8; 10]) {
    stream.write_all(b"\x05\x01\x00").await.unwrap();
    let method = stream.read_u16().await.unwrap();
    let request = [
        &b"\x05\x01\x00\x03\x10api.example.test"[..],
        &port.to_be_bytes(),
    ];
    stream.write_all(&request.concat()).await.unwrap();
    let mut reply = [0; 10];
    stream.read_exact(&mut reply).await.unwrap();
    (method, reply)
}
