//! The small objects that say how an operator does its work: names, serdes, stores.

use crate::record::Data;
use crate::serdes::SerdeOf;
use crate::topology::{OffsetReset, TimestampExtractor};
use std::fmt;
use std::time::Duration;

macro_rules! opaque_debug {
    ($name:ident<$($param:ident),*>) => {
        impl<$($param),*> fmt::Debug for $name<$($param),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }

        impl<$($param),*> Default for $name<$($param),*> {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

/// How a topic is read.
pub struct Consumed<K, V> {
    pub(super) name: Option<String>,
    pub(super) keys: Option<SerdeOf<K>>,
    pub(super) values: Option<SerdeOf<V>>,
    pub(super) extractor: Option<TimestampExtractor>,
    pub(super) reset: Option<OffsetReset>,
}

impl<K, V> Consumed<K, V> {
    /// With the serdes of the types.
    #[must_use]
    pub fn new() -> Self {
        Self { name: None, keys: None, values: None, extractor: None, reset: None }
    }

    /// With these serdes.
    #[must_use]
    pub fn with(keys: SerdeOf<K>, values: SerdeOf<V>) -> Self {
        Self { keys: Some(keys), values: Some(values), ..Self::new() }
    }

    /// Names the source.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Takes the event time from the record in another way than from its timestamp. A negative time drops the record.
    #[must_use]
    pub fn with_timestamp_extractor(self, extractor: TimestampExtractor) -> Self {
        Self { extractor: Some(extractor), ..self }
    }

    /// Where to begin without a committed offset.
    #[must_use]
    pub fn with_offset_reset(self, reset: OffsetReset) -> Self {
        Self { reset: Some(reset), ..self }
    }
}
opaque_debug!(Consumed<K, V>);

/// Chooses a partition: key, value, number of partitions.
pub type Partitioner<K, V> =
    std::sync::Arc<dyn Fn(Option<&K>, Option<&V>) -> Option<i32> + Send + Sync>;

/// How a topic is written.
pub struct Produced<K, V> {
    pub(super) name: Option<String>,
    pub(super) keys: Option<SerdeOf<K>>,
    pub(super) values: Option<SerdeOf<V>>,
    pub(super) partitioner: Option<Partitioner<K, V>>,
}

impl<K, V> Produced<K, V> {
    /// With the serdes of the stream, or else of the types.
    #[must_use]
    pub fn new() -> Self {
        Self { name: None, keys: None, values: None, partitioner: None }
    }

    /// With these serdes.
    #[must_use]
    pub fn with(keys: SerdeOf<K>, values: SerdeOf<V>) -> Self {
        Self { keys: Some(keys), values: Some(values), ..Self::new() }
    }

    /// Names the sink.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Chooses partitions; `None` leaves a record to the hash of its key.
    #[must_use]
    pub fn with_partitioner(self, partitioner: Partitioner<K, V>) -> Self {
        Self { partitioner: Some(partitioner), ..self }
    }
}
opaque_debug!(Produced<K, V>);

/// How a stream or table is grouped; the name goes into that of the repartition topic.
pub struct Grouped<K, V> {
    pub(super) name: Option<String>,
    pub(super) keys: Option<SerdeOf<K>>,
    pub(super) values: Option<SerdeOf<V>>,
}

impl<K, V> Grouped<K, V> {
    /// With the serdes of the stream, or else of the types.
    #[must_use]
    pub fn new() -> Self {
        Self { name: None, keys: None, values: None }
    }

    /// With these serdes.
    #[must_use]
    pub fn with(keys: SerdeOf<K>, values: SerdeOf<V>) -> Self {
        Self { name: None, keys: Some(keys), values: Some(values) }
    }

    /// Names the repartition topic.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }
}
opaque_debug!(Grouped<K, V>);

/// How a stream is sent through a topic of the application's own.
pub struct Repartitioned<K, V> {
    pub(super) name: Option<String>,
    pub(super) keys: Option<SerdeOf<K>>,
    pub(super) values: Option<SerdeOf<V>>,
    pub(super) partitions: Option<i32>,
}

impl<K, V> Repartitioned<K, V> {
    /// With the serdes of the stream, or else of the types.
    #[must_use]
    pub fn new() -> Self {
        Self { name: None, keys: None, values: None, partitions: None }
    }

    /// With these serdes.
    #[must_use]
    pub fn with(keys: SerdeOf<K>, values: SerdeOf<V>) -> Self {
        Self { keys: Some(keys), values: Some(values), ..Self::new() }
    }

    /// Names the topic.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// How many partitions the topic has.
    #[must_use]
    pub fn with_partitions(self, partitions: i32) -> Self {
        Self { partitions: Some(partitions), ..self }
    }
}
opaque_debug!(Repartitioned<K, V>);

/// How a stream is joined with a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    pub(super) grace_ms: Option<i64>,
}

impl Joined {
    /// At once.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Once the stream is so far beyond a record, by event time, that late updates of the table are there (KIP-923). The table has
    /// to be a versioned one that knows its history for at least as long.
    #[must_use]
    pub fn with_grace_period(self, grace: Duration) -> Self {
        Self { grace_ms: Some(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX)) }
    }
}

/// How a table is kept.
pub struct Materialized<K, V> {
    pub(super) name: Option<String>,
    pub(super) keys: Option<SerdeOf<K>>,
    pub(super) values: Option<SerdeOf<V>>,
    pub(super) logging: bool,
    pub(super) caching: bool,
    pub(super) retention_ms: Option<i64>,
    pub(super) history_ms: Option<i64>,
}

impl<K, V> Materialized<K, V> {
    /// With a generated name and the serdes of the table, or else of the types.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: None,
            keys: None,
            values: None,
            logging: true,
            caching: true,
            retention_ms: None,
            history_ms: None,
        }
    }

    /// With a name, under which the store can be queried.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::new() }
    }

    /// As a versioned table with this name (KIP-889): what it had before is known for so long, by event time, and records
    /// may be so late. Joins of streams with it find what held at the time of the record. For tables without windows.
    #[must_use]
    pub fn as_versioned(name: impl Into<String>, history: Duration) -> Self {
        let history_ms = i64::try_from(history.as_millis()).unwrap_or(i64::MAX);
        Self { history_ms: Some(history_ms), ..Self::named(name) }
    }

    /// With these serdes.
    #[must_use]
    pub fn with_serdes(self, keys: SerdeOf<K>, values: SerdeOf<V>) -> Self {
        Self { keys: Some(keys), values: Some(values), ..self }
    }

    /// Without a changelog topic: what is in memory is lost with the process.
    #[must_use]
    pub fn without_logging(self) -> Self {
        Self { logging: false, ..self }
    }

    /// Lets every update go on at once, instead of the last of each key at the next commit.
    #[must_use]
    pub fn with_caching_disabled(self) -> Self {
        Self { caching: false, ..self }
    }

    /// Lets only the last update of each key go on, at the next commit, if `statestore.cache.max.bytes` is not 0. This is
    /// the default.
    #[must_use]
    pub fn with_caching_enabled(self) -> Self {
        Self { caching: true, ..self }
    }

    /// How long windows and sessions are kept; at least their size and grace.
    #[must_use]
    pub fn with_retention_ms(self, retention_ms: i64) -> Self {
        Self { retention_ms: Some(retention_ms), ..self }
    }
}
opaque_debug!(Materialized<K, V>);

impl<K: Data, V: Data> Materialized<K, V> {
    pub(super) fn named_or(mut self, generate: impl FnOnce() -> String) -> (Self, Option<String>) {
        let queryable = self.name.clone();
        if self.name.is_none() {
            self.name = Some(generate());
        }
        (self, queryable)
    }
}

impl<K, V> Materialized<K, V> {
    pub(crate) fn store_name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn key_serde(&self) -> Option<SerdeOf<K>> {
        self.keys.clone()
    }

    pub(crate) fn value_serde(&self) -> Option<SerdeOf<V>> {
        self.values.clone()
    }

    pub(crate) fn history_ms(&self) -> Option<i64> {
        self.history_ms
    }

    pub(crate) fn is_cached(&self) -> bool {
        self.caching
    }

    pub(crate) fn is_logged(&self) -> bool {
        self.logging
    }
}
