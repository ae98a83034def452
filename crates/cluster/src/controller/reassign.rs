//! Elections and reassignments that an administrator asks for (KIP-183, KIP-455).

use super::{Refusal, validate_replicas};
use crate::image::MetadataImage;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::partition_change_record::PartitionChangeRecord;
use afluente_protocol::messages::metadata::partition_record::PartitionRecord;

/// Why a partition gets no new leader: where every replica is this node, the one that leads is the
/// one that is preferred.
#[must_use]
pub fn elect_leader(image: &MetadataImage, topic: &str, partition: i32) -> Refusal {
    let Some(found) = image.topic(topic) else {
        let message = format!("No such topic as {topic}");
        return (ErrorCode::UnknownTopicOrPartition, message);
    };
    if !found.partitions.contains_key(&partition) {
        let message = format!("No such partition as {topic}-{partition}");
        return (ErrorCode::UnknownTopicOrPartition, message);
    }
    (ErrorCode::ElectionNotNeeded, ErrorCode::ElectionNotNeeded.message().to_owned())
}

/// Moves a partition to other replicas, or (without any) stops moving it.
///
/// # Errors
/// Kafka's code and sentence for why not.
pub fn reassign_partition(
    image: &MetadataImage,
    topic: &str,
    partition: i32,
    replicas: Option<&[i32]>,
    may_change_factor: bool,
) -> Result<Option<MetadataRecord>, Refusal> {
    let found = image.topic(topic).ok_or_else(|| {
        let message = format!("Unable to find a topic named {topic}.");
        (ErrorCode::UnknownTopicOrPartition, message)
    })?;
    let present = found.partitions.get(&partition).ok_or_else(|| {
        let message = format!("Unable to find partition {topic}:{partition}.");
        (ErrorCode::UnknownTopicOrPartition, message)
    })?;
    let Some(replicas) = replicas else {
        let code = ErrorCode::NoReassignmentInProgress;
        return Err((code, code.message().to_owned()));
    };
    validate_replicas(image, replicas, None)?;
    if !may_change_factor && replicas.len() != present.replicas.len() {
        let message = format!(
            "The replication factor is changed from {} to {}",
            present.replicas.len(),
            replicas.len()
        );
        return Err((ErrorCode::InvalidReplicationFactor, message));
    }
    if is_on(present, replicas) {
        return Ok(None);
    }
    // All of them are registered and so are this node; what else was named had left before.
    Ok(Some(MetadataRecord::PartitionChange(PartitionChangeRecord {
        partition_id: partition,
        topic_id: found.id,
        replicas: Some(replicas.to_vec()),
        isr: Some(replicas.to_vec()),
        ..PartitionChangeRecord::default()
    })))
}

fn is_on(partition: &PartitionRecord, replicas: &[i32]) -> bool {
    partition.replicas == replicas
}
