//! Calls that a node asked for, by event time or by the time of day.

use super::{Context, Graph};
use crate::error::Flow;

/// Which time drives a punctuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PunctuationKind {
    /// Event time: it stands still without records.
    StreamTime,
    /// Time of day.
    WallClock,
}

/// Names one schedule of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScheduleId(u32);

#[derive(Default)]
pub(super) struct Punctuations {
    schedules: Vec<Schedule>,
    next_id: u32,
}

struct Schedule {
    id: ScheduleId,
    node: usize,
    interval_ms: i64,
    kind: PunctuationKind,
    due: i64,
}

impl Punctuations {
    pub(super) fn add(
        &mut self,
        node: usize,
        interval_ms: i64,
        kind: PunctuationKind,
        wall_ms: i64,
    ) -> ScheduleId {
        let id = ScheduleId(self.next_id);
        self.next_id += 1;
        let interval_ms = interval_ms.max(1);
        // By event time the first call comes with the first record; by the clock, after one interval.
        let due = match kind {
            PunctuationKind::StreamTime => 0,
            PunctuationKind::WallClock => wall_ms + interval_ms,
        };
        self.schedules.push(Schedule { id, node, interval_ms, kind, due });
        id
    }

    pub(super) fn cancel(&mut self, id: ScheduleId) {
        self.schedules.retain(|schedule| schedule.id != id);
    }

    /// The most overdue schedule, and when it comes again.
    fn take_due(&mut self, kind: PunctuationKind, now: i64) -> Option<(ScheduleId, usize)> {
        let due = self
            .schedules
            .iter_mut()
            .filter(|schedule| schedule.kind == kind && schedule.due <= now)
            .min_by_key(|schedule| schedule.due)?;
        // Times that were missed are not made up for.
        let missed = (now - due.due) / due.interval_ms;
        due.due += (missed + 1) * due.interval_ms;
        Some((due.id, due.node))
    }

    fn next_wall_ms(&self) -> Option<i64> {
        self.schedules
            .iter()
            .filter(|schedule| schedule.kind == PunctuationKind::WallClock)
            .map(|schedule| schedule.due)
            .min()
    }
}

impl Graph {
    /// Makes the calls that are due by event time; true if there was one.
    ///
    /// # Errors
    ///
    /// What a processor said.
    pub fn punctuate_stream_time(&self) -> Result<bool, crate::Error> {
        let now = self.stream_time();
        if now < 0 {
            return Ok(false);
        }
        self.punctuate(PunctuationKind::StreamTime, now)
    }

    /// Makes the calls that are due by the time of day; true if there was one.
    ///
    /// # Errors
    ///
    /// What a processor said.
    pub fn punctuate_wall_clock(&self) -> Result<bool, crate::Error> {
        self.punctuate(PunctuationKind::WallClock, self.wall_ms.get())
    }

    /// When the next call by the time of day is due.
    pub fn next_punctuation_wall_ms(&self) -> Option<i64> {
        self.punctuations.borrow().next_wall_ms()
    }

    fn punctuate(&self, kind: PunctuationKind, now: i64) -> Result<bool, crate::Error> {
        let mut any = false;
        loop {
            let due = self.punctuations.borrow_mut().take_due(kind, now);
            let Some((id, at)) = due else { return Ok(any) };
            any = true;
            self.timestamp.set(now);
            let ctx = Context { graph: self, node: at };
            let done: Flow = self.nodes[at].body.borrow_mut().punctuate(id, now, &ctx);
            done.or_else(|error| self.failed(at, error))?;
        }
    }
}
