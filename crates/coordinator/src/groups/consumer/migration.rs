//! From one protocol to the other while members read on (KIP-848, online migration).

use super::classic_member::ClassicMember;
use super::{Assignment, ConsumerGroup, Member, MemberState, Refusal, Step};
use crate::groups::classic::{self, ClassicGroup, RestoredMember};
use crate::groups::record::{self, GroupRecord};
use crate::groups::{GroupSettings, embedded};
use crate::topics::Topics;
use afluente_protocol::error_code::ErrorCode;
use std::collections::BTreeSet;

impl ConsumerGroup {
    /// A classic group of consumers as a consumer group, with the records that make it: everybody
    /// stays, and has what the last leader assigned.
    ///
    /// # Errors
    /// Why a group stays classic, with words.
    pub(in crate::groups) fn from_classic(
        group: &ClassicGroup,
        settings: &GroupSettings,
        topics: &dyn Topics,
    ) -> Result<(Self, Vec<GroupRecord>), Refusal> {
        let refused = |why: &str| {
            let message = format!(
                "Cannot upgrade classic group {} to consumer group because {why}",
                group.id
            );
            (ErrorCode::GroupIdNotFound, message)
        };
        if !settings.consumer_migration.allows_upgrade() {
            return Err(refused("online upgrade is disabled."));
        }
        if !group.is_consumer_group() {
            return Err(refused("the group does not use the consumer embedded protocol."));
        }
        let max = usize::try_from(settings.consumer_max_size).unwrap_or(usize::MAX);
        if group.members.len() > max {
            return Err(refused("the group size exceeds the consumer group maximum size."));
        }
        let members = group.members.iter().map(|(member_id, member)| {
            let (member, user_data) = consumer_member(group, member, topics)
                .ok_or_else(|| refused("the embedded consumer protocol is malformed."))?;
            if !user_data.is_empty() {
                return Err(refused(
                    "an unsupported custom assignor is in use. Please refer to the documentation \
                     or switch to a default assignor before re-attempting the upgrade.",
                ));
            }
            Ok((member_id.clone(), member))
        });
        let members: Vec<(String, Member)> = members.collect::<Result<_, Refusal>>()?;
        Ok(Self::restored(&group.id, group.generation, &members, topics))
    }

    /// A group of these members, all at `epoch` and with what they are to have.
    fn restored(
        id: &str,
        epoch: i32,
        members: &[(String, Member)],
        topics: &dyn Topics,
    ) -> (Self, Vec<GroupRecord>) {
        let mut group = Self::new(id);
        let mut records = Vec::new();
        let mut emit = |group: &mut Self, record: GroupRecord| {
            group.apply(&record);
            records.push(record);
        };
        for (member_id, member) in members {
            emit(&mut group, record::consumer_member(id, member_id, Some(member)));
        }
        let topics_hash = group.hash_of_topics(topics);
        emit(&mut group, record::group_epoch(id, Some((epoch, topics_hash))));
        for (member_id, member) in members {
            emit(&mut group, record::target_assignment(id, member_id, Some(&member.assigned)));
        }
        emit(&mut group, record::target_epoch(id, Some((epoch, 0))));
        for (member_id, member) in members {
            emit(&mut group, record::current_assignment(id, member_id, Some(member)));
        }
        (group, records)
    }

    /// Starts the sessions of all members.
    pub(in crate::groups) fn start_sessions(&self, step: &mut Step<'_>) {
        for member_id in self.members.keys() {
            self.renew_session(step, member_id);
        }
    }

    /// Forgets all deadlines.
    pub(in crate::groups) fn cancel_all_timers(&self, step: &mut Step<'_>) {
        for member_id in self.members.keys() {
            self.cancel_timers(step, member_id);
        }
    }

    /// Whether the group becomes a classic one when these members are gone: all others speak the
    /// classic protocol.
    pub(in crate::groups) fn is_classic_without(
        &self,
        leaving: &BTreeSet<String>,
        settings: &GroupSettings,
    ) -> bool {
        let max = usize::try_from(settings.classic_max_size).unwrap_or(usize::MAX);
        let mut staying = self.members.iter().filter(|(id, _)| !leaving.contains(*id));
        let count = staying.clone().count();
        settings.consumer_migration.allows_downgrade()
            && (1..=max).contains(&count)
            && staying.all(|(_, member)| member.classic.is_some())
    }

    /// The group without these members as a classic one, in which everybody has what it is to
    /// have; ask [`ConsumerGroup::is_classic_without`] before.
    pub(in crate::groups) fn to_classic(
        &self,
        leaving: &BTreeSet<String>,
        topics: &dyn Topics,
        now_ms: i64,
    ) -> ClassicGroup {
        let staying = self.members.iter().filter(|(id, _)| !leaving.contains(*id));
        let members = staying.filter_map(|(member_id, member)| {
            let ClassicMember { session_timeout_ms, protocols } = member.classic.clone()?;
            let restored = RestoredMember {
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms,
                protocols,
                assignment: bytes::Bytes::new(),
            };
            Some((member_id.clone(), classic::Member::from(restored)))
        });
        let assignment = |member_id: &str, member: &classic::Member, protocol: &str| {
            let target = self.target.get(member_id).cloned().unwrap_or_default();
            let version = embedded::subscription(member.metadata(protocol)).map_or(0, |(v, _)| v);
            embedded::encoded_assignment(&target, version, topics)
        };
        ClassicGroup::of_consumers(&self.id, now_ms, self.group_epoch, members, assignment)
    }
}

/// A member of a classic group as one of a consumer group, and what its assignor keeps with its
/// assignment.
fn consumer_member(
    group: &ClassicGroup,
    member: &classic::Member,
    topics: &dyn Topics,
) -> Option<(Member, bytes::Bytes)> {
    // Before the first generation none is chosen, and any one tells the subscription.
    let protocol = group.protocol_name.as_ref().or(member.protocols.first().map(|p| &p.name))?;
    let (_, subscription) = embedded::subscription(member.metadata(protocol))?;
    let (assigned, user_data) = embedded::assignment(member.assignment.clone(), topics)?;
    let member = Member {
        epoch: group.generation,
        previous_epoch: group.generation,
        state: MemberState::Stable,
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id.filter(|rack| !rack.is_empty()),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        topic_names: subscription.topics.into_iter().collect(),
        topic_regex: None,
        assignor: None,
        assignment_epochs: assigned
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(|p| (*topic, *p)))
            .map(|at| (at, group.generation))
            .collect(),
        assigned,
        pending_revocation: Assignment::new(),
        classic: Some(ClassicMember {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
    };
    Some((member, user_data))
}
