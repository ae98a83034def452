//! Values by key and window: `[key][8 B start][4 B number]`, the number being 0 unless values of one window are kept side
//! by side.
//!
//! A window is readable for the store's retention, reckoned from the newest start that was written; older ones are
//! not there any more for readers from that moment, and are thrown away some time later, many at once.

use super::ByteMap;
use crate::error::Error;
use bytes::Bytes;
use std::ops::{Bound, ControlFlow};

/// Bytes after the key.
const SUFFIX_LEN: usize = 12;

pub(crate) struct WindowBytes {
    map: Box<dyn ByteMap>,
    retention_ms: i64,
    retain_duplicates: bool,
    observed_time: i64,
    number: u32,
    /// When expired windows were last thrown away, by the stores' time.
    cleaned_at: i64,
}

/// A window that was found: its start and its value.
pub(crate) type Found = (i64, Bytes);

impl WindowBytes {
    pub(crate) fn new(map: Box<dyn ByteMap>, retention_ms: i64, retain_duplicates: bool) -> Self {
        Self { map, retention_ms, retain_duplicates, observed_time: -1, number: 0, cleaned_at: -1 }
    }

    /// The key that the next [`Self::put`] of this window writes under.
    pub(crate) fn next_key(&mut self, key: &[u8], start_ms: i64) -> Bytes {
        if self.retain_duplicates {
            self.number = (self.number + 1) & 0x7fff_ffff;
        }
        window_key(key, start_ms, self.number)
    }

    pub(crate) fn put(&mut self, key: &Bytes, value: Option<Bytes>) -> Result<(), Error> {
        // A null beside duplicates has nothing to delete, but time goes on with it.
        if value.is_none() && self.retain_duplicates {
            if let Some((_, start_ms, _)) = split_key(key) {
                self.observed_time = self.observed_time.max(start_ms);
            }
            return Ok(());
        }
        self.put_raw(key, value)
    }

    /// Writes under a key that has start and number already.
    pub(crate) fn put_raw(&mut self, key: &[u8], value: Option<Bytes>) -> Result<(), Error> {
        let Some((_, start_ms, _)) = split_key(key) else { return Ok(()) };
        self.observed_time = self.observed_time.max(start_ms);
        if start_ms <= self.observed_time.saturating_sub(self.retention_ms) {
            return Ok(());
        }
        match value {
            Some(value) => self.map.put(key, value)?,
            None => self.map.remove(key)?,
        }
        self.clean()
    }

    /// Throws expired windows away, once in half a retention.
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
            if split_key(key).is_some_and(|(_, start_ms, _)| start_ms < first) {
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

    /// The value of one window.
    pub(crate) fn fetch(&self, key: &[u8], start_ms: i64) -> Result<Option<Bytes>, Error> {
        if start_ms < self.first_readable() {
            return Ok(None);
        }
        self.map.get(&window_key(key, start_ms, 0))
    }

    /// Windows of a key that start within these moments, both included, in the order of their starts.
    pub(crate) fn fetch_range(
        &self,
        key: &[u8],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        let from_ms = from_ms.max(self.first_readable()).max(0);
        if to_ms < from_ms {
            return Ok(found);
        }
        let (from, to) = (window_key(key, from_ms, 0), window_key(key, to_ms, u32::MAX));
        self.map.scan(Bound::Included(&from), Bound::Included(&to), &mut |entry, value| {
            // Longer keys lie between: theirs begin like ours and go on.
            if let Some((found_key, start_ms, _)) = split_key(entry)
                && found_key == key
            {
                found.push((start_ms, value.clone()));
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Windows of all keys that start within these moments, both included, in the order of starts and then of keys.
    pub(crate) fn fetch_all(
        &self,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<(Bytes, i64, Bytes)>, Error> {
        let from_ms = from_ms.max(self.first_readable());
        let mut found = Vec::new();
        self.map.scan(Bound::Unbounded, Bound::Unbounded, &mut |entry, value| {
            if let Some((key, start_ms, _)) = split_key(entry)
                && (from_ms..=to_ms).contains(&start_ms)
            {
                found.push((Bytes::copy_from_slice(key), start_ms, value.clone()));
            }
            ControlFlow::Continue(())
        })?;
        found.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
        Ok(found)
    }

    /// Everything that is readable, in the order of the keys.
    pub(crate) fn scan_all(
        &self,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let first = self.first_readable();
        self.map.scan(Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
            if split_key(key).is_some_and(|(_, start_ms, _)| start_ms < first) {
                return ControlFlow::Continue(());
            }
            visit(key, value)
        })
    }
}

fn window_key(key: &[u8], start_ms: i64, number: u32) -> Bytes {
    let mut bytes = Vec::with_capacity(key.len() + SUFFIX_LEN);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&start_ms.to_be_bytes());
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.into()
}

/// Key, start and number of the key of an entry.
pub(crate) fn split_key(bytes: &[u8]) -> Option<(&[u8], i64, u32)> {
    let (key, suffix) = bytes.split_at_checked(bytes.len().checked_sub(SUFFIX_LEN)?)?;
    let start_ms = i64::from_be_bytes(*suffix.first_chunk()?);
    let number = u32::from_be_bytes(*suffix.last_chunk()?);
    Some((key, start_ms, number))
}
