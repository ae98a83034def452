//! Feeding the machines to a cluster: topics, one producer, a step ten times a second.

mod readers;

use crate::flights::{self, Replay};
use crate::invoices::{self, Stores, Trade};
use crate::mails;
use crate::orders::{self, Shop};
use crate::record::{Outgoing, Topic};
use crate::services;
use afluente_client::producer::{Producer, ProducerConfig, Record};
use afluente_client::{Client, Error, Target};
use afluente_env::Env;
use afluente_env::clock::Clock;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use afluente_streams::runtime::{RuntimeError, State};
use readers::Readers;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two steps of the machines.
const STEP: Duration = Duration::from_millis(100);

/// Before trying again when the cluster does not answer, and what each part may take to end.
const PAUSE: Duration = Duration::from_secs(1);

/// What all of it may take to end.
const STOP_MAX: Duration = Duration::from_secs(3);

/// One replica where the cluster has one broker: its own default decides.
const CLUSTER_DEFAULT: i16 = -1;

/// What runs, and how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoConfig {
    /// Where the cluster is, as `bootstrap.servers` has it.
    pub bootstrap: String,
    /// Invoices a second, as the average of a day of trade; `None` leaves the stores closed.
    pub invoices_per_second: Option<f64>,
    /// How long a day of trade lasts.
    pub day: Duration,
    /// Orders a second; `None` leaves the shop closed.
    pub orders_per_second: Option<f64>,
    /// How much faster than in 2013 the flights leave; `None` leaves them on the ground.
    pub flights_speed: Option<f64>,
}

impl DemoConfig {
    /// All of the demo, at a rate that a laptop does not notice.
    #[must_use]
    pub fn all(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            invoices_per_second: Some(25.0),
            day: Duration::from_secs(600),
            orders_per_second: Some(5.0),
            flights_speed: Some(60.0),
        }
    }

    /// The names of what runs.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let parts = [
            ("invoices", self.invoices_per_second.is_some()),
            ("orders", self.orders_per_second.is_some()),
            ("flights", self.flights_speed.is_some()),
        ];
        parts.into_iter().filter(|(_, runs)| *runs).map(|(name, _)| name.to_owned()).collect()
    }

    fn topics(&self) -> Vec<Topic> {
        let mut topics = Vec::new();
        if self.invoices_per_second.is_some() {
            topics.extend([invoices::INVOICES, services::INVENTORY, services::LOYALTY]);
            topics.extend([services::SMS, services::SHIPMENTS, services::LEDGER]);
        }
        if self.orders_per_second.is_some() {
            topics.extend(orders::TOPICS);
            topics.push(mails::ORDER_MAILS);
        }
        if self.flights_speed.is_some() {
            topics.push(flights::FLIGHTS);
        }
        topics
    }
}

/// The demo, running. Dropping it cuts it off.
#[derive(Debug)]
pub struct RunningDemo {
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl RunningDemo {
    /// Starts it, beside what else the process does. A cluster that does not answer is waited for.
    #[must_use]
    pub fn start(env: &Env, config: DemoConfig) -> Self {
        let (stopping, stop) = watch::channel(false);
        let running = env.clone();
        let task = env.tasks.spawn(async move {
            if let Err(error) = run(running, config, stop).await {
                tracing::error!(%error, "the demo does not run");
            }
        });
        Self { stopping, task }
    }

    /// Ends it as services end: groups are left, what was begun is committed and written. What takes too long is cut off.
    pub async fn stop(mut self, clock: &Clock) {
        self.stopping.send_replace(true);
        tokio::select! {
            _ = &mut self.task => {}
            () = clock.sleep(STOP_MAX) => {}
        }
    }
}

impl Drop for RunningDemo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for the word to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever drops the other end wants it to end, too.
    let _ = stop.wait_for(|is_stopping| *is_stopping).await;
}

async fn run(env: Env, config: DemoConfig, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
    let properties = [
        ("bootstrap.servers", config.bootstrap.as_str()),
        ("client.id", "afluente-demo"),
        ("linger.ms", "20"),
    ];
    let producer_config = ProducerConfig::from_properties(properties)?;
    let producer = Arc::new(Producer::new(env.clone(), producer_config)?);
    let topics = config.topics();
    tokio::select! {
        () = wait_for_topics(&env, producer.client(), &topics) => {}
        () = stopped(&mut stop) => return Ok(()),
    }
    let readers = match config.invoices_per_second {
        Some(_) => Some(Readers::start(&env, &config.bootstrap, &producer, &stop)?),
        None => None,
    };
    let mailing = {
        let (env, bootstrap, mut stop) = (env.clone(), config.bootstrap.clone(), stop.clone());
        let has_orders = config.orders_per_second.is_some();
        async move {
            if !has_orders {
                return;
            }
            if let Err(error) = send_mails(&env, &bootstrap, &mut stop).await {
                tracing::error!(%error, "the demo goes on without mails for orders");
            }
        }
    };
    let generating = async {
        tokio::select! {
            () = generate(&env, &config, &producer) => {}
            () = stopped(&mut stop) => {}
        }
    };
    tokio::join!(mailing, generating);
    if let Some(readers) = readers {
        readers.ended().await;
    }
    producer.close(PAUSE).await
}

/// Runs the Streams application of the orders until it is told to stop.
async fn send_mails(
    env: &Env,
    bootstrap: &str,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), RuntimeError> {
    let running = tokio::select! {
        running = mails::start(env, bootstrap) => running?,
        () = stopped(stop) => return Ok(()),
    };
    tokio::select! {
        _ = running.wait_for(State::Error) => {}
        () = stopped(stop) => {}
    }
    running.close(PAUSE).await
}

/// Makes topics, once the cluster answers.
pub(crate) async fn wait_for_topics(env: &Env, client: &Client, topics: &[Topic]) {
    while let Err(error) = create_topics(client, topics).await {
        tracing::warn!(%error, "the demo waits for the cluster");
        env.clock.sleep(PAUSE).await;
    }
}

async fn generate(env: &Env, config: &DemoConfig, producer: &Producer) {
    let (clock, rng) = (&env.clock, env.rng.fork());
    let now_ms = clock.wall_ms();
    let day_ms = i64::try_from(config.day.as_millis()).unwrap_or(i64::MAX).max(1);
    let trade = |per_second| Trade { per_second, day_ms };
    let mut stores = config.invoices_per_second.map(|rate| Stores::open(trade(rate), now_ms));
    let mut shop = config.orders_per_second.map(|rate| Shop::open(rate, now_ms));
    let mut replay = config.flights_speed.map(Replay::start);
    loop {
        let now_ms = clock.wall_ms();
        let mut records = Vec::new();
        records.extend(stores.iter_mut().flat_map(|stores| stores.step(now_ms, &rng)));
        records.extend(shop.iter_mut().flat_map(|shop| shop.step(now_ms, &rng)));
        records.extend(replay.iter_mut().flat_map(|replay| replay.step(now_ms)));
        send(producer, &records).await;
        clock.sleep(STEP).await;
    }
}

/// Hands records to the producer, which sends and repeats them by itself.
pub(crate) async fn send(producer: &Producer, records: &[Outgoing]) {
    for outgoing in records {
        let record = Record {
            value: outgoing.value.as_deref(),
            ..Record::to(outgoing.topic).key(outgoing.key.as_bytes())
        };
        let told = |outcome: afluente_client::producer::DeliveryResult| {
            if let Err(error) = outcome {
                tracing::warn!(%error, "a record of the demo was not written");
            }
        };
        if let Err(error) = producer.send_then(record, told).await {
            tracing::warn!(%error, topic = outgoing.topic, "a record of the demo was not sent");
        }
    }
}

/// Makes the topics that are not there yet.
pub(crate) async fn create_topics(client: &Client, topics: &[Topic]) -> Result<(), Error> {
    let topic = |topic: &Topic| CreatableTopic {
        name: topic.name.to_owned(),
        num_partitions: topic.partitions,
        replication_factor: CLUSTER_DEFAULT,
        assignments: Vec::new(),
        configs: if topic.compacted {
            let name = "cleanup.policy".to_owned();
            vec![CreatableTopicConfig { name, value: Some("compact".to_owned()) }]
        } else {
            Vec::new()
        },
    };
    let request = CreateTopicsRequest {
        topics: topics.iter().map(topic).collect(),
        timeout_ms: 10_000,
        validate_only: false,
    };
    let answer = client.send(Target::Controller, request, client.deadline()).await?;
    for topic in answer.topics {
        if ErrorCode::from_i16(topic.error_code) != Some(ErrorCode::TopicAlreadyExists) {
            let about = || format!("topic {:?}", topic.name);
            Error::check(topic.error_code, topic.error_message.clone(), about)?;
        }
    }
    Ok(())
}
