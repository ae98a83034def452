//! The records of `__consumer_offsets`, as this shard writes and reads them.

use super::classic::ClassicGroup;
use super::consumer::{Assignment, Member};
use super::embedded;
use super::offsets::{CommittedOffset, OffsetKey};
use afluente_protocol::messages::consumer_offsets::consumer_group_current_member_assignment_key::ConsumerGroupCurrentMemberAssignmentKey;
use afluente_protocol::messages::consumer_offsets::consumer_group_current_member_assignment_value::{
    ConsumerGroupCurrentMemberAssignmentValue, TopicPartitions,
};
use afluente_protocol::messages::consumer_offsets::consumer_group_member_metadata_key::ConsumerGroupMemberMetadataKey;
use afluente_protocol::messages::consumer_offsets::consumer_group_member_metadata_value::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupMemberMetadataValue,
};
use afluente_protocol::messages::consumer_offsets::consumer_group_metadata_key::ConsumerGroupMetadataKey;
use afluente_protocol::messages::consumer_offsets::consumer_group_metadata_value::ConsumerGroupMetadataValue;
use afluente_protocol::messages::consumer_offsets::consumer_group_regular_expression_key::ConsumerGroupRegularExpressionKey;
use afluente_protocol::messages::consumer_offsets::consumer_group_regular_expression_value::ConsumerGroupRegularExpressionValue;
use afluente_protocol::messages::consumer_offsets::consumer_group_target_assignment_member_key::ConsumerGroupTargetAssignmentMemberKey;
use afluente_protocol::messages::consumer_offsets::consumer_group_target_assignment_member_value::{
    ConsumerGroupTargetAssignmentMemberValue, TopicPartition,
};
use afluente_protocol::messages::consumer_offsets::consumer_group_target_assignment_metadata_key::ConsumerGroupTargetAssignmentMetadataKey;
use afluente_protocol::messages::consumer_offsets::consumer_group_target_assignment_metadata_value::ConsumerGroupTargetAssignmentMetadataValue;
use afluente_protocol::messages::consumer_offsets::group_metadata_key::GroupMetadataKey;
use afluente_protocol::messages::consumer_offsets::group_metadata_value::{
    GroupMetadataValue, MemberMetadata,
};
use afluente_protocol::messages::consumer_offsets::offset_commit_key::OffsetCommitKey;
use afluente_protocol::messages::consumer_offsets::offset_commit_value::OffsetCommitValue;
use afluente_protocol::uuid::Uuid;
use std::collections::BTreeSet;

pub use afluente_protocol::messages::consumer_offsets::{Key as OffsetsKey, Value as OffsetsValue};

/// The version in which Kafka 4.3 writes classic groups and offsets: the last one without tagged
/// fields, so that older brokers can read them.
const CLASSIC_VALUE_VERSION: i16 = 3;
/// Offsets that expire at a time of their own fit into this version only.
const EXPIRING_OFFSET_VERSION: i16 = 1;

/// A record: a key, and a value or a tombstone.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRecord {
    /// What it is about.
    pub key: OffsetsKey,
    /// What is said of it; `None` deletes it.
    pub value: Option<OffsetsValue>,
}

impl GroupRecord {
    /// The version in which to write the value.
    #[must_use]
    pub fn value_version(&self) -> i16 {
        match &self.value {
            Some(OffsetsValue::OffsetCommit(value)) if value.expire_timestamp >= 0 => {
                EXPIRING_OFFSET_VERSION
            }
            Some(OffsetsValue::OffsetCommit(_) | OffsetsValue::GroupMetadata(_)) => {
                CLASSIC_VALUE_VERSION
            }
            Some(_) | None => 0,
        }
    }
}

/// The group of a record of the consumer protocol.
pub(super) fn consumer_group_id(record: &GroupRecord) -> Option<&str> {
    match &record.key {
        OffsetsKey::ConsumerGroupMetadata(key) => Some(&key.group_id),
        OffsetsKey::ConsumerGroupMemberMetadata(key) => Some(&key.group_id),
        OffsetsKey::ConsumerGroupTargetAssignmentMetadata(key) => Some(&key.group_id),
        OffsetsKey::ConsumerGroupTargetAssignmentMember(key) => Some(&key.group_id),
        OffsetsKey::ConsumerGroupCurrentMemberAssignment(key) => Some(&key.group_id),
        OffsetsKey::ConsumerGroupRegularExpression(key) => Some(&key.group_id),
        _ => None,
    }
}

/// A classic group as it is now, with its members' assignments.
pub(super) fn classic_group(group: &ClassicGroup) -> GroupRecord {
    let protocol = group.protocol_name.clone().unwrap_or_default();
    let members = group.members.iter().map(|(member_id, member)| MemberMetadata {
        member_id: member_id.clone(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.metadata(&protocol),
        assignment: member.assignment.clone(),
    });
    classic_record(group, members.collect())
}

/// A classic group of which nothing is to be remembered but that it exists.
pub(super) fn empty_classic_group(group: &ClassicGroup) -> GroupRecord {
    let record = classic_record(group, Vec::new());
    let value = record.value.map(|value| match value {
        OffsetsValue::GroupMetadata(value) => OffsetsValue::GroupMetadata(GroupMetadataValue {
            protocol_type: String::new(),
            protocol: None,
            leader: None,
            generation: 0,
            ..value
        }),
        other => other,
    });
    GroupRecord { value, ..record }
}

fn classic_record(group: &ClassicGroup, members: Vec<MemberMetadata>) -> GroupRecord {
    GroupRecord {
        key: OffsetsKey::GroupMetadata(GroupMetadataKey { group: group.id.clone() }),
        value: Some(OffsetsValue::GroupMetadata(GroupMetadataValue {
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            generation: group.generation,
            protocol: group.protocol_name.clone(),
            leader: group.leader.clone(),
            current_state_timestamp: group.state_since_ms.unwrap_or(-1),
            members,
        })),
    }
}

pub(super) fn classic_group_tombstone(group_id: &str) -> GroupRecord {
    let key = GroupMetadataKey { group: group_id.to_owned() };
    GroupRecord { key: OffsetsKey::GroupMetadata(key), value: None }
}

/// Topics in the subscriptions of a classic group of consumers; `None` if they cannot be told.
pub(super) fn subscribed_topics(group: &ClassicGroup) -> Option<BTreeSet<String>> {
    if !group.is_consumer_group() {
        return None;
    }
    let Some(protocol) = &group.protocol_name else {
        return group.members.is_empty().then(BTreeSet::new);
    };
    let mut topics = BTreeSet::new();
    for member in group.members.values() {
        topics.extend(embedded::subscribed_topics(member.metadata(protocol))?);
    }
    Some(topics)
}

pub(super) fn offset_commit(
    group_id: &str,
    (topic, partition): &OffsetKey,
    offset: &CommittedOffset,
) -> GroupRecord {
    GroupRecord {
        key: offset_key(group_id, topic, *partition),
        value: Some(OffsetsValue::OffsetCommit(OffsetCommitValue {
            offset: offset.offset,
            leader_epoch: offset.leader_epoch,
            metadata: offset.metadata.clone(),
            commit_timestamp: offset.commit_timestamp_ms,
            expire_timestamp: offset.expire_timestamp_ms.unwrap_or(-1),
            topic_id: Uuid::ZERO,
        })),
    }
}

pub(super) fn offset_tombstone(group_id: &str, (topic, partition): &OffsetKey) -> GroupRecord {
    GroupRecord { key: offset_key(group_id, topic, *partition), value: None }
}

fn offset_key(group_id: &str, topic: &str, partition: i32) -> OffsetsKey {
    OffsetsKey::OffsetCommit(OffsetCommitKey {
        group: group_id.to_owned(),
        topic: topic.to_owned(),
        partition,
    })
}

/// Group epoch and hash of the subscribed topics.
pub(super) fn group_epoch(group_id: &str, value: Option<(i32, i64)>) -> GroupRecord {
    let key = ConsumerGroupMetadataKey { group_id: group_id.to_owned() };
    let value =
        value.map(|(epoch, metadata_hash)| ConsumerGroupMetadataValue { epoch, metadata_hash });
    GroupRecord {
        key: OffsetsKey::ConsumerGroupMetadata(key),
        value: value.map(OffsetsValue::ConsumerGroupMetadata),
    }
}

pub(super) fn consumer_member(
    group_id: &str,
    member_id: &str,
    member: Option<&Member>,
) -> GroupRecord {
    let key = ConsumerGroupMemberMetadataKey {
        group_id: group_id.to_owned(),
        member_id: member_id.to_owned(),
    };
    let value = member.map(|member| ConsumerGroupMemberMetadataValue {
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: member.topic_names.iter().cloned().collect(),
        subscribed_topic_regex: member.topic_regex.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: member.assignor.clone(),
        classic_member_metadata: member.classic.as_ref().map(|classic| ClassicMemberMetadata {
            session_timeout_ms: classic.session_timeout_ms,
            supported_protocols: classic
                .protocols
                .iter()
                .map(|p| ClassicProtocol { name: p.name.clone(), metadata: p.metadata.clone() })
                .collect(),
        }),
    });
    GroupRecord {
        key: OffsetsKey::ConsumerGroupMemberMetadata(key),
        value: value.map(OffsetsValue::ConsumerGroupMemberMetadata),
    }
}

/// The group epoch of the target assignment, and when it was computed.
pub(super) fn target_epoch(group_id: &str, computed: Option<(i32, i64)>) -> GroupRecord {
    let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: group_id.to_owned() };
    let value = computed.map(|(assignment_epoch, assignment_timestamp)| {
        ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch, assignment_timestamp }
    });
    GroupRecord {
        key: OffsetsKey::ConsumerGroupTargetAssignmentMetadata(key),
        value: value.map(OffsetsValue::ConsumerGroupTargetAssignmentMetadata),
    }
}

pub(super) fn target_assignment(
    group_id: &str,
    member_id: &str,
    target: Option<&Assignment>,
) -> GroupRecord {
    let key = ConsumerGroupTargetAssignmentMemberKey {
        group_id: group_id.to_owned(),
        member_id: member_id.to_owned(),
    };
    let value = target.map(|target| ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: target
            .iter()
            .map(|(topic_id, partitions)| TopicPartition {
                topic_id: *topic_id,
                partitions: partitions.iter().copied().collect(),
            })
            .collect(),
    });
    GroupRecord {
        key: OffsetsKey::ConsumerGroupTargetAssignmentMember(key),
        value: value.map(OffsetsValue::ConsumerGroupTargetAssignmentMember),
    }
}

pub(super) fn current_assignment(
    group_id: &str,
    member_id: &str,
    member: Option<&Member>,
) -> GroupRecord {
    let key = ConsumerGroupCurrentMemberAssignmentKey {
        group_id: group_id.to_owned(),
        member_id: member_id.to_owned(),
    };
    let value = member.map(|member| ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: member.epoch,
        previous_member_epoch: member.previous_epoch,
        state: member.state.code(),
        assigned_partitions: topic_partitions(&member.assigned, member),
        partitions_pending_revocation: topic_partitions(&member.pending_revocation, member),
    });
    GroupRecord {
        key: OffsetsKey::ConsumerGroupCurrentMemberAssignment(key),
        value: value.map(OffsetsValue::ConsumerGroupCurrentMemberAssignment),
    }
}

fn topic_partitions(assignment: &Assignment, member: &Member) -> Vec<TopicPartitions> {
    let epoch = |topic_id: Uuid, partition: i32| {
        member.assignment_epochs.get(&(topic_id, partition)).copied().unwrap_or(member.epoch)
    };
    assignment
        .iter()
        .map(|(topic_id, partitions)| TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.iter().copied().collect(),
            assignment_epochs: Some(partitions.iter().map(|p| epoch(*topic_id, *p)).collect()),
        })
        .collect()
}

/// Topics that a regular expression matches, and since when that is known.
pub(super) fn regex(
    group_id: &str,
    regular_expression: &str,
    resolved: Option<(&BTreeSet<String>, i64)>,
) -> GroupRecord {
    let key = ConsumerGroupRegularExpressionKey {
        group_id: group_id.to_owned(),
        regular_expression: regular_expression.to_owned(),
    };
    let value = resolved.map(|(topics, now_ms)| ConsumerGroupRegularExpressionValue {
        topics: topics.iter().cloned().collect(),
        version: 0,
        timestamp: now_ms,
    });
    GroupRecord {
        key: OffsetsKey::ConsumerGroupRegularExpression(key),
        value: value.map(OffsetsValue::ConsumerGroupRegularExpression),
    }
}

/// Topics and partitions of a record as an assignment.
pub(super) fn assignment_of<'a>(topics: impl Iterator<Item = (Uuid, &'a [i32])>) -> Assignment {
    topics.map(|(topic_id, partitions)| (topic_id, partitions.iter().copied().collect())).collect()
}

impl From<&OffsetCommitValue> for CommittedOffset {
    fn from(value: &OffsetCommitValue) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.clone(),
            commit_timestamp_ms: value.commit_timestamp,
            expire_timestamp_ms: Some(value.expire_timestamp).filter(|at_ms| *at_ms >= 0),
            order: 0,
        }
    }
}
