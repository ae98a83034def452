//! Finding a record by its timestamp (`ListOffsets`).

use super::Log;
use crate::read::{ReadError, ReadOutcome, ReadRequest, UpTo};
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::{Batch, Batches, Decompressor, OpenBatch};
use bytes::Bytes;
use std::sync::Arc;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampQuery {
    /// The first record whose timestamp, in milliseconds, is this or greater.
    At(i64),
    /// The first of the records with the greatest timestamp.
    Max,
}

/// The record that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampFound {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp, in milliseconds.
    pub timestamp_ms: i64,
    /// The leader epoch that it was written in.
    pub leader_epoch: LeaderEpoch,
}

const PIECE_BYTES: usize = 1 << 20;

impl Log {
    /// Looks for a record by timestamp on a thread of the directory, and calls `done` there: `None`
    /// if there is no such record.
    pub fn offset_for_timestamp(
        self: &Arc<Self>,
        query: TimestampQuery,
        done: impl FnOnce(Result<Option<TimestampFound>, ReadError>) + Send + 'static,
    ) {
        let log = Arc::clone(self);
        let job = move |_: &crate::log_dir::Shared| done(log.find_timestamp(query));
        self.dir.cold.submit(self.id(), Box::new(job));
    }

    fn find_timestamp(
        self: &Arc<Self>,
        query: TimestampQuery,
    ) -> Result<Option<TimestampFound>, ReadError> {
        let start = self.start_offset();
        let (from, target_ms) = {
            let state = self.state.lock();
            if state.deleted {
                return Err(ReadError::Deleted);
            }
            let live = |index: usize| {
                let next = state.segments.get(index + 1).map_or(state.end(), |next| next.base);
                next > start
            };
            let mut newest = state
                .segments
                .iter()
                .enumerate()
                .filter(|(index, _)| live(*index))
                .filter_map(|(_, segment)| Some((segment.base, segment.newest?)));
            let found = match query {
                TimestampQuery::At(at_ms) => newest
                    .find(|(_, newest)| newest.timestamp_ms >= at_ms)
                    .map(|(base, _)| (base, at_ms)),
                TimestampQuery::Max => newest
                    .reduce(|a, b| if b.1.timestamp_ms > a.1.timestamp_ms { b } else { a })
                    .map(|(base, newest)| (base, newest.timestamp_ms)),
            };
            let Some((base, target_ms)) = found else { return Ok(None) };
            (base.max(start), target_ms)
        };
        self.first_at_or_after(from, target_ms)
    }

    /// The first record from `from` on whose timestamp is `target_ms` or greater.
    fn first_at_or_after(
        self: &Arc<Self>,
        from: Offset,
        target_ms: i64,
    ) -> Result<Option<TimestampFound>, ReadError> {
        let mut offset = from;
        loop {
            let request = ReadRequest {
                offset,
                max_bytes: PIECE_BYTES,
                at_least_one_batch: true,
                up_to: UpTo::LogEnd,
            };
            let data = match self.read(request)? {
                ReadOutcome::Data(data) => data,
                ReadOutcome::Cold(cold) => self.read_segments(&cold.request)?,
            };
            if data.next_offset <= offset {
                return Ok(None);
            }
            let bytes = data.records.into_bytes();
            for batch in Batches::new(&bytes) {
                let batch = batch.map_err(|error| self.unreadable(error.to_string()))?;
                if batch.header().max_timestamp < target_ms || batch.header().last_offset() < from {
                    continue;
                }
                if let Some(found) = self.first_in_batch(&bytes, &batch, from, target_ms)? {
                    return Ok(Some(found));
                }
            }
            offset = data.next_offset;
        }
    }

    fn first_in_batch(
        &self,
        bytes: &Bytes,
        batch: &Batch<'_>,
        from: Offset,
        target_ms: i64,
    ) -> Result<Option<TimestampFound>, ReadError> {
        let leader_epoch = batch.header().partition_leader_epoch;
        let unreadable =
            |error: afluente_protocol::records::RecordsError| self.unreadable(error.to_string());
        let batch = bytes.slice_ref(batch.bytes());
        let max = crate::validate::UNCOMPRESSED_BYTES_MAX;
        let open = OpenBatch::open(&batch, &mut Decompressor::new(), max).map_err(unreadable)?;
        for record in open.views() {
            let record = record.map_err(unreadable)?;
            if record.timestamp >= target_ms && record.offset >= from {
                let (offset, timestamp_ms) = (record.offset, record.timestamp);
                return Ok(Some(TimestampFound { offset, timestamp_ms, leader_epoch }));
            }
        }
        Ok(None)
    }

    fn unreadable(&self, found: String) -> ReadError {
        ReadError::Storage(crate::StorageError::Corrupt {
            path: self.directory(),
            position: 0,
            expected: "record batches that can be read".to_owned(),
            found,
            remedy: crate::cold_read::READ_REMEDY,
        })
    }
}
