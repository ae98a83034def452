//! Values by key and time: the newest of each key, and what held before it (KIP-889).
//!
//! ```text
//! key    [4 B length of the key][key][8 B time from which it holds]
//! value  [1][value], or [0] where there is nothing from that time on
//! ```
//!
//! A version holds until the next one of its key. What held before the retention, reckoned from the newest time that was written, is
//! not there any more for readers, and is thrown away some time later; the newest version of a key stays. The retention is
//! also how late a record may be. The changelog has plain keys and values, and the time in the time of the record.

use super::ByteMap;
use crate::error::Error;
use bytes::{BufMut, Bytes, BytesMut};
use std::ops::{Bound, ControlFlow};

/// What became of a value that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It was too late to be kept.
    Refused,
    /// It is what the key has at present.
    Newest,
    /// Something newer was there.
    Older,
    /// It is what the key has at present; whoever comes after the operator is told later.
    Held,
}

/// A version that was found: the value, and from when it holds.
pub(crate) type Version = (i64, Bytes);

pub(crate) struct VersionedBytes {
    map: Box<dyn ByteMap>,
    history_ms: i64,
    observed_time: i64,
    cleaned_at: i64,
}

impl VersionedBytes {
    pub(crate) fn new(map: Box<dyn ByteMap>, history_ms: i64) -> Self {
        Self { map, history_ms, observed_time: -1, cleaned_at: -1 }
    }

    pub(crate) fn put(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        time: i64,
    ) -> Result<Put, Error> {
        if time < self.first_readable() || time < 0 {
            return Ok(Put::Refused);
        }
        self.observed_time = self.observed_time.max(time);
        let at = entry(key, time);
        let put = if self.next_time(key, time)?.is_some() { Put::Older } else { Put::Newest };
        let replaces_newest =
            put == Put::Newest && self.map.get(&at)?.is_some_and(|there| is_value(&there));
        if value.is_none() && replaces_newest && !self.holds_before(key, time)? {
            // As in Kafka Streams: nothing follows nothing, and is not noted down.
            self.map.remove(&at)?;
        } else {
            let mut bytes = BytesMut::with_capacity(1 + value.map_or(0, <[u8]>::len));
            bytes.put_u8(u8::from(value.is_some()));
            bytes.put_slice(value.unwrap_or_default());
            self.map.put(&at, bytes.freeze())?;
        }
        self.clean()?;
        Ok(put)
    }

    /// What the key has at present.
    pub(crate) fn newest(&self, key: &[u8]) -> Result<Option<Version>, Error> {
        self.at_or_before(key, i64::MAX)
    }

    /// What the key had at that time, if that is not too long ago.
    pub(crate) fn as_of(&self, key: &[u8], time: i64) -> Result<Option<Version>, Error> {
        if time >= self.first_readable() {
            return self.at_or_before(key, time);
        }
        // The newest version does not expire.
        Ok(self.newest(key)?.filter(|(from, _)| *from <= time))
    }

    /// Versions of a key that held at some time within these, both included, the oldest first; each with the time at which
    /// the next took over.
    pub(crate) fn history(
        &self,
        key: &[u8],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<(Version, Option<i64>)>, Error> {
        let first_readable = self.first_readable();
        let mut found: Vec<(Version, bool, Option<i64>)> = Vec::new();
        let (from, to) = (entry(key, 0), entry(key, i64::MAX));
        self.map.scan(Bound::Included(&from), Bound::Included(&to), &mut |at, value| {
            let time = time_of(at);
            if let Some((_, _, until)) = found.last_mut() {
                *until = Some(time);
            }
            found.push(((time, value.slice(1.min(value.len())..)), is_value(value), None));
            ControlFlow::Continue(())
        })?;
        found.retain(|((time, _), is_value, until)| {
            let is_within = *time <= to_ms && until.is_none_or(|until| until > from_ms);
            *is_value && is_within && until.is_none_or(|until| until > first_readable)
        });
        Ok(found.into_iter().map(|(version, _, until)| (version, until)).collect())
    }

    /// Keys and what they have at present, in the order of the stored keys.
    pub(crate) fn scan_newest(
        &self,
        visit: &mut dyn FnMut(&[u8], Version) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut last: Option<(Bytes, Bytes)> = None;
        let mut is_over = false;
        let mut show = |at: &Bytes, value: &Bytes| {
            let (Some(key), true) = (key_of(at), is_value(value)) else {
                return ControlFlow::Continue(());
            };
            visit(key, (time_of(at), value.slice(1..)))
        };
        self.map.scan(Bound::Unbounded, Bound::Unbounded, &mut |at, value| {
            let before = last.replace((Bytes::copy_from_slice(at), value.clone()));
            let Some((before, value)) = before else { return ControlFlow::Continue(()) };
            if key_of(&before) == key_of(at) {
                return ControlFlow::Continue(());
            }
            let shown = show(&before, &value);
            is_over = shown.is_break();
            shown
        })?;
        if let Some((at, value)) = last.filter(|_| !is_over) {
            let _ = show(&at, &value);
        }
        Ok(())
    }

    /// Every version as it is stored.
    pub(crate) fn scan_all(
        &self,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.map.scan(Bound::Unbounded, Bound::Unbounded, visit)
    }

    fn first_readable(&self) -> i64 {
        self.observed_time.saturating_sub(self.history_ms)
    }

    fn at_or_before(&self, key: &[u8], time: i64) -> Result<Option<Version>, Error> {
        let mut found = None;
        if time < 0 {
            return Ok(found);
        }
        let (from, to) = (entry(key, 0), entry(key, time));
        self.map.scan_back(Bound::Included(&from), Bound::Included(&to), &mut |at, value| {
            found = is_value(value).then(|| (time_of(at), value.slice(1..)));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn next_time(&self, key: &[u8], time: i64) -> Result<Option<i64>, Error> {
        let mut found = None;
        let (from, to) = (entry(key, time), entry(key, i64::MAX));
        self.map.scan(Bound::Excluded(&from), Bound::Included(&to), &mut |at, _| {
            found = Some(time_of(at));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn holds_before(&self, key: &[u8], time: i64) -> Result<bool, Error> {
        Ok(time > 0 && self.at_or_before(key, time - 1)?.is_some())
    }

    /// Throws versions away that held before the retention, once in half a retention.
    fn clean(&mut self) -> Result<(), Error> {
        if self.cleaned_at < 0 {
            self.cleaned_at = self.observed_time;
        }
        let pause_ms = (self.history_ms / 2).max(60_000);
        if self.observed_time - self.cleaned_at < pause_ms {
            return Ok(());
        }
        self.cleaned_at = self.observed_time;
        let first = self.first_readable();
        let mut expired: Vec<Bytes> = Vec::new();
        let mut before: Option<(Bytes, bool)> = None;
        self.map.scan(Bound::Unbounded, Bound::Unbounded, &mut |at, value| {
            let at = Bytes::copy_from_slice(at);
            if let Some((before, is_value)) = before.replace((at.clone(), is_value(value))) {
                let has_next = key_of(&before) == key_of(&at);
                if (has_next && time_of(&at) < first)
                    || (!has_next && !is_value && time_of(&before) < first)
                {
                    expired.push(before);
                }
            }
            ControlFlow::Continue(())
        })?;
        for at in expired {
            self.map.remove(&at)?;
        }
        Ok(())
    }
}

fn entry(key: &[u8], time: i64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(12 + key.len());
    bytes.put_u32(u32::try_from(key.len()).unwrap_or(u32::MAX));
    bytes.put_slice(key);
    bytes.put_i64(time);
    bytes.freeze()
}

fn is_value(bytes: &[u8]) -> bool {
    bytes.first() == Some(&1)
}

fn time_of(entry: &[u8]) -> i64 {
    entry.last_chunk().map_or(-1, |time| i64::from_be_bytes(*time))
}

fn key_of(entry: &[u8]) -> Option<&[u8]> {
    entry.get(4..entry.len().checked_sub(8)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::{MapSource, MemoryMaps};

    fn store(history_ms: i64) -> VersionedBytes {
        VersionedBytes::new(MemoryMaps.open("s").unwrap(), history_ms)
    }

    fn as_of(store: &VersionedBytes, key: &str, time: i64) -> Option<String> {
        let found = store.as_of(key.as_bytes(), time).unwrap();
        found.map(|(from, value)| format!("{}@{from}", value.escape_ascii()))
    }

    #[test]
    fn a_value_holds_until_the_next_and_late_ones_find_their_place() {
        let mut store = store(100);
        let mut put = |key: &str, value: Option<&str>, time| {
            store.put(key.as_bytes(), value.map(str::as_bytes), time).unwrap()
        };
        assert_eq!(put("k", Some("a"), 10), Put::Newest);
        assert_eq!(put("k", Some("c"), 30), Put::Newest);
        assert_eq!(put("k", Some("b"), 20), Put::Older);
        assert_eq!(put("k", None, 40), Put::Newest);
        assert_eq!(put("kk", Some("x"), 15), Put::Newest);
        let seen: Vec<_> = [9, 10, 19, 20, 29, 30, 39, 40, 99]
            .map(|time| as_of(&store, "k", time).unwrap_or_default())
            .into();
        assert_eq!(seen, ["", "a@10", "a@10", "b@20", "b@20", "c@30", "c@30", "", ""]);
        let history = store.history(b"k", 15, 30).unwrap();
        let history: Vec<_> = history.into_iter().map(|((from, _), until)| (from, until)).collect();
        assert_eq!(history, [(10, Some(20)), (20, Some(30)), (30, Some(40))]);
        let mut newest = Vec::new();
        store
            .scan_newest(&mut |key, (from, _)| {
                newest.push((key.to_vec(), from));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(newest, [(b"kk".to_vec(), 15)]);
    }

    #[test]
    fn history_ends_with_the_retention_and_the_newest_version_stays() {
        let mut store = store(100);
        store.put(b"old", Some(b"1"), 5).unwrap();
        store.put(b"k", Some(b"a"), 10).unwrap();
        store.put(b"k", Some(b"b"), 20).unwrap();
        store.put(b"gone", Some(b"x"), 30).unwrap();
        store.put(b"gone", None, 31).unwrap();
        store.put(b"clock", Some(b"t"), 200_000).unwrap();
        assert_eq!(store.put(b"k", Some(b"late"), 199_899).unwrap(), Put::Refused);
        assert_eq!(as_of(&store, "k", 15), None);
        assert_eq!(as_of(&store, "k", 25).as_deref(), Some("b@20"));
        assert_eq!(as_of(&store, "old", 7).as_deref(), Some("1@5"));
        store.put(b"clock", Some(b"t"), 300_000).unwrap();
        let mut left = 0;
        store
            .scan_all(&mut |_, _| {
                left += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(left, 4, "old, the newest of k, and two of the clock");
    }
}
