//! Values by key.

use super::ByteMap;
use crate::error::Error;
use bytes::Bytes;
use std::ops::{Bound, ControlFlow};

pub(crate) struct KeyValueBytes {
    map: Box<dyn ByteMap>,
}

impl KeyValueBytes {
    pub(crate) fn new(map: Box<dyn ByteMap>) -> Self {
        Self { map }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.map.get(key)
    }

    pub(crate) fn put(&mut self, key: &[u8], value: Option<Bytes>) -> Result<(), Error> {
        match value {
            Some(value) => self.map.put(key, value),
            None => self.map.remove(key),
        }
    }

    pub(crate) fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.map.scan(from, to, visit)
    }

    /// As [`Self::scan`], from the end.
    pub(crate) fn scan_back(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.map.scan_back(from, to, visit)
    }

    /// Entries whose key begins with `prefix`, in order.
    pub(crate) fn with_prefix(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let mut found = Vec::new();
        self.map.scan(Bound::Included(prefix), Bound::Unbounded, &mut |key, value| {
            if !key.starts_with(prefix) {
                return ControlFlow::Break(());
            }
            found.push((Bytes::copy_from_slice(key), value.clone()));
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }
}
