//! SyncGroup: the leader brings the assignment, everybody takes theirs.

use super::{ClassicGroup, State, Step, sync_error};
use crate::effects::{Reply, Ticket};
use crate::groups::TimerKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::sync_group_request::SyncGroupRequest;
use afluente_protocol::messages::sync_group_response::SyncGroupResponse;
use bytes::Bytes;
use std::collections::BTreeMap;

impl ClassicGroup {
    /// Takes in a SyncGroup; its answer goes to `ticket`, at the latest when the leader has synced.
    pub(in crate::groups) fn sync(
        &mut self,
        step: &mut Step<'_>,
        request: SyncGroupRequest,
        ticket: Ticket,
    ) {
        if let Err(error) = self.validate_sync(&request) {
            return step.effects.replies.push((ticket, Reply::Sync(sync_error(error))));
        }
        let member_id = request.member_id;
        self.pending_syncs.remove(&member_id);
        if self.pending_syncs.is_empty() {
            step.timers.cancel(&TimerKey::Sync { group: self.id.clone() });
        }
        if self.state == State::Stable {
            let answer = self.assignment_of(&member_id);
            return step.effects.replies.push((ticket, Reply::Sync(answer)));
        }
        // A client that syncs again has given up on its earlier request.
        self.answer_sync(step, &member_id, sync_error(ErrorCode::RebalanceInProgress));
        if let Some(member) = self.members.get_mut(&member_id) {
            member.awaiting_sync = Some(ticket);
        }
        if self.is_leader(&member_id) {
            let assignments = request.assignments.into_iter();
            self.assign(step, assignments.map(|a| (a.member_id, a.assignment)).collect());
        }
    }

    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if disagree(&request.protocol_type, &self.protocol_type)
            || disagree(&request.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            State::Empty => Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// Gives each member what the leader chose for it; whom it left out gets nothing.
    fn assign(&mut self, step: &mut Step<'_>, mut assignments: BTreeMap<String, Bytes>) {
        for (member_id, member) in &mut self.members {
            member.assignment = assignments.remove(member_id).unwrap_or_default();
        }
        // The record carries no state: a group with members is replayed as stable.
        self.persist(step);
        self.enter(State::Stable, step.now_ms);
        let member_ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let answer = self.assignment_of(&member_id);
            if self.answer_sync(step, &member_id, answer) {
                self.renew_session(step, &member_id);
            }
        }
    }

    fn assignment_of(&self, member_id: &str) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: self
                .members
                .get(member_id)
                .map(|m| m.assignment.clone())
                .unwrap_or_default(),
            ..SyncGroupResponse::default()
        }
    }
}

/// Whether both are known and differ: old clients leave them out.
fn disagree(requested: &Option<String>, current: &Option<String>) -> bool {
    matches!((requested, current), (Some(requested), Some(current)) if requested != current)
}
