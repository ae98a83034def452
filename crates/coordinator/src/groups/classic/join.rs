//! JoinGroup: who is in, and whether that starts a rebalance.

use super::{ClassicGroup, Member, RestoredMember, State, Step, join_error, sync_error};
use crate::effects::{Reply, Ticket};
use crate::groups::RequestOrigin;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use afluente_protocol::uuid::Uuid;

/// From this version on, a dynamic member is first given an id and joins again with it (KIP-394).
const KNOWN_MEMBER_ID_REQUIRED_SINCE: i16 = 4;
/// From this version on, a static leader that comes back can be told to keep the assignment.
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

impl ClassicGroup {
    /// Takes in a JoinGroup; its answer goes to `ticket`, now or when the rebalance is through.
    pub(in crate::groups) fn join(
        &mut self,
        step: &mut Step<'_>,
        origin: &RequestOrigin,
        request: JoinGroupRequest,
        ticket: Ticket,
    ) {
        if !self.has_room_for(step, &request.member_id) {
            self.remove(&request.member_id);
            reply(step, ticket, "", ErrorCode::GroupMaxSizeReached);
        } else if !self.speaks(&request.protocol_type, &request.protocols) {
            reply(step, ticket, &request.member_id, ErrorCode::InconsistentGroupProtocol);
        } else if request.member_id.is_empty() {
            self.join_newcomer(step, origin, request, ticket);
        } else {
            self.join_known(step, origin, request, ticket);
        }
    }

    fn join_newcomer(
        &mut self,
        step: &mut Step<'_>,
        origin: &RequestOrigin,
        request: JoinGroupRequest,
        ticket: Ticket,
    ) {
        let prefix = request.group_instance_id.as_deref().unwrap_or(&origin.client_id);
        let member_id = format!("{prefix}-{}", hyphenated(origin.fresh_uuid));
        let replaced =
            request.group_instance_id.as_ref().and_then(|id| self.static_members.get(id)).cloned();
        if let Some(old_member_id) = replaced {
            self.replace_static_member(step, origin, request, &old_member_id, member_id, ticket);
        } else if must_know_its_id(&request, origin.api_version) {
            self.pending_joins.insert(member_id.clone());
            self.expect_heartbeat(step, &member_id, request.session_timeout_ms);
            reply(step, ticket, &member_id, ErrorCode::MemberIdRequired);
        } else {
            self.add_member(step, origin, request, member_id, ticket);
        }
    }

    fn join_known(
        &mut self,
        step: &mut Step<'_>,
        origin: &RequestOrigin,
        request: JoinGroupRequest,
        ticket: Ticket,
    ) {
        let member_id = request.member_id.clone();
        if self.pending_joins.contains(&member_id) {
            if request.group_instance_id.is_some() {
                // Ids are handed out beforehand to dynamic members only.
                return reply(step, ticket, &member_id, ErrorCode::UnknownMemberId);
            }
            return self.add_member(step, origin, request, member_id, ticket);
        }
        if let Err(error) = self.validate_member(&member_id, request.group_instance_id.as_deref()) {
            return reply(step, ticket, &member_id, error);
        }
        let unchanged =
            self.members.get(&member_id).is_some_and(|m| m.protocols == request.protocols);
        match self.state {
            State::PreparingRebalance => self.update_member(step, request, ticket),
            // It may have missed the answer to its first join: tell it again.
            State::CompletingRebalance if unchanged => {
                let answer = self.generation_for(&member_id, self.is_leader(&member_id));
                step.effects.replies.push((ticket, Reply::Join(answer)));
            }
            // A leader that joins again asks for a rebalance: what it assigns has changed, though
            // no member has.
            State::Stable if unchanged && !self.is_leader(&member_id) => {
                let answer = self.generation_for(&member_id, false);
                step.effects.replies.push((ticket, Reply::Join(answer)));
            }
            State::CompletingRebalance | State::Stable => self.update_member(step, request, ticket),
            State::Empty => reply(step, ticket, &member_id, ErrorCode::UnknownMemberId),
        }
    }

    /// Whether another joining member fits under `group.max.size`.
    fn has_room_for(&self, step: &Step<'_>, member_id: &str) -> bool {
        let max = usize::try_from(step.settings.classic_max_size).unwrap_or(usize::MAX);
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            // Those who wait count, not those who are registered: the group may be larger than a
            // limit that was lowered, and then the last to rejoin are turned away.
            State::PreparingRebalance => {
                member.is_some_and(|m| m.awaiting_join.is_some())
                    || self.awaiting_join_count() < max
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < max
            }
        }
    }

    /// Whether a member with these protocols can be in this group.
    fn speaks(&self, protocol_type: &str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|offered| {
                self.members.values().all(|m| m.protocols.iter().any(|p| p.name == offered.name))
            })
    }

    fn add_member(
        &mut self,
        step: &mut Step<'_>,
        origin: &RequestOrigin,
        request: JoinGroupRequest,
        member_id: String,
        ticket: Ticket,
    ) {
        if let Some(initial) = &mut self.initial_rebalance {
            initial.member_added = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type);
        }
        let member = Member {
            is_new: true,
            awaiting_join: Some(ticket),
            ..Member::from(RestoredMember {
                instance_id: request.group_instance_id,
                client_id: origin.client_id.clone(),
                client_host: origin.client_host.clone(),
                rebalance_timeout_ms: request.rebalance_timeout_ms,
                session_timeout_ms: request.session_timeout_ms,
                protocols: request.protocols,
                assignment: Default::default(),
            })
        };
        self.leader.get_or_insert_with(|| member_id.clone());
        self.pending_joins.remove(&member_id);
        self.restore_member(member_id.clone(), member);
        // It cannot send heartbeats before it knows its id, and a client that gave up waiting
        // comes back as another newcomer: so the join itself expires.
        self.expect_heartbeat(step, &member_id, step.settings.classic_new_member_join_timeout_ms);
        self.rebalance_or_complete(step);
    }

    fn update_member(&mut self, step: &mut Step<'_>, request: JoinGroupRequest, ticket: Ticket) {
        self.refresh_member(step, request, ticket);
        self.rebalance_or_complete(step);
    }

    fn refresh_member(&mut self, step: &mut Step<'_>, request: JoinGroupRequest, ticket: Ticket) {
        let member_id = request.member_id;
        // A client that joins again has given up on its earlier request.
        self.answer_join(step, &member_id, join_error(&member_id, ErrorCode::UnknownMemberId));
        if let Some(member) = self.members.get_mut(&member_id) {
            member.protocols = request.protocols;
            member.rebalance_timeout_ms = request.rebalance_timeout_ms;
            member.session_timeout_ms = request.session_timeout_ms;
            member.awaiting_join = Some(ticket);
        }
    }

    /// Another process joins under an instance id that is taken: it is the same member come back
    /// (KIP-345), and the one before it is fenced.
    fn replace_static_member(
        &mut self,
        step: &mut Step<'_>,
        origin: &RequestOrigin,
        request: JoinGroupRequest,
        old_member_id: &str,
        new_member_id: String,
        ticket: Ticket,
    ) {
        self.answer_join(
            step,
            old_member_id,
            join_error(old_member_id, ErrorCode::FencedInstanceId),
        );
        self.answer_sync(step, old_member_id, sync_error(ErrorCode::FencedInstanceId));
        self.forget_heartbeat(step, old_member_id);
        self.pending_syncs.remove(old_member_id);
        let previous_leader = self.leader.clone();
        let Some(member) = self.members.remove(old_member_id) else {
            return reply(step, ticket, "", ErrorCode::UnknownMemberId);
        };
        self.restore_member(new_member_id.clone(), member);
        if self.is_leader(old_member_id) {
            self.leader = Some(new_member_id.clone());
        }
        self.renew_session(step, &new_member_id);
        let request = JoinGroupRequest { member_id: new_member_id.clone(), ..request };
        self.refresh_member(step, request, ticket);

        match self.state {
            // Nothing that the others depend on has changed: no rebalance, only the new name.
            State::Stable if self.select_protocol() == self.protocol_name => {
                self.persist(step);
                let mut answer = if origin.api_version >= SKIP_ASSIGNMENT_SINCE {
                    let leads = self.is_leader(&new_member_id);
                    let mut answer = self.generation_for(&new_member_id, leads);
                    answer.skip_assignment = leads;
                    answer
                } else {
                    // An old client would assign if it were told that it leads.
                    let mut answer = self.generation_for(&new_member_id, false);
                    answer.leader = previous_leader.unwrap_or_default();
                    answer
                };
                answer.error_code = ErrorCode::None.code();
                self.answer_join(step, &new_member_id, answer);
            }
            State::Stable => self.rebalance_or_complete(step),
            // The leader may be assigning to the old name at this moment.
            State::CompletingRebalance => self.prepare_rebalance(step),
            State::PreparingRebalance | State::Empty => self.complete_join_if_ready(step),
        }
    }
}

/// Whether a newcomer is only given an id for now.
pub(in crate::groups) fn must_know_its_id(request: &JoinGroupRequest, api_version: i16) -> bool {
    request.member_id.is_empty()
        && request.group_instance_id.is_none()
        && api_version >= KNOWN_MEMBER_ID_REQUIRED_SINCE
}

fn reply(step: &mut Step<'_>, ticket: Ticket, member_id: &str, error: ErrorCode) {
    step.effects.replies.push((ticket, Reply::Join(join_error(member_id, error))));
}

/// The usual text form of a UUID, which Kafka's member ids end in.
fn hyphenated(uuid: Uuid) -> String {
    let hex: String = uuid.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
