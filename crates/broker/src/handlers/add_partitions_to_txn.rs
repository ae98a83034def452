//! AddPartitionsToTxn (24), versions 0 to 5. KIP-98; KIP-890 (several transactions, and asking
//! without adding: between brokers).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_coordinator::transactions::{PartitionKey, ProducerIdAndEpoch};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use afluente_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
};
use std::sync::Arc;

/// From this version on, brokers ask for several transactions at once.
const BATCHED_SINCE: i16 = 4;
/// From this version on, a client knows that it can abort and go on.
const ABORTABLE_SINCE: i16 = 5;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: AddPartitionsToTxnRequest,
) -> Result<AddPartitionsToTxnResponse, CloseReason> {
    let mut response = AddPartitionsToTxnResponse::default();
    if context.version >= BATCHED_SINCE {
        for transaction in request.transactions {
            let topic_results = add(broker, context.version, &transaction).await;
            response.results_by_transaction.push(AddPartitionsToTxnResult {
                transactional_id: transaction.transactional_id,
                topic_results,
            });
        }
    } else {
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id,
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            topics: request.v3_and_below_topics,
        };
        response.results_by_topic_v3_and_below = add(broker, context.version, &transaction).await;
    }
    Ok(response)
}

async fn add(
    broker: &Arc<Broker>,
    version: i16,
    transaction: &AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let exists = |topic: &str, index: i32| broker.topics.partition(topic, index).is_some();
    let all = || {
        transaction.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.name.as_str(), *p)))
    };
    if all().any(|(topic, index)| !exists(topic, index)) {
        // All or none: one that does not exist keeps the others out.
        return results(&transaction.topics, |topic, index| match exists(topic, index) {
            true => ErrorCode::OperationNotAttempted,
            false => ErrorCode::UnknownTopicOrPartition,
        });
    }
    let producer =
        ProducerIdAndEpoch { id: transaction.producer_id, epoch: transaction.producer_epoch };
    let id = &transaction.transactional_id;
    let partitions: Vec<PartitionKey> = all().map(|(topic, p)| (topic.to_owned(), p)).collect();
    if transaction.verify_only {
        let mut codes = std::collections::BTreeMap::new();
        for partition in partitions {
            let asked = broker.transactions.verify_partition(broker, id, producer, &partition);
            let verified = code(version, asked.await);
            codes.insert(partition, verified);
        }
        return results(&transaction.topics, |topic, index| {
            codes.get(&(topic.to_owned(), index)).copied().unwrap_or(ErrorCode::None)
        });
    }
    let added = broker.transactions.add_partitions(broker, id, producer, partitions, 1).await;
    let code = code(version, added);
    results(&transaction.topics, |_, _| code)
}

/// What a client of this version understands.
fn code(version: i16, result: Result<(), ErrorCode>) -> ErrorCode {
    match result {
        Ok(()) => ErrorCode::None,
        Err(ErrorCode::TransactionAbortable) if version < ABORTABLE_SINCE => {
            ErrorCode::InvalidTxnState
        }
        // The name that this error had before.
        Err(ErrorCode::ProducerFenced) if version < 2 => ErrorCode::InvalidProducerEpoch,
        Err(code) => code,
    }
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn(&str, i32) -> ErrorCode,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let result = |topic: &AddPartitionsToTxnTopic| {
        let partitions = topic.partitions.iter().map(|index| AddPartitionsToTxnPartitionResult {
            partition_index: *index,
            partition_error_code: code(&topic.name, *index).code(),
        });
        AddPartitionsToTxnTopicResult {
            name: topic.name.clone(),
            results_by_partition: partitions.collect(),
        }
    };
    topics.iter().map(result).collect()
}
