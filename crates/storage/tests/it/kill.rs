//! A real process, on a real disk, killed with SIGKILL at random moments: what it said was
//! acknowledged is there when the next one looks.
//!
//! The process is this test's own binary, in which only [`child`] runs. It opens the directory that
//! it is given, checks that each log has what the parent has heard of, that every record is the one
//! that belongs at its offset, and then appends and tells of each acknowledgement, until it is
//! killed. Nobody else opens the directory, so each process finds what the one before has left.

use afluente_env::Env;
use afluente_env::rng::Rng;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::{BatchBuilder, BatchOptions, Batches, Compressor, NewRecord};
use afluente_protocol::uuid::Uuid;
use afluente_storage::log_config::{CleanupPolicy, Durability, LogConfig};
use afluente_storage::{
    Advance, AppendError, AppendOptions, CleanerConfig, Log, LogDir, LogDirConfig, LogObserver,
    ReadData, ReadOutcome, ReadRequest, StorageError, TopicPartition, UpTo,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

const DIR: &str = "AFLUENTE_KILL_DIR";
const SEED: &str = "AFLUENTE_KILL_SEED";
/// `topic:offset` of what was acknowledged, with commas between.
const ACKED: &str = "AFLUENTE_KILL_ACKED";
const ROUNDS: u64 = 30;
const KEYS: u64 = 50;

/// Every way in which a log is kept that has another way through the engine.
fn topics() -> Vec<(&'static str, LogConfig)> {
    let small = || LogConfig { segment_bytes: 300_000, retention_ms: -1, ..LogConfig::default() };
    vec![
        ("synced", small()),
        ("replicated", LogConfig { durability: Durability::Replicated, ..small() }),
        (
            "compacted",
            LogConfig {
                cleanup_policy: CleanupPolicy { compact: true, delete: false },
                min_cleanable_dirty_ratio: 0.01,
                segment_bytes: 60_000,
                ..small()
            },
        ),
    ]
}

/// Small, so that rings go round and checkpoints are frequent.
fn config() -> LogDirConfig {
    LogDirConfig {
        tail_bytes: 4 << 20,
        block_cache_bytes: 2 << 20,
        journal_file_bytes: 1 << 20,
        journal_bytes_max: 6 << 20,
        checkpoint_bytes: 400_000,
        checkpoint_after_quiet: Duration::from_millis(2),
        retention_interval: Duration::from_millis(20),
        cleaner: CleanerConfig { backoff: Duration::from_millis(20), ..CleanerConfig::default() },
        buffered_sync_interval: Duration::from_millis(5),
        ..LogDirConfig::default()
    }
}

#[test]
fn what_was_acknowledged_survives_a_process_that_is_killed_at_any_moment() {
    let rounds = std::env::var("AFLUENTE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok());
    let directory = tempfile::tempdir().unwrap();
    let rng = Rng::seeded(1);
    let mut acked: BTreeMap<String, i64> = BTreeMap::new();
    for round in 0..rounds.unwrap_or(ROUNDS) {
        // Some die while they open the directory, some when they have made a checkpoint or more.
        let lines = [1, 4, 40, 400, 1_000][rng.index(5)] + rng.range(0..30);
        one_life(directory.path(), round, lines, &mut acked);
    }
    for (topic, _) in topics() {
        assert!(
            acked.get(topic).is_some_and(|end| *end > 100),
            "hardly anything happened: {acked:?}"
        );
    }
}

/// Starts a process, takes in what it says, and kills it after so many lines.
fn one_life(directory: &Path, round: u64, lines: u64, acked: &mut BTreeMap<String, i64>) {
    let known: Vec<String> = acked.iter().map(|(topic, end)| format!("{topic}:{end}")).collect();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--quiet"])
        .env(DIR, directory)
        .env(SEED, round.to_string())
        .env(ACKED, known.join(","))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut take = |line: String| {
        if let Some(("acked", rest)) = line.split_once(' ')
            && let Some((topic, end)) = rest.split_once(' ')
        {
            let end = end.parse().unwrap();
            let known = acked.entry(topic.to_owned()).or_insert(end);
            *known = (*known).max(end);
        }
    };
    for _ in 0..lines {
        let Some(line) = said.next() else {
            let output = child.wait_with_output().unwrap();
            panic!("round {round}: {}", String::from_utf8_lossy(&output.stderr));
        };
        take(line.unwrap());
    }
    child.kill().unwrap();
    // What it had said before it died counts too; its last line may be half a line.
    let mut rest: Vec<String> = said.map_while(Result::ok).collect();
    rest.pop();
    rest.into_iter().for_each(take);
    child.wait().unwrap();
}

/// Tells of each acknowledgement.
struct Teller;

impl LogObserver for Teller {
    fn advanced(&self, advances: &[Advance]) {
        for Advance { log, durable_end } in advances {
            log.set_high_watermark(*durable_end);
            say(&format!("acked {} {durable_end}", log.partition().topic));
        }
    }

    fn dir_offline(&self, reason: &StorageError) {
        panic!("{reason}");
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that is gone has killed us, or will.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Does nothing unless the test above has started it.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIR) else { return };
    let number = |text: &str| text.parse::<i64>().unwrap();
    let rng = Rng::seeded(number(&std::env::var(SEED).unwrap()).cast_unsigned());
    let acked: BTreeMap<String, i64> = std::env::var(ACKED)
        .unwrap()
        .split_terminator(',')
        .map(|entry| entry.split_once(':').unwrap())
        .map(|(topic, end)| (topic.to_owned(), number(end)))
        .collect();
    let env = Env::real();
    let (dir, _) = LogDir::open(&env, Path::new(&directory), config(), Arc::new(Teller)).unwrap();
    say("opened");
    let logs: Vec<Arc<Log>> = topics()
        .into_iter()
        .map(|(topic, config)| {
            let partition = TopicPartition::new(topic, 0);
            let config = Arc::new(config);
            let acked = acked.get(topic).copied();
            match dir.log(&partition) {
                Some(log) => {
                    check(&log, acked.unwrap_or(0));
                    log.set_config(config).unwrap();
                    log
                }
                None => {
                    assert_eq!(acked, None, "{topic} is gone");
                    dir.create_log(&partition, Uuid(env.rng.uuid()), config).unwrap()
                }
            }
        })
        .collect();
    say("checked");
    loop {
        let log = &logs[rng.index(logs.len())];
        let batch = batch(log.end_offset().0, 1 + rng.index(4) as i64);
        let options = AppendOptions::client(LeaderEpoch(0), env.clock.wall_ms());
        match log.append(batch, &options) {
            // What the buffered ring took is acknowledged at once; of the rest the observer tells.
            Ok(appended) if log.durable_end() >= appended.end => {
                say(&format!("acked {} {}", log.partition().topic, appended.end));
            }
            Ok(_) => {}
            Err(AppendError::Backpressure) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The records that belong at these offsets.
fn batch(base: i64, count: i64) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for offset in base..base + count {
        let (key, value) = record(offset);
        let (key, value) = (Some(&key[..]), Some(&value[..]));
        builder.append(&NewRecord { timestamp: 1_000, key, value, headers: &[] }).unwrap();
    }
    builder.finish(&mut Compressor::new()).unwrap()
}

fn record(offset: i64) -> ([u8; 8], Vec<u8>) {
    let rng = Rng::seeded(offset.cast_unsigned());
    let key = rng.range(0..KEYS).to_be_bytes();
    let mut value = vec![0; 8 + rng.index(700)];
    rng.fill(&mut value);
    (key, value)
}

/// All that the log has is what was appended there, and nothing acknowledged is missing.
fn check(log: &Arc<Log>, acked: i64) {
    let name = &log.partition().topic;
    let end = log.end_offset().0;
    assert!(end >= acked, "{name} ends at {end}, and {acked} was acknowledged");
    let mut found = BTreeMap::new();
    let mut offset = log.start_offset();
    while offset.0 < end {
        let data = read(log, offset);
        for batch in Batches::new(&data.records.into_bytes()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            for record in batch.header().records(batch.records_section()) {
                let record = record.unwrap();
                let pair = (record.key.unwrap().to_vec(), record.value.unwrap().to_vec());
                if record.offset >= offset {
                    found.insert(record.offset.0, pair);
                }
            }
        }
        assert!(data.next_offset > offset, "a read at {offset} goes nowhere");
        offset = data.next_offset;
    }
    let mut successors = BTreeSet::new();
    for offset in (0..end).rev() {
        let (key, value) = record(offset);
        match found.remove(&offset) {
            Some(pair) => assert_eq!(pair, (key.to_vec(), value), "{offset} of {name}"),
            // Compaction may have removed what has a successor.
            None => assert!(
                &**name == "compacted" && successors.contains(&key),
                "{offset} of {name} is gone"
            ),
        }
        successors.insert(key);
    }
    assert!(found.is_empty(), "{name} has what nobody appended: {:?}", found.keys());
}

fn read(log: &Arc<Log>, offset: Offset) -> ReadData {
    let up_to = UpTo::LogEnd;
    let request = ReadRequest { offset, max_bytes: 256 << 10, at_least_one_batch: true, up_to };
    match log.read(request).unwrap() {
        ReadOutcome::Data(data) => data,
        ReadOutcome::Cold(cold) => {
            let (answer, answered) = sync_channel(1);
            log.read_cold(cold, move |outcome| answer.send(outcome).unwrap());
            answered.recv().unwrap().unwrap()
        }
    }
}
