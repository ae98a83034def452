//! One round of joining, from giving up to taking on.

use super::super::super::assignor::{Assignment, Assignor, RebalanceProtocol, Subscription};
use super::super::super::error::ConsumerError;
use super::super::heartbeats::Beating;
use super::super::topics::{self, Subscribed};
use super::super::{Event, Partitions};
use super::{Member, Missed};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::metadata::TopicsAsked;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use afluente_protocol::messages::join_group_response::JoinGroupResponse;
use afluente_protocol::messages::sync_group_request::{
    SyncGroupRequest, SyncGroupRequestAssignment,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How much longer than the rebalance timeout an answer to JoinGroup is waited for, as in Kafka.
const JOIN_GRACE: Duration = Duration::from_secs(5);

impl Member {
    /// Gives up, joins, syncs and takes on.
    pub(super) async fn join(&mut self, subscribed: &Subscribed) -> Result<(), Missed> {
        let shared = Arc::clone(&self.shared);
        let deadline = shared.attempt_deadline();
        let metadata = shared.client.fresh_metadata(&subscribed.asked(), deadline).await;
        let metadata = metadata.map_err(|error| self.missed(error))?;
        let topics = subscribed.topics(&shared, &metadata);
        if let Some(refusal) = topics::refusal(&topics, &metadata) {
            return Err(Missed::Refused(refusal.into()));
        }
        self.give_up_before(&topics).await;
        // What is owned is part of what the member says, so the heartbeats stop only here.
        self.heartbeats.send_for(None);
        shared.group.set_joining(true);
        let joined = self.join_group(&topics).await?;
        let protocol = joined.protocol_name.clone().unwrap_or_default();
        let assignor = shared.config.assignors.iter().find(|a| a.name() == protocol).cloned();
        let Some(assignor) = assignor else {
            return Err(Missed::Refused(self.refusal(ErrorCode::InconsistentGroupProtocol)));
        };
        self.is_leader = joined.leader == joined.member_id;
        self.assigned_shape = Some((topics.clone(), topics::shape(&topics, &metadata)));
        let assignments = match self.is_leader && !joined.skip_assignment {
            true => self.assign(&*assignor, &joined).await?,
            false => Vec::new(),
        };
        let assignment = self.sync_group(&protocol, assignments).await?;
        self.take_on(&*assignor, assignment, &topics).await
    }

    /// Before joining: everything, or what is not subscribed to any more.
    async fn give_up_before(&mut self, topics: &BTreeSet<String>) {
        let given_up: Partitions = match self.protocol {
            RebalanceProtocol::Eager => self.owned.clone(),
            RebalanceProtocol::Cooperative => {
                let is_gone = |topic: &str| !topics.contains(topic);
                self.owned.iter().filter(|owned| is_gone(&owned.topic)).cloned().collect()
            }
        };
        if given_up.is_empty() {
            return;
        }
        self.hand(Event::Revoke(given_up.clone())).await;
        self.owned.retain(|owned| !given_up.contains(owned));
    }

    async fn join_group(&mut self, topics: &BTreeSet<String>) -> Result<JoinGroupResponse, Missed> {
        let shared = Arc::clone(&self.shared);
        let owned: Vec<_> = self.owned.iter().cloned().collect();
        let protocols = shared.config.assignors.iter().map(|assignor| {
            let subscription = Subscription {
                topics: topics.iter().cloned().collect(),
                user_data: assignor.user_data(topics),
                owned_partitions: owned.clone(),
                generation_id: (self.generation_id >= 0).then_some(self.generation_id),
                rack_id: shared.config.rack.clone(),
                instance_id: None,
            };
            JoinGroupRequestProtocol {
                name: assignor.name().to_owned(),
                metadata: subscription.encode(),
            }
        });
        let milliseconds =
            |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        let request = JoinGroupRequest {
            group_id: self.group_id.clone(),
            session_timeout_ms: milliseconds(shared.config.session_timeout),
            rebalance_timeout_ms: milliseconds(shared.config.max_poll_interval),
            member_id: self.member_id.clone(),
            group_instance_id: shared.config.group_instance_id.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: protocols.collect(),
            reason: None,
        };
        let timeout = shared.config.max_poll_interval + JOIN_GRACE;
        let timeout = timeout.max(shared.client.config().request_timeout);
        let deadline = Deadline::after(&shared.client.env().clock, timeout);
        let sent = async {
            let connection = shared.client.connection(&self.target, deadline).await?;
            let version = connection.version_of(ApiKey::JoinGroup)?;
            connection.submit(&request, version, timeout).await?.await
        };
        let joined = sent.await.map_err(|error| self.missed(error))?;
        if joined.error_code == ErrorCode::MemberIdRequired as i16 {
            // The coordinator has reserved an id; with it the member really joins (KIP-394).
            self.member_id = joined.member_id;
            return Err(Missed::Again);
        }
        Error::check(joined.error_code, None, || format!("group {}", self.group_id))
            .map_err(|error| self.missed(error))?;
        self.member_id.clone_from(&joined.member_id);
        self.generation_id = joined.generation_id;
        shared.group.set_member(&self.member_id, self.generation_id);
        tracing::debug!(
            group = self.group_id,
            member = self.member_id,
            generation = self.generation_id,
            "joined"
        );
        Ok(joined)
    }

    /// As the leader: what each member gets.
    async fn assign(
        &mut self,
        assignor: &dyn Assignor,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, Missed> {
        let shared = Arc::clone(&self.shared);
        let failed = |group: &str, problem: String| {
            Missed::Refused(ConsumerError::AssignorFailed {
                group: group.to_owned(),
                assignor: assignor.name().to_owned(),
                problem,
            })
        };
        let mut members = BTreeMap::new();
        for member in &joined.members {
            let read = Subscription::decode(member.metadata.clone()).map_err(|error| {
                failed(&self.group_id, format!("member {}: {error}", member.member_id))
            })?;
            let instance_id = member.group_instance_id.clone();
            members.insert(member.member_id.clone(), Subscription { instance_id, ..read });
        }
        let mut topics: BTreeSet<String> =
            members.values().flat_map(|member| member.topics.iter().cloned()).collect();
        topics.extend(assignor.more_topics());
        let asked = TopicsAsked::Named(topics.clone());
        let deadline = shared.attempt_deadline();
        // Partitions may have been added since this was last asked.
        let metadata = shared.client.refresh(&asked, deadline).await;
        let metadata = metadata.map_err(|error| self.missed(error))?;
        let shape = topics::shape(&topics, &metadata);
        let assignments = assignor
            .assign(&metadata, &members)
            .map_err(|problem| failed(&self.group_id, problem))?;
        self.assigned_shape = Some((topics, shape));
        tracing::debug!(group = self.group_id, members = members.len(), "assigned");
        Ok(assignments
            .into_iter()
            .map(|(member_id, assignment)| SyncGroupRequestAssignment {
                member_id,
                assignment: assignment.encode(),
            })
            .collect())
    }

    async fn sync_group(
        &mut self,
        protocol: &str,
        assignments: Vec<SyncGroupRequestAssignment>,
    ) -> Result<Assignment, Missed> {
        let shared = Arc::clone(&self.shared);
        let request = SyncGroupRequest {
            group_id: self.group_id.clone(),
            generation_id: self.generation_id,
            member_id: self.member_id.clone(),
            group_instance_id: shared.config.group_instance_id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some(protocol.to_owned()),
            assignments,
        };
        // The others have until the rebalance timeout, too.
        let timeout = shared.config.max_poll_interval + JOIN_GRACE;
        let deadline = Deadline::after(&shared.client.env().clock, timeout);
        let sent = async {
            let connection = shared.client.connection(&self.target, deadline).await?;
            let version = connection.version_of(ApiKey::SyncGroup)?;
            connection.submit(&request, version, timeout).await?.await
        };
        let synced = sent.await.map_err(|error| self.missed(error))?;
        Error::check(synced.error_code, None, || format!("group {}", self.group_id))
            .map_err(|error| self.missed(error))?;
        Assignment::decode(synced.assignment).map_err(|problem| {
            Missed::Refused(ConsumerError::AssignorFailed {
                group: self.group_id.clone(),
                assignor: protocol.to_owned(),
                problem: problem.to_string(),
            })
        })
    }

    /// The poll takes on what is new; with the cooperative protocol, it first gives up what is not
    /// in the assignment, and then the member joins again.
    async fn take_on(
        &mut self,
        assignor: &dyn Assignor,
        assignment: Assignment,
        topics: &BTreeSet<String>,
    ) -> Result<(), Missed> {
        let shared = Arc::clone(&self.shared);
        let beating =
            Beating { member_id: self.member_id.clone(), generation_id: self.generation_id };
        self.heartbeats.send_for(Some(beating));
        shared.group.set_joining(false);
        assignor.on_assignment(&assignment, &shared.group.metadata());
        let assigned: Partitions = assignment
            .partitions
            .into_iter()
            .filter(|partition| topics.contains(&*partition.topic))
            .collect();
        let revoked: Partitions = self.owned.difference(&assigned).cloned().collect();
        let added: Partitions = assigned.difference(&self.owned).cloned().collect();
        if !revoked.is_empty() {
            self.hand(Event::Revoke(revoked.clone())).await;
            self.owned.retain(|owned| !revoked.contains(owned));
        }
        let stays = assigned.clone();
        self.owned = assigned;
        self.hand(Event::Assign { all: stays, added }).await;
        if revoked.is_empty() { Ok(()) } else { Err(Missed::Again) }
    }

    /// What follows from an error of a request.
    pub(super) fn missed(&mut self, error: Error) -> Missed {
        self.shared.client.noticed(&self.target, &error);
        match error.error_code() {
            Some(ErrorCode::RebalanceInProgress) => Missed::Again,
            Some(code @ (ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration)) => {
                Missed::Lost(code)
            }
            _ if error.may_pass() => {
                tracing::debug!(group = self.group_id, %error, "could not join");
                Missed::Later
            }
            _ => Missed::Refused(error.into()),
        }
    }
}
