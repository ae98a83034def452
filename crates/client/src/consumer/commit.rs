//! Committing offsets, and asking for committed ones.

use super::error::ConsumerError;
use super::shared::Shared;
use crate::client::Target;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::topic_partition::TopicPartition;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use afluente_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use afluente_protocol::uuid::Uuid;
use std::collections::{BTreeMap, BTreeSet};

/// A position to go on from, as it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next offset to read.
    pub offset: i64,
    /// The epoch of the leader that appended what is before it; -1 if it is not known.
    pub leader_epoch: i32,
    /// A text to go with it.
    pub metadata: String,
}

impl From<i64> for OffsetAndMetadata {
    fn from(offset: i64) -> Self {
        Self { offset, leader_epoch: -1, metadata: String::new() }
    }
}

/// Offsets by partition.
pub type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// The first version of `OffsetCommit` and `OffsetFetch` that names topics by their ids.
const FIRST_VERSION_WITH_IDS: i16 = 10;

/// Commits `offsets`; tries again until `deadline` what may succeed later.
///
/// # Errors
/// [`ConsumerError::CommitFailed`] when the group has moved on; anything that can go wrong with a
/// request.
pub(super) async fn commit(
    shared: &Shared,
    offsets: &Offsets,
    deadline: Deadline,
) -> Result<(), ConsumerError> {
    if offsets.is_empty() {
        return Ok(());
    }
    let group_id = shared.group_id("committing offsets")?;
    let mut retry = shared.client.retry(deadline);
    loop {
        let asked_as = shared.group.last_metadata();
        let in_rebalance = || ConsumerError::CommitFailed {
            group: group_id.to_owned(),
            code: ErrorCode::RebalanceInProgress,
        };
        // As in Kafka's client: it would wait behind the JoinGroup, and come with an old generation.
        if shared.group.is_joining() {
            return Err(in_rebalance());
        }
        let error = match commit_once(shared, group_id, offsets, deadline).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error.error_code() {
            // The join was quicker; the member has gone on, and is not lost.
            Some(ErrorCode::IllegalGeneration)
                if shared.group.is_joining() || shared.group.last_metadata() != asked_as =>
            {
                return Err(in_rebalance());
            }
            Some(
                code @ (ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::FencedInstanceId
                | ErrorCode::FencedMemberEpoch
                | ErrorCode::RebalanceInProgress),
            ) => {
                return Err(ConsumerError::CommitFailed { group: group_id.to_owned(), code });
            }
            Some(code @ ErrorCode::StaleMemberEpoch) => {
                // A heartbeat brought a new epoch while the commit was on its way, or will soon.
                let failed = Error::Broker {
                    about: format!("group {group_id}"),
                    code: ErrorCode::CoordinatorNotAvailable,
                    message: Some(code.message().to_owned()),
                };
                if shared.group.last_metadata() == asked_as {
                    retry.after(failed).await?;
                }
            }
            Some(ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition) => {
                let topics: BTreeSet<&TopicPartition> = offsets.keys().collect();
                for partition in topics {
                    shared.client.forget_leader(&partition.topic, partition.partition);
                }
                retry.after(error).await?;
            }
            _ => retry.after(error).await?,
        }
    }
}

async fn commit_once(
    shared: &Shared,
    group_id: &str,
    offsets: &Offsets,
    deadline: Deadline,
) -> Result<(), Error> {
    let member = shared.group.last_metadata();
    let metadata = shared.client.metadata();
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (partition, offset) in offsets {
        topics.entry(&partition.topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch,
            committed_metadata: Some(offset.metadata.clone()),
        });
    }
    let topics: Vec<OffsetCommitRequestTopic> = topics
        .into_iter()
        .map(|(name, partitions)| OffsetCommitRequestTopic {
            name: name.to_owned(),
            topic_id: metadata.topic_id(name).unwrap_or(Uuid::ZERO),
            partitions,
        })
        .collect();
    let version_max = version_max(topics.iter().map(|topic| topic.topic_id));
    let request = OffsetCommitRequest {
        group_id: group_id.to_owned(),
        generation_id_or_member_epoch: member.generation_id,
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        topics,
        ..OffsetCommitRequest::default()
    };
    let target = Target::group(group_id);
    let connection = shared.client.connection(&target, deadline).await?;
    let sent = async {
        let key = afluente_protocol::api_key::ApiKey::OffsetCommit;
        let version = connection.version_up_to(key, version_max)?;
        let timeout = shared.client.attempt_timeout(deadline);
        connection.submit(&request, version, timeout).await?.await
    };
    let response = sent.await.inspect_err(|error| shared.client.noticed(&target, error))?;
    for topic in response.topics {
        for partition in topic.partitions {
            let about = || format!("committing offsets of group {group_id}");
            Error::check(partition.error_code, None, about)
                .inspect_err(|error| shared.client.noticed(&target, error))?;
        }
    }
    Ok(())
}

/// Committed offsets of `partitions`, of those that have one; asked for once.
///
/// # Errors
/// Whatever goes wrong.
pub(super) async fn fetch_once(
    shared: &Shared,
    partitions: &BTreeSet<TopicPartition>,
    deadline: Deadline,
) -> Result<Offsets, Error> {
    let group_id = shared.config.group_id.as_deref().unwrap_or_default();
    let member = shared.group.metadata();
    let metadata = shared.client.metadata();
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let topics: Vec<OffsetFetchRequestTopics> = topics
        .into_iter()
        .map(|(name, partition_indexes)| OffsetFetchRequestTopics {
            name: name.to_owned(),
            topic_id: metadata.topic_id(name).unwrap_or(Uuid::ZERO),
            partition_indexes,
        })
        .collect();
    let version_max = version_max(topics.iter().map(|topic| topic.topic_id));
    // Only a group of the consumer protocol looks at these, and it knows the member by its epoch.
    let is_member = shared.group.is_epoch_member() && member.generation_id >= 0;
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group_id.to_owned(),
            member_id: is_member.then_some(member.member_id),
            member_epoch: if is_member { member.generation_id } else { -1 },
            topics: Some(topics),
        }],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let target = Target::group(group_id);
    let connection = shared.client.connection(&target, deadline).await?;
    let sent = async {
        let key = afluente_protocol::api_key::ApiKey::OffsetFetch;
        let version = connection.version_up_to(key, version_max)?;
        let timeout = shared.client.attempt_timeout(deadline);
        connection.submit(&request, version, timeout).await?.await
    };
    let response = sent.await.inspect_err(|error| shared.client.noticed(&target, error))?;
    let about = || format!("committed offsets of group {group_id}");
    let mut found = Offsets::new();
    for group in response.groups {
        Error::check(group.error_code, None, about)
            .inspect_err(|error| shared.client.noticed(&target, error))?;
        for topic in group.topics {
            let name = match topic.topic_id.is_zero() {
                true => topic.name,
                false => match metadata.topic_name(topic.topic_id) {
                    Some(name) => name.to_owned(),
                    None => continue,
                },
            };
            for partition in topic.partitions {
                Error::check(partition.error_code, None, about)?;
                if partition.committed_offset >= 0 {
                    let offset = OffsetAndMetadata {
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata: partition.metadata.unwrap_or_default(),
                    };
                    let partition = TopicPartition::new(&*name, partition.partition_index);
                    found.insert(partition, offset);
                }
            }
        }
    }
    Ok(found)
}

/// A topic whose id is not known can only be named in older versions.
fn version_max(mut ids: impl Iterator<Item = Uuid>) -> i16 {
    if ids.any(|id| id.is_zero()) { FIRST_VERSION_WITH_IDS - 1 } else { i16::MAX }
}
