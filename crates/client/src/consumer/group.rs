//! Membership in a group: what both protocols share.
//!
//! A task in the background speaks with the coordinator. What concerns the program (partitions that
//! come, go, or are lost) it hands to the poll as an [`Event`], and waits until the poll has called
//! the listener: no partition is given up while the program works on it. Meanwhile heartbeats go on.
//! A program that does not poll for `max.poll.interval.ms` is taken out of the group.

mod classic;
mod consumer;
mod heartbeats;
mod topics;

use super::config::{ConsumerConfig, GroupProtocol};
use super::error::ConsumerError;
use super::race::race;
use super::shared::Shared;
use crate::producer::GroupMetadata;
use crate::topic_partition::TopicPartition;
use afluente_env::clock::Moment;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::oneshot;

pub(super) use topics::{Pattern, Subscribed};

/// Partitions, in order.
pub(super) type Partitions = BTreeSet<TopicPartition>;

/// What the poll does for the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// These are given up: positions are committed, then the listener is told.
    Revoke(Partitions),
    /// These are somebody else's already: the listener is told.
    Lose(Partitions),
    /// These are assigned, `added` of them for the first time; the listener is told of those.
    Assign { all: Partitions, added: Partitions },
}

/// An event that the poll has not done with.
struct Pending {
    event: Event,
    done: Option<oneshot::Sender<()>>,
}

/// The part of the group that the handle and the task share.
pub(super) struct GroupShared {
    identity: Mutex<Identity>,
    pending: Mutex<Option<Pending>>,
    subscribed: Mutex<Versioned>,
    polls: Mutex<Polls>,
    protocol: GroupProtocol,
}

struct Identity {
    metadata: GroupMetadata,
    /// As `metadata`, but of the last membership when that is over.
    last: GroupMetadata,
    /// A JoinGroup or a SyncGroup is on its way: what is sent behind it would come with a generation
    /// that is over.
    is_joining: bool,
    /// Counts the requests of a program to rejoin.
    rejoins: u64,
}

#[derive(Default)]
struct Versioned {
    subscribed: Option<Subscribed>,
    version: u64,
    /// The version at which the program last unsubscribed, and gave up all it had.
    given_up_at: u64,
}

struct Polls {
    /// Polls that are going on.
    running: u32,
    ended_at: Moment,
}

/// Why a member leaves its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// The consumer is closed.
    Closed,
    /// It is not subscribed any more.
    Unsubscribed,
    /// It was not polled for too long.
    PolledTooSeldom,
}

impl GroupShared {
    pub(super) fn new(config: &ConsumerConfig, now: Moment) -> Self {
        let group_id = config.group_id.clone().unwrap_or_default();
        let metadata = GroupMetadata {
            group_instance_id: config.group_instance_id.clone(),
            ..GroupMetadata::of_group(group_id)
        };
        Self {
            identity: Mutex::new(Identity {
                last: metadata.clone(),
                metadata,
                is_joining: false,
                rejoins: 0,
            }),
            pending: Mutex::new(None),
            subscribed: Mutex::default(),
            polls: Mutex::new(Polls { running: 0, ended_at: now }),
            protocol: config.group_protocol,
        }
    }

    /// Who it is at this moment.
    pub(super) fn metadata(&self) -> GroupMetadata {
        self.identity.lock().metadata.clone()
    }

    /// As whom it commits. A program that has not heard yet that it lost its membership still holds
    /// records of then: their offsets come with the old name, and the coordinator refuses them. Without
    /// a name it would take them, for one that is no member and needs none.
    pub(super) fn last_metadata(&self) -> GroupMetadata {
        self.identity.lock().last.clone()
    }

    /// Whether the member is known by an epoch (KIP-848).
    pub(super) fn is_epoch_member(&self) -> bool {
        self.protocol == GroupProtocol::Consumer
    }

    fn set_member(&self, member_id: &str, generation_id: i32) {
        let mut identity = self.identity.lock();
        member_id.clone_into(&mut identity.metadata.member_id);
        identity.metadata.generation_id = generation_id;
        if generation_id >= 0 {
            identity.last = identity.metadata.clone();
        }
        identity.is_joining &= generation_id >= 0;
    }

    fn set_joining(&self, is_joining: bool) {
        self.identity.lock().is_joining = is_joining;
    }

    pub(super) fn is_joining(&self) -> bool {
        self.identity.lock().is_joining
    }

    pub(super) fn rejoins(&self) -> u64 {
        self.identity.lock().rejoins
    }

    pub(super) fn ask_to_rejoin(&self) {
        self.identity.lock().rejoins += 1;
    }

    /// What is subscribed to, with a number that changes with it.
    pub(super) fn subscribed(&self) -> (Option<Subscribed>, u64) {
        let subscribed = self.subscribed.lock();
        (subscribed.subscribed.clone(), subscribed.version)
    }

    /// When the program last unsubscribed, as a number that changes with it. A member that knows of an
    /// earlier one has partitions that the program has not, also if it subscribed again since.
    fn given_up_at(&self) -> u64 {
        self.subscribed.lock().given_up_at
    }

    pub(super) fn subscribe(&self, to: Option<Subscribed>) {
        let mut subscribed = self.subscribed.lock();
        let is_given_up = to.is_none();
        if is_given_up {
            // Partitions that are assigned by hand need no membership.
            let mut identity = self.identity.lock();
            let unnamed = GroupMetadata::of_group(identity.metadata.group_id.clone());
            let group_instance_id = identity.metadata.group_instance_id.clone();
            identity.last = GroupMetadata { group_instance_id, ..unnamed };
        }
        subscribed.subscribed = to;
        subscribed.version += 1;
        if is_given_up {
            subscribed.given_up_at = subscribed.version;
            // Behind the number above, so that the member hands nothing over in between.
            drop(subscribed);
            *self.pending.lock() = None;
        }
    }

    pub(super) fn poll_begins(&self) {
        self.polls.lock().running += 1;
    }

    pub(super) fn poll_ends(&self, now: Moment) {
        let mut polls = self.polls.lock();
        polls.running -= 1;
        polls.ended_at = now;
    }

    /// When the program has not polled for too long; `None` while it polls.
    fn poll_deadline(&self, shared: &Shared) -> Option<Moment> {
        let polls = self.polls.lock();
        (polls.running == 0).then(|| polls.ended_at + shared.config.max_poll_interval)
    }

    /// What the poll has to do.
    pub(super) fn event(&self) -> Option<Event> {
        self.pending.lock().as_ref().map(|pending| pending.event.clone())
    }

    /// The poll has done it.
    pub(super) fn event_done(&self, event: &Event) {
        let mut pending = self.pending.lock();
        if pending.as_ref().is_some_and(|pending| pending.event == *event)
            && let Some(done) = pending.take().and_then(|pending| pending.done)
        {
            let _ = done.send(());
        }
    }
}

impl Shared {
    /// The group.
    ///
    /// # Errors
    /// [`ConsumerError::NoGroup`] with `what` needs one.
    pub(super) fn group_id(&self, what: &'static str) -> Result<&str, ConsumerError> {
        self.config.group_id.as_deref().ok_or(ConsumerError::NoGroup { what })
    }

    /// Hands `event` to the poll; the receiver hears when it is done. An event that the poll has
    /// not looked at is replaced. Of a member that does not know yet that the program unsubscribed
    /// (`given_up_at`) nothing is taken.
    fn hand(&self, event: Event, given_up_at: u64) -> oneshot::Receiver<()> {
        let (done, receiver) = oneshot::channel();
        let mut pending = self.group.pending.lock();
        if self.group.given_up_at() == given_up_at {
            *pending = Some(Pending { event, done: Some(done) });
        }
        drop(pending);
        self.ring_news();
        receiver
    }

    /// Waits until the member is to leave: the consumer is closed, or was not polled for too long.
    async fn leaving(&self) -> Leaving {
        loop {
            if self.is_closed() {
                return Leaving::Closed;
            }
            let wait = match self.group.poll_deadline(self) {
                Some(at) if self.now() >= at => return Leaving::PolledTooSeldom,
                Some(at) => at,
                // A poll is going on; it is looked at again when it could have ended for so long.
                None => self.now() + self.config.max_poll_interval,
            };
            self.unless_closed(self.client.env().clock.sleep_until(wait)).await;
        }
    }

    /// After a member was taken out for not polling: waits until the program polls.
    async fn polled_again(&self) {
        let mut news = self.work();
        while !self.is_closed() && self.group.poll_deadline(self).is_some_and(|at| self.now() >= at)
        {
            race(news.changed(), self.client.env().clock.sleep(POLL_CHECK_INTERVAL)).await;
        }
    }
}

/// How often to look whether a program polls again.
const POLL_CHECK_INTERVAL: std::time::Duration = std::time::Duration::from_millis(50);

/// The task of a member; ends when the consumer is closed, having left the group.
pub(super) async fn run(shared: Arc<Shared>) {
    match shared.config.group_protocol {
        GroupProtocol::Classic => classic::run(shared).await,
        GroupProtocol::Consumer => consumer::run(shared).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_lost_its_membership_commits_as_who_it_was() {
        let config = ConsumerConfig::from_properties([
            ("bootstrap.servers", "localhost:9092"),
            ("group.id", "g"),
        ]);
        let now = afluente_env::Env::real().clock.now();
        let group = GroupShared::new(&config.unwrap(), now);
        let as_whom = |of: GroupMetadata| (of.member_id, of.generation_id);
        assert_eq!(as_whom(group.last_metadata()), (String::new(), -1));
        group.set_member("m", 3);
        group.set_member("", -1);
        assert_eq!(as_whom(group.metadata()), (String::new(), -1));
        assert_eq!(as_whom(group.last_metadata()), ("m".to_owned(), 3));
        group.set_member("n", 4);
        assert_eq!(as_whom(group.last_metadata()), ("n".to_owned(), 4));
        group.subscribe(None);
        assert_eq!(as_whom(group.last_metadata()), (String::new(), -1));
    }
}
