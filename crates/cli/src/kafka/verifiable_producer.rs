//! `kafka-verifiable-producer`: counts up, and tells of each record what became of it, as JSON.

use super::connect::{World, client_properties, properties_file, tell_unknown};
use super::options::{Options, Spec, value};
use super::out::Out;
use super::producer_perf_test::Throttle;
use super::{Failure, Run, Tool};
use crate::stopping::{Ended, STOPPING_MAX, hurried, until_stop};
use afluente_client::Error;
use afluente_client::producer::{Producer, ProducerConfig, Record, RecordMetadata};
use afluente_env::Env;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) const TOOL: Tool = Tool {
    name: "verifiable-producer",
    about: "Send numbers that count up, and tell what became of each, as JSON.",
    specs: SPECS,
    run: Run::Blocking(run),
};

const SPECS: &[Spec] = &[
    value("topic", "NAME", "The topic. Required."),
    value("max-messages", "COUNT", "So many; -1, the default, until it is stopped."),
    value("throughput", "RATE", "About how many a second; -1, the default, for as many as go."),
    value("acks", "ACKS", "acks: 0, 1 or -1 (all); -1 if not given."),
    value("producer.config", "FILE", "As --command-config."),
    value("message-create-time", "MS", "The time of the first record; the others follow it."),
    value("value-prefix", "NUMBER", "Stands before each value, with a dot."),
    value("repeating-keys", "COUNT", "Keys that count from 0 up to this, without it, and again."),
];

/// How long records that are left may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(600);

/// What the command line asks for.
struct Task {
    topic: String,
    count_max: Option<u64>,
    rate: f64,
    first_time_ms: Option<i64>,
    value_prefix: Option<i64>,
    key_count: Option<u64>,
}

fn run(world: &World, options: Options, out: Out) -> Result<Out, Failure> {
    let mut properties = Vec::new();
    if let Some(path) = options.get("producer.config") {
        properties.extend(properties_file("producer.config", path)?);
    }
    // One that fails is told, and not sent again, as in Kafka's tool.
    properties.push(("retries".to_owned(), "0".to_owned()));
    properties.extend(client_properties(&options)?);
    properties.push(("acks".to_owned(), options.get("acks").unwrap_or("-1").to_owned()));
    let config = ProducerConfig::from_properties(properties)?;
    tell_unknown(config.unknown());
    let task = Task {
        topic: options.require("topic")?.to_owned(),
        count_max: options.number::<i64>("max-messages")?.and_then(|max| u64::try_from(max).ok()),
        rate: options.number("throughput")?.unwrap_or(-1.0),
        first_time_ms: options.number::<i64>("message-create-time")?.filter(|time| *time >= 0),
        value_prefix: options.number("value-prefix")?,
        key_count: options.number::<u64>("repeating-keys")?.filter(|count| *count > 0),
    };
    let env = world.env.clone();
    world.cores.block_on(async move { produce(env, config, task).await })?;
    Ok(out)
}

async fn produce(env: Env, config: ProducerConfig, task: Task) -> anyhow::Result<()> {
    tell(&env, "startup_complete", &[]);
    let acked = Arc::new(AtomicU64::new(0));
    let producer = Producer::new(env.clone(), config)?;
    let started = env.clock.now();
    let mut sent = 0;
    let outcome = match until_stop(send_all(&env, &producer, &task, &acked, &mut sent)).await? {
        Ended::Done(outcome) => {
            producer.close(CLOSE_TIMEOUT).await?;
            outcome
        }
        Ended::Stopped => {
            // Records that are not acknowledged by then are told as failed, each by itself.
            let closing = producer.close(STOPPING_MAX);
            hurried(&env.clock, STOPPING_MAX, closing).await.transpose()?;
            Ok(())
        }
    };
    tell(&env, "shutdown_complete", &[]);
    let seconds = env.clock.now().saturating_since(started).as_secs_f64();
    let acked = acked.load(Ordering::SeqCst);
    let figures = [
        ("sent", json!(sent)),
        ("acked", json!(acked)),
        ("target_throughput", json!(task.rate as i64)),
        ("avg_throughput", json!(acked as f64 / seconds)),
    ];
    tell(&env, "tool_data", &figures);
    outcome
}

async fn send_all(
    env: &Env,
    producer: &Producer,
    task: &Task,
    acked: &Arc<AtomicU64>,
    sent: &mut u64,
) -> anyhow::Result<()> {
    let origin = env.clock.now();
    let throttle = Throttle::new(task.rate, Duration::ZERO);
    let mut time_ms = task.first_time_ms;
    let mut last_ms = env.clock.wall_ms();
    while task.count_max.is_none_or(|max| *sent < max) {
        let value = match task.value_prefix {
            Some(prefix) => format!("{prefix}.{sent}"),
            None => sent.to_string(),
        };
        let key = task.key_count.map(|count| (*sent % count).to_string());
        let record = Record {
            topic: &task.topic,
            key: key.as_deref().map(str::as_bytes),
            value: Some(value.as_bytes()),
            timestamp: time_ms,
            ..Record::default()
        };
        let told = Told { env: env.clone(), acked: Arc::clone(acked), topic: task.topic.clone() };
        let (key, value) = (key.clone(), value.clone());
        let callback = move |result| told.tell(key.as_deref(), &value, result);
        *sent += 1;
        producer.send_then(record, callback).await?;
        // Times go on as they do on the wall.
        let now_ms = env.clock.wall_ms();
        time_ms = time_ms.map(|time| time + now_ms - last_ms);
        last_ms = now_ms;
        let elapsed = env.clock.now().saturating_since(origin);
        if let Some(wait) = throttle.wait(*sent, elapsed) {
            env.clock.sleep(wait).await;
        }
    }
    Ok(())
}

/// What a callback needs.
struct Told {
    env: Env,
    acked: Arc<AtomicU64>,
    topic: String,
}

impl Told {
    fn tell(self, key: Option<&str>, value: &str, result: Result<RecordMetadata, Error>) {
        match result {
            Ok(metadata) => {
                self.acked.fetch_add(1, Ordering::SeqCst);
                let figures = [
                    ("key", json!(key)),
                    ("value", json!(value)),
                    ("offset", json!(metadata.offset.unwrap_or(-1))),
                    ("topic", json!(&*metadata.topic)),
                    ("partition", json!(metadata.partition)),
                ];
                tell(&self.env, "producer_send_success", &figures);
            }
            Err(error) => {
                let figures = [
                    ("topic", json!(self.topic)),
                    ("key", json!(key)),
                    ("value", json!(value)),
                    ("exception", json!(error.error_code().map_or("", |code| code.name()))),
                    ("message", json!(error.to_string())),
                ];
                tell(&self.env, "producer_send_error", &figures);
            }
        }
    }
}

/// Prints a line of JSON: the time, the name, and the rest in its order.
fn tell(env: &Env, name: &str, rest: &[(&str, Value)]) {
    let mut line = format!("{{\"timestamp\":{},\"name\":\"{name}\"", env.clock.wall_ms());
    for (key, value) in rest {
        line.push_str(&format!(",\"{key}\":{value}"));
    }
    line.push('}');
    // Nobody is left to tell when standard output is gone.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
