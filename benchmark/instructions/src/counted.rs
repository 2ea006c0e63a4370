//! What is counted.
#![expect(
    clippy::expect_used,
    reason = "a program, run on what stands in this folder only"
)]

// The binding is a library of Node's, which no program can be linked with: its codec is compiled once more.
#[path = "../../../crates/pinfetch-node/src/wire.rs"]
#[expect(dead_code, reason = "of the codec, what is counted is used")]
mod wire;

use std::hint::black_box;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pinfetch_client::Fields;
use pinfetch_pins::{
    Anchors, ChainRequest, Host, Pin, PinSetSource, PinSource, Policy, verify_chain,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use self::wire::{BodyPlace, Reader, Write as _};

/// End entity `api.example.com`, its intermediate, its root: P-256, valid from 2026 to 2126.
const CHAIN: &[u8] = include_bytes!("../chain.pem");
/// 2030-01-01, within the chain's validity.
const AT: Duration = Duration::from_secs(1_893_456_000);

/// Does what the arguments say.
pub(crate) fn run() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("a name is given");
    let count = arguments.next().and_then(|count| count.parse().ok());
    let mut work: Box<dyn FnMut()> = match name.as_str() {
        "policy look-up" => policy_look_up(),
        "SPKI hash" => spki_hash(),
        "verified path" => verified_path(),
        "record of a response" => record_of_a_response(),
        "record of texts" => record_of_texts(),
        _ => unreachable!("no such work"),
    };
    for _ in 0..count.unwrap_or(0_u32) {
        work();
    }
}

/// Hosts with two patterns each among a thousand others. Each process hashes otherwise: one host alone would be found at
/// once in one run, and after some neighbours in the next.
fn policy_look_up() -> Box<dyn FnMut()> {
    let policy = Policy::compile(sources()).expect("a policy");
    let hosts: Vec<Host> = (0..1000)
        .map(|host| format!("api.h{host}.d{}.com", host % 100))
        .map(|host| host.parse().expect("a host"))
        .collect();
    let mut asked = 0;
    Box::new(move || {
        let host = hosts.get(asked % hosts.len()).expect("a host");
        asked += 1;
        let pins = black_box(&policy).lookup(black_box(host), 443);
        black_box(pins.pins().count());
    })
}

fn spki_hash() -> Box<dyn FnMut()> {
    let chain = chain();
    Box::new(move || {
        for certificate in &chain {
            black_box(Pin::of_certificate(black_box(certificate)).expect("a certificate"));
        }
    })
}

/// A handshake's verdict: paths are built, signatures checked, pins matched.
fn verified_path() -> Box<dyn FnMut()> {
    let mut chain = chain();
    let root = chain.pop().expect("a root");
    let pins = [Pin::of_certificate(&root).expect("a certificate")];
    let anchors = Anchors::from_certificates([root]).expect("an anchor");
    let host: Host = "api.example.com".parse().expect("a host");
    Box::new(move || {
        let verified = verify_chain(&ChainRequest {
            chain: black_box(&chain),
            anchors: &anchors,
            host: &host,
            at: UnixTime::since_unix_epoch(AT),
            pins: &pins,
        });
        black_box(verified.expect("a path"));
    })
}

/// Twelve fields and a body of 1 KiB, as they are written for JavaScript.
fn record_of_a_response() -> Box<dyn FnMut()> {
    let mut fields = HeaderMap::new();
    for number in 0..12 {
        let name = HeaderName::try_from(format!("field-name-{number}")).expect("a name");
        fields.append(name, HeaderValue::from_static("a value of usual length"));
    }
    let fields = Fields::from(fields);
    let body = [120; 1024];
    let mut out = Vec::with_capacity(16 * 1024);
    Box::new(move || {
        out.clear();
        wire::write_information(&mut out, 1, StatusCode::OK, black_box(&fields));
        let place = BodyPlace::Inline(black_box(&body));
        wire::write_body(&mut out, 1, &place, None, true);
        black_box(&out);
    })
}

/// A list of a hundred texts, as it is read from JavaScript.
fn record_of_texts() -> Box<dyn FnMut()> {
    let mut record = Vec::new();
    record.size(100);
    for number in 0..100 {
        record.bytes(format!("https://h{number}.example.com/").as_bytes());
    }
    Box::new(move || {
        let mut reader = Reader::new(black_box(&record));
        let texts = reader.list(|reader| Ok(reader.str()?.len()));
        black_box(texts.map_or(0, |texts| texts.len()));
    })
}

fn sources() -> Vec<PinSetSource> {
    let source = |pattern: String, byte: u8| PinSetSource {
        pattern,
        pins: vec![
            PinSource::Text(Pin::from_bytes([byte; 32]).to_string()),
            PinSource::Text(Pin::from_bytes([byte ^ 255; 32]).to_string()),
        ],
        ..PinSetSource::default()
    };
    let wide = (0..100).map(|domain| source(format!("**.d{domain}.com"), 1));
    let narrow = (0..1000).map(|host| source(format!("*.h{host}.d{}.com", host % 100), 2));
    wide.chain(narrow).collect()
}

fn chain() -> Vec<CertificateDer<'static>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(CHAIN).collect();
    chain.expect("certificates")
}
