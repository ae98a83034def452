//! Windows: which ones a moment belongs to.

use crate::record::Window;
use std::time::Duration;

/// The longest time that fits.
fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Tumbling windows, side by side, or hopping ones, which overlap. They begin at whole multiples of their step since the
/// epoch, and their end does not belong to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindows {
    pub(crate) size_ms: i64,
    pub(crate) advance_ms: i64,
    pub(crate) grace_ms: i64,
}

impl TimeWindows {
    /// Records that come after the end of their window are dropped.
    #[must_use]
    pub fn of_size(size: Duration) -> Self {
        Self { size_ms: ms(size).max(1), advance_ms: ms(size).max(1), grace_ms: 0 }
    }

    /// For so long after its end a window still takes records, by event time.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace_ms: ms(grace), ..self }
    }

    /// Begins a new window each `advance`, which is at most the size.
    #[must_use]
    pub fn advance_by(self, advance: Duration) -> Self {
        Self { advance_ms: ms(advance).clamp(1, self.size_ms), ..self }
    }

    /// The windows that a moment belongs to, the oldest first.
    pub(crate) fn windows_for(&self, timestamp: i64) -> impl Iterator<Item = Window> + use<> {
        let Self { size_ms, advance_ms, .. } = *self;
        let first = (timestamp - size_ms + advance_ms).max(0) / advance_ms * advance_ms;
        (0..)
            .map(move |step| first + step * advance_ms)
            .take_while(move |start_ms| *start_ms <= timestamp)
            .map(move |start_ms| Window { start_ms, end_ms: start_ms + size_ms })
    }
}

/// Windows that slide along with the records: each pair of records that are at most the difference apart shares one. Both
/// ends belong to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindows {
    pub(crate) difference_ms: i64,
    pub(crate) grace_ms: i64,
}

impl SlidingWindows {
    /// Records that come after the end of their window are dropped.
    #[must_use]
    pub fn of_difference(difference: Duration) -> Self {
        Self { difference_ms: ms(difference), grace_ms: 0 }
    }

    /// For so long after its end a window still takes records, by event time.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace_ms: ms(grace), ..self }
    }
}

/// Windows of activity: records that are at most the gap apart belong together. Both ends belong to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    pub(crate) gap_ms: i64,
    pub(crate) grace_ms: i64,
}

impl SessionWindows {
    /// Records that come after the end of their session are dropped.
    #[must_use]
    pub fn of_gap(gap: Duration) -> Self {
        Self { gap_ms: ms(gap), grace_ms: 0 }
    }

    /// For so long after its end a session still takes records, by event time.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace_ms: ms(grace), ..self }
    }
}

/// How far apart records of two streams may be to be joined. Both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindows {
    pub(crate) before_ms: i64,
    pub(crate) after_ms: i64,
    pub(crate) grace_ms: i64,
}

impl JoinWindows {
    /// The other record may be so much older or younger.
    #[must_use]
    pub fn of_difference(difference: Duration) -> Self {
        Self { before_ms: ms(difference), after_ms: ms(difference), grace_ms: 0 }
    }

    /// The other record may be so much older.
    #[must_use]
    pub fn before(self, before: Duration) -> Self {
        Self { before_ms: ms(before), ..self }
    }

    /// The other record may be so much younger.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after_ms: ms(after), ..self }
    }

    /// For so long after its end a window still takes records, by event time.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace_ms: ms(grace), ..self }
    }

    pub(crate) fn size_ms(&self) -> i64 {
        self.before_ms + self.after_ms
    }
}

/// When a windowed aggregate is passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmitStrategy {
    /// At each update.
    #[default]
    OnWindowUpdate,
    /// Once, when the window and its grace are over.
    OnWindowClose,
}
