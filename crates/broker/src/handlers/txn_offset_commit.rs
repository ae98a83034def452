//! TxnOffsetCommit (28), versions 0 to 5. KIP-98; KIP-447 (group metadata); KIP-890 (from 5 on, the
//! broker adds the group's partition to the transaction).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::groups::{self, TopicsView};
use afluente_coordinator::transactions::ProducerIdAndEpoch;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestTopic,
};
use afluente_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use afluente_protocol::numbers::{ProducerEpoch, ProducerId};
use afluente_protocol::records::BatchProducer;
use std::sync::Arc;

/// From this version on, the broker adds the partition, and a client knows that it can abort and go
/// on.
const IMPLICIT_ADD_SINCE: i16 = 5;
/// From this version on, a client knows that its group may be rebalancing.
const GROUP_METADATA_SINCE: i16 = 3;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    mut request: TxnOffsetCommitRequest,
) -> Result<TxnOffsetCommitResponse, CloseReason> {
    let mut topics: Vec<TxnOffsetCommitResponseTopic> = Vec::with_capacity(request.topics.len());
    let mut wanted = Vec::with_capacity(request.topics.len());
    for topic in std::mem::take(&mut request.topics) {
        let (answer, existing) = sort_out(broker, topic);
        topics.push(answer);
        wanted.extend(existing);
    }
    request.topics = wanted;
    let codes = match request.topics.is_empty() {
        true => Ok(Vec::new()),
        false => commit(broker, context, &request).await,
    };
    let mut codes = match codes {
        Ok(codes) => codes.into_iter().flatten().map(ErrorCode::code).collect::<Vec<_>>(),
        Err(code) => {
            let count = request.topics.iter().map(|topic| topic.partitions.len()).sum();
            vec![understood(context.version, code).code(); count]
        }
    }
    .into_iter();
    for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if partition.error_code == ErrorCode::None.code() {
            partition.error_code = codes.next().unwrap_or(ErrorCode::UnknownServerError.code());
        }
    }
    Ok(TxnOffsetCommitResponse { topics, ..Default::default() })
}

/// The answer's place for a topic, with the errors that are clear already; and what is left of the
/// topic to be committed.
fn sort_out(
    broker: &Broker,
    mut topic: TxnOffsetCommitRequestTopic,
) -> (TxnOffsetCommitResponseTopic, Option<TxnOffsetCommitRequestTopic>) {
    let exists = |index: i32| broker.topics.partition(&topic.name, index).is_some();
    let partitions = topic.partitions.iter().map(|partition| TxnOffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code: match exists(partition.partition_index) {
            true => ErrorCode::None.code(),
            false => ErrorCode::UnknownTopicOrPartition.code(),
        },
    });
    let answer = TxnOffsetCommitResponseTopic {
        name: topic.name.clone(),
        partitions: partitions.collect(),
        ..Default::default()
    };
    topic.partitions.retain(|partition| {
        broker.topics.partition(&topic.name, partition.partition_index).is_some()
    });
    (answer, Some(topic).filter(|topic| !topic.partitions.is_empty()))
}

async fn commit(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: &TxnOffsetCommitRequest,
) -> Result<Vec<Vec<ErrorCode>>, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let id = &request.transactional_id;
    let producer = ProducerIdAndEpoch { id: request.producer_id, epoch: request.producer_epoch };
    let partition = groups::partition_of(broker, &request.group_id).await?;
    if context.version >= IMPLICIT_ADD_SINCE {
        broker.transactions.add_partitions(broker, id, producer, vec![partition], 2).await?;
    } else {
        broker.transactions.verify_partition(broker, id, producer, &partition).await?;
    }
    let shard = broker.groups.shard(broker, &request.group_id).await?;
    let origin = broker.groups.origin(broker, context);
    let producer = BatchProducer {
        id: ProducerId(request.producer_id),
        epoch: ProducerEpoch(request.producer_epoch),
        base_sequence: 0,
    };
    let view = TopicsView(&broker.topics);
    let step = broker.groups.run_for(broker, &shard, Some(producer), |groups, effects| {
        groups.txn_offset_commit(&origin, request, &view, effects)
    });
    step.await?
}

/// What a client of this version understands.
fn understood(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::TransactionAbortable if version < IMPLICIT_ADD_SINCE => {
            ErrorCode::InvalidTxnState
        }
        ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId
            if version < GROUP_METADATA_SINCE =>
        {
            ErrorCode::CoordinatorLoadInProgress
        }
        // Clients know that a fenced producer's epoch is invalid here, as in an answer to Produce.
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}
