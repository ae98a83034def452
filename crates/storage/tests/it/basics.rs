//! One thing at a time.

use crate::world::{World, batch};
use afluente_protocol::numbers::Offset;
use afluente_storage::log_config::{Durability, LogConfig};
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
