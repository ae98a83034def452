//! Filter and map of tables: a store only if it has a name, else what is asked is reckoned from the parent.

use crate::engine::{Context, Flushed, Step};
use crate::error::Flow;
use crate::record::{Change, Data, Record};
use crate::stores::Put;
use crate::stores::handles::{Handle, StoreRef, TimestampedKeyValue};
use std::marker::PhantomData;
use std::sync::Arc;

/// Makes the value of a derived table of that of its parent.
pub(crate) type TableMap<K, V, V2> = Arc<dyn Fn(&K, V) -> Option<V2> + Send + Sync>;

pub(crate) struct TableMapper<K, V, V2> {
    map: TableMap<K, V, V2>,
    store: Option<StoreRef<K, V2>>,
    handle: Option<Handle<K, V2, TimestampedKeyValue>>,
    sends_old: bool,
    /// A filter that would pass on nothing for nothing stays silent.
    skips_nothing: bool,
    input: PhantomData<fn(V)>,
}

impl<K, V, V2> TableMapper<K, V, V2> {
    pub(crate) fn new(
        map: TableMap<K, V, V2>,
        store: Option<StoreRef<K, V2>>,
        sends_old: bool,
        skips_nothing: bool,
    ) -> Self {
        Self { map, store, handle: None, sends_old, skips_nothing, input: PhantomData }
    }
}

impl<K: Data, V: Data, V2: Data> Step<K, Change<V>> for TableMapper<K, V, V2> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = self.store.as_ref().map(|store| store.open(ctx)).transpose()?;
        Ok(())
    }

    fn process(&mut self, record: Record<K, Change<V>>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(key), value: Some(change), timestamp, headers } = record else {
            return Ok(());
        };
        let new = change.new.and_then(|value| (self.map)(&key, value));
        let old = match (&self.handle, self.sends_old) {
            (_, false) => None,
            (Some(store), true) => store.get(ctx, &key)?.map(|old| old.value),
            (None, true) => change.old.and_then(|value| (self.map)(&key, value)),
        };
        if self.skips_nothing && self.sends_old && old.is_none() && new.is_none() {
            return Ok(());
        }
        let mut is_latest = change.is_latest;
        if let Some(store) = &self.handle {
            let put = store.put(ctx, &key, new.as_ref(), timestamp)?;
            if matches!(put, Put::Refused | Put::Held) {
                return Ok(());
            }
            is_latest = put == Put::Newest;
        }
        let value = Some(Change { new, old, is_latest });
        ctx.forward(Record { key: Some(key), value, timestamp, headers })
    }

    fn flushed(&mut self, update: Flushed, ctx: &Context<'_>) -> Flow {
        let store = self.handle.as_ref().expect("only a store holds back");
        ctx.forward(store.flushed(update, self.sends_old)?)
    }
}
