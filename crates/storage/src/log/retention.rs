//! Letting go of old segments: by age, by size, and below the log's start.

use super::Log;
use super::state::LogState;
use crate::journal::frame::EntryKind;
use crate::log_dir::Doomed;
use afluente_protocol::numbers::Offset;
use std::sync::Arc;

impl Log {
    /// Removes the segments that the configuration does not want any more; their files go with the
    /// next checkpoint. Gives how many.
    pub(crate) fn apply_retention(self: &Arc<Self>, now_ms: i64) -> usize {
        let _flush = self.flush.lock();
        let mut state = self.state.lock();
        if state.deleted || !state.config_known {
            return 0;
        }
        let count = self.expired(&state, now_ms);
        if count == 0 {
            return 0;
        }
        if count == state.segments.len() {
            // The active one too: a new one takes its place.
            let jitter_ms = self.dir.jitter_ms(state.config.segment_jitter_ms);
            state.roll(now_ms, jitter_ms);
        }
        let start = state.segments[count].base;
        let gone: Vec<_> = state.segments.drain(..count).collect();
        self.drop_chunks_before(&mut state, start);
        self.dir.note_dirty(self, &mut state);
        if start > self.start_offset() {
            self.start_moved(&mut state, start);
            let payload = start.0.to_le_bytes().to_vec();
            self.enter_small(&mut state, EntryKind::StartOffset, payload);
        }
        // After the change, so that the round that takes them has a record without the segments.
        let mut doomed = self.dir.doomed.lock();
        for segment in &gone {
            let paths = self.segment_files(segment);
            doomed.extend(paths.into_iter().map(|path| Doomed { deleted_log: None, path }));
        }
        gone.len()
    }

    /// How many of the oldest segments have to go.
    fn expired(&self, state: &LogState, now_ms: i64) -> usize {
        let config = &state.config;
        let (start, high_watermark) = (self.start_offset(), self.high_watermark());
        let mut left: u64 = state.segments.iter().map(|segment| segment.size).sum();
        let deletes = config.cleanup_policy.delete;
        let mut count = 0;
        for (index, segment) in state.segments.iter().enumerate() {
            let is_active = index + 1 == state.segments.len();
            let next = state.segments.get(index + 1).map_or(state.end(), |next| next.base);
            if next > high_watermark || is_active && segment.size == 0 {
                break;
            }
            let newest_ms = segment.newest.map_or(segment.made_at_ms, |newest| newest.timestamp_ms);
            let too_old =
                deletes && config.retention_ms >= 0 && now_ms - newest_ms > config.retention_ms;
            // What is left without it must still be as much as is wanted.
            let too_much = deletes
                && u64::try_from(config.retention_bytes)
                    .is_ok_and(|wanted| left - segment.size >= wanted);
            let below_start = next <= start && !is_active;
            if !(too_old || too_much || below_start) {
                break;
            }
            left -= segment.size;
            count += 1;
        }
        count
    }

    /// Forgets the chunks of segments before the one at `base`.
    pub(crate) fn drop_chunks_before(&self, state: &mut LogState, base: Offset) {
        while let Some(chunk) = state.chunks.front() {
            if chunk.segment >= base {
                break;
            }
            let chunk = state.chunks.pop_front().expect("just seen");
            self.dir.tail.sub_dirty((chunk.len() - chunk.written) as u64);
            self.dir.tail.give_back(chunk);
        }
    }
}
