//! The topics of this broker and their partitions: what handlers look things up in.
//!
//! It follows the metadata log and decides nothing. A topic never changes: one that grows is
//! replaced.

use crate::partition::Partition;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::uuid::Uuid;
use afluente_storage::TopicPartition;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// A topic and the partitions of it that this broker leads.
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id, which another topic of the same name does not have.
    pub id: Uuid,
    /// By index.
    pub partitions: Box<[Arc<Partition>]>,
}

/// All topics.
#[derive(Default)]
pub struct Topics {
    maps: RwLock<Maps>,
    /// The metadata log: nobody finds it by name, but it is told of its commits like the others.
    metadata: OnceLock<Arc<Partition>>,
}

#[derive(Default)]
struct Maps {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: BTreeMap<Uuid, Arc<Topic>>,
    /// How often a topic has come, changed or gone.
    version: u64,
}

/// Topics that belong to the broker: clients may read them and not write to them.
pub const INTERNAL_TOPICS: [&str; 3] =
    ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Whether a topic belongs to the broker.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}

impl Topic {
    /// One of its partitions.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }
}

impl Topics {
    /// The topic of a name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<Arc<Topic>> {
        self.maps.read().by_name.get(name).cloned()
    }

    /// The topic of an id.
    #[must_use]
    pub fn by_id(&self, id: &Uuid) -> Option<Arc<Topic>> {
        self.maps.read().by_id.get(id).cloned()
    }

    /// The topic that a request means: by its id where there is one, else by its name.
    ///
    /// # Errors
    /// There is no such topic.
    pub fn resolve(&self, name: &str, id: &Uuid) -> Result<Arc<Topic>, ErrorCode> {
        if id.is_zero() {
            self.by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition)
        } else {
            self.by_id(id).ok_or(ErrorCode::UnknownTopicId)
        }
    }

    /// A partition by name and index.
    #[must_use]
    pub fn partition(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        self.maps.read().by_name.get(topic)?.partition(index).cloned()
    }

    /// Sets the partition that is the metadata log.
    pub(crate) fn set_metadata(&self, partition: Arc<Partition>) {
        // A second one would be a second metadata log: there is one for each `Topics`.
        let _ = self.metadata.set(partition);
    }

    /// The partition of a log, the metadata log included.
    #[must_use]
    pub fn of_log(&self, of: &TopicPartition) -> Option<Arc<Partition>> {
        if &*of.topic == crate::metadata::TOPIC {
            return self.metadata.get().cloned();
        }
        self.partition(&of.topic, of.partition)
    }

    /// All topics, in the order of their names.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Topic>> {
        self.maps.read().by_name.values().cloned().collect()
    }

    /// A number that is another one whenever a topic has come, changed or gone.
    pub(crate) fn version(&self) -> u64 {
        self.maps.read().version
    }

    /// How many topics and partitions there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let maps = self.maps.read();
        (maps.by_name.len(), maps.by_name.values().map(|topic| topic.partitions.len()).sum())
    }

    /// Adds a topic, or replaces it by its grown self.
    pub fn put(&self, topic: Topic) {
        let topic = Arc::new(topic);
        let mut maps = self.maps.write();
        maps.version += 1;
        if let Some(old) = maps.by_name.insert(Arc::clone(&topic.name), Arc::clone(&topic))
            && old.id != topic.id
        {
            maps.by_id.remove(&old.id);
        }
        maps.by_id.insert(topic.id, topic);
    }

    /// Removes a topic; those who wait for it are released.
    pub fn remove(&self, id: &Uuid) -> Option<Arc<Topic>> {
        let removed = {
            let mut maps = self.maps.write();
            let topic = maps.by_id.remove(id)?;
            maps.by_name.remove(&topic.name);
            maps.version += 1;
            topic
        };
        for partition in &removed.partitions {
            partition.waiting().failed();
        }
        Some(removed)
    }
}
