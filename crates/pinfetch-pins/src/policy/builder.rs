//! Compiling a policy, one pin set at a time.

use std::collections::HashMap;
use std::hash::BuildHasher;

use super::source::shortened;
use super::{
    Afterwards, Base, Index, Mode, PinSet, PinSetSource, PinSource, Policy, Rules, SetRules, Trust,
    Unpinned, dots_in, labels_bit,
};
use crate::error::{HostError, PolicyError, RuleProblem};
use crate::host::{HostPattern, Scope};
use crate::{Host, Pin, Places, order};

/// Compiles a [`Policy`], one pin set at a time, so that the sources of a large one need not lie in memory at once.
#[derive(Default)]
pub struct PolicyBuilder {
    policy: Policy,
    /// Of the policy's sets, by the hash of the base.
    index: Index,
    /// Sets that were the first with their pins, by the hash of the pins.
    runs: Index,
    /// What was said besides pins, by index into the policy's.
    said: HashMap<SetRules, u32>,
    blocked: Vec<Pin>,
}

impl PolicyBuilder {
    /// For so many sets, or more: a large policy whose size is known takes less time and memory.
    #[must_use]
    pub fn with_capacity(sets: usize) -> Self {
        let mut builder = Self::default();
        builder.policy.sets.reserve_exact(sets);
        builder.index.reserve(sets);
        builder.runs.reserve(sets);
        builder
    }

    /// What becomes of hosts without pins; the strictest that is given.
    pub fn set_unpinned(&mut self, unpinned: Unpinned) {
        self.policy.unpinned = self.policy.unpinned.max(unpinned);
    }

    /// Refuses every path that holds the pin, whatever else is on it and whichever host it leads to.
    ///
    /// # Errors
    /// [`PolicyError::BlockedPin`], with the number of pins blocked before it.
    pub fn block(&mut self, source: &PinSource) -> Result<(), PolicyError> {
        let index = self.blocked.len();
        let (pin, input) = source.read_as();
        let pin = pin.map_err(|source| PolicyError::BlockedPin {
            index,
            input,
            source,
        })?;
        self.blocked.push(pin);
        Ok(())
    }

    /// Adds a pin set.
    ///
    /// # Errors
    /// [`PolicyError`], naming the pattern and the index of the pin. The builder is of no use afterwards.
    pub fn add(&mut self, source: PinSetSource) -> Result<(), PolicyError> {
        let PinSetSource {
            pattern: text,
            exclude,
            pins,
            places,
            rules,
        } = source;
        let pattern: HostPattern = match text.parse() {
            Ok(pattern) => pattern,
            Err(source) => {
                return Err(PolicyError::InvalidHost {
                    pattern: shortened(&text),
                    source,
                });
            }
        };
        if pins.is_empty() && !exclude {
            return Err(PolicyError::EmptyPinSet { pattern: text });
        }
        let policy = &mut self.policy;
        let base = pattern.base().as_str();
        let hash = policy.hasher.hash_one(base);
        let port = pattern.port().unwrap_or(0);
        let is_same = |set: &PinSet| {
            set.scope == pattern.scope() && set.port == port && policy.base(set) == base
        };
        if policy.find_set(self.index.find(hash), is_same).is_some() {
            return Err(PolicyError::DuplicateHost {
                pattern: text,
                other: pattern.to_string(),
            });
        }
        let too_many = || PolicyError::InvalidHost {
            pattern: text.clone(),
            source: HostError::TooLong,
        };
        let index = u32::try_from(policy.sets.len()).map_err(|_| too_many())?;
        if index == u32::MAX {
            return Err(too_many());
        }
        let pins_start = policy.pins.len();
        for (index, source) in pins.iter().enumerate() {
            let pin = source.read(&text, index)?;
            if let PinSource::Certificate(bytes) = source
                && let Some(subject) = crate::path::subject_of(bytes)
            {
                policy.subjects.insert(pin, subject.into());
            }
            policy.pins.push(pin);
        }
        let said = if places.is_empty() && rules == Rules::default() {
            0
        } else {
            let own = policy.pins.get(pins_start..).unwrap_or_default();
            if let Some(problem) = problem_of(&rules, own, &places) {
                return Err(PolicyError::Rule {
                    pattern: text,
                    problem,
                });
            }
            let said = SetRules {
                rules,
                places: places.into(),
            };
            let next = u32::try_from(policy.rules.len() + 1).map_err(|_| too_many())?;
            let index = *self.said.entry(said.clone()).or_insert(next);
            if index == next {
                policy.rules.push(said);
            }
            index
        };
        let mut set = PinSet {
            base: Base::new(base, &mut policy.bases).ok_or_else(too_many)?,
            pins_start: u32::try_from(pins_start).map_err(|_| too_many())?,
            pins: u32::try_from(pins.len()).map_err(|_| too_many())?,
            rules: said,
            scope: pattern.scope(),
            exclude,
            port,
        };
        share_pins(policy, &mut self.runs, &mut set, index);
        policy.has_exclusions |= exclude;
        if set.scope != Scope::Exact {
            policy.starred |= labels_bit(dots_in(base) + 1);
        }
        policy.sets.push(set);
        self.index.insert(hash, index);
        Ok(())
    }

    /// The policy.
    ///
    /// # Errors
    /// [`PolicyError::Rule`], where patterns that speak of the same host differ in their trust: whichever won would
    /// surprise somebody.
    pub fn finish(self) -> Result<Policy, PolicyError> {
        let Self {
            mut policy,
            index,
            mut blocked,
            runs: _,
            said: _,
        } = self;
        policy.index = index.pack();
        drop(index);
        policy.sets.shrink_to_fit();
        policy.bases.shrink_to_fit();
        policy.pins.shrink_to_fit();
        if !blocked.is_empty() {
            order::sort(&mut blocked);
            blocked.dedup();
            policy.blocked = Some(blocked.into());
        }
        let ends = policy.rules.iter().filter_map(|said| said.rules.expires);
        let mut changes: Vec<_> = ends
            .flat_map(|expiry| [expiry.at.saturating_sub(Policy::NOTICE), expiry.at])
            .collect();
        order::sort(&mut changes);
        changes.dedup();
        policy.changes = changes.into();
        check_trust(&policy)?;
        Ok(policy)
    }
}

/// Lets `set`, whose pins are the last ones, have those of an earlier set that has the same.
fn share_pins(policy: &mut Policy, runs: &mut Index, set: &mut PinSet, index: u32) {
    if set.pins == 0 {
        return;
    }
    let own = policy.own_pins(set);
    let hash = policy.hasher.hash_one(own);
    let is_same = |other: &PinSet| policy.own_pins(other) == own;
    if let Some(earlier) = policy.find_set(runs.find(hash), is_same) {
        let start = set.pins_start as usize;
        set.pins_start = earlier.pins_start;
        policy.pins.truncate(start);
    } else {
        runs.insert(hash, index);
    }
}

/// What no path could ever meet, or what would verify nothing.
fn problem_of(rules: &Rules, pins: &[Pin], places: &[Places]) -> Option<RuleProblem> {
    let Rules {
        mode,
        demand,
        expires,
        trust,
    } = rules;
    let mut distinct: Vec<_> = pins.iter().collect();
    order::sort(&mut distinct);
    distinct.dedup();
    if demand.count() as usize > distinct.len() {
        let (wanted, given) = (demand.count(), distinct.len());
        return Some(RuleProblem::TooManyKeys { wanted, given });
    }
    let places_of = |index| places.get(index).copied().unwrap_or_default();
    let may_stand = |place: Places| (0..pins.len()).any(|index| places_of(index).meets(place));
    if let Some(place) = demand.places().find(|place| !may_stand(*place)) {
        return Some(RuleProblem::NoPinAt(place));
    }
    if *trust != Trust::PinnedKey {
        return None;
    }
    let is_reported =
        *mode == Mode::Report || expires.is_some_and(|expiry| expiry.then == Afterwards::Report);
    if is_reported {
        return Some(RuleProblem::NothingVerified);
    }
    let asks_more = demand.count() > 1 || demand.places().any(|place| place != Places::LEAF);
    let is_elsewhere = (0..pins.len()).any(|index| !places_of(index).meets(Places::LEAF));
    (asks_more || is_elsewhere).then_some(RuleProblem::BeyondTheLeaf)
}

/// Patterns that speak of one host must agree in their trust.
///
/// Of two such patterns the less specific one speaks of the base of the other, or of a name right below it: so each set
/// is held against those that speak of these two.
fn check_trust(policy: &Policy) -> Result<(), PolicyError> {
    let is_own = |said: &SetRules| said.rules.trust == Trust::Own;
    if policy.rules.iter().all(is_own) {
        return Ok(());
    }
    let mut ports: Vec<u16> = policy.sets.iter().map(|set| set.port).collect();
    ports.push(0);
    order::sort(&mut ports);
    ports.dedup();
    for set in policy.sets.iter().filter(|set| set.pins > 0) {
        let base = policy.base(set);
        let names = [base.to_owned(), format!("{BELOW}.{base}")];
        for name in names {
            let Ok(host) = name.parse::<Host>() else {
                continue; // no name is below an address, or below the longest one
            };
            for port in &ports {
                let mut first = None;
                for other in policy.lookup(&host, *port).sets() {
                    let said = policy.rules_of(other);
                    let trust = said.map_or(&Trust::Own, |said| &said.rules.trust);
                    let (known, pattern) = *first.get_or_insert((trust, other));
                    if known != trust {
                        return Err(PolicyError::Rule {
                            pattern: policy.pattern_of(other),
                            problem: RuleProblem::TrustDiffers {
                                other: policy.pattern_of(pattern),
                            },
                        });
                    }
                }
            }
        }
    }
    Ok(())
}

/// A label that no pattern of a policy is likely to have.
const BELOW: &str = "any-name-below";
