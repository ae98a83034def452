//! Programs that read, process and write exactly once: offsets are committed with what was written.

use crate::group::POLL_INTERVAL_MAX_MS;
use crate::oracle::{Promise, RecordId};
use crate::scenario::{INPUT, OUTPUT};
use crate::shared::{Phase, Shared, properties};
use crate::transactions::{After, abort, commit, new_producer};
use afluente_client::TopicPartition;
use afluente_client::consumer::{
    Consumer, ConsumerConfig, ConsumerError, RebalanceListener, Records, Told,
};
use afluente_client::producer::{OffsetToCommit, OffsetsToCommit, Producer, Record};
use afluente_env::Env;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The group of all processors.
pub(crate) const GROUP: &str = "processors";

/// Processes until the end. What is left undone is done by whoever comes next.
pub(crate) async fn process(env: Env, shared: Arc<Shared>, index: usize) -> anyhow::Result<()> {
    shared.until_set_up(&env).await;
    let name = format!("processor-{index}");
    while shared.phase() < Phase::Done {
        let Some(producer) = new_producer(&env, &shared, &name).await? else { continue };
        let consumer = new_consumer(&env, &shared, index)?;
        run(&env, &shared, &consumer, &producer).await;
        if let Err(error) = consumer.close(Duration::from_secs(3)).await {
            shared.note(format_args!("{name} leaves its group: {error}"));
        }
        shared.oracle().owns(GROUP, index, None);
    }
    Ok(())
}

fn new_consumer(env: &Env, shared: &Arc<Shared>, index: usize) -> anyhow::Result<Consumer> {
    let is_classic = shared.scenario.partition_count != 2;
    let mut more = vec![
        ("group.id", GROUP),
        ("group.protocol", if is_classic { "classic" } else { "consumer" }),
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "earliest"),
        ("max.poll.records", "20"),
        ("max.poll.interval.ms", POLL_INTERVAL_MAX_MS),
    ];
    if is_classic {
        more.extend([("session.timeout.ms", "3000"), ("heartbeat.interval.ms", "500")]);
    }
    let config = ConsumerConfig::from_properties(properties(&more))?;
    let consumer = Consumer::new(env.clone(), config)?;
    let listener = Owner { shared: Arc::clone(shared), index };
    consumer.subscribe_with([INPUT], Arc::new(listener))?;
    Ok(consumer)
}

/// Tells the oracle what a processor owns.
struct Owner {
    shared: Arc<Shared>,
    index: usize,
}

impl RebalanceListener for Owner {
    fn revoked<'a>(&'a self, consumer: &'a Consumer, gone: &'a [TopicPartition]) -> Told<'a> {
        let mut owned = consumer.assignment();
        owned.retain(|partition| !gone.contains(partition));
        self.shared.oracle().owns(GROUP, self.index, Some(owned));
        Box::pin(std::future::ready(()))
    }

    fn assigned<'a>(&'a self, consumer: &'a Consumer, _: &'a [TopicPartition]) -> Told<'a> {
        self.shared.oracle().owns(GROUP, self.index, Some(consumer.assignment()));
        Box::pin(std::future::ready(()))
    }
}

async fn run(env: &Env, shared: &Arc<Shared>, consumer: &Consumer, producer: &Producer) {
    let mut sequence = 0;
    let id = shared.oracle().producer(Promise::Idempotent);
    while shared.phase() < Phase::Done {
        let records = match consumer.poll(Duration::from_millis(200)).await {
            Ok(records) => records,
            Err(error) => {
                shared.note(format_args!("{id:?} polls: {error}"));
                env.clock.sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if records.is_empty() {
            continue;
        }
        if producer.begin_transaction().is_err() {
            return;
        }
        let transaction = shared.oracle().begin();
        let processed =
            write(shared, consumer, producer, &records, (id, &mut sequence), transaction).await;
        let after = match processed {
            Ok(()) if env.rng.chance(0.05) => After::Replace,
            Ok(()) => commit(shared, producer, transaction).await,
            Err(error) => {
                shared.note(format_args!("{transaction:?} is to be aborted: {error}"));
                abort(shared, producer, transaction).await
            }
        };
        // What was not committed is read again.
        if after == After::Replace {
            return;
        }
        if let Err(error) = rewind(consumer).await {
            shared.note(format_args!("{id:?} does not know where to go on: {error}"));
            return;
        }
    }
}

async fn write(
    shared: &Arc<Shared>,
    consumer: &Consumer,
    producer: &Producer,
    records: &Records,
    (id, sequence): (crate::oracle::ProducerId, &mut u32),
    transaction: crate::oracle::TransactionId,
) -> Result<(), afluente_client::Error> {
    let mut offsets = OffsetsToCommit::new();
    for record in records {
        let id = RecordId { producer: id, sequence: *sequence };
        *sequence += 1;
        shared.oracle().sending(id, OUTPUT, Some(transaction));
        let value = format!("{id} {} {}", record.partition, record.offset.0);
        let taken =
            producer.send_then(Record::to(OUTPUT).value(value.as_bytes()), shared.delivery(id));
        if let Err(error) = taken.await {
            shared.oracle().refused(id);
            return Err(error);
        }
    }
    for part in records.partitions() {
        let place = (part.partition().topic.to_string(), part.partition().partition);
        let offset = OffsetToCommit { offset: part.next_offset().0, ..OffsetToCommit::default() };
        offsets.insert(place, offset);
    }
    producer.send_offsets_to_transaction(&offsets, &consumer.group_metadata()).await
}

/// Goes back to what is committed, everywhere.
async fn rewind(consumer: &Consumer) -> Result<(), ConsumerError> {
    let assigned = consumer.assignment();
    let committed = consumer.committed(&assigned).await?;
    for partition in &assigned {
        let sought = match committed.get(partition) {
            Some(found) => consumer.seek(partition, found.offset),
            None => consumer.seek_to_beginning(std::slice::from_ref(partition)),
        };
        match sought {
            // It was given up meanwhile.
            Ok(()) | Err(ConsumerError::NotAssigned { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Which record of the input a record of the output stands for.
pub(crate) fn source_of(value: &[u8]) -> Option<(TopicPartition, i64)> {
    let text = std::str::from_utf8(value).ok()?;
    let mut words = text.split(' ').skip(1);
    let partition = words.next()?.parse().ok()?;
    Some((TopicPartition::new(INPUT, partition), words.next()?.parse().ok()?))
}

/// What the group of the processors is to settle on.
pub(crate) fn partitions(counts: &BTreeMap<String, i32>) -> Vec<TopicPartition> {
    (0..counts.get(INPUT).copied().unwrap_or(0)).map(|p| TopicPartition::new(INPUT, p)).collect()
}
