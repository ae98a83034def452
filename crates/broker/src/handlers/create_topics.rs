//! CreateTopics (19), versions 2 to 7. KIP-464 (defaults), KIP-525 (configs in the answer),
//! KIP-516 (topic ids).
//!
//! Not done: authorization, policies, throttling.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::metadata::{NewTopic, Refusal};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use afluente_protocol::messages::create_topics_response::{
    CreatableTopicResult, CreateTopicsResponse,
};
use afluente_protocol::uuid::Uuid;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: CreateTopicsRequest,
) -> Result<CreateTopicsResponse, CloseReason> {
    let twice = named_twice(&request.topics);
    let mut topics = Vec::with_capacity(request.topics.len());
    let mut told = BTreeSet::new();
    for topic in &request.topics {
        if twice.contains(topic.name.as_str()) {
            if told.insert(topic.name.as_str()) {
                let refusal = refuse(ErrorCode::InvalidRequest, "Duplicate topic name.");
                topics.push(refused(topic, refusal));
            }
            continue;
        }
        topics.push(match create(broker, topic, request.validate_only).await {
            Ok((id, partition_count)) => CreatableTopicResult {
                name: topic.name.clone(),
                topic_id: id,
                num_partitions: partition_count,
                replication_factor: 1,
                configs: Some(Vec::new()),
                ..Default::default()
            },
            Err(refusal) => refused(topic, refusal),
        });
    }
    Ok(CreateTopicsResponse { topics, ..Default::default() })
}

async fn create(
    broker: &Arc<Broker>,
    topic: &CreatableTopic,
    is_validate_only: bool,
) -> Result<(Uuid, i32), Refusal> {
    let partition_count = if topic.assignments.is_empty() {
        check_replication_factor(topic.replication_factor)?;
        match topic.num_partitions {
            -1 => broker.settings.topics.partition_count,
            count => count,
        }
    } else {
        check_assignments(topic, broker.settings.node.id)?
    };
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let value = config.value.clone().ok_or_else(|| {
            refuse(
                ErrorCode::InvalidConfig,
                &format!("Null value not supported for topic configs: {}", config.name),
            )
        })?;
        configs.insert(config.name.clone(), value);
    }
    let new = NewTopic { name: &topic.name, partition_count, configs };
    let id = broker.metadata.create_topic(broker, &new, is_validate_only).await?;
    Ok((if is_validate_only { Uuid::ZERO } else { id }, partition_count))
}

fn check_replication_factor(factor: i16) -> Result<(), Refusal> {
    match factor {
        -1 | 1 => Ok(()),
        i16::MIN..=0 => Err(refuse(
            ErrorCode::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )),
        _ => Err(refuse(
            ErrorCode::InvalidReplicationFactor,
            &format!(
                "Unable to replicate the partition {factor} time(s): The target replication factor \
                 of {factor} cannot be reached because only 1 broker(s) are registered."
            ),
        )),
    }
}

/// Assignments name every partition from 0, each on this one broker.
fn check_assignments(topic: &CreatableTopic, node_id: i32) -> Result<i32, Refusal> {
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        return Err(refuse(
            ErrorCode::InvalidRequest,
            "A manual partition assignment was specified, but numPartitions or replicationFactor \
             was not set to -1.",
        ));
    }
    let mut indexes: Vec<i32> = topic.assignments.iter().map(|one| one.partition_index).collect();
    indexes.sort_unstable();
    if indexes.iter().zip(0..).any(|(index, expected)| *index != expected) {
        return Err(refuse(
            ErrorCode::InvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence",
        ));
    }
    for one in &topic.assignments {
        if one.broker_ids != [node_id] {
            return Err(refuse(
                ErrorCode::InvalidReplicaAssignment,
                "The manual partition assignment includes brokers that are not registered, or none.",
            ));
        }
    }
    Ok(i32::try_from(indexes.len()).unwrap_or(i32::MAX))
}

fn named_twice(topics: &[CreatableTopic]) -> BTreeSet<&str> {
    let mut once = BTreeSet::new();
    topics.iter().map(|topic| topic.name.as_str()).filter(|name| !once.insert(*name)).collect()
}

fn refuse(code: ErrorCode, message: &str) -> Refusal {
    Refusal { code, message: message.to_owned() }
}

fn refused(topic: &CreatableTopic, refusal: Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic.name.clone(),
        error_code: refusal.code.code(),
        error_message: Some(refusal.message),
        num_partitions: -1,
        replication_factor: -1,
        configs: None,
        ..Default::default()
    }
}
