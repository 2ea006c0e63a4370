//! What one policy says that another doesn't.

use std::collections::HashSet;

use crate::policy::SetView;
use crate::{Pin, Policy, order};

/// The patterns that two policies differ in, sorted, each in one list alone.
///
/// An exclusion takes pins away: one that is new counts as a loss, one that is gone as a gain.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PolicyDiff {
    /// Patterns that are new, or have pins besides those that they had.
    pub gained: Vec<String>,
    /// Patterns that are gone, or lack pins that they had.
    pub lost: Vec<String>,
    /// Patterns that have gained some and lost others, or say something else besides.
    pub changed: Vec<String>,
}

impl Policy {
    /// What is different in `after`. Sets that stand at the same place in both, counted from either end, are compared
    /// without any look-up: policies that are nearly the same cost no more than reading them.
    pub fn diff(&self, after: &Self) -> PolicyDiff {
        let mut diff = PolicyDiff::default();
        if std::ptr::eq(self, after) {
            return diff;
        }
        let same = |ours: usize, theirs: usize| {
            self.view(ours)
                .zip(after.view(theirs))
                .is_some_and(|(ours, theirs)| ours == theirs)
        };
        let shorter = self.len().min(after.len());
        let head = (0..shorter)
            .take_while(|index| same(*index, *index))
            .count();
        let tail = (1..=shorter - head)
            .take_while(|back| same(self.len() - back, after.len() - back))
            .count();
        let middle = |policy: &Self| head..policy.len() - tail;
        for index in middle(after) {
            let Some(now) = after.view(index) else {
                continue;
            };
            // where sets were changed here and there, the others still stand where they stood
            if same(index, index) {
                continue;
            }
            match self.find(&now) {
                None => diff.note(&now, !now.pins.is_empty(), now.exclude),
                Some(before) if before == now => {}
                Some(before) => {
                    let (old, new) = (pins_of(&before), pins_of(&now));
                    let gains = before.exclude && !now.exclude || !new.is_subset(&old);
                    let loses = now.exclude && !before.exclude || !old.is_subset(&new);
                    let says_else = before.said != now.said;
                    diff.note(&now, gains || says_else, loses || says_else);
                }
            }
        }
        for index in middle(self) {
            let Some(before) = self.view(index) else {
                continue;
            };
            let stays = |now: SetView<'_>| now.is_of_the_pattern_of(&before);
            if !after.view(index).is_some_and(stays) && after.find(&before).is_none() {
                diff.note(&before, before.exclude, !before.pins.is_empty());
            }
        }
        for list in [&mut diff.gained, &mut diff.lost, &mut diff.changed] {
            order::sort(list);
        }
        diff
    }
}

impl PolicyDiff {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.gained.is_empty() && self.lost.is_empty() && self.changed.is_empty()
    }

    fn note(&mut self, set: &SetView<'_>, gains: bool, loses: bool) {
        match (gains, loses) {
            (true, true) => self.changed.push(set.to_string()),
            (true, false) => self.gained.push(set.to_string()),
            (false, true) => self.lost.push(set.to_string()),
            (false, false) => {}
        }
    }
}

fn pins_of<'p>(set: &SetView<'p>) -> HashSet<&'p Pin> {
    set.pins.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PinSetSource, PinSource};

    fn source(pattern: &str, pins: &[u8]) -> PinSetSource {
        let text = |byte: &u8| PinSource::Text(Pin::from_bytes([*byte; 32]).to_string());
        PinSetSource {
            pattern: pattern.into(),
            exclude: pins.is_empty(),
            pins: pins.iter().map(text).collect(),
            ..PinSetSource::default()
        }
    }

    fn policy(sets: &[(&str, &[u8])]) -> Policy {
        Policy::compile(sets.iter().map(|(pattern, pins)| source(pattern, pins))).unwrap()
    }

    #[test]
    fn each_pattern_is_told_once_by_what_became_of_its_pins() {
        let before = policy(&[
            ("same.test", &[1, 2]),
            ("**.order.test", &[1, 2]),
            ("more.test", &[1]),
            ("fewer.test", &[1, 2]),
            ("other.test:8443", &[1]),
            ("gone.test", &[1]),
            ("out.gone.test", &[]),
            ("in.test", &[]),
            ("192.0.2.1", &[1, 2]),
            ("[::1]:8443", &[1]),
        ]);
        let after = policy(&[
            ("same.test", &[1, 2]),
            ("[::1]:8443", &[2]),
            ("**.order.test", &[2, 1, 2]),
            ("more.test", &[3, 1]),
            ("fewer.test", &[2]),
            ("other.test:8443", &[4]),
            ("new.test", &[1]),
            ("out.new.test", &[]),
            ("in.test", &[1]),
            ("192.0.2.1", &[2]),
        ]);
        let expected = PolicyDiff {
            gained: ["in.test", "more.test", "new.test", "out.gone.test"]
                .map(Into::into)
                .into(),
            lost: ["192.0.2.1", "fewer.test", "gone.test", "out.new.test"]
                .map(Into::into)
                .into(),
            changed: ["[::1]:8443", "other.test:8443"].map(Into::into).into(),
        };
        assert_eq!(before.diff(&after), expected);
        let back = after.diff(&before);
        assert_eq!((back.gained, back.lost), (expected.lost, expected.gained));
        assert_eq!(back.changed, expected.changed);
    }

    #[test]
    fn an_exclusion_takes_pins_away_and_may_give_others() {
        let with = |exclude, pins: &[u8]| {
            Policy::compile([PinSetSource {
                exclude,
                ..source("a.test", pins)
            }])
            .unwrap()
        };
        for (before, after, gained, lost, changed) in [
            (with(false, &[1]), with(true, &[1]), 0, 1, 0),
            (with(true, &[1]), with(false, &[1]), 1, 0, 0),
            (with(true, &[1]), with(true, &[1, 2]), 1, 0, 0),
            (with(true, &[]), with(false, &[1]), 1, 0, 0),
            (with(false, &[1]), with(true, &[2]), 0, 0, 1),
            (Policy::default(), with(true, &[1]), 0, 0, 1),
            (with(true, &[1]), Policy::default(), 0, 0, 1),
            (Policy::default(), with(true, &[]), 0, 1, 0),
        ] {
            let diff = before.diff(&after);
            let counts = (diff.gained.len(), diff.lost.len(), diff.changed.len());
            assert_eq!(counts, (gained, lost, changed), "{diff:?}");
        }
    }

    #[test]
    fn the_order_of_a_policy_makes_no_difference() {
        let sets: [(&str, &[u8]); 4] = [
            ("a.test", &[1]),
            ("b.test", &[2]),
            ("**.b.test", &[3]),
            ("c.test", &[]),
        ];
        for turn in 0..4 {
            let mut turned = sets;
            turned.rotate_left(turn);
            assert!(policy(&sets).diff(&policy(&turned)).is_empty(), "{turn}");
        }
        let all = policy(&sets);
        assert!(all.diff(&all).is_empty());
        // and one that is put in between is the one that is told
        for at in 0..=4 {
            let mut more = sets.to_vec();
            more.insert(at, ("new.test", &[9]));
            assert_eq!(all.diff(&policy(&more)).gained, ["new.test"], "{at}");
            assert_eq!(policy(&more).diff(&all).lost, ["new.test"], "{at}");
        }
        assert_eq!(Policy::default().diff(&all).gained.len(), 3);
        assert_eq!(all.diff(&Policy::default()).lost.len(), 3);
    }
}
