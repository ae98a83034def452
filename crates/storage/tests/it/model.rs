//! Random schedules against a plain model of what a log is: a list of records.
//!
//! A seed decides everything: what is appended, read, cut and deleted, which worker takes a step,
//! when the process is killed, the power is cut, the disk is full, gives errors, or does only a part
//! of what it was asked for. After each crash and at the end, every acknowledged record must be there,
//! in order and once, nothing may be there that was not appended, and producers and transactions must
//! be as the records say. Compaction may leave out what has a successor, and retention the oldest. At
//! the very end one bit of some file flips: then an error or the right records, and nothing else.

mod expected;

use crate::world::{DIR, World, small_config};
use afluente_env::disk::Faults;
use afluente_env::rng::Rng;
use afluente_env::sim::Machine;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_storage::log_config::{CleanupPolicy, Durability, LogConfig};
use afluente_storage::origin::AppendOrigin;
use afluente_storage::{
    AppendError, AppendOptions, CleanerConfig, DirState, Log, LogDirConfig, ReadError, ReadRequest,
    TopicPartition, UpTo,
};
use bytes::Bytes;
use expected::{Entry, Keeps, Model, Writes, entries};
use std::sync::Arc;
use std::time::Duration;

const TOPICS: [&str; 4] = ["a", "b", "c", "d"];
const KEYS: u64 = 20;
/// Parts of files' names: errors meet one of them, or everything.
const FILES: [&str; 7] = [
    "afluente.journal",
    "afluente.buffered",
    "checkpoint",
    ".log",
    "index",
    ".snapshot",
    ".cleaned",
];

struct Run {
    seed: u64,
    rng: Rng,
    world: Option<World>,
    models: Vec<Model>,
    next_value: u64,
    /// The disk gives errors.
    is_faulty: bool,
    trace: Vec<String>,
}

impl Drop for Run {
    /// The workers of the last process know its machine, and the machine them.
    fn drop(&mut self) {
        if let Some(world) = &self.world {
            world.machine.kill();
        }
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let rng = Rng::seeded(seed);
        let config = LogDirConfig {
            retention_interval: Duration::from_secs(4),
            cleaner: CleanerConfig { backoff: Duration::from_secs(4), ..CleanerConfig::default() },
            scrub_interval: Duration::from_secs(3),
            ..small_config()
        };
        let world = World::on(Machine::by_hand(seed), config).unwrap();
        if rng.chance(0.5) {
            let disk = world.machine.disk();
            let (short_read, short_write) = (0.05, 0.05);
            disk.set_faults(Faults { short_read, short_write, ..disk.faults() });
        }
        let models = TOPICS
            .iter()
            .map(|name| Model {
                name,
                durability: if rng.chance(0.3) { Durability::Replicated } else { Durability::Sync },
                writes: match rng.range(0..4) {
                    0 => Writes::Plain,
                    1 => Writes::Idempotent,
                    _ => Writes::InTransactions,
                },
                keeps: match rng.range(0..4) {
                    0 => Keeps::TheNewest,
                    1 => Keeps::TheLastOfEachKey,
                    _ => Keeps::All,
                },
                segment_bytes: [30_000, 300_000, 1 << 20][rng.index(3)],
                exists: false,
                in_doubt: false,
                last_batch: None,
                records: Vec::new(),
                acked: 0,
                start: 0,
            })
            .collect();
        let (next_value, is_faulty) = (0, false);
        Self { seed, rng, world: Some(world), models, next_value, is_faulty, trace: Vec::new() }
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    fn note(&mut self, what: String) {
        self.trace.push(what);
    }

    fn config(&self, topic: usize) -> LogConfig {
        let model = &self.models[topic];
        let compact = model.keeps == Keeps::TheLastOfEachKey;
        LogConfig {
            durability: model.durability,
            segment_bytes: model.segment_bytes,
            retention_ms: -1,
            retention_bytes: if model.keeps == Keeps::TheNewest { 100_000 } else { -1 },
            cleanup_policy: CleanupPolicy { compact, delete: !compact },
            min_cleanable_dirty_ratio: 0.1,
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
                968..973 => self.fill_disk(),
                973..980 => self.break_disk(),
                980..986 => self.crash(false),
                986..993 => self.crash(true),
                _ => self.restart(),
            }
            self.note_acked();
        }
        self.crash(true);
        self.restart();
        self.flip_a_bit();
    }

    fn create(&mut self, topic: usize) {
        let name = self.models[topic].name;
        self.note(format!("create {name}"));
        self.world().create(name, self.config(topic));
        let model = &mut self.models[topic];
        (model.exists, model.acked, model.start) = (true, 0, 0);
        model.records.clear();
        model.last_batch = None;
    }

    fn append(&mut self, topic: usize) {
        if self.world().observer.is_offline() {
            return;
        }
        let log = self.log(topic);
        let model = &self.models[topic];
        let end = model.records.len() as i64;
        assert_eq!(log.end_offset().0, end, "{}: end of {}", self.seed, model.name);
        let is_open = model.open_transaction().is_some();
        let entries = if is_open && self.rng.chance(0.3) {
            vec![Entry::Marker { commit: self.rng.chance(0.5) }]
        } else {
            self.some_records()
        };
        let model = &self.models[topic];
        let (batch, origin) = model.batch(topic, model.records.len(), &entries);
        match self.try_append(&log, batch, origin) {
            Ok(base) => {
                assert_eq!(base, end, "{}: base offset in {}", self.seed, model.name);
                let count = entries.len();
                self.note(format!("append {count} at {base} to {}", self.models[topic].name));
                let model = &mut self.models[topic];
                model.last_batch = Some(model.records.len());
                model.records.extend(entries);
            }
            Err(AppendError::Backpressure | AppendError::NoSpace) => {}
            Err(AppendError::Offline(_)) if self.is_faulty => {}
            Err(AppendError::BatchesTooLarge { size, .. })
                if size > self.models[topic].segment_bytes as usize => {}
            Err(error) => panic!("{}: append to {}: {error:?}", self.seed, model.name),
        }
    }

    fn some_records(&mut self) -> Vec<Entry> {
        let len = match self.rng.range(0..1000) {
            0..600 => 10,
            600..900 => 1_000,
            900..990 => 20_000,
            _ => 220_000,
        };
        let count = 1 + self.rng.index(4);
        let record = |_| {
            self.next_value += 1;
            let mut value = self.next_value.to_be_bytes().to_vec();
            value.resize(8 + self.rng.index(len), b'v');
            Entry::Record { key: self.rng.range(0..KEYS), value }
        };
        (0..count).map(record).collect()
    }

    fn try_append(
        &self,
        log: &Arc<Log>,
        batch: Bytes,
        origin: AppendOrigin,
    ) -> Result<i64, AppendError> {
        let now_ms = self.world().env.clock.wall_ms();
        let options = AppendOptions::client(LeaderEpoch(0), now_ms);
        let appended = log.append(batch, &AppendOptions { origin, ..options })?;
        assert!(!appended.duplicate, "{}: {appended:?}", self.seed);
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
            if self.models[topic].exists && !self.models[topic].in_doubt {
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
        let model = &mut self.models[topic];
        model.start_is(log.start_offset().0);
        let (start, end) = (model.start, model.records.len() as i64);
        let offset = start + self.rng.range(0..(end - start + 1) as u64) as i64;
        let request = ReadRequest {
            offset: Offset(offset),
            max_bytes: self.rng.index(300_000),
            at_least_one_batch: self.rng.chance(0.9),
            up_to: UpTo::LogEnd,
        };
        let data = match self.world().read(&log, request) {
            // Retention was faster.
            Err(ReadError::OffsetOutOfRange { .. }) if log.start_offset().0 > start => return,
            Err(ReadError::Storage(_)) if self.is_faulty => return,
            read => read.unwrap(),
        };
        let bytes = data.records.clone().into_bytes();
        let found = entries(&bytes, Offset(offset)).unwrap();
        let model = &self.models[topic];
        if request.at_least_one_batch && offset < end && model.keeps != Keeps::TheLastOfEachKey {
            assert!(!found.is_empty(), "{}: nothing at {offset} of {end}", self.seed);
        }
        model.compare(self.seed, offset, data.next_offset.0, &found);
    }

    fn delete_records(&mut self, topic: usize) {
        let log = self.log(topic);
        let to = log.high_watermark();
        self.models[topic].start_is(log.start_offset().0);
        let start = self.models[topic].start;
        if to.0 <= start {
            return;
        }
        let to = Offset(start + self.rng.range(0..(to.0 - start) as u64) as i64);
        self.note(format!("delete records of {} below {to}", self.models[topic].name));
        if let Err(error) = log.delete_records_before(to) {
            assert!(self.is_faulty, "{}: {error}", self.seed);
            return;
        }
        let model = &mut self.models[topic];
        model.start = model.start.max(to.0);
        assert!(log.start_offset().0 >= model.start);
    }

    fn truncate(&mut self, topic: usize) {
        let log = self.log(topic);
        let model = &mut self.models[topic];
        model.start_is(log.start_offset().0);
        let (mut start, end) = (model.start, model.records.len() as i64);
        if model.keeps == Keeps::TheLastOfEachKey {
            // As followers do. What compaction has made of the records below relies on those above.
            start = start.max(log.high_watermark().0);
        }
        let to = start + self.rng.range(0..(end - start + 1) as u64) as i64;
        if matches!(self.world().dir.state(), DirState::Full) {
            return;
        }
        self.note(format!("truncate {} to {to}", self.models[topic].name));
        let outcome = log.truncate_to(Offset(to));
        let (end, durable_end) = (log.end_offset().0, log.durable_end().0);
        let is_offline = self.world().observer.is_offline();
        let model = &mut self.models[topic];
        if let Err(error) = outcome {
            assert!(self.is_faulty, "{}: {error}", self.seed);
            // It may have been cut, in memory and on the disk, or in memory only.
            model.acked = model.acked.min(durable_end);
            model.start = model.start.min(end);
            model.last_batch = None;
            if !is_offline {
                model.records.truncate(end as usize);
            }
            return;
        }
        assert!(end <= to && end >= model.start.min(to) - 4, "{}: {end} after {to}", self.seed);
        if model.records.len() as i64 > end {
            model.records.truncate(end as usize);
            model.last_batch = None;
        }
        model.acked = model.acked.min(end);
        model.start = model.start.min(end);
        assert!(log.durable_end().0 <= end);
    }

    fn delete_topic(&mut self, topic: usize) {
        let name = self.models[topic].name;
        self.note(format!("delete topic {name}"));
        let deleted = self.world().dir.delete_log(&TopicPartition::new(name, 0));
        let model = &mut self.models[topic];
        match deleted {
            Ok(()) => model.exists = false,
            Err(error) => {
                assert!(self.is_faulty, "{}: {error}", self.seed);
                (model.in_doubt, model.acked) = (true, 0);
            }
        }
    }

    /// The disk is full for a while; nothing is lost by it.
    fn fill_disk(&mut self) {
        self.note("disk is full".to_owned());
        let disk = self.world().machine.disk();
        let space = self.world().env.disk.space("/".as_ref()).unwrap();
        let used = space.total - space.available;
        let before = disk.faults();
        let mut faults = before.clone();
        faults.capacity_bytes = used + self.rng.range(0..1 << 20);
        disk.set_faults(faults);
        for _ in 0..self.rng.range(1..100) {
            let topic = self.rng.index(self.models.len());
            if self.models[topic].exists {
                self.append(topic);
            }
            self.step_workers();
            self.note_acked();
        }
        if self.rng.chance(0.3) {
            self.crash_on_full_disk(before);
            return;
        }
        disk.set_faults(before);
        self.world().pass(Duration::from_secs(2));
        let state = self.world().dir.state();
        assert!(matches!(state, DirState::Online), "{}: {state:?}", self.seed);
    }

    /// The next process may find no room for what it needs to start; then it starts when there is.
    fn crash_on_full_disk(&mut self, with_room: Faults) {
        let power = self.rng.chance(0.5);
        self.note(format!("crash on the full disk, power: {power}"));
        let World { machine, config, .. } = self.world.take().unwrap();
        let end =
            |machine: &Machine| if power { drop(machine.cut_power()) } else { machine.kill() };
        end(&machine);
        let opened = match World::on(machine.clone(), config.clone()) {
            Err(error) if error.is_no_space() => {
                end(&machine);
                machine.disk().set_faults(with_room.clone());
                World::on(machine.clone(), config)
            }
            opened => opened,
        };
        self.world = Some(opened.unwrap_or_else(|error| self.panic(&error)));
        machine.disk().set_faults(with_room);
        self.check_all(power);
    }

    /// The disk gives errors for a while. At the first that matters the directory goes offline;
    /// nothing that was acknowledged is lost by it.
    fn break_disk(&mut self) {
        let disk = self.world().machine.disk();
        let sound = disk.faults();
        // After a failed sync of names nothing short of mounting the file system again helps.
        let everywhere = self.rng.chance(0.5);
        let part = if everywhere { "" } else { FILES[self.rng.index(FILES.len())] };
        let likely = || {
            if self.rng.chance(0.5) { [0.002, 0.02, 0.2][self.rng.index(3)] } else { 0.0 }
        };
        let faults = Faults {
            paths_containing: part.to_owned(),
            read_error: likely(),
            write_error: likely(),
            sync_error: likely(),
            name_error: likely(),
            ..sound.clone()
        };
        self.note(format!("disk has errors: {faults:?}"));
        disk.set_faults(faults);
        self.is_faulty = true;
        for _ in 0..self.rng.range(1..100) {
            let topic = self.rng.index(self.models.len());
            let can = self.models[topic].exists && !self.models[topic].in_doubt;
            match self.rng.range(0..100) {
                0..50 if can => self.append(topic),
                50..60 if can => self.read(topic),
                60..62 if can => self.delete_records(topic),
                62..66 if can => self.truncate(topic),
                66..68 if can => self.delete_topic(topic),
                68..75 => self.pass_time(),
                _ => self.step_workers(),
            }
            self.note_acked();
            if self.world().observer.is_offline() {
                self.note("offline".to_owned());
                break;
            }
        }
        self.end_faulty_life(everywhere, sound);
    }

    /// The process or the machine ends; the next ones may meet the errors when they start.
    fn end_faulty_life(&mut self, needs_power_cut: bool, sound: Faults) {
        let mut power = needs_power_cut || self.rng.chance(0.5);
        let World { machine, config, dir, .. } = self.world.take().unwrap();
        let was_closed = self.rng.chance(0.2) && dir.close().is_ok();
        if was_closed {
            self.note("closed".to_owned());
            for model in self.models.iter_mut().filter(|model| model.exists && !model.in_doubt) {
                model.acked = model.records.len() as i64;
            }
        }
        // Pages whose sync has failed may be lost without a power cut.
        let loses = power || machine.disk().faults().sync_error > 0.0;
        let mut is_broken = self.rng.chance(0.3);
        let opened = loop {
            self.note(format!("crash with errors, power: {power}, they last: {is_broken}"));
            if power {
                machine.cut_power();
            } else {
                machine.kill();
            }
            if !is_broken {
                machine.disk().set_faults(sound.clone());
            }
            match World::on(machine.clone(), config.clone()) {
                Ok(world) => break world,
                Err(error) if !is_broken => self.panic(&error),
                Err(error) => self.note(format!("does not open: {error}")),
            }
            is_broken = self.rng.chance(0.3);
            power |= needs_power_cut || self.rng.chance(0.5);
        };
        machine.disk().set_faults(sound);
        let is_offline = opened.observer.is_offline();
        self.world = Some(opened);
        if is_broken && (is_offline || self.rng.chance(0.5)) {
            // What it has met while it opened counts as nothing.
            self.note("crash of what was opened with errors".to_owned());
            let World { machine, config, .. } = self.world.take().unwrap();
            power |= needs_power_cut;
            if power {
                machine.cut_power();
            } else {
                machine.kill();
            }
            let opened = World::on(machine, config);
            self.world = Some(opened.unwrap_or_else(|error| self.panic(&error)));
        }
        self.is_faulty = false;
        self.check_all(power || loses);
    }

    fn crash(&mut self, power: bool) {
        assert!(!self.world().observer.is_offline(), "{}: offline for no reason", self.seed);
        let figures = self.world().dir.figures();
        assert_eq!(figures.scrub_findings, 0, "{}: {figures:?}", self.seed);
        self.note_acked();
        self.note(format!("crash, power: {power}"));
        let World { machine, config, .. } = self.world.take().unwrap();
        if power {
            machine.cut_power();
        } else {
            machine.kill();
        }
        let opened = World::on(machine, config);
        self.world = Some(opened.unwrap_or_else(|error| self.panic(&error)));
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
            let model = &mut self.models[topic];
            (model.exists, model.in_doubt) = (false, false);
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
        let found = self.world().entries(&log, Offset(start)).unwrap();
        model.compare(seed, start, end, &found);
        assert_eq!(log.durable_end().0, end);
        let model = &mut self.models[topic];
        if model.records.len() as i64 > end {
            model.records.truncate(end as usize);
            model.last_batch = None;
        }
        (model.acked, model.start, model.in_doubt) = (end, start, false);
        self.check_transactions(topic, &log);
        self.check_producer(topic, &log);
    }

    /// The last batch, sent again, is known.
    fn check_producer(&self, topic: usize, log: &Arc<Log>) {
        let model = &self.models[topic];
        let Some(base) = model.last_batch.filter(|base| *base < model.records.len()) else {
            return;
        };
        let entries = &model.records[base..];
        if model.writes == Writes::Plain || matches!(entries[0], Entry::Marker { .. }) {
            return;
        }
        let (batch, origin) = model.batch(topic, base, entries);
        let now_ms = self.world().env.clock.wall_ms();
        let options = AppendOptions::client(LeaderEpoch(0), now_ms);
        match log.append(batch, &AppendOptions { origin, ..options }) {
            Ok(appended) => {
                let found = (appended.duplicate, appended.base_offset.0);
                assert_eq!(found, (true, base as i64), "{}: a retry in {}", self.seed, model.name);
            }
            Err(AppendError::Backpressure | AppendError::NoSpace) => {}
            Err(error) => panic!("{}: a retry in {}: {error:?}", self.seed, model.name),
        }
    }

    /// What is open, and what was aborted.
    fn check_transactions(&self, topic: usize, log: &Arc<Log>) {
        let model = &self.models[topic];
        // Of one that has begun below the start, only a part is known.
        if model.writes != Writes::InTransactions || model.start > 0 {
            return;
        }
        let (seed, name) = (self.seed, model.name);
        let end = model.records.len() as i64;
        let stable = model.open_transaction().map_or(end, |first| first as i64);
        assert_eq!(log.last_stable_offset().0, stable, "{seed}: last stable offset of {name}");
        if model.keeps == Keeps::TheLastOfEachKey || stable == 0 {
            return;
        }
        let mut aborted = Vec::new();
        let mut offset = Offset::ZERO;
        while offset.0 < stable {
            let request = ReadRequest {
                offset,
                max_bytes: 64 << 10,
                at_least_one_batch: true,
                up_to: UpTo::LastStable,
            };
            let data = self.world().read(log, request).unwrap();
            aborted.extend(
                data.aborted
                    .iter()
                    .map(|txn| (txn.first_offset.0 as usize, txn.last_offset.0 as usize)),
            );
            offset = data.next_offset;
        }
        aborted.sort_unstable();
        aborted.dedup();
        assert_eq!(aborted, model.aborted(), "{seed}: aborted transactions of {name}");
    }

    /// One bit flips while nothing runs. Then what comes is an error, or what was appended.
    fn flip_a_bit(&mut self) {
        let World { machine, config, dir, .. } = self.world.take().unwrap();
        if self.rng.chance(0.5) {
            dir.close().unwrap();
        }
        machine.cut_power();
        let Some(flip) = machine.disk().flip_random_bit("") else { return };
        self.note(format!("{flip:?}"));
        let world = match World::on(machine, config) {
            Ok(world) => world,
            Err(error) => return assert!(error.to_string().contains(DIR), "{error}"),
        };
        for topic in 0..self.models.len() {
            let model = &self.models[topic];
            let partition = TopicPartition::new(model.name, 0);
            let Some(log) = world.dir.log(&partition) else {
                continue;
            };
            let (start, end) = (log.start_offset(), log.end_offset());
            if (start.0, end.0) != (model.start, model.records.len() as i64) {
                // Nothing proves that the last frame of the checkpoint was whole: what it told, a
                // truncation or a deletion, is undone like one that never ended.
                continue;
            }
            match world.entries(&log, start) {
                Ok(found) => model.compare(self.seed, start.0, end.0, &found),
                Err(error) => assert!(error.to_string().contains(DIR), "{error}"),
            }
        }
    }

    fn panic(&self, error: &dyn std::fmt::Display) -> ! {
        panic!("{}: {error}\n{}", self.seed, self.tail());
    }

    fn tail(&self) -> String {
        self.trace[self.trace.len().saturating_sub(30)..].join("\n")
    }
}

impl World {
    /// What is in a log from `from` on.
    fn entries(&self, log: &Arc<Log>, from: Offset) -> Result<Vec<(i64, Entry)>, ReadError> {
        let mut found = Vec::new();
        let mut offset = from;
        while offset < log.end_offset() {
            let request = ReadRequest {
                offset,
                max_bytes: 64 << 10,
                at_least_one_batch: true,
                up_to: UpTo::LogEnd,
            };
            let data = self.read(log, request)?;
            found.extend(entries(&data.records.into_bytes(), offset).unwrap());
            assert!(data.next_offset > offset, "a read at {offset} goes nowhere");
            offset = data.next_offset;
        }
        Ok(found)
    }
}

/// Seeds of one test. Each test is a process of its own with its own memory, and they run side by side.
const SEEDS_EACH: u64 = 100;

/// `AFLUENTE_SEED=17 AFLUENTE_SEEDS=1` repeats one, `AFLUENTE_SEEDS=50000` runs many, best of a release
/// build.
#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_invented() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("AFLUENTE_SEED").unwrap_or(0);
    check(first..first + number("AFLUENTE_SEEDS").unwrap_or(SEEDS_EACH));
}

/// The seeds after those of the first test, unless that was asked for others.
fn check_part(part: u64) {
    if std::env::var_os("AFLUENTE_SEEDS").is_none() {
        check(part * SEEDS_EACH..(part + 1) * SEEDS_EACH);
    }
}

#[test]
fn nothing_is_lost_with_the_second_hundred_of_seeds() {
    check_part(1);
}

#[test]
fn nothing_is_lost_with_the_third_hundred_of_seeds() {
    check_part(2);
}

#[test]
fn nothing_is_lost_with_the_fourth_hundred_of_seeds() {
    check_part(3);
}

#[test]
fn nothing_is_lost_with_the_fifth_hundred_of_seeds() {
    check_part(4);
}

fn check(seeds: std::ops::Range<u64>) {
    let mut failed = Vec::new();
    for seed in seeds {
        let mut run = Run::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.go(250)));
        if outcome.is_err() {
            // The panic's own message came before.
            failed.push((seed, run.tail()));
        }
    }
    let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    let shown: Vec<String> =
        failed.iter().take(20).map(|(seed, tail)| format!("seed {seed}:\n{tail}")).collect();
    assert!(failed.is_empty(), "{} seeds fail: {seeds:?}\n{}", seeds.len(), shown.join("\n"));
}
