//! The pins in force for one host and port, owned: what one verifier enforces.

use super::source::{Expiry, Mode, Trust};
use crate::{Demand, Host, Pin, Places, VerifiedPath, order};

/// The pins in force for one host and port, owned: what one verifier enforces.
///
/// The pins of all the sets that contribute are pooled, and every set's [`Demand`] must be met by the pool: so a wider
/// pattern adds pins, and never weakens what a stricter one demands. Sets in [`Mode::Report`] add nothing to what is
/// accepted: they are judged besides, over all the pins.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct EffectivePins {
    host: Host,
    port: u16,
    patterns: Box<[Box<str>]>,
    pins: Box<[Pin]>,
    subjects: Box<[(Pin, Box<str>)]>,
    trust: Trust,
    /// None where any pin is enough, at any place: then a look at `pins` says it all.
    rules: Option<Box<Pools>>,
}

/// What is judged where that takes more than a look.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Pools {
    /// None where every set is in report mode.
    enforced: Option<Pool>,
    /// None where no set is.
    reported: Option<Pool>,
    /// Whether the sets differ in their trust, so that no path can meet them.
    is_torn: bool,
    refusal: Option<Ending>,
    /// The sets that end, or have ended.
    endings: Box<[Ending]>,
}

/// Pins of one mode, and what they must be found for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Pool {
    /// Where each of the effective pins counts, in their order.
    places: Box<[Places]>,
    demand: Demand,
    /// The patterns whose demand it is.
    patterns: Box<[Box<str>]>,
}

/// A pin set that ends, or has ended.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Ending {
    /// Its pattern, in canonical form.
    pub pattern: Box<str>,
    /// When, and what becomes of its hosts.
    pub expiry: Expiry,
}

/// How a path stands to pins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Judgement {
    /// Accepted; the first pinned key of the path, end entity first. None where nothing is enforced and none is there.
    Accept(Option<Pin>),
    /// Refused.
    Refuse,
}

/// One set's share in what is in force.
pub(super) struct Share<'a> {
    pub(super) pattern: Box<str>,
    pub(super) pins: &'a [Pin],
    /// Where each of the pins counts; everywhere where this is shorter.
    pub(super) places: &'a [Places],
    pub(super) mode: Mode,
    pub(super) demand: Demand,
    pub(super) trust: Trust,
    pub(super) expires: Option<Expiry>,
    /// Whether the set has ended, and its hosts are to be refused.
    pub(super) is_refused: bool,
}

impl EffectivePins {
    /// Pins outside a policy, as `verify_chain` is given them.
    pub(crate) fn bare(host: &Host, pins: &[Pin]) -> Self {
        Self::plain(host.clone(), 443, Vec::new(), pins.to_vec())
    }

    /// Pins of which any one is enough.
    pub(super) fn plain(
        host: Host,
        port: u16,
        mut patterns: Vec<Box<str>>,
        mut pins: Vec<Pin>,
    ) -> Self {
        order::sort(&mut patterns);
        order::sort(&mut pins);
        pins.dedup();
        Self {
            host,
            port,
            patterns: patterns.into(),
            pins: pins.into(),
            subjects: Box::default(),
            trust: Trust::Own,
            rules: None,
        }
    }

    /// What the sets of `shares` demand together.
    pub(super) fn pooled(host: Host, port: u16, shares: &[Share<'_>]) -> Self {
        let patterns = shares.iter().map(|share| share.pattern.clone()).collect();
        let all = shares.iter().flat_map(|share| share.pins).copied();
        let mut effective = Self::plain(host, port, patterns, all.collect());
        let mut trusts = shares.iter().map(|share| &share.trust);
        let mut is_torn = false;
        if let Some(first) = trusts.next() {
            // compiling a policy refuses those that differ, as far as it finds them; none must win by its place
            is_torn = trusts.any(|trust| trust != first);
            effective.trust = first.clone();
        }
        let ending = |share: &Share<'_>| {
            let pattern = share.pattern.clone();
            share.expires.map(|expiry| Ending { pattern, expiry })
        };
        let mut endings: Vec<_> = shares.iter().filter_map(ending).collect();
        order::sort_by(&mut endings, |a, b| {
            (a.expiry, &a.pattern).cmp(&(b.expiry, &b.pattern))
        });
        let refused = shares.iter().filter(|share| share.is_refused);
        let refusal = refused
            .filter_map(ending)
            .min_by(|a, b| (a.expiry, &a.pattern).cmp(&(b.expiry, &b.pattern)));
        let pools = Pools {
            enforced: effective.pool(shares, Mode::Enforce, |mode| mode == Mode::Enforce),
            reported: effective.pool(shares, Mode::Report, |_| true),
            is_torn,
            refusal,
            endings: endings.into(),
        };
        effective.rules = Some(Box::new(pools));
        effective
    }

    /// The pins of the sets whose mode `counts`, for the demands of those in the mode `demanding`.
    fn pool(
        &self,
        shares: &[Share<'_>],
        demanding: Mode,
        counts: impl Fn(Mode) -> bool,
    ) -> Option<Pool> {
        let mut patterns: Vec<Box<str>> = Vec::new();
        let mut demand = Demand::default();
        for share in shares.iter().filter(|share| share.mode == demanding) {
            patterns.push(share.pattern.clone());
            demand = demand.and(share.demand);
        }
        if patterns.is_empty() {
            return None;
        }
        order::sort(&mut patterns);
        let mut places = vec![Places::NONE; self.pins.len()];
        for share in shares.iter().filter(|share| counts(share.mode)) {
            for (index, pin) in share.pins.iter().enumerate() {
                let at = share.places.get(index).copied().unwrap_or_default();
                let place = self.pins.binary_search(pin).ok();
                if let Some(place) = place.and_then(|index| places.get_mut(index)) {
                    *place = *place | at;
                }
            }
        }
        Some(Pool {
            places: places.into(),
            demand,
            patterns: patterns.into(),
        })
    }

    pub(super) fn with_subjects(mut self, subject: impl Fn(&Pin) -> Option<Box<str>>) -> Self {
        let known = self
            .pins
            .iter()
            .filter_map(|pin| Some((*pin, subject(pin)?)));
        self.subjects = known.collect();
        self
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The patterns that contribute, sorted.
    pub fn patterns(&self) -> &[Box<str>] {
        &self.patterns
    }

    /// The pins of all of them, sorted, each once. Never empty.
    pub fn pins(&self) -> &[Pin] {
        &self.pins
    }

    /// What the paths to the host end in.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Whether the patterns that contribute differ in their trust: then every path is refused.
    pub fn is_torn(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.is_torn)
    }

    /// Whether a bad pin refuses the host: not where every set is in report mode.
    pub fn is_enforced(&self) -> bool {
        self.rules
            .as_ref()
            .is_none_or(|rules| rules.enforced.is_some())
    }

    /// The patterns in report mode, sorted.
    pub fn reported(&self) -> &[Box<str>] {
        let reported = self
            .rules
            .as_ref()
            .and_then(|rules| rules.reported.as_ref());
        reported.map_or(&[], |pool| &pool.patterns)
    }

    /// The pin set whose end refuses the host.
    pub fn refusal(&self) -> Option<&Ending> {
        self.rules.as_ref()?.refusal.as_ref()
    }

    /// The sets that end, or have ended: the first to end first.
    pub fn endings(&self) -> &[Ending] {
        self.rules.as_ref().map_or(&[], |rules| &rules.endings)
    }

    /// The subject of a pin that was given as a certificate.
    pub fn subject_of(&self, pin: &Pin) -> Option<&str> {
        self.subjects
            .iter()
            .find(|(own, _)| own == pin)
            .map(|(_, subject)| &**subject)
    }

    /// Whether `pin` is one of them.
    pub fn contains(&self, pin: &Pin) -> bool {
        self.pins.binary_search(pin).is_ok()
    }

    /// What is enforced, in words, where that is more than one of the pins anywhere.
    pub(crate) fn demand(&self) -> Option<Demand> {
        let enforced = self.rules.as_ref()?.enforced.as_ref()?;
        (enforced.demand != Demand::default()).then_some(enforced.demand)
    }

    /// Where `pin` counts, where that is not everywhere.
    pub(crate) fn places_of(&self, pin: &Pin) -> Option<Places> {
        let rules = self.rules.as_ref()?;
        let pool = rules.enforced.as_ref().or(rules.reported.as_ref())?;
        let places = *pool.places.get(self.pins.binary_search(pin).ok()?)?;
        (places != Places::ANY).then_some(places)
    }

    /// Whether a path was verified up to what is trusted now: the same, or an anchor that is among those in its place.
    pub fn trusts(&self, path: &VerifiedPath) -> bool {
        match (&self.trust, path.trust()) {
            (ours, theirs) if ours == theirs => true,
            (Trust::Anchors(ours), Trust::Own | Trust::Anchors(_)) => {
                path.anchor().is_some_and(|anchor| ours.holds(anchor))
            }
            _ => false,
        }
    }

    /// Judges a path by what is enforced. One that was verified up to something else than is trusted now is refused.
    pub fn judge(&self, path: &VerifiedPath) -> Judgement {
        if self.trusts(path) {
            self.judge_pins(path.pins())
        } else {
            Judgement::Refuse
        }
    }

    /// Whether `path` would be refused were the sets in report mode enforced.
    pub fn would_refuse(&self, path: &VerifiedPath) -> bool {
        !self.passes_report(path.pins())
    }

    pub(crate) fn judge_pins(&self, path: &[Pin]) -> Judgement {
        let Some(rules) = &self.rules else {
            let found = path.iter().find(|pin| self.contains(pin));
            return found.map_or(Judgement::Refuse, |pin| Judgement::Accept(Some(*pin)));
        };
        if rules.is_torn {
            return Judgement::Refuse;
        }
        match (&rules.enforced, &rules.reported) {
            (Some(pool), _) => self.search(pool, path),
            (None, Some(pool)) => match self.search(pool, path) {
                Judgement::Accept(found) => Judgement::Accept(found),
                Judgement::Refuse => Judgement::Accept(None),
            },
            (None, None) => Judgement::Refuse, // no set at all: nothing that was ever made
        }
    }

    pub(crate) fn passes_report(&self, path: &[Pin]) -> bool {
        let reported = self
            .rules
            .as_ref()
            .and_then(|rules| rules.reported.as_ref());
        reported.is_none_or(|pool| self.search(pool, path) != Judgement::Refuse)
    }

    /// The keys of `path` that stand where `pool` lets them count, against its demand.
    fn search(&self, pool: &Pool, path: &[Pin]) -> Judgement {
        let (mut first, mut keys, mut at) = (None, 0, Places::NONE);
        for (index, pin) in path.iter().enumerate() {
            let own = self.pins.binary_search(pin).ok();
            let Some(counts) = own.and_then(|own| pool.places.get(own)) else {
                continue;
            };
            let place = Places::of(index, path.len());
            if !counts.meets(place) {
                continue;
            }
            first = first.or(Some(*pin));
            at = at | place.of_those(*counts);
            // a key that stands on the path twice is one key
            let is_new = !path.iter().take(index).enumerate().any(|(earlier, other)| {
                other == pin && counts.meets(Places::of(earlier, path.len()))
            });
            keys += u32::from(is_new);
        }
        if first.is_some() && pool.demand.is_met(keys, at) {
            Judgement::Accept(first)
        } else {
            Judgement::Refuse
        }
    }

    /// Whether the two accept, report and refuse the same paths, whichever patterns that comes from.
    ///
    /// Every field is named here, so that a new one doesn't compile until somebody has decided whether a verifier, and the
    /// sessions made under it, depend on it.
    pub fn same_pins(&self, other: &Self) -> bool {
        let Self {
            host: _, // of the origin, whose verifier it is
            port: _,
            patterns: _, // for people
            subjects: _,
            pins,
            trust,
            rules,
        } = self;
        let same_pools = match (rules, &other.rules) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => ours.same(theirs),
            _ => false,
        };
        *pins == other.pins && *trust == other.trust && same_pools
    }
}

impl Pools {
    fn same(&self, other: &Self) -> bool {
        let Self {
            enforced,
            reported,
            is_torn,
            refusal: _, // a host that is refused has no connections
            endings: _, // of interest once it has come to that
        } = self;
        let same = |ours: &Option<Pool>, theirs: &Option<Pool>| match (ours, theirs) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => ours.same(theirs),
            _ => false,
        };
        *is_torn == other.is_torn
            && same(enforced, &other.enforced)
            && same(reported, &other.reported)
    }
}

impl Pool {
    fn same(&self, other: &Self) -> bool {
        let Self {
            places,
            demand,
            patterns: _, // for people
        } = self;
        *places == other.places && *demand == other.demand
    }
}
