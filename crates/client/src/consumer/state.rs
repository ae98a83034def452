//! What a consumer reads, and how far it is: the one state that polling, fetching, finding positions
//! and the group share.
//!
//! ```text
//!  assigned ──▶ needs a position ──▶ fetching ──▶ queue ──▶ polled
//!                 ▲  committed, reset, seek            ▲        │
//!                 └── out of range, truncated          └────────┘ position
//! ```
//!
//! `position` is where the next poll goes on, `fetch_from` where the next fetch does; between them
//! is the queue. Whatever changes the position from outside (a seek, a reset) empties the queue and
//! counts `version` up, so that an answer to a question asked before is seen to be stale.

use super::error::ConsumerError;
use super::fetched::{FetchEnd, Fetched, ReadOptions};
use super::records::{PartitionRecords, Records};
use super::reset::OffsetReset;
use crate::topic_partition::TopicPartition;
use afluente_env::clock::Moment;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::Decompressor;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Where to go on in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The next offset.
    pub offset: Offset,
    /// The epoch of the leader that appended what is before it; -1 if that is not known.
    pub leader_epoch: LeaderEpoch,
}

impl Position {
    /// At `offset`, without an epoch.
    #[must_use]
    pub fn at(offset: i64) -> Self {
        Self { offset: Offset(offset), leader_epoch: LeaderEpoch::NONE }
    }
}

/// What a partition waits for before it can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// The committed offset, or a reset if there is none.
    Committed,
    /// An offset by this rule.
    Reset(OffsetReset),
    /// Whether a new leader has what was read (KIP-320).
    Validation,
}

/// One partition.
#[derive(Debug)]
pub(super) struct PartitionState {
    /// Counts what made the queue worthless.
    pub(super) version: u64,
    pub(super) need: Need,
    /// When to try again to meet the need, after a failure.
    pub(super) retry_at: Option<Moment>,
    pub(super) position: Option<Position>,
    pub(super) fetch_from: Position,
    /// The leader epoch that the position was last checked against.
    pub(super) checked_epoch: i32,
    pub(super) is_paused: bool,
    /// Its listener has not been told of it, or it is to be given up.
    pub(super) is_held: bool,
    queue: VecDeque<Fetched>,
    pub(super) queued_bytes: usize,
    pub(super) high_watermark: Option<i64>,
    pub(super) last_stable_offset: Option<i64>,
    pub(super) log_start_offset: Option<i64>,
    /// A replica to read from in place of the leader, and until when (KIP-392).
    pub(super) preferred: Option<(i32, Moment)>,
    /// To be told by the next poll.
    pub(super) error: Option<ConsumerError>,
}

impl PartitionState {
    fn new(version: u64, need: Need) -> Self {
        Self {
            version,
            need,
            retry_at: None,
            position: None,
            fetch_from: Position::at(-1),
            checked_epoch: -1,
            is_paused: false,
            is_held: false,
            queue: VecDeque::new(),
            queued_bytes: 0,
            high_watermark: None,
            last_stable_offset: None,
            log_start_offset: None,
            preferred: None,
            error: None,
        }
    }

    /// Whether it could be fetched if a leader is there.
    pub(super) fn is_fetchable(&self) -> bool {
        self.need == Need::Nothing
            && self.position.is_some()
            && !self.is_paused
            && !self.is_held
            && self.error.is_none()
    }
}

/// How a consumer came to its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Mode {
    #[default]
    None,
    Assigned,
    Subscribed,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) mode: Mode,
    partitions: BTreeMap<TopicPartition, PartitionState>,
    /// Whose turn it is: a poll begins behind the partition that the last one ended with.
    last_polled: Option<TopicPartition>,
    next_version: u64,
    /// A partition with as much in its queue is not fetched.
    partition_bytes_full: usize,
    /// With as much in all queues that a poll may take from, nothing is fetched.
    bytes_full: usize,
    /// A queue has room that had none.
    has_drained: bool,
}

impl State {
    pub(super) fn new(partition_bytes: i32, bytes: i32) -> Self {
        let size = |bytes: i32| usize::try_from(bytes).unwrap_or(0).max(1);
        Self {
            partition_bytes_full: size(partition_bytes),
            bytes_full: size(bytes),
            ..Self::default()
        }
    }

    /// Whether nothing more may be fetched at all. What is paused is not taken, so that others would
    /// wait for it for ever.
    pub(super) fn is_full(&self) -> bool {
        let queues = self.partitions.values().filter(|partition| !partition.is_paused);
        queues.map(|partition| partition.queued_bytes).sum::<usize>() >= self.bytes_full
    }

    /// Whether nothing more may be fetched of a partition.
    pub(super) fn is_partition_full(&self, partition: &PartitionState) -> bool {
        partition.queued_bytes >= self.partition_bytes_full
    }

    /// Whether a poll has made room since this was last asked.
    pub(super) fn take_drained(&mut self) -> bool {
        std::mem::take(&mut self.has_drained)
    }

    pub(super) fn get(&self, partition: &TopicPartition) -> Option<&PartitionState> {
        self.partitions.get(partition)
    }

    pub(super) fn get_mut(&mut self, partition: &TopicPartition) -> Option<&mut PartitionState> {
        self.partitions.get_mut(partition)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &PartitionState)> {
        self.partitions.iter()
    }

    pub(super) fn iter_mut(
        &mut self,
    ) -> impl Iterator<Item = (&TopicPartition, &mut PartitionState)> {
        self.partitions.iter_mut()
    }

    /// The partitions that are assigned.
    pub(super) fn assigned(&self) -> BTreeSet<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    /// Makes these the assigned ones. Those that stay keep everything; the new ones need `need`.
    /// New ones are held back if `is_held`.
    pub(super) fn assign(&mut self, wanted: &BTreeSet<TopicPartition>, need: Need, is_held: bool) {
        self.partitions.retain(|partition, _| wanted.contains(partition));
        for partition in wanted {
            if !self.partitions.contains_key(partition) {
                self.next_version += 1;
                let mut state = PartitionState::new(self.next_version, need);
                state.is_held = is_held;
                self.partitions.insert(partition.clone(), state);
            }
        }
    }

    /// Puts a partition at `position`; what was fetched for it is dropped.
    pub(super) fn seek(&mut self, partition: &TopicPartition, position: Position) -> bool {
        let Some(state) = self.emptied(partition) else { return false };
        state.position = Some(position);
        state.fetch_from = position;
        state.need = Need::Nothing;
        // An epoch that came with it is checked against the leader before anything is fetched.
        state.checked_epoch = -1;
        true
    }

    /// Makes a partition find a position again.
    pub(super) fn require(&mut self, partition: &TopicPartition, need: Need) -> bool {
        let Some(state) = self.emptied(partition) else { return false };
        state.need = need;
        state.position = None;
        true
    }

    /// A partition without queue, of a new version.
    fn emptied(&mut self, partition: &TopicPartition) -> Option<&mut PartitionState> {
        let state = self.partitions.get_mut(partition)?;
        self.next_version += 1;
        state.version = self.next_version;
        state.queue.clear();
        state.queued_bytes = 0;
        state.retry_at = None;
        state.error = None;
        Some(state)
    }

    /// Puts what was fetched into the queue.
    pub(super) fn enqueue(&mut self, partition: &TopicPartition, fetched: Fetched, end: FetchEnd) {
        let Some(state) = self.partitions.get_mut(partition) else { return };
        state.queued_bytes += fetched.size_bytes;
        state.queue.push_back(fetched);
        state.fetch_from = Position { offset: end.next_offset, leader_epoch: end.leader_epoch };
    }

    /// Takes up to `max` records, partition by partition in turn.
    ///
    /// # Errors
    /// What is wrong with a partition, if nothing was taken from others before it.
    pub(super) fn take(
        &mut self,
        max: usize,
        options: ReadOptions,
        decompressor: &mut Decompressor,
    ) -> Result<Records, ConsumerError> {
        let mut records = Records::default();
        let mut left = max;
        let mut last = None;
        let is_full = self.is_full();
        for partition in self.in_turn() {
            if left == 0 {
                break;
            }
            let state = self.partitions.get_mut(&partition).expect("it was in the map just now");
            if state.is_paused || state.is_held {
                continue;
            }
            if let Some(error) = &state.error {
                if records.is_empty() {
                    let error = error.clone();
                    state.error = None;
                    self.last_polled = Some(partition);
                    return Err(error);
                }
                break;
            }
            let before = state.queued_bytes;
            let taken = state.take(&partition, left, options, decompressor);
            let was_full = is_full || before >= self.partition_bytes_full;
            self.has_drained |= was_full && state.queued_bytes < before;
            match taken {
                Ok(Some(taken)) => {
                    left -= taken.count();
                    last = Some(partition);
                    records.push(taken);
                }
                Ok(None) => {}
                Err(error) if records.is_empty() => {
                    self.last_polled = Some(partition);
                    return Err(error);
                }
                Err(_) => break,
            }
        }
        if last.is_some() {
            self.last_polled = last;
        }
        Ok(records)
    }

    /// Partitions with something to take, beginning behind the one that was last.
    fn in_turn(&self) -> Vec<TopicPartition> {
        let ready = |(partition, state): (&TopicPartition, &PartitionState)| {
            (!state.queue.is_empty() || state.error.is_some()).then(|| partition.clone())
        };
        match &self.last_polled {
            Some(last) => {
                use std::ops::Bound::{Excluded, Unbounded};
                let after = self.partitions.range((Excluded(last), Unbounded));
                after.chain(self.partitions.range(..=last)).filter_map(ready).collect()
            }
            None => self.partitions.iter().filter_map(ready).collect(),
        }
    }
}

impl PartitionState {
    fn take(
        &mut self,
        partition: &TopicPartition,
        max: usize,
        options: ReadOptions,
        decompressor: &mut Decompressor,
    ) -> Result<Option<PartitionRecords>, ConsumerError> {
        let (mut pieces, mut count) = (Vec::new(), 0);
        while count < max {
            let (Some(fetched), Some(position)) = (self.queue.front_mut(), self.position) else {
                break;
            };
            match fetched.take(position.offset, max - count, options, decompressor) {
                Ok(taken) => {
                    pieces.extend(taken.pieces);
                    count += taken.count;
                    if let Some((offset, leader_epoch)) = taken.position {
                        self.position = Some(Position { offset, leader_epoch });
                    }
                }
                Err(_) if count > 0 => break,
                Err(problem) => {
                    let (partition, offset) = (partition.clone(), position.offset.0);
                    return Err(ConsumerError::UnreadableRecords { partition, offset, problem });
                }
            }
            if fetched.is_empty() {
                self.queued_bytes -= fetched.size_bytes;
                self.queue.pop_front();
            }
        }
        let next = self.position.map_or(Offset::ZERO, |position| position.offset);
        Ok((count > 0).then(|| PartitionRecords::new(partition.clone(), pieces, count, next)))
    }
}
