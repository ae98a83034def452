//! Runs a topology by hand: no broker, no threads, and time only as told.
//!
//! All sub-topologies run as one task, as in Kafka Streams' own test driver; a record that is written to a topic which the
//! topology reads is read at once.

use crate::engine::{Graph, Origin, Produced, TaskId};
use crate::error::{Error, Flow};
use crate::record::Record;
use crate::stores::{MapSource, MemoryMaps, Store, StoreKind};
use crate::topology::{NodeKind, RawInput, TimestampExtractor, Topology};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub struct TestDriver {
    graph: Graph,
    global: Option<Graph>,
    inputs: Vec<Input>,
    by_topic: HashMap<Arc<str>, usize>,
    /// Inputs with records, as a binary heap by the time of their first record. Which of two equal ones comes first is up to
    /// the heap's ways, so these are Java's.
    heap: Vec<usize>,
    outputs: BTreeMap<Arc<str>, VecDeque<Produced>>,
    wall_ms: i64,
    is_closed: bool,
}

struct Input {
    topic: Arc<str>,
    is_global: bool,
    extractor: Option<TimestampExtractor>,
    partition_time: i64,
    next_offset: i64,
    /// With their event times.
    queue: VecDeque<(Record<Bytes, Bytes>, i64)>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl TestDriver {
    /// Starts the topology, at a time of day of zero.
    ///
    /// # Errors
    ///
    /// What its processors say at their start.
    pub fn new(topology: &Topology, application: &str) -> Result<Self, Error> {
        Self::with(topology, application, &MemoryMaps, 0)
    }

    /// Starts the topology with record caches, as an application has them by default. Here all is committed after each record,
    /// so that only updates which one record makes are put together.
    ///
    /// # Errors
    ///
    /// What its processors say at their start.
    pub fn with_caches(topology: &Topology, application: &str) -> Result<Self, Error> {
        let driver = Self::new(topology, application)?;
        driver.graph.set_caching(true);
        Ok(driver)
    }

    /// Starts the topology on other stores, or at another time of day.
    ///
    /// # Errors
    ///
    /// What its processors say at their start, or its stores.
    pub fn with(
        topology: &Topology,
        application: &str,
        maps: &dyn MapSource,
        wall_ms: i64,
    ) -> Result<Self, Error> {
        let mut ordinary = Vec::new();
        let mut global = Vec::new();
        for group in topology.node_groups() {
            if topology.is_global_group(&group) {
                global.extend(group);
            } else {
                ordinary.extend(group);
            }
        }
        ordinary.sort_unstable();
        global.sort_unstable();
        let task = TaskId { subtopology: 0, partition: 0 };
        let shared = topology.shared_stores(maps)?;
        let graph = topology.graph(&ordinary, application, task, maps, &shared)?;
        let global_graph = if global.is_empty() {
            None
        } else {
            Some(topology.graph(&global, application, task, maps, &shared)?)
        };
        let mut driver = Self {
            graph,
            global: global_graph,
            inputs: Vec::new(),
            by_topic: HashMap::new(),
            heap: Vec::new(),
            outputs: BTreeMap::new(),
            wall_ms,
            is_closed: false,
        };
        for node in &topology.nodes {
            let NodeKind::Source { topics, extractor, .. } = &node.kind else { continue };
            for name in topics {
                let topic = topology.topic_in_cluster(application, name);
                driver.by_topic.insert(Arc::clone(&topic), driver.inputs.len());
                driver.inputs.push(Input {
                    topic,
                    is_global: topology.global_topics.contains_key(name),
                    extractor: extractor.clone(),
                    partition_time: -1,
                    next_offset: 0,
                    queue: VecDeque::new(),
                });
            }
        }
        for graph in driver.global.iter().chain([&driver.graph]) {
            graph.set_wall_ms(wall_ms);
            // Here nobody waits for results.
            graph.set_emit_interval_ms(0);
            graph.init()?;
        }
        Ok(driver)
    }

    /// Lets a record into a topic, and all that follows from it happen.
    ///
    /// # Errors
    ///
    /// A topic that the topology does not read, or what an operator said.
    pub fn pipe(&mut self, topic: &str, record: Record<Bytes, Bytes>) -> Flow {
        let Some(at) = self.by_topic.get(topic).copied() else {
            return Err(Error::Topology(format!("the topology does not read topic \"{topic}\"")));
        };
        self.enqueue(at, record)?;
        self.run()
    }

    fn enqueue(&mut self, at: usize, record: Record<Bytes, Bytes>) -> Flow {
        let input = &mut self.inputs[at];
        let timestamp = match &input.extractor {
            None => record.timestamp,
            Some(extractor) => extractor(&RawInput {
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                timestamp: record.timestamp,
                partition_time: input.partition_time,
            }),
        };
        let offset = input.next_offset;
        input.next_offset += 1;
        if timestamp < 0 {
            if input.extractor.is_none() {
                return Err(Error::Timestamp { topic: Arc::clone(&input.topic), timestamp });
            }
            return Ok(());
        }
        input.partition_time = input.partition_time.max(timestamp);
        if input.is_global {
            let origin = Origin { topic: Arc::clone(&input.topic), partition: 0, offset };
            let global = self.global.as_ref().expect("a global input has a graph");
            return global.process(origin, Record { timestamp, ..record });
        }
        input.queue.push_back((record, timestamp));
        if input.queue.len() == 1 {
            self.heap.push(at);
            self.sift_up(self.heap.len() - 1);
        }
        Ok(())
    }

    fn run(&mut self) -> Flow {
        self.collect()?;
        while let Some(at) = self.heap.first().copied() {
            let last = self.heap.pop().expect("the heap has a first");
            if !self.heap.is_empty() {
                self.heap[0] = last;
                self.sift_down(0);
            }
            let input = &mut self.inputs[at];
            let (record, timestamp) =
                input.queue.pop_front().expect("inputs in the heap have records");
            let offset = input.next_offset - 1 - input.queue.len() as i64;
            let origin = Origin { topic: Arc::clone(&input.topic), partition: 0, offset };
            if !input.queue.is_empty() {
                self.heap.push(at);
                self.sift_up(self.heap.len() - 1);
            }
            self.graph.process(origin, Record { timestamp, ..record })?;
            self.graph.punctuate_stream_time()?;
            // Here everything is committed at once.
            self.graph.flush()?;
            self.collect()?;
        }
        Ok(())
    }

    /// Takes what was written, and lets it in again where the topology reads it.
    fn collect(&mut self) -> Flow {
        for produced in self.graph.take_output() {
            let again = self.by_topic.get(&produced.topic).copied();
            let record = Record {
                key: produced.key.clone(),
                value: produced.value.clone(),
                timestamp: produced.timestamp,
                headers: produced.headers.clone(),
            };
            self.outputs.entry(Arc::clone(&produced.topic)).or_default().push_back(produced);
            if let Some(at) = again {
                self.enqueue(at, record)?;
            }
        }
        Ok(())
    }

    fn head_time(&self, at: usize) -> i64 {
        self.inputs[self.heap[at]].queue.front().map_or(i64::MAX, |(_, timestamp)| *timestamp)
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.head_time(at) >= self.head_time(parent) {
                break;
            }
            self.heap.swap(at, parent);
            at = parent;
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        while 2 * at + 1 < self.heap.len() {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if right < self.heap.len() && self.head_time(left) > self.head_time(right) {
                right
            } else {
                left
            };
            if self.head_time(at) <= self.head_time(child) {
                break;
            }
            self.heap.swap(at, child);
            at = child;
        }
    }

    /// Lets time pass, and punctuations by the clock happen.
    ///
    /// # Errors
    ///
    /// What a processor said.
    pub fn advance_wall_ms(&mut self, by_ms: i64) -> Flow {
        self.wall_ms += by_ms;
        for graph in self.global.iter().chain([&self.graph]) {
            graph.set_wall_ms(self.wall_ms);
        }
        self.graph.punctuate_wall_clock()?;
        self.graph.flush()?;
        self.run()
    }

    /// The oldest record of a topic that was not read yet.
    pub fn read(&mut self, topic: &str) -> Option<Produced> {
        self.outputs.get_mut(topic)?.pop_front()
    }

    /// All topics that were written to, changelogs and repartition topics too.
    pub fn written_topics(&self) -> impl Iterator<Item = &str> {
        self.outputs.keys().map(|topic| &**topic)
    }

    /// All of a store, as bytes, in the order of the keys.
    ///
    /// # Errors
    ///
    /// There is no such store, or what its disk said.
    pub fn store_contents(&self, name: &str) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let id = self.graph.store_id(name)?;
        self.graph.with_store(id, |store| store.dump())
    }

    /// What a versioned store had for a key at a time: the value's bytes, and from when they hold.
    ///
    /// # Errors
    ///
    /// There is no such store, or it is of another kind.
    pub fn versioned_get(
        &self,
        name: &str,
        key: &[u8],
        time_ms: i64,
    ) -> Result<Option<(Bytes, i64)>, Error> {
        let id = self.graph.store_id(name)?;
        self.graph.with_store(id, |store| match store {
            Store::Versioned(store) => {
                Ok(store.as_of(key, time_ms)?.map(|(from, bytes)| (bytes, from)))
            }
            _ => Err(Error::Store { name: name.to_owned(), reason: "is not versioned".to_owned() }),
        })
    }

    /// What a store holds.
    ///
    /// # Errors
    ///
    /// There is no such store.
    pub fn store_kind(&self, name: &str) -> Result<StoreKind, Error> {
        let id = self.graph.store_id(name)?;
        Ok(self.graph.store_kind(id))
    }

    /// Names of the stores that the tasks have.
    pub fn store_names(&self) -> Vec<String> {
        self.graph.store_specs().map(|(_, spec, _)| spec.name.clone()).collect()
    }

    /// Records that operators dropped, as for a null key or a closed window.
    pub fn dropped_records(&self) -> u64 {
        self.graph.dropped_records()
    }

    /// Lets the processors go.
    ///
    /// # Errors
    ///
    /// What a processor said.
    pub fn close(&mut self) -> Flow {
        if self.is_closed {
            return Ok(());
        }
        self.is_closed = true;
        self.graph.flush()?;
        self.graph.close()?;
        self.collect()
    }
}

impl Topology {
    /// The global stores, empty.
    pub(crate) fn shared_stores(
        &self,
        maps: &dyn MapSource,
    ) -> Result<BTreeMap<String, crate::engine::SharedStore>, Error> {
        self.stores
            .iter()
            .filter(|(_, entry)| entry.is_global)
            .map(|(name, entry)| {
                let store = Store::open(&entry.spec, maps)?;
                Ok((name.clone(), Arc::new(parking_lot::Mutex::new(store))))
            })
            .collect()
    }
}
