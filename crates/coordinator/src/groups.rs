//! The groups and committed offsets of one partition of `__consumer_offsets`.
//!
//! A [`GroupShard`] holds every group whose id hashes to its partition. Memory and log agree: what
//! a step changes is either in the records it puts into its [`Effects`], or is soft state (sessions,
//! joins in progress) that a restart may forget.

pub mod classic;
pub mod consumer;
mod describe;
mod embedded;
pub mod migration;
pub mod offsets;
pub mod record;
mod replay;
#[cfg(test)]
mod tests;

use crate::effects::{Effects, Reply, Ticket};
use crate::timers::Timers;
use crate::topics::Topics;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use afluente_protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use afluente_protocol::messages::heartbeat_request::HeartbeatRequest;
use afluente_protocol::messages::join_group_request::JoinGroupRequest;
use afluente_protocol::messages::join_group_response::JoinGroupResponse;
use afluente_protocol::messages::leave_group_request::MemberIdentity;
use afluente_protocol::messages::leave_group_response::MemberResponse;
use afluente_protocol::messages::sync_group_request::SyncGroupRequest;
use afluente_protocol::messages::sync_group_response::SyncGroupResponse;
use afluente_protocol::uuid::Uuid;
use classic::{ClassicGroup, State};
use consumer::{ConsumerGroup, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, Refusal};
use migration::MigrationPolicy;
use offsets::Offsets;
use std::collections::{BTreeMap, BTreeSet};

/// What can be configured about groups. Times in milliseconds; each field names its broker key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.max.size`
    pub classic_max_size: i32,
    /// `group.initial.rebalance.delay.ms`
    pub classic_initial_rebalance_delay_ms: i32,
    /// How long a newcomer's first join may stay open (not configurable in Kafka either).
    pub classic_new_member_join_timeout_ms: i32,
    /// `group.min.session.timeout.ms`
    pub classic_min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub classic_max_session_timeout_ms: i32,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_max_bytes: i32,
    /// `offsets.retention.minutes`, in milliseconds
    pub offsets_retention_ms: i64,
    /// `group.consumer.max.size`
    pub consumer_max_size: i32,
    /// `group.consumer.session.timeout.ms`
    pub consumer_session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`
    pub consumer_heartbeat_interval_ms: i32,
    /// `group.consumer.assignment.interval.ms`
    pub consumer_assignment_interval_ms: i32,
    /// `group.consumer.migration.policy`
    pub consumer_migration: MigrationPolicy,
    /// What groups have for themselves (resource type GROUP of IncrementalAlterConfigs).
    pub overrides: BTreeMap<String, GroupOverrides>,
}

/// What one group has for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupOverrides {
    /// `consumer.session.timeout.ms`
    pub consumer_session_timeout_ms: Option<i32>,
    /// `consumer.heartbeat.interval.ms`
    pub consumer_heartbeat_interval_ms: Option<i32>,
    /// `consumer.assignment.interval.ms`
    pub consumer_assignment_interval_ms: Option<i32>,
}

impl GroupSettings {
    fn consumer_session_timeout_ms(&self, group_id: &str) -> i32 {
        let own = self.overrides.get(group_id).and_then(|o| o.consumer_session_timeout_ms);
        own.unwrap_or(self.consumer_session_timeout_ms)
    }

    fn consumer_heartbeat_interval_ms(&self, group_id: &str) -> i32 {
        let own = self.overrides.get(group_id).and_then(|o| o.consumer_heartbeat_interval_ms);
        own.unwrap_or(self.consumer_heartbeat_interval_ms)
    }

    fn consumer_assignment_interval_ms(&self, group_id: &str) -> i32 {
        let own = self.overrides.get(group_id).and_then(|o| o.consumer_assignment_interval_ms);
        own.unwrap_or(self.consumer_assignment_interval_ms)
    }
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            classic_max_size: i32::MAX,
            classic_initial_rebalance_delay_ms: 3_000,
            classic_new_member_join_timeout_ms: 5 * 60 * 1_000,
            classic_min_session_timeout_ms: 6_000,
            classic_max_session_timeout_ms: 30 * 60 * 1_000,
            offset_metadata_max_bytes: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            consumer_max_size: i32::MAX,
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_assignment_interval_ms: 1_000,
            consumer_migration: MigrationPolicy::default(),
            overrides: BTreeMap::new(),
        }
    }
}

/// Who asks, when, and with what luck.
#[derive(Debug, Clone)]
pub struct RequestOrigin {
    /// Milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// The version of the request.
    pub api_version: i16,
    /// From the request header; empty if it has none.
    pub client_id: String,
    /// The peer's address as Kafka shows it: `/127.0.0.1`.
    pub client_host: String,
    /// A random value, for ids that this step may have to give out.
    pub fresh_uuid: Uuid,
}

/// What a deadline is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// Classic: the member's session.
    Heartbeat { group: String, member: String },
    /// Classic: gathering members.
    Join { group: String },
    /// Classic: members fetching their assignment.
    Sync { group: String },
    /// Consumer: the member's session.
    Session { group: String, member: String },
    /// Consumer: the member giving up partitions.
    Revocation { group: String, member: String },
    /// Consumer: a classic member that was called to join again.
    Rejoin { group: String, member: String },
    /// Consumer: a classic member fetching its assignment.
    Resync { group: String, member: String },
}

/// A group of either protocol.
#[derive(Debug)]
enum Group {
    Classic(ClassicGroup),
    Consumer(ConsumerGroup),
}

impl Group {
    fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.state == State::Empty,
            Self::Consumer(group) => group.members.is_empty(),
        }
    }

    fn is_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed_to(topic),
            Self::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// Records that make a restart forget the group; not its offsets.
    fn tombstones(&self) -> Vec<record::GroupRecord> {
        match self {
            Self::Classic(group) => vec![record::classic_group_tombstone(&group.id)],
            Self::Consumer(group) => group.tombstones(),
        }
    }
}

/// Every group of one partition of `__consumer_offsets`.
#[derive(Debug, Default)]
pub struct GroupShard {
    settings: GroupSettings,
    groups: BTreeMap<String, Group>,
    offsets: Offsets,
    timers: Timers<TimerKey>,
}

impl GroupShard {
    /// A shard without groups; [`GroupShard::replay`] brings back those of the log.
    #[must_use]
    pub fn new(settings: GroupSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Takes over settings that were changed while running.
    pub fn set_settings(&mut self, settings: GroupSettings) {
        self.settings = settings;
    }

    /// Takes in a JoinGroup; the answer comes to `ticket`.
    pub fn join(
        &mut self,
        origin: &RequestOrigin,
        request: JoinGroupRequest,
        ticket: Ticket,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) {
        if let Err(error) = self.validate_join(&request) {
            let answer = JoinGroupResponse {
                member_id: request.member_id,
                error_code: error.code(),
                ..JoinGroupResponse::default()
            };
            return effects.replies.push((ticket, Reply::Join(answer)));
        }
        let group_id = request.group_id.clone();
        if let Some(Group::Consumer(group)) = self.groups.get(&group_id)
            && !group.members.is_empty()
        {
            return self.join_consumer_group(origin, request, ticket, topics, effects);
        }
        let is_new = self.become_classic(&group_id, origin.now_ms, effects);
        let replies_only = effects.records.len();
        let Some((group, mut step)) = self.classic(&group_id, origin.now_ms, effects) else {
            return;
        };
        group.join(&mut step, origin, request, ticket);
        if is_new && step.effects.records.len() == replies_only {
            // The group exists from now on, whatever becomes of this join.
            step.effects.records.push(record::empty_classic_group(group));
        }
    }

    fn validate_join(&self, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
        let session_timeouts_ms = self.settings.classic_min_session_timeout_ms
            ..=self.settings.classic_max_session_timeout_ms;
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        if !session_timeouts_ms.contains(&request.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        match self.groups.get(&request.group_id) {
            Some(_) => Ok(()),
            None if request.member_id.is_empty() => Ok(()),
            None => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// Makes sure that there is a classic group of that id; an empty consumer group gives way.
    /// Whether it is new.
    fn become_classic(&mut self, group_id: &str, now_ms: i64, effects: &mut Effects) -> bool {
        match self.groups.get(group_id) {
            Some(Group::Classic(_)) => return false,
            Some(group @ Group::Consumer(_)) => effects.records.extend(group.tombstones()),
            None => {}
        }
        let group = Group::Classic(ClassicGroup::new(group_id, now_ms));
        self.groups.insert(group_id.to_owned(), group);
        true
    }

    /// Takes in a SyncGroup; the answer comes to `ticket`.
    pub fn sync(
        &mut self,
        origin: &RequestOrigin,
        request: SyncGroupRequest,
        ticket: Ticket,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) {
        let group_id = request.group_id.clone();
        if group_id.is_empty() {
            return effects.replies.push((ticket, sync_failed(ErrorCode::InvalidGroupId)));
        }
        if let Some((group, mut step)) = self.consumer(&group_id, origin.now_ms, topics, effects) {
            let reply = match group.sync_classic(&mut step, &request) {
                Ok(answer) => Reply::Sync(answer),
                Err(error) => sync_failed(error),
            };
            return effects.replies.push((ticket, reply));
        }
        match self.classic(&group_id, origin.now_ms, effects) {
            Some((group, mut step)) => group.sync(&mut step, request, ticket),
            None => effects.replies.push((ticket, sync_failed(ErrorCode::UnknownMemberId))),
        }
    }

    /// Takes in a Heartbeat.
    ///
    /// # Errors
    /// What the member has to do: `REBALANCE_IN_PROGRESS` means join again.
    pub fn heartbeat(
        &mut self,
        origin: &RequestOrigin,
        request: &HeartbeatRequest,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) -> Result<(), ErrorCode> {
        let group_id = &request.group_id;
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        if let Some((group, mut step)) = self.consumer(group_id, origin.now_ms, topics, effects) {
            return group.heartbeat_classic(&mut step, request);
        }
        let (group, mut step) =
            self.classic(group_id, origin.now_ms, effects).ok_or(ErrorCode::UnknownMemberId)?;
        group.heartbeat(&mut step, request)
    }

    /// Takes members out of a group, and says for each how that went.
    ///
    /// # Errors
    /// `INVALID_GROUP_ID` for the request as a whole.
    pub fn leave(
        &mut self,
        origin: &RequestOrigin,
        group_id: &str,
        members: Vec<MemberIdentity>,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) -> Result<Vec<MemberResponse>, ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        if let Some(Group::Consumer(_)) = self.groups.get(group_id) {
            return Ok(self.leave_consumer_group(
                origin.now_ms,
                group_id,
                members,
                topics,
                effects,
            ));
        }
        Ok(match self.classic(group_id, origin.now_ms, effects) {
            Some((group, mut step)) => group.leave(&mut step, members),
            None => members
                .into_iter()
                .map(|member| MemberResponse {
                    member_id: member.member_id,
                    group_instance_id: member.group_instance_id,
                    error_code: ErrorCode::UnknownMemberId.code(),
                })
                .collect(),
        })
    }

    /// Takes in a ConsumerGroupHeartbeat (KIP-848).
    ///
    /// # Errors
    /// What the member has to do, with words for the answer's error message.
    pub fn consumer_heartbeat(
        &mut self,
        origin: &RequestOrigin,
        request: &ConsumerGroupHeartbeatRequest,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        consumer::validate(request, origin.api_version)?;
        let group_id = &request.group_id;
        let is_leaving = matches!(request.member_epoch, LEAVE_EPOCH | LEAVE_STATIC_EPOCH);
        if is_leaving && !self.groups.contains_key(group_id) {
            return Err(group_not_found(group_id));
        }
        self.become_consumer(group_id, request.member_epoch == 0, origin, topics, effects)?;
        let (group, mut step) = self
            .consumer(group_id, origin.now_ms, topics, effects)
            .ok_or_else(|| group_not_found(group_id))?;
        match request.member_epoch {
            LEAVE_EPOCH | LEAVE_STATIC_EPOCH => {}
            _ => return group.stay(&mut step, origin, request),
        }
        let member_id = group.leaving(request)?;
        if request.member_epoch == LEAVE_STATIC_EPOCH && request.instance_id.is_some() {
            group.pause(&mut step, &member_id);
        } else {
            let leaving = BTreeSet::from([member_id]);
            self.remove_members(group_id, &leaving, origin.now_ms, topics, effects);
        }
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..ConsumerGroupHeartbeatResponse::default()
        })
    }

    /// Deletes a group with its offsets.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, or `NON_EMPTY_GROUP` while it has members.
    pub fn delete_group(&mut self, group_id: &str, effects: &mut Effects) -> Result<(), ErrorCode> {
        let group = self.groups.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        if !group.is_empty() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        self.offsets.remove_group(group_id, &mut effects.records);
        effects.records.extend(group.tombstones());
        self.groups.remove(group_id);
        Ok(())
    }

    /// When [`GroupShard::tick`] has something to do next, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.timers.next_deadline_ms()
    }

    /// Does what is due: ends sessions, and phases of rebalances whose time is up.
    pub fn tick(&mut self, now_ms: i64, topics: &dyn Topics, effects: &mut Effects) {
        while let Some(key) = self.timers.pop_due(now_ms) {
            match &key {
                TimerKey::Heartbeat { group, .. }
                | TimerKey::Join { group }
                | TimerKey::Sync { group } => {
                    let Some((group, mut step)) = self.classic(group, now_ms, effects) else {
                        continue;
                    };
                    match &key {
                        TimerKey::Join { .. } => group.join_time_over(&mut step),
                        TimerKey::Sync { .. } => group.sync_time_over(&mut step),
                        TimerKey::Heartbeat { member, .. }
                        | TimerKey::Session { member, .. }
                        | TimerKey::Revocation { member, .. }
                        | TimerKey::Rejoin { member, .. }
                        | TimerKey::Resync { member, .. } => {
                            group.session_over(&mut step, member);
                        }
                    }
                }
                TimerKey::Revocation { group, member } if !self.is_revoking(group, member) => {}
                TimerKey::Session { group, member }
                | TimerKey::Revocation { group, member }
                | TimerKey::Rejoin { group, member }
                | TimerKey::Resync { group, member } => {
                    let leaving = BTreeSet::from([member.clone()]);
                    self.remove_members(group, &leaving, now_ms, topics, effects);
                }
            }
        }
    }

    fn is_revoking(&self, group_id: &str, member_id: &str) -> bool {
        match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => group.is_revoking(member_id),
            _ => false,
        }
    }

    fn classic<'a>(
        &'a mut self,
        group_id: &str,
        now_ms: i64,
        effects: &'a mut Effects,
    ) -> Option<(&'a mut ClassicGroup, classic::Step<'a>)> {
        let Some(Group::Classic(group)) = self.groups.get_mut(group_id) else { return None };
        let settings = &self.settings;
        Some((group, classic::Step { now_ms, settings, timers: &mut self.timers, effects }))
    }

    fn consumer<'a>(
        &'a mut self,
        group_id: &str,
        now_ms: i64,
        topics: &'a dyn Topics,
        effects: &'a mut Effects,
    ) -> Option<(&'a mut ConsumerGroup, consumer::Step<'a>)> {
        let Some(Group::Consumer(group)) = self.groups.get_mut(group_id) else { return None };
        let settings = &self.settings;
        let timers = &mut self.timers;
        Some((group, consumer::Step { now_ms, settings, topics, timers, effects }))
    }
}

fn sync_failed(error: ErrorCode) -> Reply {
    Reply::Sync(SyncGroupResponse { error_code: error.code(), ..SyncGroupResponse::default() })
}

fn group_not_found(group_id: &str) -> Refusal {
    (ErrorCode::GroupIdNotFound, format!("Group {group_id} not found."))
}
