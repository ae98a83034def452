//! What a power cut decides: which of the writes and names that nobody synced are there afterwards.

use super::contents::WriteId;
use crate::rng::Rng;
use std::collections::BTreeMap;

/// One power cut: a mood, and the decisions made so far.
pub(super) struct PowerCut<'a> {
    rng: &'a Rng,
    mood: Mood,
    fates: BTreeMap<WriteId, Fate>,
}

/// What becomes of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Lost,
    /// Each sector for itself.
    Torn,
}

/// Extremes are as frequent as mixtures: independent coins alone would almost never lose all of
/// ten writes, or none.
#[derive(Debug, Clone, Copy)]
enum Mood {
    LoseAll,
    KeepAll,
    /// Names in the order in which they were made, as a journaling file system has them; data
    /// each for itself.
    OrderedNames,
    /// Everything for itself.
    Chaos,
}

impl<'a> PowerCut<'a> {
    pub(super) fn new(rng: &'a Rng) -> Self {
        let mood = match rng.range(0..8) {
            0 | 1 => Mood::LoseAll,
            2 => Mood::KeepAll,
            3..=5 => Mood::OrderedNames,
            _ => Mood::Chaos,
        };
        Self { rng, mood, fates: BTreeMap::new() }
    }

    pub(super) fn fate_of(&mut self, write: WriteId) -> Fate {
        match self.mood {
            Mood::LoseAll => Fate::Lost,
            Mood::KeepAll => Fate::Kept,
            Mood::OrderedNames | Mood::Chaos => {
                *self.fates.entry(write).or_insert_with(|| match self.rng.range(0..4) {
                    0 | 1 => Fate::Kept,
                    2 => Fate::Lost,
                    _ => Fate::Torn,
                })
            }
        }
    }

    /// How many of `count` changes in a row are kept.
    pub(super) fn prefix_of(&self, count: usize) -> usize {
        match self.mood {
            Mood::LoseAll => 0,
            Mood::KeepAll => count,
            Mood::OrderedNames | Mood::Chaos => self.rng.index(count + 1),
        }
    }

    /// Whether a mood applies in which names may be kept in another order than they were made.
    pub(super) fn shuffles_names(&self) -> bool {
        matches!(self.mood, Mood::Chaos)
    }

    pub(super) fn coin(&self) -> bool {
        self.rng.chance(0.5)
    }
}
