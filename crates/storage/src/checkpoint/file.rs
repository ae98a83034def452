//! The frames of the checkpoint file: appended, read back, rewritten.

use super::record::{LogRecord, Record};
use crate::error::{IoContext, StorageError};
use crate::journal::RingsAt;
use afluente_env::disk::{Access, Disk, File, OpenHow, read_full_at, write_all_at};
use afluente_stdx::crc32c::crc32c;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the file in the log directory.
pub(crate) const FILE: &str = crate::CHECKPOINT_FILE;
const FILE_NEW: &str = "afluente.checkpoint.new";
const MAGIC: [u8; 8] = *b"AFLTCKP1";
const HEADER_BYTES: usize = 104;
const HEADER_CRC_COVERS: usize = 100;
const FLAG_CLEAN: u32 = 1;
const ALIGNMENT: usize = 4096;
/// Records beyond this go into another frame.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Below this, the file is never rewritten.
const REWRITE_BYTES_MIN: u64 = 1 << 20;

/// What each frame says besides its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FrameFacts {
    pub(crate) floor_lsn: u64,
    pub(crate) next_lsn: u64,
    pub(crate) next_log_id: u64,
    pub(crate) rings: RingsAt,
    pub(crate) clean: bool,
}

/// Appends to the checkpoint file.
pub(crate) struct CheckpointWriter {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    directory_id: [u8; 16],
    file: Arc<dyn File>,
    position: u64,
    next_sequence: u64,
    /// Where the file is to be rewritten.
    rewrite_at: u64,
}

/// What the checkpoint file holds.
pub(crate) struct Loaded {
    pub(crate) directory_id: [u8; 16],
    /// Of the last frame.
    pub(crate) facts: FrameFacts,
    pub(crate) sequence: u64,
    pub(crate) logs: BTreeMap<u64, LogRecord>,
    pub(crate) doomed: Vec<String>,
    /// Of the last clean stop.
    pub(crate) clean_stop_files: Vec<(String, u32)>,
    /// What each file of the journal has at least.
    pub(crate) journal_file_bytes: u64,
    /// Where the next frame goes.
    position: u64,
    /// Where the frames of the last append begin.
    last_append_at: u64,
    rewrite_at: u64,
}

impl CheckpointWriter {
    /// Makes the checkpoint of a directory that has none: durable, with one frame.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        directory: &Path,
        directory_id: [u8; 16],
        facts: &FrameFacts,
        records: &[Record],
    ) -> Result<Self, StorageError> {
        let path = directory.join(FILE_NEW);
        let how = OpenHow::buffered(Access::CreateOrWrite);
        let file = disk.open(&path, how).doing("make the checkpoint", &path)?;
        file.set_len(0).doing("make the checkpoint", &path)?;
        let mut writer = Self {
            disk,
            directory: directory.to_owned(),
            directory_id,
            file,
            position: 0,
            next_sequence: 1,
            rewrite_at: REWRITE_BYTES_MIN,
        };
        writer.append(facts, records)?;
        writer.put_in_place()?;
        Ok(writer)
    }

    /// Goes on with the file that was loaded.
    pub(crate) fn resume(
        disk: Arc<dyn Disk>,
        directory: &Path,
        loaded: &Loaded,
    ) -> Result<Self, StorageError> {
        let path = directory.join(FILE);
        let how = OpenHow::buffered(Access::Write);
        let file = disk.open(&path, how).doing("open the checkpoint", &path)?;
        // What a crash left behind the last frame must not be taken for frames to come.
        file.set_len(loaded.position).doing("cut the checkpoint", &path)?;
        // The last frames may have been read from the page cache only. If their sync has failed, the
        // cache takes them for clean, so they are written again, with the same bytes.
        let tail = loaded.position - loaded.last_append_at;
        let mut tail = vec![0; usize::try_from(tail).expect("it was in memory")];
        read_full_at(file.as_ref(), &mut tail, loaded.last_append_at)
            .and_then(|()| write_all_at(file.as_ref(), &tail, loaded.last_append_at))
            .doing("write the end of the checkpoint again", &path)?;
        file.sync_data().doing("sync the checkpoint", &path)?;
        Ok(Self {
            disk,
            directory: directory.to_owned(),
            directory_id: loaded.directory_id,
            file,
            position: loaded.position,
            next_sequence: loaded.sequence + 1,
            rewrite_at: loaded.rewrite_at,
        })
    }

    /// Appends `records` and makes them durable; gives the sequence of the last frame.
    ///
    /// # Errors
    /// When the write fails for lack of room, nothing has happened and it can be tried again. A
    /// failed sync is fatal.
    pub(crate) fn append(
        &mut self,
        facts: &FrameFacts,
        records: &[Record],
    ) -> Result<u64, StorageError> {
        let (mut position, mut sequence) = (self.position, self.next_sequence);
        let mut body = Vec::new();
        let mut records = records.iter().peekable();
        loop {
            for record in records.by_ref() {
                record.encode(&mut body);
                if body.len() >= BODY_BYTES_MAX {
                    break;
                }
            }
            let frame = encode_frame(&self.directory_id, sequence, facts, &body);
            write_all_at(self.file.as_ref(), &frame, position)
                .doing("write the checkpoint", &self.path())?;
            position += frame.len() as u64;
            sequence += 1;
            body.clear();
            if records.peek().is_none() {
                break;
            }
        }
        self.file.sync_data().doing("sync the checkpoint", &self.path())?;
        self.position = position;
        self.next_sequence = sequence;
        Ok(sequence - 1)
    }

    /// Whether so much of the file is superseded that it should be rewritten.
    pub(crate) fn wants_rewrite(&self) -> bool {
        self.position >= self.rewrite_at
    }

    /// Writes what still counts into a new file and puts it into the place of this one.
    pub(crate) fn rewrite(&mut self) -> Result<(), StorageError> {
        let loaded = load(self.disk.as_ref(), &self.directory)?
            .expect("a checkpoint that is being written exists");
        let path = self.directory.join(FILE_NEW);
        let how = OpenHow::buffered(Access::CreateOrWrite);
        let file = self.disk.open(&path, how).doing("rewrite the checkpoint", &path)?;
        file.set_len(0).doing("rewrite the checkpoint", &path)?;
        let mut records: Vec<Record> =
            loaded.logs.into_values().map(|log| Record::Log(Box::new(log))).collect();
        records.push(Record::JournalFiles { bytes: loaded.journal_file_bytes });
        for path in loaded.doomed {
            let place = self.directory.join(&path);
            if self.disk.metadata(&place).doing("look at", &place)?.is_some() {
                records.push(Record::Doomed(path));
            }
        }
        let mut new = Self {
            disk: Arc::clone(&self.disk),
            directory: self.directory.clone(),
            directory_id: self.directory_id,
            file,
            position: 0,
            next_sequence: self.next_sequence,
            rewrite_at: 0,
        };
        new.append(&loaded.facts, &records)?;
        new.rewrite_at = rewrite_at(new.position);
        new.put_in_place()?;
        *self = new;
        Ok(())
    }

    fn put_in_place(&self) -> Result<(), StorageError> {
        let (new, place) = (self.directory.join(FILE_NEW), self.path());
        self.disk.rename(&new, &place).doing("put in place the checkpoint", &place)?;
        self.disk.sync_dir(&self.directory).doing("sync the log directory", &self.directory)
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }
}

/// Reads the checkpoint of a directory; `None` if it has none.
pub(crate) fn load(disk: &dyn Disk, directory: &Path) -> Result<Option<Loaded>, StorageError> {
    let path = directory.join(FILE);
    let file = match disk.open(&path, OpenHow::buffered(Access::Read)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.doing("open the checkpoint", &path)?,
    };
    let len = file.len().doing("read the checkpoint", &path)?;
    let mut bytes = vec![0; usize::try_from(len).expect("a checkpoint fits into memory")];
    read_full_at(file.as_ref(), &mut bytes, 0).doing("read the checkpoint", &path)?;
    read_frames(&bytes).map(Some).map_err(|(position, expected, found)| StorageError::Corrupt {
        path,
        position: position as u64,
        expected,
        found,
        remedy: REMEDY,
    })
}

const REMEDY: &str = "nothing was changed: restore this log directory from a backup, or remove it if \
    other brokers have replicas of its partitions; to take over what is in the segments, and lose \
    what only the journal holds, move the files afluente.* out of it and start again";

/// Position, what was expected there, what was found.
type Damage = (usize, String, String);

fn read_frames(bytes: &[u8]) -> Result<Loaded, Damage> {
    let mut at = 0;
    let mut loaded: Option<Loaded> = None;
    let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
    let mut goes_on = false;
    let fault = loop {
        let frame = match Frame::parse(&bytes[at.min(bytes.len())..]) {
            Ok(frame) => frame,
            Err(fault) => break fault,
        };
        if let Some(loaded) = &loaded
            && (frame.directory_id != loaded.directory_id || frame.sequence != loaded.sequence + 1)
        {
            break format!("frame {}", frame.sequence);
        }
        let loaded = loaded.get_or_insert_with(|| Loaded::new(frame.directory_id));
        if !goes_on {
            loaded.last_append_at = at as u64;
        }
        // What one append writes is in several frames if it is too much for one.
        goes_on = frame.body.len() >= BODY_BYTES_MAX;
        loaded.take(&frame, &mut versions).map_err(|found| (at, "a record".to_owned(), found))?;
        at += frame.len.next_multiple_of(ALIGNMENT);
    };
    let expected = loaded.as_ref().map_or(1, |loaded| loaded.sequence + 1);
    let later = (at..bytes.len())
        .step_by(ALIGNMENT)
        .filter_map(|at| Frame::parse(&bytes[at..]).ok())
        .find(|frame| loaded.as_ref().is_none_or(|l| frame.sequence > l.sequence));
    match (later, loaded) {
        (Some(later), _) => {
            Err((at, format!("frame {expected}, as frame {} follows", later.sequence), fault))
        }
        (None, None) => Err((0, "a first frame".to_owned(), fault)),
        (None, Some(mut loaded)) => {
            loaded.position = at as u64;
            let live: usize = loaded
                .logs
                .values()
                .map(|log| {
                    let mut bytes = Vec::new();
                    Record::Log(Box::new(log.clone())).encode(&mut bytes);
                    bytes.len()
                })
                .sum();
            loaded.rewrite_at = rewrite_at(live as u64);
            Ok(loaded)
        }
    }
}

/// Where a file with this much in it that counts is to be rewritten.
fn rewrite_at(live_bytes: u64) -> u64 {
    (2 * live_bytes).max(REWRITE_BYTES_MIN)
}

impl Loaded {
    fn new(directory_id: [u8; 16]) -> Self {
        Self {
            directory_id,
            facts: FrameFacts::default(),
            sequence: 0,
            logs: BTreeMap::new(),
            doomed: Vec::new(),
            clean_stop_files: Vec::new(),
            journal_file_bytes: 0,
            position: 0,
            last_append_at: 0,
            rewrite_at: 0,
        }
    }

    fn take(&mut self, frame: &Frame<'_>, versions: &mut BTreeMap<u64, u64>) -> Result<(), String> {
        self.sequence = frame.sequence;
        self.facts = frame.facts;
        if frame.facts.clean {
            self.clean_stop_files.clear();
        }
        let mut body = frame.body;
        while !body.is_empty() {
            match Record::decode(&mut body)? {
                Record::Log(log) => {
                    let version = versions.entry(log.log_id).or_default();
                    if log.version >= *version {
                        *version = log.version;
                        self.logs.insert(log.log_id, *log);
                    }
                }
                Record::Deleted { log_id } => {
                    // No later record of it counts, whatever its version: ids are not used again.
                    versions.insert(log_id, u64::MAX);
                    self.logs.remove(&log_id);
                }
                Record::Doomed(path) => self.doomed.push(path),
                Record::CleanStopFile { name, crc } => self.clean_stop_files.push((name, crc)),
                Record::JournalFiles { bytes } => self.journal_file_bytes = bytes,
            }
        }
        Ok(())
    }
}

struct Frame<'a> {
    directory_id: [u8; 16],
    sequence: u64,
    facts: FrameFacts,
    body: &'a [u8],
    /// Without padding.
    len: usize,
}

impl<'a> Frame<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let Some(raw) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err("the end of the file".to_owned());
        };
        if raw[0..8] != MAGIC {
            return Err("no frame".to_owned());
        }
        let u32_at = |at: usize| u32::from_le_bytes(*raw[at..].first_chunk().expect("inside"));
        let u64_at = |at: usize| u64::from_le_bytes(*raw[at..].first_chunk().expect("inside"));
        let (stored, computed) = (u32_at(HEADER_CRC_COVERS), crc32c(&raw[..HEADER_CRC_COVERS]));
        if stored != computed {
            return Err(format!("a frame header with CRC {stored:#010x}, not {computed:#010x}"));
        }
        let len = HEADER_BYTES + u32_at(92) as usize;
        let Some(body) = bytes.get(HEADER_BYTES..len) else {
            return Err(format!("{} bytes of a frame of {len}", bytes.len()));
        };
        let (stored, computed) = (u32_at(96), crc32c(body));
        if stored != computed {
            return Err(format!("a frame with CRC {stored:#010x}, not {computed:#010x}"));
        }
        Ok(Self {
            directory_id: *raw[8..].first_chunk().expect("inside"),
            sequence: u64_at(24),
            facts: FrameFacts {
                floor_lsn: u64_at(32),
                next_lsn: u64_at(40),
                next_log_id: u64_at(48),
                rings: RingsAt {
                    synced_from: u64_at(56),
                    buffered_from: u64_at(64),
                    synced_to: u64_at(72),
                    buffered_to: u64_at(80),
                },
                clean: u32_at(88) & FLAG_CLEAN != 0,
            },
            body,
            len,
        })
    }
}

fn encode_frame(
    directory_id: &[u8; 16],
    sequence: u64,
    facts: &FrameFacts,
    body: &[u8],
) -> Vec<u8> {
    let mut frame = Vec::with_capacity((HEADER_BYTES + body.len()).next_multiple_of(ALIGNMENT));
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(directory_id);
    let FrameFacts { floor_lsn, next_lsn, next_log_id, rings, clean } = *facts;
    let RingsAt { synced_from, synced_to, buffered_from, buffered_to } = rings;
    for number in [
        sequence,
        floor_lsn,
        next_lsn,
        next_log_id,
        synced_from,
        buffered_from,
        synced_to,
        buffered_to,
    ] {
        frame.extend_from_slice(&number.to_le_bytes());
    }
    let flags = if clean { FLAG_CLEAN } else { 0 };
    let body_len = u32::try_from(body.len()).expect("a frame is far below 4 GiB");
    for number in [flags, body_len, crc32c(body)] {
        frame.extend_from_slice(&number.to_le_bytes());
    }
    let header_crc = crc32c(&frame);
    frame.extend_from_slice(&header_crc.to_le_bytes());
    frame.extend_from_slice(body);
    frame.resize(frame.len().next_multiple_of(ALIGNMENT), 0);
    frame
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::record::tests::log_record;
    use super::*;
    use afluente_env::disk::RealDisk;

    fn log(id: u64, version: u64) -> Record {
        Record::Log(Box::new(log_record(id, version)))
    }

    fn facts(floor_lsn: u64) -> FrameFacts {
        let rings = RingsAt { synced_from: 2, synced_to: 3, buffered_from: 4, buffered_to: 5 };
        FrameFacts { floor_lsn, next_lsn: 8, next_log_id: 9, rings, clean: false }
    }

    fn written(records: &[&[Record]]) -> (tempfile::TempDir, CheckpointWriter) {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut writer =
            CheckpointWriter::create(disk, dir.path(), [1; 16], &facts(1), records[0]).unwrap();
        for (n, records) in records.iter().enumerate().skip(1) {
            writer.append(&facts(n as u64 + 1), records).unwrap();
        }
        (dir, writer)
    }

    #[test]
    fn the_highest_version_of_each_log_counts_and_a_deletion_ends_it() {
        let (dir, _writer) = written(&[
            &[log(1, 2), log(2, 1), log(3, 1)],
            &[log(1, 1), log(2, 2), Record::Deleted { log_id: 3 }],
            &[log(3, 3), Record::Doomed("a/b".to_owned())],
        ]);
        let loaded = load(&RealDisk, dir.path()).unwrap().unwrap();
        let versions: Vec<_> = loaded.logs.values().map(|log| (log.log_id, log.version)).collect();
        assert_eq!(versions, [(1, 2), (2, 2)]);
        assert_eq!((loaded.sequence, loaded.facts), (3, facts(3)));
        assert_eq!(loaded.doomed, ["a/b"]);
    }

    #[test]
    fn rewriting_keeps_what_counts_and_goes_on() {
        let (dir, mut writer) = written(&[&[log(1, 1)], &[log(1, 2)], &[log(2, 1)]]);
        writer.rewrite().unwrap();
        writer.append(&facts(4), &[log(2, 2)]).unwrap();
        let loaded = load(&RealDisk, dir.path()).unwrap().unwrap();
        let versions: Vec<_> = loaded.logs.values().map(|log| (log.log_id, log.version)).collect();
        assert_eq!(versions, [(1, 2), (2, 2)]);
        assert_eq!(loaded.sequence, 5);
        let mut writer = CheckpointWriter::resume(Arc::new(RealDisk), dir.path(), &loaded).unwrap();
        assert_eq!(writer.append(&facts(5), &[]).unwrap(), 6);
    }

    #[test]
    fn a_torn_last_frame_is_cut_and_any_other_damage_is_told() {
        let (dir, _writer) = written(&[&[log(1, 1)], &[log(1, 2)], &[log(1, 3)]]);
        let path = dir.path().join(FILE);
        let file = RealDisk.open(&path, OpenHow::buffered(Access::Read)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        read_full_at(file.as_ref(), &mut bytes, 0).unwrap();
        assert_eq!(bytes.len(), 3 * ALIGNMENT);
        let last = Frame::parse(&bytes[2 * ALIGNMENT..]).unwrap().len;
        for cut in 1..bytes.len() {
            let read = read_frames(&bytes[..cut]);
            let whole = [(2 * ALIGNMENT + last, 3), (ALIGNMENT + last, 2), (last, 1)]
                .into_iter()
                .find(|(end, _)| cut >= *end);
            match whole {
                Some((_, version)) => assert_eq!(read.unwrap().logs[&1].version, version),
                None => assert!(read.is_err(), "cut at {cut}"),
            }
        }
        for bit in 0..bytes.len() * 8 {
            let at = bit / 8;
            if at % ALIGNMENT >= last {
                continue;
            }
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (bit % 8);
            match read_frames(&damaged) {
                Ok(loaded) => assert!(at >= 2 * ALIGNMENT && loaded.logs[&1].version == 2),
                Err((position, ..)) => {
                    assert!(at < 2 * ALIGNMENT && position == at / ALIGNMENT * ALIGNMENT);
                }
            }
        }
    }
}
