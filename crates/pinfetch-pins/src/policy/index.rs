//! Where the sets of a policy are found: their indices by a hash.

/// A hash table of indices: open addressing, linear probing, half empty at least.
///
/// A slot has half of the hash beside the index. So a look-up goes to a set only if it is very likely the one, which in a
/// large policy is a cache miss, and growing goes to none at all.
#[derive(Clone, Default)]
pub(super) struct Index {
    /// The upper half a tag, the lower one more than an index; 0 is empty. Their number is 0 or a power of two.
    slots: Vec<u64>,
    used: usize,
}

const LEAST: usize = 8;

impl Index {
    /// Adds `index`, less than `u32::MAX`.
    pub(super) fn insert(&mut self, hash: u64, index: u32) {
        self.reserve(1);
        self.put(slot_of(hash, index));
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, more: usize) {
        let length = (self.used + more) * 2;
        if length > self.slots.len() {
            self.grow(length.next_power_of_two().max(LEAST));
        }
    }

    /// The indices that were added with `hash`, and now and then one that was added with another.
    pub(super) fn find(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let tag = tag_of(hash);
        probe(&self.slots, tag, move |slot| {
            (tag_in(slot) == tag).then(|| lower(slot))
        })
    }

    /// The same, for look-ups alone.
    pub(super) fn pack(&self) -> Packed {
        let greatest = self.slots.iter().map(|slot| lower(*slot)).max();
        let index_bits = u32::MAX
            .checked_shr(greatest.map_or(32, u32::leading_zeros))
            .unwrap_or(0);
        let pack = |slot: &u64| tag_in(*slot) & !index_bits | lower(*slot);
        Packed {
            slots: self.slots.iter().map(pack).collect(),
            index_bits,
        }
    }

    fn start(&self, tag: u32) -> usize {
        tag as usize & self.slots.len().wrapping_sub(1)
    }

    fn put(&mut self, slot: u64) {
        let start = self.start(tag_in(slot));
        let mask = self.slots.len().wrapping_sub(1);
        let places = (start..start + self.slots.len()).map(|place| place & mask);
        for place in places {
            if let Some(free) = self.slots.get_mut(place)
                && *free == 0
            {
                *free = slot;
                self.used += 1;
                return;
            }
        }
    }

    fn grow(&mut self, length: usize) {
        let larger = vec![0; length];
        let slots = std::mem::replace(&mut self.slots, larger);
        self.used = 0;
        for slot in slots {
            if slot != 0 {
                self.put(slot);
            }
        }
    }
}

/// A table that is only looked into: half as large, so that more of it is in the processor's caches.
#[derive(Clone, Default)]
pub(super) struct Packed {
    /// Those of an [`Index`], each in the same place. The lower bits are more than an index, the upper ones as much of the tag
    /// as there is room for; 0 is empty.
    slots: Box<[u32]>,
    /// A mask of the lower bits.
    index_bits: u32,
}

impl Packed {
    /// As [`Index::find`].
    pub(super) fn find(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let (tag, index_bits) = (tag_of(hash), self.index_bits);
        probe(&self.slots, tag, move |slot| {
            ((slot ^ tag) & !index_bits == 0).then_some(slot & index_bits)
        })
    }

    /// In bytes.
    pub(super) fn size(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

/// The indices in the slots from that of `tag` to the first empty one, of which `read` gives one more than each.
fn probe<S: Copy + Default + PartialEq>(
    slots: &[S],
    tag: u32,
    read: impl Fn(S) -> Option<u32>,
) -> impl Iterator<Item = u32> {
    let mask = slots.len().wrapping_sub(1);
    let mut place = tag as usize & mask;
    std::iter::from_fn(move || {
        // half of the slots are empty: it comes to one of them
        loop {
            let slot = *slots.get(place)?;
            if slot == S::default() {
                return None;
            }
            place = (place + 1) & mask;
            if let Some(more) = read(slot) {
                return Some(more.saturating_sub(1));
            }
        }
    })
}

fn slot_of(hash: u64, index: u32) -> u64 {
    u64::from(tag_of(hash)) << 32 | u64::from(index.saturating_add(1))
}

/// Half of the bits of a hash, made from all of them.
fn tag_of(hash: u64) -> u32 {
    tag_in(hash ^ hash << 32)
}

fn tag_in(slot: u64) -> u32 {
    (slot >> 32) as u32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half of the bits"
)]
fn lower(slot: u64) -> u32 {
    slot as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_nothing_else_but_of_the_same_tag() {
        let hash = |index: u32| u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut table = Index::default();
        assert_eq!(table.find(7).next(), None);
        for index in 0..5000 {
            table.insert(hash(index), index);
        }
        let packed = table.pack();
        assert_eq!(packed.size() * 2, size_of_val(&*table.slots));
        for index in 0..5000 {
            assert!(table.find(hash(index)).any(|found| found == index));
            assert!(packed.find(hash(index)).any(|found| found == index));
        }
        let chance = (5000..10_000).filter(|index| packed.find(hash(*index)).next().is_some());
        assert!(
            chance.count() < 10,
            "19 bits of a tag tell nearly all apart"
        );
        for index in 5000..10_000 {
            let others = table.find(hash(index));
            assert!({ others }.all(|found| tag_of(hash(found)) == tag_of(hash(index))));
        }
    }

    #[test]
    fn hashes_that_are_all_the_same_are_found_in_turn_from_any_place() {
        for hash in [0, 1, 7, 15, u64::MAX, 1 << 32] {
            let mut table = Index::default();
            for index in [0, 1, 2, u32::MAX - 1] {
                table.insert(hash, index);
            }
            let found: Vec<_> = table.find(hash).collect();
            assert_eq!(found, [0, 1, 2, u32::MAX - 1], "{hash}");
            assert_eq!(table.find(hash ^ 1).next(), None, "{hash}");
            let found: Vec<_> = table.pack().find(hash).collect();
            assert_eq!(found, [0, 1, 2, u32::MAX - 1], "{hash}");
        }
    }
}
