//! Records of a join that wait to go on alone: `[8 B time][1 B: 1 left, 0 right][key]` → a list of `[1 B: 1 left, 0
//! right][value]`, each with its length before it: `[1][4 B count]([4 B length][bytes])…`.

use super::Store;
use crate::engine::Context;
use crate::error::{Error, Flow};
use crate::serdes::SerdeOf;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// Which stream a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    fn byte(self) -> u8 {
        u8::from(self == Self::Left)
    }
}

pub(crate) struct OuterStore<K> {
    pub(crate) name: Arc<str>,
    pub(crate) keys: SerdeOf<K>,
    id: usize,
    topic: Arc<str>,
}

/// Records of one key, time and side.
pub(crate) struct Waiting<K> {
    pub(crate) entry: Bytes,
    pub(crate) key: K,
    pub(crate) timestamp: i64,
    pub(crate) side: Side,
    pub(crate) values: Vec<Bytes>,
}

impl<K> OuterStore<K> {
    pub(crate) fn new(name: Arc<str>, keys: SerdeOf<K>) -> Self {
        Self { name, keys, id: 0, topic: Arc::from("") }
    }

    pub(crate) fn open(&mut self, ctx: &Context<'_>) -> Flow {
        self.id = ctx.store_id(&self.name)?;
        self.topic = ctx.store_topic(&self.name);
        Ok(())
    }

    fn entry(&self, key: &K, timestamp: i64, side: Side) -> Result<Bytes, Error> {
        let key = self.keys.serialize(&self.topic, key).map_err(|reason| Error::Serialize {
            topic: Arc::clone(&self.topic),
            part: "key",
            reason,
        })?;
        let mut bytes = BytesMut::with_capacity(9 + key.len());
        bytes.put_i64(timestamp);
        bytes.put_u8(side.byte());
        bytes.put_slice(&key);
        Ok(bytes.freeze())
    }

    fn get(&self, ctx: &Context<'_>, entry: &[u8]) -> Result<Option<Bytes>, Error> {
        ctx.with_store(self.id, |store| match store {
            Store::KeyValue(store) => store.get(entry),
            _ => Err(self.broken("is of another kind than a join expects")),
        })
    }

    fn put(&self, ctx: &Context<'_>, entry: &Bytes, value: Option<Bytes>) -> Flow {
        ctx.with_store(self.id, |store| match store {
            Store::KeyValue(store) => store.put(entry, value.clone()),
            _ => Err(self.broken("is of another kind than a join expects")),
        })?;
        ctx.log_change(self.id, entry.clone(), value, ctx.timestamp());
        Ok(())
    }

    fn broken(&self, reason: &str) -> Error {
        Error::Store { name: self.name.as_ref().to_owned(), reason: reason.to_owned() }
    }

    /// Lets a record wait.
    pub(crate) fn wait<V>(
        &self,
        ctx: &Context<'_>,
        key: &K,
        timestamp: i64,
        side: Side,
        values: &SerdeOf<V>,
        value: &V,
    ) -> Flow {
        let entry = self.entry(key, timestamp, side)?;
        let value = values.serialize(&self.topic, value).map_err(|reason| Error::Serialize {
            topic: Arc::clone(&self.topic),
            part: "value",
            reason,
        })?;
        let mut item = BytesMut::with_capacity(1 + value.len());
        item.put_u8(side.byte());
        item.put_slice(&value);
        let mut items = match self.get(ctx, &entry)? {
            Some(there) => self.items(there)?,
            None => Vec::new(),
        };
        items.push(item.freeze());
        self.put(ctx, &entry, Some(list(&items)))
    }

    /// Records of this key, time and side met somebody: they wait no more.
    pub(crate) fn met(&self, ctx: &Context<'_>, key: &K, timestamp: i64, side: Side) -> Flow {
        let entry = self.entry(key, timestamp, side)?;
        match self.get(ctx, &entry)? {
            Some(_) => self.put(ctx, &entry, None),
            None => Ok(()),
        }
    }

    pub(crate) fn remove(&self, ctx: &Context<'_>, entry: &Bytes) -> Flow {
        self.put(ctx, entry, None)
    }

    /// All who wait, by time.
    pub(crate) fn all(&self, ctx: &Context<'_>) -> Result<Vec<Waiting<K>>, Error> {
        let mut found = Vec::new();
        ctx.with_store(self.id, |store| match store {
            Store::KeyValue(store) => {
                store.scan(Bound::Unbounded, Bound::Unbounded, &mut |entry, value| {
                    found.push((Bytes::copy_from_slice(entry), value.clone()));
                    ControlFlow::Continue(())
                })
            }
            _ => Err(self.broken("is of another kind than a join expects")),
        })?;
        found
            .into_iter()
            .map(|(entry, value)| {
                let Some((time, [side, ..])) = entry.split_first_chunk::<8>() else {
                    return Err(self.broken("has a key of less than 9 bytes"));
                };
                let side = if *side == 1 { Side::Left } else { Side::Right };
                let timestamp = i64::from_be_bytes(*time);
                let key =
                    self.keys.deserialize(&self.topic, &entry.slice(9..)).map_err(|reason| {
                        Error::Deserialize { topic: Arc::clone(&self.topic), part: "key", reason }
                    })?;
                let items = self.items(value)?;
                let values =
                    items.into_iter().map(|item| item.slice(1.min(item.len())..)).collect();
                Ok(Waiting { entry, key, timestamp, side, values })
            })
            .collect()
    }

    pub(crate) fn read<V>(&self, values: &SerdeOf<V>, bytes: &Bytes) -> Result<V, Error> {
        values.deserialize(&self.topic, bytes).map_err(|reason| Error::Deserialize {
            topic: Arc::clone(&self.topic),
            part: "value",
            reason,
        })
    }

    fn items(&self, mut list: Bytes) -> Result<Vec<Bytes>, Error> {
        let cut = || self.broken("has a list that is cut short");
        if list.len() < 5 {
            return Err(cut());
        }
        list.advance(1);
        let count = list.get_u32();
        let mut items = Vec::new();
        for _ in 0..count {
            if list.len() < 4 {
                return Err(cut());
            }
            let len = list.get_u32() as usize;
            if list.len() < len {
                return Err(cut());
            }
            items.push(list.split_to(len));
        }
        Ok(items)
    }
}

fn list(items: &[Bytes]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(1);
    bytes.put_u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
    for item in items {
        bytes.put_u32(u32::try_from(item.len()).unwrap_or(u32::MAX));
        bytes.put_slice(item);
    }
    bytes.freeze()
}
