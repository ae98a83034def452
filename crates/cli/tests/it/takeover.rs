//! A data directory goes from Apache Kafka to us and back, and from us to Apache Kafka.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the directory of a real Apache Kafka lies on the real disk"
)]

use afluente_harness::broker::{Broker, Program};
use afluente_harness::fixtures;
use afluente_harness::java::{Jars, Java, java_dir, output_of};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Records and offsets of the fixture are of a fixed day, and are not to grow too old. A snapshot
/// of the metadata every few changes.
const OVERRIDES: &[(&str, &str)] = &[
    ("offsets.topic.num.partitions", "2"),
    ("transaction.state.log.num.partitions", "2"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("log.retention.ms", "-1"),
    ("offsets.retention.minutes", "2147483"),
    ("metadata.log.max.record.bytes.between.snapshots", "3000"),
];

const APACHE_OVERRIDES: &[(&str, &str)] = &[
    ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
    ("super.users", "User:ANONYMOUS"),
    ("allow.everyone.if.no.acl.found", "true"),
];

fn owned(overrides: &[&[(&str, &str)]]) -> Vec<(String, String)> {
    let pairs = overrides.iter().flat_map(|some| some.iter());
    pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn ours(dir: &Path) -> Broker {
    let program = Program::Afluente(env!("CARGO_BIN_EXE_afluente").into());
    let overrides = owned(&[OVERRIDES, &[("http.listener", "")]]);
    Broker::start_on(program, Some(dir), overrides).unwrap()
}

fn apache(java: &Java, dir: &Path) -> Broker {
    let overrides = owned(&[OVERRIDES, APACHE_OVERRIDES]);
    Broker::start_on(Program::Apache(java.clone()), Some(dir), overrides).unwrap()
}

fn node(java: &Java, broker: &Broker, arguments: &[&str]) {
    let mut program = java.program(&java_dir().join("FixtureNode.java"));
    let run = output_of(program.arg(broker.bootstrap()).args(arguments));
    run.unwrap_or_else(|error| panic!("{error:#}\n{}", broker.log()));
}

/// What a client sees of the whole node.
fn listing(java: &Java, broker: &Broker) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("listing.json");
    node(java, broker, &["list", &file.display().to_string()]);
    read(&file)
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// The partitions of a listing by name, without the coordinators' own.
fn partitions(listing: &Value) -> BTreeMap<String, &Value> {
    let all = listing["partitions"].as_array().unwrap().iter();
    let named =
        all.map(|one| (format!("{}-{}", one["topic"].as_str().unwrap(), one["partition"]), one));
    named.filter(|(name, _)| !name.starts_with("__")).collect()
}

/// What was set while a broker ran, but for Kafka's internal keys, which are not shown here.
fn dynamic_configs(listing: &Value) -> Vec<&Value> {
    let all = listing["dynamicConfigs"].as_array().unwrap().iter();
    all.filter(|one| !one["key"].as_str().unwrap().starts_with("internal.")).collect()
}

/// Compares what clients see before and after. `moved` names topics in which coordinators have
/// written since: what they hold is to be the same, where it ends is not.
fn assert_same(before: &Value, after: &Value, moved: &[&str]) {
    let (old, new) = (partitions(before), partitions(after));
    assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>());
    for (name, old) in &old {
        let topic = old["topic"].as_str().unwrap();
        let mut fields = vec!["topicId", "start", "records"];
        if !moved.contains(&topic) {
            fields.extend(["end", "lastStable", "committed"]);
            // Apache Kafka's time index lags behind what compaction and deletion left.
            if !topic.starts_with("compact") && topic != "deleted-all" {
                fields.push("offsetsForTimes");
            }
        }
        for field in fields {
            assert_eq!(old[field], new[name][field], "{field} of {name}");
        }
    }
    for field in ["clusterId", "quotas", "scramUsers", "groups"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    assert_eq!(dynamic_configs(before), dynamic_configs(after));
}

#[test]
fn a_directory_of_apache_kafka_is_served_and_given_back() {
    let Some(java) = Java::or_skip(Jars::Kafka, "Apache Kafka's directory") else { return };
    let fixture = fixtures::kafka_node().unwrap();
    let dir = fixture.path().join("clean");
    let before = read(&fixture.path().join("clean.json"));

    // A transaction that was left open is aborted, as Apache Kafka would.
    let mut broker = ours(&dir);
    assert_same(&before, &listing(&java, &broker), &["transactions"]);
    node(&java, &broker, &["second"]);
    broker.stop().unwrap();
    broker.start_again().unwrap();
    let while_ours = listing(&java, &broker);
    let transactions = &partitions(&while_ours)["transactions-0"]["committed"];
    assert!(transactions.as_array().unwrap().len() > 50, "{transactions}");
    broker.stop().unwrap();
    drop(broker);

    let mut broker = apache(&java, &dir);
    let given_back = listing(&java, &broker);
    assert_same(&while_ours, &given_back, &[]);
    assert_eq!(before["acls"], given_back["acls"]);
    node(&java, &broker, &["third"]);
    broker.stop().unwrap();
    drop(broker);

    // And once more: what Apache Kafka wrote on top of ours.
    let mut broker = ours(&dir);
    let names = partitions(&given_back).into_keys().collect::<Vec<_>>();
    let again = listing(&java, &broker);
    assert_eq!(names, partitions(&again).into_keys().collect::<Vec<_>>());
    let epochs = partitions(&again)["epochs-0"]["records"].as_array().unwrap().len();
    assert_eq!(
        epochs,
        partitions(&given_back)["epochs-0"]["records"].as_array().unwrap().len() + 60
    );
    broker.stop().unwrap();
}

#[test]
fn a_directory_born_here_is_served_by_apache_kafka() {
    let Some(java) = Java::or_skip(Jars::Kafka, "Apache Kafka on our directory") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut broker = ours(dir.path());
    node(&java, &broker, &["born"]);
    broker.stop().unwrap();
    broker.start_again().unwrap();
    let before = listing(&java, &broker);
    assert_eq!(partitions(&before).len(), 19);
    broker.stop().unwrap();
    drop(broker);
    let snapshots = files(&dir.path().join("__cluster_metadata-0"), ".checkpoint");
    // Not only the one that every directory is born with.
    assert!(
        snapshots.iter().any(|name| !name.starts_with("00000000000000000000-")),
        "{snapshots:?}"
    );

    let mut broker = apache(&java, dir.path());
    assert_same(&before, &listing(&java, &broker), &[]);
    broker.stop().unwrap();
}

fn files(dir: &Path, suffix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(suffix)).collect()
}

/// Every file below `dir` with its bytes.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() {
            let below = contents(&entry.path()).into_iter();
            all.extend(below.map(|(rest, bytes)| (format!("{name}/{rest}"), bytes)));
        } else {
            all.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    all
}

#[test]
fn what_cannot_be_taken_over_is_refused_by_name_before_a_byte_is_changed() {
    let fixture = fixtures::kafka_node().unwrap();
    let dir = fixture.path().join("clean");
    let before = contents(&dir);
    let refused = |overrides: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afluente"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--override", "http.listener="]);
        command.arg("--data-dir").arg(&dir).args(overrides).env_clear();
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = refused(&["--override", "node.id=2"]);
    assert!(told.contains("set node.id=1"), "{told}");
    assert!(contents(&dir) == before, "the directory has changed");

    // A cluster of two: the registration of another broker, at the end of the metadata log.
    let log = dir.join("__cluster_metadata-0");
    let segment = files(&log, ".log").into_iter().max().unwrap();
    let mut bytes = std::fs::read(log.join(&segment)).unwrap();
    bytes.extend_from_slice(&second_broker());
    std::fs::write(log.join(&segment), bytes).unwrap();
    let before = contents(&dir);
    let told = refused(&[]);
    assert!(told.contains("with other brokers too ([2])"), "{told}");
    assert!(contents(&dir) == before, "the directory has changed");

    // Partitions, and nothing that says whose they are.
    std::fs::remove_dir_all(&log).unwrap();
    let before = contents(&dir);
    let told = refused(&[]);
    assert!(told.contains("and no __cluster_metadata-0"), "{told}");
    assert!(contents(&dir) == before, "the directory has changed");
}

/// A batch with the record that registers broker 2.
fn second_broker() -> Vec<u8> {
    use afluente_protocol::messages::metadata::MetadataRecord;
    use afluente_protocol::messages::metadata::register_broker_record::RegisterBrokerRecord;
    use afluente_protocol::metadata_log::write_metadata_record;
    use afluente_protocol::numbers::Offset;
    use afluente_protocol::records::{BatchBuilder, BatchOptions, Compressor, NewRecord};
    let record = RegisterBrokerRecord { broker_id: 2, ..RegisterBrokerRecord::default() };
    let value = write_metadata_record(&MetadataRecord::RegisterBroker(record), 3).unwrap();
    let options = BatchOptions { base_offset: Offset(1 << 40), ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    let record = NewRecord { timestamp: 0, key: None, value: Some(&value), headers: &[] };
    builder.append(&record).unwrap();
    builder.finish(&mut Compressor::new()).unwrap().to_vec()
}
