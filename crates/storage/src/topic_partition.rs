//! The name of a log.

use std::fmt;
use std::sync::Arc;

/// A partition of a topic, which is also the name of its log and of that log's directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name. Shared, as a topic has many partitions.
    pub topic: Arc<str>,
    /// The partition's index in the topic.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition by name and index.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// Whether topic and partition can name a directory, by Kafka's rules for topic names.
    pub(crate) fn is_legal(&self) -> bool {
        const TOPIC_BYTES_MAX: usize = 249;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        (1..=TOPIC_BYTES_MAX).contains(&self.topic.len())
            && self.topic.chars().all(legal)
            && !matches!(&*self.topic, "." | "..")
            && self.partition >= 0
    }
}

/// As Kafka writes it, and as the directory is called: `orders-0`.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
