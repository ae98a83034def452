//! Joins of two streams: each record meets those of the other stream within the join window, and one that met nobody goes
//! on alone, if the join asks for it, once its window is closed.
//!
//! Both sides of a join share the time they have seen, and the store of those who wait to go on alone.

use super::stateless::each;
use crate::dsl::JoinWindows;
use crate::engine::{Context, Node, Step};
use crate::error::Flow;
use crate::record::{Data, Record};
use crate::stores::handles::{Handle, StoreRef, TimestampedWindows};
use crate::stores::outer_join::{OuterStore, Side};
use std::sync::Arc;

/// Puts each record into the window store of its side, after the join has seen it.
pub(crate) struct JoinWindow<K, V> {
    pub(crate) store: StoreRef<K, V>,
    pub(crate) handle: Option<Handle<K, V, TimestampedWindows>>,
}

impl<K: Data, V: Data> Step<K, V> for JoinWindow<K, V> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        let Record { key, value, timestamp, headers } = record.clone();
        ctx.forward(record)?;
        match key {
            Some(key) => {
                let store = self.handle.as_ref().expect("opened in `init`");
                store.put_with(ctx, &key, timestamp, value.as_ref(), timestamp, headers).map(|_| ())
            }
            None => Ok(()),
        }
    }
}

/// What both sides of a join know of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JoinTime {
    pub(crate) stream_time: i64,
    /// The oldest record that waits to go on alone.
    pub(crate) oldest_waiting: i64,
    pub(crate) next_emit_ms: i64,
}

impl Default for JoinTime {
    fn default() -> Self {
        Self { stream_time: -1, oldest_waiting: i64::MAX, next_emit_ms: 0 }
    }
}

/// Joins what is there of both sides.
pub(crate) type PairJoiner<K, VL, VR, V> =
    Arc<dyn Fn(Option<&K>, Option<&VL>, Option<&VR>) -> Option<V> + Send + Sync>;

/// One side of a join. `This` and `Other` are its values and those of the other side.
pub(crate) struct StreamJoin<K, This, Other, V> {
    pub(crate) side: Side,
    pub(crate) windows: JoinWindows,
    /// Whether records of this side go on alone.
    pub(crate) is_outer: bool,
    pub(crate) joiner: PairJoiner<K, This, Other, V>,
    pub(crate) other: StoreRef<K, Other>,
    pub(crate) other_handle: Option<Handle<K, Other, TimestampedWindows>>,
    /// The store of those who wait, if either side of the join asks for it.
    pub(crate) waiting: Option<OuterStore<K>>,
    pub(crate) this_values: crate::serdes::SerdeOf<This>,
    /// What a waiting record of the other side becomes.
    pub(crate) other_values: crate::serdes::SerdeOf<Other>,
    /// Names the time that both sides share.
    pub(crate) join: Arc<str>,
    pub(crate) time: usize,
}

impl<K: Data, This: Data, Other: Data, V: Data> StreamJoin<K, This, Other, V> {
    fn before_ms(&self) -> i64 {
        match self.side {
            Side::Left => self.windows.before_ms,
            Side::Right => self.windows.after_ms,
        }
    }

    fn after_ms(&self) -> i64 {
        match self.side {
            Side::Left => self.windows.after_ms,
            Side::Right => self.windows.before_ms,
        }
    }

    /// Lets those go on whose windows are closed.
    fn emit_waiting(&self, ctx: &Context<'_>, record: &Record<K, This>) -> Flow {
        let Some(store) = &self.waiting else { return Ok(()) };
        let mut time = ctx.join_time(self.time);
        let grace_ms = self.windows.grace_ms;
        let close = time.oldest_waiting.wrapping_add(self.after_ms()).wrapping_add(grace_ms);
        if close >= time.stream_time || ctx.wall_ms() < time.next_emit_ms {
            return Ok(());
        }
        time.next_emit_ms = ctx.wall_ms() + ctx.emit_interval_ms();
        time.oldest_waiting = i64::MAX;
        let (mut left_open, mut right_open) = (false, false);
        for waiting in store.all(ctx)? {
            time.oldest_waiting = waiting.timestamp;
            if left_open && right_open {
                break;
            }
            let look_back_ms = match waiting.side {
                Side::Left => self.windows.after_ms,
                Side::Right => self.windows.before_ms,
            };
            if waiting.timestamp + look_back_ms + grace_ms >= time.stream_time {
                match waiting.side {
                    Side::Left => left_open = true,
                    Side::Right => right_open = true,
                }
                continue;
            }
            for value in &waiting.values {
                let value = if waiting.side == self.side {
                    let value = store.read(&self.this_values, value)?;
                    (self.joiner)(Some(&waiting.key), Some(&value), None)
                } else {
                    let value = store.read(&self.other_values, value)?;
                    (self.joiner)(Some(&waiting.key), None, Some(&value))
                };
                ctx.forward(Record {
                    key: Some(waiting.key.clone()),
                    value,
                    timestamp: waiting.timestamp,
                    headers: record.headers.clone(),
                })?;
            }
            store.remove(ctx, &waiting.entry)?;
        }
        ctx.set_join_time(self.time, time);
        Ok(())
    }
}

impl<K: Data, This: Data, Other: Data, V: Data> Step<K, This> for StreamJoin<K, This, Other, V> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.other_handle = Some(self.other.open(ctx)?);
        if let Some(waiting) = &mut self.waiting {
            waiting.open(ctx)?;
        }
        self.time = ctx.join_time_id(&self.join);
        Ok(())
    }

    fn process(&mut self, record: Record<K, This>, ctx: &Context<'_>) -> Flow {
        let at = record.timestamp;
        let mut time = ctx.join_time(self.time);
        time.stream_time = time.stream_time.max(at);
        ctx.set_join_time(self.time, time);
        let (Some(key), Some(value)) = (&record.key, &record.value) else {
            if self.is_outer
                && record.key.is_none()
                && let Some(value) = &record.value
            {
                let joined = (self.joiner)(None, Some(value), None);
                return ctx.forward(record.with_value(joined));
            }
            ctx.drop_record();
            return Ok(());
        };
        // Only a record that is not late can close windows.
        if at == time.stream_time {
            self.emit_waiting(ctx, &record)?;
        }
        let from_ms = (at - self.before_ms()).max(0);
        let to_ms = (at + self.after_ms()).max(0);
        let store = self.other_handle.as_ref().expect("opened in `init`");
        let found = store.fetch_range(ctx, key, from_ms, to_ms)?;
        let met_nobody = found.is_empty();
        for (other_at, other) in found {
            if let Some(waiting) = &self.waiting {
                waiting.met(ctx, key, other_at, self.side.other())?;
            }
            ctx.forward(Record {
                key: Some(key.clone()),
                value: (self.joiner)(Some(key), Some(value), Some(&other.value)),
                timestamp: at.max(other_at),
                headers: record.headers.clone(),
            })?;
        }
        if !(self.is_outer && met_nobody) {
            return Ok(());
        }
        let mut time = ctx.join_time(self.time);
        match &self.waiting {
            Some(waiting) if to_ms >= time.stream_time => {
                time.oldest_waiting = time.oldest_waiting.min(at);
                ctx.set_join_time(self.time, time);
                waiting.wait(ctx, key, at, self.side, &self.this_values, value)
            }
            _ => {
                let joined = (self.joiner)(Some(key), Some(value), None);
                ctx.forward(record.with_value(joined))
            }
        }
    }
}

/// Joins of two streams meet here.
pub(crate) fn merge<K: Data, V: Data>() -> Box<dyn Node> {
    each(|record: Record<K, V>, ctx| ctx.forward(record))
}
