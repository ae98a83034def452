//! Tables: the newest value of each key, and how it changes.

use super::graph::{Builder, NodeId, NodeTraits, TellParent};
use super::grouped_table::GroupedTable;
use super::settings::{Grouped, Materialized};
use super::stream::KStream;
use crate::engine::node;
use crate::processors::getter::GetterSupplier;
use crate::processors::stateless::table_to_stream;
use crate::processors::table_aggregate::table_group_map;
use crate::processors::table_join::{
    JoinKind, JoinMerger, Needs, TableJoin, TableJoiner, join_getter,
};
use crate::processors::table_source::SourceTable;
use crate::processors::table_stateless::{TableMap, TableMapper};
use crate::record::{Change, Data};
use crate::serdes::{HasSerde, SerdeOf};
use crate::stores::handles::StoreRef;
use crate::topology::{NodeKind, NodeSpec, Topology};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// How a table knows its values. What is asked of it here decides, before the topology is written, whether it needs a
/// store and whether it sends old values.
pub(crate) trait TableSupplier<K, V> {
    /// A way to look values up.
    fn getter(&self) -> GetterSupplier<K, V>;

    /// Asks for old values beside new ones. Without `force`, only if that needs no new store; false if it does.
    fn send_old_values(&self, force: bool) -> bool;
}

impl<K: Data, V: Data> TableSupplier<K, V> for SourceTable<K, V> {
    fn getter(&self) -> GetterSupplier<K, V> {
        self.getter()
    }

    fn send_old_values(&self, force: bool) -> bool {
        self.send_old_values(force)
    }
}

/// A table whose operator has a store in any case, as aggregates have.
pub(super) struct StoredTable<K, V> {
    pub(super) getter: GetterSupplier<K, V>,
    pub(super) sends_old: Rc<Cell<bool>>,
}

impl<K: Data, V: Data> TableSupplier<K, V> for StoredTable<K, V> {
    fn getter(&self) -> GetterSupplier<K, V> {
        self.getter.clone()
    }

    fn send_old_values(&self, _force: bool) -> bool {
        self.sends_old.set(true);
        true
    }
}

/// The newest value of each key. See the [module](crate::dsl).
pub struct KTable<K, V> {
    pub(super) name: String,
    pub(super) keys: Option<SerdeOf<K>>,
    pub(super) values: Option<SerdeOf<V>>,
    pub(super) sources: BTreeSet<String>,
    pub(super) node: NodeId,
    pub(super) builder: Builder,
    pub(super) supplier: Rc<dyn TableSupplier<K, V>>,
    pub(super) queryable: Option<String>,
    pub(super) next_name: Option<String>,
}

impl<K, V> Clone for KTable<K, V> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            keys: self.keys.clone(),
            values: self.values.clone(),
            sources: self.sources.clone(),
            node: self.node,
            builder: self.builder.clone(),
            supplier: Rc::clone(&self.supplier),
            queryable: self.queryable.clone(),
            next_name: self.next_name.clone(),
        }
    }
}

impl<K, V> std::fmt::Debug for KTable<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KTable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A table that is reckoned from its parent, with a store if it was given a name.
struct MappedTable<K, V, V2> {
    parent: Rc<dyn TableSupplier<K, V>>,
    map: TableMap<K, V, V2>,
    store: Option<StoreRef<K, V2>>,
    sends_old: Rc<Cell<bool>>,
}

impl<K: Data, V: Data, V2: Data> TableSupplier<K, V2> for MappedTable<K, V, V2> {
    fn getter(&self) -> GetterSupplier<K, V2> {
        match &self.store {
            Some(store) => GetterSupplier::of_store(store.clone()),
            None => {
                let map = Arc::clone(&self.map);
                self.parent.getter().mapped(move |key, value| map(key, value))
            }
        }
    }

    fn send_old_values(&self, force: bool) -> bool {
        if self.store.is_some() || self.parent.send_old_values(force) {
            self.sends_old.set(true);
        }
        self.sends_old.get()
    }
}

/// Two tables joined by their key.
struct JoinedTable<K, V1, V2, VR> {
    left: Rc<dyn TableSupplier<K, V1>>,
    right: Rc<dyn TableSupplier<K, V2>>,
    joiner: TableJoiner<V1, V2, VR>,
    kind: JoinKind,
    store: Option<StoreRef<K, VR>>,
    sends_old: Rc<Cell<bool>>,
}

impl<K: Data, V1: Data, V2: Data, VR: Data> TableSupplier<K, VR> for JoinedTable<K, V1, V2, VR> {
    fn getter(&self) -> GetterSupplier<K, VR> {
        match &self.store {
            Some(store) => GetterSupplier::of_store(store.clone()),
            None => join_getter(
                self.left.getter(),
                self.right.getter(),
                Arc::clone(&self.joiner),
                self.kind,
            ),
        }
    }

    fn send_old_values(&self, _force: bool) -> bool {
        self.left.send_old_values(true);
        self.right.send_old_values(true);
        self.sends_old.set(true);
        true
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Names the next operator.
    #[must_use]
    pub fn named(&self, name: impl Into<String>) -> Self {
        Self { next_name: Some(name.into()), ..self.clone() }
    }

    /// The name under which the table's store can be queried, if it was given one.
    #[must_use]
    pub fn queryable_store_name(&self) -> Option<&str> {
        self.queryable.as_deref()
    }

    /// Keeps keys whose value `predicate` likes; others are not in the table.
    pub fn filter<F>(&self, predicate: F) -> Self
    where
        K: HasSerde,
        V: HasSerde,
        F: Fn(&K, &V) -> bool + Send + Sync + 'static,
    {
        self.filter_with(predicate, None)
    }

    /// As [`Self::filter`], with a store if it has a name.
    pub fn filter_with<F>(&self, predicate: F, materialized: Option<Materialized<K, V>>) -> Self
    where
        K: HasSerde,
        V: HasSerde,
        F: Fn(&K, &V) -> bool + Send + Sync + 'static,
    {
        let map: TableMap<K, V, V> =
            Arc::new(move |key, value| predicate(key, &value).then_some(value));
        let sends_old = self.supplier.send_old_values(false);
        self.mapped("KTABLE-FILTER-", map, materialized, self.values.clone(), sends_old, true)
    }

    /// Keeps keys whose value `predicate` does not like.
    pub fn filter_not<F>(&self, predicate: F) -> Self
    where
        K: HasSerde,
        V: HasSerde,
        F: Fn(&K, &V) -> bool + Send + Sync + 'static,
    {
        self.filter(move |key, value| !predicate(key, value))
    }

    /// Makes another value of each; `None` takes the key out of the table.
    pub fn map_values<V2: HasSerde, F>(&self, map: F) -> KTable<K, V2>
    where
        K: HasSerde,
        F: Fn(&K, V) -> Option<V2> + Send + Sync + 'static,
    {
        self.map_values_with(map, None)
    }

    /// As [`Self::map_values`], with a store if it has a name.
    pub fn map_values_with<V2: HasSerde, F>(
        &self,
        map: F,
        materialized: Option<Materialized<K, V2>>,
    ) -> KTable<K, V2>
    where
        K: HasSerde,
        F: Fn(&K, V) -> Option<V2> + Send + Sync + 'static,
    {
        self.mapped("KTABLE-MAPVALUES-", Arc::new(map), materialized, None, false, false)
    }

    fn mapped<V2: HasSerde>(
        &self,
        prefix: &str,
        map: TableMap<K, V, V2>,
        materialized: Option<Materialized<K, V2>>,
        values: Option<SerdeOf<V2>>,
        sends_old: bool,
        is_filter: bool,
    ) -> KTable<K, V2>
    where
        K: HasSerde,
    {
        let builder = &self.builder;
        if materialized.as_ref().is_some_and(|materialized| materialized.name.is_none()) {
            builder.new_store_name(prefix);
        }
        let queryable = materialized.as_ref().and_then(|materialized| materialized.name.clone());
        let output_versioned =
            materialized.as_ref().map(|materialized| materialized.history_ms.is_some());
        let keys =
            materialized.as_ref().and_then(Materialized::key_serde).or_else(|| self.keys.clone());
        let values = materialized.as_ref().and_then(Materialized::value_serde).or(values);
        let name = builder.name_or(self.next_name.as_deref(), prefix);
        let stored =
            materialized.filter(|materialized| materialized.name.is_some()).map(|materialized| {
                materialized.table_store(
                    &keys.clone().unwrap_or_else(K::serde),
                    &values.clone().unwrap_or_else(V2::serde),
                )
            });
        let (spec, store) = stored.unzip();
        let sends_old = Rc::new(Cell::new(sends_old));
        let supplier = MappedTable {
            parent: Rc::clone(&self.supplier),
            map: Arc::clone(&map),
            store: store.clone(),
            sends_old: Rc::clone(&sends_old),
        };
        let spec_name = name.clone();
        let (keeps_history, on_versioned_parent) = versioned_parent();
        let on_versioned_parent = is_filter.then_some(on_versioned_parent);
        let traits = NodeTraits { output_versioned, on_versioned_parent, ..NodeTraits::default() };
        let node_id = builder.add(&[self.node], &name, traits, move |topology, parents| {
            let sends_old = sends_old.get();
            // That a versioned table has nothing from a time on is part of its history.
            let skips_nothing = is_filter && !keeps_history.get();
            topology.add_node(NodeSpec {
                name: spec_name.clone(),
                parents: parents.to_vec(),
                kind: NodeKind::Processor {
                    make: Arc::new(move || {
                        node(TableMapper::new(
                            Arc::clone(&map),
                            store.clone(),
                            sends_old,
                            skips_nothing,
                        ))
                    }),
                    stores: Vec::new(),
                },
            })?;
            match spec {
                Some(spec) => topology.add_store(spec, &[&spec_name]),
                None => Ok(()),
            }
        });
        KTable {
            name,
            keys,
            values,
            sources: self.sources.clone(),
            node: node_id,
            builder: builder.clone(),
            supplier: Rc::new(supplier),
            queryable,
            next_name: None,
        }
    }

    /// The changes of the table as a stream.
    pub fn to_stream(&self) -> KStream<K, V> {
        let name = self.builder.name_or(self.next_name.as_deref(), "KTABLE-TOSTREAM-");
        let spec_name = name.clone();
        let node = self.builder.add(
            &[self.node],
            &name,
            NodeTraits::default(),
            move |topology, parents| {
                topology.add_node(NodeSpec {
                    name: spec_name,
                    parents: parents.to_vec(),
                    kind: NodeKind::Processor {
                        make: Arc::new(table_to_stream::<K, V>),
                        stores: Vec::new(),
                    },
                })
            },
        );
        KStream {
            name,
            keys: self.keys.clone(),
            values: self.values.clone(),
            sources: self.sources.clone(),
            needs_repartition: false,
            node,
            builder: self.builder.clone(),
            next_name: None,
            repartitioned: Rc::default(),
        }
    }

    /// Joins keys that both tables have.
    pub fn join<V2: Data, VR: HasSerde, F>(
        &self,
        other: &KTable<K, V2>,
        joiner: F,
        materialized: Option<Materialized<K, VR>>,
    ) -> KTable<K, VR>
    where
        K: HasSerde,
        F: Fn(&V, &V2) -> Option<VR> + Send + Sync + 'static,
    {
        self.join_kind(
            other,
            Arc::new(move |left, right| joiner(left?, right?)),
            materialized,
            JoinKind::Inner,
        )
    }

    /// Joins keys that this table has.
    pub fn left_join<V2: Data, VR: HasSerde, F>(
        &self,
        other: &KTable<K, V2>,
        joiner: F,
        materialized: Option<Materialized<K, VR>>,
    ) -> KTable<K, VR>
    where
        K: HasSerde,
        F: Fn(&V, Option<&V2>) -> Option<VR> + Send + Sync + 'static,
    {
        self.join_kind(
            other,
            Arc::new(move |left, right| joiner(left?, right)),
            materialized,
            JoinKind::Left,
        )
    }

    /// Joins keys that either table has.
    pub fn outer_join<V2: Data, VR: HasSerde, F>(
        &self,
        other: &KTable<K, V2>,
        joiner: F,
        materialized: Option<Materialized<K, VR>>,
    ) -> KTable<K, VR>
    where
        K: HasSerde,
        F: Fn(Option<&V>, Option<&V2>) -> Option<VR> + Send + Sync + 'static,
    {
        self.join_kind(other, Arc::new(joiner), materialized, JoinKind::Outer)
    }

    fn join_kind<V2: Data, VR: HasSerde>(
        &self,
        other: &KTable<K, V2>,
        joiner: TableJoiner<V, V2, VR>,
        materialized: Option<Materialized<K, VR>>,
        kind: JoinKind,
    ) -> KTable<K, VR>
    where
        K: HasSerde,
    {
        let builder = &self.builder;
        let materialized = materialized.map(|materialized| {
            materialized.named_or(|| builder.new_store_name("KTABLE-MERGE-")).0
        });
        let own_name = self.next_name.as_deref();
        let merge_name = builder.name_or(own_name, "KTABLE-MERGE-");
        let sources: BTreeSet<String> = self.sources.union(&other.sources).cloned().collect();
        builder.topology(|topology| topology.copartition_groups.push(sources.clone()));
        if kind != JoinKind::Inner {
            self.supplier.send_old_values(true);
        }
        if kind == JoinKind::Outer {
            other.supplier.send_old_values(true);
        }
        let keys =
            materialized.as_ref().and_then(Materialized::key_serde).or_else(|| self.keys.clone());
        let values = materialized.as_ref().and_then(Materialized::value_serde);
        let queryable = materialized.as_ref().and_then(|materialized| materialized.name.clone());
        let is_versioned =
            materialized.as_ref().is_some_and(|materialized| materialized.history_ms.is_some());
        let stored = materialized.map(|materialized| {
            materialized.table_store(
                &keys.clone().unwrap_or_else(K::serde),
                &values.clone().unwrap_or_else(VR::serde),
            )
        });
        let (spec, store) = stored.unzip();
        let this_name = builder.suffixed_or(own_name, "-join-this", "KTABLE-JOINTHIS-");
        let other_name = builder.suffixed_or(own_name, "-join-other", "KTABLE-JOINOTHER-");
        let sends_old = Rc::new(Cell::new(false));
        let left = self.supplier.getter();
        let right = other.supplier.getter();
        let write = JoinWrite {
            joiner: Arc::clone(&joiner),
            kind,
            left,
            right,
            merge_name: merge_name.clone(),
            this_name,
            other_name,
            left_parent: self.name.clone(),
            right_parent: other.name.clone(),
            store: store.clone(),
            spec,
            sends_old: Rc::clone(&sends_old),
            left_versioned: Rc::default(),
            right_versioned: Rc::default(),
        };
        let traits = NodeTraits {
            output_versioned: Some(is_versioned),
            on_versioned_parent: Some(write.versioned_parents()),
            ..NodeTraits::default()
        };
        let node =
            builder.add(&[self.node, other.node], &merge_name, traits, move |topology, _| {
                write.write(topology)
            });
        let supplier = JoinedTable {
            left: Rc::clone(&self.supplier),
            right: Rc::clone(&other.supplier),
            joiner,
            kind,
            store,
            sends_old,
        };
        KTable {
            name: merge_name,
            keys,
            values,
            sources,
            node,
            builder: builder.clone(),
            supplier: Rc::new(supplier),
            queryable,
            next_name: None,
        }
    }

    /// Groups the values of the table by another key.
    pub fn group_by<K2, V2, F>(&self, select: F, grouped: Grouped<K2, V2>) -> GroupedTable<K2, V2>
    where
        K2: Data + PartialEq,
        V2: Data,
        F: Fn(&K, &V) -> (Option<K2>, Option<V2>) + Send + Sync + 'static,
    {
        let name = self
            .builder
            .name_or(grouped.name.as_deref().or(self.next_name.as_deref()), "KTABLE-SELECT-");
        let spec_name = name.clone();
        let select = Arc::new(select);
        let (is_versioned, on_versioned_parent) = versioned_parent();
        let traits =
            NodeTraits { on_versioned_parent: Some(on_versioned_parent), ..NodeTraits::default() };
        let node = self.builder.add(&[self.node], &name, traits, move |topology, parents| {
            let drops_older = is_versioned.get();
            topology.add_node(NodeSpec {
                name: spec_name,
                parents: parents.to_vec(),
                kind: NodeKind::Processor {
                    make: Arc::new(move || {
                        let select = Arc::clone(&select);
                        table_group_map(move |key: &K, value: &V| select(key, value), drops_older)
                    }),
                    stores: Vec::new(),
                },
            })
        });
        self.supplier.send_old_values(true);
        GroupedTable {
            keys: grouped.keys,
            values: grouped.values,
            topic_name: grouped.name,
            node,
            builder: self.builder.clone(),
            repartition_node: Rc::default(),
        }
    }
}

/// A flag that is set once the parent turns out to be a versioned table, and what sets it.
pub(super) fn versioned_parent() -> (Rc<Cell<bool>>, TellParent) {
    let flag = Rc::new(Cell::new(false));
    let told = Rc::clone(&flag);
    (flag, Rc::new(move |_| told.set(true)))
}

struct JoinWrite<K, V1, V2, VR> {
    joiner: TableJoiner<V1, V2, VR>,
    kind: JoinKind,
    left: GetterSupplier<K, V1>,
    right: GetterSupplier<K, V2>,
    merge_name: String,
    this_name: String,
    other_name: String,
    left_parent: String,
    right_parent: String,
    store: Option<StoreRef<K, VR>>,
    spec: Option<crate::stores::StoreSpec>,
    sends_old: Rc<Cell<bool>>,
    left_versioned: Rc<Cell<bool>>,
    right_versioned: Rc<Cell<bool>>,
}

impl<K: Data, V1: Data, V2: Data, VR: Data> JoinWrite<K, V1, V2, VR> {
    /// Notes down which sides are versioned tables.
    fn versioned_parents(&self) -> TellParent {
        let sides = [
            (self.left_parent.clone(), Rc::clone(&self.left_versioned)),
            (self.right_parent.clone(), Rc::clone(&self.right_versioned)),
        ];
        Rc::new(move |parent| {
            for (_, flag) in sides.iter().filter(|(side, _)| side == parent) {
                flag.set(true);
            }
        })
    }

    fn write(self, topology: &mut Topology) -> Result<(), crate::Error> {
        let Self { joiner, kind, left, right, .. } = self;
        let sends_old = self.sends_old.get();
        let (left_drops, right_drops) = (self.left_versioned.get(), self.right_versioned.get());
        let processor = |name: &str, parents: Vec<String>, make| NodeSpec {
            name: name.to_owned(),
            parents,
            kind: NodeKind::Processor { make, stores: Vec::new() },
        };
        let (this_joiner, make_other) = (Arc::clone(&joiner), Arc::clone(&right.make));
        topology.add_node(processor(
            &self.this_name,
            vec![self.left_parent],
            Arc::new(move || {
                node::<K, Change<V1>>(TableJoin {
                    other: make_other(),
                    joiner: Arc::clone(&this_joiner),
                    needs: Needs::left(kind),
                    sends_old,
                    drops_older: left_drops,
                })
            }),
        ))?;
        let make_other = Arc::clone(&left.make);
        topology.add_node(processor(
            &self.other_name,
            vec![self.right_parent],
            Arc::new(move || {
                let joiner = Arc::clone(&joiner);
                node::<K, Change<V2>>(TableJoin {
                    other: make_other(),
                    joiner: Arc::new(move |this: Option<&V2>, other: Option<&V1>| {
                        joiner(other, this)
                    }),
                    needs: Needs::right(kind),
                    sends_old,
                    drops_older: right_drops,
                })
            }),
        ))?;
        let store = self.store;
        topology.add_node(processor(
            &self.merge_name,
            vec![self.this_name.clone(), self.other_name.clone()],
            Arc::new(move || {
                node::<K, Change<VR>>(JoinMerger { store: store.clone(), handle: None, sends_old })
            }),
        ))?;
        if let Some(spec) = self.spec {
            topology.add_store(spec, &[&self.merge_name])?;
        }
        for store in &right.stores {
            topology.connect_store(&self.this_name, store)?;
        }
        for store in &left.stores {
            topology.connect_store(&self.other_name, store)?;
        }
        Ok(())
    }
}
