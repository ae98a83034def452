//! Transactions of both kinds, in order and out of it.

use super::super::Both;
use super::records::Batch;
use super::{Dice, groups, make_topics};
use afluente_protocol::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use afluente_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use afluente_protocol::messages::describe_transactions_request::DescribeTransactionsRequest;
use afluente_protocol::messages::end_txn_request::EndTxnRequest;
use afluente_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use afluente_protocol::messages::list_transactions_request::ListTransactionsRequest;
use afluente_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use afluente_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use afluente_protocol::rope::Records;
use std::thread::sleep;
use std::time::Duration;

const AGAIN_MAX: usize = 200;

pub(crate) fn script(both: &mut Both, dice: &mut Dice) {
    make_topics(both, dice);
    groups::find_coordinator(both, dice);
    init(both, dice, true);
    let mut sequence = 0;
    for _ in 0..16 {
        match dice.number(12) {
            0 => init(both, dice, false),
            1..4 => add_partitions(both, dice),
            4..6 => produce(both, dice, &mut sequence),
            6 => add_offsets(both, dice),
            7 => commit_offsets(both, dice),
            8 | 9 => end(both, dice, &mut sequence),
            10 => describe(both, dice),
            _ => list(both, dice),
        }
    }
    end(both, dice, &mut sequence);
}

fn transactional_id(dice: &mut Dice) -> String {
    match dice.number(12) {
        0 => String::new(),
        1 => dice.name("absent"),
        _ => dice.name("txn"),
    }
}

/// What is added to the producer's epoch, and whether the id is a strange one.
fn wrong(dice: &mut Dice) -> (i16, bool) {
    (dice.pick(&[0, 0, 0, 0, 0, 0, 1, -1]), dice.rarely(12))
}

fn producer((id, epoch): (i64, i16), (by, strange): (i16, bool)) -> (i64, i16) {
    (if strange { 987_654 } else { id }, epoch + by)
}

fn init(both: &mut Both, dice: &mut Dice, first: bool) {
    let version = if first { 4 } else { dice.version(0..=5) };
    let id = if first { dice.name("txn") } else { transactional_id(dice) };
    let timeout = if first { 60_000 } else { dice.pick(&[60_000, 60_000, 0, -1, 900_001]) };
    let bump = !first && version >= 3 && dice.rarely(3);
    let is_mine = id == dice.name("txn");
    let (apache, ours) = both.ask(version, |peer| InitProducerIdRequest {
        transactional_id: Some(id.clone()),
        transaction_timeout_ms: timeout,
        producer_id: if bump { peer.producer.0 } else { -1 },
        producer_epoch: if bump { peer.producer.1 } else { -1 },
        ..Default::default()
    });
    for (peer, answer) in [(&mut both.apache, &apache), (&mut both.ours, &ours)] {
        if let Some(response) = answer.response().filter(|it| it.error_code == 0 && is_mine) {
            peer.producer = (response.producer_id, response.producer_epoch);
        }
    }
    settle(both, dice);
}

/// Waits until no transaction of the script's own id is being ended.
fn settle(both: &mut Both, dice: &Dice) {
    let request = DescribeTransactionsRequest { transactional_ids: vec![dice.name("txn")] };
    for peer in [&mut both.apache, &mut both.ours] {
        for _ in 0..AGAIN_MAX {
            let answer = peer.ask(&request, 0);
            let busy = answer.response().is_some_and(|it| {
                it.transaction_states.iter().any(|it| it.transaction_state.starts_with("Prepare"))
            });
            if !busy {
                break;
            }
            sleep(Duration::from_millis(25));
        }
    }
}

fn add_partitions(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=3);
    let (id, wrong) = (transactional_id(dice), wrong(dice));
    let topic = AddPartitionsToTxnTopic { name: dice.topic(), partitions: vec![dice.partition()] };
    both.ask(version, |peer| {
        let (producer_id, epoch) = producer(peer.producer, wrong);
        AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: id.clone(),
            v3_and_below_producer_id: producer_id,
            v3_and_below_producer_epoch: epoch,
            v3_and_below_topics: vec![topic.clone()],
            ..Default::default()
        }
    });
}

fn produce(both: &mut Both, dice: &mut Dice, sequence: &mut i32) {
    let version = dice.version(9..=12);
    let (id, wrong) = (transactional_id(dice), wrong(dice));
    let batch = Batch { count: 1, attributes: 0x10, base_sequence: *sequence, flaw: None };
    let topic = dice.name("a");
    let (apache, ours) = both.ask(version, |peer| ProduceRequest {
        transactional_id: Some(id.clone()),
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.clone(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(Records::from(bytes::Bytes::from(
                    batch.bytes(producer(peer.producer, wrong)),
                ))),
            }],
            ..Default::default()
        }],
    });
    let accepted = [&apache, &ours].map(|answer| {
        answer.response().is_some_and(|it| it.responses[0].partition_responses[0].error_code == 0)
    });
    if accepted == [true, true] {
        *sequence += 1;
    }
}

fn add_offsets(both: &mut Both, dice: &mut Dice) {
    let (id, wrong) = (transactional_id(dice), wrong(dice));
    let group_id = if dice.rarely(6) { String::new() } else { dice.name("group") };
    both.ask(dice.version(0..=4), |peer| {
        let (producer_id, producer_epoch) = producer(peer.producer, wrong);
        let (transactional_id, group_id) = (id.clone(), group_id.clone());
        AddOffsetsToTxnRequest { transactional_id, producer_id, producer_epoch, group_id }
    });
}

fn commit_offsets(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=5);
    let (id, wrong) = (transactional_id(dice), wrong(dice));
    let group_id = if dice.rarely(6) { String::new() } else { dice.name("group") };
    let topic = dice.topic();
    let partition = TxnOffsetCommitRequestPartition {
        partition_index: dice.partition(),
        committed_offset: 4,
        committed_leader_epoch: -1,
        committed_metadata: Some(String::new()),
    };
    let generation = if version >= 3 { dice.pick(&[-1, -1, 1]) } else { -1 };
    both.ask(version, |peer| {
        let (producer_id, producer_epoch) = producer(peer.producer, wrong);
        TxnOffsetCommitRequest {
            transactional_id: id.clone(),
            group_id: group_id.clone(),
            producer_id,
            producer_epoch,
            generation_id_or_member_epoch: generation,
            member_id: if generation < 0 { String::new() } else { "stranger".to_owned() },
            topics: vec![TxnOffsetCommitRequestTopic {
                name: topic.clone(),
                partitions: vec![partition.clone()],
                ..Default::default()
            }],
            ..Default::default()
        }
    });
}

fn end(both: &mut Both, dice: &mut Dice, sequence: &mut i32) {
    let version = dice.version(0..=5);
    let (id, wrong, committed) = (transactional_id(dice), wrong(dice), dice.rarely(2));
    let (apache, ours) = both.ask(version, |peer| {
        let (producer_id, producer_epoch) = producer(peer.producer, wrong);
        EndTxnRequest { transactional_id: id.clone(), producer_id, producer_epoch, committed }
    });
    for (peer, answer) in [(&mut both.apache, &apache), (&mut both.ours, &ours)] {
        if let Some(response) = answer.response().filter(|it| it.error_code == 0)
            && version >= 5
        {
            peer.producer = (response.producer_id, response.producer_epoch);
            *sequence = 0;
        }
    }
    settle(both, dice);
}

fn describe(both: &mut Both, dice: &mut Dice) {
    let request = DescribeTransactionsRequest { transactional_ids: vec![transactional_id(dice)] };
    both.ask(0, |_| request.clone());
}

fn list(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=2);
    let state_filters = vec![dice.pick(&["Dead", "NoSuchState", "Empty"]).to_owned()];
    let pattern = (version >= 2).then(|| dice.pick(&["nothing", "[a", ""]).to_owned());
    both.ask(version, |_| ListTransactionsRequest {
        state_filters: state_filters.clone(),
        producer_id_filters: vec![987_654],
        duration_filter: -1,
        transactional_id_pattern: pattern.clone(),
    });
}
