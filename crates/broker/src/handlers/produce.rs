//! Produce (0), versions 3 to 13. KIP-98 (idempotence, transactions), KIP-516 (topic ids), KIP-890
//! (transactions are verified), KIP-951 (leader hints, which a single node never has to give).
//!
//! The records stay slices of the request until the log copies them. The answer waits until all
//! that was appended is durable; with acks=0 there is none, and an error closes the connection.
//! `acks=1` and `acks=all` are the same here: one replica is all there are. Not done:
//! authorization.

mod first_batch;
mod transaction;

use crate::broker::Broker;
use crate::connection::Pending;
use crate::dispatch::{self, CloseReason, Outcome, RequestContext};
use crate::partition::Partition;
use crate::topics::is_internal;
use crate::waiting::{AckOutcome, AckWait};
use afluente_env::clock::Moment;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::produce_request::{ProduceRequest, TopicProduceData};
use afluente_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use afluente_protocol::reader::Reader;
use afluente_storage::producer_state::VerificationGuard;
use afluente_storage::validate::{InvalidBatch, RecordFault};
use afluente_storage::{AppendError, AppendOptions, Appended};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// The first version with topic ids instead of names.
const TOPIC_IDS_FROM: i16 = 13;

/// Kafka's own tools may write to internal topics under this client id.
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// What is true of all partitions of a request.
struct Produce<'a> {
    broker: &'a Arc<Broker>,
    goes_by_topic_id: bool,
    is_admin: bool,
    version: i16,
    transactional_id: Option<String>,
    acks: i16,
    now_ms: i64,
    give_up: Moment,
    wait: Arc<AckWait>,
}

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    mut reader: Reader,
) -> Outcome {
    let size = reader.remaining();
    let request: ProduceRequest = match context.decode(&mut reader) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    drop(reader);
    let produce = Produce {
        broker,
        goes_by_topic_id: context.version >= TOPIC_IDS_FROM,
        is_admin: context.client_id.as_deref() == Some(ADMIN_CLIENT_ID),
        version: context.version,
        transactional_id: request.transactional_id,
        acks: request.acks,
        now_ms: broker.env.clock.wall_ms(),
        give_up: context.received
            + Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)),
        wait: AckWait::new(),
    };
    let mut response = ProduceResponse::default();
    response.responses.reserve_exact(request.topic_data.len());
    let is_refused =
        first_batch::check(&request.topic_data, produce.transactional_id.as_deref()).err();
    for topic in request.topic_data {
        response.responses.push(match &is_refused {
            Some((code, message)) => refused_topic(topic, *code, message.as_deref()),
            None => produce.topic(topic).await,
        });
    }
    if request.acks == 0 {
        return match first_error(&response) {
            None => Outcome::Nothing,
            Some(error) => Outcome::Close(CloseReason::UnansweredProduce(error)),
        };
    }
    if produce.wait.is_over() {
        return match context.encode(&response) {
            Ok(answer) => Outcome::Answer(answer),
            Err(reason) => Outcome::Close(reason),
        };
    }
    let (key, version, correlation_id) = (context.key, context.version, context.correlation_id);
    let (broker, received) = (Arc::clone(broker), context.received);
    let finish = move |outcome: AckOutcome| {
        if outcome == AckOutcome::Failed {
            fail_all(&mut response);
        }
        broker.metrics.request(key, broker.env.clock.now().saturating_since(received), size);
        dispatch::encode(&response, key, version, correlation_id)
    };
    Outcome::Later(Pending { wait: produce.wait, finish: Box::new(finish) })
}

impl Produce<'_> {
    async fn topic(&self, data: TopicProduceData) -> TopicProduceResponse {
        let topic = if self.goes_by_topic_id && data.topic_id.is_zero() {
            Err(ErrorCode::UnknownTopicId)
        } else {
            self.broker.topics.resolve(&data.name, &data.topic_id)
        };
        let mut partition_responses = Vec::with_capacity(data.partition_data.len());
        for part in data.partition_data {
            let records = part.records.map(|records| records.into_bytes()).unwrap_or_default();
            let partition = topic.as_ref().map_err(|code| *code).and_then(|topic| {
                let partition = topic.partition(part.index);
                let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
                if is_internal(&topic.name) && !self.is_admin {
                    return Err(ErrorCode::InvalidTopicException);
                }
                Ok(partition)
            });
            partition_responses.push(match partition {
                Ok(partition) => self.partition(partition, part.index, records).await,
                Err(code) => refused(part.index, code, None),
            });
        }
        TopicProduceResponse { name: data.name, topic_id: data.topic_id, partition_responses }
    }

    async fn partition(
        &self,
        partition: &Arc<Partition>,
        index: i32,
        records: Bytes,
    ) -> PartitionProduceResponse {
        if !matches!(self.acks, -1..=1) {
            return refused(index, ErrorCode::InvalidRequiredAcks, None);
        }
        if self.acks == -1 && partition.log().config().min_insync_replicas > 1 {
            return refused(index, ErrorCode::NotEnoughReplicas, None);
        }
        let enlisted = transaction::enlist(
            self.broker,
            self.version,
            self.transactional_id.as_deref(),
            partition,
            &records,
            self.now_ms,
        );
        let guard = match enlisted.await {
            Ok(guard) => guard,
            Err(code) => {
                let message = (code == ErrorCode::InvalidTxnState)
                    .then(|| "Partition was not added to the transaction".to_owned());
                return refused(index, code, message);
            }
        };
        let size = records.len() as u64;
        let metrics = &self.broker.metrics;
        match self.append(partition, records, guard).await {
            Ok(appended) => {
                metrics.produced_bytes.add(size);
                metrics.produced_batches.add(1);
                accepted(index, &appended)
            }
            Err(error) => {
                metrics.produce_errors.add(1);
                tracing::debug!(
                    topic = %partition.log().partition().topic, partition = index, %error,
                    "produce refused"
                );
                PartitionProduceResponse {
                    record_errors: faults(&error),
                    log_start_offset: told_start(&error, partition),
                    ..refused(index, error.code(), told(&error))
                }
            }
        }
    }

    /// Appends; while the disk is behind, waits for room as long as the client would.
    async fn append(
        &self,
        partition: &Arc<Partition>,
        records: Bytes,
        guard: VerificationGuard,
    ) -> Result<Appended, AppendError> {
        let options = AppendOptions {
            guard,
            verification_enabled: true,
            ..AppendOptions::client(partition.leader_epoch(), self.now_ms)
        };
        loop {
            // Asked for before the attempt: room that comes in between is not missed.
            let mut room = std::pin::pin!(self.broker.room.notified());
            room.as_mut().enable();
            match partition.append(records.clone(), options, &self.wait) {
                Err(AppendError::Backpressure) => {
                    tokio::select! {
                        biased;
                        () = room => {}
                        () = self.broker.env.clock.sleep_until(self.give_up) => {
                            return Err(AppendError::Backpressure);
                        }
                    }
                }
                done => return done,
            }
        }
    }
}

fn accepted(index: i32, appended: &Appended) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: ErrorCode::None.code(),
        base_offset: appended.base_offset.0,
        log_append_time_ms: appended.log_append_time_ms.unwrap_or(-1),
        log_start_offset: appended.start_offset.0,
        ..Default::default()
    }
}

fn refused_topic(
    topic: TopicProduceData,
    code: ErrorCode,
    message: Option<&str>,
) -> TopicProduceResponse {
    let partitions = topic.partition_data.iter();
    TopicProduceResponse {
        partition_responses: partitions
            .map(|part| refused(part.index, code, message.map(str::to_owned)))
            .collect(),
        name: topic.name,
        topic_id: topic.topic_id,
    }
}

fn refused(index: i32, code: ErrorCode, message: Option<String>) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: code.code(),
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        error_message: message,
        ..Default::default()
    }
}

/// Where the log begins, or -1 where Apache Kafka does not say it: it refuses what is not exactly
/// one batch before it has looked at the log, and says nothing of the log where the batch is too
/// large or damaged and when the disk fails.
fn told_start(error: &AppendError, partition: &Partition) -> i64 {
    if let AppendError::Invalid(InvalidBatch::Empty | InvalidBatch::NotAlone { .. }) = error {
        return -1;
    }
    match error.code() {
        ErrorCode::MessageTooLarge
        | ErrorCode::RecordListTooLarge
        | ErrorCode::CorruptMessage
        | ErrorCode::KafkaStorageError => -1,
        _ => partition.log().start_offset().0,
    }
}

/// What a producer is told in words: what is wrong with its records. Kafka has no words for a batch
/// whose header alone is wrong.
fn told(error: &AppendError) -> Option<String> {
    match error {
        AppendError::Invalid(
            InvalidBatch::Control | InvalidBatch::Counts { .. } | InvalidBatch::Sequence { .. },
        ) => None,
        AppendError::Invalid(InvalidBatch::Unreadable(_)) => None,
        // Which records, and why, is told beside it.
        AppendError::Invalid(_) if error.code() == ErrorCode::InvalidTimestamp => {
            Some("One or more records have been rejected due to invalid timestamp".to_owned())
        }
        AppendError::Invalid(_) => Some(error.to_string()),
        _ => None,
    }
}

/// Which records of the batch are at fault, where it is single ones (KIP-467).
fn faults(error: &AppendError) -> Vec<BatchIndexAndErrorMessage> {
    let AppendError::Invalid(invalid) = error else { return Vec::new() };
    let fault = |fault: &RecordFault| BatchIndexAndErrorMessage {
        batch_index: fault.index,
        batch_index_error_message: Some(fault.message.clone()),
    };
    invalid.record_faults().iter().map(fault).collect()
}

fn first_error(response: &ProduceResponse) -> Option<String> {
    response.responses.iter().find_map(|topic| {
        let bad = topic.partition_responses.iter().find(|partition| partition.error_code != 0)?;
        let code = ErrorCode::from_i16(bad.error_code).unwrap_or(ErrorCode::UnknownServerError);
        Some(format!("{}-{}: {code}", topic.name, bad.index))
    })
}

fn fail_all(response: &mut ProduceResponse) {
    for topic in &mut response.responses {
        for partition in &mut topic.partition_responses {
            if partition.error_code == ErrorCode::None.code() {
                *partition = refused(partition.index, ErrorCode::KafkaStorageError, None);
            }
        }
    }
}
