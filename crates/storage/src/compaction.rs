//! Compaction, the deciding part: which part of a log is worth cleaning, and what stays of it.
//!
//! A pass over a log (Kafka's log cleaner):
//!
//! 1. [`plan`] says from which offset the log is dirty, up to where it may be cleaned, and whether
//!    that is worth it.
//! 2. [`map_batch`] goes over the dirty part and notes the last offset of each key in
//!    [`KeyOffsets`], until the part ends or the memory is full.
//! 3. [`group`] puts the segments below that point together into new ones.
//! 4. [`Cleaner`] goes over all of them and gives, for each group, the batches that stay, with new
//!    indexes.
//!
//! Offsets never change: a record that stays keeps its own, a batch keeps its first and last. What
//! goes: records that a later one of the same key has replaced, records of aborted transactions,
//! tombstones and transaction markers whose delete horizon has passed. The horizon is set, in the
//! batch header, when compaction first meets the batch (KIP-534). The last batch of each producer
//! stays, perhaps empty, so that its sequence numbers are not forgotten.
//!
//! Knows nothing about files: batches in, bytes out; the engine reads, writes and swaps.

mod clean;
mod key_offsets;
mod transactions;

pub use clean::{CleanRules, CleanedSegment, Cleaner, CleanerError, Tally, map_batch};
pub use key_offsets::KeyOffsets;
pub use transactions::TxnFates;

use crate::log_config::LogConfig;
use afluente_protocol::numbers::Offset;
use std::ops::Range;

/// What is known of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Its base offset.
    pub base: Offset,
    /// The size of its batches.
    pub size_bytes: u64,
    /// The size of its offset index.
    pub offset_index_bytes: u64,
    /// The size of its time index.
    pub time_index_bytes: u64,
    /// The timestamp of its first batch, in milliseconds, if it has one.
    pub first_timestamp_ms: Option<i64>,
    /// Its greatest timestamp, in milliseconds; where it has none, when its file was written last.
    pub newest_timestamp_ms: i64,
}

/// What is known of a log.
#[derive(Debug, Clone, Copy)]
pub struct LogFacts<'a> {
    /// Its segments; the last one is active.
    pub segments: &'a [SegmentFacts],
    /// Its first offset.
    pub start: Offset,
    /// The offset after its last.
    pub end: Offset,
    /// The last stable offset, at most the high watermark: above it, transactions are open or not
    /// replicated.
    pub last_stable: Offset,
    /// Up to where it was cleaned, if it ever was.
    pub cleaned_to: Option<Offset>,
}

/// What a pass would do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Where the part begins that was never cleaned.
    pub first_dirty: Offset,
    /// Where the part begins that must not be cleaned yet; the base offset of a segment.
    pub first_uncleanable: Offset,
    /// Bytes between the two.
    pub dirty_bytes: u64,
    /// The part of the cleanable log that is dirty, from 0 to 1.
    pub dirty_ratio: f64,
    /// Whether a record has waited for `max.compaction.lag.ms`.
    pub is_overdue: bool,
    /// Whether the pass is worth it: it is overdue, or dirtier than `min.cleanable.dirty.ratio`.
    pub is_due: bool,
}

/// What a pass over the log would do now.
#[must_use]
pub fn plan(log: &LogFacts<'_>, config: &LogConfig, now_ms: i64) -> Plan {
    let first_dirty = first_dirty(log);
    let first_uncleanable = first_uncleanable(log, first_dirty, config, now_ms);
    let bytes = |from: Offset, to: Offset| -> u64 {
        let inside = |segment: &&SegmentFacts| from <= segment.base && segment.base < to;
        log.segments.iter().filter(inside).map(|segment| segment.size_bytes).sum()
    };
    // A segment that is dirty only in its second half counts as dirty.
    let dirty_from = segment_of(log, first_dirty).min(first_uncleanable);
    let dirty_bytes = bytes(dirty_from, first_uncleanable);
    let clean_bytes = bytes(Offset(i64::MIN), dirty_from);
    let dirty_ratio = match dirty_bytes + clean_bytes {
        0 => 0.0,
        #[expect(clippy::cast_precision_loss, reason = "a ratio need not be exact")]
        total => dirty_bytes as f64 / total as f64,
    };
    let is_overdue = is_overdue(log, first_dirty, config, now_ms) && dirty_bytes > 0;
    let is_due = is_overdue || dirty_ratio > config.min_cleanable_dirty_ratio;
    Plan { first_dirty, first_uncleanable, dirty_bytes, dirty_ratio, is_overdue, is_due }
}

/// Puts neighbours together into groups that fit into one segment each. `segments` are those to be
/// cleaned, in order; the part to be cleaned ends before `first_uncleanable`.
#[must_use]
pub fn group(
    segments: &[SegmentFacts],
    config: &LogConfig,
    first_uncleanable: Offset,
) -> Vec<Range<usize>> {
    let segment_bytes_max = u64::try_from(config.segment_bytes).unwrap_or(0);
    let index_bytes_max = u64::try_from(config.segment_index_bytes).unwrap_or(0);
    let mut groups = Vec::new();
    let mut begin = 0;
    while begin < segments.len() {
        let base = segments[begin].base;
        let (mut size, mut offsets, mut times) = (0, 0, 0);
        let fits = |(at, segment): &(usize, &SegmentFacts)| {
            size += segment.size_bytes;
            offsets += segment.offset_index_bytes;
            times += segment.time_index_bytes;
            let end = segments.get(at + 1).map_or(first_uncleanable, |next| next.base);
            let spans = end.0.saturating_sub(1).saturating_sub(base.0);
            size <= segment_bytes_max
                && offsets <= index_bytes_max
                && times <= index_bytes_max
                && (segment.size_bytes == 0 || spans <= i64::from(i32::MAX))
        };
        let count = segments.iter().enumerate().skip(begin).take_while(fits).count();
        // A segment that is too large alone is a group of its own.
        let end = begin + count.max(1);
        groups.push(begin..end);
        begin = end;
    }
    groups
}

/// Where the part begins that was never cleaned. A mark outside of the log is of an earlier life of
/// it: begin again.
fn first_dirty(log: &LogFacts<'_>) -> Offset {
    let first_base = log.segments.first().map_or(log.start, |segment| segment.base);
    let start = log.start.max(first_base);
    match log.cleaned_to {
        Some(cleaned_to) if start <= cleaned_to && cleaned_to <= log.end => cleaned_to,
        _ => start,
    }
}

/// The base offset of the segment that holds `offset`.
fn segment_of(log: &LogFacts<'_>, offset: Offset) -> Offset {
    let above = log.segments.partition_point(|segment| segment.base <= offset);
    above.checked_sub(1).map_or(offset, |at| log.segments[at].base)
}

/// The first segment that is active, or holds something unstable, or something that is too young.
fn first_uncleanable(
    log: &LogFacts<'_>,
    first_dirty: Offset,
    config: &LogConfig,
    now_ms: i64,
) -> Offset {
    let Some((active, closed)) = log.segments.split_last() else { return first_dirty };
    let too_young = |segment: &&SegmentFacts| {
        config.min_compaction_lag_ms > 0
            && segment.base >= segment_of(log, first_dirty)
            && segment.newest_timestamp_ms > now_ms.saturating_sub(config.min_compaction_lag_ms)
    };
    let young = closed.iter().find(too_young).map_or(active.base, |segment| segment.base);
    let limit = log.last_stable.min(young).min(active.base);
    // Only whole segments are cleaned.
    segment_of(log, limit.max(first_dirty)).min(active.base)
}

fn is_overdue(log: &LogFacts<'_>, first_dirty: Offset, config: &LogConfig, now_ms: i64) -> bool {
    let lag_ms = config.max_compaction_lag_ms.max(config.min_compaction_lag_ms);
    let Some((_, closed)) = log.segments.split_last() else { return false };
    let dirty_from = segment_of(log, first_dirty);
    let dirty = closed.iter().filter(|segment| segment.base >= dirty_from);
    let oldest = dirty.filter_map(|segment| segment.first_timestamp_ms).filter(|at| *at > 0).min();
    oldest.is_some_and(|oldest| oldest < now_ms.saturating_sub(lag_ms))
}

#[cfg(test)]
mod tests;
