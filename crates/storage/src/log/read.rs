//! Reading: from memory at once, or a word that the disk is needed.

use super::Log;
use super::state::LogState;
use crate::read::{ColdRead, ReadData, ReadError, ReadOutcome, ReadRequest, UpTo};
use crate::txn_index::AbortedTxn;
use afluente_protocol::numbers::Offset;
use afluente_protocol::rope::Records;

impl Log {
    /// Reads whole batches. Never waits: what is in memory comes at once, else the answer is what
    /// to ask [`Log::read_cold`] for.
    ///
    /// # Errors
    /// The offset is not in the log, or the log was deleted.
    pub fn read(&self, request: ReadRequest) -> Result<ReadOutcome, ReadError> {
        let state = self.state.lock();
        let limits = self.limits(&state, &request)?;
        let first_in_memory = state.chunks.front().map_or(state.end(), |chunk| chunk.base);
        if request.offset >= limits.up_to {
            return Ok(ReadOutcome::Data(limits.data(Records::default(), request.offset)));
        }
        if request.offset < first_in_memory {
            self.dir.tail.missed(bytes_behind(&state, request.offset));
            return Ok(ReadOutcome::Cold(ColdRead { request }));
        }
        let (records, next_offset) = from_chunks(&state, &request, limits.up_to);
        let mut data = limits.data(records, next_offset);
        if request.up_to == UpTo::LastStable {
            data.aborted = aborted_between(&state, request.offset, next_offset);
        }
        Ok(ReadOutcome::Data(data))
    }

    /// What a read may see now; an error if it begins outside of that.
    pub(crate) fn limits(
        &self,
        state: &LogState,
        request: &ReadRequest,
    ) -> Result<Limits, ReadError> {
        if state.deleted {
            return Err(ReadError::Deleted);
        }
        let limits = Limits {
            start: self.start_offset(),
            high_watermark: self.high_watermark(),
            last_stable: self.last_stable_offset(),
            up_to: match request.up_to {
                UpTo::LogEnd => state.end(),
                UpTo::HighWatermark => self.high_watermark(),
                UpTo::LastStable => self.last_stable_offset(),
            },
        };
        // A reader may ask for what is not committed yet, and wait; but not beyond the log.
        if request.offset < limits.start || request.offset > state.end() {
            return Err(ReadError::OffsetOutOfRange {
                offset: request.offset.0,
                start: limits.start.0,
                end: state.end().0,
            });
        }
        Ok(limits)
    }
}

/// About how many bytes were appended since `offset`; very many if it is in an older segment.
fn bytes_behind(state: &LogState, offset: Offset) -> u64 {
    let active = state.active();
    let records = |from: Offset| u64::try_from(state.end().0 - from.0).unwrap_or(0);
    if offset < active.base {
        return u64::MAX;
    }
    active.size / records(active.base).max(1) * records(offset)
}

/// What a reader may see.
pub(crate) struct Limits {
    pub(crate) start: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) last_stable: Offset,
    pub(crate) up_to: Offset,
}

impl Limits {
    pub(crate) fn data(&self, records: Records, next_offset: Offset) -> ReadData {
        ReadData {
            records,
            next_offset,
            high_watermark: self.high_watermark,
            last_stable_offset: self.last_stable,
            start_offset: self.start,
            aborted: Vec::new(),
        }
    }
}

/// The batches from `request.offset` on that are in memory.
fn from_chunks(state: &LogState, request: &ReadRequest, up_to: Offset) -> (Records, Offset) {
    let mut records = Records::default();
    let mut next_offset = request.offset;
    let mut left = request.max_bytes;
    let first = state.chunks.partition_point(|chunk| chunk.end <= request.offset);
    for chunk in state.chunks.range(first..) {
        let start =
            if chunk.base < request.offset { chunk.find(request.offset) } else { chunk.head };
        let at_least_one = request.at_least_one_batch && records.is_empty();
        let (range, end) = chunk.extent(start, left, up_to, at_least_one);
        if range.is_empty() {
            break;
        }
        left = left.saturating_sub(range.len());
        let reached_the_end = range.end == chunk.len();
        records.push(chunk.reader().bytes(range));
        next_offset = end;
        if !reached_the_end || left == 0 {
            break;
        }
    }
    (records, next_offset)
}

/// The aborted transactions of which a reader of these offsets meets records.
pub(crate) fn aborted_between(state: &LogState, from: Offset, to: Offset) -> Vec<AbortedTxn> {
    let mut found = Vec::new();
    let first = state.segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
    for segment in &state.segments[first..] {
        if let Some(aborted) = &segment.aborted
            && aborted.collect(from, to, &mut found)
        {
            break;
        }
    }
    found
}
