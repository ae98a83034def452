//! Readers of whole topics, by hand and from the start, that must get everything once and in order.

use crate::oracle::RecordId;
use crate::scenario::Scenario;
use crate::shared::{Phase, Shared, properties};
use afluente_client::TopicPartition;
use afluente_client::consumer::{Consumer, ConsumerConfig};
use afluente_env::Env;
use std::sync::Arc;
use std::time::Duration;

/// Follows a topic until the end.
pub(crate) async fn follow(
    env: Env,
    shared: Arc<Shared>,
    topic: usize,
    is_committed: bool,
) -> anyhow::Result<()> {
    let topic = Scenario::topic(topic);
    let isolation = if is_committed { "read_committed" } else { "read_uncommitted" };
    let more = [("isolation.level", isolation), ("auto.offset.reset", "earliest")];
    let config = ConsumerConfig::from_properties(properties(&more))?;
    shared.until_set_up(&env).await;
    let consumer = Consumer::new(env.clone(), config)?;
    let follower = shared.oracle().follower(topic, is_committed);
    let reader = format!("follower {follower} of {topic}");
    // Partitions that are added later are for others to read.
    let partitions = 0..shared.scenario.partition_count;
    consumer.assign(partitions.map(|partition| TopicPartition::new(topic, partition)))?;
    while shared.phase() < Phase::Done {
        let records = match consumer.poll(Duration::from_millis(300)).await {
            Ok(records) => records,
            Err(error) => {
                shared.note(format_args!("{reader}: {error}"));
                env.clock.sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let mut oracle = shared.oracle();
        for record in &records {
            let partition = TopicPartition::new(record.topic, record.partition);
            match record.value.and_then(RecordId::of_value) {
                Some(id) => oracle.saw(&reader, is_committed, &partition, record.offset.0, id),
                None => oracle.violate(format_args!("{reader} got nonsense in {partition}")),
            }
            oracle.followed(follower, &partition, record.offset.0);
        }
    }
    Ok(())
}
