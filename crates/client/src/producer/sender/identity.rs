//! Who the producer is to the brokers: its id and epoch, and which partitions belong to its
//! transaction.

use super::super::coordinator::{Coordinator, idempotent_identity};
use super::super::sequences::Identity;
use super::Sender;
use crate::error::Error;
use afluente_env::clock::Moment;
use afluente_protocol::error_code::ErrorCode;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// What came of something that the sender had to ask for.
pub(super) enum Chore {
    /// An identity, for a producer that is idempotent only.
    Identity(Result<Identity, Error>),
    /// These lanes belong to the transaction of this number.
    Added { lanes: Vec<usize>, number: u64, result: Result<(), Error> },
}

impl Sender {
    /// Sees to it that batches can be numbered.
    pub(super) fn settle_identity(&mut self, now: Moment) {
        // Nothing may be left to ask for by then, and a moment that has passed rings for ever.
        if self.chore_at.is_some_and(|at| at <= now) {
            self.chore_at = None;
        }
        if !self.shared.config.is_idempotent || self.shared.transaction.lock().is_fatal() {
            return;
        }
        self.look_for_gaps();
        if self.shared.config.transactional_id.is_some() {
            self.restart_transactional();
            self.add_partitions();
        } else {
            self.raise_epoch();
            self.ask_for_identity();
        }
    }

    /// Lanes where the fate of batches was not known, and nothing is on its way any more.
    fn look_for_gaps(&mut self) {
        let mut gaps = Vec::new();
        for &at in &self.busy {
            let lane = &mut self.lanes[at];
            if lane.window.is_empty()
                && lane.sequences.is_unresolved()
                && lane.sequences.is_gap_found()
            {
                gaps.push(at);
            }
        }
        if gaps.is_empty() {
            return;
        }
        if self.shared.config.transactional_id.is_some() {
            let partition = &self.lanes[gaps[0]].partition;
            let error = Error::Broker {
                about: format!("{}-{}: a batch may be missing", partition.topic, partition.index),
                code: ErrorCode::OutOfOrderSequenceNumber,
                message: None,
            };
            self.shared.failed(error);
            return;
        }
        for at in gaps {
            self.lanes[at].is_restarting = true;
        }
        self.wants_new_epoch = true;
    }

    /// In a transaction the epoch is the coordinator's: lanes start again under the same one.
    fn restart_transactional(&mut self) {
        let identity = self.shared.transaction.lock().identity;
        let Some(identity) = identity else { return };
        for at in self.busy.clone() {
            let lane = &mut self.lanes[at];
            if lane.is_restarting && lane.is_quiet() {
                lane.restart(identity);
                self.put_in_line_if_more(at);
            }
        }
    }

    /// A new epoch, once nothing is on its way in the lanes that wait for one. Batches are numbered
    /// from 0 under it; a broker takes the higher epoch as it comes (KIP-360).
    fn raise_epoch(&mut self) {
        if !self.wants_new_epoch {
            return;
        }
        let restarting: Vec<usize> =
            self.busy.iter().copied().filter(|at| self.lanes[*at].is_restarting).collect();
        if !restarting.iter().all(|at| self.lanes[*at].is_quiet()) {
            return;
        }
        let next = {
            let mut transaction = self.shared.transaction.lock();
            // Without a next epoch, there is a new id.
            transaction.identity = transaction.identity.and_then(Identity::bumped);
            transaction.identity
        };
        if let Some(next) = next {
            tracing::debug!(producer_id = next.id.0, epoch = next.epoch.0, "the epoch was raised");
            self.begin_under(next, &restarting);
        }
    }

    fn begin_under(&mut self, identity: Identity, restarting: &[usize]) {
        self.wants_new_epoch = false;
        for &at in restarting {
            self.lanes[at].restart(identity);
        }
        self.line_up_all();
        self.forget_idle();
    }

    fn ask_for_identity(&mut self) {
        if self.chore.is_some() || self.busy.is_empty() || self.chore_at.is_some() {
            return;
        }
        if self.shared.transaction.lock().identity.is_some() {
            return;
        }
        let client = self.shared.client.clone();
        self.chore = Some(Box::pin(async move {
            let deadline = client.deadline();
            Chore::Identity(idempotent_identity(&client, deadline).await)
        }));
    }

    /// Adds partitions to the transaction that records have gone to, where writing does not.
    fn add_partitions(&mut self) {
        if self.chore.is_some() || self.chore_at.is_some() {
            return;
        }
        let (identity, number, transactional_id) = {
            let transaction = self.shared.transaction.lock();
            if transaction.is_v2 || transaction.error().is_some() {
                return;
            }
            let Some(identity) = transaction.identity else { return };
            let transactional_id = transaction.transactional_id().unwrap_or_default().to_owned();
            (identity, transaction.number(), transactional_id)
        };
        let mut lanes = Vec::new();
        let mut partitions: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for &at in &self.busy {
            let partition = &self.lanes[at].partition;
            let is_meant = partition.transaction.load(Ordering::Relaxed) == number;
            let is_added = partition.transaction_added.load(Ordering::Relaxed) == number;
            if is_meant && !is_added && !partition.is_empty() {
                lanes.push(at);
                partitions.entry(partition.topic.to_string()).or_default().push(partition.index);
            }
        }
        if lanes.is_empty() {
            return;
        }
        self.shared.transaction.lock().is_adding = true;
        let coordinator = Coordinator { client: self.shared.client.clone(), transactional_id };
        self.chore = Some(Box::pin(async move {
            let deadline = coordinator.client.deadline();
            let result = coordinator.add_partitions(identity, &partitions, deadline).await;
            Chore::Added { lanes, number, result }
        }));
    }

    /// What was asked for has come, or has not.
    pub(super) fn chore_done(&mut self, chore: Chore) {
        let result = match chore {
            Chore::Identity(Ok(identity)) => {
                self.shared.transaction.lock().identity = Some(identity);
                let restarting: Vec<usize> =
                    self.busy.iter().copied().filter(|at| self.lanes[*at].is_restarting).collect();
                self.begin_under(identity, &restarting);
                Ok(())
            }
            Chore::Identity(Err(error)) => Err(error),
            Chore::Added { lanes, number, result: Ok(()) } => {
                self.added(number, true);
                for at in lanes {
                    self.lanes[at].partition.transaction_added.store(number, Ordering::Relaxed);
                    self.put_in_line(at);
                }
                Ok(())
            }
            Chore::Added { number, result: Err(error), .. } => {
                // Without an answer, they may have been added.
                self.added(number, error.may_pass());
                Err(error)
            }
        };
        let Err(error) = result else {
            self.chore_at = None;
            self.chore_failures = 0;
            return;
        };
        if error.may_pass() {
            tracing::warn!(%error, "the producer is not known to the brokers yet");
        } else {
            self.shared.failed(error);
        }
        let client = &self.shared.client;
        self.chore_failures = self.chore_failures.saturating_add(1);
        let wait = client.config().retry_backoff.wait(self.chore_failures, &client.env().rng);
        self.chore_at = Some(self.now() + wait);
    }

    fn added(&self, number: u64, has_parts: bool) {
        let mut transaction = self.shared.transaction.lock();
        transaction.is_adding = false;
        if has_parts && transaction.number() == number {
            transaction.has_parts_now();
        }
        drop(transaction);
        self.shared.nothing_added.notify_waiters();
    }
}
