//! The calls of a consumer about positions and offsets, and how it ends.

use super::commit::{self, OffsetAndMetadata, Offsets};
use super::error::ConsumerError;
use super::offsets::{self, EARLIEST, LATEST, OffsetAndTimestamp};
use super::state::{Need, PartitionState, Position};
use super::{Consumer, IsolationLevel, Mode, NoListener, OffsetReset};
use crate::deadline::{Deadline, until};
use crate::error::Error;
use crate::metadata::{TopicMetadata, TopicsAsked};
use crate::topic_partition::TopicPartition;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

impl Consumer {
    /// Where the next poll goes on in a partition; waits until that is known, at most
    /// `default.api.timeout.ms`.
    ///
    /// # Errors
    /// When the partition is not assigned, or no position is found.
    pub async fn position(&self, partition: &TopicPartition) -> Result<i64, ConsumerError> {
        let shared = &*self.shared;
        let deadline = shared.client.deadline();
        let mut news = shared.news();
        loop {
            news.borrow_and_update();
            let found = self.with(partition, |state| (state.position, state.error.clone()))?;
            match found {
                (Some(position), _) => return Ok(position.offset.0),
                (None, Some(error)) => return Err(error),
                (None, None) => {}
            }
            if shared.is_closed() {
                return Err(ConsumerError::Closed);
            }
            let clock = &shared.client.env().clock;
            if until(clock, deadline, news.changed()).await.is_none() {
                return Err(Error::DeadlinePassed { attempts: 0, last: None }.into());
            }
        }
    }

    /// The position of a partition as far as it is known, without waiting.
    #[must_use]
    pub fn current_position(&self, partition: &TopicPartition) -> Option<Position> {
        self.shared.state.lock().get(partition)?.position
    }

    /// Makes the next poll go on at `offset`.
    ///
    /// # Errors
    /// When the partition is not assigned, or `offset` is negative.
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<(), ConsumerError> {
        self.seek_to(partition, &OffsetAndMetadata::from(offset))
    }

    /// As [`Consumer::seek`], with the leader epoch of what is before it, against which the log is
    /// checked (KIP-320).
    ///
    /// # Errors
    /// As [`Consumer::seek`].
    pub fn seek_to(
        &self,
        partition: &TopicPartition,
        to: &OffsetAndMetadata,
    ) -> Result<(), ConsumerError> {
        if to.offset < 0 {
            let what = format!("cannot seek to offset {}: it is negative", to.offset);
            return Err(ConsumerError::IllegalState { what });
        }
        let position =
            Position { offset: Offset(to.offset), leader_epoch: LeaderEpoch(to.leader_epoch) };
        let is_assigned = self.shared.state.lock().seek(partition, position);
        self.woken_if(is_assigned, partition)
    }

    /// Makes the next poll go on at the beginning of each partition; of all, if none is named.
    ///
    /// # Errors
    /// When one is not assigned.
    pub fn seek_to_beginning(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.reset(partitions, OffsetReset::Earliest)
    }

    /// Makes the next poll go on at the end of each partition; of all, if none is named.
    ///
    /// # Errors
    /// When one is not assigned.
    pub fn seek_to_end(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.reset(partitions, OffsetReset::Latest)
    }

    fn reset(&self, partitions: &[TopicPartition], to: OffsetReset) -> Result<(), ConsumerError> {
        let all: Vec<TopicPartition> = self.assignment().into_iter().collect();
        let partitions = if partitions.is_empty() { &all } else { partitions };
        for partition in partitions {
            let is_assigned = self.shared.state.lock().require(partition, Need::Reset(to));
            self.woken_if(is_assigned, partition)?;
        }
        Ok(())
    }

    fn woken_if(&self, is_assigned: bool, partition: &TopicPartition) -> Result<(), ConsumerError> {
        if !is_assigned {
            return Err(ConsumerError::NotAssigned { partition: partition.clone() });
        }
        self.shared.ring_work();
        self.shared.ring_news();
        Ok(())
    }

    /// Fetches and gives nothing more of these until they are resumed. What was fetched is kept.
    ///
    /// # Errors
    /// When one is not assigned.
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.set_paused(partitions, true)
    }

    /// Goes on with these.
    ///
    /// # Errors
    /// When one is not assigned.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.set_paused(partitions, false)
    }

    fn set_paused(
        &self,
        partitions: &[TopicPartition],
        is_paused: bool,
    ) -> Result<(), ConsumerError> {
        let mut state = self.shared.state.lock();
        for partition in partitions {
            let found = state.get_mut(partition);
            let found =
                found.ok_or_else(|| ConsumerError::NotAssigned { partition: partition.clone() })?;
            found.is_paused = is_paused;
        }
        drop(state);
        self.shared.ring_work();
        self.shared.ring_news();
        Ok(())
    }

    /// The partitions that are paused.
    #[must_use]
    pub fn paused(&self) -> BTreeSet<TopicPartition> {
        let state = self.shared.state.lock();
        let paused = state.iter().filter(|(_, found)| found.is_paused);
        paused.map(|(partition, _)| partition.clone()).collect()
    }

    /// How many offsets a partition has beyond the position, as of the last fetch: up to the high
    /// watermark, or the last stable offset when only committed records are read. `None` if it has
    /// not been fetched.
    #[must_use]
    pub fn current_lag(&self, partition: &TopicPartition) -> Option<i64> {
        let state = self.shared.state.lock();
        let found = state.get(partition)?;
        let end = match self.shared.config.isolation_level {
            IsolationLevel::ReadUncommitted => found.high_watermark,
            IsolationLevel::ReadCommitted => found.last_stable_offset,
        };
        Some((end? - found.position?.offset.0).max(0))
    }

    /// Commits the positions of all partitions.
    ///
    /// # Errors
    /// [`ConsumerError::CommitFailed`] when the group has moved on; what went wrong until
    /// `default.api.timeout.ms` passed.
    pub async fn commit_sync(&self) -> Result<(), ConsumerError> {
        self.commit_offsets(&self.positions()).await
    }

    /// Commits these offsets, each the next one to read.
    ///
    /// # Errors
    /// As [`Consumer::commit_sync`].
    pub async fn commit_offsets(&self, offsets: &Offsets) -> Result<(), ConsumerError> {
        commit::commit(&self.shared, offsets, self.shared.client.deadline()).await
    }

    /// Begins to commit the positions of all partitions; the handle gives the outcome to whoever
    /// waits for it. The order of several commits is not certain.
    ///
    /// # Errors
    /// When there is no group.
    pub fn commit_async(
        &self,
    ) -> Result<tokio::task::JoinHandle<Result<(), ConsumerError>>, ConsumerError> {
        self.commit_offsets_async(self.positions())
    }

    /// As [`Consumer::commit_async`], with these offsets.
    ///
    /// # Errors
    /// When there is no group.
    pub fn commit_offsets_async(
        &self,
        offsets: Offsets,
    ) -> Result<tokio::task::JoinHandle<Result<(), ConsumerError>>, ConsumerError> {
        self.shared.group_id("committing offsets")?;
        let shared = Arc::clone(&self.shared);
        Ok(self.shared.client.env().tasks.spawn(async move {
            let deadline = shared.client.deadline();
            commit::commit(&shared, &offsets, deadline).await
        }))
    }

    /// The committed offsets of these partitions, of those that have one.
    ///
    /// # Errors
    /// When there is no group; what went wrong until `default.api.timeout.ms` passed.
    pub async fn committed(
        &self,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<Offsets, ConsumerError> {
        self.shared.group_id("committed offsets")?;
        let deadline = self.shared.client.deadline();
        let mut retry = self.shared.client.retry(deadline);
        loop {
            match commit::fetch_once(&self.shared, partitions, deadline).await {
                Ok(found) => return Ok(found),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// The first offset whose record is as late as a time in ms since 1970, for each partition.
    ///
    /// # Errors
    /// What went wrong until `default.api.timeout.ms` passed.
    pub async fn offsets_for_times(
        &self,
        times: BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndTimestamp>, ConsumerError> {
        self.list(times).await
    }

    /// The first offset of each partition.
    ///
    /// # Errors
    /// As [`Consumer::offsets_for_times`].
    pub async fn beginning_offsets(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, i64>, ConsumerError> {
        self.list_of(partitions, EARLIEST).await
    }

    /// The offset behind the last record of each partition that this consumer may read.
    ///
    /// # Errors
    /// As [`Consumer::offsets_for_times`].
    pub async fn end_offsets(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, i64>, ConsumerError> {
        self.list_of(partitions, LATEST).await
    }

    async fn list_of(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        of: i64,
    ) -> Result<BTreeMap<TopicPartition, i64>, ConsumerError> {
        let asked = partitions.into_iter().map(|partition| (partition, of)).collect();
        let found = self.list(asked).await?;
        Ok(found.into_iter().filter_map(|(p, offset)| Some((p, offset.offset?))).collect())
    }

    async fn list(
        &self,
        asked: BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndTimestamp>, ConsumerError> {
        let client = &self.shared.client;
        let level = self.shared.config.isolation_level;
        Ok(offsets::list(client, asked, level, client.deadline()).await?)
    }

    /// What the cluster says of a topic; `None` if it does not exist.
    ///
    /// # Errors
    /// What went wrong until `default.api.timeout.ms` passed.
    pub async fn partitions_for(
        &self,
        topic: &str,
    ) -> Result<Option<TopicMetadata>, ConsumerError> {
        let client = &self.shared.client;
        let asked = TopicsAsked::named([topic]);
        let metadata = client.fresh_metadata(&asked, client.deadline()).await?;
        Ok(metadata.topic(topic).cloned())
    }

    /// Gives up everything: leaves the group, or forgets what was assigned by hand. The listener is
    /// told before this returns.
    ///
    /// # Errors
    /// What went wrong with committing, with `enable.auto.commit`; it is given up all the same.
    pub async fn unsubscribe(&self) -> Result<(), ConsumerError> {
        let committed = self.give_up(self.shared.client.deadline()).await;
        self.shared.group.subscribe(None);
        let mut state = self.shared.state.lock();
        state.mode = Mode::None;
        state.assign(&BTreeSet::new(), Need::Nothing, false);
        drop(state);
        *self.listener.lock() = Arc::new(NoListener);
        self.shared.ring_work();
        committed
    }

    /// Commits by itself, and tells the listener that all is given up.
    async fn give_up(&self, deadline: Deadline) -> Result<(), ConsumerError> {
        let shared = &*self.shared;
        let (mode, partitions) = {
            let state = shared.state.lock();
            (state.mode.clone(), state.assigned())
        };
        let committed = match shared.config.is_auto_commit {
            true => commit::commit(shared, &self.positions(), deadline).await,
            false => Ok(()),
        };
        if mode == Mode::Subscribed && !partitions.is_empty() {
            let listener = Arc::clone(&*self.listener.lock());
            let partitions: Vec<TopicPartition> = partitions.into_iter().collect();
            listener.revoked(self, &partitions).await;
        }
        committed
    }

    /// Commits (with `enable.auto.commit`), tells the listener, leaves the group, and stops, within
    /// `timeout`. A static member stays in its group, to come back within the session timeout.
    ///
    /// # Errors
    /// What went wrong with committing. The consumer is closed all the same.
    pub async fn close(&self, timeout: Duration) -> Result<(), ConsumerError> {
        let shared = &*self.shared;
        if shared.is_closed() {
            return Ok(());
        }
        let deadline = shared.client.deadline_in(timeout);
        let committed = self.give_up(deadline).await;
        shared.close();
        let membership = self.membership.lock().take();
        if let Some(mut membership) = membership {
            let clock = &shared.client.env().clock;
            if until(clock, deadline, &mut membership).await.is_none() {
                membership.abort();
            }
        }
        committed
    }

    fn with<T>(
        &self,
        partition: &TopicPartition,
        look: impl FnOnce(&PartitionState) -> T,
    ) -> Result<T, ConsumerError> {
        let state = self.shared.state.lock();
        let found = state.get(partition);
        found.map(look).ok_or_else(|| ConsumerError::NotAssigned { partition: partition.clone() })
    }
}
