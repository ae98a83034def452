//! A running graph: the nodes of one task, its stores, and the way of a record through them.
//!
//! A record goes depth first, by value, from node to node; it is cloned only where it has several children, and no node
//! allocates for the handing over. What sinks and stores write is collected in [`Graph::take_output`]; who runs the graph sends
//! it. The graph knows no threads, no clock and no broker.

mod build;
mod punctuation;

use crate::error::{Error, Flow};
use crate::handlers::{FailedRecord, Handlers, OnError};
use crate::processors::stream_join::JoinTime;
use crate::record::{Data, Headers, Record};
use crate::stores::record_cache::{RecordCache, Update};
use crate::stores::suppress_buffer::VERSION_HEADER;
use crate::stores::{Store, StoreKind, StoreSpec};
use bytes::Bytes;
use parking_lot::Mutex;
use punctuation::Punctuations;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

pub use punctuation::{PunctuationKind, ScheduleId};

/// Which part of the topology, and which partition of its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// Number of the sub-topology, as in the description.
    pub subtopology: u32,
    /// Partition.
    pub partition: i32,
}

impl std::fmt::Display for TaskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}

/// The time of a record that is stamped when it is sent.
pub const NO_TIMESTAMP: i64 = -1;

/// A record that left the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Where to.
    pub topic: Arc<str>,
    /// Which partition.
    pub partition: PartitionChoice,
    /// Bytes of the key.
    pub key: Option<Bytes>,
    /// Bytes of the value.
    pub value: Option<Bytes>,
    /// Milliseconds since the epoch, or [`NO_TIMESTAMP`].
    pub timestamp: i64,
    /// Headers.
    pub headers: Headers,
}

/// How the partition of a produced record is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionChoice {
    /// As producers do it: by the hash of the key, or anywhere without one.
    ByKey,
    /// By the hash of these bytes.
    ByBytes(Bytes),
    /// This one.
    Exactly(i32),
}

/// An update of a cached store that goes on, as bytes.
pub(crate) struct Flushed {
    /// The key in the store.
    pub(crate) entry: Bytes,
    /// What the store had before.
    pub(crate) old: Option<Bytes>,
    /// What it has.
    pub(crate) new: Option<Bytes>,
    /// Time of the record that made the update.
    pub(crate) timestamp: i64,
    /// Its headers.
    pub(crate) headers: Headers,
}

/// A node of any type of record. What is handed over is an `Option<Record<K, V>>` that the node takes.
pub(crate) trait Node: Send {
    fn init(&mut self, _ctx: &Context<'_>) -> Flow {
        Ok(())
    }

    fn process(&mut self, record: &mut dyn Any, ctx: &Context<'_>) -> Flow;

    fn punctuate(&mut self, _schedule: ScheduleId, _timestamp: i64, _ctx: &Context<'_>) -> Flow {
        Ok(())
    }

    fn flushed(&mut self, _update: Flushed, _ctx: &Context<'_>) -> Flow {
        Ok(())
    }

    fn close(&mut self, _ctx: &Context<'_>) -> Flow {
        Ok(())
    }
}

/// A node that knows its types.
pub(crate) trait Step<K, V>: Send {
    fn init(&mut self, _ctx: &Context<'_>) -> Flow {
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow;

    fn punctuate(&mut self, _schedule: ScheduleId, _timestamp: i64, _ctx: &Context<'_>) -> Flow {
        Ok(())
    }

    /// Passes an update on that its cached store held back.
    fn flushed(&mut self, _update: Flushed, _ctx: &Context<'_>) -> Flow {
        Ok(())
    }

    fn close(&mut self, _ctx: &Context<'_>) -> Flow {
        Ok(())
    }
}

struct StepNode<K, V, S>(S, PhantomData<fn(K, V)>);

/// Hides the types of a step.
pub(crate) fn node<K: Data, V: Data>(step: impl Step<K, V> + 'static) -> Box<dyn Node> {
    Box::new(StepNode(step, PhantomData))
}

impl<K: Data, V: Data, S: Step<K, V>> Node for StepNode<K, V, S> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.0.init(ctx)
    }

    fn process(&mut self, record: &mut dyn Any, ctx: &Context<'_>) -> Flow {
        let Some(record) = record.downcast_mut::<Option<Record<K, V>>>() else {
            return Err(Error::Operator {
                node: ctx.node_name().to_owned(),
                reason: format!(
                    "its parent forwards other types than <{}, {}>",
                    std::any::type_name::<K>(),
                    std::any::type_name::<V>()
                ),
            });
        };
        let record = record.take().expect("a parent hands each record to a child once");
        self.0.process(record, ctx)
    }

    fn punctuate(&mut self, schedule: ScheduleId, timestamp: i64, ctx: &Context<'_>) -> Flow {
        self.0.punctuate(schedule, timestamp, ctx)
    }

    fn flushed(&mut self, update: Flushed, ctx: &Context<'_>) -> Flow {
        self.0.flushed(update, ctx)
    }

    fn close(&mut self, ctx: &Context<'_>) -> Flow {
        self.0.close(ctx)
    }
}

/// A record as it comes from a topic: bytes.
pub(crate) type RawRecord = Record<Bytes, Bytes>;

struct NodeCell {
    name: Arc<str>,
    children: Box<[u32]>,
    body: RefCell<Box<dyn Node>>,
}

struct StoreCell {
    spec: StoreSpec,
    /// Where changes are written, if they are.
    changelog: Option<Arc<str>>,
    body: StoreBody,
    cache: Option<Cache>,
}

struct Cache {
    /// The node that passes updates on.
    owner: usize,
    updates: RefCell<RecordCache>,
}

enum StoreBody {
    Own(RefCell<Store>),
    /// A global store: written by one graph, read by all.
    Shared(Arc<Mutex<Store>>),
}

/// A global store that several graphs see.
pub(crate) type SharedStore = Arc<Mutex<Store>>;

/// Where the record that is being processed came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// See the module.
pub struct Graph {
    nodes: Vec<NodeCell>,
    stores: Vec<StoreCell>,
    store_index: HashMap<String, usize>,
    /// Stores in the order of their nodes: what one passes on, a later one may hold back.
    flush_order: Vec<usize>,
    is_caching: Cell<bool>,
    sources: HashMap<Arc<str>, usize>,
    task: TaskId,
    application: Arc<str>,
    timestamp: Cell<i64>,
    headers: RefCell<Headers>,
    origin: RefCell<Option<Origin>>,
    stream_time: Cell<i64>,
    wall_ms: Cell<i64>,
    output: RefCell<Vec<Produced>>,
    punctuations: RefCell<Punctuations>,
    dropped: Cell<u64>,
    wants_commit: Cell<bool>,
    emit_interval_ms: Cell<i64>,
    /// What the joins know of time, by the name of the join.
    join_times: RefCell<Vec<(Arc<str>, JoinTime)>>,
    failures: Option<Failures>,
}

/// What is done about errors, if they do not simply end the task.
struct Failures {
    handlers: Handlers,
    /// Key and value of the record that came from the topic.
    raw: RefCell<(Option<Bytes>, Option<Bytes>)>,
    /// An error is on its way out, and was decided about where it happened.
    is_failing: Cell<bool>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("task", &self.task).finish_non_exhaustive()
    }
}

impl Graph {
    /// Lets one record of a topic through. `timestamp` is the event time.
    ///
    /// # Errors
    ///
    /// What an operator or a serde said; the record has been processed in part, and the task must not go on as if it had
    /// been processed whole.
    pub fn process(&self, origin: Origin, record: Record<Bytes, Bytes>) -> Flow {
        let Some(source) = self.sources.get(&origin.topic).copied() else {
            return Err(Error::Topology(format!(
                "task {} has no source for topic \"{}\"",
                self.task, origin.topic
            )));
        };
        self.stream_time.set(self.stream_time.get().max(record.timestamp));
        self.timestamp.set(record.timestamp);
        *self.headers.borrow_mut() = record.headers.clone();
        *self.origin.borrow_mut() = Some(origin);
        if let Some(failures) = &self.failures {
            *failures.raw.borrow_mut() = (record.key.clone(), record.value.clone());
            failures.is_failing.set(false);
        }
        let done = self.enter(source, record);
        *self.origin.borrow_mut() = None;
        done
    }

    fn enter(&self, at: usize, record: RawRecord) -> Flow {
        let mut slot = Some(record);
        let ctx = Context { graph: self, node: at };
        let done = self.nodes[at].body.borrow_mut().process(&mut slot, &ctx);
        done.or_else(|error| self.failed(at, error))
    }

    /// Decides about an error where it happened: a record that is left out is left out from there on, and what its other
    /// branches do goes on.
    fn failed(&self, at: usize, error: Error) -> Flow {
        let Some(failures) = &self.failures else { return Err(error) };
        if failures.is_failing.get() {
            return Err(error);
        }
        let raw = failures.raw.borrow();
        let origin = self.origin.borrow();
        let failed = FailedRecord {
            error: &error,
            task: self.task,
            node: &self.nodes[at].name,
            origin: origin.as_ref(),
            key: raw.0.as_ref(),
            value: raw.1.as_ref(),
        };
        let decided = failures.handlers.decide(&failed);
        if let Some(letter) = failures.handlers.dead_letter(&failed, self.timestamp.get()) {
            self.output.borrow_mut().push(letter);
        }
        if decided == OnError::Continue {
            self.dropped.set(self.dropped.get() + 1);
            return Ok(());
        }
        failures.is_failing.set(true);
        Err(error)
    }

    /// Lets these decide about errors.
    pub(crate) fn set_handlers(&mut self, handlers: &Handlers) {
        self.failures = (!handlers.is_empty()).then(|| Failures {
            handlers: handlers.clone(),
            raw: RefCell::default(),
            is_failing: Cell::new(false),
        });
    }

    /// What the task knew of time when it was last committed.
    pub(crate) fn set_stream_time(&self, stream_time: i64) {
        self.stream_time.set(self.stream_time.get().max(stream_time));
    }

    /// Lets stores hold updates back until [`Self::flush`].
    pub(crate) fn set_caching(&self, is_caching: bool) {
        self.is_caching.set(is_caching);
    }

    /// About how much memory takes what is held back.
    pub(crate) fn cached_bytes(&self) -> usize {
        let caches = self.stores.iter().filter_map(|store| store.cache.as_ref());
        caches.map(|cache| cache.updates.borrow().size_bytes()).sum()
    }

    /// Lets go on what stores hold back, and lets them write what they keep until a commit.
    pub(crate) fn flush(&self) -> Flow {
        for id in &self.flush_order {
            self.flush_cache(&self.stores[*id])?;
        }
        self.log_suppressed();
        Ok(())
    }

    fn flush_cache(&self, store: &StoreCell) -> Flow {
        let Some(cache) = &store.cache else { return Ok(()) };
        let updates = cache.updates.borrow_mut().take();
        for (entry, update) in updates {
            let Update { old, new, logged, logged_at, timestamp, headers, origin } = update;
            // It came and went meanwhile.
            if old.is_none() && new.is_none() {
                continue;
            }
            if let Some(topic) = &store.changelog {
                self.output.borrow_mut().push(Produced {
                    topic: Arc::clone(topic),
                    partition: PartitionChoice::Exactly(self.task.partition),
                    key: Some(entry.clone()),
                    value: logged,
                    timestamp: logged_at,
                    headers: Headers::default(),
                });
            }
            self.timestamp.set(timestamp);
            *self.headers.borrow_mut() = headers.clone();
            *self.origin.borrow_mut() = origin;
            if let Some(failures) = &self.failures {
                failures.is_failing.set(false);
            }
            let ctx = Context { graph: self, node: cache.owner };
            let update = Flushed { entry, old, new, timestamp, headers };
            let done = self.nodes[cache.owner].body.borrow_mut().flushed(update, &ctx);
            let done = done.or_else(|error| self.failed(cache.owner, error));
            *self.origin.borrow_mut() = None;
            done?;
        }
        Ok(())
    }

    fn log_suppressed(&self) {
        for (id, store) in self.stores.iter().enumerate() {
            let Some(topic) = &store.changelog else { continue };
            if store.spec.kind != StoreKind::Suppressed {
                continue;
            }
            let log = self.with_store(id, |store| match store {
                Store::Suppressed(store) => store.take_log(),
                _ => Vec::new(),
            });
            for (key, value) in log {
                let mut headers = Headers::default();
                if value.is_some() {
                    let (name, version) = VERSION_HEADER;
                    headers.add(name, Some(Bytes::from_static(version)));
                }
                self.output.borrow_mut().push(Produced {
                    topic: Arc::clone(topic),
                    partition: PartitionChoice::Exactly(self.task.partition),
                    key: Some(key),
                    value,
                    timestamp: NO_TIMESTAMP,
                    headers,
                });
            }
        }
    }

    /// What sinks and stores wrote since the last call, in order.
    pub fn take_output(&self) -> Vec<Produced> {
        std::mem::take(&mut self.output.borrow_mut())
    }

    /// As [`Self::take_output`], into a buffer of the caller, whose memory is used again.
    pub fn swap_output(&self, buffer: &mut Vec<Produced>) {
        buffer.clear();
        std::mem::swap(&mut *self.output.borrow_mut(), buffer);
    }

    /// Event time of the task: the highest of all its records, or -1.
    pub fn stream_time(&self) -> i64 {
        self.stream_time.get()
    }

    /// Tells the graph the time of day; it has no clock of its own.
    pub fn set_wall_ms(&self, wall_ms: i64) {
        self.wall_ms.set(wall_ms);
    }

    /// How often results of closed windows are looked for, by the time of day.
    pub(crate) fn set_emit_interval_ms(&self, interval_ms: i64) {
        self.emit_interval_ms.set(interval_ms);
    }

    /// Records that operators dropped, as for a null key or a closed window.
    pub fn dropped_records(&self) -> u64 {
        self.dropped.get()
    }

    /// Whether a processor asked for a commit since the last call.
    pub fn take_commit_wish(&self) -> bool {
        self.wants_commit.replace(false)
    }

    /// The task.
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// Topics that the graph reads.
    pub fn source_topics(&self) -> Vec<Arc<str>> {
        let mut topics: Vec<Arc<str>> = self.sources.keys().cloned().collect();
        topics.sort_unstable();
        topics
    }

    pub(crate) fn store_id(&self, name: &str) -> Result<usize, Error> {
        self.store_index.get(name).copied().ok_or_else(|| Error::Store {
            name: name.to_owned(),
            reason: "is not there; connect it to its processor".to_owned(),
        })
    }

    pub(crate) fn with_store<R>(&self, id: usize, work: impl FnOnce(&mut Store) -> R) -> R {
        match &self.stores[id].body {
            StoreBody::Own(store) => work(&mut store.borrow_mut()),
            StoreBody::Shared(store) => work(&mut store.lock()),
        }
    }

    pub(crate) fn store_kind(&self, id: usize) -> crate::stores::StoreKind {
        self.stores[id].spec.kind
    }

    /// Takes a record of a store's changelog in.
    pub(crate) fn restore(
        &self,
        store: usize,
        key: &Bytes,
        value: Option<Bytes>,
        timestamp: i64,
    ) -> Flow {
        let spec = &self.stores[store].spec;
        self.with_store(store, |store| store.restore(spec, key, value, timestamp))
    }

    pub(crate) fn store_specs(
        &self,
    ) -> impl Iterator<Item = (usize, &StoreSpec, Option<&Arc<str>>)> {
        self.stores
            .iter()
            .enumerate()
            .map(|(id, store)| (id, &store.spec, store.changelog.as_ref()))
    }
}

/// What a node sees of the graph while it works.
pub struct Context<'a> {
    graph: &'a Graph,
    node: usize,
}

impl<'a> Context<'a> {
    /// Hands a record to all children. Their types must be those of the record: the DSL and the typed processor API see
    /// to that.
    pub(crate) fn forward<K: Data, V: Data>(&self, record: Record<K, V>) -> Flow {
        let graph = self.graph;
        let children = &graph.nodes[self.node].children;
        let Some((last, others)) = children.split_last() else { return Ok(()) };
        let before = graph.timestamp.replace(record.timestamp);
        for child in others {
            self.hand_over(*child, record.clone())?;
        }
        let done = self.hand_over(*last, record);
        graph.timestamp.set(before);
        done
    }

    /// Does something as if the record at hand came from there.
    pub(crate) fn as_from<R>(&self, origin: Origin, work: impl FnOnce() -> R) -> R {
        let before = self.graph.origin.replace(Some(origin));
        let done = work();
        *self.graph.origin.borrow_mut() = before;
        done
    }

    /// Hands a record to one child.
    pub(crate) fn forward_to<K: Data, V: Data>(&self, child: &str, record: Record<K, V>) -> Flow {
        let graph = self.graph;
        let at = graph.nodes[self.node]
            .children
            .iter()
            .copied()
            .find(|at| &*graph.nodes[*at as usize].name == child);
        let Some(at) = at else {
            return Err(Error::Operator {
                node: self.node_name().to_owned(),
                reason: format!("has no child \"{child}\""),
            });
        };
        let before = graph.timestamp.replace(record.timestamp);
        let done = self.hand_over(at, record);
        graph.timestamp.set(before);
        done
    }

    fn hand_over<K: Data, V: Data>(&self, child: u32, record: Record<K, V>) -> Flow {
        let child = child as usize;
        let mut slot = Some(record);
        let ctx = Context { graph: self.graph, node: child };
        let done = self.graph.nodes[child].body.borrow_mut().process(&mut slot, &ctx);
        done.or_else(|error| self.graph.failed(child, error))
    }

    /// Name of the node.
    pub fn node_name(&self) -> &'a str {
        &self.graph.nodes[self.node].name
    }

    /// The task.
    pub fn task(&self) -> TaskId {
        self.graph.task
    }

    /// The application.
    pub fn application(&self) -> &'a str {
        &self.graph.application
    }

    /// Event time of the record at hand.
    pub fn timestamp(&self) -> i64 {
        self.graph.timestamp.get()
    }

    /// Headers of the record that came from the topic.
    pub fn headers(&self) -> Headers {
        self.graph.headers.borrow().clone()
    }

    /// Where the record at hand came from; `None` in a punctuation.
    pub fn origin(&self) -> Option<Origin> {
        self.graph.origin.borrow().clone()
    }

    /// As [`Self::origin`]; what came from no topic came from nowhere.
    pub(crate) fn origin_or_none(&self) -> Origin {
        let nowhere = || Origin { topic: "".into(), partition: self.task().partition, offset: -1 };
        self.origin().unwrap_or_else(nowhere)
    }

    /// Event time of the task, or -1.
    pub fn stream_time(&self) -> i64 {
        self.graph.stream_time.get()
    }

    /// Time of day.
    pub fn wall_ms(&self) -> i64 {
        self.graph.wall_ms.get()
    }

    /// How often results of closed windows are looked for.
    pub(crate) fn emit_interval_ms(&self) -> i64 {
        self.graph.emit_interval_ms.get()
    }

    /// The place of what both sides of a join know of time.
    pub(crate) fn join_time_id(&self, join: &Arc<str>) -> usize {
        let mut times = self.graph.join_times.borrow_mut();
        times.iter().position(|(name, _)| name == join).unwrap_or_else(|| {
            times.push((Arc::clone(join), JoinTime::default()));
            times.len() - 1
        })
    }

    pub(crate) fn join_time(&self, id: usize) -> JoinTime {
        self.graph.join_times.borrow()[id].1
    }

    pub(crate) fn set_join_time(&self, id: usize, time: JoinTime) {
        self.graph.join_times.borrow_mut()[id].1 = time;
    }

    /// Counts a record that an operator will not process.
    pub(crate) fn drop_record(&self) {
        self.graph.dropped.set(self.graph.dropped.get() + 1);
    }

    /// Asks for a commit soon.
    pub fn commit(&self) {
        self.graph.wants_commit.set(true);
    }

    /// Asks for calls of `punctuate` of this node.
    pub(crate) fn schedule(&self, interval_ms: i64, kind: PunctuationKind) -> ScheduleId {
        let now = self.wall_ms();
        self.graph.punctuations.borrow_mut().add(self.node, interval_ms, kind, now)
    }

    pub(crate) fn cancel(&self, schedule: ScheduleId) {
        self.graph.punctuations.borrow_mut().cancel(schedule);
    }

    pub(crate) fn produce(&self, produced: Produced) {
        self.graph.output.borrow_mut().push(produced);
    }

    pub(crate) fn store_id(&self, name: &str) -> Result<usize, Error> {
        self.graph.store_id(name)
    }

    pub(crate) fn with_store<R>(&self, id: usize, work: impl FnOnce(&mut Store) -> R) -> R {
        self.graph.with_store(id, work)
    }

    /// Whether updates of this store are held back.
    pub(crate) fn is_cached(&self, id: usize) -> bool {
        self.graph.is_caching.get() && self.graph.stores[id].cache.is_some()
    }

    /// Whether an update of this entry is held back already.
    pub(crate) fn holds(&self, id: usize, entry: &[u8]) -> bool {
        let cache = self.graph.stores[id].cache.as_ref();
        cache.is_some_and(|cache| cache.updates.borrow().holds(entry))
    }

    /// Holds an update back. With `is_timestamped`, the changelog gets the value without the time before it.
    pub(crate) fn hold_back(
        &self,
        id: usize,
        entry: Bytes,
        old: Option<Bytes>,
        new: Option<Bytes>,
        is_timestamped: bool,
    ) {
        let Some(cache) = &self.graph.stores[id].cache else { return };
        let timestamp = self.timestamp();
        let (logged, logged_at) = match &new {
            Some(bytes) if is_timestamped => {
                let time = bytes.first_chunk().map_or(timestamp, |time| i64::from_be_bytes(*time));
                (Some(bytes.slice(8.min(bytes.len())..)), time)
            }
            other => (other.clone(), timestamp),
        };
        let (headers, origin) = (self.headers(), self.origin());
        let update = Update { old, new, logged, logged_at, timestamp, headers, origin };
        cache.updates.borrow_mut().hold(entry, update);
    }

    /// Topic name that serdes of the store see: its changelog's, whether there is one or not.
    pub(crate) fn store_topic(&self, name: &str) -> Arc<str> {
        format!("{}-{name}-changelog", self.graph.application).into()
    }

    /// Writes a change of a store to its changelog, if it has one.
    pub(crate) fn log_change(&self, id: usize, key: Bytes, value: Option<Bytes>, timestamp: i64) {
        self.log_change_with(id, key, value, timestamp, Headers::default());
    }

    pub(crate) fn log_change_with(
        &self,
        id: usize,
        key: Bytes,
        value: Option<Bytes>,
        timestamp: i64,
        headers: Headers,
    ) {
        if let Some(topic) = &self.graph.stores[id].changelog {
            self.produce(Produced {
                topic: topic.clone(),
                partition: PartitionChoice::Exactly(self.graph.task.partition),
                key: Some(key),
                value,
                timestamp,
                headers,
            });
        }
    }
}
