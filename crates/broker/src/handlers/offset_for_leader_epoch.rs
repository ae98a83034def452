//! OffsetForLeaderEpoch (23), versions 2 to 4. KIP-101, KIP-320.
//!
//! Not done: authorization, followers.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
};
use afluente_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use afluente_protocol::numbers::LeaderEpoch;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: OffsetForLeaderEpochRequest,
) -> Result<OffsetForLeaderEpochResponse, CloseReason> {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic
            .partitions
            .iter()
            .map(|asked| match look_up(broker, &topic.topic, asked) {
                Ok((leader_epoch, end_offset)) => EpochEndOffset {
                    error_code: ErrorCode::None.code(),
                    partition: asked.partition,
                    leader_epoch,
                    end_offset,
                },
                Err(code) => EpochEndOffset {
                    error_code: code.code(),
                    partition: asked.partition,
                    leader_epoch: -1,
                    end_offset: -1,
                },
            })
            .collect();
        OffsetForLeaderTopicResult { topic: topic.topic, partitions }
    });
    Ok(OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() })
}

fn look_up(
    broker: &Broker,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ErrorCode> {
    let partition = broker
        .topics
        .partition(topic, asked.partition)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    partition.check_leader_epoch(asked.current_leader_epoch)?;
    let found = partition.log().offset_for_leader_epoch(LeaderEpoch(asked.leader_epoch));
    Ok(found.map_or((-1, -1), |(epoch, end)| (epoch.0, end.0)))
}
