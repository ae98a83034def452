//! Typed ways into the stores of a graph: serdes on top, changes to the changelog.

use super::session::session_key;
use super::suppress_buffer::SuppressBuffer;
use super::{KeyValueBytes, Put, SessionBytes, Store, WindowBytes, join_time, split_time};
use crate::engine::{Context, Flushed};
use crate::error::Error;
use crate::record::{Change, Headers, Record, Timestamped, Window, Windowed};
use crate::serdes::SerdeOf;
use bytes::Bytes;
use std::marker::PhantomData;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// The serdes of a store, which is all that is known of it before there is a graph.
pub(crate) struct StoreRef<K, V> {
    pub(crate) name: Arc<str>,
    pub(crate) keys: SerdeOf<K>,
    pub(crate) values: SerdeOf<V>,
}

impl<K, V> Clone for StoreRef<K, V> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            keys: Arc::clone(&self.keys),
            values: Arc::clone(&self.values),
        }
    }
}

impl<K, V> StoreRef<K, V> {
    /// Finds the store in the graph.
    pub(crate) fn open<S>(&self, ctx: &Context<'_>) -> Result<Handle<K, V, S>, Error> {
        Ok(Handle {
            id: ctx.store_id(&self.name)?,
            topic: ctx.store_topic(&self.name),
            store: self.clone(),
            kind: PhantomData,
        })
    }
}

/// A store of a running graph; `S` says of which kind.
pub(crate) struct Handle<K, V, S> {
    id: usize,
    topic: Arc<str>,
    store: StoreRef<K, V>,
    kind: PhantomData<fn() -> S>,
}

impl<K, V, S> Handle<K, V, S> {
    fn key(&self, key: &K) -> Result<Bytes, Error> {
        self.store.keys.serialize(&self.topic, key).map_err(|reason| Error::Serialize {
            topic: Arc::clone(&self.topic),
            part: "key",
            reason,
        })
    }

    fn read_key(&self, bytes: &Bytes) -> Result<K, Error> {
        self.store.keys.deserialize(&self.topic, bytes).map_err(|reason| Error::Deserialize {
            topic: Arc::clone(&self.topic),
            part: "key",
            reason,
        })
    }

    fn value(&self, value: &V) -> Result<Bytes, Error> {
        self.store.values.serialize(&self.topic, value).map_err(|reason| Error::Serialize {
            topic: Arc::clone(&self.topic),
            part: "value",
            reason,
        })
    }

    fn read_value(&self, bytes: &Bytes) -> Result<V, Error> {
        self.store.values.deserialize(&self.topic, bytes).map_err(|reason| Error::Deserialize {
            topic: Arc::clone(&self.topic),
            part: "value",
            reason,
        })
    }

    fn read_timestamped(&self, bytes: &Bytes) -> Result<Timestamped<V>, Error> {
        let (timestamp, bytes) = split_time(&self.store.name, bytes)?;
        Ok(Timestamped { value: self.read_value(&bytes)?, timestamp })
    }

    /// The change of an update that was held back, of a store of values with times, and its time.
    fn flushed_change(&self, update: &Flushed, sends_old: bool) -> Result<(Change<V>, i64), Error> {
        let read = |bytes: &Option<Bytes>| {
            bytes.as_ref().map(|bytes| self.read_timestamped(bytes)).transpose()
        };
        let new = read(&update.new)?;
        let old = if sends_old { read(&update.old)?.map(|old| old.value) } else { None };
        let timestamp = new.as_ref().map_or(update.timestamp, |new| new.timestamp);
        Ok((Change::new(new.map(|new| new.value), old), timestamp))
    }

    fn wrong_kind(&self) -> Error {
        Error::Store {
            name: self.store.name.as_ref().to_owned(),
            reason: "is of another kind than its user expects".to_owned(),
        }
    }

    fn with_key_value<R>(
        &self,
        ctx: &Context<'_>,
        work: impl FnOnce(&mut KeyValueBytes) -> Result<R, Error>,
    ) -> Result<R, Error> {
        ctx.with_store(self.id, |store| match store {
            Store::KeyValue(store) => work(store),
            _ => Err(self.wrong_kind()),
        })
    }

    fn with_window<R>(
        &self,
        ctx: &Context<'_>,
        work: impl FnOnce(&mut WindowBytes) -> Result<R, Error>,
    ) -> Result<R, Error> {
        ctx.with_store(self.id, |store| match store {
            Store::Window(store) => work(store),
            _ => Err(self.wrong_kind()),
        })
    }

    fn with_session<R>(
        &self,
        ctx: &Context<'_>,
        work: impl FnOnce(&mut SessionBytes) -> Result<R, Error>,
    ) -> Result<R, Error> {
        ctx.with_store(self.id, |store| match store {
            Store::Session(store) => work(store),
            _ => Err(self.wrong_kind()),
        })
    }
}

/// Values with their times, by key; of a versioned store, the newest.
pub(crate) enum TimestampedKeyValue {}
/// Plain values by key.
pub(crate) enum PlainKeyValue {}
/// Values with their times, by key and window.
pub(crate) enum TimestampedWindows {}
/// Values by key and session.
pub(crate) enum Sessions {}
/// Changes that are held back.
pub(crate) enum SuppressedChanges {}

impl<K, V> Handle<K, V, TimestampedKeyValue> {
    pub(crate) fn get(&self, ctx: &Context<'_>, key: &K) -> Result<Option<Timestamped<V>>, Error> {
        let key = self.key(key)?;
        let found = ctx.with_store(self.id, |store| match store {
            Store::KeyValue(store) => {
                let bytes = store.get(&key)?;
                bytes.map(|bytes| split_time(&self.store.name, &bytes)).transpose()
            }
            Store::Versioned(store) => store.newest(&key),
            _ => Err(self.wrong_kind()),
        })?;
        self.stamped(found)
    }

    /// What a versioned store had at that time.
    pub(crate) fn get_as_of(
        &self,
        ctx: &Context<'_>,
        key: &K,
        time: i64,
    ) -> Result<Option<Timestamped<V>>, Error> {
        let key = self.key(key)?;
        let found = ctx.with_store(self.id, |store| match store {
            Store::Versioned(store) => store.as_of(&key, time),
            _ => Err(self.wrong_kind()),
        })?;
        self.stamped(found)
    }

    pub(crate) fn is_versioned(&self, ctx: &Context<'_>) -> bool {
        ctx.with_store(self.id, |store| matches!(store, Store::Versioned(_)))
    }

    /// What is passed on of an update that was held back.
    pub(crate) fn flushed(
        &self,
        update: Flushed,
        sends_old: bool,
    ) -> Result<Record<K, Change<V>>, Error> {
        let key = self.read_key(&update.entry)?;
        let (change, timestamp) = self.flushed_change(&update, sends_old)?;
        Ok(Record { key: Some(key), value: Some(change), timestamp, headers: update.headers })
    }

    fn stamped(&self, found: Option<(i64, Bytes)>) -> Result<Option<Timestamped<V>>, Error> {
        found
            .map(|(timestamp, bytes)| {
                Ok(Timestamped { value: self.read_value(&bytes)?, timestamp })
            })
            .transpose()
    }

    pub(crate) fn put(
        &self,
        ctx: &Context<'_>,
        key: &K,
        value: Option<&V>,
        timestamp: i64,
    ) -> Result<Put, Error> {
        self.put_with(ctx, key, value, timestamp, Headers::default())
    }

    /// As [`Self::put`], with headers in the changelog.
    pub(crate) fn put_with(
        &self,
        ctx: &Context<'_>,
        key: &K,
        value: Option<&V>,
        timestamp: i64,
        headers: Headers,
    ) -> Result<Put, Error> {
        let key = self.key(key)?;
        if self.is_versioned(ctx) {
            let value = value.map(|value| self.value(value)).transpose()?;
            let put = ctx.with_store(self.id, |store| match store {
                Store::Versioned(store) => store.put(&key, value.as_deref(), timestamp),
                _ => Err(self.wrong_kind()),
            })?;
            ctx.log_change_with(self.id, key, value, timestamp, headers);
            return Ok(put);
        }
        if ctx.is_cached(self.id) {
            let new = value.map(|value| Ok::<_, Error>(join_time(timestamp, &self.value(value)?)));
            let new = new.transpose()?;
            let is_held = ctx.holds(self.id, &key);
            let old = self.with_key_value(ctx, |store| {
                let old = if is_held { None } else { store.get(&key)? };
                store.put(&key, new.clone())?;
                Ok(old)
            })?;
            ctx.hold_back(self.id, key, old, new, true);
            return Ok(Put::Held);
        }
        let Some(value) = value else {
            self.with_key_value(ctx, |store| store.put(&key, None))?;
            ctx.log_change_with(self.id, key, None, ctx.timestamp(), headers);
            return Ok(Put::Newest);
        };
        let with_time = join_time(timestamp, &self.value(value)?);
        let plain = with_time.slice(8..);
        self.with_key_value(ctx, |store| store.put(&key, Some(with_time)))?;
        ctx.log_change_with(self.id, key, Some(plain), timestamp, headers);
        Ok(Put::Newest)
    }
}

impl<K, V> Handle<K, V, SuppressedChanges> {
    pub(crate) fn key_bytes(&self, key: &K) -> Result<Bytes, Error> {
        self.key(key)
    }

    pub(crate) fn key_of(&self, bytes: &Bytes) -> Result<K, Error> {
        self.read_key(bytes)
    }

    pub(crate) fn value_bytes(&self, value: &V) -> Result<Bytes, Error> {
        self.value(value)
    }

    pub(crate) fn value_of(&self, bytes: &Bytes) -> Result<V, Error> {
        self.read_value(bytes)
    }

    pub(crate) fn with<R>(
        &self,
        ctx: &Context<'_>,
        work: impl FnOnce(&mut SuppressBuffer) -> R,
    ) -> Result<R, Error> {
        ctx.with_store(self.id, |store| match store {
            Store::Suppressed(store) => Ok(work(store)),
            _ => Err(self.wrong_kind()),
        })
    }
}

impl<V> Handle<Bytes, V, TimestampedKeyValue> {
    /// Entries whose key begins with `prefix`, in order.
    pub(crate) fn with_prefix(
        &self,
        ctx: &Context<'_>,
        prefix: &[u8],
    ) -> Result<Vec<(Bytes, Timestamped<V>)>, Error> {
        let found = self.with_key_value(ctx, |store| store.with_prefix(prefix))?;
        found.into_iter().map(|(key, value)| Ok((key, self.read_timestamped(&value)?))).collect()
    }
}

impl<K, V> Handle<K, V, PlainKeyValue> {
    pub(crate) fn get(&self, ctx: &Context<'_>, key: &K) -> Result<Option<V>, Error> {
        let key = self.key(key)?;
        let bytes = self.with_key_value(ctx, |store| store.get(&key))?;
        bytes.map(|bytes| self.read_value(&bytes)).transpose()
    }

    pub(crate) fn put(&self, ctx: &Context<'_>, key: &K, value: Option<&V>) -> Result<(), Error> {
        let key = self.key(key)?;
        let value = value.map(|value| self.value(value)).transpose()?;
        self.with_key_value(ctx, |store| store.put(&key, value.clone()))?;
        ctx.log_change(self.id, key, value, ctx.timestamp());
        Ok(())
    }

    pub(crate) fn all(&self, ctx: &Context<'_>) -> Result<Vec<(K, V)>, Error> {
        let mut found = Vec::new();
        self.with_key_value(ctx, |store| {
            store.scan(Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
                found.push((Bytes::copy_from_slice(key), value.clone()));
                ControlFlow::Continue(())
            })
        })?;
        found
            .into_iter()
            .map(|(key, value)| Ok((self.read_key(&key)?, self.read_value(&value)?)))
            .collect()
    }
}

impl<K, V> Handle<K, V, TimestampedWindows> {
    pub(crate) fn fetch(
        &self,
        ctx: &Context<'_>,
        key: &K,
        start_ms: i64,
    ) -> Result<Option<Timestamped<V>>, Error> {
        let key = self.key(key)?;
        let bytes = self.with_window(ctx, |store| store.fetch(&key, start_ms))?;
        bytes.map(|bytes| self.read_timestamped(&bytes)).transpose()
    }

    pub(crate) fn fetch_range(
        &self,
        ctx: &Context<'_>,
        key: &K,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<(i64, Timestamped<V>)>, Error> {
        let key = self.key(key)?;
        self.with_window(ctx, |store| store.fetch_range(&key, from_ms, to_ms))?
            .into_iter()
            .map(|(start_ms, bytes)| Ok((start_ms, self.read_timestamped(&bytes)?)))
            .collect()
    }

    pub(crate) fn fetch_all(
        &self,
        ctx: &Context<'_>,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<(K, i64, Timestamped<V>)>, Error> {
        self.with_window(ctx, |store| store.fetch_all(from_ms, to_ms))?
            .into_iter()
            .map(|(key, start_ms, bytes)| {
                Ok((self.read_key(&key)?, start_ms, self.read_timestamped(&bytes)?))
            })
            .collect()
    }

    pub(crate) fn put(
        &self,
        ctx: &Context<'_>,
        key: &K,
        start_ms: i64,
        value: Option<&V>,
        timestamp: i64,
    ) -> Result<Put, Error> {
        self.put_with(ctx, key, start_ms, value, timestamp, Headers::default())
    }

    /// As [`Self::put`], with headers for the record of the changelog.
    pub(crate) fn put_with(
        &self,
        ctx: &Context<'_>,
        key: &K,
        start_ms: i64,
        value: Option<&V>,
        timestamp: i64,
        headers: Headers,
    ) -> Result<Put, Error> {
        let key = self.key(key)?;
        let with_time = match value {
            Some(value) => Some(join_time(timestamp, &self.value(value)?)),
            None => None,
        };
        if ctx.is_cached(self.id) {
            let entry = self.with_window(ctx, |store| Ok(store.next_key(&key, start_ms)))?;
            let is_held = ctx.holds(self.id, &entry);
            let new = with_time.clone();
            let old = self.with_window(ctx, |store| {
                let old = if is_held { None } else { store.fetch(&key, start_ms)? };
                store.put(&entry, with_time)?;
                Ok(old)
            })?;
            ctx.hold_back(self.id, entry, old, new, true);
            return Ok(Put::Held);
        }
        let plain = with_time.as_ref().map(|bytes| bytes.slice(8..));
        let logged_at = if value.is_some() { timestamp } else { ctx.timestamp() };
        let entry = self.with_window(ctx, |store| {
            let entry = store.next_key(&key, start_ms);
            store.put(&entry, with_time)?;
            Ok(entry)
        })?;
        ctx.log_change_with(self.id, entry, plain, logged_at, headers);
        Ok(Put::Newest)
    }

    /// What is passed on of an update that was held back, in windows of this size.
    pub(crate) fn flushed(
        &self,
        update: Flushed,
        size_ms: i64,
        sends_old: bool,
    ) -> Result<Record<Windowed<K>, Change<V>>, Error> {
        let Some((key, start_ms, _)) = super::window::split_key(&update.entry) else {
            return Err(self.wrong_kind());
        };
        let key = self.read_key(&update.entry.slice_ref(key))?;
        let key = Windowed { key, window: Window { start_ms, end_ms: start_ms + size_ms } };
        let (change, timestamp) = self.flushed_change(&update, sends_old)?;
        Ok(Record { key: Some(key), value: Some(change), timestamp, headers: update.headers })
    }
}

impl<K, V> Handle<K, V, Sessions> {
    pub(crate) fn fetch(
        &self,
        ctx: &Context<'_>,
        key: &K,
        window: Window,
    ) -> Result<Option<V>, Error> {
        let key = self.key(key)?;
        let bytes = self.with_session(ctx, |store| store.fetch(&key, window))?;
        bytes.map(|bytes| self.read_value(&bytes)).transpose()
    }

    pub(crate) fn find(
        &self,
        ctx: &Context<'_>,
        key: &K,
        earliest_end_ms: i64,
        latest_start_ms: i64,
    ) -> Result<Vec<(Window, V)>, Error> {
        let key = self.key(key)?;
        self.with_session(ctx, |store| store.find(&key, earliest_end_ms, latest_start_ms))?
            .into_iter()
            .map(|(window, bytes)| Ok((window, self.read_value(&bytes)?)))
            .collect()
    }

    pub(crate) fn find_all(
        &self,
        ctx: &Context<'_>,
        earliest_end_ms: i64,
        latest_end_ms: i64,
    ) -> Result<Vec<(K, Window, V)>, Error> {
        self.with_session(ctx, |store| store.find_all(earliest_end_ms, latest_end_ms))?
            .into_iter()
            .map(|(key, window, bytes)| {
                Ok((self.read_key(&key)?, window, self.read_value(&bytes)?))
            })
            .collect()
    }

    pub(crate) fn put(
        &self,
        ctx: &Context<'_>,
        key: &K,
        window: Window,
        value: Option<&V>,
    ) -> Result<Put, Error> {
        let key = self.key(key)?;
        let entry = session_key(&key, window);
        let value = value.map(|value| self.value(value)).transpose()?;
        if ctx.is_cached(self.id) {
            let is_held = ctx.holds(self.id, &entry);
            let old = self.with_session(ctx, |store| {
                let old = if is_held { None } else { store.fetch(&key, window)? };
                store.put_raw(&entry, value.clone())?;
                Ok(old)
            })?;
            ctx.hold_back(self.id, entry, old, value, false);
            return Ok(Put::Held);
        }
        self.with_session(ctx, |store| store.put_raw(&entry, value.clone()))?;
        ctx.log_change(self.id, entry, value, ctx.timestamp());
        Ok(Put::Newest)
    }

    /// What is passed on of an update that was held back.
    pub(crate) fn flushed(
        &self,
        update: Flushed,
        sends_old: bool,
    ) -> Result<Record<Windowed<K>, Change<V>>, Error> {
        let Some((key, window)) = super::session::split_key(&update.entry) else {
            return Err(self.wrong_kind());
        };
        let key = Windowed { key: self.read_key(&update.entry.slice_ref(key))?, window };
        let read = |bytes: Option<Bytes>| bytes.map(|bytes| self.read_value(&bytes)).transpose();
        let old = if sends_old { read(update.old)? } else { None };
        let value = Some(Change::new(read(update.new)?, old));
        let timestamp = window.end_ms;
        Ok(Record { key: Some(key), value, timestamp, headers: update.headers })
    }
}
