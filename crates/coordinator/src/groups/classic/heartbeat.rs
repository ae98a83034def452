//! Heartbeat, and what happens when it stays away.

use super::{ClassicGroup, State, Step, join_error};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::heartbeat_request::HeartbeatRequest;

impl ClassicGroup {
    /// Takes in a Heartbeat.
    ///
    /// # Errors
    /// What the member has to do: `REBALANCE_IN_PROGRESS` means join again.
    pub(in crate::groups) fn heartbeat(
        &mut self,
        step: &mut Step<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state {
            State::Empty => Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => {
                self.renew_session(step, &request.member_id);
                Err(ErrorCode::RebalanceInProgress)
            }
            State::CompletingRebalance | State::Stable => {
                self.renew_session(step, &request.member_id);
                Ok(())
            }
        }
    }

    /// A member's session is over.
    pub(in crate::groups) fn session_over(&mut self, step: &mut Step<'_>, member_id: &str) {
        if self.pending_joins.remove(member_id) {
            return self.complete_join_without(step);
        }
        let Some(member) = self.members.get(member_id) else { return };
        // Who waits for us cannot send heartbeats on that connection; its session starts again
        // with our answer. A new member does not know its id yet and cannot come back for it.
        let waits_for_us = member.awaiting_join.is_some() || member.awaiting_sync.is_some();
        if !member.is_new && waits_for_us {
            return;
        }
        self.answer_join(step, member_id, join_error("", ErrorCode::UnknownMemberId));
        self.remove(member_id);
        match self.state {
            State::CompletingRebalance | State::Stable => self.prepare_rebalance(step),
            State::PreparingRebalance | State::Empty => self.complete_join_without(step),
        }
    }

    /// Ends the gathering if it waited only for a member whose session is over.
    fn complete_join_without(&mut self, step: &mut Step<'_>) {
        if self.state == State::PreparingRebalance && self.have_all_members_joined() {
            self.complete_join(step);
        }
    }
}
