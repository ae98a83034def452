//! Grouped tables: aggregates that take old values out and put new ones in.

use super::builder::source_spec;
use super::graph::{Builder, NodeId, NodeTraits};
use super::settings::{Consumed, Materialized};
use super::table::{KTable, StoredTable};
use crate::engine::node;
use crate::processors::ends::Sink;
use crate::processors::getter::GetterSupplier;
use crate::processors::table_aggregate::{ChangeSerde, TableAggregate, TableStep};
use crate::record::{Change, Data};
use crate::serdes::{HasSerde, SerdeOf};
use crate::topology::{InternalTopic, NodeKind, NodeSpec};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// A table by another key than its own. See the [module](crate::dsl).
pub struct GroupedTable<K, V> {
    pub(super) keys: Option<SerdeOf<K>>,
    pub(super) values: Option<SerdeOf<V>>,
    pub(super) topic_name: Option<String>,
    pub(super) node: NodeId,
    pub(super) builder: Builder,
    pub(super) repartition_node: Rc<RefCell<Option<NodeId>>>,
}

impl<K, V> std::fmt::Debug for GroupedTable<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupedTable").field("node", &self.node).finish_non_exhaustive()
    }
}

impl<K: HasSerde, V: HasSerde> GroupedTable<K, V> {
    /// How many rows each group has.
    pub fn count(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        self.aggregated(
            "KTABLE-AGGREGATE-",
            Arc::new(|_, _, count: Option<i64>| Some(count.unwrap_or(0) + 1)),
            Arc::new(|_, _, count: Option<i64>| count.map(|count| count - 1)),
            materialized,
            i64::serde(),
        )
    }

    /// Puts the values of each group together; `subtract` takes one out again.
    pub fn reduce<F, G>(
        &self,
        add: F,
        subtract: G,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V>
    where
        F: Fn(V, V) -> Option<V> + Send + Sync + 'static,
        G: Fn(V, V) -> Option<V> + Send + Sync + 'static,
    {
        let values = self.values.clone().unwrap_or_else(V::serde);
        self.aggregated(
            "KTABLE-REDUCE-",
            Arc::new(move |_, value, aggregate| match aggregate {
                Some(aggregate) => add(aggregate, value),
                None => Some(value),
            }),
            Arc::new(move |_, value, aggregate| subtract(aggregate?, value)),
            materialized,
            values,
        )
    }

    /// Puts the values of each group into an aggregate; `subtract` takes one out again.
    pub fn aggregate<A: HasSerde, I, F, G>(
        &self,
        initializer: I,
        add: F,
        subtract: G,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A>
    where
        I: Fn() -> A + Send + Sync + 'static,
        F: Fn(&K, V, A) -> Option<A> + Send + Sync + 'static,
        G: Fn(&K, V, A) -> Option<A> + Send + Sync + 'static,
    {
        self.aggregated(
            "KTABLE-AGGREGATE-",
            Arc::new(move |key, value, aggregate| {
                add(key, value, aggregate.unwrap_or_else(&initializer))
            }),
            Arc::new(move |key, value, aggregate| subtract(key, value, aggregate?)),
            materialized,
            A::serde(),
        )
    }

    fn aggregated<A: Data>(
        &self,
        prefix: &str,
        add: TableStep<K, V, A>,
        subtract: TableStep<K, V, A>,
        materialized: Materialized<K, A>,
        values: SerdeOf<A>,
    ) -> KTable<K, A> {
        let builder = &self.builder;
        let key_serde = self.keys.clone().unwrap_or_else(K::serde);
        // The store's name is an aggregate's even for a reduction, as in Kafka Streams.
        let (materialized, queryable) =
            materialized.named_or(|| builder.new_store_name("KTABLE-AGGREGATE-"));
        let sink = builder.new_name("KSTREAM-SINK-");
        let source = builder.new_name("KSTREAM-SOURCE-");
        let name = builder.new_name(prefix);
        let store_name = materialized.store_name();
        let topic = format!("{}-repartition", self.topic_name.as_deref().unwrap_or(store_name));
        let there = *self.repartition_node.borrow();
        let repartition = match there {
            Some(node) if self.topic_name.is_some() => {
                builder.link(&[self.node], node);
                node
            }
            _ => {
                let node = self.add_repartition(sink, &source, topic, key_serde.clone());
                *self.repartition_node.borrow_mut() = Some(node);
                node
            }
        };
        let (spec, store) = materialized.table_store(&key_serde, &values);
        let sends_old = Rc::new(Cell::new(false));
        let traits =
            NodeTraits { output_versioned: Some(spec.is_versioned()), ..NodeTraits::default() };
        let (spec_name, flag, step_store) = (name.clone(), Rc::clone(&sends_old), store.clone());
        let node = builder.add(&[repartition], &name, traits, move |topology, parents| {
            let sends_old = flag.get();
            topology.add_node(NodeSpec {
                name: spec_name.clone(),
                parents: parents.to_vec(),
                kind: NodeKind::Processor {
                    make: Arc::new(move || {
                        node::<K, Change<V>>(TableAggregate {
                            store: step_store.clone(),
                            handle: None,
                            add: Arc::clone(&add),
                            subtract: Arc::clone(&subtract),
                            sends_old,
                        })
                    }),
                    stores: Vec::new(),
                },
            })?;
            topology.add_store(spec, &[&spec_name])
        });
        KTable {
            name,
            keys: Some(store.keys.clone()),
            values: Some(store.values.clone()),
            sources: BTreeSet::from([source]),
            node,
            builder: builder.clone(),
            supplier: Rc::new(StoredTable { getter: GetterSupplier::of_store(store), sends_old }),
            queryable,
            next_name: None,
        }
    }

    fn add_repartition(
        &self,
        sink: String,
        source: &str,
        topic: String,
        keys: SerdeOf<K>,
    ) -> NodeId {
        let values = self.values.clone().unwrap_or_else(V::serde);
        let values: SerdeOf<Change<V>> = Arc::new(ChangeSerde(values));
        let source_name = source.to_owned();
        self.builder.add(&[self.node], source, NodeTraits::default(), move |topology, parents| {
            topology.internal_topics.insert(topic.clone(), InternalTopic::default());
            let (sink_keys, sink_values) = (keys.clone(), values.clone());
            topology.add_node(NodeSpec {
                name: sink,
                parents: parents.to_vec(),
                kind: NodeKind::Sink {
                    topic: Some(topic.clone()),
                    make: Arc::new(move |topic| {
                        node(Sink {
                            topic,
                            topic_of: None,
                            keys: sink_keys.clone(),
                            values: sink_values.clone(),
                            partitioner: None,
                        })
                    }),
                },
            })?;
            topology.add_node(source_spec(
                &source_name,
                vec![topic],
                keys,
                values,
                &Consumed::new(),
            ))
        })
    }
}
