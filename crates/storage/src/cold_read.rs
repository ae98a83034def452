//! Reading what is not in memory any more: on threads of their own, by direct reads, through the
//! block cache, with read-ahead.
//!
//! A log's cold reads all go to one of the threads, so that a reader that goes on finds what was
//! read ahead for it. Where a reader that goes on will go on is remembered
//! ([`ColdReaders::note_place`]), so that it need not ask the index again.

use crate::block_cache::{BLOCK_BYTES, BlockCache, BlockId, RUN_BYTES};
use crate::error::{IoContext, StorageError};
use crate::log::Log;
use crate::log_dir::Shared;
use crate::read::{ReadData, ReadError, ReadRequest};
use crate::segment::SegmentName;
use afluente_env::disk::{Access, File, OpenHow};
use afluente_env::worker::{Doorbell, Step, Worker};
use afluente_protocol::numbers::Offset;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

/// Called with the outcome, on a cold-read thread.
pub(crate) type Done = Box<dyn FnOnce(Result<ReadData, ReadError>) + Send>;

/// Anything that is to be done on a cold-read thread.
pub(crate) type Job = Box<dyn FnOnce(&Shared) + Send>;

/// How many threads a directory has for this.
pub(crate) const COLD_READER_COUNT: usize = 2;
/// Files that are kept open.
const OPEN_FILES_MAX: usize = 256;
/// Places that are remembered.
const PLACES_MAX: usize = 1024;

/// What the cold readers of a directory share.
pub(crate) struct ColdReaders {
    pub(crate) cache: BlockCache,
    lanes: [Lane; COLD_READER_COUNT],
    files: Mutex<OpenFiles>,
    places: Mutex<BTreeMap<(u64, Offset), Place>>,
}

#[derive(Default)]
struct Lane {
    jobs: Mutex<VecDeque<Job>>,
    /// Only done when there are no jobs.
    ahead: Mutex<VecDeque<Ahead>>,
    bell: Doorbell,
}

/// Blocks to be read before anybody asks.
struct Ahead {
    log: Arc<Log>,
    file: SegmentFile,
    first: u64,
}

/// Where in a segment a batch begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) segment: SegmentName,
    pub(crate) position: u64,
}

#[derive(Default)]
struct OpenFiles {
    by_name: BTreeMap<(u64, SegmentName), Arc<dyn File>>,
    order: VecDeque<(u64, SegmentName)>,
}

/// A segment's file as far as it may be read.
#[derive(Clone)]
pub(crate) struct SegmentFile {
    pub(crate) name: SegmentName,
    pub(crate) path: PathBuf,
    file: Arc<dyn File>,
    /// Where its batches end, or where memory takes over.
    pub(crate) end: u64,
}

impl ColdReaders {
    pub(crate) fn new(cache_bytes: u64) -> Self {
        Self {
            cache: BlockCache::new(cache_bytes),
            lanes: Default::default(),
            files: Mutex::default(),
            places: Mutex::default(),
        }
    }

    pub(crate) fn bell(&self, lane: usize) -> &Doorbell {
        &self.lanes[lane].bell
    }

    /// Has the thread that is responsible for this log do something.
    pub(crate) fn submit(&self, log_id: u64, job: Job) {
        let lane = self.lane(log_id);
        lane.jobs.lock().push_back(job);
        lane.bell.ring();
    }

    fn lane(&self, log_id: u64) -> &Lane {
        &self.lanes[usize::try_from(log_id % COLD_READER_COUNT as u64).expect("a small number")]
    }

    /// Somebody will probably ask for `offset` next; there it is.
    pub(crate) fn note_place(&self, log_id: u64, offset: Offset, place: Place) {
        let mut places = self.places.lock();
        if places.len() >= PLACES_MAX {
            places.clear();
        }
        places.insert((log_id, offset), place);
    }

    pub(crate) fn take_place(&self, log_id: u64, offset: Offset) -> Option<Place> {
        self.places.lock().remove(&(log_id, offset))
    }

    /// The files of this log have changed.
    pub(crate) fn forget_log(&self, log_id: u64) {
        self.cache.forget_log(log_id);
        self.places.lock().retain(|(id, _), _| *id != log_id);
        let mut files = self.files.lock();
        files.by_name.retain(|(id, _), _| *id != log_id);
        files.order.retain(|(id, _)| *id != log_id);
    }

    /// Opens a segment for reading.
    pub(crate) fn open(
        &self,
        log: &Log,
        name: SegmentName,
        end: u64,
    ) -> Result<SegmentFile, StorageError> {
        let path = log.segment_path(name);
        let key = (log.id(), name);
        if let Some(file) = self.files.lock().by_name.get(&key) {
            return Ok(SegmentFile { name, path, file: Arc::clone(file), end });
        }
        let how = OpenHow::direct(Access::Read);
        let disk = log.dir.env.disk.as_ref();
        // A segment that compaction has rewritten may have its own name still.
        let rewritten = (name.generation > 0).then(|| disk.open(&name.cleaned(&path), how));
        let file = match rewritten {
            Some(Ok(file)) => file,
            _ => disk.open(&path, how).doing("open segment", &path)?,
        };
        let mut files = self.files.lock();
        if files.order.len() >= OPEN_FILES_MAX
            && let Some(oldest) = files.order.pop_front()
        {
            files.by_name.remove(&oldest);
        }
        if files.by_name.insert(key, Arc::clone(&file)).is_none() {
            files.order.push_back(key);
        }
        drop(files);
        Ok(SegmentFile { name, path, file, end })
    }

    /// The block that `position` lies in, from there on, and at most as far as the file may be
    /// read. `want` says how much will be asked for from there on: that is read at once.
    pub(crate) fn read(
        &self,
        log: &Log,
        file: &SegmentFile,
        position: u64,
        want: usize,
    ) -> Result<Bytes, StorageError> {
        let number = position / BLOCK_BYTES as u64;
        let start = number * BLOCK_BYTES as u64;
        let within = to_usize(position - start);
        let len = to_usize(file.end - start).min(BLOCK_BYTES);
        let id = block_id(log, file, number);
        if let Some(block) = self.cache.get(id, len) {
            return Ok(block.slice(within..len));
        }
        self.read_run(log, file, number, within + want)?;
        match self.cache.get(id, len) {
            Some(block) => Ok(block.slice(within..len)),
            // The cache is smaller than a run: read this block for this reader only.
            None => {
                let blocks = self.fetch(file, number, len)?;
                Ok(blocks.slice(within..len))
            }
        }
    }

    /// Reads the blocks from `number` on that hold `want` bytes, up to one that is here already.
    fn read_run(
        &self,
        log: &Log,
        file: &SegmentFile,
        number: u64,
        want: usize,
    ) -> Result<(), StorageError> {
        let left = to_usize((file.end - number * BLOCK_BYTES as u64).min(RUN_BYTES as u64));
        let want = want.next_multiple_of(BLOCK_BYTES).min(left);
        let mut len = BLOCK_BYTES.min(left);
        while len < want {
            let next = number + (len / BLOCK_BYTES) as u64;
            if self.cache.contains(block_id(log, file, next)) {
                break;
            }
            len = (len + BLOCK_BYTES).min(want);
        }
        let bytes = self.fetch(file, number, len)?;
        for (at, number) in (0..len).step_by(BLOCK_BYTES).zip(number..) {
            let block = bytes.slice(at..len.min(at + BLOCK_BYTES));
            self.cache.insert(block_id(log, file, number), block);
        }
        Ok(())
    }

    /// One direct read.
    fn fetch(&self, file: &SegmentFile, number: u64, len: usize) -> Result<Bytes, StorageError> {
        let start = number * BLOCK_BYTES as u64;
        let mut buf = self.cache.buffer();
        let mut filled = 0;
        while filled < len {
            let to = len.next_multiple_of(4096);
            let read = file.file.read_at(&mut buf[filled..to], start + filled as u64);
            match read {
                Ok(0) => {
                    return Err(StorageError::Corrupt {
                        path: file.path.clone(),
                        position: start + filled as u64,
                        expected: format!("record batches up to byte {}", file.end),
                        found: "the end of the file".to_owned(),
                        remedy: READ_REMEDY,
                    });
                }
                // A short read that is no whole block is the end of the file, or is asked again
                // from the last whole block on.
                Ok(read) if filled + read >= len => filled += read,
                Ok(read) => filled += (read / 4096 * 4096).max(usize::from(read < 4096) * read),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).doing("read segment", &file.path),
            }
        }
        Ok(self.cache.share(buf, len))
    }

    /// Has what follows `position` read when there is nothing else to do.
    pub(crate) fn read_ahead(&self, log: &Arc<Log>, file: &SegmentFile, position: u64) {
        let first = position.div_ceil(BLOCK_BYTES as u64);
        if first * BLOCK_BYTES as u64 >= file.end || self.cache.contains(block_id(log, file, first))
        {
            return;
        }
        let lane = self.lane(log.id());
        let mut ahead = lane.ahead.lock();
        // More than a few would be read long before they are asked for.
        if ahead.len() >= 8 {
            ahead.pop_front();
        }
        ahead.push_back(Ahead { log: Arc::clone(log), file: file.clone(), first });
        drop(ahead);
        lane.bell.ring();
    }
}

pub(crate) const READ_REMEDY: &str = "what comes before it can still be read; restore the \
    partition from a replica or a backup";

fn block_id(log: &Log, file: &SegmentFile, number: u64) -> BlockId {
    let SegmentName { base, generation } = file.name;
    BlockId { log_id: log.id(), segment: base, generation, number }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// One of the threads.
pub(crate) struct ColdReader {
    dir: Arc<Shared>,
    lane: usize,
}

impl ColdReader {
    pub(crate) fn new(dir: Arc<Shared>, lane: usize) -> Self {
        Self { dir, lane }
    }
}

impl Worker for ColdReader {
    fn step(&mut self) -> Step {
        let readers = &self.dir.cold;
        let lane = &readers.lanes[self.lane];
        let job = lane.jobs.lock().pop_front();
        if let Some(job) = job {
            job(&self.dir);
            return Step::Again;
        }
        let ahead = lane.ahead.lock().pop_front();
        if let Some(Ahead { log, file, first }) = ahead {
            // An error will be met again by who needs the bytes.
            let _ = readers.read_run(&log, &file, first, RUN_BYTES);
            return Step::Again;
        }
        Step::Park
    }
}

impl Log {
    /// Reads from the disk, on a thread of the directory, and calls `done` there.
    pub fn read_cold(
        self: &Arc<Self>,
        cold: crate::ColdRead,
        done: impl FnOnce(Result<ReadData, ReadError>) + Send + 'static,
    ) {
        let log = Arc::clone(self);
        let done: Done = Box::new(done);
        let job = move |_: &Shared| done(log.read_segments(&cold.request));
        self.dir.cold.submit(self.id(), Box::new(job));
    }

    /// Reads whole batches from segment files; blocks on the disk.
    pub(crate) fn read_segments(
        self: &Arc<Self>,
        request: &ReadRequest,
    ) -> Result<ReadData, ReadError> {
        crate::log::cold::read(self, request)
    }
}
