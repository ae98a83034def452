//! Reading a ring back after a crash: the chain of frames, and what its end means.
//!
//! The rules are in `docs/formats/journal.md`: which frame follows which, and how a torn tail is
//! told from damage. A ring is read file by file; one file is in memory at a time.

use super::frame::{
    ENTRY_HEADER_BYTES, Entries, EntryHeader, FRAME_HEADER_BYTES, Frame, FrameHeader, NoFrame,
};
use super::ring::{Ring, RingFile, RingKind, SYNC_ALIGNMENT, make_file, open_file};
use crate::error::{IoContext, StorageError};
use afluente_env::disk::{Disk, read_full_at, write_all_at};
use afluente_stdx::aligned_buf::AlignedBuf;
use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where and how a chain ended that did not end in nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The journal file.
    pub path: PathBuf,
    /// Where in it the frame begins that was not finished.
    pub position: u64,
    /// What is wrong with it.
    pub found: String,
}

/// What recovery knows about a ring before it reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingHint {
    /// The chain begins with this frame.
    pub(crate) first_needed: u64,
    /// Frames up to this one were durable when the checkpoint was written.
    pub(crate) synced: u64,
    /// The last frame of the checkpoint.
    pub(crate) checkpoint: u64,
}

pub(crate) struct RingReader<'a> {
    disk: &'a dyn Disk,
    directory: &'a Path,
    directory_id: [u8; 16],
    kind: RingKind,
    hint: RingHint,
    files: Vec<RingFile>,
    /// The header of the first frame of each file, where there is one.
    heads: Vec<Option<FrameHeader>>,
    /// Files of the chain so far, in order.
    chain: Vec<usize>,
    /// The file being read, whole.
    buf: AlignedBuf,
    /// Where the next frame of that file would begin.
    position: usize,
    /// The sequence of the next frame.
    expected: u64,
    run: Option<u64>,
    /// Whole entries of the present frame: header and payload.
    entries: VecDeque<(EntryHeader, EntryBytes)>,
    /// The parts so far of an entry that is in several frames.
    partial: Vec<u8>,
    ended: bool,
    /// Frames that no later one proves durable: the process that wrote them may have died before
    /// they were, or their sync failed.
    unproven: VecDeque<Place>,
    /// The greatest LSN of each file of the chain.
    last_lsns: Vec<u64>,
    greatest_lsn: u64,
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    sequence: u64,
    /// Index of its file.
    file: usize,
    start: usize,
    /// With padding.
    end: usize,
}

enum EntryBytes {
    InBuf(Range<usize>),
    Assembled(Vec<u8>),
}

impl<'a> RingReader<'a> {
    /// Opens the files of a ring, however many there are. Each has at least `file_bytes_min`.
    pub(crate) fn open(
        disk: &'a dyn Disk,
        directory: &'a Path,
        kind: RingKind,
        directory_id: [u8; 16],
        hint: RingHint,
        file_bytes_min: u64,
    ) -> Result<Self, StorageError> {
        let mut files = Vec::new();
        let mut heads = Vec::new();
        for number in 1.. {
            let Some(file) = open_file(disk, directory, kind, number)? else { break };
            if file.len < file_bytes_min {
                return Err(StorageError::Corrupt {
                    path: file.path,
                    position: file.len,
                    expected: format!("a journal file of {file_bytes_min} bytes or more"),
                    found: "the end of the file".to_owned(),
                    remedy: REMEDY,
                });
            }
            heads.push(read_head(&file, &directory_id)?);
            files.push(file);
        }
        Ok(Self {
            disk,
            directory,
            directory_id,
            kind,
            hint,
            files,
            heads,
            chain: Vec::new(),
            buf: AlignedBuf::new(),
            position: 0,
            expected: hint.first_needed,
            run: None,
            entries: VecDeque::new(),
            partial: Vec::new(),
            ended: false,
            unproven: VecDeque::new(),
            last_lsns: Vec::new(),
            greatest_lsn: 0,
        })
    }

    /// The LSN of the next entry, if there is one.
    pub(crate) fn peek_lsn(&mut self) -> Result<Option<u64>, StorageError> {
        while self.entries.is_empty() && !self.ended {
            self.read_frame()?;
        }
        Ok(self.entries.front().map(|(header, _)| header.lsn))
    }

    /// Hands the next entry to `take`. There must be one.
    pub(crate) fn take_entry<R>(&mut self, take: impl FnOnce(EntryHeader, &[u8]) -> R) -> R {
        let (header, bytes) = self.entries.pop_front().expect("the caller has peeked");
        match &bytes {
            EntryBytes::InBuf(range) => take(header, &self.buf[range.clone()]),
            EntryBytes::Assembled(bytes) => take(header, bytes),
        }
    }

    /// The file being read, for errors.
    fn at(&self) -> PathBuf {
        match self.chain.last() {
            Some(&index) => self.files[index].path.clone(),
            None => self.kind.file_path(self.directory, 1),
        }
    }

    /// The error of an entry that is whole and cannot be replayed all the same.
    pub(crate) fn unreplayable(&self, expected: &str, found: String) -> StorageError {
        self.corrupt(self.at(), self.position, expected, found)
    }

    /// After the last entry: makes durable what was read, and gives the ring to go on with.
    pub(crate) fn finish(self, file_bytes: u64) -> Result<Recovered, StorageError> {
        assert!(self.ended && self.entries.is_empty(), "the chain is read to its end first");
        self.write_again()?;
        let Self { files, chain, heads, last_lsns, position, expected, .. } = self;
        let mut files: Vec<Option<RingFile>> = files.into_iter().map(Some).collect();
        let mut in_use = Vec::new();
        for (&index, last_lsn) in chain.iter().zip(last_lsns) {
            let mut file = files[index].take().expect("a file is in the chain once");
            // Nothing may be built on these frames until they are durable.
            file.file.sync_data().doing("sync the journal", &file.path)?;
            file.first_sequence = heads[index].as_ref().expect("the chain has frames").sequence;
            file.last_lsn = last_lsn;
            in_use.push(file);
        }
        let mut free = Vec::new();
        let unused = files.into_iter().zip(heads).filter_map(|(file, head)| Some((file?, head)));
        for (file, head) in unused {
            // Left behind a torn frame by the run that died. Its sequence will be given out again,
            // and a chain may one day begin with it: there the run could not tell them apart.
            if head.is_some_and(|head| head.sequence >= expected) {
                blank_head(&file)?;
            }
            let whole = file.file.len().doing("open a journal file", &file.path)?;
            // The files have become larger.
            let file = if whole < file_bytes {
                make_file(self.disk, self.directory, self.kind, file.number, file_bytes)?
            } else {
                file
            };
            free.push(file);
        }
        Ok(Recovered {
            ring: Ring::resumed(self.kind, in_use, free, position as u64),
            next_sequence: expected,
            greatest_lsn: self.greatest_lsn,
        })
    }

    /// Writes the frames again that may never have reached the disk. A sync alone would not do: if
    /// one has failed, the page cache holds what the disk does not, takes it for clean, and the
    /// next sync succeeds without writing it. The bytes are the same, so a crash on the way does no
    /// harm.
    fn write_again(&self) -> Result<(), StorageError> {
        for place in &self.unproven {
            let file = &self.files[place.file];
            let mut frame = AlignedBuf::zeroed(place.end - place.start);
            read_full_at(file.file.as_ref(), &mut frame, place.start as u64)
                .doing("read the journal", &file.path)?;
            write_all_at(file.file.as_ref(), &frame, place.start as u64)
                .doing("write the journal", &file.path)?;
        }
        Ok(())
    }

    /// Reads the next frame of the chain, or finds its end.
    fn read_frame(&mut self) -> Result<(), StorageError> {
        let mut fault = None;
        for position in self.places_in_file() {
            match self.accept(position) {
                Ok(frame) => return self.take_frame(frame),
                Err(error) => fault = fault.or_else(|| Some((self.at(), position, error))),
            }
        }
        let here = self.chain.last().copied();
        let after_here = (self.position, std::mem::take(&mut self.buf));
        for index in 0..self.files.len() {
            let begins = self.heads[index].is_some_and(|head| head.sequence == self.expected);
            if !begins || self.chain.contains(&index) {
                continue;
            }
            self.load(index)?;
            match self.accept(0) {
                Ok(frame) => {
                    self.chain.push(index);
                    self.last_lsns.push(0);
                    return self.take_frame(frame);
                }
                Err(error) => fault = Some((self.files[index].path.clone(), 0, error)),
            }
        }
        (self.position, self.buf) = after_here;
        self.ended = true;
        self.judge_the_end(here, fault)
    }

    /// Where the next frame may begin in the present file.
    fn places_in_file(&self) -> impl Iterator<Item = usize> + use<> {
        let len = self.buf.len();
        let next = self.position;
        let after_sync = next.next_multiple_of(SYNC_ALIGNMENT);
        let second = (after_sync != next).then_some(after_sync);
        std::iter::once(next).chain(second).filter(move |position| *position < len)
    }

    /// The frame at `position`, if it is the next of the chain.
    fn accept(&self, position: usize) -> Result<Accepted, Fault> {
        let frame = Frame::parse(&self.buf[position..], &self.directory_id).map_err(Fault::None)?;
        let header = frame.header;
        if header.sequence != self.expected {
            return Err(Fault::Sequence(header.sequence));
        }
        if self.run.is_some_and(|run| run != header.run) && !header.start {
            return Err(Fault::OldRun);
        }
        Ok(Accepted { at: position, header, len: frame.len() })
    }

    fn take_frame(&mut self, frame: Accepted) -> Result<(), StorageError> {
        let Accepted { at, header, len } = frame;
        if header.checkpoint > self.hint.checkpoint {
            return Err(StorageError::Corrupt {
                path: self.directory.join(crate::checkpoint::FILE),
                position: 0,
                expected: format!(
                    "checkpoint frame {}, which the journal names",
                    header.checkpoint
                ),
                found: format!("frame {} as the last one", self.hint.checkpoint),
                remedy: REMEDY,
            });
        }
        if header.start {
            // An entry of which the earlier run did not write the last part never counted.
            self.partial.clear();
        }
        let mut entries = Vec::new();
        let mut start = at + FRAME_HEADER_BYTES;
        for entry in Entries::new(&self.buf[start..at + len]) {
            let (entry, payload) =
                entry.map_err(|found| self.corrupt(self.at(), at, "an entry", found))?;
            start += ENTRY_HEADER_BYTES;
            entries.push((entry, start..start + payload.len()));
            start += payload.len();
        }
        for (entry, range) in entries {
            self.greatest_lsn = self.greatest_lsn.max(entry.lsn);
            let last = self.last_lsns.last_mut().expect("the file is in the chain");
            *last = (*last).max(entry.lsn);
            if entry.more {
                self.partial.extend_from_slice(&self.buf[range]);
            } else if self.partial.is_empty() {
                self.entries.push_back((entry, EntryBytes::InBuf(range)));
            } else {
                self.partial.extend_from_slice(&self.buf[range]);
                let whole = std::mem::take(&mut self.partial);
                self.entries.push_back((entry, EntryBytes::Assembled(whole)));
            }
        }
        self.position = (at + len).next_multiple_of(self.kind.alignment());
        let proven = header.synced.max(self.hint.synced);
        while self.unproven.front().is_some_and(|place| place.sequence <= proven) {
            self.unproven.pop_front();
        }
        if header.sequence > proven {
            let file = *self.chain.last().expect("the frame's file is in the chain");
            let end = self.position.min(self.buf.len());
            let place = Place { sequence: header.sequence, file, start: at, end };
            self.unproven.push_back(place);
        }
        self.expected += 1;
        self.run = Some(header.run);
        Ok(())
    }

    /// Reads a file of the ring into memory.
    fn load(&mut self, index: usize) -> Result<(), StorageError> {
        let file = &self.files[index];
        let len = file.file.len().doing("read the journal", &file.path)?;
        let len = usize::try_from(len).expect("a ring file is far below 4 GiB");
        self.buf.resize(len - len % SYNC_ALIGNMENT);
        read_full_at(file.file.as_ref(), &mut self.buf, 0).doing("read the journal", &file.path)?;
        Ok(())
    }

    /// Frame `expected` is not there. Whether it ever was durable decides.
    fn judge_the_end(
        &mut self,
        last_file: Option<usize>,
        fault: Option<(PathBuf, usize, Fault)>,
    ) -> Result<(), StorageError> {
        let expected = self.expected;
        let proof = if self.hint.synced >= expected {
            Some(format!("the checkpoint says that frame {} was durable", self.hint.synced))
        } else {
            self.later_frame(last_file)?
        };
        let nothing = || (self.at(), self.position, Fault::None(NoFrame::NoMagic));
        let (path, position, fault) = fault.unwrap_or_else(nothing);
        let Some(proof) = proof else { return Ok(()) };
        let expected = format!("frame {expected} ({proof})");
        Err(self.corrupt(path, position, &expected, fault.to_string()))
    }

    /// A valid frame behind the end of the chain that was written when `expected` was durable.
    fn later_frame(&mut self, last_file: Option<usize>) -> Result<Option<String>, StorageError> {
        let proves = |bytes: &[u8], directory_id: &[u8; 16], expected: u64| {
            let frame = Frame::parse(bytes, directory_id).ok()?;
            let FrameHeader { sequence, synced, .. } = frame.header;
            (sequence > expected && synced >= expected)
                .then(|| format!("frame {sequence} says that all up to {synced} were durable"))
        };
        if last_file.is_some() {
            let step = self.kind.alignment();
            for at in (self.position..self.buf.len()).step_by(step) {
                if let Some(proof) = proves(&self.buf[at..], &self.directory_id, self.expected) {
                    return Ok(Some(proof));
                }
            }
        }
        let (position, buf) = (self.position, std::mem::take(&mut self.buf));
        let mut proof = None;
        for index in 0..self.files.len() {
            let later = self.heads[index]
                .is_some_and(|head| head.sequence > self.expected && head.synced >= self.expected);
            if later && proof.is_none() {
                self.load(index)?;
                proof = proves(&self.buf, &self.directory_id, self.expected);
            }
        }
        (self.position, self.buf) = (position, buf);
        Ok(proof)
    }

    /// The tail that was cut, if there was one.
    pub(crate) fn torn_tail(&self) -> Option<TornTail> {
        let bytes = self.buf.get(self.position..)?;
        let found = match Frame::parse(bytes, &self.directory_id) {
            Err(NoFrame::NoMagic | NoFrame::OtherDirectory) => return None,
            Ok(frame) if frame.header.sequence < self.expected => return None,
            Ok(frame) => format!("frame {} of an earlier run", frame.header.sequence),
            Err(error) => error.to_string(),
        };
        Some(TornTail { path: self.at(), position: self.position as u64, found })
    }

    fn corrupt(
        &self,
        path: PathBuf,
        position: usize,
        expected: &str,
        found: String,
    ) -> StorageError {
        let expected = expected.to_owned();
        StorageError::Corrupt { path, position: position as u64, expected, found, remedy: REMEDY }
    }
}

/// A ring as it was found.
pub(crate) struct Recovered {
    pub(crate) ring: Ring,
    pub(crate) next_sequence: u64,
    /// The greatest LSN of all entries read.
    pub(crate) greatest_lsn: u64,
}

const REMEDY: &str = "nothing was changed: check the disk, then restore this log directory from \
    a backup, or remove it if other brokers have replicas of its partitions";

/// A frame that is the next of the chain.
struct Accepted {
    at: usize,
    header: FrameHeader,
    /// Without padding.
    len: usize,
}

/// Why a frame does not continue the chain.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    None(NoFrame),
    #[error("frame {0}")]
    Sequence(u64),
    #[error("a frame that an earlier run left there")]
    OldRun,
}

/// Makes the first frame of a file none, durably.
fn blank_head(file: &RingFile) -> Result<(), StorageError> {
    let blank = || {
        write_all_at(file.file.as_ref(), &AlignedBuf::zeroed(SYNC_ALIGNMENT), 0)?;
        file.file.sync_data()
    };
    blank().doing("clear a journal file", &file.path)
}

/// The header of the first frame of a file. Its body may be damaged: who relies on the frame reads
/// it whole.
fn read_head(
    file: &RingFile,
    directory_id: &[u8; 16],
) -> Result<Option<FrameHeader>, StorageError> {
    if file.file.len().doing("read the journal", &file.path)? < SYNC_ALIGNMENT as u64 {
        return Ok(None);
    }
    let mut page = AlignedBuf::zeroed(SYNC_ALIGNMENT);
    read_full_at(file.file.as_ref(), &mut page, 0).doing("read the journal", &file.path)?;
    Ok(FrameHeader::peek(&page, directory_id))
}
