//! Programs that send records, with idempotence or without.

use crate::oracle::{Promise, RecordId};
use crate::scenario::{INPUT, PLAIN};
use crate::shared::{Phase, Shared, properties};
use afluente_client::producer::{Producer, ProducerConfig, Record};
use afluente_env::Env;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// More records than this in one life of a producer tell nothing new.
const RECORDS_MAX: u32 = 150;
/// The longest that the end of a producer takes, beyond its `delivery.timeout.ms`.
const CLOSE_MAX: Duration = Duration::from_secs(30);

/// Sends bursts of records until the calm.
pub(crate) async fn produce(
    env: Env,
    shared: Arc<Shared>,
    is_idempotent: bool,
) -> anyhow::Result<()> {
    let delivery_timeout = ["3000", "8000", "30000"][env.rng.index(3)];
    let idempotence = if is_idempotent { "true" } else { "false" };
    let mut more = vec![
        ("enable.idempotence", idempotence),
        ("acks", "all"),
        ("delivery.timeout.ms", delivery_timeout),
        ("max.block.ms", "5000"),
        ("linger.ms", ["0", "5", "50"][env.rng.index(3)]),
        ("batch.size", ["0", "200", "16384"][env.rng.index(3)]),
    ];
    if !is_idempotent {
        more.push(("max.in.flight.requests.per.connection", "1"));
    }
    let config = ProducerConfig::from_properties(properties(&more))?;
    let promise = if is_idempotent { Promise::Idempotent } else { Promise::AtLeastOnce };
    shared.until_set_up(&env).await;
    let producer = Producer::new(env.clone(), config)?;
    let id = shared.oracle().producer(promise);
    let topic = if is_idempotent { INPUT } else { PLAIN };
    let mut sequence = 0;
    while shared.phase() < Phase::Calm && sequence < RECORDS_MAX {
        for _ in 0..env.rng.range(1..12) {
            send(&env, &shared, &producer, topic, RecordId { producer: id, sequence }).await;
            sequence += 1;
        }
        if env.rng.chance(0.2) {
            producer.flush().await;
        }
        shared.pause(&env, Duration::from_millis(env.rng.range(1..800))).await;
    }
    if let Err(error) = producer.close(CLOSE_MAX).await {
        shared.oracle().violate(format_args!("{id:?} could not close: {error}"));
    }
    shared.writers_done.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

async fn send(
    env: &Env,
    shared: &Arc<Shared>,
    producer: &Producer,
    topic: &'static str,
    id: RecordId,
) {
    shared.oracle().sending(id, topic, None);
    let value = value_of(env, id);
    let key = id.sequence.to_be_bytes();
    let mut record = Record::to(topic).value(value.as_bytes());
    if env.rng.chance(0.5) {
        record = record.key(&key);
    }
    let taken = producer.send_then(record, shared.delivery(id));
    if let Err(error) = taken.await {
        shared.note(format_args!("{id} is refused: {error}"));
        shared.oracle().refused(id);
    }
}

/// The id, and some more.
pub(crate) fn value_of(env: &Env, id: RecordId) -> String {
    let padding = if env.rng.chance(0.1) { env.rng.index(2000) } else { env.rng.index(40) };
    format!("{id} {}", "x".repeat(padding))
}
