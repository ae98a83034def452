//! Deadlines by key, in virtual or real milliseconds: the caller says what time it is.

use std::collections::{BTreeMap, BTreeSet};

/// A set of deadlines, at most one for each key.
#[derive(Debug)]
pub struct Timers<K> {
    by_deadline: BTreeSet<(i64, K)>,
    by_key: BTreeMap<K, i64>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_deadline: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets the deadline of `key`, replacing an earlier one.
    pub fn schedule(&mut self, key: K, deadline_ms: i64) {
        self.cancel(&key);
        self.by_deadline.insert((deadline_ms, key.clone()));
        self.by_key.insert(key, deadline_ms);
    }

    /// Sets the deadline of `key` unless it has one.
    pub fn schedule_if_absent(&mut self, key: K, deadline_ms: i64) {
        if !self.by_key.contains_key(&key) {
            self.schedule(key, deadline_ms);
        }
    }

    /// Forgets the deadline of `key`, if it has one.
    pub fn cancel(&mut self, key: &K) {
        if let Some((key, deadline_ms)) = self.by_key.remove_entry(key) {
            self.by_deadline.remove(&(deadline_ms, key));
        }
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.by_deadline.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// Takes out one key whose deadline has come, the earliest first.
    pub fn pop_due(&mut self, now_ms: i64) -> Option<K> {
        if self.next_deadline_ms()? > now_ms {
            return None;
        }
        let (_, key) = self.by_deadline.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_deadline_and_the_earliest_comes_first() {
        let mut timers = Timers::default();
        timers.schedule("late", 30);
        timers.schedule("early", 10);
        timers.schedule("late", 5);
        timers.schedule_if_absent("early", 1);
        timers.schedule("never", 7);
        timers.cancel(&"never");
        assert_eq!(timers.next_deadline_ms(), Some(5));
        assert_eq!(timers.pop_due(4), None);
        assert_eq!(timers.pop_due(10), Some("late"));
        assert_eq!(timers.pop_due(10), Some("early"));
        assert_eq!(timers.pop_due(i64::MAX), None);
    }
}
