//! The tasks of one thread: those at work, and those whose stores are being filled.

use super::StreamMetrics;
use super::assignor::Part;
use super::config::StreamsConfig;
use super::error::RuntimeError;
use super::task::{Patience, Task};
use super::topics::Topics;
use crate::engine::{Graph, Produced, SharedStore, TaskId};
use crate::stores::MemoryMaps;
use crate::topology::{NodeKind, TimestampExtractor, Topology};
use afluente_client::TopicPartition;
use afluente_client::consumer::{Offsets, Records};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What an application is, for all of its threads.
pub(super) struct Application {
    pub(super) topology: Arc<Topology>,
    pub(super) config: StreamsConfig,
    pub(super) topics: Topics,
    pub(super) globals: BTreeMap<String, SharedStore>,
    pub(super) metrics: Arc<StreamMetrics>,
    part_of: HashMap<Arc<str>, u32>,
    extractors: HashMap<Arc<str>, TimestampExtractor>,
}

impl Application {
    pub(super) fn new(
        topology: Arc<Topology>,
        config: StreamsConfig,
        topics: Topics,
        globals: BTreeMap<String, SharedStore>,
        metrics: Arc<StreamMetrics>,
    ) -> Self {
        let mut part_of = HashMap::new();
        for (number, part) in &topics.subtopologies {
            part_of.extend(part.sources.iter().map(|topic| (Arc::from(topic.as_str()), *number)));
        }
        let mut extractors = HashMap::new();
        for node in &topology.nodes {
            if let NodeKind::Source { topics, extractor: Some(extractor), .. } = &node.kind {
                for topic in topics {
                    let name = topology.topic_in_cluster(&config.application_id, topic);
                    extractors.insert(name, Arc::clone(extractor));
                }
            }
        }
        Self { topology, config, topics, globals, metrics, part_of, extractors }
    }

    pub(super) fn task_of(&self, partition: &TopicPartition) -> Option<TaskId> {
        let subtopology = self.part_of.get(&partition.topic).copied()?;
        Some(TaskId { subtopology, partition: partition.partition })
    }

    /// What a task reads.
    pub(super) fn inputs_of(&self, task: TaskId) -> Vec<TopicPartition> {
        let part = &self.topics.subtopologies[&task.subtopology];
        let has = |topic: &&String| {
            self.topics.counts.get(*topic).is_some_and(|count| task.partition < *count)
        };
        let inputs = part.sources.iter().filter(has);
        inputs.map(|topic| TopicPartition::new(topic.as_str(), task.partition)).collect()
    }

    /// Sub-topologies, as the assignor sees them.
    pub(super) fn parts(&self) -> Vec<Part> {
        let parts = self.topics.subtopologies.iter();
        parts
            .map(|(number, part)| Part {
                number: *number,
                topics: part.sources.clone(),
                has_state: !part.changelogs.is_empty(),
            })
            .collect()
    }

    fn extractor(&self, topic: &str) -> Option<TimestampExtractor> {
        self.extractors.get(topic).cloned()
    }
}

/// A task whose stores are being filled: to work, or to stand by.
pub(super) struct Filling {
    pub(super) graph: Graph,
    pub(super) changelogs: BTreeMap<TopicPartition, Changelog>,
    /// It stays behind its changelogs until it is needed.
    pub(super) is_standby: bool,
}

pub(super) struct Changelog {
    store: usize,
    /// Where reading goes on.
    pub(super) next: i64,
    /// The restorer reads on from there; until then it may be elsewhere, with what it read for a task that is gone.
    pub(super) is_begun: bool,
    /// Where it is filled; `None` while that is not known, and for a standby.
    pub(super) end: Option<i64>,
    /// A topic that is read anyway, and serves as the changelog of its table.
    pub(super) is_source: bool,
    /// Of a source: how far it was processed, by the last commit that is known.
    pub(super) committed: Option<i64>,
}

impl Changelog {
    /// What is behind this offset is not part of the state: it was not processed yet.
    pub(super) fn limit(&self) -> i64 {
        if self.is_source { self.committed.unwrap_or(0) } else { i64::MAX }
    }
}

impl Filling {
    pub(super) fn is_filled(&self) -> bool {
        !self.is_standby
            && self
                .changelogs
                .values()
                .all(|changelog| changelog.end.is_some_and(|end| changelog.next >= end))
    }
}

pub(super) struct Tasks {
    application: Arc<Application>,
    pub(super) running: BTreeMap<TaskId, Task>,
    pub(super) filling: BTreeMap<TaskId, Filling>,
    buffer: Vec<Produced>,
}

impl Tasks {
    pub(super) fn new(application: Arc<Application>) -> Self {
        Self { application, running: BTreeMap::new(), filling: BTreeMap::new(), buffer: Vec::new() }
    }

    /// Makes the tasks that are wanted and not there, and lets go of those that are not wanted.
    pub(super) fn follow(
        &mut self,
        active: &BTreeSet<TaskId>,
        standby: &BTreeSet<TaskId>,
        wall_ms: i64,
    ) -> Result<(), RuntimeError> {
        self.running.retain(|task, _| active.contains(task));
        self.filling.retain(|task, _| active.contains(task) || standby.contains(task));
        for task in active {
            if self.running.contains_key(task) {
                continue;
            }
            if let Some(there) = self.filling.get_mut(task) {
                // What a standby has read is not read again.
                there.is_standby = false;
                continue;
            }
            let filling = self.fill(*task, false, wall_ms)?;
            self.filling.insert(*task, filling);
        }
        for task in standby {
            if active.contains(task) || self.running.contains_key(task) {
                continue;
            }
            if let Some(there) = self.filling.get_mut(task) {
                there.is_standby = true;
                continue;
            }
            if self.application.topics.subtopologies.contains_key(&task.subtopology) {
                let filling = self.fill(*task, true, wall_ms)?;
                self.filling.insert(*task, filling);
            }
        }
        self.application.metrics.tasks.store(self.running.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn fill(&self, task: TaskId, is_standby: bool, wall_ms: i64) -> Result<Filling, RuntimeError> {
        let application = &*self.application;
        let part = &application.topics.subtopologies[&task.subtopology];
        let mut graph = application.topology.graph(
            &part.nodes,
            &application.config.application_id,
            task,
            &MemoryMaps,
            &application.globals,
        )?;
        graph.set_wall_ms(wall_ms);
        graph.set_caching(application.config.cache_bytes_max > 0);
        graph.set_handlers(&application.config.handlers);
        let mut changelogs = BTreeMap::new();
        for (name, topic) in &part.changelogs {
            let changelog = Changelog {
                store: graph.store_id(name)?,
                next: 0,
                is_begun: false,
                end: None,
                is_source: application.topics.sources.iter().any(|source| **source == **topic),
                committed: None,
            };
            changelogs.insert(TopicPartition::new(Arc::clone(topic), task.partition), changelog);
        }
        Ok(Filling { graph, changelogs, is_standby })
    }

    /// Takes records of changelogs in.
    pub(super) fn restore(&mut self, records: &Records) -> Result<(), RuntimeError> {
        let metrics = &self.application.metrics;
        for batch in records.partitions() {
            let Some((filling, changelog)) = self.filling.values_mut().find_map(|filling| {
                let Filling { graph, changelogs, .. } = filling;
                Some((graph, changelogs.get_mut(batch.partition())?))
            }) else {
                continue;
            };
            let (mut bytes, mut count) = (0, 0);
            let limit = changelog.limit();
            for from in batch.iter().take_while(|from| from.offset.0 < limit) {
                count += 1;
                bytes += from.key.map_or(0, <[u8]>::len) + from.value.map_or(0, <[u8]>::len);
                let Some(key) = from.key else { continue };
                // What stays in a store must not keep the whole batch alive.
                let copy = bytes::Bytes::copy_from_slice;
                filling.restore(
                    changelog.store,
                    &copy(key),
                    from.value.map(copy),
                    from.timestamp,
                )?;
            }
            metrics.restored.fetch_add(count, Ordering::Relaxed);
            metrics.restored_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Lets a filled task begin.
    pub(super) fn begin(&mut self, id: TaskId, committed: &Offsets) -> Result<(), RuntimeError> {
        let filled = self.filling.remove(&id).expect("a task that is filled was being filled");
        let application = &self.application;
        let inputs = application.inputs_of(id).into_iter().map(|partition| {
            let extractor = application.extractor(&partition.topic);
            (partition, extractor)
        });
        let mut task = Task::new(filled.graph, inputs);
        task.resume(committed);
        task.graph().init()?;
        self.running.insert(id, task);
        application.metrics.tasks.store(self.running.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Takes polled records in; gives the partitions that have enough.
    pub(super) fn enqueue(
        &mut self,
        records: &Records,
    ) -> Result<Vec<TopicPartition>, RuntimeError> {
        let max = self.application.config.buffered_records_max;
        let mut full = Vec::new();
        for batch in records.partitions() {
            let task = self.application.task_of(batch.partition());
            let Some(task) = task.and_then(|task| self.running.get_mut(&task)) else { continue };
            if task.enqueue(batch, max)? {
                full.push(batch.partition().clone());
            }
        }
        Ok(full)
    }

    /// Partitions that may be fetched again.
    pub(super) fn take_resumable(&mut self) -> Vec<TopicPartition> {
        let mut all = Vec::new();
        for task in self.running.values_mut() {
            task.take_resumable(self.application.config.buffered_records_max, &mut all);
        }
        all
    }

    /// Lets up to `max` records through each task that is ready. Gives how many went through.
    pub(super) fn process(
        &mut self,
        max: usize,
        wall_ms: i64,
        patience: &Patience<'_>,
        output: &mut Vec<Produced>,
    ) -> Result<usize, RuntimeError> {
        let mut done = 0;
        for task in self.running.values_mut() {
            task.graph().set_wall_ms(wall_ms);
            let mut of_task = 0;
            while of_task < max && task.is_ready(patience) {
                task.process_next()?;
                of_task += 1;
            }
            done += of_task;
            task.graph().punctuate_wall_clock()?;
            task.drain_output(&mut self.buffer, output);
        }
        self.trim_caches(output)?;
        self.application.metrics.processed.fetch_add(done as u64, Ordering::Relaxed);
        Ok(done)
    }

    /// Lets the largest caches go on while together they are larger than this thread's part. Each round of records ends with
    /// this, so that what one round adds is all that may be beyond it.
    fn trim_caches(&mut self, output: &mut Vec<Produced>) -> Result<(), RuntimeError> {
        let config = &self.application.config;
        let bytes_max = config.cache_bytes_max / config.thread_count.max(1);
        loop {
            let sizes = self.running.values_mut().map(|task| (task.graph().cached_bytes(), task));
            let mut sizes: Vec<_> = sizes.filter(|(bytes, _)| *bytes > 0).collect();
            let total: usize = sizes.iter().map(|(bytes, _)| bytes).sum();
            let largest = sizes.iter_mut().max_by_key(|(bytes, _)| *bytes);
            let Some((_, task)) = largest.filter(|_| total > bytes_max) else { return Ok(()) };
            task.graph().flush()?;
            task.drain_output(&mut self.buffer, output);
        }
    }

    /// When the next punctuation by the time of day is due.
    pub(super) fn next_punctuation_wall_ms(&self) -> Option<i64> {
        self.running.values().filter_map(|task| task.graph().next_punctuation_wall_ms()).min()
    }

    /// Whether a task has records at hand.
    pub(super) fn has_records(&self) -> bool {
        self.running.values().any(Task::has_records)
    }

    /// Whether a processor asked for a commit.
    pub(super) fn wants_commit(&self) -> bool {
        let mut wants = false;
        for task in self.running.values() {
            wants |= task.graph().take_commit_wish();
        }
        wants
    }

    /// What is to be committed, and what is still to be written before.
    pub(super) fn take_progress(
        &mut self,
        output: &mut Vec<Produced>,
    ) -> Result<Offsets, RuntimeError> {
        let mut offsets = Offsets::new();
        for task in self.running.values_mut() {
            task.take_offsets(&mut offsets);
            task.graph().flush()?;
            task.drain_output(&mut self.buffer, output);
        }
        Ok(offsets)
    }

    /// Offsets that could not be committed at the moment.
    pub(super) fn put_back(&mut self, offsets: &Offsets) {
        for task in self.running.values_mut() {
            task.put_back(offsets);
        }
    }

    /// Lets tasks go that are somebody else's soon; gives their offsets.
    pub(super) fn close(
        &mut self,
        tasks: &BTreeSet<TaskId>,
        output: &mut Vec<Produced>,
    ) -> Result<Offsets, RuntimeError> {
        let mut offsets = Offsets::new();
        for id in tasks {
            self.filling.remove(id);
            let Some(mut task) = self.running.remove(id) else { continue };
            task.graph().flush()?;
            task.graph().close()?;
            task.graph().flush()?;
            task.take_offsets(&mut offsets);
            task.drain_output(&mut self.buffer, output);
        }
        self.application.metrics.tasks.store(self.running.len() as u64, Ordering::Relaxed);
        Ok(offsets)
    }

    /// How many records of its changelogs each standby task has.
    pub(super) fn copies(&self) -> BTreeMap<TaskId, i64> {
        let filling = self.filling.iter();
        filling
            .map(|(task, filling)| {
                (*task, filling.changelogs.values().map(|changelog| changelog.next).sum())
            })
            .collect()
    }

    /// The stores of a name, each with its task, of tasks that work.
    pub(super) fn graphs(&self) -> impl Iterator<Item = (TaskId, &Graph, bool)> {
        let running = self.running.iter().map(|(id, task)| (*id, task.graph(), false));
        let standby = self.filling.iter().filter(|(_, filling)| filling.is_standby);
        running.chain(standby.map(|(id, filling)| (*id, &filling.graph, true)))
    }
}
