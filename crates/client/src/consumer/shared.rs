//! What the handle of a consumer and its tasks share.
//!
//! Two bells ring through the consumer. `work` rings for the tasks in the background: partitions came
//! or went, a position is needed or was found, the queue has room. `news` rings for the poll: records
//! came, the group asks for something, something failed. A bell that rings while nobody listens is
//! heard at the next look, so nothing is missed.

use super::config::ConsumerConfig;
use super::error::ConsumerError;
use super::group::GroupShared;
use super::race::{Either, race};
use super::reset::OffsetReset;
use super::state::{Need, State};
use crate::client::Client;
use crate::deadline::Deadline;
use crate::topic_partition::TopicPartition;
use afluente_env::clock::Moment;
use afluente_env::watch;
use parking_lot::Mutex;
use std::collections::BTreeSet;

pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) config: ConsumerConfig,
    pub(super) state: Mutex<State>,
    pub(super) group: GroupShared,
    work: watch::Sender<()>,
    news: watch::Sender<()>,
    /// What the next poll fails with.
    failure: Mutex<Option<ConsumerError>>,
    closing: watch::Sender<bool>,
}

/// Listens to one of the two bells.
pub(super) type Bell = watch::Receiver<()>;

impl Shared {
    pub(super) fn new(client: Client, config: ConsumerConfig) -> Self {
        let state = State::new(config.partition_fetch_bytes_max, config.fetch_max_bytes);
        Self {
            group: GroupShared::new(&config, client.env().clock.now()),
            client,
            config,
            state: Mutex::new(state),
            work: watch::Sender::new(()),
            news: watch::Sender::new(()),
            failure: Mutex::new(None),
            closing: watch::Sender::new(false),
        }
    }

    pub(super) fn now(&self) -> Moment {
        self.client.env().clock.now()
    }

    /// Wakes the tasks in the background.
    pub(super) fn ring_work(&self) {
        self.work.send_replace(());
    }

    /// Wakes the poll.
    pub(super) fn ring_news(&self) {
        self.news.send_replace(());
    }

    pub(super) fn work(&self) -> Bell {
        self.work.subscribe()
    }

    pub(super) fn news(&self) -> Bell {
        self.news.subscribe()
    }

    /// Waits until `bell` rings, or until `moment`.
    pub(super) async fn wait(&self, bell: &mut Bell, moment: Option<Moment>) {
        match moment {
            // The senders live as long as this does, so an error cannot be.
            None => drop(bell.changed().await),
            Some(moment) => {
                race(bell.changed(), self.client.env().clock.sleep_until(moment)).await;
            }
        }
    }

    /// Makes the next poll fail; the first failure counts.
    pub(super) fn fail(&self, error: ConsumerError) {
        self.failure.lock().get_or_insert(error);
        self.ring_news();
    }

    pub(super) fn take_failure(&self) -> Option<ConsumerError> {
        self.failure.lock().take()
    }

    pub(super) fn close(&self) {
        self.closing.send_replace(true);
        self.ring_work();
        self.ring_news();
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closing.borrow()
    }

    /// The output of `future`, or nothing if the consumer is closed before.
    pub(super) async fn unless_closed<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut closing = self.closing.subscribe();
        match race(future, closing.wait_for(|is_closing| *is_closing)).await {
            Either::Left(output) => Some(output),
            Either::Right(_) => None,
        }
    }

    /// The deadline of one attempt in the background.
    pub(super) fn attempt_deadline(&self) -> Deadline {
        self.client.deadline_in(self.client.config().request_timeout)
    }

    /// When to try again what failed `failures` times in a row.
    pub(super) fn retry_at(&self, failures: u32) -> Moment {
        let wait = self.client.config().retry_backoff.wait(failures, &self.client.env().rng);
        self.now() + wait
    }

    /// What a new partition needs: its committed offset if there is a group.
    pub(super) fn first_need(&self) -> Need {
        match self.config.group_id {
            Some(_) => Need::Committed,
            None => Need::Reset(self.config.offset_reset),
        }
    }

    /// Makes a partition begin anew by the rule of the configuration; or gives `error` to the poll
    /// if there is none.
    pub(super) fn reset(&self, partition: &TopicPartition, error: ConsumerError) {
        let mut state = self.state.lock();
        match self.config.offset_reset {
            OffsetReset::None => {
                if let Some(state) = state.get_mut(partition) {
                    state.error = Some(error);
                }
                drop(state);
                self.ring_news();
            }
            reset => {
                tracing::info!(%partition, %error, ?reset, "resetting the position");
                state.require(partition, Need::Reset(reset));
                drop(state);
                self.ring_work();
            }
        }
    }

    /// The topics of the assigned partitions.
    pub(super) fn assigned_topics(&self) -> BTreeSet<String> {
        let state = self.state.lock();
        state.iter().map(|(partition, _)| partition.topic.to_string()).collect()
    }
}
