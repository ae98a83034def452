//! The broker's topics as the coordinator wants to see them.

use crate::topics::Topics;
use afluente_coordinator::topics::{TopicShape, Topics as CoordinatorTopics};
use afluente_protocol::uuid::Uuid;

/// A view of the topics, always the present ones.
pub(crate) struct TopicsView<'a>(pub(crate) &'a Topics);

impl CoordinatorTopics for TopicsView<'_> {
    fn topic(&self, name: &str) -> Option<TopicShape> {
        let topic = self.0.by_name(name)?;
        let partition_count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        Some(TopicShape { id: topic.id, partition_count })
    }

    fn name(&self, id: Uuid) -> Option<String> {
        Some(self.0.by_id(&id)?.name.to_string())
    }

    fn names(&self) -> Vec<String> {
        self.0.all().iter().map(|topic| topic.name.to_string()).collect()
    }

    fn version(&self) -> u64 {
        self.0.version()
    }
}
