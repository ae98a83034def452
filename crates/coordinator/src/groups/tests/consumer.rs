//! The consumer protocol (KIP-848).

use super::World;
use crate::effects::Effects;
use crate::groups::consumer::{Assignment, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, Refusal};
use crate::groups::{Group, GroupOverrides, GroupSettings, GroupShard};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use afluente_protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use std::collections::{BTreeMap, BTreeSet};

const GROUP: &str = "g";

/// A member as a client would be: it takes what it is given and says what it has.
#[derive(Debug, Clone)]
pub(super) struct Client {
    id: String,
    pub(super) instance_id: Option<String>,
    topics: Vec<String>,
    epoch: i32,
    pub(super) owned: Assignment,
}

impl Client {
    pub(super) fn new(id: &str, topics: &[&str]) -> Self {
        Self {
            id: id.to_owned(),
            instance_id: None,
            topics: topics.iter().map(|t| (*t).to_owned()).collect(),
            epoch: 0,
            owned: Assignment::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.owned.values().map(BTreeSet::len).sum()
    }
}

impl World {
    fn consumer_beat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let origin = self.origin(1);
        let mut effects = Effects::default();
        let result = self.shard.consumer_heartbeat(&origin, request, &self.topics, &mut effects);
        if result.is_err() {
            assert_eq!(effects.records, [], "a refused heartbeat has changed something");
        }
        self.take(effects);
        result
    }

    pub(super) fn beat_as(&mut self, client: &mut Client) -> Result<(), Refusal> {
        let is_joining = client.epoch == 0;
        let owned = client.owned.iter().map(|(topic_id, partitions)| TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.iter().copied().collect(),
        });
        let answer = self.consumer_beat(&ConsumerGroupHeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: client.id.clone(),
            member_epoch: client.epoch,
            instance_id: client.instance_id.clone(),
            rebalance_timeout_ms: if is_joining { 60_000 } else { -1 },
            subscribed_topic_names: is_joining.then(|| client.topics.clone()),
            topic_partitions: Some(if is_joining { Vec::new() } else { owned.collect() }),
            ..ConsumerGroupHeartbeatRequest::default()
        })?;
        client.epoch = answer.member_epoch;
        if let Some(assignment) = answer.assignment {
            client.owned = assignment
                .topic_partitions
                .into_iter()
                .map(|t| (t.topic_id, t.partitions.into_iter().collect()))
                .collect();
        }
        Ok(())
    }

    /// Beats until nothing moves any more.
    pub(super) fn settle(&mut self, clients: &mut [&mut Client]) {
        for _ in 0..20 {
            for turn in 0..clients.len() {
                self.beat_as(clients[turn]).unwrap();
                let owned = clients.iter().flat_map(|c| &c.owned);
                let pairs = owned.flat_map(|(t, ps)| ps.iter().map(move |p| (*t, *p)));
                let mut seen = BTreeSet::new();
                assert!(pairs.into_iter().all(|pair| seen.insert(pair)), "two readers of one");
            }
        }
        assert_eq!(self.group_state(&self.shard), "Stable");
    }

    pub(super) fn group_state(&self, shard: &GroupShard) -> String {
        shard.describe_consumer_group(GROUP, &self.topics).unwrap().group_state
    }

    pub(super) fn leave_as(&mut self, client: &Client, epoch: i32) -> Result<(), Refusal> {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: client.id.clone(),
            member_epoch: epoch,
            instance_id: client.instance_id.clone(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        self.consumer_beat(&request).map(|_| ())
    }
}

#[test]
fn members_share_the_partitions_and_nobody_reads_what_another_still_holds() {
    let mut world = World::new();
    world.add_topic("t", 6);
    let (mut a, mut b, mut c) =
        (Client::new("a", &["t"]), Client::new("b", &["t"]), Client::new("c", &["t"]));
    world.beat_as(&mut a).unwrap();
    assert_eq!((a.epoch, a.count()), (2, 6), "alone, it has everything at once");
    world.beat_as(&mut b).unwrap();
    assert_eq!(b.count(), 0, "nothing was released yet");
    world.settle(&mut [&mut a, &mut b]);
    assert_eq!((a.count(), b.count()), (3, 3));
    world.settle(&mut [&mut a, &mut b, &mut c]);
    assert_eq!((a.count(), b.count(), c.count()), (2, 2, 2));
    world.leave_as(&b, LEAVE_EPOCH).unwrap();
    world.settle(&mut [&mut a, &mut c]);
    assert_eq!((a.count(), c.count()), (3, 3));
}

#[test]
fn a_new_partition_and_a_matching_topic_are_found_by_the_next_heartbeat() {
    let mut world = World::new();
    world.add_topic("t", 1);
    let mut a = Client::new("a", &["t", "later"]);
    world.beat_as(&mut a).unwrap();
    assert_eq!(a.count(), 1);
    world.add_topic("t", 3);
    world.add_topic("later", 2);
    world.settle(&mut [&mut a]);
    assert_eq!(a.count(), 5);
}

#[test]
fn a_silent_member_loses_its_partitions() {
    let mut world = World::new();
    world.add_topic("t", 2);
    let (mut a, mut b) = (Client::new("a", &["t"]), Client::new("b", &["t"]));
    world.settle(&mut [&mut a]);
    world.settle(&mut [&mut a, &mut b]);
    for _ in 0..12 {
        world.pass(4_000);
        world.beat_as(&mut a).unwrap();
    }
    world.settle(&mut [&mut a]);
    assert_eq!(a.count(), 2);
    let refusal = world.beat_as(&mut b).unwrap_err();
    assert_eq!(refusal.0, ErrorCode::UnknownMemberId);
}

#[test]
fn a_member_that_does_not_give_up_its_partitions_in_time_is_fenced() {
    let mut world = World::new();
    world.add_topic("t", 2);
    let (mut a, mut b) = (Client::new("a", &["t"]), Client::new("b", &["t"]));
    world.settle(&mut [&mut a]);
    world.beat_as(&mut b).unwrap();
    let stubborn = a.owned.clone();
    for _ in 0..16 {
        world.pass(4_000);
        let _ = world.beat_as(&mut a);
        a.owned = stubborn.clone();
        world.beat_as(&mut b).unwrap();
    }
    world.settle(&mut [&mut b]);
    assert_eq!(b.count(), 2);
}

#[test]
fn a_static_member_that_restarts_keeps_its_partitions() {
    let mut world = World::new();
    world.add_topic("t", 4);
    let mut a = Client { instance_id: Some("i".to_owned()), ..Client::new("a", &["t"]) };
    let mut b = Client::new("b", &["t"]);
    world.settle(&mut [&mut a]);
    world.settle(&mut [&mut a, &mut b]);
    let mut heir = Client { instance_id: Some("i".to_owned()), ..Client::new("a-again", &["t"]) };
    let early = world.beat_as(&mut heir).unwrap_err();
    assert_eq!(early.0, ErrorCode::UnreleasedInstanceId);
    world.leave_as(&a, LEAVE_STATIC_EPOCH).unwrap();
    world.beat_as(&mut b).unwrap();
    assert_eq!(b.count(), 2, "its partitions wait for it");
    world.settle(&mut [&mut heir, &mut b]);
    assert_eq!(heir.owned, a.owned);
    assert_eq!(world.beat_as(&mut a).unwrap_err().0, ErrorCode::FencedInstanceId);
}

#[test]
fn regular_expressions_follow_the_topics() {
    let mut world = World::new();
    world.add_topic("orders-1", 1);
    world.add_topic("other", 1);
    let request = |epoch: i32, regex: &str| ConsumerGroupHeartbeatRequest {
        group_id: GROUP.to_owned(),
        member_id: "a".to_owned(),
        member_epoch: epoch,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_regex: Some(regex.to_owned()),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let bad = world.consumer_beat(&request(0, "(")).unwrap_err();
    assert_eq!(bad.0, ErrorCode::InvalidRegularExpression);
    // The topics are looked up behind the first answer.
    let answer = world.consumer_beat(&request(0, "orders-.*")).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment.unwrap().topic_partitions.len()), (1, 0));
    let answer = world.consumer_beat(&request(1, "orders-.*")).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment.unwrap().topic_partitions.len()), (2, 1));
    // A topic that comes later is found by one heartbeat, and read from the next one on.
    world.add_topic("orders-2", 1);
    let answer = world.consumer_beat(&request(2, "orders-.*")).unwrap();
    assert_eq!(answer.member_epoch, 2);
    let answer = world.consumer_beat(&request(2, "orders-.*")).unwrap();
    assert_eq!((answer.member_epoch, answer.assignment.unwrap().topic_partitions.len()), (3, 2));
    assert!(world.shard.validate_offset_delete(GROUP, "other").is_ok());
    assert_eq!(
        world.shard.validate_offset_delete(GROUP, "orders-1"),
        Err(ErrorCode::GroupSubscribedToTopic)
    );
    // One that has an expression no more reads nothing of it at once.
    let names = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec!["other".to_owned()]),
        subscribed_topic_regex: Some(String::new()),
        ..request(3, "")
    };
    let answer = world.consumer_beat(&names).unwrap();
    let topics = answer.assignment.unwrap().topic_partitions;
    assert_eq!(topics.len(), 1);
    let answer = world.consumer_beat(&request(4, "orders-.*")).unwrap();
    assert_eq!(answer.member_epoch, 4);
}

#[test]
fn a_group_that_reads_nothing_stays_in_the_epoch_that_it_begins_with() {
    let mut world = World::new();
    let mut a = Client::new("a", &[]);
    world.beat_as(&mut a).unwrap();
    assert_eq!((a.epoch, world.group_state(&world.shard)), (1, "Stable".to_owned()));
    let mut b = Client::new("b", &["not there yet"]);
    world.beat_as(&mut b).unwrap();
    assert_eq!(b.epoch, 2);
}

#[test]
fn changes_that_follow_one_another_wait_for_one_assignment() {
    let interval_ms = 1_000;
    let mut world = World::with(GroupSettings {
        consumer_assignment_interval_ms: interval_ms,
        ..GroupSettings::default()
    });
    world.add_topic("t", 4);
    let (mut a, mut b) = (Client::new("a", &["t"]), Client::new("b", &["t"]));
    world.beat_as(&mut a).unwrap();
    assert_eq!((a.epoch, a.count()), (2, 4), "the first one does not wait");
    world.beat_as(&mut b).unwrap();
    world.beat_as(&mut a).unwrap();
    assert_eq!((b.epoch, b.count(), a.count()), (2, 0, 4));
    assert_eq!(world.group_state(&world.shard), "Assigning");
    world.pass(i64::from(interval_ms));
    world.settle(&mut [&mut a, &mut b]);
    assert_eq!((a.epoch, b.epoch, a.count(), b.count()), (3, 3, 2, 2));
    // A group's own interval counts before the broker's.
    let mut settings = world.shard.settings.clone();
    let own = GroupOverrides { consumer_assignment_interval_ms: Some(0), ..Default::default() };
    settings.overrides.insert(GROUP.to_owned(), own);
    world.shard.set_settings(settings);
    world.leave_as(&b, LEAVE_EPOCH).unwrap();
    world.beat_as(&mut a).unwrap();
    assert_eq!((a.epoch, a.count()), (4, 4));
}

#[test]
fn a_late_commit_is_taken_for_what_the_member_has_kept_since() {
    let mut world = World::new();
    let id = world.add_topic("t", 4);
    let (mut a, mut b) = (Client::new("a", &["t"]), Client::new("b", &["t"]));
    world.settle(&mut [&mut a]);
    let early = a.epoch;
    world.settle(&mut [&mut a, &mut b]);
    assert!(early < a.epoch);
    let kept = *a.owned[&id].first().unwrap();
    let lost = *b.owned[&id].first().unwrap();
    let commit = |epoch, partition| {
        let Some(Group::Consumer(group)) = world.shard.groups.get(GROUP) else { panic!() };
        group.validate_offset_commit("a", epoch, false, std::iter::once((Some(id), partition)))
    };
    assert_eq!(commit(early, kept), Ok(()));
    assert_eq!(commit(early, lost), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(commit(a.epoch, lost), Ok(()), "it is up to date, and may commit what it likes");
    assert_eq!(commit(early - 1, kept), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(commit(a.epoch + 1, kept), Err(ErrorCode::StaleMemberEpoch));
}

#[test]
fn requests_that_make_no_sense_are_refused_with_words() {
    let mut world = World::new();
    let joining = ConsumerGroupHeartbeatRequest {
        group_id: GROUP.to_owned(),
        member_id: "a".to_owned(),
        rebalance_timeout_ms: 1,
        subscribed_topic_names: Some(Vec::new()),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    type Spoil = fn(&mut ConsumerGroupHeartbeatRequest);
    let cases: [(Spoil, ErrorCode); 8] = [
        (|r| r.group_id.clear(), ErrorCode::InvalidRequest),
        (|r| r.member_id.clear(), ErrorCode::InvalidRequest),
        (|r| r.instance_id = Some(String::new()), ErrorCode::InvalidRequest),
        (|r| r.rebalance_timeout_ms = -1, ErrorCode::InvalidRequest),
        (|r| r.topic_partitions = None, ErrorCode::InvalidRequest),
        (|r| r.subscribed_topic_names = None, ErrorCode::InvalidRequest),
        (|r| r.server_assignor = Some("mine".to_owned()), ErrorCode::UnsupportedAssignor),
        (|r| r.member_epoch = 3, ErrorCode::GroupIdNotFound),
    ];
    for (spoil, expected) in cases {
        let mut request = joining.clone();
        spoil(&mut request);
        let (error, words) = world.consumer_beat(&request).unwrap_err();
        assert_eq!(error, expected);
        assert!(!words.is_empty());
    }
}

/// Random lives of members: after each step a restart would find the same group, no partition has
/// two holders, and when all keep beating the group settles with every partition read.
#[test]
fn random_lives_agree_with_their_log_and_settle() {
    for seed in 0..200_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = move |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let mut world = World::new();
        world.add_topic("t", 5);
        world.add_topic("u", 3);
        let mut clients: BTreeMap<u64, Client> = BTreeMap::new();
        for _ in 0..60 {
            let who = next(4);
            match next(10) {
                0 => {
                    if let Some(client) = clients.remove(&who) {
                        let _ = world.leave_as(&client, LEAVE_EPOCH);
                    }
                }
                1 => world.pass(i64::try_from(next(50_000)).unwrap()),
                _ => {
                    let topics: &[&str] = if who % 2 == 0 { &["t"] } else { &["t", "u"] };
                    let client = clients
                        .entry(who)
                        .or_insert_with(|| Client::new(&format!("m{who}"), topics));
                    if world.beat_as(client).is_err() {
                        client.epoch = 0;
                        client.owned.clear();
                    }
                }
            }
            let mut replayed = world.replayed();
            match (world.shard.groups.get(GROUP), replayed.groups.get_mut(GROUP)) {
                (Some(Group::Consumer(live)), Some(Group::Consumer(again))) => {
                    // Found out anew.
                    again.seen = live.seen;
                    assert_eq!(format!("{live:?}"), format!("{again:?}"), "seed {seed}");
                }
                (None, None) => {}
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        for _ in 0..20 {
            for client in clients.values_mut() {
                if world.beat_as(client).is_err() {
                    client.epoch = 0;
                    client.owned.clear();
                }
            }
        }
        let read: usize = clients.values().map(Client::count).sum();
        let expected = match (clients.is_empty(), clients.keys().any(|who| who % 2 == 1)) {
            (true, _) => 0,
            (false, false) => 5,
            (false, true) => 8,
        };
        // Members that left the map without leaving the group hold on until their session ends.
        world.pass(0);
        assert!(read <= expected, "seed {seed}");
        for _ in 0..20 {
            world.pass(4_000);
            for client in clients.values_mut() {
                let _ = world.beat_as(client);
            }
        }
        let read: usize = clients.values().map(Client::count).sum();
        assert_eq!(read, expected, "seed {seed}");
    }
}
