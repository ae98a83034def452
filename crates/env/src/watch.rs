//! A value that some change and others wait for, as tokio's `watch`, but that waiters are woken in
//! the order in which they subscribed. Tokio wakes them in a random one, which no seed repeats.

use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The side that changes the value. When it is dropped, waiting ends with [`Closed`].
pub struct Sender<T>(Arc<Shared<T>>);

/// A side that waits for changes. A clone has seen what this one has.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
    id: u64,
}

/// A look at the value, which cannot change as long as this lives: it must be short.
#[derive(Debug)]
pub struct Ref<'a, T>(MappedRwLockReadGuard<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The sender is gone: there will be no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sender is gone")]
pub struct Closed;

struct Shared<T> {
    value: RwLock<Versioned<T>>,
    waiting: Mutex<Waiting>,
}

struct Versioned<T> {
    value: T,
    version: u64,
    is_closed: bool,
}

#[derive(Default)]
struct Waiting {
    /// By the number of the receiver.
    wakers: BTreeMap<u64, Waker>,
    receivers: u64,
}

/// Both sides, where the receiver has seen the first value.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Sender<T> {
    /// A value without receivers.
    #[must_use]
    pub fn new(value: T) -> Self {
        let value = RwLock::new(Versioned { value, version: 0, is_closed: false });
        Self(Arc::new(Shared { value, waiting: Mutex::default() }))
    }

    /// A receiver that has seen the present value.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = self.0.value.read().version;
        Receiver { id: self.0.new_id(), shared: Arc::clone(&self.0), seen }
    }

    /// The value.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.0.borrow()
    }

    /// Puts another value in the place of this one, and gives the old one.
    pub fn send_replace(&self, value: T) -> T {
        let mut old = value;
        self.send_modify(|value| std::mem::swap(value, &mut old));
        old
    }

    /// Changes the value.
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            change(value);
            true
        });
    }

    /// Changes the value, and wakes nobody if `change` says that it did not. Gives what it says.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        {
            let mut versioned = self.0.value.write();
            if !change(&mut versioned.value) {
                return false;
            }
            versioned.version += 1;
        }
        self.0.wake();
        true
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.value.write().is_closed = true;
        self.0.wake();
    }
}

impl<T> Receiver<T> {
    /// The value.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.borrow()
    }

    /// The value, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let guard = self.shared.value.read();
        self.seen = guard.version;
        Ref(RwLockReadGuard::map(guard, |versioned| &versioned.value))
    }

    /// Whether there is a value that was not seen.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn has_changed(&self) -> Result<bool, Closed> {
        let versioned = self.shared.value.read();
        if versioned.is_closed { Err(Closed) } else { Ok(versioned.version != self.seen) }
    }

    /// Waits for a value that was not seen, which counts as seen then.
    ///
    /// # Errors
    /// [`Closed`], when all was seen.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        poll_fn(|context| self.poll_changed(context)).await
    }

    /// Waits until `is_wanted` holds of the value.
    ///
    /// # Errors
    /// [`Closed`], when it does not hold of the last one.
    pub async fn wait_for(&mut self, is_wanted: impl Fn(&T) -> bool) -> Result<(), Closed> {
        loop {
            if is_wanted(&self.borrow_and_update()) {
                return Ok(());
            }
            self.changed().await?;
        }
    }

    fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        // Before the look: a change that comes behind it finds the waker.
        self.shared.waiting.lock().wakers.insert(self.id, context.waker().clone());
        let versioned = self.shared.value.read();
        let ready = if versioned.version != self.seen {
            self.seen = versioned.version;
            Ok(())
        } else if versioned.is_closed {
            Err(Closed)
        } else {
            return Poll::Pending;
        };
        drop(versioned);
        self.shared.waiting.lock().wakers.remove(&self.id);
        Poll::Ready(ready)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), seen: self.seen, id: self.shared.new_id() }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.waiting.lock().wakers.remove(&self.id);
    }
}

impl<T> Shared<T> {
    fn new_id(&self) -> u64 {
        let mut waiting = self.waiting.lock();
        waiting.receivers += 1;
        waiting.receivers
    }

    fn borrow(&self) -> Ref<'_, T> {
        Ref(RwLockReadGuard::map(self.value.read(), |versioned| &versioned.value))
    }

    fn wake(&self) {
        let wakers = std::mem::take(&mut self.waiting.lock().wakers);
        for waker in wakers.into_values() {
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watch::Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watch::Receiver({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::tasks::Tasks;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    #[test]
    fn a_change_is_seen_once_by_each_receiver_and_the_end_by_all() {
        run(async {
            let (sender, mut one) = channel(0);
            let mut two = one.clone();
            assert!(!one.has_changed().unwrap());
            assert_eq!(sender.send_replace(1), 0);
            assert!(one.has_changed().unwrap() && two.has_changed().unwrap());
            one.changed().await.unwrap();
            assert!(!one.has_changed().unwrap());
            assert_eq!(*two.borrow_and_update(), 1);
            assert!(!sender.send_if_modified(|_| false));
            assert!(!two.has_changed().unwrap());
            sender.send_modify(|value| *value += 1);
            drop(sender);
            // What came before the end is still seen.
            one.changed().await.unwrap();
            assert_eq!(one.changed().await, Err(Closed));
            assert_eq!(two.wait_for(|value| *value == 2).await, Ok(()));
            assert_eq!(two.wait_for(|value| *value == 3).await, Err(Closed));
        });
    }

    #[test]
    fn receivers_are_woken_in_the_order_in_which_they_subscribed() {
        run(async {
            let sender = Sender::new(());
            let order = Arc::<Mutex<Vec<u32>>>::default();
            let waiting: Vec<_> = (0..50)
                .map(|number| {
                    let (mut receiver, order) = (sender.subscribe(), Arc::clone(&order));
                    Tasks::here().spawn(async move {
                        receiver.changed().await.unwrap();
                        order.lock().push(number);
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            sender.send_replace(());
            for task in waiting {
                task.await.unwrap();
            }
            assert_eq!(*order.lock(), (0..50).collect::<Vec<_>>());
        });
    }
}
