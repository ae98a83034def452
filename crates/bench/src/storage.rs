//! What the storage engine costs: shared by its sub-commands.

pub(crate) mod append;
pub(crate) mod read;
pub(crate) mod recovery;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use afluente_env::Env;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::{BatchBuilder, BatchOptions, Compressor, NewRecord};
use afluente_protocol::uuid::Uuid;
use afluente_storage::log_config::{Durability, LogConfig};
use afluente_storage::{
    Advance, AppendError, AppendOptions, Log, LogDir, LogDirConfig, LogObserver, StorageError,
    TopicPartition,
};
use anyhow::{Context as _, Result, bail};
use bytes::Bytes;

/// Different batches in turn. So few that they come from the nearest cache, where the network would
/// have left them.
const POOL_BYTES: usize = 1 << 20;
const RECORD_BYTES: usize = 1024;
const NOW_MS: i64 = 1_800_000_000_000;

/// Wakes who waits for something to happen in the directory.
#[derive(Default)]
struct Events {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Events {
    fn note(&self) {
        *self.count.lock().expect("nobody panics with it") += 1;
        self.changed.notify_all();
    }

    fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        let mut count = self.count.lock().expect("nobody panics with it");
        while !condition() {
            count = self.changed.wait(count).expect("nobody panics with it");
        }
    }
}

impl LogObserver for Events {
    fn advanced(&self, advances: &[Advance]) {
        for advance in advances {
            advance.log.set_high_watermark(advance.durable_end);
        }
        self.note();
    }

    fn dir_offline(&self, reason: &StorageError) {
        // The next append says so too; this says why.
        eprintln!("log directory is offline: {reason}");
        self.note();
    }

    fn room(&self) {
        self.note();
    }
}

/// A log directory with some logs, for one run.
struct Bed {
    dir: LogDir,
    logs: Vec<Arc<Log>>,
    events: Arc<Events>,
}

impl Bed {
    fn make(path: &Path, partitions: usize, durability: Durability) -> Result<Self> {
        let events = Arc::new(Events::default());
        let config = LogDirConfig::for_memory(memory_bytes()?);
        let observer: Arc<dyn LogObserver> = Arc::clone(&events) as _;
        let (dir, _) = LogDir::open(&Env::real(), path, config, observer)?;
        let config = Arc::new(LogConfig {
            durability,
            max_message_bytes: 16 << 20,
            retention_ms: -1,
            ..LogConfig::default()
        });
        let logs = (0..partitions)
            .map(|partition| {
                let partition = TopicPartition::new("bench", i32::try_from(partition)?);
                Ok(dir.create_log(&partition, Uuid::ONE, Arc::clone(&config))?)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { dir, logs, events })
    }

    /// Opens what an earlier one has left.
    fn reopen(path: &Path) -> Result<Self> {
        let events = Arc::new(Events::default());
        let config = LogDirConfig::for_memory(memory_bytes()?);
        let observer: Arc<dyn LogObserver> = Arc::clone(&events) as _;
        let (dir, _) = LogDir::open(&Env::real(), path, config, observer)?;
        let logs = dir.logs();
        for log in &logs {
            log.set_high_watermark(log.durable_end());
        }
        Ok(Self { dir, logs, events })
    }

    /// Appends as soon as there is room; gives the end of the batch.
    fn append(&self, log: &Arc<Log>, batch: &Bytes) -> Result<Offset> {
        let options = AppendOptions::client(LeaderEpoch(0), NOW_MS);
        loop {
            match log.append(batch.clone(), &options) {
                Ok(appended) => return Ok(appended.end),
                Err(AppendError::Backpressure) => {
                    let before = *self.events.count.lock().expect("nobody panics with it");
                    // What made room may have come between the refusal and this.
                    if let Ok(appended) = log.append(batch.clone(), &options) {
                        return Ok(appended.end);
                    }
                    let count = || *self.events.count.lock().expect("nobody panics with it");
                    while count() == before {
                        std::thread::sleep(std::time::Duration::from_micros(200));
                    }
                }
                Err(error) => bail!(error),
            }
        }
    }

    /// Waits until everything appended is durable.
    fn wait_durable(&self) {
        self.events
            .wait_until(|| self.logs.iter().all(|log| log.durable_end() >= log.end_offset()));
    }

    /// Appends `bytes` in turn to all logs.
    fn fill(&self, pool: &[Bytes], bytes: u64) -> Result<u64> {
        let (mut appended, mut operations) = (0, 0);
        for (batch, log) in pool.iter().cycle().zip(self.logs.iter().cycle()) {
            if appended >= bytes {
                break;
            }
            self.append(log, batch)?;
            appended += batch.len() as u64;
            operations += 1;
        }
        Ok(operations)
    }
}

/// Batches of about `batch_bytes`, of records of 1 KiB.
fn pool(batch_bytes: usize) -> Result<Vec<Bytes>> {
    let record_bytes = RECORD_BYTES.min(batch_bytes);
    let value: Vec<u8> = (0..record_bytes).map(|at| (at * 31 % 97) as u8).collect();
    let mut compressor = Compressor::new();
    let mut pool = Vec::new();
    for _ in 0..(POOL_BYTES / batch_bytes).min(512) {
        let mut builder = BatchBuilder::with_capacity(BatchOptions::default(), batch_bytes);
        let record = NewRecord { timestamp: NOW_MS, key: None, value: Some(&value), headers: &[] };
        loop {
            builder.append(&record)?;
            let size = builder.size_bytes_uncompressed();
            if size + builder.record_bytes(&record) > batch_bytes {
                break;
            }
        }
        pool.push(builder.finish(&mut compressor)?);
    }
    Ok(pool)
}

/// The memory of this machine.
fn memory_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).context("no MemTotal")?;
    Ok(kib.parse::<u64>()? * 1024)
}
