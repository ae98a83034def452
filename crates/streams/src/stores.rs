//! State: what operators remember, as bytes in Kafka Streams' layouts.
//!
//! A store is described by its [`StoreSpec`] and kept in ordered maps of bytes ([`ByteMap`]), which a [`MapSource`] opens: in memory
//! ([`MemoryMaps`]) or on disk. What a store writes to its changelog topic are the bytes that Kafka Streams 4.3 writes, so either
//! can go on where the other stopped.

pub(crate) mod handles;
pub(crate) mod join_buffer;
mod key_value;
mod memory;
pub(crate) mod outer_join;
pub(crate) mod record_cache;
mod session;
pub(crate) mod suppress_buffer;
pub(crate) mod versioned;
mod window;

use crate::error::Error;
use bytes::Bytes;
use std::ops::{Bound, ControlFlow};

pub(crate) use key_value::KeyValueBytes;
pub use memory::MemoryMaps;
pub(crate) use session::SessionBytes;
pub(crate) use versioned::{Put, VersionedBytes};
pub(crate) use window::WindowBytes;

/// An ordered map of bytes: all that a store asks of memory or disk.
pub trait ByteMap: Send {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// What the disk said.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error>;

    /// Sets the value of a key.
    ///
    /// # Errors
    ///
    /// What the disk said.
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), Error>;

    /// Forgets a key.
    ///
    /// # Errors
    ///
    /// What the disk said.
    fn remove(&mut self, key: &[u8]) -> Result<(), Error>;

    /// Shows the entries within the bounds in the order of their keys, until told to stop.
    ///
    /// # Errors
    ///
    /// What the disk said.
    fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error>;

    /// As [`Self::scan`], from the end.
    ///
    /// # Errors
    ///
    /// What the disk said.
    fn scan_back(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error>;
}

/// Opens the maps of one task's stores.
pub trait MapSource {
    /// The map of this name, empty if it is new.
    ///
    /// # Errors
    ///
    /// What the disk said.
    fn open(&self, name: &str) -> Result<Box<dyn ByteMap>, Error>;
}

/// What a store is, as far as its topic and its operators care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// Unique in the topology.
    pub name: String,
    /// What it holds.
    pub kind: StoreKind,
    /// Whether changes go to a changelog topic.
    pub logging: bool,
    /// Whether updates may be held back until the next commit, so that only the last of a key goes on.
    pub caching: bool,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Values by key; with timestamps `[8 B timestamp][value]`.
    KeyValue {
        /// Whether each value has a time.
        timestamped: bool,
    },
    /// Values by key and the time from which they hold: `[4 B length of key][key][8 B time]`.
    Versioned {
        /// How long what held before is known, and how late a record may be.
        history_ms: i64,
    },
    /// Values by key and start of a window: `[key][8 B start][4 B number]`.
    Window {
        /// How long a window is kept after its start.
        retention_ms: i64,
        /// Length of the windows.
        size_ms: i64,
        /// Whether values of one key and start are kept side by side, as joins need it.
        retain_duplicates: bool,
        /// Whether each value has a time.
        timestamped: bool,
    },
    /// Values by key and session: `[key][8 B end][8 B start]`.
    Session {
        /// How long a session is kept after its end.
        retention_ms: i64,
    },
    /// Changes that are held back.
    Suppressed,
}

impl StoreSpec {
    pub(crate) fn is_versioned(&self) -> bool {
        matches!(self.kind, StoreKind::Versioned { .. })
    }

    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind
    }

    /// How long the changelog keeps records, if not for ever: the store's retention, and a day for clocks that differ.
    #[must_use]
    pub fn changelog_retention_ms(&self) -> Option<i64> {
        const ADDITIONAL_MS: i64 = 24 * 60 * 60 * 1000;
        match self.kind {
            StoreKind::Window { retention_ms, .. } | StoreKind::Session { retention_ms } => {
                Some(retention_ms.saturating_add(ADDITIONAL_MS))
            }
            StoreKind::KeyValue { .. } | StoreKind::Versioned { .. } | StoreKind::Suppressed => {
                None
            }
        }
    }
}

/// The contents of one store.
pub(crate) enum Store {
    KeyValue(KeyValueBytes),
    Versioned(VersionedBytes),
    Window(WindowBytes),
    Session(SessionBytes),
    Suppressed(suppress_buffer::SuppressBuffer),
}

impl Store {
    pub(crate) fn open(spec: &StoreSpec, maps: &dyn MapSource) -> Result<Self, Error> {
        Ok(match spec.kind {
            StoreKind::KeyValue { .. } => {
                Self::KeyValue(KeyValueBytes::new(maps.open(&spec.name)?))
            }
            StoreKind::Window { retention_ms, retain_duplicates, .. } => Self::Window(
                WindowBytes::new(maps.open(&spec.name)?, retention_ms, retain_duplicates),
            ),
            StoreKind::Versioned { history_ms } => {
                Self::Versioned(VersionedBytes::new(maps.open(&spec.name)?, history_ms))
            }
            StoreKind::Suppressed => Self::Suppressed(suppress_buffer::SuppressBuffer::default()),
            StoreKind::Session { retention_ms } => {
                Self::Session(SessionBytes::new(maps.open(&spec.name)?, retention_ms))
            }
        })
    }

    /// All entries as the bytes of keys and values, in the order of the keys.
    pub(crate) fn dump(&self) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let mut all = Vec::new();
        let mut keep = |key: &[u8], value: &Bytes| {
            all.push((Bytes::copy_from_slice(key), value.clone()));
            ControlFlow::Continue(())
        };
        match self {
            Self::KeyValue(store) => store.scan(Bound::Unbounded, Bound::Unbounded, &mut keep)?,
            Self::Versioned(store) => store.scan_all(&mut keep)?,
            Self::Window(store) => store.scan_all(&mut keep)?,
            Self::Session(store) => store.scan_all(&mut keep)?,
            Self::Suppressed(store) => return Ok(store.dump()),
        }
        Ok(all)
    }

    /// Takes a record of the changelog in.
    pub(crate) fn restore(
        &mut self,
        spec: &StoreSpec,
        key: &Bytes,
        value: Option<Bytes>,
        timestamp: i64,
    ) -> Result<(), Error> {
        match (self, spec.kind) {
            (Self::KeyValue(store), StoreKind::KeyValue { timestamped }) => {
                store.put(key, value.map(|value| with_time(timestamped, timestamp, &value)))
            }
            (Self::Window(store), StoreKind::Window { timestamped, .. }) => {
                store.put_raw(key, value.map(|value| with_time(timestamped, timestamp, &value)))
            }
            (Self::Versioned(store), _) => store.put(key, value.as_deref(), timestamp).map(|_| ()),
            (Self::Session(store), _) => store.put_raw(key, value),
            (Self::Suppressed(store), _) => store.restore(&spec.name, key, value),
            (_, _) => Err(Error::Store {
                name: spec.name.clone(),
                reason: "is of another kind than its description".to_owned(),
            }),
        }
    }
}

fn with_time(timestamped: bool, timestamp: i64, value: &[u8]) -> Bytes {
    if timestamped { join_time(timestamp, value) } else { Bytes::copy_from_slice(value) }
}

/// `[8 B timestamp][value]`
pub(crate) fn join_time(timestamp: i64, value: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(8 + value.len());
    bytes.extend_from_slice(&timestamp.to_be_bytes());
    bytes.extend_from_slice(value);
    bytes.into()
}

/// The parts of `[8 B timestamp][value]`.
pub(crate) fn split_time(name: &str, bytes: &Bytes) -> Result<(i64, Bytes), Error> {
    let Some(time) = bytes.first_chunk::<8>() else {
        return Err(Error::Store {
            name: name.to_owned(),
            reason: format!("a value with a timestamp has 8 bytes or more, found {}", bytes.len()),
        });
    };
    Ok((i64::from_be_bytes(*time), bytes.slice(8..)))
}
