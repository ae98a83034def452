//! The graph of nodes that an application is: sources, processors, sinks and the stores between them.
//!
//! A [`Topology`] is a description. It can be printed ([`Topology::describe`], in the words of Kafka Streams) and made into
//! running graphs, one per task. Names, the cut into sub-topologies, internal topics and co-partitioning are decided here;
//! nothing here knows of records.

mod describe;
mod java_order;

use crate::engine::Node;
use crate::error::Error;
use crate::stores::StoreSpec;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

pub(crate) use java_order::{java_bytes_order, java_set_order};

/// Makes the running form of a node, once per task.
pub(crate) type NodeFactory = Arc<dyn Fn() -> Box<dyn Node> + Send + Sync>;

/// Makes a sink that writes to the topic it is told, which for an internal topic has the application's name in front.
pub(crate) type SinkFactory = Arc<dyn Fn(Option<Arc<str>>) -> Box<dyn Node> + Send + Sync>;

/// Event time of a raw record; see [`crate::dsl::Consumed`].
pub type TimestampExtractor = Arc<dyn Fn(&RawInput<'_>) -> i64 + Send + Sync>;

/// What a timestamp extractor sees.
#[derive(Debug)]
pub struct RawInput<'a> {
    /// Bytes of the key.
    pub key: Option<&'a [u8]>,
    /// Bytes of the value.
    pub value: Option<&'a [u8]>,
    /// What the record itself says, milliseconds since the epoch.
    pub timestamp: i64,
    /// The highest time seen in the partition, or -1.
    pub partition_time: i64,
}

/// Where a source begins that has no committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the first record there is.
    Earliest,
    /// At what comes next.
    Latest,
    /// Refuse to start.
    None,
}

pub(crate) struct NodeSpec {
    pub(crate) name: String,
    pub(crate) parents: Vec<String>,
    pub(crate) kind: NodeKind,
}

pub(crate) enum NodeKind {
    Source {
        topics: Vec<String>,
        pattern: Option<String>,
        make: NodeFactory,
        extractor: Option<TimestampExtractor>,
        reset: Option<OffsetReset>,
    },
    Processor {
        make: NodeFactory,
        /// In the order in which they were connected.
        stores: Vec<String>,
    },
    Sink {
        /// None where each record names its own.
        topic: Option<String>,
        make: SinkFactory,
    },
}

/// Whether the topic of a source is the application's own, and how many partitions it was told to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InternalTopic {
    /// None: as many as the topics it is fed from.
    pub partitions: Option<i32>,
}

/// See the module.
#[derive(Default)]
pub struct Topology {
    pub(crate) nodes: Vec<NodeSpec>,
    pub(crate) stores: BTreeMap<String, StoreUse>,
    pub(crate) global_topics: BTreeMap<String, String>,
    pub(crate) internal_topics: BTreeMap<String, InternalTopic>,
    pub(crate) copartition_groups: Vec<BTreeSet<String>>,
    /// Stores whose changelog is the topic they are read from.
    pub(crate) source_changelogs: BTreeMap<String, String>,
    index: HashMap<String, usize>,
    groups: Groups,
}

pub(crate) struct StoreUse {
    pub(crate) spec: StoreSpec,
    pub(crate) users: Vec<String>,
    pub(crate) is_global: bool,
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Topology {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add_node(&mut self, node: NodeSpec) -> Result<(), Error> {
        if self.index.contains_key(&node.name) {
            return Err(Error::Topology(format!("node \"{}\" is there already", node.name)));
        }
        if !matches!(node.kind, NodeKind::Source { .. }) && node.parents.is_empty() {
            return Err(Error::Topology(format!("node \"{}\" has no parent", node.name)));
        }
        for parent in &node.parents {
            let Some(at) = self.index.get(parent) else {
                return Err(Error::Topology(format!(
                    "node \"{}\": there is no parent \"{parent}\"",
                    node.name
                )));
            };
            if matches!(self.nodes[*at].kind, NodeKind::Sink { .. }) {
                return Err(Error::Topology(format!(
                    "node \"{}\": sink \"{parent}\" cannot be a parent",
                    node.name
                )));
            }
        }
        if let NodeKind::Source { topics, .. } = &node.kind {
            for topic in topics {
                if self.global_topics.contains_key(topic) || self.sources_of(topic).next().is_some()
                {
                    return Err(Error::Topology(format!(
                        "topic \"{topic}\" is read by another source already"
                    )));
                }
            }
        }
        let at = self.nodes.len();
        self.groups.add(at);
        for parent in &node.parents {
            self.groups.unite(self.index[parent], at);
        }
        self.index.insert(node.name.clone(), at);
        self.nodes.push(node);
        Ok(())
    }

    fn sources_of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a NodeSpec> {
        self.nodes.iter().filter(move |node| match &node.kind {
            NodeKind::Source { topics, .. } => topics.iter().any(|name| name == topic),
            _ => false,
        })
    }

    /// Adds a store, or a second time the same one, and connects it to nodes.
    pub(crate) fn add_store(&mut self, spec: StoreSpec, users: &[&str]) -> Result<(), Error> {
        let name = spec.name.clone();
        if let Some(there) = self.stores.get(&name) {
            if there.is_global {
                return Err(Error::Topology(format!("store \"{name}\" is a global one already")));
            }
            if !there.spec.is_like(&spec) {
                return Err(Error::Topology(format!("another store \"{name}\" is there already")));
            }
        } else {
            self.stores
                .insert(name.clone(), StoreUse { spec, users: Vec::new(), is_global: false });
        }
        for user in users {
            self.connect_store(user, &name)?;
        }
        Ok(())
    }

    /// Lets a processor use a store; users of one store share a task.
    pub(crate) fn connect_store(&mut self, node: &str, store: &str) -> Result<(), Error> {
        let Some(at) = self.index.get(node).copied() else {
            return Err(Error::Topology(format!("there is no processor \"{node}\"")));
        };
        let Some(entry) = self.stores.get_mut(store) else {
            return Err(Error::Topology(format!(
                "processor \"{node}\" wants the store \"{store}\", which is not there"
            )));
        };
        if entry.is_global {
            return Err(Error::Topology(format!(
                "global store \"{store}\" is open to all processors, and need not be connected"
            )));
        }
        if let Some(user) = entry.users.first() {
            self.groups.unite(self.index[user], at);
        }
        if !entry.users.iter().any(|user| user == node) {
            entry.users.push(node.to_owned());
        }
        let NodeKind::Processor { stores, .. } = &mut self.nodes[at].kind else {
            return Err(Error::Topology(format!(
                "store \"{store}\" cannot be connected to \"{node}\", which is a source or a sink"
            )));
        };
        if !stores.iter().any(|name| name == store) {
            stores.push(store.to_owned());
        }
        Ok(())
    }

    /// A store that every instance holds whole, and the source that fills it.
    pub(crate) fn add_global_store(
        &mut self,
        source: NodeSpec,
        processor: NodeSpec,
        spec: StoreSpec,
        topic: &str,
    ) -> Result<(), Error> {
        let (store, processor_name) = (spec.name.clone(), processor.name.clone());
        if self.stores.contains_key(&store) {
            return Err(Error::Topology(format!("another store \"{store}\" is there already")));
        }
        self.add_node(source)?;
        self.global_topics.insert(topic.to_owned(), store.clone());
        self.add_node(processor)?;
        let at = self.index[&processor_name];
        if let NodeKind::Processor { stores, .. } = &mut self.nodes[at].kind {
            stores.push(store.clone());
        }
        self.source_changelogs.insert(store.clone(), topic.to_owned());
        self.stores.insert(
            store,
            StoreUse {
                spec: StoreSpec { logging: false, caching: false, ..spec },
                users: vec![processor_name],
                is_global: true,
            },
        );
        Ok(())
    }

    pub(crate) fn node(&self, name: &str) -> Option<&NodeSpec> {
        self.index.get(name).map(|at| &self.nodes[*at])
    }

    /// The nodes of each sub-topology, by their places in `nodes`; the place in the list is the number.
    pub(crate) fn node_groups(&self) -> Vec<Vec<usize>> {
        let mut by_root: HashMap<usize, usize> = HashMap::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for at in 0..self.nodes.len() {
            let group = *by_root.entry(self.groups.root(at)).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push(at);
        }
        groups
    }

    pub(crate) fn is_global_group(&self, group: &[usize]) -> bool {
        group.iter().any(|at| match &self.nodes[*at].kind {
            NodeKind::Source { topics, .. } => {
                topics.iter().any(|topic| self.global_topics.contains_key(topic))
            }
            _ => false,
        })
    }

    /// The text of Kafka Streams' `Topology#describe()`, letter for letter.
    #[must_use]
    pub fn describe(&self) -> String {
        describe::describe(self)
    }
}

/// Which nodes hang together.
#[derive(Default)]
struct Groups {
    parent: Vec<usize>,
}

impl Groups {
    fn add(&mut self, at: usize) {
        debug_assert_eq!(at, self.parent.len());
        self.parent.push(at);
    }

    fn root(&self, mut at: usize) -> usize {
        while self.parent[at] != at {
            at = self.parent[at];
        }
        at
    }

    fn unite(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        // The older node is the root, so that chains stay short.
        self.parent[one.max(other)] = one.min(other);
    }
}
