//! Taking journal entries in again after a crash.

use super::Log;
use crate::journal::frame::{EntryHeader, EntryKind};
use crate::producer_state::ProducerBatch;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::Batches;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Log {
    /// Does again what the entry says, if the state does not have it yet. The frame's CRC was
    /// right; `Err` says what does not fit together all the same.
    pub(crate) fn replay(
        self: &Arc<Self>,
        entry: EntryHeader,
        payload: &[u8],
    ) -> Result<(), String> {
        {
            let mut state = self.state.lock();
            if entry.lsn <= state.applied_lsn || state.deleted {
                return Ok(());
            }
            self.dir.note_dirty(self, &mut state);
            state.entered(entry.lsn);
        }
        match entry.kind {
            EntryKind::Append => self.replay_append(payload),
            EntryKind::StartOffset => {
                let offset = Offset(i64_at(payload, 0)?);
                let mut state = self.state.lock();
                if offset > self.start_offset() {
                    self.start_moved(&mut state, offset);
                }
                Ok(())
            }
            EntryKind::EpochBegun => {
                let epoch = payload.first_chunk().ok_or("an epoch entry that is cut short")?;
                let epoch = LeaderEpoch(i32::from_le_bytes(*epoch));
                let start = Offset(i64_at(payload, 4)?);
                if epoch.0 < 0 || start.0 < 0 {
                    return Err(format!("leader epoch {epoch} from offset {start} on"));
                }
                self.state.lock().epochs.assign(epoch, start);
                Ok(())
            }
            EntryKind::Create | EntryKind::Delete => Ok(()),
        }
    }

    fn replay_append(self: &Arc<Self>, payload: &[u8]) -> Result<(), String> {
        let segment = Offset(i64_at(payload, 0)?);
        let position = i64_at(payload, 8)?.cast_unsigned();
        let batches = &payload[16..];
        if batches.is_empty() {
            return Err("an append of nothing".to_owned());
        }
        let mut state = self.state.lock();
        if segment != state.active().base && segment == state.end() && state.active().size > 0 {
            let now_ms = self.dir.env.clock.wall_ms();
            state.roll(now_ms, 0);
        }
        let active = state.active();
        if (active.base, active.size) != (segment, position) {
            return Err(format!(
                "an append to {} at byte {position} of segment {segment}, whose log is at byte {} \
                 of segment {}",
                self.partition(),
                active.size,
                active.base
            ));
        }
        state.chunk_for(batches.len(), &self.dir.tail);
        for batch in Batches::new(batches) {
            let batch = batch.map_err(|error| error.to_string())?;
            let header = *batch.header();
            if header.base_offset < state.end() {
                return Err(format!(
                    "offset {} of {} where {} is next",
                    header.base_offset,
                    self.partition(),
                    state.end()
                ));
            }
            let producer = ProducerBatch::of(&batch).map_err(|error| error.to_string())?;
            state.add_batch(&header, &[batch.bytes()]);
            if let Some(completed) = state.producers.apply(&producer, header.base_offset) {
                state.note_completed(&completed);
            }
        }
        self.dir.tail.add_dirty(batches.len() as u64);
        let end = state.end();
        self.end.store(end.0, Ordering::Release);
        self.durable_moved(end);
        self.note_unstable(&state);
        Ok(())
    }
}

fn i64_at(payload: &[u8], at: usize) -> Result<i64, String> {
    let raw = payload.get(at..).and_then(<[u8]>::first_chunk);
    let raw = raw.ok_or_else(|| format!("a journal entry of {} bytes", payload.len()))?;
    Ok(i64::from_le_bytes(*raw))
}
