//! The poll: what the group asks for, positions to commit, records.

use super::commit::Offsets;
use super::error::ConsumerError;
use super::fetched::ReadOptions;
use super::group::{Event, Partitions};
use super::race::{Either, race};
use super::records::Records;
use super::shared::Shared;
use super::state::Mode;
use super::{Consumer, commit};
use crate::topic_partition::TopicPartition;
use afluente_env::clock::Moment;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// While it lives, the consumer counts as polled.
struct Turn<'a>(&'a Consumer);

impl<'a> Turn<'a> {
    fn take(consumer: &'a Consumer) -> Result<Self, ConsumerError> {
        if consumer.is_polling.swap(true, Ordering::AcqRel) {
            return Err(ConsumerError::ConcurrentPoll);
        }
        consumer.shared.group.poll_begins();
        Ok(Self(consumer))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let shared = &self.0.shared;
        shared.group.poll_ends(shared.now());
        self.0.is_polling.store(false, Ordering::Release);
    }
}

impl Consumer {
    /// The next records, at most `max.poll.records`; waits for some until `timeout` has passed, and
    /// then gives none. Calls the listener when partitions come or go.
    ///
    /// Records of earlier polls count as done with: with `enable.auto.commit`, their offsets may be
    /// committed by this call. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What is wrong with the group, with a partition or with its records. The consumer can be
    /// polled again; [`ConsumerError::UnreadableRecords`] comes again until the program seeks.
    pub async fn poll(&self, timeout: Duration) -> Result<Records, ConsumerError> {
        let turn = Turn::take(self)?;
        let shared = &*self.shared;
        let deadline = shared.now() + timeout;
        let mut news = shared.news();
        loop {
            news.borrow_and_update();
            if shared.is_closed() {
                return Err(ConsumerError::Closed);
            }
            if self.is_woken.swap(false, Ordering::AcqRel) {
                return Err(ConsumerError::WokenUp);
            }
            while let Some(event) = shared.group.event() {
                self.follow(&event).await;
                shared.group.event_done(&event);
            }
            if let Some(failure) = shared.take_failure() {
                return Err(failure);
            }
            self.auto_commit_if_due();
            let records = self.take()?;
            if !records.is_empty() || shared.now() >= deadline {
                drop(turn);
                return Ok(records);
            }
            let clock = &shared.client.env().clock;
            match race(news.changed(), clock.sleep_until(deadline)).await {
                Either::Left(_) => {}
                // One more look: the bell may have rung at the same moment.
                Either::Right(()) => continue,
            }
        }
    }

    /// Makes the poll that is going on, or the next one, fail with [`ConsumerError::WokenUp`].
    pub fn wakeup(&self) {
        self.is_woken.store(true, Ordering::Release);
        self.shared.ring_news();
    }

    fn take(&self) -> Result<Records, ConsumerError> {
        let shared = &*self.shared;
        let options = ReadOptions {
            isolation_level: shared.config.isolation_level,
            checks_crcs: shared.config.checks_crcs,
        };
        let max = shared.config.max_poll_records;
        let mut decompressor = self.decompressor.lock();
        let mut state = shared.state.lock();
        let records = state.take(max, options, &mut decompressor);
        let has_drained = state.take_drained();
        drop(state);
        // Where an error was told, the partition is to be fetched again, or to find a position.
        if has_drained || records.is_err() {
            shared.ring_work();
        }
        records
    }

    /// Does what the group asks for.
    async fn follow(&self, event: &Event) {
        // One from before the program went over to partitions of its own choice.
        if self.shared.state.lock().mode != Mode::Subscribed {
            return;
        }
        let listener = Arc::clone(&*self.listener.lock());
        match event {
            Event::Revoke(partitions) => {
                self.hold(partitions);
                if self.shared.config.is_auto_commit {
                    self.commit_before_revoking(partitions).await;
                }
                listener.revoked(self, &list(partitions)).await;
                self.drop_partitions(partitions);
            }
            Event::Lose(partitions) => {
                self.hold(partitions);
                listener.lost(self, &list(partitions)).await;
                self.drop_partitions(partitions);
            }
            Event::Assign { all, added } => {
                {
                    let mut state = self.shared.state.lock();
                    state.assign(all, self.shared.first_need(), true);
                }
                // The listener may ask for positions, which the tasks find.
                self.shared.ring_work();
                listener.assigned(self, &list(added)).await;
                let mut state = self.shared.state.lock();
                for partition in all {
                    if let Some(found) = state.get_mut(partition) {
                        found.is_held = false;
                    }
                }
                drop(state);
                self.shared.ring_work();
            }
        }
    }

    /// Nothing more is fetched or polled of these.
    fn hold(&self, partitions: &Partitions) {
        let mut state = self.shared.state.lock();
        for partition in partitions {
            if let Some(found) = state.get_mut(partition) {
                found.is_held = true;
            }
        }
    }

    fn drop_partitions(&self, partitions: &Partitions) {
        let mut state = self.shared.state.lock();
        let left = state.assigned().difference(partitions).cloned().collect();
        state.assign(&left, self.shared.first_need(), false);
        drop(state);
        self.shared.ring_work();
    }

    async fn commit_before_revoking(&self, partitions: &Partitions) {
        let mut offsets = self.positions();
        offsets.retain(|partition, _| partitions.contains(partition));
        let timeout = self.shared.config.max_poll_interval.min(REVOCATION_COMMIT_MAX);
        let deadline = self.shared.client.deadline_in(timeout);
        if let Err(error) = commit::commit(&self.shared, &offsets, deadline).await {
            tracing::warn!(%error, "could not commit before giving up partitions");
        }
    }

    /// The positions, as they would be committed.
    pub(super) fn positions(&self) -> Offsets {
        let state = self.shared.state.lock();
        let positions = state.iter().filter_map(|(partition, found)| {
            let position = found.position?;
            let offset = commit::OffsetAndMetadata {
                offset: position.offset.0,
                leader_epoch: position.leader_epoch.0,
                metadata: String::new(),
            };
            Some((partition.clone(), offset))
        });
        positions.collect()
    }

    /// Begins to commit the positions if `auto.commit.interval.ms` has passed, and the last commit
    /// is done.
    fn auto_commit_if_due(&self) {
        if !self.shared.config.is_auto_commit {
            return;
        }
        let now = self.shared.now();
        let mut auto_commit = self.auto_commit.lock();
        if now < auto_commit.due_at || auto_commit.is_running.load(Ordering::Acquire) {
            return;
        }
        auto_commit.due_at = now + self.shared.config.auto_commit_interval;
        let offsets = self.positions();
        let committed = Arc::clone(&auto_commit.committed);
        if offsets.is_empty() || offsets == *committed.lock() {
            return;
        }
        auto_commit.is_running.store(true, Ordering::Release);
        let is_running = Arc::clone(&auto_commit.is_running);
        let shared = Arc::clone(&self.shared);
        self.shared.client.env().tasks.spawn(async move {
            let deadline = shared.client.deadline();
            match commit::commit(&shared, &offsets, deadline).await {
                Ok(()) => *committed.lock() = offsets,
                Err(error) => tracing::warn!(%error, "could not commit offsets"),
            }
            is_running.store(false, Ordering::Release);
        });
    }
}

/// How long committing may take before partitions are given up.
const REVOCATION_COMMIT_MAX: Duration = Duration::from_secs(30);

/// The commits that a consumer makes by itself.
#[derive(Debug)]
pub(super) struct AutoCommit {
    due_at: Moment,
    is_running: Arc<std::sync::atomic::AtomicBool>,
    /// What was committed last; the same is not committed again.
    committed: Arc<Mutex<Offsets>>,
}

impl AutoCommit {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            due_at: shared.now() + shared.config.auto_commit_interval,
            is_running: Arc::default(),
            committed: Arc::default(),
        }
    }
}

fn list(partitions: &Partitions) -> Vec<TopicPartition> {
    partitions.iter().cloned().collect()
}
