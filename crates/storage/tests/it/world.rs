//! A simulated machine with a log directory on it, and shorthand for what tests do there.

use afluente_env::Env;
use afluente_env::sim::Machine;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::{BatchBuilder, BatchOptions, Batches, Compressor, NewRecord};
use afluente_protocol::uuid::Uuid;
use afluente_storage::log_config::LogConfig;
use afluente_storage::{
    Advance, AppendError, AppendOptions, Appended, Log, LogDir, LogDirConfig, LogObserver,
    OpenReport, ReadData, ReadError, ReadOutcome, ReadRequest, StorageError, TopicPartition, UpTo,
};
use bytes::Bytes;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const DIR: &str = "/data";

/// Counts what it is told.
#[derive(Default)]
pub(crate) struct Observer {
    pub(crate) advances: AtomicU64,
    pub(crate) offline: AtomicBool,
    pub(crate) rooms: AtomicU64,
    pub(crate) damages: Mutex<Vec<String>>,
}

impl Observer {
    pub(crate) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Relaxed)
    }
}

impl LogObserver for Observer {
    fn advanced(&self, advances: &[Advance]) {
        for advance in advances {
            // What a single node's broker does.
            advance.log.set_high_watermark(advance.log.durable_end());
        }
        self.advances.fetch_add(advances.len() as u64, Ordering::Relaxed);
    }

    fn dir_offline(&self, _reason: &StorageError) {
        self.offline.store(true, Ordering::Relaxed);
    }

    fn damaged(&self, _log: &Arc<Log>, what: &StorageError) {
        self.damages.lock().unwrap().push(what.to_string());
    }

    fn room(&self) {
        self.rooms.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) env: Env,
    pub(crate) dir: LogDir,
    pub(crate) report: OpenReport,
    pub(crate) observer: Arc<Observer>,
    pub(crate) config: LogDirConfig,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self::on(Machine::by_hand(seed), small_config()).unwrap()
    }

    pub(crate) fn on(machine: Machine, config: LogDirConfig) -> Result<Self, StorageError> {
        let env = machine.boot();
        let observer = Arc::new(Observer::default());
        let told: Arc<dyn LogObserver> = Arc::clone(&observer) as _;
        let (dir, report) = LogDir::open(&env, Path::new(DIR), config.clone(), told)?;
        for log in dir.logs() {
            log.set_high_watermark(log.durable_end());
        }
        Ok(Self { machine, env, dir, report, observer, config })
    }

    /// The process dies; the page cache lives on.
    pub(crate) fn kill(self) -> Self {
        self.machine.kill();
        Self::on(self.machine, self.config).unwrap()
    }

    pub(crate) fn cut_power(self) -> Self {
        self.machine.cut_power();
        Self::on(self.machine, self.config).unwrap()
    }

    pub(crate) fn restart(self) -> Self {
        self.dir.close().unwrap();
        self.machine.kill();
        Self::on(self.machine, self.config).unwrap()
    }

    pub(crate) fn create(&self, topic: &str, config: LogConfig) -> Arc<Log> {
        let partition = TopicPartition::new(topic, 0);
        self.dir.create_log(&partition, Uuid(self.env.rng.uuid()), Arc::new(config)).unwrap()
    }

    pub(crate) fn log(&self, topic: &str) -> Arc<Log> {
        self.dir.log(&TopicPartition::new(topic, 0)).unwrap()
    }

    pub(crate) fn settle(&self) {
        self.machine.workers().run_until_idle();
    }

    /// Lets time pass, and the workers do what they do meanwhile.
    pub(crate) fn pass(&self, time: Duration) {
        let end = self.env.clock.now() + time;
        loop {
            self.settle();
            match self.machine.workers().next_deadline() {
                Some(at) if at < end => self.machine.clock().advance_to(at),
                _ => break,
            }
        }
        self.machine.clock().advance_to(end);
        self.settle();
    }

    pub(crate) fn append(&self, log: &Arc<Log>, batch: Bytes) -> Result<Appended, AppendError> {
        log.append(batch, &AppendOptions::client(LeaderEpoch(0), self.env.clock.wall_ms()))
    }

    /// Reads a log from `from` to its end, from memory or the disk.
    pub(crate) fn read_all(&self, log: &Arc<Log>, from: Offset) -> Vec<(i64, Vec<u8>)> {
        let mut records = Vec::new();
        let mut offset = from;
        while offset < log.end_offset() {
            let request = ReadRequest {
                offset,
                max_bytes: 64 << 10,
                at_least_one_batch: true,
                up_to: UpTo::LogEnd,
            };
            let data = self.read(log, request).unwrap();
            records.extend(values(&data.records.clone().into_bytes(), offset));
            assert!(data.next_offset > offset, "a read at {offset} goes nowhere");
            offset = data.next_offset;
        }
        records
    }

    pub(crate) fn read(&self, log: &Arc<Log>, request: ReadRequest) -> Result<ReadData, ReadError> {
        match log.read(request)? {
            ReadOutcome::Data(data) => Ok(data),
            ReadOutcome::Cold(cold) => {
                let answer = Arc::new(Mutex::new(None));
                let told = Arc::clone(&answer);
                log.read_cold(cold, move |outcome| *told.lock().unwrap() = Some(outcome));
                self.settle();
                let answer = answer.lock().unwrap().take();
                answer.expect("the cold readers answer")
            }
        }
    }
}

/// Small enough that everything that happens in a large directory happens in a small one.
pub(crate) fn small_config() -> LogDirConfig {
    LogDirConfig {
        tail_bytes: 4 << 20,
        block_cache_bytes: 1 << 20,
        journal_file_bytes: 1 << 20,
        journal_bytes_max: 6 << 20,
        checkpoint_bytes: 1 << 20,
        ..LogDirConfig::default()
    }
}

/// A batch of these values.
pub(crate) fn batch(values: &[&[u8]]) -> Bytes {
    build(values.iter().map(|value| (1_000_000, None, *value)))
}

/// A batch of one record with a key.
pub(crate) fn keyed_batch(key: &[u8], value: &[u8]) -> Bytes {
    build([(1_000_000, Some(key), value)])
}

/// A batch of one record with a timestamp.
pub(crate) fn timed_batch(timestamp: i64, value: &[u8]) -> Bytes {
    build([(timestamp, None, value)])
}

fn build<'a>(records: impl IntoIterator<Item = (i64, Option<&'a [u8]>, &'a [u8])>) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for (timestamp, key, value) in records {
        let record = NewRecord { timestamp, key, value: Some(value), headers: &[] };
        builder.append(&record).unwrap();
    }
    builder.finish(&mut Compressor::new()).unwrap()
}

/// The records of whole batches, from `from` on; each CRC is checked.
pub(crate) fn values(bytes: &[u8], from: Offset) -> Vec<(i64, Vec<u8>)> {
    let mut found = Vec::new();
    for batch in Batches::new(bytes) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        for record in batch.header().records(batch.records_section()) {
            let record = record.unwrap();
            if record.offset >= from {
                found.push((record.offset.0, record.value.unwrap_or_default().to_vec()));
            }
        }
    }
    found
}
