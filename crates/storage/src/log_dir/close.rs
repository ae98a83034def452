//! Stopping cleanly: everything into the segments, and a checkpoint that says so.

use super::Shared;
use super::background::Background;
use crate::error::StorageError;
use crate::journal::Commit;
use std::sync::Arc;

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
        background.close()?;
        // Who still holds a log of this directory finds it offline from now on.
        self.take_offline(&StorageError::Config(format!(
            "log directory \"{}\" was closed",
            self.path.display()
        )));
        self.logs.write().by_name.clear();
        self.lock.lock().take();
        Ok(())
    }
}
