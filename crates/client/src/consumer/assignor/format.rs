//! What members say to the leader of a classic group, and what it says to them, as bytes.
//!
//! Both begin with a version of 16 bits, and go on as `ConsumerProtocolSubscription` or
//! `ConsumerProtocolAssignment` of that version. A newer version than is known is read as the newest
//! that is: fields are only ever added at the end.

use crate::topic_partition::TopicPartition;
use afluente_protocol::message::{DecodeError, DecodeProblem, Message};
use afluente_protocol::messages::embedded::consumer_protocol_assignment::{
    self as assignment_message, ConsumerProtocolAssignment,
};
use afluente_protocol::messages::embedded::consumer_protocol_subscription::{
    self as subscription_message, ConsumerProtocolSubscription,
};
use afluente_protocol::reader::Reader;
use afluente_protocol::writer::Writer;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a member wants, and what it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Topics that it wants to read.
    pub topics: Vec<String>,
    /// What its assignor says to the leader.
    pub user_data: Option<Bytes>,
    /// What it reads (KIP-429).
    pub owned_partitions: Vec<TopicPartition>,
    /// The generation in which it got these (KIP-792); `None` if it was in none.
    pub generation_id: Option<i32>,
    /// Where it runs (KIP-881).
    pub rack_id: Option<String>,
    /// Its `group.instance.id`; not part of the format, the coordinator says it.
    pub instance_id: Option<String>,
}

/// What a member gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Partitions to read.
    pub partitions: Vec<TopicPartition>,
    /// What the assignor of the leader says to that of the member.
    pub user_data: Option<Bytes>,
}

/// The version that is written, of both: the newest, as Java's consumer does.
const VERSION: i16 = 3;

impl Subscription {
    /// The bytes to send to the coordinator.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let topics: BTreeSet<&String> = self.topics.iter().collect();
        let message = ConsumerProtocolSubscription {
            topics: topics.into_iter().cloned().collect(),
            user_data: self.user_data.clone(),
            owned_partitions: by_topic(&self.owned_partitions)
                .into_iter()
                .map(|(topic, partitions)| subscription_message::TopicPartition {
                    topic,
                    partitions,
                })
                .collect(),
            generation_id: self.generation_id.unwrap_or(-1),
            rack_id: self.rack_id.clone(),
        };
        encode(&message)
    }

    /// Reads what a member sent. No bytes at all are a subscription to nothing.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let Some(message) = decode::<ConsumerProtocolSubscription>(bytes)? else {
            return Ok(Self::default());
        };
        let owned = message.owned_partitions.into_iter().map(|t| (t.topic, t.partitions));
        Ok(Self {
            topics: message.topics,
            user_data: message.user_data,
            owned_partitions: flat(owned),
            generation_id: Some(message.generation_id).filter(|&generation| generation >= 0),
            rack_id: message.rack_id.filter(|rack| !rack.is_empty()),
            instance_id: None,
        })
    }
}

impl Assignment {
    /// The bytes to send to the coordinator.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let message = ConsumerProtocolAssignment {
            assigned_partitions: by_topic(&self.partitions)
                .into_iter()
                .map(|(topic, partitions)| assignment_message::TopicPartition { topic, partitions })
                .collect(),
            user_data: self.user_data.clone(),
        };
        encode(&message)
    }

    /// Reads what the leader sent. No bytes at all are an assignment of nothing.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let Some(message) = decode::<ConsumerProtocolAssignment>(bytes)? else {
            return Ok(Self::default());
        };
        let assigned = message.assigned_partitions.into_iter().map(|t| (t.topic, t.partitions));
        Ok(Self { partitions: flat(assigned), user_data: message.user_data })
    }
}

fn encode<M: Message>(message: &M) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(VERSION);
    message.encode(&mut writer, VERSION).expect("topic names are far shorter than the wire allows");
    writer.into_bytes()
}

fn decode<M: Message>(bytes: Bytes) -> Result<Option<M>, DecodeError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    if version < 0 {
        let problem = DecodeProblem::UnsupportedVersion { version, supported: M::VERSIONS };
        return Err(reader.error(problem));
    }
    M::decode(&mut reader, version.min(VERSION)).map(Some)
}

/// Partitions in the order of their topics; those of one topic in the order that they were in.
fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<String, Vec<i32>> {
    let mut grouped: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        grouped.entry(partition.topic.to_string()).or_default().push(partition.partition);
    }
    grouped
}

fn flat(topics: impl Iterator<Item = (String, Vec<i32>)>) -> Vec<TopicPartition> {
    let mut all = Vec::new();
    for (topic, partitions) in topics {
        let topic: Arc<str> = topic.into();
        all.extend(partitions.into_iter().map(|p| TopicPartition::new(Arc::clone(&topic), p)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> Subscription {
        Subscription {
            topics: vec!["a".into(), "b".into()],
            user_data: Some(Bytes::from_static(b"data")),
            owned_partitions: vec![("a", 0).into(), ("a", 2).into(), ("b", 1).into()],
            generation_id: Some(7),
            rack_id: Some("r1".into()),
            instance_id: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let sent = subscription();
        assert_eq!(Subscription::decode(sent.encode()).unwrap(), sent);
        let sent = Assignment { partitions: sent.owned_partitions, user_data: sent.user_data };
        assert_eq!(Assignment::decode(sent.encode()).unwrap(), sent);
    }

    #[test]
    fn older_versions_lack_what_came_later_and_newer_ones_are_read_as_far_as_known() {
        let bytes = subscription().encode();
        let read_as = |version: u8, bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[1] = version;
            Subscription::decode(bytes.into())
        };
        let v0 = read_as(0, &bytes).unwrap();
        assert_eq!((v0.owned_partitions.len(), v0.generation_id), (0, None));
        let v1 = read_as(1, &bytes).unwrap();
        assert_eq!((v1.owned_partitions.len(), v1.generation_id), (3, None));
        let v2 = read_as(2, &bytes).unwrap();
        assert_eq!((v2.generation_id, v2.rack_id), (Some(7), None));
        let longer = [&bytes[..], b"something new"].concat();
        assert_eq!(read_as(4, &longer).unwrap(), subscription());
    }

    #[test]
    fn cut_short_is_an_error_and_nothing_is_nothing() {
        let bytes = subscription().encode();
        for length in 1..bytes.len() {
            assert!(Subscription::decode(bytes.slice(..length)).is_err(), "{length}");
        }
        assert_eq!(Subscription::decode(Bytes::new()).unwrap(), Subscription::default());
        assert!(Subscription::decode(Bytes::from_static(&[0xff, 0xff])).is_err());
    }
}
