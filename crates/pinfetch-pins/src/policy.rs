//! The pin policy: compile pin sets, look a host up.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::error::{HostError, PolicyError};
use crate::host::{HostPattern, Scope};
use crate::{Host, Pin, VerifiedPath};

/// The pins of one host pattern, as its author wrote them.
#[derive(Clone, Debug)]
pub struct PinSetSource {
    /// The host pattern.
    pub pattern: String,
    /// Takes the hosts that match out of less specific patterns.
    pub exclude: bool,
    /// The pins, at least one unless `exclude`.
    pub pins: Vec<PinSource>,
}

/// A pin, as its author gave it.
#[derive(Clone, Debug)]
pub enum PinSource {
    /// In any spelling that [`Pin`] reads.
    Text(String),
    /// A certificate, PEM or DER.
    Certificate(Vec<u8>),
    /// A public key, PEM or DER.
    PublicKey(Vec<u8>),
}

impl PinSource {
    /// The pin. `pattern` and `index` name the place in the error.
    ///
    /// # Errors
    /// [`PolicyError::InvalidPin`].
    pub fn read(&self, pattern: &str, index: usize) -> Result<Pin, PolicyError> {
        let (pin, input) = match self {
            Self::Text(text) => (text.parse(), shortened(text)),
            Self::Certificate(bytes) => (
                Pin::of_certificate(bytes),
                format!("a certificate of {} bytes", bytes.len()),
            ),
            Self::PublicKey(bytes) => (
                Pin::of_public_key(bytes),
                format!("a public key of {} bytes", bytes.len()),
            ),
        };
        pin.map_err(|source| PolicyError::InvalidPin {
            pattern: pattern.into(),
            index,
            input,
            source,
        })
    }
}

/// Enough of an input to recognise it by, without what may be secret in a misplaced one: a URL's credentials, a key.
fn shortened(text: &str) -> String {
    const ENOUGH: usize = 100;
    if let Some((credentials, rest)) = text.rsplit_once('@') {
        let scheme = credentials
            .split_once("//")
            .map_or("", |(scheme, _)| scheme);
        return shortened(&if scheme.is_empty() {
            format!("…{rest}")
        } else {
            format!("{scheme}//…{rest}")
        });
    }
    let line = text
        .find(['\n', '\r'])
        .filter(|_| text.starts_with("-----BEGIN "));
    match line.or_else(|| text.char_indices().nth(ENOUGH).map(|(end, _)| end)) {
        Some(end) => format!("{}…", text.split_at(end).0),
        None => text.into(),
    }
}

/// An immutable, compiled set of pin sets. The order in which they were given changes nothing.
///
/// Looking a host up allocates nothing and takes time by the number of its labels, whatever the number of patterns.
#[derive(Clone, Default)]
pub struct Policy {
    hasher: DefaultHashBuilder,
    /// Indices into `sets`, by the hash of the base.
    table: HashTable<u32>,
    sets: Vec<PinSet>,
    /// The bases of all patterns, one after the other.
    bases: String,
    pins: Vec<Pin>,
    /// The subjects of the few pins that were given as certificates.
    subjects: HashMap<Pin, Box<str>>,
}

/// One pattern's share of the policy; what varies in length lies in the policy's own vectors.
#[derive(Clone, Copy)]
struct PinSet {
    base_start: u32,
    pins_start: u32,
    pins: u32,
    base_length: u8,
    scope: Scope,
    exclude: bool,
    /// 0 for every port.
    port: u16,
}

/// How closely a pattern fits; later ones are more specific. Labels of the base, then the scope, then a port.
type Specificity = (usize, Scope, bool);

impl Policy {
    /// Compiles pin sets.
    ///
    /// # Errors
    /// [`PolicyError`], naming the pattern and the index of the pin.
    pub fn compile(sources: impl IntoIterator<Item = PinSetSource>) -> Result<Self, PolicyError> {
        let mut policy = Self::default();
        let mut spellings: Vec<Box<str>> = Vec::new();
        for source in sources {
            policy.add(source, &mut spellings)?;
        }
        policy.sets.shrink_to_fit();
        policy.bases.shrink_to_fit();
        policy.pins.shrink_to_fit();
        Ok(policy)
    }

    fn add(
        &mut self,
        source: PinSetSource,
        spellings: &mut Vec<Box<str>>,
    ) -> Result<(), PolicyError> {
        let PinSetSource {
            pattern: text,
            exclude,
            pins,
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
        let base = pattern.base().as_str();
        let hash = self.hasher.hash_one(base);
        let port = pattern.port().unwrap_or(0);
        let same = |index: &u32| {
            self.set(*index).is_some_and(|set| {
                self.base(set) == base && set.scope == pattern.scope() && set.port == port
            })
        };
        if let Some(index) = self.table.find(hash, same) {
            let other = spellings
                .get(*index as usize)
                .map_or_else(String::new, ToString::to_string);
            return Err(PolicyError::DuplicateHost {
                pattern: text,
                other,
            });
        }
        let too_many = || PolicyError::InvalidHost {
            pattern: text.clone(),
            source: HostError::TooLong,
        };
        let index = u32::try_from(self.sets.len()).map_err(|_| too_many())?;
        let set = PinSet {
            base_start: u32::try_from(self.bases.len()).map_err(|_| too_many())?,
            base_length: u8::try_from(base.len()).map_err(|_| too_many())?, // a host has 253 at most
            pins_start: u32::try_from(self.pins.len()).map_err(|_| too_many())?,
            pins: u32::try_from(pins.len()).map_err(|_| too_many())?,
            scope: pattern.scope(),
            exclude,
            port,
        };
        for (index, source) in pins.iter().enumerate() {
            let pin = source.read(&text, index)?;
            if let PinSource::Certificate(bytes) = source
                && let Some(subject) = crate::path::subject_of(bytes)
            {
                self.subjects.insert(pin, subject.into());
            }
            self.pins.push(pin);
        }
        self.bases.push_str(base);
        self.sets.push(set);
        spellings.push(text.into());
        let Self {
            table,
            sets,
            bases,
            hasher,
            ..
        } = self;
        table.insert_unique(hash, index, |index| {
            let base = sets
                .get(*index as usize)
                .and_then(|set| base_of(bases, set));
            hasher.hash_one(base.unwrap_or_default())
        });
        Ok(())
    }

    /// Whether it pins nothing.
    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }

    /// How many patterns it has, exclusions included.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// The pins in force for `host` at `port`.
    pub fn lookup<'a>(&'a self, host: &'a Host, port: u16) -> PinsInForce<'a> {
        let mut all = PinsInForce {
            policy: self,
            host,
            port,
            from: None,
        };
        all.from = all
            .matching()
            .filter(|(_, set)| set.exclude)
            .map(|(specificity, _)| specificity)
            .max();
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
        })?;
        Some(set.pins.to_vec())
    }

    fn set(&self, index: u32) -> Option<&PinSet> {
        self.sets.get(index as usize)
    }

    /// The set at `index`, in the order of the sources.
    pub(crate) fn view(&self, index: usize) -> Option<SetView<'_>> {
        self.sets.get(index).map(|set| self.view_of(set))
    }

    /// The set of the same pattern as `other`'s, of another policy.
    pub(crate) fn find(&self, other: &SetView<'_>) -> Option<SetView<'_>> {
        let hash = self.hasher.hash_one(other.base);
        let views = self.table.iter_hash(hash);
        let mut views = views.filter_map(|index| self.view(*index as usize));
        views.find(|set| (set.base, set.scope, set.port) == (other.base, other.scope, other.port))
    }

    fn view_of(&self, set: &PinSet) -> SetView<'_> {
        let start = set.pins_start as usize;
        let pins = self.pins.get(start..start + set.pins as usize);
        SetView {
            base: self.base(set),
            scope: set.scope,
            port: set.port,
            exclude: set.exclude,
            pins: pins.unwrap_or_default(),
        }
    }

    fn base(&self, set: &PinSet) -> &str {
        base_of(&self.bases, set).unwrap_or_default()
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

fn base_of<'b>(bases: &'b str, set: &PinSet) -> Option<&'b str> {
    let start = set.base_start as usize;
    bases.get(start..start + usize::from(set.base_length))
}

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

/// The pins in force for one host and port: the union of all patterns that match and are not excluded.
#[derive(Clone, Copy)]
pub struct PinsInForce<'a> {
    policy: &'a Policy,
    host: &'a Host,
    port: u16,
    /// The most specific exclusion: less specific patterns don't contribute.
    from: Option<Specificity>,
}

impl<'a> PinsInForce<'a> {
    /// Whether any pin is in force.
    pub fn is_pinned(&self) -> bool {
        self.sets().next().is_some()
    }

    /// The pins, in no particular order; one that several patterns have comes several times.
    pub fn pins(&self) -> impl Iterator<Item = &'a Pin> + use<'a> {
        let policy = self.policy;
        self.sets().flat_map(move |set| {
            let start = set.pins_start as usize;
            policy
                .pins
                .get(start..start + set.pins as usize)
                .unwrap_or_default()
        })
    }

    /// An owned copy, sorted and without repeats; none when no pin is in force.
    pub fn to_effective(&self, host: &Host, port: u16) -> Option<EffectivePins> {
        let mut pins: Vec<Pin> = self.pins().copied().collect();
        if pins.is_empty() {
            return None;
        }
        pins.sort_unstable();
        pins.dedup();
        let mut patterns: Vec<Box<str>> = self.patterns().map(Into::into).collect();
        patterns.sort_unstable();
        let subjects = &self.policy.subjects;
        let subjects = pins
            .iter()
            .filter_map(|pin| Some((*pin, subjects.get(pin)?.clone())))
            .collect();
        Some(EffectivePins {
            host: host.clone(),
            port,
            patterns: patterns.into(),
            pins: pins.into(),
            subjects,
        })
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
        let name = self.host.as_str();
        let is_name = self.host.ip().is_none();
        let starts = std::iter::once(0).chain(
            name.bytes()
                .enumerate()
                .filter(move |(_, byte)| is_name && *byte == b'.')
                .map(|(at, _)| at + 1),
        );
        starts.enumerate().flat_map(move |(depth, start)| {
            let base = name.get(start..).unwrap_or_default();
            let hash = policy.hasher.hash_one(base);
            policy.table.iter_hash(hash).filter_map(move |index| {
                let set = policy.set(*index)?;
                let reaches = match set.scope {
                    Scope::Exact => depth == 0,
                    Scope::OneLabel => depth == 1,
                    Scope::AnyDepth => true,
                };
                let fits =
                    reaches && (set.port == 0 || set.port == port) && policy.base(set) == base;
                fits.then_some(((base.len(), set.scope, set.port != 0), set))
            })
        })
    }
}

/// The pins in force for one host and port, owned: what one verifier enforces.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct EffectivePins {
    host: Host,
    port: u16,
    patterns: Box<[Box<str>]>,
    pins: Box<[Pin]>,
    subjects: Box<[(Pin, Box<str>)]>,
}

impl EffectivePins {
    /// Pins outside a policy, as `verify_chain` is given them.
    pub(crate) fn bare(host: &Host, pins: &[Pin]) -> Self {
        let mut pins = pins.to_vec();
        pins.sort_unstable();
        pins.dedup();
        Self {
            host: host.clone(),
            port: 443,
            patterns: Box::default(),
            pins: pins.into(),
            subjects: Box::default(),
        }
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

    /// The pins, sorted, each once. Never empty.
    pub fn pins(&self) -> &[Pin] {
        &self.pins
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

    /// The first pin of `path`, end entity first, that is one of them.
    pub fn judge(&self, path: &VerifiedPath) -> Option<Pin> {
        path.pins().iter().find(|pin| self.contains(pin)).copied()
    }

    /// Whether the pins are the same, wherever they come from.
    pub fn same_pins(&self, other: &Self) -> bool {
        self.pins == other.pins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ])
        .unwrap();
        for (host, port, expected) in [
            ("example.com", 443, &[1, 3][..]),
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
        };
        let error = Policy::compile([bad]).unwrap_err();
        assert_eq!(
            (error.code(), error.pattern(), error.index()),
            ("ERR_POLICY_INVALID_PIN", "api.example.com", Some(1))
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
