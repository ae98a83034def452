//! ListOffsets (2), versions 1 to 11. KIP-79 (timestamps), KIP-734 (the latest timestamp), KIP-405
//! (what is local and what is tiered), KIP-1005.
//!
//! Not done: tiered storage, so that everything is local and nothing is tiered; followers.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::partition::Partition;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use afluente_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::uuid::Uuid;
use afluente_storage::TimestampQuery;
use std::collections::BTreeSet;
use std::sync::Arc;

const READ_COMMITTED: i8 = 1;

/// The timestamps that are not one; see [`is_known`].
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// An offset with its timestamp and leader epoch; -1 where there is none.
struct Found {
    timestamp: i64,
    offset: i64,
    leader_epoch: i32,
}

const NOTHING: Found = Found { timestamp: -1, offset: -1, leader_epoch: -1 };

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: ListOffsetsRequest,
) -> Result<ListOffsetsResponse, CloseReason> {
    let is_committed = request.isolation_level == READ_COMMITTED;
    let repeated = repeated(&request);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let known = broker.topics.resolve(&topic.name, &Uuid::ZERO);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let is_repeated = repeated.contains(&(topic.name.clone(), asked.partition_index));
            if is_repeated
                && partitions.iter().any(|told: &ListOffsetsPartitionResponse| {
                    told.partition_index == asked.partition_index
                })
            {
                continue;
            }
            let found = if is_repeated {
                Err(ErrorCode::InvalidRequest)
            } else if !is_known(asked.timestamp, context.version) {
                Err(ErrorCode::UnsupportedVersion)
            } else {
                let partition = known.as_ref().map_err(|code| *code).and_then(|topic| {
                    topic.partition(asked.partition_index).ok_or(ErrorCode::UnknownTopicOrPartition)
                });
                match partition {
                    Ok(partition) => look_up(partition, &asked, is_committed).await,
                    Err(code) => Err(code),
                }
            };
            partitions.push(response(asked.partition_index, found, context.version));
        }
        topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
    }
    Ok(ListOffsetsResponse { topics, ..Default::default() })
}

/// The partitions that a request names more than once: each is answered once, with an error.
fn repeated(request: &ListOffsetsRequest) -> BTreeSet<(String, i32)> {
    let named = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| (&*topic.name, partition.partition_index))
    });
    super::repeated::repeated(named, |(topic, index)| (topic.to_owned(), index))
}

/// Whether a request of `version` may ask for this timestamp.
fn is_known(timestamp: i64, version: i16) -> bool {
    match timestamp {
        LATEST | EARLIEST => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        EARLIEST_PENDING_UPLOAD => version >= 11,
        timestamp => timestamp >= 0,
    }
}

async fn look_up(
    partition: &Partition,
    asked: &ListOffsetsPartition,
    is_committed: bool,
) -> Result<Found, ErrorCode> {
    partition.check_leader_epoch(asked.current_leader_epoch)?;
    let log = partition.log();
    let readable_end = if is_committed { log.last_stable_offset() } else { log.high_watermark() };
    let at = |offset: Offset, epoch: Option<LeaderEpoch>| Found {
        timestamp: -1,
        offset: offset.0,
        leader_epoch: epoch.map_or(-1, |epoch| epoch.0),
    };
    match asked.timestamp {
        LATEST => Ok(at(readable_end, Some(partition.leader_epoch()))),
        EARLIEST | EARLIEST_LOCAL => Ok(at(log.start_offset(), partition.first_epoch())),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok(NOTHING),
        MAX_TIMESTAMP => by_time(partition, TimestampQuery::Max, readable_end).await,
        timestamp => by_time(partition, TimestampQuery::At(timestamp), readable_end).await,
    }
}

async fn by_time(
    partition: &Partition,
    query: TimestampQuery,
    readable_end: Offset,
) -> Result<Found, ErrorCode> {
    let found = partition.offset_for_timestamp(query).await.map_err(|error| error.code())?;
    Ok(match found {
        Some(found) if found.offset < readable_end => Found {
            timestamp: found.timestamp_ms,
            offset: found.offset.0,
            leader_epoch: found.leader_epoch.0,
        },
        _ => NOTHING,
    })
}

fn response(
    index: i32,
    found: Result<Found, ErrorCode>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let (code, found) = match found {
        Ok(found) => (ErrorCode::None, found),
        Err(code) => (code, NOTHING),
    };
    ListOffsetsPartitionResponse {
        partition_index: index,
        error_code: code.code(),
        timestamp: found.timestamp,
        offset: found.offset,
        // Older versions have no such field.
        leader_epoch: if version >= 4 { found.leader_epoch } else { -1 },
    }
}
