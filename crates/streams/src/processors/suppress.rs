//! Holds changes of a table back until a time has passed, a window is closed, or the buffer is full (KIP-328).

use super::getter::{GetterSupplier, ValueGetter};
use crate::engine::{Context, Step};
use crate::error::{Error, Flow};
use crate::record::{Change, Data, Record, Timestamped};
use crate::stores::handles::{Handle, StoreRef, SuppressedChanges};
use crate::stores::suppress_buffer::Buffered;
use std::sync::Arc;

/// What happens when a buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    EmitEarly,
    ShutDown,
}

/// When a change becomes due, before the wait is added: the time of its record, or the end of its window.
pub(crate) type DueTime<K> = Arc<dyn Fn(&K, i64) -> i64 + Send + Sync>;

pub(crate) struct Suppress<K, V> {
    pub(crate) store: StoreRef<K, V>,
    pub(crate) handle: Option<Handle<K, V, SuppressedChanges>>,
    pub(crate) due_time: DueTime<K>,
    pub(crate) wait_ms: i64,
    pub(crate) records_max: u64,
    pub(crate) bytes_max: u64,
    pub(crate) when_full: WhenFull,
    /// Nothing was passed on for a window before it is closed, so there is nothing to delete.
    pub(crate) drops_tombstones: bool,
    pub(crate) observed_time: i64,
}

impl<K: Data, V: Data> Step<K, Change<V>> for Suppress<K, V> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        Ok(())
    }

    fn process(&mut self, record: Record<K, Change<V>>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(key), value: Some(change), timestamp, headers } = record else {
            return Ok(());
        };
        let store = self.handle.as_ref().expect("opened in `init`");
        self.observed_time = self.observed_time.max(timestamp);
        let old = change.old.as_ref().map(|old| store.value_bytes(old)).transpose()?;
        let new = change.new.as_ref().map(|new| store.value_bytes(new)).transpose()?;
        let origin = ctx.origin_or_none();
        let buffered = Buffered { prior: old.clone(), old, new, timestamp, origin, headers };
        let due = (self.due_time)(&key, timestamp);
        let key = store.key_bytes(&key)?;
        store.with(ctx, |buffer| buffer.put(due, key, buffered))?;
        let expiry = self.observed_time.saturating_sub(self.wait_ms);
        while store.with(ctx, |buffer| buffer.min_time().is_some_and(|time| time <= expiry))? {
            self.emit_oldest(ctx)?;
        }
        let (records_max, bytes_max) = (self.records_max, self.bytes_max);
        let is_full = || {
            store
                .with(ctx, |buffer| buffer.count() > records_max || buffer.size_bytes() > bytes_max)
        };
        while is_full()? {
            if self.when_full == WhenFull::ShutDown {
                return Err(Error::Operator {
                    node: ctx.node_name().to_owned(),
                    reason: format!(
                        "holds more back than {records_max} records or {bytes_max} bytes"
                    ),
                });
            }
            self.emit_oldest(ctx)?;
        }
        Ok(())
    }
}

impl<K: Data, V: Data> Suppress<K, V> {
    /// Passes the oldest on. Lookups on the way still find what was there before it, as in Kafka Streams.
    fn emit_oldest(&self, ctx: &Context<'_>) -> Flow {
        let store = self.handle.as_ref().expect("opened in `init`");
        let Some((key, buffered)) = store.with(ctx, |buffer| buffer.oldest())? else {
            return Ok(());
        };
        if buffered.new.is_some() || !self.drops_tombstones {
            let read =
                |bytes: Option<bytes::Bytes>| bytes.map(|bytes| store.value_of(&bytes)).transpose();
            let change = Change::new(read(buffered.new)?, read(buffered.old)?);
            let record = Record {
                key: Some(store.key_of(&key)?),
                value: Some(change),
                timestamp: buffered.timestamp,
                headers: buffered.headers,
            };
            ctx.as_from(buffered.origin, || ctx.forward(record))?;
        }
        store.with(ctx, |buffer| buffer.remove_oldest())
    }
}

struct SuppressedGetter<K, V> {
    parent: Box<dyn ValueGetter<K, V>>,
    store: StoreRef<K, V>,
    handle: Option<Handle<K, V, SuppressedChanges>>,
}

/// Looks a suppressed table up: what was there before the change that is held back, else what the parent has.
pub(crate) fn suppressed_getter<K: Data, V: Data>(
    parent: &GetterSupplier<K, V>,
    store: StoreRef<K, V>,
) -> GetterSupplier<K, V> {
    let mut stores = vec![store.name.as_ref().to_owned()];
    stores.extend(parent.stores.iter().cloned());
    let make = Arc::clone(&parent.make);
    GetterSupplier {
        stores,
        make: Arc::new(move || {
            Box::new(SuppressedGetter { parent: make(), store: store.clone(), handle: None })
        }),
    }
}

impl<K: Data, V: Data> ValueGetter<K, V> for SuppressedGetter<K, V> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        self.parent.init(ctx)
    }

    fn get(&self, ctx: &Context<'_>, key: &K) -> Result<Option<Timestamped<V>>, Error> {
        let store = self.handle.as_ref().expect("opened in `init`");
        let bytes = store.key_bytes(key)?;
        match store.with(ctx, |buffer| buffer.prior(&bytes))? {
            Some(prior) => prior
                .map(|prior| Ok(Timestamped { value: store.value_of(&prior)?, timestamp: -1 }))
                .transpose(),
            None => self.parent.get(ctx, key),
        }
    }
}
