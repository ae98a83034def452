//! What of a log changes together, under its lock.

use crate::checkpoint::LogRecord;
use crate::leader_epochs::LeaderEpochs;
use crate::log_config::LogConfig;
use crate::producer_state::{CompletedTxn, ProducerState, snapshot};
use crate::segment::Segment;
use crate::tail::{CHUNK_BYTES_MIN, Chunk, Tail, head_len};
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::BatchHeader;
use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) struct LogState {
    pub(crate) config: Arc<LogConfig>,
    /// By base offset, without gaps; the last one is active, and there always is one.
    pub(crate) segments: Vec<Segment>,
    /// The newest batches in memory, without gaps, up to the end of the log.
    pub(crate) chunks: VecDeque<Chunk>,
    pub(crate) producers: ProducerState,
    pub(crate) epochs: LeaderEpochs,
    end: Offset,
    /// The LSN of the last entry that is in this state.
    pub(crate) applied_lsn: u64,
    /// The last entry that went into the synced ring.
    pub(crate) last_synced_ring_lsn: u64,
    /// The last frame of the buffered ring that has an entry of this log.
    pub(crate) last_buffered_frame: u64,
    /// Up to here compaction has made it clean.
    pub(crate) cleaned_to: Option<Offset>,
    /// Counts the records made of it for the checkpoint.
    pub(crate) version: u64,
    pub(crate) deleted: bool,
    /// Something of it has changed since it was opened.
    pub(crate) changed: bool,
    /// The next flush completes all files.
    pub(crate) closing: bool,
    /// The configuration is that of its topic. Before, nothing is deleted or compacted.
    pub(crate) config_known: bool,
    /// It is in the list of logs with something to write.
    pub(crate) listed_dirty: bool,
    /// By how much earlier the active segment is rolled than `segment.ms` says.
    pub(crate) roll_jitter_ms: i64,
    /// Appended since the last entry in the synced ring, for `flush.messages`.
    pub(crate) unsynced_records: i64,
}

impl LogState {
    pub(crate) fn new(config: Arc<LogConfig>, start: Offset, now_ms: i64) -> Self {
        Self {
            config,
            segments: vec![Segment::new(start, now_ms)],
            chunks: VecDeque::new(),
            producers: ProducerState::starting_at(start),
            epochs: LeaderEpochs::default(),
            end: start,
            applied_lsn: 0,
            last_synced_ring_lsn: 0,
            last_buffered_frame: 0,
            cleaned_to: None,
            version: 0,
            deleted: false,
            changed: false,
            closing: false,
            config_known: false,
            listed_dirty: false,
            roll_jitter_ms: 0,
            unsynced_records: 0,
        }
    }

    pub(crate) fn from_record(config: Arc<LogConfig>, record: &LogRecord) -> Self {
        let mut producers = ProducerState::restored(record.producers.iter().cloned(), record.end);
        producers.restore_unreplicated(record.unreplicated.iter().copied());
        let mut epochs = LeaderEpochs::default();
        for entry in &record.epochs {
            epochs.assign(entry.epoch, entry.start);
        }
        Self {
            segments: record.segments.iter().map(Segment::from_record).collect(),
            producers,
            epochs,
            end: record.end,
            applied_lsn: record.applied_lsn,
            cleaned_to: record.cleaned_to,
            version: record.version,
            ..Self::new(config, record.start, 0)
        }
    }

    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    pub(crate) fn active(&self) -> &Segment {
        self.segments.last().expect("a log always has an active segment")
    }

    pub(crate) fn active_mut(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log always has an active segment")
    }

    /// Begins a new active segment at the end of the log.
    pub(crate) fn roll(&mut self, now_ms: i64, jitter_ms: i64) {
        assert!(self.active().size > 0, "an empty segment is not rolled");
        self.active_mut().seal();
        let mut next = Segment::new(self.end, now_ms);
        next.snapshot = Some(snapshot::encode(self.producers.entries()));
        self.segments.push(next);
        self.roll_jitter_ms = jitter_ms;
    }

    /// The chunk that takes the next `len` bytes, made if need be. Gives whether the one before it
    /// was filled by that.
    pub(crate) fn chunk_for(&mut self, len: usize, tail: &Tail) -> bool {
        let (segment, position) = (self.active().base, self.active().size);
        let last = self.chunks.back();
        let last_of_segment = last.filter(|chunk| chunk.segment == segment);
        if last_of_segment.is_some_and(|chunk| chunk.remaining() >= len) {
            return false;
        }
        let filled = last.is_some();
        // The next one is twice as large, as long as they fill up: busy logs get large chunks, and
        // a log that was evicted meanwhile begins small again.
        let usual = self.next_chunk_bytes(tail);
        let needed = head_len(position) + len;
        // As many like this one as the usual size holds, so that it is filled to the end.
        let wanted = needed + len * (usual / len).saturating_sub(1);
        let head = last_of_segment.and_then(|chunk| {
            let block = chunk.last_block()?;
            let start = chunk.len() - head_len(position);
            Some((block, start..chunk.len()))
        });
        let buf = tail.take(needed, wanted);
        let head = head.as_ref().map(|(block, range)| block.get(range.clone()));
        let chunk = Chunk::new(tail.next_chunk_id(), buf, segment, position, head, self.end);
        self.chunks.push_back(chunk);
        filled
    }

    /// How large the next chunk will be, if one is made.
    pub(crate) fn next_chunk_bytes(&self, tail: &Tail) -> usize {
        let last = self.chunks.back();
        last.map_or(CHUNK_BYTES_MIN, |chunk| (chunk.capacity() * 2).min(tail.chunk_bytes_max))
    }

    /// Takes a batch into the active segment and its chunk, for which there is room. Its header has
    /// its final offsets; `parts` are its bytes.
    pub(crate) fn add_batch(&mut self, header: &BatchHeader, parts: &[&[u8]]) {
        assert!(header.base_offset >= self.end, "offsets never go back");
        let interval_bytes = u64::try_from(self.config.index_interval_bytes).unwrap_or(0);
        self.chunks.back_mut().expect("made before").append(header, parts);
        self.active_mut().grow(header, interval_bytes);
        self.end = header.next_offset();
        let epoch = header.partition_leader_epoch;
        if epoch.0 >= 0 && self.epochs.latest().is_none_or(|latest| latest < epoch) {
            self.epochs.assign(epoch, header.base_offset);
        }
    }

    /// Notes a transaction that ended with the last batch.
    pub(crate) fn note_completed(&mut self, completed: &CompletedTxn) {
        if completed.aborted {
            self.active_mut().aborted.get_or_insert_default().note(completed);
        }
    }

    /// The log was cut at `end`; its segments are cut already.
    pub(crate) fn truncated(&mut self, end: Offset, producers: ProducerState) {
        self.end = end;
        self.producers = producers;
        self.epochs.truncate_from_end(end);
        self.changed = true;
        assert!(self.chunks.is_empty(), "a log is cut with nothing of it in memory");
    }

    /// Whether anything of it was ever written to files.
    pub(crate) fn has_files(&self) -> bool {
        self.segments.len() > 1 || self.active().size > 0 || self.active().base.0 > 0
    }

    /// What the checkpoint keeps, as of now.
    pub(crate) fn make_record(&mut self, log: &super::Log) -> LogRecord {
        self.version += 1;
        LogRecord {
            log_id: log.id(),
            version: self.version,
            applied_lsn: self.applied_lsn,
            topic_id: log.topic_id(),
            partition: log.partition().clone(),
            start: log.start_offset(),
            end: self.end,
            high_watermark: log.high_watermark(),
            cleaned_to: self.cleaned_to,
            epochs: self.epochs.entries().to_vec(),
            segments: self.segments.iter().map(Segment::to_record).collect(),
            unreplicated: self.producers.unreplicated_txns().collect(),
            producers: self.producers.entries().cloned().collect(),
        }
    }
}
