//! OffsetCommit (8), versions 2 to 10. KIP-211 (retention), KIP-320 (leader epoch), KIP-345 (static
//! members), KIP-848 (member epoch; from 10 on, topics by id).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::groups::TopicsView;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestTopic,
};
use afluente_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use std::sync::Arc;

/// From this version on, topics are named by their id.
const TOPIC_IDS_SINCE: i16 = 10;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    mut request: OffsetCommitRequest,
) -> Result<OffsetCommitResponse, CloseReason> {
    // What is left in the request is committed; the answer has a place for every partition of it.
    let mut topics: Vec<OffsetCommitResponseTopic> = Vec::with_capacity(request.topics.len());
    let mut wanted = Vec::with_capacity(request.topics.len());
    for topic in std::mem::take(&mut request.topics) {
        let (answer, existing) = sort_out(broker, context.version, topic);
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
            vec![code.code(); count]
        }
    }
    .into_iter();
    for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if partition.error_code == ErrorCode::None.code() {
            partition.error_code = codes.next().unwrap_or(ErrorCode::UnknownServerError.code());
        }
    }
    Ok(OffsetCommitResponse { topics, ..Default::default() })
}

/// The answer's place for a topic, with the errors that are clear already; and what is left of the
/// topic to be committed.
fn sort_out(
    broker: &Broker,
    version: i16,
    mut topic: OffsetCommitRequestTopic,
) -> (OffsetCommitResponseTopic, Option<OffsetCommitRequestTopic>) {
    let found = broker.topics.resolve(&topic.name, &topic.topic_id);
    let code_of = |index: i32| match &found {
        Err(code) => *code,
        Ok(topic) if topic.partition(index).is_none() => ErrorCode::UnknownTopicOrPartition,
        Ok(_) => ErrorCode::None,
    };
    let partitions = topic.partitions.iter().map(|partition| OffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code: code_of(partition.partition_index).code(),
    });
    let answer = OffsetCommitResponseTopic {
        name: if version >= TOPIC_IDS_SINCE { String::new() } else { topic.name.clone() },
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    };
    topic.partitions.retain(|partition| code_of(partition.partition_index) == ErrorCode::None);
    let Ok(found) = found else { return (answer, None) };
    topic.name = found.name.to_string();
    (answer, Some(topic).filter(|topic| !topic.partitions.is_empty()))
}

async fn commit(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: &OffsetCommitRequest,
) -> Result<Vec<Vec<ErrorCode>>, ErrorCode> {
    let groups = &broker.groups;
    let shard = groups.shard(broker, &request.group_id).await?;
    let origin = groups.origin(broker, context);
    let view = TopicsView(&broker.topics);
    let step = groups.run(broker, &shard, |groups, effects| {
        groups.offset_commit(&origin, request, &view, effects)
    });
    step.await?
}
