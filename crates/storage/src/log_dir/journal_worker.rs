//! The journal worker: one group commit a step.

use super::Shared;
use crate::journal::{Commit, SEAL_AFTER};
use afluente_env::clock::Moment;
use afluente_env::worker::{Step, Worker};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(super) struct JournalWorker {
    dir: Arc<Shared>,
    last_commit: Moment,
    /// When the oldest byte of the buffered ring that is not synced was first seen here.
    buffered_since: Option<Moment>,
    seal_due: bool,
}

impl JournalWorker {
    pub(super) fn new(dir: Arc<Shared>) -> Self {
        let last_commit = dir.env.clock.now();
        Self { dir, last_commit, buffered_since: None, seal_due: false }
    }
}

impl Worker for JournalWorker {
    fn step(&mut self) -> Step {
        if self.dir.is_offline() {
            return Step::Park;
        }
        match self.work() {
            Ok(step) => step,
            Err(error) => {
                self.dir.fail(&error);
                Step::Park
            }
        }
    }
}

impl JournalWorker {
    fn work(&mut self) -> Result<Step, crate::StorageError> {
        let dir = &self.dir;
        let started = dir.env.clock.now();
        match dir.journal.commit()? {
            Commit::Done(advances) => {
                let now = dir.env.clock.now();
                let took = u64::try_from((now - started).as_nanos()).unwrap_or(u64::MAX);
                dir.journal.figures.commit_ns.fetch_add(took, Ordering::Relaxed);
                self.last_commit = now;
                self.seal_due = true;
                dir.committed(advances);
                if dir.journal_bytes_uncovered() >= dir.config.checkpoint_bytes {
                    dir.background_bell.ring();
                }
                self.sync_buffered_if_due(now)?;
                return Ok(Step::Again);
            }
            Commit::Full => {
                dir.journal_full.store(true, Ordering::Release);
                dir.background_bell.ring();
                return Ok(Step::Park);
            }
            Commit::Idle => {}
        }
        if let Some(left) = self.sync_buffered_if_due(started)? {
            return Ok(Step::ParkFor(left));
        }
        if !self.seal_due {
            return Ok(Step::Park);
        }
        let idle = started.saturating_since(self.last_commit);
        if let Some(left) = SEAL_AFTER.checked_sub(idle).filter(|left| !left.is_zero()) {
            return Ok(Step::ParkFor(left));
        }
        self.dir.journal.seal()?;
        self.seal_due = false;
        Ok(Step::Park)
    }

    /// Syncs the buffered ring when its oldest byte or their number asks for it; gives how long
    /// there is still time, if anything is not synced.
    fn sync_buffered_if_due(
        &mut self,
        now: Moment,
    ) -> Result<Option<Duration>, crate::StorageError> {
        let unsynced_bytes = self.dir.journal.buffered_unsynced_bytes();
        if unsynced_bytes == 0 {
            self.buffered_since = None;
            return Ok(None);
        }
        let waited = now.saturating_since(*self.buffered_since.get_or_insert(now));
        let config = &self.dir.config;
        let left = config.buffered_sync_interval.saturating_sub(waited);
        if left.is_zero() || unsynced_bytes >= config.buffered_sync_bytes {
            self.dir.journal.sync_buffered()?;
            self.buffered_since = None;
            self.seal_due = true;
            self.last_commit = now;
            return Ok(Some(SEAL_AFTER));
        }
        Ok(Some(left))
    }
}
