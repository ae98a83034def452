//! What the sticky assignors say to the leader in their user data.
//!
//! ```text
//!  sticky:              array of (topic: string, array of partition: i32), generation: i32
//!  cooperative-sticky:  generation: i32
//! ```
//!
//! Both as in Kafka, without a version in front. The first generation of `sticky` had no generation
//! at its end. What cannot be read counts as nothing: a member that says nothing sensible about what
//! it had is a new one.

use crate::topic_partition::TopicPartition;
use afluente_protocol::message::DecodeError;
use afluente_protocol::reader::Reader;
use afluente_protocol::writer::Writer;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The user data of `sticky`.
pub(super) fn encode_owned(owned: &[TopicPartition], generation: Option<i32>) -> Bytes {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in owned {
        by_topic.entry(&partition.topic).or_default().push(partition.partition);
    }
    let mut writer = Writer::new();
    writer.i32(count(by_topic.len()));
    for (topic, partitions) in by_topic {
        writer.string(topic).expect("a topic's name is short");
        writer.i32(count(partitions.len()));
        for partition in partitions {
            writer.i32(partition);
        }
    }
    writer.i32(generation.unwrap_or(-1));
    writer.into_bytes()
}

fn count(count: usize) -> i32 {
    i32::try_from(count).expect("there are not so many partitions")
}

/// What a member of `sticky` had, and the generation if it says that.
pub(super) fn decode_owned(bytes: &Bytes) -> (Vec<TopicPartition>, Option<i32>) {
    let mut reader = Reader::new(bytes.clone());
    let Ok(owned) = read_owned(&mut reader) else { return (Vec::new(), None) };
    (owned, reader.i32().ok().filter(|&generation| generation >= 0))
}

fn read_owned(reader: &mut Reader) -> Result<Vec<TopicPartition>, DecodeError> {
    let mut owned = Vec::new();
    // Each step reads at least one byte, so a count that lies costs no more than the bytes there are.
    for _ in 0..reader.i32()? {
        let topic: Arc<str> = reader.string()?.into();
        for _ in 0..reader.i32()? {
            owned.push(TopicPartition::new(Arc::clone(&topic), reader.i32()?));
        }
    }
    Ok(owned)
}

/// The user data of `cooperative-sticky`.
pub(super) fn encode_generation(generation: Option<i32>) -> Bytes {
    let mut writer = Writer::new();
    writer.i32(generation.unwrap_or(-1));
    writer.into_bytes()
}

/// The generation that a member of `cooperative-sticky` says.
pub(super) fn decode_generation(bytes: &Bytes) -> Option<i32> {
    Reader::new(bytes.clone()).i32().ok().filter(|&generation| generation >= 0)
}
