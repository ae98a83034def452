//! Counts the records of each key of the topic `numbers` and writes every new count to `counts`.
//!
//! `counting application.id=counting bootstrap.servers=localhost:9092 processing.guarantee=exactly_once_v2 …`: any of Kafka's
//! keys. Runs until it is killed; start it several times to share the work. The topics have to be there.
#![allow(clippy::print_stderr, reason = "a program says what it does")]

use afluente_env::Env;
use afluente_streams::dsl::{Consumed, Materialized, Produced, StreamsBuilder};
use afluente_streams::runtime::{KafkaStreams, State, StreamsConfig};
use bytes::Bytes;
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let properties: Vec<(String, String)> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.split_once('=').map(|(key, value)| (key.into(), value.into())))
        .collect();
    let config = StreamsConfig::from_properties(properties)?;
    let builder = StreamsBuilder::new();
    builder
        .stream::<Bytes, Bytes>(&["numbers"], Consumed::new())
        .group_by_key()
        .count_with(Materialized::named("counts-store"))
        .to_stream()
        .to("counts", Produced::new());
    let topology = builder.build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let running = KafkaStreams::new(Env::real(), topology, config)
            .with_state_listener(|now, before| eprintln!("{before:?} -> {now:?}"))
            .start()
            .await?;
        running.wait_for(State::Error).await;
        running.close(Duration::from_secs(10)).await?;
        Ok(())
    })
}
