//! The last offset of each key, in bounded memory.
//!
//! Keys themselves are not kept, only 128 bits of a hash with a seed that nobody outside knows: two
//! keys that are taken for one would cost a record, so the hash must neither collide by chance nor
//! by somebody's choice. Apache Kafka does the same with MD5.

use afluente_protocol::numbers::Offset;
use std::hash::{DefaultHasher, Hasher as _};

/// Of the slots this many may be used, in percent: beyond, looking for a free one takes long.
const LOAD_PERCENT_MAX: usize = 75;
/// The table begins with this many slots and doubles.
const SLOTS_MIN: usize = 64;

/// The last offset of each key.
#[derive(Debug)]
pub struct KeyOffsets {
    slots: Vec<Slot>,
    len: usize,
    slots_max: usize,
    seed: [u64; 2],
    /// Everything up to this offset has been noted.
    latest: Option<Offset>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: [u64; 2],
    /// -1 in a free slot.
    offset: i64,
}

impl Slot {
    const FREE: Self = Self { hash: [0; 2], offset: -1 };
}

impl KeyOffsets {
    /// An empty map that grows to `memory_bytes_max` at most; `seed` is random.
    #[must_use]
    pub fn new(memory_bytes_max: usize, seed: [u64; 2]) -> Self {
        let fitting = memory_bytes_max / size_of::<Slot>();
        // The largest power of two that fits, since the table doubles.
        let slots_max = 1 << fitting.max(SLOTS_MIN).ilog2();
        Self { slots: Vec::new(), len: 0, slots_max, seed, latest: None }
    }

    /// Notes a key. Returns whether there was room; if not, nothing has changed, and the pass has
    /// to do with what is noted.
    #[must_use]
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        if let Some(slot) = self.find(hash).filter(|at| self.slots[*at].offset >= 0) {
            self.slots[slot].offset = offset.0.max(self.slots[slot].offset);
            return true;
        }
        if (self.len + 1) * 100 > self.slots.len() * LOAD_PERCENT_MAX && !self.grow() {
            return false;
        }
        let free = self.find(hash).expect("a table that is not full has a free slot");
        self.slots[free] = Slot { hash, offset: offset.0 };
        self.len += 1;
        true
    }

    /// The last offset of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots[self.find(self.hash(key))?];
        (slot.offset >= 0).then_some(Offset(slot.offset))
    }

    /// Everything up to `offset` has been noted.
    pub fn reached(&mut self, offset: Offset) {
        self.latest = self.latest.max(Some(offset));
    }

    /// Everything up to this offset has been noted; `None` if nothing has.
    #[must_use]
    pub fn latest(&self) -> Option<Offset> {
        self.latest
    }

    /// How many keys are noted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the table takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// The slot of a hash, or the free one that it would go to.
    fn find(&self, hash: [u64; 2]) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let mut at = hash[0] as usize & mask;
        while self.slots[at].offset >= 0 && self.slots[at].hash != hash {
            at = (at + 1) & mask;
        }
        Some(at)
    }

    /// Doubles the table, if it may.
    fn grow(&mut self) -> bool {
        let count = (self.slots.len() * 2).max(SLOTS_MIN);
        if count > self.slots_max {
            return false;
        }
        let old = std::mem::replace(&mut self.slots, vec![Slot::FREE; count]);
        for slot in old.into_iter().filter(|slot| slot.offset >= 0) {
            let at = self.find(slot.hash).expect("the table has slots");
            self.slots[at] = slot;
        }
        true
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.seed.map(|seed| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(seed);
            hasher.write(key);
            hasher.finish()
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn memory_stays_within_its_bound_and_a_full_map_still_updates() {
        let mut map = KeyOffsets::new(100_000, [1, 2]);
        let mut noted = 0_i64;
        while map.put(&noted.to_be_bytes(), Offset(noted)) {
            noted += 1;
        }
        assert!(map.memory_bytes() <= 100_000, "{}", map.memory_bytes());
        assert!(noted > 1000, "{noted}");
        assert_eq!(map.get(&noted.to_be_bytes()), None);
        assert!(map.put(&5_i64.to_be_bytes(), Offset(99_999)));
        assert_eq!(map.get(&5_i64.to_be_bytes()), Some(Offset(99_999)));
    }

    proptest! {
        #[test]
        fn it_says_what_a_plain_map_says(
            puts in proptest::collection::vec((0..300_u16, 0..10_000_i64), 0..600),
            seed in any::<[u64; 2]>(),
        ) {
            let mut map = KeyOffsets::new(1 << 20, seed);
            let mut plain = std::collections::BTreeMap::new();
            for (key, offset) in puts {
                prop_assert!(map.put(&key.to_be_bytes(), Offset(offset)));
                let last = plain.entry(key).or_insert(offset);
                *last = offset.max(*last);
            }
            prop_assert_eq!(map.len(), plain.len());
            for key in 0..300_u16 {
                let expected = plain.get(&key).map(|offset| Offset(*offset));
                prop_assert_eq!(map.get(&key.to_be_bytes()), expected);
            }
        }
    }
}
