//! The word that the broker stops, for all that would wait longer.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Said once, heard by everybody.
#[derive(Debug, Default)]
pub struct Stopping {
    is_said: AtomicBool,
    said: Notify,
}

impl Stopping {
    /// Says it.
    pub fn say(&self) {
        self.is_said.store(true, Ordering::Release);
        self.said.notify_waiters();
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.is_said.load(Ordering::Acquire)
    }

    /// Waits until it is said.
    pub async fn wait(&self) {
        let mut said = std::pin::pin!(self.said.notified());
        // On the list before the look at the flag: what is said in between is heard.
        said.as_mut().enable();
        if !self.is_said() {
            said.await;
        }
    }
}
