//! The only place that waits: for records to become durable, for records to arrive.
//!
//! A partition has a [`WaitList`]. Whoever makes it advance (the journal thread, or an append that
//! is durable at once) calls [`WaitList::advanced`], which releases those whose turn has come and
//! never blocks.
//!
//! No wake-up is lost. The end that is durable moves first; then `advanced` takes the list's lock.
//! Whoever wants to wait looks at the end under the same lock: either it sees the new end, or its
//! entry is there when `advanced` looks.

use afluente_protocol::numbers::Offset;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

/// Waits until all that a request appended is durable, in any number of partitions.
#[derive(Debug, Default)]
pub struct AckWait {
    remaining: AtomicUsize,
    has_failed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// How a wait for durability ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckOutcome {
    /// Everything is durable.
    Durable,
    /// A log directory failed: what was appended may be lost.
    Failed,
}

impl AckWait {
    /// A wait for nothing yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether there is nothing to wait for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.remaining.load(Ordering::Acquire) == 0
    }

    /// Whether all partitions have answered.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<AckOutcome> {
        if !self.is_over() {
            // The slot is filled before the second look: a release in between finds the waker.
            let mut slot = self.waker.lock();
            match &mut *slot {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *slot = Some(cx.waker().clone()),
            }
            drop(slot);
            if !self.is_over() {
                return Poll::Pending;
            }
        }
        let has_failed = self.has_failed.load(Ordering::Acquire);
        Poll::Ready(if has_failed { AckOutcome::Failed } else { AckOutcome::Durable })
    }

    /// Waits for all partitions.
    pub async fn finished(&self) -> AckOutcome {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn release(&self, outcome: AckOutcome) {
        if outcome == AckOutcome::Failed {
            self.has_failed.store(true, Ordering::Release);
        }
        if self.remaining.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(waker) = self.waker.lock().take()
        {
            waker.wake();
        }
    }
}

/// Those who wait for one partition.
#[derive(Debug, Default)]
pub struct WaitList {
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    /// In the order of their offsets, but for what several appends at once turn around.
    acks: VecDeque<(Offset, Arc<AckWait>)>,
    /// Fetches that look again when anything arrives.
    fetches: Vec<Arc<Notify>>,
}

impl WaitList {
    /// Makes `wait` wait until `end` is durable, unless `durable_end` says that it already is.
    pub fn wait_for_durable(
        &self,
        end: Offset,
        durable_end: impl FnOnce() -> Offset,
        wait: &Arc<AckWait>,
    ) {
        let mut lists = self.lists.lock();
        if durable_end() >= end {
            return;
        }
        wait.remaining.fetch_add(1, Ordering::AcqRel);
        let after = lists.acks.iter().rposition(|(other, _)| *other <= end);
        lists.acks.insert(after.map_or(0, |at| at + 1), (end, Arc::clone(wait)));
    }

    /// Makes the next advance notify a fetch. It is the fetch that takes itself off the list, with
    /// [`WaitList::forget_fetch`], when it was answered otherwise.
    pub fn notify_of_arrival(&self, fetch: &Arc<Notify>) {
        self.lists.lock().fetches.push(Arc::clone(fetch));
    }

    /// Takes a fetch off the list.
    pub fn forget_fetch(&self, fetch: &Arc<Notify>) {
        let mut lists = self.lists.lock();
        if let Some(at) = lists.fetches.iter().position(|other| Arc::ptr_eq(other, fetch)) {
            lists.fetches.swap_remove(at);
        }
        // An idle partition costs nothing.
        if lists.fetches.is_empty() {
            lists.fetches = Vec::new();
        }
    }

    /// Releases those who waited for what is durable now.
    pub fn advanced(&self, durable_end: Offset) {
        let mut lists = self.lists.lock();
        while let Some((end, _)) = lists.acks.front()
            && *end <= durable_end
            && let Some((_, wait)) = lists.acks.pop_front()
        {
            wait.release(AckOutcome::Durable);
        }
        for fetch in lists.fetches.drain(..) {
            fetch.notify_one();
        }
    }

    /// Releases everybody: nothing will become durable here any more.
    pub fn failed(&self) {
        let mut lists = self.lists.lock();
        for (_, wait) in lists.acks.drain(..) {
            wait.release(AckOutcome::Failed);
        }
        for fetch in lists.fetches.drain(..) {
            fetch.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(wait: &AckWait) -> Poll<AckOutcome> {
        wait.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_wait_ends_when_its_last_partition_is_durable() {
        let (first, second) = (WaitList::default(), WaitList::default());
        let wait = AckWait::new();
        assert!(wait.is_over());
        first.wait_for_durable(Offset(5), || Offset(0), &wait);
        second.wait_for_durable(Offset(7), || Offset(0), &wait);
        second.wait_for_durable(Offset(3), || Offset(3), &wait);
        first.advanced(Offset(4));
        assert_eq!(poll(&wait), Poll::Pending);
        first.advanced(Offset(9));
        assert_eq!(poll(&wait), Poll::Pending);
        second.advanced(Offset(7));
        assert_eq!(poll(&wait), Poll::Ready(AckOutcome::Durable));
    }

    #[test]
    fn waits_that_came_out_of_order_are_released_in_order() {
        let list = WaitList::default();
        let (late, early) = (AckWait::new(), AckWait::new());
        list.wait_for_durable(Offset(9), || Offset(0), &late);
        list.wait_for_durable(Offset(5), || Offset(0), &early);
        list.advanced(Offset(5));
        assert_eq!(poll(&early), Poll::Ready(AckOutcome::Durable));
        assert_eq!(poll(&late), Poll::Pending);
    }

    #[test]
    fn a_failure_releases_everybody_and_says_so() {
        let list = WaitList::default();
        let wait = AckWait::new();
        list.wait_for_durable(Offset(9), || Offset(0), &wait);
        list.failed();
        assert_eq!(poll(&wait), Poll::Ready(AckOutcome::Failed));
    }
}
