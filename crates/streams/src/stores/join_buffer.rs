//! Records of a stream that wait for a versioned table to catch up (KIP-923).
//!
//! ```text
//! key    [1 B: 0][8 B time][key][4 B number]
//! value  [record context][-1][-1][4 B length][value][8 B: 0], as in a buffer of suppressed changes
//! ```

use super::Store;
use super::suppress_buffer::Buffered;
use crate::engine::{Context, NO_TIMESTAMP, Origin};
use crate::error::{Error, Flow};
use crate::record::{Data, Headers, Record};
use crate::serdes::SerdeOf;
use bytes::{BufMut, Bytes, BytesMut};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

pub(crate) struct JoinBuffer<K, V> {
    pub(crate) name: Arc<str>,
    pub(crate) keys: SerdeOf<K>,
    pub(crate) values: SerdeOf<V>,
    pub(crate) grace_ms: i64,
    id: usize,
    observed_time: i64,
    number: u32,
}

/// A record that waited.
pub(crate) struct Waited<K, V> {
    /// Its place.
    pub(crate) entry: Bytes,
    pub(crate) record: Record<K, V>,
    /// Where it came from.
    pub(crate) origin: Origin,
}

impl<K: Data, V: Data> JoinBuffer<K, V> {
    pub(crate) fn new(name: Arc<str>, keys: SerdeOf<K>, values: SerdeOf<V>, grace_ms: i64) -> Self {
        Self { name, keys, values, grace_ms, id: 0, observed_time: -1, number: 0 }
    }

    pub(crate) fn open(&mut self, ctx: &Context<'_>) -> Flow {
        self.id = ctx.store_id(&self.name)?;
        // Of what was there before the start, the newest record says how far time has come.
        self.observed_time = self.with(ctx, |map| {
            let mut newest = -1;
            map.scan_back(Bound::Unbounded, Bound::Unbounded, &mut |entry, _| {
                newest = split(entry).map_or(-1, |(time, _)| time);
                ControlFlow::Break(())
            })?;
            Ok(newest)
        })?;
        Ok(())
    }

    /// Lets a record wait; false if it is too late for that.
    pub(crate) fn put(&mut self, ctx: &Context<'_>, record: &Record<K, V>) -> Result<bool, Error> {
        let (Some(key), Some(value)) = (&record.key, &record.value) else { return Ok(false) };
        if self.observed_time.saturating_sub(self.grace_ms) > record.timestamp {
            return Ok(false);
        }
        self.observed_time = self.observed_time.max(record.timestamp);
        self.number = (self.number + 1) & 0x7fff_ffff;
        let mut entry = BytesMut::new();
        entry.put_u8(0);
        entry.put_i64(record.timestamp);
        entry.put_slice(&self.serialize(&self.keys, "key", key)?);
        entry.put_u32(self.number);
        let entry = entry.freeze();
        let buffered = Buffered {
            prior: None,
            old: None,
            new: Some(self.serialize(&self.values, "value", value)?),
            timestamp: record.timestamp,
            origin: ctx.origin_or_none(),
            headers: record.headers.clone(),
        };
        let bytes = buffered.to_bytes(0);
        self.with(ctx, |map| map.put(&entry, Some(bytes.clone())))?;
        ctx.log_change_with(self.id, entry, Some(bytes), NO_TIMESTAMP, Headers::default());
        Ok(true)
    }

    /// The oldest record that has waited long enough.
    pub(crate) fn oldest_due(&self, ctx: &Context<'_>) -> Result<Option<Waited<K, V>>, Error> {
        let due = self.observed_time.saturating_sub(self.grace_ms);
        let mut found = None;
        self.with(ctx, |map| {
            map.scan(Bound::Unbounded, Bound::Unbounded, &mut |entry, value| {
                if split(entry).is_some_and(|(time, _)| time <= due) {
                    found = Some((Bytes::copy_from_slice(entry), value.clone()));
                }
                ControlFlow::Break(())
            })
        })?;
        let Some((entry, bytes)) = found else { return Ok(None) };
        let broken = || self.broken("has a record that is cut short");
        let (_, key) = split(&entry).ok_or_else(broken)?;
        let (buffered, _) = Buffered::of_bytes(bytes).ok_or_else(broken)?;
        let key = self.deserialize(&self.keys, "key", &entry.slice_ref(key))?;
        let value = buffered.new.map(|value| self.deserialize(&self.values, "value", &value));
        let record = Record {
            key: Some(key),
            value: value.transpose()?,
            timestamp: buffered.timestamp,
            headers: buffered.headers,
        };
        Ok(Some(Waited { entry, record, origin: buffered.origin }))
    }

    pub(crate) fn remove(&self, ctx: &Context<'_>, entry: Bytes) -> Flow {
        self.with(ctx, |map| map.put(&entry, None))?;
        ctx.log_change_with(self.id, entry, None, NO_TIMESTAMP, Headers::default());
        Ok(())
    }

    fn with<R>(
        &self,
        ctx: &Context<'_>,
        work: impl FnOnce(&mut super::KeyValueBytes) -> Result<R, Error>,
    ) -> Result<R, Error> {
        ctx.with_store(self.id, |store| match store {
            Store::KeyValue(store) => work(store),
            _ => Err(self.broken("is of another kind than a join expects")),
        })
    }

    fn broken(&self, reason: &str) -> Error {
        Error::Store { name: self.name.as_ref().to_owned(), reason: reason.to_owned() }
    }

    fn serialize<T>(
        &self,
        serde: &SerdeOf<T>,
        part: &'static str,
        value: &T,
    ) -> Result<Bytes, Error> {
        serde.serialize(&self.name, value).map_err(|reason| Error::Serialize {
            topic: Arc::clone(&self.name),
            part,
            reason,
        })
    }

    fn deserialize<T>(
        &self,
        serde: &SerdeOf<T>,
        part: &'static str,
        bytes: &Bytes,
    ) -> Result<T, Error> {
        serde.deserialize(&self.name, bytes).map_err(|reason| Error::Deserialize {
            topic: Arc::clone(&self.name),
            part,
            reason,
        })
    }
}

/// Time and key of an entry.
fn split(entry: &[u8]) -> Option<(i64, &[u8])> {
    let time = entry.get(1..9)?.try_into().ok()?;
    Some((i64::from_be_bytes(time), entry.get(9..entry.len().checked_sub(4)?)?))
}
