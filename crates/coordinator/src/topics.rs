//! What the group coordinator needs to know of the cluster's topics.

use afluente_protocol::uuid::Uuid;

/// The topics of the cluster at one moment. Implemented by whoever holds the metadata.
pub trait Topics {
    /// Id and number of partitions of a topic.
    fn topic(&self, name: &str) -> Option<TopicShape>;
    /// The name of a topic.
    fn name(&self, id: Uuid) -> Option<String>;
    /// All names, in order.
    fn names(&self) -> Vec<String>;
    /// Another number whenever topics have come, gone or grown: the rest of this trait may say
    /// something new then.
    fn version(&self) -> u64;
}

/// Id and size of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicShape {
    /// The topic's id.
    pub id: Uuid,
    /// Partitions are numbered from 0 to this, exclusive.
    pub partition_count: i32,
}
