//! Topics: make, look at, grow, delete.

use super::super::Both;
use super::super::peer::Peer;
use super::{Dice, make_topics};
use afluente_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use afluente_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use afluente_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use afluente_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use afluente_protocol::messages::describe_topic_partitions_request::{
    Cursor, DescribeTopicPartitionsRequest, TopicRequest,
};
use afluente_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use afluente_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use afluente_protocol::messages::metadata_response::MetadataResponseTopic;
use std::thread::sleep;
use std::time::Duration;

/// A topic that has no leader after this many looks will not get one.
const LOOKS_MAX: usize = 400;
const LOOK: Duration = Duration::from_millis(25);

pub(crate) fn script(both: &mut Both, dice: &mut Dice) {
    make_topics(both, dice);
    for _ in 0..12 {
        match dice.number(6) {
            0 => create(both, dice),
            1 => metadata(both, dice),
            2 => describe_partitions(both, dice),
            3 => create_partitions(both, dice),
            4 => delete(both, dice),
            _ => describe_cluster(both, dice),
        }
    }
}

pub(crate) fn wait_for_leader(both: &mut Both, topic: &str) {
    for peer in [&mut both.apache, &mut both.ours] {
        for look in 0.. {
            if has_leader(peer, topic) {
                break;
            }
            assert!(look < LOOKS_MAX, "topic {topic} got no leader");
            sleep(LOOK);
        }
    }
}

fn has_leader(peer: &mut Peer, topic: &str) -> bool {
    let request = MetadataRequest { topics: Some(vec![by_name(topic)]), ..Default::default() };
    let answer = peer.ask(&request, 12);
    let Some(response) = answer.response() else { return false };
    let led = |topic: &MetadataResponseTopic| {
        topic.error_code == 0
            && topic.partitions.iter().all(|it| it.error_code == 0 && it.leader_id >= 0)
    };
    let Some(described) = response.topics.first().filter(|topic| led(topic)) else { return false };
    // Apache Kafka tells of a leader before that one has its log.
    let partitions = described.partitions.iter().map(|it| ListOffsetsPartition {
        partition_index: it.partition_index,
        current_leader_epoch: -1,
        timestamp: -1,
    });
    let topics =
        vec![ListOffsetsTopic { name: topic.to_owned(), partitions: partitions.collect() }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
    let answer = peer.ask(&request, 6);
    answer.response().is_some_and(|it| it.topics[0].partitions.iter().all(|it| it.error_code == 0))
}

fn by_name(topic: &str) -> MetadataRequestTopic {
    MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() }
}

fn create(both: &mut Both, dice: &mut Dice) {
    let mut names = Vec::new();
    for _ in 0..=dice.number(2) {
        let name = if dice.rarely(2) { dice.topic() } else { dice.name(dice.pick_suffix()) };
        names.push(name);
    }
    let mut topics = Vec::new();
    for name in names {
        let mut topic = CreatableTopic {
            name,
            num_partitions: dice.pick(&[1, 1, 2, 3, -1, 0, -2]),
            replication_factor: dice.pick(&[1, 1, 1, -1, 0, 2]),
            ..Default::default()
        };
        if dice.rarely(3) {
            topic.num_partitions = dice.pick(&[-1, -1, 1]);
            topic.replication_factor = dice.pick(&[-1, -1, 1]);
            for index in 0..dice.number(3) {
                topic.assignments.push(CreatableReplicaAssignment {
                    partition_index: i32::try_from(index + dice.number(8) / 7).unwrap(),
                    broker_ids: dice.pick(&[vec![1], vec![1], vec![], vec![1, 1], vec![9]]),
                });
            }
        }
        if dice.rarely(2) {
            let (name, value) = super::configs::topic_config(dice);
            topic.configs.push(CreatableTopicConfig { name, value });
        }
        topics.push(topic);
    }
    let request = CreateTopicsRequest { topics, timeout_ms: 30_000, validate_only: dice.rarely(3) };
    let names: Vec<String> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let (apache, ours) = both.ask(dice.version(4..=7), |_| request.clone());
    for (peer, answer) in [(&mut both.apache, &apache), (&mut both.ours, &ours)] {
        for topic in answer.response().map(|response| &response.topics[..]).unwrap_or_default() {
            if topic.error_code == 0 && !topic.topic_id.is_zero() && !request.validate_only {
                peer.topic_ids.insert(topic.name.clone(), topic.topic_id);
            }
        }
    }
    let made = |code: Option<i16>| code == Some(0) && !request.validate_only;
    for (index, name) in names.iter().enumerate() {
        let code = apache.response().and_then(|it| it.topics.get(index)).map(|it| it.error_code);
        let ours = ours.response().and_then(|it| it.topics.get(index)).map(|it| it.error_code);
        if made(code) && made(ours) {
            wait_for_leader(both, name);
        }
    }
}

fn metadata(both: &mut Both, dice: &mut Dice) {
    let topic = dice.topic();
    let version = dice.version(0..=13);
    let by_id = version >= 12 && dice.rarely(3);
    let authorized = dice.rarely(2);
    both.ask(version, |peer| MetadataRequest {
        topics: Some(vec![if by_id {
            MetadataRequestTopic { topic_id: peer.topic_id(&topic), name: None }
        } else {
            by_name(&topic)
        }]),
        allow_auto_topic_creation: version < 4,
        include_topic_authorized_operations: version >= 8 && authorized,
        include_cluster_authorized_operations: (8..=10).contains(&version) && authorized,
    });
}

fn describe_partitions(both: &mut Both, dice: &mut Dice) {
    let names: Vec<String> = (0..1 + dice.number(3)).map(|_| dice.topic()).collect();
    let cursor = dice
        .rarely(3)
        .then(|| Cursor { topic_name: dice.topic(), partition_index: dice.partition() });
    let limit = dice.pick(&[1, 2, 2000, 0, -1]);
    both.ask(0, |_| DescribeTopicPartitionsRequest {
        topics: names.iter().map(|name| TopicRequest { name: name.clone() }).collect(),
        response_partition_limit: limit,
        cursor: cursor.clone(),
    });
}

fn create_partitions(both: &mut Both, dice: &mut Dice) {
    let name = dice.topic();
    if name.starts_with("__") {
        // A coordinator's topic that grows moves what is kept in it, for the scripts after this.
        return;
    }
    let topic = CreatePartitionsTopic {
        name,
        count: dice.pick(&[1, 2, 3, 4, 0, -1, 5]),
        assignments: dice.rarely(3).then(|| {
            let count = dice.number(3);
            let pool = [vec![1], vec![1], vec![9], vec![], vec![1, 1]];
            (0..count)
                .map(|_| CreatePartitionsAssignment { broker_ids: dice.pick(&pool) })
                .collect()
        }),
    };
    let mut topics = vec![topic.clone()];
    if dice.rarely(6) {
        topics.push(topic.clone());
    }
    let request =
        CreatePartitionsRequest { topics, timeout_ms: 30_000, validate_only: dice.rarely(3) };
    let (apache, ours) = both.ask(dice.version(0..=3), |_| request.clone());
    let good = |code: Option<i16>| code == Some(0);
    if good(apache.response().map(|it| it.results[0].error_code))
        && good(ours.response().map(|it| it.results[0].error_code))
    {
        wait_for_leader(both, &topic.name);
    }
}

fn delete(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(1..=6);
    let name = if dice.rarely(3) { dice.topic() } else { dice.name(dice.pick_suffix()) };
    if name.starts_with("__") {
        return;
    }
    let by_id = version >= 6 && dice.rarely(2);
    let both_forms = dice.rarely(8);
    both.ask(version, |peer| {
        let mut request = DeleteTopicsRequest { timeout_ms: 30_000, ..Default::default() };
        if version < 6 {
            request.topic_names = vec![name.clone()];
        } else if by_id {
            let topic_id = peer.topic_id(&name);
            request.topics =
                vec![DeleteTopicState { name: both_forms.then(|| name.clone()), topic_id }];
        } else {
            request.topics =
                vec![DeleteTopicState { name: Some(name.clone()), ..Default::default() }];
        }
        request
    });
    both.apache.topic_ids.remove(&name);
    both.ours.topic_ids.remove(&name);
}

fn describe_cluster(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=2);
    let endpoint_type = if version > 0 { dice.pick(&[1, 1, 2, 3, 0]) } else { 1 };
    let authorized = dice.rarely(2);
    both.ask(version, |_| DescribeClusterRequest {
        include_cluster_authorized_operations: authorized,
        endpoint_type,
        include_fenced_brokers: version > 1 && authorized,
    });
}

impl Dice {
    /// One of the topics that a script makes beside `a` and `b`.
    fn pick_suffix(&self) -> &'static str {
        ["c", "d", "e"][(self.state % 3) as usize]
    }
}
