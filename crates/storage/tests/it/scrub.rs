//! The scrub finds damage that no reader has met, tells of it, and mends indexes.

use crate::world::{World, batch, small_config};
use afluente_env::disk::{Access, BitFlip, Disk, OpenHow, read_full_at, write_all_at};
use afluente_env::sim::Machine;
use afluente_protocol::numbers::Offset;
use afluente_storage::log_config::LogConfig;
use afluente_storage::{LogDirConfig, ReadRequest, UpTo};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Six segments or so, and a scrub every few seconds.
fn world() -> World {
    let scrub_interval = Duration::from_secs(10);
    let config = LogDirConfig { scrub_interval, ..small_config() };
    let world = World::on(Machine::by_hand(1), config).unwrap();
    let config =
        LogConfig { segment_bytes: 50_000, index_interval_bytes: 1_000, ..LogConfig::default() };
    let log = world.create("a", config);
    for n in 0..300_u64 {
        world.append(&log, batch(&[&[n as u8; 1_000]])).unwrap();
        world.settle();
    }
    world
}

fn read(disk: &dyn Disk, path: &str) -> Vec<u8> {
    let file = disk.open(path.as_ref(), OpenHow::buffered(Access::Read)).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    read_full_at(file.as_ref(), &mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_sound_directory_is_read_whole_each_time_and_nothing_is_found() {
    let world = world();
    world.pass(Duration::from_secs(15));
    let once = world.dir.figures();
    assert!(once.scrubbed_bytes > 250_000, "{once:?}");
    world.pass(Duration::from_secs(10));
    let twice = world.dir.figures();
    assert_eq!(twice.scrubbed_bytes, 2 * once.scrubbed_bytes);
    assert_eq!((twice.scrub_findings, twice.indexes_rebuilt), (0, 0));
}

#[test]
fn it_reads_no_faster_than_it_may() {
    let config = LogDirConfig {
        scrub_interval: Duration::from_secs(10),
        scrub_bytes_per_second: 10_000,
        ..small_config()
    };
    let World { machine, dir, .. } = world();
    dir.close().unwrap();
    machine.kill();
    let world = World::on(machine, config).unwrap();
    world.pass(Duration::from_secs(20));
    let read = world.dir.figures().scrubbed_bytes;
    // Ten seconds, and the segment that was begun last.
    assert!((50_000..150_001).contains(&read), "{read}");
}

#[test]
fn a_flipped_bit_is_told_with_its_place_and_the_rest_is_read() {
    let world = world();
    world.pass(Duration::from_secs(5));
    let flip =
        BitFlip { path: "/data/a-0/00000000000000000000.log".into(), offset: 30_000, bit: 3 };
    world.machine.disk().flip_bit(&flip).unwrap();
    world.pass(Duration::from_secs(10));
    let figures = world.dir.figures();
    assert_eq!(figures.scrub_findings, 1, "{figures:?}");
    let told = world.observer.damages.lock().unwrap().clone();
    let [told] = &told[..] else { panic!("{told:?}") };
    assert!(told.contains("00000000000000000000.log\" is damaged at byte 29"), "{told}");
    assert!(!world.observer.offline.load(Ordering::Relaxed));
    // The batch is the 28th. What is read comes from the disk.
    let world = world.kill();
    let log = world.log("a");
    let at = |offset| ReadRequest {
        offset: Offset(offset),
        max_bytes: 1_000_000,
        at_least_one_batch: true,
        up_to: UpTo::LogEnd,
    };
    let sound = world.read(&log, at(0)).unwrap();
    assert!((20..29).contains(&sound.next_offset.0), "{}", sound.next_offset);
    assert!(world.read(&log, at(sound.next_offset.0)).is_err());
    assert!(world.read(&log, at(40)).unwrap().records.into_bytes().len() > 1_000);
}

#[test]
fn indexes_that_do_not_fit_are_built_again() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes[3] ^= 1,
        |bytes| bytes.truncate(5),
        |bytes| bytes.fill(0),
        |bytes| bytes.clear(),
    ];
    for name in ["index", "timeindex"] {
        for damage in damages {
            let world = world();
            world.pass(Duration::from_secs(5));
            let path = format!("/data/a-0/00000000000000000000.{name}");
            let disk = &world.env.disk;
            let sound = read(disk.as_ref(), &path);
            assert!(!sound.is_empty());
            let mut bytes = sound.clone();
            damage(&mut bytes);
            disk.remove_file(Path::new(&path)).unwrap();
            let file = disk.open(path.as_ref(), OpenHow::buffered(Access::CreateNew)).unwrap();
            write_all_at(file.as_ref(), &bytes, 0).unwrap();
            world.pass(Duration::from_secs(15));
            let figures = world.dir.figures();
            assert_eq!((figures.scrub_findings, figures.indexes_rebuilt), (0, 1), "{name}");
            assert_eq!(read(disk.as_ref(), &path), sound, "{name}");
            assert_eq!(world.read_all(&world.log("a"), Offset(0)).len(), 300);
            let world = world.cut_power();
            assert_eq!(read(world.env.disk.as_ref(), &path), sound, "{name}");
        }
    }
}
