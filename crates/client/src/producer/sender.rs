//! The task that takes batches off the queues and gets them written.
//!
//! One turn: take what has come in (words of callers, answers, connections, metadata), settle what
//! is over, and give each broker that may get a request one with a batch of each of its partitions
//! that have one. Then sleep until something happens that changes that.
//!
//! A partition with batches is a [`Lane`]; it stands in the line of its leader while it has
//! something to send. The order of a partition's records holds since a broker takes requests of a
//! connection in order, and since nothing new is sent while something has to be sent again.

mod answers;
mod identity;
mod lane;
mod requests;

use super::accumulator::{Accumulator, Due, NO_LANE, Partition, Topic, Word};
use super::batch::Ticket;
use super::config::ProducerConfig;
use super::delivery::Settled;
use super::error::ProducerError;
use super::metrics::{Counters, count};
use super::transaction::Transaction;
use crate::client::Client;
use crate::connection::{Answer, Connection};
use crate::error::Error;
use crate::metadata::{ClusterMetadata, TopicsAsked};
use afluente_env::clock::Moment;
use afluente_env::watch;
use afluente_protocol::messages::produce_request::ProduceRequest;
use afluente_protocol::messages::produce_response::ProduceResponse;
use afluente_protocol::records::Compressor;
use identity::Chore;
use lane::Lane;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;

/// What the handles of a producer and its sender share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) config: ProducerConfig,
    pub(crate) accumulator: Accumulator,
    pub(crate) transaction: Mutex<Transaction>,
    pub(crate) counters: Counters,
    /// No handle is left: what there is is sent, and then the sender ends.
    pub(crate) is_closing: AtomicBool,
    /// Nothing more is sent: what there is has failed.
    pub(crate) is_closed: AtomicBool,
    /// The producer cannot go on; so that a record need not look at the transaction.
    pub(crate) is_fatal: AtomicBool,
    /// Told when nothing is being added to a transaction any more.
    pub(crate) nothing_added: Notify,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) struct Sender {
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    /// Lanes with batches, settled or not.
    busy: BTreeSet<usize>,
    /// Lanes without a leader that have something to send.
    leaderless: BTreeSet<usize>,
    brokers: BTreeMap<i32, Broker>,
    in_flight: Vec<InFlight>,
    /// Lanes with an open batch, by when it has waited long enough.
    lingering: BTreeSet<(Moment, usize)>,
    /// When to look again at lanes that failed.
    retries: BTreeSet<(Moment, usize)>,
    /// When the first batch runs out of time, at the earliest.
    expiry_at: Option<Moment>,
    words: Vec<Word>,
    compressor: Compressor,
    next_batch_id: u64,
    metadata: watch::Receiver<Arc<ClusterMetadata>>,
    refreshing: Option<Boxed<Result<Arc<ClusterMetadata>, Error>>>,
    wants_refresh: bool,
    refresh_at: Moment,
    refresh_not_before: Moment,
    refresh_failures: u32,
    chore: Option<Boxed<Chore>>,
    chore_at: Option<Moment>,
    chore_failures: u32,
    /// Lanes wait for a new epoch.
    wants_new_epoch: bool,
    timer: Option<Timer>,
    done: Vec<(InFlight, Result<ProduceResponse, Error>)>,
}

/// A broker that leads partitions.
#[derive(Default)]
struct Broker {
    link: Link,
    in_flight_count: usize,
    /// Lanes with something to send.
    line: VecDeque<usize>,
    /// Not before this: it asked to be spared, or could not be reached.
    not_before: Option<Moment>,
    failures: u32,
}

#[derive(Default)]
enum Link {
    #[default]
    None,
    Making(Boxed<Result<Connection, Error>>),
    Done(Result<Connection, Error>),
}

/// A request without an answer.
struct InFlight {
    broker: i32,
    /// Lane and batch.
    batches: Vec<(usize, u64)>,
    sent_at: Moment,
    answer: Answer<ProduceRequest>,
}

/// What is known about a batch that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// The broker has refused it: it is not written.
    NotWritten,
    /// It may have been written.
    None,
}

struct Timer {
    at: Moment,
    sleep: Boxed<()>,
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let metadata = shared.client.watch_metadata();
        let now = shared.client.env().clock.now();
        let refresh_at = now + shared.client.renewal_interval();
        Self {
            shared,
            lanes: Vec::new(),
            busy: BTreeSet::new(),
            leaderless: BTreeSet::new(),
            brokers: BTreeMap::new(),
            in_flight: Vec::new(),
            lingering: BTreeSet::new(),
            retries: BTreeSet::new(),
            expiry_at: None,
            words: Vec::new(),
            compressor: Compressor::new(),
            next_batch_id: 0,
            metadata,
            refreshing: None,
            wants_refresh: false,
            refresh_at,
            refresh_not_before: now,
            refresh_failures: 0,
            chore: None,
            chore_at: None,
            chore_failures: 0,
            wants_new_epoch: false,
            timer: None,
            done: Vec::new(),
        }
    }

    /// Runs until the producer is closed and nothing is left.
    pub(crate) async fn run(mut self) {
        loop {
            let now = self.now();
            self.take_words();
            self.take_metadata();
            self.take_answers(now);
            if self.shared.is_closed.load(Ordering::SeqCst) {
                self.fail_everything(&Error::Closed);
                break;
            }
            self.expire(now);
            self.drop_unsent();
            self.line_up(now);
            self.settle_identity(now);
            self.refresh(now);
            if self.send(now).await {
                continue;
            }
            let is_idle = self.shared.accumulator.incomplete_count() == 0;
            if is_idle && self.shared.is_closing.load(Ordering::SeqCst) {
                break;
            }
            self.sleep().await;
        }
        // Whoever comes from here on does not find anybody.
        self.shared.is_closed.store(true, Ordering::SeqCst);
    }

    fn now(&self) -> Moment {
        self.shared.client.env().clock.now()
    }

    /// Which open batches have waited long enough.
    fn due(&self, now: Moment) -> Due {
        let age = if self.is_hurried() { Duration::ZERO } else { self.shared.config.linger };
        Due { now, age }
    }

    fn is_hurried(&self) -> bool {
        self.shared.accumulator.is_hurried() || self.shared.is_closing.load(Ordering::SeqCst)
    }

    fn in_flight_max(&self) -> usize {
        self.shared.config.client.in_flight_max
    }

    /// Takes in what callers have left.
    fn take_words(&mut self) {
        let mut words = std::mem::take(&mut self.words);
        self.shared.accumulator.inbox.take(&mut words);
        for word in words.drain(..) {
            match word {
                Word::Opened(partition, created) => {
                    let at = self.lane_of(partition);
                    let until = created + self.shared.config.linger;
                    let lane = &mut self.lanes[at];
                    // The batch before it is full, or it would still be open.
                    if let Some(before) = lane.linger_until.replace(until) {
                        self.lingering.remove(&(before, at));
                    }
                    self.lingering.insert((until, at));
                    self.busy.insert(at);
                    let expiry = created + self.shared.config.delivery_timeout;
                    self.expiry_at.get_or_insert(expiry);
                }
                Word::Full(partition) => {
                    let at = self.lane_of(partition);
                    self.put_in_line(at);
                }
            }
        }
        self.words = words;
    }

    fn lane_of(&mut self, partition: Arc<Partition>) -> usize {
        let known = partition.lane.load(Ordering::Relaxed);
        if known != NO_LANE {
            return known;
        }
        let at = self.lanes.len();
        partition.lane.store(at, Ordering::Relaxed);
        self.lanes.push(Lane::new(partition));
        at
    }

    /// Takes in what has changed in the cluster.
    fn take_metadata(&mut self) {
        if !self.metadata.has_changed().unwrap_or(false) {
            return;
        }
        let metadata = Arc::clone(&self.metadata.borrow_and_update());
        for name in self.shared.accumulator.topic_names() {
            self.shared.take_topic(&metadata, &name);
        }
        for at in std::mem::take(&mut self.leaderless) {
            self.put_in_line(at);
        }
        let lanes = &mut self.lanes;
        let mut moved = Vec::new();
        for (id, broker) in &mut self.brokers {
            broker.line.retain(|&at| {
                let stays = lanes[at].leader() == Some(*id);
                if !stays {
                    lanes[at].is_in_line = false;
                    moved.push(at);
                }
                stays
            });
        }
        for at in moved {
            self.put_in_line(at);
        }
    }

    /// Puts a lane in the line of its leader.
    fn put_in_line(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        if lane.is_in_line {
            return;
        }
        match lane.leader() {
            Some(leader) => {
                lane.is_in_line = true;
                self.brokers.entry(leader).or_default().line.push_back(at);
            }
            None => {
                self.leaderless.insert(at);
                self.wants_refresh = true;
            }
        }
    }

    /// Puts every lane with batches in line, after something that may have held them all back.
    fn line_up_all(&mut self) {
        for at in self.busy.clone() {
            self.put_in_line(at);
        }
    }

    /// Puts lanes in line whose time has come.
    fn line_up(&mut self, now: Moment) {
        let is_hurried = self.is_hurried();
        while let Some(&(until, at)) = self.lingering.first() {
            if until > now && !is_hurried {
                break;
            }
            self.lingering.pop_first();
            self.lanes[at].linger_until = None;
            self.put_in_line(at);
        }
        while let Some(&(until, at)) = self.retries.first() {
            if until > now {
                break;
            }
            self.retries.pop_first();
            self.put_in_line(at);
        }
    }

    /// Fails what has run out of time.
    fn expire(&mut self, now: Moment) {
        if self.expiry_at.is_none_or(|at| at > now) {
            return;
        }
        let age = Due { now, age: self.shared.config.delivery_timeout };
        let mut oldest: Option<Moment> = None;
        for at in self.busy.clone() {
            while let Some(expired) =
                self.lanes[at].window.iter().position(|batch| age.has_come(batch.ticket.created))
            {
                let batch = &self.lanes[at].window[expired];
                let error = self.timed_out(at, batch.last_error.clone());
                self.fail(at, expired, error, BTreeMap::new(), Knowledge::None);
            }
            for batch in self.lanes[at].partition.take_older(age) {
                let error = self.timed_out(at, None);
                self.fail_unsent(at, batch.ticket, batch.builder.record_count(), error);
            }
            let lane = &self.lanes[at];
            let in_window = lane.window.iter().map(|batch| batch.ticket.created).min();
            let first = in_window.into_iter().chain(lane.partition.oldest()).min();
            oldest = oldest.into_iter().chain(first).min();
        }
        self.expiry_at = oldest.map(|oldest| oldest + self.shared.config.delivery_timeout);
        self.forget_idle();
    }

    fn timed_out(&self, at: usize, last: Option<Error>) -> Error {
        let partition = &self.lanes[at].partition;
        ProducerError::DeliveryTimedOut {
            topic: partition.topic.to_string(),
            partition: partition.index,
            after: self.shared.config.delivery_timeout,
            last: last.map(Box::new),
        }
        .into()
    }

    /// Drops what was never sent when the transaction cannot be committed any more; everything,
    /// when the producer cannot go on.
    fn drop_unsent(&mut self) {
        let (error, is_fatal) = {
            let transaction = self.shared.transaction.lock();
            (transaction.drops_unsent(), transaction.is_fatal())
        };
        let Some(error) = error else { return };
        if is_fatal {
            self.fail_everything(&error);
            return;
        }
        for at in self.busy.clone() {
            for batch in self.lanes[at].partition.take_all() {
                self.fail_unsent(at, batch.ticket, batch.builder.record_count(), error.clone());
            }
        }
        self.forget_idle();
    }

    fn fail_everything(&mut self, error: &Error) {
        for at in std::mem::take(&mut self.busy) {
            let window = std::mem::take(&mut self.lanes[at].window);
            for batch in window {
                let count = usize::try_from(batch.record_count).unwrap_or(0);
                self.fail_unsent(at, batch.ticket, count, error.clone());
            }
            for batch in self.lanes[at].partition.take_all() {
                self.fail_unsent(at, batch.ticket, batch.builder.record_count(), error.clone());
            }
        }
        self.expiry_at = None;
    }

    /// Lanes without anything are looked at again when a batch is opened.
    fn forget_idle(&mut self) {
        let lanes = &self.lanes;
        self.busy.retain(|at| !lanes[*at].is_idle());
    }

    /// Settles a batch that has no sequence number, or whose number does not matter any more.
    fn fail_unsent(&mut self, at: usize, ticket: Ticket, record_count: usize, error: Error) {
        let partition = &self.lanes[at].partition;
        tracing::debug!(topic = %partition.topic, partition = partition.index, %error, "batch failed");
        // A transaction must not be committed without it.
        let error = self.shared.failed(error);
        count(&self.shared.counters.records_failed, record_count as u64);
        self.settle(ticket, Settled::Failed { error, records: BTreeMap::new() });
    }

    fn settle(&self, ticket: Ticket, settled: Settled) {
        let (number, memory_bytes) = (ticket.number, ticket.memory_bytes);
        ticket.settle(settled);
        self.shared.accumulator.completed(number, memory_bytes);
    }

    /// Asks for metadata if something needs it, or it has become old.
    fn refresh(&mut self, now: Moment) {
        if self.refreshing.is_some() || now < self.refresh_not_before {
            return;
        }
        if !self.wants_refresh && now < self.refresh_at {
            return;
        }
        let names = self.shared.accumulator.topic_names();
        self.wants_refresh = false;
        self.refresh_at = now + self.shared.client.renewal_interval();
        if names.is_empty() {
            return;
        }
        let client = self.shared.client.clone();
        self.refreshing = Some(Box::pin(async move {
            let deadline = client.deadline();
            client.refresh(&TopicsAsked::named(names), deadline).await
        }));
    }

    /// Metadata came, or did not.
    fn refreshed(&mut self, result: Result<Arc<ClusterMetadata>, Error>) {
        self.refreshing = None;
        let client = &self.shared.client;
        let backoff = client.config().retry_backoff;
        let is_still_needed = result.is_err() || !self.leaderless.is_empty();
        self.refresh_failures = if is_still_needed { self.refresh_failures + 1 } else { 0 };
        self.wants_refresh |= is_still_needed;
        let wait = backoff.wait(self.refresh_failures.max(1), &client.env().rng);
        self.refresh_not_before = self.now() + wait;
        if let Err(error) = result {
            tracing::warn!(%error, "no metadata could be had");
        }
    }

    /// Sleeps until something happens.
    async fn sleep(&mut self) {
        let is_linger_zero = self.shared.config.linger.is_zero();
        let max = self.in_flight_max();
        let is_hungry = self.brokers.values().any(|broker| broker.in_flight_count < max)
            || self.brokers.is_empty();
        let shared = Arc::clone(&self.shared);
        let inbox = &shared.accumulator.inbox;
        let wants_opened = if is_linger_zero { is_hungry } else { self.lingering.is_empty() };
        inbox.wants_full.store(is_hungry, Ordering::SeqCst);
        inbox.wants_opened.store(wants_opened, Ordering::SeqCst);
        if (is_hungry || wants_opened) && !inbox.is_empty() {
            return;
        }
        self.set_timer();
        let mut woken = pin!(inbox.woken());
        let mut metadata = self.metadata.clone();
        let mut changed = pin!(metadata.changed());
        poll_fn(|context| {
            let mut is_awake = woken.as_mut().poll(context).is_ready();
            is_awake |= changed.as_mut().poll(context).is_ready();
            is_awake |= self.poll_parts(context);
            if is_awake { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Looks at everything that is on its way. True if something has come.
    fn poll_parts(&mut self, context: &mut Context<'_>) -> bool {
        let mut has_come = false;
        let mut at = 0;
        while at < self.in_flight.len() {
            match Pin::new(&mut self.in_flight[at].answer).poll(context) {
                Poll::Ready(result) => {
                    // Answers of a broker come in order, and are to be taken in it.
                    let in_flight = self.in_flight.remove(at);
                    self.done.push((in_flight, result));
                    has_come = true;
                }
                Poll::Pending => at += 1,
            }
        }
        for broker in self.brokers.values_mut() {
            if let Link::Making(making) = &mut broker.link
                && let Poll::Ready(made) = making.as_mut().poll(context)
            {
                broker.link = Link::Done(made);
                has_come = true;
            }
        }
        if let Some(refreshing) = &mut self.refreshing
            && let Poll::Ready(result) = refreshing.as_mut().poll(context)
        {
            self.refreshed(result);
            has_come = true;
        }
        if let Some(chore) = &mut self.chore
            && let Poll::Ready(result) = chore.as_mut().poll(context)
        {
            self.chore = None;
            self.chore_done(result);
            has_come = true;
        }
        if let Some(timer) = &mut self.timer
            && timer.sleep.as_mut().poll(context).is_ready()
        {
            self.timer = None;
            has_come = true;
        }
        has_come
    }

    /// Sets the timer to the next thing that time alone brings about.
    fn set_timer(&mut self) {
        let max = self.in_flight_max();
        let spared = self
            .brokers
            .values()
            .filter(|broker| !broker.line.is_empty() && broker.in_flight_count < max);
        let first = spared
            .filter_map(|broker| broker.not_before)
            .chain(self.lingering.first().map(|(at, _)| *at))
            .chain(self.retries.first().map(|(at, _)| *at))
            .chain(self.expiry_at)
            .chain(self.chore_at.filter(|_| self.chore.is_none()))
            .chain(self.next_refresh())
            .min();
        let Some(at) = first else {
            self.timer = None;
            return;
        };
        // A timer that rings a little early costs less than a new one for each turn.
        if self.timer.as_ref().is_none_or(|timer| timer.at > at) {
            let clock = self.shared.client.env().clock.clone();
            self.timer =
                Some(Timer { at, sleep: Box::pin(async move { clock.sleep_until(at).await }) });
        }
    }

    fn next_refresh(&self) -> Option<Moment> {
        if self.refreshing.is_some() {
            return None;
        }
        let at = if self.wants_refresh { self.refresh_not_before } else { self.refresh_at };
        Some(at.max(self.refresh_not_before))
    }
}

impl Shared {
    /// Something has failed for good; gives the error as it is to be told.
    pub(crate) fn failed(&self, error: Error) -> Error {
        if !self.config.is_idempotent {
            return error;
        }
        let mut transaction = self.transaction.lock();
        let error = transaction.failed(error);
        self.is_fatal.store(transaction.is_fatal(), Ordering::SeqCst);
        error
    }

    /// Takes note of the leaders of a topic, if it is there.
    pub(crate) fn take_topic(&self, metadata: &ClusterMetadata, name: &str) -> Option<Arc<Topic>> {
        let topic = metadata.topic(name)?;
        let last = topic.partitions.last_key_value().map(|(last, _)| *last)?;
        let leaders: Vec<_> =
            (0..=last).map(|index| metadata.leader(name, index).map(|(node, _)| node.id)).collect();
        Some(self.accumulator.set_topic(name, &leaders))
    }
}
