//! Records: produce, fetch, look up, delete.

use super::super::Both;
use super::{Dice, make_topics};
use afluente_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use afluente_protocol::messages::describe_producers_request::{
    DescribeProducersRequest, TopicRequest,
};
use afluente_protocol::messages::fetch_request::{
    FetchPartition, FetchRequest, FetchTopic, ForgottenTopic,
};
use afluente_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use afluente_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use afluente_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use afluente_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use afluente_protocol::rope::Records;

/// A day in 2023.
const THEN_MS: i64 = 1_700_000_000_000;

pub(crate) fn script(both: &mut Both, dice: &mut Dice) {
    make_topics(both, dice);
    for _ in 0..20 {
        match dice.number(12) {
            0..5 => produce(both, dice),
            5..8 => fetch(both, dice),
            8 => list_offsets(both, dice),
            9 => leader_epoch(both, dice),
            10 => delete(both, dice),
            _ => producers(both, dice),
        }
    }
}

/// How a batch is to be, and what is wrong with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) count: i32,
    pub(crate) attributes: i16,
    pub(crate) base_sequence: i32,
    pub(crate) flaw: Option<Flaw>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flaw {
    Magic(i8),
    Crc,
    Length(i32),
    Count(i32),
    LastOffsetDelta(i32),
    Cut(usize),
    Twice,
    Codec,
    Garbage,
}

impl Batch {
    pub(crate) fn bytes(self, (producer_id, epoch): (i64, i16)) -> Vec<u8> {
        let mut records = Vec::new();
        for delta in 0..self.count {
            // attributes, timestamp delta, offset delta, no key, one byte of value, no headers
            let record = [0, 0, u8::try_from(delta * 2).unwrap(), 1, 2, b'x', 0];
            records.push(u8::try_from(record.len() * 2).unwrap());
            records.extend(record);
        }
        let (mut count, mut last) = (self.count, self.count - 1);
        let mut attributes = self.attributes;
        match self.flaw {
            Some(Flaw::Count(wrong)) => count = wrong,
            Some(Flaw::LastOffsetDelta(wrong)) => last = wrong,
            Some(Flaw::Codec) => attributes |= 1,
            Some(Flaw::Garbage) => records.fill(0xff),
            _ => {}
        }
        let mut checked = attributes.to_be_bytes().to_vec();
        checked.extend(last.to_be_bytes());
        checked.extend(THEN_MS.to_be_bytes());
        checked.extend(THEN_MS.to_be_bytes());
        checked.extend(producer_id.to_be_bytes());
        checked.extend(epoch.to_be_bytes());
        checked.extend(self.base_sequence.to_be_bytes());
        checked.extend(count.to_be_bytes());
        checked.extend(records);
        let mut crc = afluente_stdx::crc32c::crc32c(&checked);
        let mut length = i32::try_from(checked.len() + 9).unwrap();
        let mut magic = 2;
        match self.flaw {
            Some(Flaw::Magic(wrong)) => magic = wrong,
            Some(Flaw::Crc) => crc ^= 1,
            Some(Flaw::Length(by)) => length += by,
            _ => {}
        }
        let mut batch = 0_i64.to_be_bytes().to_vec();
        batch.extend(length.to_be_bytes());
        batch.extend((-1_i32).to_be_bytes());
        batch.extend(magic.to_be_bytes());
        batch.extend(crc.to_be_bytes());
        batch.extend(checked);
        match self.flaw {
            Some(Flaw::Cut(to)) => batch.truncate(to),
            Some(Flaw::Twice) => batch.extend(batch.clone()),
            _ => {}
        }
        batch
    }
}

fn batch(dice: &mut Dice) -> Batch {
    let flaws = [
        Flaw::Magic(1),
        Flaw::Magic(0),
        Flaw::Magic(3),
        Flaw::Crc,
        Flaw::Length(1),
        Flaw::Length(-30),
        Flaw::Count(0),
        Flaw::Count(5),
        Flaw::Count(-1),
        Flaw::LastOffsetDelta(9),
        Flaw::LastOffsetDelta(-1),
        Flaw::Cut(0),
        Flaw::Cut(11),
        Flaw::Cut(30),
        Flaw::Twice,
        Flaw::Codec,
        Flaw::Garbage,
    ];
    Batch {
        count: dice.pick(&[1, 2, 3]),
        attributes: dice.pick(&[0, 0, 0, 0, 0, 0x20, 0x10, 0x08]),
        base_sequence: -1,
        flaw: dice.rarely(3).then(|| dice.pick(&flaws)),
    }
}

fn produce(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(3..=13);
    let topic = dice.topic();
    let partition = dice.partition();
    let acks = dice.pick(&[-1, -1, 1, 1, 2, -2]);
    let mut batch = batch(dice);
    if topic.starts_with("__") || matches!(acks, 2 | -2) {
        // One thing wrong at a time: which of two is told first is nobody's business.
        batch.flaw = None;
    }
    let acks = if topic.starts_with("__") { -1 } else { acks };
    let idempotent = dice.rarely(3);
    if idempotent && both.apache.producer.0 < 0 {
        let (apache, ours) = both.ask(4, |_| InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        });
        for (peer, answer) in [(&mut both.apache, apache), (&mut both.ours, ours)] {
            peer.producer =
                answer.response().map_or((-1, -1), |it| (it.producer_id, it.producer_epoch));
        }
    }
    if idempotent {
        batch.base_sequence = dice.pick(&[0, 0, 1, 2, 3, 5, -1]);
    }
    let transactional_id = dice.rarely(15).then(|| dice.name("txn"));
    both.ask(version, |peer| {
        let bytes = batch.bytes(if idempotent { peer.producer } else { (-1, -1) });
        let records = Some(Records::from(bytes::Bytes::from(bytes)));
        let (name, topic_id) = if version >= 13 {
            (String::new(), peer.topic_id(&topic))
        } else {
            (topic.clone(), Default::default())
        };
        ProduceRequest {
            transactional_id: transactional_id.clone(),
            acks,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name,
                topic_id,
                partition_data: vec![PartitionProduceData { index: partition, records }],
            }],
        }
    });
}

fn fetch(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(4..=17);
    let topic = if dice.rarely(8) { dice.name("absent") } else { dice.name(dice.pick_of_two()) };
    let partition = FetchPartition {
        partition: dice.partition(),
        current_leader_epoch: if version >= 9 { dice.pick(&[-1, -1, 0, 1]) } else { -1 },
        fetch_offset: dice.pick(&[0, 0, 0, 1, 2, 5, 100, -1]),
        last_fetched_epoch: if version >= 12 { dice.pick(&[-1, -1, 0, 3]) } else { -1 },
        log_start_offset: -1,
        partition_max_bytes: dice.pick(&[1 << 20, 1 << 20, 1, 0, 100]),
        ..Default::default()
    };
    let isolation_level = dice.pick(&[0, 0, 1]);
    let max_bytes = dice.pick(&[50 << 20, 50 << 20, 1, 0]);
    // A session goes by names or by ids, and does not change that.
    let session = version >= 7 && dice.rarely(3);
    let version = if session { 12 } else { version };
    let session_epoch = if session { dice.pick(&[0, 1, 2, 1, -1]) } else { -1 };
    let forget = session && dice.rarely(3);
    let (apache, ours) = both.ask(version, |peer| {
        let (name, topic_id) = if version >= 13 {
            (String::new(), peer.topic_id(&topic))
        } else {
            (topic.clone(), Default::default())
        };
        let mut request = FetchRequest {
            replica_id: -1,
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes,
            isolation_level,
            session_id: if session_epoch > 0 { peer.session_id } else { 0 },
            session_epoch,
            topics: vec![FetchTopic {
                topic: name.clone(),
                topic_id,
                partitions: vec![partition.clone()],
            }],
            ..Default::default()
        };
        if forget {
            let partitions = vec![partition.partition];
            request.forgotten_topics_data =
                vec![ForgottenTopic { topic: name, topic_id, partitions }];
        }
        request
    });
    for (peer, answer) in [(&mut both.apache, &apache), (&mut both.ours, &ours)] {
        if let Some(response) = answer.response().filter(|it| it.session_id != 0) {
            peer.session_id = response.session_id;
        }
    }
}

fn list_offsets(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(1..=11);
    let specials: &[i64] = match version {
        1..=6 => &[-1, -2],
        7 => &[-1, -2, -3],
        8 => &[-1, -2, -3, -4],
        _ => &[-1, -2, -3, -4, -5],
    };
    let timestamp = match dice.number(4) {
        0 => dice.pick(&[0, THEN_MS, THEN_MS + 1, i64::MAX, -7]),
        1 => dice.pick(&[-3, -4, -5, -6]),
        _ => dice.pick(specials),
    };
    let partition = ListOffsetsPartition {
        partition_index: dice.partition(),
        current_leader_epoch: if version >= 4 { dice.pick(&[-1, -1, 0, 1]) } else { -1 },
        timestamp,
    };
    let request = ListOffsetsRequest {
        replica_id: dice.pick(&[-1, -1, -1, -2, 1]),
        isolation_level: if version >= 2 { dice.pick(&[0, 1]) } else { 0 },
        topics: vec![ListOffsetsTopic {
            name: dice.topic(),
            partitions: vec![partition.clone(); 1 + dice.number(8) / 7],
        }],
        ..Default::default()
    };
    both.ask(version, |_| request.clone());
}

fn leader_epoch(both: &mut Both, dice: &mut Dice) {
    let partition = OffsetForLeaderPartition {
        partition: dice.partition(),
        current_leader_epoch: dice.pick(&[-1, 0, 1]),
        leader_epoch: dice.pick(&[0, 0, 1, -1, 5]),
    };
    let topics = vec![OffsetForLeaderTopic { topic: dice.topic(), partitions: vec![partition] }];
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics };
    both.ask(dice.version(3..=4), |_| request.clone());
}

fn delete(both: &mut Both, dice: &mut Dice) {
    let partition = DeleteRecordsPartition {
        partition_index: dice.partition(),
        offset: dice.pick(&[0, 1, 2, -1, 100, -2]),
    };
    let topics = vec![DeleteRecordsTopic { name: dice.topic(), partitions: vec![partition] }];
    let request = DeleteRecordsRequest { topics, timeout_ms: 30_000 };
    both.ask(dice.version(0..=2), |_| request.clone());
}

fn producers(both: &mut Both, dice: &mut Dice) {
    let topic = TopicRequest { name: dice.topic(), partition_indexes: vec![dice.partition()] };
    both.ask(0, |_| DescribeProducersRequest { topics: vec![topic.clone()] });
}
