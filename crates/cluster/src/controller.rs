//! What the controller decides: a request and the image go in, records and an answer come out.
//!
//! Nothing here changes the image. The caller appends the records, applies them, and only then lets
//! the answer go; `validate_only` requests just keep the answer.

mod configs;
mod features;
mod partitions;
mod quotas;
mod reassign;
mod scram;
mod topics;

pub use configs::{ConfigChange, ConfigOperation, alter_configs};
pub use features::{FeatureMove, FeatureUpdate, update_feature};
pub use partitions::create_partitions;
pub use quotas::{alter_client_quotas, describe_client_quotas};
pub use reassign::{elect_leader, reassign_partition};
pub use scram::{ScramKeys, ScramMechanism, alter_scram_credentials};
pub use topics::{NewTopic, create_topics, delete_topics};

use crate::image::MetadataImage;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::partition_record::PartitionRecord;
use afluente_protocol::uuid::Uuid;

/// An error with the words that the answer carries.
pub type Refusal = (ErrorCode, String);

/// Records to append, and what to answer when they are durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<T> {
    /// To be appended together.
    pub records: Vec<MetadataRecord>,
    /// For the client.
    pub answer: T,
}

/// What topics get unless the request says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicDefaults {
    /// `num.partitions`
    pub partition_count: i32,
    /// `default.replication.factor`
    pub replication_factor: i16,
}

/// Checks configuration names and values of topics; the storage layer knows them.
pub trait TopicConfigRules {
    /// Checks everything that is set for a topic, together.
    ///
    /// # Errors
    /// What is wrong, naming key and value; mostly `INVALID_CONFIG`.
    fn validate(&self, values: &std::collections::BTreeMap<String, String>) -> Result<(), Refusal>;
    /// The value that a list-typed key has unless it is set, for appending to it; `None` if the
    /// key is not a list.
    fn list_default(&self, key: &str) -> Option<String>;
}

/// Where the replicas of new partitions go: round the unfenced brokers, starting at `start`.
///
/// # Errors
/// `INVALID_REPLICATION_FACTOR` if there are not enough brokers.
fn place(
    image: &MetadataImage,
    start: usize,
    count: i32,
    replication_factor: i16,
) -> Result<Vec<Vec<i32>>, Refusal> {
    let wanted = usize::try_from(replication_factor).unwrap_or(0);
    let registered = image.brokers().len();
    let usable: Vec<i32> = image
        .brokers()
        .values()
        .filter(|broker| !broker.fenced && !broker.in_controlled_shutdown)
        .map(|broker| broker.broker_id)
        .collect();
    let refuse = |reason: String| {
        let message =
            format!("Unable to replicate the partition {replication_factor} time(s): {reason}");
        Err((ErrorCode::InvalidReplicationFactor, message))
    };
    if wanted > registered {
        return refuse(format!(
            "The target replication factor of {replication_factor} cannot be reached because only \
             {registered} broker(s) are registered or some brokers have all their log \
             directories cordoned."
        ));
    }
    if usable.is_empty() {
        return refuse("All brokers are currently fenced.".to_owned());
    }
    // Fenced brokers may hold replicas, but never the leader.
    let mut ring = usable.clone();
    ring.extend(image.brokers().keys().filter(|id| !usable.contains(id)));
    let count = usize::try_from(count).unwrap_or(0);
    Ok((start..start + count)
        .map(|number| {
            let leader = number % usable.len();
            (0..wanted).map(|replica| ring[(leader + replica) % ring.len()]).collect()
        })
        .collect())
}

/// Checks a placement that the request gives itself.
///
/// # Errors
/// `INVALID_REPLICA_ASSIGNMENT`.
fn validate_replicas(
    image: &MetadataImage,
    replicas: &[i32],
    replication_factor: Option<usize>,
) -> Result<(), Refusal> {
    let refuse = |message: String| Err((ErrorCode::InvalidReplicaAssignment, message));
    if replicas.is_empty() {
        return refuse(
            "The manual partition assignment includes an empty replica list.".to_owned(),
        );
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    for (place, broker) in sorted.iter().enumerate() {
        if !image.brokers().contains_key(broker) {
            return refuse(format!(
                "The manual partition assignment includes broker {broker}, but no such broker is \
                 registered."
            ));
        }
        if place > 0 && sorted[place - 1] == *broker {
            return refuse(format!(
                "The manual partition assignment includes the broker {broker} more than once."
            ));
        }
    }
    match replication_factor {
        Some(expected) if expected != replicas.len() => refuse(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is \
             not consistent with previous partitions, which have {expected} replica(s).",
            replicas.len()
        )),
        _ => Ok(()),
    }
}

/// The record of a new partition, led by the first of its replicas that is up.
fn new_partition(
    image: &MetadataImage,
    topic_id: Uuid,
    number: i32,
    replicas: Vec<i32>,
) -> Option<PartitionRecord> {
    let is_up =
        |id: &i32| image.brokers().get(id).is_some_and(|b| !b.fenced && !b.in_controlled_shutdown);
    let isr: Vec<i32> = replicas.iter().copied().filter(is_up).collect();
    // A broker with one directory has nothing to choose; with several it says later where.
    let directory_of = |id: &i32| match image.brokers().get(id).map(|b| b.log_dirs.as_slice()) {
        Some([only]) => *only,
        _ => Uuid::ZERO,
    };
    Some(PartitionRecord {
        partition_id: number,
        topic_id,
        directories: replicas.iter().map(directory_of).collect(),
        leader: *isr.first()?,
        isr,
        replicas,
        leader_epoch: 0,
        partition_epoch: 0,
        ..PartitionRecord::default()
    })
}
