//! A record on its way through a topology, and what tables and windows make of keys and values.

use bytes::Bytes;
use std::sync::Arc;

/// Anything that may travel: cheap to hand to a second child, and free to move to another thread.
pub trait Data: Clone + Send + 'static {}
impl<T: Clone + Send + 'static> Data for T {}

/// One record. `None` is Kafka's null: a key that is not there, or the tombstone of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<K, V> {
    /// Decides the partition, and what the record belongs to.
    pub key: Option<K>,
    /// The payload.
    pub value: Option<V>,
    /// Event time, milliseconds since the epoch.
    pub timestamp: i64,
    /// Travel along unchanged unless an operator changes them.
    pub headers: Headers,
}

impl<K, V> Record<K, V> {
    /// A record without headers.
    pub fn new(key: impl Into<Option<K>>, value: impl Into<Option<V>>, timestamp: i64) -> Self {
        Self { key: key.into(), value: value.into(), timestamp, headers: Headers::default() }
    }

    /// The same record with another key.
    pub fn with_key<K2>(self, key: Option<K2>) -> Record<K2, V> {
        Record { key, value: self.value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record with another value.
    pub fn with_value<V2>(self, value: Option<V2>) -> Record<K, V2> {
        Record { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }
}

/// Headers in their order. Empty ones cost nothing; others are shared until somebody changes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Option<Arc<Vec<Header>>>);

/// One header; a name may stand several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub key: String,
    /// `None` is null.
    pub value: Option<Bytes>,
}

impl Headers {
    /// Headers in the order given.
    #[must_use]
    pub fn new(headers: Vec<Header>) -> Self {
        if headers.is_empty() { Self(None) } else { Self(Some(Arc::new(headers))) }
    }

    /// All of them, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Header] {
        self.0.as_ref().map_or(&[], |headers| headers.as_slice())
    }

    /// Adds one at the end.
    pub fn add(&mut self, key: impl Into<String>, value: Option<Bytes>) {
        let headers = self.0.get_or_insert_default();
        Arc::make_mut(headers).push(Header { key: key.into(), value });
    }
}

/// What a table forwards: the value as it is, and, for those who asked, as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<V> {
    /// The new value; `None` deletes.
    pub new: Option<V>,
    /// The value before, where somebody downstream needs it.
    pub old: Option<V>,
    /// False for an update of a versioned table that is older than its newest value.
    pub is_latest: bool,
}

impl<V> Change<V> {
    /// A change of the newest value.
    pub fn new(new: Option<V>, old: Option<V>) -> Self {
        Self { new, old, is_latest: true }
    }
}

/// A key within a window.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Windowed<K> {
    /// What was grouped.
    pub key: K,
    /// When.
    pub window: Window,
}

/// From `start_ms` to `end_ms`; whether the end belongs to it is up to the kind of window: not to tumbling and hopping
/// ones, but to sliding and session windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// First moment, milliseconds since the epoch.
    pub start_ms: i64,
    /// Last moment, or the first after it.
    pub end_ms: i64,
}

/// A value that a key had for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedRecord<V> {
    /// The value.
    pub value: V,
    /// From when, milliseconds since the epoch.
    pub timestamp: i64,
    /// Until when, not included; `None` if it is the newest.
    pub valid_to: Option<i64>,
}

/// A value and the time it was written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamped<V> {
    /// The value.
    pub value: V,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
}
