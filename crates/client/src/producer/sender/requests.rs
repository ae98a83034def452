//! Batches into requests, one request for each broker that may get one.

use super::super::config::Acks;
use super::super::coordinator::PRODUCE_V1_MAX;
use super::super::delivery::Settled;
use super::super::error::ProducerError;
use super::super::metrics::count;
use super::super::sequences::Identity;
use super::{Due, InFlight, Link, Sender};
use crate::client::Target;
use crate::connection::Connection;
use crate::error::Error;
use afluente_env::clock::Moment;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use afluente_protocol::records::BatchProducer;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;

/// The last version that names topics; the next one has ids instead, which a topic that is deleted
/// and made again does not keep.
const PRODUCE_MAX: i16 = 12;

/// Whether, and how, a new batch of a lane may be numbered.
enum Numbers {
    /// No numbers: the producer is not idempotent.
    None,
    Under(Identity),
    /// Not at present.
    Wait,
}

impl Sender {
    /// Sends what can be sent. True if something was.
    pub(super) async fn send(&mut self, now: Moment) -> bool {
        let max = self.in_flight_max();
        let ready: Vec<i32> = self
            .brokers
            .iter()
            .filter(|(_, broker)| {
                !broker.line.is_empty()
                    && broker.in_flight_count < max
                    && broker.not_before.is_none_or(|at| at <= now)
            })
            .map(|(id, _)| *id)
            .collect();
        let mut has_sent = false;
        for id in ready {
            let Some(connection) = self.link(id, now) else { continue };
            let batches = self.fill(id, now);
            if !batches.is_empty() {
                self.submit(id, &connection, batches, now).await;
                has_sent = true;
            }
        }
        has_sent
    }

    /// The connection to a broker; one is made if there is none, for a later turn.
    fn link(&mut self, id: i32, now: Moment) -> Option<Connection> {
        let broker = self.brokers.entry(id).or_default();
        broker.not_before = None;
        match std::mem::take(&mut broker.link) {
            Link::Done(Ok(connection)) if !connection.is_closed() => {
                broker.failures = 0;
                broker.link = Link::Done(Ok(connection.clone()));
                return Some(connection);
            }
            Link::Making(making) => {
                broker.link = Link::Making(making);
                return None;
            }
            Link::Done(Err(error)) => {
                // The next attempt waits by itself; the metadata may know a new address by then.
                tracing::warn!(broker = id, %error, "no connection to the leader of partitions");
                broker.failures = broker.failures.saturating_add(1);
                let client = &self.shared.client;
                let wait = client.config().retry_backoff.wait(broker.failures, &client.env().rng);
                broker.not_before = Some(now + wait);
                self.wants_refresh = true;
                for &at in &self.brokers[&id].line {
                    let lane = &mut self.lanes[at];
                    if let Some(batch) = lane.window.front_mut() {
                        batch.last_error = Some(error.clone());
                    }
                }
                // Leaders may have moved: each lane finds its own again.
                self.leave_line(id);
                return None;
            }
            Link::Done(Ok(_)) | Link::None => {}
        }
        let client = self.shared.client.clone();
        broker.link = Link::Making(Box::pin(async move {
            let deadline = client.deadline_in(client.config().request_timeout);
            client.connection_for(&Target::Broker(id), ApiKey::Produce, deadline).await
        }));
        None
    }

    /// Lets the lanes in the line of a broker look for their leader again.
    fn leave_line(&mut self, id: i32) {
        let line = self.brokers.get_mut(&id).map(|broker| std::mem::take(&mut broker.line));
        for at in line.unwrap_or_default() {
            self.lanes[at].is_in_line = false;
            self.put_in_line(at);
        }
    }

    /// Takes a batch of each lane in the line of a broker, as many as fit into a request.
    fn fill(&mut self, id: i32, now: Moment) -> Vec<(usize, u64)> {
        let due = self.due(now);
        let max = self.in_flight_max();
        let bytes_max = self.shared.config.request_bytes_max;
        let mut batches = Vec::new();
        let mut bytes = 0;
        let mut line: VecDeque<usize> = match self.brokers.get_mut(&id) {
            Some(broker) => std::mem::take(&mut broker.line),
            None => return batches,
        };
        // Those with a further batch stand behind those who got no place.
        let mut again = Vec::new();
        while let Some(at) = line.pop_front() {
            let lane = &mut self.lanes[at];
            if lane.leader() != Some(id) {
                lane.is_in_line = false;
                self.put_in_line(at);
                continue;
            }
            if !lane.can_send(now, due, max) {
                lane.is_in_line = false;
                continue;
            }
            let wanted = match lane.retry() {
                Some(retry) => lane.window[retry].size_bytes(),
                None => lane.partition.next_bytes(),
            };
            if !batches.is_empty() && bytes + wanted > bytes_max {
                line.push_front(at);
                break;
            }
            let Some(batch) = self.next_batch(at, due) else {
                self.lanes[at].is_in_line = false;
                continue;
            };
            bytes += wanted;
            batches.push((at, batch));
            let lane = &mut self.lanes[at];
            lane.is_in_line = lane.can_send(now, due, max);
            if lane.is_in_line {
                again.push(at);
            }
        }
        line.extend(again);
        let broker = self.brokers.entry(id).or_default();
        // Lanes may have come to stand here while others left.
        line.append(&mut broker.line);
        broker.line = line;
        batches
    }

    /// The batch of a lane that goes out next: one that was sent before, or a new one.
    fn next_batch(&mut self, at: usize, due: Due) -> Option<u64> {
        if let Some(retry) = self.lanes[at].retry() {
            let lane = &mut self.lanes[at];
            let batch = &mut lane.window[retry];
            batch.is_on_wire = true;
            batch.attempts += 1;
            count(&self.shared.counters.retries, 1);
            return Some(batch.id);
        }
        let numbers = self.numbers(at);
        loop {
            let identity = match numbers {
                Numbers::Wait => return None,
                Numbers::None => None,
                Numbers::Under(identity) => Some(identity),
            };
            let lane = &mut self.lanes[at];
            if identity.is_some_and(|identity| !lane.may_number(identity)) {
                return None;
            }
            let batch = lane.partition.pop(due)?;
            let record_count = batch.builder.record_count();
            let uncompressed = batch.builder.size_bytes_uncompressed();
            let producer = match identity {
                Some(_) => lane.sequences.take(i32::try_from(record_count).unwrap_or(i32::MAX)),
                None => BatchProducer::NONE,
            };
            self.next_batch_id += 1;
            let id = self.next_batch_id;
            match batch.seal(id, producer, &mut self.compressor) {
                Ok(mut sealed) => {
                    sealed.is_on_wire = true;
                    sealed.attempts = 1;
                    let counters = &self.shared.counters;
                    count(&counters.batches_sent, 1);
                    count(&counters.bytes_uncompressed, uncompressed as u64);
                    count(&counters.bytes_sent, sealed.size_bytes() as u64);
                    lane.window.push_back(sealed);
                    return Some(id);
                }
                Err((ticket, error)) => {
                    if identity.is_some() {
                        lane.sequences.give_back(i32::try_from(record_count).unwrap_or(i32::MAX));
                    }
                    let error = ProducerError::InvalidRecord { problem: error.to_string() };
                    self.fail_unsent(at, ticket, record_count, error.into());
                }
            }
        }
    }

    fn numbers(&self, at: usize) -> Numbers {
        if !self.shared.config.is_idempotent {
            return Numbers::None;
        }
        let transaction = self.shared.transaction.lock();
        let Some(identity) = transaction.identity else { return Numbers::Wait };
        let partition = &self.lanes[at].partition;
        let is_added = transaction.transactional_id().is_none()
            || transaction.is_v2
            || partition.transaction_added.load(Ordering::Relaxed) == transaction.number();
        if is_added { Numbers::Under(identity) } else { Numbers::Wait }
    }

    /// Hands a request with these batches to the connection.
    async fn submit(
        &mut self,
        broker: i32,
        connection: &Connection,
        batches: Vec<(usize, u64)>,
        now: Moment,
    ) {
        let (transactional_id, is_v2) = {
            let transaction = self.shared.transaction.lock();
            (transaction.transactional_id().map(str::to_owned), transaction.is_v2)
        };
        let version_max =
            if transactional_id.is_some() && !is_v2 { PRODUCE_V1_MAX } else { PRODUCE_MAX };
        let config = &self.shared.config;
        let request = ProduceRequest {
            transactional_id,
            acks: config.acks.number(),
            timeout_ms: i32::try_from(config.client.request_timeout.as_millis())
                .unwrap_or(i32::MAX),
            topic_data: self.topic_data(&batches),
        };
        count(&self.shared.counters.requests, 1);
        let timeout = config.client.request_timeout;
        let outcome = match connection.version_up_to(ApiKey::Produce, version_max) {
            Err(error) => Err(error),
            Ok(version) if config.acks == Acks::None => {
                connection.submit_unanswered(&request, version).await.map(|()| None)
            }
            Ok(version) => connection.submit(&request, version, timeout).await.map(Some),
        };
        match outcome {
            Ok(Some(answer)) => {
                self.brokers.entry(broker).or_default().in_flight_count += 1;
                count(&self.shared.counters.requests_in_flight, 1);
                self.in_flight.push(InFlight { broker, batches, sent_at: now, answer });
            }
            Ok(None) => {
                for (at, id) in batches {
                    self.written(
                        at,
                        id,
                        Settled::Written { base_offset: None, log_append_time: None },
                    );
                }
            }
            Err(error) => self.request_failed(&batches, &error, now),
        }
    }

    fn topic_data(&self, batches: &[(usize, u64)]) -> Vec<TopicProduceData> {
        let mut topics: Vec<TopicProduceData> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for &(at, id) in batches {
            let lane = &self.lanes[at];
            let found = lane.find(id).expect("it was put there a moment ago");
            let data = PartitionProduceData {
                index: lane.partition.index,
                records: Some(lane.window[found].records()),
            };
            let place = *places.entry(&lane.partition.topic).or_insert_with(|| {
                let name = lane.partition.topic.to_string();
                topics.push(TopicProduceData { name, ..Default::default() });
                topics.len() - 1
            });
            topics[place].partition_data.push(data);
        }
        topics
    }
}

/// The error of a request that could not be answered for a batch.
pub(super) fn unanswered(topic: &str, partition: i32) -> Error {
    Error::Broker {
        about: format!("the answer leaves out {topic}-{partition}"),
        code: afluente_protocol::error_code::ErrorCode::UnknownServerError,
        message: None,
    }
}
