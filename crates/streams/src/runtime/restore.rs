//! Filling stores from their changelogs, a step at a time, so that the tasks which are filled already go on meanwhile.

use super::error::RuntimeError;
use super::tasks::Tasks;
use crate::engine::TaskId;
use afluente_client::admin::offsets::{IsolationLevel, OffsetSpec};
use afluente_client::{Admin, Consumer, TopicPartition};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) struct Restorer {
    consumer: Consumer,
    admin: Admin,
    assigned: BTreeSet<TopicPartition>,
}

impl Restorer {
    pub(super) fn new(consumer: Consumer) -> Self {
        let admin = Admin::new(consumer.client().clone());
        Self { consumer, admin, assigned: BTreeSet::new() }
    }

    /// Reads on for at most `wait`. Gives the tasks that are filled. `sources` are topics of `group` that may serve as changelogs:
    /// of those, what was not processed is not part of the state.
    pub(super) async fn step(
        &mut self,
        tasks: &Mutex<Tasks>,
        group: &Consumer,
        sources: &[String],
        wait: Duration,
    ) -> Result<Vec<TaskId>, RuntimeError> {
        let (wanted, begin, unknown) = {
            let mut tasks = tasks.lock();
            let mut wanted = BTreeSet::new();
            let mut begin = Vec::new();
            let mut unknown = BTreeSet::new();
            for filling in tasks.filling.values_mut() {
                for (partition, changelog) in &mut filling.changelogs {
                    wanted.insert(partition.clone());
                    if !changelog.is_begun {
                        changelog.is_begun = true;
                        begin.push((partition.clone(), changelog.next));
                    }
                    if !filling.is_standby && changelog.end.is_none() {
                        unknown.insert(partition.clone());
                    }
                }
            }
            (wanted, begin, unknown)
        };
        self.follow(&wanted, &begin)?;
        if !unknown.is_empty() {
            let (sources, logs): (BTreeSet<_>, BTreeSet<_>) = unknown
                .into_iter()
                .partition(|partition| sources.iter().any(|topic| **topic == *partition.topic));
            let mut ends = Vec::new();
            if !sources.is_empty() {
                let offsets = group.committed(&sources).await?;
                ends.extend(sources.into_iter().map(|partition| {
                    let end = offsets.get(&partition).map_or(0, |offset| offset.offset);
                    (partition, end)
                }));
            }
            // Up to the very end, not only to the last stable offset: a transaction that is still open there may be committed
            // yet, and then its part of the state must not be missed. Reading waits for it.
            let asked = logs.into_iter().map(|partition| (partition, OffsetSpec::Latest));
            let found = self.admin.list_offsets(asked, IsolationLevel::ReadUncommitted).await?;
            for (partition, found) in found {
                ends.push((partition, found?.offset));
            }
            let mut tasks = tasks.lock();
            for (partition, end) in ends {
                for filling in tasks.filling.values_mut() {
                    if let Some(changelog) = filling.changelogs.get_mut(&partition) {
                        changelog.end = Some(end);
                    }
                }
            }
        }
        if !wanted.is_empty() {
            let records = self.consumer.poll(wait).await?;
            let mut tasks = tasks.lock();
            tasks.restore(&records)?;
            for filling in tasks.filling.values_mut() {
                for (partition, changelog) in &mut filling.changelogs {
                    // The position passes over what was aborted or compacted away, too.
                    if let Some(position) = self.consumer.current_position(partition) {
                        changelog.next = position.offset.0;
                    }
                }
            }
        }
        let tasks = tasks.lock();
        let filled = tasks.filling.iter().filter(|(_, filling)| filling.is_filled());
        Ok(filled.map(|(task, _)| *task).collect())
    }

    /// Reads what is wanted; what begins, from where it is to begin.
    fn follow(
        &mut self,
        wanted: &BTreeSet<TopicPartition>,
        begin: &[(TopicPartition, i64)],
    ) -> Result<(), RuntimeError> {
        if *wanted != self.assigned {
            self.consumer.assign(wanted.iter().cloned())?;
            self.assigned.clone_from(wanted);
        }
        for (partition, next) in begin {
            if *next == 0 {
                self.consumer.seek_to_beginning(std::slice::from_ref(partition))?;
            } else {
                self.consumer.seek(partition, *next)?;
            }
        }
        Ok(())
    }

    pub(super) async fn close(self, timeout: Duration) {
        if let Err(error) = self.consumer.close(timeout).await {
            tracing::debug!(%error, "the consumer of changelogs did not close in order");
        }
    }
}
