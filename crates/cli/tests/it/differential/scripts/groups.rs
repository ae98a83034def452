//! Classic groups, with one member at a time, so that nothing waits for another.

use super::super::Both;
use super::{Dice, make_topics};
use afluente_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use afluente_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use afluente_protocol::messages::describe_transactions_request::DescribeTransactionsRequest;
use afluente_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use afluente_protocol::messages::heartbeat_request::HeartbeatRequest;
use afluente_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use afluente_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use afluente_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use afluente_protocol::messages::list_groups_request::ListGroupsRequest;
use afluente_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use afluente_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use afluente_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use afluente_protocol::messages::sync_group_request::{
    SyncGroupRequest, SyncGroupRequestAssignment,
};
use bytes::Bytes;

const LOOKS_MAX: usize = 400;

pub(crate) fn script(both: &mut Both, dice: &mut Dice) {
    make_topics(both, dice);
    find_coordinator(both, dice);
    for _ in 0..20 {
        match dice.number(16) {
            0..3 => join(both, dice),
            3 | 4 => sync(both, dice),
            5 => heartbeat(both, dice),
            6 => leave(both, dice),
            7 | 8 => commit(both, dice),
            9 | 10 => fetch(both, dice),
            11 => describe(both, dice),
            12 => delete(both, dice),
            13 => delete_offsets(both, dice),
            14 => find_coordinator(both, dice),
            _ => list(both, dice),
        }
    }
}

fn group(dice: &mut Dice) -> String {
    match dice.number(10) {
        0 => String::new(),
        1 => dice.name("absent"),
        _ => dice.name("group"),
    }
}

fn generation(dice: &mut Dice) -> i32 {
    dice.pick(&[1, 1, 1, 2, 0, -1])
}

/// Whether the member that the script knows is meant, else a strange one.
fn member(dice: &mut Dice) -> Option<&'static str> {
    match dice.number(8) {
        0 => Some(""),
        1 => Some("stranger"),
        _ => None,
    }
}

pub(super) fn find_coordinator(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=6);
    let key_type = if version > 0 { dice.pick(&[0, 0, 1, 2, 3]) } else { 0 };
    let key = group(dice);
    let mut request = FindCoordinatorRequest { key_type, ..Default::default() };
    if version >= 4 {
        request.coordinator_keys = vec![key];
    } else {
        request.key = key;
    }
    wait_for_coordinators(both, dice);
    both.ask(version, |_| request.clone());
}

/// Apache Kafka makes the internal topics at the first question, and takes a while to load them.
pub(super) fn wait_for_coordinators(both: &mut Both, dice: &Dice) {
    let keys = vec![
        dice.name("group"),
        dice.name("absent"),
        dice.name("consumers"),
        dice.name("txn"),
        String::new(),
    ];
    for peer in [&mut both.apache, &mut both.ours] {
        for look in 0.. {
            assert!(look < LOOKS_MAX, "a coordinator does not become ready");
            for key_type in [0, 1] {
                let coordinator_keys = vec!["any".to_owned()];
                peer.ask(
                    &FindCoordinatorRequest { key_type, coordinator_keys, ..Default::default() },
                    4,
                );
            }
            let groups = DescribeGroupsRequest { groups: keys.clone(), ..Default::default() };
            let transactions = DescribeTransactionsRequest { transactional_ids: keys.clone() };
            let producer = InitProducerIdRequest {
                transactional_id: None,
                producer_id: -1,
                producer_epoch: -1,
                ..Default::default()
            };
            let mut codes = Vec::new();
            if let Some(response) = peer.ask(&groups, 5).response() {
                codes.extend(response.groups.iter().map(|it| it.error_code));
            }
            if let Some(response) = peer.ask(&transactions, 0).response() {
                codes.extend(response.transaction_states.iter().map(|it| it.error_code));
            }
            if let Some(response) = peer.ask(&producer, 4).response() {
                codes.push(response.error_code);
            }
            // COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR
            if !codes.iter().any(|code| [14, 15, 16].contains(code)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

fn join(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=9);
    let group_id = group(dice);
    let stranger = member(dice);
    let session_timeout_ms = dice.pick(&[45_000, 45_000, 45_000, 10, 10_000_000]);
    let instance = (version >= 5 && dice.rarely(4)).then(|| "instance".to_owned());
    let protocol_type = dice.pick(&["consumer", "consumer", "consumer", "", "connect"]).to_owned();
    let protocols = match dice.number(8) {
        0 => vec![],
        1 => vec![("roundrobin", vec![])],
        2 => vec![("range", b"garbage".to_vec())],
        _ => vec![("range", b"\0\0\0\0\0\0\xff\xff\xff\xff".to_vec())],
    };
    let (apache, ours) = both.ask(version, |peer| JoinGroupRequest {
        group_id: group_id.clone(),
        session_timeout_ms,
        rebalance_timeout_ms: if version > 0 { 3_000 } else { -1 },
        member_id: stranger.map_or_else(|| peer.member_id.clone(), str::to_owned),
        group_instance_id: instance.clone(),
        protocol_type: protocol_type.clone(),
        protocols: protocols
            .iter()
            .map(|(name, metadata)| JoinGroupRequestProtocol {
                name: (*name).to_owned(),
                metadata: Bytes::from(metadata.clone()),
            })
            .collect(),
        reason: None,
    });
    for (peer, answer) in [(&mut both.apache, &apache), (&mut both.ours, &ours)] {
        if let Some(response) = answer.response().filter(|it| !it.member_id.is_empty()) {
            peer.member_id.clone_from(&response.member_id);
        }
    }
}

fn sync(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=5);
    let (group_id, stranger, generation_id) = (group(dice), member(dice), generation(dice));
    let instance = (version >= 3 && dice.rarely(5)).then(|| "instance".to_owned());
    let protocol_type =
        (version >= 5).then(|| dice.pick(&["consumer", "consumer", "connect"]).to_owned());
    let protocol_name = (version >= 5).then(|| dice.pick(&["range", "range", "sticky"]).to_owned());
    both.ask(version, |peer| {
        let member_id = stranger.map_or_else(|| peer.member_id.clone(), str::to_owned);
        SyncGroupRequest {
            group_id: group_id.clone(),
            generation_id,
            member_id: member_id.clone(),
            group_instance_id: instance.clone(),
            protocol_type: protocol_type.clone(),
            protocol_name: protocol_name.clone(),
            assignments: vec![SyncGroupRequestAssignment {
                member_id,
                assignment: Bytes::from_static(b"assigned"),
            }],
        }
    });
}

fn heartbeat(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=4);
    let (group_id, stranger, generation_id) = (group(dice), member(dice), generation(dice));
    let instance = (version >= 3 && dice.rarely(4)).then(|| "instance".to_owned());
    both.ask(version, |peer| HeartbeatRequest {
        group_id: group_id.clone(),
        generation_id,
        member_id: stranger.map_or_else(|| peer.member_id.clone(), str::to_owned),
        group_instance_id: instance.clone(),
    });
}

fn leave(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=5);
    let (group_id, stranger) = (group(dice), member(dice));
    let instance = dice.rarely(3).then(|| "instance".to_owned());
    both.ask(version, |peer| {
        let member_id = stranger.map_or_else(|| peer.member_id.clone(), str::to_owned);
        let mut request = LeaveGroupRequest { group_id: group_id.clone(), ..Default::default() };
        if version < 3 {
            request.member_id = member_id;
        } else {
            let group_instance_id = instance.clone();
            request.members = vec![MemberIdentity { member_id, group_instance_id, reason: None }];
        }
        request
    });
}

fn commit(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(2..=10);
    let (group_id, stranger) = (group(dice), member(dice));
    let standalone = dice.rarely(2);
    let generation = if standalone { -1 } else { generation(dice) };
    let topic = dice.topic();
    let partition = OffsetCommitRequestPartition {
        partition_index: dice.partition(),
        committed_offset: dice.pick(&[0, 5, 100, -1]),
        committed_leader_epoch: if version >= 6 { dice.pick(&[-1, 0, 3]) } else { -1 },
        committed_metadata: dice.pick(&[
            None,
            Some(String::new()),
            Some("m".into()),
            Some("m".repeat(5000)),
        ]),
    };
    both.ask(version, |peer| {
        let (name, topic_id) = if version >= 10 {
            (String::new(), peer.topic_id(&topic))
        } else {
            (topic.clone(), Default::default())
        };
        OffsetCommitRequest {
            group_id: group_id.clone(),
            generation_id_or_member_epoch: generation,
            member_id: match stranger {
                _ if standalone => String::new(),
                Some(stranger) => stranger.to_owned(),
                None => peer.member_id.clone(),
            },
            topics: vec![OffsetCommitRequestTopic {
                name,
                topic_id,
                partitions: vec![partition.clone()],
            }],
            ..Default::default()
        }
    });
}

fn fetch(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(1..=10);
    let (group_id, topic) = (group(dice), dice.topic());
    let partitions = vec![dice.partition(), dice.partition()];
    let all = version >= 2 && dice.rarely(3);
    let require_stable = version >= 7 && dice.rarely(2);
    let member = (version >= 9 && dice.rarely(4)).then(|| "stranger".to_owned());
    both.ask(version, |peer| {
        let mut request = OffsetFetchRequest { require_stable, topics: None, ..Default::default() };
        if version < 8 {
            request.group_id = group_id.clone();
            let topic = OffsetFetchRequestTopic {
                name: topic.clone(),
                partition_indexes: partitions.clone(),
            };
            request.topics = (!all).then(|| vec![topic]);
        } else {
            let (name, topic_id) = if version >= 10 {
                (String::new(), peer.topic_id(&topic))
            } else {
                (topic.clone(), Default::default())
            };
            let topic =
                OffsetFetchRequestTopics { name, topic_id, partition_indexes: partitions.clone() };
            request.topics = Some(Vec::new());
            request.groups = vec![OffsetFetchRequestGroup {
                group_id: group_id.clone(),
                member_epoch: if member.is_some() { 1 } else { -1 },
                member_id: member.clone(),
                topics: (!all).then(|| vec![topic]),
            }];
        }
        request
    });
}

fn describe(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=6);
    let groups = vec![group(dice)];
    let include_authorized_operations = version >= 3 && dice.rarely(2);
    both.ask(version, |_| DescribeGroupsRequest {
        groups: groups.clone(),
        include_authorized_operations,
    });
}

fn delete(both: &mut Both, dice: &mut Dice) {
    let mut groups_names = vec![group(dice)];
    if dice.rarely(4) {
        groups_names.push(dice.name("absent"));
    }
    let request = DeleteGroupsRequest { groups_names };
    both.ask(dice.version(0..=2), |_| request.clone());
}

fn delete_offsets(both: &mut Both, dice: &mut Dice) {
    let topic = OffsetDeleteRequestTopic {
        name: dice.topic(),
        partitions: vec![OffsetDeleteRequestPartition { partition_index: dice.partition() }],
    };
    let request = OffsetDeleteRequest { group_id: group(dice), topics: vec![topic] };
    both.ask(0, |_| request.clone());
}

/// With filters that no group meets: the groups of all scripts would come in an order of their own.
fn list(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(4..=5);
    let states = vec![dice.pick(&["Dead", "PreparingRebalance", "NoSuchState"]).to_owned()];
    let types = if version >= 5 {
        vec![dice.pick(&["share", "streams", "nosuchtype"]).to_owned()]
    } else {
        vec![]
    };
    both.ask(version, |_| ListGroupsRequest {
        states_filter: states.clone(),
        types_filter: types.clone(),
    });
}
