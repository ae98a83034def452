//! A partition as the sender sees it: its batches that are numbered and not acknowledged.

use super::super::accumulator::{Due, Partition};
use super::super::batch::Sealed;
use super::super::sequences::{Identity, Sequences, add};
use afluente_env::clock::Moment;
use afluente_protocol::records::BatchProducer;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The sender's side of a partition.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) partition: Arc<Partition>,
    /// Batches that were sent at least once and are not settled, in their order.
    pub(super) window: VecDeque<Sealed>,
    pub(super) sequences: Sequences,
    /// A new epoch was asked for: nothing is sent until every batch can be numbered anew.
    pub(super) is_restarting: bool,
    /// After a failure: not before this.
    pub(super) retry_at: Option<Moment>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Whether it stands in the line of a broker.
    pub(super) is_in_line: bool,
    /// When the open batch has waited long enough.
    pub(super) linger_until: Option<Moment>,
}

impl Lane {
    pub(super) fn new(partition: Arc<Partition>) -> Self {
        Self {
            partition,
            window: VecDeque::new(),
            sequences: Sequences::default(),
            is_restarting: false,
            retry_at: None,
            failures: 0,
            is_in_line: false,
            linger_until: None,
        }
    }

    /// The broker that leads the partition.
    pub(super) fn leader(&self) -> Option<i32> {
        Some(self.partition.leader.load(Ordering::Relaxed)).filter(|leader| *leader >= 0)
    }

    /// The first batch that is not on its way and has to be sent again.
    ///
    /// While one is, nothing new is begun, and batches are sent again one by one: each might be
    /// refused for the sake of the one before it.
    pub(super) fn retry(&self) -> Option<usize> {
        self.window.iter().position(|batch| !batch.is_on_wire)
    }

    /// Whether nothing is on its way.
    pub(super) fn is_quiet(&self) -> bool {
        self.window.iter().all(|batch| !batch.is_on_wire)
    }

    /// Whether a batch can be sent, of those that are due.
    pub(super) fn can_send(&self, now: Moment, due: Due, in_flight_max: usize) -> bool {
        if self.is_restarting || self.retry_at.is_some_and(|at| at > now) {
            return false;
        }
        match self.retry() {
            Some(at) => at == 0,
            None => self.window.len() < in_flight_max && self.partition.has_ready(due),
        }
    }

    /// Whether a new batch may be numbered under `identity`. A lane that counts under another one
    /// first lets its batches be acknowledged.
    pub(super) fn may_number(&mut self, identity: Identity) -> bool {
        if self.sequences.identity() == Some(identity) {
            return true;
        }
        if !self.window.is_empty() || self.sequences.is_unresolved() {
            return false;
        }
        self.sequences.restart(identity);
        true
    }

    /// Numbers every batch from 0 under `identity`.
    pub(super) fn restart(&mut self, identity: Identity) {
        self.is_restarting = false;
        self.sequences.restart(identity);
        for batch in &mut self.window {
            batch.resequence(self.sequences.take(batch.record_count));
        }
    }

    /// Moves the numbers of the batches from `at` on down by `count`, which were not used.
    pub(super) fn close_gap(&mut self, at: usize, count: i32) {
        for batch in self.window.iter_mut().skip(at) {
            let base_sequence = add(batch.producer.base_sequence, -count);
            batch.resequence(BatchProducer { base_sequence, ..batch.producer });
        }
        self.sequences.give_back(count);
    }

    /// Whether nothing has to be done about it until a batch is opened.
    pub(super) fn is_idle(&self) -> bool {
        self.window.is_empty()
            && !self.is_restarting
            && !self.sequences.is_unresolved()
            && self.partition.is_empty()
    }

    /// Where the batch of this id is.
    pub(super) fn find(&self, id: u64) -> Option<usize> {
        self.window.iter().position(|batch| batch.id == id)
    }
}
