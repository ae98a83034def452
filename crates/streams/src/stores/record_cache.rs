//! Updates of a store that are held back (record caches): readers of the store see them at once; its changelog, and whoever comes after
//! its operator, only the last of each key, at the next commit or when there are too many.
//!
//! What is held back is lost with the task, like all that came after the last commit: its records are processed again.
//!
//! Known differences from Kafka Streams: a window that came and went while it was held back moves the time from which retention is
//! reckoned; and where a suppressed table comes before a cached one, headers may be those of another record.

use crate::engine::Origin;
use crate::record::Headers;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

/// What an update takes beside its bytes, about.
const UPDATE_BYTES: usize = 200;

/// The last update of a key.
pub(crate) struct Update {
    /// What the store had before the first one that was held back.
    pub(crate) old: Option<Bytes>,
    /// What it has, as it is stored.
    pub(crate) new: Option<Bytes>,
    /// What the changelog is to have, and for when.
    pub(crate) logged: Option<Bytes>,
    pub(crate) logged_at: i64,
    /// Time, headers and origin of the record that made it.
    pub(crate) timestamp: i64,
    pub(crate) headers: Headers,
    pub(crate) origin: Option<Origin>,
}

impl Update {
    fn size_bytes(&self, entry: &[u8]) -> usize {
        let length = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        UPDATE_BYTES + entry.len() + length(&self.old) + length(&self.new)
    }
}

/// See the module. In the order of the last updates.
#[derive(Default)]
pub(crate) struct RecordCache {
    updates: HashMap<Bytes, (u64, Update)>,
    order: BTreeMap<u64, Bytes>,
    next: u64,
    size_bytes: usize,
}

impl RecordCache {
    /// Whether something is held back of this entry.
    pub(crate) fn holds(&self, entry: &[u8]) -> bool {
        self.updates.contains_key(entry)
    }

    /// Holds an update back. Of an entry that is held back already, the old value stays.
    pub(crate) fn hold(&mut self, entry: Bytes, mut update: Update) {
        if let Some((place, before)) = self.updates.remove(&entry) {
            self.order.remove(&place);
            self.size_bytes -= before.size_bytes(&entry);
            update.old = before.old;
        }
        self.size_bytes += update.size_bytes(&entry);
        self.order.insert(self.next, entry.clone());
        self.updates.insert(entry, (self.next, update));
        self.next += 1;
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Lets everything go.
    pub(crate) fn take(&mut self) -> Vec<(Bytes, Update)> {
        self.size_bytes = 0;
        let order = std::mem::take(&mut self.order);
        let found = order.into_values().filter_map(|entry| {
            let (_, update) = self.updates.remove(&entry)?;
            Some((entry, update))
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(old: Option<&'static str>, new: Option<&'static str>) -> Update {
        let bytes =
            |text: Option<&'static str>| text.map(|text| Bytes::from_static(text.as_bytes()));
        Update {
            old: bytes(old),
            new: bytes(new),
            logged: bytes(new),
            logged_at: 0,
            timestamp: 0,
            headers: Headers::default(),
            origin: None,
        }
    }

    #[test]
    fn the_last_update_goes_on_with_what_was_there_before_the_first() {
        let mut cache = RecordCache::default();
        cache.hold(Bytes::from_static(b"a"), update(Some("0"), Some("1")));
        cache.hold(Bytes::from_static(b"b"), update(None, Some("1")));
        cache.hold(Bytes::from_static(b"a"), update(Some("1"), Some("2")));
        assert!(cache.holds(b"a") && cache.size_bytes() > 2 * UPDATE_BYTES);
        let all: Vec<_> = cache
            .take()
            .into_iter()
            .map(|(entry, update)| (entry, update.old, update.new))
            .collect();
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        let wanted = [
            (bytes("b"), None, Some(bytes("1"))),
            (bytes("a"), Some(bytes("0")), Some(bytes("2"))),
        ];
        assert_eq!(all, wanted);
        assert_eq!(cache.size_bytes(), 0);
        assert!(!cache.holds(b"a") && cache.take().is_empty());
    }
}
