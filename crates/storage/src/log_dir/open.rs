//! Opening a log directory: checkpoint, then what the journal has after it.

use super::background::{Background, remove_tree};
use super::close::{foreign_change, read_file};
use super::journal_worker::JournalWorker;
use super::shared::{Doomed, User};
use super::{LogDir, LogDirConfig, LogObserver, Shared};
use crate::TopicPartition;
use crate::checkpoint::{
    self, CheckpointWriter, FrameFacts, Loaded, LogRecord, Record, SegmentRecord,
};
use crate::cold_read::{COLD_READER_COUNT, ColdReader};
use crate::error::{IoContext, StorageError};
use crate::import::{self, ImportRules};
use crate::journal::frame::{EntryHeader, EntryKind};
use crate::journal::replay::{RingHint, RingReader, TornTail};
use crate::journal::ring::{RingKind, make_file};
use crate::journal::writer::FrameWriter;
use crate::journal::{Journal, RingsAt};
use crate::kafka_files::clean_shutdown::{self, CLEAN_SHUTDOWN_FILE};
use crate::log::Log;
use crate::log::state::LogState;
use crate::log_config::LogConfig;
use crate::segment::SegmentName;
use afluente_env::Env;
use afluente_env::disk::Disk;
use afluente_env::worker::{Doorbell, Step, Worker};
use afluente_protocol::numbers::Offset;
use afluente_protocol::uuid::Uuid;
use afluente_stdx::crc32c::crc32c;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// `index.interval.bytes`, for indexes of Apache Kafka's that have to be built again.
const INDEX_INTERVAL_BYTES: u64 = 4096;

/// What opening a directory found.
#[derive(Debug, Clone, Default)]
pub struct OpenReport {
    /// It was made now.
    pub fresh: bool,
    /// It had been closed cleanly.
    pub clean: bool,
    /// Logs in it.
    pub logs: usize,
    /// Journal entries that were not in the checkpoint.
    pub replayed_entries: u64,
    /// Their bytes.
    pub replayed_bytes: u64,
    /// Logs that were taken over from Apache Kafka.
    pub imported: usize,
    /// What somebody may want to know about those, and about index files that were built again.
    pub notes: Vec<String>,
    /// Frames that were not finished when the process or the machine died. Nothing in them was
    /// acknowledged.
    pub torn_tails: Vec<TornTail>,
}

pub(super) fn open(
    env: &Env,
    path: &Path,
    config: LogDirConfig,
    observer: Arc<dyn LogObserver>,
) -> Result<(LogDir, OpenReport), StorageError> {
    config.check()?;
    let disk = &env.disk;
    make_directory(disk.as_ref(), path)?;
    let lock = disk.lock(&path.join(".lock")).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => StorageError::Locked { path: path.to_owned() },
        _ => Err::<(), _>(error).doing("lock the log directory", path).expect_err("it is one"),
    })?;
    let mut report = OpenReport::default();
    let (mut loaded, checkpoint) = load_or_make(env, path, &mut report)?;
    let run = env.rng.u64();
    let (synced_hint, buffered_hint) = hints(&loaded);
    let file_bytes = config.journal_file_bytes;
    let file_bytes_min = loaded.journal_file_bytes;
    let reader = |kind, hint| {
        RingReader::open(disk.as_ref(), path, kind, loaded.directory_id, hint, file_bytes_min)
    };
    let mut synced = reader(RingKind::Synced, synced_hint)?;
    let mut buffered = reader(RingKind::Buffered, buffered_hint)?;
    let journal = Journal::new(loaded.directory_id, run, config.tail_bytes / 4);
    let shared = Arc::new(Shared::new(
        env.clone(),
        path.to_owned(),
        config,
        observer,
        journal,
        checkpoint,
        loaded.facts.next_log_id,
        loaded.facts.floor_lsn,
        lock,
    ));
    let user = Arc::new(User(Arc::clone(&shared)));
    shared.leftovers.lock().append(&mut loaded.doomed);
    let mut background = Background::new(Arc::clone(&shared));
    let mut recovery = Recovery::new(&shared, loaded, &mut report)?;
    recovery.replay(&mut synced, &mut buffered, &mut report, &mut background)?;
    recovery.check_readable()?;
    report.torn_tails.extend(synced.torn_tail());
    report.torn_tails.extend(buffered.torn_tail());
    let next_lsn = recovery.next_lsn;
    recovery.finish(&mut report);
    if !report.clean {
        // Names that whoever was here before has made and not synced, such as a journal file's.
        disk.sync_dir(path).doing("sync the log directory", path)?;
    }
    let synced = synced.finish(file_bytes)?;
    let buffered = buffered.finish(file_bytes)?;
    let next_lsn = next_lsn.max(synced.greatest_lsn + 1).max(buffered.greatest_lsn + 1);
    shared.journal.install(synced, buffered, next_lsn);
    begin_run(&shared, file_bytes_min)?;
    let start = |name, bell: &Doorbell, worker: Box<dyn Worker>| {
        env.workers.start(name, bell, InUse { worker, _user: Arc::clone(&user) })
    };
    let journal = JournalWorker::new(Arc::clone(&shared));
    let mut workers = vec![
        start("journal", &shared.journal.bell, Box::new(journal)),
        start("log-background", &shared.background_bell, Box::new(background)),
    ];
    for lane in 0..COLD_READER_COUNT {
        let reader = ColdReader::new(Arc::clone(&shared), lane);
        workers.push(start("cold-reader", shared.cold.bell(lane), Box::new(reader)));
    }
    for tail in &report.torn_tails {
        tracing::warn!(
            file = %tail.path.display(),
            position = tail.position,
            found = tail.found,
            "the journal ends in a frame that was not finished; nothing in it was acknowledged"
        );
    }
    Ok((LogDir { shared, workers: Arc::new(Mutex::new(workers)), _user: user }, report))
}

/// A worker, which uses the directory as long as it lives.
struct InUse {
    worker: Box<dyn Worker>,
    _user: Arc<User>,
}

impl Worker for InUse {
    fn step(&mut self) -> Step {
        self.worker.step()
    }
}

/// Makes the log directory if need be; its name is durable then.
fn make_directory(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    if disk.metadata(path).doing("look at", path)?.is_some() {
        return Ok(());
    }
    disk.create_dir_all(path).doing("make the log directory", path)?;
    for parent in path.ancestors().skip(1) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        disk.sync_dir(parent).doing("sync", parent)?;
    }
    Ok(())
}

/// Reads the checkpoint, or makes that of a new directory.
fn load_or_make(
    env: &Env,
    path: &Path,
    report: &mut OpenReport,
) -> Result<(Loaded, CheckpointWriter), StorageError> {
    let disk = &env.disk;
    if let Some(loaded) = checkpoint::load(disk.as_ref(), path)? {
        let mut writer = CheckpointWriter::resume(Arc::clone(disk), path, &loaded)?;
        report.clean = loaded.facts.clean;
        if loaded.facts.clean
            && let Some(evidence) = foreign_change(disk.as_ref(), path, &loaded.clean_stop_files)?
        {
            // Nothing is in our journal after a clean stop, so all there is is in the files.
            tracing::warn!(directory = %path.display(), evidence, "another program was here");
            return make_checkpoint(env, path, report);
        }
        let loaded = check_witnesses(env, path, loaded, &mut writer)?;
        return Ok((loaded, writer));
    }
    let journal = RingKind::Synced.file_path(path, 1);
    if disk.metadata(&journal).doing("look at", &journal)?.is_some() {
        return Err(StorageError::Corrupt {
            path: path.join(checkpoint::FILE),
            position: 0,
            expected: "the checkpoint, since there is a journal".to_owned(),
            found: "no such file".to_owned(),
            remedy: "put the file back, or restore this log directory from a backup",
        });
    }
    make_checkpoint(env, path, report)
}

/// Makes the first checkpoint of a directory: of nothing, or of what Apache Kafka has left there.
fn make_checkpoint(
    env: &Env,
    path: &Path,
    report: &mut OpenReport,
) -> Result<(Loaded, CheckpointWriter), StorageError> {
    let disk = &env.disk;
    let records = take_over(disk.as_ref(), path, report)?;
    report.fresh = records.is_empty();
    let next_log_id = records.len() as u64 + 1;
    let mut directory_id = [0; 16];
    env.rng.fill(&mut directory_id);
    let rings = RingsAt { synced_from: 1, synced_to: 0, buffered_from: 1, buffered_to: 0 };
    let facts = FrameFacts { floor_lsn: 0, next_lsn: 1, next_log_id, rings, clean: false };
    let writer = CheckpointWriter::create(Arc::clone(disk), path, directory_id, &facts, &records)?;
    let marker = path.join(CLEAN_SHUTDOWN_FILE);
    if disk.metadata(&marker).doing("look at", &marker)?.is_some() {
        disk.remove_file(&marker).doing("remove", &marker)?;
        disk.sync_dir(path).doing("sync the log directory", path)?;
    }
    let loaded = checkpoint::load(disk.as_ref(), path)?.expect("it was just made");
    Ok((loaded, writer))
}

/// What Apache Kafka has left in the directory, as records of a first checkpoint. What has to be
/// done to the files is done.
fn take_over(
    disk: &dyn Disk,
    path: &Path,
    report: &mut OpenReport,
) -> Result<Vec<Record>, StorageError> {
    let found = import::read_dir(disk, path)?;
    let mut records = Vec::new();
    for partition in &found.partitions {
        let rules = ImportRules {
            is_clean: found.is_clean,
            recovery_point: partition.recovery_point,
            start: partition.start,
            index_interval_bytes: INDEX_INTERVAL_BYTES,
        };
        let mut log = import::read_partition(disk, &partition.path, &rules)?;
        log.apply(disk)?;
        report.notes.append(&mut log.notes);
        let log_id = records.len() as u64 + 1;
        records.push(Record::Log(Box::new(LogRecord::imported(log_id, partition, log))));
    }
    report.notes.extend(found.notes);
    // If the process dies before the marker is removed, the next start must not wonder about it.
    if let Some(bytes) = read_file(disk, &path.join(CLEAN_SHUTDOWN_FILE))? {
        let name = CLEAN_SHUTDOWN_FILE.to_owned();
        records.push(Record::CleanStopFile { name, crc: crc32c(&bytes) });
    }
    report.imported = found.partitions.len();
    Ok(records)
}

/// Finds out whether another program has worked here, and takes away what a clean stop left, so
/// that the same can be found out next time.
fn check_witnesses(
    env: &Env,
    path: &Path,
    mut loaded: Loaded,
    writer: &mut CheckpointWriter,
) -> Result<Loaded, StorageError> {
    let disk = env.disk.as_ref();
    let marker = path.join(CLEAN_SHUTDOWN_FILE);
    // Ours may still be there, if the process died while it opened or closed the directory.
    let content = read_file(disk, &marker)?;
    let is_there = content.is_some();
    let is_ours = loaded.facts.clean
        || content == Some(clean_shutdown::ours())
        || foreign_change(disk, path, &loaded.clean_stop_files)?.is_none()
            && !loaded.clean_stop_files.is_empty();
    if is_there && !is_ours {
        return Err(StorageError::ForeignChange {
            path: path.to_owned(),
            evidence: format!("{CLEAN_SHUTDOWN_FILE} is there, and it is not ours"),
            remedy: "to take over what is in the segments now, and lose what only our journal \
                holds, move the files afluente.* out of the directory and start again",
        });
    }
    if loaded.facts.clean {
        // First the word that it is open again, then the marker: after a crash in between, the
        // marker is known to be ours by its CRC.
        let facts = FrameFacts { clean: false, ..loaded.facts };
        loaded.sequence = writer.append(&facts, &[])?;
    }
    if disk.metadata(&marker).doing("look at", &marker)?.is_some() {
        disk.remove_file(&marker).doing("remove", &marker)?;
        disk.sync_dir(path).doing("sync the log directory", path)?;
    }
    Ok(loaded)
}

fn hints(loaded: &Loaded) -> (RingHint, RingHint) {
    let rings = loaded.facts.rings;
    let checkpoint = loaded.sequence;
    let hint = |first_needed, synced| RingHint { first_needed, synced, checkpoint };
    (hint(rings.synced_from, rings.synced_to), hint(rings.buffered_from, rings.buffered_to))
}

/// Makes sure that there is room in the synced ring, and writes the first frame of this run.
fn begin_run(shared: &Shared, known_bytes: u64) -> Result<(), StorageError> {
    let bytes = shared.config.journal_file_bytes;
    if bytes < known_bytes {
        // Before any file is made that is shorter than those until now.
        shared.append_checkpoint(&[Record::JournalFiles { bytes }])?;
    }
    let (has_room, number) = shared.journal.with_synced(|writer| {
        let room = writer.ring.room(writer.empty_frame_bytes());
        (room.is_some(), writer.ring.next_file_number())
    });
    if !has_room {
        let disk = shared.env.disk.as_ref();
        let len = shared.config.journal_file_bytes;
        let file = make_file(disk, &shared.path, RingKind::Synced, number, len)?;
        shared.journal.with_synced(|writer| writer.add_file(file));
    }
    shared.journal.start_synced()?;
    // From now on it is known that there was a journal, and how long its files are.
    let len_min = |writer: &mut FrameWriter| writer.ring.file_bytes_min();
    let smallest = [shared.journal.with_synced(len_min), shared.journal.with_buffered(len_min)];
    let bytes = smallest.into_iter().flatten().fold(shared.config.journal_file_bytes, u64::min);
    match shared.append_checkpoint(&[Record::JournalFiles { bytes }]) {
        // It is only a proof of damage less.
        Err(error) if error.is_no_space() => Ok(()),
        appended => appended,
    }
}

/// The logs while the journal is replayed.
struct Recovery<'a> {
    shared: &'a Arc<Shared>,
    by_id: BTreeMap<u64, Arc<Log>>,
    floor_lsn: u64,
    next_lsn: u64,
    config: Arc<LogConfig>,
    topics: BTreeMap<Arc<str>, Arc<str>>,
    /// Why a log cannot be served, unless it was deleted.
    unreadable: BTreeMap<u64, StorageError>,
}

impl<'a> Recovery<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        loaded: Loaded,
        report: &mut OpenReport,
    ) -> Result<Self, StorageError> {
        // By their ids, which rise.
        let newest: BTreeMap<TopicPartition, u64> =
            loaded.logs.iter().map(|(id, record)| (record.partition.clone(), *id)).collect();
        let mut recovery = Self {
            shared,
            by_id: BTreeMap::new(),
            floor_lsn: loaded.facts.floor_lsn,
            next_lsn: loaded.facts.next_lsn,
            config: Arc::new(LogConfig::default()),
            topics: BTreeMap::new(),
            unreadable: BTreeMap::new(),
        };
        for (id, record) in &loaded.logs {
            recovery.next_lsn = recovery.next_lsn.max(record.applied_lsn + 1);
            let partition = recovery.shared_name(&record.partition);
            let state = LogState::from_record(Arc::clone(&recovery.config), record);
            let is_superseded = newest.get(&partition) != Some(id);
            let log = Arc::new(Log::new(
                *id,
                partition,
                record.topic_id,
                Arc::clone(shared),
                state,
                record.start,
                record.high_watermark,
            ));
            if is_superseded {
                // It was deleted, as the journal says further on; what is there under its name is
                // another's.
                log.state.lock().deleted = true;
            } else if let Err(error) = recovery.read_files(&log, record, loaded.facts.clean, report)
            {
                // The files of a log that was deleted may be gone; the journal says whether it was.
                recovery.unreadable.insert(*id, error);
            }
            recovery.by_id.insert(*id, log);
        }
        Ok(recovery)
    }

    /// Finishes what a crash has interrupted in the files of a log, and reads what of it is needed
    /// in memory.
    fn read_files(
        &self,
        log: &Arc<Log>,
        record: &LogRecord,
        was_clean: bool,
        report: &mut OpenReport,
    ) -> Result<(), StorageError> {
        if !was_clean {
            for segment in record.segments.iter().filter(|segment| segment.generation > 0) {
                let SegmentRecord { base, generation, .. } = *segment;
                log.finish_swap(SegmentName { base, generation })?;
            }
        }
        let rebuilt = log.load_aborted()?;
        report.notes.extend(rebuilt.iter().map(ToString::to_string));
        Ok(())
    }

    /// The partition with the topic's name shared with its other partitions.
    fn shared_name(&mut self, partition: &TopicPartition) -> TopicPartition {
        let topic = &partition.topic;
        let shared = self.topics.entry(Arc::clone(topic)).or_insert_with(|| Arc::clone(topic));
        TopicPartition { topic: Arc::clone(shared), partition: partition.partition }
    }

    /// Takes in all entries of both rings, in the order of their LSNs.
    fn replay<'r>(
        &mut self,
        synced: &mut RingReader<'r>,
        buffered: &mut RingReader<'r>,
        report: &mut OpenReport,
        background: &mut Background,
    ) -> Result<(), StorageError> {
        loop {
            let reader = match (synced.peek_lsn()?, buffered.peek_lsn()?) {
                (None, None) => return Ok(()),
                (Some(a), Some(b)) if a < b => &mut *synced,
                (Some(_), None) => &mut *synced,
                _ => &mut *buffered,
            };
            let mut counted = 0;
            let taken = reader.take_entry(|entry, payload| {
                if entry.lsn <= self.floor_lsn {
                    return Ok(());
                }
                counted = payload.len() as u64;
                report.replayed_entries += 1;
                self.take(entry, payload)
            });
            report.replayed_bytes += counted;
            match taken {
                Ok(()) => {}
                Err(Refusal::Storage(error)) => return Err(error),
                Err(Refusal::Entry(found)) => {
                    return Err(reader.unreplayable("an entry that fits the log", found));
                }
            }
            if self.shared.tail.dirty_bytes() > self.shared.tail.dirty_bytes_max() {
                background.relieve(self.by_id.values())?;
            }
        }
    }

    fn take(&mut self, entry: EntryHeader, payload: &[u8]) -> Result<(), Refusal> {
        if entry.kind == EntryKind::Create && !self.by_id.contains_key(&entry.log_id) {
            self.create(entry, payload)?;
        }
        let Some(log) = self.by_id.get(&entry.log_id) else {
            return Err(Refusal::Entry(format!("an entry of log {}, never made", entry.log_id)));
        };
        log.replay(entry, payload).map_err(Refusal::Entry)?;
        if entry.kind == EntryKind::Delete {
            let log = self.by_id.remove(&entry.log_id).expect("just found");
            self.unreadable.remove(&entry.log_id);
            self.shared.forget(&log);
            let path =
                self.shared.rename_away(log.partition(), entry.log_id).map_err(Refusal::Storage)?;
            self.remove_remains(log.partition()).map_err(Refusal::Storage)?;
            self.shared.doomed.lock().push(Doomed { deleted_log: Some(entry.log_id), path });
        }
        Ok(())
    }

    /// Removes what the replay has written of a log under its own name, before it came to the entry
    /// that the log was deleted, when its directory had been renamed long ago. If another log of
    /// that name was made since, and is not known yet, all of it is in the journal.
    fn remove_remains(&self, partition: &TopicPartition) -> Result<(), StorageError> {
        let (disk, path) = (&self.shared.env.disk, self.shared.path.join(partition.to_string()));
        if disk.metadata(&path).doing("look at", &path)?.is_none()
            || self.by_id.values().any(|log| log.partition() == partition)
        {
            return Ok(());
        }
        remove_tree(disk.as_ref(), &path)
    }

    fn create(&mut self, entry: EntryHeader, payload: &[u8]) -> Result<(), Refusal> {
        let bad = || Refusal::Entry(format!("a creation in {} bytes", payload.len()));
        let (topic_id, rest) = payload.split_first_chunk::<16>().ok_or_else(bad)?;
        let (partition, topic) = rest.split_first_chunk::<4>().ok_or_else(bad)?;
        let topic = std::str::from_utf8(topic).map_err(|_| bad())?;
        let partition = TopicPartition::new(topic, i32::from_le_bytes(*partition));
        let partition = self.shared_name(&partition);
        // Of a log that is deleted by a later entry too: its id is not given out again.
        let next_id = &mut self.shared.logs.write().next_id;
        *next_id = (*next_id).max(entry.log_id + 1);
        let now_ms = self.shared.env.clock.wall_ms();
        let state = LogState::new(Arc::clone(&self.config), Offset::ZERO, now_ms);
        let log = Log::new(
            entry.log_id,
            partition,
            Uuid(*topic_id),
            Arc::clone(self.shared),
            state,
            Offset::ZERO,
            Offset::ZERO,
        );
        self.by_id.insert(entry.log_id, Arc::new(log));
        Ok(())
    }

    /// Refuses a directory with a log that is there and of which something is not.
    fn check_readable(&mut self) -> Result<(), StorageError> {
        self.unreadable.pop_first().map_or(Ok(()), |(_, error)| Err(error))
    }

    fn finish(self, report: &mut OpenReport) {
        let mut logs = self.shared.logs.write();
        report.logs = self.by_id.len();
        for (id, log) in self.by_id {
            logs.next_id = logs.next_id.max(id + 1);
            logs.by_name.insert(log.partition().clone(), log);
        }
        drop(logs);
        self.shared.journal_bytes_covered.store(0, Ordering::Relaxed);
    }
}

/// Why an entry was not taken in.
enum Refusal {
    /// It does not fit what is there.
    Entry(String),
    /// The disk.
    Storage(StorageError),
}
