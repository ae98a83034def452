//! An image and its records say the same; and the controller's decisions fit the image.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Change, ConfigResource, MetadataImage};
use crate::controller::{
    ConfigChange, ConfigOperation, Refusal, TopicConfigRules, TopicDefaults, alter_configs,
    create_partitions, create_topics, delete_topics,
};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use afluente_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::feature_level_record::FeatureLevelRecord;
use afluente_protocol::messages::metadata::partition_change_record::PartitionChangeRecord;
use afluente_protocol::messages::metadata::producer_ids_record::ProducerIdsRecord;
use afluente_protocol::messages::metadata::register_broker_record::RegisterBrokerRecord;
use afluente_protocol::uuid::Uuid;
use std::collections::BTreeMap;

struct Rules;

impl TopicConfigRules for Rules {
    fn validate(&self, values: &BTreeMap<String, String>) -> Result<(), Refusal> {
        match values.keys().find(|key| key.starts_with("bad")) {
            Some(key) => {
                Err((ErrorCode::InvalidConfig, format!("Unknown topic config name: {key}")))
            }
            None => Ok(()),
        }
    }

    fn list_default(&self, key: &str) -> Option<String> {
        (key == "cleanup.policy").then(|| "delete".to_owned())
    }
}

const DEFAULTS: TopicDefaults = TopicDefaults { partition_count: 1, replication_factor: 1 };

fn with_brokers(count: i32) -> MetadataImage {
    let mut image = MetadataImage::default();
    for broker_id in 1..=count {
        let broker = RegisterBrokerRecord {
            broker_id,
            fenced: false,
            log_dirs: vec![Uuid([7; 16])],
            ..RegisterBrokerRecord::default()
        };
        image.apply(MetadataRecord::RegisterBroker(broker)).unwrap();
    }
    image
}

fn creatable(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions,
        replication_factor,
        ..CreatableTopic::default()
    }
}

fn create(image: &mut MetadataImage, topic: &CreatableTopic) -> Result<i32, ErrorCode> {
    let seed = u8::try_from(image.topic_count() + 1).unwrap();
    let decision =
        create_topics(image, std::slice::from_ref(topic), DEFAULTS, &Rules, || Uuid([seed; 16]));
    for record in decision.records {
        image.apply(record).unwrap();
    }
    decision.answer[0].clone().map(|topic| topic.partition_count).map_err(|(code, _)| code)
}

#[test]
fn an_image_is_rebuilt_by_its_own_records() {
    let mut image = with_brokers(2);
    for (name, feature_level) in [("transaction.version", 2), ("metadata.version", 25)] {
        let record = FeatureLevelRecord { name: name.to_owned(), feature_level };
        image.apply(MetadataRecord::FeatureLevel(record)).unwrap();
    }
    create(&mut image, &creatable("b", 3, 2)).unwrap();
    create(&mut image, &creatable("a", 1, 1)).unwrap();
    let ids = ProducerIdsRecord { broker_id: 1, next_producer_id: 1000, ..Default::default() };
    image.apply(MetadataRecord::ProducerIds(ids)).unwrap();

    let records = image.records();
    assert!(matches!(&records[0], MetadataRecord::FeatureLevel(f) if f.name == "metadata.version"));
    let mut again = MetadataImage::default();
    for record in records {
        again.apply(record).unwrap();
    }
    assert_eq!(image, again);
}

#[test]
fn topics_are_created_or_refused_each_by_itself() {
    let mut image = with_brokers(1);
    let set = |name: &str, value: Option<&str>| CreatableTopic {
        configs: vec![CreatableTopicConfig {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        }],
        ..creatable("c", 1, 1)
    };
    let assigned = |partitions: &[(i32, &[i32])]| CreatableTopic {
        assignments: partitions
            .iter()
            .map(|(partition_index, broker_ids)| CreatableReplicaAssignment {
                partition_index: *partition_index,
                broker_ids: broker_ids.to_vec(),
            })
            .collect(),
        ..creatable("d", -1, -1)
    };
    let cases = [
        (creatable("a", -1, -1), Ok(1)),
        (creatable("a", 1, 1), Err(ErrorCode::TopicAlreadyExists)),
        (creatable("a.b", 2, 1), Ok(2)),
        (creatable("a_b", 2, 1), Err(ErrorCode::InvalidTopicException)),
        (creatable("", 2, 1), Err(ErrorCode::InvalidTopicException)),
        (creatable("c", 0, 1), Err(ErrorCode::InvalidPartitions)),
        (creatable("c", 1, 0), Err(ErrorCode::InvalidReplicationFactor)),
        (creatable("c", 1, 2), Err(ErrorCode::InvalidReplicationFactor)),
        (creatable("c", 1_000_000, 1), Err(ErrorCode::PolicyViolation)),
        (set("bad.key", Some("1")), Err(ErrorCode::InvalidConfig)),
        (set("good.key", None), Err(ErrorCode::InvalidConfig)),
        (set("good.key", Some("1")), Ok(1)),
        (assigned(&[(0, &[1]), (1, &[1])]), Ok(2)),
    ];
    for (topic, expected) in cases {
        assert_eq!(create(&mut image, &topic), expected, "{topic:?}");
    }
    for partitions in
        [&[(0, &[][..])][..], &[(0, &[9])], &[(0, &[1, 1])], &[(1, &[1])], &[(0, &[1]), (0, &[1])]]
    {
        let topic = CreatableTopic { name: "e".to_owned(), ..assigned(partitions) };
        assert_eq!(create(&mut image, &topic), Err(ErrorCode::InvalidReplicaAssignment));
    }
    let configs = image.configs(&ConfigResource::topic("c")).unwrap();
    assert_eq!(configs["good.key"], "1");
}

#[test]
fn partitions_are_added_and_topics_deleted_with_their_configs() {
    let mut image = with_brokers(1);
    let topic = CreatableTopic {
        configs: vec![CreatableTopicConfig {
            name: "retention.ms".to_owned(),
            value: Some("1".to_owned()),
        }],
        ..creatable("a", 2, 1)
    };
    create(&mut image, &topic).unwrap();
    let grow =
        |count: i32| CreatePartitionsTopic { name: "a".to_owned(), count, assignments: None };
    for (count, expected) in [(2, false), (1, false), (5, true)] {
        let decision = create_partitions(&image, &[grow(count)]);
        assert_eq!(decision.answer[0].is_ok(), expected);
        for record in decision.records {
            image.apply(record).unwrap();
        }
    }
    let topic = image.topic("a").unwrap();
    assert_eq!(topic.partitions.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(topic.partitions[&4].directories, [Uuid([7; 16])]);

    let records = delete_topics([topic]);
    let changes: Vec<Change> = records.into_iter().map(|r| image.apply(r).unwrap()).collect();
    assert!(matches!(&changes[..], [Change::TopicDeleted(_, name)] if &**name == "a"));
    assert_eq!(image, with_brokers(1));
}

#[test]
fn a_leader_change_raises_both_epochs() {
    let mut image = with_brokers(2);
    create(&mut image, &creatable("a", 1, 2)).unwrap();
    let topic_id = image.topic("a").unwrap().id;
    let change =
        PartitionChangeRecord { topic_id, partition_id: 0, leader: 2, ..Default::default() };
    image.apply(MetadataRecord::PartitionChange(change.clone())).unwrap();
    let partition = &image.topic("a").unwrap().partitions[&0];
    assert_eq!((partition.leader, partition.leader_epoch, partition.partition_epoch), (2, 1, 1));
    let stray = PartitionChangeRecord { partition_id: 9, ..change };
    assert!(image.apply(MetadataRecord::PartitionChange(stray)).is_err());
}

#[test]
fn configs_change_as_a_whole_or_not_at_all() {
    use ConfigOperation::{Append, Delete, Set, Subtract};
    let mut image = with_brokers(1);
    create(&mut image, &creatable("a", 1, 1)).unwrap();
    let resource = ConfigResource::topic("a");
    let change = |name: &str, operation, value: Option<&str>| ConfigChange {
        name: name.to_owned(),
        operation,
        value: value.map(str::to_owned),
    };
    let mut alter = |changes: &[ConfigChange], replace_all: bool| {
        let records = alter_configs(&image, &resource, changes, replace_all, &Rules)
            .map_err(|(code, _)| code)?;
        for record in records {
            image.apply(record).unwrap();
        }
        Ok(image.configs(&resource).cloned().unwrap_or_default())
    };
    let set = |pairs: &[(&str, &str)]| -> Result<BTreeMap<String, String>, ErrorCode> {
        Ok(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    };
    let append = change("cleanup.policy", Append, Some("compact"));
    assert_eq!(alter(&[append], false), set(&[("cleanup.policy", "delete,compact")]));
    let both = [
        change("cleanup.policy", Subtract, Some("delete")),
        change("retention.ms", Set, Some("5")),
    ];
    assert_eq!(alter(&both, false), set(&[("cleanup.policy", "compact"), ("retention.ms", "5")]));
    for (refused, code) in [
        (
            vec![change("x", Set, Some("1")), change("bad", Set, Some("1"))],
            ErrorCode::InvalidConfig,
        ),
        (vec![change("x", Append, Some("1"))], ErrorCode::InvalidConfig),
        (vec![change("x", Set, None)], ErrorCode::InvalidRequest),
        (vec![change("x", Delete, None), change("x", Delete, None)], ErrorCode::InvalidRequest),
    ] {
        assert_eq!(alter(&refused, false), Err(code));
    }
    assert_eq!(alter(&[change("x", Set, Some("1"))], true), set(&[("x", "1")]));
}
