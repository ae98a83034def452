//! What classic consumers tell each other through the coordinator: subscriptions and assignments.
//!
//! Each begins with its version. A version that is newer than ours begins like our newest one.

use super::consumer::Assignment;
use crate::topics::Topics;
use afluente_protocol::message::Message;
use afluente_protocol::messages::embedded::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition,
};
use afluente_protocol::messages::embedded::consumer_protocol_subscription::ConsumerProtocolSubscription;
use afluente_protocol::reader::Reader;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The newest version of both.
const NEWEST: i16 = 3;

/// Topics of a subscription. Every version begins like version 0, which is all that is needed.
pub(super) fn subscribed_topics(mut metadata: Bytes) -> Option<Vec<String>> {
    metadata.try_get_i16().ok()?;
    let subscription = ConsumerProtocolSubscription::decode(&mut Reader::new(metadata), 0).ok()?;
    Some(subscription.topics)
}

/// A subscription with its version, if it is one.
pub(super) fn subscription(mut metadata: Bytes) -> Option<(i16, ConsumerProtocolSubscription)> {
    let version = metadata.try_get_i16().ok()?;
    let known = version.clamp(0, NEWEST);
    let subscription = ConsumerProtocolSubscription::decode(&mut Reader::new(metadata), known);
    Some((version, subscription.ok()?))
}

/// Partitions that a member says it reads; topics that are gone are left out.
pub(super) fn owned_partitions(
    subscription: &ConsumerProtocolSubscription,
    topics: &dyn Topics,
) -> Assignment {
    let owned = subscription.owned_partitions.iter();
    by_id(owned.map(|t| (t.topic.as_str(), t.partitions.as_slice())), topics)
}

/// An assignment, with what the assignor added for its own use; empty for a member that has none.
pub(super) fn assignment(mut bytes: Bytes, topics: &dyn Topics) -> Option<(Assignment, Bytes)> {
    if bytes.is_empty() {
        return Some((Assignment::new(), Bytes::new()));
    }
    bytes.try_get_i16().ok()?;
    let message = ConsumerProtocolAssignment::decode(&mut Reader::new(bytes), 0).ok()?;
    let assigned = message.assigned_partitions.iter();
    let assigned = by_id(assigned.map(|t| (t.topic.as_str(), t.partitions.as_slice())), topics);
    Some((assigned, message.user_data.unwrap_or_default()))
}

/// An assignment as a member reads it whose subscription had that version.
pub(super) fn encoded_assignment(
    assignment: &Assignment,
    version: i16,
    topics: &dyn Topics,
) -> Bytes {
    let version = version.clamp(0, NEWEST);
    let assigned = assignment.iter().filter_map(|(id, partitions)| {
        let partitions = partitions.iter().copied().collect();
        Some(TopicPartition { topic: topics.name(*id)?, partitions })
    });
    let message =
        ConsumerProtocolAssignment { assigned_partitions: assigned.collect(), user_data: None };
    let body = message.to_bytes(version).expect("topic names and partitions fit into a message");
    let mut bytes = BytesMut::with_capacity(2 + body.len());
    bytes.put_i16(version);
    bytes.put(body);
    bytes.freeze()
}

fn by_id<'a>(
    partitions: impl Iterator<Item = (&'a str, &'a [i32])>,
    topics: &dyn Topics,
) -> Assignment {
    let mut assignment = Assignment::new();
    for (name, partitions) in partitions {
        if let Some(topic) = topics.topic(name).filter(|_| !partitions.is_empty()) {
            assignment.entry(topic.id).or_default().extend(partitions);
        }
    }
    assignment
}
