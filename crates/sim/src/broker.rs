//! The broker, as a process of the simulated machine.

use crate::shared::Shared;
use afluente_broker::config::{Config, Inputs, Settings};
use afluente_broker::server::Server;
use afluente_env::Env;
use afluente_env::sim::Outcome;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Serves until the machine dies, or until it is asked to stop.
pub(crate) async fn serve(env: Env, shared: Arc<Shared>) -> Outcome {
    let durability = if shared.scenario.is_synced { "sync" } else { "replicated" };
    let overrides = [
        ("log.dirs", "/data"),
        ("listeners", "PLAINTEXT://0.0.0.0:9092"),
        ("advertised.listeners", "PLAINTEXT://broker:9092"),
        ("http.listener", ""),
        ("log.durability", durability),
        ("log.cache.bytes", "16777216"),
        ("auto.create.topics.enable", "false"),
        ("offsets.topic.num.partitions", "3"),
        ("transaction.state.log.num.partitions", "3"),
        ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500"),
        ("group.initial.rebalance.delay.ms", "200"),
        ("group.min.session.timeout.ms", "1000"),
        ("group.consumer.min.session.timeout.ms", "1000"),
        ("group.consumer.session.timeout.ms", "3000"),
        ("group.consumer.min.heartbeat.interval.ms", "100"),
        ("group.consumer.heartbeat.interval.ms", "500"),
    ];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let (config, _) = Config::load(Inputs { overrides: overrides.into(), ..Inputs::default() })?;
    let settings = Settings::read(&config)?;
    let server = Server::start(env, config, settings).await?;
    shared.stop_broker.notified().await;
    server.stop().await?;
    shared.broker_stops.fetch_add(1, Ordering::SeqCst);
    std::future::pending().await
}
