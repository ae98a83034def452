//! What Apache Kafka 4.3.1 wrote, and what enemies made of it.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::disallowed_methods,
    reason = "the files of the fixture are damaged from outside, as an accident would"
)]

use super::*;
use crate::kafka_files::names::{SegmentFile, SegmentFileKind};
use afluente_env::disk::RealDisk;
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

const INTERVAL: u64 = 4096;

fn rules(partition: &KafkaPartition, is_clean: bool) -> ImportRules {
    ImportRules {
        is_clean,
        recovery_point: partition.recovery_point,
        start: partition.start,
        index_interval_bytes: INTERVAL,
    }
}

/// The fixture, unpacked for one test.
fn fixture() -> TempDir {
    afluente_harness::fixtures::kafka_node().unwrap()
}

fn listing(root: &TempDir, which: &str) -> Vec<Value> {
    let text = fs::read(root.path().join(format!("{which}.json"))).unwrap();
    let listing: Value = serde_json::from_slice(&text).unwrap();
    listing["partitions"].as_array().unwrap().clone()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

/// The partition that a listing's entry speaks of.
fn partition_of<'a>(dir: &'a KafkaDir, expected: &Value) -> &'a KafkaPartition {
    let topic = expected["topic"].as_str().unwrap();
    let is_it = |partition: &&KafkaPartition| {
        partition.name.topic == topic
            && i64::from(partition.name.partition.0) == number(&expected["partition"])
    };
    dir.partitions.iter().find(is_it).unwrap()
}

fn check_against_listing(log: &ImportedLog, expected: &Value) {
    let name = format!("{}-{}", expected["topic"], expected["partition"]);
    assert_eq!(log.topic_id.unwrap().to_string(), expected["topicId"].as_str().unwrap(), "{name}");
    assert_eq!(log.start.0, number(&expected["start"]), "{name}");
    assert_eq!(log.end.0, number(&expected["end"]), "{name}");
    assert_eq!(stable_of(log).0, number(&expected["lastStable"]), "{name}");
    for producer in expected["producers"].as_array().unwrap() {
        let id = afluente_protocol::numbers::ProducerId(number(&producer["producerId"]));
        let Some(entry) = log.producers.entry(id) else { panic!("{name}: no producer {id}") };
        let txn_start = entry.txn_start.map_or(-1, |start| start.0);
        assert_eq!(i64::from(entry.epoch.0), number(&producer["producerEpoch"]), "{name} {id}");
        assert_eq!(txn_start, number(&producer["currentTxnStart"]), "{name} {id}");
        assert_eq!(entry.last_timestamp_ms, number(&producer["lastTimestamp"]), "{name} {id}");
        let last_sequence = i64::from(entry.last_sequence());
        assert_eq!(last_sequence, number(&producer["lastSequence"]), "{name} {id}");
        let coordinator_epoch = i64::from(entry.coordinator_epoch);
        assert_eq!(coordinator_epoch, number(&producer["coordinatorEpoch"]), "{name} {id}");
    }
    // Each record was written in the epoch that the log now says it was.
    for record in expected["records"].as_array().unwrap() {
        let offset = Offset(number(&record["offset"]));
        let epoch = log.epochs.epoch_of(offset).map_or(-1, |epoch| epoch.0);
        assert_eq!(i64::from(epoch), number(&record["leaderEpoch"]), "{name} at {offset}");
    }
    check_committed(log, expected, &name);
}

/// The last stable offset, once all of the log is below the high watermark.
fn stable_of(log: &ImportedLog) -> Offset {
    let mut producers = log.producers.clone();
    producers.high_watermark_moved(log.end);
    producers.last_stable_offset(log.start, log.end)
}

/// Whether each producer of `some` is among those of `all`, as it is there. One that is read from
/// batches and not from a snapshot may be one that Kafka had forgotten.
fn assert_knows(all: &ImportedLog, some: &ImportedLog) {
    let all = all.producers.summaries();
    for producer in some.producers.summaries() {
        assert!(all.contains(&producer), "{producer:?} is not in {all:?}");
    }
}

/// What the transaction indexes hide from a `read_committed` reader is what Kafka hid.
fn check_committed(log: &ImportedLog, expected: &Value, name: &str) {
    let stable = stable_of(log);
    let aborted: Vec<_> = log.segments.iter().flat_map(|segment| segment.txns.txns()).collect();
    let mut committed = Vec::new();
    for segment in &log.segments {
        let file = SegmentFile::live(segment.base, SegmentFileKind::Log).to_string();
        let bytes = fs::read(log.path.join(file)).unwrap();
        let bytes = &bytes[..usize::try_from(segment.size_bytes).unwrap()];
        for batch in afluente_protocol::records::Batches::new(bytes) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            let header = batch.header();
            let is_hidden = header.attributes.is_control()
                || header.base_offset >= stable
                || header.attributes.is_transactional()
                    && aborted.iter().any(|txn| {
                        txn.producer_id == header.producer_id
                            && txn.first_offset <= header.base_offset
                            && header.base_offset < txn.last_offset
                    });
            if is_hidden {
                continue;
            }
            let mut decompressor = afluente_protocol::records::Decompressor::new();
            let section = batch.uncompressed(&mut decompressor, 1 << 24).unwrap();
            let offsets = header.records(&section).map(|record| record.unwrap().offset.0);
            committed.extend(offsets.filter(|offset| *offset >= log.start.0));
        }
    }
    let expected: Vec<_> = expected["committed"].as_array().unwrap().iter().map(number).collect();
    assert_eq!(committed, expected, "{name}");
}

#[test]
fn a_cleanly_stopped_node_is_read_as_its_clients_saw_it() {
    let root = fixture();
    let dir = read_dir(&RealDisk, &root.path().join("clean")).unwrap();
    assert!(dir.is_clean && dir.broker_epoch.is_some());
    assert_eq!(dir.meta.as_ref().unwrap().cluster_id, "AflueNteTestClusterIdA");
    assert_eq!(dir.notes, Vec::<String>::new());
    assert!(dir.others.iter().all(|(name, _)| name.topic == "gone"));
    for expected in listing(&root, "clean") {
        let partition = partition_of(&dir, &expected);
        let log = read_partition(&RealDisk, &partition.path, &rules(partition, true)).unwrap();
        check_against_listing(&log, &expected);
        assert_eq!((&log.actions, &log.notes), (&vec![], &vec![]), "{:?}", partition.path);
    }
    assert!(dir.partitions.iter().any(|partition| partition.cleaned_to.is_some()));
}

#[test]
fn a_killed_node_is_read_as_its_clients_saw_it_and_its_indexes_are_built_again() {
    let root = fixture();
    let dir = read_dir(&RealDisk, &root.path().join("crashed")).unwrap();
    assert!(!dir.is_clean);
    for expected in listing(&root, "crashed") {
        let partition = partition_of(&dir, &expected);
        let mut log = read_partition(&RealDisk, &partition.path, &rules(partition, false)).unwrap();
        check_against_listing(&log, &expected);
        log.apply(&RealDisk).unwrap();
        // Now it is as after a clean stop.
        let again = read_partition(&RealDisk, &partition.path, &rules(partition, true)).unwrap();
        assert_eq!((&again.actions, &again.notes), (&vec![], &vec![]), "{:?}", partition.path);
        check_against_listing(&again, &expected);
    }
}

/// Indexes that are built from the batches are those that Kafka wrote, byte for byte.
#[test]
fn indexes_built_again_are_kafkas_own() {
    let root = fixture();
    let dir = read_dir(&RealDisk, &root.path().join("clean")).unwrap();
    let mut compared = 0;
    for partition in &dir.partitions {
        let is_internal = partition.name.topic.starts_with("__");
        // `index.interval.bytes` of the fixture's topics.
        let rules = ImportRules { index_interval_bytes: 1024, ..rules(partition, true) };
        let kafkas = read_partition(&RealDisk, &partition.path, &rules).unwrap();
        for segment in &kafkas.segments {
            let index = SegmentFile::live(segment.base, SegmentFileKind::OffsetIndex).to_string();
            fs::remove_file(partition.path.join(index)).unwrap();
        }
        let ours = read_partition(&RealDisk, &partition.path, &rules).unwrap();
        for (ours, kafkas) in ours.segments.iter().zip(&kafkas.segments) {
            // Of a transaction that compaction has removed, the marker alone tells nothing.
            let known: Vec<_> = kafkas.txns.txns().iter().map(|txn| txn.last_offset).collect();
            assert!(ours.txns.txns().iter().all(|txn| known.contains(&txn.last_offset)));
            if !partition.name.topic.starts_with("compact") {
                assert_eq!(ours.txns, kafkas.txns, "{:?} {}", partition.path, ours.base);
            }
            assert_eq!(ours.newest, kafkas.newest, "{:?} {}", partition.path, ours.base);
            assert_eq!(ours.size_bytes, kafkas.size_bytes);
            // Kafka counts the interval anew after a restart: this one was appended to in two runs.
            let spans_a_restart = partition.name.topic == "transactions" && ours.base.0 == 12;
            if !is_internal && !spans_a_restart {
                assert_eq!(ours.offsets, kafkas.offsets, "{:?} {}", partition.path, ours.base);
                assert_eq!(ours.times, kafkas.times, "{:?} {}", partition.path, ours.base);
                compared += ours.offsets.len();
            }
        }
        assert_knows(&ours, &kafkas);
    }
    assert!(compared > 100, "{compared}");
}

/// A partition with several segments, producers and transactions, on its own.
fn one(which: &str, topic: &str) -> (TempDir, KafkaPartition) {
    let root = fixture();
    let dir = read_dir(&RealDisk, &root.path().join(which)).unwrap();
    let partition =
        dir.partitions.into_iter().find(|partition| partition.name.topic == topic).unwrap();
    (root, partition)
}

fn segment_path(partition: &KafkaPartition, base: i64) -> PathBuf {
    let name = SegmentFile::live(Offset(base), SegmentFileKind::Log).to_string();
    partition.path.join(name)
}

#[test]
fn a_flipped_bit_below_the_recovery_point_is_reported_and_nothing_is_touched() {
    let (_root, partition) = one("crashed", "idempotent");
    let path = segment_path(&partition, 164);
    let rules = ImportRules { recovery_point: Offset(250), ..rules(&partition, false) };
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 4;
    fs::write(&path, &bytes).unwrap();
    let error = read_partition(&RealDisk, &partition.path, &rules).unwrap_err();
    let ImportError::Damaged { path: named, position: 0, .. } = &error else { panic!("{error}") };
    assert_eq!(*named, path);
    let text = error.to_string();
    assert!(text.contains("is damaged at byte 0: expected a record batch, found"), "{text}");
    assert!(text.contains("another replica or from a backup"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn what_was_never_durable_is_cut_at_the_first_bad_byte() {
    let (_root, partition) = one("crashed", "idempotent");
    let rules = ImportRules { recovery_point: Offset(0), ..rules(&partition, false) };
    let whole = read_partition(&RealDisk, &partition.path, &rules).unwrap();
    assert_eq!(whole.segments.len(), 3);
    let path = segment_path(&partition, 164);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut log = read_partition(&RealDisk, &partition.path, &rules).unwrap();
    assert_eq!(log.segments.len(), 2);
    assert!(Offset(164) < log.end && log.end < Offset(321), "{}", log.end);
    assert_eq!(log.producers.end(), log.end);
    assert_eq!(log.notes.len(), 2, "{:?}", log.notes);
    log.apply(&RealDisk).unwrap();
    assert!(!segment_path(&partition, 321).exists());
    let cut = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    assert!(cut <= middle);
    assert_eq!(fs::read(&path).unwrap(), bytes[..cut]);
    // What is left is sound.
    let clean = ImportRules { is_clean: true, ..rules };
    let again = read_partition(&RealDisk, &partition.path, &clean).unwrap();
    assert_eq!((again.end, again.actions), (log.end, vec![]));
}

#[test]
fn a_segment_cut_at_any_byte_loses_no_batch_before_and_invents_none() {
    let (_root, partition) = one("crashed", "transactions");
    let path = segment_path(&partition, 0);
    let rules = ImportRules { recovery_point: Offset(0), ..rules(&partition, false) };
    let bytes = fs::read(&path).unwrap();
    let ends: Vec<_> = afluente_protocol::records::Batches::new(&bytes)
        .map(|batch| batch.unwrap())
        .map(|batch| (batch.bytes().len(), batch.header().next_offset()))
        .collect();
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let log = read_partition(&RealDisk, &partition.path, &rules).unwrap();
        let (mut at, mut end) = (0, Offset(0));
        for (size, next) in &ends {
            if at + size > cut {
                break;
            }
            (at, end) = (at + size, *next);
        }
        assert_eq!(log.segments[0].size_bytes, at as u64, "cut at {cut}");
        if at == cut {
            // Nothing shows that something is missing; the next segment only leaves a gap.
            assert_eq!(log.segments.len(), 2);
        } else {
            assert_eq!((log.end, log.segments.len()), (end, 1), "cut at {cut}");
            assert!(!log.notes.is_empty());
        }
        // Once durable, it is damage.
        let durable = ImportRules { recovery_point: Offset(100), ..rules };
        let result = read_partition(&RealDisk, &partition.path, &durable);
        assert_eq!(result.is_err(), at != cut, "cut at {cut}");
    }
}

#[test]
fn zeros_behind_the_last_batch_are_cut() {
    let (_root, partition) = one("crashed", "epochs");
    let rules = rules(&partition, false);
    let sound = read_partition(&RealDisk, &partition.path, &rules).unwrap();
    let path = segment_path(&partition, sound.segments.last().unwrap().base.0);
    let mut bytes = fs::read(&path).unwrap();
    let len = bytes.len();
    bytes.resize(len + 5000, 0);
    fs::write(&path, &bytes).unwrap();
    let log = read_partition(&RealDisk, &partition.path, &rules).unwrap();
    assert!(log.actions.contains(&FileAction::Cut { path, len: len as u64 }), "{:?}", log.actions);
}

#[test]
fn a_log_that_ends_before_its_recovery_point_is_damaged() {
    let (_root, partition) = one("clean", "epochs");
    for is_clean in [true, false] {
        let rules = ImportRules { recovery_point: Offset(181), ..rules(&partition, is_clean) };
        let error = read_partition(&RealDisk, &partition.path, &rules).unwrap_err().to_string();
        assert!(error.contains("expected batches up to offset 181"), "{error}");
        assert!(error.contains("found the end of the log at offset 180"), "{error}");
    }
}

#[test]
fn a_flipped_bit_of_an_index_or_snapshot_changes_nothing() {
    let (_root, partition) = one("clean", "transactions");
    let rules = rules(&partition, true);
    let sound = read_partition(&RealDisk, &partition.path, &rules).unwrap();
    let facts = |log: &ImportedLog| {
        let segments: Vec<_> =
            log.segments.iter().map(|s| (s.base, s.size_bytes, s.newest)).collect();
        (log.start, log.end, segments)
    };
    for name in [
        "00000000000000000000.index",
        "00000000000000000172.snapshot",
        "00000000000000000012.index",
    ] {
        let path = partition.path.join(name);
        let bytes = fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &damaged).unwrap();
            match read_partition(&RealDisk, &partition.path, &rules) {
                Err(error) => assert!(!error.to_string().is_empty()),
                Ok(log) => {
                    assert_eq!(facts(&log), facts(&sound), "{name} bit {bit}");
                    assert_knows(&log, &sound);
                }
            }
        }
        fs::write(&path, &bytes).unwrap();
    }
}

#[test]
fn lost_epochs_are_found_in_the_batches() {
    let (_root, partition) = one("clean", "epochs");
    let rules = rules(&partition, true);
    let sound = read_partition(&RealDisk, &partition.path, &rules).unwrap();
    assert!(sound.epochs.entries().len() > 1);
    fs::write(partition.path.join(LEADER_EPOCH_FILE), "0\n7\n").unwrap();
    let log = read_partition(&RealDisk, &partition.path, &rules).unwrap();
    assert_eq!(log.notes.len(), 1, "{:?}", log.notes);
    // An epoch in which nothing was written leaves no trace.
    for entry in log.epochs.entries() {
        assert!(sound.epochs.entries().contains(entry), "{entry:?}");
    }
    assert_eq!(log.epochs.entries().len(), 3);
}

const LEADER_EPOCH_FILE: &str = crate::leader_epochs::LEADER_EPOCH_CHECKPOINT_FILE;

#[test]
fn an_interrupted_compaction_is_finished_or_undone() {
    let (_root, partition) = one("clean", "idempotent");
    let rules = rules(&partition, true);
    let sound = read_partition(&RealDisk, &partition.path, &rules).unwrap();
    let dir = &partition.path;
    let bases: Vec<_> = sound.segments.iter().map(|segment| segment.base.0).collect();
    assert_eq!(bases, [0, 164]);
    // Written, but not complete: worth nothing.
    fs::write(dir.join("00000000000000000000.log.cleaned"), b"half").unwrap();
    fs::write(dir.join("00000000000000000000.log.swap"), b"renamed too early").unwrap();
    fs::write(dir.join("00000000000000000164.index.deleted"), b"old").unwrap();
    let mut log = read_partition(&RealDisk, dir, &rules).unwrap();
    assert_eq!((log.end, log.segments.len(), log.actions.len()), (sound.end, 2, 3));
    log.apply(&RealDisk).unwrap();
    assert!(read_partition(&RealDisk, dir, &rules).unwrap().actions.is_empty());
    // Complete: it takes the place of both segments, here with both in one.
    let joined: Vec<u8> =
        bases.iter().flat_map(|base| fs::read(segment_path(&partition, *base)).unwrap()).collect();
    fs::write(dir.join("00000000000000000000.log.swap"), &joined).unwrap();
    for removed in [false, true] {
        // Before or after the old segments were given up.
        if removed {
            fs::remove_file(segment_path(&partition, 164)).unwrap();
        }
        let log = read_partition(&RealDisk, dir, &rules).unwrap();
        assert_eq!((log.end, log.segments.len()), (sound.end, 1), "{:?}", log.notes);
        assert_eq!(log.segments[0].size_bytes, joined.len() as u64);
    }
    let mut log = read_partition(&RealDisk, dir, &rules).unwrap();
    log.apply(&RealDisk).unwrap();
    let again = read_partition(&RealDisk, dir, &rules).unwrap();
    assert_eq!((again.end, again.segments.len()), (sound.end, 1));
    assert_eq!(again.actions, vec![]);
    assert_knows(&again, &sound);
}

#[test]
fn a_start_behind_the_end_leaves_an_empty_log() {
    let (_root, partition) = one("clean", "epochs");
    let rules = ImportRules { start: Some(Offset(500)), ..rules(&partition, true) };
    let mut log = read_partition(&RealDisk, &partition.path, &rules).unwrap();
    assert_eq!((log.start, log.end, log.segments.len()), (Offset(500), Offset(500), 0));
    log.apply(&RealDisk).unwrap();
    assert!(!segment_path(&partition, 0).exists());
}

#[test]
fn messages_from_before_kafka_0_11_are_called_by_name() {
    let root = tempfile::tempdir().unwrap();
    // One message of format v1: null key, value "x".
    let body = [&[1, 0][..], &[0; 8], &[0xff; 4], &[0, 0, 0, 1], b"x"].concat();
    let crc = crc32_ieee(&body);
    let size = u32::try_from(body.len() + 4).unwrap();
    let message = [&[0; 8][..], &size.to_be_bytes(), &crc.to_be_bytes(), &body].concat();
    fs::write(root.path().join("00000000000000000000.log"), &message).unwrap();
    let rules = ImportRules {
        is_clean: false,
        recovery_point: Offset(0),
        start: None,
        index_interval_bytes: INTERVAL,
    };
    let error = read_partition(&RealDisk, root.path(), &rules).unwrap_err();
    assert!(matches!(error, ImportError::Legacy { magic: 1, position: 0, .. }), "{error}");
    // The same without its checksum is rubbish.
    let mut rubbish = message;
    rubbish[12] ^= 1;
    fs::write(root.path().join("00000000000000000000.log"), &rubbish).unwrap();
    let log = read_partition(&RealDisk, root.path(), &rules).unwrap();
    assert_eq!((log.end, log.notes.len()), (Offset(0), 1));
}

/// CRC-32 (IEEE), bit by bit.
fn crc32_ieee(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
