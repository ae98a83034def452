//! Joins of streams: with each other in windows, with tables, with global tables.

use super::graph::NodeTraits;
use super::settings::Joined;
use super::stream::KStream;
use super::table::KTable;
use super::windows::JoinWindows;
use crate::engine::node;
use crate::error::Error;
use crate::processors::getter::GetterSupplier;
use crate::processors::stream_join::{JoinWindow, PairJoiner, StreamJoin, merge};
use crate::processors::stream_table_join::{KeyOf, StreamJoiner, StreamTableJoin};
use crate::record::Data;
use crate::serdes::{HasSerde, SerdeOf};
use crate::stores::handles::StoreRef;
use crate::stores::join_buffer::JoinBuffer;
use crate::stores::outer_join::{OuterStore, Side};
use crate::stores::{StoreKind, StoreSpec};
use crate::topology::{NodeFactory, NodeKind, NodeSpec, Topology};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// A table that every instance holds whole, so that records need not be of the same partition to be joined with it. See
/// [`StreamsBuilder::global_table`](super::StreamsBuilder::global_table).
pub struct GlobalTable<K, V> {
    pub(super) getter: GetterSupplier<K, V>,
    pub(super) queryable: String,
}

impl<K, V> std::fmt::Debug for GlobalTable<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlobalTable").field("store", &self.queryable).finish_non_exhaustive()
    }
}

impl<K, V> GlobalTable<K, V> {
    /// The name under which the store can be queried.
    #[must_use]
    pub fn queryable_store_name(&self) -> &str {
        &self.queryable
    }
}

/// What a join of a stream with a table has to do with the table's stores.
struct TableSide {
    stores: Vec<String>,
    grace_ms: Option<i64>,
}

impl TableSide {
    /// Records can wait only for a table that still knows then what it had.
    fn check_grace(&self, topology: &Topology, name: &str) -> Result<(), Error> {
        let Some(grace_ms) = self.grace_ms else { return Ok(()) };
        for store in &self.stores {
            let kind = topology.stores.get(store).map(|entry| entry.spec.kind);
            let Some(StoreKind::Versioned { history_ms }) = kind else {
                let reason =
                    format!("\"{name}\": a join with a grace period needs a versioned table");
                return Err(Error::Topology(reason));
            };
            if history_ms < grace_ms {
                return Err(Error::Topology(format!(
                    "\"{name}\": the history of the table, {history_ms} ms, is shorter than the \
                     grace period, {grace_ms} ms"
                )));
            }
        }
        Ok(())
    }
}

/// Which records of a join of streams go on alone.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Alone {
    left: bool,
    right: bool,
}

impl<K: HasSerde, V: HasSerde> KStream<K, V> {
    /// Joins each record with the value that the table has for its key; records without one are dropped.
    pub fn join_table<VT: Data, VR: Data, F>(
        &self,
        table: &KTable<K, VT>,
        joiner: F,
    ) -> KStream<K, VR>
    where
        F: Fn(Option<&K>, &V, &VT) -> Option<VR> + Send + Sync + 'static,
    {
        self.join_table_with(table, joiner, Joined::new())
    }

    /// As [`Self::join_table`], with a grace period.
    pub fn join_table_with<VT: Data, VR: Data, F>(
        &self,
        table: &KTable<K, VT>,
        joiner: F,
        joined: Joined,
    ) -> KStream<K, VR>
    where
        F: Fn(Option<&K>, &V, &VT) -> Option<VR> + Send + Sync + 'static,
    {
        let joiner: StreamJoiner<K, V, VT, VR> =
            Arc::new(move |key, value, found| joiner(key, value, found?));
        self.table_join(table, joiner, false, joined)
    }

    /// Joins each record with the value that the table has for its key, if it has one.
    pub fn left_join_table<VT: Data, VR: Data, F>(
        &self,
        table: &KTable<K, VT>,
        joiner: F,
    ) -> KStream<K, VR>
    where
        F: Fn(Option<&K>, &V, Option<&VT>) -> Option<VR> + Send + Sync + 'static,
    {
        self.left_join_table_with(table, joiner, Joined::new())
    }

    /// As [`Self::left_join_table`], with a grace period; records without a key do not wait.
    pub fn left_join_table_with<VT: Data, VR: Data, F>(
        &self,
        table: &KTable<K, VT>,
        joiner: F,
        joined: Joined,
    ) -> KStream<K, VR>
    where
        F: Fn(Option<&K>, &V, Option<&VT>) -> Option<VR> + Send + Sync + 'static,
    {
        self.table_join(table, Arc::new(joiner), true, joined)
    }

    fn table_join<VT: Data, VR: Data>(
        &self,
        table: &KTable<K, VT>,
        joiner: StreamJoiner<K, V, VT, VR>,
        is_left: bool,
        joined: Joined,
    ) -> KStream<K, VR> {
        let stream = if self.needs_repartition {
            let prefix = self.next_name.clone().unwrap_or_else(|| self.name.clone());
            self.through_for_join(&prefix, None, None)
        } else {
            self.clone()
        };
        let builder = &self.builder;
        let sources: BTreeSet<String> = stream.sources.union(&table.sources).cloned().collect();
        builder.topology(|topology| topology.copartition_groups.push(sources.clone()));
        let prefix = if is_left { "KSTREAM-LEFTJOIN-" } else { "KSTREAM-JOIN-" };
        let name = builder.name_or(self.next_name.as_deref(), prefix);
        let getter = table.supplier.getter();
        let side = TableSide { stores: getter.stores.clone(), grace_ms: joined.grace_ms };
        let key_of: KeyOf<K, V, K> = Arc::new(|key, _| key.cloned());
        let node = stream.add_table_join(&name, getter, key_of, joiner, is_left, side);
        KStream {
            name,
            keys: stream.keys.clone(),
            values: None,
            sources,
            needs_repartition: false,
            node,
            builder: builder.clone(),
            next_name: None,
            repartitioned: Rc::default(),
        }
    }

    /// Joins each record with the value of a global table at the key that the record names; records without one are
    /// dropped.
    pub fn join_global<KT: Data, VT: Data, VR: Data, S, F>(
        &self,
        table: &GlobalTable<KT, VT>,
        key_of: S,
        joiner: F,
    ) -> KStream<K, VR>
    where
        S: Fn(Option<&K>, Option<&V>) -> Option<KT> + Send + Sync + 'static,
        F: Fn(Option<&K>, &V, &VT) -> Option<VR> + Send + Sync + 'static,
    {
        self.global_join(
            table,
            Arc::new(key_of),
            Arc::new(move |key, value, found| joiner(key, value, found?)),
            false,
        )
    }

    /// Joins each record with the value of a global table at the key that the record names, if there is one.
    pub fn left_join_global<KT: Data, VT: Data, VR: Data, S, F>(
        &self,
        table: &GlobalTable<KT, VT>,
        key_of: S,
        joiner: F,
    ) -> KStream<K, VR>
    where
        S: Fn(Option<&K>, Option<&V>) -> Option<KT> + Send + Sync + 'static,
        F: Fn(Option<&K>, &V, Option<&VT>) -> Option<VR> + Send + Sync + 'static,
    {
        self.global_join(table, Arc::new(key_of), Arc::new(joiner), true)
    }

    fn global_join<KT: Data, VT: Data, VR: Data>(
        &self,
        table: &GlobalTable<KT, VT>,
        key_of: KeyOf<K, V, KT>,
        joiner: StreamJoiner<K, V, VT, VR>,
        is_left: bool,
    ) -> KStream<K, VR> {
        // Kafka Streams names inner ones so, too.
        let name = self.builder.name_or(self.next_name.as_deref(), "KSTREAM-LEFTJOIN-");
        let side = TableSide { stores: Vec::new(), grace_ms: None };
        let node = self.add_table_join(&name, table.getter.clone(), key_of, joiner, is_left, side);
        KStream {
            name,
            keys: self.keys.clone(),
            values: None,
            sources: self.sources.clone(),
            needs_repartition: self.needs_repartition,
            node,
            builder: self.builder.clone(),
            next_name: None,
            repartitioned: Rc::default(),
        }
    }

    fn add_table_join<KT: Data, VT: Data, VR: Data>(
        &self,
        name: &str,
        getter: GetterSupplier<KT, VT>,
        key_of: KeyOf<K, V, KT>,
        joiner: StreamJoiner<K, V, VT, VR>,
        is_left: bool,
        side: TableSide,
    ) -> usize {
        let traits = NodeTraits { is_null_key_relaxed: is_left, ..NodeTraits::default() };
        let spec_name = name.to_owned();
        let keys = self.keys.clone().unwrap_or_else(K::serde);
        let values = self.values.clone().unwrap_or_else(V::serde);
        self.builder.add(&[self.node], name, traits, move |topology, parents| {
            side.check_grace(topology, &spec_name)?;
            let buffer = side.grace_ms.map(|grace_ms| (format!("{spec_name}-Buffer"), grace_ms));
            let buffer_spec = buffer.as_ref().map(|(name, _)| StoreSpec {
                name: name.clone(),
                kind: StoreKind::KeyValue { timestamped: false },
                logging: true,
                caching: false,
            });
            let make: NodeFactory = Arc::new(move || {
                let buffer = buffer.as_ref().map(|(name, grace_ms)| {
                    JoinBuffer::new(name.as_str().into(), keys.clone(), values.clone(), *grace_ms)
                });
                node(StreamTableJoin {
                    table: (getter.make)(),
                    key_of: Arc::clone(&key_of),
                    joiner: Arc::clone(&joiner),
                    is_left,
                    buffer,
                    is_versioned: false,
                })
            });
            add_processor(topology, &spec_name, parents, make)?;
            if let Some(spec) = buffer_spec {
                topology.add_store(spec, &[&spec_name])?;
            }
            for store in &side.stores {
                topology.connect_store(&spec_name, store)?;
            }
            Ok(())
        })
    }

    /// Joins records of both streams that have the same key and are within the window of each other.
    pub fn join<V2: HasSerde, VR: Data, F>(
        &self,
        other: &KStream<K, V2>,
        joiner: F,
        windows: JoinWindows,
    ) -> KStream<K, VR>
    where
        F: Fn(Option<&K>, &V, &V2) -> Option<VR> + Send + Sync + 'static,
    {
        self.windowed_join(
            other,
            Arc::new(move |key, left, right| joiner(key, left?, right?)),
            windows,
            Alone { left: false, right: false },
        )
    }

    /// As [`Self::join`]; records of this stream that meet nobody go on alone, once their window is closed.
    pub fn left_join<V2: HasSerde, VR: Data, F>(
        &self,
        other: &KStream<K, V2>,
        joiner: F,
        windows: JoinWindows,
    ) -> KStream<K, VR>
    where
        F: Fn(Option<&K>, &V, Option<&V2>) -> Option<VR> + Send + Sync + 'static,
    {
        self.windowed_join(
            other,
            Arc::new(move |key, left, right| joiner(key, left?, right)),
            windows,
            Alone { left: true, right: false },
        )
    }

    /// As [`Self::join`]; records of both streams that meet nobody go on alone, once their window is closed.
    pub fn outer_join<V2: HasSerde, VR: Data, F>(
        &self,
        other: &KStream<K, V2>,
        joiner: F,
        windows: JoinWindows,
    ) -> KStream<K, VR>
    where
        F: Fn(Option<&K>, Option<&V>, Option<&V2>) -> Option<VR> + Send + Sync + 'static,
    {
        self.windowed_join(other, Arc::new(joiner), windows, Alone { left: true, right: true })
    }

    fn windowed_join<V2: HasSerde, VR: Data>(
        &self,
        other: &KStream<K, V2>,
        joiner: PairJoiner<K, V, V2, VR>,
        windows: JoinWindows,
        alone: Alone,
    ) -> KStream<K, VR> {
        let builder = &self.builder;
        let own_name = self.next_name.clone();
        let prefix = |suffix: &str, stream: &str| match &own_name {
            Some(name) => format!("{name}{suffix}"),
            None => stream.to_owned(),
        };
        let mut left = self.clone();
        if left.needs_repartition {
            left = left.through_for_join(&prefix("-left", &self.name), None, None);
        }
        let mut right = other.clone();
        if right.needs_repartition {
            right = right.through_for_join(&prefix("-right", &other.name), None, None);
        }
        let sources: BTreeSet<String> = left.sources.union(&right.sources).cloned().collect();
        builder.topology(|topology| topology.copartition_groups.push(sources.clone()));
        let own_name = own_name.as_deref();
        let left_window = builder.suffixed_or(own_name, "-this-windowed", "KSTREAM-WINDOWED-");
        let right_window = builder.suffixed_or(own_name, "-other-windowed", "KSTREAM-WINDOWED-");
        let left_generated =
            builder.new_name(if alone.right { "KSTREAM-OUTERTHIS-" } else { "KSTREAM-JOINTHIS-" });
        let right_generated =
            builder.new_name(if alone.left { "KSTREAM-OUTEROTHER-" } else { "KSTREAM-JOINOTHER-" });
        let left_suffix = if alone.right { "-outer-this-join" } else { "-this-join" };
        let right_suffix = if alone.left { "-outer-other-join" } else { "-other-join" };
        let left_join = prefix(left_suffix, &left_generated);
        let right_join = prefix(right_suffix, &right_generated);
        let merge_name = builder.suffixed_or(own_name, "-merge", "KSTREAM-MERGE-");
        let keys = left.keys.clone().or_else(|| right.keys.clone()).unwrap_or_else(K::serde);
        let left_store = StoreRef {
            name: format!("{left_generated}-store").into(),
            keys: keys.clone(),
            values: left.values.clone().unwrap_or_else(V::serde),
        };
        let right_store = StoreRef {
            name: format!("{right_generated}-store").into(),
            keys: keys.clone(),
            values: right.values.clone().unwrap_or_else(V2::serde),
        };
        add_window(&left, &left_window, left_store.clone(), windows);
        add_window(&right, &right_window, right_store.clone(), windows);
        let number = &left_generated[left_generated.len() - 10..];
        let waiting: Option<Arc<str>> =
            alone.left.then(|| format!("KSTREAM-OUTERSHARED-{number}-store").into());
        let traits =
            NodeTraits { is_null_key_relaxed: alone.left || alone.right, ..NodeTraits::default() };
        let write = JoinWrite {
            joiner,
            windows,
            alone,
            keys,
            left_store,
            right_store,
            waiting,
            left_window,
            right_window,
            left_join,
            right_join,
            merge_name: merge_name.clone(),
        };
        let node =
            builder.add(&[left.node, right.node], &merge_name, traits, move |topology, _| {
                write.write(topology)
            });
        KStream {
            name: merge_name,
            keys: None,
            values: None,
            sources,
            needs_repartition: false,
            node,
            builder: builder.clone(),
            next_name: None,
            repartitioned: Rc::default(),
        }
    }
}

fn add_processor(
    topology: &mut Topology,
    name: &str,
    parents: &[String],
    make: NodeFactory,
) -> Result<(), Error> {
    topology.add_node(NodeSpec {
        name: name.to_owned(),
        parents: parents.to_vec(),
        kind: NodeKind::Processor { make, stores: Vec::new() },
    })
}

fn window_spec(name: &str, windows: JoinWindows) -> StoreSpec {
    StoreSpec {
        name: name.to_owned(),
        kind: StoreKind::Window {
            retention_ms: windows.size_ms() + windows.grace_ms,
            size_ms: windows.size_ms(),
            retain_duplicates: true,
            timestamped: true,
        },
        logging: true,
        caching: false,
    }
}

fn add_window<K: Data, V: Data>(
    stream: &KStream<K, V>,
    name: &str,
    store: StoreRef<K, V>,
    windows: JoinWindows,
) {
    let spec_name = name.to_owned();
    stream.builder.add(&[stream.node], name, NodeTraits::default(), move |topology, parents| {
        let spec = window_spec(&store.name, windows);
        let make: NodeFactory =
            Arc::new(move || node(JoinWindow { store: store.clone(), handle: None }));
        add_processor(topology, &spec_name, parents, make)?;
        topology.add_store(spec, &[&spec_name])
    });
}

struct JoinWrite<K, V1, V2, VR> {
    joiner: PairJoiner<K, V1, V2, VR>,
    windows: JoinWindows,
    alone: Alone,
    keys: SerdeOf<K>,
    left_store: StoreRef<K, V1>,
    right_store: StoreRef<K, V2>,
    waiting: Option<Arc<str>>,
    left_window: String,
    right_window: String,
    left_join: String,
    right_join: String,
    merge_name: String,
}

impl<K: Data, V1: Data, V2: Data, VR: Data> JoinWrite<K, V1, V2, VR> {
    fn write(self, topology: &mut Topology) -> Result<(), Error> {
        let join: Arc<str> = self.merge_name.as_str().into();
        let waiting_spec = self.waiting.as_ref().map(|name| StoreSpec {
            name: name.as_ref().to_owned(),
            kind: StoreKind::KeyValue { timestamped: false },
            logging: true,
            caching: false,
        });
        let make = {
            let (joiner, windows, is_outer) =
                (Arc::clone(&self.joiner), self.windows, self.alone.left);
            let (this, other) = (self.left_store.clone(), self.right_store.clone());
            let (waiting, keys, join) = (self.waiting.clone(), self.keys.clone(), join.clone());
            Arc::new(move || {
                node::<K, V1>(StreamJoin {
                    side: Side::Left,
                    windows,
                    is_outer,
                    joiner: Arc::clone(&joiner),
                    other: other.clone(),
                    other_handle: None,
                    waiting: waiting.clone().map(|name| OuterStore::new(name, keys.clone())),
                    this_values: this.values.clone(),
                    other_values: other.values.clone(),
                    join: Arc::clone(&join),
                    time: 0,
                })
            })
        };
        add_processor(topology, &self.left_join, &[self.left_window], make)?;
        topology
            .add_store(window_spec(&self.right_store.name, self.windows), &[&self.left_join])?;
        if let Some(spec) = waiting_spec.clone() {
            topology.add_store(spec, &[&self.left_join])?;
        }
        let make = {
            let (joiner, windows, is_outer) =
                (Arc::clone(&self.joiner), self.windows, self.alone.right);
            let (this, other) = (self.right_store.clone(), self.left_store.clone());
            let (waiting, keys) = (self.waiting.clone(), self.keys.clone());
            Arc::new(move || {
                let joiner = Arc::clone(&joiner);
                node::<K, V2>(StreamJoin {
                    side: Side::Right,
                    windows,
                    is_outer,
                    joiner: Arc::new(
                        move |key: Option<&K>, this: Option<&V2>, other: Option<&V1>| {
                            joiner(key, other, this)
                        },
                    ),
                    other: other.clone(),
                    other_handle: None,
                    waiting: waiting.clone().map(|name| OuterStore::new(name, keys.clone())),
                    this_values: this.values.clone(),
                    other_values: other.values.clone(),
                    join: Arc::clone(&join),
                    time: 0,
                })
            })
        };
        add_processor(topology, &self.right_join, &[self.right_window], make)?;
        topology
            .add_store(window_spec(&self.left_store.name, self.windows), &[&self.right_join])?;
        if let Some(spec) = waiting_spec {
            topology.add_store(spec, &[&self.right_join])?;
        }
        let parents = [self.left_join, self.right_join];
        add_processor(topology, &self.merge_name, &parents, Arc::new(merge::<K, VR>))
    }
}
