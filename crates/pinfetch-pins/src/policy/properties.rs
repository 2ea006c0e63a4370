//! What pin sets come to together, against a reference that goes by the documentation word for word.

use proptest::prelude::*;

use super::*;
use crate::Demand;

/// They all match the one host of these tests.
const PATTERNS: [&str; 4] = [
    "**.example.com",
    "*.example.com",
    "api.example.com",
    "api.example.com:443",
];
const NOW: i64 = 1_750_000_000;

#[derive(Clone, Debug)]
struct Said {
    pattern: usize,
    pins: Vec<(u8, Places)>,
    mode: Mode,
    count: u32,
    places: Vec<Places>,
    expires: Option<Expiry>,
}

impl Said {
    /// What it is at [`NOW`].
    fn mode_now(&self) -> Mode {
        match self.expires {
            Some(expiry) if expiry.at <= NOW && expiry.then == Afterwards::Report => Mode::Report,
            _ => self.mode,
        }
    }

    fn source(&self) -> PinSetSource {
        let demand = if self.places.is_empty() {
            Demand::keys(self.count)
        } else {
            Demand::at_each(self.places.iter().copied())
        };
        PinSetSource {
            pattern: PATTERNS[self.pattern].into(),
            pins: self
                .pins
                .iter()
                .map(|(byte, _)| PinSource::Text(pin(*byte).to_string()))
                .collect(),
            places: self.pins.iter().map(|(_, places)| *places).collect(),
            rules: Rules {
                mode: self.mode,
                demand,
                expires: self.expires,
                trust: Trust::Own,
            },
            ..PinSetSource::default()
        }
    }

    fn is_met(&self, found: &[(u8, Places)]) -> bool {
        let mut keys: Vec<u8> = found.iter().map(|(pin, _)| *pin).collect();
        keys.sort_unstable();
        keys.dedup();
        let has = |place: &Places| found.iter().any(|(_, at)| at.meets(*place));
        if self.places.is_empty() {
            keys.len() >= self.count as usize
        } else {
            self.places.iter().all(has)
        }
    }
}

fn pin(byte: u8) -> Pin {
    Pin::from_bytes([byte; 32])
}

fn places() -> impl Strategy<Value = Places> {
    prop::sample::select(vec![
        Places::ANY,
        Places::ANY,
        Places::LEAF,
        Places::INTERMEDIATE,
        Places::ROOT,
    ])
}

fn said(pattern: usize) -> impl Strategy<Value = Said> {
    let pins = prop::collection::btree_map(0..6_u8, places(), 1..5);
    let mode = prop::sample::select(vec![Mode::Enforce, Mode::Enforce, Mode::Report]);
    let demanded = prop::sample::subsequence(
        vec![Places::LEAF, Places::INTERMEDIATE, Places::ROOT, Places::CA],
        0..3,
    );
    let then = prop::sample::select(vec![
        Afterwards::Enforce,
        Afterwards::Report,
        Afterwards::Refuse,
    ]);
    let expires = prop::option::of((-1..2_i64, then));
    (pins, mode, 1..4_u32, demanded, expires).prop_map(
        move |(pins, mode, count, places, expires)| {
            let pins: Vec<_> = pins.into_iter().collect();
            let may = |place: &Places| pins.iter().any(|(_, at)| at.meets(*place));
            Said {
                pattern,
                count: count.min(u32::try_from(pins.len()).unwrap_or(1)),
                places: places.into_iter().filter(may).collect(),
                pins,
                mode,
                expires: expires.map(|(offset, then)| Expiry {
                    at: NOW + offset,
                    then,
                }),
            }
        },
    )
}

fn policies() -> impl Strategy<Value = Vec<Said>> {
    let each = (0..PATTERNS.len())
        .map(|pattern| prop::option::of(said(pattern)).boxed())
        .collect::<Vec<_>>();
    each.prop_map(|sets| sets.into_iter().flatten().collect())
}

fn effective(sets: &[Said]) -> Option<EffectivePins> {
    let policy = Policy::compile(sets.iter().map(Said::source)).unwrap();
    let host: Host = "api.example.com".parse().unwrap();
    policy.lookup(&host, 443).at(NOW).to_effective(&host, 443)
}

/// The keys of `path` that the pins of `sets` let count, each with where.
fn found(sets: &[&Said], path: &[u8]) -> Vec<(u8, Places)> {
    let mut found = Vec::new();
    for (index, byte) in path.iter().enumerate() {
        let place = match index {
            0 if path.len() == 1 => Places::LEAF | Places::ROOT,
            0 => Places::LEAF,
            last if last + 1 == path.len() => Places::ROOT,
            _ => Places::INTERMEDIATE,
        };
        for (own, at) in sets.iter().flat_map(|set| &set.pins) {
            let common = [Places::LEAF, Places::INTERMEDIATE, Places::ROOT]
                .into_iter()
                .filter(|one| one.meets(*at) && one.meets(place));
            if own == byte {
                found.extend(common.map(|one| (*byte, one)));
            }
        }
    }
    found
}

fn accepts(effective: &EffectivePins, path: &[u8]) -> bool {
    let path: Vec<Pin> = path.iter().map(|byte| pin(*byte)).collect();
    effective.judge_pins(&path) != Judgement::Refuse
}

fn reports(effective: &EffectivePins, path: &[u8]) -> bool {
    let path: Vec<Pin> = path.iter().map(|byte| pin(*byte)).collect();
    !effective.passes_report(&path)
}

proptest! {
    #[test]
    fn sets_accept_together_what_the_documentation_says(
        sets in policies(),
        path in prop::collection::vec(0..8_u8, 1..5),
    ) {
        let Some(effective) = effective(&sets) else {
            prop_assert!(sets.is_empty());
            return Ok(());
        };
        let (enforced, reported): (Vec<&Said>, Vec<&Said>) =
            sets.iter().partition(|set| set.mode_now() == Mode::Enforce);
        let of_enforced = found(&enforced, &path);
        let is_accepted = enforced.is_empty()
            || !of_enforced.is_empty() && enforced.iter().all(|set| set.is_met(&of_enforced));
        prop_assert_eq!(accepts(&effective, &path), is_accepted);
        prop_assert_eq!(effective.is_enforced(), !enforced.is_empty());

        let of_all = found(&sets.iter().collect::<Vec<_>>(), &path);
        let is_reported = !reported.is_empty()
            && (of_all.is_empty() || !reported.iter().all(|set| set.is_met(&of_all)));
        prop_assert_eq!(reports(&effective, &path), is_reported);

        let has_ended = |set: &Said| set.expires.is_some_and(|expiry| {
            expiry.at <= NOW && expiry.then == Afterwards::Refuse
        });
        prop_assert_eq!(effective.refusal().is_some(), sets.iter().any(has_ended));
    }

    #[test]
    fn the_order_of_sets_changes_nothing_about_what_they_come_to(
        (sets, shuffled) in policies().prop_flat_map(|sets| (Just(sets.clone()), Just(sets).prop_shuffle())),
    ) {
        prop_assert_eq!(effective(&sets), effective(&shuffled));
    }

    #[test]
    fn a_set_in_report_mode_widens_nothing(
        sets in policies(),
        path in prop::collection::vec(0..8_u8, 1..5),
    ) {
        let enforced: Vec<Said> = sets.iter().filter(|set| set.mode_now() == Mode::Enforce).cloned().collect();
        if let (Some(all), Some(without)) = (effective(&sets), effective(&enforced)) {
            prop_assert_eq!(accepts(&all, &path), accepts(&without, &path));
        }
    }

    #[test]
    fn another_set_never_weakens_what_one_demands(
        sets in policies(),
        path in prop::collection::vec(0..8_u8, 1..5),
    ) {
        let Some(all) = effective(&sets) else { return Ok(()) };
        for set in sets.iter().filter(|set| set.mode_now() == Mode::Enforce) {
            if accepts(&all, &path) {
                let everything = found(&sets.iter().collect::<Vec<_>>(), &path);
                prop_assert!(set.is_met(&everything));
            }
        }
    }
}

#[test]
fn sets_that_say_the_same_share_pins_and_rules() {
    let same = |pattern: String| PinSetSource {
        pattern,
        pins: (1..4)
            .map(|byte| PinSource::Text(pin(byte).to_string()))
            .collect(),
        rules: Rules {
            demand: Demand::keys(2),
            ..Rules::default()
        },
        ..PinSetSource::default()
    };
    let policy =
        Policy::compile((0..100).map(|host| same(format!("h{host}.example.com")))).unwrap();
    assert_eq!((policy.pins.len(), policy.rules.len()), (3, 1));
    let host: Host = "h99.example.com".parse().unwrap();
    let effective = policy.lookup(&host, 443).to_effective(&host, 443).unwrap();
    assert!(accepts(&effective, &[1, 9, 3]) && !accepts(&effective, &[1, 9, 1]));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_cannot_be_met_or_would_verify_nothing_is_refused() {
    let with = |places: Vec<Places>, rules: Rules| PinSetSource {
        pattern: "a.example.com".into(),
        pins: vec![
            PinSource::Text(pin(1).to_string()),
            PinSource::Text(pin(1).to_string()),
        ],
        places,
        rules,
        ..PinSetSource::default()
    };
    let of_key = || Rules {
        trust: Trust::PinnedKey,
        ..Rules::default()
    };
    let ends = |then| Some(Expiry { at: NOW, then });
    for (places, rules, expected) in [
        (
            vec![],
            Rules {
                demand: Demand::keys(2),
                ..Rules::default()
            },
            Some("asks for 2 pins of 1"),
        ),
        (
            vec![],
            Rules {
                demand: Demand::keys(1),
                ..Rules::default()
            },
            None,
        ),
        (
            vec![Places::LEAF, Places::LEAF],
            Rules {
                demand: Demand::at_each([Places::CA]),
                ..Rules::default()
            },
            Some("none of the pins may stand at"),
        ),
        (
            vec![Places::LEAF],
            Rules {
                demand: Demand::at_each([Places::CA]),
                ..Rules::default()
            },
            None,
        ),
        (vec![], of_key(), None),
        (
            vec![],
            Rules {
                mode: Mode::Report,
                ..of_key()
            },
            Some("has to be enforced"),
        ),
        (
            vec![],
            Rules {
                expires: ends(Afterwards::Report),
                ..of_key()
            },
            Some("has to be enforced"),
        ),
        (
            vec![],
            Rules {
                expires: ends(Afterwards::Refuse),
                ..of_key()
            },
            None,
        ),
        (vec![Places::ROOT], of_key(), Some("the leaf alone")),
        (
            vec![],
            Rules {
                demand: Demand::at_each([Places::ROOT]),
                ..of_key()
            },
            Some("the leaf alone"),
        ),
        (
            vec![],
            Rules {
                demand: Demand::at_each([Places::LEAF]),
                ..of_key()
            },
            None,
        ),
    ] {
        let said = format!("{places:?} {rules:?}");
        let message = Policy::compile([with(places, rules)]).err().map(|error| {
            assert_eq!(
                (error.code(), error.pattern()),
                ("ERR_POLICY_INVALID_OPTION", Some("a.example.com"))
            );
            error.to_string()
        });
        match (message, expected) {
            (None, None) => {}
            (Some(message), Some(expected)) => {
                assert!(message.contains(expected), "{said}: {message}");
            }
            other => panic!("{said}: {other:?}"),
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn patterns_of_one_host_must_trust_the_same() {
    let with = |pattern: &str, trust: Trust| PinSetSource {
        pattern: pattern.into(),
        pins: vec![PinSource::Text(pin(1).to_string())],
        rules: Rules {
            trust,
            ..Rules::default()
        },
        ..PinSetSource::default()
    };
    let key = || Trust::PinnedKey;
    let excluded = PinSetSource {
        exclude: true,
        ..with("**.b.example.com", key())
    };
    for (sets, is_refused) in [
        (
            vec![
                with("a.example.com", key()),
                with("b.example.com", Trust::Own),
            ],
            false,
        ),
        (
            vec![
                with("**.example.com", key()),
                with("b.example.com", Trust::Own),
            ],
            true,
        ),
        (
            vec![
                with("b.example.com", key()),
                with("**.example.com", Trust::Own),
            ],
            true,
        ),
        (
            vec![with("**.example.com", key()), with("b.example.com", key())],
            false,
        ),
        (
            vec![
                with("*.example.com", key()),
                with("**.b.example.com", Trust::Own),
            ],
            true,
        ),
        (
            vec![
                with("*.example.com", key()),
                with("*.b.example.com", Trust::Own),
            ],
            false,
        ),
        (
            vec![
                with("*.example.com", key()),
                with("**.example.com", Trust::Own),
            ],
            true,
        ),
        (
            vec![
                with("*.example.com", key()),
                with("example.com", Trust::Own),
            ],
            false,
        ),
        (
            vec![
                with("a.example.com:1", key()),
                with("a.example.com:2", Trust::Own),
            ],
            false,
        ),
        (
            vec![
                with("a.example.com:1", key()),
                with("a.example.com", Trust::Own),
            ],
            true,
        ),
        (
            vec![
                with("**.example.com:1", key()),
                with("a.example.com", Trust::Own),
            ],
            true,
        ),
        (vec![with("**.example.com", Trust::Own), excluded], false),
        (
            vec![with("192.0.2.1", key()), with("a.example.com", Trust::Own)],
            false,
        ),
    ] {
        let said: Vec<_> = sets.iter().map(|set| set.pattern.clone()).collect();
        for sets in [sets.clone(), sets.into_iter().rev().collect()] {
            let error = Policy::compile(sets).err();
            assert_eq!(error.is_some(), is_refused, "{said:?}: {error:?}");
        }
    }
}

#[test]
fn a_policy_knows_when_it_changes_by_itself() {
    let ends = |pattern: &str, at, then| PinSetSource {
        pattern: pattern.into(),
        pins: vec![PinSource::Text(pin(1).to_string())],
        rules: Rules {
            expires: Some(Expiry { at, then }),
            ..Rules::default()
        },
        ..PinSetSource::default()
    };
    let policy = Policy::compile([
        ends("a.example.com", NOW, Afterwards::Refuse),
        ends("b.example.com", NOW + 10, Afterwards::Report),
    ])
    .unwrap();
    let month = Policy::NOTICE;
    for (now, next) in [
        (i64::MIN, Some(NOW - month)),
        (NOW - month, Some(NOW + 10 - month)),
        (NOW - 1, Some(NOW)),
        (NOW, Some(NOW + 10)),
        (NOW + 10, None),
    ] {
        assert_eq!(policy.next_change(now), next, "{now}");
    }
    let at = |host: &str, now| {
        let host: Host = host.parse().unwrap();
        policy
            .lookup(&host, 443)
            .at(now)
            .to_effective(&host, 443)
            .unwrap()
    };
    assert!(at("a.example.com", NOW - 1).refusal().is_none());
    assert_eq!(at("a.example.com", NOW).refusal().unwrap().expiry.at, NOW);
    assert!(at("b.example.com", NOW + 9).is_enforced());
    assert!(!at("b.example.com", NOW + 10).is_enforced());
    assert!(!at("b.example.com", NOW + 9).same_pins(&at("b.example.com", NOW + 10)));
    assert!(at("b.example.com", NOW).same_pins(&at("b.example.com", NOW + 9)));
}

#[test]
fn patterns_that_differ_in_their_trust_and_were_not_found_refuse_every_path() {
    let with = |pattern: &str, trust: Trust| PinSetSource {
        pattern: pattern.into(),
        pins: vec![PinSource::Text(pin(1).to_string())],
        rules: Rules {
            trust,
            ..Rules::default()
        },
        ..PinSetSource::default()
    };
    let without = |pattern: &str| PinSetSource {
        pattern: pattern.into(),
        exclude: true,
        ..PinSetSource::default()
    };
    for other in [Trust::PinnedKey, Trust::Own] {
        // the names that are tried when a policy is made are taken out of both
        let policy = Policy::compile([
            with("**.example.com", Trust::Own),
            with("**.a.example.com", other.clone()),
            without("a.example.com"),
            without("*.a.example.com"),
        ])
        .unwrap();
        let host: Host = "x.y.a.example.com".parse().unwrap();
        let pins = policy.lookup(&host, 443).to_effective(&host, 443).unwrap();
        let is_torn = other != Trust::Own;
        assert_eq!(pins.is_torn(), is_torn);
        let judged = pins.judge_pins(&[pin(1)]);
        assert_eq!(judged == Judgement::Refuse, is_torn, "{judged:?}");
    }
}

#[test]
fn a_clock_that_was_set_loosens_nothing() {
    let ends = |pattern: &str, then| PinSetSource {
        pattern: pattern.into(),
        pins: vec![PinSource::Text(pin(1).to_string())],
        rules: Rules {
            expires: Some(Expiry { at: NOW, then }),
            ..Rules::default()
        },
        ..PinSetSource::default()
    };
    let policy = Policy::compile([
        ends("a.example.com", Afterwards::Refuse),
        ends("b.example.com", Afterwards::Report),
    ])
    .unwrap();
    let at = |host: &str, present, latest| {
        let host: Host = host.parse().unwrap();
        let in_force = policy.lookup(&host, 443).at(Moment { present, latest });
        in_force.to_effective(&host, 443).unwrap()
    };
    for (present, latest, is_refused, is_enforced) in [
        (NOW - 1, NOW - 1, false, true),
        (NOW, NOW, true, false),
        (NOW - 1, NOW, true, true),
    ] {
        let (refusing, reporting) = (
            at("a.example.com", present, latest),
            at("b.example.com", present, latest),
        );
        assert_eq!(refusing.refusal().is_some(), is_refused, "{present}");
        assert_eq!(reporting.is_enforced(), is_enforced, "{present}");
    }
}
