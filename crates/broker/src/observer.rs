//! What the log directory tells, from its own threads: passed on, without ever blocking it.

use crate::topics::Topics;
use afluente_storage::{Advance, LogObserver, StorageError};
use std::sync::Arc;
use tokio::sync::Notify;

/// Listens to a log directory.
pub(crate) struct Observer {
    topics: Arc<Topics>,
    room: Arc<Notify>,
}

impl Observer {
    pub(crate) fn new(topics: Arc<Topics>, room: Arc<Notify>) -> Self {
        Self { topics, room }
    }
}

impl LogObserver for Observer {
    fn advanced(&self, advances: &[Advance]) {
        for advance in advances {
            // A partition that is being made or deleted has nobody who waits.
            if let Some(partition) = self.topics.of_log(advance.log.partition()) {
                partition.advanced(advance.durable_end);
            }
        }
    }

    fn room(&self) {
        self.room.notify_waiters();
    }

    /// The directory has logged the reason.
    fn dir_offline(&self, _reason: &StorageError) {
        for topic in self.topics.all() {
            for partition in &topic.partitions {
                partition.waiting().failed();
            }
        }
        self.room.notify_waiters();
    }
}
