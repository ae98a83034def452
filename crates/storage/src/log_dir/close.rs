//! Stopping cleanly: everything into the segments, the files of Apache Kafka complete, and a
//! checkpoint that says so.
//!
//! Kafka's own files are written only here: whoever opens the directory after a clean stop, Kafka
//! or `kafka-dump-log`, finds what Kafka would have left. The CRCs of two of them are noted in the
//! checkpoint; if they are not the same at the next start, another program has worked here.

use super::Shared;
use super::background::{Background, FILES_SYNCED_SINGLY_MAX};
use crate::checkpoint::Record;
use crate::error::{IoContext, StorageError};
use crate::journal::Commit;
use crate::kafka_files::clean_shutdown::{self, CLEAN_SHUTDOWN_FILE};
use crate::kafka_files::offset_checkpoint::{
    self, HIGH_WATERMARK_FILE, LOG_START_FILE, RECOVERY_POINT_FILE,
};
use crate::log::Log;
use afluente_env::disk::{Access, Disk, OpenHow, read_full_at, write_all_at};
use afluente_protocol::numbers::{Offset, PartitionId};
use afluente_stdx::crc32c::crc32c;
use std::path::Path;
use std::sync::Arc;

/// The files whose change tells that another program was here.
const WITNESSES: [&str; 2] = [CLEAN_SHUTDOWN_FILE, RECOVERY_POINT_FILE];

impl Shared {
    /// The workers have stopped. Does what is left to do on this thread.
    pub(super) fn close(self: &Arc<Self>) -> Result<(), StorageError> {
        self.check_online()?;
        let mut background = Background::new(Arc::clone(self));
        loop {
            match self.journal.commit()? {
                Commit::Done(advances) => self.committed(advances),
                Commit::Full => background.checkpoint()?,
                Commit::Idle => break,
            }
        }
        self.journal.sync_buffered()?;
        let logs: Vec<Arc<Log>> = self.logs.read().by_name.values().cloned().collect();
        for log in &logs {
            log.seal_for_close();
        }
        background.checkpoint()?;
        // A sync each is dear for thousands; the file system is synced for them below.
        let singly =
            logs.iter().filter(|log| log.has_directory()).count() <= FILES_SYNCED_SINGLY_MAX;
        let mut written = Vec::new();
        for log in &logs {
            if log.write_closing_files(singly)? {
                written.push(log);
            }
        }
        self.write_offset_checkpoints(&logs)?;
        let disk = self.env.disk.as_ref();
        write_file(disk, &self.path.join(CLEAN_SHUTDOWN_FILE), &clean_shutdown::ours())?;
        if !singly {
            disk.sync_file_system(&self.path).doing("sync the file system of", &self.path)?;
        } else {
            for log in written {
                log.sync_segments()?;
            }
            disk.sync_dir(&self.path).doing("sync", &self.path)?;
        }
        let mut witnesses = Vec::new();
        for name in WITNESSES {
            let bytes = read_file(disk, &self.path.join(name))?.unwrap_or_default();
            witnesses.push(Record::CleanStopFile { name: name.to_owned(), crc: crc32c(&bytes) });
        }
        let facts = self.facts(self.journal.last_lsn(), true);
        self.checkpoint.lock().append(&facts, &witnesses)?;
        self.closed();
        Ok(())
    }

    /// What Kafka reads at its start: where each log begins, is flushed to, and is committed to.
    fn write_offset_checkpoints(&self, logs: &[Arc<Log>]) -> Result<(), StorageError> {
        let disk = self.env.disk.as_ref();
        let on_disk = || logs.iter().filter(|log| log.has_directory());
        let offsets = |of: fn(&Log) -> Offset| {
            on_disk()
                .map(|log| {
                    let name = log.partition();
                    ((name.topic.to_string(), PartitionId(name.partition)), of(log))
                })
                .collect()
        };
        for (name, of) in [
            (RECOVERY_POINT_FILE, Log::end_offset as fn(&Log) -> Offset),
            (LOG_START_FILE, Log::start_offset),
            (HIGH_WATERMARK_FILE, Log::high_watermark),
        ] {
            let bytes = offset_checkpoint::encode(&offsets(of));
            write_file(disk, &self.path.join(name), &bytes)?;
        }
        Ok(())
    }
}

/// Whether the files that a clean stop left are still as it left them; says what is not.
pub(super) fn foreign_change(
    disk: &dyn Disk,
    path: &Path,
    witnesses: &[(String, u32)],
) -> Result<Option<String>, StorageError> {
    for (name, crc) in witnesses {
        match read_file(disk, &path.join(name))? {
            None => return Ok(Some(format!("{name} was removed"))),
            Some(bytes) if crc32c(&bytes) != *crc => {
                return Ok(Some(format!("{name} was changed")));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

/// Writes a small file whole, under another name first, and syncs it; its name is not synced.
pub(crate) fn write_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    put_file(disk, path, bytes, true)
}

/// The same for who syncs the whole file system afterwards.
pub(crate) fn write_file_unsynced(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
) -> Result<(), StorageError> {
    put_file(disk, path, bytes, false)
}

fn put_file(disk: &dyn Disk, path: &Path, bytes: &[u8], sync: bool) -> Result<(), StorageError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = std::path::PathBuf::from(name);
    let how = OpenHow::buffered(Access::CreateOrWrite);
    let file = disk.open(&temporary, how).doing("write", &temporary)?;
    file.set_len(0).doing("write", &temporary)?;
    write_all_at(file.as_ref(), bytes, 0).doing("write", &temporary)?;
    if sync {
        file.sync_data().doing("sync", &temporary)?;
    }
    disk.rename(&temporary, path).doing("put in place", path)
}

/// A small file, whole; `None` if there is none.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    let file = match disk.open(path, OpenHow::buffered(Access::Read)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.doing("open", path)?,
    };
    let len = usize::try_from(file.len().doing("read", path)?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len];
    read_full_at(file.as_ref(), &mut bytes, 0).doing("read", path)?;
    Ok(Some(bytes))
}
