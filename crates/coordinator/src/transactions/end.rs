//! The end of a transaction: by its producer, by a timeout, or by a fence.

use super::{
    Markers, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, PartitionKey, ProducerIdAndEpoch, ProducerIds,
    State, Transaction, TransactionEffects, TransactionShard, record,
};
use afluente_protocol::error_code::ErrorCode;

/// EndTxn as a client sends it.
#[derive(Debug, Clone, Copy)]
pub struct EndRequest {
    /// Who ends its transaction.
    pub producer: ProducerIdAndEpoch,
    /// Commit, or abort.
    pub is_commit: bool,
    /// 2 from version 5 of EndTxn on (KIP-890), else 1.
    pub client_version: i16,
}

/// What an EndTxn comes to.
enum Verdict {
    /// Decide it now.
    Decide,
    /// There is nothing written, but the epoch rises all the same.
    DecideEmpty,
    /// It had been decided the same way: a retry.
    Done,
}

impl TransactionShard {
    /// Ends a transaction. The answer carries the producer's id and epoch for its next one.
    ///
    /// # Errors
    /// The code to answer with.
    pub fn end(
        &mut self,
        transactional_id: &str,
        request: EndRequest,
        ids: &mut dyn ProducerIds,
        now_ms: i64,
        effects: &mut TransactionEffects,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let transaction = self
            .transactions
            .get_mut(transactional_id)
            .ok_or(ErrorCode::InvalidProducerIdMapping)?;
        match transaction.verdict(request)? {
            Verdict::Done => return Ok(transaction.producer()),
            Verdict::DecideEmpty => transaction.partitions.clear(),
            Verdict::Decide => {}
        }
        if request.client_version >= 2 {
            if transaction.is_epoch_exhausted() {
                transaction.next_producer_id = ids.next_producer_id()?;
            }
            transaction.last_producer_epoch = transaction.producer_epoch;
            // The last epoch that is given out is two below the largest number.
            transaction.producer_epoch = transaction.producer_epoch.saturating_add(1);
        }
        transaction.client_version = request.client_version;
        transaction.decide(transactional_id, request.is_commit, now_ms, effects);
        Ok(match transaction.next_producer_id {
            NO_PRODUCER_ID => transaction.producer(),
            next => ProducerIdAndEpoch { id: next, epoch: 0 },
        })
    }

    /// All markers of a transaction are durable in their partitions: it is complete.
    pub fn markers_written(
        &mut self,
        markers: &Markers,
        now_ms: i64,
        effects: &mut TransactionEffects,
    ) {
        let Some(transaction) = self.transactions.get_mut(&markers.transactional_id) else {
            return;
        };
        let is_this_end = transaction.state.is_ending()
            && transaction.producer_id == markers.producer_id
            && transaction.producer_epoch == markers.producer_epoch;
        if is_this_end {
            transaction.complete(now_ms);
            effects.records.push(record::transaction(&markers.transactional_id, transaction));
        }
    }

    /// A partition was deleted: there is no place for its marker any more.
    pub fn partition_deleted(&mut self, partition: &PartitionKey) {
        for transaction in self.transactions.values_mut() {
            transaction.partitions.remove(partition);
        }
    }

    /// Aborts transactions that were open longer than their producers allowed.
    pub fn abort_timed_out(&mut self, now_ms: i64, effects: &mut TransactionEffects) {
        for (transactional_id, transaction) in &mut self.transactions {
            let deadline_ms = transaction.started_ms + i64::from(transaction.timeout_ms);
            if transaction.state == State::Ongoing && deadline_ms < now_ms {
                transaction.fence(transactional_id, now_ms, effects);
            }
        }
    }

    /// When [`TransactionShard::abort_timed_out`] has something to do next.
    #[must_use]
    pub fn next_timeout_ms(&self) -> Option<i64> {
        self.transactions
            .values()
            .filter(|transaction| transaction.state == State::Ongoing)
            .map(|transaction| transaction.started_ms + i64::from(transaction.timeout_ms) + 1)
            .min()
    }
}

impl Transaction {
    fn verdict(&self, request: EndRequest) -> Result<Verdict, ErrorCode> {
        let EndRequest { producer, is_commit, client_version } = request;
        let is_version_2 = client_version >= 2;
        // A client of version 2 that has missed our answer comes with the epoch before.
        let is_retry = self.uses_version_2()
            && is_version_2
            && self.last_producer_epoch == producer.epoch
            && match self.producer_id == producer.id {
                true => self.producer_epoch == producer.epoch.saturating_add(1),
                false => self.previous_producer_id == producer.id && self.producer_epoch == 0,
            };
        if self.producer_id != producer.id && !is_retry {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if self.producer_epoch != producer.epoch && !is_retry {
            return Err(ErrorCode::ProducerFenced);
        }
        match self.state {
            // Its epoch has risen since: it was fenced, or ended with another request.
            State::Ongoing if is_retry => Err(ErrorCode::ProducerFenced),
            State::Ongoing => Ok(Verdict::Decide),
            State::PrepareCommit if is_commit => Err(ErrorCode::ConcurrentTransactions),
            State::PrepareAbort if !is_commit => Err(ErrorCode::ConcurrentTransactions),
            State::CompleteCommit if is_commit && (is_retry || !is_version_2) => Ok(Verdict::Done),
            State::CompleteAbort if !is_commit && (is_retry || !is_version_2) => Ok(Verdict::Done),
            State::Empty | State::CompleteCommit | State::CompleteAbort
                if is_version_2 && !is_commit && !is_retry =>
            {
                Ok(Verdict::DecideEmpty)
            }
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Aborts the open transaction and shuts its producer out.
    pub(super) fn fence(
        &mut self,
        transactional_id: &str,
        now_ms: i64,
        effects: &mut TransactionEffects,
    ) {
        // No claim to the epoch before is left: the producer cannot go on as if nothing were.
        self.last_producer_epoch = NO_PRODUCER_EPOCH;
        self.producer_epoch = self.producer_epoch.saturating_add(1);
        self.decide(transactional_id, false, now_ms, effects);
    }

    fn decide(
        &mut self,
        transactional_id: &str,
        is_commit: bool,
        now_ms: i64,
        effects: &mut TransactionEffects,
    ) {
        if self.started_ms < 0 {
            self.started_ms = now_ms;
        }
        self.state = if is_commit { State::PrepareCommit } else { State::PrepareAbort };
        self.updated_ms = now_ms;
        effects.records.push(record::transaction(transactional_id, self));
        effects.markers.push(self.markers(transactional_id));
    }

    fn complete(&mut self, now_ms: i64) {
        self.state = match self.state {
            State::PrepareCommit => State::CompleteCommit,
            _ => State::CompleteAbort,
        };
        self.partitions.clear();
        self.updated_ms = now_ms;
        if self.next_producer_id != NO_PRODUCER_ID {
            self.previous_producer_id = self.producer_id;
            self.producer_id = std::mem::replace(&mut self.next_producer_id, NO_PRODUCER_ID);
            self.producer_epoch = 0;
        }
    }
}
