//! The table of all keys: those of Apache Kafka 4.3.1 and a few of our own, by subject.
//!
//! Names, kinds, defaults and limits are Kafka's. Where a single node could not start or work with
//! Kafka's default (`process.roles`, `node.id`, three replicas of internal topics), the default is
//! the one that works; sockets' buffers are left to the system.

mod groups;
mod log;
mod network;
mod node;
mod remote;
mod replication;
mod security;
mod share;
mod topics;
mod transactions;

use super::key::Key;

/// A subject and its keys.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// What the keys are about, as a heading.
    pub title: &'static str,
    /// In alphabetical order.
    pub keys: &'static [Key],
}

/// All keys, in the order of the documentation.
pub const SUBJECTS: &[Subject] = &[
    Subject { title: "The node", keys: node::KEYS },
    Subject { title: "Network and requests", keys: network::KEYS },
    Subject { title: "Topics", keys: topics::KEYS },
    Subject { title: "The log", keys: log::KEYS },
    Subject { title: "Groups and offsets", keys: groups::KEYS },
    Subject { title: "Transactions and idempotence", keys: transactions::KEYS },
    Subject { title: "Replication and quotas", keys: replication::KEYS },
    Subject { title: "Security", keys: security::KEYS },
    Subject { title: "Share groups", keys: share::KEYS },
    Subject { title: "Tiered storage", keys: remote::KEYS },
];

/// Limits of the traffic between replicas, in bytes a second: only ever set while running, and
/// without effect where there is one replica.
pub const REPLICATION_QUOTAS: [&str; 3] = [
    "follower.replication.throttled.rate",
    "leader.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
];

/// Every key once, by subject.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SUBJECTS.iter().flat_map(|subject| subject.keys)
}

/// The key of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    SUBJECTS.iter().find_map(|subject| {
        let at = subject.keys.binary_search_by(|key| key.name.cmp(name)).ok()?;
        Some(&subject.keys[at])
    })
}

/// The key of this name, or the one that a name like `listener.name.internal.ssl.keystore.type` sets
/// for one listener.
#[must_use]
pub fn of_listener_or_broker(name: &str) -> Option<&'static Key> {
    let of_listener = || find(name.strip_prefix("listener.name.")?.split_once('.')?.1);
    find(name).or_else(of_listener)
}

/// The known key that `name` most likely stands for, if one is near enough to be a slip.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let bound = (name.len() / 4).clamp(1, 4);
    all()
        .map(|key| (distance(name, key.name), key.name))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, name)| name)
}

/// How many single letters must be inserted, removed or replaced to get from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Value;
    use std::collections::BTreeSet;

    #[test]
    fn every_default_is_allowed_and_every_name_is_there_once() {
        let mut names = BTreeSet::new();
        for subject in SUBJECTS {
            assert!(subject.keys.is_sorted_by_key(|key| key.name), "{}", subject.title);
            for key in subject.keys {
                assert!(names.insert(key.name), "{} is there twice", key.name);
                if let Some(text) = key.default {
                    let value = key.parse(text).unwrap_or_else(|why| panic!("{}: {why}", key.name));
                    if !matches!(value, Value::Password(_)) {
                        assert_eq!(value.to_string(), text, "{}", key.name);
                    }
                }
                assert!(key.doc.ends_with('.'), "{}", key.name);
                assert_eq!(find(key.name).map(|found| found.name), Some(key.name));
            }
        }
        assert_eq!(names.len(), 360 + 3, "360 keys of Kafka 4.3.1 and three of our own");
    }

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        assert_eq!(nearest("num.partition"), Some("num.partitions"));
        assert_eq!(nearest("auto.create.topic.enable"), Some("auto.create.topics.enable"));
        assert_eq!(nearest("something.else.altogether"), None);
    }
}
