//! What the calls of the DSL build up before it becomes a topology.
//!
//! Operators are kept as a graph first, because some are only settled by what is hung below them later: which repartition
//! topics drop null keys, which tables need a store, which sources are one. The order in which nodes then reach the topology,
//! and the counter behind their names, are Kafka Streams' own: names are part of topic names, and so of an application's state.

use crate::error::Error;
use crate::topology::Topology;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::rc::Rc;

/// Adds the nodes of an operator to the topology; is told the names of its parents.
pub(super) type Write = Box<dyn FnOnce(&mut Topology, &[String]) -> Result<(), Error>>;

/// Is told the name of a parent.
pub(super) type TellParent = Rc<dyn Fn(&str)>;

pub(super) type NodeId = usize;

/// The root of all sources.
pub(super) const ROOT: NodeId = 0;

pub(super) struct GraphNode {
    name: String,
    priority: usize,
    children: Vec<NodeId>,
    parents: Vec<NodeId>,
    write: Option<Write>,
    is_written: bool,
    traits: NodeTraits,
}

/// What the graph as a whole has to know of a node.
#[derive(Default)]
pub(super) struct NodeTraits {
    /// Set for a repartition topic: whether records without a key are dropped before it.
    pub(super) drops_null_keys: Option<Rc<Cell<bool>>>,
    /// A join that takes records without a key.
    pub(super) is_null_key_relaxed: bool,
    /// Set for the source of a stream: the topics, so that two of the same become one.
    pub(super) source_topics: Option<BTreeSet<String>>,
    /// Whether the table it gives is a versioned one; `None` takes after its parents.
    pub(super) output_versioned: Option<bool>,
    /// Told the name of each parent that is versioned.
    pub(super) on_versioned_parent: Option<TellParent>,
    /// Grace of the windows made here.
    pub(super) grace_ms: Option<i64>,
    /// Refuses versioned tables.
    pub(super) is_suppress: bool,
}

#[derive(Default)]
struct Graph {
    nodes: Vec<GraphNode>,
    names: usize,
    priorities: usize,
    topology: Topology,
    error: Option<Error>,
}

/// Shared by all streams and tables of one builder.
#[derive(Clone, Default)]
pub(super) struct Builder(Rc<RefCell<Graph>>);

impl Builder {
    pub(super) fn new() -> Self {
        let builder = Self::default();
        builder.0.borrow_mut().nodes.push(GraphNode {
            name: "root".to_owned(),
            priority: 0,
            children: Vec::new(),
            parents: Vec::new(),
            write: None,
            is_written: true,
            traits: NodeTraits::default(),
        });
        builder
    }

    /// The next generated name.
    pub(super) fn new_name(&self, prefix: &str) -> String {
        let mut graph = self.0.borrow_mut();
        let number = graph.names;
        graph.names += 1;
        format!("{prefix}{number:010}")
    }

    /// The next generated name of a store.
    pub(super) fn new_store_name(&self, prefix: &str) -> String {
        self.new_name(&format!("{prefix}STATE-STORE-"))
    }

    /// The user's name, or a generated one. The counter moves either way.
    pub(super) fn name_or(&self, name: Option<&str>, prefix: &str) -> String {
        let generated = self.new_name(prefix);
        name.map_or(generated, str::to_owned)
    }

    /// As [`Self::name_or`], with something behind the user's name.
    pub(super) fn suffixed_or(&self, name: Option<&str>, suffix: &str, prefix: &str) -> String {
        let generated = self.new_name(prefix);
        name.map_or(generated, |name| format!("{name}{suffix}"))
    }

    /// Remembers the first error; calls of the DSL cannot fail, [`Self::build`] does.
    pub(super) fn fail(&self, error: Error) {
        self.0.borrow_mut().error.get_or_insert(error);
    }

    /// The topology under the graph, for what needs no order.
    pub(super) fn topology<R>(&self, work: impl FnOnce(&mut Topology) -> R) -> R {
        work(&mut self.0.borrow_mut().topology)
    }

    pub(super) fn add(
        &self,
        parents: &[NodeId],
        name: &str,
        traits: NodeTraits,
        write: impl FnOnce(&mut Topology, &[String]) -> Result<(), Error> + 'static,
    ) -> NodeId {
        let mut graph = self.0.borrow_mut();
        let id = graph.nodes.len();
        graph.nodes.push(GraphNode {
            name: name.to_owned(),
            priority: 0,
            children: Vec::new(),
            parents: Vec::new(),
            write: Some(Box::new(write)),
            is_written: false,
            traits,
        });
        drop(graph);
        self.link(parents, id);
        id
    }

    /// Hangs a node below more parents; it gets a new place in the order, too.
    pub(super) fn link(&self, parents: &[NodeId], id: NodeId) {
        let mut graph = self.0.borrow_mut();
        for parent in parents {
            if !graph.nodes[*parent].children.contains(&id) {
                graph.nodes[*parent].children.push(id);
            }
            if !graph.nodes[id].parents.contains(parent) {
                graph.nodes[id].parents.push(*parent);
            }
            graph.nodes[id].priority = graph.priorities;
            graph.priorities += 1;
        }
    }

    /// Gives a node the name that its children name as their parent.
    pub(super) fn rename(&self, id: NodeId, name: &str) {
        name.clone_into(&mut self.0.borrow_mut().nodes[id].name);
    }

    /// The grace of the nearest windows above.
    pub(super) fn grace_above(&self, id: NodeId) -> Option<i64> {
        let graph = self.0.borrow();
        let mut at = vec![id];
        while let Some(id) = at.pop() {
            if let Some(grace_ms) = graph.nodes[id].traits.grace_ms {
                return Some(grace_ms);
            }
            at.extend(&graph.nodes[id].parents);
        }
        None
    }

    /// Writes the topology. The builder is empty after it.
    pub(super) fn build(&self) -> Result<Topology, Error> {
        let mut graph = std::mem::take(&mut *self.0.borrow_mut());
        if let Some(error) = graph.error.take() {
            return Err(error);
        }
        graph.merge_sources()?;
        graph.settle_null_keys();
        graph.settle_versions()?;
        graph.write()
    }
}

impl Graph {
    /// Several streams of the same topics are one source.
    fn merge_sources(&mut self) -> Result<(), Error> {
        let mut kept: Vec<NodeId> = Vec::new();
        for source in self.nodes[ROOT].children.clone() {
            let Some(topics) = self.nodes[source].traits.source_topics.clone() else { continue };
            let same = kept.iter().copied().find(|other| {
                self.nodes[*other]
                    .traits
                    .source_topics
                    .as_ref()
                    .is_some_and(|other| !other.is_disjoint(&topics))
            });
            let Some(main) = same else {
                kept.push(source);
                continue;
            };
            if self.nodes[main].traits.source_topics.as_ref() != Some(&topics) {
                return Err(Error::Topology(
                    "two streams read topics of which only some are the same: read each topic once"
                        .to_owned(),
                ));
            }
            for child in std::mem::take(&mut self.nodes[source].children) {
                self.nodes[child].parents.retain(|parent| *parent != source);
                if !self.nodes[main].children.contains(&child) {
                    self.nodes[main].children.push(child);
                }
                if !self.nodes[child].parents.contains(&main) {
                    self.nodes[child].parents.push(main);
                }
            }
            self.nodes[ROOT].children.retain(|child| *child != source);
        }
        Ok(())
    }

    /// Records without a key need not go through a repartition topic, unless a join below it takes them.
    fn settle_null_keys(&mut self) {
        let mut keeps_null_keys = vec![false; self.nodes.len()];
        let mut visited = vec![false; self.nodes.len()];
        self.find_relaxed(ROOT, &mut visited, &mut keeps_null_keys);
        for (node, keeps) in self.nodes.iter().zip(keeps_null_keys) {
            if let Some(drops) = &node.traits.drops_null_keys {
                drops.set(!keeps);
            }
        }
    }

    fn find_relaxed(&self, at: NodeId, visited: &mut [bool], keeps: &mut [bool]) {
        if visited[at] {
            return;
        }
        for child in &self.nodes[at].children {
            self.find_relaxed(*child, visited, keeps);
            if self.nodes[*child].traits.is_null_key_relaxed || keeps[*child] {
                keeps[at] = true;
            }
        }
        visited[at] = true;
    }

    fn settle_versions(&self) -> Result<(), Error> {
        for node in &self.nodes {
            if let Some(tell) = &node.traits.on_versioned_parent {
                for parent in &node.parents {
                    if self.is_versioned(*parent) {
                        tell(&self.nodes[*parent].name);
                    }
                }
            }
            if node.traits.is_suppress
                && node.parents.iter().all(|parent| self.is_versioned(*parent))
            {
                return Err(Error::Topology(format!(
                    "\"{}\": a versioned table cannot be suppressed",
                    node.name
                )));
            }
        }
        Ok(())
    }

    fn is_versioned(&self, id: NodeId) -> bool {
        if let Some(is_versioned) = self.nodes[id].traits.output_versioned {
            return is_versioned;
        }
        id != ROOT && self.nodes[id].parents.iter().all(|parent| self.is_versioned(*parent))
    }

    fn write(mut self) -> Result<Topology, Error> {
        let mut queue = BinaryHeap::from([Reverse((0, ROOT))]);
        // Each node is offered once per parent at most.
        while let Some(Reverse((_, at))) = queue.pop() {
            let are_parents_written =
                self.nodes[at].parents.iter().all(|parent| self.nodes[*parent].is_written);
            if are_parents_written && !self.nodes[at].is_written {
                let parents: Vec<String> = self.nodes[at]
                    .parents
                    .iter()
                    .map(|parent| self.nodes[*parent].name.clone())
                    .collect();
                let write = self.nodes[at].write.take().expect("a node is written once");
                write(&mut self.topology, &parents)?;
                self.nodes[at].is_written = true;
            }
            for child in &self.nodes[at].children {
                queue.push(Reverse((self.nodes[*child].priority, *child)));
            }
        }
        Ok(self.topology)
    }
}
