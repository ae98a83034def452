//! InitProducerId of a transactional producer: fence whoever had the id before, and start clean.

use super::{
    NO_PRODUCER_EPOCH, NO_PRODUCER_ID, ProducerIdAndEpoch, ProducerIds, State, Transaction,
    TransactionEffects, TransactionShard, is_exhausted, record,
};
use afluente_protocol::error_code::ErrorCode;
use std::collections::BTreeSet;

impl TransactionShard {
    /// Gives a producer its id and a new epoch. `expected` is what it had before, if it goes on
    /// after an error (KIP-360) and is not a new process.
    ///
    /// # Errors
    /// The code to answer with. After `CONCURRENT_TRANSACTIONS` the client asks again: the
    /// transaction that stood in the way is being ended.
    pub fn init_producer_id(
        &mut self,
        transactional_id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdAndEpoch>,
        ids: &mut dyn ProducerIds,
        now_ms: i64,
        effects: &mut TransactionEffects,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.settings.timeout_ms_max {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        if !self.transactions.contains_key(transactional_id) {
            let transaction = Transaction::new(ids.next_producer_id()?);
            self.transactions.insert(transactional_id.to_owned(), transaction);
        }
        let transaction =
            self.transactions.get_mut(transactional_id).ok_or(ErrorCode::UnknownServerError)?;
        if expected.is_some_and(|expected| !transaction.knows(expected)) {
            return Err(ErrorCode::ProducerFenced);
        }
        match transaction.state {
            State::PrepareCommit | State::PrepareAbort => Err(ErrorCode::ConcurrentTransactions),
            State::Ongoing => {
                transaction.fence(transactional_id, now_ms, effects);
                Err(ErrorCode::ConcurrentTransactions)
            }
            State::Empty | State::CompleteCommit | State::CompleteAbort => {
                transaction.start_clean(expected.map(|e| e.epoch), ids)?;
                transaction.timeout_ms = timeout_ms;
                transaction.updated_ms = now_ms;
                effects.records.push(record::transaction(transactional_id, transaction));
                Ok(transaction.producer())
            }
        }
    }
}

impl Transaction {
    fn new(producer_id: i64) -> Self {
        Self {
            producer_id,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms: 0,
            state: State::Empty,
            partitions: BTreeSet::new(),
            started_ms: -1,
            updated_ms: -1,
            client_version: 0,
        }
    }

    /// Whether a producer that goes on after an error is one that we know: a fresh entry knows
    /// everybody; else its id must be the present one, or the one before, when it has used up its
    /// epochs and has missed our answer.
    fn knows(&self, expected: ProducerIdAndEpoch) -> bool {
        self.producer_epoch == NO_PRODUCER_EPOCH
            || expected.id == self.producer_id
            || (expected.id == self.previous_producer_id && is_exhausted(expected.epoch))
    }

    fn start_clean(
        &mut self,
        expected_epoch: Option<i16>,
        ids: &mut dyn ProducerIds,
    ) -> Result<(), ErrorCode> {
        let epoch = self.producer_epoch;
        let is_current = expected_epoch.is_none_or(|expected| expected == epoch);
        if self.is_epoch_exhausted() && is_current {
            self.previous_producer_id = self.producer_id;
            self.producer_id = ids.next_producer_id()?;
            self.last_producer_epoch = expected_epoch.map_or(NO_PRODUCER_EPOCH, |_| epoch);
            self.producer_epoch = 0;
        } else if is_current || epoch == NO_PRODUCER_EPOCH {
            // A new process leaves no claim to the epoch before; one that goes on may ask twice.
            self.last_producer_epoch = expected_epoch.map_or(NO_PRODUCER_EPOCH, |_| epoch);
            self.producer_epoch = epoch + 1;
            self.previous_producer_id = self.producer_id;
        } else if expected_epoch != Some(self.last_producer_epoch) {
            return Err(ErrorCode::ProducerFenced);
        }
        self.state = State::Empty;
        self.partitions.clear();
        self.started_ms = -1;
        Ok(())
    }
}
