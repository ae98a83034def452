//! A directory that Apache Kafka 4.3.1 wrote, opened, written to, closed and opened again.
#![allow(
    clippy::disallowed_methods,
    reason = "the listing beside the fixture is read as it lies on the real disk"
)]

use afluente_env::Env;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::{Batches, Decompressor};
use afluente_storage::{
    Advance, AppendOptions, Log, LogDir, LogDirConfig, LogObserver, OpenReport, ReadData,
    ReadOutcome, ReadRequest, StorageError, TopicPartition, UpTo,
};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

struct Nobody;

impl LogObserver for Nobody {
    fn advanced(&self, _: &[Advance]) {}
    fn dir_offline(&self, reason: &StorageError) {
        panic!("{reason}");
    }
}

fn open(path: &Path) -> (LogDir, OpenReport) {
    let config = LogDirConfig::for_memory(64 << 20);
    LogDir::open(&Env::real(), path, config, Arc::new(Nobody)).unwrap()
}

fn read(log: &Arc<Log>, offset: Offset, up_to: UpTo) -> ReadData {
    let request = ReadRequest { offset, max_bytes: 64 << 10, at_least_one_batch: true, up_to };
    match log.read(request).unwrap() {
        ReadOutcome::Data(data) => data,
        ReadOutcome::Cold(cold) => {
            let (answer, answered) = sync_channel(1);
            log.read_cold(cold, move |outcome| answer.send(outcome).unwrap());
            answered.recv().unwrap().unwrap()
        }
    }
}

/// Offsets, timestamps and keys of all records that a reader sees.
fn records(log: &Arc<Log>, up_to: UpTo) -> Vec<(i64, i64, Option<Vec<u8>>)> {
    let end = if up_to == UpTo::LastStable { log.last_stable_offset() } else { log.end_offset() };
    let mut offset = log.start_offset();
    let mut seen = Vec::new();
    while offset < end {
        let data = read(log, offset, up_to);
        let bytes = data.records.into_bytes();
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            let header = batch.header();
            let is_aborted = header.attributes.is_transactional()
                && data.aborted.iter().any(|txn| {
                    txn.producer_id == header.producer_id
                        && txn.first_offset <= header.base_offset
                        && header.base_offset < txn.last_offset
                });
            if header.attributes.is_control() || is_aborted {
                continue;
            }
            let section = batch.uncompressed(&mut Decompressor::new(), 1 << 24).unwrap();
            for record in header.records(&section) {
                let record = record.unwrap();
                if record.offset >= offset && record.offset < end {
                    let key = record.key.map(<[u8]>::to_vec);
                    seen.push((record.offset.0, record.timestamp, key));
                }
            }
        }
        assert!(data.next_offset > offset, "a read at {offset} goes nowhere");
        offset = data.next_offset;
    }
    seen
}

fn log_of(dir: &LogDir, expected: &Value) -> Arc<Log> {
    let partition = i32::try_from(expected["partition"].as_i64().unwrap()).unwrap();
    let name = TopicPartition::new(expected["topic"].as_str().unwrap(), partition);
    dir.log(&name).unwrap_or_else(|| panic!("no log {name}"))
}

fn check(dir: &LogDir, listing: &[Value]) {
    for expected in listing {
        let log = log_of(dir, expected);
        let name = log.partition().to_string();
        assert_eq!(log.topic_id().to_string(), expected["topicId"].as_str().unwrap(), "{name}");
        assert_eq!(Some(log.start_offset().0), expected["start"].as_i64(), "{name}");
        assert_eq!(Some(log.end_offset().0), expected["end"].as_i64(), "{name}");
        log.set_high_watermark(log.end_offset());
        assert_eq!(Some(log.last_stable_offset().0), expected["lastStable"].as_i64(), "{name}");
        let seen = records(&log, UpTo::LogEnd);
        let expected_records: Vec<_> = expected["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| {
                // A character a byte.
                let key = record["key"].as_str().map(|key| key.chars().map(|c| c as u8).collect());
                (record["offset"].as_i64().unwrap(), record["timestamp"].as_i64().unwrap(), key)
            })
            .collect();
        let is_known = |seen: &(i64, i64, Option<Vec<u8>>)| expected_records.contains(seen);
        assert!(seen.iter().all(is_known), "{name}");
        let committed: Vec<_> =
            records(&log, UpTo::LastStable).iter().map(|(offset, ..)| *offset).collect();
        let expected: Vec<_> =
            expected["committed"].as_array().unwrap().iter().map(|o| o.as_i64().unwrap()).collect();
        assert_eq!(committed, expected, "{name}");
    }
}

#[test]
fn what_kafka_wrote_is_served_and_added_to_and_is_there_after_a_restart() {
    let root = afluente_harness::fixtures::kafka_node().unwrap();
    for which in ["clean", "crashed"] {
        let text = std::fs::read(root.path().join(format!("{which}.json"))).unwrap();
        let listing: Value = serde_json::from_slice(&text).unwrap();
        let listing = listing["partitions"].as_array().unwrap();
        let path = root.path().join(which);
        let (dir, report) = open(&path);
        assert!(report.imported >= listing.len() && !report.fresh, "{report:?}");
        check(&dir, listing);
        // A log of Kafka's goes on as a log of ours.
        let codec = listing.iter().find(|entry| entry["topic"] == "codec-zstd").unwrap();
        let log = log_of(&dir, codec);
        let end = log.end_offset();
        let options = AppendOptions::client(LeaderEpoch(50), Env::real().clock.wall_ms());
        log.append(crate::world::batch(&[b"ours"]), &options).unwrap();
        assert_eq!(log.end_offset(), end.plus(1));
        dir.close().unwrap();
        let (dir, report) = open(&path);
        assert!(report.clean && report.imported == 0, "{report:?}");
        let log = log_of(&dir, codec);
        let data = read(&log, end, UpTo::LogEnd);
        assert_eq!(
            crate::world::values(&data.records.into_bytes(), end),
            [(end.0, b"ours".to_vec())]
        );
        log.truncate_to(end).unwrap();
        check(&dir, listing);
        dir.close().unwrap();
    }
}
