//! CreateTopics and DeleteTopics.

use super::{
    Decision, Refusal, TopicConfigRules, TopicDefaults, new_partition, place, validate_replicas,
};
use crate::image::{ConfigResource, MetadataImage, Topic};
use crate::topic_name;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::create_topics_request::CreatableTopic;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::config_record::ConfigRecord;
use afluente_protocol::messages::metadata::partition_record::PartitionRecord;
use afluente_protocol::messages::metadata::remove_topic_record::RemoveTopicRecord;
use afluente_protocol::messages::metadata::topic_record::TopicRecord;
use afluente_protocol::uuid::Uuid;
use std::collections::{BTreeMap, BTreeSet};

/// A topic as it will be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTopic {
    /// Its id.
    pub id: Uuid,
    /// How many partitions it gets.
    pub partition_count: i32,
    /// How many replicas each partition gets.
    pub replication_factor: i16,
    /// What is set for it.
    pub configs: BTreeMap<String, String>,
}

/// Creates topics, each by itself: one that is refused does not hold up the others.
///
/// `fresh_id` is asked for a random id for each topic. Answers stand in the order of the request.
pub fn create_topics(
    image: &MetadataImage,
    topics: &[CreatableTopic],
    defaults: TopicDefaults,
    rules: &dyn TopicConfigRules,
    mut fresh_id: impl FnMut() -> Uuid,
) -> Decision<Vec<Result<NewTopic, Refusal>>> {
    let mut records = Vec::new();
    let mut created: BTreeSet<&str> = BTreeSet::new();
    let answer = topics
        .iter()
        .map(|topic| {
            validate_name(image, &topic.name, &created)?;
            let configs = validate_configs(topic, rules)?;
            let id = fresh_id();
            let partitions = new_partitions(image, topic, id, defaults)?;
            created.insert(&topic.name);

            let replicas = partitions.first().map_or(0, |partition| partition.replicas.len());
            let new_topic = NewTopic {
                id,
                partition_count: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
                replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
                configs,
            };
            records.push(MetadataRecord::Topic(TopicRecord {
                name: topic.name.clone(),
                topic_id: id,
            }));
            records.extend(new_topic.configs.iter().map(|(name, value)| {
                MetadataRecord::Config(ConfigRecord {
                    resource_type: ConfigResource::TOPIC,
                    resource_name: topic.name.clone(),
                    name: name.clone(),
                    value: Some(value.clone()),
                })
            }));
            records.extend(partitions.into_iter().map(MetadataRecord::Partition));
            Ok(new_topic)
        })
        .collect();
    Decision { records, answer }
}

fn validate_name(
    image: &MetadataImage,
    name: &str,
    created: &BTreeSet<&str>,
) -> Result<(), Refusal> {
    topic_name::validate(name).map_err(|why| (ErrorCode::InvalidTopicException, why))?;
    if image.topic(name).is_some() || created.contains(name) {
        return Err((ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
    }
    if topic_name::may_collide(name) {
        let existing = image.topics().map(|topic| &*topic.name).chain(created.iter().copied());
        if let Some(other) = existing.into_iter().find(|other| topic_name::collide(name, other)) {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            return Err((ErrorCode::InvalidTopicException, message));
        }
    }
    Ok(())
}

fn validate_configs(
    topic: &CreatableTopic,
    rules: &dyn TopicConfigRules,
) -> Result<BTreeMap<String, String>, Refusal> {
    let nulls: Vec<&str> =
        topic.configs.iter().filter(|c| c.value.is_none()).map(|c| c.name.as_str()).collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for topic configs: {}", nulls.join(","));
        return Err((ErrorCode::InvalidConfig, message));
    }
    let configs: BTreeMap<String, String> = topic
        .configs
        .iter()
        .filter_map(|config| Some((config.name.clone(), config.value.clone()?)))
        .collect();
    rules.validate(&configs)?;
    Ok(configs)
}

fn new_partitions(
    image: &MetadataImage,
    topic: &CreatableTopic,
    id: Uuid,
    defaults: TopicDefaults,
) -> Result<Vec<PartitionRecord>, Refusal> {
    if !topic.assignments.is_empty() {
        return assigned_partitions(image, topic, id);
    }
    if topic.replication_factor < -1 || topic.replication_factor == 0 {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return Err((ErrorCode::InvalidReplicationFactor, message.to_owned()));
    }
    if topic.num_partitions < -1 || topic.num_partitions == 0 {
        let message = "Number of partitions was set to an invalid non-positive value.";
        return Err((ErrorCode::InvalidPartitions, message.to_owned()));
    }
    let count = match topic.num_partitions {
        -1 => defaults.partition_count,
        count => count,
    };
    let replication_factor = match topic.replication_factor {
        -1 => defaults.replication_factor,
        factor => factor,
    };
    refuse_too_many(count)?;
    // Another first broker for each topic, so that leaders spread even over small topics.
    let placement = place(image, image.topic_count(), count, replication_factor)?;
    (0..)
        .zip(placement)
        .map(|(number, replicas)| new_partition(image, id, number, replicas).ok_or_else(no_leader))
        .collect()
}

/// The most partitions that one request may create: Kafka bounds the records of a request so.
const PARTITIONS_MAX: i32 = 10_000;

pub(super) fn refuse_too_many(count: i32) -> Result<(), Refusal> {
    if count <= PARTITIONS_MAX {
        return Ok(());
    }
    let message = format!("Excessively large number of partitions per request: {count}");
    Err((ErrorCode::PolicyViolation, message))
}

pub(super) fn no_leader() -> Refusal {
    let message = "All brokers specified in the manual partition assignment are fenced or in \
                   controlled shutdown.";
    (ErrorCode::InvalidReplicaAssignment, message.to_owned())
}

fn assigned_partitions(
    image: &MetadataImage,
    topic: &CreatableTopic,
    id: Uuid,
) -> Result<Vec<PartitionRecord>, Refusal> {
    for (value, what) in [
        (i32::from(topic.replication_factor), "replication factor"),
        (topic.num_partitions, "numPartitions"),
    ] {
        if value != -1 {
            let message = format!(
                "A manual partition assignment was specified, but {what} was not set to -1."
            );
            return Err((ErrorCode::InvalidRequest, message));
        }
    }
    let mut by_number = BTreeMap::new();
    let mut replication_factor = None;
    for assignment in &topic.assignments {
        let number = assignment.partition_index;
        validate_replicas(image, &assignment.broker_ids, replication_factor)?;
        replication_factor = Some(assignment.broker_ids.len());
        let partition = new_partition(image, id, number, assignment.broker_ids.clone());
        if by_number.insert(number, partition.ok_or_else(no_leader)?).is_some() {
            let message =
                format!("Found multiple manual partition assignments for partition {number}");
            return Err((ErrorCode::InvalidReplicaAssignment, message));
        }
    }
    if (0..).zip(by_number.keys()).any(|(expected, number)| expected != *number) {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return Err((ErrorCode::InvalidReplicaAssignment, message.to_owned()));
    }
    Ok(by_number.into_values().collect())
}

/// Deletes topics that exist.
#[must_use]
pub fn delete_topics<'a>(topics: impl IntoIterator<Item = &'a Topic>) -> Vec<MetadataRecord> {
    topics
        .into_iter()
        .map(|topic| MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: topic.id }))
        .collect()
}
