//! One thing at a time.

use crate::world::{World, batch, keyed_batch, timed_batch};
use afluente_protocol::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, BatchProducer, Compressor, EndTxnMarker, MarkerPlace, NewRecord,
    TxnOutcome,
};
use afluente_storage::log_config::{CleanupPolicy, Durability, LogConfig};
use afluente_storage::origin::AppendOrigin;
use afluente_storage::{AppendError, AppendOptions, CleanerConfig, TimestampQuery};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn value(n: u64, len: usize) -> Vec<u8> {
    let mut value = n.to_be_bytes().to_vec();
    value.resize(len.max(8), b'x');
    value
}

fn check_values(found: &[(i64, Vec<u8>)], count: u64, len: usize) {
    assert_eq!(found.len() as u64, count);
    for (n, (offset, bytes)) in found.iter().enumerate() {
        assert_eq!((*offset, bytes), (n as i64, &value(n as u64, len)));
    }
}

#[test]
fn what_was_appended_is_durable_after_a_commit_and_there_after_any_stop() {
    let mut world = World::new(1);
    let log = world.create("a", LogConfig::default());
    for n in 0..100 {
        let appended = world.append(&log, batch(&[&value(n, 100)])).unwrap();
        assert_eq!(appended.base_offset, Offset(n as i64));
        assert!(log.durable_end() < appended.end);
    }
    world.settle();
    assert_eq!(log.durable_end(), Offset(100));
    for stop in [World::kill, World::cut_power, World::restart, World::kill] {
        drop(world.log("a"));
        world = stop(world);
        let log = world.log("a");
        assert_eq!((log.end_offset(), log.durable_end()), (Offset(100), Offset(100)));
        check_values(&world.read_all(&log, Offset(0)), 100, 100);
    }
}

#[test]
fn a_clean_stop_leaves_nothing_to_replay() {
    let world = World::new(1);
    let log = world.create("a", LogConfig::default());
    for n in 0..100 {
        world.append(&log, batch(&[&value(n, 1000)])).unwrap();
    }
    drop(log);
    let world = world.restart();
    assert!(world.report.clean);
    assert_eq!((world.report.replayed_entries, world.report.logs), (0, 1));
    check_values(&world.read_all(&world.log("a"), Offset(0)), 100, 1000);
}

#[test]
fn more_than_memory_and_journal_hold_goes_through_and_is_read_back() {
    for durability in [Durability::Sync, Durability::Replicated] {
        let mut world = World::new(2);
        let config = LogConfig { segment_bytes: 3 << 20, durability, ..LogConfig::default() };
        let log = world.create("a", config);
        let count = 20_000;
        let len = 1000;
        for n in 0..count {
            let batch = batch(&[&value(n, len)]);
            while world.append(&log, batch.clone()).is_err() {
                world.settle();
            }
            if n % 7 == 0 {
                world.machine.workers().step_one();
            }
        }
        world.pass(Duration::from_secs(1));
        assert_eq!(log.durable_end(), Offset(count as i64));
        check_values(&world.read_all(&log, Offset(0)), count, len);
        let figures = world.dir.figures();
        assert!(figures.tail_bytes <= 5 << 20, "{figures:?}");
        assert!(figures.checkpoints > 5, "{figures:?}");
        drop(log);
        for stop in [World::cut_power, World::kill, World::restart] {
            world = stop(world);
            check_values(&world.read_all(&world.log("a"), Offset(0)), count, len);
        }
    }
}

#[test]
fn a_batch_larger_than_a_journal_file_is_cut_into_frames() {
    let mut world = World::new(3);
    let config = LogConfig { max_message_bytes: 8 << 20, ..LogConfig::default() };
    let log = world.create("a", config);
    for n in 0..4 {
        let batch = batch(&[&value(n, 2_500_000)]);
        while world.append(&log, batch.clone()).is_err() {
            world.settle();
        }
        world.settle();
    }
    assert_eq!(log.durable_end(), Offset(4));
    drop(log);
    for stop in [World::cut_power, World::kill, World::restart] {
        world = stop(world);
        check_values(&world.read_all(&world.log("a"), Offset(0)), 4, 2_500_000);
    }
}

#[test]
fn compaction_keeps_the_last_record_of_each_key_whatever_stops_it() {
    for seed in 0..30 {
        let mut world = World::new(seed);
        let config = || LogConfig {
            cleanup_policy: CleanupPolicy { compact: true, delete: false },
            segment_bytes: 60_000,
            min_cleanable_dirty_ratio: 0.1,
            ..LogConfig::default()
        };
        let log = world.create("a", config());
        let mut last = BTreeMap::new();
        for n in 0..1500_u64 {
            let key = [(n * 7 % 50) as u8];
            let appended = world.append(&log, keyed_batch(&key, &value(n, 200))).unwrap();
            last.insert(key, (appended.base_offset.0, value(n, 200)));
            world.settle();
        }
        drop(log);
        let stops = [World::kill, World::cut_power, World::restart];
        for round in 0..4 {
            let log = world.log("a");
            log.set_config(Arc::new(config())).unwrap();
            // Time for the look at all logs, stopped somewhere in what follows from it.
            let end = world.env.clock.now() + world.config.retention_interval;
            world.machine.clock().advance_to(end);
            for _ in 0..world.env.rng.range(0..30) {
                world.machine.workers().step_one();
            }
            drop(log);
            world = stops[(seed as usize + round) % 3](world);
        }
        let log = world.log("a");
        log.set_config(Arc::new(config())).unwrap();
        world.pass(world.config.retention_interval * 2);
        let found = world.read_all(&log, Offset(0));
        assert!(found.len() < 600, "{seed}: {} of 1,500 records are left", found.len());
        for (offset, bytes) in last.values() {
            assert!(found.contains(&(*offset, bytes.clone())), "{seed}: {offset} is gone");
        }
        assert!(found.is_sorted_by(|a, b| a.0 < b.0));
    }
}

#[test]
fn compaction_goes_as_it_is_told_while_the_directory_is_open() {
    let world = World::new(1);
    let off = CleanerConfig { is_enabled: false, ..CleanerConfig::default() };
    world.dir.set_cleaner(off);
    for name in ["a", "b"] {
        let config = LogConfig {
            cleanup_policy: CleanupPolicy { compact: true, delete: false },
            segment_bytes: 60_000,
            ..LogConfig::default()
        };
        let log = world.create(name, config);
        for n in 0..1500_u64 {
            world.append(&log, keyed_batch(&[(n % 50) as u8], &value(n, 200))).unwrap();
            world.settle();
        }
        log.set_high_watermark(log.durable_end());
    }
    let left = || ["a", "b"].map(|name| world.read_all(&world.log(name), Offset(0)).len());
    world.pass(Duration::from_secs(600));
    assert_eq!(left(), [1500, 1500], "it is off");

    // A pass over one of them reads some hundred kilobytes: minutes at this rate.
    world.dir.set_cleaner(CleanerConfig { bytes_per_second_max: 2_000.0, ..Default::default() });
    world.pass(Duration::from_secs(30));
    let done = left().into_iter().filter(|left| *left < 600).count();
    assert_eq!(done, 1, "{:?}: one, and then a pause", left());
    world.pass(Duration::from_secs(600));
    assert!(left().into_iter().all(|left| left < 600), "{:?}", left());
}

/// The aborted record is the newest of its key until one looks into a later segment, where its
/// transaction ends.
#[test]
fn compaction_passes_over_aborted_records_whose_marker_lies_segments_away() {
    let world = World::new(9);
    let config = LogConfig {
        cleanup_policy: CleanupPolicy { compact: true, delete: false },
        segment_bytes: 20_000,
        min_cleanable_dirty_ratio: 0.01,
        ..LogConfig::default()
    };
    let log = world.create("a", config);
    let fill = |from: u64| {
        for n in from..from + 300 {
            world.append(&log, keyed_batch(&[2 + (n % 50) as u8], &value(n, 200))).unwrap();
            world.settle();
        }
    };
    world.append(&log, keyed_batch(&[1], b"committed")).unwrap();
    let producer = BatchProducer { id: ProducerId(7), epoch: ProducerEpoch(0), base_sequence: 0 };
    let mut builder = BatchBuilder::new(BatchOptions {
        producer,
        is_transactional: true,
        ..BatchOptions::default()
    });
    let record =
        NewRecord { timestamp: 1_000_000, key: Some(&[1]), value: Some(b"aborted"), headers: &[] };
    builder.append(&record).unwrap();
    world.append(&log, builder.finish(&mut Compressor::new()).unwrap()).unwrap();
    fill(0);
    let place = MarkerPlace {
        offset: Offset(0),
        partition_leader_epoch: LeaderEpoch(0),
        timestamp: 1_000_000,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
    };
    let marker = EndTxnMarker { outcome: TxnOutcome::Abort, coordinator_epoch: 0 }.batch(place);
    let now_ms = world.env.clock.wall_ms();
    let coordinator = AppendOptions {
        origin: AppendOrigin::Coordinator,
        ..AppendOptions::client(LeaderEpoch(0), now_ms)
    };
    log.append(marker, &coordinator).unwrap();
    fill(300);
    log.set_high_watermark(log.end_offset());
    world.pass(world.config.retention_interval * 2);
    let found = world.read_all(&log, Offset(0));
    assert!(found.len() < 400, "{} of 603 records are left", found.len());
    assert!(found.contains(&(0, b"committed".to_vec())), "the committed record is gone");
    assert!(!found.iter().any(|(_, bytes)| bytes == b"aborted"));
}

#[test]
fn old_segments_go_by_size_and_by_age_and_their_files_too() {
    let world = World::new(4);
    let config = LogConfig {
        segment_bytes: 100_000,
        retention_bytes: 300_000,
        retention_ms: -1,
        ..LogConfig::default()
    };
    let log = world.create("a", config);
    for n in 0..1000 {
        world.append(&log, batch(&[&value(n, 1000)])).unwrap();
        world.settle();
    }
    world.pass(world.config.retention_interval * 2);
    let start = log.start_offset();
    assert!(start.0 > 600 && log.size_bytes() < 420_000, "{start}, {} bytes", log.size_bytes());
    let files = world.env.disk.read_dir("/data/a-0".as_ref()).unwrap();
    let logs = files.iter().filter(|file| file.name.ends_with(".log")).count();
    assert!(logs <= 5, "{files:?}");
    drop(log);
    let world = world.kill();
    let log = world.log("a");
    assert_eq!(log.start_offset(), start);
    assert_eq!(world.read_all(&log, start).len() as i64, 1000 - start.0);
}

#[test]
fn a_record_is_found_by_its_timestamp_in_memory_and_on_disk() {
    let mut world = World::new(5);
    let log = world.create("a", LogConfig { segment_bytes: 20_000, ..LogConfig::default() });
    for n in 0..200 {
        let batch = timed_batch(1_000_000 + n * 10, &value(n as u64, 500));
        world.append(&log, batch).unwrap();
        world.settle();
    }
    drop(log);
    for stop in [World::kill, World::restart] {
        world = stop(world);
        let log = world.log("a");
        for (query, expected) in [
            (TimestampQuery::At(0), Some(0)),
            (TimestampQuery::At(1_000_000), Some(0)),
            (TimestampQuery::At(1_000_001), Some(1)),
            (TimestampQuery::At(1_001_000), Some(100)),
            (TimestampQuery::At(1_001_990), Some(199)),
            (TimestampQuery::At(1_001_991), None),
            (TimestampQuery::Max, Some(199)),
        ] {
            let answer = Arc::new(Mutex::new(None));
            let told = Arc::clone(&answer);
            log.offset_for_timestamp(query, move |found| *told.lock().unwrap() = Some(found));
            world.settle();
            let found = answer.lock().unwrap().take().unwrap().unwrap();
            assert_eq!(found.map(|found| found.offset.0), expected, "{query:?}");
        }
    }
}

#[test]
fn who_appends_faster_than_the_journal_waits_and_is_told_when_to_go_on() {
    let world = World::new(6);
    let log = world.create("a", LogConfig::default());
    world.settle();
    let appended = (0..)
        .take_while(|n| match world.append(&log, batch(&[&value(*n, 100_000)])) {
            Ok(_) => true,
            Err(AppendError::Backpressure) => false,
            Err(error) => panic!("{error}"),
        })
        .count();
    // A quarter of the memory for the newest records, in this small directory.
    assert_eq!(appended, 10);
    assert_eq!(world.observer.rooms.load(Ordering::Relaxed), 0);
    world.settle();
    assert_eq!(world.observer.rooms.load(Ordering::Relaxed), 1);
    world.append(&log, batch(&[&value(11, 1_000_000)])).unwrap();
}
