//! Orders of each item in windows of ten seconds: the stream of changes, and the table that it makes, side by side.

use crate::mails::end;
use crate::orders::{ORDERS, Order, Shop, TOPICS};
use crate::record::Topic;
use crate::run::{send, wait_for_topics};
use afluente_client::consumer::{Consumer, ConsumerConfig};
use afluente_client::producer::{Producer, ProducerConfig};
use afluente_env::Env;
use afluente_streams::dsl::{
    Consumed, Grouped, Materialized, Produced, StreamsBuilder, TimeWindows,
};
use afluente_streams::record::Windowed;
use afluente_streams::runtime::{KafkaStreams, RuntimeError, StreamsConfig};
use afluente_streams::serdes::{self, HasSerde, Serde, SerdeOf};
use afluente_streams::{Error, Topology};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// Keyed by item and window.
pub const ORDER_COUNTS: Topic = Topic::of("ORDER-COUNTS", 3);

/// Name of the application, and of its group.
pub const APPLICATION: &str = "order-counts";

/// Length of a window.
pub const WINDOW: Duration = Duration::from_secs(10);

/// How late an order may come.
const GRACE: Duration = Duration::from_secs(2);

/// Between two steps of the shop.
const STEP: Duration = Duration::from_millis(500);

/// Windows that the table shows; older ones are forgotten.
const WINDOWS_MAX: usize = 2;

fn keys() -> SerdeOf<Windowed<String>> {
    serdes::time_windowed(String::serde(), WINDOW.as_millis() as i64)
}

/// Orders by item, counted.
///
/// # Errors
/// None, as long as the names differ.
pub fn topology() -> Result<Topology, Error> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, Order>(&[ORDERS.name], Consumed::new())
        .group_by_with(
            |_, order: Option<&Order>| order.map(|order| order.item_id.clone()),
            Grouped::with(String::serde(), Order::serde()).named("by-item"),
        )
        .windowed_by(TimeWindows::of_size(WINDOW).with_grace(GRACE))
        .count_with(Materialized::named("order-counts"))
        .to_stream()
        .to(ORDER_COUNTS.name, Produced::with(keys(), i64::serde()));
    builder.build()
}

/// What the stream of changes makes: counts by window and item.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<i64, BTreeMap<String, i64>>);

impl Table {
    /// Takes a change in.
    pub fn update(&mut self, key: &Windowed<String>, count: i64) {
        self.0.entry(key.window.start_ms).or_default().insert(key.key.clone(), count);
        while self.0.len() > WINDOWS_MAX {
            self.0.pop_first();
        }
    }

    /// One line a row, the newest window first.
    fn rows(&self) -> impl Iterator<Item = String> {
        self.0.iter().rev().flat_map(|(start, counts)| {
            counts.iter().map(|(item, count)| format!("{}  {item:8} {count:4}", clock(*start)))
        })
    }

    /// Changes on the left, the table that they led to on the right.
    #[must_use]
    pub fn beside(&self, changes: &[(Windowed<String>, i64)]) -> String {
        let mut left = changes
            .iter()
            .map(|(key, count)| format!("{}  {:8} {count:4}", clock(key.window.start_ms), key.key));
        let mut rows = self.rows();
        let mut text = format!("{:26} | {}\n", "stream: every change", "table: the newest of each");
        loop {
            match (left.next(), rows.next()) {
                (None, None) => return text,
                (left, right) => {
                    let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
                    text += format!("{left:26} | {right}").trim_end();
                    text.push('\n');
                }
            }
        }
    }
}

/// Time of day (UTC) at which a window begins.
fn clock(ms: i64) -> String {
    let seconds = ms.div_euclid(1_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Opens a shop, counts its orders, and shows what changes, until `stop` is ready.
///
/// # Errors
/// When the application cannot start, or fails.
pub async fn run(
    env: &Env,
    bootstrap: &str,
    orders_per_second: f64,
    mut show: impl FnMut(&str),
    stop: impl Future<Output = ()>,
) -> Result<(), RuntimeError> {
    let properties = [("bootstrap.servers", bootstrap), ("client.id", "windows-demo")];
    let producer = Producer::new(env.clone(), ProducerConfig::from_properties(properties)?)?;
    let topics: Vec<Topic> = TOPICS.into_iter().chain([ORDER_COUNTS]).collect();
    wait_for_topics(env, producer.client(), &topics).await;
    let reader = ConsumerConfig::from_properties(
        properties
            .into_iter()
            .chain([("group.id", "order-count-reader"), ("auto.offset.reset", "latest")]),
    )?;
    let reader = Consumer::new(env.clone(), reader)?;
    reader.subscribe([ORDER_COUNTS.name])?;
    let config = StreamsConfig::from_properties([
        ("application.id", APPLICATION),
        ("bootstrap.servers", bootstrap),
        ("commit.interval.ms", "1000"),
        // Every change is shown.
        ("statestore.cache.max.bytes", "0"),
    ])?;
    let running = KafkaStreams::new(env.clone(), topology()?, config).start().await?;
    let mut shop = Shop::open(orders_per_second, env.clock.wall_ms());
    let (serde, mut table) = (keys(), Table::default());
    let showing = async {
        loop {
            send(&producer, &shop.step(env.clock.wall_ms(), &env.rng)).await;
            let mut changes = Vec::new();
            for record in reader.poll(STEP).await?.iter() {
                if let Some(change) = read(&*serde, record.key_bytes(), record.value_bytes()) {
                    table.update(&change.0, change.1);
                    changes.push(change);
                }
            }
            if !changes.is_empty() {
                show(&table.beside(&changes));
            }
        }
    };
    let outcome = tokio::select! {
        outcome = showing => outcome,
        () = stop => Ok(()),
    };
    end(running, &reader).await;
    outcome
}

fn read(
    keys: &dyn Serde<Windowed<String>>,
    key: Option<Bytes>,
    value: Option<Bytes>,
) -> Option<(Windowed<String>, i64)> {
    let key = keys.deserialize(ORDER_COUNTS.name, &key?).ok()?;
    let count = i64::serde().deserialize(ORDER_COUNTS.name, &value?).ok()?;
    Some((key, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use afluente_streams::driver::TestDriver;
    use afluente_streams::record::Record;

    #[test]
    fn the_stream_has_every_change_and_the_table_the_newest() {
        let mut driver = TestDriver::new(&topology().unwrap(), APPLICATION).unwrap();
        for (number, (item, at_ms)) in
            [("2001", 1_000), ("2002", 2_000), ("2001", 9_999), ("2001", 10_000), ("2002", 8_000)]
                .into_iter()
                .enumerate()
        {
            let order = format!(
                r#"{{"orderId":"O{number}","customerId":"C","itemId":"{item}","quantity":1,"orderedAt":0}}"#
            );
            let key = Bytes::from(format!("O{number}"));
            driver.pipe(ORDERS.name, Record::new(key, Bytes::from(order), at_ms)).unwrap();
        }
        let (mut table, mut changes) = (Table::default(), Vec::new());
        while let Some(produced) = driver.read(ORDER_COUNTS.name) {
            let change = read(&*keys(), produced.key, produced.value).unwrap();
            table.update(&change.0, change.1);
            changes.push(change);
        }
        assert_eq!(
            table.beside(&changes),
            "stream: every change       | table: the newest of each\n\
             00:00:00  2001        1    | 00:00:10  2001        1\n\
             00:00:00  2002        1    | 00:00:00  2001        2\n\
             00:00:00  2001        2    | 00:00:00  2002        2\n\
             00:00:10  2001        1    |\n\
             00:00:00  2002        2    |\n"
        );
    }
}
