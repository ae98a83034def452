//! The records of `__transaction_state`.

use super::{State, Transaction};
use afluente_protocol::messages::transaction_state::transaction_log_key::TransactionLogKey;
use afluente_protocol::messages::transaction_state::transaction_log_value::{
    PartitionsSchema, TransactionLogValue,
};

/// The version in which Kafka 4.3 writes the value: the one with room for KIP-890's fields.
pub const VALUE_VERSION: i16 = 1;

/// A record: a transactional id, and what is known of it, or a tombstone.
#[derive(Debug, Clone, PartialEq)]
pub struct TransactionRecord {
    /// The transactional id.
    pub key: TransactionLogKey,
    /// `None` forgets the id.
    pub value: Option<TransactionLogValue>,
}

pub(super) fn transaction(transactional_id: &str, transaction: &Transaction) -> TransactionRecord {
    let mut partitions: Vec<PartitionsSchema> = Vec::new();
    for (topic, partition) in &transaction.partitions {
        match partitions.last_mut() {
            Some(last) if last.topic == *topic => last.partition_ids.push(*partition),
            _ => partitions
                .push(PartitionsSchema { topic: topic.clone(), partition_ids: vec![*partition] }),
        }
    }
    // An id without a transaction has no list, rather than an empty one.
    let has_partitions = transaction.state != State::Empty;
    TransactionRecord {
        key: TransactionLogKey { transactional_id: transactional_id.to_owned() },
        value: Some(TransactionLogValue {
            producer_id: transaction.producer_id,
            previous_producer_id: transaction.previous_producer_id,
            next_producer_id: transaction.next_producer_id,
            producer_epoch: transaction.producer_epoch,
            transaction_timeout_ms: transaction.timeout_ms,
            transaction_status: transaction.state.code(),
            transaction_partitions: has_partitions.then_some(partitions),
            transaction_last_update_timestamp_ms: transaction.updated_ms,
            transaction_start_timestamp_ms: transaction.started_ms,
            client_transaction_version: transaction.client_version,
            ..TransactionLogValue::default()
        }),
    }
}

pub(super) fn tombstone(transactional_id: &str) -> TransactionRecord {
    let key = TransactionLogKey { transactional_id: transactional_id.to_owned() };
    TransactionRecord { key, value: None }
}

/// What a record says. The epoch before the present one is not written down: with transactions of
/// version 2 it follows from the state, else a retry across a restart has to start over.
///
/// # Errors
/// The state's number, if it is not one of Kafka's.
pub(super) fn restored(value: &TransactionLogValue) -> Result<Transaction, i8> {
    let state = State::from_code(value.transaction_status).ok_or(value.transaction_status)?;
    let partitions = value.transaction_partitions.iter().flatten();
    let mut transaction = Transaction {
        producer_id: value.producer_id,
        previous_producer_id: value.previous_producer_id,
        next_producer_id: value.next_producer_id,
        producer_epoch: value.producer_epoch,
        last_producer_epoch: super::NO_PRODUCER_EPOCH,
        timeout_ms: value.transaction_timeout_ms,
        state,
        partitions: partitions
            .flat_map(|t| t.partition_ids.iter().map(|p| (t.topic.clone(), *p)))
            .collect(),
        started_ms: value.transaction_start_timestamp_ms,
        updated_ms: value.transaction_last_update_timestamp_ms,
        client_version: value.client_transaction_version,
    };
    let has_ended = !matches!(state, State::Empty | State::Ongoing);
    if transaction.uses_version_2() && has_ended && transaction.producer_epoch > 0 {
        transaction.last_producer_epoch = transaction.producer_epoch - 1;
    }
    Ok(transaction)
}
