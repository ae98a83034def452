//! The transactions of one partition of `__transaction_state`.
//!
//! ```text
//!                 add partitions            end               markers are in all partitions
//!   Empty ─────────────────────▶ Ongoing ───────▶ PrepareCommit ────────────▶ CompleteCommit
//!     ▲                             │ ▲     ╲───▶ PrepareAbort  ────────────▶ CompleteAbort
//!     │ init                        │ │                                             │
//!     └──────── any complete ◀──────┘ └──────────── add partitions ◀────────────────┘
//! ```
//!
//! The decision is the `Prepare…` record: once it is durable the transaction ends that way, whatever
//! crashes. Producers are fenced by their epoch. With transactions of version 2 (KIP-890) the epoch
//! rises at the end of every transaction, so that a request that was under way when it ended cannot
//! slip into the next one.
//!
//! Sources: KIP-98, KIP-360 (recovery by epoch), KIP-588 (timeouts), KIP-664 (tools), KIP-890.

pub mod describe;
pub mod end;
mod init;
pub mod record;
#[cfg(test)]
mod tests;

use afluente_protocol::error_code::ErrorCode;
use record::TransactionRecord;
use std::collections::{BTreeMap, BTreeSet};

/// "No producer id" on the wire.
pub const NO_PRODUCER_ID: i64 = -1;
/// "No epoch" on the wire.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// A producer never gets this epoch: it is left for fencing it a last time.
const EPOCH_MAX: i16 = i16::MAX;

/// Topic and partition.
pub type PartitionKey = (String, i32);

/// Where a transaction stands; the numbers are those of Kafka's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Initialised, and nothing written yet.
    Empty,
    /// Partitions were added.
    Ongoing,
    /// Committed; markers are being written.
    PrepareCommit,
    /// Aborted; markers are being written.
    PrepareAbort,
    /// Committed, and every partition knows.
    CompleteCommit,
    /// Aborted, and every partition knows.
    CompleteAbort,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// The name that Kafka's tools show.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether Kafka has a state of this name; two of its states are never seen here.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        Self::ALL.iter().any(|state| state.name() == name)
            || matches!(name, "Dead" | "PrepareEpochFence")
    }

    fn code(self) -> i8 {
        match self {
            Self::Empty => 0,
            Self::Ongoing => 1,
            Self::PrepareCommit => 2,
            Self::PrepareAbort => 3,
            Self::CompleteCommit => 4,
            Self::CompleteAbort => 5,
        }
    }

    fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    fn is_ending(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// What is known of one transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    producer_id: i64,
    /// The id before the last one ran out of epochs.
    previous_producer_id: i64,
    /// The id that takes over when the present end is through, because this one has no epoch left.
    next_producer_id: i64,
    producer_epoch: i16,
    /// The epoch before the last rise, if its holder may still claim it in a retry.
    last_producer_epoch: i16,
    timeout_ms: i32,
    state: State,
    partitions: BTreeSet<PartitionKey>,
    started_ms: i64,
    updated_ms: i64,
    /// 2 if the client ends transactions as KIP-890 has it.
    client_version: i16,
}

/// Markers to write: one into each partition, and then [`TransactionShard::markers_written`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    /// Whose transaction ends.
    pub transactional_id: String,
    /// For the marker's batch header.
    pub producer_id: i64,
    /// For the marker's batch header.
    pub producer_epoch: i16,
    /// Whether it commits or aborts.
    pub is_commit: bool,
    /// Where it has written.
    pub partitions: Vec<PartitionKey>,
}

/// Records and markers of one step.
///
/// The caller appends all `records` together. When they are durable it lets the answer go, and then
/// has the `markers` written.
#[derive(Debug, Default)]
pub struct TransactionEffects {
    /// To be appended to the shard's partition, in this order.
    pub records: Vec<TransactionRecord>,
    /// To be written after the records are durable.
    pub markers: Vec<Markers>,
}

/// A producer id with its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdAndEpoch {
    /// The producer id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// Gives out producer ids, each once in the life of the cluster.
pub trait ProducerIds {
    /// A fresh one.
    ///
    /// # Errors
    /// The code to answer with while there is none to be had.
    fn next_producer_id(&mut self) -> Result<i64, ErrorCode>;
}

/// What can be configured about transactions. Each field names its broker key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionSettings {
    /// `transaction.max.timeout.ms`
    pub timeout_ms_max: i32,
    /// `transactional.id.expiration.ms`
    pub id_expiration_ms: i64,
}

impl Default for TransactionSettings {
    fn default() -> Self {
        Self { timeout_ms_max: 15 * 60 * 1_000, id_expiration_ms: 7 * 24 * 60 * 60 * 1_000 }
    }
}

/// Every transaction of one partition of `__transaction_state`.
#[derive(Debug, Default)]
pub struct TransactionShard {
    settings: TransactionSettings,
    transactions: BTreeMap<String, Transaction>,
}

impl TransactionShard {
    /// A shard without transactions; [`TransactionShard::replay`] brings back those of the log.
    #[must_use]
    pub fn new(settings: TransactionSettings) -> Self {
        Self { settings, transactions: BTreeMap::new() }
    }

    /// Adds partitions to a transaction, starting it if need be. `client_version` is 2 where the
    /// client leaves this to the broker (KIP-890), else 1.
    ///
    /// # Errors
    /// The code to answer with.
    pub fn add_partitions(
        &mut self,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
        partitions: impl IntoIterator<Item = PartitionKey>,
        client_version: i16,
        now_ms: i64,
        effects: &mut TransactionEffects,
    ) -> Result<(), ErrorCode> {
        let transaction = self.of_producer(transactional_id, producer)?;
        if transaction.state.is_ending() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let known = transaction.partitions.len();
        transaction.partitions.extend(partitions);
        if transaction.state == State::Ongoing && transaction.partitions.len() == known {
            return Ok(());
        }
        if transaction.state != State::Ongoing {
            transaction.state = State::Ongoing;
            transaction.started_ms = now_ms;
        }
        transaction.client_version = client_version;
        transaction.updated_ms = now_ms;
        effects.records.push(record::transaction(transactional_id, transaction));
        Ok(())
    }

    /// Whether a partition is part of the producer's open transaction: asked before its records
    /// are taken in (KIP-890).
    ///
    /// # Errors
    /// The code to answer with; `TRANSACTION_ABORTABLE` if the partition was not added.
    pub fn verify_partition(
        &mut self,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
        partition: &PartitionKey,
    ) -> Result<(), ErrorCode> {
        let transaction = self.of_producer(transactional_id, producer)?;
        if transaction.state.is_ending() {
            Err(ErrorCode::ConcurrentTransactions)
        } else if transaction.partitions.contains(partition) {
            Ok(())
        } else {
            Err(ErrorCode::TransactionAbortable)
        }
    }

    fn of_producer(
        &mut self,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
    ) -> Result<&mut Transaction, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let transaction = self
            .transactions
            .get_mut(transactional_id)
            .filter(|transaction| transaction.producer_id == producer.id)
            .ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if transaction.producer_epoch == producer.epoch {
            Ok(transaction)
        } else {
            Err(ErrorCode::ProducerFenced)
        }
    }

    /// Applies one record of the log, in the order of the log.
    ///
    /// # Errors
    /// The state's number, if it is not one of Kafka's.
    pub fn replay(&mut self, record: &TransactionRecord) -> Result<(), i8> {
        let transactional_id = &record.key.transactional_id;
        match &record.value {
            Some(value) => {
                let transaction = record::restored(value)?;
                self.transactions.insert(transactional_id.clone(), transaction);
            }
            None => {
                self.transactions.remove(transactional_id);
            }
        }
        Ok(())
    }

    /// After the last replayed record: the markers of transactions that were ending are written
    /// (again); a partition that has its marker already takes a second one without harm.
    pub fn loaded(&self, effects: &mut TransactionEffects) {
        for (transactional_id, transaction) in &self.transactions {
            if transaction.state.is_ending() {
                effects.markers.push(transaction.markers(transactional_id));
            }
        }
    }

    /// Forgets transactional ids that were not used for `transactional.id.expiration.ms`.
    pub fn expire_ids(&mut self, now_ms: i64, effects: &mut TransactionEffects) {
        let expiration_ms = self.settings.id_expiration_ms;
        self.transactions.retain(|transactional_id, transaction| {
            let is_idle = transaction.state != State::Ongoing && !transaction.state.is_ending();
            let is_expired = is_idle && now_ms - transaction.updated_ms >= expiration_ms;
            if is_expired {
                effects.records.push(record::tombstone(transactional_id));
            }
            !is_expired
        });
    }
}

impl Transaction {
    fn producer(&self) -> ProducerIdAndEpoch {
        ProducerIdAndEpoch { id: self.producer_id, epoch: self.producer_epoch }
    }

    fn is_epoch_exhausted(&self) -> bool {
        is_exhausted(self.producer_epoch)
    }

    fn uses_version_2(&self) -> bool {
        self.client_version >= 2
    }

    fn markers(&self, transactional_id: &str) -> Markers {
        Markers {
            transactional_id: transactional_id.to_owned(),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            is_commit: self.state == State::PrepareCommit,
            partitions: self.partitions.iter().cloned().collect(),
        }
    }
}

fn is_exhausted(epoch: i16) -> bool {
    epoch >= EPOCH_MAX - 1
}
