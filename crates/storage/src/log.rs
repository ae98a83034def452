//! The log of one partition.
//!
//! A [`Log`] is shared by everybody who appends to it and reads it. What changes together lies
//! under one lock ([`state::LogState`]), held for a copy of the appended bytes and no IO. The
//! numbers that everybody asks for are atomics beside it.
//!
//! **Locks**, in this order: `flush` (whoever writes the log's files or changes its shape holds it,
//! over IO), `state`, then the journal's.

mod append;
mod close;
pub(crate) mod cold;
mod compact;
pub(crate) mod flush;
mod read;
mod recover;
pub(crate) mod replay;
mod retention;
pub(crate) mod state;
mod timestamps;
mod truncate;

pub use timestamps::{TimestampFound, TimestampQuery};

use crate::TopicPartition;
use crate::log_config::LogConfig;
use crate::log_dir::Shared;
use crate::producer_state::{ProducerError, ProducerSummary, VerificationGuard};
use crate::tail::Chunk;
use afluente_protocol::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use afluente_protocol::uuid::Uuid;
use flush::FlushState;
use parking_lot::Mutex;
use state::LogState;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// The log of one partition; see [`LogDir`](crate::LogDir) for how to get one.
pub struct Log {
    id: u64,
    partition: TopicPartition,
    topic_id: Uuid,
    pub(crate) dir: Arc<Shared>,
    pub(crate) state: Mutex<LogState>,
    pub(crate) flush: Mutex<FlushState>,
    start: AtomicI64,
    end: AtomicI64,
    durable_end: AtomicI64,
    high_watermark: AtomicI64,
    /// How large the next chunk will be: room for it is made before the state is locked.
    next_chunk_bytes: AtomicUsize,
    /// The first offset that an open or just ended transaction holds back; `i64::MAX` for none.
    first_unstable: AtomicI64,
}

impl Log {
    pub(crate) fn new(
        id: u64,
        partition: TopicPartition,
        topic_id: Uuid,
        dir: Arc<Shared>,
        state: LogState,
        start: Offset,
        high_watermark: Offset,
    ) -> Self {
        let end = state.end();
        let log = Self {
            id,
            partition,
            topic_id,
            dir,
            state: Mutex::new(state),
            flush: Mutex::default(),
            start: AtomicI64::new(start.0),
            end: AtomicI64::new(end.0),
            durable_end: AtomicI64::new(end.0),
            high_watermark: AtomicI64::new(high_watermark.0),
            next_chunk_bytes: AtomicUsize::new(0),
            first_unstable: AtomicI64::new(i64::MAX),
        };
        log.note_unstable(&log.state.lock());
        log
    }

    /// Which partition it is of.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The id of the topic, which tells it from an earlier one of the same name.
    #[must_use]
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn start_offset(&self) -> Offset {
        Offset(self.start.load(Ordering::Acquire))
    }

    /// The offset after the last record.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    /// Everything below is durable, in the sense of the topic's `durability`.
    #[must_use]
    pub fn durable_end(&self) -> Offset {
        Offset(self.durable_end.load(Ordering::Acquire))
    }

    /// What consumers may see ends here.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// Moves the high watermark; never beyond the end of the log.
    pub fn set_high_watermark(&self, to: Offset) {
        let to = to.min(self.end_offset());
        if self.first_unstable.load(Ordering::Acquire) == i64::MAX {
            self.high_watermark.store(to.0, Ordering::Release);
            return;
        }
        // Transactions whose markers lie below it are settled by this.
        let mut state = self.state.lock();
        self.high_watermark.store(to.0, Ordering::Release);
        state.producers.high_watermark_moved(to);
        self.note_unstable(&state);
    }

    /// How far a `read_committed` consumer may see.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        let high_watermark = self.high_watermark();
        let unstable = Offset(self.first_unstable.load(Ordering::Acquire));
        unstable.max(self.start_offset()).min(high_watermark)
    }

    /// Bytes of record batches in it.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.state.lock().segments.iter().map(|segment| segment.size).sum()
    }

    /// How it is kept.
    #[must_use]
    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.state.lock().config)
    }

    /// Changes how it is kept, from the next append on.
    ///
    /// # Errors
    /// `durability=replicated` needs journal files of its own, which could not be made.
    pub fn set_config(&self, config: Arc<LogConfig>) -> Result<(), crate::StorageError> {
        self.dir.prepare_for(&config)?;
        let mut state = self.state.lock();
        state.config = config;
        state.config_known = true;
        Ok(())
    }

    /// All producers that it knows, by id.
    #[must_use]
    pub fn producers(&self) -> Vec<ProducerSummary> {
        self.state.lock().producers.summaries()
    }

    /// Asks for the right to write the first batch of a transaction; see
    /// [`ProducerState::begin_verification`](crate::producer_state::ProducerState::begin_verification).
    ///
    /// # Errors
    /// A newer epoch of the producer is known.
    pub fn begin_verification(
        &self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        base_sequence: i32,
        supports_epoch_bump: bool,
        now_ms: i64,
    ) -> Result<Option<VerificationGuard>, ProducerError> {
        let producers = &mut self.state.lock().producers;
        producers.begin_verification(producer_id, epoch, base_sequence, supports_epoch_bump, now_ms)
    }

    /// Forgets producers that were silent for `expiration_ms` (`producer.id.expiration.ms`).
    /// Returns how many went.
    pub fn expire_producers(&self, now_ms: i64, expiration_ms: i64) -> usize {
        let mut state = self.state.lock();
        if state.producers.is_empty() { 0 } else { state.producers.expire(now_ms, expiration_ms) }
    }

    /// Where `epoch` ends: see [`LeaderEpochs::end_of`](crate::leader_epochs::LeaderEpochs::end_of).
    #[must_use]
    pub fn offset_for_leader_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.state.lock();
        state.epochs.end_of(epoch, state.end())
    }

    /// The newest leader epoch it knows.
    #[must_use]
    pub fn latest_leader_epoch(&self) -> Option<LeaderEpoch> {
        self.state.lock().epochs.latest()
    }

    /// The number of this log in its directory, which no other log ever had.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.dir.path.join(self.partition.to_string())
    }

    /// The journal has made everything below `end` durable.
    pub(crate) fn durable_moved(&self, end: Offset) {
        self.durable_end.fetch_max(end.0, Ordering::AcqRel);
    }

    pub(crate) fn note_unstable(&self, state: &LogState) {
        let unstable = state.producers.first_unstable_offset().map_or(i64::MAX, |offset| offset.0);
        self.first_unstable.store(unstable, Ordering::Release);
    }

    /// Takes the oldest chunk out of memory, if it is this one and is clean.
    pub(crate) fn evict_chunk(&self, chunk_id: u64) -> Option<Chunk> {
        let mut state = self.state.lock();
        let front = state.chunks.front()?;
        (front.id == chunk_id && front.is_clean()).then(|| state.chunks.pop_front()).flatten()
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("partition", &self.partition)
            .field("start", &self.start_offset())
            .field("durable_end", &self.durable_end())
            .field("end", &self.end_offset())
            .finish_non_exhaustive()
    }
}
