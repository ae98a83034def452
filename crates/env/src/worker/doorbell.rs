//! How to wake who waits, for the price of one atomic exchange when nobody sleeps.
//!
//! One listener at a time: a worker, a blocked thread, or an async task. Whoever rings first
//! publishes the work (pushes to a queue), then rings; the listener first takes the ring, then
//! looks for work. Both sides are one read-modify-write of the same atomic, so either the listener
//! sees the work, or it finds a ring when it wants to sleep. Rings in between melt into one.

use parking_lot::Mutex;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

/// A doorbell; clones ring the same one.
#[derive(Clone, Default)]
pub struct Doorbell(Arc<Bell>);

#[derive(Default)]
struct Bell {
    /// One of the three below.
    state: AtomicU8,
    /// How to wake the listener that slept here last.
    sleeper: Mutex<Option<Waker>>,
    has_listener: AtomicBool,
}

/// Nobody has rung since the listener last looked.
const QUIET: u8 = 0;
/// Somebody has.
const RUNG: u8 = 1;
/// Nobody has, and the listener sleeps: the next to ring wakes it.
const ASLEEP: u8 = 2;

impl Doorbell {
    /// A doorbell nobody has rung.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the listener, or lets it not fall asleep. Costs some nanoseconds when it is awake.
    pub fn ring(&self) {
        // Release: what was done before the ring is seen by who takes it. Each ring is a
        // read-modify-write, so that the rings of several threads add up in one release sequence.
        if self.0.state.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            self.wake();
        }
    }

    /// Waits, on an async task, until somebody rings; takes the ring.
    pub async fn rung(&self) {
        poll_fn(|context| self.poll_rung(context)).await;
    }

    /// As [`Doorbell::rung`], for who writes futures by hand.
    pub fn poll_rung(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.take() || !self.sleep(context.waker()) {
            self.take();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Takes the ring, if there is one. The listener is awake after this.
    pub(crate) fn take(&self) -> bool {
        // Acquire: pairs with the release in `ring`.
        self.0.state.swap(QUIET, Ordering::AcqRel) == RUNG
    }

    /// Registers the listener to be woken at the next ring; false if there was one already.
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        let mut sleeper = self.0.sleeper.lock();
        if !sleeper.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *sleeper = Some(waker.clone());
        }
        // The waker must be there before `ASLEEP` is, as the one who rings looks for it at once.
        drop(sleeper);
        self.0.state.compare_exchange(QUIET, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether the listener sleeps and nobody has rung yet.
    pub(crate) fn is_asleep(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) == ASLEEP
    }

    /// Whether somebody has rung since the listener last looked.
    #[cfg(feature = "sim")]
    pub(crate) fn is_rung(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == RUNG
    }

    /// Claims the one place at this bell.
    ///
    /// # Panics
    /// If it is taken: rings would wake the wrong one.
    pub(crate) fn listen(&self) -> Listening {
        let was_free = !self.0.has_listener.swap(true, Ordering::AcqRel);
        assert!(was_free, "two listeners at one doorbell");
        Listening(self.clone())
    }

    #[cold]
    fn wake(&self) {
        // Cloned, not taken: one who rang long ago may get here only after the listener woke by
        // itself, worked, and fell asleep anew; taking its waker would leave it asleep for ever.
        // Waking it once too often is harmless. A waker may run code, so no lock is held then.
        let sleeper = self.0.sleeper.lock().clone();
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0.state.load(Ordering::Relaxed) {
            QUIET => "quiet",
            RUNG => "rung",
            _ => "asleep",
        };
        write!(f, "Doorbell({state})")
    }
}

/// The place of the listener; given back when dropped.
pub(crate) struct Listening(Doorbell);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.0.has_listener.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct CountWakes(AtomicUsize);

    impl Wake for CountWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_ring_before_sleep_is_not_lost() {
        let bell = Doorbell::new();
        let waker = Waker::noop();
        bell.ring();
        assert!(!bell.sleep(waker));
        assert!(bell.take());
        assert!(bell.sleep(waker));
    }

    #[test]
    fn many_rings_wake_a_sleeper_once() {
        let bell = Doorbell::new();
        let wakes = Arc::new(CountWakes::default());
        assert!(bell.sleep(&Waker::from(Arc::clone(&wakes))));
        for _ in 0..3 {
            bell.ring();
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(bell.take());
        assert!(!bell.take());
    }

    #[test]
    #[should_panic(expected = "two listeners")]
    fn a_second_listener_is_a_bug() {
        let bell = Doorbell::new();
        let _first = bell.listen();
        let _second = bell.listen();
    }

    #[test]
    fn the_place_can_be_taken_again_when_it_was_left() {
        let bell = Doorbell::new();
        drop(bell.listen());
        drop(bell.listen());
    }
}
