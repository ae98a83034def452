//! Offsets by time: the first record at or after a time, and the record with the latest one.
//!
//! Batches are looked at from the start of the log; only the headers of those that cannot hold the
//! answer.

use super::Partition;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::{Batch, Batches, Decompressor, OpenBatch, RecordsError};
use afluente_storage::{ReadError, ReadRequest, UpTo};
use bytes::Bytes;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampQuery {
    /// The first record at or after this time, in milliseconds.
    At(i64),
    /// The record with the latest time, the first if there are several.
    Max,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampFound {
    /// The record's offset.
    pub offset: Offset,
    /// Its time.
    pub timestamp_ms: i64,
    /// The leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// Bytes that are looked at before others get their turn.
const STEP_BYTES: usize = 1 << 20;

impl Partition {
    /// Looks for a record that consumers may see.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn offset_for_timestamp(
        &self,
        query: TimestampQuery,
    ) -> Result<Option<TimestampFound>, ReadError> {
        let mut offset = self.log().start_offset();
        let mut best: Option<TimestampFound> = None;
        loop {
            let request = ReadRequest {
                offset,
                max_bytes: STEP_BYTES,
                at_least_one_batch: true,
                up_to: UpTo::HighWatermark,
            };
            let data = self.read(request).await?;
            if data.records.is_empty() {
                return Ok(best);
            }
            for piece in data.records.pieces() {
                for batch in Batches::new(piece) {
                    let Ok(batch) = batch else { return Ok(best) };
                    match query {
                        TimestampQuery::At(time) if batch.header().max_timestamp >= time => {
                            if let Some(found) = first_at(&batch, piece, time) {
                                return Ok(Some(found));
                            }
                        }
                        TimestampQuery::Max
                            if best.is_none_or(|best| {
                                batch.header().max_timestamp > best.timestamp_ms
                            }) =>
                        {
                            best = first_at(&batch, piece, batch.header().max_timestamp).or(best);
                        }
                        _ => {}
                    }
                }
            }
            offset = data.next_offset;
            tokio::task::yield_now().await;
        }
    }
}

/// The first record of a batch at or after a time.
fn first_at(batch: &Batch<'_>, piece: &Bytes, time: i64) -> Option<TimestampFound> {
    let found = |offset: Offset, timestamp_ms: i64| TimestampFound {
        offset,
        timestamp_ms,
        leader_epoch: batch.header().partition_leader_epoch,
    };
    if batch.header().attributes.is_control() {
        return None;
    }
    let look = || -> Result<Option<TimestampFound>, RecordsError> {
        let bytes = piece.slice_ref(batch.bytes());
        let open = OpenBatch::open(&bytes, &mut Decompressor::new(), OPEN_BYTES_MAX)?;
        for record in open.views() {
            let record = record?;
            if record.timestamp >= time {
                return Ok(Some(found(record.offset, record.timestamp)));
            }
        }
        Ok(None)
    };
    // A batch whose records cannot be read still has its first offset, which is never too late.
    look().unwrap_or_else(|_| Some(found(batch.header().base_offset, batch.header().max_timestamp)))
}

/// The largest batch that is decompressed for this.
const OPEN_BYTES_MAX: usize = 256 << 20;
