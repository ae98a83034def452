//! Whole stories of groups, told through the shard's interface.
#![allow(clippy::unwrap_used, reason = "tests")]

mod classic;
mod consumer;
mod migration;
mod offsets;

use super::record::GroupRecord;
use super::{GroupSettings, GroupShard, RequestOrigin};
use crate::effects::{Effects, Reply, Ticket};
use crate::topics::{TopicShape, Topics};
use afluente_protocol::uuid::Uuid;
use std::collections::BTreeMap;

/// A shard with a clock, a topic list and a log that only this test writes.
struct World {
    shard: GroupShard,
    now_ms: i64,
    log: Vec<(Option<i64>, GroupRecord)>,
    replies: BTreeMap<Ticket, Reply>,
    topics: FixedTopics,
    last_id: u64,
}

#[derive(Default)]
struct FixedTopics(BTreeMap<String, TopicShape>);

impl Topics for FixedTopics {
    fn topic(&self, name: &str) -> Option<TopicShape> {
        self.0.get(name).copied()
    }

    fn name(&self, id: Uuid) -> Option<String> {
        self.0.iter().find(|(_, shape)| shape.id == id).map(|(name, _)| name.clone())
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn version(&self) -> u64 {
        self.0.values().map(|topic| 1_000 + u64::try_from(topic.partition_count).unwrap()).sum()
    }
}

impl World {
    fn new() -> Self {
        // Assignments are computed at once, where a test does not say otherwise.
        Self::with(GroupSettings { consumer_assignment_interval_ms: 0, ..Default::default() })
    }

    fn with(settings: GroupSettings) -> Self {
        Self {
            shard: GroupShard::new(settings),
            now_ms: 1_000_000,
            log: Vec::new(),
            replies: BTreeMap::new(),
            topics: FixedTopics::default(),
            last_id: 0,
        }
    }

    fn add_topic(&mut self, name: &str, partition_count: i32) -> Uuid {
        let fresh = Uuid([u8::try_from(self.topics.0.len() + 1).unwrap(); 16]);
        let id = self.topics.topic(name).map_or(fresh, |topic| topic.id);
        self.topics.0.insert(name.to_owned(), TopicShape { id, partition_count });
        id
    }

    fn origin(&mut self, api_version: i16) -> RequestOrigin {
        self.last_id += 1;
        let mut uuid = [0; 16];
        uuid[8..].copy_from_slice(&self.last_id.to_be_bytes());
        RequestOrigin {
            now_ms: self.now_ms,
            api_version,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            fresh_uuid: Uuid(uuid),
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.last_id += 1;
        Ticket(self.last_id)
    }

    fn take(&mut self, effects: Effects) {
        self.take_of(None, effects);
    }

    fn take_of(&mut self, producer_id: Option<i64>, effects: Effects) {
        self.log.extend(effects.records.into_iter().map(|record| (producer_id, record)));
        for (ticket, reply) in effects.replies {
            assert!(self.replies.insert(ticket, reply).is_none(), "{ticket:?} answered twice");
        }
    }

    fn pass(&mut self, ms: i64) {
        let until_ms = self.now_ms + ms;
        while let Some(deadline_ms) = self.shard.next_deadline_ms().filter(|at| *at <= until_ms) {
            self.now_ms = self.now_ms.max(deadline_ms);
            let mut effects = Effects::default();
            self.shard.tick(self.now_ms, &self.topics, &mut effects);
            self.take(effects);
        }
        self.now_ms = until_ms;
    }

    /// The shard as a restart would find it.
    fn replayed(&self) -> GroupShard {
        let mut shard = GroupShard::new(self.shard.settings.clone());
        for (producer_id, record) in &self.log {
            shard.replay(record, *producer_id, self.now_ms);
        }
        shard
    }
}
