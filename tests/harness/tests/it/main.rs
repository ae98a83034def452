//! The harness against the real Apache Kafka.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "damages files on purpose")]

use std::io::{Seek, SeekFrom, Write};

use afluente_harness::broker::{Broker, Program};
use afluente_harness::dump_log::{dump_directory, dump_files};
use afluente_harness::fixtures;
use afluente_harness::java::{Jars, Java, output_of};

#[test]
fn a_broker_starts_answers_its_tools_and_comes_back_after_stop_and_kill() {
    let Some(java) = Java::or_skip(Jars::Kafka, "a real Apache Kafka") else { return };
    let mut broker = Broker::start(Program::Apache(java.clone()), &[]).unwrap();
    let topics = |arguments: &[&str]| {
        let mut command = java.class("org.apache.kafka.tools.TopicCommand");
        output_of(command.args(["--bootstrap-server", &broker.bootstrap()]).args(arguments))
            .unwrap()
    };
    topics(&["--create", "--topic", "kept", "--partitions", "2"]);
    assert_eq!(topics(&["--list"]), "kept\n");

    broker.stop().unwrap();
    broker.start_again().unwrap();
    broker.kill().unwrap();
    broker.start_again().unwrap();
    assert!(broker.data_dir().join("kept-1").is_dir());
    broker.stop().unwrap();
}

#[test]
fn apache_kafka_serves_the_fixture_on_other_ports() {
    let Some(java) = Java::or_skip(Jars::Kafka, "Apache Kafka on the fixture") else { return };
    let fixture = fixtures::kafka_node().unwrap();
    let data_dir = fixture.path().join("clean");
    let settings = vec![("log.retention.ms".into(), "-1".into())];
    let mut broker =
        Broker::start_on(Program::Apache(java.clone()), Some(&data_dir), settings).unwrap();
    let mut command = java.class("org.apache.kafka.tools.GetOffsetShell");
    command.args(["--bootstrap-server", &broker.bootstrap(), "--topic", "retained"]);
    assert_eq!(output_of(&mut command).unwrap(), "retained:0:400\n");
    broker.stop().unwrap();
}

#[test]
fn dump_log_reads_the_fixture_and_complains_about_damage() {
    let Some(java) = Java::or_skip(Jars::Kafka, "kafka-dump-log") else { return };
    let fixture = fixtures::kafka_node().unwrap();
    let dir = fixture.path().join("clean");
    let dump = dump_directory(&java, &dir).unwrap();
    dump.ensure_clean().unwrap();

    let log = dump.file("codec-zstd-0/00000000000000000000.log").unwrap();
    assert_eq!(log.batches[0].header.text("compresscodec").unwrap(), "zstd");
    let count = log.batches[0].header.number("count").unwrap();
    assert_eq!(log.batches[0].records.len() as i64, count);
    assert_eq!(log.batches[0].records[1].number("offset").unwrap(), 1);
    let snapshot = dump.file("transactions-0/00000000000000000172.snapshot").unwrap();
    assert_eq!(snapshot.entries[0].optional_number("currentTxnFirstOffset").unwrap(), Some(162));
    assert!(dump.gaps.iter().any(|gap| gap.path.starts_with(dir.join("compacted-transactions-0"))));

    // Bytes in the middle of a batch, then an index that points elsewhere.
    let damaged = dir.join("codec-none-0/00000000000000000000.log");
    overwrite(&damaged, 200, b"\x55");
    assert!(dump_files(&java, &[damaged]).unwrap().ensure_clean().is_err());
    let damaged = dir.join("many-0/00000000000000000000.timeindex");
    overwrite(&damaged, 0, &[0x7f; 12]);
    assert!(dump_files(&java, &[damaged]).unwrap().ensure_clean().is_err());
}

fn overwrite(path: &std::path::Path, at: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}
