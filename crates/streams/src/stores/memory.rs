//! Stores in memory: gone with the process, filled again from their changelogs.

use super::{ByteMap, MapSource};
use crate::error::Error;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

/// Opens maps in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryMaps;

impl MapSource for MemoryMaps {
    fn open(&self, _name: &str) -> Result<Box<dyn ByteMap>, Error> {
        Ok(Box::new(MemoryMap::default()))
    }
}

#[derive(Default)]
struct MemoryMap(BTreeMap<Box<[u8]>, Bytes>);

impl ByteMap for MemoryMap {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.0.get(key).cloned())
    }

    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), Error> {
        // A key that is there is not copied again.
        if let Some(there) = self.0.get_mut(key) {
            *there = value;
        } else {
            self.0.insert(key.into(), value);
        }
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), Error> {
        self.0.remove(key);
        Ok(())
    }

    fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        if !is_range(from, to) {
            return Ok(());
        }
        for (key, value) in self.0.range::<[u8], _>((from, to)) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        if !is_range(from, to) {
            return Ok(());
        }
        for (key, value) in self.0.range::<[u8], _>((from, to)).rev() {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The map of the standard library panics at bounds that are the wrong way round.
fn is_range(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
        (Bound::Included(from), Bound::Included(to)) => from <= to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from < to,
    }
}
