//! Aggregates of streams without windows.

use crate::engine::{Context, Flushed, Step};
use crate::error::Flow;
use crate::record::{Change, Data, Record};
use crate::stores::Put;
use crate::stores::handles::{Handle, StoreRef, TimestampedKeyValue};
use std::sync::Arc;

/// The value that an aggregate begins with; a reduction begins with none.
pub(crate) type Initializer<A> = Arc<dyn Fn() -> Option<A> + Send + Sync>;

/// What one more value makes of an aggregate.
pub(crate) type Aggregator<K, V, A> =
    Arc<dyn Fn(&K, Option<V>, Option<A>) -> Option<A> + Send + Sync>;

pub(crate) struct Aggregate<K, V, A> {
    pub(crate) store: StoreRef<K, A>,
    pub(crate) handle: Option<Handle<K, A, TimestampedKeyValue>>,
    pub(crate) initializer: Initializer<A>,
    pub(crate) aggregator: Aggregator<K, V, A>,
    pub(crate) sends_old: bool,
    /// A reduction knows no initial value, so none is sent as the old one.
    pub(crate) is_reduction: bool,
}

impl<K: Data, V: Data, A: Data> Step<K, V> for Aggregate<K, V, A> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(key), value: Some(value), timestamp, headers } = record else {
            ctx.drop_record();
            return Ok(());
        };
        let store = self.handle.as_ref().expect("opened in `init`");
        let (before, timestamp) = match store.get(ctx, &key)? {
            Some(before) => (Some(before.value), timestamp.max(before.timestamp)),
            None if self.is_reduction => (None, timestamp),
            None => ((self.initializer)(), timestamp),
        };
        let old = if self.sends_old { before.clone() } else { None };
        let new = (self.aggregator)(&key, Some(value), before);
        let put = store.put(ctx, &key, new.as_ref(), timestamp)?;
        if matches!(put, Put::Refused | Put::Held) {
            return Ok(());
        }
        let value = Some(Change { new, old, is_latest: put == Put::Newest });
        ctx.forward(Record { key: Some(key), value, timestamp, headers })
    }

    fn flushed(&mut self, update: Flushed, ctx: &Context<'_>) -> Flow {
        let store = self.handle.as_ref().expect("only a store holds back");
        ctx.forward(store.flushed(update, self.sends_old)?)
    }
}
