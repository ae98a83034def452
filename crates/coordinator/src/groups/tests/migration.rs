//! Groups that go over from one protocol to the other while members read on.

use super::World;
use super::consumer::Client;
use crate::effects::{Effects, Reply};
use crate::groups::consumer::{Assignment, LEAVE_EPOCH};
use crate::groups::migration::MigrationPolicy;
use crate::groups::{Group, GroupSettings, embedded};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::message::Message;
use afluente_protocol::messages::embedded::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, TopicPartition,
};
use afluente_protocol::messages::heartbeat_request::HeartbeatRequest;
use afluente_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use afluente_protocol::messages::leave_group_request::MemberIdentity;
use afluente_protocol::messages::sync_group_request::{
    SyncGroupRequest, SyncGroupRequestAssignment,
};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeSet;

const GROUP: &str = "g";
const TOPIC: &str = "t";

/// A cooperative consumer of the classic protocol: it keeps its partitions while it joins again.
#[derive(Debug, Default)]
struct Classic {
    id: String,
    instance_id: Option<String>,
    generation: i32,
    owned: Assignment,
}

impl World {
    fn subscription(&self, owned: &Assignment) -> Bytes {
        let owned = owned.values().map(|partitions| TopicPartition {
            topic: TOPIC.to_owned(),
            partitions: partitions.iter().copied().collect(),
        });
        let message = ConsumerProtocolSubscription {
            topics: vec![TOPIC.to_owned()],
            owned_partitions: owned.collect(),
            ..ConsumerProtocolSubscription::default()
        };
        let mut bytes = BytesMut::new();
        bytes.put_i16(3);
        bytes.put(message.to_bytes(3).unwrap());
        bytes.freeze()
    }

    /// Joins until there is an answer that says whether it worked.
    fn join_classic(&mut self, member: &mut Classic) -> Result<(), ErrorCode> {
        for _ in 0..2 {
            let (origin, ticket) = (self.origin(9), self.ticket());
            let request = JoinGroupRequest {
                group_id: GROUP.to_owned(),
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: 30_000,
                member_id: member.id.clone(),
                group_instance_id: member.instance_id.clone(),
                protocol_type: "consumer".to_owned(),
                protocols: vec![JoinGroupRequestProtocol {
                    name: "cooperative-sticky".to_owned(),
                    metadata: self.subscription(&member.owned),
                }],
                ..JoinGroupRequest::default()
            };
            let mut effects = Effects::default();
            self.shard.join(&origin, request, ticket, &self.topics, &mut effects);
            self.take(effects);
            if !self.replies.contains_key(&ticket) {
                self.pass(3_000);
            }
            let Some(Reply::Join(answer)) = self.replies.remove(&ticket) else { panic!("no join") };
            member.id.clone_from(&answer.member_id);
            match ErrorCode::from_i16(answer.error_code).unwrap() {
                ErrorCode::MemberIdRequired => {}
                ErrorCode::None => {
                    member.generation = answer.generation_id;
                    return Ok(());
                }
                error => return Err(error),
            }
        }
        panic!("never told its id")
    }

    fn sync_classic(&mut self, member: &mut Classic, lead: &Assignment) -> Result<(), ErrorCode> {
        let (origin, ticket) = (self.origin(5), self.ticket());
        let request = SyncGroupRequest {
            group_id: GROUP.to_owned(),
            generation_id: member.generation,
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("cooperative-sticky".to_owned()),
            assignments: vec![SyncGroupRequestAssignment {
                member_id: member.id.clone(),
                assignment: embedded::encoded_assignment(lead, 3, &self.topics),
            }],
        };
        let mut effects = Effects::default();
        self.shard.sync(&origin, request, ticket, &self.topics, &mut effects);
        self.take(effects);
        let Some(Reply::Sync(answer)) = self.replies.remove(&ticket) else { panic!("no sync") };
        match ErrorCode::from_i16(answer.error_code).unwrap() {
            ErrorCode::None => {
                member.owned = embedded::assignment(answer.assignment, &self.topics).unwrap().0;
                Ok(())
            }
            error => Err(error),
        }
    }

    /// What a client does every few seconds: it says that it lives, and joins again if called to.
    fn live_classic(&mut self, member: &mut Classic) {
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: member.generation,
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
        };
        let origin = self.origin(4);
        let mut effects = Effects::default();
        let result = self.shard.heartbeat(&origin, &request, &self.topics, &mut effects);
        self.take(effects);
        match result {
            Ok(()) => {}
            Err(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => {
                self.join_classic(member).unwrap();
                self.sync_classic(member, &Assignment::new()).unwrap();
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    fn classic_group_of_one(&mut self) -> Classic {
        let topic = self.add_topic(TOPIC, 6);
        let mut member = Classic::default();
        self.join_classic(&mut member).unwrap();
        let all = Assignment::from([(topic, (0..6).collect())]);
        self.sync_classic(&mut member, &all).unwrap();
        assert_eq!(member.owned, all);
        member
    }

    /// Lets both live until the six partitions are shared three to three.
    fn share(&mut self, old: &mut Classic, new: &mut Client) {
        for _ in 0..20 {
            self.beat_as(new).unwrap();
            self.live_classic(old);
            let (a, b) = (pairs(&old.owned), pairs(&new.owned));
            assert!(a.is_disjoint(&b), "two readers of one partition");
        }
        assert_eq!((pairs(&old.owned).len(), pairs(&new.owned).len()), (3, 3));
        assert_eq!(self.group_state(&self.shard), "Stable");
    }

    fn kind(&self) -> &'static str {
        match self.shard.groups.get(GROUP).unwrap() {
            Group::Classic(_) => "classic",
            Group::Consumer(_) => "consumer",
        }
    }
}

fn pairs(assignment: &Assignment) -> BTreeSet<i32> {
    assignment.values().flatten().copied().collect()
}

#[test]
fn a_classic_group_goes_over_with_its_first_consumer_and_back_with_its_last() {
    let mut world = World::new();
    let mut old = world.classic_group_of_one();
    let mut new = Client::new("new", &[TOPIC]);
    world.beat_as(&mut new).unwrap();
    assert_eq!(world.kind(), "consumer");
    assert_eq!(new.count(), 0, "all partitions are still read by the classic member");
    world.share(&mut old, &mut new);

    // A restart finds the group as it was.
    let replayed = world.replayed();
    let described = |shard: &crate::groups::GroupShard| {
        shard.describe_consumer_group(GROUP, &world.topics).unwrap()
    };
    assert_eq!(described(&replayed), described(&world.shard));
    let types: BTreeSet<i8> =
        described(&replayed).members.iter().map(|member| member.member_type).collect();
    assert_eq!(types, BTreeSet::from([0, 1]));

    // The classic one stays behind alone, and leads a classic group again.
    world.leave_as(&new, LEAVE_EPOCH).unwrap();
    assert_eq!(world.kind(), "classic");
    let topic = *old.owned.keys().next().unwrap();
    world.join_classic(&mut old).unwrap();
    let all = Assignment::from([(topic, (0..6).collect())]);
    world.sync_classic(&mut old, &all).unwrap();
    assert_eq!(old.owned, all);
    let replayed = world.replayed();
    assert_eq!(replayed.describe(GROUP, 5), world.shard.describe(GROUP, 5));
    // Nothing of the former protocol is waited for.
    for _ in 0..60 {
        world.pass(3_000);
        world.live_classic(&mut old);
    }
    assert_eq!(old.owned, all);
}

#[test]
fn a_classic_member_joins_a_consumer_group_and_leaves_it() {
    let mut world = World::new();
    world.add_topic(TOPIC, 6);
    let mut new = Client::new("new", &[TOPIC]);
    world.beat_as(&mut new).unwrap();
    let mut old = Classic::default();
    world.join_classic(&mut old).unwrap();
    world.sync_classic(&mut old, &Assignment::new()).unwrap();
    world.share(&mut old, &mut new);

    let origin = world.origin(5);
    let member = MemberIdentity { member_id: old.id.clone(), ..MemberIdentity::default() };
    let mut effects = Effects::default();
    let left = world.shard.leave(&origin, GROUP, vec![member], &world.topics, &mut effects);
    world.take(effects);
    assert_eq!(left.unwrap()[0].error_code, 0);
    world.settle(&mut [&mut new]);
    assert_eq!((new.count(), world.kind()), (6, "consumer"));
}

#[test]
fn a_classic_member_that_does_not_come_back_is_put_out() {
    let mut world = World::new();
    let mut old = world.classic_group_of_one();
    let mut new = Client::new("new", &[TOPIC]);
    for _ in 0..30 {
        world.beat_as(&mut new).unwrap();
        // It lives, but does not join again.
        let origin = world.origin(4);
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: old.generation,
            member_id: old.id.clone(),
            ..HeartbeatRequest::default()
        };
        let mut effects = Effects::default();
        let told = world.shard.heartbeat(&origin, &request, &world.topics, &mut effects);
        world.take(effects);
        world.pass(3_000);
        if told == Err(ErrorCode::UnknownMemberId) {
            break;
        }
        assert_eq!(told, Err(ErrorCode::RebalanceInProgress));
    }
    world.settle(&mut [&mut new]);
    assert_eq!((new.count(), world.kind()), (6, "consumer"));
    old.owned.clear();
    assert_eq!(world.sync_classic(&mut old, &Assignment::new()), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn a_static_classic_member_takes_the_place_of_the_last_consumer() {
    let mut world = World::new();
    world.add_topic(TOPIC, 6);
    let mut new = Client::new("new", &[TOPIC]);
    new.instance_id = Some("one".to_owned());
    world.beat_as(&mut new).unwrap();
    let mut old = Classic { instance_id: Some("one".to_owned()), ..Classic::default() };
    world.join_classic(&mut old).unwrap();
    assert_eq!(world.kind(), "classic");
    world.live_classic(&mut old);
    assert_eq!(world.state(), "Stable");
    assert!(world.beat_as(&mut new).is_err(), "its group is gone");
}

#[test]
fn a_classic_member_is_called_to_join_again_once_there_is_an_assignment_for_it() {
    let mut world = World::with(GroupSettings::default());
    world.add_topic(TOPIC, 6);
    let mut new = Client::new("new", &[TOPIC]);
    world.beat_as(&mut new).unwrap();
    // Within `group.consumer.assignment.interval.ms` of the assignment for the first member.
    let mut old = Classic::default();
    world.join_classic(&mut old).unwrap();
    let described = world.shard.describe_consumer_group(GROUP, &world.topics).unwrap();
    assert!(described.assignment_epoch < described.group_epoch, "no assignment yet");
    world.sync_classic(&mut old, &Assignment::new()).unwrap();
    assert!(old.owned.is_empty());
    world.pass(1_000);
    world.share(&mut old, &mut new);
}

#[test]
fn a_group_that_goes_back_with_an_old_assignment_rebalances() {
    let mut world = World::with(GroupSettings::default());
    world.add_topic(TOPIC, 6);
    world.add_topic("other", 1);
    let mut new = Client::new("new", &["other"]);
    new.instance_id = Some("one".to_owned());
    world.beat_as(&mut new).unwrap();
    // It reads something else, within the interval in which no assignment is computed.
    let mut old = Classic { instance_id: Some("one".to_owned()), ..Classic::default() };
    world.join_classic(&mut old).unwrap();
    assert_eq!((world.kind(), &*world.state()), ("classic", "PreparingRebalance"));
    world.join_classic(&mut old).unwrap();
    world.sync_classic(&mut old, &Assignment::new()).unwrap();
    assert_eq!(world.state(), "Stable");
}

#[test]
fn the_policy_says_which_way_is_open() {
    let with = |policy| {
        let mut world =
            World::with(GroupSettings { consumer_migration: policy, ..GroupSettings::default() });
        world.add_topic(TOPIC, 6);
        world
    };
    for (policy, upgrades, downgrades) in [
        (MigrationPolicy::Disabled, false, false),
        (MigrationPolicy::Upgrade, true, false),
        (MigrationPolicy::Downgrade, false, true),
        (MigrationPolicy::Bidirectional, true, true),
    ] {
        let mut world = with(policy);
        world.classic_group_of_one();
        let upgraded = world.beat_as(&mut Client::new("new", &[TOPIC]));
        let refused = (
            ErrorCode::GroupIdNotFound,
            "Cannot upgrade classic group g to consumer group because online upgrade is disabled."
                .to_owned(),
        );
        assert_eq!(upgraded, if upgrades { Ok(()) } else { Err(refused) }, "{policy:?}");

        let mut world = with(policy);
        let mut new = Client::new("new", &[TOPIC]);
        world.beat_as(&mut new).unwrap();
        let joined = world.join_classic(&mut Classic::default());
        if policy == MigrationPolicy::Disabled {
            assert_eq!(joined, Err(ErrorCode::InconsistentGroupProtocol));
            continue;
        }
        joined.unwrap();
        world.leave_as(&new, LEAVE_EPOCH).unwrap();
        assert_eq!(world.kind(), if downgrades { "classic" } else { "consumer" }, "{policy:?}");
    }
    assert_eq!(MigrationPolicy::by_name("BiDirectional"), Some(MigrationPolicy::Bidirectional));
    assert_eq!(MigrationPolicy::by_name("both"), None);
}
