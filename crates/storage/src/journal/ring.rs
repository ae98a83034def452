//! The files of one ring of the journal: where the next frame goes, and which files are free.
//!
//! A file is *in use* from the first frame written into it until a checkpoint covers all of them;
//! then it is *free* and is used again. Files are made with zeros written and synced before they
//! are handed in, so that writing a frame allocates nothing.

use crate::error::{IoContext, StorageError};
use afluente_env::disk::{Access, Disk, File, OpenHow, write_all_at};
use afluente_stdx::aligned_buf::AlignedBuf;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which of the two rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RingKind {
    /// Direct and synchronous: a frame is durable when it is written.
    Synced,
    /// Through the page cache: frames become durable at [`Ring::begin_sync`].
    Buffered,
}

impl RingKind {
    /// What a frame is padded to.
    pub(crate) fn alignment(self) -> usize {
        match self {
            Self::Synced => SYNC_ALIGNMENT,
            Self::Buffered => 64,
        }
    }

    fn file_stem(self) -> &'static str {
        match self {
            Self::Synced => "afluente.journal-",
            Self::Buffered => "afluente.buffered-",
        }
    }

    pub(crate) fn file_path(self, directory: &Path, number: u32) -> PathBuf {
        directory.join(format!("{}{number:06}", self.file_stem()))
    }

    /// Its name until it is whole: a file under the other is never too short.
    pub(crate) fn unfinished_path(self, directory: &Path, number: u32) -> PathBuf {
        directory.join(format!("{}{number:06}.new", self.file_stem()))
    }

    fn how(self, access: Access) -> OpenHow {
        match self {
            Self::Synced => OpenHow::direct(access).synchronous(),
            Self::Buffered => OpenHow::buffered(access),
        }
    }
}

/// After a sync, the next frame of the buffered ring begins at a multiple of this: a page that is
/// durable is never written again.
pub(crate) const SYNC_ALIGNMENT: usize = 4096;

/// One file of a ring.
pub(crate) struct RingFile {
    pub(crate) number: u32,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) len: u64,
    /// While in use: the sequence of its first frame, and the greatest LSN in it.
    pub(crate) first_sequence: u64,
    pub(crate) last_lsn: u64,
    /// Something was written since it was last synced.
    unsynced: bool,
}

pub(crate) struct Ring {
    kind: RingKind,
    /// The last one is being written.
    in_use: VecDeque<RingFile>,
    free: Vec<RingFile>,
    /// Where the next frame goes in the last file in use.
    position: u64,
    /// Bytes of frames written since the ring was opened.
    pub(crate) bytes_written: u64,
}

impl Ring {
    /// A ring of free files only.
    pub(crate) fn new(kind: RingKind, free: Vec<RingFile>) -> Self {
        Self { kind, in_use: VecDeque::new(), free, position: 0, bytes_written: 0 }
    }

    /// A ring that goes on at `position` of the last of the files in use.
    pub(crate) fn resumed(
        kind: RingKind,
        in_use: Vec<RingFile>,
        free: Vec<RingFile>,
        position: u64,
    ) -> Self {
        Self { kind, in_use: in_use.into(), free, position, bytes_written: 0 }
    }

    /// How large the next frame may be: what is left in the present file, or a whole file where
    /// that is too little to be worth it. `None` when all files are full.
    pub(crate) fn room(&self, worthwhile: usize) -> Option<usize> {
        let left = self.in_use.back().map_or(0, |file| file.len - self.position);
        let left = usize::try_from(left).expect("a ring file is far below 4 GiB");
        if left >= worthwhile {
            return Some(left);
        }
        match self.free.last() {
            Some(next) => Some(usize::try_from(next.len).expect("a ring file is far below 4 GiB")),
            // The last room before the ring is full.
            None => (left >= SYNC_ALIGNMENT).then_some(left),
        }
    }

    /// Writes a frame; it must not be larger than [`Ring::room`] said. In the synced ring it is
    /// durable then.
    pub(crate) fn write(
        &mut self,
        frame: &[u8],
        sequence: u64,
        last_lsn: u64,
    ) -> Result<(), StorageError> {
        let fits =
            self.in_use.back().is_some_and(|file| file.len - self.position >= frame.len() as u64);
        if !fits {
            let mut next = self.free.pop().expect("the caller asked for room");
            assert!(next.len >= frame.len() as u64, "the caller asked for room");
            next.first_sequence = sequence;
            next.last_lsn = 0;
            self.in_use.push_back(next);
            self.position = 0;
        }
        let file = self.in_use.back_mut().expect("one was there or was added");
        write_all_at(file.file.as_ref(), frame, self.position)
            .doing("write the journal", &file.path)?;
        file.last_lsn = file.last_lsn.max(last_lsn);
        file.unsynced = true;
        self.position += frame.len() as u64;
        self.bytes_written += frame.len() as u64;
        Ok(())
    }

    /// What is to be synced so that all frames written until now are durable. The next one begins
    /// on a page of its own.
    pub(crate) fn begin_sync(&mut self) -> Vec<(Arc<dyn File>, PathBuf)> {
        if let Some(last) = self.in_use.back() {
            self.position = self.position.next_multiple_of(SYNC_ALIGNMENT as u64).min(last.len);
        }
        let written = self.in_use.iter_mut().filter(|file| file.unsynced);
        written
            .map(|file| {
                file.unsynced = false;
                (Arc::clone(&file.file), file.path.clone())
            })
            .collect()
    }

    /// The first frame that is still needed when everything up to `floor_lsn` is covered.
    pub(crate) fn first_needed(&self, floor_lsn: u64, next_sequence: u64) -> u64 {
        let last = self.in_use.len().saturating_sub(1);
        self.in_use
            .iter()
            .enumerate()
            .find(|(index, file)| file.last_lsn > floor_lsn || *index == last)
            .map_or(next_sequence, |(_, file)| file.first_sequence)
    }

    /// Frees the files before the one that begins with `first_needed`. True if any was freed.
    pub(crate) fn free_before(&mut self, first_needed: u64) -> bool {
        let before = self.free.len();
        while self.in_use.len() > 1
            && self.in_use.front().is_some_and(|file| file.first_sequence < first_needed)
        {
            let file = self.in_use.pop_front().expect("just seen");
            // The longest unused one is written next: every file wears alike.
            self.free.insert(0, file);
        }
        self.free.len() > before
    }

    /// Hands in a file that was made for it.
    pub(crate) fn add(&mut self, file: RingFile) {
        self.free.insert(0, file);
    }

    pub(crate) fn file_count(&self) -> usize {
        self.in_use.len() + self.free.len()
    }

    /// The length of the shortest file; `None` if there is none.
    pub(crate) fn file_bytes_min(&self) -> Option<u64> {
        self.in_use.iter().chain(&self.free).map(|file| file.len).min()
    }

    pub(crate) fn free_count(&self) -> usize {
        self.free.len()
    }

    pub(crate) fn kind(&self) -> RingKind {
        self.kind
    }

    /// The number of a file that does not exist yet. Numbers have no gaps, so that recovery finds
    /// all files without listing the directory.
    pub(crate) fn next_file_number(&self) -> u32 {
        let numbers = self.in_use.iter().chain(&self.free).map(|file| file.number);
        numbers.max().unwrap_or(0) + 1
    }
}

/// Makes a file of a ring: zeros, written and durable, name included.
pub(crate) fn make_file(
    disk: &dyn Disk,
    directory: &Path,
    kind: RingKind,
    number: u32,
    len: u64,
) -> Result<RingFile, StorageError> {
    const PIECE_BYTES: usize = 4 << 20;
    let path = kind.file_path(directory, number);
    let unfinished = kind.unfinished_path(directory, number);
    let make = || -> std::io::Result<Arc<dyn File>> {
        let zeros =
            AlignedBuf::zeroed(PIECE_BYTES.min(usize::try_from(len).unwrap_or(PIECE_BYTES)));
        // Not synchronous here: one sync at the end is enough.
        let file = disk.open(&unfinished, OpenHow::direct(Access::CreateOrWrite))?;
        file.set_len(0)?;
        let mut at = 0;
        while at < len {
            let piece = zeros.len().min(usize::try_from(len - at).unwrap_or(usize::MAX));
            write_all_at(file.as_ref(), &zeros[..piece], at)?;
            at += piece as u64;
        }
        file.sync_data()?;
        disk.rename(&unfinished, &path)?;
        disk.sync_dir(directory)?;
        disk.open(&path, kind.how(Access::Write))
    };
    let file = make().doing("make a journal file", &path)?;
    Ok(RingFile { number, path, file, len, first_sequence: 0, last_lsn: 0, unsynced: false })
}

/// Opens a file of a ring as it is; `None` if it does not exist.
pub(crate) fn open_file(
    disk: &dyn Disk,
    directory: &Path,
    kind: RingKind,
    number: u32,
) -> Result<Option<RingFile>, StorageError> {
    let path = kind.file_path(directory, number);
    let file = match disk.open(&path, kind.how(Access::Write)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.doing("open a journal file", &path)?,
    };
    let len = file.len().doing("open a journal file", &path)?;
    Ok(Some(RingFile { number, path, file, len, first_sequence: 0, last_lsn: 0, unsynced: false }))
}
