//! CreatePartitions.

use super::topics::{no_leader, refuse_too_many};
use super::{Decision, Refusal, new_partition, place, validate_replicas};
use crate::image::MetadataImage;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::partition_record::PartitionRecord;

/// Adds partitions to topics, each by itself. Answers stand in the order of the request.
#[must_use]
pub fn create_partitions(
    image: &MetadataImage,
    topics: &[CreatePartitionsTopic],
) -> Decision<Vec<Result<(), Refusal>>> {
    let mut records = Vec::new();
    let answer = topics
        .iter()
        .map(|topic| {
            let partitions = added(image, topic)?;
            records.extend(partitions.into_iter().map(MetadataRecord::Partition));
            Ok(())
        })
        .collect();
    Decision { records, answer }
}

fn added(
    image: &MetadataImage,
    request: &CreatePartitionsTopic,
) -> Result<Vec<PartitionRecord>, Refusal> {
    let topic = image.topic(&request.name).ok_or_else(|| {
        let message = "This server does not host this topic-partition.";
        (ErrorCode::UnknownTopicOrPartition, message.to_owned())
    })?;
    let present = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let refuse = |message: String| Err((ErrorCode::InvalidPartitions, message));
    if request.count == present {
        return refuse(format!("Topic already has {present} partition(s)."));
    }
    if request.count < present {
        return refuse(format!(
            "The topic {} currently has {present} partition(s); {} would not be an increase.",
            request.name, request.count
        ));
    }
    let additional = request.count - present;
    refuse_too_many(additional)?;
    let replication_factor =
        topic.partitions.values().next().map_or(1, |partition| partition.replicas.len());
    let placement = match &request.assignments {
        Some(given) => {
            if i32::try_from(given.len()) != Ok(additional) {
                let message = format!(
                    "Attempted to add {additional} additional partition(s), but only {} \
                     assignment(s) were specified.",
                    given.len()
                );
                return Err((ErrorCode::InvalidReplicaAssignment, message));
            }
            for assignment in given {
                validate_replicas(image, &assignment.broker_ids, Some(replication_factor))?;
            }
            given.iter().map(|assignment| assignment.broker_ids.clone()).collect()
        }
        None => {
            let factor = i16::try_from(replication_factor).unwrap_or(i16::MAX);
            place(image, topic.partitions.len(), additional, factor)?
        }
    };
    (present..)
        .zip(placement)
        .map(|(number, replicas)| {
            new_partition(image, topic.id, number, replicas).ok_or_else(no_leader)
        })
        .collect()
}
