//! The journal of one log directory: what makes an append durable.
//!
//! Every change of a log is an *entry* with an LSN, a number that counts up over the directory.
//! Appending threads push entries onto a queue, under the lock of their log, so that the entries of
//! one log are in the order of their offsets. The journal worker takes everything that is queued,
//! builds one frame of it, writes it with one direct, synchronous write (the *group commit*), and
//! only then moves the durable end of the logs in it. It never lingers: when it comes back from a
//! write, whatever arrived meanwhile is the next frame.
//!
//! Topics with `durability=replicated` have a ring of their own, through the page cache, which the
//! appending thread writes itself: [`Journal::append_buffered`]. One log's entries may be in both
//! rings, when its durability is switched. Two rules keep them a prefix in any crash:
//!
//! * an entry goes to the buffered ring only when nothing of its log waits for the synced one;
//! * before an entry is written to the synced ring, the buffered ring is synced as far as that log
//!   has entries there ([`Pending::requires_buffered`]).
//!
//! **Bounds.** A frame has at most [`FRAME_BYTES_MAX`]; larger entries are cut. Who appends asks
//! [`Journal::has_room`] first, which bounds the queue, and with it the time that an append waits
//! for its commit.
//!
//! **Locks**, in this order: a log's state, then the queue or the buffered writer. The synced
//! writer is taken by whoever commits, with nothing else held.

pub(crate) mod frame;
pub(crate) mod replay;
pub(crate) mod ring;
pub(crate) mod writer;

use crate::error::{IoContext, StorageError};
use crate::log::Log;
use afluente_env::worker::Doorbell;
use afluente_protocol::numbers::Offset;
use afluente_stdx::append_buf::AppendBufReader;
use frame::{ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FRAME_HEADER_BYTES};
use parking_lot::Mutex;
use replay::Recovered;
use ring::{Ring, RingKind};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use writer::FrameWriter;

/// The most bytes of one frame, that is of one group commit. Beyond some MiB a larger write is no
/// cheaper per byte, and who waits for the commit waits longer.
pub(crate) const FRAME_BYTES_MAX: usize = 2 << 20;
/// What may wait for its commit, the present frame included: more makes no commit cheaper, and every
/// append later.
const QUEUED_BYTES_MAX: u64 = 2 * FRAME_BYTES_MAX as u64;
/// What is left of a ring file below this is not worth a frame while there is more to write.
const ROOM_WORTHWHILE: usize = 256 << 10;
/// How long after the last commit a seal follows.
pub(crate) const SEAL_AFTER: Duration = Duration::from_millis(100);

pub(crate) struct Journal {
    directory_id: [u8; 16],
    run: u64,
    queue: Mutex<Queue>,
    synced: Mutex<SyncedWriter>,
    buffered: Mutex<BufferedWriter>,
    next_lsn: AtomicU64,
    /// Payload bytes of all entries that are queued or taken, and not durable.
    queued_bytes: AtomicU64,
    queued_bytes_max: u64,
    /// Every entry of the synced ring up to this LSN is durable.
    durable_lsn: AtomicU64,
    /// Frames of the buffered ring up to this one are durable.
    buffered_synced: AtomicU64,
    /// Calls the journal worker.
    pub(crate) bell: Doorbell,
    /// Who waits for an LSN to be durable.
    waiters: Mutex<Vec<Doorbell>>,
    pub(crate) figures: JournalFigures,
}

/// What the journal has done since it was opened.
#[derive(Default)]
pub(crate) struct JournalFigures {
    pub(crate) commits: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) commit_ns: AtomicU64,
    pub(crate) syncs_buffered: AtomicU64,
}

#[derive(Default)]
struct Queue {
    pending: Vec<Pending>,
}

struct SyncedWriter {
    writer: FrameWriter,
    /// Taken from the queue and not yet written.
    taken: VecDeque<Pending>,
    /// How much of the first one's payload is in earlier frames.
    written_of_first: usize,
    /// What the frame being built completes.
    completed: Vec<Pending>,
}

struct BufferedWriter {
    writer: FrameWriter,
    /// Bytes written since the last sync began.
    unsynced_bytes: u64,
}

/// An entry on its way into the synced ring.
pub(crate) struct Pending {
    pub(crate) log: Arc<Log>,
    pub(crate) lsn: u64,
    pub(crate) payload: Payload,
    /// Frames of the buffered ring up to this one must be durable before.
    pub(crate) requires_buffered: u64,
}

pub(crate) enum Payload {
    /// Batches in a tail chunk.
    Batches { place: [u8; 16], chunk: AppendBufReader, range: Range<usize>, end: Offset },
    /// Anything else, encoded.
    Small(EntryKind, Vec<u8>),
}

/// What [`Journal::commit`] found.
pub(crate) enum Commit {
    /// A frame is durable; these logs' durable ends are to be moved.
    Done(Vec<(Arc<Log>, Offset)>),
    /// Nothing was queued.
    Idle,
    /// There is something to write, but every file of the ring is full until the next checkpoint.
    Full,
}

/// Where an append lies in its segment, as an entry says it.
pub(crate) fn place(segment: Offset, position: u64) -> [u8; 16] {
    let mut raw = [0; 16];
    raw[..8].copy_from_slice(&segment.0.to_le_bytes());
    raw[8..].copy_from_slice(&position.to_le_bytes());
    raw
}

impl Journal {
    /// A journal without files; [`Journal::install`] gives it some once they are read.
    /// Its queue is for `memory_bytes` at most.
    pub(crate) fn new(directory_id: [u8; 16], run: u64, memory_bytes: u64) -> Self {
        let writer = |kind| FrameWriter::new(Ring::new(kind, Vec::new()), directory_id, run, 1);
        Self {
            directory_id,
            run,
            queue: Mutex::default(),
            synced: Mutex::new(SyncedWriter {
                writer: writer(RingKind::Synced),
                taken: VecDeque::new(),
                written_of_first: 0,
                completed: Vec::new(),
            }),
            buffered: Mutex::new(BufferedWriter {
                writer: writer(RingKind::Buffered),
                unsynced_bytes: 0,
            }),
            next_lsn: AtomicU64::new(1),
            queued_bytes: AtomicU64::new(0),
            queued_bytes_max: QUEUED_BYTES_MAX.min(memory_bytes),
            durable_lsn: AtomicU64::new(0),
            buffered_synced: AtomicU64::new(0),
            bell: Doorbell::new(),
            waiters: Mutex::default(),
            figures: JournalFigures::default(),
        }
    }

    /// Goes on with what recovery found.
    pub(crate) fn install(&self, synced: Recovered, buffered: Recovered, next_lsn: u64) {
        let writer = |recovered: Recovered| {
            FrameWriter::new(recovered.ring, self.directory_id, self.run, recovered.next_sequence)
        };
        self.synced.lock().writer = writer(synced);
        let buffered = writer(buffered);
        self.buffered_synced.store(buffered.synced(), Ordering::Release);
        self.buffered.lock().writer = buffered;
        self.next_lsn.store(next_lsn, Ordering::Release);
        self.durable_lsn.store(next_lsn - 1, Ordering::Release);
    }

    /// Whether `len` bytes more may be queued. What is larger than the queue may, alone.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        let queued = self.queued_bytes.load(Ordering::Acquire);
        queued == 0 || queued + len as u64 <= self.queued_bytes_max
    }

    /// Queues an entry for the next commit and gives its LSN. The caller holds the lock of the log.
    pub(crate) fn push(&self, log: &Arc<Log>, payload: Payload, requires_buffered: u64) -> u64 {
        let log = Arc::clone(log);
        self.queued_bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
        let mut queue = self.queue.lock();
        // Under the lock, so that the queue is in the order of the LSNs.
        let lsn = self.next_lsn.fetch_add(1, Ordering::Relaxed);
        queue.pending.push(Pending { log, lsn, payload, requires_buffered });
        drop(queue);
        self.bell.ring();
        lsn
    }

    /// Writes batches into the buffered ring: they survive the death of the process when this
    /// returns. Gives LSN and frame, or `None` if the ring has no room now. The caller holds the
    /// lock of the log.
    ///
    /// Calls the journal worker for the first byte after a sync, so that it looks at the clock,
    /// and when there are `sync_bytes`; in between it sleeps.
    pub(crate) fn append_buffered(
        &self,
        log_id: u64,
        place: &[u8; 16],
        batches: &[u8],
        sync_bytes: u64,
    ) -> Result<Option<(u64, u64)>, StorageError> {
        let mut buffered = self.buffered.lock();
        let len = FRAME_HEADER_BYTES + ENTRY_HEADER_BYTES + place.len() + batches.len();
        let len = len.next_multiple_of(buffered.writer.ring.kind().alignment());
        if !buffered.writer.is_started() || buffered.writer.ring.room(len).is_none_or(|r| r < len) {
            return Ok(None);
        }
        let lsn = self.next_lsn.fetch_add(1, Ordering::Relaxed);
        let sequence = buffered.writer.next_sequence();
        let header = EntryHeader { kind: EntryKind::Append, log_id, lsn, more: false };
        buffered.writer.push(header, &[place, batches]);
        buffered.writer.write()?;
        let before = buffered.unsynced_bytes;
        buffered.unsynced_bytes += len as u64;
        let wants_sync =
            before == 0 || before < sync_bytes && buffered.unsynced_bytes >= sync_bytes;
        drop(buffered);
        if wants_sync {
            self.bell.ring();
        }
        self.figures.bytes.fetch_add(len as u64, Ordering::Relaxed);
        Ok(Some((lsn, sequence)))
    }

    /// One group commit: takes what is queued, as much as one frame holds, and makes it durable.
    pub(crate) fn commit(&self) -> Result<Commit, StorageError> {
        let mut synced = self.synced.lock();
        if synced.taken.is_empty() {
            let pending = std::mem::take(&mut self.queue.lock().pending);
            synced.taken.extend(pending);
        }
        if synced.taken.is_empty() {
            return Ok(Commit::Idle);
        }
        let Some(room) = synced.writer.ring.room(ROOM_WORTHWHILE) else {
            return Ok(Commit::Full);
        };
        let requires_buffered = synced.build_frame(room.min(FRAME_BYTES_MAX));
        if requires_buffered > self.buffered_synced.load(Ordering::Acquire) {
            self.sync_buffered()?;
        }
        let bytes = synced.writer.len() as u64;
        synced.writer.write()?;
        self.figures.commits.fetch_add(1, Ordering::Relaxed);
        self.figures.bytes.fetch_add(bytes, Ordering::Relaxed);
        let advances = synced.advances();
        // Before the LSN: who sees that it is durable, sees the durable ends too.
        for (log, end) in &advances {
            log.durable_moved(*end);
        }
        if let Some(last) = synced.completed.last() {
            self.durable_lsn.store(last.lsn, Ordering::Release);
        }
        let done = synced.completed.drain(..).map(|done| done.payload.len() as u64).sum();
        self.queued_bytes.fetch_sub(done, Ordering::Release);
        Ok(Commit::Done(advances))
    }

    /// Proves the last frames durable by later ones; false if there was nothing to prove.
    pub(crate) fn seal(&self) -> Result<bool, StorageError> {
        let mut sealed = false;
        {
            let writer = &mut self.synced.lock().writer;
            let len = writer.empty_frame_bytes();
            if writer.wants_seal() && !writer.has_entries() && writer.ring.room(len).is_some() {
                writer.write()?;
                sealed = true;
            }
        }
        let writer = &mut self.buffered.lock().writer;
        let len = writer.empty_frame_bytes();
        if writer.wants_seal() && writer.ring.room(len).is_some() {
            writer.write()?;
            sealed = true;
        }
        Ok(sealed)
    }

    /// Makes the buffered ring durable as far as it is written. Appends to it go on meanwhile.
    pub(crate) fn sync_buffered(&self) -> Result<(), StorageError> {
        let (files, sequence) = {
            let mut buffered = self.buffered.lock();
            buffered.unsynced_bytes = 0;
            let files = buffered.writer.ring.begin_sync();
            (files, buffered.writer.next_sequence() - 1)
        };
        for (file, path) in files {
            file.sync_data().doing("sync the journal", &path)?;
        }
        self.buffered.lock().writer.set_synced(sequence);
        self.buffered_synced.fetch_max(sequence, Ordering::Release);
        self.figures.syncs_buffered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Writes the START of this run into the synced ring, or into the buffered one, and syncs it.
    pub(crate) fn start_synced(&self) -> Result<(), StorageError> {
        self.synced.lock().writer.write()
    }

    /// As [`Journal::start_synced`], for the buffered ring. No effect the second time.
    pub(crate) fn start_buffered(&self) -> Result<(), StorageError> {
        {
            let mut buffered = self.buffered.lock();
            if buffered.writer.is_started() {
                return Ok(());
            }
            buffered.writer.write()?;
        }
        self.sync_buffered()
    }

    /// Lets go of the entries that nobody will write any more.
    pub(crate) fn forget(&self) {
        let pending = std::mem::take(&mut self.queue.lock().pending);
        let mut synced = self.synced.lock();
        let taken = std::mem::take(&mut synced.taken);
        let completed = std::mem::take(&mut synced.completed);
        drop(synced);
        drop((pending, taken, completed));
    }

    /// Bytes written to the buffered ring since its last sync began.
    pub(crate) fn buffered_unsynced_bytes(&self) -> u64 {
        self.buffered.lock().unsynced_bytes
    }

    /// The last LSN that was given out.
    pub(crate) fn last_lsn(&self) -> u64 {
        self.next_lsn.load(Ordering::Acquire) - 1
    }

    pub(crate) fn durable_lsn(&self) -> u64 {
        self.durable_lsn.load(Ordering::Acquire)
    }

    /// Has the bell rung at each commit, until it is dropped from the list by
    /// [`Journal::forget_waiter`].
    pub(crate) fn add_waiter(&self, bell: &Doorbell) {
        self.waiters.lock().push(bell.clone());
    }

    pub(crate) fn wake_waiters(&self) {
        // A waiter that is no longer interested is woken once for nothing.
        let waiters = std::mem::take(&mut *self.waiters.lock());
        for bell in waiters {
            bell.ring();
        }
    }

    /// What the next checkpoint says about the rings when it covers everything up to `floor_lsn`.
    pub(crate) fn needed_from(&self, floor_lsn: u64) -> RingsAt {
        let synced = self.synced.lock();
        let buffered = self.buffered.lock();
        let at = |writer: &FrameWriter| {
            (writer.ring.first_needed(floor_lsn, writer.next_sequence()), writer.synced())
        };
        let (synced_from, synced_to) = at(&synced.writer);
        let (buffered_from, buffered_to) = at(&buffered.writer);
        RingsAt { synced_from, synced_to, buffered_from, buffered_to }
    }

    /// The checkpoint frame `checkpoint`, which said `at`, is durable: what is before is free.
    pub(crate) fn checkpointed(&self, checkpoint: u64, at: RingsAt) {
        {
            let mut synced = self.synced.lock();
            synced.writer.checkpoint = checkpoint;
            synced.writer.ring.free_before(at.synced_from);
        }
        let mut buffered = self.buffered.lock();
        buffered.writer.checkpoint = checkpoint;
        buffered.writer.ring.free_before(at.buffered_from);
        drop(buffered);
        self.bell.ring();
    }

    /// Runs `with` on the writer of a ring: growing it, looking at it.
    pub(crate) fn with_synced<R>(&self, with: impl FnOnce(&mut FrameWriter) -> R) -> R {
        with(&mut self.synced.lock().writer)
    }

    /// As [`Journal::with_synced`], for the buffered ring.
    pub(crate) fn with_buffered<R>(&self, with: impl FnOnce(&mut FrameWriter) -> R) -> R {
        with(&mut self.buffered.lock().writer)
    }
}

/// How far the rings are needed and durable, for a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RingsAt {
    pub(crate) synced_from: u64,
    pub(crate) synced_to: u64,
    pub(crate) buffered_from: u64,
    pub(crate) buffered_to: u64,
}

impl SyncedWriter {
    /// Fills the frame from what was taken; gives the frame of the buffered ring that must be
    /// durable before this one.
    fn build_frame(&mut self, frame_bytes: usize) -> u64 {
        let mut requires_buffered = 0;
        while let Some(first) = self.taken.front() {
            let (prefix, body): (&[u8], &[u8]) = match &first.payload {
                Payload::Batches { place, chunk, range, .. } => (place, chunk.get(range.clone())),
                Payload::Small(_, bytes) => (&[], bytes),
            };
            let len = prefix.len() + body.len();
            let left = len - self.written_of_first;
            let room = frame_bytes.saturating_sub(self.writer.len() + ENTRY_HEADER_BYTES);
            let fits = left <= room;
            if !fits && (room == 0 || len <= FRAME_BYTES_MAX / 2 && self.writer.has_entries()) {
                // It begins the next frame; only what is large anyway is cut.
                break;
            }
            let part = left.min(room);
            let header = EntryHeader {
                kind: first.payload.kind(),
                log_id: first.log.id(),
                lsn: first.lsn,
                more: !fits,
            };
            let range = self.written_of_first..self.written_of_first + part;
            let of_prefix = clamp(&range, 0, prefix.len());
            let of_body = clamp(&range, prefix.len(), body.len());
            self.writer.push(header, &[&prefix[of_prefix], &body[of_body]]);
            requires_buffered = requires_buffered.max(first.requires_buffered);
            if !fits {
                self.written_of_first += part;
                break;
            }
            self.written_of_first = 0;
            self.completed.extend(self.taken.pop_front());
        }
        requires_buffered
    }

    /// The durable ends that the frame just written gives, one for each log.
    fn advances(&self) -> Vec<(Arc<Log>, Offset)> {
        let mut ends: Vec<(&Arc<Log>, Offset)> = self
            .completed
            .iter()
            .filter_map(|done| match &done.payload {
                Payload::Batches { end, .. } => Some((&done.log, *end)),
                Payload::Small(..) => None,
            })
            .collect();
        // The last of each log is its greatest; stable sorting keeps it last.
        ends.sort_by_key(|(log, _)| log.id());
        let mut advances: Vec<(Arc<Log>, Offset)> = Vec::with_capacity(ends.len());
        for (log, end) in ends {
            match advances.last_mut() {
                Some((last, last_end)) if last.id() == log.id() => *last_end = end,
                _ => advances.push((Arc::clone(log), end)),
            }
        }
        advances
    }
}

impl Payload {
    fn len(&self) -> usize {
        match self {
            Self::Batches { range, .. } => range.len(),
            Self::Small(_, bytes) => bytes.len(),
        }
    }

    fn kind(&self) -> EntryKind {
        match self {
            Self::Batches { .. } => EntryKind::Append,
            Self::Small(kind, _) => *kind,
        }
    }
}

/// The part of `range` that lies in `len` bytes from `start` on, counted from there.
fn clamp(range: &Range<usize>, start: usize, len: usize) -> Range<usize> {
    let at = |position: usize| position.saturating_sub(start).min(len);
    at(range.start)..at(range.end)
}
