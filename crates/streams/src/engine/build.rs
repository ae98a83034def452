//! From the description of a topology to a running graph.

use super::{Cache, Context, Graph, NodeCell, SharedStore, StoreBody, StoreCell, TaskId};
use crate::error::{Error, Flow};
use crate::stores::{MapSource, Store};
use crate::topology::{NodeKind, Topology};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How often results of closed windows are looked for, by the time of day.
const EMIT_INTERVAL_MS: i64 = 1_000;

impl Topology {
    /// The name of an internal topic in the cluster; other topics keep theirs.
    pub(crate) fn topic_in_cluster(&self, application: &str, topic: &str) -> Arc<str> {
        if self.internal_topics.contains_key(topic) {
            format!("{application}-{topic}").into()
        } else {
            topic.into()
        }
    }

    /// The changelog of a store, if it has one.
    pub(crate) fn changelog(&self, application: &str, store: &str) -> Option<Arc<str>> {
        let entry = self.stores.get(store)?;
        match self.source_changelogs.get(store) {
            Some(topic) => Some(self.topic_in_cluster(application, topic)),
            None if entry.spec.logging => Some(format!("{application}-{store}-changelog").into()),
            None => None,
        }
    }

    /// A graph of the nodes at these places, with stores of its own, which are empty; `globals` are the stores that were
    /// filled by somebody else.
    pub(crate) fn graph(
        &self,
        places: &[usize],
        application: &str,
        task: TaskId,
        maps: &dyn MapSource,
        globals: &BTreeMap<String, SharedStore>,
    ) -> Result<Graph, Error> {
        let in_graph: HashMap<&str, u32> =
            (0..).zip(places).map(|(number, at)| (self.nodes[*at].name.as_str(), number)).collect();
        let mut children: Vec<Vec<u32>> = vec![Vec::new(); places.len()];
        let mut sources = HashMap::new();
        let mut nodes = Vec::with_capacity(places.len());
        for (number, at) in places.iter().enumerate() {
            let spec = &self.nodes[*at];
            let own = in_graph[spec.name.as_str()];
            for parent in &spec.parents {
                if let Some(parent) = in_graph.get(parent.as_str()) {
                    children[*parent as usize].push(own);
                }
            }
            let body = match &spec.kind {
                NodeKind::Source { topics, make, .. } => {
                    for topic in topics {
                        sources.insert(self.topic_in_cluster(application, topic), number);
                    }
                    make()
                }
                NodeKind::Processor { make, .. } => make(),
                NodeKind::Sink { topic, make } => {
                    make(topic.as_ref().map(|topic| self.topic_in_cluster(application, topic)))
                }
            };
            nodes.push((Arc::<str>::from(spec.name.as_str()), body));
        }
        let nodes = nodes
            .into_iter()
            .zip(children)
            .map(|((name, body), children)| NodeCell {
                name,
                children: children.into_boxed_slice(),
                body: RefCell::new(body),
            })
            .collect();
        let mut stores = Vec::new();
        let mut store_index: HashMap<String, usize> = HashMap::new();
        for (name, entry) in &self.stores {
            let body = if entry.is_global {
                let Some(shared) = globals.get(name) else { continue };
                StoreBody::Shared(Arc::clone(shared))
            } else if entry.users.iter().any(|user| in_graph.contains_key(user.as_str())) {
                StoreBody::Own(RefCell::new(Store::open(&entry.spec, maps)?))
            } else {
                continue;
            };
            store_index.insert(name.clone(), stores.len());
            let changelog = if entry.is_global || self.source_changelogs.contains_key(name) {
                None
            } else {
                self.changelog(application, name)
            };
            // The node that came with the store is the one whose table it is.
            let owner = entry.users.first().and_then(|user| in_graph.get(user.as_str()));
            let cache = owner
                .filter(|_| entry.spec.caching && !entry.is_global)
                .map(|owner| Cache { owner: *owner as usize, updates: RefCell::default() });
            stores.push(StoreCell { spec: entry.spec.clone(), changelog, body, cache });
        }
        let mut flush_order = Vec::new();
        for at in places {
            let NodeKind::Processor { stores, .. } = &self.nodes[*at].kind else { continue };
            for id in stores.iter().filter_map(|name| store_index.get(name)) {
                if !flush_order.contains(id) {
                    flush_order.push(*id);
                }
            }
        }
        Ok(Graph {
            nodes,
            stores,
            store_index,
            flush_order,
            is_caching: Cell::new(false),
            sources,
            task,
            application: application.into(),
            timestamp: Cell::new(-1),
            headers: RefCell::default(),
            origin: RefCell::new(None),
            stream_time: Cell::new(-1),
            wall_ms: Cell::new(0),
            output: RefCell::default(),
            punctuations: RefCell::default(),
            dropped: Cell::new(0),
            wants_commit: Cell::new(false),
            emit_interval_ms: Cell::new(EMIT_INTERVAL_MS),
            join_times: RefCell::default(),
            failures: None,
        })
    }
}

impl Graph {
    /// Lets all nodes get ready; the stores are filled by then.
    pub(crate) fn init(&self) -> Flow {
        self.each_node(|node, ctx| node.init(ctx))
    }

    /// Lets all nodes go. What they write on the way is still in the output.
    pub(crate) fn close(&self) -> Flow {
        self.each_node(|node, ctx| node.close(ctx))
    }

    fn each_node(&self, mut work: impl FnMut(&mut dyn super::Node, &Context<'_>) -> Flow) -> Flow {
        for at in 0..self.nodes.len() {
            work(&mut **self.nodes[at].body.borrow_mut(), &Context { graph: self, node: at })?;
        }
        Ok(())
    }
}
