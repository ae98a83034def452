//! Aggregates in tumbling and hopping windows; and what sliding windows share with them.

use super::aggregate::{Aggregator, Initializer};
use super::getter::{GetterSupplier, ValueGetter};
use crate::dsl::{EmitStrategy, TimeWindows};
use crate::engine::{Context, Flushed, Step};
use crate::error::{Error, Flow};
use crate::record::{Change, Data, Headers, Record, Timestamped, Window, Windowed};
use crate::stores::Put;
use crate::stores::handles::{Handle, StoreRef, TimestampedWindows};
use std::sync::Arc;

/// What all windowed aggregates know.
pub(crate) struct WindowState<K, A> {
    pub(crate) store: StoreRef<K, A>,
    pub(crate) handle: Option<Handle<K, A, TimestampedWindows>>,
    pub(crate) emit: EmitStrategy,
    pub(crate) sends_old: bool,
    pub(crate) observed_time: i64,
    pub(crate) final_emit: FinalEmit,
}

/// When results of closed windows are due.
#[derive(Default)]
pub(crate) struct FinalEmit {
    next_emit_ms: i64,
    /// The close time of the last round.
    pub(crate) last_close: Option<i64>,
}

impl FinalEmit {
    /// Whether it is time for a round, and there may be something in it.
    pub(crate) fn is_due(&mut self, ctx: &Context<'_>, close_time: i64) -> bool {
        let wall_ms = ctx.wall_ms();
        if wall_ms < self.next_emit_ms {
            return false;
        }
        self.next_emit_ms = wall_ms + ctx.emit_interval_ms();
        self.last_close.is_none_or(|last| last < close_time)
    }
}

/// A window that has a new value.
pub(crate) struct WindowUpdate<'a, K, A> {
    pub(crate) key: &'a K,
    pub(crate) window: Window,
    pub(crate) old: Option<A>,
    pub(crate) new: Option<A>,
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a Headers,
}

/// Windows that closed: those that start within these moments, both included.
pub(crate) struct Closed {
    pub(crate) close_time: i64,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) size_ms: i64,
}

impl<K: Data, A: Data> WindowState<K, A> {
    pub(crate) fn new(store: StoreRef<K, A>, emit: EmitStrategy, sends_old: bool) -> Self {
        Self {
            store,
            handle: None,
            emit,
            sends_old,
            observed_time: -1,
            final_emit: FinalEmit::default(),
        }
    }

    pub(crate) fn open(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        Ok(())
    }

    pub(crate) fn windows(&self) -> &Handle<K, A, TimestampedWindows> {
        self.handle.as_ref().expect("opened in `init`")
    }

    /// Keeps a window's new value and passes it on.
    pub(crate) fn update(&self, ctx: &Context<'_>, update: WindowUpdate<'_, K, A>) -> Flow {
        let WindowUpdate { key, window, old, new, timestamp, headers } = update;
        let put = self.windows().put(ctx, key, window.start_ms, new.as_ref(), timestamp)?;
        if self.emit == EmitStrategy::OnWindowClose || put == Put::Held {
            return Ok(());
        }
        ctx.forward(Record {
            key: Some(Windowed { key: key.clone(), window }),
            value: Some(Change::new(new, old.filter(|_| self.sends_old))),
            timestamp,
            headers: headers.clone(),
        })
    }

    /// Passes an update on that was held back.
    pub(crate) fn flushed(&self, update: Flushed, size_ms: i64, ctx: &Context<'_>) -> Flow {
        ctx.forward(self.windows().flushed(update, size_ms, self.sends_old)?)
    }

    /// Passes on all windows that start within these moments: they are closed.
    pub(crate) fn emit_final(
        &mut self,
        ctx: &Context<'_>,
        closed: &Closed,
        headers: &Headers,
    ) -> Flow {
        let Closed { close_time, from_ms, to_ms, size_ms } = *closed;
        for (key, start_ms, value) in self.windows().fetch_all(ctx, from_ms, to_ms)? {
            let window = Window { start_ms, end_ms: start_ms + size_ms };
            ctx.forward(Record {
                key: Some(Windowed { key, window }),
                value: Some(Change::new(Some(value.value), None)),
                timestamp: value.timestamp,
                headers: headers.clone(),
            })?;
        }
        self.final_emit.last_close = Some(close_time);
        Ok(())
    }
}

pub(crate) struct WindowAggregate<K, V, A> {
    pub(crate) state: WindowState<K, A>,
    pub(crate) windows: TimeWindows,
    pub(crate) initializer: Initializer<A>,
    pub(crate) aggregator: Aggregator<K, V, A>,
}

impl<K: Data, V: Data, A: Data> Step<K, V> for WindowAggregate<K, V, A> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.state.open(ctx)
    }

    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(key), value, timestamp, headers } = record else {
            ctx.drop_record();
            return Ok(());
        };
        let state = &mut self.state;
        state.observed_time = state.observed_time.max(timestamp);
        let close_time = state.observed_time - self.windows.grace_ms;
        for window in self.windows.windows_for(timestamp) {
            if window.end_ms <= close_time {
                ctx.drop_record();
                continue;
            }
            let (old, at) = match state.windows().fetch(ctx, &key, window.start_ms)? {
                Some(before) => (Some(before.value), timestamp.max(before.timestamp)),
                None => ((self.initializer)(), timestamp),
            };
            let sent = if state.sends_old { old.clone() } else { None };
            let new = (self.aggregator)(&key, value.clone(), old);
            let (old, timestamp, headers) = (sent, at, &headers);
            state.update(ctx, WindowUpdate { key: &key, window, old, new, timestamp, headers })?;
        }
        self.emit_closed(ctx, close_time, &headers)
    }

    fn flushed(&mut self, update: Flushed, ctx: &Context<'_>) -> Flow {
        self.state.flushed(update, self.windows.size_ms, ctx)
    }
}

impl<K: Data, V: Data, A: Data> WindowAggregate<K, V, A> {
    fn emit_closed(&mut self, ctx: &Context<'_>, close_time: i64, headers: &Headers) -> Flow {
        let state = &mut self.state;
        if state.emit != EmitStrategy::OnWindowClose || !state.final_emit.is_due(ctx, close_time) {
            return Ok(());
        }
        let size_ms = self.windows.size_ms;
        let to_ms = close_time - size_ms;
        if to_ms < 0 {
            return Ok(());
        }
        let from_ms = state.final_emit.last_close.map_or(0, |last| (last - size_ms).max(0) + 1);
        if state.final_emit.last_close.is_some() {
            let same = self.windows.windows_for(to_ms).eq(self.windows.windows_for(from_ms - 1));
            if same {
                return Ok(());
            }
        }
        state.emit_final(ctx, &Closed { close_time, from_ms, to_ms, size_ms }, headers)
    }
}

struct WindowGetter<K, A> {
    store: StoreRef<K, A>,
    handle: Option<Handle<K, A, TimestampedWindows>>,
}

/// Looks windowed aggregates up.
pub(crate) fn window_getter<K: Data, A: Data>(
    store: StoreRef<K, A>,
) -> GetterSupplier<Windowed<K>, A> {
    GetterSupplier {
        stores: vec![store.name.as_ref().to_owned()],
        make: Arc::new(move || Box::new(WindowGetter { store: store.clone(), handle: None })),
    }
}

impl<K: Data, A: Data> ValueGetter<Windowed<K>, A> for WindowGetter<K, A> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        Ok(())
    }

    fn get(&self, ctx: &Context<'_>, key: &Windowed<K>) -> Result<Option<Timestamped<A>>, Error> {
        let handle = self.handle.as_ref().expect("a getter is used after `init`");
        handle.fetch(ctx, &key.key, key.window.start_ms)
    }
}
