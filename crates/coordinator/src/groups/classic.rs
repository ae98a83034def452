//! A group of the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup).
//!
//! The coordinator gathers the members, picks a protocol that all of them speak, and lets one of
//! them, the leader, place the work; it does not look into what they tell each other.
//!
//! ```text
//!            first join                 all joined, or time is up
//!  Empty ───────────────▶ PreparingRebalance ───────────────▶ CompletingRebalance
//!    ▲                       ▲   │ nobody left                       │ leader syncs
//!    └───────────────────────┼───┘                                   ▼
//!                            └──────────── join, leave, expiry ── Stable
//! ```
//!
//! Sources: the Kafka protocol guide; KIP-62 (rebalance timeout), KIP-134 (initial delay), KIP-345
//! (static members), KIP-394 (members need an id first), KIP-559, KIP-814 (skip assignment).

mod heartbeat;
pub(super) mod join;
mod leave;
mod rebalance;
mod sync;

use super::record;
use super::{GroupSettings, TimerKey};
use crate::effects::{Effects, Reply, Ticket};
use crate::timers::Timers;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use afluente_protocol::messages::join_group_response::{
    JoinGroupResponse, JoinGroupResponseMember,
};
use afluente_protocol::messages::sync_group_response::SyncGroupResponse;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The protocol type of consumers; other users of groups (Connect) have their own.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Where the group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No members; it may still hold offsets.
    Empty,
    /// Gathering members: joins wait.
    PreparingRebalance,
    /// Members know their generation and wait for the leader's assignment.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
}

impl State {
    /// The name that Kafka's tools show.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A member of the group.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// In the member's order of preference.
    pub(super) protocols: Vec<JoinGroupRequestProtocol>,
    pub(super) assignment: Bytes,
    /// Has not yet got its member id by a JoinGroup answer, so that it cannot send heartbeats.
    is_new: bool,
    awaiting_join: Option<Ticket>,
    awaiting_sync: Option<Ticket>,
}

impl Member {
    /// What the member said about itself under `protocol`; empty if it does not speak it.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|p| p.name == protocol)
            .map(|p| p.metadata.clone())
            .unwrap_or_default()
    }
}

/// A classic group. Empty and without a protocol type, it is a "simple" group: nothing but offsets.
#[derive(Debug)]
pub struct ClassicGroup {
    pub(super) id: String,
    pub(super) state: State,
    /// When `state` was entered; unknown in groups written by very old brokers.
    pub(super) state_since_ms: Option<i64>,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol_name: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Topics that the members named in consumer subscriptions; `None` where that is not known.
    pub(super) subscribed_topics: Option<BTreeSet<String>>,
    /// Instance id → member id.
    static_members: BTreeMap<String, String>,
    /// Have been told a member id (KIP-394) and have not come back with it yet.
    pending_joins: BTreeSet<String>,
    /// Were told the generation and have not asked for their assignment yet.
    pending_syncs: BTreeSet<String>,
    /// The first rebalance of an empty group, which waits a little for more members.
    initial_rebalance: Option<InitialRebalance>,
}

#[derive(Debug, Clone, Copy)]
struct InitialRebalance {
    member_added: bool,
    delay_ms: i32,
    remaining_ms: i32,
}

/// What a step of a group may use and change besides the group itself.
pub(super) struct Step<'a> {
    pub(super) now_ms: i64,
    pub(super) settings: &'a GroupSettings,
    pub(super) timers: &'a mut Timers<TimerKey>,
    pub(super) effects: &'a mut Effects,
}

impl ClassicGroup {
    /// An empty group.
    pub(super) fn new(id: &str, now_ms: i64) -> Self {
        Self {
            id: id.to_owned(),
            state: State::Empty,
            state_since_ms: Some(now_ms),
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            subscribed_topics: None,
            static_members: BTreeMap::new(),
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            initial_rebalance: None,
        }
    }

    /// Whether its members are Kafka consumers.
    pub(super) fn is_consumer_group(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether a member is known to read `topic`; a consumer group that cannot tell says yes.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.is_consumer_group(),
        }
    }

    /// Checks that a request comes from a member that still is one.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, or `FENCED_INSTANCE_ID` when another process took over its instance id.
    pub(super) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if current != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Checks who may commit offsets to this group.
    ///
    /// # Errors
    /// The code to answer with.
    pub(super) fn validate_offset_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        is_transactional: bool,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.state == State::Empty {
            // The admin client, or a consumer that chooses its partitions itself.
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.validate_member(member_id, instance_id)?;
            if generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if !is_transactional && self.state != State::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        if !is_transactional && self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Puts back a member as a record describes it.
    pub(super) fn restore_member(&mut self, member_id: String, member: Member) {
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member_id.clone());
        }
        self.members.insert(member_id, member);
    }

    fn enter(&mut self, state: State, now_ms: i64) {
        self.state = state;
        self.state_since_ms = Some(now_ms);
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    fn awaiting_join_count(&self) -> usize {
        self.members.values().filter(|member| member.awaiting_join.is_some()).count()
    }

    fn have_all_members_joined(&self) -> bool {
        self.pending_joins.is_empty() && self.awaiting_join_count() == self.members.len()
    }

    /// The longest that any member may take to rejoin.
    fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    /// Takes a member out, electing another leader if it led. An open join or sync of it must have
    /// been answered before.
    fn remove(&mut self, member_id: &str) {
        if let Some(member) = self.members.remove(member_id)
            && let Some(instance_id) = &member.instance_id
        {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
    }

    /// Starts the session of a member anew: it has given a sign of life.
    pub(super) fn renew_session(&self, step: &mut Step<'_>, member_id: &str) {
        if let Some(member) = self.members.get(member_id) {
            self.expect_heartbeat(step, member_id, member.session_timeout_ms);
        }
    }

    fn expect_heartbeat(&self, step: &mut Step<'_>, member_id: &str, timeout_ms: i32) {
        let key = TimerKey::Heartbeat { group: self.id.clone(), member: member_id.to_owned() };
        step.timers.schedule(key, step.now_ms + i64::from(timeout_ms));
    }

    fn forget_heartbeat(&self, step: &mut Step<'_>, member_id: &str) {
        step.timers
            .cancel(&TimerKey::Heartbeat { group: self.id.clone(), member: member_id.to_owned() });
    }

    /// Answers the open JoinGroup of a member, if it has one.
    fn answer_join(&mut self, step: &mut Step<'_>, member_id: &str, answer: JoinGroupResponse) {
        if let Some(ticket) =
            self.members.get_mut(member_id).and_then(|member| member.awaiting_join.take())
        {
            step.effects.replies.push((ticket, Reply::Join(answer)));
        }
    }

    /// Answers the open SyncGroup of a member, if it has one.
    fn answer_sync(
        &mut self,
        step: &mut Step<'_>,
        member_id: &str,
        answer: SyncGroupResponse,
    ) -> bool {
        let open = self.members.get_mut(member_id).and_then(|member| member.awaiting_sync.take());
        if let Some(ticket) = open {
            step.effects.replies.push((ticket, Reply::Sync(answer)));
        }
        open.is_some()
    }

    /// The JoinGroup answer that tells a member about the current generation.
    fn generation_for(&self, member_id: &str, with_members: bool) -> JoinGroupResponse {
        let protocol = self.protocol_name.clone();
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.to_owned(),
            members: if with_members {
                let protocol = protocol.unwrap_or_default();
                self.members
                    .iter()
                    .map(|(id, member)| JoinGroupResponseMember {
                        member_id: id.clone(),
                        group_instance_id: member.instance_id.clone(),
                        metadata: member.metadata(&protocol),
                    })
                    .collect()
            } else {
                Vec::new()
            },
            ..JoinGroupResponse::default()
        }
    }

    /// A stable group of consumers in generation `generation`; `assignment` says what a member has,
    /// by its id and the protocol that the group follows.
    pub(super) fn of_consumers(
        id: &str,
        now_ms: i64,
        generation: i32,
        members: impl Iterator<Item = (String, Member)>,
        assignment: impl Fn(&str, &Member, &str) -> Bytes,
    ) -> Self {
        let mut group = Self {
            state: State::Stable,
            generation,
            protocol_type: Some(CONSUMER_PROTOCOL_TYPE.to_owned()),
            ..Self::new(id, now_ms)
        };
        for (member_id, member) in members {
            group.restore_member(member_id, member);
        }
        group.leader = group.members.keys().next().cloned();
        group.protocol_name = group.select_protocol();
        let protocol = group.protocol_name.clone().unwrap_or_default();
        for (member_id, member) in &mut group.members {
            member.assignment = assignment(member_id, member, &protocol);
        }
        group.subscribed_topics = record::subscribed_topics(&group);
        group
    }

    /// Answers all open requests of members with an error, and forgets all deadlines: the group
    /// goes on as one of another kind.
    pub(super) fn dissolve(&mut self, step: &mut Step<'_>, error: ErrorCode) {
        let member_ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in &member_ids {
            self.answer_join(step, member_id, join_error(member_id, error));
            self.answer_sync(step, member_id, sync_error(error));
        }
        for member_id in member_ids.iter().chain(&self.pending_joins) {
            self.forget_heartbeat(step, member_id);
        }
        step.timers.cancel(&TimerKey::Join { group: self.id.clone() });
        step.timers.cancel(&TimerKey::Sync { group: self.id.clone() });
    }

    /// Writes down the group as it is now.
    pub(super) fn persist(&self, step: &mut Step<'_>) {
        step.effects.records.push(record::classic_group(self));
    }
}

pub(super) fn join_error(member_id: &str, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse {
        member_id: member_id.to_owned(),
        error_code: error.code(),
        ..JoinGroupResponse::default()
    }
}

fn sync_error(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: error.code(), ..SyncGroupResponse::default() }
}

/// How a member appears in records; used when a group is replayed.
#[derive(Debug)]
pub(super) struct RestoredMember {
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) protocols: Vec<JoinGroupRequestProtocol>,
    pub(super) assignment: Bytes,
}

impl From<RestoredMember> for Member {
    fn from(restored: RestoredMember) -> Self {
        let RestoredMember {
            instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms,
            session_timeout_ms,
            protocols,
            assignment,
        } = restored;
        Self {
            instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms,
            session_timeout_ms,
            protocols,
            assignment,
            is_new: false,
            awaiting_join: None,
            awaiting_sync: None,
        }
    }
}
