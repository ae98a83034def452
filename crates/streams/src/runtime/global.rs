//! Global tables: every instance reads their topics whole, before it starts and for as long as it runs.

use super::StreamMetrics;
use super::config::StreamsConfig;
use super::error::RuntimeError;
use super::task::record;
use super::topics::Topics;
use crate::engine::{Graph, Origin, SharedStore, TaskId};
use crate::stores::MemoryMaps;
use crate::topology::Topology;
use afluente_client::consumer::Records;
use afluente_client::{Consumer, TopicPartition};
use afluente_env::Env;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(super) struct GlobalReader {
    env: Env,
    graph: Graph,
    consumer: Consumer,
    partitions: Vec<TopicPartition>,
    metrics: Arc<StreamMetrics>,
}

impl GlobalReader {
    /// A reader, if the topology has global tables.
    pub(super) fn new(
        env: &Env,
        topology: &Topology,
        config: &StreamsConfig,
        topics: &Topics,
        stores: &BTreeMap<String, SharedStore>,
        metrics: &Arc<StreamMetrics>,
    ) -> Result<Option<Self>, RuntimeError> {
        let groups = topology.node_groups().into_iter();
        let mut nodes: Vec<usize> =
            groups.filter(|group| topology.is_global_group(group)).flatten().collect();
        if nodes.is_empty() {
            return Ok(None);
        }
        nodes.sort_unstable();
        let application = config.application_id.as_str();
        let task = TaskId { subtopology: u32::MAX, partition: 0 };
        let mut graph = topology.graph(&nodes, application, task, &MemoryMaps, stores)?;
        graph.set_handlers(&config.handlers);
        graph.set_wall_ms(env.clock.wall_ms());
        graph.init()?;
        let name = format!("{application}-GlobalStreamThread");
        let consumer = Consumer::new(env.clone(), config.restorer(&name, "global.consumer.")?)?;
        let partitions = topics.global.iter().flat_map(|topic| {
            let count = topics.counts.get(topic.as_ref()).copied().unwrap_or(0);
            (0..count).map(|number| TopicPartition::new(Arc::clone(topic), number))
        });
        let partitions = partitions.collect();
        let (env, metrics) = (env.clone(), Arc::clone(metrics));
        Ok(Some(Self { env, graph, consumer, partitions, metrics }))
    }

    /// Reads the topics to the ends that they have at the moment.
    pub(super) async fn fill(&mut self) -> Result<(), RuntimeError> {
        self.consumer.assign(self.partitions.iter().cloned())?;
        self.consumer.seek_to_beginning(&self.partitions)?;
        let ends = self.consumer.end_offsets(self.partitions.iter().cloned()).await?;
        let mut open: Vec<(TopicPartition, i64)> =
            ends.into_iter().filter(|(_, end)| *end > 0).collect();
        while !open.is_empty() {
            let records = self.consumer.poll(Duration::from_millis(100)).await?;
            self.metrics.restored.fetch_add(records.count() as u64, Ordering::Relaxed);
            self.take(&records)?;
            open.retain(|(partition, end)| {
                let position = self.consumer.current_position(partition);
                position.is_none_or(|position| position.offset.0 < *end)
            });
        }
        Ok(())
    }

    /// Takes in what is new, for at most `wait`.
    pub(super) async fn step(&mut self, wait: Duration) -> Result<(), RuntimeError> {
        let records = self.consumer.poll(wait).await?;
        self.take(&records)
    }

    fn take(&mut self, records: &Records) -> Result<(), RuntimeError> {
        self.graph.set_wall_ms(self.env.clock.wall_ms());
        for batch in records.partitions() {
            let topic = &batch.partition().topic;
            for from in batch.iter() {
                let (partition, offset) = (from.partition, from.offset.0);
                let origin = Origin { topic: Arc::clone(topic), partition, offset };
                self.graph.process(origin, record(&from))?;
            }
        }
        // A global table writes to no topic.
        self.graph.take_output();
        Ok(())
    }

    pub(super) async fn close(self) {
        if let Err(error) = self.consumer.close(Duration::from_secs(1)).await {
            tracing::debug!(%error, "the consumer of global topics did not close in order");
        }
    }
}
