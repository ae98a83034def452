//! The bounds on memory for requests that are being received and handled, and for answers that
//! clients do not take.
//!
//! The first [`FREE_BYTES`] of a request cost nothing, so that heartbeats and metadata pass while
//! bulk waits, and so that a client that announces much and sends little holds nothing. Beyond
//! them a request reserves its whole size before more of it is read; requests wait in the order in
//! which they asked.
//!
//! An answer to a fetch holds on to the log's memory until the client has taken it. As more of it
//! waits for slow clients, fetches are answered with less, down to one batch: they never wait for
//! each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much of each request is read before it must reserve memory.
pub const FREE_BYTES: usize = 64 << 10;

/// The unit of account: a semaphore counts 32 bits.
const UNIT_BYTES: usize = 1 << 10;

/// Memory for requests, shared by all connections.
#[derive(Debug)]
pub struct RequestMemory {
    units: Arc<Semaphore>,
    units_total: usize,
    waiting: AtomicUsize,
    unsent_bytes: AtomicUsize,
    unsent_bytes_max: usize,
}

/// Memory that a request holds until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    _permit: OwnedSemaphorePermit,
}

impl RequestMemory {
    /// A pool of `bytes`, which is at least the size of the largest request.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let units_total = bytes.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self {
            units: Arc::new(Semaphore::new(units_total)),
            units_total,
            waiting: AtomicUsize::new(0),
            unsent_bytes: AtomicUsize::new(0),
            unsent_bytes_max: bytes,
        }
    }

    /// Waits until `bytes` are free, and takes them. More than the whole pool counts as all of it.
    pub async fn reserve(self: Arc<Self>, bytes: usize) -> Reservation {
        let units = bytes.div_ceil(UNIT_BYTES).min(self.units_total);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        if let Ok(permit) = Arc::clone(&self.units).try_acquire_many_owned(units) {
            return Reservation { _permit: permit };
        }
        let waiting = Waiting::enter(&self.waiting);
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await;
        drop(waiting);
        Reservation { _permit: permit.expect("the semaphore is never closed") }
    }

    /// How many requests wait for memory.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many bytes an answer may have, for now.
    #[must_use]
    pub fn answer_bytes_max(&self) -> usize {
        self.unsent_bytes_max.saturating_sub(self.unsent_bytes())
    }

    /// Bytes of answers that wait for their clients.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.unsent_bytes.load(Ordering::Relaxed)
    }

    /// Notes bytes of an answer that wait now.
    pub(crate) fn add_unsent(&self, bytes: usize) {
        self.unsent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes bytes of answers that a client has taken, or never will.
    pub(crate) fn remove_unsent(&self, bytes: usize) {
        self.unsent_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that are reserved.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        (self.units_total - self.units.available_permits()) * UNIT_BYTES
    }
}

/// Counts somebody who waits, also when the waiting is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn requests_wait_for_each_other_and_a_dropped_one_frees_its_share() {
        let memory = Arc::new(RequestMemory::new(100 << 10));
        let mut first = pin!(Arc::clone(&memory).reserve(70 << 10));
        let Poll::Ready(first) = poll(first.as_mut()) else { panic!("the pool is free") };
        assert_eq!(memory.used_bytes(), 70 << 10);
        let mut second = Box::pin(Arc::clone(&memory).reserve(40 << 10));
        assert!(poll(second.as_mut()).is_pending());
        assert_eq!(memory.waiting(), 1);
        drop(first);
        assert!(poll(second.as_mut()).is_ready());
        assert_eq!(memory.waiting(), 0);
    }

    #[test]
    fn a_request_as_large_as_the_pool_or_larger_gets_all_of_it() {
        let memory = Arc::new(RequestMemory::new(10 << 10));
        let mut reservation = pin!(Arc::clone(&memory).reserve(usize::MAX));
        assert!(poll(reservation.as_mut()).is_ready());
    }
}
