//! Aggregates in session windows: a record joins the sessions around it into one.

use super::aggregate::{Aggregator, Initializer};
use super::getter::{GetterSupplier, ValueGetter};
use super::window_aggregate::FinalEmit;
use crate::dsl::{EmitStrategy, SessionWindows};
use crate::engine::{Context, Flushed, Step};
use crate::error::{Error, Flow};
use crate::record::{Change, Data, Headers, Record, Timestamped, Window, Windowed};
use crate::stores::Put;
use crate::stores::handles::{Handle, Sessions, StoreRef};
use std::sync::Arc;

/// What two sessions become that turn out to be one.
pub(crate) type Merger<K, A> = Arc<dyn Fn(&K, Option<A>, Option<A>) -> Option<A> + Send + Sync>;

pub(crate) struct SessionAggregate<K, V, A> {
    pub(crate) store: StoreRef<K, A>,
    pub(crate) handle: Option<Handle<K, A, Sessions>>,
    pub(crate) windows: SessionWindows,
    pub(crate) initializer: Initializer<A>,
    pub(crate) aggregator: Aggregator<K, V, A>,
    pub(crate) merger: Merger<K, A>,
    pub(crate) emit: EmitStrategy,
    pub(crate) sends_old: bool,
    pub(crate) observed_time: i64,
    pub(crate) final_emit: FinalEmit,
}

impl<K: Data, V: Data, A: Data> Step<K, V> for SessionAggregate<K, V, A> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(key), value, timestamp, headers } = record else {
            ctx.drop_record();
            return Ok(());
        };
        self.observed_time = self.observed_time.max(timestamp);
        let close_time = self.observed_time - self.windows.grace_ms - self.windows.gap_ms;
        let store = self.handle.as_ref().expect("opened in `init`");
        let alone = Window { start_ms: timestamp, end_ms: timestamp };
        let mut whole = alone;
        let mut aggregate = (self.initializer)();
        let gap_ms = self.windows.gap_ms;
        let around = store.find(ctx, &key, timestamp - gap_ms, timestamp + gap_ms)?;
        for (window, value) in &around {
            aggregate = (self.merger)(&key, aggregate, Some(value.clone()));
            whole.start_ms = whole.start_ms.min(window.start_ms);
            whole.end_ms = whole.end_ms.max(window.end_ms);
        }
        if whole.end_ms < close_time {
            ctx.drop_record();
        } else {
            if whole != alone {
                for (window, value) in around {
                    if store.put(ctx, &key, window, None)? != Put::Held {
                        self.forward(ctx, &key, window, Some(value), None)?;
                    }
                }
            }
            aggregate = (self.aggregator)(&key, value, aggregate);
            if store.put(ctx, &key, whole, aggregate.as_ref())? != Put::Held {
                self.forward(ctx, &key, whole, None, aggregate)?;
            }
        }
        self.emit_closed(ctx, close_time, &headers)
    }

    fn flushed(&mut self, update: Flushed, ctx: &Context<'_>) -> Flow {
        let store = self.handle.as_ref().expect("only a store holds back");
        ctx.forward(store.flushed(update, self.sends_old)?)
    }
}

impl<K: Data, V: Data, A: Data> SessionAggregate<K, V, A> {
    fn forward(
        &self,
        ctx: &Context<'_>,
        key: &K,
        window: Window,
        old: Option<A>,
        new: Option<A>,
    ) -> Flow {
        if self.emit == EmitStrategy::OnWindowClose {
            return Ok(());
        }
        ctx.forward(Record {
            key: Some(Windowed { key: key.clone(), window }),
            value: Some(Change::new(new, old.filter(|_| self.sends_old))),
            timestamp: window.end_ms,
            headers: Headers::default(),
        })
    }

    fn emit_closed(&mut self, ctx: &Context<'_>, close_time: i64, headers: &Headers) -> Flow {
        if self.emit != EmitStrategy::OnWindowClose || !self.final_emit.is_due(ctx, close_time) {
            return Ok(());
        }
        let latest_end_ms = close_time - 1;
        let earliest_end_ms = self.final_emit.last_close.unwrap_or(-1).max(0);
        if latest_end_ms < earliest_end_ms {
            return Ok(());
        }
        let store = self.handle.as_ref().expect("opened in `init`");
        for (key, window, value) in store.find_all(ctx, earliest_end_ms, latest_end_ms)? {
            ctx.forward(Record {
                key: Some(Windowed { key, window }),
                value: Some(Change::new(Some(value), None)),
                timestamp: window.end_ms,
                headers: headers.clone(),
            })?;
        }
        self.final_emit.last_close = Some(close_time);
        Ok(())
    }
}

struct SessionGetter<K, A> {
    store: StoreRef<K, A>,
    handle: Option<Handle<K, A, Sessions>>,
}

/// Looks sessions up.
pub(crate) fn session_getter<K: Data, A: Data>(
    store: StoreRef<K, A>,
) -> GetterSupplier<Windowed<K>, A> {
    GetterSupplier {
        stores: vec![store.name.as_ref().to_owned()],
        make: Arc::new(move || Box::new(SessionGetter { store: store.clone(), handle: None })),
    }
}

impl<K: Data, A: Data> ValueGetter<Windowed<K>, A> for SessionGetter<K, A> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        Ok(())
    }

    fn get(&self, ctx: &Context<'_>, key: &Windowed<K>) -> Result<Option<Timestamped<A>>, Error> {
        let handle = self.handle.as_ref().expect("a getter is used after `init`");
        let value = handle.fetch(ctx, &key.key, key.window)?;
        Ok(value.map(|value| Timestamped { value, timestamp: key.window.end_ms }))
    }
}
