//! What the machines give back, and the topics that it goes to.

use serde::Serialize;

/// A record to be produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub topic: &'static str,
    /// What it is about: the same key goes to the same partition.
    pub key: String,
    /// JSON; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

impl Outgoing {
    /// A record with a value.
    pub(crate) fn new<T: Serialize>(topic: &'static str, key: &str, value: &T) -> Self {
        let value = serde_json::to_vec(value).expect("our values can be JSON");
        Self { topic, key: key.to_owned(), value: Some(value) }
    }

    /// A record that says that what the key names is gone.
    pub(crate) fn tombstone(topic: &'static str, key: &str) -> Self {
        Self { topic, key: key.to_owned(), value: None }
    }
}

/// A topic that the demo needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: &'static str,
    /// How many partitions.
    pub partitions: i32,
    /// Keeps the last value of each key, instead of all values for some time.
    pub compacted: bool,
}

impl Topic {
    pub(crate) const fn of(name: &'static str, partitions: i32) -> Self {
        Self { name, partitions, compacted: false }
    }

    pub(crate) const fn compacted(name: &'static str, partitions: i32) -> Self {
        Self { name, partitions, compacted: true }
    }
}

/// Cents as the number that stands in JSON.
pub(crate) fn money(cents: u64) -> f64 {
    // Exact for all sums below 2^53 cents, and printed with two digits at most.
    cents as f64 / 100.0
}
