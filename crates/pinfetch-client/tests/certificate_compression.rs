//! Servers that compress their certificates (RFC 8879): what comes out is verified and pinned like any other.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use pinfetch_client::{
    Client, Code, Config, Environment, Lookup, Request, RequestError, Trust, TrustAnchors,
};
use pinfetch_pins::{PinSetSource, PinSource, Policy};
use pinfetch_testkit::{Authority, CertificateRequest};
use rustls::compress::{CertCompressor, CompressionFailed, CompressionLevel};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateCompressionAlgorithm, ServerConfig, ServerConnection};

const HOST: &str = "api.example.test";

type Compress = fn(&[u8]) -> Vec<u8>;

/// Says what `compress` makes of a certificate message, and remembers the lengths before and after.
struct Compressor {
    algorithm: CertificateCompressionAlgorithm,
    compress: Compress,
    done: Mutex<Vec<(usize, usize)>>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compressor({:?})", self.algorithm)
    }
}

impl CertCompressor for Compressor {
    fn compress(
        &self,
        input: Vec<u8>,
        _level: CompressionLevel,
    ) -> Result<Vec<u8>, CompressionFailed> {
        let output = (self.compress)(&input);
        self.done.lock().unwrap().push((input.len(), output.len()));
        Ok(output)
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        self.algorithm
    }
}

fn brotli(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let params = brotli::enc::BrotliEncoderParams::default();
    brotli::BrotliCompress(&mut &*input, &mut out, &params).unwrap();
    out
}

fn zlib(input: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

fn with_trailing_byte(mut compressed: Vec<u8>) -> Vec<u8> {
    compressed.push(0);
    compressed
}

fn cut(mut compressed: Vec<u8>) -> Vec<u8> {
    compressed.truncate(compressed.len() / 2);
    compressed
}

/// One handshake of a client with a server that has `compressor`.
struct Outcome {
    /// The status that came, or the failure.
    answer: Result<u16, RequestError>,
    /// What the server sent until the handshake ended, in bytes.
    sent: usize,
    /// The lengths of each certificate message before and after compression.
    compressed: Vec<(usize, usize)>,
}

async fn handshake(
    compressor: Option<(CertificateCompressionAlgorithm, Compress)>,
    pinned: bool,
) -> Outcome {
    let mut authority = Authority::new();
    for request in [
        CertificateRequest {
            name: "root".into(),
            ca: true,
            ..CertificateRequest::default()
        },
        CertificateRequest {
            name: "leaf".into(),
            issuer: Some("root".into()),
            // many names, as certificates of content networks have them
            names: (0..40)
                .map(|number| format!("site-{number}.example.test"))
                .chain([HOST.into()])
                .collect(),
            ..CertificateRequest::default()
        },
    ] {
        authority.issue(&request).unwrap();
    }
    let (root, leaf) = (
        authority.get("root").unwrap(),
        authority.get("leaf").unwrap(),
    );
    let compressor = compressor.map(|(algorithm, compress)| {
        &*Box::leak(Box::new(Compressor {
            algorithm,
            compress,
            done: Mutex::default(),
        }))
    });
    let identity = CertifiedKey::new(vec![leaf.der().clone()], leaf.signing_key().unwrap());
    let mut server =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    server.cert_compressors = compressor
        .map(|compressor| compressor as &dyn CertCompressor)
        .into_iter()
        .collect();
    let (port, serving) = serve(server);
    let pin = if pinned { leaf.pin() } else { pin_of_another() };
    let config = Config {
        policy: Policy::compile([PinSetSource {
            pattern: HOST.into(),
            exclude: false,
            pins: vec![PinSource::Text(pin)],
            ..PinSetSource::default()
        }])
        .unwrap()
        .into(),
        trust: Trust::Anchors(TrustAnchors {
            ca: Some(vec![root.der().to_vec()]),
            ..TrustAnchors::default()
        }),
        lookup: Lookup::Map(Arc::new(HashMap::from([(
            HOST.parse().unwrap(),
            vec!["127.0.0.1".parse().unwrap()],
        )]))),
        ..Config::default()
    };
    let client = Client::new(config, &Environment::default()).unwrap();
    let answer = client
        .send(Request::get(&format!("https://{HOST}:{port}/")))
        .await
        .map(|response| response.status.as_u16());
    drop(client);
    Outcome {
        answer,
        sent: serving.join().unwrap(),
        compressed: compressor
            .map(|compressor| compressor.done.lock().unwrap().clone())
            .unwrap_or_default(),
    }
}

/// A pin that nothing here has.
fn pin_of_another() -> String {
    format!("sha256/{}=", "q".repeat(42) + "o")
}

/// Serves one connection, one request; how many bytes were sent until the handshake's end comes from the thread.
fn serve(config: ServerConfig) -> (u16, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        let Some(sent) = shake_hands(&mut tls, &mut tcp) else {
            return 0;
        };
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 => request.extend(buffer.iter().take(count)),
                _ => return sent, // refused by its pins
            }
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        stream.write_all(answer).unwrap();
        stream.flush().unwrap();
        sent
    });
    (port, serving)
}

/// None where the client breaks off.
fn shake_hands(tls: &mut ServerConnection, tcp: &mut TcpStream) -> Option<usize> {
    let mut sent = 0;
    while tls.is_handshaking() {
        if tls.wants_write() {
            sent += tls.write_tls(tcp).ok()?;
        } else {
            if tls.read_tls(tcp).ok()? == 0 {
                return None;
            }
            tls.process_new_packets().ok()?;
        }
    }
    Some(sent)
}

#[tokio::test]
async fn compressed_certificates_are_verified_and_make_the_handshake_smaller() {
    let plain = handshake(None, true).await;
    assert_eq!(plain.answer.unwrap(), 200);
    for (algorithm, compress) in [
        (CertificateCompressionAlgorithm::Brotli, brotli as Compress),
        (CertificateCompressionAlgorithm::Zlib, zlib),
    ] {
        let outcome = handshake(Some((algorithm, compress)), true).await;
        assert_eq!(outcome.answer.unwrap(), 200, "{algorithm:?}");
        let [(before, after)] = *outcome.compressed else {
            panic!("{algorithm:?}: compressed {:?}", outcome.compressed);
        };
        assert!(after + 300 < before, "{algorithm:?}: {before} -> {after}");
        // a signature may differ by some bytes
        assert!(
            outcome.sent + (before - after) - 32 < plain.sent,
            "{algorithm:?}: {} and {} bytes on the wire",
            outcome.sent,
            plain.sent
        );
    }
}

#[tokio::test]
async fn compressed_certificates_without_the_pin_are_refused() {
    for pinned in [true, false] {
        let outcome = handshake(
            Some((CertificateCompressionAlgorithm::Brotli, brotli)),
            pinned,
        )
        .await;
        assert_eq!(outcome.compressed.len(), 1);
        match outcome.answer {
            Ok(status) => assert!(pinned, "{status} in spite of the pin"),
            Err(error) => {
                assert!(!pinned, "{error}");
                assert_eq!(error.code(), Code::BadPin);
            }
        }
    }
}

#[tokio::test]
async fn what_does_not_decompress_to_the_declared_length_is_a_tls_error() {
    use CertificateCompressionAlgorithm::{Brotli, Zlib};
    let cases: [(&str, CertificateCompressionAlgorithm, Compress); 12] = [
        ("nothing", Brotli, |_| Vec::new()),
        ("nothing", Zlib, |_| Vec::new()),
        ("garbage", Brotli, |_| vec![0xff; 64]),
        ("garbage", Zlib, |_| vec![0xff; 64]),
        ("a bomb", Brotli, |_| brotli(&vec![0; 4 << 20])),
        ("a bomb", Zlib, |_| zlib(&vec![0; 4 << 20])),
        ("half of it", Brotli, |input| cut(brotli(input))),
        ("half of it", Zlib, |input| cut(zlib(input))),
        ("a byte too many", Brotli, |input| {
            with_trailing_byte(brotli(input))
        }),
        ("a byte too many", Zlib, |input| {
            with_trailing_byte(zlib(input))
        }),
        ("too short a message", Brotli, |_| brotli(b"short")),
        ("too short a message", Zlib, |_| zlib(b"short")),
    ];
    for (name, algorithm, compress) in cases {
        let outcome = handshake(Some((algorithm, compress)), true).await;
        let error = outcome.answer.unwrap_err();
        assert_eq!(error.code(), Code::TlsHandshake, "{name}, {algorithm:?}");
        assert!(
            matches!(error, RequestError::Tls { .. }),
            "{name}, {algorithm:?}: {error:?}"
        );
        assert_eq!(outcome.compressed.len(), 1, "{name}, {algorithm:?}");
    }
}
