//! Where on a verified path a key stands.

use std::fmt;
use std::ops::BitOr;

/// Places of a verified path (RFC 5280 §6): any of its first certificate, its last, and those between.
///
/// The only certificate of a path of one is its leaf and its root. So is a server's own certificate that is itself a trust
/// anchor: its key stands at both ends.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Places(u8);

impl Places {
    /// The end entity.
    pub const LEAF: Self = Self(1);
    /// Between the end entity and the trust anchor.
    pub const INTERMEDIATE: Self = Self(2);
    /// The trust anchor.
    pub const ROOT: Self = Self(4);
    /// Everywhere.
    pub const ANY: Self = Self(7);
    /// An authority's: an intermediate or the trust anchor.
    pub const CA: Self = Self(6);
    /// Nowhere.
    pub(crate) const NONE: Self = Self(0);

    /// The place of the certificate `index` of a path of `length`.
    pub(crate) fn of(index: usize, length: usize) -> Self {
        match (index == 0, index + 1 == length) {
            (true, true) => Self(1 | 4),
            (true, false) => Self::LEAF,
            (false, true) => Self::ROOT,
            (false, false) => Self::INTERMEDIATE,
        }
    }

    /// Those of the two in common.
    pub(crate) fn of_those(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the two have a place in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// In words, `leaf` or `leaf or root`.
    pub fn describe(self) -> String {
        let words = [
            (Self::LEAF, "leaf"),
            (Self::INTERMEDIATE, "intermediate"),
            (Self::ROOT, "root"),
        ];
        let named: Vec<_> = words
            .iter()
            .filter(|(place, _)| self.meets(*place))
            .map(|(_, word)| *word)
            .collect();
        named.join(" or ")
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::ANY
    }
}

impl BitOr for Places {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

/// How much of a verified path must be pinned.
///
/// Two of them joined demand what each demands: that is how the sets of several patterns come together, whose order then
/// changes nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Demand {
    /// How many of its keys, each counted once. At least 1.
    count: u32,
    /// A bit for each of [`Demand::PLACES`] that must have a pinned key.
    places: u8,
}

impl Demand {
    /// The places that can be demanded, in the order of their bits.
    const PLACES: [Places; 4] = [Places::LEAF, Places::INTERMEDIATE, Places::ROOT, Places::CA];

    /// So many keys; 0 is taken as 1, since no pinned host is without.
    pub fn keys(count: u32) -> Self {
        Self {
            count: count.max(1),
            places: 0,
        }
    }

    /// A pinned key at each of `places`: [`Places::LEAF`], [`INTERMEDIATE`](Places::INTERMEDIATE), [`ROOT`](Places::ROOT),
    /// [`CA`](Places::CA) for one of the last two.
    pub fn at_each(places: impl IntoIterator<Item = Places>) -> Self {
        let bit = |place| {
            let index = Self::PLACES.iter().position(|known| *known == place);
            index.map_or(0, |index| 1 << index)
        };
        Self {
            count: 1,
            places: places.into_iter().map(bit).fold(0, BitOr::bitor),
        }
    }

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            count: self.count.max(other.count),
            places: self.places | other.places,
        }
    }

    pub(crate) fn count(self) -> u32 {
        self.count
    }

    /// The places that must each have a pinned key.
    pub(crate) fn places(self) -> impl Iterator<Item = Places> {
        let bits = self.places;
        Self::PLACES
            .into_iter()
            .enumerate()
            .filter(move |(index, _)| bits & (1 << index) != 0)
            .map(|(_, place)| place)
    }

    /// Whether so many keys, at these places of the path together, are enough.
    pub(crate) fn is_met(self, keys: u32, at: Places) -> bool {
        keys >= self.count && self.places().all(|place| place.meets(at))
    }
}

impl Default for Demand {
    fn default() -> Self {
        Self::keys(1)
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => f.write_str("a pinned key")?,
            count => write!(f, "{count} pinned keys")?,
        }
        let places: Vec<_> = self
            .places()
            .map(|place| match place {
                Places::CA => "an intermediate or the root".to_owned(),
                Places::INTERMEDIATE => "an intermediate".to_owned(),
                place => format!("the {}", place.describe()),
            })
            .collect();
        if !places.is_empty() {
            write!(f, ", with one at {}", places.join(" and one at "))?;
        }
        Ok(())
    }
}
