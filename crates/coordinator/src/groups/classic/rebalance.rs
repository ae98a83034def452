//! The rebalance: gathering the members, and the step into the next generation.

use super::{ClassicGroup, InitialRebalance, State, Step, sync_error};
use crate::groups::TimerKey;
use crate::groups::record;
use afluente_protocol::error_code::ErrorCode;
use bytes::Bytes;
use std::collections::BTreeMap;

impl ClassicGroup {
    /// Starts a rebalance, or, if one is gathering members already, ends it when all are there.
    pub(super) fn rebalance_or_complete(&mut self, step: &mut Step<'_>) {
        match self.state {
            State::Empty | State::CompletingRebalance | State::Stable => {
                self.prepare_rebalance(step);
            }
            State::PreparingRebalance => self.complete_join_if_ready(step),
        }
    }

    /// Ends the gathering if every member is there and it is not the first of an empty group.
    pub(super) fn complete_join_if_ready(&mut self, step: &mut Step<'_>) {
        if self.state == State::PreparingRebalance
            && self.initial_rebalance.is_none()
            && self.have_all_members_joined()
        {
            self.complete_join(step);
        }
    }

    /// Calls all members to join again.
    pub(in crate::groups) fn prepare_rebalance(&mut self, step: &mut Step<'_>) {
        if self.state == State::CompletingRebalance {
            for member in self.members.values_mut() {
                member.assignment = Bytes::new();
            }
            self.answer_syncs_with_error(step, ErrorCode::RebalanceInProgress);
        }
        self.pending_syncs.clear();
        step.timers.cancel(&TimerKey::Sync { group: self.id.clone() });

        let was_empty = self.state == State::Empty;
        self.enter(State::PreparingRebalance, step.now_ms);
        if was_empty {
            // Members of a new group tend to start together: wait for the others a little.
            let delay_ms = step.settings.classic_initial_rebalance_delay_ms;
            let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
            self.initial_rebalance =
                Some(InitialRebalance { member_added: false, delay_ms, remaining_ms });
            self.schedule_join(step, delay_ms);
            if delay_ms <= 0 {
                self.initial_delay_over(step);
            }
        } else if self.have_all_members_joined() {
            self.complete_join(step);
        } else {
            self.schedule_join(step, self.rebalance_timeout_ms());
        }
    }

    /// The time to join is up.
    pub(in crate::groups) fn join_time_over(&mut self, step: &mut Step<'_>) {
        if self.state != State::PreparingRebalance {
            return;
        }
        if self.initial_rebalance.is_some() {
            self.initial_delay_over(step);
        } else {
            self.complete_join(step);
        }
    }

    /// The delay of a first rebalance is over; it is extended as long as members keep coming, up to
    /// the rebalance timeout.
    fn initial_delay_over(&mut self, step: &mut Step<'_>) {
        match self.initial_rebalance {
            Some(initial) if initial.member_added && initial.remaining_ms > 0 => {
                let delay_ms =
                    step.settings.classic_initial_rebalance_delay_ms.min(initial.remaining_ms);
                let remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
                self.initial_rebalance =
                    Some(InitialRebalance { member_added: false, delay_ms, remaining_ms });
                self.schedule_join(step, delay_ms);
            }
            _ => self.complete_join(step),
        }
    }

    fn schedule_join(&self, step: &mut Step<'_>, delay_ms: i32) {
        let key = TimerKey::Join { group: self.id.clone() };
        step.timers.schedule(key, step.now_ms + i64::from(delay_ms));
    }

    /// Goes on to the next generation with those who are there.
    pub(super) fn complete_join(&mut self, step: &mut Step<'_>) {
        step.timers.cancel(&TimerKey::Join { group: self.id.clone() });
        self.initial_rebalance = None;
        let absent: Vec<String> = self
            .members
            .iter()
            .filter(|(_, m)| m.awaiting_join.is_none() && m.instance_id.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for member_id in &absent {
            self.forget_heartbeat(step, member_id);
            self.remove(member_id);
        }

        if self.members.is_empty() {
            self.next_generation(step);
            self.persist(step);
        } else if self.elect_joined_leader() {
            self.next_generation(step);
            self.tell_generation(step);
        } else {
            // Only static members are left and none has come back: wait for their sessions to end.
            self.schedule_join(step, self.rebalance_timeout_ms());
        }
    }

    fn next_generation(&mut self, step: &Step<'_>) {
        self.generation += 1;
        self.pending_syncs.clear();
        if self.members.is_empty() {
            self.protocol_name = None;
            self.enter(State::Empty, step.now_ms);
        } else {
            self.protocol_name = self.select_protocol();
            self.enter(State::CompletingRebalance, step.now_ms);
        }
        self.subscribed_topics = record::subscribed_topics(self);
    }

    fn tell_generation(&mut self, step: &mut Step<'_>) {
        let member_ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let answer = self.generation_for(&member_id, self.is_leader(&member_id));
            self.answer_join(step, &member_id, answer);
            self.renew_session(step, &member_id);
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
            }
            self.pending_syncs.insert(member_id);
        }
        let key = TimerKey::Sync { group: self.id.clone() };
        step.timers.schedule(key, step.now_ms + i64::from(self.rebalance_timeout_ms()));
    }

    /// Makes sure that the leader is among those who joined. `false` if nobody did.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |member_id: &String| {
            self.members.get(member_id).is_some_and(|m| m.awaiting_join.is_some())
        };
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        let Some(elected) = self.members.keys().find(|id| joined(id)).cloned() else {
            return false;
        };
        self.leader = Some(elected);
        true
    }

    /// The protocol of the next generation: one that every member speaks, the one that most of them
    /// like best; among equals the first by name.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let spoken_by_all =
            |name: &str| self.members.values().all(|m| m.protocols.iter().any(|p| p.name == name));
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(choice) = member.protocols.iter().find(|p| spoken_by_all(&p.name)) {
                *votes.entry(&choice.name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }

    /// Members that joined did not ask for their assignment in time: go on without them.
    pub(in crate::groups) fn sync_time_over(&mut self, step: &mut Step<'_>) {
        let waiting = matches!(self.state, State::CompletingRebalance | State::Stable);
        if !waiting || self.pending_syncs.is_empty() {
            return;
        }
        for member_id in std::mem::take(&mut self.pending_syncs) {
            self.forget_heartbeat(step, &member_id);
            self.remove(&member_id);
        }
        self.prepare_rebalance(step);
    }

    fn answer_syncs_with_error(&mut self, step: &mut Step<'_>, error: ErrorCode) {
        let member_ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            if self.answer_sync(step, &member_id, sync_error(error)) {
                self.renew_session(step, &member_id);
            }
        }
    }
}
