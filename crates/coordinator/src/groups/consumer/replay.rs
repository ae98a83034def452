//! The one place where a record changes the persistent state of a consumer group.

use super::{Assignment, ClassicMember, ConsumerGroup, Member, MemberState, ResolvedRegex};
use crate::groups::record::{GroupRecord, OffsetsKey, OffsetsValue, assignment_of};
use afluente_protocol::messages::consumer_offsets::consumer_group_current_member_assignment_value::ConsumerGroupCurrentMemberAssignmentValue;
use afluente_protocol::messages::consumer_offsets::consumer_group_member_metadata_value::ConsumerGroupMemberMetadataValue;

impl ConsumerGroup {
    /// Applies a record of this group; records of other kinds are not for it and change nothing.
    pub(in crate::groups) fn apply(&mut self, record: &GroupRecord) {
        match (&record.key, &record.value) {
            (
                OffsetsKey::ConsumerGroupMetadata(_),
                Some(OffsetsValue::ConsumerGroupMetadata(value)),
            ) => {
                self.group_epoch = value.epoch;
                self.topics_hash = value.metadata_hash;
            }
            (
                OffsetsKey::ConsumerGroupTargetAssignmentMetadata(_),
                Some(OffsetsValue::ConsumerGroupTargetAssignmentMetadata(value)),
            ) => {
                self.target_epoch = value.assignment_epoch;
                self.target_computed_at_ms = value.assignment_timestamp;
            }
            (
                OffsetsKey::ConsumerGroupMemberMetadata(key),
                Some(OffsetsValue::ConsumerGroupMemberMetadata(value)),
            ) => {
                let member = self.members.entry(key.member_id.clone()).or_default();
                describe_member(member, value);
            }
            (OffsetsKey::ConsumerGroupMemberMetadata(key), None) => {
                self.hold_partitions(&key.member_id, false);
                self.members.remove(&key.member_id);
            }
            (
                OffsetsKey::ConsumerGroupTargetAssignmentMember(key),
                Some(OffsetsValue::ConsumerGroupTargetAssignmentMember(value)),
            ) => {
                let target = assignment_of(
                    value.topic_partitions.iter().map(|t| (t.topic_id, &t.partitions[..])),
                );
                self.target.insert(key.member_id.clone(), target);
            }
            (OffsetsKey::ConsumerGroupTargetAssignmentMember(key), None) => {
                self.target.remove(&key.member_id);
            }
            (
                OffsetsKey::ConsumerGroupCurrentMemberAssignment(key),
                Some(OffsetsValue::ConsumerGroupCurrentMemberAssignment(value)),
            ) => {
                self.hold_partitions(&key.member_id, false);
                let member = self.members.entry(key.member_id.clone()).or_default();
                place_member(member, value);
                self.hold_partitions(&key.member_id, true);
            }
            (OffsetsKey::ConsumerGroupCurrentMemberAssignment(key), None) => {
                self.hold_partitions(&key.member_id, false);
                if let Some(member) = self.members.get_mut(&key.member_id) {
                    member.epoch = 0;
                    member.previous_epoch = -1;
                    member.state = MemberState::Stable;
                    member.assigned = Assignment::new();
                    member.pending_revocation = Assignment::new();
                    member.assignment_epochs.clear();
                }
            }
            (
                OffsetsKey::ConsumerGroupRegularExpression(key),
                Some(OffsetsValue::ConsumerGroupRegularExpression(value)),
            ) => {
                let resolved = ResolvedRegex {
                    topics: value.topics.iter().cloned().collect(),
                    resolved_at_ms: value.timestamp,
                };
                self.resolved_regexes.insert(key.regular_expression.clone(), resolved);
            }
            (OffsetsKey::ConsumerGroupRegularExpression(key), None) => {
                self.resolved_regexes.remove(&key.regular_expression);
            }
            _ => {}
        }
    }

    /// Notes that a member holds its partitions, those that it is giving up included, or that it
    /// does not any more.
    fn hold_partitions(&mut self, member_id: &str, holds: bool) {
        let Some(member) = self.members.get(member_id) else { return };
        for (topic, partitions) in member.assigned.iter().chain(&member.pending_revocation) {
            for partition in partitions {
                if holds {
                    self.partition_epochs.insert((*topic, *partition), member.epoch);
                } else {
                    self.partition_epochs.remove(&(*topic, *partition));
                }
            }
        }
    }
}

fn describe_member(member: &mut Member, value: &ConsumerGroupMemberMetadataValue) {
    member.instance_id.clone_from(&value.instance_id);
    member.rack_id.clone_from(&value.rack_id);
    member.client_id.clone_from(&value.client_id);
    member.client_host.clone_from(&value.client_host);
    member.rebalance_timeout_ms = value.rebalance_timeout_ms;
    member.topic_names = value.subscribed_topic_names.iter().cloned().collect();
    member.topic_regex = value.subscribed_topic_regex.clone().filter(|regex| !regex.is_empty());
    member.assignor.clone_from(&value.server_assignor);
    member.classic = value.classic_member_metadata.as_ref().map(ClassicMember::from);
}

fn place_member(member: &mut Member, value: &ConsumerGroupCurrentMemberAssignmentValue) {
    member.epoch = value.member_epoch;
    member.previous_epoch = value.previous_member_epoch;
    member.state = MemberState::from_code(value.state);
    member.assigned =
        assignment_of(value.assigned_partitions.iter().map(|t| (t.topic_id, &t.partitions[..])));
    member.pending_revocation = assignment_of(
        value.partitions_pending_revocation.iter().map(|t| (t.topic_id, &t.partitions[..])),
    );
    let held = value.assigned_partitions.iter().chain(&value.partitions_pending_revocation);
    member.assignment_epochs = held
        .flat_map(|topic| {
            let epochs = topic.assignment_epochs.as_deref().unwrap_or_default();
            topic.partitions.iter().enumerate().map(|(at, partition)| {
                // Older brokers did not write it down.
                let epoch = epochs.get(at).copied().unwrap_or(value.member_epoch);
                ((topic.topic_id, *partition), epoch)
            })
        })
        .collect();
}
