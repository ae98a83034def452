//! Grouped streams: what can be aggregated.

use super::graph::{NodeId, NodeTraits};
use super::settings::Materialized;
use super::stream::{KStream, RepartitionNames, add_repartition};
use super::table::{KTable, StoredTable};
use super::windowed::{SessionWindowedStream, SlidingWindowedStream, TimeWindowedStream};
use super::windows::{EmitStrategy, SessionWindows, SlidingWindows, TimeWindows};
use crate::engine::node;
use crate::processors::aggregate::{Aggregate, Aggregator, Initializer};
use crate::processors::getter::GetterSupplier;
use crate::record::Data;
use crate::serdes::{HasSerde, SerdeOf};
use crate::stores::StoreSpec;
use crate::topology::{NodeFactory, NodeKind, NodeSpec};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// A stream by key. See the [module](crate::dsl).
pub struct GroupedStream<K, V> {
    pub(super) stream: KStream<K, V>,
    pub(super) keys: Option<SerdeOf<K>>,
    pub(super) values: Option<SerdeOf<V>>,
    pub(super) topic_name: Option<String>,
    pub(super) repartition_node: Rc<RefCell<Option<NodeId>>>,
}

impl<K, V> Clone for GroupedStream<K, V> {
    fn clone(&self) -> Self {
        Self {
            stream: self.stream.clone(),
            keys: self.keys.clone(),
            values: self.values.clone(),
            topic_name: self.topic_name.clone(),
            repartition_node: Rc::clone(&self.repartition_node),
        }
    }
}

impl<K, V> std::fmt::Debug for GroupedStream<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupedStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// The parts of an aggregate that differ from kind to kind.
pub(super) struct AggregateParts<K, A> {
    pub(super) name: String,
    pub(super) store: StoreSpec,
    pub(super) queryable: Option<String>,
    pub(super) keys: SerdeOf<K>,
    pub(super) values: SerdeOf<A>,
    pub(super) getter: GetterSupplier<K, A>,
    pub(super) sends_old: Rc<Cell<bool>>,
    pub(super) grace_ms: Option<i64>,
}

impl<K: HasSerde, V: HasSerde> GroupedStream<K, V> {
    /// Names the next operator.
    #[must_use]
    pub fn named(&self, name: impl Into<String>) -> Self {
        Self { stream: self.stream.named(name), ..self.clone() }
    }

    pub(super) fn next_name(&self) -> Option<&str> {
        self.stream.next_name.as_deref()
    }

    pub(super) fn key_serde(&self) -> SerdeOf<K> {
        self.keys.clone().unwrap_or_else(K::serde)
    }

    pub(super) fn value_serde(&self) -> SerdeOf<V> {
        self.values.clone().unwrap_or_else(V::serde)
    }

    /// How many records each key had.
    pub fn count(&self) -> KTable<K, i64> {
        self.count_named(Materialized::new())
    }

    /// As [`Self::count`], in a store of this description.
    pub fn count_with(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        if materialized.name.is_none() {
            self.stream.builder.new_store_name("KSTREAM-AGGREGATE-");
        }
        self.count_named(materialized)
    }

    fn count_named(&self, materialized: Materialized<K, i64>) -> KTable<K, i64> {
        self.aggregated(
            "KSTREAM-AGGREGATE-",
            Arc::new(|| Some(0)),
            count_one(),
            materialized,
            i64::serde(),
            false,
        )
    }

    /// Puts the values of each key together, the first one as it is.
    pub fn reduce<F>(&self, reducer: F) -> KTable<K, V>
    where
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        self.reduce_with(reducer, Materialized::new())
    }

    /// As [`Self::reduce`], in a store of this description.
    pub fn reduce_with<F>(&self, reducer: F, materialized: Materialized<K, V>) -> KTable<K, V>
    where
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        self.aggregated(
            "KSTREAM-REDUCE-",
            Arc::new(|| None),
            reduce_one(reducer),
            materialized,
            self.value_serde(),
            true,
        )
    }

    /// Puts the values of each key into an aggregate; `None` for it takes the key out of the table.
    pub fn aggregate<A: HasSerde, I, F>(
        &self,
        initializer: I,
        aggregator: F,
        materialized: Materialized<K, A>,
    ) -> KTable<K, A>
    where
        I: Fn() -> A + Send + Sync + 'static,
        F: Fn(&K, V, A) -> Option<A> + Send + Sync + 'static,
    {
        self.aggregated(
            "KSTREAM-AGGREGATE-",
            Arc::new(move || Some(initializer())),
            Arc::new(move |key, value, aggregate| aggregator(key, value?, aggregate?)),
            materialized,
            A::serde(),
            false,
        )
    }

    fn aggregated<A: Data>(
        &self,
        prefix: &str,
        initializer: Initializer<A>,
        aggregator: Aggregator<K, V, A>,
        materialized: Materialized<K, A>,
        values: SerdeOf<A>,
        is_reduction: bool,
    ) -> KTable<K, A> {
        let builder = &self.stream.builder;
        let (materialized, queryable) = materialized.named_or(|| builder.new_store_name(prefix));
        let name = builder.name_or(self.next_name(), prefix);
        let (spec, store) = materialized.table_store(&self.key_serde(), &values);
        let sends_old = Rc::new(Cell::new(false));
        let parts = AggregateParts {
            name,
            store: spec,
            queryable,
            keys: store.keys.clone(),
            values: store.values.clone(),
            getter: GetterSupplier::of_store(store.clone()),
            sends_old,
            grace_ms: None,
        };
        self.build(parts, move |sends_old| {
            Arc::new(move || {
                node(Aggregate {
                    store: store.clone(),
                    handle: None,
                    initializer: Arc::clone(&initializer),
                    aggregator: Arc::clone(&aggregator),
                    sends_old,
                    is_reduction,
                })
            })
        })
    }

    /// Adds an aggregate below the group, and a repartition topic before it if the key was changed.
    pub(super) fn build<KR: Data, A: Data>(
        &self,
        parts: AggregateParts<KR, A>,
        make: impl FnOnce(bool) -> NodeFactory + 'static,
    ) -> KTable<KR, A> {
        let builder = &self.stream.builder;
        let (parent, sources) = self.parent(&parts.store.name);
        let AggregateParts { name, store, queryable, keys, values, getter, sends_old, grace_ms } =
            parts;
        let output_versioned = Some(store.is_versioned());
        let traits = NodeTraits { output_versioned, grace_ms, ..NodeTraits::default() };
        let (spec_name, flag) = (name.clone(), Rc::clone(&sends_old));
        let node = builder.add(&[parent], &name, traits, move |topology, parents| {
            topology.add_node(NodeSpec {
                name: spec_name.clone(),
                parents: parents.to_vec(),
                kind: NodeKind::Processor { make: make(flag.get()), stores: Vec::new() },
            })?;
            topology.add_store(store, &[&spec_name])
        });
        KTable {
            name,
            keys: Some(keys),
            values: Some(values),
            sources,
            node,
            builder: builder.clone(),
            supplier: Rc::new(StoredTable { getter, sends_old }),
            queryable,
            next_name: None,
        }
    }

    /// Where an aggregate hangs: below the stream, or below the repartition topic that its key needs.
    pub(super) fn parent(&self, store: &str) -> (NodeId, BTreeSet<String>) {
        let there = *self.repartition_node.borrow();
        self.parent_or(store, there)
    }

    /// As [`Self::parent`], with a repartition topic of its own even where another aggregate has one.
    pub(super) fn own_parent(&self, store: &str) -> NodeId {
        let there = *self.repartition_node.borrow();
        let (parent, _) = self.parent_or(store, None);
        *self.repartition_node.borrow_mut() = there;
        parent
    }

    fn parent_or(&self, store: &str, there: Option<NodeId>) -> (NodeId, BTreeSet<String>) {
        let stream = &self.stream;
        if !stream.needs_repartition {
            return (stream.node, stream.sources.clone());
        }
        let prefix = self.topic_name.as_deref().unwrap_or(store);
        let names = RepartitionNames::new(&stream.builder, prefix);
        let sources = BTreeSet::from([names.source.clone()]);
        let node = match there {
            // Several aggregates of a group with a name share its topic.
            Some(node) if self.topic_name.is_some() => {
                stream.builder.link(&[stream.node], node);
                node
            }
            _ => {
                let node = add_repartition(
                    &stream.builder,
                    stream.node,
                    &names,
                    self.key_serde(),
                    self.value_serde(),
                    None,
                );
                *self.repartition_node.borrow_mut() = Some(node);
                node
            }
        };
        (node, sources)
    }

    /// Cuts the groups into tumbling or hopping windows.
    pub fn windowed_by(&self, windows: TimeWindows) -> TimeWindowedStream<K, V> {
        TimeWindowedStream { group: self.clone(), windows, emit: EmitStrategy::default() }
    }

    /// Cuts the groups into sliding windows.
    pub fn windowed_by_sliding(&self, windows: SlidingWindows) -> SlidingWindowedStream<K, V> {
        SlidingWindowedStream { group: self.clone(), windows, emit: EmitStrategy::default() }
    }

    /// Cuts the groups into sessions.
    pub fn windowed_by_session(&self, windows: SessionWindows) -> SessionWindowedStream<K, V> {
        SessionWindowedStream { group: self.clone(), windows, emit: EmitStrategy::default() }
    }
}

pub(super) fn count_one<K, V>() -> Aggregator<K, V, i64> {
    Arc::new(|_, _, count| Some(count.unwrap_or(0) + 1))
}

pub(super) fn reduce_one<K, V>(
    reducer: impl Fn(V, V) -> V + Send + Sync + 'static,
) -> Aggregator<K, V, V> {
    Arc::new(move |_, value, aggregate| match (aggregate, value) {
        (Some(aggregate), Some(value)) => Some(reducer(aggregate, value)),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    })
}
