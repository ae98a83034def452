//! Leaving: for good, for a moment (static members), or because the session is over.

use super::heartbeat::{fenced_instance, unknown_member};
use super::reconcile::holding;
use super::{ConsumerGroup, LEAVE_STATIC_EPOCH, Member, Refusal, Step};
use crate::groups::record;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use std::collections::BTreeSet;

impl ConsumerGroup {
    /// The member that a heartbeat says is leaving.
    ///
    /// # Errors
    /// It is none, or another process has taken over its instance id.
    pub(in crate::groups) fn leaving(
        &self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<String, Refusal> {
        let member_id = request.member_id.as_str();
        let Some(instance_id) = request.instance_id.as_deref() else {
            return match self.members.get(member_id) {
                Some(_) => Ok(member_id.to_owned()),
                None => Err(unknown_member(&self.id, member_id)),
            };
        };
        match self.static_member(instance_id) {
            None => {
                let message = format!("Instance id {instance_id} is unknown.");
                Err((ErrorCode::UnknownMemberId, message))
            }
            Some((id, _)) if id != member_id => Err(fenced_instance(member_id, instance_id, id)),
            Some((id, _)) => Ok(id.clone()),
        }
    }

    /// A static member is restarting: its partitions stay with it until its session is over.
    pub(in crate::groups) fn pause(&mut self, step: &mut Step<'_>, member_id: &str) {
        let Some(member) = self.members.get(member_id) else { return };
        let paused = holding(member.clone(), member.assigned.clone(), super::Assignment::new());
        let paused = Member { epoch: LEAVE_STATIC_EPOCH, ..paused };
        let record = record::current_assignment(&self.id, member_id, Some(&paused));
        self.emit(step, record);
    }

    /// Takes members out and has the rest assigned anew.
    pub(in crate::groups) fn fence(&mut self, step: &mut Step<'_>, leaving: &BTreeSet<String>) {
        let mut has_changed = false;
        for member_id in leaving {
            if !self.members.contains_key(member_id) {
                continue;
            }
            has_changed = true;
            self.cancel_timers(step, member_id);
            for record in [
                record::current_assignment(&self.id, member_id, None),
                record::target_assignment(&self.id, member_id, None),
                record::consumer_member(&self.id, member_id, None),
            ] {
                self.emit(step, record);
            }
        }
        if has_changed {
            self.drop_unused_regexes(step);
            let topics_hash = self.hash_of_topics(step.topics);
            self.bump_epoch(step, topics_hash);
        }
    }
}
