//! The policy's look-up against a reference that goes through every pattern.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use pinfetch_pins::{Host, HostPattern, Pin, PinSetSource, PinSource, Policy};
use proptest::prelude::*;

/// A pattern as text, and the pins it has; none takes hosts out.
type Entry = (String, Vec<u8>);

fn names() -> impl Strategy<Value = String> {
    // few labels, so that patterns and hosts meet; look-alikes by prefix and suffix among them
    let label = prop::sample::select(vec![
        "a",
        "b",
        "ab",
        "notexample",
        "example",
        "__proto__",
        "xn--bcher-kva",
    ]);
    (
        prop::collection::vec(label, 0..4),
        prop::sample::select(vec!["example.com", "notexample.com", "b.example.com"]),
    )
        .prop_map(|(mut labels, base)| {
            labels.push(base);
            labels.join(".")
        })
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let scope = prop::sample::select(vec!["", "*.", "**."]);
    let port = prop::sample::select(vec!["", ":443", ":8443"]);
    let pattern =
        (scope, names(), port).prop_map(|(scope, name, port)| format!("{scope}{name}{port}"));
    let pins = prop_oneof![3 => prop::collection::vec(any::<u8>(), 1..4), 1 => Just(Vec::new())];
    prop::collection::btree_map(pattern, pins, 0..12).prop_map(|map| map.into_iter().collect())
}

/// Whether a set of this test takes its hosts out of less specific patterns: all without pins, and some with.
fn excludes(pins: &[u8]) -> bool {
    pins.first().is_none_or(|first| first % 4 == 0)
}

fn compile(entries: &[Entry]) -> Policy {
    let sources = entries.iter().map(|(pattern, pins)| PinSetSource {
        pattern: pattern.clone(),
        exclude: excludes(pins),
        pins: pins
            .iter()
            .map(|byte| PinSource::Text(Pin::from_bytes([*byte; 32]).to_string()))
            .collect(),
        ..PinSetSource::default()
    });
    Policy::compile(sources).unwrap()
}

fn found(policy: &Policy, host: &Host, port: u16) -> (Vec<String>, Vec<u8>) {
    let in_force = policy.lookup(host, port);
    let effective = in_force.to_effective(host, port);
    assert_eq!(in_force.is_pinned(), effective.is_some());
    effective.map_or_else(Default::default, |effective| {
        let patterns = effective
            .patterns()
            .iter()
            .map(ToString::to_string)
            .collect();
        (
            patterns,
            effective
                .pins()
                .iter()
                .map(|pin| pin.as_bytes()[0])
                .collect(),
        )
    })
}

/// Whether a pattern of this test stands for a host, by nothing but their labels.
fn stands_for(pattern: &str, host: &str, port: u16) -> bool {
    let (pattern, wanted) = pattern
        .split_once(':')
        .map_or((pattern, None), |(name, port)| (name, port.parse().ok()));
    let labels: Vec<&str> = host.split('.').collect();
    let named = |name: &str| name.split('.').map(str::to_owned).collect::<Vec<_>>();
    let is_named = if let Some(name) = pattern.strip_prefix("**.") {
        let name = named(name);
        labels.len() >= name.len() && labels[labels.len() - name.len()..] == name[..]
    } else if let Some(name) = pattern.strip_prefix("*.") {
        labels[1..] == named(name)[..]
    } else {
        labels == named(pattern)
    };
    is_named && wanted.is_none_or(|wanted: u16| wanted == port)
}

/// Word for word as the documentation says it, over every pattern.
fn reference(entries: &[Entry], host: &Host, port: u16) -> (Vec<String>, Vec<u8>) {
    let specificity = |pattern: &str| {
        let (scope, rest) = match (pattern.strip_prefix("**."), pattern.strip_prefix("*.")) {
            (Some(rest), _) => (0, rest),
            (None, Some(rest)) => (1, rest),
            (None, None) => (2, pattern),
        };
        (rest.split('.').count(), scope, rest.contains(':'))
    };
    let matching: Vec<&Entry> = entries
        .iter()
        .filter(|(pattern, _)| stands_for(pattern, host.as_str(), port))
        .collect();
    let excluded = matching
        .iter()
        .filter(|(_, pins)| excludes(pins))
        .map(|(pattern, _)| specificity(pattern))
        .max();
    let contributing = matching
        .iter()
        .filter(|(pattern, pins)| !pins.is_empty() && Some(specificity(pattern)) >= excluded);
    let (mut patterns, mut all) = (Vec::new(), Vec::new());
    for (pattern, pins) in contributing {
        patterns.push(pattern.parse::<HostPattern>().unwrap().to_string());
        all.extend(pins);
    }
    patterns.sort();
    all.sort_unstable();
    all.dedup();
    (patterns, all)
}

proptest! {
    #[test]
    fn look_up_finds_what_going_through_every_pattern_finds(
        entries in entries(),
        host in names(),
        port in prop::sample::select(vec![443_u16, 8443, 1]),
    ) {
        let host: Host = host.parse().unwrap();
        prop_assert_eq!(found(&compile(&entries), &host, port), reference(&entries, &host, port));
    }

    #[test]
    fn the_order_of_a_policy_changes_nothing(
        (entries, shuffled) in entries().prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle())),
        host in names(),
    ) {
        let host: Host = host.parse().unwrap();
        prop_assert_eq!(found(&compile(&entries), &host, 443), found(&compile(&shuffled), &host, 443));
    }

    #[test]
    fn the_spelling_of_a_host_changes_nothing(entries in entries(), host in names()) {
        let canonical: Host = host.parse().unwrap();
        let policy = compile(&entries);
        for spelling in [host.to_uppercase(), format!("{host}."), host.replace('.', "\u{3002}"), host.replace('.', "\u{ff61}")] {
            let spelt: Host = spelling.parse().unwrap();
            prop_assert_eq!(&spelt, &canonical);
            prop_assert_eq!(found(&policy, &spelt, 443), found(&policy, &canonical, 443));
        }
    }

    #[test]
    fn no_text_makes_reading_a_host_or_pattern_panic_and_both_round_trip(text in "\\PC{0,40}|[a-z*.:\\[\\]0-9]{0,24}") {
        if let Ok(host) = text.parse::<Host>() {
            prop_assert_eq!(host.to_string().parse::<Host>(), Ok(host.clone()));
            let _ = host.server_name();
        }
        if let Ok(pattern) = text.parse::<HostPattern>() {
            prop_assert_eq!(pattern.to_string().parse::<HostPattern>(), Ok(pattern));
        }
    }
}

#[test]
fn a_hundred_thousand_hosts_are_compiled_and_found() {
    let entries: Vec<Entry> = (0..100_000_u32)
        .map(|host| (format!("h{host}.example.com"), vec![1, 2, 3]))
        .collect();
    let policy = compile(&entries);
    assert_eq!(policy.len(), 100_000);
    let pinned: Host = "h99999.example.com".parse().unwrap();
    assert_eq!(found(&policy, &pinned, 443).1, [1, 2, 3]);
    assert!(
        !policy
            .lookup(&"h100000.example.com".parse().unwrap(), 443)
            .is_pinned()
    );
}
