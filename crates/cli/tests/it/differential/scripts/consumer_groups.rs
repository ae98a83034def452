//! Groups of the KIP-848 protocol.

use super::super::Both;
use super::{Dice, groups, make_topics};
use afluente_protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use afluente_protocol::messages::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use afluente_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use afluente_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};

pub(crate) fn script(both: &mut Both, dice: &mut Dice) {
    make_topics(both, dice);
    groups::find_coordinator(both, dice);
    for _ in 0..14 {
        match dice.number(8) {
            0..5 => heartbeat(both, dice),
            5 => commit(both, dice),
            6 => describe_as_classic(both, dice),
            _ => describe(both, dice),
        }
    }
}

fn group(dice: &mut Dice) -> String {
    if dice.rarely(9) { String::new() } else { dice.name("consumers") }
}

fn heartbeat(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=1);
    let group_id = group(dice);
    let joins = both.apache.member_epoch == 0 || dice.rarely(5);
    let strange_epoch = dice.rarely(8).then(|| dice.pick(&[-1, -2, -3, 77]));
    let instance_id = dice.rarely(6).then(|| dice.pick(&["instance", ""]).to_owned());
    let rebalance_timeout_ms = if joins { dice.pick(&[300_000, 300_000, 300_000, -1]) } else { -1 };
    let names = (joins || dice.rarely(4)).then(|| {
        dice.pick(&[
            vec![dice.name("a")],
            vec![dice.name("b"), dice.name("a")],
            vec![dice.name("absent")],
            vec![],
        ])
    });
    let regex = (version >= 1 && dice.rarely(6)).then(|| dice.pick(&[""]).to_owned());
    let server_assignor =
        dice.rarely(5).then(|| dice.pick(&["uniform", "range", "", "none"]).to_owned());
    let owned = joins || dice.rarely(3);
    let strange = dice.rarely(10);
    let (apache, ours) = both.ask(version, |peer| ConsumerGroupHeartbeatRequest {
        group_id: group_id.clone(),
        member_id: match (strange, version) {
            (true, _) => String::new(),
            (false, _) if peer.member_id.is_empty() => "member-1".to_owned(),
            (false, _) => peer.member_id.clone(),
        },
        member_epoch: strange_epoch.unwrap_or(if joins { 0 } else { peer.member_epoch }),
        instance_id: instance_id.clone(),
        rack_id: None,
        rebalance_timeout_ms,
        subscribed_topic_names: names.clone(),
        subscribed_topic_regex: regex.clone(),
        server_assignor: server_assignor.clone(),
        topic_partitions: owned.then(Vec::<TopicPartitions>::new),
    });
    for (peer, answer) in [(&mut both.apache, apache), (&mut both.ours, ours)] {
        let Some(response) = answer.response().filter(|it| it.error_code == 0) else { continue };
        peer.member_epoch = response.member_epoch.max(0);
        if let Some(member_id) = response.member_id.clone() {
            peer.member_id = member_id;
        }
    }
}

fn commit(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(8..=10);
    let (group_id, topic) = (group(dice), dice.topic());
    let partition = OffsetCommitRequestPartition {
        partition_index: dice.partition(),
        committed_offset: 3,
        ..Default::default()
    };
    // Of the member's own: the same, a later and an earlier one, and none.
    let by = dice.pick(&[Some(0), Some(0), Some(1), Some(-1), None]);
    both.ask(version, |peer| OffsetCommitRequest {
        group_id: group_id.clone(),
        generation_id_or_member_epoch: by.map_or(-1, |by| peer.member_epoch + by),
        member_id: peer.member_id.clone(),
        topics: vec![OffsetCommitRequestTopic {
            name: if version < 10 { topic.clone() } else { String::new() },
            topic_id: if version < 10 { Default::default() } else { peer.topic_id(&topic) },
            partitions: vec![partition.clone()],
        }],
        ..Default::default()
    });
}

fn describe(both: &mut Both, dice: &mut Dice) {
    let group_ids = vec![group(dice)];
    let include_authorized_operations = dice.rarely(2);
    let request = ConsumerGroupDescribeRequest { group_ids, include_authorized_operations };
    both.ask(dice.version(0..=1), |_| request.clone());
}

fn describe_as_classic(both: &mut Both, dice: &mut Dice) {
    let request = DescribeGroupsRequest { groups: vec![group(dice)], ..Default::default() };
    both.ask(dice.version(0..=6), |_| request.clone());
}
