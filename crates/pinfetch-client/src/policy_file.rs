//! Policy files, read fast: for those of so many hosts that reading them any other way takes seconds.
//!
//! Whoever reads the text of a policy for people, as `src/policy-file/` does, has the last word on what a file may say,
//! and the words for what is wrong. What is read here it would read the same; what is rare or wrong is not read here.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use pinfetch_pins::{
    Afterwards, Demand, Expiry, Mode, Pin, PinSetSource, Places, Policy, PolicyBuilder, Rules,
    Trust, Unpinned,
};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The pins that stand for each named set: of `letsencrypt`, where a file has `ca:letsencrypt`.
pub type CaSets = HashMap<String, Vec<Pin>>;

/// The policy that a file of this `text` has; none where there is one that is not read here (one with environments, with
/// trust anchors of other files), or none at all.
pub fn read_policy_file(text: &[u8], sets: &CaSets) -> Option<Policy> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut file = FileReader {
        builder: PolicyBuilder::with_capacity(text.len() / BYTES_A_HOST),
        sets,
    };
    json.deserialize_map(Members(&mut file)).ok()?;
    json.end().ok()?;
    file.builder.finish().ok()
}

/// Room is made for one host for so many bytes: one of three pins has two hundred.
const BYTES_A_HOST: usize = 256;

/// What becomes of everything that is not read here. Nobody is told.
fn elsewhere<T, E: Error>() -> Result<T, E> {
    Err(E::custom("not read here"))
}

struct FileReader<'r> {
    builder: PolicyBuilder,
    sets: &'r CaSets,
}

/// The members of a file.
struct Members<'f, 'r>(&'f mut FileReader<'r>);

impl<'de> Visitor<'de> for Members<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a policy file")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(file) = self;
        let mut seen: Vec<Cow<'de, str>> = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            if seen.contains(&name) {
                return elsewhere();
            }
            match &*name {
                "$schema" => {
                    let Text(schema) = map.next_value()?;
                    if schema.is_empty() {
                        return elsewhere();
                    }
                }
                "version" => {
                    if map.next_value::<u64>()? != 1 {
                        return elsewhere();
                    }
                }
                "unpinned" => {
                    let Text(word) = map.next_value()?;
                    file.builder.set_unpinned(match &*word {
                        "allow" => Unpinned::Allow,
                        "warn" => Unpinned::Warn,
                        "refuse" => Unpinned::Refuse,
                        _ => return elsewhere(),
                    });
                }
                "blocked" => file.block(map.next_value()?)?,
                "hosts" => map.next_value_seed(Hosts(file))?,
                _ if seen.is_empty() => {
                    let first = map.next_value()?;
                    return file.read_plain(&name, first, map);
                }
                _ => return elsewhere(),
            }
            seen.push(name);
        }
        let has = |name: &str| seen.iter().any(|seen| seen == name);
        if has("version") && has("hosts") {
            Ok(())
        } else {
            elsewhere()
        }
    }
}

impl FileReader<'_> {
    fn block<E: Error>(&mut self, blocked: Vec<PinText<'_>>) -> Result<(), E> {
        if blocked.iter().any(|pin| pin.is_placed) {
            return elsewhere();
        }
        for (pin, _) in self.expanded(blocked)? {
            self.builder.block(&pin.into()).map_err(E::custom)?;
        }
        Ok(())
    }

    fn add<E: Error>(&mut self, pattern: &str, set: PinSet<'_>) -> Result<(), E> {
        let rules = set.rules()?;
        let exclude = set.exclude.is_some();
        let pins = match set.pins {
            Some(pins) if !pins.is_empty() => self.expanded(pins)?,
            None if exclude && rules.is_none() => Vec::new(),
            _ => return elsewhere(),
        };
        let is_placed = pins.iter().any(|(_, place)| *place != Places::ANY);
        let places = pins.iter().filter(|_| is_placed).map(|(_, place)| *place);
        let source = PinSetSource {
            pattern: pattern.into(),
            exclude,
            places: places.collect(),
            pins: pins.into_iter().map(|(pin, _)| pin.into()).collect(),
            rules: rules.unwrap_or_default(),
        };
        self.builder.add(source).map_err(E::custom)
    }

    /// Goes on with a map of hosts and their pins, which has no version. Objects are not read here: there, they are others.
    fn read_plain<'de, A: MapAccess<'de>>(
        &mut self,
        first: &str,
        pins: SetValue<'de>,
        mut map: A,
    ) -> Result<(), A::Error> {
        self.add_plain(first, pins)?;
        while let Some((Text(pattern), pins)) = map.next_entry()? {
            self.add_plain(&pattern, pins)?;
        }
        Ok(())
    }

    fn add_plain<E: Error>(&mut self, pattern: &str, pins: SetValue<'_>) -> Result<(), E> {
        if ["version", "$schema", "hosts", "environments"].contains(&pattern) {
            return elsewhere(); // it is no such map
        }
        let pins = match pins {
            SetValue::Pins(pins) if pins.iter().all(|pin| pin.is_text) => pins,
            SetValue::Pin(pin) => vec![pin],
            _ => return elsewhere(),
        };
        self.add(pattern, pins.into())
    }

    /// Pins with those of named sets: of a set the first stands in its place and the others at the end.
    fn expanded<E: Error>(&self, pins: Vec<PinText<'_>>) -> Result<Vec<(Pin, Places)>, E> {
        let (mut read, mut others) = (Vec::with_capacity(pins.len()), Vec::new());
        for PinText { text, place, .. } in pins {
            let Some(name) = text.strip_prefix("ca:") else {
                read.push((text.parse().map_err(E::custom)?, place));
                continue;
            };
            let set = self.sets.get(name).and_then(|set| set.split_first());
            let Some((first, rest)) = set else {
                return elsewhere();
            };
            read.push((*first, place));
            others.extend(rest.iter().map(|pin| (*pin, place)));
        }
        read.extend(others);
        Ok(read)
    }
}

/// Host patterns and their pins, one pattern at least.
struct Hosts<'f, 'r>(&'f mut FileReader<'r>);

impl<'de> DeserializeSeed<'de> for Hosts<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Hosts<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("host patterns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut is_empty = true;
        while let Some((Text(pattern), set)) = map.next_entry()? {
            let set = match set {
                SetValue::Pins(pins) => pins.into(),
                SetValue::Set(set) => *set,
                SetValue::Pin(_) => return elsewhere(),
            };
            self.0.add(&pattern, set)?;
            is_empty = false;
        }
        if is_empty { elsewhere() } else { Ok(()) }
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn as_str(&self) -> &str {
        &self.0
    }
}

/// A member that is there: null is not the same as none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// What a file has for a pattern.
enum SetValue<'a> {
    Pin(PinText<'a>),
    Pins(Vec<PinText<'a>>),
    Set(Box<PinSet<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for SetValue<'a> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = SetValue<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("pins")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(SetValue::Pin(PinText::plain(Cow::Borrowed(text))))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(SetValue::Pin(PinText::plain(Cow::Owned(text.into()))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut pins = Vec::with_capacity(3); // as most have
                while let Some(pin) = list.next_element()? {
                    pins.push(pin);
                }
                Ok(SetValue::Pins(pins))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let set = PinSet::deserialize(MapAccessDeserializer::new(map))?;
                Ok(SetValue::Set(set.into()))
            }
        }
        value.deserialize_any(Any)
    }
}

/// A pin set that says more than its pins, or might.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinSet<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    pins: Option<Vec<PinText<'a>>>,
    #[serde(default, deserialize_with = "present")]
    exclude: Option<bool>,
    #[serde(borrow, default, deserialize_with = "present")]
    mode: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    require: Option<Require<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    expires: Option<Object<End<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    trust: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present", rename = "note")]
    _note: Option<Text<'a>>,
}

impl<'a> From<Vec<PinText<'a>>> for PinSet<'a> {
    fn from(pins: Vec<PinText<'a>>) -> Self {
        Self {
            pins: Some(pins),
            ..Self::default()
        }
    }
}

impl PinSet<'_> {
    /// What it says besides; none where that is nothing.
    fn rules<E: Error>(&self) -> Result<Option<Rules>, E> {
        if self.exclude == Some(false) {
            return elsewhere();
        }
        let Self {
            mode,
            require,
            expires,
            trust,
            ..
        } = self;
        if mode.is_none() && require.is_none() && expires.is_none() && trust.is_none() {
            return Ok(None);
        }
        let mode = match mode.as_ref().map(Text::as_str) {
            None | Some("enforce") => Mode::Enforce,
            Some("report") => Mode::Report,
            Some(_) => return elsewhere(),
        };
        let trust = match trust.as_ref().map(Text::as_str) {
            None | Some("ca") => Trust::Own,
            Some("pinned-key") => Trust::PinnedKey,
            Some(_) => return elsewhere(),
        };
        Ok(Some(Rules {
            mode,
            demand: require
                .as_ref()
                .map_or(Ok(Demand::default()), Require::read)?,
            expires: match expires {
                Some(Object(end)) => Some(end.read()?),
                None => None,
            },
            trust,
        }))
    }
}

/// A number of keys, or places of the path.
enum Require<'a> {
    Keys(u32),
    AtEach(Vec<Text<'a>>),
}

impl Require<'_> {
    fn read<E: Error>(&self) -> Result<Demand, E> {
        let names = match self {
            Self::Keys(0) => return elsewhere(),
            Self::Keys(count) => return Ok(Demand::keys(*count)),
            Self::AtEach(names) => names,
        };
        let mut places = Vec::with_capacity(names.len());
        for name in names {
            let place = match name.as_str() {
                "ca" => Places::CA,
                name => place_of(name)?,
            };
            if places.contains(&place) {
                return elsewhere();
            }
            places.push(place);
        }
        if places.is_empty() {
            return elsewhere();
        }
        Ok(Demand::at_each(places))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Require<'a> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Require<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of pins, or places")
            }

            fn visit_u64<E: Error>(self, count: u64) -> Result<Self::Value, E> {
                u32::try_from(count).map(Require::Keys).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut places = Vec::new();
                while let Some(place) = list.next_element()? {
                    places.push(place);
                }
                Ok(Require::AtEach(places))
            }
        }
        value.deserialize_any(Any)
    }
}

/// A pin as it is written, or the name of a set of them; notes to people are read and passed over.
struct PinText<'a> {
    text: Cow<'a, str>,
    place: Places,
    /// Whether it is a text and no object.
    is_text: bool,
    /// Whether it has members that a blocked pin has not.
    is_placed: bool,
}

impl<'a> PinText<'a> {
    fn plain(text: Cow<'a, str>) -> Self {
        Self {
            text,
            place: Places::ANY,
            is_text: true,
            is_placed: false,
        }
    }
}

/// A pin with what is known of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownPin<'a> {
    #[serde(borrow)]
    pin: Text<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    at: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    role: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    added: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    expires: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present", rename = "label")]
    _label: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present", rename = "note")]
    _note: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for PinText<'a> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = PinText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pin")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(PinText::plain(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(PinText::plain(Cow::Owned(text.into())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                KnownPin::deserialize(MapAccessDeserializer::new(map))?.read()
            }
        }
        value.deserialize_any(Any)
    }
}

impl<'a> KnownPin<'a> {
    fn read<E: Error>(self) -> Result<PinText<'a>, E> {
        let is_placed = self.at.is_some() || self.role.is_some() || self.expires.is_some();
        for date in [self.added, self.expires].iter().flatten() {
            date_of(date.as_str())?;
        }
        if let Some(role) = self.role
            && !["current", "backup", "root", "retired"].contains(&role.as_str())
        {
            return elsewhere();
        }
        Ok(PinText {
            text: self.pin.0,
            place: self
                .at
                .map_or(Ok(Places::ANY), |at| place_of(at.as_str()))?,
            is_text: false,
            is_placed,
        })
    }
}

fn place_of<E: Error>(name: &str) -> Result<Places, E> {
    match name {
        "leaf" => Ok(Places::LEAF),
        "intermediate" => Ok(Places::INTERMEDIATE),
        "root" => Ok(Places::ROOT),
        _ => elsewhere(),
    }
}

/// When a pin set ends, and what then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End<'a> {
    #[serde(borrow)]
    at: Text<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    then: Option<Text<'a>>,
}

impl End<'_> {
    fn read<E: Error>(&self) -> Result<Expiry, E> {
        let then = match self.then.as_ref().map(Text::as_str) {
            None | Some("enforce") => Afterwards::Enforce,
            Some("report") => Afterwards::Report,
            Some("refuse") => Afterwards::Refuse,
            Some(_) => return elsewhere(),
        };
        let at = date_of(self.at.as_str())?;
        Ok(Expiry { at, then })
    }
}

/// In Unix seconds: of a day its begin in UTC, or of a moment with its zone (RFC 3339).
fn date_of<E: Error>(text: &str) -> Result<i64, E> {
    let day = |text: &str| format!("{text}T00:00:00Z");
    let moment = match text.get(10..19) {
        None if text.len() == 10 => Cow::Owned(day(text)),
        // seconds and fractions as JavaScript has them, and no small letters
        Some(time) if time.starts_with('T') && !time.ends_with("60") => {
            let rest = text.get(19..).unwrap_or_default();
            let digits = rest
                .trim_start_matches('.')
                .find(|c: char| !c.is_ascii_digit());
            if digits > Some(9) || rest.contains('z') {
                return elsewhere();
            }
            Cow::Borrowed(text)
        }
        _ => return elsewhere(),
    };
    let moment = OffsetDateTime::parse(&moment, &Rfc3339).map_err(E::custom)?;
    Ok(moment.unix_timestamp())
}

/// An object, where what is derived would take a list of its members' values, too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        value.deserialize_map(Only(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const B: &str = "sha256/BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA=";

    fn pin(text: &str) -> Pin {
        text.parse().unwrap()
    }

    fn read(text: &str) -> Option<Policy> {
        let ours = [("ours".to_owned(), vec![pin(A), pin(B)])];
        let text = text.replace("$A", A).replace("$B", B);
        read_policy_file(text.as_bytes(), &ours.into())
    }

    fn source(pattern: &str, pins: &[&str]) -> PinSetSource {
        PinSetSource {
            pattern: pattern.into(),
            pins: pins.iter().map(|text| pin(text).into()).collect(),
            ..PinSetSource::default()
        }
    }

    fn policy(sets: impl IntoIterator<Item = PinSetSource>) -> Policy {
        Policy::compile(sets).unwrap()
    }

    #[test]
    fn what_a_file_says_is_in_the_policy() {
        let plain = || policy([source("a.test", &[A, B])]);
        let said = |rules: Rules| {
            let set = source("a.test", &[A, B]);
            policy([PinSetSource { rules, ..set }])
        };
        let at_leaf = PinSetSource {
            places: vec![Places::LEAF, Places::ANY, Places::LEAF],
            ..source("a.test", &[A, B, B])
        };
        let excluded = PinSetSource {
            exclude: true,
            ..source("b.test", &[])
        };
        for (text, expected) in [
            (r#"{"a.test": ["$A", "$B"]}"#, plain()),
            ("\u{feff}{\"a.test\": [\"$A\", \"$B\"]}", plain()),
            (r#"{"a.test": "ca:ours"}"#, plain()),
            (r#"{"a.test": "$A"}"#, policy([source("a.test", &[A])])),
            (
                r#"{"version": 1, "hosts": {"a.test": ["$A", "$B"]}}"#,
                plain(),
            ),
            (
                r#"{"hosts": {"a\u002etest": ["$A", "$B"]}, "$schema": "x", "version": 1}"#,
                plain(),
            ),
            (
                r#"{"version": 1, "hosts": {"a.test": {"pins": ["$A", {"pin": "$B", "label": "", "note": "x",
                    "role": "backup", "added": "2024-02-29", "expires": "2027-01-01T00:00:00.5+01:00"}], "note": ""}}}"#,
                plain(),
            ),
            (
                r#"{"version": 1, "hosts": {"a.test": [{"pin": "ca:ours", "at": "leaf"}, "$B"]}}"#,
                policy([at_leaf]),
            ),
            (
                r#"{"version": 1, "hosts": {"a.test": ["$A"], "b.test": {"exclude": true, "note": "x"}}}"#,
                policy([source("a.test", &[A]), excluded]),
            ),
            (
                r#"{"version": 1, "hosts": {"a.test": {"pins": ["$A", "$B"], "mode": "report", "require": 2,
                    "expires": {"at": "2027-03-01", "then": "refuse"}}}}"#,
                said(Rules {
                    mode: Mode::Report,
                    demand: Demand::keys(2),
                    expires: Some(Expiry {
                        at: 1_803_859_200,
                        then: Afterwards::Refuse,
                    }),
                    trust: Trust::Own,
                }),
            ),
            (
                r#"{"version": 1, "hosts": {"a.test": {"pins": ["$A", "$B"], "mode": "enforce", "trust": "pinned-key",
                    "require": ["leaf"], "expires": {"at": "2027-03-01T01:00:00+01:00"}}}}"#,
                said(Rules {
                    demand: Demand::at_each([Places::LEAF]),
                    expires: Some(Expiry {
                        at: 1_803_859_200,
                        then: Afterwards::Enforce,
                    }),
                    trust: Trust::PinnedKey,
                    ..Rules::default()
                }),
            ),
            (
                r#"{"version": 1, "hosts": {"a.test": {"pins": ["$A", "$B"], "require": ["leaf", "ca"],
                    "expires": {"at": "2027-03-01T01:00:00.9+01:00", "then": "report"}, "trust": "ca"}}}"#,
                said(Rules {
                    demand: Demand::at_each([Places::LEAF, Places::CA]),
                    expires: Some(Expiry {
                        at: 1_803_859_200,
                        then: Afterwards::Report,
                    }),
                    ..Rules::default()
                }),
            ),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        let told = read(
            r#"{"version": 1, "unpinned": "refuse", "blocked": ["ca:ours", {"pin": "$A", "note": "x"}], "hosts": {"a.test": ["$A"]}}"#,
        );
        let told = told.unwrap();
        assert_eq!(told.unpinned(), Unpinned::Refuse);
        assert_eq!(told.blocked().unwrap()[..], [pin(A), pin(B)]);
    }

    #[test]
    fn what_is_rare_or_wrong_is_not_read_here() {
        for text in [
            "",
            "[]",
            "{}",
            "{",
            r#"{"a.test": ["$A"]} x"#,
            r#"{"a.test": ["$A"], "version": 1}"#,
            r#"{"a.test": ["$A"], "a.test": ["$B"]}"#,
            r#"{"a.test": ["$A"], "A.test": ["$B"]}"#,
            r#"{"a.test": []}"#,
            r#"{"a.test": {"pins": ["$A"]}}"#,
            r#"{"a.test": [{"pin": "$A"}]}"#,
            r#"{"a..test": ["$A"]}"#,
            r#"{"a.test": ["sha256/AAAA"]}"#,
            r#"{"a.test": ["ca:theirs"]}"#,
            r#"{"version": 1}"#,
            r#"{"version": 1, "hosts": {}}"#,
            r#"{"version": 2, "hosts": {"a.test": ["$A"]}}"#,
            r#"{"version": 1.0, "hosts": {"a.test": ["$A"]}}"#,
            r#"{"version": 1, "version": 1, "hosts": {"a.test": ["$A"]}}"#,
            r#"{"version": 1, "hosts": {"a.test": ["$A"]}, "hosts": {"b.test": ["$A"]}}"#,
            r#"{"version": 1, "hosts": {"a.test": ["$A"]}, "environments": {"b": {}}}"#,
            r#"{"version": 1, "hosts": {"a.test": ["$A"]}, "unpinned": "maybe"}"#,
            r#"{"version": 1, "hosts": {"a.test": ["$A"]}, "unpinned": null}"#,
            r#"{"version": 1, "hosts": {"a.test": ["$A"]}, "blocked": ["x"]}"#,
            r#"{"version": 1, "hosts": {"a.test": ["$A"]}, "blocked": [{"pin": "$A", "at": "leaf"}]}"#,
            r#"{"version": 1, "hosts": {"a.test": ["$A"]}, "$schema": ""}"#,
            r#"{"$schema": "x", "hosts": {"a.test": ["$A"]}}"#,
            r#"{"unpinned": "allow", "a.test": ["$A"]}"#,
            r#"{"environments": ["$A"]}"#,
            r#"{"environments": {"b": {"hosts": {"a.test": ["$A"]}}}, "version": 1}"#,
        ] {
            assert!(read(text).is_none(), "{text}");
        }
        for set in [
            "null",
            r#""$A""#,
            "[]",
            "[null]",
            "[[\"$A\"]]",
            "{}",
            r#"{"pins": []}"#,
            r#"{"pins": null}"#,
            r#"{"pins": "$A"}"#,
            r#"{"pin": ["$A"]}"#,
            r#"{"pins": ["$A"], "pins": ["$A"]}"#,
            r#"{"pins": ["$A"], "mode": null}"#,
            r#"{"pins": ["$A"], "mode": "off"}"#,
            r#"{"pins": ["$A"], "exclude": false}"#,
            r#"{"exclude": true, "mode": "enforce"}"#,
            r#"{"exclude": true, "pins": []}"#,
            r#"{"exclude": null}"#,
            r#"{"pins": ["$A"], "require": 0}"#,
            r#"{"pins": ["$A"], "require": 2}"#,
            r#"{"pins": ["$A"], "require": 1.5}"#,
            r#"{"pins": ["$A"], "require": []}"#,
            r#"{"pins": ["$A"], "require": ["leaf", "leaf"]}"#,
            r#"{"pins": [{"pin": "$A", "at": "root"}], "require": ["leaf"]}"#,
            r#"{"pins": ["$A"], "expires": "2027-01-01"}"#,
            r#"{"pins": ["$A"], "expires": ["2027-01-01"]}"#,
            r#"{"pins": ["$A"], "expires": {"then": "report"}}"#,
            r#"{"pins": ["$A"], "expires": {"at": "2027-02-29"}}"#,
            r#"{"pins": ["$A"], "expires": {"at": "2027-01-01", "then": "off"}}"#,
            r#"{"pins": ["$A"], "trust": "all"}"#,
            r#"{"pins": ["$A"], "trust": {"ca": "ca.pem"}}"#,
            r#"{"pins": ["$A"], "note": 1}"#,
            r#"[{"pin": "$A", "at": "middle"}]"#,
            r#"[{"pin": "$A", "at": {"leaf": null}}]"#,
            r#"[{"pin": "$A", "role": "spare"}]"#,
            r#"[{"pin": "$A", "added": "yesterday"}]"#,
            r#"[{"pin": "$A", "colour": "red"}]"#,
            r#"[{"note": "x"}]"#,
        ] {
            let text = format!(r#"{{"version": 1, "hosts": {{"a.test": {set}}}}}"#);
            assert!(read(&text).is_none(), "{text}");
        }
    }

    #[test]
    fn dates_are_those_that_javascript_reads() {
        let read = |text: &str| date_of::<serde::de::value::Error>(text).ok();
        for (text, seconds) in [
            ("1970-01-01", Some(0)),
            ("1970-01-02T00:00:00Z", Some(86_400)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01T00:00:00.123456789-00:00", Some(0)),
            ("1969-12-31T23:59:59.5Z", Some(-1)),
            ("1970-01-01T00:00:00.1234567890Z", None),
            ("2016-12-31T23:59:60Z", None),
            ("1970-01-01t00:00:00Z", None),
            ("1970-01-01T00:00:00z", None),
            ("1970-01-01 00:00:00Z", None),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01T00:00Z", None),
            ("1970-02-30", None),
            ("1970-1-1", None),
            ("", None),
            ("ééééé", None),
        ] {
            assert_eq!(read(text), seconds, "{text}");
        }
    }
}
