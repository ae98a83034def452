//! Where each leader epoch of a partition begins (KIP-101), and Kafka's file for it.
//!
//! A follower that comes back asks the leader where the epoch ends that it saw last, and cuts its
//! log there; so a record is never kept that the leader of its time did not keep.
//!
//! The file `leader-epoch-checkpoint` is text, a line each, ended by `\n`:
//!
//! ```text
//! 0            version
//! 2            how many entries follow
//! 0 0          epoch, its first offset
//! 3 1200
//! ```
//!
//! Knows nothing about the disk: bytes in, bytes out.

use crate::kafka_files::text::{TextError, TextFile};
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use std::fmt::Write as _;

/// The name of the file in a partition's directory.
pub const LEADER_EPOCH_CHECKPOINT_FILE: &str = "leader-epoch-checkpoint";

const VERSION: i32 = 0;

/// One epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset of its first record.
    pub start: Offset,
}

/// The epochs of a log, both numbers strictly rising.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    /// A partition has few epochs, and nearly all questions are about the last: a plain list.
    entries: Vec<EpochStart>,
}

impl LeaderEpochs {
    /// Notes that `epoch` begins at `start`; returns whether that changed anything. A change must
    /// be written down.
    ///
    /// Entries that contradict this one go: it comes from the leader of now.
    ///
    /// # Panics
    /// If one of the numbers is negative: that is no epoch of a log.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        assert!(epoch.0 >= 0 && start.0 >= 0, "epoch {epoch} cannot begin at offset {start}");
        if let Some(last) = self.entries.last()
            && last.epoch == epoch
            && last.start <= start
        {
            return false;
        }
        let kept = |entry: &&EpochStart| entry.epoch < epoch && entry.start < start;
        let count = self.entries.iter().rposition(|entry| kept(&entry)).map_or(0, |at| at + 1);
        self.entries.truncate(count);
        self.entries.push(EpochStart { epoch, start });
        true
    }

    /// The newest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// The oldest epoch that has records, and where they begin.
    #[must_use]
    pub fn earliest(&self) -> Option<EpochStart> {
        self.entries.first().copied()
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// Where `epoch` ends in a log that ends at `log_end`: the largest epoch that is not above it,
    /// with the offset at which the next one begins. `None` when nothing can be said: `epoch` is
    /// not given, or newer than all that are known.
    ///
    /// An epoch older than all that are known ended before the first of them began, and is
    /// answered with its own number.
    #[must_use]
    pub fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if epoch == LeaderEpoch::NONE {
            return None;
        }
        if self.latest() == Some(epoch) {
            return Some((epoch, log_end));
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let next = self.entries.get(above)?;
        let floor = above.checked_sub(1).map_or(epoch, |at| self.entries[at].epoch);
        Some((floor, next.start))
    }

    /// The epoch that the record at `offset` was written in.
    #[must_use]
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|entry| entry.start <= offset);
        above.checked_sub(1).map(|at| self.entries[at].epoch)
    }

    /// The log was cut: nothing is left from `end` on. Returns whether that changed anything.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let kept = self.entries.partition_point(|entry| entry.start < end);
        let changed = kept < self.entries.len();
        self.entries.truncate(kept);
        changed
    }

    /// The log now begins at `start`. The epoch that `start` lies in begins there too; older ones
    /// go. Returns whether that changed anything.
    pub fn truncate_from_start(&mut self, start: Offset) -> bool {
        let reached = self.entries.partition_point(|entry| entry.start <= start);
        let Some(current) = reached.checked_sub(1) else { return false };
        let changed = current > 0 || self.entries[0].start != start;
        self.entries.drain(..current);
        self.entries[0].start = start;
        changed
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The bytes of `leader-epoch-checkpoint`.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        let mut text = format!("{VERSION}\n{}\n", self.entries.len());
        for EpochStart { epoch, start } in &self.entries {
            writeln!(text, "{epoch} {start}").expect("writing to a string cannot fail");
        }
        text.into_bytes()
    }

    /// Reads the bytes of `leader-epoch-checkpoint`.
    ///
    /// Entries that do not rise are taken as Kafka takes them: a later line wins over those that
    /// contradict it.
    ///
    /// # Errors
    /// The line that is not what the format asks for.
    pub fn from_file(bytes: &[u8]) -> Result<Self, TextError> {
        let mut epochs = Self::default();
        for line in TextFile::open(bytes, VERSION)?.entries()? {
            let [epoch, start] = line.fields("an epoch and an offset")?;
            let epoch = LeaderEpoch(line.number(epoch, "an epoch", 0)?);
            epochs.assign(epoch, Offset(line.number(start, "an offset", 0)?));
        }
        Ok(epochs)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for (epoch, start) in entries {
            epochs.assign(LeaderEpoch(*epoch), Offset(*start));
        }
        epochs
    }

    fn pairs(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
        epochs.entries().iter().map(|entry| (entry.epoch.0, entry.start.0)).collect()
    }

    #[test]
    fn an_epoch_is_noted_once() {
        let mut known = epochs(&[(2, 10)]);
        assert!(!known.assign(LeaderEpoch(2), Offset(10)));
        assert!(!known.assign(LeaderEpoch(2), Offset(11)), "it began at 10");
        assert!(known.assign(LeaderEpoch(2), Offset(9)));
        assert_eq!(pairs(&known), [(2, 9)]);
    }

    #[test]
    fn a_new_epoch_removes_what_contradicts_it() {
        for (entries, (epoch, start), expected) in [
            (&[(1, 5), (2, 8)][..], (3, 8), &[(1, 5), (3, 8)][..]),
            (&[(1, 5), (2, 8)], (3, 4), &[(3, 4)]),
            (&[(1, 5), (2, 8)], (1, 9), &[(1, 9)]),
            (&[(1, 5), (2, 8)], (0, 20), &[(0, 20)]),
            (&[(1, 5), (2, 8)], (2, 6), &[(1, 5), (2, 6)]),
        ] {
            let mut known = epochs(entries);
            known.assign(LeaderEpoch(epoch), Offset(start));
            assert_eq!(pairs(&known), expected, "{entries:?} + {epoch}@{start}");
        }
    }

    #[test]
    fn the_end_of_an_epoch_is_where_the_next_one_begins() {
        let known = epochs(&[(2, 10), (4, 20), (7, 35)]);
        for (asked, expected) in [
            (-1, None),
            (0, Some((0, 10))),
            (2, Some((2, 20))),
            (3, Some((2, 20))),
            (4, Some((4, 35))),
            (6, Some((4, 35))),
            (7, Some((7, 50))),
            (8, None),
        ] {
            let end = known.end_of(LeaderEpoch(asked), Offset(50));
            assert_eq!(end.map(|(epoch, end)| (epoch.0, end.0)), expected, "epoch {asked}");
        }
        assert_eq!(LeaderEpochs::default().end_of(LeaderEpoch(0), Offset(5)), None);
    }

    #[test]
    fn an_offset_belongs_to_the_last_epoch_that_began_before_it() {
        let known = epochs(&[(2, 10), (4, 20)]);
        for (offset, epoch) in
            [(9, None), (10, Some(2)), (19, Some(2)), (20, Some(4)), (99, Some(4))]
        {
            assert_eq!(known.epoch_of(Offset(offset)).map(|epoch| epoch.0), epoch);
        }
    }

    #[test]
    fn truncation_keeps_the_epoch_that_the_border_lies_in() {
        let known = epochs(&[(2, 10), (4, 20), (7, 35)]);
        for (end, expected) in [
            (36, &[(2, 10), (4, 20), (7, 35)][..]),
            (35, &[(2, 10), (4, 20)]),
            (11, &[(2, 10)]),
            (10, &[]),
        ] {
            let mut cut = known.clone();
            assert_eq!(cut.truncate_from_end(Offset(end)), expected.len() < 3);
            assert_eq!(pairs(&cut), expected);
        }
        for (start, expected) in [
            (9, &[(2, 10), (4, 20), (7, 35)][..]),
            (10, &[(2, 10), (4, 20), (7, 35)]),
            (15, &[(2, 15), (4, 20), (7, 35)]),
            (20, &[(4, 20), (7, 35)]),
            (99, &[(7, 99)]),
        ] {
            let mut cut = known.clone();
            assert_eq!(cut.truncate_from_start(Offset(start)), start > 10);
            assert_eq!(pairs(&cut), expected);
        }
    }

    #[test]
    fn the_file_says_what_is_wrong_with_it() {
        for (text, expected) in [
            ("", "line 1: found the end of the file, expected version 0"),
            ("1\n0\n", "line 1: found \"1\", expected version 0"),
            ("0\n", "line 2: found the end of the file, expected the number of entries"),
            ("0\n-1\n", "line 2: found \"-1\", expected the number of entries"),
            (
                "0\n2\n1 2\n",
                "line 4: found the end of the file, expected 2 entries, of which 1 came before",
            ),
            (
                "0\n1\n1 2\n3 4\n",
                "line 4: found \"3 4\", expected the end of the file after 1 entries",
            ),
            ("0\n1\n1\n", "line 3: found \"1\", expected an epoch and an offset"),
            ("0\n1\n1 x\n", "line 3: found \"1 x\", expected an offset of at least 0"),
            ("0\n1\n-1 5\n", "line 3: found \"-1 5\", expected an epoch of at least 0"),
        ] {
            let error = LeaderEpochs::from_file(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_file_gives_back_what_was_written_and_no_cut_of_it_passes_in_silence(
            steps in proptest::collection::vec((0..9_i32, 0..1000_i64), 0..9),
        ) {
            let mut known = LeaderEpochs::default();
            for (epoch, start) in steps {
                known.assign(LeaderEpoch(epoch), Offset(start));
                for pair in known.entries().windows(2) {
                    prop_assert!(pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start);
                }
            }
            let file = known.to_file();
            prop_assert_eq!(LeaderEpochs::from_file(&file).unwrap(), known);
            for cut in 0..file.len() {
                prop_assert!(LeaderEpochs::from_file(&file[..cut]).is_err(), "cut at {}", cut);
            }
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = LeaderEpochs::from_file(&bytes);
        }
    }
}
