//! A group of the consumer protocol (KIP-848): one heartbeat, and the coordinator assigns.
//!
//! Three epochs count: the **group epoch** rises when members, subscriptions or topics change; the
//! **target assignment** is computed for a group epoch; each **member epoch** follows the target as
//! soon as the member has given up what it must and the others have released what it gets.
//!
//! ```text
//!   heartbeat ─▶ member record ─▶ group epoch + 1 ─▶ target assignment ─▶ reconcile this member
//!                                                                            │
//!        Stable ◀── all revoked and all released ── UnrevokedPartitions ◀────┤ must revoke
//!                                                   UnreleasedPartitions ◀───┘ must wait for others
//! ```
//!
//! Everything persistent changes through records: a step makes a record, applies it, and hands it
//! out; a restart applies the same records.

pub mod assignor;
mod classic_member;
mod describe;
mod heartbeat;
mod leave;
mod migration;
mod reconcile;
mod regex;
mod replay;
mod target;

pub(super) use classic_member::ClassicMember;
pub(super) use heartbeat::validate;

use super::record::{self, GroupRecord};
use super::{GroupSettings, TimerKey};
use crate::effects::Effects;
use crate::timers::Timers;
use crate::topics::Topics;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::uuid::Uuid;
use std::collections::{BTreeMap, BTreeSet};

/// Sent by a member that leaves.
pub const LEAVE_EPOCH: i32 = -1;
/// Sent by a static member that leaves for a moment and will come back.
pub const LEAVE_STATIC_EPOCH: i32 = -2;

/// Partitions by topic.
pub type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// How far a member has followed its target assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// It has what it is to have.
    Stable,
    /// It was told to give up partitions and has not confirmed it.
    UnrevokedPartitions,
    /// It waits for partitions that others still hold.
    UnreleasedPartitions,
    /// Written by a newer broker, in a state that this one does not know.
    Unknown,
}

impl MemberState {
    pub(super) fn from_code(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }

    pub(super) fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }
}

/// A member of the group.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) state: MemberState,
    pub(super) instance_id: Option<String>,
    pub(super) rack_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) topic_names: BTreeSet<String>,
    pub(super) topic_regex: Option<String>,
    pub(super) assignor: Option<String>,
    pub(super) assigned: Assignment,
    pub(super) pending_revocation: Assignment,
    /// In which epoch each partition of both was given to it. A commit from then on may be late,
    /// but speaks of what the member has read itself.
    pub(super) assignment_epochs: BTreeMap<(Uuid, i32), i32>,
    /// What it said of itself in JoinGroup, if it speaks the classic protocol.
    pub(super) classic: Option<ClassicMember>,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: -1,
            topic_names: BTreeSet::new(),
            topic_regex: None,
            assignor: None,
            assigned: Assignment::new(),
            pending_revocation: Assignment::new(),
            assignment_epochs: BTreeMap::new(),
            classic: None,
        }
    }
}

impl Member {
    fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }
}

/// The topics that a regular expression matched when it was last resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ResolvedRegex {
    pub(super) topics: BTreeSet<String>,
    pub(super) resolved_at_ms: i64,
}

/// Versions of [`Topics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SeenTopics {
    /// The last that was held against `topics_hash`.
    pub(super) hashed: Option<u64>,
    /// The last that expressions were held against.
    pub(super) resolved: Option<u64>,
}

/// A consumer group.
#[derive(Debug)]
pub struct ConsumerGroup {
    pub(super) id: String,
    pub(super) group_epoch: i32,
    /// The group epoch for which the target assignment was computed.
    pub(super) target_epoch: i32,
    /// When that was, in milliseconds since the Unix epoch; 0 if never.
    pub(super) target_computed_at_ms: i64,
    /// Identifies the topics that the target assignment was computed from.
    pub(super) topics_hash: i64,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) target: BTreeMap<String, Assignment>,
    pub(super) resolved_regexes: BTreeMap<String, ResolvedRegex>,
    /// Which topics the group has taken notice of; not known after a restart.
    pub(super) seen: SeenTopics,
    /// Partition → epoch of the member that holds it, or is giving it up.
    partition_epochs: BTreeMap<(Uuid, i32), i32>,
}

/// The epoch of a group that has not done anything yet, and of its target assignment: a member
/// that subscribes to nothing joins it as it stands, and the first change makes it 2.
const INITIAL_EPOCH: i32 = 1;

/// An error with the words that the answer carries.
pub type Refusal = (ErrorCode, String);

/// What a step of a group may use and change besides the group itself.
pub(super) struct Step<'a> {
    pub(super) now_ms: i64,
    pub(super) settings: &'a GroupSettings,
    pub(super) topics: &'a dyn Topics,
    pub(super) timers: &'a mut Timers<TimerKey>,
    pub(super) effects: &'a mut Effects,
}

impl ConsumerGroup {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            group_epoch: INITIAL_EPOCH,
            target_epoch: INITIAL_EPOCH,
            target_computed_at_ms: 0,
            topics_hash: 0,
            members: BTreeMap::new(),
            target: BTreeMap::new(),
            resolved_regexes: BTreeMap::new(),
            seen: SeenTopics::default(),
            partition_epochs: BTreeMap::new(),
        }
    }

    /// The state that Kafka's tools show.
    pub(super) fn state_name(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.group_epoch > self.target_epoch {
            "Assigning"
        } else if self.members.values().all(|m| m.is_reconciled_to(self.target_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// Whether a member reads `topic`.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| {
            member.topic_names.contains(topic)
                || self.resolved(member).is_some_and(|topics| topics.contains(topic))
        })
    }

    /// Checks who may commit offsets to this group, and of which partitions: a member of the
    /// present epoch, of all; one that has not heard of it yet, of what was its own in the epoch
    /// that it knows and still is.
    ///
    /// # Errors
    /// The code to answer with.
    pub(super) fn validate_offset_commit(
        &self,
        member_id: &str,
        epoch: i32,
        is_transactional: bool,
        mut partitions: impl Iterator<Item = (Option<Uuid>, i32)>,
    ) -> Result<(), ErrorCode> {
        let is_outsider = self.members.is_empty() || (is_transactional && member_id.is_empty());
        if epoch < 0 && is_outsider {
            return Ok(());
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        let is_stale = |(topic_id, partition): (Option<Uuid>, i32)| {
            let given_in =
                topic_id.and_then(|id| member.assignment_epochs.get(&(id, partition)).copied());
            given_in.is_none_or(|given_in| epoch < given_in)
        };
        if epoch == member.epoch || (epoch < member.epoch && !partitions.any(is_stale)) {
            Ok(())
        } else if is_transactional || member.classic.is_some() {
            Err(ErrorCode::IllegalGeneration)
        } else {
            Err(ErrorCode::StaleMemberEpoch)
        }
    }

    /// Whether that member speaks the classic protocol.
    pub(super) fn is_classic_member(&self, member_id: &str) -> bool {
        self.members.get(member_id).is_some_and(|member| member.classic.is_some())
    }

    /// Checks who may ask for offsets: everybody who claims to be no member, and current members.
    ///
    /// # Errors
    /// The code to answer with.
    pub(super) fn validate_offset_fetch(
        &self,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        if member_id.is_none() && epoch < 0 {
            return Ok(());
        }
        let member_id = member_id.unwrap_or_default();
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if member.epoch == epoch {
            Ok(())
        } else if member.classic.is_some() {
            Err(ErrorCode::IllegalGeneration)
        } else {
            Err(ErrorCode::StaleMemberEpoch)
        }
    }

    /// Records that make a restart forget the group.
    pub(super) fn tombstones(&self) -> Vec<GroupRecord> {
        let members = self.members.keys();
        let mut records: Vec<GroupRecord> = Vec::new();
        records.extend(members.clone().map(|m| record::current_assignment(&self.id, m, None)));
        records.extend(members.clone().map(|m| record::target_assignment(&self.id, m, None)));
        records.push(record::target_epoch(&self.id, None));
        records.extend(members.map(|m| record::consumer_member(&self.id, m, None)));
        let regexes = self.resolved_regexes.keys();
        records.extend(regexes.map(|regex| record::regex(&self.id, regex, None)));
        records.push(record::group_epoch(&self.id, None));
        records
    }

    fn resolved(&self, member: &Member) -> Option<&BTreeSet<String>> {
        Some(&self.resolved_regexes.get(member.topic_regex.as_ref()?)?.topics)
    }

    fn static_member(&self, instance_id: &str) -> Option<(&String, &Member)> {
        self.members.iter().find(|(_, m)| m.instance_id.as_deref() == Some(instance_id))
    }

    /// Starts the session of a member anew: it has given a sign of life.
    pub(super) fn renew_session(&self, step: &mut Step<'_>, member_id: &str) {
        let key = TimerKey::Session { group: self.id.clone(), member: member_id.to_owned() };
        let timeout_ms = match self.members.get(member_id).and_then(|m| m.classic.as_ref()) {
            Some(classic) => classic.session_timeout_ms,
            None => step.settings.consumer_session_timeout_ms(&self.id),
        };
        step.timers.schedule(key, step.now_ms + i64::from(timeout_ms));
    }

    fn cancel_timers(&self, step: &mut Step<'_>, member_id: &str) {
        let names = || (self.id.clone(), member_id.to_owned());
        let ((group, member), timers) = (names(), &mut *step.timers);
        timers.cancel(&TimerKey::Session { group, member });
        let (group, member) = names();
        timers.cancel(&TimerKey::Revocation { group, member });
        let (group, member) = names();
        timers.cancel(&TimerKey::Rejoin { group, member });
        let (group, member) = names();
        timers.cancel(&TimerKey::Resync { group, member });
    }

    /// Makes a change: to memory now, and to the log with the records of this step.
    fn emit(&mut self, step: &mut Step<'_>, record: GroupRecord) {
        self.apply(&record);
        step.effects.records.push(record);
    }
}
