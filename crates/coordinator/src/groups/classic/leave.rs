//! LeaveGroup, by the members themselves or by an administrator (KIP-345).

use super::{ClassicGroup, State, Step, join_error, sync_error};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::leave_group_request::MemberIdentity;
use afluente_protocol::messages::leave_group_response::MemberResponse;

impl ClassicGroup {
    /// Takes members out, and says for each how that went.
    pub(in crate::groups) fn leave(
        &mut self,
        step: &mut Step<'_>,
        members: Vec<MemberIdentity>,
    ) -> Vec<MemberResponse> {
        let mut has_changed = false;
        let responses = members
            .into_iter()
            .map(|member| {
                let result = self.leave_one(step, &member);
                has_changed |= result.is_ok();
                MemberResponse {
                    member_id: member.member_id,
                    group_instance_id: member.group_instance_id,
                    error_code: result.err().unwrap_or(ErrorCode::None).code(),
                }
            })
            .collect();
        if has_changed {
            match self.state {
                State::CompletingRebalance | State::Stable => self.prepare_rebalance(step),
                State::PreparingRebalance => self.complete_join_if_ready(step),
                State::Empty => {}
            }
        }
        responses
    }

    fn leave_one(&mut self, step: &mut Step<'_>, member: &MemberIdentity) -> Result<(), ErrorCode> {
        let instance_id = member.group_instance_id.as_deref();
        let member_id = if member.member_id.is_empty() {
            // An administrator knows the instance id only.
            instance_id
                .and_then(|id| self.static_members.get(id))
                .cloned()
                .ok_or(ErrorCode::UnknownMemberId)?
        } else if self.pending_joins.contains(&member.member_id) {
            member.member_id.clone()
        } else {
            self.validate_member(&member.member_id, instance_id)?;
            member.member_id.clone()
        };
        self.forget_heartbeat(step, &member_id);
        self.answer_join(step, &member_id, join_error("", ErrorCode::UnknownMemberId));
        self.answer_sync(step, &member_id, sync_error(ErrorCode::UnknownMemberId));
        self.remove(&member_id);
        Ok(())
    }
}
