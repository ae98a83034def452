//! What a clean stop leaves of one log, for us and for Apache Kafka.

use super::Log;
use crate::error::{IoContext, StorageError};
use crate::leader_epochs::LEADER_EPOCH_CHECKPOINT_FILE;
use crate::log_dir::{write_file, write_file_unsynced};
use crate::producer_state::snapshot;
use crate::segment::SegmentName;
use afluente_env::disk::{Access, OpenHow};
use std::sync::Arc;

impl Log {
    /// Completes the indexes of the active segment, so that the next flush writes all of them. Only
    /// of a log that has changed since it was opened.
    pub(crate) fn seal_for_close(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.deleted || !state.changed {
            return;
        }
        state.active_mut().seal();
        state.closing = true;
        self.dir.note_dirty(self, &mut state);
    }

    /// Cuts the padding off the segment files, and writes the files that are Kafka's alone. The
    /// clean stop syncs them, those with a name of their own here if `singly`. False if nothing has
    /// changed.
    pub(crate) fn write_closing_files(&self, singly: bool) -> Result<bool, StorageError> {
        let state = self.state.lock();
        if state.deleted || !state.changed || !state.has_files() {
            return Ok(false);
        }
        let disk = self.dir.env.disk.as_ref();
        let directory = self.directory();
        let cut = |path: std::path::PathBuf, len: u64| {
            let how = OpenHow::buffered(Access::CreateOrWrite);
            let file = disk.open(&path, how).doing("cut", &path)?;
            file.set_len(len).doing("cut", &path)
        };
        for segment in state.segments.iter().rev() {
            let name = segment.name();
            cut(name.log(&directory), segment.size)?;
            cut(name.offset_index(&directory), u64::from(segment.offset_index_bytes))?;
            cut(name.time_index(&directory), u64::from(segment.time_index_bytes))?;
            if segment.size > 0 && segment.is_trimmed {
                break;
            }
        }
        let at_end = SegmentName { base: state.end(), generation: 0 };
        let producers = snapshot::encode(state.producers.entries());
        let write = if singly { write_file } else { write_file_unsynced };
        write(disk, &at_end.snapshot(&directory), &producers)?;
        let epochs = state.epochs.to_file();
        write(disk, &directory.join(LEADER_EPOCH_CHECKPOINT_FILE), &epochs)?;
        Ok(true)
    }

    /// Whether there is a directory for it.
    pub(crate) fn has_directory(&self) -> bool {
        self.state.lock().has_files()
    }
}
