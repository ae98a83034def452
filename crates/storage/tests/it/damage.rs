//! A small directory with every kind of file in it, each of them cut at every byte and with flipped
//! bits: never a panic, never a record that is not the right one, and never silence. What was
//! acknowledged is there, or the start or the read says what is wrong, with the file; or the report
//! tells of a torn end of the journal.

use crate::world::{DIR, World, small_config};
use afluente_env::disk::{Access, Disk, OpenHow, read_full_at, write_all_at};
use afluente_env::sim::Machine;
use afluente_protocol::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, BatchProducer, Batches, Compressor, EndTxnMarker, MarkerPlace,
    NewRecord, TxnOutcome,
};
use afluente_storage::log_config::LogConfig;
use afluente_storage::origin::AppendOrigin;
use afluente_storage::{
    AppendOptions, Log, LogDirConfig, ReadError, ReadRequest, TopicPartition, UpTo,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const TOPIC: &str = "a";

/// A file of the directory.
#[derive(Clone)]
struct Kept {
    path: PathBuf,
    /// Without the zeros at its end.
    bytes: Vec<u8>,
    len: usize,
}

/// What a sound directory gives.
#[derive(Debug, PartialEq, Eq)]
struct Truth {
    records: Vec<(i64, Vec<u8>)>,
    /// First record and marker.
    aborted: Vec<(i64, i64)>,
}

/// How the directory was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// By a clean stop: all is in Kafka's files.
    Clean,
    /// Killed with a checkpoint, segments, and a journal that goes on.
    Killed,
    /// Killed with everything in the journal.
    Young,
}

/// At one byte in eleven; `AFLUENTE_ALL_BITS=1` cuts at each.
#[test]
fn a_file_cut_at_any_byte_is_told_or_does_no_harm() {
    let step = if all_bits() { 1 } else { 11 };
    for left in [Left::Clean, Left::Killed, Left::Young] {
        let (files, truth) = make(left);
        for at in 0..files.len() {
            for len in places(&files[at].bytes).step_by(step) {
                let mut damaged = files.clone();
                damaged[at].bytes.truncate(len);
                damaged[at].len = len;
                let what = format!("{left:?}: {} cut at {len}", files[at].path.display());
                check(&what, &damaged, &truth);
            }
        }
    }
}

/// One bit of one byte in eleven; `AFLUENTE_ALL_BITS=1` flips each bit of each.
#[test]
fn a_flipped_bit_is_told_or_does_no_harm() {
    let step = if all_bits() { 1 } else { 11 };
    for left in [Left::Clean, Left::Killed, Left::Young] {
        let (files, truth) = make(left);
        for at in 0..files.len() {
            for byte in places(&files[at].bytes).step_by(step) {
                let bits = if all_bits() { 0..8 } else { byte % 8..byte % 8 + 1 };
                for bit in bits {
                    let mut damaged = files.clone();
                    damaged[at].bytes[byte] ^= 1 << bit;
                    let path = files[at].path.display();
                    let what = format!("{left:?}: bit {bit} of byte {byte} of {path}");
                    check(&what, &damaged, &truth);
                }
            }
        }
    }
}

fn all_bits() -> bool {
    std::env::var("AFLUENTE_ALL_BITS").is_ok()
}

/// Where something is: all bytes but those far inside of padding.
fn places(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let is_padding = |at: &usize| {
        let around = at.saturating_sub(16)..(at + 16).min(bytes.len());
        bytes[around].iter().all(|byte| *byte == 0)
    };
    (0..bytes.len()).filter(move |at| !is_padding(at))
}

/// What can be built again, is: a directory without it opens, and is complete.
#[test]
fn a_lost_index_or_snapshot_is_built_again() {
    for left in [Left::Clean, Left::Killed] {
        let (files, truth) = make(left);
        let is_derived = |path: &Path| {
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            ["index", "timeindex", "txnindex", "snapshot"].contains(&&*extension)
                || path.ends_with("leader-epoch-checkpoint")
        };
        let derived: Vec<&Kept> = files.iter().filter(|file| is_derived(&file.path)).collect();
        assert!(derived.len() >= 5, "{left:?}");
        let mut sets: Vec<Vec<&Path>> = derived.iter().map(|file| vec![&*file.path]).collect();
        sets.push(derived.iter().map(|file| &*file.path).collect());
        for gone in sets {
            let rest: Vec<Kept> =
                files.iter().filter(|file| !gone.contains(&&*file.path)).cloned().collect();
            let world = open(&rest).unwrap();
            assert_eq!(look(&world, "sound").unwrap(), truth, "{left:?} without {gone:?}");
            // And so is the next start.
            let World { machine, config, dir, .. } = world;
            dir.close().unwrap();
            machine.kill();
            let world = World::on(machine, config).unwrap();
            assert_eq!(look(&world, "sound").unwrap(), truth, "{left:?} without {gone:?}, closed");
            assert!(world.report.notes.is_empty(), "{:?}", world.report.notes);
        }
    }
}

fn config() -> LogDirConfig {
    small_config()
}

fn make(left: Left) -> (Vec<Kept>, Truth) {
    let mut world = World::on(Machine::by_hand(1), config()).unwrap();
    let log = world.create(
        TOPIC,
        LogConfig { segment_bytes: 1_500, index_interval_bytes: 200, ..LogConfig::default() },
    );
    for n in 0..4 {
        write_txn(&world, &log, n);
        world.settle();
    }
    if left != Left::Young {
        // Time for a checkpoint, and for one more.
        world.pass(Duration::from_secs(60));
        write_txn(&world, &log, 4);
        world.pass(Duration::from_secs(60));
        write_txn(&world, &log, 5);
    }
    world.settle();
    // Time for a seal, which proves the last frame.
    world.pass(Duration::from_millis(150));
    drop(log);
    if left == Left::Clean {
        world.dir.clone().close().unwrap();
    }
    let mut files = Vec::new();
    keep(world.env.disk.as_ref(), DIR.as_ref(), &mut files);
    world = open(&files).unwrap();
    let truth = look(&world, "sound").unwrap();
    let txns = if left == Left::Young { 4 } else { 6 };
    assert_eq!(truth.records.len(), txns * 3, "{left:?}");
    assert_eq!(truth.aborted.len(), txns / 2, "{left:?}");
    (files, truth)
}

/// Two batches and a marker; every other one is aborted.
fn write_txn(world: &World, log: &Arc<Log>, n: i32) {
    let producer =
        BatchProducer { id: ProducerId(7), epoch: ProducerEpoch(0), base_sequence: n * 2 };
    for part in 0..2 {
        let mut builder = BatchBuilder::new(BatchOptions {
            producer: BatchProducer { base_sequence: n * 2 + part, ..producer },
            is_transactional: true,
            ..Default::default()
        });
        let value = [u8::try_from(n * 2 + part).unwrap(); 150];
        let record = NewRecord {
            timestamp: 1_000_000 + i64::from(n),
            key: None,
            value: Some(&value),
            headers: &[],
        };
        builder.append(&record).unwrap();
        world.append(log, builder.finish(&mut Compressor::new()).unwrap()).unwrap();
    }
    let outcome = if n % 2 == 0 { TxnOutcome::Commit } else { TxnOutcome::Abort };
    let place = MarkerPlace {
        offset: Offset(0),
        partition_leader_epoch: LeaderEpoch(0),
        timestamp: 1_000_000,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
    };
    let marker = EndTxnMarker { outcome, coordinator_epoch: 0 }.batch(place);
    let options = AppendOptions::client(LeaderEpoch(0), world.env.clock.wall_ms());
    let options = AppendOptions { origin: AppendOrigin::Coordinator, ..options };
    log.append(marker, &options).unwrap();
}

fn keep(disk: &dyn Disk, directory: &Path, files: &mut Vec<Kept>) {
    for entry in disk.read_dir(directory).unwrap() {
        if entry.is_dir {
            keep(disk, &entry.path, files);
            continue;
        }
        let file = disk.open(&entry.path, OpenHow::buffered(Access::Read)).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        read_full_at(file.as_ref(), &mut bytes, 0).unwrap();
        let len = bytes.len();
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        files.push(Kept { path: entry.path, bytes, len });
    }
}

fn open(files: &[Kept]) -> Result<World, afluente_storage::StorageError> {
    let machine = Machine::by_hand(2);
    let disk = machine.disk();
    for Kept { path, bytes, len } in files {
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        let file = disk.open(path, OpenHow::buffered(Access::CreateNew)).unwrap();
        write_all_at(file.as_ref(), bytes, 0).unwrap();
        file.set_len(*len as u64).unwrap();
    }
    World::on(machine, config())
}

/// All that a `read_committed` reader sees.
fn look(world: &World, what: &str) -> Result<Truth, ReadError> {
    let mut truth = Truth { records: Vec::new(), aborted: Vec::new() };
    let Some(log) = world.dir.log(&TopicPartition::new(TOPIC, 0)) else { return Ok(truth) };
    log.set_high_watermark(log.durable_end());
    let mut offset = Offset(0);
    while offset < log.last_stable_offset() {
        let up_to = UpTo::LastStable;
        let request = ReadRequest { offset, max_bytes: 1_000, at_least_one_batch: true, up_to };
        let data = world.read(&log, request)?;
        for batch in Batches::new(&data.records.into_bytes()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            for record in batch.header().records(batch.records_section()) {
                let record = record.unwrap();
                let value = record.value.unwrap_or_default().to_vec();
                truth.records.push((record.offset.0, value));
            }
        }
        truth
            .aborted
            .extend(data.aborted.iter().map(|txn| (txn.first_offset.0, txn.last_offset.0)));
        assert!(data.next_offset > offset, "{what}: a read at {offset} goes nowhere");
        offset = data.next_offset;
    }
    truth.aborted.sort_unstable();
    truth.aborted.dedup();
    Ok(truth)
}

fn check(what: &str, damaged: &[Kept], truth: &Truth) {
    let world = match open(damaged) {
        Ok(world) => world,
        Err(error) => return assert!(error.to_string().contains(DIR), "{what}: {error}"),
    };
    match look(&world, what) {
        Ok(found) if found == *truth => {}
        Ok(found) => {
            let told = !world.report.torn_tails.is_empty() || !world.report.notes.is_empty();
            assert!(told, "{what}: silence");
            assert!(truth.records.starts_with(&found.records), "{what}: other records");
            assert!(found.aborted.iter().all(|txn| truth.aborted.contains(txn)), "{what}");
        }
        Err(error) => assert!(error.to_string().contains(DIR), "{what}: {error}"),
    }
}
