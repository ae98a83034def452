//! Interactive queries: what the stores of this instance hold, and which instance has the rest.
//!
//! A view reads the tasks that are at work here, between two of their records, so that it never sees half a record. It reads
//! standby tasks only if asked, since they are behind. What is on other instances is found by [`RunningStreams::host_of`]; asking
//! them is up to the application.

use super::error::RuntimeError;
use super::handle::RunningStreams;
use crate::engine::{Graph, TaskId};
use crate::error::Error;
use crate::record::{Data, Timestamped, VersionedRecord};
use crate::serdes::{HasSerde, SerdeOf};
use crate::stores::{Store, StoreKind, split_time};
use afluente_client::producer::partitioner::partition_of_key;
use bytes::Bytes;
use std::ops::{Bound, ControlFlow};

/// A key-value store, as far as its tasks are here.
pub struct StoreView<'a, K, V> {
    streams: &'a RunningStreams,
    name: String,
    keys: SerdeOf<K>,
    values: SerdeOf<V>,
    with_standby: bool,
}

impl<K, V> std::fmt::Debug for StoreView<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreView").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Who has the task of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHosts {
    /// The partition of the key.
    pub partition: i32,
    /// `application.server` of who works on it, if that is known.
    pub active: Option<String>,
    /// `application.server` of those that stand by.
    pub standby: Vec<String>,
}

impl RunningStreams {
    /// A view of a key-value store with the serdes of its types.
    #[must_use]
    pub fn store<K: HasSerde, V: HasSerde>(&self, name: &str) -> StoreView<'_, K, V> {
        let (keys, values) = (K::serde(), V::serde());
        StoreView { streams: self, name: name.to_owned(), keys, values, with_standby: false }
    }

    /// Where the key of a store is. The partition is that of the hash of its bytes, as producers choose it.
    ///
    /// # Errors
    ///
    /// There is no such store, or the serde refuses the key.
    pub fn host_of<K: HasSerde>(&self, store: &str, key: &K) -> Result<KeyHosts, RuntimeError> {
        let topics = &self.application.topics;
        let part =
            topics.subtopologies.iter().find(|(_, part)| part.changelogs.contains_key(store));
        let Some((subtopology, part)) = part else {
            return Err(no_store(store).into());
        };
        let bytes = key_bytes(&K::serde(), store, key)?;
        let partition = partition_of_key(&bytes, part.task_count.max(1));
        let task = TaskId { subtopology: *subtopology, partition }.to_string();
        let mut hosts = KeyHosts { partition, active: None, standby: Vec::new() };
        // All threads were told the same, at the latest assignment that each has seen.
        if let Some(placement) = self.placements.first() {
            for (server, tasks) in &placement.lock().hosts {
                if tasks.active.contains(&task) {
                    hosts.active = Some(server.clone());
                } else if tasks.standby.contains(&task) {
                    hosts.standby.push(server.clone());
                }
            }
        }
        Ok(hosts)
    }
}

impl<K: Data, V: Data> StoreView<'_, K, V> {
    /// Reads standby tasks, too, which may be behind.
    #[must_use]
    pub fn with_standby(self) -> Self {
        Self { with_standby: true, ..self }
    }

    /// The value of a key, if a task here has it.
    ///
    /// # Errors
    ///
    /// There is no such store, or its bytes are not what the serdes expect.
    pub fn get(&self, key: &K) -> Result<Option<V>, RuntimeError> {
        let key = key_bytes(&self.keys, &self.name, key)?;
        let mut found = None;
        self.each_store(|kind, store| {
            let bytes = match store {
                Store::KeyValue(store) => store.get(&key)?,
                Store::Versioned(store) => store.newest(&key)?.map(|(_, bytes)| bytes),
                _ => None,
            };
            if let (None, Some(bytes)) = (&found, bytes) {
                found = Some(self.value(kind, &bytes)?);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Of a versioned store: the value that a key had at a time, if its history goes back so far.
    ///
    /// # Errors
    ///
    /// As for [`Self::get`].
    pub fn get_as_of(&self, key: &K, time_ms: i64) -> Result<Option<Timestamped<V>>, RuntimeError> {
        let key = key_bytes(&self.keys, &self.name, key)?;
        let mut found = None;
        self.each_store(|kind, store| {
            if let (None, Store::Versioned(store)) = (&found, store)
                && let Some((timestamp, bytes)) = store.as_of(&key, time_ms)?
            {
                found = Some(Timestamped { value: self.value(kind, &bytes)?, timestamp });
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Of a versioned store: the values that a key had within these times, both included, the oldest first.
    ///
    /// # Errors
    ///
    /// As for [`Self::get`].
    pub fn history(
        &self,
        key: &K,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<VersionedRecord<V>>, RuntimeError> {
        let key = key_bytes(&self.keys, &self.name, key)?;
        let mut found = Vec::new();
        self.each_store(|kind, store| {
            let Store::Versioned(store) = store else { return Ok(()) };
            for ((timestamp, bytes), valid_to) in store.history(&key, from_ms, to_ms)? {
                let value = self.value(kind, &bytes)?;
                found.push(VersionedRecord { value, timestamp, valid_to });
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Up to `limit` entries, task by task, in the order of their keys' bytes.
    ///
    /// # Errors
    ///
    /// As for [`Self::get`].
    pub fn all(&self, limit: usize) -> Result<Vec<(K, V)>, RuntimeError> {
        let mut found = Vec::new();
        self.each_store(|kind, store| {
            let mut raw = Vec::new();
            let left = limit - found.len();
            let mut keep = |key: &[u8], value: Bytes| {
                if raw.len() == left {
                    return ControlFlow::Break(());
                }
                raw.push((Bytes::copy_from_slice(key), value));
                ControlFlow::Continue(())
            };
            match store {
                Store::KeyValue(store) => {
                    store.scan(Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
                        keep(key, value.clone())
                    })?;
                }
                Store::Versioned(store) => {
                    store.scan_newest(&mut |key, (_, value)| keep(key, value))?;
                }
                _ => {}
            }
            for (key, value) in raw {
                let key =
                    self.keys.deserialize(&self.name, &key).map_err(|reason| self.bad(reason))?;
                found.push((key, self.value(kind, &value)?));
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn value(&self, kind: StoreKind, bytes: &Bytes) -> Result<V, Error> {
        let bytes = match kind {
            StoreKind::KeyValue { timestamped: true } => split_time(&self.name, bytes)?.1,
            _ => bytes.clone(),
        };
        self.values.deserialize(&self.name, &bytes).map_err(|reason| self.bad(reason))
    }

    fn bad(&self, reason: String) -> Error {
        Error::Store { name: self.name.clone(), reason }
    }

    fn each_store(
        &self,
        mut look: impl FnMut(StoreKind, &Store) -> Result<(), Error>,
    ) -> Result<(), RuntimeError> {
        let is_known = self.streams.application.topology.stores.get(&self.name);
        match is_known {
            None => return Err(no_store(&self.name).into()),
            Some(entry)
                if !matches!(
                    entry.spec.kind,
                    StoreKind::KeyValue { .. } | StoreKind::Versioned { .. }
                ) =>
            {
                return Err(self.bad("is not a key-value store".to_owned()).into());
            }
            Some(entry) if entry.is_global => {
                let kind = entry.spec.kind;
                return Ok(look(kind, &self.streams.application.globals[&self.name].lock())?);
            }
            Some(_) => {}
        }
        let mut look_at = |graph: &Graph| -> Result<(), Error> {
            let Ok(id) = graph.store_id(&self.name) else { return Ok(()) };
            let kind = graph.store_kind(id);
            graph.with_store(id, |store| look(kind, store))
        };
        for tasks in &self.streams.tasks {
            for (_, graph, is_standby) in tasks.lock().graphs() {
                if !is_standby || self.with_standby {
                    look_at(graph)?;
                }
            }
        }
        Ok(())
    }
}

fn no_store(name: &str) -> Error {
    Error::Store { name: name.to_owned(), reason: "is not in the topology".to_owned() }
}

fn key_bytes<K>(keys: &SerdeOf<K>, store: &str, key: &K) -> Result<Bytes, Error> {
    keys.serialize(store, key).map_err(|reason| Error::Store { name: store.to_owned(), reason })
}
