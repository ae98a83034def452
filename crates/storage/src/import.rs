//! Reads a log directory that Apache Kafka has written, and says what is in it.
//!
//! Reading changes nothing. What has to be done to the files, as Kafka does it when it starts
//! (finish a swap of compaction, build an index again, cut a tail that was never durable), comes
//! back as a list of [`FileAction`]s; [`ImportedLog::apply`] does them once the caller wants the
//! log. They can be done twice, so a crash in between does no harm: the next start finds the rest.
//!
//! | after a … stop | is read |
//! |---|---|
//! | clean | indexes, and batch headers behind their last entries |
//! | unclean | also, whole and with checksums, every segment from the recovery point on |
//!
//! **Damage.** Where Kafka cuts the log at the first bad batch and deletes every segment behind it,
//! this does so only above the recovery point, where nothing was ever promised to be on disk, and
//! says what it cut. Below, it is an error that names file, byte, what was expected, what was found
//! and what to do; nothing is touched then.

mod dir;
mod error;
mod files;
mod partition;
mod scan;

pub use dir::{KafkaDir, KafkaPartition, read_dir};
pub use error::ImportError;
pub use partition::{ImportRules, read_partition};

use crate::leader_epochs::LeaderEpochs;
use crate::offset_index::OffsetIndex;
use crate::producer_state::ProducerState;
use crate::time_index::{TimeIndex, TimestampOffset};
use crate::txn_index::TxnIndex;
use afluente_env::disk::{Access, Disk, OpenHow, write_all_at};
use afluente_protocol::numbers::Offset;
use afluente_protocol::uuid::Uuid;
use std::path::{Path, PathBuf};

/// What is in a partition's directory.
#[derive(Debug)]
pub struct ImportedLog {
    /// The directory.
    pub path: PathBuf,
    /// The topic's id; very old directories have none.
    pub topic_id: Option<Uuid>,
    /// The first offset.
    pub start: Offset,
    /// The offset after the last.
    pub end: Offset,
    /// The segments, in order; perhaps none.
    pub segments: Vec<ImportedSegment>,
    /// The leader epochs.
    pub epochs: LeaderEpochs,
    /// The producers, up to the end. Transactions whose markers were read again count as not yet
    /// replicated, until the caller has set the high watermark; nobody has expired.
    pub producers: ProducerState,
    /// What has to be done to the files, in order.
    pub actions: Vec<FileAction>,
    /// What was found that somebody may want to know of.
    pub notes: Vec<String>,
}

/// A segment.
#[derive(Debug)]
pub struct ImportedSegment {
    /// Its base offset.
    pub base: Offset,
    /// The bytes of its batches.
    pub size_bytes: u64,
    /// The timestamp of its first batch, in milliseconds; `None` if it has no batch.
    pub first_timestamp_ms: Option<i64>,
    /// Its greatest timestamp, with the last offset of the batch that has it.
    pub newest: Option<TimestampOffset>,
    /// When its file was written last, in milliseconds since 1970.
    pub modified_ms: i64,
    /// Its offset index.
    pub offsets: OffsetIndex,
    /// Its time index.
    pub times: TimeIndex,
    /// Its aborted transactions.
    pub txns: TxnIndex,
}

/// Something that has to be done to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileAction {
    /// It is worth nothing.
    Remove(PathBuf),
    /// It takes the place of what has this name.
    Rename {
        /// Its name now.
        from: PathBuf,
        /// Its new name.
        to: PathBuf,
    },
    /// What follows was never durable.
    Cut {
        /// The file.
        path: PathBuf,
        /// What stays.
        len: u64,
    },
    /// It is missing or cannot be trusted.
    Write {
        /// The file.
        path: PathBuf,
        /// All of its bytes.
        bytes: Vec<u8>,
    },
}

impl ImportedLog {
    /// Does what has to be done to the files, and makes it durable.
    ///
    /// # Errors
    /// The disk refuses; try again by reading the directory once more.
    pub fn apply(&mut self, disk: &dyn Disk) -> Result<(), ImportError> {
        if self.actions.is_empty() {
            return Ok(());
        }
        for action in &self.actions {
            action.apply(disk)?;
        }
        disk.sync_dir(&self.path).map_err(|source| ImportError::io("sync", &self.path, source))?;
        self.actions.clear();
        Ok(())
    }
}

impl FileAction {
    fn apply(&self, disk: &dyn Disk) -> Result<(), ImportError> {
        match self {
            Self::Remove(path) => match disk.remove_file(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                result => result.map_err(|source| ImportError::io("remove", path, source)),
            },
            Self::Rename { from, to } => {
                disk.rename(from, to).map_err(|source| ImportError::io("rename", from, source))
            }
            Self::Cut { path, len } => {
                let cut = || {
                    let file = disk.open(path, OpenHow::buffered(Access::Write))?;
                    file.set_len(*len)?;
                    file.sync_data()
                };
                cut().map_err(|source| ImportError::io("cut", path, source))
            }
            Self::Write { path, bytes } => {
                let write = || {
                    let file = disk.open(path, OpenHow::buffered(Access::CreateOrWrite))?;
                    file.set_len(0)?;
                    write_all_at(file.as_ref(), bytes, 0)?;
                    file.sync_data()
                };
                write().map_err(|source| ImportError::io("write", path, source))
            }
        }
    }
}

/// Reads a small file whole; `None` if it is not there.
fn read_file(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, ImportError> {
    let failed = |source| ImportError::io("read", path, source);
    let file = match disk.open(path, OpenHow::buffered(Access::Read)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let len = usize::try_from(file.len().map_err(failed)?).unwrap_or(usize::MAX);
    if len > SMALL_FILE_BYTES_MAX {
        return Err(ImportError::TooLarge {
            path: path.to_owned(),
            bytes_max: SMALL_FILE_BYTES_MAX,
        });
    }
    let mut bytes = vec![0; len];
    afluente_env::disk::read_full_at(file.as_ref(), &mut bytes, 0).map_err(failed)?;
    Ok(Some(bytes))
}

/// No index, snapshot or checkpoint is larger: `segment.index.bytes` is at most 2 GiB, but 256 MiB
/// of index would be that of a segment of 128 GiB.
const SMALL_FILE_BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests;
