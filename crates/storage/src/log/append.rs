//! Appending: check, assign offsets, copy into the tail, enqueue for the journal.

use super::Log;
use super::state::LogState;
use crate::append::{AppendError, AppendOptions, Appended};
use crate::error::StorageError;
use crate::journal::{Payload, place};
use crate::log_config::Durability;
use crate::origin::AppendOrigin;
use crate::producer_state::{AppendRules, Verdict};
use crate::validate::{InvalidBatch, ValidBatch, Validator, validate_replicated};
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::{BatchHeader, TimestampType};
use bytes::Bytes;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

thread_local! {
    /// Keeps memory for decompressing, so one for each appending thread.
    static VALIDATOR: RefCell<Validator> = RefCell::default();
}

impl Log {
    /// Appends whole batches, one after the other, all or none of them.
    ///
    /// Returns at once: they may be acknowledged when [`Log::durable_end`] has reached
    /// [`Appended::end`], which the [`LogObserver`](crate::LogObserver) tells. With
    /// `durability=replicated` it usually has when this returns.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    pub fn append(
        self: &Arc<Self>,
        batches: Bytes,
        options: &AppendOptions,
    ) -> Result<Appended, AppendError> {
        let config = self.config();
        if options.origin == AppendOrigin::Client {
            self.dir.check_backlog(batches.len())?;
        }
        let mut valid = if options.origin == AppendOrigin::Replica {
            validate_replicated(&batches, Offset::ZERO)?
        } else {
            let now_ms = options.now_ms;
            let origin = options.origin;
            vec![VALIDATOR.with_borrow_mut(|v| v.validate(&batches, origin, &config, now_ms))?]
        };
        if valid.is_empty() {
            return Err(InvalidBatch::Empty.into());
        }
        let len = valid.iter().map(ValidBatch::size_bytes).sum();
        let segment_bytes = usize::try_from(config.segment_bytes).unwrap_or(usize::MAX);
        if len > segment_bytes && options.origin != AppendOrigin::Replica {
            return Err(AppendError::BatchesTooLarge { size: len, max: segment_bytes });
        }
        self.dir.admit(len, self.next_chunk_bytes.load(Ordering::Relaxed))?;
        let mut state = self.state.lock();
        if state.deleted {
            return Err(AppendError::Deleted);
        }
        if let Some(duplicate) = self.check_producers(&state, &valid, options)? {
            return Ok(duplicate);
        }
        assign_offsets(&state, &mut valid, options)?;
        Ok(self.take_in(&mut state, &valid, len, options))
    }

    /// Whether the producers may write that; gives the answer if it is there already.
    fn check_producers(
        &self,
        state: &LogState,
        valid: &[ValidBatch],
        options: &AppendOptions,
    ) -> Result<Option<Appended>, AppendError> {
        if options.origin == AppendOrigin::Replica {
            return Ok(None);
        }
        let rules = AppendRules {
            origin: options.origin,
            guard: options.guard,
            verification_enabled: options.verification_enabled,
            transaction_version: options.transaction_version,
        };
        for batch in valid {
            match state.producers.check(&batch.producer, &rules)? {
                Verdict::Append => {}
                Verdict::Duplicate { base_offset, last_offset, timestamp_ms } => {
                    return Ok(Some(Appended {
                        base_offset,
                        end: last_offset.plus(1),
                        log_append_time_ms: append_time(state, timestamp_ms),
                        start_offset: self.start_offset(),
                        duplicate: true,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// Takes valid batches with their final offsets into the log. Nothing can fail any more.
    fn take_in(
        self: &Arc<Self>,
        state: &mut LogState,
        valid: &[ValidBatch],
        len: usize,
        options: &AppendOptions,
    ) -> Appended {
        let first = &valid[0].header;
        let last = &valid[valid.len() - 1].header;
        if should_roll(state, first, last, len as u64, options.now_ms) {
            let jitter_ms = self.dir.jitter_ms(state.config.segment_jitter_ms);
            state.roll(options.now_ms, jitter_ms);
        }
        let chunk_filled = state.chunk_for(len, &self.dir.tail);
        let next_chunk_bytes = state.next_chunk_bytes(&self.dir.tail);
        self.next_chunk_bytes.store(next_chunk_bytes, Ordering::Relaxed);
        let place = place(state.active().base, state.active().size);
        let chunk_at = state.chunks.back().expect("just made").len();
        for batch in valid {
            state.add_batch(&batch.header, &[&batch.header.encode(), &batch.section]);
            if let Some(completed) =
                state.producers.apply(&batch.producer, batch.header.base_offset)
            {
                state.note_completed(&completed);
            }
        }
        self.dir.tail.add_dirty(len as u64);
        let chunk = state.chunks.back().expect("just made").reader();
        let appended = Appended {
            base_offset: first.base_offset,
            end: last.next_offset(),
            log_append_time_ms: append_time(state, options.now_ms),
            start_offset: self.start_offset(),
            duplicate: false,
        };
        self.end.store(appended.end.0, Ordering::Release);
        if !state.producers.is_empty() {
            self.note_unstable(state);
        }
        let range = chunk_at..chunk_at + len;
        state.unsynced_records += appended.end.0 - appended.base_offset.0;
        self.enter_journal(state, place, chunk, range, appended.end);
        if chunk_filled {
            self.dir.chunk_filled(self);
        }
        appended
    }

    /// Hands what was appended to one of the journal's rings.
    fn enter_journal(
        self: &Arc<Self>,
        state: &mut LogState,
        place: [u8; 16],
        chunk: afluente_stdx::append_buf::AppendBufReader,
        range: std::ops::Range<usize>,
        end: Offset,
    ) {
        self.dir.note_dirty(self, state);
        let journal = &self.dir.journal;
        // Only if nothing of this log waits for the other ring: else a crash could keep this entry
        // and lose those before it.
        let may_buffer = state.config.durability == Durability::Replicated
            // The record that makes it so many is acknowledged when all of them are on disk.
            && state.unsynced_records < state.config.flush_messages
            && state.last_synced_ring_lsn <= journal.durable_lsn();
        if may_buffer {
            let sync_bytes = self.dir.config.buffered_sync_bytes;
            match journal.append_buffered(self.id, &place, chunk.get(range.clone()), sync_bytes) {
                Ok(Some((lsn, frame))) => {
                    state.entered(lsn);
                    state.last_buffered_frame = frame;
                    self.durable_moved(end);
                    return;
                }
                // No room until the next checkpoint: the synced ring takes it.
                Ok(None) => {}
                Err(error) => {
                    // The append is in doubt, like any that was under way: it is never acknowledged.
                    self.dir.fail(&error);
                }
            }
        }
        state.unsynced_records = 0;
        let payload = Payload::Batches { place, chunk, range, end };
        let lsn = journal.push(self, payload, state.last_buffered_frame);
        state.entered(lsn);
        state.last_synced_ring_lsn = lsn;
    }

    /// A leader epoch begins at the end of the log.
    pub fn begin_leader_epoch(self: &Arc<Self>, epoch: LeaderEpoch) {
        let mut state = self.state.lock();
        let end = state.end();
        if epoch.0 < 0 || state.deleted || !state.epochs.assign(epoch, end) {
            return;
        }
        let mut payload = epoch.0.to_le_bytes().to_vec();
        payload.extend_from_slice(&end.0.to_le_bytes());
        self.enter_small(&mut state, crate::journal::frame::EntryKind::EpochBegun, payload);
    }

    /// Deletes all records below `offset` from the reader's point of view; whole segments go when
    /// the background worker comes by. Gives the new start of the log.
    ///
    /// # Errors
    /// The offset is above the high watermark, or the directory is offline.
    pub fn delete_records_before(self: &Arc<Self>, offset: Offset) -> Result<Offset, StorageError> {
        let lsn = {
            let mut state = self.state.lock();
            let (start, high_watermark) = (self.start_offset(), self.high_watermark());
            if state.deleted {
                return Err(StorageError::LogUnknown(self.partition.clone()));
            }
            if offset > high_watermark || offset.0 < 0 {
                return Err(StorageError::OffsetOutOfRange {
                    offset: offset.0,
                    partition: self.partition.clone(),
                    start: start.0,
                    end: high_watermark.0,
                });
            }
            if offset <= start {
                return Ok(start);
            }
            self.start_moved(&mut state, offset);
            let payload = offset.0.to_le_bytes().to_vec();
            self.enter_small(&mut state, crate::journal::frame::EntryKind::StartOffset, payload)
        };
        self.dir.wait_durable(lsn)?;
        self.dir.background_bell.ring();
        Ok(offset)
    }

    /// The log begins at `to` now.
    pub(crate) fn start_moved(&self, state: &mut LogState, to: Offset) {
        self.start.store(to.0, Ordering::Release);
        self.high_watermark.fetch_max(to.0, Ordering::AcqRel);
        state.epochs.truncate_from_start(to);
        state.producers.log_start_moved(to);
        self.note_unstable(state);
    }

    /// Enters anything but batches into the synced ring.
    pub(crate) fn enter_small(
        self: &Arc<Self>,
        state: &mut LogState,
        kind: crate::journal::frame::EntryKind,
        payload: Vec<u8>,
    ) -> u64 {
        self.dir.note_dirty(self, state);
        let payload = Payload::Small(kind, payload);
        let lsn = self.dir.journal.push(self, payload, state.last_buffered_frame);
        state.entered(lsn);
        state.last_synced_ring_lsn = lsn;
        lsn
    }
}

impl LogState {
    pub(crate) fn entered(&mut self, lsn: u64) {
        self.applied_lsn = lsn;
    }
}

/// Writes the final offsets and the leader epoch into the headers.
fn assign_offsets(
    state: &LogState,
    valid: &mut [ValidBatch],
    options: &AppendOptions,
) -> Result<(), AppendError> {
    let mut next = state.end();
    for batch in valid {
        let header = &mut batch.header;
        if options.origin != AppendOrigin::Replica {
            header.base_offset = next;
            header.partition_leader_epoch = options.leader_epoch;
        } else if header.base_offset < next {
            return Err(InvalidBatch::OffsetsFall { found: header.base_offset, next }.into());
        }
        next = header.next_offset();
    }
    Ok(())
}

/// What the producer is told, where the topic has the time of the append.
fn append_time(state: &LogState, timestamp_ms: i64) -> Option<i64> {
    let kind = state.config.message_timestamp_type;
    (kind == TimestampType::LogAppendTime).then_some(timestamp_ms)
}

/// Whether what is appended begins a new segment; by Kafka's rules.
fn should_roll(
    state: &LogState,
    first: &BatchHeader,
    last: &BatchHeader,
    len: u64,
    now_ms: i64,
) -> bool {
    let active = state.active();
    if active.size == 0 {
        return false;
    }
    let config = &state.config;
    let too_large = active.size + len > u64::try_from(config.segment_bytes).unwrap_or(0);
    let age_ms = match active.first_timestamp_ms {
        Some(first_ms) if first_ms >= 0 => first.max_timestamp.max(last.max_timestamp) - first_ms,
        _ => now_ms - active.made_at_ms,
    };
    let too_old = age_ms > config.segment_ms_max() - state.roll_jitter_ms;
    let index_bytes_max = u64::try_from(config.segment_index_bytes).unwrap_or(0);
    too_large || too_old || !active.has_index_room(last.last_offset(), index_bytes_max)
}
