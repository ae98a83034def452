//! The scrub: reads every closed segment now and then, and holds each batch against its checksum and
//! its place, so that damage is found while a replica or a backup still has the bytes. Damage is
//! told, with file and position, and changes nothing: what is sound stays readable. An index that
//! does not fit its segment is built again.
//!
//! One small piece a step of the background worker, and no more bytes a second than the
//! configuration allows. It reads past the block cache, which readers need. A segment that is cut,
//! rewritten or removed meanwhile is passed over.

use super::{Shared, write_file};
use crate::error::{IoContext, StorageError};
use crate::log::Log;
use crate::offset_index::OffsetIndex;
use crate::segment::SegmentName;
use crate::segment_index::SegmentIndex;
use crate::time_index::TimeIndex;
use afluente_env::clock::Moment;
use afluente_env::disk::{Access, File, OpenHow, read_full_at, read_up_to};
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::{BATCH_HEADER_BYTES, Batch, BatchHeader};
use afluente_stdx::aligned_buf::AlignedBuf;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is read at once, unless a batch is larger.
const PIECE_BYTES: usize = 1 << 20;
const ALIGNMENT: u64 = 4096;
const REMEDY: &str = "nothing was changed: check the disk, and restore the partition from a \
    replica or a backup; what comes before can still be read";

/// A scrub of one directory, as far as it has come.
pub(super) struct Scrub {
    next_pass: Moment,
    /// Not before then, so as not to read faster than is allowed.
    next_piece: Moment,
    logs: Vec<Arc<Log>>,
    segments: Vec<(Arc<Log>, SegmentName)>,
    current: Option<Current>,
    buf: AlignedBuf,
}

/// The segment being read.
struct Current {
    log: Arc<Log>,
    name: SegmentName,
    path: PathBuf,
    file: Arc<dyn File>,
    size: u64,
    /// Where the next batch begins.
    position: u64,
    /// Its base offset is not smaller.
    next_offset: Offset,
    /// The segment ends before this.
    end: Offset,
    interval_bytes: u64,
    /// What the indexes should be, if they were built at once.
    built: SegmentIndex,
    /// Position and last offset of each batch with an entry in the offset index file, from the last
    /// one on; `None` once an entry was found wrong.
    entries: Option<Vec<(u64, Offset)>>,
}

/// What a segment's file should hold and does not.
struct Damage {
    position: u64,
    expected: String,
    found: String,
}

impl Scrub {
    pub(super) fn new(dir: &Shared) -> Self {
        let now = dir.env.clock.now();
        // Not in the first minutes, when others have more to do.
        let first = dir.config.scrub_interval.min(Duration::from_secs(3600));
        Self {
            next_pass: now + first,
            next_piece: now,
            logs: Vec::new(),
            segments: Vec::new(),
            current: None,
            buf: AlignedBuf::new(),
        }
    }

    /// Reads a piece if it is time for one; else gives how long there is nothing to do.
    pub(super) fn step(&mut self, dir: &Shared) -> Option<Duration> {
        let now = dir.env.clock.now();
        if now < self.next_piece {
            return Some(self.next_piece - now);
        }
        if self.current.is_none() && !self.next_segment(dir) {
            if now < self.next_pass {
                return Some(self.next_pass - now);
            }
            self.next_pass = now + dir.config.scrub_interval;
            self.logs = dir.logs.read().by_name.values().cloned().collect();
        }
        let current = self.current.as_mut()?;
        let outcome = current.read_piece(&mut self.buf);
        let bytes = match outcome {
            Ok(bytes) => bytes,
            Err(error) => {
                let current = self.current.take().expect("it was just read");
                current.tell(dir, &error);
                return None;
            }
        };
        dir.scrubbed_bytes.fetch_add(bytes, Ordering::Relaxed);
        let per_second = dir.config.scrub_bytes_per_second.max(1);
        self.next_piece =
            now + Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / per_second);
        if current.position >= current.size {
            let current = self.current.take().expect("it was just read");
            if let Err(error) = current.check_indexes(dir) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not build the indexes of a segment again"
                );
            }
        }
        None
    }

    /// Opens the next segment; false if the pass is over.
    fn next_segment(&mut self, dir: &Shared) -> bool {
        if self.segments.is_empty() {
            let Some(log) = self.logs.pop() else { return false };
            let state = log.state.lock();
            let closed = state.segments.len() - 1;
            let names = state.segments[..closed].iter().rev().map(crate::segment::Segment::name);
            self.segments.extend(names.map(|name| (Arc::clone(&log), name)));
        }
        if let Some((log, name)) = self.segments.pop() {
            self.current = Current::open(dir, &log, name);
        }
        true
    }
}

impl Current {
    /// The segment, if it is there still, closed, and all in its file.
    fn open(dir: &Shared, log: &Arc<Log>, name: SegmentName) -> Option<Self> {
        let (size, end, interval_bytes, index_bytes) = {
            let state = log.state.lock();
            let at = state.segments.iter().position(|segment| segment.name() == name)?;
            let (segment, next) = (&state.segments[at], state.segments.get(at + 1)?);
            let in_memory =
                state.chunks.iter().any(|chunk| chunk.segment == name.base && !chunk.is_clean());
            if state.deleted || in_memory || segment.growth.is_some() || segment.size == 0 {
                return None;
            }
            let interval_bytes = u64::try_from(state.config.index_interval_bytes).unwrap_or(0);
            (segment.size, next.base, interval_bytes, segment.offset_index_bytes)
        };
        let path = log.segment_path(name);
        let how = OpenHow::direct(Access::Read);
        // One that is not there was removed meanwhile, or readers will tell.
        let file = dir.env.disk.open(&path, how).ok()?;
        let directory = log.directory();
        let index = name.offset_index(&directory);
        let entries = read_counted(dir, &index, index_bytes).and_then(|bytes| {
            let index = OffsetIndex::decode(name.base, bytes, size, end).ok()?;
            let pair = |entry: crate::offset_index::OffsetPosition| {
                (u64::from(entry.position), entry.offset)
            };
            let mut entries: Vec<_> = index.entries().map(pair).collect();
            entries.reverse();
            Some(entries)
        });
        Some(Self {
            log: Arc::clone(log),
            name,
            path,
            file,
            size,
            position: 0,
            next_offset: name.base,
            end,
            interval_bytes,
            built: SegmentIndex::new(name.base),
            entries,
        })
    }

    /// Reads the batches of the next piece; gives how many bytes that were.
    fn read_piece(&mut self, buf: &mut AlignedBuf) -> Result<u64, StorageError> {
        let mut wanted = PIECE_BYTES;
        loop {
            let start = self.position - self.position % ALIGNMENT;
            let left = usize::try_from(self.size - start).unwrap_or(usize::MAX);
            buf.resize(wanted.min(left.next_multiple_of(4096)));
            let read =
                read_up_to(self.file.as_ref(), buf, start).doing("read segment", &self.path)?;
            let bytes = &buf[..read.min(left)];
            let within = usize::try_from(self.position - start).expect("less than a block");
            let rest = bytes.get(within..).unwrap_or_default();
            let is_all = bytes.len() == left || read < buf.len();
            let taken = self.take(rest, is_all).map_err(|damage| self.corrupt(damage))?;
            match taken {
                Taken::Bytes(count) => {
                    self.position += count;
                    return Ok(count);
                }
                // At most a whole batch, whose size is below 2 GiB, and within the segment.
                Taken::NeedsMore(needed) => {
                    wanted = (within + needed).next_multiple_of(4096);
                }
            }
        }
    }

    /// Goes over the whole batches in `bytes`, which begin at the present position.
    fn take(&mut self, bytes: &[u8], is_all: bool) -> Result<Taken, Damage> {
        let mut at = 0;
        loop {
            let position = self.position + at as u64;
            let rest = &bytes[at..];
            if position >= self.size {
                break;
            }
            let damage = |expected: &str, found: String| Damage {
                position,
                expected: expected.to_owned(),
                found,
            };
            let left = self.size - position;
            if rest.len() < BATCH_HEADER_BYTES && !is_all {
                if at > 0 {
                    break;
                }
                return Ok(Taken::NeedsMore(BATCH_HEADER_BYTES));
            }
            let header = BatchHeader::parse(rest)
                .map_err(|error| damage("a record batch", error.to_string()))?;
            let size = header.size_bytes();
            if size as u64 > left {
                let expected = format!("a batch of at most {left} bytes");
                return Err(damage(&expected, format!("one of {size}")));
            }
            let Some(batch) = rest.get(..size) else {
                if is_all {
                    let expected = format!("a batch of {size} bytes");
                    return Err(damage(&expected, "the end of the file".to_owned()));
                }
                if at > 0 {
                    break;
                }
                return Ok(Taken::NeedsMore(size));
            };
            Batch::parse(batch)
                .and_then(|batch| batch.verify_crc())
                .map_err(|error| damage("a record batch", error.to_string()))?;
            let is_near =
                header.last_offset().0.saturating_sub(self.name.base.0) <= i64::from(i32::MAX);
            if header.base_offset < self.next_offset || header.next_offset() > self.end || !is_near
            {
                let expected = format!("offsets from {} on, before {}", self.next_offset, self.end);
                let found =
                    format!("a batch from {} to {}", header.base_offset, header.last_offset());
                return Err(damage(&expected, found));
            }
            self.next_offset = header.next_offset();
            self.note(position, &header);
            at += size;
        }
        Ok(Taken::Bytes(at as u64))
    }

    /// A sound batch, for the indexes.
    fn note(&mut self, position: u64, header: &BatchHeader) {
        self.built.append(header, self.interval_bytes);
        if let Some(entries) = &mut self.entries {
            match entries.last() {
                Some(&(at, offset)) if at == position && offset == header.last_offset() => {
                    entries.pop();
                }
                // One that points between batches, or to another offset.
                Some(&(at, _)) if at <= position => self.entries = None,
                _ => {}
            }
        }
    }

    fn corrupt(&self, damage: Damage) -> StorageError {
        let Damage { position, expected, found } = damage;
        StorageError::Corrupt { path: self.path.clone(), position, expected, found, remedy: REMEDY }
    }

    /// Whether the segment is as it was when it was opened.
    fn is_unchanged(&self) -> bool {
        let state = self.log.state.lock();
        let is_it = |at: &usize| {
            let segment = &state.segments[*at];
            segment.name() == self.name && segment.size == self.size
        };
        // A closed one only.
        !state.deleted && (0..state.segments.len() - 1).any(|at| is_it(&at))
    }

    fn tell(&self, dir: &Shared, error: &StorageError) {
        if !self.is_unchanged() {
            return;
        }
        dir.scrub_findings.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            log = %self.log.partition(),
            error = error as &dyn std::error::Error,
            "the scrub has found a damaged segment"
        );
        dir.observer.damaged(&self.log, error);
    }

    /// The batches are sound. Builds the indexes again if they do not fit them.
    fn check_indexes(mut self, dir: &Shared) -> Result<(), StorageError> {
        self.built.close();
        let directory = self.log.directory();
        let times_are_sound = {
            let bytes = self
                .log
                .state
                .lock()
                .segments
                .iter()
                .find(|segment| segment.name() == self.name)
                .map(|segment| segment.time_index_bytes);
            let path = self.name.time_index(&directory);
            let read = bytes.and_then(|bytes| read_counted(dir, &path, bytes));
            let index =
                read.and_then(|bytes| TimeIndex::decode(self.name.base, bytes, self.end).ok());
            // The last entry is that of the greatest timestamp.
            index.is_some_and(|index| index.last() == self.built.times.last())
        };
        let offsets_are_sound = self.entries.as_ref().is_some_and(Vec::is_empty);
        if times_are_sound && offsets_are_sound {
            return Ok(());
        }
        // Whoever writes files of the log, or changes its shape, has this lock.
        let _flush = self.log.flush.lock();
        if !self.is_unchanged() {
            return Ok(());
        }
        tracing::warn!(
            segment = %self.path.display(),
            "the indexes do not fit the segment and are built again"
        );
        let disk = dir.env.disk.as_ref();
        write_file(disk, &self.name.offset_index(&directory), self.built.offsets.bytes())?;
        write_file(disk, &self.name.time_index(&directory), self.built.times.bytes())?;
        disk.sync_dir(&directory).doing("sync", &directory)?;
        let mut state = self.log.state.lock();
        let segment = state.segments.iter_mut().find(|segment| segment.name() == self.name);
        let segment = segment.expect("it is unchanged");
        segment.offset_index_bytes = crate::log::flush::byte_count(self.built.offsets.bytes());
        segment.time_index_bytes = crate::log::flush::byte_count(self.built.times.bytes());
        dir.note_dirty(&self.log, &mut state);
        dir.indexes_rebuilt.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

enum Taken {
    /// Batches of so many bytes.
    Bytes(u64),
    /// Not one; the first needs so many.
    NeedsMore(usize),
}

/// The bytes of an index file that count; `None` if they are not there.
fn read_counted(dir: &Shared, path: &std::path::Path, len: u32) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    if len > 0 {
        let file = dir.env.disk.open(path, OpenHow::buffered(Access::Read)).ok()?;
        read_full_at(file.as_ref(), &mut bytes, 0).ok()?;
    }
    Some(bytes)
}
