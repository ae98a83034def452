//! What `kafka-dump-log` of Apache Kafka says about a directory of ours after a clean stop: nothing
//! to complain about, and every record, aborted transaction and producer that is there.
//!
//! The directory is made on the simulated machine and copied out.

use crate::world::{DIR, World};
use afluente_env::Env;
use afluente_env::disk::{Access, Disk, OpenHow, read_full_at, write_all_at};
use afluente_harness::dump_log::{Dump, DumpedFile, dump_directory};
use afluente_harness::java::{Jars, Java};
use afluente_protocol::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, BatchProducer, CodecId, Compression, Compressor, EndTxnMarker,
    MarkerPlace, NewRecord, TxnOutcome,
};
use afluente_storage::log_config::{CleanupPolicy, LogConfig};
use afluente_storage::origin::AppendOrigin;
use afluente_storage::{AppendOptions, Log};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const CODECS: [(&str, CodecId); 5] = [
    ("none", CodecId::None),
    ("gzip", CodecId::Gzip),
    ("snappy", CodecId::Snappy),
    ("lz4", CodecId::Lz4),
    ("zstd", CodecId::Zstd),
];
const BATCHES: u64 = 300;
const PER_BATCH: u64 = 3;
/// Every fourth transaction is aborted.
const TXNS: i64 = 40;

#[test]
fn kafka_dump_log_finds_nothing_wrong_with_our_files() {
    let Some(java) = Java::or_skip(Jars::Kafka, "what kafka-dump-log says of our files") else {
        return;
    };
    let world = World::new(1);
    for (name, codec) in CODECS {
        write_codec(&world, name, codec.into());
    }
    write_transactions(&world);
    let compacted = write_compacted(&world);
    let disk = Arc::clone(&world.env.disk);
    world.dir.clone().close().unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_out(disk.as_ref(), DIR.as_ref(), copy.path());
    let dump = dump_directory(&java, copy.path()).unwrap();
    dump.ensure_clean().unwrap();

    for (codec, _) in CODECS {
        let offsets = offsets(&dump, codec);
        assert_eq!(offsets, (0..(BATCHES * PER_BATCH) as i64).collect::<Vec<_>>(), "{codec}");
        let all = files(&dump, codec, "log");
        assert!(all.len() > 1, "{codec} has one segment only");
        let codecs = all.iter().flat_map(|file| &file.batches);
        for batch in codecs {
            assert_eq!(batch.header.text("compresscodec").unwrap(), codec);
        }
        for kind in ["index", "timeindex"] {
            let entries = files(&dump, codec, kind).into_iter().flat_map(|file| &file.entries);
            assert!(entries.count() > 0, "{codec} has no entry in any {kind}");
        }
    }
    let aborted = files(&dump, "transactions", "txnindex").into_iter().flat_map(|f| &f.entries);
    assert_eq!(aborted.count() as i64, TXNS / 4);
    let snapshot = files(&dump, "transactions", "snapshot").pop().unwrap();
    let producers: Vec<i64> =
        snapshot.entries.iter().map(|entry| entry.number("producerId").unwrap()).collect();
    assert_eq!(producers, [7, 8]);
    let offsets = offsets(&dump, "compacted");
    assert!(compacted.values().all(|offset| offsets.contains(offset)), "{offsets:?}");
    assert!(offsets.len() < 500, "{} of 1,500 records are left", offsets.len());
}

fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 40_000,
        index_interval_bytes: 1_000,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

fn write_codec(world: &World, codec: &str, compression: Compression) {
    let log = world.create(codec, small());
    for n in 0..BATCHES {
        let mut builder = BatchBuilder::new(BatchOptions { compression, ..Default::default() });
        for record in 0..PER_BATCH {
            // Little of it can be compressed.
            let mut value = [0; 200];
            world.env.rng.fill(&mut value);
            let timestamp = 1_000_000 + (n * PER_BATCH + record).cast_signed();
            let record = NewRecord { timestamp, key: None, value: Some(&value), headers: &[] };
            builder.append(&record).unwrap();
        }
        world.append(&log, builder.finish(&mut Compressor::new()).unwrap()).unwrap();
        world.settle();
    }
}

/// Two producers by turns.
fn write_transactions(world: &World) {
    let log = world.create("transactions", small());
    for n in 0..TXNS {
        let producer_id = ProducerId(7 + n % 2);
        let epoch = ProducerEpoch(0);
        for part in 0..2 {
            let base_sequence = i32::try_from(n / 2 * 2 + part).unwrap();
            let mut builder = BatchBuilder::new(BatchOptions {
                producer: BatchProducer { id: producer_id, epoch, base_sequence },
                is_transactional: true,
                ..Default::default()
            });
            let value = Some(&[b'v'; 1_000][..]);
            builder
                .append(&NewRecord { timestamp: 1_000_000 + n, key: None, value, headers: &[] })
                .unwrap();
            append(
                world,
                &log,
                builder.finish(&mut Compressor::new()).unwrap(),
                AppendOrigin::Client,
            );
        }
        let outcome = if n % 4 == 3 { TxnOutcome::Abort } else { TxnOutcome::Commit };
        let place = MarkerPlace {
            offset: Offset(0),
            partition_leader_epoch: LeaderEpoch(0),
            timestamp: 1_000_000 + n,
            producer_id,
            producer_epoch: epoch,
        };
        let marker = EndTxnMarker { outcome, coordinator_epoch: 0 }.batch(place);
        append(world, &log, marker, AppendOrigin::Coordinator);
    }
}

/// Gives the offset of the last record of each key.
fn write_compacted(world: &World) -> BTreeMap<u8, i64> {
    let log = world.create(
        "compacted",
        LogConfig {
            cleanup_policy: CleanupPolicy { compact: true, delete: false },
            min_cleanable_dirty_ratio: 0.01,
            ..small()
        },
    );
    let mut last = BTreeMap::new();
    for n in 0..1_500_u64 {
        let key = (n * 7 % 50) as u8;
        let value = [key; 100];
        let appended = world.append(&log, crate::world::keyed_batch(&[key], &value)).unwrap();
        last.insert(key, appended.base_offset.0);
        world.settle();
    }
    world.pass(world.config.retention_interval * 2);
    last
}

fn append(world: &World, log: &Arc<Log>, batch: Bytes, origin: AppendOrigin) {
    let options = AppendOptions::client(LeaderEpoch(0), world.env.clock.wall_ms());
    log.append(batch, &AppendOptions { origin, ..options }).unwrap();
    world.settle();
}

fn files<'a>(dump: &'a Dump, topic: &str, kind: &str) -> Vec<&'a DumpedFile> {
    let directory = format!("{topic}-0");
    let is_meant = |file: &&DumpedFile| {
        file.path.extension().is_some_and(|extension| extension == kind)
            && file.path.parent().is_some_and(|parent| parent.ends_with(&directory))
    };
    dump.files.iter().filter(is_meant).collect()
}

fn offsets(dump: &Dump, topic: &str) -> Vec<i64> {
    files(dump, topic, "log")
        .into_iter()
        .flat_map(|file| &file.batches)
        .flat_map(|batch| &batch.records)
        .map(|record| record.number("offset").unwrap())
        .collect()
}

fn copy_out(from: &dyn Disk, directory: &Path, to: &Path) {
    let real = Env::real().disk;
    real.create_dir_all(to).unwrap();
    for entry in from.read_dir(directory).unwrap() {
        let target = to.join(&entry.name);
        if entry.is_dir {
            copy_out(from, &entry.path, &target);
            continue;
        }
        let file = from.open(&entry.path, OpenHow::buffered(Access::Read)).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        read_full_at(file.as_ref(), &mut bytes, 0).unwrap();
        let copy = real.open(&target, OpenHow::buffered(Access::CreateNew)).unwrap();
        write_all_at(copy.as_ref(), &bytes, 0).unwrap();
    }
}
