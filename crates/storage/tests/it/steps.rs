//! A start, a stop and a checkpoint that fail at each of their steps, one after the other: the next
//! start finds everything.

use crate::world::{DIR, Observer, World, batch, keyed_batch, small_config};
use afluente_env::disk::{Operation, PlannedFault};
use afluente_env::sim::Machine;
use afluente_protocol::numbers::Offset;
use afluente_storage::log_config::{CleanupPolicy, Durability, LogConfig};
use afluente_storage::{LogDir, LogObserver};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const OPERATIONS: [Operation; 5] =
    [Operation::Open, Operation::Read, Operation::Write, Operation::Sync, Operation::Name];
const EIO: i32 = 5;
/// More than any of these does of one kind.
const STEPS_MAX: u64 = 400;

/// Three logs with several segments each, and something new in the journal.
fn world(seed: u64) -> World {
    let world = World::new(seed);
    let small = || LogConfig { segment_bytes: 6_000, retention_ms: -1, ..LogConfig::default() };
    let cleanup_policy = CleanupPolicy { compact: true, delete: false };
    let logs = [
        world.create("plain", small()),
        world.create("buffered", LogConfig { durability: Durability::Replicated, ..small() }),
        world.create("compacted", LogConfig { cleanup_policy, ..small() }),
    ];
    for n in 0..20_u8 {
        for log in &logs {
            world.append(log, keyed_batch(&[n % 3], &[n; 500])).unwrap();
        }
        world.settle();
        if n == 15 {
            world.pass(Duration::from_secs(10));
        }
    }
    world
}

fn check(world: &World, power: bool, what: &str) {
    for name in ["plain", "buffered"] {
        let log = world.log(name);
        let found = world.read_all(&log, Offset(0));
        // What is only in the page cache goes with the power.
        let is_whole = found.len() == 20;
        assert!(is_whole || name == "buffered" && power, "{what}: {} in {name}", found.len());
        let is_right = |(offset, value): &(i64, Vec<u8>)| *value == [*offset as u8; 500];
        assert!(found.iter().all(is_right), "{what}: {name}");
    }
    let log = world.log("compacted");
    let found = world.read_all(&log, Offset(0));
    assert!([17, 18, 19].iter().all(|last| found.iter().any(|(at, _)| at == last)), "{what}");
    // And it goes on.
    for _ in 0..2 {
        world.append(&log, batch(&[b"more"])).unwrap();
        world.settle();
    }
}

/// Has `act` fail at its first operation of each kind, at its second, and so on until it no longer
/// does; after each, the process or the machine dies, and everything is there.
fn fail_at_each_step(act: impl Fn(World) -> (Machine, bool)) {
    for operation in OPERATIONS {
        for power in [false, true] {
            let mut after = 0;
            loop {
                let world = world(after);
                let config = world.config.clone();
                world.machine.disk().plan_fault(PlannedFault {
                    operation,
                    path_containing: String::new(),
                    after,
                    errno: EIO,
                });
                let (machine, failed) = act(world);
                // Names whose sync has failed are lost for whoever does not mount the disk anew.
                let power = power || operation == Operation::Sync;
                if power {
                    machine.cut_power();
                } else {
                    machine.kill();
                }
                let what = format!("{operation:?} {after}, power: {power}");
                // The fault may still be ahead: then this start meets it, and the next does not.
                let world = match World::on(machine.clone(), config.clone()) {
                    Ok(world) => world,
                    Err(error) if failed => panic!("{what}: {error}"),
                    Err(_) => {
                        machine.cut_power();
                        World::on(machine, config).unwrap_or_else(|error| panic!("{what}: {error}"))
                    }
                };
                if failed {
                    check(&world, power, &what);
                } else {
                    break;
                }
                after += 1;
                assert!(after < STEPS_MAX, "{operation:?} has no end");
            }
        }
    }
}

#[test]
fn a_stop_that_fails_at_any_step_loses_nothing() {
    fail_at_each_step(|world| {
        let World { machine, dir, .. } = world;
        let failed = dir.close().is_err();
        (machine, failed)
    });
}

#[test]
fn a_start_that_fails_at_any_step_loses_nothing() {
    fail_at_each_step(|world| {
        let World { machine, config, .. } = world;
        machine.kill();
        let failed = World::on(machine.clone(), config).is_err();
        (machine, failed)
    });
}

/// The directory goes offline, and whoever reads it finds the reason.
#[test]
fn a_checkpoint_that_fails_at_any_step_loses_nothing() {
    fail_at_each_step(|world| {
        world.pass(Duration::from_secs(10));
        (world.machine.clone(), world.observer.is_offline())
    });
}

/// A directory that was never opened whole, in any stage of its making.
#[test]
fn a_first_start_that_fails_at_any_step_can_be_done_again() {
    for operation in OPERATIONS {
        for power in [false, true] {
            for after in 0..STEPS_MAX {
                let machine = Machine::by_hand(after);
                machine.disk().plan_fault(PlannedFault {
                    operation,
                    path_containing: String::new(),
                    after,
                    errno: EIO,
                });
                let observer: Arc<dyn LogObserver> = Arc::new(Observer::default());
                let opened =
                    LogDir::open(&machine.boot(), Path::new(DIR), small_config(), observer);
                if opened.is_ok() {
                    break;
                }
                if power || operation == Operation::Sync {
                    machine.cut_power();
                } else {
                    machine.kill();
                }
                let what = format!("{operation:?} {after}, power: {power}");
                let world = World::on(machine, small_config());
                let world = world.unwrap_or_else(|error| panic!("{what}: {error}"));
                world.append(&world.create("a", LogConfig::default()), batch(&[b"a"])).unwrap();
            }
        }
    }
}
