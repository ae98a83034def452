//! Aggregates in sliding windows. A record makes the window that ends with it, and the one that begins after it if there
//! is already something in there; and it changes all windows it falls into.

use super::aggregate::{Aggregator, Initializer};
use super::window_aggregate::{Closed, WindowState, WindowUpdate};
use crate::dsl::{EmitStrategy, SlidingWindows};
use crate::engine::{Context, Flushed, Step};
use crate::error::Flow;
use crate::record::{Data, Headers, Record, Timestamped, Window};

pub(crate) struct SlidingAggregate<K, V, A> {
    pub(crate) state: WindowState<K, A>,
    pub(crate) windows: SlidingWindows,
    pub(crate) initializer: Initializer<A>,
    pub(crate) aggregator: Aggregator<K, V, A>,
}

/// The record at hand.
struct Input<'a, K, V> {
    key: &'a K,
    value: &'a V,
    timestamp: i64,
    headers: &'a Headers,
    close_time: i64,
}

/// What is known of the windows around a record.
struct Around<A> {
    starts: Vec<i64>,
    left: Option<Timestamped<A>>,
    right: Option<Timestamped<A>>,
    has_left: bool,
    has_right: bool,
    previous: Option<i64>,
}

impl<A> Default for Around<A> {
    fn default() -> Self {
        Self {
            starts: Vec::new(),
            left: None,
            right: None,
            has_left: false,
            has_right: false,
            previous: None,
        }
    }
}

impl<K: Data, V: Data, A: Data> Step<K, V> for SlidingAggregate<K, V, A> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.state.open(ctx)
    }

    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(key), value: Some(value), timestamp, headers } = record else {
            ctx.drop_record();
            return Ok(());
        };
        self.state.observed_time = self.state.observed_time.max(timestamp);
        let close_time = self.state.observed_time - self.windows.grace_ms;
        if timestamp + self.windows.difference_ms < close_time {
            ctx.drop_record();
            return Ok(());
        }
        let input = Input { key: &key, value: &value, timestamp, headers: &headers, close_time };
        if timestamp < self.windows.difference_ms {
            return self.process_early(&input, ctx);
        }
        self.process_backward(&input, ctx)?;
        self.emit_closed(ctx, close_time, &headers)
    }

    fn flushed(&mut self, update: Flushed, ctx: &Context<'_>) -> Flow {
        self.state.flushed(update, self.windows.difference_ms, ctx)
    }
}

impl<K: Data, V: Data, A: Data> SlidingAggregate<K, V, A> {
    fn window_at(&self, start_ms: i64) -> Window {
        Window { start_ms, end_ms: start_ms + self.windows.difference_ms }
    }

    fn process_backward(&self, input: &Input<'_, K, V>, ctx: &Context<'_>) -> Flow {
        let at = input.timestamp;
        let from_ms = (at - 2 * self.windows.difference_ms).max(0);
        let found = self.state.windows().fetch_range(ctx, input.key, from_ms, at + 1)?;
        let mut around = Around::default();
        for (start_ms, value) in found.into_iter().rev() {
            around.starts.push(start_ms);
            let window = self.window_at(start_ms);
            let newest = value.timestamp;
            if start_ms == at + 1 {
                around.has_right = true;
            } else if window.end_ms > at {
                if around.right.is_none() {
                    around.right = Some(value.clone());
                }
                self.update(input, window, Some(value), ctx)?;
            } else if window.end_ms == at {
                around.has_left = true;
                self.update(input, window, Some(value), ctx)?;
                if newest >= at {
                    // The record's windows were made by one of the same time.
                    return Ok(());
                }
                around.previous = Some(newest);
            } else {
                around.left = Some(value);
                around.previous = Some(newest);
                break;
            }
        }
        self.create_windows(input, around, ctx)
    }

    /// Before the first full window, there is one from 0 on that all early records share.
    fn process_early(&self, input: &Input<'_, K, V>, ctx: &Context<'_>) -> Flow {
        let at = input.timestamp;
        let mut combined: Option<Timestamped<A>> = None;
        let mut around = Around::default();
        for (start_ms, value) in self.state.windows().fetch_range(ctx, input.key, 0, at + 1)? {
            around.starts.push(start_ms);
            if start_ms == 0 {
                if value.timestamp < at {
                    around.previous = Some(value.timestamp);
                }
                combined = Some(value);
            } else if start_ms <= at {
                around.right = Some(value.clone());
                self.update(input, self.window_at(start_ms), Some(value), ctx)?;
            } else {
                around.has_right = true;
            }
        }
        if around.right.is_none()
            && let Some(combined) = &combined
            && combined.timestamp > at
        {
            around.right = Some(combined.clone());
        }
        if !around.has_right
            && let Some(right) = around.right.filter(|right| right.timestamp > at)
        {
            self.create_right(input, right, ctx)?;
        }
        if let Some(previous) = around.previous
            && !around.starts.contains(&(previous + 1))
        {
            self.create_previous_right(input, previous + 1, ctx)?;
        }
        match combined {
            Some(combined) => self.update(input, self.window_at(0), Some(combined), ctx),
            None => {
                let fresh = self.fresh(at);
                self.update(input, self.window_at(0), fresh, ctx)
            }
        }
    }

    fn fresh(&self, timestamp: i64) -> Option<Timestamped<A>> {
        (self.initializer)().map(|value| Timestamped { value, timestamp })
    }

    fn create_windows(
        &self,
        input: &Input<'_, K, V>,
        around: Around<A>,
        ctx: &Context<'_>,
    ) -> Flow {
        let at = input.timestamp;
        let difference_ms = self.windows.difference_ms;
        if let Some(previous) = around.previous {
            let start_ms = previous + 1;
            if start_ms + difference_ms >= at && !around.starts.contains(&start_ms) {
                self.create_previous_right(input, start_ms, ctx)?;
            }
        }
        if !around.has_left {
            let reaches_back =
                around.previous.is_some_and(|previous| at - difference_ms <= previous);
            let value = match (reaches_back, around.left) {
                (true, Some(left)) => Some(Timestamped { value: left.value, timestamp: at }),
                (true, None) => None,
                (false, _) => self.fresh(at),
            };
            self.update(input, self.window_at(at - difference_ms), value, ctx)?;
        }
        if !around.has_right
            && let Some(right) = around.right.filter(|right| right.timestamp > at)
        {
            self.create_right(input, right, ctx)?;
        }
        Ok(())
    }

    /// The window after the record: what is in it is already known from a window around it.
    fn create_right(
        &self,
        input: &Input<'_, K, V>,
        right: Timestamped<A>,
        ctx: &Context<'_>,
    ) -> Flow {
        let window = self.window_at(input.timestamp + 1);
        self.state.update(
            ctx,
            WindowUpdate {
                key: input.key,
                window,
                old: None,
                new: Some(right.value),
                timestamp: right.timestamp,
                headers: input.headers,
            },
        )
    }

    /// The window after the record before this one: only this record is in it.
    fn create_previous_right(
        &self,
        input: &Input<'_, K, V>,
        start_ms: i64,
        ctx: &Context<'_>,
    ) -> Flow {
        let fresh = self.fresh(input.timestamp);
        self.update(input, self.window_at(start_ms), fresh, ctx)
    }

    fn update(
        &self,
        input: &Input<'_, K, V>,
        window: Window,
        before: Option<Timestamped<A>>,
        ctx: &Context<'_>,
    ) -> Flow {
        if window.end_ms < input.close_time {
            ctx.drop_record();
            return Ok(());
        }
        let timestamp =
            before.as_ref().map_or(input.timestamp, |before| input.timestamp.max(before.timestamp));
        let old = before.map(|before| before.value);
        let sent = if self.state.sends_old { old.clone() } else { None };
        let new = (self.aggregator)(input.key, Some(input.value.clone()), old);
        let (key, headers) = (input.key, input.headers);
        self.state.update(ctx, WindowUpdate { key, window, old: sent, new, timestamp, headers })
    }

    fn emit_closed(&mut self, ctx: &Context<'_>, close_time: i64, headers: &Headers) -> Flow {
        let state = &mut self.state;
        if state.emit != EmitStrategy::OnWindowClose || !state.final_emit.is_due(ctx, close_time) {
            return Ok(());
        }
        // Here the end belongs to the window, so it closes one moment later than a tumbling one.
        let difference_ms = self.windows.difference_ms;
        let to_ms = close_time - difference_ms - 1;
        if to_ms < 0 {
            return Ok(());
        }
        let from_ms = state.final_emit.last_close.map_or(0, |last| (last - difference_ms).max(0));
        let closed = Closed { close_time, from_ms, to_ms, size_ms: difference_ms };
        state.emit_final(ctx, &closed, headers)
    }
}
