//! OffsetFetch (9), versions 1 to 10. KIP-447 (stable offsets), KIP-709 (several groups), KIP-848
//! (member epoch; from 10 on, topics by id).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_coordinator::groups::GroupShard;
use afluente_coordinator::groups::offsets::{FetchedOffset, OffsetKey};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use afluente_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use afluente_protocol::uuid::Uuid;
use std::sync::Arc;

/// From this version on, a request is for several groups.
const BATCHED_SINCE: i16 = 8;
/// From this version on, topics are named by their id.
const TOPIC_IDS_SINCE: i16 = 10;
/// From this version on, an error of the group as a whole has a place of its own.
const GROUP_ERROR_SINCE: i16 = 2;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: OffsetFetchRequest,
) -> Result<OffsetFetchResponse, CloseReason> {
    if context.version >= BATCHED_SINCE {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            groups.push(fetch(broker, context.version, group, request.require_stable).await);
        }
        return Ok(OffsetFetchResponse { groups, ..Default::default() });
    }
    let asked = request.topics.map(|topics| {
        let named = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..Default::default()
        });
        named.collect::<Vec<_>>()
    });
    let group = OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics: asked.clone(),
        ..Default::default()
    };
    let group = fetch(broker, context.version, group, request.require_stable).await;
    let has_group_error = context.version >= GROUP_ERROR_SINCE;
    let mut topics = group.topics;
    if group.error_code != 0 && !has_group_error {
        topics = asked.into_iter().flatten().map(|t| failed(&t, group.error_code)).collect();
    }
    Ok(OffsetFetchResponse {
        error_code: if has_group_error { group.error_code } else { 0 },
        topics: topics.into_iter().map(unbatched).collect(),
        ..Default::default()
    })
}

async fn fetch(
    broker: &Arc<Broker>,
    version: i16,
    request: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let group_id = request.group_id.clone();
    let result = async {
        let shard = broker.groups.shard(broker, &request.group_id).await?;
        let step = |groups: &mut GroupShard| {
            let member_id = request.member_id.as_deref();
            groups.validate_offset_fetch(&group_id, member_id, request.member_epoch)?;
            Ok(match &request.topics {
                Some(topics) => {
                    asked_for(broker, groups, version, &group_id, topics, require_stable)
                }
                None => all(broker, groups, version, &group_id, require_stable),
            })
        };
        broker.groups.run(broker, &shard, |groups, _| step(groups)).await?
    };
    match result.await {
        Ok(topics) => OffsetFetchResponseGroup { group_id, topics, error_code: 0 },
        Err(code) => OffsetFetchResponseGroup {
            group_id,
            error_code: ErrorCode::code(code),
            ..Default::default()
        },
    }
}

fn asked_for(
    broker: &Broker,
    groups: &GroupShard,
    version: i16,
    group_id: &str,
    topics: &[OffsetFetchRequestTopics],
    require_stable: bool,
) -> Vec<OffsetFetchResponseTopics> {
    let by_id = version >= TOPIC_IDS_SINCE;
    let mut unknown = Vec::new();
    let mut answer = |topic: &OffsetFetchRequestTopics| {
        let name = match broker.topics.by_id(&topic.topic_id) {
            Some(found) if by_id => found.name.to_string(),
            None if by_id => {
                unknown.push(failed(topic, ErrorCode::UnknownTopicId.code()));
                return None;
            }
            _ => topic.name.clone(),
        };
        let fetched = topic.partition_indexes.iter().map(|index| {
            let key: OffsetKey = (name.clone(), *index);
            partition(*index, groups.offset_fetch(group_id, &key, require_stable))
        });
        Some(OffsetFetchResponseTopics {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: fetched.collect(),
        })
    };
    let mut answers: Vec<_> = topics.iter().filter_map(&mut answer).collect();
    // As Kafka orders them: what could not be looked up comes last.
    answers.append(&mut unknown);
    answers
}

fn all(
    broker: &Broker,
    groups: &GroupShard,
    version: i16,
    group_id: &str,
    require_stable: bool,
) -> Vec<OffsetFetchResponseTopics> {
    let mut topics: Vec<(String, OffsetFetchResponseTopics)> = Vec::new();
    for key in groups.offset_keys(group_id) {
        let fetched = partition(key.1, groups.offset_fetch(group_id, &key, require_stable));
        if let Some((name, last)) = topics.last_mut()
            && *name == key.0
        {
            last.partitions.push(fetched);
            continue;
        }
        let id = broker.topics.by_name(&key.0).map_or(Uuid::ZERO, |topic| topic.id);
        if version >= TOPIC_IDS_SINCE && id.is_zero() {
            // A topic that is gone has no id to be named by.
            continue;
        }
        let by_id = version >= TOPIC_IDS_SINCE;
        let topic = OffsetFetchResponseTopics {
            name: if by_id { String::new() } else { key.0.clone() },
            topic_id: if by_id { id } else { Uuid::ZERO },
            partitions: vec![fetched],
        };
        topics.push((key.0, topic));
    }
    topics.into_iter().map(|(_, topic)| topic).collect()
}

fn partition(index: i32, fetched: FetchedOffset) -> OffsetFetchResponsePartitions {
    let none = OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: 0,
    };
    match fetched {
        FetchedOffset::None => none,
        FetchedOffset::Unstable => OffsetFetchResponsePartitions {
            error_code: ErrorCode::UnstableOffsetCommit.code(),
            ..none
        },
        FetchedOffset::Committed(offset) => OffsetFetchResponsePartitions {
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch,
            metadata: Some(offset.metadata),
            ..none
        },
    }
}

fn failed(topic: &OffsetFetchRequestTopics, error_code: i16) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|index| OffsetFetchResponsePartitions {
        error_code,
        ..partition(*index, FetchedOffset::None)
    });
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    }
}

fn unbatched(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|p| OffsetFetchResponsePartition {
        partition_index: p.partition_index,
        committed_offset: p.committed_offset,
        committed_leader_epoch: p.committed_leader_epoch,
        metadata: p.metadata,
        error_code: p.error_code,
    });
    OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() }
}
