//! ConsumerGroupHeartbeat: joining, staying, and following the assignment.

use super::reconcile::{Aim, holding};
use super::regex::regex_matcher;
use super::{
    Assignment, ConsumerGroup, LEAVE_STATIC_EPOCH, Member, MemberState, Refusal, Step, assignor,
};
use crate::groups::record;
use crate::groups::{RequestOrigin, TimerKey};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use afluente_protocol::messages::consumer_group_heartbeat_response::{
    Assignment as AssignmentAnswer, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

/// From this version on, members choose their id themselves (KIP-1082).
const MEMBER_ID_REQUIRED_SINCE: i16 = 1;

/// Checks what can be checked without knowing the group.
///
/// # Errors
/// `INVALID_REQUEST`, `UNSUPPORTED_ASSIGNOR` or `INVALID_REGULAR_EXPRESSION`, with the words that
/// say what to send instead.
pub(in crate::groups) fn validate(
    request: &ConsumerGroupHeartbeatRequest,
    api_version: i16,
) -> Result<(), Refusal> {
    let invalid = |message: &str| Err((ErrorCode::InvalidRequest, message.to_owned()));
    if request.member_id.is_empty()
        && (api_version >= MEMBER_ID_REQUIRED_SINCE
            || request.member_epoch > 0
            || matches!(request.member_epoch, super::LEAVE_EPOCH | LEAVE_STATIC_EPOCH))
    {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if request.instance_id.as_deref() == Some("") {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack_id.as_deref() == Some("") {
        return invalid("RackId can't be empty.");
    }
    match request.member_epoch {
        0 if request.rebalance_timeout_ms == -1 => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        0 if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        0 if request.subscribed_topic_names.is_none()
            && request.subscribed_topic_regex.is_none() =>
        {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when \
                 (re-)joining.",
            );
        }
        LEAVE_STATIC_EPOCH if request.instance_id.is_none() => {
            return invalid("InstanceId can't be null.");
        }
        epoch if epoch < LEAVE_STATIC_EPOCH => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    if let Some(name) = &request.server_assignor
        && !assignor::NAMES.contains(&name.as_str())
    {
        let message = format!(
            "ServerAssignor {name} is not supported. Supported assignors: {}.",
            assignor::NAMES.join(", ")
        );
        return Err((ErrorCode::UnsupportedAssignor, message));
    }
    if let Some(regex) = request.subscribed_topic_regex.as_deref().filter(|r| !r.is_empty())
        && let Err(error) = regex_matcher(regex)
    {
        let message =
            format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {error}.");
        return Err((ErrorCode::InvalidRegularExpression, message));
    }
    Ok(())
}

impl ConsumerGroup {
    /// Takes in a heartbeat that passed [`validate`], of a member that does not leave.
    ///
    /// # Errors
    /// What the member has to do, with words; nothing has changed then.
    pub(in crate::groups) fn stay(
        &mut self,
        step: &mut Step<'_>,
        origin: &RequestOrigin,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let member_id = if request.member_id.is_empty() {
            origin.fresh_uuid.to_string()
        } else {
            request.member_id.clone()
        };
        self.refuse_if_full(step, &member_id)?;
        let owned = request.topic_partitions.as_ref().map(|topics| {
            topics.iter().map(|t| (t.topic_id, t.partitions.iter().copied().collect())).collect()
        });
        let known = self.member_for(step, request, &member_id, owned.as_ref())?;
        let updated = updated_member(&known, origin, request);
        let reconciled = self.update(step, &member_id, &known, &updated, owned.as_ref())?;

        let is_full_request = request.member_epoch == 0
            || (request.rebalance_timeout_ms != -1
                && request.topic_partitions.is_some()
                && (request.subscribed_topic_names.is_some()
                    || request.subscribed_topic_regex.is_some()));
        let has_changed = reconciled.assigned != known.assigned;
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(member_id),
            member_epoch: reconciled.epoch,
            heartbeat_interval_ms: step.settings.consumer_heartbeat_interval_ms(&self.id),
            assignment: (is_full_request || has_changed).then(|| answer(&reconciled.assigned)),
            ..ConsumerGroupHeartbeatResponse::default()
        })
    }

    /// Takes in what a member says of itself, `known` before and `updated` by its request, and
    /// makes it follow the assignment that results. `owned` is what it says that it reads.
    ///
    /// # Errors
    /// `FENCED_MEMBER_EPOCH` for a member in a state that a newer broker wrote.
    pub(super) fn update(
        &mut self,
        step: &mut Step<'_>,
        member_id: &str,
        known: &Member,
        updated: &Member,
        owned: Option<&Assignment>,
    ) -> Result<Member, Refusal> {
        let is_new = !self.members.contains_key(member_id);
        // 1. The member, and whether what the group reads has changed.
        let names_changed = updated.topic_names != known.topic_names;
        let regex = self.regex_change(step, known, updated);
        if is_new || *updated != *known {
            let record = record::consumer_member(&self.id, member_id, Some(updated));
            self.emit(step, record);
        }
        self.drop_unused_regexes(step);
        let must_bump = names_changed || regex.changes_topics;
        let version = Some(step.topics.version());
        if must_bump || self.seen.hashed != version {
            self.seen.hashed = version;
            let topics_hash = self.hash_of_topics(step.topics);
            if must_bump || topics_hash != self.topics_hash {
                self.bump_epoch(step, topics_hash);
            }
        }

        // 2. The target assignment.
        if self.group_epoch > self.target_epoch && self.may_compute_target(step) {
            self.compute_target(step);
        }

        // 3. This member's part of it.
        let current = self.members.get(member_id).cloned().unwrap_or_default();
        let target = self.target.get(member_id).cloned().unwrap_or_default();
        let topics = self.topics_of(member_id);
        let aim = Aim {
            target: &target,
            owned,
            subscribed: topics.iter().filter_map(|t| Some(step.topics.topic(t)?.id)).collect(),
            has_subscription_changed: names_changed || regex.has_changed,
        };
        let reconciled = self.reconciled(&current, &aim)?;
        if is_new || reconciled != current {
            let record = record::current_assignment(&self.id, member_id, Some(&reconciled));
            self.emit(step, record);
        }

        // 4. Expressions are resolved behind the answer: their topics come with the next one.
        if regex.must_be_resolved {
            self.resolve_regexes(step);
        }
        self.renew_session(step, member_id);
        self.watch_revocation(step, member_id, &current, &reconciled);
        Ok(reconciled)
    }

    pub(super) fn refuse_if_full(&self, step: &Step<'_>, member_id: &str) -> Result<(), Refusal> {
        let max = usize::try_from(step.settings.consumer_max_size).unwrap_or(usize::MAX);
        if self.members.len() < max || self.members.contains_key(member_id) {
            return Ok(());
        }
        let message =
            format!("The consumer group has reached its maximum capacity of {max} members.");
        Err((ErrorCode::GroupMaxSizeReached, message))
    }

    /// The member that the request speaks for: known, new, or a static one that has come back.
    fn member_for(
        &mut self,
        step: &mut Step<'_>,
        request: &ConsumerGroupHeartbeatRequest,
        member_id: &str,
        owned: Option<&Assignment>,
    ) -> Result<Member, Refusal> {
        let is_joining = request.member_epoch == 0;
        let Some(instance_id) = request.instance_id.as_deref() else {
            return match self.members.get(member_id) {
                Some(member) => {
                    check_epoch(member, request.member_epoch, owned)?;
                    Ok(member.clone())
                }
                None if is_joining => Ok(Member::default()),
                None => Err(unknown_member(&self.id, member_id)),
            };
        };
        let existing = self.static_member(instance_id).map(|(id, m)| (id.clone(), m.clone()));
        match existing {
            None if is_joining => Ok(Member::default()),
            None => {
                let message = format!("Instance id {instance_id} is unknown.");
                Err((ErrorCode::UnknownMemberId, message))
            }
            Some((id, member)) if id == member_id => {
                check_epoch(&member, request.member_epoch, owned)?;
                Ok(member)
            }
            Some((id, _)) if !is_joining => Err(fenced_instance(member_id, instance_id, &id)),
            // A classic member does not say that it leaves for a moment.
            Some((id, member))
                if member.epoch != LEAVE_STATIC_EPOCH && member.classic.is_none() =>
            {
                let message = format!(
                    "Static member {member_id} with instance id {instance_id} cannot join the \
                     group because the instance id is owned by {id} member."
                );
                Err((ErrorCode::UnreleasedInstanceId, message))
            }
            Some((id, member)) => Ok(self.replace_static_member(step, &id, member_id, member)),
        }
    }

    /// A static member has come back under another id: it takes over what it had.
    pub(super) fn replace_static_member(
        &mut self,
        step: &mut Step<'_>,
        old_id: &str,
        new_id: &str,
        member: Member,
    ) -> Member {
        let target = self.target.get(old_id).cloned().unwrap_or_default();
        self.cancel_timers(step, old_id);
        let assigned = member.assigned.clone();
        let heir = Member {
            epoch: 0,
            previous_epoch: 0,
            state: MemberState::Stable,
            ..holding(member, assigned, Assignment::new())
        };
        for record in [
            record::current_assignment(&self.id, old_id, None),
            record::target_assignment(&self.id, old_id, None),
            record::consumer_member(&self.id, old_id, None),
            record::consumer_member(&self.id, new_id, Some(&heir)),
            record::target_assignment(&self.id, new_id, Some(&target)),
            record::current_assignment(&self.id, new_id, Some(&heir)),
        ] {
            self.emit(step, record);
        }
        heir
    }

    pub(super) fn bump_epoch(&mut self, step: &mut Step<'_>, topics_hash: i64) {
        let record = record::group_epoch(&self.id, Some((self.group_epoch + 1, topics_hash)));
        self.emit(step, record);
    }

    /// A member that was told to give up partitions has its rebalance timeout to do so.
    fn watch_revocation(
        &self,
        step: &mut Step<'_>,
        member_id: &str,
        before: &Member,
        after: &Member,
    ) {
        let key = TimerKey::Revocation { group: self.id.clone(), member: member_id.to_owned() };
        // A classic member is watched from the moment that it is told to join again.
        if after.state != MemberState::UnrevokedPartitions || after.classic.is_some() {
            step.timers.cancel(&key);
        } else if before.state != after.state || before.epoch != after.epoch {
            step.timers.schedule(key, step.now_ms + i64::from(after.rebalance_timeout_ms));
        }
    }

    /// After a restart: the member's deadlines start anew.
    pub(in crate::groups) fn resume_member(&self, step: &mut Step<'_>, member_id: &str) {
        let Some(member) = self.members.get(member_id) else { return };
        self.renew_session(step, member_id);
        self.watch_revocation(step, member_id, &Member::default(), member);
    }

    /// Whether a member has partitions that it was told to give up.
    pub(in crate::groups) fn is_revoking(&self, member_id: &str) -> bool {
        let is_late = |m: &Member| m.state == MemberState::UnrevokedPartitions;
        self.members.get(member_id).is_some_and(is_late)
    }
}

fn updated_member(
    known: &Member,
    origin: &RequestOrigin,
    request: &ConsumerGroupHeartbeatRequest,
) -> Member {
    let mut member = known.clone();
    if let Some(instance_id) = &request.instance_id {
        member.instance_id = Some(instance_id.clone());
    }
    if let Some(rack_id) = &request.rack_id {
        member.rack_id = Some(rack_id.clone());
    }
    if request.rebalance_timeout_ms != -1 {
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(name) = &request.server_assignor {
        member.assignor = Some(name.clone());
    }
    if let Some(names) = &request.subscribed_topic_names {
        member.topic_names = names.iter().cloned().collect();
    }
    if let Some(regex) = &request.subscribed_topic_regex {
        member.topic_regex = Some(regex.clone()).filter(|regex| !regex.is_empty());
    }
    member.client_id.clone_from(&origin.client_id);
    member.client_host.clone_from(&origin.client_host);
    member.classic = None;
    member
}

fn check_epoch(member: &Member, received: i32, owned: Option<&Assignment>) -> Result<(), Refusal> {
    // 0 joins again: the member has lost its state.
    if received == member.epoch || received == 0 {
        return Ok(());
    }
    let is_greater = received > member.epoch;
    // The answer that raised the epoch may have been lost.
    let missed_one = received == member.previous_epoch
        && owned
            .is_some_and(|owned| super::reconcile::difference(owned, &member.assigned).is_empty());
    if !is_greater && missed_one {
        return Ok(());
    }
    let message = format!(
        "The consumer group member has a {} member epoch ({received}) than the one known by the \
         group coordinator ({}). The member must abandon all its partitions and rejoin.",
        if is_greater { "greater" } else { "smaller" },
        member.epoch
    );
    Err((ErrorCode::FencedMemberEpoch, message))
}

pub(super) fn unknown_member(group_id: &str, member_id: &str) -> Refusal {
    let message = format!("Member {member_id} is not a member of group {group_id}.");
    (ErrorCode::UnknownMemberId, message)
}

pub(super) fn fenced_instance(member_id: &str, instance_id: &str, by: &str) -> Refusal {
    let message = format!(
        "Static member {member_id} with instance id {instance_id} was fenced by member {by}."
    );
    (ErrorCode::FencedInstanceId, message)
}

fn answer(assigned: &Assignment) -> AssignmentAnswer {
    AssignmentAnswer {
        topic_partitions: assigned
            .iter()
            .map(|(topic_id, partitions)| TopicPartitions {
                topic_id: *topic_id,
                partitions: partitions.iter().copied().collect(),
            })
            .collect(),
    }
}
