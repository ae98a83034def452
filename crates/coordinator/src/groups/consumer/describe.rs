//! What administrators see of a consumer group.

use super::{Assignment, ConsumerGroup, Member};
use crate::topics::Topics;
use afluente_protocol::messages::consumer_group_describe_response::{
    Assignment as DescribedAssignment, DescribedGroup, Member as DescribedMember, TopicPartitions,
};

/// The member types of ConsumerGroupDescribe v1, by protocol.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

impl ConsumerGroup {
    /// Describes the group with its members.
    pub(in crate::groups) fn describe(&self, topics: &dyn Topics) -> DescribedGroup {
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: self.state_name().to_owned(),
            group_epoch: self.group_epoch,
            assignment_epoch: self.target_epoch,
            assignor_name: self.preferred_assignor(),
            members: self
                .members
                .iter()
                .map(|(member_id, member)| self.describe_member(member_id, member, topics))
                .collect(),
            ..DescribedGroup::default()
        }
    }

    fn describe_member(
        &self,
        member_id: &str,
        member: &Member,
        topics: &dyn Topics,
    ) -> DescribedMember {
        DescribedMember {
            member_id: member_id.to_owned(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            member_epoch: member.epoch,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topic_names: member.topic_names.iter().cloned().collect(),
            subscribed_topic_regex: Some(member.topic_regex.clone().unwrap_or_default()),
            assignment: described(&held(member), topics),
            target_assignment: self
                .target
                .get(member_id)
                .map(|target| described(target, topics))
                .unwrap_or_default(),
            member_type: if member.classic.is_some() { CLASSIC_MEMBER } else { CONSUMER_MEMBER },
        }
    }
}

/// What a member reads: until it has given up what it was told to, that too.
fn held(member: &Member) -> Assignment {
    let mut held = member.assigned.clone();
    for (topic_id, partitions) in &member.pending_revocation {
        held.entry(*topic_id).or_default().extend(partitions);
    }
    held
}

/// Topics that are gone by now have no name to show, and are left out.
fn described(assignment: &Assignment, topics: &dyn Topics) -> DescribedAssignment {
    let partitions = assignment.iter().filter_map(|(topic_id, partitions)| {
        Some(TopicPartitions {
            topic_id: *topic_id,
            topic_name: topics.name(*topic_id)?,
            partitions: partitions.iter().copied().collect(),
        })
    });
    DescribedAssignment { topic_partitions: partitions.collect() }
}
