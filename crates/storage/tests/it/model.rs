//! Random schedules against a plain model of what a log is: a list of records.
//!
//! A seed decides everything: what is appended, read, cut and deleted, which worker takes a step,
//! when the process is killed, the power is cut or the disk is full. After each crash and at the
//! end, every acknowledged record must be there, in order and once, nothing may be there that was
//! not appended, and producers must find their sequence numbers as the records say.

use crate::world::{Observer, World, small_config, values};
use afluente_env::rng::Rng;
use afluente_env::sim::Machine;
use afluente_protocol::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, BatchProducer, Compressor, NewRecord,
};
use afluente_storage::log_config::{Durability, LogConfig};
use afluente_storage::{
    AppendError, AppendOptions, DirState, Log, ReadRequest, TopicPartition, UpTo,
};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const TOPICS: [&str; 4] = ["a", "b", "c", "d"];
const CAPACITY_BYTES: u64 = 1 << 40;

/// What a log must hold.
struct Model {
    name: &'static str,
    durability: Durability,
    idempotent: bool,
    exists: bool,
    /// By offset.
    records: Vec<Vec<u8>>,
    /// Everything below was acknowledged.
    acked: i64,
    /// Below this, records may be gone.
    start: i64,
}

struct Run {
    seed: u64,
    rng: Rng,
    world: Option<World>,
    models: Vec<Model>,
    next_value: u64,
    trace: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let rng = Rng::seeded(seed);
        let world = World::on(Machine::by_hand(seed), small_config()).unwrap();
        let models = TOPICS
            .iter()
            .map(|name| Model {
                name,
                durability: if rng.chance(0.3) { Durability::Replicated } else { Durability::Sync },
                idempotent: rng.chance(0.5),
                exists: false,
                records: Vec::new(),
                acked: 0,
                start: 0,
            })
            .collect();
        Self { seed, rng, world: Some(world), models, next_value: 0, trace: Vec::new() }
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    fn note(&mut self, what: String) {
        self.trace.push(what);
    }

    fn config(&self, topic: usize) -> LogConfig {
        LogConfig {
            durability: self.models[topic].durability,
            segment_bytes: 1 << 20,
            retention_ms: -1,
            ..LogConfig::default()
        }
    }

    fn log(&self, topic: usize) -> Arc<Log> {
        self.world().log(self.models[topic].name)
    }

    fn go(&mut self, steps: usize) {
        for _ in 0..steps {
            let topic = self.rng.index(self.models.len());
            if !self.models[topic].exists {
                self.create(topic);
            }
            match self.rng.range(0..1000) {
                0..500 => self.append(topic),
                500..800 => self.step_workers(),
                800..880 => self.read(topic),
                880..900 => self.pass_time(),
                900..930 => self.world().settle(),
                930..950 => self.delete_records(topic),
                950..962 => self.truncate(topic),
                962..968 => self.delete_topic(topic),
                968..974 => self.fill_disk(),
                974..983 => self.crash(false),
                983..992 => self.crash(true),
                _ => self.restart(),
            }
            self.note_acked();
        }
        self.crash(true);
        self.restart();
    }

    fn create(&mut self, topic: usize) {
        let name = self.models[topic].name;
        self.note(format!("create {name}"));
        self.world().create(name, self.config(topic));
        let model = &mut self.models[topic];
        (model.exists, model.acked, model.start) = (true, 0, 0);
        model.records.clear();
    }

    fn append(&mut self, topic: usize) {
        let count = 1 + self.rng.index(4);
        let len = match self.rng.range(0..100) {
            0..60 => 10,
            60..90 => 3_000,
            90..98 => 40_000,
            _ => 220_000,
        };
        let values: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                self.next_value += 1;
                let mut value = self.next_value.to_be_bytes().to_vec();
                value.resize(8 + self.rng.index(len), b'v');
                value
            })
            .collect();
        let log = self.log(topic);
        let model = &self.models[topic];
        let end = model.records.len() as i64;
        assert_eq!(log.end_offset().0, end, "{}: end of {}", self.seed, model.name);
        let batch = batch(&values, model.idempotent.then_some((topic as i64, end)));
        match self.try_append(&log, batch) {
            Ok(base) => {
                assert_eq!(base, end, "{}: base offset in {}", self.seed, model.name);
                self.note(format!("append {count} at {base} to {}", self.models[topic].name));
                self.models[topic].records.extend(values);
            }
            Err(AppendError::Backpressure | AppendError::NoSpace) => {}
            Err(error) => panic!("{}: append to {}: {error:?}", self.seed, model.name),
        }
    }

    fn try_append(&self, log: &Arc<Log>, batch: Bytes) -> Result<i64, AppendError> {
        let now_ms = self.world().env.clock.wall_ms();
        let appended = log.append(batch, &AppendOptions::client(LeaderEpoch(0), now_ms))?;
        assert!(!appended.duplicate);
        Ok(appended.base_offset.0)
    }

    fn step_workers(&self) {
        for _ in 0..self.rng.range(1..12) {
            self.world().machine.workers().step_one();
        }
    }

    fn pass_time(&mut self) {
        let time = Duration::from_millis(self.rng.range(1..5_000));
        self.note(format!("{time:?} pass"));
        self.world().pass(time);
    }

    fn note_acked(&mut self) {
        for topic in 0..self.models.len() {
            if self.models[topic].exists {
                let durable_end = self.log(topic).durable_end().0;
                let model = &mut self.models[topic];
                assert!(durable_end >= model.acked, "{}: the durable end fell", self.seed);
                assert!(durable_end <= model.records.len() as i64);
                model.acked = durable_end;
            }
        }
    }

    fn read(&mut self, topic: usize) {
        let log = self.log(topic);
        let model = &self.models[topic];
        let (start, end) = (model.start, model.records.len() as i64);
        let offset = start + self.rng.range(0..(end - start + 1) as u64) as i64;
        let request = ReadRequest {
            offset: Offset(offset),
            max_bytes: self.rng.index(300_000),
            at_least_one_batch: self.rng.chance(0.9),
            up_to: UpTo::LogEnd,
        };
        let data = self.world().read(&log, request).unwrap();
        let bytes = data.records.clone().into_bytes();
        let found = values(&bytes, Offset(offset));
        if request.at_least_one_batch && offset < end {
            assert!(!found.is_empty(), "{}: nothing at {offset} of {end}", self.seed);
        }
        for (place, (at, value)) in (offset..).zip(found) {
            assert_eq!(at, place, "{}: offsets in {}", self.seed, model.name);
            assert!(value == model.records[at as usize], "{}: {at} in {}", self.seed, model.name);
        }
    }

    fn delete_records(&mut self, topic: usize) {
        let log = self.log(topic);
        let to = log.high_watermark();
        let start = self.models[topic].start;
        if to.0 <= start {
            return;
        }
        let to = Offset(start + self.rng.range(0..(to.0 - start) as u64) as i64);
        self.note(format!("delete records of {} below {to}", self.models[topic].name));
        log.delete_records_before(to).unwrap();
        let model = &mut self.models[topic];
        model.start = model.start.max(to.0);
        assert_eq!(log.start_offset().0, model.start);
    }

    fn truncate(&mut self, topic: usize) {
        let log = self.log(topic);
        let model = &self.models[topic];
        let (start, end) = (model.start, model.records.len() as i64);
        let to = start + self.rng.range(0..(end - start + 1) as u64) as i64;
        if matches!(self.world().dir.state(), DirState::Full) {
            return;
        }
        self.note(format!("truncate {} to {to}", self.models[topic].name));
        log.truncate_to(Offset(to)).unwrap();
        let end = log.end_offset().0;
        let model = &mut self.models[topic];
        assert!(end <= to && end >= model.start.min(to) - 4, "{}: {end} after {to}", self.seed);
        model.records.truncate(end as usize);
        model.acked = model.acked.min(end);
        model.start = model.start.min(end);
        assert!(log.durable_end().0 <= end);
    }

    fn delete_topic(&mut self, topic: usize) {
        let name = self.models[topic].name;
        self.note(format!("delete topic {name}"));
        self.world().dir.delete_log(&TopicPartition::new(name, 0)).unwrap();
        self.models[topic].exists = false;
    }

    /// The disk is full for a while; nothing is lost by it.
    fn fill_disk(&mut self) {
        self.note("disk is full".to_owned());
        let disk = self.world().machine.disk();
        let space = self.world().env.disk.space("/".as_ref()).unwrap();
        let used = space.total - space.available;
        let mut faults = disk.faults();
        faults.capacity_bytes = used + self.rng.range(0..1 << 20);
        disk.set_faults(faults.clone());
        for _ in 0..self.rng.range(1..100) {
            let topic = self.rng.index(self.models.len());
            if self.models[topic].exists {
                self.append(topic);
            }
            self.step_workers();
            self.note_acked();
        }
        faults.capacity_bytes = CAPACITY_BYTES;
        disk.set_faults(faults);
        self.world().pass(Duration::from_secs(2));
        let state = self.world().dir.state();
        assert!(matches!(state, DirState::Online), "{}: {state:?}", self.seed);
    }

    fn crash(&mut self, power: bool) {
        self.note_acked();
        self.note(format!("crash, power: {power}"));
        let World { machine, config, observer, .. } = self.world.take().unwrap();
        assert!(!observer.is_offline(), "{}: offline for no reason", self.seed);
        if power {
            machine.cut_power();
        } else {
            machine.kill();
        }
        self.world = Some(World::on(machine, config).unwrap_or_else(|error| self.panic(&error)));
        self.check_all(power);
    }

    fn restart(&mut self) {
        self.note("restart".to_owned());
        for model in &mut self.models {
            if model.exists {
                model.acked = model.records.len() as i64;
            }
        }
        let World { machine, config, dir, .. } = self.world.take().unwrap();
        dir.close().unwrap_or_else(|error| self.panic(&error));
        if self.rng.chance(0.5) {
            machine.cut_power();
        } else {
            machine.kill();
        }
        self.world = Some(World::on(machine, config).unwrap_or_else(|error| self.panic(&error)));
        assert!(self.world().report.clean);
        self.check_all(false);
    }

    fn check_all(&mut self, power: bool) {
        for topic in 0..self.models.len() {
            self.check(topic, power);
        }
    }

    /// What came back is what was appended, with everything that was acknowledged.
    fn check(&mut self, topic: usize, power: bool) {
        let model = &self.models[topic];
        let (seed, name) = (self.seed, model.name);
        let Some(log) = self.world().dir.log(&TopicPartition::new(name, 0)) else {
            let must_be = model.exists && model.acked > 0;
            let replicated = model.durability == Durability::Replicated && power;
            assert!(!must_be || replicated, "{seed}: {name} is gone");
            self.models[topic].exists = false;
            return;
        };
        assert!(model.exists, "{seed}: {name} was deleted");
        log.set_config(Arc::new(self.config(topic))).unwrap();
        let (start, end) = (log.start_offset().0, log.end_offset().0);
        let loses = model.durability == Durability::Replicated && power;
        if !loses {
            assert!(end >= model.acked, "{seed}: {name} ends at {end}, not {}", model.acked);
        }
        assert!(end <= model.records.len() as i64, "{seed}: {name} has grown to {end}");
        assert!(start >= model.start || end < model.start, "{seed}: {name} starts at {start}");
        let found = self.world().read_all(&log, Offset(start));
        assert_eq!(found.len() as i64, end - start, "{seed}: records of {name}");
        for (place, (offset, value)) in (start..).zip(found) {
            assert_eq!(offset, place, "{seed}: offsets of {name}");
            assert!(value == model.records[offset as usize], "{seed}: {offset} of {name}");
        }
        assert_eq!(log.durable_end().0, end);
        let model = &mut self.models[topic];
        model.records.truncate(end as usize);
        (model.acked, model.start) = (end, start);
    }

    fn panic(&self, error: &dyn std::fmt::Display) -> ! {
        panic!("{}: {error}\n{}", self.seed, self.tail());
    }

    fn tail(&self) -> String {
        self.trace[self.trace.len().saturating_sub(30)..].join("\n")
    }
}

impl Observer {
    fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Relaxed)
    }
}

/// A batch of these values; of a producer, with the sequence number of its first record.
fn batch(values: &[Vec<u8>], producer: Option<(i64, i64)>) -> Bytes {
    let producer = producer.map_or(BatchProducer::NONE, |(id, sequence)| BatchProducer {
        id: ProducerId(id),
        epoch: ProducerEpoch(0),
        base_sequence: sequence as i32,
    });
    let mut builder = BatchBuilder::new(BatchOptions { producer, ..BatchOptions::default() });
    for value in values {
        let record = NewRecord { timestamp: 1_000, key: None, value: Some(value), headers: &[] };
        builder.append(&record).unwrap();
    }
    builder.finish(&mut Compressor::new()).unwrap()
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("AFLUENTE_SEED").unwrap_or(0);
    first..first + number("AFLUENTE_SEEDS").unwrap_or(25)
}

/// `AFLUENTE_SEED=17 AFLUENTE_SEEDS=1` repeats one, `AFLUENTE_SEEDS=50000` runs many.
#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_invented() {
    for seed in seeds() {
        let mut run = Run::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.go(600)));
        // The panic's own message came before.
        assert!(outcome.is_ok(), "seed {seed}, last steps:\n{}", run.tail());
    }
}
