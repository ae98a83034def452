//! Cutting a log short: what a follower does when its leader's log is another.
//!
//! A truncation is a record of the checkpoint and no entry of the journal: the record says how the
//! log is after it, with the LSN of the last entry before it, and once it is durable those entries
//! are not replayed any more. So that nothing can get between, the log's state stays locked while
//! the record is written; followers truncate rarely, and nobody else appends to their logs.

use super::Log;
use super::cold::Walk;
use super::flush::{Extent, byte_count};
use super::state::LogState;
use crate::checkpoint::Record;
use crate::error::{IoContext, StorageError};
use crate::producer_state::{CompletedTxn, ProducerBatch, ProducerState, snapshot};
use crate::segment::Segment;
use afluente_env::disk::{Access, OpenHow, read_full_at};
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::Batch;
use afluente_stdx::aligned_buf::AlignedBuf;
use afluente_stdx::crc32c::crc32c;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How a log is to be after the cut.
struct Cut {
    end: Offset,
    /// The segment that becomes the active one, as far as it stays.
    active: Segment,
    /// How many segments before that one stay as they are.
    kept: usize,
    producers: ProducerState,
}

impl Log {
    /// Removes the batch that holds `offset` and all that come after it. No effect if the log ends
    /// before. Durable when this returns; waits for group commits and reads from the disk.
    ///
    /// # Errors
    /// The disk failed, or the directory is offline.
    pub fn truncate_to(self: &Arc<Self>, offset: Offset) -> Result<(), StorageError> {
        if offset >= self.end_offset() {
            return Ok(());
        }
        self.reshape(
            |log, state_end| {
                if offset >= state_end { Ok(None) } else { log.plan_cut(offset).map(Some) }
            },
        )
    }

    /// Removes everything, and begins anew at `offset`: the leader has nothing that is older.
    ///
    /// # Errors
    /// As [`Log::truncate_to`].
    pub fn truncate_fully_and_start_at(
        self: &Arc<Self>,
        offset: Offset,
    ) -> Result<(), StorageError> {
        self.reshape(|log, _| {
            let now_ms = log.dir.env.clock.wall_ms();
            Ok(Some(Cut {
                end: offset,
                active: Segment::new(offset, now_ms),
                kept: 0,
                producers: ProducerState::starting_at(offset),
            }))
        })
    }

    fn reshape(
        self: &Arc<Self>,
        plan: impl Fn(&Arc<Self>, Offset) -> Result<Option<Cut>, StorageError>,
    ) -> Result<(), StorageError> {
        loop {
            let in_flight = self.state.lock().last_synced_ring_lsn;
            // A commit that is under way must not move the durable end back up afterwards.
            self.dir.wait_durable(in_flight)?;
            let mut flush = self.flush.lock();
            // Everything to the files, so that what stays can be read from them, and forgotten here.
            let mut scratch = AlignedBuf::new();
            let flushed = self.flush_locked(&mut flush, Extent::All, &mut scratch)?;
            self.dir.sync_flushed(self, flushed)?;
            let end = self.end_offset();
            let Some(cut) = plan(self, end)? else { return Ok(()) };
            let mut state = self.state.lock();
            if state.deleted {
                return Err(StorageError::LogUnknown(self.partition().clone()));
            }
            let unchanged =
                state.end() == end && state.last_synced_ring_lsn <= self.dir.journal.durable_lsn();
            if unchanged {
                let outcome = self.apply_cut(&mut state, cut);
                drop(state);
                self.dir.background_bell.ring();
                return outcome;
            }
            // Somebody appended meanwhile: once more.
        }
    }

    fn apply_cut(self: &Arc<Self>, state: &mut LogState, cut: Cut) -> Result<(), StorageError> {
        let Cut { end, active, kept, producers } = cut;
        let mut gone: Vec<String> = Vec::new();
        let cut_index = state.segments.get(kept).is_some_and(|segment| {
            segment.base == active.base && segment.txn_index_bytes > active.txn_index_bytes
        });
        let (name, txn_index_bytes) = (active.name(), active.txn_index_bytes);
        for segment in &state.segments[kept..] {
            if segment.base != active.base {
                gone.extend(self.segment_files(segment));
            }
        }
        self.dir.give_back_chunks(state);
        state.segments.truncate(kept);
        state.segments.push(active);
        state.truncated(end, producers);
        self.end.store(end.0, Ordering::Release);
        self.durable_end.store(end.0, Ordering::Release);
        self.start.fetch_min(end.0, Ordering::AcqRel);
        if kept == 0 && state.active().size == 0 {
            self.start.store(end.0, Ordering::Release);
        }
        self.high_watermark.fetch_min(end.0, Ordering::AcqRel);
        self.note_unstable(state);
        self.dir.cold.forget_log(self.id());
        let mut records = vec![Record::Log(Box::new(state.make_record(self)))];
        records.extend(gone.iter().cloned().map(Record::Doomed));
        if let Err(error) = self.dir.append_checkpoint(&records) {
            // Memory and disk disagree now about where the log ends.
            self.dir.fail(&error);
            return Err(error);
        }
        for path in gone {
            self.dir.remove_now(&path)?;
        }
        if cut_index {
            // We know how much of it counts; Kafka goes by its length.
            let path = name.txn_index(&self.directory());
            let how = OpenHow::buffered(Access::Write);
            let file = self.dir.env.disk.open(&path, how).doing("cut", &path)?;
            file.set_len(u64::from(txn_index_bytes)).doing("cut", &path)?;
        }
        Ok(())
    }

    /// Finds the batch that holds `offset`, and what the log is without it.
    fn plan_cut(self: &Arc<Self>, offset: Offset) -> Result<Cut, StorageError> {
        let (kept, base, generation, size, made_at_ms, interval_bytes, aborted) = {
            let state = self.state.lock();
            let index = state.segments.partition_point(|segment| segment.base <= offset);
            let kept = index.saturating_sub(1);
            let segment = &state.segments[kept];
            let interval = u64::try_from(state.config.index_interval_bytes).unwrap_or(0);
            let Segment { base, generation, size, made_at_ms, .. } = *segment;
            (kept, base, generation, size, made_at_ms, interval, segment.aborted.clone())
        };
        if offset <= base {
            // Nothing of it stays: an empty segment takes its place.
            let active = Segment::new(offset, made_at_ms);
            let producers = self.producers_at(offset)?;
            return Ok(Cut { end: offset, active, kept: 0, producers }.keeping(kept, offset, base));
        }
        let mut active = Segment::new(base, made_at_ms);
        active.generation = generation;
        let mut end = base;
        if size > 0 {
            let file = self.dir.cold.open(self, active.name(), size)?;
            let mut walk = Walk::new(self, &file, 0, crate::block_cache::RUN_BYTES);
            while let Some(header) = walk.header()? {
                if header.last_offset() >= offset {
                    break;
                }
                // With its checksum, so that a damaged header does not say where to cut.
                walk.take(&header)?;
                active.grow(&header, interval_bytes);
                end = header.next_offset();
            }
        }
        // Batches may have been removed before the cut, so the end is where it was asked for.
        let end = end.max(base).min(offset);
        if let Some(mut aborted) = aborted {
            // All of them are in the file, as everything is.
            aborted.truncate_to(end);
            let bytes = aborted.encode();
            active.txn_index_bytes = byte_count(&bytes);
            active.txn_index_crc = Some(crc32c(&bytes));
            active.aborted = (!aborted.is_empty()).then_some(aborted);
        }
        let producers = self.producers_at(end)?;
        Ok(Cut { end, active, kept, producers })
    }

    /// What was known of producers when the log ended at `end`: the last snapshot before, and the
    /// batches from there on.
    fn producers_at(self: &Arc<Self>, end: Offset) -> Result<ProducerState, StorageError> {
        if self.state.lock().producers.is_empty() {
            // Whoever is known later is known now: a producer is forgotten only when it is silent
            // for long.
            return Ok(ProducerState::starting_at(end));
        }
        let mut producers = self.walk_producers(end, end, |_| ())?;
        producers.high_watermark_moved(self.high_watermark().min(end));
        Ok(producers)
    }

    /// What was known of producers when the log ended at `end`, from the last snapshot that is not
    /// newer than `snapshot_max` on. Tells `note` of each transaction that ended on the way.
    pub(crate) fn walk_producers(
        self: &Arc<Self>,
        snapshot_max: Offset,
        end: Offset,
        mut note: impl FnMut(&CompletedTxn),
    ) -> Result<ProducerState, StorageError> {
        let segments: Vec<_> = {
            let state = self.state.lock();
            state
                .segments
                .iter()
                .map(|s| (s.name(), s.size))
                .filter(|(n, _)| n.base < end)
                .collect()
        };
        let directory = self.directory();
        let mut first = 0;
        let mut producers = ProducerState::starting_at(self.start_offset());
        for (index, (name, _)) in segments.iter().enumerate().rev() {
            if name.base > snapshot_max {
                continue;
            }
            if let Some(entries) = self.read_snapshot(&name.snapshot(&directory)) {
                producers = ProducerState::restored(entries, name.base);
                first = index;
                break;
            }
        }
        for (name, size) in &segments[first..] {
            if *size == 0 {
                continue;
            }
            let file = self.dir.cold.open(self, *name, *size)?;
            let mut walk = Walk::new(self, &file, 0, crate::block_cache::RUN_BYTES);
            while let Some(header) = walk.header()? {
                if header.next_offset() > end {
                    break;
                }
                let size = header.size_bytes();
                if !header.has_producer_id() {
                    walk.skip(size);
                    continue;
                }
                let bytes = walk.take(&header)?.into_bytes();
                let batch = Batch::parse(&bytes)
                    .and_then(|batch| ProducerBatch::of(&batch))
                    .map_err(|error| walk.corrupt("a record batch", error.to_string()))?;
                if let Some(completed) = producers.apply(&batch, header.base_offset) {
                    note(&completed);
                }
            }
        }
        Ok(producers)
    }

    /// The producers in a snapshot file; `None` if it is not there, or not to be trusted.
    fn read_snapshot(
        &self,
        path: &std::path::Path,
    ) -> Option<Vec<crate::producer_state::ProducerEntry>> {
        let disk = self.dir.env.disk.as_ref();
        let file = disk.open(path, OpenHow::buffered(Access::Read)).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        read_full_at(file.as_ref(), &mut bytes, 0).ok()?;
        snapshot::decode(&bytes).ok()
    }

    /// The files of a segment, relative to the log directory.
    pub(crate) fn segment_files(&self, segment: &Segment) -> Vec<String> {
        let directory = std::path::PathBuf::from(self.partition().to_string());
        let name = segment.name();
        [
            name.log(&directory),
            name.offset_index(&directory),
            name.time_index(&directory),
            name.txn_index(&directory),
            name.snapshot(&directory),
        ]
        .into_iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
    }
}

impl Cut {
    /// Nothing of the segment at `base` stays; those before it do.
    fn keeping(mut self, kept: usize, offset: Offset, base: Offset) -> Self {
        assert!(offset <= base, "else something of the segment stays");
        self.kept = kept;
        self
    }
}
