//! What of Apache Kafka's data directories is taken over, and what is refused.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the directory of a real Apache Kafka lies on the real disk"
)]

use afluente_harness::fixtures;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

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
