//! DescribeTopicPartitions (75), version 0: topics in pieces. KIP-966.
//!
//! Not done: authorization.

use super::operations;
use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::topics::{Topic, is_internal};
use afluente_cluster::topic_name;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use afluente_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: DescribeTopicPartitionsRequest,
) -> Result<DescribeTopicPartitionsResponse, CloseReason> {
    let max = broker.config.int("max.request.partition.size.limit").max(1);
    let limit = request.response_partition_limit.clamp(1, max);
    let is_for_all = request.topics.is_empty();
    if let Some(cursor) = &request.cursor
        && (cursor.partition_index < 0
            || !(is_for_all || request.topics.iter().any(|topic| topic.name == cursor.topic_name)))
    {
        return Ok(refuse_all(request));
    }
    let mut names: BTreeSet<String> = match is_for_all {
        true => broker.topics.all().iter().map(|topic| topic.name.to_string()).collect(),
        false => request.topics.into_iter().map(|topic| topic.name).collect(),
    };
    let mut first = 0;
    if let Some(cursor) = &request.cursor {
        names.retain(|name| *name >= cursor.topic_name);
        if names.contains(&cursor.topic_name) {
            first = cursor.partition_index;
        }
    }
    let mut response = DescribeTopicPartitionsResponse::default();
    let mut room = usize::try_from(limit).unwrap_or(1);
    for name in names {
        if room == 0 {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: 0 });
            break;
        }
        let Some(topic) = broker.topics.by_name(&name) else {
            let code = match topic_name::validate(&name) {
                Ok(()) => ErrorCode::UnknownTopicOrPartition,
                Err(_) => ErrorCode::InvalidTopicException,
            };
            response.topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: code.code(),
                name: Some(name),
                topic_authorized_operations: operations::TOPIC,
                ..Default::default()
            });
            continue;
        };
        let described = describe(broker, &topic, first, room);
        room -= described.partitions.len();
        let next = usize::try_from(first).unwrap_or(0) + described.partitions.len();
        response.topics.push(described);
        if next < topic.partitions.len() {
            let partition_index = i32::try_from(next).unwrap_or(i32::MAX);
            response.next_cursor = Some(Cursor { topic_name: name, partition_index });
            break;
        }
        first = 0;
    }
    Ok(response)
}

/// The cursor points to no partition of the topics that are asked for.
fn refuse_all(request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.into_iter().map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(topic.name),
        topic_authorized_operations: operations::NOT_ASKED,
        ..Default::default()
    });
    DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() }
}

fn describe(
    broker: &Broker,
    topic: &Topic,
    first: i32,
    room: usize,
) -> DescribeTopicPartitionsResponseTopic {
    let node_id = broker.settings.node.id;
    let partitions = topic.partitions.iter().filter(|partition| partition.index() >= first);
    DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions
            .take(room)
            .map(|partition| DescribeTopicPartitionsResponsePartition {
                partition_index: partition.index(),
                leader_id: node_id,
                leader_epoch: partition.leader_epoch().0,
                replica_nodes: vec![node_id],
                isr_nodes: vec![node_id],
                eligible_leader_replicas: Some(Vec::new()),
                last_known_elr: Some(Vec::new()),
                ..Default::default()
            })
            .collect(),
        topic_authorized_operations: operations::TOPIC,
        ..Default::default()
    }
}
