//! Batches in, cleaned batches out.

use super::key_offsets::KeyOffsets;
use super::transactions::{MarkerFate, TxnFates};
use crate::producer_state::ProducerBatch;
use crate::segment_index::SegmentIndex;
use crate::txn_index::TxnIndex;
use crate::validate::UNCOMPRESSED_BYTES_MAX;
use afluente_protocol::numbers::{Offset, ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    Batch, BatchBuilder, BatchHeader, BatchOptions, Compressor, Decompressor, RecordView,
    RecordsError, emptied,
};
use std::collections::BTreeMap;

/// What stays: the same for all segments of a pass.
#[derive(Debug, Clone)]
pub struct CleanRules {
    /// The time of the pass.
    pub now_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// Where the part begins that is not cleaned ([`super::Plan::first_uncleanable`]): the batch
    /// before it stays, perhaps empty, so that the log has no hole there.
    pub first_uncleanable: Offset,
    /// The last offset with data of each producer that is known, if there is one, and its epoch.
    pub last_records: BTreeMap<ProducerId, (Option<Offset>, ProducerEpoch)>,
}

/// What a pass has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Batches read.
    pub batches_read: u64,
    /// Records read.
    pub records_read: u64,
    /// Records that stay.
    pub records_kept: u64,
    /// Records without a key, which a compacted log should not have; they go.
    pub records_without_key: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes that stay.
    pub bytes_kept: u64,
}

/// A batch that cannot be cleaned: the pass is to stop and change nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not clean the batch at offset {offset}")]
pub struct CleanerError {
    /// Its base offset.
    pub offset: Offset,
    /// What is wrong with it.
    #[source]
    pub source: RecordsError,
}

/// Notes the keys of a batch of the dirty part; `fates` has seen all batches before it from
/// `first_dirty` on. Returns whether there was room: if not, the map ends before this batch.
///
/// # Errors
/// The batch cannot be read.
pub fn map_batch(
    map: &mut KeyOffsets,
    fates: &mut TxnFates,
    decompressor: &mut Decompressor,
    first_dirty: Offset,
    batch: &Batch<'_>,
) -> Result<bool, CleanerError> {
    let header = batch.header();
    let failed = |source| CleanerError { offset: header.base_offset, source };
    let producer = ProducerBatch::of(batch).map_err(failed)?;
    let is_aborted = if header.attributes.is_control() {
        fates.control(&producer, header);
        true
    } else {
        fates.data(&producer, header)
    };
    if !is_aborted {
        let section = batch.uncompressed(decompressor, UNCOMPRESSED_BYTES_MAX).map_err(failed)?;
        for record in header.skim(&section) {
            let record = record.map_err(failed)?;
            let Some(key) = record.key.filter(|_| record.offset >= first_dirty) else { continue };
            if !map.put(key, record.offset) {
                return Ok(false);
            }
        }
    }
    if header.last_offset() >= first_dirty {
        map.reached(header.last_offset());
    }
    Ok(true)
}

/// A new segment in the place of a group of old ones.
#[derive(Debug)]
pub struct CleanedSegment {
    /// Its offset and time index.
    pub index: SegmentIndex,
    /// Its aborted transactions.
    pub txns: TxnIndex,
    /// Its batches that were not taken yet.
    bytes: Vec<u8>,
}

impl CleanedSegment {
    /// An empty one that begins at `base`, the base offset of the first of the group.
    #[must_use]
    pub fn new(base: Offset) -> Self {
        Self { index: SegmentIndex::new(base), txns: TxnIndex::default(), bytes: Vec::new() }
    }

    /// Takes the bytes that were added since the last time; together they are the segment.
    #[must_use]
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Bytes that wait to be taken.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn append(&mut self, bytes: &[u8], interval_bytes: u64) -> Result<(), RecordsError> {
        self.index.append(&BatchHeader::parse(bytes)?, interval_bytes);
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// One pass over a log, from its first segment to the last that is cleaned, in order.
pub struct Cleaner {
    map: KeyOffsets,
    fates: TxnFates,
    rules: CleanRules,
    compressor: Compressor,
    decompressor: Decompressor,
    tally: Tally,
}

/// What becomes of a batch.
struct BatchFate {
    /// All its records go.
    drops_records: bool,
    /// It stays, empty, when its records are gone.
    stays_empty: bool,
    /// It is a marker whose transaction is gone: its delete horizon is set.
    is_unneeded_marker: bool,
}

impl Cleaner {
    /// Begins a pass that keeps of each key what `map` says; `fates` has seen no batch yet.
    #[must_use]
    pub fn new(map: KeyOffsets, fates: TxnFates, rules: CleanRules) -> Self {
        Self {
            map,
            fates,
            rules,
            compressor: Compressor::new(),
            decompressor: Decompressor::new(),
            tally: Tally::default(),
        }
    }

    /// Cleans the next batch into `to`.
    ///
    /// # Errors
    /// The batch cannot be read.
    pub fn clean(
        &mut self,
        batch: &Batch<'_>,
        to: &mut CleanedSegment,
    ) -> Result<(), CleanerError> {
        let waiting = to.waiting_bytes();
        self.clean_batch(batch, to)
            .map_err(|source| CleanerError { offset: batch.header().base_offset, source })?;
        self.tally.batches_read += 1;
        self.tally.bytes_read += batch.bytes().len() as u64;
        self.tally.bytes_kept += (to.waiting_bytes() - waiting) as u64;
        Ok(())
    }

    /// Ends the pass: what it has done, and up to where the log is clean now.
    #[must_use]
    pub fn finish(self) -> (Tally, Option<Offset>) {
        (self.tally, self.map.latest().map(|latest| latest.plus(1)))
    }

    fn clean_batch(
        &mut self,
        batch: &Batch<'_>,
        to: &mut CleanedSegment,
    ) -> Result<(), RecordsError> {
        let header = batch.header();
        let interval_bytes = self.rules.index_interval_bytes;
        let fate = self.decide(batch, to)?;
        if !fate.drops_records && header.record_count > 0 {
            let section = batch.uncompressed(&mut self.decompressor, UNCOMPRESSED_BYTES_MAX)?;
            let kept = keep_records(&self.map, &self.rules, header, &section, &mut self.tally)?;
            self.tally.records_kept += kept.records.len() as u64;
            let needs_horizon = (kept.has_tombstone || fate.is_unneeded_marker)
                && header.delete_horizon_ms().is_none();
            if !kept.records.is_empty() {
                if kept.is_all && !needs_horizon {
                    return to.append(batch.bytes(), interval_bytes);
                }
                let horizon_ms = if needs_horizon {
                    Some(self.rules.now_ms.saturating_add(self.rules.delete_retention_ms))
                } else {
                    header.delete_horizon_ms()
                };
                let bytes = rebuild(header, &kept.records, horizon_ms, &mut self.compressor)?;
                return to.append(&bytes, interval_bytes);
            }
        }
        if fate.stays_empty { to.append(&emptied(header), interval_bytes) } else { Ok(()) }
    }

    fn decide(
        &mut self,
        batch: &Batch<'_>,
        to: &mut CleanedSegment,
    ) -> Result<BatchFate, RecordsError> {
        let header = batch.header();
        let producer = ProducerBatch::of(batch)?;
        let is_control = header.attributes.is_control();
        let (drops_records, is_unneeded_marker) = if is_control {
            let fate = self.fates.control(&producer, header);
            if let MarkerFate::EndsAborted(txn) = fate {
                to.txns.append(txn);
            }
            let is_unneeded = fate == MarkerFate::Unneeded;
            let horizon_ms = header.delete_horizon_ms();
            (is_unneeded && horizon_ms.is_some_and(|at| at <= self.rules.now_ms), is_unneeded)
        } else {
            (self.fates.data(&producer, header), false)
        };
        let stays_empty = header.next_offset() == self.rules.first_uncleanable
            || self.is_last_of_producer(header, &producer);
        Ok(BatchFate { drops_records, stays_empty, is_unneeded_marker })
    }

    /// Whether the batch carries the newest that is known of its producer.
    fn is_last_of_producer(&self, header: &BatchHeader, producer: &ProducerBatch) -> bool {
        let known = producer.producer_id.and_then(|id| self.rules.last_records.get(&id));
        match known {
            None => false,
            Some((Some(last_data), _)) => header.last_offset() == *last_data,
            Some((None, epoch)) => {
                header.attributes.is_control() && header.producer_epoch == *epoch
            }
        }
    }
}

/// The records of a batch that stay.
struct Kept<'a> {
    records: Vec<RecordView<'a>>,
    is_all: bool,
    has_tombstone: bool,
}

fn keep_records<'a>(
    map: &KeyOffsets,
    rules: &CleanRules,
    header: &BatchHeader,
    section: &'a [u8],
    tally: &mut Tally,
) -> Result<Kept<'a>, RecordsError> {
    let is_control = header.attributes.is_control();
    let tombstones_go = header.delete_horizon_ms().is_some_and(|at| at <= rules.now_ms);
    let mut kept = Kept { records: Vec::new(), is_all: true, has_tombstone: false };
    for record in header.records(section) {
        let record = record?;
        tally.records_read += 1;
        let stays = is_control
            || match record.key {
                // Behind what was mapped: not looked at yet.
                _ if map.latest().is_none_or(|latest| record.offset > latest) => true,
                None => {
                    tally.records_without_key += 1;
                    false
                }
                Some(key) => {
                    let is_latest = map.get(key).is_none_or(|latest| record.offset >= latest);
                    is_latest && (record.value.is_some() || !tombstones_go)
                }
            };
        if stays {
            kept.has_tombstone |= !is_control && record.value.is_none();
            kept.records.push(record);
        } else {
            kept.is_all = false;
        }
    }
    Ok(kept)
}

/// A batch in the place of `header`'s with only these records: same offsets, same producer, same
/// codec.
fn rebuild(
    header: &BatchHeader,
    records: &[RecordView<'_>],
    delete_horizon_ms: Option<i64>,
    compressor: &mut Compressor,
) -> Result<bytes::Bytes, RecordsError> {
    let compression = header.attributes.codec()?.into();
    let options = BatchOptions::in_place_of(header, compression);
    let mut builder = BatchBuilder::new(BatchOptions { delete_horizon_ms, ..options });
    for record in records {
        builder.append_view(record)?;
    }
    builder.extend_to(header.last_offset())?;
    builder.finish(compressor)
}
