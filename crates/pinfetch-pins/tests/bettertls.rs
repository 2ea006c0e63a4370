//! Netflix's `BetterTLS`, its path building and name constraint suites, through `verify_chain`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pinfetch_pins::{Anchors, ChainRequest, Host, verify_chain};
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

mod suite;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BetterTls {
    trust_root: String,
    suites: BTreeMap<String, Suite>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Suite {
    test_cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    id: u32,
    certificates: Vec<String>,
    hostname: String,
    expected: String,
    /// A soft case: both ends are allowed.
    failure_is_warning: bool,
}

#[test]
fn every_hard_bettertls_case_ends_as_expected_or_as_listed() {
    let mut json = Vec::new();
    lzma_rs::xz_decompress(
        &mut &suite::read("bettertls/bettertls.json.xz")[..],
        &mut json,
    )
    .unwrap();
    let bettertls: BetterTls = serde_json::from_slice(&json).unwrap();
    let anchors = Anchors::from_certificates([der(&bettertls.trust_root)]).unwrap();
    let at = valid_time(&bettertls);
    let mut outcomes = Vec::new();
    for (name, suite) in &bettertls.suites {
        for case in suite
            .test_cases
            .iter()
            .filter(|case| !case.failure_is_warning)
        {
            outcomes.push(suite::Outcome {
                id: format!("bettertls::{name}::{}", case.id),
                succeeds: case.expected == "ACCEPT",
                actual: outcome(case, &anchors, at),
            });
        }
    }
    assert_eq!(
        outcomes.len(),
        8430,
        "the suite has changed: review its new cases"
    );
    suite::judge(&outcomes, |id| id.starts_with("bettertls::"));
}

/// A day before the trust root ends: its certificates were made together, and all but the expired ones on purpose hold.
fn valid_time(bettertls: &BetterTls) -> UnixTime {
    const DAY: i64 = 86_400;
    let root = pinfetch_pins::describe_certificate(&der(&bettertls.trust_root));
    let leaf = pinfetch_pins::describe_certificate(&der(&bettertls.suites["pathbuilding"]
        .test_cases[0]
        .certificates[0]));
    let end = root.not_after.unwrap().min(leaf.not_after.unwrap()) - DAY;
    UnixTime::since_unix_epoch(Duration::from_secs(end.try_into().unwrap()))
}

fn outcome(case: &Case, anchors: &Anchors, at: UnixTime) -> String {
    let Ok(host) = case.hostname.parse::<Host>() else {
        return suite::UNUSABLE.into();
    };
    let chain: Vec<_> = case.certificates.iter().map(|text| der(text)).collect();
    match verify_chain(&ChainRequest {
        chain: &chain,
        anchors,
        host: &host,
        at,
        pins: &[],
    }) {
        Ok(_) => "SUCCESS".into(),
        Err(error) => error.code().as_str().into(),
    }
}

fn der(text: &str) -> CertificateDer<'static> {
    BASE64_STANDARD.decode(text).unwrap().into()
}
