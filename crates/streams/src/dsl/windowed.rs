//! Grouped streams in windows.

use super::grouped_stream::{AggregateParts, GroupedStream, count_one, reduce_one};
use super::settings::Materialized;
use super::table::KTable;
use super::windows::{EmitStrategy, SessionWindows, SlidingWindows, TimeWindows};
use crate::engine::node;
use crate::processors::aggregate::{Aggregator, Initializer};
use crate::processors::session_aggregate::{Merger, SessionAggregate, session_getter};
use crate::processors::sliding_aggregate::SlidingAggregate;
use crate::processors::window_aggregate::{FinalEmit, WindowAggregate, WindowState, window_getter};
use crate::record::{Data, Windowed};
use crate::serdes::{HasSerde, SerdeOf, session_windowed, time_windowed};
use crate::stores::handles::StoreRef;
use crate::stores::{StoreKind, StoreSpec};
use crate::topology::NodeFactory;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// Groups in tumbling or hopping windows.
#[derive(Debug)]
pub struct TimeWindowedStream<K, V> {
    pub(super) group: GroupedStream<K, V>,
    pub(super) windows: TimeWindows,
    pub(super) emit: EmitStrategy,
}

/// Groups in sliding windows.
#[derive(Debug)]
pub struct SlidingWindowedStream<K, V> {
    pub(super) group: GroupedStream<K, V>,
    pub(super) windows: SlidingWindows,
    pub(super) emit: EmitStrategy,
}

/// Groups in sessions.
#[derive(Debug)]
pub struct SessionWindowedStream<K, V> {
    pub(super) group: GroupedStream<K, V>,
    pub(super) windows: SessionWindows,
    pub(super) emit: EmitStrategy,
}

/// Names and serdes of a windowed store.
pub(super) struct Prepared<K, A> {
    pub(super) name: String,
    pub(super) store: StoreRef<K, A>,
    pub(super) queryable: Option<String>,
    pub(super) logging: bool,
    pub(super) caching: bool,
    pub(super) retention_ms: Option<i64>,
}

impl<K: HasSerde, V: HasSerde> GroupedStream<K, V> {
    fn prepare<A: Data>(
        &self,
        prefix: &str,
        materialized: Materialized<K, A>,
        values: SerdeOf<A>,
    ) -> Prepared<K, A> {
        let builder = &self.stream.builder;
        let (materialized, queryable) = materialized.named_or(|| builder.new_store_name(prefix));
        let name = builder.name_or(self.next_name(), prefix);
        let (logging, caching) = (materialized.logging, materialized.caching);
        let retention_ms = materialized.retention_ms;
        let (_, store) = materialized.table_store(&self.key_serde(), &values);
        Prepared { name, store, queryable, logging, caching, retention_ms }
    }
}

impl<K: HasSerde, A: Data> Prepared<K, A> {
    pub(super) fn window_parts(
        &self,
        size_ms: i64,
        least_retention_ms: i64,
        grace_ms: i64,
    ) -> AggregateParts<Windowed<K>, A> {
        AggregateParts {
            name: self.name.clone(),
            store: StoreSpec {
                name: self.store.name.as_ref().to_owned(),
                kind: StoreKind::Window {
                    retention_ms: self
                        .retention_ms
                        .map_or(least_retention_ms, |given| given.max(least_retention_ms)),
                    size_ms,
                    retain_duplicates: false,
                    timestamped: true,
                },
                logging: self.logging,
                caching: self.caching,
            },
            queryable: self.queryable.clone(),
            keys: time_windowed(self.store.keys.clone(), size_ms),
            values: self.store.values.clone(),
            getter: window_getter(self.store.clone()),
            sends_old: Rc::new(Cell::new(false)),
            grace_ms: Some(grace_ms),
        }
    }
}

impl<K: HasSerde, A: Data> Prepared<K, A> {
    pub(super) fn session_parts(&self, windows: SessionWindows) -> AggregateParts<Windowed<K>, A> {
        let least_retention_ms = windows.gap_ms + windows.grace_ms;
        AggregateParts {
            name: self.name.clone(),
            store: StoreSpec {
                name: self.store.name.as_ref().to_owned(),
                kind: StoreKind::Session {
                    retention_ms: self
                        .retention_ms
                        .map_or(least_retention_ms, |given| given.max(least_retention_ms)),
                },
                logging: self.logging,
                caching: self.caching,
            },
            queryable: self.queryable.clone(),
            keys: session_windowed(self.store.keys.clone()),
            values: self.store.values.clone(),
            getter: session_getter(self.store.clone()),
            sends_old: Rc::new(Cell::new(false)),
            grace_ms: Some(windows.grace_ms + windows.gap_ms),
        }
    }
}

macro_rules! window_operators {
    ($stream:ident, $count_takes_number:expr) => {
        impl<K, V> Clone for $stream<K, V> {
            fn clone(&self) -> Self {
                Self { group: self.group.clone(), windows: self.windows, emit: self.emit }
            }
        }

        impl<K: HasSerde, V: HasSerde> $stream<K, V> {
            /// Names the next operator.
            #[must_use]
            pub fn named(self, name: impl Into<String>) -> Self {
                Self { group: self.group.named(name), ..self }
            }

            /// Says when results are passed on.
            #[must_use]
            pub fn emit(self, emit: EmitStrategy) -> Self {
                Self { emit, ..self }
            }

            /// How many records each key had in each window.
            pub fn count(&self) -> KTable<Windowed<K>, i64> {
                self.count_named(Materialized::new())
            }

            /// As [`Self::count`], in a store of this description.
            pub fn count_with(
                &self,
                materialized: Materialized<K, i64>,
            ) -> KTable<Windowed<K>, i64> {
                if $count_takes_number && materialized.name.is_none() {
                    self.group.stream.builder.new_store_name("KSTREAM-AGGREGATE-");
                }
                self.count_named(materialized)
            }
        }
    };
}

window_operators!(TimeWindowedStream, true);
window_operators!(SlidingWindowedStream, false);
window_operators!(SessionWindowedStream, true);

macro_rules! time_window_operators {
    ($stream:ident) => {
        impl<K: HasSerde, V: HasSerde> $stream<K, V> {
            fn count_named(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
                self.aggregated(
                    "KSTREAM-AGGREGATE-",
                    Arc::new(|| Some(0)),
                    count_one(),
                    materialized,
                    i64::serde(),
                )
            }

            /// Puts the values of each key and window together, the first one as it is.
            pub fn reduce<F>(
                &self,
                reducer: F,
                materialized: Materialized<K, V>,
            ) -> KTable<Windowed<K>, V>
            where
                F: Fn(V, V) -> V + Send + Sync + 'static,
            {
                let values = self.group.value_serde();
                self.aggregated(
                    "KSTREAM-REDUCE-",
                    Arc::new(|| None),
                    reduce_one(reducer),
                    materialized,
                    values,
                )
            }

            /// Puts the values of each key and window into an aggregate; `None` for it deletes the window.
            pub fn aggregate<A: HasSerde, I, F>(
                &self,
                initializer: I,
                aggregator: F,
                materialized: Materialized<K, A>,
            ) -> KTable<Windowed<K>, A>
            where
                I: Fn() -> A + Send + Sync + 'static,
                F: Fn(&K, Option<V>, A) -> Option<A> + Send + Sync + 'static,
            {
                self.aggregated(
                    "KSTREAM-AGGREGATE-",
                    Arc::new(move || Some(initializer())),
                    Arc::new(move |key, value, aggregate| aggregator(key, value, aggregate?)),
                    materialized,
                    A::serde(),
                )
            }
        }
    };
}

time_window_operators!(TimeWindowedStream);
time_window_operators!(SlidingWindowedStream);

impl<K: HasSerde, V: HasSerde> TimeWindowedStream<K, V> {
    fn aggregated<A: Data>(
        &self,
        prefix: &str,
        initializer: Initializer<A>,
        aggregator: Aggregator<K, V, A>,
        materialized: Materialized<K, A>,
        values: SerdeOf<A>,
    ) -> KTable<Windowed<K>, A> {
        let prepared = self.group.prepare(prefix, materialized, values);
        let (windows, emit) = (self.windows, self.emit);
        let mut parts = prepared.window_parts(
            windows.size_ms,
            windows.size_ms + windows.grace_ms,
            windows.grace_ms,
        );
        // Results of closed windows go on by themselves; nothing else does.
        parts.store.caching &= emit == EmitStrategy::OnWindowUpdate;
        let store = prepared.store;
        self.group.build(parts, move |sends_old| -> NodeFactory {
            Arc::new(move || {
                node(WindowAggregate {
                    state: WindowState::new(store.clone(), emit, sends_old),
                    windows,
                    initializer: Arc::clone(&initializer),
                    aggregator: Arc::clone(&aggregator),
                })
            })
        })
    }
}

impl<K: HasSerde, V: HasSerde> SlidingWindowedStream<K, V> {
    fn aggregated<A: Data>(
        &self,
        prefix: &str,
        initializer: Initializer<A>,
        aggregator: Aggregator<K, V, A>,
        materialized: Materialized<K, A>,
        values: SerdeOf<A>,
    ) -> KTable<Windowed<K>, A> {
        let prepared = self.group.prepare(prefix, materialized, values);
        let (windows, emit) = (self.windows, self.emit);
        let mut parts = prepared.window_parts(
            windows.difference_ms,
            2 * windows.difference_ms + windows.grace_ms,
            windows.grace_ms,
        );
        // Results of closed windows go on by themselves; nothing else does.
        parts.store.caching &= emit == EmitStrategy::OnWindowUpdate;
        let store = prepared.store;
        self.group.build(parts, move |sends_old| -> NodeFactory {
            Arc::new(move || {
                node(SlidingAggregate {
                    state: WindowState::new(store.clone(), emit, sends_old),
                    windows,
                    initializer: Arc::clone(&initializer),
                    aggregator: Arc::clone(&aggregator),
                })
            })
        })
    }
}

impl<K: HasSerde, V: HasSerde> SessionWindowedStream<K, V> {
    fn count_named(&self, materialized: Materialized<K, i64>) -> KTable<Windowed<K>, i64> {
        self.aggregated(
            "KSTREAM-AGGREGATE-",
            Arc::new(|| Some(0)),
            count_one(),
            Arc::new(|_, one, other| Some(one.unwrap_or(0) + other.unwrap_or(0))),
            materialized,
            i64::serde(),
        )
    }

    /// Puts the values of each session together, the first one as it is.
    pub fn reduce<F>(&self, reducer: F, materialized: Materialized<K, V>) -> KTable<Windowed<K>, V>
    where
        F: Fn(V, V) -> V + Send + Sync + 'static,
    {
        let reduce = reduce_one::<K, V>(reducer);
        let merge = Arc::clone(&reduce);
        self.aggregated(
            "KSTREAM-REDUCE-",
            Arc::new(|| None),
            reduce,
            Arc::new(move |key, one, other| merge(key, other, one)),
            materialized,
            self.group.value_serde(),
        )
    }

    /// Puts the values of each session into an aggregate, and aggregates of sessions that become one together.
    pub fn aggregate<A: HasSerde, I, F, M>(
        &self,
        initializer: I,
        aggregator: F,
        merger: M,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A>
    where
        I: Fn() -> A + Send + Sync + 'static,
        F: Fn(&K, Option<V>, A) -> Option<A> + Send + Sync + 'static,
        M: Fn(&K, A, A) -> A + Send + Sync + 'static,
    {
        self.aggregated(
            "KSTREAM-AGGREGATE-",
            Arc::new(move || Some(initializer())),
            Arc::new(move |key, value, aggregate| aggregator(key, value, aggregate?)),
            Arc::new(move |key, one, other| match (one, other) {
                (Some(one), Some(other)) => Some(merger(key, one, other)),
                (one, other) => one.or(other),
            }),
            materialized,
            A::serde(),
        )
    }

    fn aggregated<A: Data>(
        &self,
        prefix: &str,
        initializer: Initializer<A>,
        aggregator: Aggregator<K, V, A>,
        merger: Merger<K, A>,
        materialized: Materialized<K, A>,
        values: SerdeOf<A>,
    ) -> KTable<Windowed<K>, A> {
        let prepared = self.group.prepare(prefix, materialized, values);
        let (windows, emit) = (self.windows, self.emit);
        let mut parts = prepared.session_parts(windows);
        // Results of closed windows go on by themselves; nothing else does.
        parts.store.caching &= emit == EmitStrategy::OnWindowUpdate;
        let store = prepared.store;
        self.group.build(parts, move |sends_old| -> NodeFactory {
            Arc::new(move || {
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
            })
        })
    }
}
