//! The server cases of C2SP's x509-limbo, through `verify_chain`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use pinfetch_pins::{Anchors, ChainRequest, Host, verify_chain};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::Deserialize;
use std::time::Duration;

mod suite;

/// For the cases that name no time of their own: the suite's certificates of the kind are valid from 1970 to 2969.
const SOME_TIME: i64 = 1_750_000_000;

#[derive(Deserialize)]
struct Limbo {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    expected_result: String,
    expected_peer_name: Option<PeerName>,
    max_chain_depth: Option<u32>,
    crls: Vec<String>,
}

#[derive(Deserialize)]
struct PeerName {
    value: String,
}

#[test]
fn every_limbo_case_ends_as_expected_or_as_listed() {
    let limbo: Limbo = serde_json::from_slice(&suite::read("x509-limbo/limbo.json")).unwrap();
    let cases = limbo
        .testcases
        .iter()
        .filter(|case| case.validation_kind == "SERVER");
    let outcomes: Vec<_> = cases
        .map(|case| suite::Outcome {
            id: case.id.clone(),
            succeeds: case.expected_result == "SUCCESS",
            actual: outcome(case),
        })
        .collect();
    assert_eq!(
        outcomes.len(),
        198,
        "the suite has changed: review its new cases"
    );
    suite::judge(&outcomes, |id| !id.starts_with("bettertls::"));
}

fn outcome(case: &Case) -> String {
    let Some(name) = &case.expected_peer_name else {
        return suite::UNUSABLE.into();
    };
    if case.max_chain_depth.is_some() || !case.crls.is_empty() {
        return suite::UNUSABLE.into();
    }
    let Ok(host) = name.value.parse::<Host>() else {
        return suite::UNUSABLE.into();
    };
    let Ok(anchors) = Anchors::from_certificates(case.trusted_certs.iter().map(|pem| der(pem)))
    else {
        return "ERR_CERT_UNKNOWN_ISSUER".into(); // no anchor can be read: every path lacks its end
    };
    let chain: Vec<_> = [&case.peer_certificate]
        .into_iter()
        .chain(&case.untrusted_intermediates)
        .map(|pem| der(pem))
        .collect();
    let at = case.validation_time.as_deref().map_or(SOME_TIME, seconds);
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.try_into().unwrap()));
    match verify_chain(&ChainRequest {
        chain: &chain,
        anchors: &anchors,
        host: &host,
        at,
        pins: &[],
    }) {
        Ok(_) => "SUCCESS".into(),
        Err(error) => error.code().as_str().into(),
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// `2024-01-01T00:00:00+00:00`, in Unix seconds, a fraction cut off; the suite has no other zone.
fn seconds(time: &str) -> i64 {
    let (time, zone) = time.split_at(19);
    assert!(zone.ends_with("+00:00") || zone.ends_with('Z'), "{zone}");
    let number = |range: std::ops::Range<usize>| time[range].parse::<i64>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // days from the civil calendar, whose year begins in March so that the leap day is its last
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day =
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day
            - 1
            - 719_468;
    day * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19)
}
