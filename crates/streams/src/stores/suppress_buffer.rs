//! Changes of a table that are held back, the oldest first; in memory, with a changelog that is written at commits.
//!
//! ```text
//! changelog value  [record context][prior][old][new][8 B buffer time], header "v" = 3
//! record context   [8 B timestamp][8 B offset][topic][4 B partition][4 B headers]([name][value])*
//! each part        [4 B length][bytes]; length -1 is null; -2 for `old` says that it equals `prior`
//! ```

use crate::engine::Origin;
use crate::error::Error;
use crate::record::{Header, Headers};
use crate::topology::java_bytes_order;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The header of the changelog's records that names their version.
pub(crate) const VERSION_HEADER: (&str, &[u8]) = ("v", &[3]);

/// A change as it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buffered {
    /// The value before the first change that was held back.
    pub(crate) prior: Option<Bytes>,
    pub(crate) old: Option<Bytes>,
    pub(crate) new: Option<Bytes>,
    pub(crate) timestamp: i64,
    pub(crate) origin: Origin,
    pub(crate) headers: Headers,
}

/// See the module. Records of the changelog that are older than version 3 (Kafka Streams before 2.4) are refused.
#[derive(Default)]
pub(crate) struct SuppressBuffer {
    /// When each key is due.
    due: BTreeMap<Bytes, i64>,
    by_time: BTreeMap<(i64, Bytes), Buffered>,
    /// Keys that changed since the last commit, in the order of their first change.
    dirty: Vec<Bytes>,
    is_dirty: BTreeSet<Bytes>,
    /// How many there have been at most.
    dirty_max: usize,
    size_bytes: u64,
}

/// What the changelog gets for a key.
pub(crate) type LoggedChange = (Bytes, Option<Bytes>);

impl SuppressBuffer {
    /// Holds a change back; a key that waits already keeps its place.
    pub(crate) fn put(&mut self, time: i64, key: Bytes, mut change: Buffered) {
        if let Some(due) = self.due.get(&key)
            && let Some(before) = self.by_time.get(&(*due, key.clone()))
        {
            change.prior = before.prior.clone();
        }
        self.insert(time, key.clone(), change);
        self.mark(key);
    }

    fn mark(&mut self, key: Bytes) {
        if self.is_dirty.insert(key.clone()) {
            self.dirty.push(key);
        }
    }

    fn insert(&mut self, time: i64, key: Bytes, change: Buffered) {
        let due = *self.due.entry(key.clone()).or_insert(time);
        self.size_bytes += change.size_bytes(&key);
        if let Some(before) = self.by_time.insert((due, key.clone()), change) {
            self.size_bytes -= before.size_bytes(&key);
        }
    }

    /// When the oldest is due.
    pub(crate) fn min_time(&self) -> Option<i64> {
        self.by_time.first_key_value().map(|((time, _), _)| *time)
    }

    pub(crate) fn count(&self) -> u64 {
        self.by_time.len() as u64
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The oldest. It is still held back until [`Self::remove_oldest`].
    pub(crate) fn oldest(&self) -> Option<(Bytes, Buffered)> {
        let ((_, key), change) = self.by_time.first_key_value()?;
        Some((key.clone(), change.clone()))
    }

    /// Lets the oldest go.
    pub(crate) fn remove_oldest(&mut self) {
        if let Some(((_, key), change)) = self.by_time.pop_first() {
            self.due.remove(&key);
            self.size_bytes -= change.size_bytes(&key);
            self.mark(key);
        }
    }

    /// The value before what is held back of a key, if something is.
    pub(crate) fn prior(&self, key: &Bytes) -> Option<Option<Bytes>> {
        let due = self.due.get(key)?;
        self.by_time.get(&(*due, key.clone())).map(|change| change.prior.clone())
    }

    /// What the changelog is to be told, in the order of Java's hash set.
    pub(crate) fn take_log(&mut self) -> Vec<LoggedChange> {
        self.is_dirty.clear();
        self.dirty_max = self.dirty_max.max(self.dirty.len());
        java_bytes_order(std::mem::take(&mut self.dirty), self.dirty_max)
            .into_iter()
            .map(|key| {
                let value = self.due.get(&key).map(|due| {
                    let change = &self.by_time[&(*due, key.clone())];
                    change.to_bytes(*due)
                });
                (key, value)
            })
            .collect()
    }

    /// Takes a record of the changelog in.
    pub(crate) fn restore(
        &mut self,
        name: &str,
        key: &Bytes,
        value: Option<Bytes>,
    ) -> Result<(), Error> {
        match value {
            Some(value) => {
                let (change, time) = Buffered::of_bytes(value).ok_or_else(|| Error::Store {
                    name: name.to_owned(),
                    reason: "its changelog has a record that is not of version 3".to_owned(),
                })?;
                self.insert(time, key.clone(), change);
            }
            None => {
                if let Some(due) = self.due.remove(key)
                    && let Some(change) = self.by_time.remove(&(due, key.clone()))
                {
                    self.size_bytes -= change.size_bytes(key);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn dump(&self) -> Vec<(Bytes, Bytes)> {
        let entries = self.by_time.iter();
        entries.map(|((time, key), change)| (key.clone(), change.to_bytes(*time))).collect()
    }
}

fn put_part(bytes: &mut BytesMut, part: Option<&[u8]>) {
    match part {
        Some(part) => {
            bytes.put_i32(i32::try_from(part.len()).unwrap_or(i32::MAX));
            bytes.put_slice(part);
        }
        None => bytes.put_i32(-1),
    }
}

/// `None` if the bytes end too early.
fn take_part(bytes: &mut Bytes) -> Option<Option<Bytes>> {
    match bytes.try_get_i32().ok()? {
        -1 => Some(None),
        length => {
            let length = usize::try_from(length).ok()?;
            (bytes.len() >= length).then(|| Some(bytes.split_to(length)))
        }
    }
}

impl Buffered {
    /// An estimate, the same as Kafka Streams': limits in bytes are held against it.
    fn size_bytes(&self, key: &[u8]) -> u64 {
        let length = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        let old = if self.old == self.prior { 0 } else { length(&self.old) };
        let headers: usize = self
            .headers
            .as_slice()
            .iter()
            .map(|header| header.key.encode_utf16().count() + length(&header.value))
            .sum();
        let context = 20 + self.origin.topic.encode_utf16().count() + headers;
        (8 + key.len() + length(&self.prior) + old + length(&self.new) + context) as u64
    }

    pub(crate) fn to_bytes(&self, time: i64) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_i64(self.timestamp);
        bytes.put_i64(self.origin.offset);
        put_part(&mut bytes, Some(self.origin.topic.as_bytes()));
        bytes.put_i32(self.origin.partition);
        let headers = self.headers.as_slice();
        bytes.put_i32(i32::try_from(headers.len()).unwrap_or(i32::MAX));
        for header in headers {
            put_part(&mut bytes, Some(header.key.as_bytes()));
            put_part(&mut bytes, header.value.as_deref());
        }
        put_part(&mut bytes, self.prior.as_deref());
        match &self.old {
            Some(_) if self.old == self.prior => bytes.put_i32(-2),
            old => put_part(&mut bytes, old.as_deref()),
        }
        put_part(&mut bytes, self.new.as_deref());
        bytes.put_i64(time);
        bytes.freeze()
    }

    /// The change and when it is due; `None` if the bytes end too early.
    pub(crate) fn of_bytes(mut bytes: Bytes) -> Option<(Self, i64)> {
        let timestamp = bytes.try_get_i64().ok()?;
        let offset = bytes.try_get_i64().ok()?;
        let topic = take_part(&mut bytes)??;
        let topic: Arc<str> = std::str::from_utf8(&topic).ok()?.into();
        let partition = bytes.try_get_i32().ok()?;
        let mut headers = Headers::default();
        for _ in 0..bytes.try_get_i32().ok()?.max(0) {
            let key = take_part(&mut bytes)??;
            let Header { key, value } = Header {
                key: String::from_utf8_lossy(&key).into_owned(),
                value: take_part(&mut bytes)?,
            };
            headers.add(key, value);
        }
        let prior = take_part(&mut bytes)?;
        let old = if bytes.first_chunk::<4>() == Some(&(-2_i32).to_be_bytes()) {
            bytes.advance(4);
            prior.clone()
        } else {
            take_part(&mut bytes)?
        };
        let new = take_part(&mut bytes)?;
        let time = bytes.try_get_i64().ok()?;
        let origin = Origin { topic, partition, offset };
        Some((Self { prior, old, new, timestamp, origin, headers }, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_comes_back_and_cut_records_are_refused() {
        let mut headers = Headers::default();
        headers.add("h", None);
        let change = Buffered {
            prior: Some(Bytes::from_static(b"p")),
            old: Some(Bytes::from_static(b"p")),
            new: None,
            timestamp: 5,
            origin: Origin { topic: "t".into(), partition: 2, offset: 9 },
            headers,
        };
        let mut buffer = SuppressBuffer::default();
        buffer.put(7, Bytes::from_static(b"k"), change.clone());
        let log = buffer.take_log();
        let value = log[0].1.clone().unwrap();
        for length in 0..value.len() {
            let cut = value.slice(..length);
            assert!(SuppressBuffer::default().restore("s", &log[0].0, Some(cut)).is_err());
        }
        let mut restored = SuppressBuffer::default();
        restored.restore("s", &log[0].0, Some(value)).unwrap();
        assert_eq!(restored.min_time(), Some(7));
        assert_eq!(restored.oldest().unwrap().1, change);
        restored.remove_oldest();
        assert_eq!((restored.count(), restored.size_bytes()), (0, 0));
        restored.restore("s", &log[0].0, None).unwrap();
    }
}
