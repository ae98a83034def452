//! Values by key and session: `[key][8 B end][8 B start]`. Retention is reckoned from the newest end that was written.

use super::ByteMap;
use crate::error::Error;
use crate::record::Window;
use bytes::Bytes;
use std::ops::{Bound, ControlFlow};

/// Bytes after the key.
const SUFFIX_LEN: usize = 16;

pub(crate) struct SessionBytes {
    map: Box<dyn ByteMap>,
    retention_ms: i64,
    observed_time: i64,
    cleaned_at: i64,
}

impl SessionBytes {
    pub(crate) fn new(map: Box<dyn ByteMap>, retention_ms: i64) -> Self {
        Self { map, retention_ms, observed_time: -1, cleaned_at: -1 }
    }

    /// Writes under a key of an entry, see [`session_key`].
    pub(crate) fn put_raw(&mut self, key: &[u8], value: Option<Bytes>) -> Result<(), Error> {
        let Some((_, window)) = split_key(key) else { return Ok(()) };
        self.observed_time = self.observed_time.max(window.end_ms);
        if window.end_ms <= self.observed_time.saturating_sub(self.retention_ms) {
            return Ok(());
        }
        match value {
            Some(value) => self.map.put(key, value)?,
            None => self.map.remove(key)?,
        }
        self.clean()
    }

    fn clean(&mut self) -> Result<(), Error> {
        if self.cleaned_at < 0 {
            self.cleaned_at = self.observed_time;
        }
        let pause_ms = (self.retention_ms / 2).max(60_000);
        if self.observed_time - self.cleaned_at < pause_ms {
            return Ok(());
        }
        self.cleaned_at = self.observed_time;
        let first = self.first_readable();
        let mut expired = Vec::new();
        self.map.scan(Bound::Unbounded, Bound::Unbounded, &mut |key, _| {
            if split_key(key).is_some_and(|(_, window)| window.end_ms < first) {
                expired.push(Bytes::copy_from_slice(key));
            }
            ControlFlow::Continue(())
        })?;
        for key in expired {
            self.map.remove(&key)?;
        }
        Ok(())
    }

    fn first_readable(&self) -> i64 {
        self.observed_time.saturating_sub(self.retention_ms).saturating_add(1)
    }

    /// The value of one session.
    pub(crate) fn fetch(&self, key: &[u8], window: Window) -> Result<Option<Bytes>, Error> {
        if window.end_ms < self.first_readable() {
            return Ok(None);
        }
        self.map.get(&session_key(key, window))
    }

    /// Sessions of a key that end at `earliest_end_ms` or later and start at `latest_start_ms` or earlier, by their ends.
    pub(crate) fn find(
        &self,
        key: &[u8],
        earliest_end_ms: i64,
        latest_start_ms: i64,
    ) -> Result<Vec<(Window, Bytes)>, Error> {
        let first = earliest_end_ms.max(self.first_readable()).max(0);
        let mut found = Vec::new();
        let from = session_key(key, Window { start_ms: 0, end_ms: first });
        let to = session_key(key, Window { start_ms: i64::MAX, end_ms: i64::MAX });
        self.map.scan(Bound::Included(&from), Bound::Included(&to), &mut |entry, value| {
            if let Some((found_key, window)) = split_key(entry)
                && found_key == key
                && window.start_ms <= latest_start_ms
            {
                found.push((window, value.clone()));
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Sessions of all keys that end within these moments, both included, by their ends and then their keys.
    pub(crate) fn find_all(
        &self,
        earliest_end_ms: i64,
        latest_end_ms: i64,
    ) -> Result<Vec<(Bytes, Window, Bytes)>, Error> {
        let first = earliest_end_ms.max(self.first_readable());
        let mut found = Vec::new();
        self.map.scan(Bound::Unbounded, Bound::Unbounded, &mut |entry, value| {
            if let Some((key, window)) = split_key(entry)
                && (first..=latest_end_ms).contains(&window.end_ms)
            {
                found.push((Bytes::copy_from_slice(key), window, value.clone()));
            }
            ControlFlow::Continue(())
        })?;
        found.sort_by(|one, other| {
            (one.1.end_ms, &one.0, one.1.start_ms).cmp(&(
                other.1.end_ms,
                &other.0,
                other.1.start_ms,
            ))
        });
        Ok(found)
    }

    /// Everything that is readable, in the order of the keys.
    pub(crate) fn scan_all(
        &self,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let first = self.first_readable();
        self.map.scan(Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
            if split_key(key).is_some_and(|(_, window)| window.end_ms < first) {
                return ControlFlow::Continue(());
            }
            visit(key, value)
        })
    }
}

/// The key of an entry.
pub(crate) fn session_key(key: &[u8], window: Window) -> Bytes {
    let mut bytes = Vec::with_capacity(key.len() + SUFFIX_LEN);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&window.end_ms.to_be_bytes());
    bytes.extend_from_slice(&window.start_ms.to_be_bytes());
    bytes.into()
}

/// Key and session of the key of an entry.
pub(crate) fn split_key(bytes: &[u8]) -> Option<(&[u8], Window)> {
    let (key, suffix) = bytes.split_at_checked(bytes.len().checked_sub(SUFFIX_LEN)?)?;
    let end_ms = i64::from_be_bytes(*suffix.first_chunk()?);
    let start_ms = i64::from_be_bytes(*suffix.last_chunk()?);
    Some((key, Window { start_ms, end_ms }))
}
