//! What was asked for, what was said, what was seen; and what cannot be.
//!
//! The oracle is told by the programs of a simulation, which run on one thread, so that what it
//! hears is in the order in which it happened. It judges as it goes where it can, and the rest when
//! the last reader has read everything ([`judgement`]).

pub mod judgement;

use afluente_client::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One life of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProducerId(pub u32);

/// A record, by who sent it and as which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    /// Who.
    pub producer: ProducerId,
    /// Counted up by each.
    pub sequence: u32,
}

/// A transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionId(u32);

/// What a producer promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// What is acknowledged is there.
    AtLeastOnce,
    /// And once, and in order.
    Idempotent,
}

/// What is known of a record that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    /// It may be there.
    Unknown,
    /// It must be there, at this offset if it was said.
    Acknowledged(Option<i64>),
    /// It must not be there: it was refused before it was sent.
    Refused,
}

#[derive(Debug, Clone)]
struct Sent {
    topic: &'static str,
    delivery: Delivery,
    transaction: Option<TransactionId>,
}

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nobody has asked for its commit, so that it can only be aborted.
    Open,
    /// The commit was asked for, and nothing was answered yet, or ever.
    CommitAsked,
    /// Said to be.
    Committed,
    /// Said to be.
    Aborted,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Oracle {
    producers: Vec<Promise>,
    records: BTreeMap<RecordId, Sent>,
    transactions: Vec<Fate>,
    /// What any reader saw, by partition and offset.
    seen: Seen,
    /// Transactions of which a reader of committed records saw a record.
    seen_committed: BTreeSet<TransactionId>,
    /// Up to where somebody asked for records to be deleted.
    deleted: BTreeMap<TopicPartition, i64>,
    groups: BTreeMap<String, Group>,
    followers: Vec<Follower>,
    topics: BTreeMap<String, Topic>,
    violations: Vec<String>,
}

/// What readers and acknowledgements told up to a moment; see [`Oracle::seen`].
#[derive(Debug, Default, Clone)]
pub struct Seen(BTreeMap<TopicPartition, BTreeMap<i64, RecordId>>);

#[derive(Debug, Default)]
struct Group {
    delivered: BTreeMap<TopicPartition, BTreeSet<i64>>,
    /// The highest offset whose commit was acknowledged.
    committed: BTreeMap<TopicPartition, i64>,
    /// Offsets whose commit was asked for without an answer: they may come late.
    unanswered: BTreeMap<TopicPartition, BTreeSet<i64>>,
    /// What each member says that it owns.
    assignments: BTreeMap<usize, BTreeSet<TopicPartition>>,
}

#[derive(Debug)]
struct Follower {
    topic: &'static str,
    is_committed: bool,
    seen: BTreeMap<TopicPartition, BTreeSet<i64>>,
    next: BTreeMap<TopicPartition, i64>,
}

/// What administrators were told about a topic.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Said to be created.
    pub is_created: bool,
    /// Somebody asked for its deletion.
    pub may_be_deleted: bool,
    /// Said to be deleted.
    pub is_deleted: bool,
    /// At least so many partitions.
    pub partitions_min: i32,
    /// The last value of `retention.ms` that was acknowledged.
    pub retention_ms: Option<i64>,
    /// Values that were asked for since, without an answer.
    pub retention_ms_maybe: Vec<i64>,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}.{}", self.producer.0, self.sequence)
    }
}

impl RecordId {
    /// The value of a record starts with its id and a space.
    #[must_use]
    pub fn of_value(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (producer, sequence) = text.split(' ').next()?.strip_prefix('r')?.split_once('.')?;
        Some(Self {
            producer: ProducerId(producer.parse().ok()?),
            sequence: sequence.parse().ok()?,
        })
    }
}

impl Oracle {
    /// Something is not as it must be.
    pub fn violate(&mut self, what: fmt::Arguments<'_>) {
        self.violations.push(what.to_string());
    }

    /// What was found to be wrong so far.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// How many records were sent, acknowledged, and seen.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let is_acknowledged = |sent: &&Sent| matches!(sent.delivery, Delivery::Acknowledged(_));
        let acknowledged = self.records.values().filter(is_acknowledged).count();
        let seen = self.seen.0.values().map(BTreeMap::len).sum();
        (self.records.len(), acknowledged, seen)
    }

    /// A producer begins.
    pub fn producer(&mut self, promise: Promise) -> ProducerId {
        self.producers.push(promise);
        ProducerId(u32::try_from(self.producers.len() - 1).expect("few"))
    }

    /// A record is about to be given to a producer.
    pub fn sending(
        &mut self,
        id: RecordId,
        topic: &'static str,
        transaction: Option<TransactionId>,
    ) {
        let sent = Sent { topic, delivery: Delivery::Unknown, transaction };
        self.records.insert(id, sent);
    }

    /// It was refused, and is promised not to be sent.
    pub fn refused(&mut self, id: RecordId) {
        self.sent(id).delivery = Delivery::Refused;
    }

    /// It is acknowledged.
    pub fn acknowledged(&mut self, id: RecordId, partition: i32, offset: Option<i64>) {
        let sent = self.sent(id);
        sent.delivery = Delivery::Acknowledged(offset);
        let partition = TopicPartition::new(sent.topic, partition);
        if let Some(offset) = offset {
            self.is_at(&partition, offset, id, "the acknowledgement");
        }
    }

    fn sent(&mut self, id: RecordId) -> &mut Sent {
        self.records.get_mut(&id).expect("who tells of it has told that it sends it")
    }

    /// A transaction begins.
    pub fn begin(&mut self) -> TransactionId {
        self.transactions.push(Fate::Open);
        TransactionId(u32::try_from(self.transactions.len() - 1).expect("few"))
    }

    /// Its commit is about to be asked for.
    pub fn committing(&mut self, transaction: TransactionId) {
        *self.fate(transaction) = Fate::CommitAsked;
    }

    /// Its commit is acknowledged.
    pub fn committed(&mut self, transaction: TransactionId) {
        *self.fate(transaction) = Fate::Committed;
    }

    /// Its abort is acknowledged.
    pub fn aborted(&mut self, transaction: TransactionId) {
        *self.fate(transaction) = Fate::Aborted;
        if self.seen_committed.contains(&transaction) {
            self.violate(format_args!("{transaction:?} was read as committed, and is aborted"));
        }
    }

    fn fate(&mut self, transaction: TransactionId) -> &mut Fate {
        &mut self.transactions[transaction.0 as usize]
    }

    /// Somebody read a record.
    pub fn saw(
        &mut self,
        reader: &str,
        is_committed: bool,
        partition: &TopicPartition,
        offset: i64,
        id: RecordId,
    ) {
        self.is_at(partition, offset, id, reader);
        let Some(sent) = self.records.get(&id) else {
            self.violate(format_args!("{reader} saw {id}, which nobody sent"));
            return;
        };
        if sent.topic != &*partition.topic {
            let topic = sent.topic;
            self.violate(format_args!("{reader} saw {id}, sent to {topic}, in {partition}"));
        } else if sent.delivery == Delivery::Refused {
            self.violate(format_args!("{reader} saw {id}, which was refused"));
        } else if let (true, Some(transaction)) = (is_committed, sent.transaction) {
            let fate = self.transactions[transaction.0 as usize];
            if matches!(fate, Fate::Open | Fate::Aborted) {
                self.violate(format_args!(
                    "{reader}, who reads what is committed, saw {id} of {transaction:?}, which is {fate:?}"
                ));
            }
            self.seen_committed.insert(transaction);
        }
    }

    /// At an offset there is one record, for ever.
    fn is_at(&mut self, partition: &TopicPartition, offset: i64, id: RecordId, who: &str) {
        let before = *self.seen.0.entry(partition.clone()).or_default().entry(offset).or_insert(id);
        if before != id {
            self.violate(format_args!(
                "{partition}@{offset} is {id} by {who}, and was {before} before"
            ));
        }
    }

    /// What was acknowledged or seen so far, and must be found by who begins to look now.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Records before an offset are about to be deleted.
    pub fn deleting(&mut self, partition: &TopicPartition, before: i64) {
        let deleted = self.deleted.entry(partition.clone()).or_insert(0);
        *deleted = before.max(*deleted);
    }

    /// What administrators know of a topic.
    pub fn topic(&mut self, name: &str) -> &mut Topic {
        self.topics.entry(name.to_owned()).or_default()
    }

    /// All topics that administrators touched.
    #[must_use]
    pub fn topics(&self) -> &BTreeMap<String, Topic> {
        &self.topics
    }

    /// A reader begins that reads a whole topic.
    pub fn follower(&mut self, topic: &'static str, is_committed: bool) -> usize {
        let (seen, next) = (BTreeMap::new(), BTreeMap::new());
        self.followers.push(Follower { topic, is_committed, seen, next });
        self.followers.len() - 1
    }

    /// It got a record.
    pub fn followed(&mut self, follower: usize, partition: &TopicPartition, offset: i64) {
        let reader = &mut self.followers[follower];
        let next = reader.next.entry(partition.clone()).or_insert(0);
        if offset < *next {
            let next = *next;
            self.violate(format_args!(
                "follower {follower} got {partition}@{offset} after {}",
                next - 1
            ));
            return;
        }
        *next = offset + 1;
        reader.seen.entry(partition.clone()).or_default().insert(offset);
    }

    /// A member of a group got a record.
    pub fn delivered(&mut self, group: &str, partition: &TopicPartition, offset: i64) {
        let delivered = &mut self.group(group).delivered;
        delivered.entry(partition.clone()).or_default().insert(offset);
    }

    /// A member asks for a commit.
    pub fn offset_committing(&mut self, group: &str, partition: &TopicPartition, offset: i64) {
        let unanswered = &mut self.group(group).unanswered;
        unanswered.entry(partition.clone()).or_default().insert(offset);
    }

    /// It was acknowledged.
    pub fn offset_committed(&mut self, group: &str, partition: &TopicPartition, offset: i64) {
        let group = self.group(group);
        if let Some(unanswered) = group.unanswered.get_mut(partition) {
            unanswered.remove(&offset);
        }
        let committed = group.committed.entry(partition.clone()).or_insert(offset);
        *committed = offset.max(*committed);
    }

    /// Somebody was told what a group has committed.
    pub fn offset_read(&mut self, name: &str, partition: &TopicPartition, offset: Option<i64>) {
        let group = self.group(name);
        let Some(&committed) = group.committed.get(partition) else { return };
        // A commit that nobody waits for any more may still arrive.
        let is_late =
            offset.is_some_and(|o| group.unanswered.get(partition).is_some_and(|u| u.contains(&o)));
        if !is_late && offset.is_none_or(|offset| offset < committed) {
            self.violate(format_args!(
                "group {name} committed {committed} in {partition}, and has {offset:?}"
            ));
        }
    }

    /// What a member owns; `None` when it ends.
    pub fn owns(&mut self, group: &str, member: usize, owned: Option<BTreeSet<TopicPartition>>) {
        let assignments = &mut self.group(group).assignments;
        match owned {
            Some(owned) => assignments.insert(member, owned),
            None => assignments.remove(&member),
        };
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }
}
