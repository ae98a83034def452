//! Aggregates of tables: an update takes the old value out and puts the new one in.

use super::stateless::each;
use crate::engine::{Context, Flushed, Node, Step};
use crate::error::Flow;
use crate::record::{Change, Data, Record};
use crate::serdes::{Serde, SerdeOf};
use crate::stores::Put;
use crate::stores::handles::{Handle, StoreRef, TimestampedKeyValue};
use bytes::Bytes;
use std::sync::Arc;

/// From the changes of a table to changes of its groups: one if old and new value are of one group, else one each. Groups
/// of a versioned table hold what is newest, so changes of the past are dropped (KIP-914).
pub(crate) fn table_group_map<K, V, K2, V2, F>(select: F, drops_older: bool) -> Box<dyn Node>
where
    K: Data,
    V: Data,
    K2: Data + PartialEq,
    V2: Data,
    F: Fn(&K, &V) -> (Option<K2>, Option<V2>) + Send + 'static,
{
    each(move |record: Record<K, Change<V>>, ctx: &Context<'_>| {
        let Record { key: Some(key), value: Some(change), timestamp, headers } = record else {
            return Ok(());
        };
        if drops_older && !change.is_latest {
            return Ok(());
        }
        let pair = |value: Option<&V>| match value.map(|value| select(&key, value)) {
            Some((Some(key), Some(value))) => Some((key, value)),
            _ => None,
        };
        let (old, new) = (pair(change.old.as_ref()), pair(change.new.as_ref()));
        let forward = |key: K2, new: Option<V2>, old: Option<V2>| {
            ctx.forward(Record {
                key: Some(key),
                value: Some(Change { new, old, is_latest: change.is_latest }),
                timestamp,
                headers: headers.clone(),
            })
        };
        match (old, new) {
            (Some((old_key, old)), Some((new_key, new))) if old_key == new_key => {
                forward(new_key, Some(new), Some(old))
            }
            (old, new) => {
                if let Some((key, old)) = old {
                    forward(key, None, Some(old))?;
                }
                if let Some((key, new)) = new {
                    forward(key, Some(new), None)?;
                }
                Ok(())
            }
        }
    })
}

/// What adding or taking away makes of an aggregate.
pub(crate) type TableStep<K, V, A> = Arc<dyn Fn(&K, V, Option<A>) -> Option<A> + Send + Sync>;

pub(crate) struct TableAggregate<K, V, A> {
    pub(crate) store: StoreRef<K, A>,
    pub(crate) handle: Option<Handle<K, A, TimestampedKeyValue>>,
    pub(crate) add: TableStep<K, V, A>,
    pub(crate) subtract: TableStep<K, V, A>,
    pub(crate) sends_old: bool,
}

impl<K: Data, V: Data, A: Data> Step<K, Change<V>> for TableAggregate<K, V, A> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        Ok(())
    }

    fn process(&mut self, record: Record<K, Change<V>>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(key), value: Some(change), timestamp, headers } = record else {
            return Ok(());
        };
        let store = self.handle.as_ref().expect("opened in `init`");
        let before = store.get(ctx, &key)?;
        let mut at = timestamp;
        let before_time = before.as_ref().map_or(timestamp, |before| before.timestamp);
        let before = before.map(|before| before.value);
        let old = if self.sends_old { before.clone() } else { None };
        let mut aggregate = before;
        if let Some(old) = change.old
            && aggregate.is_some()
        {
            aggregate = (self.subtract)(&key, old, aggregate);
            at = at.max(before_time);
        }
        if let Some(new) = change.new {
            aggregate = (self.add)(&key, new, aggregate);
            at = at.max(before_time);
        }
        let put = store.put(ctx, &key, aggregate.as_ref(), at)?;
        if matches!(put, Put::Refused | Put::Held) {
            return Ok(());
        }
        let value = Some(Change { new: aggregate, old, is_latest: put == Put::Newest });
        ctx.forward(Record { key: Some(key), value, timestamp: at, headers })
    }

    fn flushed(&mut self, update: Flushed, ctx: &Context<'_>) -> Flow {
        let store = self.handle.as_ref().expect("only a store holds back");
        ctx.forward(store.flushed(update, self.sends_old)?)
    }
}

/// Changes on a repartition topic (KIP-904): `[new][1]`, `[old][0]`, or `[varint length of new][new][old][2]`.
pub(crate) struct ChangeSerde<V>(pub(crate) SerdeOf<V>);

impl<V: Data> Serde<Change<V>> for ChangeSerde<V> {
    fn serialize(&self, topic: &str, change: &Change<V>) -> Result<Bytes, String> {
        let write = |value: &V| self.0.serialize(topic, value);
        let mut bytes = Vec::new();
        match (&change.new, &change.old) {
            (Some(new), Some(old)) => {
                let new = write(new)?;
                write_varint(new.len(), &mut bytes);
                bytes.extend_from_slice(&new);
                bytes.extend_from_slice(&write(old)?);
                bytes.push(2);
            }
            (Some(new), None) => {
                bytes.extend_from_slice(&write(new)?);
                bytes.push(1);
            }
            (None, Some(old)) => {
                bytes.extend_from_slice(&write(old)?);
                bytes.push(0);
            }
            (None, None) => return Err("a change has neither a new nor an old value".to_owned()),
        }
        Ok(bytes.into())
    }

    fn deserialize(&self, topic: &str, bytes: &Bytes) -> Result<Change<V>, String> {
        let read = |bytes: Bytes| self.0.deserialize(topic, &bytes).map(Some);
        let (flag, rest) = bytes.split_last().ok_or("a change is empty")?;
        // Flags 3 to 5 are 0 to 2 with a byte before the flag: whether the change is of the newest value.
        let (flag, rest, is_latest) = match flag {
            3..=5 => {
                let (latest, rest) = rest.split_last().ok_or("a change is cut short")?;
                (flag - 3, rest, *latest == 1)
            }
            _ => (*flag, rest, true),
        };
        let rest = bytes.slice_ref(rest);
        let (new, old) = match flag {
            0 => (None, read(rest)?),
            1 => (read(rest)?, None),
            2 => {
                let (len, at) = read_varint(&rest)?;
                let end = at.checked_add(len).filter(|end| *end <= rest.len());
                let end = end.ok_or_else(|| {
                    format!("a change says its new value has {len} bytes, but is shorter")
                })?;
                (read(rest.slice(at..end))?, read(rest.slice(end..))?)
            }
            other => return Err(format!("a change has the unknown flag {other}")),
        };
        Ok(Change { new, old, is_latest })
    }
}

/// Zigzag, as Kafka writes lengths.
fn write_varint(len: usize, bytes: &mut Vec<u8>) {
    let mut rest = (len as u64) << 1;
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// The length, and where it ends.
fn read_varint(bytes: &[u8]) -> Result<(usize, usize), String> {
    let mut value: u64 = 0;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if value & 1 == 1 {
                return Err("a change has a negative length".to_owned());
            }
            return Ok(((value >> 1) as usize, at + 1));
        }
    }
    Err("a change has no length".to_owned())
}
