//! Writing a log's chunks to its segment files, from the background worker.
//!
//! Three phases under the log's `flush` lock: *plan* what is to be written, with the state locked;
//! *write* it, with the state free; *settle*, with the state locked again. The record for the
//! checkpoint is made in the plan, so that it says exactly what the files hold when all that was
//! planned is written and synced.
//!
//! Whole blocks are written straight from the chunk. The last, unfinished block is padded with
//! zeros in a scratch buffer; it is written again, longer, with what comes next. When a block's
//! beginning is not in memory (the chunk before it was evicted, or the process was restarted), it
//! is read back first. Rewriting a block is safe: the bytes that were durable in it do not change,
//! and a sector is written whole or not at all.

use super::Log;
use super::state::LogState;
use crate::checkpoint::LogRecord;
use crate::error::{IoContext, StorageError};
use crate::segment::SegmentName;
use crate::tail::Chunk;
use afluente_env::disk::{Access, Disk, File, OpenHow, read_full_at, write_all_at};
use afluente_protocol::numbers::Offset;
use afluente_stdx::aligned_buf::AlignedBuf;
use afluente_stdx::append_buf::{ALIGNMENT, AppendBufReader};
use afluente_stdx::crc32c::crc32c;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What only the one who writes the files needs to know.
#[derive(Default)]
pub(crate) struct FlushState {
    /// The partition's directory is there, with its `partition.metadata`.
    pub(crate) directory_made: bool,
}

/// How much is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Chunks that are full: early and in large pieces.
    Filled,
    /// Everything, and a record for the checkpoint.
    All,
}

/// Below this, bytes are copied together for one write.
const COPY_BYTES_MAX: usize = 64 << 10;
/// Index entries that are worth a write of their own.
const INDEX_BYTES_WORTHWHILE: usize = 256 * 8;

/// What a flush did.
#[derive(Default)]
pub(crate) struct Flushed {
    /// For the checkpoint, once the files are synced.
    pub(crate) record: Option<LogRecord>,
    /// Files to sync.
    pub(crate) files: Vec<(Arc<dyn File>, PathBuf)>,
    /// Directories to sync.
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) bytes: u64,
}

struct Plan {
    pieces: Vec<Piece>,
    spills: Vec<Spill>,
    record: Option<LogRecord>,
}

/// Bytes of a chunk that go to a segment file.
struct Piece {
    segment: SegmentName,
    chunk_id: u64,
    bytes: AppendBufReader,
    /// Where the chunk's first byte belongs in the file.
    position: u64,
    /// The part to write: `start` is a multiple of the alignment, `end` may not be.
    start: usize,
    end: usize,
    /// So many bytes at the chunk's beginning are to be read from the file first.
    gap: usize,
}

/// New bytes of a file beside a segment.
struct Spill {
    segment: Offset,
    kind: SpillKind,
    path: PathBuf,
    at: u64,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpillKind {
    OffsetIndex,
    TimeIndex,
    /// With the checksum of what was in the file before.
    TxnIndex(Option<u32>),
    Snapshot,
    /// The padding of a sealed segment's file is cut off.
    Trim,
}

impl Log {
    /// Writes what `extent` says. The files are not synced.
    pub(crate) fn flush(
        self: &Arc<Self>,
        extent: Extent,
        scratch: &mut AlignedBuf,
    ) -> Result<Flushed, StorageError> {
        self.flush_locked(&mut self.flush.lock(), extent, scratch)
    }

    /// The same for who holds the lock already.
    pub(crate) fn flush_locked(
        self: &Arc<Self>,
        flush: &mut FlushState,
        extent: Extent,
        scratch: &mut AlignedBuf,
    ) -> Result<Flushed, StorageError> {
        let plan = {
            let mut state = self.state.lock();
            if state.deleted {
                return Ok(Flushed::default());
            }
            if extent == Extent::All {
                state.listed_dirty = false;
            }
            self.plan(&mut state, extent)
        };
        let mut flushed = Flushed::default();
        let was_made = flush.directory_made;
        if let Err(error) = self.write(flush, &plan, scratch, &mut flushed) {
            self.take_back(&plan);
            // What is to be synced is forgotten with this; a directory is made, and synced, again.
            flush.directory_made = was_made;
            return Err(error);
        }
        self.settle(&plan);
        flushed.record = plan.record;
        Ok(flushed)
    }

    fn plan(&self, state: &mut LogState, extent: Extent) -> Plan {
        let mut pieces = Vec::new();
        let count = state.chunks.len();
        for (index, chunk) in state.chunks.iter().enumerate() {
            let next = state.chunks.get(index + 1);
            let is_last = index + 1 == count;
            if chunk.is_clean() || is_last && extent == Extent::Filled {
                continue;
            }
            // The block at its end is in the next chunk too, from its beginning, and is written
            // from there.
            let shared = next.is_some_and(|next| next.segment == chunk.segment && next.head_known);
            let end = if shared { chunk.len() - chunk.len() % ALIGNMENT } else { chunk.len() };
            let start = chunk.written.min(end) / ALIGNMENT * ALIGNMENT;
            if start < end && chunk.written < end {
                pieces.push(piece(state, chunk, start..end));
            }
        }
        let spills = self.plan_spills(state, extent);
        let record = (extent == Extent::All).then(|| state.make_record(self));
        Plan { pieces, spills, record }
    }

    /// Index entries that go to their files now: many, or the last ones of a sealed segment.
    fn plan_spills(&self, state: &mut LogState, extent: Extent) -> Vec<Spill> {
        let closing = state.closing;
        let mut spills = Vec::new();
        let directory = self.directory();
        let last = state.segments.len() - 1;
        for (index, segment) in state.segments.iter_mut().enumerate().rev() {
            let name = segment.name();
            let sealed = index < last;
            let is_complete = segment.growth.is_none()
                && segment.aborted_pending() == 0
                && segment.snapshot.is_none();
            if sealed && is_complete && segment.is_trimmed {
                // Those before it are complete as well.
                break;
            }
            let base = segment.base;
            if let Some(bytes) = segment.snapshot.take() {
                let path = name.snapshot(&directory);
                let kind = SpillKind::Snapshot;
                spills.push(Spill { segment: base, kind, path, at: 0, bytes });
            }
            if sealed && extent == Extent::All && !segment.is_trimmed {
                segment.is_trimmed = true;
                spills.push(Spill {
                    segment: base,
                    kind: SpillKind::Trim,
                    path: name.log(&directory),
                    at: segment.size,
                    bytes: Vec::new(),
                });
            }
            if let Some(growth) = &mut segment.growth {
                let worthwhile = growth.offsets.len() >= INDEX_BYTES_WORTHWHILE;
                if sealed || worthwhile || closing {
                    spills.push(Spill {
                        segment: base,
                        kind: SpillKind::OffsetIndex,
                        path: name.offset_index(&directory),
                        at: u64::from(segment.offset_index_bytes),
                        bytes: std::mem::take(&mut growth.offsets),
                    });
                    spills.push(Spill {
                        segment: base,
                        kind: SpillKind::TimeIndex,
                        path: name.time_index(&directory),
                        at: u64::from(segment.time_index_bytes),
                        bytes: std::mem::take(&mut growth.times),
                    });
                    let [.., offsets, times] = &spills[..] else { unreachable!("just pushed") };
                    segment.offset_index_bytes += byte_count(&offsets.bytes);
                    segment.time_index_bytes += byte_count(&times.bytes);
                }
                if sealed {
                    segment.growth = None;
                }
            }
            if extent == Extent::All && segment.aborted_pending() > 0 {
                let bytes = segment.aborted.as_ref().expect("some are pending").encode();
                let (at, crc) = (segment.txn_index_bytes, segment.txn_index_crc);
                segment.txn_index_bytes = byte_count(&bytes);
                segment.txn_index_crc = Some(crc32c(&bytes));
                spills.push(Spill {
                    segment: base,
                    kind: SpillKind::TxnIndex(crc),
                    path: name.txn_index(&directory),
                    at: u64::from(at),
                    bytes: bytes[at as usize..].to_vec(),
                });
            }
        }
        spills.retain(|spill| spill.kind == SpillKind::Trim || !spill.bytes.is_empty());
        spills
    }

    fn write(
        &self,
        flush: &mut FlushState,
        plan: &Plan,
        scratch: &mut AlignedBuf,
        flushed: &mut Flushed,
    ) -> Result<(), StorageError> {
        if plan.pieces.is_empty() && plan.spills.is_empty() {
            return Ok(());
        }
        let disk = self.dir.env.disk.as_ref();
        let directory = self.directory();
        if !flush.directory_made {
            self.make_directory(disk, &directory, flushed)?;
            flush.directory_made = true;
        }
        let mut open: Option<(SegmentName, Arc<dyn File>, PathBuf)> = None;
        for piece in &plan.pieces {
            if open.as_ref().is_none_or(|(name, ..)| *name != piece.segment) {
                let path = self.segment_path(piece.segment);
                let how = OpenHow::direct(Access::CreateOrWrite);
                let file = disk.open(&path, how).doing("open segment", &path)?;
                flushed.files.push((Arc::clone(&file), path.clone()));
                if piece.position == 0 {
                    flushed.directories.push(directory.clone());
                }
                open = Some((piece.segment, file, path));
            }
            let (_, file, path) = open.as_ref().expect("just opened");
            piece.write(file.as_ref(), scratch).doing("write segment", path)?;
            flushed.bytes += (piece.end - piece.start) as u64;
        }
        for spill in &plan.spills {
            let how = OpenHow::buffered(Access::CreateOrWrite);
            let file = disk.open(&spill.path, how).doing("open index", &spill.path)?;
            if spill.at == 0 || spill.kind == SpillKind::Trim {
                // What an earlier segment of this base has left there is not ours.
                file.set_len(spill.at).doing("cut", &spill.path)?;
            }
            if spill.at == 0 {
                // Perhaps it is new. The checkpoint will count on it, so its name must not be lost.
                flushed.directories.push(directory.clone());
            }
            write_all_at(file.as_ref(), &spill.bytes, spill.at)
                .doing("write index", &spill.path)?;
            flushed.files.push((file, spill.path.clone()));
        }
        Ok(())
    }

    /// Makes durable what is written of the log's segments and of their directory, by whomever.
    pub(crate) fn sync_segments(&self) -> Result<(), StorageError> {
        let names: Vec<SegmentName> =
            self.state.lock().segments.iter().map(crate::segment::Segment::name).collect();
        let disk = self.dir.env.disk.as_ref();
        let directory = self.directory();
        if disk.metadata(&directory).doing("look at", &directory)?.is_none() {
            return Ok(());
        }
        for name in names {
            for path in [self.segment_path(name), name.txn_index(&directory)] {
                match disk.open(&path, OpenHow::buffered(Access::Write)) {
                    Ok(file) => file.sync_data().doing("sync", &path)?,
                    // An empty one is not there yet.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error).doing("open", &path),
                }
            }
        }
        disk.sync_dir(&directory).doing("sync", &directory)?;
        disk.sync_dir(&self.dir.path).doing("sync", &self.dir.path)
    }

    /// Where a segment's bytes are.
    pub(crate) fn segment_path(&self, name: SegmentName) -> PathBuf {
        name.log(&self.directory())
    }

    fn make_directory(
        &self,
        disk: &dyn Disk,
        directory: &Path,
        flushed: &mut Flushed,
    ) -> Result<(), StorageError> {
        disk.create_dir_all(directory).doing("make log directory", directory)?;
        let path = directory.join("partition.metadata");
        let text = format!("version: 0\ntopic_id: {}\n", self.topic_id());
        let how = OpenHow::buffered(Access::CreateOrWrite);
        let file = disk.open(&path, how).doing("write", &path)?;
        file.set_len(0).doing("write", &path)?;
        write_all_at(file.as_ref(), text.as_bytes(), 0).doing("write", &path)?;
        flushed.files.push((file, path));
        flushed.directories.push(directory.to_owned());
        flushed.directories.push(self.dir.path.clone());
        Ok(())
    }

    /// What was planned could not be written, for lack of space: it is as if it had not been
    /// planned. Entries of the two indexes that were taken are given up; they are only hints.
    fn take_back(&self, plan: &Plan) {
        let mut state = self.state.lock();
        for spill in &plan.spills {
            let found = state.segments.iter_mut().find(|segment| segment.base == spill.segment);
            let Some(segment) = found else { continue };
            let at = u32::try_from(spill.at).unwrap_or(0);
            match spill.kind {
                SpillKind::OffsetIndex => segment.offset_index_bytes = at,
                SpillKind::TimeIndex => segment.time_index_bytes = at,
                SpillKind::TxnIndex(crc) => {
                    (segment.txn_index_bytes, segment.txn_index_crc) = (at, crc);
                }
                SpillKind::Snapshot => segment.snapshot = Some(spill.bytes.clone()),
                SpillKind::Trim => segment.is_trimmed = false,
            }
        }
    }

    /// What was planned is in the files.
    fn settle(self: &Arc<Self>, plan: &Plan) {
        let mut state = self.state.lock();
        let mut settled_bytes = 0;
        let mut clean = Vec::new();
        for piece in &plan.pieces {
            let Some(index) = state.chunks.iter().position(|chunk| chunk.id == piece.chunk_id)
            else {
                continue;
            };
            if piece.start == 0 && index > 0 {
                // The last block of the chunk before is in this one's first.
                let before = &mut state.chunks[index - 1];
                if !before.is_clean() && before.written >= before.len() / ALIGNMENT * ALIGNMENT {
                    settled_bytes += before.len() - before.written;
                    before.written = before.len();
                    clean.push(before.id);
                }
            }
            let chunk = &mut state.chunks[index];
            if piece.end > chunk.written {
                settled_bytes += piece.end - chunk.written;
                chunk.written = piece.end;
            }
            if chunk.is_clean() {
                clean.push(chunk.id);
            }
        }
        drop(state);
        self.dir.tail.sub_dirty(settled_bytes as u64);
        for chunk_id in clean {
            self.dir.tail.now_clean(Arc::downgrade(self), chunk_id);
        }
    }
}

fn piece(state: &LogState, chunk: &Chunk, range: Range<usize>) -> Piece {
    let segment = state.segments.iter().rfind(|segment| segment.base == chunk.segment);
    let segment = segment.expect("a chunk's segment is in the log").name();
    Piece {
        segment,
        chunk_id: chunk.id,
        bytes: chunk.reader(),
        position: chunk.position,
        start: range.start,
        end: range.end,
        gap: if chunk.head_known || range.start > 0 { 0 } else { chunk.head },
    }
}

impl Piece {
    fn write(&self, file: &dyn File, scratch: &mut AlignedBuf) -> std::io::Result<()> {
        let (mut start, end) = (self.start, self.end);
        if end - start > COPY_BYTES_MAX {
            if self.gap > 0 {
                self.copy_and_write(file, scratch, start..start + ALIGNMENT)?;
                start += ALIGNMENT;
            }
            let whole = end - end % ALIGNMENT;
            write_all_at(file, self.bytes.get(start..whole), self.position + start as u64)?;
            start = whole;
        }
        if start == end {
            return Ok(());
        }
        self.copy_and_write(file, scratch, start..end)
    }

    /// Writes a part in a copy, in which the gap is filled and the last block is padded.
    fn copy_and_write(
        &self,
        file: &dyn File,
        scratch: &mut AlignedBuf,
        range: Range<usize>,
    ) -> std::io::Result<()> {
        let position = self.position + range.start as u64;
        let gap = if range.start == 0 { self.gap } else { 0 };
        scratch.clear();
        scratch.extend_from_slice(self.bytes.get(range));
        scratch.pad_to_alignment();
        if gap > 0 {
            let mut block = AlignedBuf::zeroed(ALIGNMENT);
            read_at_least(file, &mut block, self.position, gap)?;
            scratch[..gap].copy_from_slice(&block[..gap]);
        }
        write_all_at(file, scratch, position)
    }
}

/// Reads a block of which at least `needed` bytes must be there.
fn read_at_least(
    file: &dyn File,
    block: &mut AlignedBuf,
    position: u64,
    needed: usize,
) -> std::io::Result<()> {
    match file.read_at(block, position)? {
        read if read >= needed => Ok(()),
        _ => read_full_at(file, &mut block[..needed.next_multiple_of(ALIGNMENT)], position),
    }
}

pub(crate) fn byte_count(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("an index file is far below 4 GiB")
}
