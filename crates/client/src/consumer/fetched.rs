//! What a fetch returned for one partition, taken apart as it is polled.
//!
//! A batch is opened when its first record is wanted: checked, decompressed once, and then cut into
//! pieces of as many records as a poll may give. Control batches are passed over, and so are those
//! of aborted transactions when only committed ones are read: the answer names the transactions
//! that were aborted, each with its first offset; it ends with its abort marker.

use super::config::IsolationLevel;
use super::records::Piece;
use afluente_protocol::messages::fetch_response::AbortedTransaction;
use afluente_protocol::numbers::{LeaderEpoch, Offset, ProducerId};
use afluente_protocol::records::{
    Batch, BatchHeader, Batches, Decompressor, EndTxnMarker, OpenBatch, RecordsError, TxnOutcome,
};
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};

/// Whole batches that follow one another.
#[derive(Debug)]
pub(super) struct Fetched {
    /// What has not been opened.
    bytes: Bytes,
    /// What it counts for in the queue, until the last record is taken.
    pub(super) size_bytes: usize,
    aborted: VecDeque<AbortedTransaction>,
    aborted_producers: BTreeSet<ProducerId>,
    open: Option<Open>,
}

/// A batch some records of which have not been taken.
#[derive(Debug)]
struct Open {
    /// With the number of records that are left.
    header: BatchHeader,
    section: Bytes,
    next_offset: Offset,
}

/// How to read batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadOptions {
    pub(super) isolation_level: IsolationLevel,
    pub(super) checks_crcs: bool,
}

/// What was taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) pieces: Vec<Piece>,
    pub(super) count: usize,
    /// Behind what was taken or passed over, with the epoch of the last batch; `None` if nothing
    /// was.
    pub(super) position: Option<(Offset, LeaderEpoch)>,
}

/// A batch of records that takes more space than this is refused; no broker allows as much.
const UNCOMPRESSED_BYTES_MAX: usize = 1 << 30;

/// Where a fetch that follows has to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FetchEnd {
    pub(super) next_offset: Offset,
    pub(super) leader_epoch: LeaderEpoch,
}

impl Fetched {
    /// Takes the whole batches of `bytes`; `None` if there is not one. What is cut off at the end is
    /// dropped.
    ///
    /// # Errors
    /// What does not look like a batch.
    pub(super) fn new(
        bytes: Bytes,
        aborted: Option<Vec<AbortedTransaction>>,
    ) -> Result<Option<(Self, FetchEnd)>, RecordsError> {
        let mut batches = Batches::new(&bytes);
        let mut last = None;
        for batch in batches.by_ref() {
            match batch {
                Ok(batch) => last = Some(*batch.header()),
                Err(RecordsError::Truncated { .. }) => break,
                Err(error) if last.is_none() => return Err(error),
                // What is before it can be read; the next fetch begins with it.
                Err(_) => break,
            }
        }
        let Some(last) = last else { return Ok(None) };
        let end =
            FetchEnd { next_offset: last.next_offset(), leader_epoch: last.partition_leader_epoch };
        let size_bytes = batches.position();
        let bytes = bytes.slice(..size_bytes);
        let mut aborted = aborted.unwrap_or_default();
        aborted.sort_by_key(|transaction| transaction.first_offset);
        let fetched = Self {
            bytes,
            size_bytes,
            aborted: aborted.into(),
            aborted_producers: BTreeSet::new(),
            open: None,
        };
        Ok(Some((fetched, end)))
    }

    /// Takes up to `max` records from `position` on.
    ///
    /// # Errors
    /// What is wrong with the next batch or record, and only if nothing before it could be taken.
    pub(super) fn take(
        &mut self,
        position: Offset,
        max: usize,
        options: ReadOptions,
        decompressor: &mut Decompressor,
    ) -> Result<Taken, RecordsError> {
        let mut taken = Taken::default();
        while taken.count < max {
            let step = match &mut self.open {
                Some(open) => {
                    let is_done = open.take(position, max, &mut taken);
                    if let Ok(true) = is_done {
                        self.open = None;
                    }
                    is_done.map(|_| true)
                }
                None => self.open_next(position, options, decompressor, &mut taken),
            };
            match step {
                Ok(true) => {}
                Ok(false) => break,
                // It comes again when it is first.
                Err(_) if taken.position.is_some() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none() && self.bytes.is_empty()
    }

    /// Opens the next batch, or passes it over; gives false if there is none.
    fn open_next(
        &mut self,
        position: Offset,
        options: ReadOptions,
        decompressor: &mut Decompressor,
        taken: &mut Taken,
    ) -> Result<bool, RecordsError> {
        if self.bytes.is_empty() {
            return Ok(false);
        }
        let batch = Batch::parse(&self.bytes)?;
        let header = *batch.header();
        let size = header.size_bytes();
        // Before anything is believed of it, also that it may be passed over.
        if options.checks_crcs {
            batch.verify_crc()?;
        }
        header.check_shape()?;
        if header.next_offset() > position {
            let is_wanted = match options.isolation_level {
                IsolationLevel::ReadCommitted if header.has_producer_id() => {
                    self.is_committed(&header, decompressor)?
                }
                _ => true,
            };
            if is_wanted && !header.attributes.is_control() {
                let open = OpenBatch::open(&self.bytes, decompressor, UNCOMPRESSED_BYTES_MAX)?;
                self.open = Some(Open {
                    header,
                    section: open.section().clone(),
                    next_offset: header.next_offset(),
                });
            } else {
                taken.position = Some((header.next_offset(), header.partition_leader_epoch));
            }
        }
        self.bytes = self.bytes.slice(size..);
        Ok(true)
    }

    /// Whether a batch of a producer with an id is of no aborted transaction; goes from transaction
    /// to transaction with it.
    fn is_committed(
        &mut self,
        header: &BatchHeader,
        decompressor: &mut Decompressor,
    ) -> Result<bool, RecordsError> {
        while let Some(next) = self.aborted.front()
            && next.first_offset <= header.last_offset().0
        {
            self.aborted_producers.insert(ProducerId(next.producer_id));
            self.aborted.pop_front();
        }
        if header.attributes.is_control() {
            let open = OpenBatch::open(&self.bytes, decompressor, UNCOMPRESSED_BYTES_MAX)?;
            if let Some(record) = open.views().next()
                && let Some(marker) = EndTxnMarker::parse(&record?)?
                && marker.outcome == TxnOutcome::Abort
            {
                self.aborted_producers.remove(&header.producer_id);
            }
            return Ok(true);
        }
        let is_aborted = header.attributes.is_transactional()
            && self.aborted_producers.contains(&header.producer_id);
        Ok(!is_aborted)
    }
}

impl Open {
    /// Takes records until there are `max` or none is left; says whether none is left.
    fn take(
        &mut self,
        position: Offset,
        max: usize,
        taken: &mut Taken,
    ) -> Result<bool, RecordsError> {
        let mut records = self.header.records(&self.section);
        let at = |left: &[u8]| self.section.len() - left.len();
        let (mut start, mut end) = (0, 0);
        let (mut passed, mut count) = (0, 0);
        let mut reached = position;
        let mut fault = None;
        let mut is_done = false;
        while taken.count + count < max {
            let record = match records.next() {
                Some(Ok(record)) => record,
                Some(Err(error)) => {
                    fault = Some(error);
                    break;
                }
                None => {
                    is_done = true;
                    break;
                }
            };
            end = at(records.remaining());
            if count == 0 && record.offset < position {
                start = end;
                passed += 1;
            } else {
                count += 1;
                reached = record.offset.plus(1);
            }
        }
        if passed + count == 0 && !is_done {
            return fault.map_or(Ok(false), Err);
        }
        let left = usize::try_from(self.header.record_count).unwrap_or(0) - passed - count;
        if count > 0 {
            let mut header = self.header;
            header.record_count = number(count);
            taken.pieces.push(Piece { header, section: self.section.slice(start..end) });
            taken.count += count;
        }
        // The last record may be followed by offsets of which compaction removed the records.
        is_done |= left == 0 && records.remaining().is_empty() && fault.is_none();
        let next = if is_done { self.next_offset } else { reached };
        if count > 0 || is_done {
            taken.position = Some((next, self.header.partition_leader_epoch));
        }
        self.section = self.section.slice(end..);
        self.header.record_count = number(left);
        // A fault is met again when nothing comes before it.
        Ok(is_done)
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).expect("it counts records of a batch, which has no more")
}

#[cfg(test)]
mod tests;
