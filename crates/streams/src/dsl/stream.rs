//! Streams of records.

use super::builder::source_spec;
use super::graph::{Builder, NodeId, NodeTraits};
use super::grouped_stream::GroupedStream;
use super::settings::{Consumed, Grouped, Materialized, Produced, Repartitioned};
use super::table::{KTable, TableSupplier};
use crate::engine::Context;
use crate::error::{Error, Flow};
use crate::processors::ends::{Sink, TopicOf};
use crate::processors::stateless::{drop_null_keys, each, pass};
use crate::processors::table_source::SourceTable;
use crate::record::{Data, Record};
use crate::serdes::{HasSerde, SerdeOf};
use crate::topology::{InternalTopic, NodeFactory, NodeKind, NodeSpec, Topology};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// Records without end, each for itself. See the [module](crate::dsl).
pub struct KStream<K, V> {
    pub(super) name: String,
    pub(super) keys: Option<SerdeOf<K>>,
    pub(super) values: Option<SerdeOf<V>>,
    /// Sources of the sub-topology, for co-partitioning.
    pub(super) sources: BTreeSet<String>,
    /// Whether the key was changed since the topic.
    pub(super) needs_repartition: bool,
    pub(super) node: NodeId,
    pub(super) builder: Builder,
    pub(super) next_name: Option<String>,
    /// The repartition topic that a join made of this very stream, for the next join.
    pub(super) repartitioned: Rc<RefCell<Option<NodeId>>>,
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            keys: self.keys.clone(),
            values: self.values.clone(),
            sources: self.sources.clone(),
            needs_repartition: self.needs_repartition,
            node: self.node,
            builder: self.builder.clone(),
            next_name: self.next_name.clone(),
            repartitioned: Rc::clone(&self.repartitioned),
        }
    }
}

impl<K, V> std::fmt::Debug for KStream<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KStream").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What an operator does to the key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Kept,
    Changed,
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Names the next operator.
    #[must_use]
    pub fn named(&self, name: impl Into<String>) -> Self {
        Self { next_name: Some(name.into()), ..self.clone() }
    }

    fn child<K2: Data, V2: Data>(
        &self,
        prefix: &str,
        key: Keys,
        keys: Option<SerdeOf<K2>>,
        values: Option<SerdeOf<V2>>,
        make: NodeFactory,
    ) -> KStream<K2, V2> {
        let name = self.builder.name_or(self.next_name.as_deref(), prefix);
        let node = self.add_processor(&[self.node], &name, NodeTraits::default(), make);
        KStream {
            name,
            keys,
            values,
            sources: self.sources.clone(),
            needs_repartition: self.needs_repartition || key == Keys::Changed,
            node,
            builder: self.builder.clone(),
            next_name: None,
            repartitioned: Rc::default(),
        }
    }

    fn add_processor(
        &self,
        parents: &[NodeId],
        name: &str,
        traits: NodeTraits,
        make: NodeFactory,
    ) -> NodeId {
        let spec_name = name.to_owned();
        self.builder.add(parents, name, traits, move |topology, parents| {
            topology.add_node(NodeSpec {
                name: spec_name,
                parents: parents.to_vec(),
                kind: NodeKind::Processor { make, stores: Vec::new() },
            })
        })
    }

    /// Keeps records that `predicate` likes.
    pub fn filter<F>(&self, predicate: F) -> Self
    where
        F: Fn(Option<&K>, Option<&V>) -> bool + Send + Sync + 'static,
    {
        let predicate = Arc::new(predicate);
        let make: NodeFactory = Arc::new(move || {
            let predicate = Arc::clone(&predicate);
            each(move |record: Record<K, V>, ctx| {
                if predicate(record.key.as_ref(), record.value.as_ref()) {
                    ctx.forward(record)
                } else {
                    Ok(())
                }
            })
        });
        self.child("KSTREAM-FILTER-", Keys::Kept, self.keys.clone(), self.values.clone(), make)
    }

    /// Keeps records that `predicate` does not like.
    pub fn filter_not<F>(&self, predicate: F) -> Self
    where
        F: Fn(Option<&K>, Option<&V>) -> bool + Send + Sync + 'static,
    {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// Gives each record another key.
    pub fn select_key<K2: Data, F>(&self, select: F) -> KStream<K2, V>
    where
        F: Fn(Option<&K>, Option<&V>) -> Option<K2> + Send + Sync + 'static,
    {
        self.child(
            "KSTREAM-KEY-SELECT-",
            Keys::Changed,
            None,
            self.values.clone(),
            select_key_node(select),
        )
    }

    /// Makes another record of each.
    pub fn map<K2: Data, V2: Data, F>(&self, map: F) -> KStream<K2, V2>
    where
        F: Fn(Option<K>, Option<V>) -> (Option<K2>, Option<V2>) + Send + Sync + 'static,
    {
        let map = Arc::new(map);
        let make: NodeFactory = Arc::new(move || {
            let map = Arc::clone(&map);
            each(move |record: Record<K, V>, ctx| {
                let Record { key, value, timestamp, headers } = record;
                let (key, value) = map(key, value);
                ctx.forward(Record { key, value, timestamp, headers })
            })
        });
        self.child("KSTREAM-MAP-", Keys::Changed, None, None, make)
    }

    /// Makes another value of each.
    pub fn map_values<V2: Data, F>(&self, map: F) -> KStream<K, V2>
    where
        F: Fn(Option<&K>, Option<V>) -> Option<V2> + Send + Sync + 'static,
    {
        let map = Arc::new(map);
        let make: NodeFactory = Arc::new(move || {
            let map = Arc::clone(&map);
            each(move |record: Record<K, V>, ctx| {
                let Record { key, value, timestamp, headers } = record;
                let value = map(key.as_ref(), value);
                ctx.forward(Record { key, value, timestamp, headers })
            })
        });
        self.child("KSTREAM-MAPVALUES-", Keys::Kept, self.keys.clone(), None, make)
    }

    /// Makes any number of records of each.
    pub fn flat_map<K2: Data, V2: Data, I, F>(&self, map: F) -> KStream<K2, V2>
    where
        I: IntoIterator<Item = (Option<K2>, Option<V2>)>,
        F: Fn(Option<K>, Option<V>) -> I + Send + Sync + 'static,
    {
        let map = Arc::new(map);
        let make: NodeFactory = Arc::new(move || {
            let map = Arc::clone(&map);
            each(move |record: Record<K, V>, ctx| {
                let Record { key, value, timestamp, headers } = record;
                for (key, value) in map(key, value) {
                    ctx.forward(Record { key, value, timestamp, headers: headers.clone() })?;
                }
                Ok(())
            })
        });
        self.child("KSTREAM-FLATMAP-", Keys::Changed, None, None, make)
    }

    /// Makes any number of values of each.
    pub fn flat_map_values<V2: Data, I, F>(&self, map: F) -> KStream<K, V2>
    where
        I: IntoIterator<Item = Option<V2>>,
        F: Fn(Option<&K>, Option<V>) -> I + Send + Sync + 'static,
    {
        let map = Arc::new(map);
        let make: NodeFactory = Arc::new(move || {
            let map = Arc::clone(&map);
            each(move |record: Record<K, V>, ctx| {
                let Record { key, value, timestamp, headers } = record;
                for value in map(key.as_ref(), value) {
                    let (key, headers) = (key.clone(), headers.clone());
                    ctx.forward(Record { key, value, timestamp, headers })?;
                }
                Ok(())
            })
        });
        self.child("KSTREAM-FLATMAPVALUES-", Keys::Kept, self.keys.clone(), None, make)
    }

    /// Looks at each record in passing.
    pub fn peek<F>(&self, look: F) -> Self
    where
        F: Fn(Option<&K>, Option<&V>) + Send + Sync + 'static,
    {
        let look = Arc::new(look);
        let make: NodeFactory = Arc::new(move || {
            let look = Arc::clone(&look);
            each(move |record: Record<K, V>, ctx| {
                look(record.key.as_ref(), record.value.as_ref());
                ctx.forward(record)
            })
        });
        self.child("KSTREAM-PEEK-", Keys::Kept, self.keys.clone(), self.values.clone(), make)
    }

    /// Looks at each record; here the stream ends.
    pub fn foreach<F>(&self, look: F)
    where
        F: Fn(Option<&K>, Option<&V>) + Send + Sync + 'static,
    {
        let look = Arc::new(look);
        let make: NodeFactory = Arc::new(move || {
            let look = Arc::clone(&look);
            each(move |record: Record<K, V>, _ctx| {
                look(record.key.as_ref(), record.value.as_ref());
                Ok(())
            })
        });
        let _end: KStream<K, V> = self.child("KSTREAM-FOREACH-", Keys::Kept, None, None, make);
    }

    /// Both streams as one; their records come as they come.
    pub fn merge(&self, other: &Self) -> Self {
        let name = self.builder.name_or(self.next_name.as_deref(), "KSTREAM-MERGE-");
        let node = self.add_processor(
            &[self.node, other.node],
            &name,
            NodeTraits::default(),
            Arc::new(pass::<K, V>),
        );
        Self {
            name,
            keys: None,
            values: None,
            sources: self.sources.union(&other.sources).cloned().collect(),
            needs_repartition: self.needs_repartition || other.needs_repartition,
            node,
            builder: self.builder.clone(),
            next_name: None,
            repartitioned: Rc::default(),
        }
    }

    /// Splits the stream: each record goes into the first branch whose predicate likes it.
    pub fn split(&self) -> Branches<K, V> {
        let name = self.builder.name_or(self.next_name.as_deref(), "KSTREAM-BRANCH-");
        let branches: Rc<RefCell<Vec<Branch<K, V>>>> = Rc::default();
        let write_branches = Rc::clone(&branches);
        let spec_name = name.clone();
        let node = self.builder.add(
            &[self.node],
            &name,
            NodeTraits::default(),
            move |topology, parents| {
                let branches = Arc::new(write_branches.take());
                let make: NodeFactory = Arc::new(move || {
                    let branches = Arc::clone(&branches);
                    each(move |record: Record<K, V>, ctx| split_record(&branches, record, ctx))
                });
                topology.add_node(NodeSpec {
                    name: spec_name,
                    parents: parents.to_vec(),
                    kind: NodeKind::Processor { make, stores: Vec::new() },
                })
            },
        );
        Branches { stream: self.clone(), splitter: name, node, branches }
    }

    /// Sends the stream through a topic of the application's own, so that all records of a key are together.
    pub fn repartition(&self, repartitioned: Repartitioned<K, V>) -> Self
    where
        K: HasSerde,
        V: HasSerde,
    {
        let name = match &repartitioned.name {
            Some(name) => name.clone(),
            None => self.builder.new_name("KSTREAM-REPARTITION-"),
        };
        let keys = repartitioned.keys.or_else(|| self.keys.clone()).unwrap_or_else(K::serde);
        let values = repartitioned.values.or_else(|| self.values.clone()).unwrap_or_else(V::serde);
        self.through(&name, keys, values, repartitioned.partitions)
    }

    /// The stream as it comes out of a repartition topic.
    pub(super) fn through(
        &self,
        prefix: &str,
        keys: SerdeOf<K>,
        values: SerdeOf<V>,
        partitions: Option<i32>,
    ) -> Self {
        let names = RepartitionNames::new(&self.builder, prefix);
        let node = add_repartition(
            &self.builder,
            self.node,
            &names,
            keys.clone(),
            values.clone(),
            partitions,
        );
        Self {
            name: names.source.clone(),
            keys: Some(keys),
            values: Some(values),
            sources: BTreeSet::from([names.source]),
            needs_repartition: false,
            node,
            builder: self.builder.clone(),
            next_name: None,
            repartitioned: Rc::default(),
        }
    }

    /// The repartition topic before a join. A second join of the same stream uses the same one.
    pub(super) fn through_for_join(
        &self,
        prefix: &str,
        keys: Option<SerdeOf<K>>,
        values: Option<SerdeOf<V>>,
    ) -> Self
    where
        K: HasSerde,
        V: HasSerde,
    {
        let keys = keys.or_else(|| self.keys.clone()).unwrap_or_else(K::serde);
        let values = values.or_else(|| self.values.clone()).unwrap_or_else(V::serde);
        let names = RepartitionNames::new(&self.builder, prefix);
        let there = *self.repartitioned.borrow();
        let node = match there {
            Some(node) if self.name == prefix => node,
            _ => {
                let node = add_repartition(
                    &self.builder,
                    self.node,
                    &names,
                    keys.clone(),
                    values.clone(),
                    None,
                );
                *self.repartitioned.borrow_mut() = Some(node);
                node
            }
        };
        Self {
            name: names.source.clone(),
            keys: Some(keys),
            values: Some(values),
            sources: BTreeSet::from([names.source]),
            needs_repartition: false,
            node,
            builder: self.builder.clone(),
            next_name: None,
            repartitioned: Rc::default(),
        }
    }

    /// Writes the stream to a topic.
    pub fn to(&self, topic: &str, produced: Produced<K, V>)
    where
        K: HasSerde,
        V: HasSerde,
    {
        self.sink(Some(topic.to_owned()), None, produced);
    }

    /// Writes each record to the topic that `topic_of` names; the topics must be there.
    pub fn to_any<F>(&self, topic_of: F, produced: Produced<K, V>)
    where
        K: HasSerde,
        V: HasSerde,
        F: Fn(&Record<K, V>) -> Arc<str> + Send + Sync + 'static,
    {
        self.sink(None, Some(Arc::new(topic_of)), produced);
    }

    fn sink(&self, topic: Option<String>, topic_of: Option<TopicOf<K, V>>, produced: Produced<K, V>)
    where
        K: HasSerde,
        V: HasSerde,
    {
        let name = self
            .builder
            .name_or(produced.name.as_deref().or(self.next_name.as_deref()), "KSTREAM-SINK-");
        let keys = produced.keys.or_else(|| self.keys.clone()).unwrap_or_else(K::serde);
        let values = produced.values.or_else(|| self.values.clone()).unwrap_or_else(V::serde);
        let partitioner = produced.partitioner;
        let spec_name = name.clone();
        self.builder.add(
            &[self.node],
            &name,
            NodeTraits::default(),
            move |topology: &mut Topology, parents: &[String]| {
                topology.add_node(NodeSpec {
                    name: spec_name,
                    parents: parents.to_vec(),
                    kind: NodeKind::Sink {
                        topic,
                        make: Arc::new(move |topic| {
                            crate::engine::node(Sink {
                                topic,
                                topic_of: topic_of.clone(),
                                keys: keys.clone(),
                                values: values.clone(),
                                partitioner: partitioner.clone(),
                            })
                        }),
                    },
                })
            },
        );
    }

    /// The newest value of each key.
    pub fn to_table(&self, materialized: Materialized<K, V>) -> KTable<K, V>
    where
        K: HasSerde,
        V: HasSerde,
    {
        let builder = &self.builder;
        let name = builder.name_or(self.next_name.as_deref(), "KSTREAM-TOTABLE-");
        let (materialized, queryable) =
            materialized.named_or(|| builder.new_store_name("KSTREAM-TOTABLE-"));
        let keys = materialized.keys.clone().or_else(|| self.keys.clone()).unwrap_or_else(K::serde);
        let values =
            materialized.values.clone().or_else(|| self.values.clone()).unwrap_or_else(V::serde);
        let parent = if self.needs_repartition {
            self.through(&name, keys.clone(), values.clone(), None)
        } else {
            self.clone()
        };
        let supplier =
            SourceTable::new(&materialized, queryable.clone(), keys.clone(), values.clone());
        let traits = NodeTraits {
            output_versioned: Some(materialized.history_ms.is_some()),
            ..NodeTraits::default()
        };
        let node = {
            let (supplier, spec_name) = (supplier.clone(), name.clone());
            builder.add(&[parent.node], &name, traits, move |topology, parents| {
                supplier.write(topology, &spec_name, parents, None)
            })
        };
        KTable {
            name,
            keys: Some(keys),
            values: Some(values),
            sources: parent.sources,
            node,
            builder: builder.clone(),
            supplier: Rc::new(supplier) as Rc<dyn TableSupplier<K, V>>,
            queryable,
            next_name: None,
        }
    }

    /// Groups records by their key.
    pub fn group_by_key(&self) -> GroupedStream<K, V> {
        self.group_by_key_with(Grouped::new())
    }

    /// As [`Self::group_by_key`], with names and serdes.
    pub fn group_by_key_with(&self, grouped: Grouped<K, V>) -> GroupedStream<K, V> {
        GroupedStream {
            stream: self.clone(),
            keys: grouped.keys.or_else(|| self.keys.clone()),
            values: grouped.values.or_else(|| self.values.clone()),
            topic_name: grouped.name,
            repartition_node: Rc::default(),
        }
    }

    /// Groups records by another key.
    pub fn group_by<K2: Data, F>(&self, select: F) -> GroupedStream<K2, V>
    where
        F: Fn(Option<&K>, Option<&V>) -> Option<K2> + Send + Sync + 'static,
    {
        self.group_by_with(select, Grouped::new())
    }

    /// As [`Self::group_by`], with names and serdes.
    pub fn group_by_with<K2: Data, F>(
        &self,
        select: F,
        grouped: Grouped<K2, V>,
    ) -> GroupedStream<K2, V>
    where
        F: Fn(Option<&K>, Option<&V>) -> Option<K2> + Send + Sync + 'static,
    {
        let named = Self { next_name: grouped.name.clone(), ..self.clone() };
        let selected: KStream<K2, V> = named.child(
            "KSTREAM-KEY-SELECT-",
            Keys::Changed,
            None,
            self.values.clone(),
            select_key_node(select),
        );
        selected.group_by_key_with(grouped)
    }
}

fn select_key_node<K: Data, V: Data, K2: Data, F>(select: F) -> NodeFactory
where
    F: Fn(Option<&K>, Option<&V>) -> Option<K2> + Send + Sync + 'static,
{
    let select = Arc::new(select);
    Arc::new(move || {
        let select = Arc::clone(&select);
        each(move |record: Record<K, V>, ctx| {
            let key = select(record.key.as_ref(), record.value.as_ref());
            ctx.forward(record.with_key(key))
        })
    })
}

/// Names around a repartition topic.
pub(super) struct RepartitionNames {
    pub(super) topic: String,
    pub(super) sink: String,
    pub(super) filter: String,
    pub(super) source: String,
}

impl RepartitionNames {
    pub(super) fn new(builder: &Builder, prefix: &str) -> Self {
        const SUFFIX: &str = "-repartition";
        let topic =
            if prefix.ends_with(SUFFIX) { prefix.to_owned() } else { format!("{prefix}{SUFFIX}") };
        let sink = builder.new_name("KSTREAM-SINK-");
        let filter = builder.new_name("KSTREAM-FILTER-");
        let source = builder.new_name("KSTREAM-SOURCE-");
        if is_generated(prefix) {
            Self { topic, sink, filter, source }
        } else {
            Self {
                sink: format!("{topic}-sink"),
                filter: format!("{topic}-filter"),
                source: format!("{topic}-source"),
                topic,
            }
        }
    }
}

/// `KSTREAM.*-[0-9]{10}`
fn is_generated(name: &str) -> bool {
    name.starts_with("KSTREAM")
        && name.rsplit_once('-').is_some_and(|(_, number)| {
            number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// Adds filter, sink, topic and source.
pub(super) fn add_repartition<K: Data, V: Data>(
    builder: &Builder,
    parent: NodeId,
    names: &RepartitionNames,
    keys: SerdeOf<K>,
    values: SerdeOf<V>,
    partitions: Option<i32>,
) -> NodeId {
    let drops_null_keys = Rc::new(Cell::new(true));
    let traits =
        NodeTraits { drops_null_keys: Some(Rc::clone(&drops_null_keys)), ..NodeTraits::default() };
    let (topic, filter, sink, source) =
        (names.topic.clone(), names.filter.clone(), names.sink.clone(), names.source.clone());
    builder.add(&[parent], &names.source, traits, move |topology, parents| {
        topology.internal_topics.insert(topic.clone(), InternalTopic { partitions });
        let make: NodeFactory = if drops_null_keys.get() {
            Arc::new(drop_null_keys::<K, V>)
        } else {
            Arc::new(pass::<K, V>)
        };
        topology.add_node(NodeSpec {
            name: filter.clone(),
            parents: parents.to_vec(),
            kind: NodeKind::Processor { make, stores: Vec::new() },
        })?;
        let (sink_keys, sink_values) = (keys.clone(), values.clone());
        topology.add_node(NodeSpec {
            name: sink,
            parents: vec![filter],
            kind: NodeKind::Sink {
                topic: Some(topic.clone()),
                make: Arc::new(move |topic| {
                    crate::engine::node(Sink {
                        topic,
                        topic_of: None,
                        keys: sink_keys.clone(),
                        values: sink_values.clone(),
                        partitioner: None,
                    })
                }),
            },
        })?;
        topology.add_node(source_spec(&source, vec![topic], keys, values, &Consumed::new()))
    })
}

type Predicate<K, V> = Box<dyn Fn(Option<&K>, Option<&V>) -> bool + Send + Sync>;

struct Branch<K, V> {
    /// None takes all.
    predicate: Option<Predicate<K, V>>,
    child: String,
}

fn split_record<K: Data, V: Data>(
    branches: &[Branch<K, V>],
    record: Record<K, V>,
    ctx: &Context<'_>,
) -> Flow {
    let branch = branches.iter().find(|branch| {
        branch
            .predicate
            .as_ref()
            .is_none_or(|predicate| predicate(record.key.as_ref(), record.value.as_ref()))
    });
    match branch {
        Some(branch) => ctx.forward_to(&branch.child, record),
        None => Ok(()),
    }
}

/// A stream that is being split; see [`KStream::split`].
pub struct Branches<K, V> {
    stream: KStream<K, V>,
    splitter: String,
    node: NodeId,
    branches: Rc<RefCell<Vec<Branch<K, V>>>>,
}

impl<K, V> std::fmt::Debug for Branches<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Branches").field("splitter", &self.splitter).finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> Branches<K, V> {
    /// The records that `predicate` likes and no branch before it took. The branch is named after the splitter, with `name` or
    /// its number behind it.
    pub fn branch<F>(&self, name: Option<&str>, predicate: F) -> KStream<K, V>
    where
        F: Fn(Option<&K>, Option<&V>) -> bool + Send + Sync + 'static,
    {
        let number = self.branches.borrow().len() + 1;
        self.add(name, number, Some(Box::new(predicate)))
    }

    /// The records that no branch took.
    pub fn default_branch(&self, name: Option<&str>) -> KStream<K, V> {
        self.add(name, 0, None)
    }

    fn add(
        &self,
        name: Option<&str>,
        number: usize,
        predicate: Option<Predicate<K, V>>,
    ) -> KStream<K, V> {
        let child = match name {
            Some(name) => format!("{}{name}", self.splitter),
            None => format!("{}{number}", self.splitter),
        };
        if self.branches.borrow().last().is_some_and(|branch| branch.predicate.is_none()) {
            self.stream.builder.fail(Error::Topology(format!(
                "branch \"{child}\" comes after the default branch"
            )));
        }
        let stream = &self.stream;
        // The counter moves, the generated name is not used.
        stream.builder.new_name(&child);
        let node = stream.add_processor(
            &[self.node],
            &child,
            NodeTraits::default(),
            Arc::new(pass::<K, V>),
        );
        self.branches.borrow_mut().push(Branch { predicate, child: child.clone() });
        KStream {
            name: child,
            node,
            repartitioned: Rc::default(),
            next_name: None,
            ..stream.clone()
        }
    }
}
