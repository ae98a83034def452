//! The classic protocol.

use super::World;
use crate::effects::{Effects, Reply, Ticket};
use crate::groups::GroupSettings;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::heartbeat_request::HeartbeatRequest;
use afluente_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use afluente_protocol::messages::join_group_response::JoinGroupResponse;
use afluente_protocol::messages::leave_group_request::MemberIdentity;
use afluente_protocol::messages::sync_group_request::{
    SyncGroupRequest, SyncGroupRequestAssignment,
};
use afluente_protocol::messages::sync_group_response::SyncGroupResponse;
use bytes::Bytes;

const GROUP: &str = "g";

impl World {
    fn start_join(&mut self, member: &str, instance: Option<&str>, metadata: &str) -> Ticket {
        let origin = self.origin(9);
        let ticket = self.ticket();
        let request = JoinGroupRequest {
            group_id: GROUP.to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            member_id: member.to_owned(),
            group_instance_id: instance.map(str::to_owned),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".to_owned(),
                metadata: Bytes::copy_from_slice(metadata.as_bytes()),
            }],
            ..JoinGroupRequest::default()
        };
        let mut effects = Effects::default();
        self.shard.join(&origin, request, ticket, &self.topics, &mut effects);
        self.take(effects);
        ticket
    }

    fn joined(&mut self, ticket: Ticket) -> JoinGroupResponse {
        match self.replies.remove(&ticket) {
            Some(Reply::Join(answer)) => answer,
            other => panic!("no answer to the join, but {other:?}"),
        }
    }

    /// A dynamic newcomer gets its id and joins with it; the join is left open.
    fn start_join_new(&mut self) -> (String, Ticket) {
        let ticket = self.start_join("", None, "m");
        let answer = self.joined(ticket);
        assert_eq!(answer.error_code, ErrorCode::MemberIdRequired.code());
        let ticket = self.start_join(&answer.member_id, None, "m");
        (answer.member_id, ticket)
    }

    fn start_sync(&mut self, member: &str, generation: i32, assign: &[(&str, &str)]) -> Ticket {
        let origin = self.origin(5);
        let ticket = self.ticket();
        let assignments = assign.iter().map(|(member_id, assignment)| SyncGroupRequestAssignment {
            member_id: (*member_id).to_owned(),
            assignment: Bytes::copy_from_slice(assignment.as_bytes()),
        });
        let request = SyncGroupRequest {
            group_id: GROUP.to_owned(),
            generation_id: generation,
            member_id: member.to_owned(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        let mut effects = Effects::default();
        self.shard.sync(&origin, request, ticket, &self.topics, &mut effects);
        self.take(effects);
        ticket
    }

    fn synced(&mut self, ticket: Ticket) -> SyncGroupResponse {
        match self.replies.remove(&ticket) {
            Some(Reply::Sync(answer)) => answer,
            other => panic!("no answer to the sync, but {other:?}"),
        }
    }

    fn beat(&mut self, member: &str, generation: i32) -> Result<(), ErrorCode> {
        let origin = self.origin(4);
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: generation,
            member_id: member.to_owned(),
            ..HeartbeatRequest::default()
        };
        let mut effects = Effects::default();
        let result = self.shard.heartbeat(&origin, &request, &self.topics, &mut effects);
        self.take(effects);
        result
    }

    fn leave(&mut self, member: &str) -> i16 {
        let origin = self.origin(5);
        let member = MemberIdentity { member_id: member.to_owned(), ..MemberIdentity::default() };
        let mut effects = Effects::default();
        let answers =
            self.shard.leave(&origin, GROUP, vec![member], &self.topics, &mut effects).unwrap();
        self.take(effects);
        answers[0].error_code
    }

    pub(super) fn state(&self) -> String {
        self.shard.describe(GROUP, 5).group_state
    }

    /// A stable group of two: ids, the leader first, and the generation.
    fn group_of_two(&mut self) -> (String, String, i32) {
        let (a, join_a) = self.start_join_new();
        let (b, join_b) = self.start_join_new();
        // The second one has put the end of the first delay off.
        self.pass(6_000);
        let (answer_a, answer_b) = (self.joined(join_a), self.joined(join_b));
        let generation = answer_a.generation_id;
        let leader = answer_a.leader.clone();
        assert_eq!(leader, answer_b.leader);
        let follower = if leader == a { b } else { a };
        let waiting = self.start_sync(&follower, generation, &[]);
        assert!(!self.replies.contains_key(&waiting), "a follower waits for the leader");
        let assign = [(leader.as_str(), "first"), (follower.as_str(), "second")];
        let sync = self.start_sync(&leader, generation, &assign);
        assert_eq!(&self.synced(sync).assignment[..], b"first");
        assert_eq!(&self.synced(waiting).assignment[..], b"second");
        assert_eq!(self.state(), "Stable");
        (leader, follower, generation)
    }
}

#[test]
fn two_members_join_within_the_initial_delay_and_share_one_generation() {
    let mut world = World::new();
    let (leader, follower, generation) = world.group_of_two();
    assert_eq!(generation, 1);
    assert_eq!(world.beat(&leader, 1), Ok(()));
    assert_eq!(world.beat(&follower, 1), Ok(()));
    assert_eq!(world.beat(&follower, 2), Err(ErrorCode::IllegalGeneration));
    assert_eq!(world.beat("stranger", 1), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn without_an_initial_delay_the_first_member_is_alone_at_once() {
    let settings =
        GroupSettings { classic_initial_rebalance_delay_ms: 0, ..GroupSettings::default() };
    let mut world = World::with(settings);
    let (member, ticket) = world.start_join_new();
    let answer = world.joined(ticket);
    assert_eq!((answer.leader, answer.members.len()), (member, 1));
}

#[test]
fn a_newcomer_makes_everybody_rejoin() {
    let mut world = World::new();
    let (leader, follower, generation) = world.group_of_two();
    let (_, join_c) = world.start_join_new();
    assert_eq!(world.beat(&leader, generation), Err(ErrorCode::RebalanceInProgress));
    let join_a = world.start_join(&leader, None, "m");
    assert!(!world.replies.contains_key(&join_a));
    let join_b = world.start_join(&follower, None, "m");
    for ticket in [join_a, join_b, join_c] {
        assert_eq!(world.joined(ticket).generation_id, generation + 1);
    }
    assert_eq!(world.state(), "CompletingRebalance");
}

#[test]
fn a_member_that_is_silent_is_taken_out_and_the_rest_rebalances() {
    let mut world = World::new();
    let (leader, follower, generation) = world.group_of_two();
    for _ in 0..3 {
        world.pass(4_000);
        let _ = world.beat(&leader, generation);
    }
    assert_eq!(world.beat(&follower, generation), Err(ErrorCode::UnknownMemberId));
    assert_eq!(world.state(), "PreparingRebalance");
    let rejoin = world.start_join(&leader, None, "m");
    assert_eq!(world.joined(rejoin).members.len(), 1);
}

#[test]
fn a_member_that_does_not_come_back_in_time_is_left_behind() {
    let mut world = World::new();
    let (leader, follower, generation) = world.group_of_two();
    let rejoin = world.start_join(&leader, None, "changed");
    for _ in 0..14 {
        world.pass(4_000);
        let beat = world.beat(&follower, generation);
        assert_eq!(beat, Err(ErrorCode::RebalanceInProgress));
    }
    world.pass(5_000);
    let answer = world.joined(rejoin);
    assert_eq!((answer.generation_id, answer.members.len()), (generation + 1, 1));
}

#[test]
fn the_last_one_to_leave_leaves_an_empty_group() {
    let mut world = World::new();
    let (leader, follower, _) = world.group_of_two();
    assert_eq!(world.leave(&follower), 0);
    assert_eq!(world.leave("stranger"), ErrorCode::UnknownMemberId.code());
    assert_eq!(world.leave(&leader), 0);
    world.pass(60_000);
    assert_eq!(world.state(), "Empty");
    assert_eq!(world.replayed().describe(GROUP, 5).group_state, "Empty");
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let mut world = World::new();
    let join = world.start_join("", Some("i-1"), "m");
    world.pass(3_000);
    let first = world.joined(join);
    let sync = world.start_sync(&first.member_id, 1, &[(&first.member_id, "mine")]);
    world.synced(sync);

    let rejoin = world.start_join("", Some("i-1"), "m");
    let second = world.joined(rejoin);
    assert_ne!(second.member_id, first.member_id);
    assert_eq!((second.generation_id, second.skip_assignment), (1, true));
    assert_eq!(world.state(), "Stable");
    let sync = world.start_sync(&second.member_id, 1, &[]);
    assert_eq!(&world.synced(sync).assignment[..], b"mine");
    let fenced = world.start_join(&first.member_id, Some("i-1"), "m");
    assert_eq!(world.joined(fenced).error_code, ErrorCode::FencedInstanceId.code());
}

#[test]
fn a_restart_finds_the_stable_group_again() {
    let mut world = World::new();
    world.group_of_two();
    let (before, after) = (world.shard.describe(GROUP, 5), world.replayed().describe(GROUP, 5));
    assert_eq!(before, after);
    assert_eq!(world.shard.list(&[], &[]), world.replayed().list(&[], &[]));
}

#[test]
fn bounds_on_size_session_and_names_are_kept() {
    let settings = GroupSettings { classic_max_size: 1, ..GroupSettings::default() };
    let mut world = World::with(settings);
    let (_, first) = world.start_join_new();
    let refused = world.start_join("", None, "m");
    assert_eq!(world.joined(refused).error_code, ErrorCode::GroupMaxSizeReached.code());
    world.pass(3_000);
    assert_eq!(world.joined(first).error_code, 0);

    for (request, error) in [
        (JoinGroupRequest::default(), ErrorCode::InvalidGroupId),
        (
            JoinGroupRequest {
                group_id: "x".to_owned(),
                session_timeout_ms: 5_999,
                ..JoinGroupRequest::default()
            },
            ErrorCode::InvalidSessionTimeout,
        ),
        (
            JoinGroupRequest {
                group_id: "x".to_owned(),
                member_id: "unknown".to_owned(),
                session_timeout_ms: 6_000,
                ..JoinGroupRequest::default()
            },
            ErrorCode::UnknownMemberId,
        ),
        (
            JoinGroupRequest {
                group_id: "x".to_owned(),
                session_timeout_ms: 6_000,
                ..JoinGroupRequest::default()
            },
            ErrorCode::InconsistentGroupProtocol,
        ),
    ] {
        let (origin, ticket) = (world.origin(9), world.ticket());
        let mut effects = Effects::default();
        world.shard.join(&origin, request, ticket, &world.topics, &mut effects);
        world.take(effects);
        assert_eq!(world.joined(ticket).error_code, error.code());
    }
}
