//! Compaction: reading, writing and putting new segments in the place of old ones. What stays is
//! decided in [`crate::compaction`].
//!
//! A new segment is written under names of its own (`….<generation>.cleaned`) and synced. Then, with
//! the log's files locked, it takes the place of the old ones in the state, and a record for the
//! checkpoint says so. Once that is durable, the new files are renamed over the old ones and the
//! others of the group are removed. Where a crash falls:
//!
//! | before | is found |
//! |---|---|
//! | the record | the old segments; the new files are worth nothing and are written over |
//! | the renaming | the new segment, under its own names: the start finishes the renaming |
//! | the removal | the old files, named as doomed by the same checkpoint: the start removes them |
//!
//! Readers that are in an old file stay there; its name is gone, its bytes are not.

use super::Log;
use super::cold::Walk;
use super::flush::{Extent, byte_count};
use crate::checkpoint::Record;
use crate::compaction::{
    CleanRules, CleanedSegment, Cleaner, CleanerError, KeyOffsets, LogFacts, SegmentFacts,
    TxnFates, group, map_batch, plan,
};
use crate::error::{IoContext, StorageError};
use crate::log_config::LogConfig;
use crate::log_dir::write_file;
use crate::segment::{Segment, SegmentName};
use afluente_env::disk::{Access, OpenHow, write_all_at};
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::{Batch, Decompressor};
use afluente_stdx::aligned_buf::AlignedBuf;
use afluente_stdx::crc32c::crc32c;
use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::Arc;

/// New bytes are written in pieces of this size.
const WRITE_BYTES: usize = 1 << 20;

/// A closed segment as it was when the pass began.
struct Old {
    name: SegmentName,
    size: u64,
    facts: SegmentFacts,
}

/// A pass over a log, as it was decided.
struct Pass {
    /// The closed segments that are read.
    old: Vec<Old>,
    /// What stays of them.
    rules: CleanRules,
    /// Where the part begins that was never cleaned.
    first_dirty: Offset,
    /// How the transactions in them ended; the markers may lie in segments that are not read.
    fates: TxnFates,
    config: Arc<LogConfig>,
}

impl Log {
    /// Whether its configuration is known, and asks for compaction.
    pub(crate) fn is_compacted(&self) -> bool {
        let state = self.state.lock();
        state.config_known && state.config.cleanup_policy.compact
    }

    /// Makes a pass over the log if its configuration asks for one that is worth it; gives the
    /// bytes that it read and wrote.
    pub(crate) fn compact_if_due(self: &Arc<Self>, now_ms: i64) -> Result<u64, StorageError> {
        let Some(pass) = self.plan_pass(now_ms) else { return Ok(0) };
        let Pass { old, rules, first_dirty, fates, config } = pass;
        // Closed segments may have a last piece in memory still.
        let flushed = self.flush(Extent::All, &mut AlignedBuf::new())?;
        self.dir.sync_flushed(self, flushed)?;
        self.dir.mark_dirty(self);
        let map = self.map_keys(&old, first_dirty, fates.clone())?;
        let Some(latest) = map.latest() else { return Ok(0) };
        let count = old.iter().filter(|old| old.name.base <= latest).count();
        let old = &old[..count];
        let facts: Vec<SegmentFacts> = old.iter().map(|old| old.facts).collect();
        let groups = group(&facts, &config, rules.first_uncleanable);
        let mut cleaner = Cleaner::new(map, fates, rules);
        for range in groups {
            if self.clean_group(&old[range], &mut cleaner, now_ms)?.is_break() {
                // The log was cut meanwhile; the next pass begins with what is there then.
                return Ok(0);
            }
        }
        let (tally, cleaned_to) = cleaner.finish();
        tracing::info!(
            log = %self.partition(),
            bytes_before = tally.bytes_read,
            bytes_after = tally.bytes_kept,
            "compacted"
        );
        self.state.lock().cleaned_to = cleaned_to;
        self.dir.mark_dirty(self);
        Ok(tally.bytes_read + tally.bytes_kept)
    }

    /// The pass that is due; `None` if none is.
    fn plan_pass(&self, now_ms: i64) -> Option<Pass> {
        let state = self.state.lock();
        let config = Arc::clone(&state.config);
        if state.deleted || !state.config_known || !config.cleanup_policy.compact {
            return None;
        }
        let facts: Vec<SegmentFacts> = state.segments.iter().map(facts_of).collect();
        let log = LogFacts {
            segments: &facts,
            start: self.start_offset(),
            end: state.end(),
            last_stable: self.last_stable_offset().min(self.durable_end()),
            cleaned_to: state.cleaned_to,
        };
        let plan = plan(&log, &config, now_ms);
        if !plan.is_due || plan.dirty_bytes == 0 {
            return None;
        }
        let old = state
            .segments
            .iter()
            .zip(&facts)
            .filter(|(segment, _)| segment.base < plan.first_uncleanable)
            .map(|(segment, facts)| Old { name: segment.name(), size: segment.size, facts: *facts })
            .collect();
        let last_record = |entry: &crate::producer_state::ProducerEntry| {
            let last = entry.batches().last().map(|batch| batch.last_offset);
            (entry.producer_id, (last, entry.epoch))
        };
        let rules = CleanRules {
            now_ms,
            delete_retention_ms: config.delete_retention_ms,
            index_interval_bytes: u64::try_from(config.index_interval_bytes).unwrap_or(0),
            first_uncleanable: plan.first_uncleanable,
            last_records: state.producers.entries().map(last_record).collect(),
        };
        let indexes = state.segments.iter().filter_map(|segment| segment.aborted.as_ref());
        let fates = TxnFates::new(indexes.flat_map(|index| index.txns().iter().copied()));
        Some(Pass { old, rules, first_dirty: plan.first_dirty, fates, config })
    }

    /// The last offset of each key in the dirty part, as far as the memory reaches.
    fn map_keys(
        self: &Arc<Self>,
        old: &[Old],
        first_dirty: Offset,
        mut fates: TxnFates,
    ) -> Result<KeyOffsets, StorageError> {
        let seed = [self.dir.env.rng.u64(), self.dir.env.rng.u64()];
        let mut map = KeyOffsets::new(self.dir.cleaner.read().keys_bytes_max, seed);
        let mut decompressor = Decompressor::new();
        let first = old.partition_point(|old| old.name.base <= first_dirty).saturating_sub(1);
        for old in &old[first..] {
            let has_room = self.each_batch(old, |batch| {
                let has_room =
                    map_batch(&mut map, &mut fates, &mut decompressor, first_dirty, batch)?;
                Ok(if has_room { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            if has_room.is_break() {
                break;
            }
        }
        Ok(map)
    }

    /// Writes the new segment of a group and puts it in the place of the old ones.
    fn clean_group(
        self: &Arc<Self>,
        old: &[Old],
        cleaner: &mut Cleaner,
        now_ms: i64,
    ) -> Result<ControlFlow<()>, StorageError> {
        let first = old.first().expect("a group has a segment");
        let name = SegmentName {
            base: first.name.base,
            generation: first.name.generation.wrapping_add(1),
        };
        let disk = self.dir.env.disk.as_ref();
        let directory = self.directory();
        let path = name.cleaned(&name.log(&directory));
        let how = OpenHow::buffered(Access::CreateOrWrite);
        let file = disk.open(&path, how).doing("write", &path)?;
        file.set_len(0).doing("write", &path)?;
        let mut cleaned = CleanedSegment::new(name.base);
        let mut size = 0;
        let mut first_timestamp_ms = None;
        let mut write = |cleaned: &mut CleanedSegment| -> Result<(), StorageError> {
            let bytes = cleaned.take_bytes();
            if first_timestamp_ms.is_none()
                && let Ok(batch) = Batch::parse(&bytes)
            {
                first_timestamp_ms = Some(batch.header().max_timestamp);
            }
            write_all_at(file.as_ref(), &bytes, size).doing("write", &path)?;
            size += bytes.len() as u64;
            Ok(())
        };
        let mut failed = None;
        for old in old {
            let _ = self.each_batch(old, |batch| {
                cleaner.clean(batch, &mut cleaned)?;
                if cleaned.waiting_bytes() >= WRITE_BYTES
                    && let Err(error) = write(&mut cleaned)
                {
                    failed = Some(error);
                    return Ok(ControlFlow::Break(()));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if let Some(error) = failed.take() {
                return Err(error);
            }
        }
        write(&mut cleaned)?;
        file.sync_data().doing("sync", &path)?;
        cleaned.index.close();
        let txns = cleaned.txns.encode();
        write_file(
            disk,
            &name.cleaned(&name.offset_index(&directory)),
            cleaned.index.offsets.bytes(),
        )?;
        write_file(disk, &name.cleaned(&name.time_index(&directory)), cleaned.index.times.bytes())?;
        write_file(disk, &name.cleaned(&name.txn_index(&directory)), &txns)?;
        disk.sync_dir(&directory).doing("sync", &directory)?;
        let segment = Segment {
            size,
            newest: cleaned.index.newest(),
            first_timestamp_ms,
            generation: name.generation,
            offset_index_bytes: byte_count(cleaned.index.offsets.bytes()),
            time_index_bytes: byte_count(cleaned.index.times.bytes()),
            txn_index_bytes: byte_count(&txns),
            txn_index_crc: Some(crc32c(&txns)),
            aborted: (!cleaned.txns.is_empty()).then(|| Box::new(cleaned.txns)),
            is_trimmed: true,
            ..Segment::new(name.base, now_ms)
        };
        self.swap(old, segment)
    }

    /// Puts `new` in the place of `old`, in memory, in the checkpoint, and on the disk.
    fn swap(self: &Arc<Self>, old: &[Old], new: Segment) -> Result<ControlFlow<()>, StorageError> {
        let name = new.name();
        let mut flush = self.flush.lock();
        let gone: Vec<String> = {
            let mut state = self.state.lock();
            let at = state.segments.iter().position(|segment| segment.name() == old[0].name);
            let Some(at) = at.filter(|_| !state.deleted) else { return Ok(ControlFlow::Break(())) };
            let same = state.segments.len() > at + old.len()
                && old
                    .iter()
                    .zip(&state.segments[at..])
                    .all(|(old, segment)| (old.name, old.size) == (segment.name(), segment.size));
            if !same {
                return Ok(ControlFlow::Break(()));
            }
            let gone = state.segments[at + 1..at + old.len()]
                .iter()
                .flat_map(|segment| self.segment_files(segment))
                .collect();
            state.segments.splice(at..at + old.len(), [new]);
            // Chunks of what was replaced belong to no file any more. They were written before the
            // pass began; segments that were rolled since come behind, and have chunks that are not.
            let next = state.segments.get(at + 1).map(|segment| segment.base);
            let next = next.expect("the active segment is never cleaned");
            let is_behind = |chunk: &&crate::tail::Chunk| chunk.segment >= next;
            assert!(
                state.chunks.iter().take_while(|chunk| !is_behind(chunk)).all(|c| c.is_clean()),
                "what is replaced was written"
            );
            self.drop_chunks_before(&mut state, next);
            gone
        };
        self.dir.cold.forget_log(self.id());
        let mut flushed = self.flush_locked(&mut flush, Extent::All, &mut AlignedBuf::new())?;
        let record = flushed.record.take();
        self.dir.sync_flushed(self, flushed)?;
        let mut records: Vec<Record> =
            record.into_iter().map(|record| Record::Log(Box::new(record))).collect();
        records.extend(gone.iter().cloned().map(Record::Doomed));
        self.dir.append_checkpoint(&records)?;
        self.finish_swap(name)?;
        self.dir.cold.forget_log(self.id());
        for path in gone {
            self.dir.remove_now(&path)?;
        }
        // Its entries are covered by that record, but the round that frees them looks at the list.
        self.dir.mark_dirty(self);
        Ok(ControlFlow::Continue(()))
    }

    /// Renames the files of a rewritten segment that a durable checkpoint names. Each is looked for:
    /// a power cut may have kept the new name of one and lost that of another.
    pub(crate) fn finish_swap(&self, name: SegmentName) -> Result<(), StorageError> {
        let disk = self.dir.env.disk.as_ref();
        let directory = self.directory();
        let paths = [
            name.offset_index(&directory),
            name.time_index(&directory),
            name.txn_index(&directory),
            name.log(&directory),
        ];
        let mut renamed = false;
        for path in paths {
            let cleaned = name.cleaned(&path);
            if disk.metadata(&cleaned).doing("look at", &cleaned)?.is_some() {
                disk.rename(&cleaned, &path).doing("rename", &cleaned)?;
                renamed = true;
            }
        }
        if renamed { disk.sync_dir(&directory).doing("sync", &directory) } else { Ok(()) }
    }

    /// Goes over the batches of a segment file.
    fn each_batch(
        self: &Arc<Self>,
        old: &Old,
        mut take: impl FnMut(&Batch<'_>) -> Result<ControlFlow<()>, CleanerError>,
    ) -> Result<ControlFlow<()>, StorageError> {
        if old.size == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let file = self.dir.cold.open(self, old.name, old.size)?;
        let mut walk = Walk::new(self, &file, 0, crate::block_cache::RUN_BYTES);
        while let Some(header) = walk.header()? {
            let bytes: Bytes = walk.take(&header)?.into_bytes();
            let batch = Batch::parse(&bytes)
                .map_err(|error| walk.corrupt("a record batch", error.to_string()))?;
            let taken = take(&batch).map_err(|error| {
                walk.corrupt("a record batch that can be cleaned", error.source.to_string())
            })?;
            if taken.is_break() {
                return Ok(taken);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn facts_of(segment: &Segment) -> SegmentFacts {
    SegmentFacts {
        base: segment.base,
        size_bytes: segment.size,
        offset_index_bytes: u64::from(segment.offset_index_bytes),
        time_index_bytes: u64::from(segment.time_index_bytes),
        first_timestamp_ms: segment.first_timestamp_ms,
        newest_timestamp_ms: segment
            .newest
            .map_or(segment.made_at_ms, |newest| newest.timestamp_ms),
    }
}
