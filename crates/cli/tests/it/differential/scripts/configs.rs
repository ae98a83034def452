//! Configurations of topics, brokers, groups and client metrics.

use super::super::Both;
use super::{Dice, make_topics};
use afluente_protocol::messages::alter_configs_request as full;
use afluente_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use afluente_protocol::messages::incremental_alter_configs_request as incremental;
use afluente_protocol::messages::list_config_resources_request::ListConfigResourcesRequest;

pub(crate) fn script(both: &mut Both, dice: &mut Dice) {
    make_topics(both, dice);
    for _ in 0..12 {
        match dice.number(5) {
            0 => alter(both, dice),
            1 | 2 => alter_incrementally(both, dice),
            3 => describe(both, dice),
            _ => list(both, dice),
        }
    }
}

/// A key of a topic with a value that may be wrong.
pub(crate) fn topic_config(dice: &mut Dice) -> (String, Option<String>) {
    let (name, values): (&str, &[&str]) = dice.pick(&[
        (
            "cleanup.policy",
            &["compact", "delete", "compact,delete", "delete, compact", "", "shrink"][..],
        ),
        ("retention.ms", &["1000", "-1", "-2", "x", " 7 ", "9223372036854775807", "1.5"]),
        ("retention.bytes", &["1000", "-1", "-2", "99999999999999999999"]),
        ("segment.bytes", &["1048576", "13", "2147483648", "-1"]),
        ("segment.ms", &["1", "0", "60000"]),
        ("max.message.bytes", &["0", "1000012", "-1", "x"]),
        ("min.insync.replicas", &["1", "2", "0"]),
        ("compression.type", &["gzip", "zstd", "producer", "uncompressed", "GZIP", "none"]),
        ("compression.gzip.level", &["-1", "9", "0", "10"]),
        ("compression.lz4.level", &["1", "17", "18", "0"]),
        ("compression.zstd.level", &["3", "22", "23"]),
        ("message.timestamp.type", &["CreateTime", "LogAppendTime", "createtime"]),
        ("min.cleanable.dirty.ratio", &["0.5", "1", "1.1", "-0.1", "a"]),
        ("unclean.leader.election.enable", &["true", "FALSE", "yes"]),
        ("flush.messages", &["1", "0"]),
        ("index.interval.bytes", &["0", "4096", "-1"]),
        ("delete.retention.ms", &["0", "-1"]),
        ("min.compaction.lag.ms", &["0", "100", "-1"]),
        ("max.compaction.lag.ms", &["1", "0", "9223372036854775807"]),
        ("local.retention.ms", &["-2", "1000"]),
        ("remote.storage.enable", &["true", "false"]),
        ("leader.replication.throttled.replicas", &["*", "0:1", "", "x"]),
        ("message.format.version", &["3.0"]),
        ("preallocate", &["true", "1"]),
        ("no.such.key", &["1"]),
    ]);
    let value = if dice.rarely(12) { None } else { Some(dice.pick(values).to_owned()) };
    (name.to_owned(), value)
}

fn resource(dice: &mut Dice) -> (i8, String) {
    match dice.number(14) {
        0 => (4, dice.pick(&["1", "", "9", "x"]).to_owned()),
        1 => (dice.pick(&[0, 3, 64, 8, -1]), dice.name("a")),
        2 => (32, dice.name("group")),
        3 => (16, dice.name("metrics")),
        4 => (2, dice.topic()),
        _ => (2, dice.name(dice.pick_of_two())),
    }
}

/// A key and value for a resource of that type.
fn config(dice: &mut Dice, resource_type: i8) -> (String, Option<String>) {
    let (name, values): (&str, &[&str]) = match resource_type {
        4 => dice.pick(&[
            ("no.such.key", &["1"][..]),
            ("broker.id", &["7"]),
            ("log.retention.ms", &["x", "-5"]),
            ("num.io.threads", &["0", "x"]),
        ]),
        32 => dice.pick(&[
            ("consumer.session.timeout.ms", &["45000", "1", "x"][..]),
            ("consumer.heartbeat.interval.ms", &["5000", "5001", "1"]),
            ("no.such.key", &["1"]),
        ]),
        16 => dice.pick(&[
            ("interval.ms", &["1000", "1", "x"][..]),
            ("metrics", &["", "org.apache.kafka.producer."]),
            ("match", &["client_id=a.*", "bad", "nope=1"]),
            ("no.such.key", &["1"]),
        ]),
        _ => return topic_config(dice),
    };
    (name.to_owned(), Some(dice.pick(values).to_owned()))
}

fn alter(both: &mut Both, dice: &mut Dice) {
    let (resource_type, resource_name) = resource(dice);
    if resource_type == 4 {
        return;
    }
    let configs = (0..dice.number(3))
        .map(|_| config(dice, resource_type))
        .map(|(name, value)| full::AlterableConfig { name, value })
        .collect();
    let request = full::AlterConfigsRequest {
        resources: vec![full::AlterConfigsResource { resource_type, resource_name, configs }],
        validate_only: dice.rarely(3),
    };
    both.ask(dice.version(0..=2), |_| request.clone());
}

fn alter_incrementally(both: &mut Both, dice: &mut Dice) {
    let mut resources = Vec::new();
    for _ in 0..=dice.number(6) / 5 {
        let (resource_type, resource_name) = resource(dice);
        let mut configs = Vec::new();
        for _ in 0..1 + dice.number(5) / 4 {
            let (name, value) = config(dice, resource_type);
            let config_operation =
                if resource_type == 2 { dice.pick(&[0, 0, 0, 1, 2, 3, 7]) } else { 0 };
            configs.push(incremental::AlterableConfig { name, config_operation, value });
        }
        resources.push(incremental::AlterConfigsResource { resource_type, resource_name, configs });
    }
    let request =
        incremental::IncrementalAlterConfigsRequest { resources, validate_only: dice.rarely(3) };
    both.ask(dice.version(0..=1), |_| request.clone());
}

fn describe(both: &mut Both, dice: &mut Dice) {
    let (resource_type, resource_name) = resource(dice);
    // All the keys of a broker are those of one product.
    let keys = match resource_type {
        4 | 8 => Some(vec![
            "num.partitions".to_owned(),
            "no.such.key".to_owned(),
            "log.retention.ms".to_owned(),
        ]),
        _ if dice.rarely(3) => Some(vec![topic_config(dice).0]),
        _ => None,
    };
    let version = dice.version(1..=4);
    let resources =
        vec![DescribeConfigsResource { resource_type, resource_name, configuration_keys: keys }];
    let request = DescribeConfigsRequest {
        resources,
        include_synonyms: dice.rarely(2),
        include_documentation: false,
    };
    let mut sorted = request.clone();
    sorted.include_documentation = false;
    both.ask(version, |_| sorted.clone());
}

fn list(both: &mut Both, dice: &mut Dice) {
    let version = dice.version(0..=1);
    let resource_types = if version == 0 { Vec::new() } else { vec![dice.pick(&[16, 4, 8, 1, 0])] };
    both.ask(version, |_| ListConfigResourcesRequest { resource_types: resource_types.clone() });
}

impl Dice {
    pub(super) fn pick_of_two(&self) -> &'static str {
        ["a", "b"][(self.state % 2) as usize]
    }
}
