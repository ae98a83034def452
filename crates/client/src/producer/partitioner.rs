//! Which partition a record goes to, where its sender does not say.
//!
//! * A record with a key goes where Kafka's Java client puts it: [`murmur2`] of the key, modulo the
//!   number of partitions. Programs in both languages agree on the place of a key.
//! * A record without a key sticks to the partition of the last one until about `batch.size` bytes
//!   went there, so that batches get full (KIP-794). The next partition is drawn at random; with
//!   `partitioner.adaptive.partitioning.enable`, one that lags behind is drawn less often.
//! * `partitioner.class` may ask for round robin instead: `RoundRobinPartitioner`.
//!
//! Decides on numbers alone: knows nothing about batches, brokers or the network.

use afluente_env::rng::Rng;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

/// How partitions are chosen, by `partitioner.class`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Partitioner {
    /// By the key; without one, sticky (KIP-794). What Kafka does when nothing is configured.
    #[default]
    Default,
    /// One after the other, with a key or without: `RoundRobinPartitioner`.
    RoundRobin,
}

/// The 32 bit hash of Kafka's Java client, seed included.
#[must_use]
pub fn murmur2(key: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // Only the low 32 bits of the length count, as in Java, where it has no more.
    #[allow(clippy::cast_possible_truncation, reason = "Java's arrays have no longer lengths")]
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (place, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

/// The partition of a key in a topic of `count` partitions.
///
/// # Panics
/// If there is no partition.
#[must_use]
pub fn partition_of_key(key: &[u8], count: i32) -> i32 {
    assert!(count > 0, "a topic has at least one partition");
    (murmur2(key) & i32::MAX) % count
}

/// The state of a topic's records without keys.
#[derive(Debug)]
pub(crate) struct Unkeyed {
    /// Where records stick to at present; -1 before the first one.
    partition: AtomicI32,
    /// Bytes that went there since it was drawn.
    bytes: AtomicU32,
    turn: AtomicUsize,
}

/// What is known about a partition when the next one is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// Batches that wait to be sent there.
    pub(crate) batches_queued: u32,
    /// Whether it has a leader, and one that takes requests.
    pub(crate) is_available: bool,
}

impl Unkeyed {
    /// Nothing drawn yet.
    pub(crate) fn new() -> Self {
        Self { partition: AtomicI32::new(-1), bytes: AtomicU32::new(0), turn: AtomicUsize::new(0) }
    }

    /// The partition that records stick to, drawn by `draw` if there is none yet.
    pub(crate) fn sticky(&self, draw: impl FnOnce() -> i32) -> i32 {
        match self.partition.load(Ordering::Relaxed) {
            -1 => {
                let drawn = draw();
                match self.partition.compare_exchange(
                    -1,
                    drawn,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => drawn,
                    Err(other) => other,
                }
            }
            partition => partition,
        }
    }

    /// Counts `bytes` that went to `partition`, and draws another one once it had enough.
    ///
    /// It is left at the end of a batch if it can be (`batch_ended`), so that no batch stays half
    /// full; but not beyond twice `batch_bytes`, so that a batch that never ends, for it is sent
    /// before it is full, does not keep all records in one place.
    pub(crate) fn went(
        &self,
        partition: i32,
        bytes: u32,
        batch_ended: bool,
        batch_bytes: u32,
        draw: impl FnOnce() -> i32,
    ) {
        if self.partition.load(Ordering::Relaxed) != partition {
            // Somebody else has drawn another one since.
            return;
        }
        let sum = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let is_enough = sum >= batch_bytes && batch_ended || sum >= batch_bytes.saturating_mul(2);
        if is_enough {
            let next = draw();
            let swapped = self.partition.compare_exchange(
                partition,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if swapped.is_ok() {
                self.bytes.store(0, Ordering::Relaxed);
            }
        }
    }

    /// The next partition in turn, of those that `is_available`; of all if none is.
    pub(crate) fn in_turn(&self, count: usize, is_available: impl Fn(usize) -> bool) -> usize {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..count)
            .map(|step| first.wrapping_add(step) % count)
            .find(|at| is_available(*at))
            .unwrap_or(first % count)
    }
}

/// Draws a partition: each available one as likely as the others, or, with `adaptive`, the more
/// likely the fewer batches wait for it. If none is available, any.
pub(crate) fn draw(
    loads: impl Iterator<Item = Load> + Clone,
    count: usize,
    adaptive: bool,
    rng: &Rng,
) -> usize {
    // The weight of a partition is how much shorter its queue is than the longest one, plus one.
    let available = || loads.clone().enumerate().filter(|(_, load)| load.is_available);
    let longest = if adaptive {
        available().map(|(_, load)| load.batches_queued).max().unwrap_or(0)
    } else {
        0
    };
    let weight = |load: &Load| u64::from(longest.saturating_sub(load.batches_queued)) + 1;
    let total: u64 = available().map(|(_, load)| weight(&load)).sum();
    if total == 0 {
        return rng.index(count);
    }
    let mut left = rng.range(0..total);
    for (at, load) in available() {
        let weight = weight(&load);
        if left < weight {
            return at;
        }
        left -= weight;
    }
    // The queues have changed between the two looks at them.
    rng.index(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_java() {
        // Printed by tests/java/Partitions.java from Apache Kafka 4.3.1; tests/it compares more.
        for (key, hash, count, partition) in [
            (&b""[..], 275_646_681, 7, 2),
            (b"a", -1_563_381_124, 7, 5),
            (b"ab", 316_155_434, 7, 0),
            (b"abc", 479_470_107, 7, 4),
            (b"abcd", -1_323_649_548, 7, 5),
            (b"abcde", 461_995_741, 12, 1),
            (b"\xff", -311_467_685, 3, 0),
            (b"\x80\xff\x7f\0", -1_282_299_421, 100, 27),
            (b"key-42", -187_086_521, 6, 3),
        ] {
            assert_eq!(murmur2(key), hash, "{key:?}");
            assert_eq!(partition_of_key(key, count), partition, "{key:?}");
        }
    }

    #[test]
    fn records_without_keys_stick_until_a_batch_is_full() {
        let unkeyed = Unkeyed::new();
        assert_eq!(unkeyed.sticky(|| 3), 3);
        assert_eq!(unkeyed.sticky(|| unreachable!("it sticks")), 3);
        unkeyed.went(3, 99, true, 100, || unreachable!("not full"));
        unkeyed.went(3, 50, false, 100, || unreachable!("the batch goes on"));
        unkeyed.went(9, 500, true, 100, || unreachable!("another partition"));
        unkeyed.went(3, 1, true, 100, || 4);
        assert_eq!(unkeyed.sticky(|| unreachable!()), 4);
        unkeyed.went(4, 199, false, 100, || unreachable!("below twice"));
        unkeyed.went(4, 1, false, 100, || 5);
        assert_eq!(unkeyed.sticky(|| unreachable!()), 5);
    }

    #[test]
    fn round_robin_passes_over_what_is_not_available() {
        let unkeyed = Unkeyed::new();
        let turns: Vec<_> = (0..6).map(|_| unkeyed.in_turn(3, |at| at != 1)).collect();
        assert_eq!(turns, [0, 2, 2, 0, 2, 2]);
        assert_eq!(unkeyed.in_turn(3, |_| false), 0);
    }

    #[test]
    fn a_partition_that_lags_is_drawn_less_often() {
        let rng = Rng::seeded(1);
        let loads = [(0, true), (9, true), (0, false), (4, true)]
            .map(|(batches_queued, is_available)| Load { batches_queued, is_available });
        let mut drawn = [0_i32; 4];
        for _ in 0..17_000 {
            drawn[draw(loads.iter().copied(), 4, true, &rng)] += 1;
        }
        // Weights 10, 1, none, 6.
        for (at, expected) in [(0, 10_000), (1, 1_000), (2, 0), (3, 6_000)] {
            assert!((drawn[at] - expected).abs() < 400, "{drawn:?}");
        }
        let mut drawn = [0; 4];
        for _ in 0..3_000 {
            drawn[draw(loads.iter().copied(), 4, false, &rng)] += 1;
        }
        assert!(drawn[2] == 0 && drawn[0] > 800 && drawn[1] > 800 && drawn[3] > 800, "{drawn:?}");
        let none = [Load { batches_queued: 0, is_available: false }; 2];
        assert!(draw(none.iter().copied(), 2, true, &rng) < 2);
    }
}
