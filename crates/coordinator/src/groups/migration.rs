//! Groups that go over from one protocol to the other while members read on (KIP-848).

use super::classic::join_error;
use super::consumer::{ConsumerGroup, Refusal};
use super::{Group, GroupShard, RequestOrigin};
use crate::effects::{Effects, Reply, Ticket};
use crate::topics::Topics;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::join_group_request::JoinGroupRequest;
use afluente_protocol::messages::leave_group_request::MemberIdentity;
use afluente_protocol::messages::leave_group_response::MemberResponse;
use std::collections::BTreeSet;

/// Which moves between the protocols are allowed (`group.consumer.migration.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MigrationPolicy {
    /// None, and nobody joins a consumer group with the classic protocol.
    Disabled,
    /// From classic to consumer, when a member joins with the consumer protocol.
    Upgrade,
    /// From consumer to classic, when the last member with the consumer protocol is gone.
    Downgrade,
    /// Both.
    #[default]
    Bidirectional,
}

impl MigrationPolicy {
    /// The policy of that name, whatever its case.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let all = [
            ("disabled", Self::Disabled),
            ("upgrade", Self::Upgrade),
            ("downgrade", Self::Downgrade),
            ("bidirectional", Self::Bidirectional),
        ];
        all.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, policy)| policy)
    }

    pub(super) fn allows_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    pub(super) fn allows_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

impl GroupShard {
    /// Makes sure that there is a consumer group of that id: an empty classic group gives way, and
    /// one of consumers goes over with its members; offsets stay.
    pub(super) fn become_consumer(
        &mut self,
        group_id: &str,
        is_joining: bool,
        origin: &RequestOrigin,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let upgraded = match self.groups.get(group_id) {
            Some(Group::Consumer(_)) => return Ok(()),
            Some(Group::Classic(_)) if !is_joining => {
                let message = format!("Group {group_id} is not a consumer group.");
                return Err((ErrorCode::GroupIdNotFound, message));
            }
            None if !is_joining => {
                let message = format!("Consumer group {group_id} not found.");
                return Err((ErrorCode::GroupIdNotFound, message));
            }
            Some(Group::Classic(group)) if !group.members.is_empty() => {
                Some(ConsumerGroup::from_classic(group, &self.settings, topics)?)
            }
            Some(group) => {
                effects.records.extend(group.tombstones());
                None
            }
            None => None,
        };
        if let Some((group, mut step)) = self.classic(group_id, origin.now_ms, effects) {
            group.dissolve(&mut step, ErrorCode::RebalanceInProgress);
        }
        let Some((group, records)) = upgraded else {
            let group = Group::Consumer(ConsumerGroup::new(group_id));
            self.groups.insert(group_id.to_owned(), group);
            return Ok(());
        };
        effects.records.push(super::record::classic_group_tombstone(group_id));
        effects.records.extend(records);
        self.groups.insert(group_id.to_owned(), Group::Consumer(group));
        if let Some((group, mut step)) = self.consumer(group_id, origin.now_ms, topics, effects) {
            group.start_sessions(&mut step);
        }
        Ok(())
    }

    /// A member joins a consumer group with the classic protocol.
    pub(super) fn join_consumer_group(
        &mut self,
        origin: &RequestOrigin,
        request: JoinGroupRequest,
        ticket: Ticket,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) {
        let group_id = request.group_id.clone();
        let joined = if self.settings.consumer_migration == MigrationPolicy::Disabled {
            Err((String::new(), ErrorCode::InconsistentGroupProtocol))
        } else {
            match self.consumer(&group_id, origin.now_ms, topics, effects) {
                Some((group, mut step)) => group.join_classic(&mut step, origin, request),
                None => Err((String::new(), ErrorCode::UnknownMemberId)),
            }
        };
        let joined = match joined {
            Ok(joined) => joined,
            Err((member_id, code)) => {
                let answer = join_error(&member_id, code);
                return effects.replies.push((ticket, Reply::Join(answer)));
            }
        };
        effects.replies.push((ticket, Reply::Join(joined.answer)));
        let now_ms = origin.now_ms;
        if joined.has_replaced_consumer
            && self.downgrade_without(&group_id, &BTreeSet::new(), now_ms, topics, effects)
            && joined.is_target_stale
            && let Some((group, mut step)) = self.classic(&group_id, now_ms, effects)
        {
            // Nobody computes an assignment here any more: the members have to.
            group.prepare_rebalance(&mut step);
        }
    }

    /// Members leave a consumer group by LeaveGroup, whatever protocol they speak.
    pub(super) fn leave_consumer_group(
        &mut self,
        now_ms: i64,
        group_id: &str,
        members: Vec<MemberIdentity>,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) -> Vec<MemberResponse> {
        let mut leaving = BTreeSet::new();
        let responses = members.into_iter().map(|identity| {
            let found = match self.groups.get(group_id) {
                Some(Group::Consumer(group)) => group.leaving_by_identity(&identity),
                _ => Err(ErrorCode::UnknownMemberId),
            };
            let code = match found {
                Ok(member_id) => {
                    leaving.insert(member_id);
                    ErrorCode::None
                }
                Err(code) => code,
            };
            MemberResponse {
                member_id: identity.member_id,
                group_instance_id: identity.group_instance_id,
                error_code: code.code(),
            }
        });
        let responses = responses.collect();
        self.remove_members(group_id, &leaving, now_ms, topics, effects);
        responses
    }

    /// Takes members out of a consumer group; if only classic ones are left then, the group becomes
    /// a classic one.
    pub(super) fn remove_members(
        &mut self,
        group_id: &str,
        leaving: &BTreeSet<String>,
        now_ms: i64,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) {
        let has_consumer = match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => leaving
                .iter()
                .any(|id| group.members.contains_key(id) && !group.is_classic_member(id)),
            _ => false,
        };
        if has_consumer && self.downgrade_without(group_id, leaving, now_ms, topics, effects) {
            if let Some((group, mut step)) = self.classic(group_id, now_ms, effects) {
                group.prepare_rebalance(&mut step);
            }
            return;
        }
        if let Some((group, mut step)) = self.consumer(group_id, now_ms, topics, effects) {
            group.fence(&mut step, leaving);
        }
    }

    /// Makes a consumer group a classic one without these members, if nobody who stays speaks the
    /// consumer protocol. Whether that was so.
    fn downgrade_without(
        &mut self,
        group_id: &str,
        leaving: &BTreeSet<String>,
        now_ms: i64,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) -> bool {
        let Some((group, mut step)) = self.consumer(group_id, now_ms, topics, effects) else {
            return false;
        };
        if !group.is_classic_without(leaving, step.settings) {
            return false;
        }
        let classic = group.to_classic(leaving, topics, now_ms);
        group.cancel_all_timers(&mut step);
        let tombstones = group.tombstones();
        effects.records.extend(tombstones);
        self.groups.insert(group_id.to_owned(), Group::Classic(classic));
        if let Some((group, mut step)) = self.classic(group_id, now_ms, effects) {
            group.persist(&mut step);
            let member_ids: Vec<String> = group.members.keys().cloned().collect();
            for member_id in &member_ids {
                group.renew_session(&mut step, member_id);
            }
        }
        true
    }
}
