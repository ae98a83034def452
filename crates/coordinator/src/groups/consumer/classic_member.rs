//! Members that speak the classic protocol, in a consumer group (KIP-848, online migration).
//!
//! Their JoinGroup, SyncGroup and Heartbeat say what a ConsumerGroupHeartbeat would, and are
//! answered from the same assignment. Nobody leads such a generation, which is the member's epoch:
//! a member joins, is told its epoch, and fetches its partitions. What a consumer is told with its
//! heartbeat, a classic member is told by being called to join again.

use super::{Assignment, ConsumerGroup, Member, MemberState, Step};
use crate::groups::classic::{CONSUMER_PROTOCOL_TYPE, join};
use crate::groups::{RequestOrigin, TimerKey, embedded};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_offsets::consumer_group_member_metadata_value::ClassicMemberMetadata;
use afluente_protocol::messages::heartbeat_request::HeartbeatRequest;
use afluente_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use afluente_protocol::messages::join_group_response::JoinGroupResponse;
use afluente_protocol::messages::leave_group_request::MemberIdentity;
use afluente_protocol::messages::sync_group_request::SyncGroupRequest;
use afluente_protocol::messages::sync_group_response::SyncGroupResponse;
use bytes::Bytes;

/// What a classic member said of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ClassicMember {
    pub(in crate::groups) session_timeout_ms: i32,
    /// In the member's order of preference.
    pub(in crate::groups) protocols: Vec<JoinGroupRequestProtocol>,
}

impl From<&ClassicMemberMetadata> for ClassicMember {
    fn from(value: &ClassicMemberMetadata) -> Self {
        let protocols = value.supported_protocols.iter();
        Self {
            session_timeout_ms: value.session_timeout_ms,
            protocols: protocols
                .map(|p| JoinGroupRequestProtocol {
                    name: p.name.clone(),
                    metadata: p.metadata.clone(),
                })
                .collect(),
        }
    }
}

impl ClassicMember {
    /// The protocol that the member is told to follow: it likes it best, and here it is free to.
    fn protocol_name(&self) -> Option<String> {
        Some(self.protocols.first()?.name.clone())
    }

    /// The version in which it reads assignments.
    fn version(&self) -> i16 {
        let metadata = self.protocols.first().map(|p| p.metadata.clone()).unwrap_or_default();
        embedded::subscription(metadata).map_or(0, |(version, _)| version)
    }
}

/// How a join went.
pub(in crate::groups) struct ClassicJoin {
    pub(in crate::groups) answer: JoinGroupResponse,
    /// It took the place of a member that speaks the consumer protocol.
    pub(in crate::groups) has_replaced_consumer: bool,
    /// The assignment that the members follow is older than what they subscribe to.
    pub(in crate::groups) is_target_stale: bool,
}

impl ConsumerGroup {
    /// Takes in a JoinGroup.
    ///
    /// # Errors
    /// The code to answer with, and the member id to answer it to: none but where the member has to
    /// come back with it.
    pub(in crate::groups) fn join_classic(
        &mut self,
        step: &mut Step<'_>,
        origin: &RequestOrigin,
        request: JoinGroupRequest,
    ) -> Result<ClassicJoin, (String, ErrorCode)> {
        let member_id = match request.member_id.as_str() {
            "" => origin.fresh_uuid.to_string(),
            id => id.to_owned(),
        };
        let refused = |code| (String::new(), code);
        self.refuse_if_full(step, &member_id).map_err(|(code, _)| refused(code))?;
        if !self.speaks(&request.protocol_type, &request.protocols) {
            return Err(refused(ErrorCode::InconsistentGroupProtocol));
        }
        if join::must_know_its_id(&request, origin.api_version) {
            return Err((member_id, ErrorCode::MemberIdRequired));
        }
        let offered = request.protocols.first().map(|p| p.metadata.clone()).unwrap_or_default();
        let (_, subscription) = embedded::subscription(offered)
            .ok_or_else(|| refused(ErrorCode::InconsistentGroupProtocol))?;

        let (known, has_replaced_consumer) =
            self.joining(step, &request, &member_id).map_err(refused)?;
        let owned = embedded::owned_partitions(&subscription, step.topics);
        let updated = Member {
            instance_id: request.group_instance_id.or(known.instance_id.clone()),
            rack_id: subscription.rack_id.or(known.rack_id.clone()),
            client_id: origin.client_id.clone(),
            client_host: origin.client_host.clone(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            topic_names: subscription.topics.into_iter().collect(),
            topic_regex: None,
            classic: Some(ClassicMember {
                session_timeout_ms: request.session_timeout_ms,
                protocols: request.protocols,
            }),
            ..known.clone()
        };
        let target_epoch_before = self.target_epoch;
        let reconciled = self
            .update(step, &member_id, &known, &updated, Some(&owned))
            .map_err(|(code, _)| refused(code))?;
        step.timers.cancel(&self.rejoin_key(&member_id));
        let deadline_ms = step.now_ms + i64::from(request.rebalance_timeout_ms);
        step.timers.schedule(self.resync_key(&member_id), deadline_ms);
        let answer = JoinGroupResponse {
            generation_id: reconciled.epoch,
            protocol_type: Some(CONSUMER_PROTOCOL_TYPE.to_owned()),
            protocol_name: reconciled.classic.as_ref().and_then(ClassicMember::protocol_name),
            member_id,
            ..JoinGroupResponse::default()
        };
        let is_target_stale = target_epoch_before < self.group_epoch;
        Ok(ClassicJoin { answer, has_replaced_consumer, is_target_stale })
    }

    /// The member that joins as it was, if it was; and whether it takes over the place of one that
    /// speaks the consumer protocol.
    fn joining(
        &mut self,
        step: &mut Step<'_>,
        request: &JoinGroupRequest,
        member_id: &str,
    ) -> Result<(Member, bool), ErrorCode> {
        let Some(instance_id) = request.group_instance_id.as_deref() else {
            return Ok((self.members.get(member_id).cloned().unwrap_or_default(), false));
        };
        let existing = self.static_member(instance_id).map(|(id, m)| (id.clone(), m.clone()));
        match existing {
            Some((id, member)) if id == member_id => Ok((member, false)),
            Some((id, member)) if request.member_id.is_empty() => {
                let spoke_consumer = member.classic.is_none();
                Ok((self.replace_static_member(step, &id, member_id, member), spoke_consumer))
            }
            Some(_) => Err(ErrorCode::FencedInstanceId),
            None if request.member_id.is_empty() => Ok((Member::default(), false)),
            None => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// Whether a member with these protocols can be in this group: of one of them all classic
    /// members must have heard.
    fn speaks(&self, protocol_type: &str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        let classic = || self.members.values().filter_map(|m| m.classic.as_ref());
        protocol_type == CONSUMER_PROTOCOL_TYPE
            && protocols.iter().any(|offered| {
                classic().all(|member| member.protocols.iter().any(|p| p.name == offered.name))
            })
    }

    /// Takes in a SyncGroup of a classic member.
    ///
    /// # Errors
    /// `REBALANCE_IN_PROGRESS` if it has to join again; that it is no member, or speaks of another
    /// generation or protocol.
    pub(in crate::groups) fn sync_classic(
        &self,
        step: &mut Step<'_>,
        request: &SyncGroupRequest,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let member_id = &request.member_id;
        let (member, classic) =
            self.classic_member(member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != member.epoch {
            return Err(ErrorCode::IllegalGeneration);
        }
        let other_type =
            request.protocol_type.as_deref().is_some_and(|t| t != CONSUMER_PROTOCOL_TYPE);
        let other_name =
            request.protocol_name.is_some() && request.protocol_name != classic.protocol_name();
        if other_type || other_name {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        // Before there is a new assignment, joining again would bring nothing. Who is giving up
        // partitions has joined for that already, and will be called again.
        if self.target_epoch > member.epoch && member.state != MemberState::UnrevokedPartitions {
            self.expect_rejoin(step, member_id, member);
            return Err(ErrorCode::RebalanceInProgress);
        }
        step.timers.cancel(&self.resync_key(member_id));
        self.renew_session(step, member_id);
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment: self.encoded(&member.assigned, classic, step),
            ..SyncGroupResponse::default()
        })
    }

    fn encoded(&self, assigned: &Assignment, classic: &ClassicMember, step: &Step<'_>) -> Bytes {
        embedded::encoded_assignment(assigned, classic.version(), step.topics)
    }

    /// Takes in a Heartbeat of a classic member.
    ///
    /// # Errors
    /// `REBALANCE_IN_PROGRESS` if it has to join again; that it is no member, or of another
    /// generation.
    pub(in crate::groups) fn heartbeat_classic(
        &self,
        step: &mut Step<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(), ErrorCode> {
        let member_id = &request.member_id;
        let (member, _) = self.classic_member(member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != member.epoch {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.renew_session(step, member_id);
        let must_rejoin = member.epoch < self.target_epoch
            || match member.state {
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !self.waits_for_others(member_id, member),
                MemberState::Stable | MemberState::Unknown => false,
            };
        if must_rejoin {
            self.expect_rejoin(step, member_id, member);
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether a partition that the member is to have is still with another.
    fn waits_for_others(&self, member_id: &str, member: &Member) -> bool {
        let Some(target) = self.target.get(member_id) else { return false };
        super::reconcile::difference(target, &member.assigned).iter().any(|(topic, partitions)| {
            partitions.iter().any(|p| self.partition_epochs.contains_key(&(*topic, *p)))
        })
    }

    /// The member that a LeaveGroup means.
    ///
    /// # Errors
    /// There is none, or another process has taken over its instance id.
    pub(in crate::groups) fn leaving_by_identity(
        &self,
        identity: &MemberIdentity,
    ) -> Result<String, ErrorCode> {
        let member_id = &identity.member_id;
        match identity.group_instance_id.as_deref() {
            None if self.members.contains_key(member_id) => Ok(member_id.clone()),
            None => Err(ErrorCode::UnknownMemberId),
            Some(instance_id) => match self.static_member(instance_id) {
                None => Err(ErrorCode::UnknownMemberId),
                // An administrator knows the instance id only.
                Some((id, _)) if member_id.is_empty() || id == member_id => Ok(id.clone()),
                Some(_) => Err(ErrorCode::FencedInstanceId),
            },
        }
    }

    fn classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(&Member, &ClassicMember), ErrorCode> {
        if let Some(instance_id) = instance_id {
            let (id, _) = self.static_member(instance_id).ok_or(ErrorCode::UnknownMemberId)?;
            if id != member_id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        Ok((member, member.classic.as_ref().ok_or(ErrorCode::UnknownMemberId)?))
    }

    /// A member that was called to join again has its rebalance timeout to do so.
    fn expect_rejoin(&self, step: &mut Step<'_>, member_id: &str, member: &Member) {
        let deadline_ms = step.now_ms + i64::from(member.rebalance_timeout_ms);
        step.timers.schedule_if_absent(self.rejoin_key(member_id), deadline_ms);
    }

    fn rejoin_key(&self, member_id: &str) -> TimerKey {
        TimerKey::Rejoin { group: self.id.clone(), member: member_id.to_owned() }
    }

    fn resync_key(&self, member_id: &str) -> TimerKey {
        TimerKey::Resync { group: self.id.clone(), member: member_id.to_owned() }
    }
}
