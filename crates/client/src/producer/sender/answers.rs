//! Answers, and what they mean for each batch.

use super::super::batch;
use super::super::delivery::Settled;
use super::super::error::ProducerError;
use super::super::metrics::count;
use super::super::sequences::{Refusal, Verdict};
use super::requests::unanswered;
use super::{Knowledge, Sender};
use crate::client::Target;
use crate::config::ServerAddress;
use crate::error::Error;
use crate::metadata::BrokerNode;
use afluente_env::clock::Moment;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse};
use afluente_protocol::records::BatchProducer;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a broker said about one batch.
struct Refused {
    error: Error,
    records: BTreeMap<u32, Error>,
    log_start_offset: i64,
    /// The answer named another leader, which is known from here on.
    is_moved: bool,
}

impl Sender {
    /// Takes in the answers that have come.
    pub(super) fn take_answers(&mut self, now: Moment) {
        for (in_flight, result) in std::mem::take(&mut self.done) {
            let counters = &self.shared.counters;
            counters.requests_in_flight.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            if let Some(broker) = self.brokers.get_mut(&in_flight.broker) {
                broker.in_flight_count = broker.in_flight_count.saturating_sub(1);
            }
            match result {
                Ok(response) => {
                    counters.answered(now.saturating_since(in_flight.sent_at));
                    self.answered(in_flight.broker, in_flight.batches, response, now);
                }
                Err(error) => self.request_failed(&in_flight.batches, &error, now),
            }
        }
    }

    /// A request got no answer, or not one that can be read.
    pub(super) fn request_failed(&mut self, batches: &[(usize, u64)], error: &Error, now: Moment) {
        tracing::debug!(%error, batches = batches.len(), "a produce request has failed");
        for &(at, id) in batches {
            let refused = Refused {
                error: error.clone(),
                records: BTreeMap::new(),
                log_start_offset: -1,
                is_moved: false,
            };
            self.refused(at, id, refused, now);
        }
        self.forget_idle();
    }

    fn answered(
        &mut self,
        broker: i32,
        mut batches: Vec<(usize, u64)>,
        response: ProduceResponse,
        now: Moment,
    ) {
        if let Ok(ms @ 1..) = u64::try_from(response.throttle_time_ms)
            && let Some(broker) = self.brokers.get_mut(&broker)
        {
            broker.not_before = Some(now + Duration::from_millis(ms));
        }
        let nodes: Vec<BrokerNode> = response
            .node_endpoints
            .into_iter()
            .filter_map(|node| {
                let port = u16::try_from(node.port).ok()?;
                let address = ServerAddress { host: node.host, port };
                Some(BrokerNode { id: node.node_id, address, rack: node.rack })
            })
            .collect();
        for topic in response.responses {
            for partition in topic.partition_responses {
                // Brokers answer in the order of the request, so the first place is the right one.
                let place = batches.iter().position(|(at, _)| {
                    let lane = &self.lanes[*at].partition;
                    lane.index == partition.index && *lane.topic == *topic.name
                });
                if let Some(place) = place {
                    let (at, id) = batches.remove(place);
                    self.partition_answered(at, id, &topic.name, partition, &nodes, now);
                }
            }
        }
        for (at, id) in batches {
            let partition = &self.lanes[at].partition;
            let error = unanswered(&partition.topic, partition.index);
            let refused =
                Refused { error, records: BTreeMap::new(), log_start_offset: -1, is_moved: false };
            self.refused(at, id, refused, now);
        }
        self.forget_idle();
    }

    fn partition_answered(
        &mut self,
        at: usize,
        id: u64,
        topic: &str,
        answer: PartitionProduceResponse,
        nodes: &[BrokerNode],
        now: Moment,
    ) {
        let about = || format!("{topic}-{}", answer.index);
        let checked = Error::check(answer.error_code, answer.error_message.clone(), about);
        let Err(error) = checked else {
            let base_offset = Some(answer.base_offset).filter(|offset| *offset >= 0);
            let log_append_time = Some(answer.log_append_time_ms).filter(|time| *time >= 0);
            self.written(at, id, Settled::Written { base_offset, log_append_time });
            return;
        };
        if error.error_code() == Some(ErrorCode::DuplicateSequenceNumber) {
            // It was written by an attempt whose answer was lost, and is so long ago that the
            // broker does not know the offset any more.
            self.written(at, id, Settled::Written { base_offset: None, log_append_time: None });
            return;
        }
        let client = &self.shared.client;
        let before = self.lanes[at].leader();
        let leader = &answer.current_leader;
        if leader.leader_id >= 0 {
            let (id, epoch) = (leader.leader_id, leader.leader_epoch);
            client.learn_leader(topic, answer.index, id, epoch, nodes);
            self.take_metadata();
        }
        let mut records = BTreeMap::new();
        for record in answer.record_errors {
            let message = record.batch_index_error_message.or(answer.error_message.clone());
            let code = error.error_code().unwrap_or(ErrorCode::InvalidRecord);
            if let Ok(index) = u32::try_from(record.batch_index) {
                let about = format!("{topic}-{}", answer.index);
                records.insert(index, Error::Broker { about, code, message });
            }
        }
        let after = self.lanes[at].leader();
        let refused = Refused {
            error,
            records,
            log_start_offset: answer.log_start_offset,
            is_moved: after.is_some() && after != before,
        };
        self.refused(at, id, refused, now);
    }

    /// A batch is written.
    pub(super) fn written(&mut self, at: usize, id: u64, settled: Settled) {
        let lane = &mut self.lanes[at];
        // It may have run out of time before.
        let Some(place) = lane.find(id) else { return };
        let batch = lane.window.remove(place).expect("it was found there");
        lane.failures = 0;
        lane.retry_at = None;
        if lane.sequences.identity().is_some() {
            let last_offset = match settled {
                Settled::Written { base_offset: Some(base), .. } => {
                    Some(base + i64::from(batch.record_count) - 1)
                }
                _ => None,
            };
            lane.sequences.acked(batch.last_sequence(), last_offset);
        }
        let record_count = u64::try_from(batch.record_count).unwrap_or(0);
        count(&self.shared.counters.records_sent, record_count);
        self.settle(batch.ticket, settled);
        self.put_in_line_if_more(at);
    }

    /// Puts a lane in line that has more to send.
    pub(super) fn put_in_line_if_more(&mut self, at: usize) {
        let lane = &self.lanes[at];
        if !lane.window.is_empty() || !lane.partition.is_empty() {
            self.put_in_line(at);
        }
    }

    fn refused(&mut self, at: usize, id: u64, refused: Refused, now: Moment) {
        let Refused { error, records, log_start_offset, is_moved } = refused;
        let lane = &mut self.lanes[at];
        let Some(place) = lane.find(id) else { return };
        let batch = &mut lane.window[place];
        batch.is_on_wire = false;
        batch.last_error = Some(error.clone());
        let code = error.error_code();
        if code == Some(ErrorCode::MessageTooLarge) && batch.record_count > 1 {
            self.split(at, place);
            return;
        }
        let mut verdict = match code {
            _ if error.is_transport() => Verdict::Retry,
            Some(code) if self.shared.config.is_idempotent => {
                let refusal = Refusal {
                    code,
                    log_start_offset,
                    base_sequence: batch.producer.base_sequence,
                    is_resequenced: batch.is_resequenced,
                };
                let is_transactional = self.shared.config.transactional_id.is_some();
                lane.sequences.verdict(refusal, is_transactional)
            }
            _ if error.is_retriable() => Verdict::Retry,
            _ => Verdict::Fail,
        };
        if batch.attempts > self.shared.config.retries_max {
            verdict = Verdict::Fail;
        }
        let partition = &lane.partition;
        tracing::debug!(
            topic = %partition.topic, partition = partition.index, %error, ?verdict, "batch refused"
        );
        if verdict == Verdict::Fail {
            let knowledge =
                if error.is_transport() { Knowledge::None } else { Knowledge::NotWritten };
            self.fail(at, place, error, records, knowledge);
            return;
        }
        if error.is_stale_metadata() && !is_moved {
            let partition = &self.lanes[at].partition;
            let target = Target::leader(&*partition.topic, partition.index);
            if !error.is_transport() {
                self.shared.client.noticed(&target, &error);
            }
            self.wants_refresh = true;
        }
        let lane = &mut self.lanes[at];
        if verdict != Verdict::Retry {
            lane.is_restarting = true;
            self.wants_new_epoch |= verdict == Verdict::RetryInNewEpoch;
        }
        if is_moved {
            self.put_in_line(at);
            return;
        }
        let client = &self.shared.client;
        lane.failures = lane.failures.saturating_add(1);
        let retry_at = now + client.config().retry_backoff.wait(lane.failures, &client.env().rng);
        lane.retry_at = Some(retry_at);
        self.retries.insert((retry_at, at));
    }

    /// Cuts a batch that the broker finds too large; the parts take its place and its numbers.
    fn split(&mut self, at: usize, place: usize) {
        let config = &self.shared.config;
        let options = batch::options(config.compression, config.transactional_id.is_some());
        let lane = &mut self.lanes[at];
        let whole = lane.window.remove(place).expect("it was found there");
        let (number, mut producer) = (whole.ticket.number, whole.producer);
        let partition = &lane.partition;
        let parts = whole.split(config.batch_bytes, options, &partition.topic, partition.index);
        let parts = parts.unwrap_or_else(|_| unreachable!("it has several records"));
        let part_count = u32::try_from(parts.len()).expect("no more than records");
        self.shared.accumulator.was_split(number, part_count);
        count(&self.shared.counters.splits, 1);
        for (step, part) in parts.into_iter().enumerate() {
            self.next_batch_id += 1;
            let record_count = part.builder.record_count();
            match part.seal(self.next_batch_id, producer, &mut self.compressor) {
                Ok(sealed) => {
                    if producer != BatchProducer::NONE {
                        let next = super::super::sequences::add(sealed.last_sequence(), 1);
                        producer.base_sequence = next;
                    }
                    self.lanes[at].window.insert(place + step, sealed);
                }
                Err((ticket, error)) => {
                    // Smaller than a whole that could be sealed, so it cannot be beyond 2 GiB.
                    let error = ProducerError::InvalidRecord { problem: error.to_string() };
                    self.fail_unsent(at, ticket, record_count, error.into());
                }
            }
        }
        self.put_in_line(at);
    }

    /// A batch has failed for good.
    pub(super) fn fail(
        &mut self,
        at: usize,
        place: usize,
        error: Error,
        records: BTreeMap<u32, Error>,
        knowledge: Knowledge,
    ) {
        let lane = &mut self.lanes[at];
        let batch = lane.window.remove(place).expect("the caller found it there");
        let is_transactional = self.shared.config.transactional_id.is_some();
        if self.shared.config.is_idempotent {
            match knowledge {
                Knowledge::None => lane.sequences.lost_sight_of(batch.last_sequence()),
                Knowledge::NotWritten => {
                    // Those behind it that are on their way will be refused: their numbers come
                    // too early.
                    let is_alone = lane.window.iter().skip(place).all(|later| !later.is_on_wire);
                    if is_transactional || is_alone && batch.attempts == 1 {
                        lane.close_gap(place, batch.record_count);
                    } else {
                        // An earlier attempt may have been written in spite of what was said last:
                        // its numbers must not be used for anything else.
                        lane.is_restarting = true;
                        self.wants_new_epoch = true;
                    }
                }
            }
        }
        let partition = &self.lanes[at].partition;
        tracing::debug!(topic = %partition.topic, partition = partition.index, %error, "batch failed");
        let error = self.shared.failed(error);
        let error = if records.is_empty() { error } else { ProducerError::BatchMateInvalid.into() };
        let record_count = u64::try_from(batch.record_count).unwrap_or(0);
        count(&self.shared.counters.records_failed, record_count);
        self.settle(batch.ticket, Settled::Failed { error, records });
        self.put_in_line_if_more(at);
    }
}
