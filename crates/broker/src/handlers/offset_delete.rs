//! OffsetDelete (47), version 0. KIP-496.
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_coordinator::effects::Effects;
use afluente_coordinator::groups::GroupShard;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic,
};
use afluente_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: OffsetDeleteRequest,
) -> Result<OffsetDeleteResponse, CloseReason> {
    Ok(match delete(broker, &request).await {
        Ok(topics) => OffsetDeleteResponse { topics, ..Default::default() },
        Err(code) => OffsetDeleteResponse { error_code: code.code(), ..Default::default() },
    })
}

async fn delete(
    broker: &Arc<Broker>,
    request: &OffsetDeleteRequest,
) -> Result<Vec<OffsetDeleteResponseTopic>, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let shard = broker.groups.shard(broker, &request.group_id).await?;
    let step = |groups: &mut GroupShard, effects: &mut Effects| {
        let topics = request.topics.iter();
        topics.map(|topic| delete_topic(groups, broker, request, topic, effects)).collect()
    };
    broker.groups.run(broker, &shard, step).await?
}

fn delete_topic(
    groups: &mut GroupShard,
    broker: &Broker,
    request: &OffsetDeleteRequest,
    topic: &OffsetDeleteRequestTopic,
    effects: &mut Effects,
) -> Result<OffsetDeleteResponseTopic, ErrorCode> {
    let code = match groups.validate_offset_delete(&request.group_id, &topic.name) {
        Ok(()) => ErrorCode::None,
        Err(ErrorCode::GroupSubscribedToTopic) => ErrorCode::GroupSubscribedToTopic,
        Err(code) => return Err(code),
    };
    let exists = |index: i32| broker.topics.partition(&topic.name, index).is_some();
    let partitions = topic.partitions.iter().map(|partition| {
        let index = partition.partition_index;
        let code = if exists(index) { code } else { ErrorCode::UnknownTopicOrPartition };
        if code == ErrorCode::None {
            groups.offset_delete(&request.group_id, &(topic.name.clone(), index), effects);
        }
        OffsetDeleteResponsePartition { partition_index: index, error_code: code.code() }
    });
    let partitions = partitions.collect();
    Ok(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions })
}
