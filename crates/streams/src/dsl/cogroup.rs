//! Several grouped streams put into one aggregate (KIP-150).

use super::graph::{Builder, NodeId, NodeTraits};
use super::grouped_stream::{AggregateParts, GroupedStream};
use super::settings::Materialized;
use super::table::{KTable, StoredTable};
use super::windowed::Prepared;
use super::windows::{EmitStrategy, SessionWindows, SlidingWindows, TimeWindows};
use crate::engine::node;
use crate::processors::aggregate::{Aggregate, Aggregator, Initializer};
use crate::processors::getter::GetterSupplier;
use crate::processors::session_aggregate::{Merger, SessionAggregate};
use crate::processors::sliding_aggregate::SlidingAggregate;
use crate::processors::stateless::pass;
use crate::processors::window_aggregate::{FinalEmit, WindowAggregate, WindowState};
use crate::record::{Change, Data, Windowed};
use crate::serdes::HasSerde;
use crate::stores::handles::StoreRef;
use crate::topology::{NodeFactory, NodeKind, NodeSpec};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

const AGGREGATE: &str = "COGROUPKSTREAM-AGGREGATE-";
const MERGE: &str = "COGROUPKSTREAM-MERGE-";

/// How the records of a member come into the aggregate.
#[derive(Clone)]
enum Cut<K, A> {
    Whole,
    Time(TimeWindows),
    Sliding(SlidingWindows),
    Session(SessionWindows, Merger<K, A>),
}

/// One of the streams, whatever its values are.
trait Member<K, A> {
    fn sources(&self) -> BTreeSet<String>;

    fn parent(&self, store: &str) -> NodeId;

    fn make(
        &self,
        store: StoreRef<K, A>,
        initializer: Initializer<A>,
        cut: Cut<K, A>,
        sends_old: bool,
    ) -> NodeFactory;
}

struct GroupMember<K, V, A> {
    group: GroupedStream<K, V>,
    aggregator: Aggregator<K, V, A>,
}

impl<K: HasSerde, V: HasSerde, A: Data> Member<K, A> for GroupMember<K, V, A> {
    fn sources(&self) -> BTreeSet<String> {
        self.group.stream.sources.clone()
    }

    fn parent(&self, store: &str) -> NodeId {
        self.group.own_parent(store)
    }

    fn make(
        &self,
        store: StoreRef<K, A>,
        initializer: Initializer<A>,
        cut: Cut<K, A>,
        sends_old: bool,
    ) -> NodeFactory {
        let aggregator = Arc::clone(&self.aggregator);
        let emit = EmitStrategy::OnWindowUpdate;
        match cut {
            Cut::Whole => Arc::new(move || {
                node(Aggregate {
                    store: store.clone(),
                    handle: None,
                    initializer: Arc::clone(&initializer),
                    aggregator: Arc::clone(&aggregator),
                    sends_old,
                    is_reduction: false,
                })
            }),
            Cut::Time(windows) => Arc::new(move || {
                node(WindowAggregate {
                    state: WindowState::new(store.clone(), emit, sends_old),
                    windows,
                    initializer: Arc::clone(&initializer),
                    aggregator: Arc::clone(&aggregator),
                })
            }),
            Cut::Sliding(windows) => Arc::new(move || {
                node(SlidingAggregate {
                    state: WindowState::new(store.clone(), emit, sends_old),
                    windows,
                    initializer: Arc::clone(&initializer),
                    aggregator: Arc::clone(&aggregator),
                })
            }),
            Cut::Session(windows, merger) => Arc::new(move || {
                node(SessionAggregate {
                    store: store.clone(),
                    handle: None,
                    windows,
                    initializer: Arc::clone(&initializer),
                    aggregator: Arc::clone(&aggregator),
                    merger: Arc::clone(&merger),
                    emit,
                    sends_old,
                    observed_time: -1,
                    final_emit: FinalEmit::default(),
                })
            }),
        }
    }
}

/// Streams that are grouped by the same key. See the [module](crate::dsl).
pub struct CogroupedStream<K, A> {
    members: Vec<Rc<dyn Member<K, A>>>,
    builder: Builder,
    next_name: Option<String>,
}

impl<K, A> Clone for CogroupedStream<K, A> {
    fn clone(&self) -> Self {
        Self {
            members: self.members.clone(),
            builder: self.builder.clone(),
            next_name: self.next_name.clone(),
        }
    }
}

impl<K, A> std::fmt::Debug for CogroupedStream<K, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CogroupedStream")
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}

impl<K: HasSerde, V: HasSerde> GroupedStream<K, V> {
    /// Begins an aggregate that other streams of the same key come into, too. The value is `None` only in windows.
    pub fn cogroup<A: HasSerde, F>(&self, aggregator: F) -> CogroupedStream<K, A>
    where
        F: Fn(&K, Option<V>, A) -> Option<A> + Send + Sync + 'static,
    {
        let empty = CogroupedStream {
            members: Vec::new(),
            builder: self.stream.builder.clone(),
            next_name: None,
        };
        empty.cogroup(self, aggregator)
    }
}

impl<K: HasSerde, A: HasSerde> CogroupedStream<K, A> {
    /// Names the next operator.
    #[must_use]
    pub fn named(&self, name: impl Into<String>) -> Self {
        Self { next_name: Some(name.into()), ..self.clone() }
    }

    /// Adds a stream, whose values come into the aggregate in their own way.
    #[must_use]
    pub fn cogroup<V: HasSerde, F>(&self, group: &GroupedStream<K, V>, aggregator: F) -> Self
    where
        F: Fn(&K, Option<V>, A) -> Option<A> + Send + Sync + 'static,
    {
        let mut all = self.clone();
        all.members.push(Rc::new(GroupMember {
            group: group.clone(),
            aggregator: Arc::new(move |key, value, aggregate| aggregator(key, value, aggregate?)),
        }));
        all
    }

    /// Puts the values of each key into an aggregate; `None` for it takes the key out of the table.
    pub fn aggregate<I>(&self, initializer: I, materialized: Materialized<K, A>) -> KTable<K, A>
    where
        I: Fn() -> A + Send + Sync + 'static,
    {
        let (materialized, queryable) =
            materialized.named_or(|| self.builder.new_store_name(AGGREGATE));
        let (spec, store) = materialized.table_store(&K::serde(), &A::serde());
        let parts = AggregateParts {
            name: String::new(),
            store: spec,
            queryable,
            keys: store.keys.clone(),
            values: store.values.clone(),
            getter: GetterSupplier::of_store(store.clone()),
            sends_old: Rc::new(Cell::new(false)),
            grace_ms: None,
        };
        self.build(parts, &store, Arc::new(move || Some(initializer())), &Cut::Whole)
    }

    /// Cuts the groups into tumbling or hopping windows.
    #[must_use]
    pub fn windowed_by(&self, windows: TimeWindows) -> WindowedCogroup<K, A, TimeWindows> {
        WindowedCogroup { group: self.clone(), windows }
    }

    /// Cuts the groups into sliding windows.
    #[must_use]
    pub fn windowed_by_sliding(
        &self,
        windows: SlidingWindows,
    ) -> WindowedCogroup<K, A, SlidingWindows> {
        WindowedCogroup { group: self.clone(), windows }
    }

    /// Cuts the groups into sessions.
    #[must_use]
    pub fn windowed_by_session(
        &self,
        windows: SessionWindows,
    ) -> WindowedCogroup<K, A, SessionWindows> {
        WindowedCogroup { group: self.clone(), windows }
    }

    fn prepare(&self, materialized: Materialized<K, A>) -> Prepared<K, A> {
        let (materialized, queryable) =
            materialized.named_or(|| self.builder.new_store_name(AGGREGATE));
        let (logging, caching) = (materialized.logging, materialized.caching);
        let retention_ms = materialized.retention_ms;
        let (_, store) = materialized.table_store(&K::serde(), &A::serde());
        Prepared { name: String::new(), store, queryable, logging, caching, retention_ms }
    }

    /// Adds a node for each stream, which share a store, and one behind them.
    fn build<KR: Data>(
        &self,
        parts: AggregateParts<KR, A>,
        store: &StoreRef<K, A>,
        initializer: Initializer<A>,
        cut: &Cut<K, A>,
    ) -> KTable<KR, A> {
        let builder = &self.builder;
        let AggregateParts { store: spec, queryable, keys, values, getter, sends_old, .. } = parts;
        let grace_ms = parts.grace_ms;
        let parents: Vec<NodeId> =
            self.members.iter().map(|member| member.parent(&spec.name)).collect();
        let sources = self.members.iter().flat_map(|member| member.sources()).collect();
        builder.topology(|topology| topology.copartition_groups.push(sources));
        let own = self.next_name.as_deref();
        let mut nodes = Vec::new();
        for (number, (member, parent)) in self.members.iter().zip(parents).enumerate() {
            let name = builder.suffixed_or(own, &format!("-cogroup-agg-{number}"), AGGREGATE);
            let output_versioned = grace_ms.is_none().then_some(spec.is_versioned());
            let traits = NodeTraits { output_versioned, grace_ms, ..NodeTraits::default() };
            let (member, store) = (Rc::clone(member), store.clone());
            let (initializer, cut, spec) = (Arc::clone(&initializer), cut.clone(), spec.clone());
            let (spec_name, flag) = (name.clone(), Rc::clone(&sends_old));
            nodes.push(builder.add(&[parent], &name, traits, move |topology, parents| {
                let make = member.make(store, initializer, cut, flag.get());
                topology.add_node(NodeSpec {
                    name: spec_name.clone(),
                    parents: parents.to_vec(),
                    kind: NodeKind::Processor { make, stores: Vec::new() },
                })?;
                topology.add_store(spec, &[&spec_name])
            }));
        }
        let name = builder.suffixed_or(own, "-cogroup-merge", MERGE);
        let spec_name = name.clone();
        let node = builder.add(&nodes, &name, NodeTraits::default(), move |topology, parents| {
            topology.add_node(NodeSpec {
                name: spec_name,
                parents: parents.to_vec(),
                kind: NodeKind::Processor {
                    make: Arc::new(pass::<KR, Change<A>>),
                    stores: Vec::new(),
                },
            })
        });
        KTable {
            sources: BTreeSet::from([name.clone()]),
            name,
            keys: Some(keys),
            values: Some(values),
            node,
            builder: builder.clone(),
            supplier: Rc::new(StoredTable { getter, sends_old }),
            queryable,
            next_name: None,
        }
    }
}

/// Groups of several streams in windows.
pub struct WindowedCogroup<K, A, W> {
    group: CogroupedStream<K, A>,
    windows: W,
}

impl<K, A, W: std::fmt::Debug> std::fmt::Debug for WindowedCogroup<K, A, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WindowedCogroup").field("windows", &self.windows).finish_non_exhaustive()
    }
}

impl<K: HasSerde, A: HasSerde> WindowedCogroup<K, A, TimeWindows> {
    /// Puts the values of each key and window into an aggregate; `None` for it deletes the window.
    pub fn aggregate<I>(
        &self,
        initializer: I,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A>
    where
        I: Fn() -> A + Send + Sync + 'static,
    {
        let TimeWindows { size_ms, grace_ms, .. } = self.windows;
        let prepared = self.group.prepare(materialized);
        let parts = prepared.window_parts(size_ms, size_ms + grace_ms, grace_ms);
        let cut = Cut::Time(self.windows);
        self.group.build(parts, &prepared.store, Arc::new(move || Some(initializer())), &cut)
    }
}

impl<K: HasSerde, A: HasSerde> WindowedCogroup<K, A, SlidingWindows> {
    /// Puts the values of each key and window into an aggregate; `None` for it deletes the window.
    pub fn aggregate<I>(
        &self,
        initializer: I,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A>
    where
        I: Fn() -> A + Send + Sync + 'static,
    {
        let SlidingWindows { difference_ms, grace_ms, .. } = self.windows;
        let prepared = self.group.prepare(materialized);
        let parts = prepared.window_parts(difference_ms, 2 * difference_ms + grace_ms, grace_ms);
        let cut = Cut::Sliding(self.windows);
        self.group.build(parts, &prepared.store, Arc::new(move || Some(initializer())), &cut)
    }
}

impl<K: HasSerde, A: HasSerde> WindowedCogroup<K, A, SessionWindows> {
    /// Puts the values of each session into an aggregate, and aggregates of sessions that become one together.
    pub fn aggregate<I, M>(
        &self,
        initializer: I,
        merger: M,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A>
    where
        I: Fn() -> A + Send + Sync + 'static,
        M: Fn(&K, A, A) -> A + Send + Sync + 'static,
    {
        let prepared = self.group.prepare(materialized);
        let parts = prepared.session_parts(self.windows);
        let merger: Merger<K, A> = Arc::new(move |key, one, other| match (one, other) {
            (Some(one), Some(other)) => Some(merger(key, one, other)),
            (one, other) => one.or(other),
        });
        let cut = Cut::Session(self.windows, merger);
        self.group.build(parts, &prepared.store, Arc::new(move || Some(initializer())), &cut)
    }
}
