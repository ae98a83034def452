//! Records come in, batches come out: the part of a producer that callers' threads run.
//!
//! Each partition has a queue of batches, of which the last one is open for further records. Who
//! opens or fills a batch leaves a word for the [sender](super::sender), which takes batches off
//! the queues; nothing else is shared with it on this way.
//!
//! A batch is charged to `buffer.memory` as a whole when it is opened, so that a record costs a
//! lock of its partition and the copy of its bytes, and no more.

use super::batch::{Callback, OpenBatch, Ticket};
use super::delivery::{Delivery, DeliveryResult, Outcome};
use super::error::ProducerError;
use super::partitioner::{Load, Unkeyed, murmur2};
use crate::error::Error;
use afluente_env::clock::{Clock, Moment};
use afluente_protocol::records::{BATCH_HEADER_BYTES, BatchBuilder, BatchOptions, NewRecord};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, oneshot};

/// What bounds batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// `batch.size`: no further record is put into a batch beyond it.
    pub(crate) batch_bytes: usize,
    /// `buffer.memory`.
    pub(crate) memory_bytes: usize,
    pub(crate) options: BatchOptions,
}

/// The batches of a producer that are not handed to the sender.
#[derive(Debug)]
pub(crate) struct Accumulator {
    limits: Limits,
    clock: Clock,
    topics: RwLock<HashMap<Box<str>, Arc<Topic>, BuildHasherDefault<NameHasher>>>,
    /// What is left of `buffer.memory`; who waits is served in turn.
    memory: Semaphore,
    /// How many wait for memory, or for everything to be sent: while there are any, no batch waits
    /// for `linger.ms`.
    hurried: AtomicUsize,
    incomplete: Mutex<Incomplete>,
    pub(crate) inbox: Inbox,
}

/// Hashes names of topics, once for each record. The program chooses the names, so nobody can choose
/// them for the sake of their hashes.
#[derive(Debug, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        // The multiplication moves what differs to the upper bits, which the table looks at first.
        let hash = u64::from(murmur2(bytes).cast_unsigned());
        self.0 = (self.0 ^ hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u8(&mut self, _: u8) {
        // The end of a name: there is nothing behind it.
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// A topic that records went to.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) unkeyed: Unkeyed,
    partitions: RwLock<Vec<Arc<Partition>>>,
    /// How many of these there are at present: a topic may be made anew with fewer.
    count: AtomicUsize,
}

/// A partition with its queue.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) index: i32,
    /// The broker that leads it; -1 if there is none.
    pub(crate) leader: AtomicI32,
    /// The place that the sender gave to it.
    pub(crate) lane: AtomicUsize,
    /// The transaction that it belongs to, and the one that the coordinator knows it to belong to.
    pub(crate) transaction: AtomicU64,
    pub(crate) transaction_added: AtomicU64,
    batches_queued: AtomicU32,
    queue: Mutex<Queue>,
}

/// No place given yet.
pub(crate) const NO_LANE: usize = usize::MAX;

#[derive(Debug, Default)]
struct Queue {
    full: VecDeque<OpenBatch>,
    open: Option<OpenBatch>,
}

/// What came of an attempt to add a record.
pub(crate) enum Added {
    /// It is in a batch.
    Done {
        delivery: Delivery,
        /// What the batch has grown by.
        bytes: u32,
        /// Whether it was the last one of a batch.
        batch_ended: bool,
    },
    /// So much memory is needed first.
    NeedsMemory(u32),
}

/// Memory that is charged and not used yet.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    accumulator: &'a Accumulator,
    bytes: u32,
}

/// While one is held, batches are sent as soon as they can be.
#[derive(Debug)]
pub(crate) struct Hurry<'a>(&'a Accumulator);

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.hurried.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Words for the sender.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    words: Mutex<Vec<Word>>,
    /// Whether the sender, which sleeps, wants to know of a batch that was opened.
    pub(crate) wants_opened: AtomicBool,
    /// Whether it wants to know of a batch that is full.
    pub(crate) wants_full: AtomicBool,
    notify: Notify,
}

/// A word for the sender.
#[derive(Debug)]
pub(crate) enum Word {
    /// A batch was opened at this time.
    Opened(Arc<Partition>, Moment),
    /// A batch is full.
    Full(Arc<Partition>),
}

/// Batches that are not settled, by number.
#[derive(Debug, Default)]
struct Incomplete {
    begun: u64,
    /// How many parts of each are not settled; more than one for a batch that was split.
    open: BTreeMap<u64, u32>,
    waiting: Vec<(u64, oneshot::Sender<()>)>,
}

/// What a record adds to a batch at most, besides its key, value and headers: seven lengths and
/// deltas and a byte.
const RECORD_OVERHEAD_MAX: usize = 31;
/// As above, for each header.
const HEADER_OVERHEAD_MAX: usize = 10;

/// The bytes of a batch with this one record, at most.
pub(crate) fn bytes_upper_bound(record: &NewRecord<'_>) -> usize {
    let part = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let headers: usize =
        record.headers.iter().map(|h| HEADER_OVERHEAD_MAX + h.key.len() + part(h.value)).sum();
    BATCH_HEADER_BYTES + RECORD_OVERHEAD_MAX + part(record.key) + part(record.value) + headers
}

impl Accumulator {
    pub(crate) fn new(limits: Limits, clock: Clock) -> Self {
        Self {
            limits,
            clock,
            topics: RwLock::default(),
            memory: Semaphore::new(limits.memory_bytes.min(Semaphore::MAX_PERMITS)),
            hurried: AtomicUsize::new(0),
            incomplete: Mutex::default(),
            inbox: Inbox::default(),
        }
    }

    /// A topic that is known.
    pub(crate) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().get(name).cloned()
    }

    /// The names of all topics, sorted.
    pub(crate) fn topic_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.topics.read().keys().map(|name| name.to_string()).collect();
        names.sort_unstable();
        names
    }

    /// Makes a topic known, or takes note of its leaders, one for each partition.
    pub(crate) fn set_topic(&self, name: &str, leaders: &[Option<i32>]) -> Arc<Topic> {
        let topic = {
            let mut topics = self.topics.write();
            let fresh = || {
                Arc::new(Topic {
                    name: name.into(),
                    unkeyed: Unkeyed::new(),
                    partitions: RwLock::default(),
                    count: AtomicUsize::new(0),
                })
            };
            Arc::clone(topics.entry(name.into()).or_insert_with(fresh))
        };
        let mut partitions = topic.partitions.write();
        for (index, leader) in leaders.iter().enumerate() {
            let leader = leader.unwrap_or(-1);
            match partitions.get(index) {
                Some(partition) => partition.leader.store(leader, Ordering::Relaxed),
                None => partitions.push(Arc::new(Partition::new(&topic.name, index, leader))),
            }
        }
        for gone in partitions.iter().skip(leaders.len()) {
            gone.leader.store(-1, Ordering::Relaxed);
        }
        topic.count.store(leaders.len(), Ordering::Relaxed);
        drop(partitions);
        topic
    }

    /// Lets no batch linger until the guard is dropped.
    pub(crate) fn hurry(&self) -> Hurry<'_> {
        self.hurried.fetch_add(1, Ordering::SeqCst);
        self.inbox.wake();
        Hurry(self)
    }

    /// Whether somebody holds a [`Hurry`].
    pub(crate) fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::SeqCst) > 0
    }

    /// Waits for memory.
    pub(crate) async fn reserve(&self, bytes: u32) -> Reserved<'_> {
        let _hurry = self.hurry();
        let permit = self.memory.acquire_many(bytes).await;
        permit.expect("the semaphore is never closed").forget();
        Reserved { accumulator: self, bytes }
    }

    /// Memory that nobody uses, in bytes.
    pub(crate) fn memory_available(&self) -> usize {
        self.memory.available_permits()
    }

    fn try_reserve(&self, bytes: u32) -> Option<Reserved<'_>> {
        self.memory.try_acquire_many(bytes).ok()?.forget();
        Some(Reserved { accumulator: self, bytes })
    }

    /// A batch, or a part of one, is settled: its memory is free, and who waits for it is told.
    pub(crate) fn completed(&self, number: u64, memory_bytes: usize) {
        self.memory.add_permits(memory_bytes);
        let mut incomplete = self.incomplete.lock();
        if let Some(parts) = incomplete.open.get_mut(&number) {
            *parts -= 1;
            if *parts == 0 {
                incomplete.open.remove(&number);
            }
        }
        if !incomplete.waiting.is_empty() {
            let first_open =
                incomplete.open.first_key_value().map_or(u64::MAX, |(first, _)| *first);
            let (done, waiting) = std::mem::take(&mut incomplete.waiting)
                .into_iter()
                .partition(|(last, _)| *last < first_open);
            incomplete.waiting = waiting;
            for (_, tell) in done {
                // Who waited may have gone.
                let _ = tell.send(());
            }
        }
    }

    /// A batch has become `parts` ones.
    pub(crate) fn was_split(&self, number: u64, parts: u32) {
        if let Some(open) = self.incomplete.lock().open.get_mut(&number) {
            *open += parts - 1;
        }
    }

    /// Told once every batch that was begun until here is settled; `None` if all are.
    pub(crate) fn until_complete(&self) -> Option<oneshot::Receiver<()>> {
        let mut incomplete = self.incomplete.lock();
        if incomplete.open.is_empty() {
            return None;
        }
        let (tell, told) = oneshot::channel();
        let last = incomplete.begun;
        // Those who gave up waiting.
        incomplete.waiting.retain(|(_, tell)| !tell.is_closed());
        incomplete.waiting.push((last, tell));
        Some(told)
    }

    /// How many batches are not settled.
    pub(crate) fn incomplete_count(&self) -> usize {
        self.incomplete.lock().open.len()
    }

    fn begin(&self) -> u64 {
        let mut incomplete = self.incomplete.lock();
        incomplete.begun += 1;
        let number = incomplete.begun;
        incomplete.open.insert(number, 1);
        number
    }

    /// Adds a record to the queue of `partition`. `reserved` is used if a batch has to be opened.
    ///
    /// # Errors
    /// What is wrong with the record.
    pub(crate) fn add(
        &self,
        partition: &Arc<Partition>,
        record: &NewRecord<'_>,
        reserved: &mut Option<Reserved<'_>>,
        callback: &mut Option<Box<dyn FnOnce(DeliveryResult) + Send>>,
    ) -> Result<Added, Error> {
        let mut queue = partition.queue.lock();
        if let Some(open) = &mut queue.open {
            let added = open.builder.record_bytes(record);
            let size = open.builder.size_bytes_uncompressed() + added;
            if size <= self.limits.batch_bytes {
                open.builder.append(record).map_err(invalid)?;
                let delivery = open.delivery(record.timestamp, callback.take());
                let batch_ended = size + RECORD_OVERHEAD_MAX > self.limits.batch_bytes;
                if batch_ended {
                    self.end_open(&mut queue, partition);
                }
                return Ok(Added::Done { delivery, bytes: clamped(added), batch_ended });
            }
            self.end_open(&mut queue, partition);
        }
        let wanted = self.limits.batch_bytes.max(bytes_upper_bound(record));
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let mut memory = match reserved.take().filter(|reserved| reserved.bytes >= wanted) {
            Some(reserved) => reserved,
            None => match self.try_reserve(wanted) {
                Some(reserved) => reserved,
                None => return Ok(Added::NeedsMemory(wanted)),
            },
        };
        let room = usize::try_from(memory.bytes).unwrap_or(usize::MAX) - BATCH_HEADER_BYTES;
        let mut builder = BatchBuilder::with_capacity(self.limits.options, room);
        builder.append(record).map_err(invalid)?;
        let size = builder.size_bytes_uncompressed();
        let outcome = Outcome::new(Arc::clone(&partition.topic), partition.index);
        let created = self.clock.now();
        let number = self.begin();
        let ticket = Ticket {
            number,
            outcome,
            callbacks: Vec::new(),
            created,
            memory_bytes: std::mem::take(&mut memory.bytes) as usize,
        };
        let mut open = OpenBatch { builder, ticket };
        let delivery = open.delivery(record.timestamp, callback.take());
        queue.open = Some(open);
        partition.batches_queued.fetch_add(1, Ordering::Relaxed);
        let batch_ended = size + RECORD_OVERHEAD_MAX > self.limits.batch_bytes;
        self.inbox.put(Word::Opened(Arc::clone(partition), created));
        if batch_ended {
            self.end_open(&mut queue, partition);
        }
        Ok(Added::Done { delivery, bytes: clamped(size - BATCH_HEADER_BYTES), batch_ended })
    }

    fn end_open(&self, queue: &mut Queue, partition: &Arc<Partition>) {
        if let Some(open) = queue.open.take() {
            queue.full.push_back(open);
            self.inbox.put(Word::Full(Arc::clone(partition)));
        }
    }
}

fn invalid(error: afluente_protocol::records::RecordsError) -> Error {
    ProducerError::InvalidRecord { problem: error.to_string() }.into()
}

fn clamped(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl OpenBatch {
    /// The delivery of the record that was appended last.
    fn delivery(
        &mut self,
        timestamp: i64,
        callback: Option<Box<dyn FnOnce(DeliveryResult) + Send>>,
    ) -> Delivery {
        let index = clamped(self.builder.record_count() - 1);
        if let Some(call) = callback {
            self.ticket.callbacks.push(Callback { index, timestamp, call });
        }
        Delivery { outcome: Arc::clone(&self.ticket.outcome), index, timestamp }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.accumulator.memory.add_permits(self.bytes as usize);
    }
}

impl Topic {
    /// How many partitions it has.
    pub(crate) fn partition_count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The partition of that number, if there is one.
    pub(crate) fn partition(&self, index: usize) -> Option<Arc<Partition>> {
        if index >= self.partition_count() {
            return None;
        }
        self.partitions.read().get(index).cloned()
    }

    /// Looks at how much waits for each partition.
    pub(crate) fn with_loads<T>(
        &self,
        look: impl FnOnce(&mut dyn Iterator<Item = Load>, usize) -> T,
    ) -> T {
        let partitions = self.partitions.read();
        let count = self.partition_count().min(partitions.len());
        let mut loads = partitions[..count].iter().map(|partition| partition.load());
        look(&mut loads, count)
    }

    /// How much waits for each partition.
    pub(crate) fn loads(&self) -> Vec<Load> {
        self.with_loads(|loads, _| loads.collect())
    }
}

impl Partition {
    fn new(topic: &Arc<str>, index: usize, leader: i32) -> Self {
        Self {
            topic: Arc::clone(topic),
            index: i32::try_from(index).expect("partition numbers are i32"),
            leader: AtomicI32::new(leader),
            lane: AtomicUsize::new(NO_LANE),
            transaction: AtomicU64::new(0),
            transaction_added: AtomicU64::new(0),
            batches_queued: AtomicU32::new(0),
            queue: Mutex::default(),
        }
    }

    fn load(&self) -> Load {
        Load {
            batches_queued: self.batches_queued.load(Ordering::Relaxed),
            is_available: self.leader.load(Ordering::Relaxed) >= 0,
        }
    }

    /// The next batch to send: a full one, or the open one if it is old enough.
    pub(crate) fn pop(&self, due: Due) -> Option<OpenBatch> {
        let mut queue = self.queue.lock();
        let popped = match queue.full.pop_front() {
            Some(full) => Some(full),
            None if is_due(&queue, due) => queue.open.take(),
            None => None,
        };
        if popped.is_some() {
            self.batches_queued.fetch_sub(1, Ordering::Relaxed);
        }
        popped
    }

    /// Whether [`Partition::pop`] would give one.
    pub(crate) fn has_ready(&self, due: Due) -> bool {
        let queue = self.queue.lock();
        !queue.full.is_empty() || is_due(&queue, due)
    }

    /// What the next full batch adds to a request at most; 0 if there is none.
    pub(crate) fn next_bytes(&self) -> usize {
        let queue = self.queue.lock();
        let next = queue.full.front().or(queue.open.as_ref());
        next.map_or(0, |batch| batch.builder.size_bytes_uncompressed())
    }

    /// Whether no batch waits.
    pub(crate) fn is_empty(&self) -> bool {
        let queue = self.queue.lock();
        queue.full.is_empty() && queue.open.is_none()
    }

    /// When the oldest batch that waits was begun.
    pub(crate) fn oldest(&self) -> Option<Moment> {
        let queue = self.queue.lock();
        queue.full.front().or(queue.open.as_ref()).map(|batch| batch.ticket.created)
    }

    /// Takes the batches off that are so old.
    pub(crate) fn take_older(&self, age: Due) -> Vec<OpenBatch> {
        let mut queue = self.queue.lock();
        let mut taken = Vec::new();
        while queue.full.front().is_some_and(|batch| age.has_come(batch.ticket.created)) {
            taken.extend(queue.full.pop_front());
        }
        if queue.full.is_empty() && is_due(&queue, age) {
            taken.extend(queue.open.take());
        }
        self.batches_queued.fetch_sub(clamped(taken.len()), Ordering::Relaxed);
        taken
    }

    /// Takes all batches off.
    pub(crate) fn take_all(&self) -> Vec<OpenBatch> {
        let mut queue = self.queue.lock();
        let mut taken: Vec<_> = queue.full.drain(..).collect();
        taken.extend(queue.open.take());
        self.batches_queued.fetch_sub(clamped(taken.len()), Ordering::Relaxed);
        taken
    }
}

fn is_due(queue: &Queue, due: Due) -> bool {
    queue.open.as_ref().is_some_and(|open| due.has_come(open.ticket.created))
}

/// How old a batch has to be for something to happen to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) now: Moment,
    pub(crate) age: Duration,
}

impl Due {
    /// Whether a batch that was begun at `created` is old enough.
    pub(crate) fn has_come(self, created: Moment) -> bool {
        created + self.age <= self.now
    }
}

impl Inbox {
    fn put(&self, word: Word) {
        let wants = match word {
            Word::Opened(..) => &self.wants_opened,
            Word::Full(_) => &self.wants_full,
        };
        self.words.lock().push(word);
        // The look comes after the word: a sender that goes to sleep says what it wants first, and
        // looks for words then.
        if wants.load(Ordering::SeqCst) && wants.swap(false, Ordering::SeqCst) {
            self.notify.notify_one();
        }
    }

    /// Takes all words.
    pub(crate) fn take(&self, into: &mut Vec<Word>) {
        std::mem::swap(&mut *self.words.lock(), into);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.lock().is_empty()
    }

    /// Wakes the sender.
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Waits for [`Inbox::wake`], or for a word that is wanted.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}
