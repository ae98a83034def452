//! A fetch session with one broker (KIP-227): after a first full request, only what has changed.

use super::state::Position;
use crate::topic_partition::TopicPartition;
use afluente_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use afluente_protocol::uuid::Uuid;
use std::collections::BTreeMap;

/// A partition to fetch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) partition: TopicPartition,
    /// Zero if it is not known.
    pub(super) topic_id: Uuid,
    /// Of the partition's state; see there.
    pub(super) version: u64,
    pub(super) from: Position,
    /// Of the leader that the position was checked against.
    pub(super) leader_epoch: i32,
    pub(super) bytes_max: i32,
}

/// A broker tells partitions of the same name and number apart by the id of the topic.
type Key = (Uuid, TopicPartition);

/// What the broker knows of this consumer.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    /// 0 before a full request.
    epoch: i32,
    known: BTreeMap<Key, Sent>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Sent {
    offset: i64,
    leader_epoch: i32,
    bytes_max: i32,
}

/// The part of a request that a session is about.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Ask {
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    pub(super) topics: Vec<FetchTopic>,
    pub(super) forgotten: Vec<ForgottenTopic>,
}

impl Session {
    /// What to send to fetch all of `wanted` and nothing else.
    pub(super) fn ask(&mut self, wanted: &[Wanted]) -> Ask {
        let now: BTreeMap<Key, Sent> = wanted
            .iter()
            .map(|wanted| {
                let sent = Sent {
                    offset: wanted.from.offset.0,
                    leader_epoch: wanted.leader_epoch,
                    bytes_max: wanted.bytes_max,
                };
                ((wanted.topic_id, wanted.partition.clone()), sent)
            })
            .collect();
        let mut ask = Ask { session_id: self.id, session_epoch: self.epoch, ..Ask::default() };
        let is_full = self.epoch == 0;
        for (key, sent) in &now {
            if is_full || self.known.get(key) != Some(sent) {
                push_wanted(&mut ask.topics, key, sent);
            }
        }
        if !is_full {
            for key in self.known.keys().filter(|key| !now.contains_key(key)) {
                push_forgotten(&mut ask.forgotten, key);
            }
        }
        self.known = now;
        ask
    }

    /// After an answer without error.
    pub(super) fn answered(&mut self, session_id: i32) {
        if session_id == 0 {
            // The broker has no room for sessions: every request is a full one.
            *self = Self::default();
        } else {
            self.id = session_id;
            self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        }
    }

    /// After anything else: what the broker knows is not certain, so that the next request is full.
    /// It names the session, which then ends.
    pub(super) fn failed(&mut self, is_unknown_to_broker: bool) {
        let id = if is_unknown_to_broker { 0 } else { self.id };
        *self = Self { id, ..Self::default() };
    }
}

fn push_wanted(topics: &mut Vec<FetchTopic>, (id, partition): &Key, sent: &Sent) {
    let fetch = FetchPartition {
        partition: partition.partition,
        current_leader_epoch: sent.leader_epoch,
        fetch_offset: sent.offset,
        partition_max_bytes: sent.bytes_max,
        ..FetchPartition::default()
    };
    match topics.last_mut() {
        Some(last) if last.topic_id == *id && last.topic == *partition.topic => {
            last.partitions.push(fetch);
        }
        _ => topics.push(FetchTopic {
            topic: partition.topic.to_string(),
            topic_id: *id,
            partitions: vec![fetch],
        }),
    }
}

fn push_forgotten(topics: &mut Vec<ForgottenTopic>, (id, partition): &Key) {
    match topics.last_mut() {
        Some(last) if last.topic_id == *id && last.topic == *partition.topic => {
            last.partitions.push(partition.partition);
        }
        _ => topics.push(ForgottenTopic {
            topic: partition.topic.to_string(),
            topic_id: *id,
            partitions: vec![partition.partition],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(topic: &str, partition: i32, offset: i64) -> Wanted {
        Wanted {
            partition: (topic, partition).into(),
            topic_id: Uuid::ONE,
            version: 1,
            from: Position::at(offset),
            leader_epoch: 3,
            bytes_max: 10,
        }
    }

    /// `id/epoch +topic-partition@offset … -topic-partition …`
    fn show(ask: &Ask) -> String {
        let mut shown = format!("{}/{}", ask.session_id, ask.session_epoch);
        for topic in &ask.topics {
            for p in &topic.partitions {
                shown += &format!(" +{}-{}@{}", topic.topic, p.partition, p.fetch_offset);
            }
        }
        for topic in &ask.forgotten {
            for partition in &topic.partitions {
                shown += &format!(" -{}-{partition}", topic.topic);
            }
        }
        shown
    }

    #[test]
    fn only_changes_are_sent_within_a_session() {
        let mut session = Session::default();
        let (a0, a1, b0) = (wanted("a", 0, 5), wanted("a", 1, 6), wanted("b", 0, 7));
        let ask = session.ask(&[a0.clone(), a1.clone(), b0.clone()]);
        assert_eq!(show(&ask), "0/0 +a-0@5 +a-1@6 +b-0@7");
        assert_eq!(ask.topics.len(), 2, "partitions of a topic go together");
        session.answered(42);
        let further = wanted("a", 0, 9);
        assert_eq!(show(&session.ask(&[further.clone(), b0.clone()])), "42/1 +a-0@9 -a-1");
        session.answered(42);
        assert_eq!(show(&session.ask(&[further.clone(), b0.clone()])), "42/2");
        // The answer is lost: the next request is full, and ends the session of the broker.
        session.failed(false);
        assert_eq!(show(&session.ask(&[further.clone(), b0.clone()])), "42/0 +a-0@9 +b-0@7");
        session.failed(true);
        assert_eq!(show(&session.ask(&[further])), "0/0 +a-0@9");
        session.answered(0);
        assert_eq!(show(&session.ask(&[b0])), "0/0 +b-0@7", "no session, no memory");
    }
}
