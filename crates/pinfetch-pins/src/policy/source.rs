//! What the author of a policy says.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::{PinError, PolicyError};
use crate::{Anchors, Demand, Pin, Places};

/// The pins of one host pattern, as its author wrote them.
#[derive(Clone, Debug, Default)]
pub struct PinSetSource {
    /// The host pattern.
    pub pattern: String,
    /// Takes the hosts that match out of less specific patterns.
    pub exclude: bool,
    /// The pins, at least one unless `exclude`.
    pub pins: Vec<PinSource>,
    /// Where each of the pins counts, in their order; everywhere where this is shorter.
    pub places: Vec<Places>,
    /// What else is said of the pattern.
    pub rules: Rules,
}

/// What a pin set says besides its pins.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Rules {
    /// Whether a bad pin refuses the server, or is told only.
    pub mode: Mode,
    /// How much of the verified path must be pinned.
    pub demand: Demand,
    /// When the set ends.
    pub expires: Option<Expiry>,
    /// What paths end in.
    pub trust: Trust,
}

/// Whether a bad pin refuses a server.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// It is told, and the server is accepted.
    Report,
}

/// When a pin set ends, and what becomes of its hosts then.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Expiry {
    /// In Unix seconds.
    pub at: i64,
    /// What becomes of its hosts.
    pub then: Afterwards,
}

/// What becomes of the hosts of a pin set that has ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Afterwards {
    /// Nothing: the date is a reminder.
    Enforce,
    /// The set is in [`Mode::Report`].
    Report,
    /// They are refused.
    Refuse,
}

/// The time of day, by a clock that somebody may set.
///
/// A set that has ended is judged by whichever of the two is stricter: one that refuses its hosts afterwards has ended once
/// the clock has said so, and one that goes into report mode has only while it says so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// What the clock says, in Unix seconds.
    pub present: i64,
    /// The latest that it has ever said, in Unix seconds.
    pub latest: i64,
}

impl From<i64> for Moment {
    /// By a clock that nobody has set.
    fn from(now: i64) -> Self {
        Self {
            present: now,
            latest: now,
        }
    }
}

impl Expiry {
    /// Whether the set has ended at `now`.
    pub(super) fn has_come(&self, now: Moment) -> bool {
        let by = match self.then {
            Afterwards::Report => now.present,
            Afterwards::Refuse | Afterwards::Enforce => now.latest,
        };
        self.at <= by
    }
}

/// What the paths to a host end in.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// The verifier's own trust anchors.
    #[default]
    Own,
    /// These anchors in their place.
    Anchors(Arc<Anchors>),
    /// The pinned key of the server itself, whoever issued its certificate: for self-signed servers. Its name, its dates
    /// and the handshake's signature are verified as ever.
    PinnedKey,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Own, Self::Own) | (Self::PinnedKey, Self::PinnedKey) => true,
            (Self::Anchors(ours), Self::Anchors(theirs)) => {
                Arc::ptr_eq(ours, theirs) || ours.is_same(theirs)
            }
            _ => false,
        }
    }
}

impl Eq for Trust {}

impl Hash for Trust {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
    }
}

/// What becomes of hosts without pins; later ones are stricter.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Unpinned {
    /// They are verified as usual.
    #[default]
    Allow,
    /// So they are, and each is told of once.
    Warn,
    /// They are refused before DNS.
    Refuse,
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
    /// One that was read already.
    Pin(Pin),
}

impl From<Pin> for PinSource {
    fn from(pin: Pin) -> Self {
        Self::Pin(pin)
    }
}

impl PinSource {
    /// The pin. `pattern` and `index` name the place in the error.
    ///
    /// # Errors
    /// [`PolicyError::InvalidPin`].
    pub fn read(&self, pattern: &str, index: usize) -> Result<Pin, PolicyError> {
        // told only where it is wrong: a policy may have millions
        match self {
            Self::Pin(pin) => return Ok(*pin),
            Self::Text(text) => {
                if let Ok(pin) = text.parse() {
                    return Ok(pin);
                }
            }
            _ => {}
        }
        let (pin, input) = self.read_as();
        pin.map_err(|source| PolicyError::InvalidPin {
            pattern: pattern.into(),
            index,
            input,
            source,
        })
    }

    /// The pin, and what was given for it, shortened.
    pub(super) fn read_as(&self) -> (Result<Pin, PinError>, String) {
        match self {
            Self::Text(text) => (text.parse(), shortened(text)),
            Self::Certificate(bytes) => (
                Pin::of_certificate(bytes),
                format!("a certificate of {} bytes", bytes.len()),
            ),
            Self::PublicKey(bytes) => (
                Pin::of_public_key(bytes),
                format!("a public key of {} bytes", bytes.len()),
            ),
            Self::Pin(pin) => (Ok(*pin), pin.to_string()),
        }
    }
}

/// Enough of an input to recognise it by, without what may be secret in a misplaced one: a URL's credentials, a key.
pub(super) fn shortened(text: &str) -> String {
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
