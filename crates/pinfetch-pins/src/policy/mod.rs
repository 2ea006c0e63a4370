//! The pin policy: compile pin sets, look a host up.

mod builder;
mod effective;
mod index;
#[cfg(test)]
mod properties;
mod source;

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

pub use self::builder::PolicyBuilder;
use self::effective::Share;
pub use self::effective::{EffectivePins, Ending, Judgement};
use self::index::{Index, Packed};
pub use self::source::{
    Afterwards, Expiry, Mode, Moment, PinSetSource, PinSource, Rules, Trust, Unpinned,
};
use crate::error::PolicyError;
use crate::host::{HostPattern, Scope};
use crate::{Host, Pin, Places};

/// An immutable, compiled set of pin sets. The order in which they were given changes nothing.
///
/// Looking a host up allocates nothing and takes time by the number of its labels, whatever the number of patterns.
#[derive(Clone, Default)]
pub struct Policy {
    hasher: DefaultHashBuilder,
    /// Of `sets`, by the hash of the base.
    index: Packed,
    sets: Vec<PinSet>,
    /// The bases that are too long for their sets, one after the other.
    bases: Vec<u8>,
    /// Sets with the same pins share them.
    pins: Vec<Pin>,
    /// What sets say besides their pins; those that say the same share it.
    rules: Vec<SetRules>,
    /// The subjects of the few pins that were given as certificates.
    subjects: HashMap<Pin, Box<str>>,
    /// Pins that no path may hold, sorted.
    blocked: Option<Arc<[Pin]>>,
    unpinned: Unpinned,
    /// Whether a set takes hosts out of others: else no look-up has to see about that.
    has_exclusions: bool,
    /// How many labels the bases have below which patterns reach, as [`labels_bit`] tells: no look-up has to see about
    /// suffixes with other numbers of labels.
    starred: u64,
    /// When something changes by itself, in Unix seconds, sorted: a set ends, or comes near its end.
    changes: Box<[i64]>,
}

/// One pattern's share of the policy: what a look-up needs, on one cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct PinSet {
    pins_start: u32,
    pins: u32,
    /// One more than the index into the policy's rules; 0 for a set that says nothing besides its pins.
    rules: u32,
    /// 0 for every port.
    port: u16,
    scope: Scope,
    exclude: bool,
    base: Base,
}

/// The base of a pattern: a long one is where the policy has those.
#[derive(Clone, Copy)]
struct Base {
    length: u8,
    /// The base itself, or where it starts.
    text: [u8; Self::ROOM],
}

impl Base {
    const ROOM: usize = 47;

    /// `base`, which goes to `long` where it has no room here. None where it, or `long`, is too long to be counted.
    fn new(base: &str, long: &mut Vec<u8>) -> Option<Self> {
        let length = u8::try_from(base.len()).ok()?; // a host has 253 at most
        let mut text = [0; Self::ROOM];
        if let Some(room) = text.get_mut(..base.len()) {
            room.copy_from_slice(base.as_bytes());
        } else {
            let start = u32::try_from(long.len()).ok()?.to_le_bytes();
            text.first_chunk_mut().map(|room| *room = start)?;
            long.extend_from_slice(base.as_bytes());
        }
        Some(Self { length, text })
    }

    fn bytes<'b>(&'b self, long: &'b [u8]) -> &'b [u8] {
        let length = usize::from(self.length);
        let bytes = self.text.get(..length).or_else(|| {
            let start = u32::from_le_bytes(*self.text.first_chunk()?) as usize;
            long.get(start..start + length)
        });
        bytes.unwrap_or_default()
    }
}

/// What a set says besides its pins.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct SetRules {
    rules: Rules,
    /// Where each of its pins counts; everywhere where this is shorter.
    places: Box<[Places]>,
}

/// How closely a pattern fits; later ones are more specific. Labels of the base, then the scope, then a port.
type Specificity = (usize, Scope, bool);

impl Policy {
    /// How long before a set ends it is told of, in seconds: 30 days.
    pub const NOTICE: i64 = 30 * 24 * 60 * 60;

    /// Compiles pin sets.
    ///
    /// # Errors
    /// [`PolicyError`], naming the pattern and the index of the pin.
    pub fn compile(sources: impl IntoIterator<Item = PinSetSource>) -> Result<Self, PolicyError> {
        let mut builder = PolicyBuilder::default();
        for source in sources {
            builder.add(source)?;
        }
        builder.finish()
    }

    /// Whether it pins and blocks nothing.
    pub fn is_empty(&self) -> bool {
        self.pins.is_empty() && self.blocked.is_none()
    }

    /// How many patterns it has, exclusions included.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// How many bytes of memory it takes, about.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + self.index.size()
            + size_of_val(&*self.sets)
            + self.bases.len()
            + size_of_val(&*self.pins)
            + size_of_val(&*self.rules)
            + size_of_val(&*self.changes)
    }

    /// The pins that no verified path may hold, sorted; none where nothing is blocked.
    pub fn blocked(&self) -> Option<&Arc<[Pin]>> {
        self.blocked.as_ref()
    }

    /// What becomes of hosts without pins.
    pub fn unpinned(&self) -> Unpinned {
        self.unpinned
    }

    /// Whether a set has an end.
    pub fn has_dates(&self) -> bool {
        !self.changes.is_empty()
    }

    /// When, after `now` (Unix seconds), a set ends or comes near its end.
    pub fn next_change(&self, now: i64) -> Option<i64> {
        let next = self.changes.partition_point(|change| *change <= now);
        self.changes.get(next).copied()
    }

    /// The pins for `host` at `port`, as they were written: see [`PinsInForce::at`].
    pub fn lookup<'a>(&'a self, host: &'a Host, port: u16) -> PinsInForce<'a> {
        let mut all = PinsInForce {
            policy: self,
            host,
            port,
            from: None,
            now: Moment::from(i64::MIN),
        };
        if self.has_exclusions {
            all.from = all
                .matching()
                .filter(|(_, set)| set.exclude)
                .map(|(specificity, _)| specificity)
                .max();
        }
        all
    }

    /// The pins of the set of `pattern`, in the order in which they were given; none if there is no such set.
    pub fn pins_of(&self, pattern: &str) -> Option<Vec<Pin>> {
        let pattern: HostPattern = pattern.parse().ok()?;
        let set = self.find(&SetView {
            base: pattern.base().as_str(),
            scope: pattern.scope(),
            port: pattern.port().unwrap_or(0),
            exclude: false,
            pins: &[],
            said: None,
        })?;
        Some(set.pins.to_vec())
    }

    fn set(&self, index: u32) -> Option<&PinSet> {
        self.sets.get(index as usize)
    }

    /// The set that is the one, of those `found` by their hash.
    fn find_set(
        &self,
        found: impl Iterator<Item = u32>,
        is_it: impl Fn(&PinSet) -> bool,
    ) -> Option<&PinSet> {
        let mut sets = found.filter_map(|index| self.set(index));
        sets.find(|set| is_it(set))
    }

    /// The set at `index`, in the order of the sources.
    pub(crate) fn view(&self, index: usize) -> Option<SetView<'_>> {
        self.sets.get(index).map(|set| self.view_of(set))
    }

    fn views(&self) -> impl Iterator<Item = SetView<'_>> {
        self.sets.iter().map(|set| self.view_of(set))
    }

    /// The set of the same pattern as `other`'s, of another policy.
    pub(crate) fn find(&self, other: &SetView<'_>) -> Option<SetView<'_>> {
        let is_it = |set: &PinSet| self.view_of(set).is_of_the_pattern_of(other);
        let hash = self.hasher.hash_one(other.base);
        self.find_set(self.index.find(hash), is_it)
            .map(|set| self.view_of(set))
    }

    fn view_of<'a>(&'a self, set: &'a PinSet) -> SetView<'a> {
        SetView {
            base: self.base(set),
            scope: set.scope,
            port: set.port,
            exclude: set.exclude,
            pins: self.own_pins(set),
            said: self.rules_of(set),
        }
    }

    fn base<'a>(&'a self, set: &'a PinSet) -> &'a str {
        str::from_utf8(set.base.bytes(&self.bases)).unwrap_or_default() // of a host, which is ASCII
    }

    fn own_pins(&self, set: &PinSet) -> &[Pin] {
        let start = set.pins_start as usize;
        let pins = self.pins.get(start..start + set.pins as usize);
        pins.unwrap_or_default()
    }

    fn rules_of(&self, set: &PinSet) -> Option<&SetRules> {
        self.rules.get((set.rules as usize).checked_sub(1)?)
    }

    /// The pattern of a set, in canonical form.
    fn pattern_of(&self, set: &PinSet) -> String {
        self.view_of(set).to_string()
    }
}

/// One pattern and its pins; prints as the pattern in canonical form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SetView<'a> {
    pub(crate) base: &'a str,
    pub(crate) scope: Scope,
    /// 0 for every port.
    pub(crate) port: u16,
    pub(crate) exclude: bool,
    pub(crate) pins: &'a [Pin],
    /// What it says besides.
    pub(crate) said: Option<&'a SetRules>,
}

impl SetView<'_> {
    pub(crate) fn is_of_the_pattern_of(&self, other: &SetView<'_>) -> bool {
        (self.base, self.scope, self.port) == (other.base, other.scope, other.port)
    }
}

impl fmt::Display for SetView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = match self.scope {
            Scope::Exact => "",
            Scope::OneLabel => "*.",
            Scope::AnyDepth => "**.",
        };
        let base = self.base;
        match self.port {
            0 => write!(f, "{star}{base}"),
            port if base.contains(':') => write!(f, "[{base}]:{port}"),
            port => write!(f, "{star}{base}:{port}"),
        }
    }
}

/// Whether both say the same, in the same order.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.unpinned == other.unpinned
            && self.blocked == other.blocked
            && self.sets.len() == other.sets.len()
            && self.subjects == other.subjects
            && self.views().eq(other.views())
    }
}

impl Eq for Policy {}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Policy({} patterns, {} pins)",
            self.sets.len(),
            self.pins.len()
        )
    }
}

/// The pins in force for one host and port: those of all patterns that match and are not excluded.
#[derive(Clone, Copy)]
pub struct PinsInForce<'a> {
    policy: &'a Policy,
    host: &'a Host,
    port: u16,
    /// The most specific exclusion: less specific patterns don't contribute.
    from: Option<Specificity>,
    now: Moment,
}

impl<'a> PinsInForce<'a> {
    /// The same at `now`, a [`Moment`] or Unix seconds: sets that have ended are what they are to be afterwards.
    #[must_use]
    pub fn at(self, now: impl Into<Moment>) -> Self {
        let now = now.into();
        Self { now, ..self }
    }

    /// Whether any pin is in force.
    pub fn is_pinned(&self) -> bool {
        self.sets().next().is_some()
    }

    /// The pins, in no particular order; one that several patterns have comes several times.
    pub fn pins(&self) -> impl Iterator<Item = &'a Pin> + use<'a> {
        let policy = self.policy;
        self.sets().flat_map(move |set| policy.own_pins(set))
    }

    /// An owned copy, sorted and without repeats; none when no pin is in force.
    pub fn to_effective(&self, host: &Host, port: u16) -> Option<EffectivePins> {
        let (policy, host) = (self.policy, host.clone());
        let mut sets = self.sets().peekable();
        sets.peek()?;
        let effective = if self.sets().all(|set| set.rules == 0) {
            let patterns = self.patterns().map(Into::into).collect();
            EffectivePins::plain(host, port, patterns, self.pins().copied().collect())
        } else {
            let shares: Vec<_> = sets.map(|set| self.share_of(set)).collect();
            EffectivePins::pooled(host, port, &shares)
        };
        if policy.subjects.is_empty() {
            return Some(effective);
        }
        Some(effective.with_subjects(|pin| policy.subjects.get(pin).cloned()))
    }

    fn share_of(&self, set: &PinSet) -> Share<'a> {
        let said = self.policy.rules_of(set);
        let (rules, places) = said.map_or((Rules::default(), &[][..]), |said| {
            (said.rules.clone(), &*said.places)
        });
        let ended = rules.expires.filter(|expiry| expiry.has_come(self.now));
        let mode = match ended.map(|expiry| expiry.then) {
            Some(Afterwards::Report) => Mode::Report,
            _ => rules.mode,
        };
        Share {
            pattern: self.policy.pattern_of(set).into(),
            pins: self.policy.own_pins(set),
            places,
            mode,
            demand: rules.demand,
            trust: rules.trust,
            expires: rules.expires,
            is_refused: ended.is_some_and(|expiry| expiry.then == Afterwards::Refuse),
        }
    }

    /// The patterns that contribute, in canonical form.
    pub fn patterns(&self) -> impl Iterator<Item = String> + use<'a> {
        let policy = self.policy;
        self.sets().map(move |set| policy.view_of(set).to_string())
    }

    fn sets(&self) -> impl Iterator<Item = &'a PinSet> + use<'a> {
        let from = self.from;
        self.matching()
            .filter(move |(specificity, set)| {
                set.pins > 0 && from.is_none_or(|from| *specificity >= from)
            })
            .map(|(_, set)| set)
    }

    /// Every set whose pattern matches: for each suffix of the host, those with that base that reach so far.
    fn matching(&self) -> impl Iterator<Item = (Specificity, &'a PinSet)> + use<'a> {
        let (policy, port) = (self.policy, self.port);
        let starred = match self.host.ip() {
            Some(_) => 0,
            None => policy.starred,
        };
        let suffixes = Suffixes::new(self.host.as_str(), starred);
        suffixes.flat_map(move |(depth, base)| {
            let hash = policy.hasher.hash_one(base);
            policy.index.find(hash).filter_map(move |index| {
                let set = policy.set(index)?;
                let reaches = match set.scope {
                    Scope::Exact => depth == 0,
                    Scope::OneLabel => depth == 1,
                    Scope::AnyDepth => true,
                };
                let fits = reaches
                    && (set.port == 0 || set.port == port)
                    && set.base.bytes(&policy.bases) == base.as_bytes();
                fits.then_some(((base.len(), set.scope, set.port != 0), set))
            })
        })
    }
}

/// The suffixes of a name that may be a pattern's base, and how many labels each has lost: the name itself, and those with
/// as many labels as a base below which a pattern reaches.
struct Suffixes<'a> {
    /// The last one.
    name: &'a str,
    depth: usize,
    labels: usize,
    starred: u64,
    has_begun: bool,
}

impl<'a> Suffixes<'a> {
    fn new(name: &'a str, starred: u64) -> Self {
        let dots = if starred == 0 { 0 } else { dots_in(name) };
        Self {
            name,
            depth: 0,
            labels: dots + 1,
            starred,
            has_begun: false,
        }
    }
}

impl<'a> Iterator for Suffixes<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if !self.has_begun {
            self.has_begun = true;
            return Some((0, self.name));
        }
        while self.starred & bits_below(self.labels) != 0 {
            let dot = self.name.as_bytes().iter().position(|byte| *byte == b'.')?;
            self.name = self.name.get(dot + 1..)?;
            self.depth += 1;
            self.labels -= 1;
            if self.starred & labels_bit(self.labels) != 0 {
                return Some((self.depth, self.name));
            }
        }
        None
    }
}

/// Stands for bases of so many labels, one at least; the highest bit for all that are longer.
fn labels_bit(labels: usize) -> u64 {
    1 << (labels - 1).min(63)
}

/// Stands for bases of fewer labels.
fn bits_below(labels: usize) -> u64 {
    if labels > 64 {
        return u64::MAX; // the highest bit stands for some of them
    }
    labels_bit(labels) - 1
}

fn dots_in(name: &str) -> usize {
    name.bytes().filter(|byte| *byte == b'.').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than a set has room for.
    const LONG: &str = "a-name-of-more-bytes.than-a-set-of-pins.has-room-for";

    fn pin(byte: u8) -> Pin {
        Pin::from_bytes([byte; 32])
    }

    fn set(pattern: &str, pins: &[u8]) -> PinSetSource {
        PinSetSource {
            pattern: pattern.into(),
            exclude: pins.is_empty(),
            pins: pins
                .iter()
                .map(|byte| PinSource::Text(pin(*byte).to_string()))
                .collect(),
            ..PinSetSource::default()
        }
    }

    fn found(policy: &Policy, host: &str, port: u16) -> Vec<u8> {
        let host: Host = host.parse().unwrap();
        let effective = policy.lookup(&host, port).to_effective(&host, port);
        effective.map_or_else(Vec::new, |effective| {
            effective
                .pins()
                .iter()
                .map(|pin| pin.as_bytes()[0])
                .collect()
        })
    }

    #[test]
    fn every_pattern_that_matches_contributes() {
        let policy = Policy::compile([
            set("example.com", &[1]),
            set("*.example.com", &[2]),
            set("**.example.com", &[3]),
            set("api.example.com", &[4]),
            set("api.example.com:8443", &[5]),
            set("127.0.0.1", &[6]),
            set(&format!("{LONG}.example.net"), &[7]),
            set(&format!("*.{LONG}.example.net"), &[8]),
        ])
        .unwrap();
        let (long, below) = (
            format!("{LONG}.example.net"),
            format!("a.{LONG}.example.net"),
        );
        for (host, port, expected) in [
            (&*long, 443, &[7][..]),
            (&*below, 443, &[8]),
            (LONG, 443, &[]),
            ("example.com", 443, &[1, 3]),
            ("EXAMPLE.com.", 443, &[1, 3]),
            ("api.example.com", 443, &[2, 3, 4]),
            ("api.example.com", 8443, &[2, 3, 4, 5]),
            ("a.b.example.com", 443, &[3]),
            ("notexample.com", 443, &[]),
            ("127.0.0.1", 443, &[6]),
            ("::ffff:127.0.0.1", 443, &[6]),
            ("0.0.1", 443, &[]),
        ] {
            assert_eq!(found(&policy, host, port), expected, "{host}:{port}");
        }
    }

    #[test]
    fn a_pattern_reaches_below_its_base_however_many_labels_that_has() {
        let name = |labels| vec!["a"; labels].join(".");
        for labels in [2, 3, 63, 64, 65, 66, 100] {
            let patterns = ["*.", "**."].map(|star| format!("{star}{}", name(labels)));
            let policy =
                Policy::compile([set(&patterns[0], &[1]), set(&patterns[1], &[2])]).unwrap();
            for (below, expected) in [(0, &[2][..]), (1, &[1, 2]), (2, &[2]), (20, &[2])] {
                let host = name(labels + below);
                assert_eq!(found(&policy, &host, 443), expected, "{labels} + {below}");
            }
        }
    }

    #[test]
    fn an_exclusion_takes_hosts_out_of_less_specific_patterns_only() {
        let policy = Policy::compile([
            set("**.example.com", &[1]),
            set("**.dev.example.com", &[]),
            set("pinned.dev.example.com", &[2]),
            set("api.example.com:8443", &[]),
        ])
        .unwrap();
        for (host, port, expected) in [
            ("www.example.com", 443, &[1][..]),
            ("dev.example.com", 443, &[]),
            ("a.dev.example.com", 443, &[]),
            ("pinned.dev.example.com", 443, &[2]),
            ("api.example.com", 443, &[1]),
            ("api.example.com", 8443, &[]),
        ] {
            assert_eq!(found(&policy, host, port), expected, "{host}:{port}");
        }
    }

    #[test]
    fn an_exclusion_with_pins_stands_in_place_of_less_specific_patterns() {
        let alone = |pattern, pins: &[u8]| PinSetSource {
            exclude: true,
            ..set(pattern, pins)
        };
        let policy = Policy::compile([
            set("**.example.com", &[1]),
            alone("**.dev.example.com", &[2]),
            set("a.dev.example.com", &[3]),
            alone("b.dev.example.com", &[4]),
        ])
        .unwrap();
        for (host, expected) in [
            ("example.com", &[1][..]),
            ("dev.example.com", &[2]),
            ("x.y.dev.example.com", &[2]),
            ("a.dev.example.com", &[2, 3]),
            ("b.dev.example.com", &[4]),
            ("x.b.dev.example.com", &[2]),
        ] {
            assert_eq!(found(&policy, host, 443), expected, "{host}");
        }
    }

    #[test]
    fn errors_hold_no_credentials_and_no_key() {
        let bad = PinSetSource {
            pattern: "https://user:secret@example.com".into(),
            ..set("a.example.com", &[1])
        };
        let error = Policy::compile([bad]).unwrap_err();
        assert!(
            error.to_string().contains("https://…example.com"),
            "{error}"
        );
        let key = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n".to_owned();
        let bad = PinSetSource {
            pins: vec![PinSource::Text(key)],
            ..set("a.example.com", &[1])
        };
        let error = Policy::compile([bad]).unwrap_err();
        assert_eq!(error.input(), Some("-----BEGIN PRIVATE KEY-----…"));
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }

    #[test]
    fn what_cannot_be_compiled_names_its_place() {
        let bad = PinSetSource {
            pattern: "api.example.com".into(),
            exclude: false,
            pins: vec![
                PinSource::Text(pin(1).to_string()),
                PinSource::Text("sha256/AAAA".into()),
            ],
            ..PinSetSource::default()
        };
        let error = Policy::compile([bad]).unwrap_err();
        assert_eq!(
            (error.code(), error.pattern(), error.index()),
            ("ERR_POLICY_INVALID_PIN", Some("api.example.com"), Some(1))
        );
        assert!(
            error
                .to_string()
                .starts_with("pins[\"api.example.com\"][1]: \"sha256/AAAA\" is 3 bytes long"),
            "{error}"
        );
        for (sources, code) in [
            (
                vec![set("a.example.com", &[1]), set("A.example.com.", &[2])],
                "ERR_POLICY_DUPLICATE_HOST",
            ),
            (vec![set("*.com", &[1])], "ERR_POLICY_PUBLIC_SUFFIX"),
            (vec![set("a..b", &[1])], "ERR_POLICY_INVALID_HOST"),
            (
                vec![PinSetSource {
                    exclude: false,
                    ..set("a.example.com", &[])
                }],
                "ERR_POLICY_EMPTY_PIN_SET",
            ),
        ] {
            assert_eq!(Policy::compile(sources).unwrap_err().code(), code);
        }
    }
}
