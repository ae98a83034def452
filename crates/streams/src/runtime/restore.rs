//! Filling stores from their changelogs, a step at a time, so that the tasks which are filled already go on meanwhile.

use super::error::RuntimeError;
use super::tasks::Tasks;
use crate::engine::TaskId;
use afluente_client::admin::offsets::{IsolationLevel, OffsetSpec};
use afluente_client::{Admin, Consumer, TopicPartition};
use afluente_env::clock::Moment;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) struct Restorer {
    consumer: Consumer,
    admin: Admin,
    assigned: BTreeSet<TopicPartition>,
    /// Sources that were read as far as they were processed, and are not read on.
    held: BTreeSet<TopicPartition>,
    /// How often standby tasks look how far sources were processed.
    look_interval: Duration,
    next_look: Moment,
}

impl Restorer {
    pub(super) fn new(consumer: Consumer, look_interval: Duration) -> Self {
        let admin = Admin::new(consumer.client().clone());
        let next_look = consumer.client().env().clock.now();
        let (assigned, held) = (BTreeSet::new(), BTreeSet::new());
        Self { consumer, admin, assigned, held, look_interval, next_look }
    }

    /// Reads on for at most `wait`. Gives the tasks that are filled. Of sources of `group` that serve as changelogs, what was
    /// not processed is not part of the state, and is left alone.
    pub(super) async fn step(
        &mut self,
        tasks: &Mutex<Tasks>,
        group: &Consumer,
        wait: Duration,
    ) -> Result<Vec<TaskId>, RuntimeError> {
        let now = self.consumer.client().env().clock.now();
        let is_look_due = now >= self.next_look;
        if is_look_due {
            self.next_look = now + self.look_interval;
        }
        let (wanted, begin, logs, sources) = {
            let mut tasks = tasks.lock();
            let mut wanted = BTreeSet::new();
            let mut begin = Vec::new();
            let (mut logs, mut sources) = (BTreeSet::new(), BTreeSet::new());
            for filling in tasks.filling.values_mut() {
                for (partition, changelog) in &mut filling.changelogs {
                    wanted.insert(partition.clone());
                    if !changelog.is_begun {
                        changelog.is_begun = true;
                        begin.push((partition.clone(), changelog.next));
                    }
                    let has_no_end = !filling.is_standby && changelog.end.is_none();
                    let may_go_on = filling.is_standby && is_look_due;
                    if changelog.is_source {
                        if has_no_end || may_go_on || changelog.committed.is_none() {
                            sources.insert(partition.clone());
                        }
                    } else if has_no_end {
                        logs.insert(partition.clone());
                    }
                }
            }
            (wanted, begin, logs, sources)
        };
        self.follow(&wanted, &begin)?;
        if !logs.is_empty() || !sources.is_empty() {
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
                        changelog.committed = Some(end);
                        if !filling.is_standby {
                            changelog.end = Some(end);
                        }
                    }
                }
            }
        }
        self.hold(&tasks.lock())?;
        if !wanted.is_empty() {
            let records = self.consumer.poll(wait).await?;
            let mut tasks = tasks.lock();
            tasks.restore(&records)?;
            for filling in tasks.filling.values_mut() {
                for (partition, changelog) in &mut filling.changelogs {
                    // The position passes over what was aborted or compacted away, too.
                    if let Some(position) = self.consumer.current_position(partition) {
                        changelog.next = position.offset.0.min(changelog.limit());
                        if changelog.next < position.offset.0 {
                            self.consumer.seek(partition, changelog.next)?;
                        }
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
            // What is assigned anew is not paused.
            self.held.retain(|held| wanted.contains(held) && self.assigned.contains(held));
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

    /// Stops reading sources where they were not processed any further, and goes on where they were.
    fn hold(&mut self, tasks: &Tasks) -> Result<(), RuntimeError> {
        let changelogs = tasks.filling.values().flat_map(|filling| &filling.changelogs);
        let held: BTreeSet<TopicPartition> = changelogs
            .filter(|(_, changelog)| changelog.next >= changelog.limit())
            .map(|(partition, _)| partition.clone())
            .collect();
        let free: Vec<_> = self.held.difference(&held).cloned().collect();
        if !free.is_empty() {
            self.consumer.resume(&free)?;
        }
        let new: Vec<_> = held.difference(&self.held).cloned().collect();
        if !new.is_empty() {
            self.consumer.pause(&new)?;
        }
        self.held = held;
        Ok(())
    }

    pub(super) async fn close(self, timeout: Duration) {
        if let Err(error) = self.consumer.close(timeout).await {
            tracing::debug!(%error, "the consumer of changelogs did not close in order");
        }
    }
}
