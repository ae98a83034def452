//! Leaving: for good, for a moment (static members), or because the session is over.

use super::heartbeat::{fenced_instance, unknown_member};
use super::{ConsumerGroup, LEAVE_STATIC_EPOCH, Member, Refusal, Step};
use crate::groups::record;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use afluente_protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;

impl ConsumerGroup {
    pub(super) fn leave(
        &mut self,
        step: &mut Step<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let member_id = request.member_id.as_str();
        match request.instance_id.as_deref() {
            None if self.members.contains_key(member_id) => self.fence(step, member_id),
            None => return Err(unknown_member(&self.id, member_id)),
            Some(instance_id) => match self.static_member(instance_id).map(|(id, _)| id.clone()) {
                None => {
                    let message = format!("Instance id {instance_id} is unknown.");
                    return Err((ErrorCode::UnknownMemberId, message));
                }
                Some(id) if id != member_id => {
                    return Err(fenced_instance(member_id, instance_id, &id));
                }
                Some(id) if request.member_epoch == LEAVE_STATIC_EPOCH => self.pause(step, &id),
                Some(id) => self.fence(step, &id),
            },
        }
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(member_id.to_owned()),
            member_epoch: request.member_epoch,
            ..ConsumerGroupHeartbeatResponse::default()
        })
    }

    /// A static member is restarting: its partitions stay with it until its session is over.
    fn pause(&mut self, step: &mut Step<'_>, member_id: &str) {
        let Some(member) = self.members.get(member_id) else { return };
        let paused = Member {
            epoch: LEAVE_STATIC_EPOCH,
            pending_revocation: super::Assignment::new(),
            ..member.clone()
        };
        let record = record::current_assignment(&self.id, member_id, Some(&paused));
        self.emit(step, record);
    }

    /// Takes a member out and has the rest assigned anew.
    pub(in crate::groups) fn fence(&mut self, step: &mut Step<'_>, member_id: &str) {
        if !self.members.contains_key(member_id) {
            return;
        }
        self.cancel_timers(step, member_id);
        for record in [
            record::current_assignment(&self.id, member_id, None),
            record::target_assignment(&self.id, member_id, None),
            record::consumer_member(&self.id, member_id, None),
        ] {
            self.emit(step, record);
        }
        self.resolve_regexes(step);
        let topics_hash = self.hash_of_topics(step.topics);
        self.bump_epoch(step, topics_hash);
    }
}
