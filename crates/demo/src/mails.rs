//! A mail for each order: customers, addresses, orders and items joined as they change.
//!
//! ```text
//! CUSTOMER ─────────┐
//!                   ├─ inner join, kept as a table ─┐
//! CUSTOMER-ADDRESS ─┘                               │
//! ORDER ── by customerId ───────────────────────────┴─ join ── by itemId ─┬─ join ── ORDER-MAIL
//! ITEM (a global table) ──────────────────────────────────────────────────┘
//! ```
//!
//! A customer without an address, or one who closed the account, gets no mail. Prices are those at the time of the mail.

use crate::orders::{
    ADDRESSES, CUSTOMERS, Customer, CustomerAddress, ITEMS, Item, ORDERS, Order, Shop, TOPICS,
};
use crate::record::{Topic, money};
use crate::run::{send, wait_for_topics};
use afluente_client::consumer::{Consumer, ConsumerConfig};
use afluente_client::producer::{Producer, ProducerConfig};
use afluente_env::Env;
use afluente_streams::dsl::{Consumed, Materialized, Produced, StreamsBuilder};
use afluente_streams::runtime::{KafkaStreams, RunningStreams, RuntimeError, StreamsConfig};
use afluente_streams::serdes::{self, HasSerde, SerdeOf};
use afluente_streams::{Error, Topology};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Keyed by `customerId`.
pub const ORDER_MAILS: Topic = Topic::of("ORDER-MAIL", 3);

/// Name of the application, and of its group.
pub const APPLICATION: &str = "order-mails";

/// Between two steps of the shop, and two looks for mails.
const STEP: Duration = Duration::from_millis(100);

/// What leaving the groups may take.
const END_MAX: Duration = Duration::from_secs(2);

/// A customer who can be written to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addressee {
    /// Who.
    pub customer: Customer,
    /// Where.
    pub address: CustomerAddress,
}

/// An order and who it goes to, on the way to its item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Addressed {
    order: Order,
    addressee: Addressee,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderMail {
    /// The order.
    pub order_id: String,
    /// To whom.
    pub to: String,
    /// Name of the customer.
    pub name: String,
    /// In one line.
    pub address: String,
    /// What was ordered.
    pub item: String,
    /// How many.
    pub quantity: u64,
    /// For all.
    pub total: f64,
    /// Unix milliseconds.
    pub ordered_at: i64,
}

macro_rules! as_json {
    ($($type:ty),*) => {
        $(impl HasSerde for $type {
            fn serde() -> SerdeOf<Self> {
                serdes::json()
            }
        })*
    };
}
as_json!(Customer, CustomerAddress, Item, Order, Addressee, Addressed, OrderMail);

impl OrderMail {
    fn of(addressed: &Addressed, item: &Item) -> Self {
        let Addressed { order, addressee: Addressee { customer, address } } = addressed;
        let cents = (item.price * 100.0).round().max(0.0) as u64;
        Self {
            order_id: order.order_id.clone(),
            to: customer.email.clone(),
            name: customer.name.clone(),
            address: format!("{}, {} ({})", address.street, address.city, address.country),
            item: item.name.clone(),
            quantity: order.quantity,
            total: money(cents * order.quantity),
            ordered_at: order.ordered_at,
        }
    }

    /// As it is read.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "To: {to}\nSubject: Your order {order}\n\nDear {name},\n  {quantity} × {item}, {total:.2} in all, will go to {address}.\n",
            to = self.to,
            order = self.order_id,
            name = self.name,
            quantity = self.quantity,
            item = self.item,
            total = self.total,
            address = self.address,
        )
    }
}

/// The joins of the module's picture.
///
/// # Errors
/// None, as long as the names differ.
pub fn topology() -> Result<Topology, Error> {
    let builder = StreamsBuilder::new();
    let customers =
        builder.table::<String, Customer>(CUSTOMERS.name, Consumed::new(), Materialized::new());
    let addresses = builder.table::<String, CustomerAddress>(
        ADDRESSES.name,
        Consumed::new(),
        Materialized::new(),
    );
    let items = builder.global_table::<String, Item>(
        ITEMS.name,
        Consumed::new(),
        Materialized::named("items"),
    );
    let addressees = customers.join(
        &addresses,
        |customer: &Customer, address: &CustomerAddress| {
            Some(Addressee { customer: customer.clone(), address: address.clone() })
        },
        Some(Materialized::<String, Addressee>::named("addressees")),
    );
    builder
        .stream::<String, Order>(&[ORDERS.name], Consumed::new())
        .named("by-customer")
        .select_key(|_, order: Option<&Order>| order.map(|order| order.customer_id.clone()))
        .join_table(&addressees, |_, order: &Order, addressee: &Addressee| {
            Some(Addressed { order: order.clone(), addressee: addressee.clone() })
        })
        .join_global(
            &items,
            |_, addressed: Option<&Addressed>| addressed.map(|one| one.order.item_id.clone()),
            |_, addressed: &Addressed, item: &Item| Some(OrderMail::of(addressed, item)),
        )
        .to(ORDER_MAILS.name, Produced::new());
    builder.build()
}

/// Starts to send mails for the orders of a cluster that has the topics.
///
/// # Errors
/// What is missing in the cluster.
pub async fn start(env: &Env, bootstrap: &str) -> Result<RunningStreams, RuntimeError> {
    let config = StreamsConfig::from_properties([
        ("application.id", APPLICATION),
        ("bootstrap.servers", bootstrap),
        ("processing.guarantee", "exactly_once_v2"),
    ])?;
    KafkaStreams::new(env.clone(), topology()?, config).start().await
}

/// Opens a shop, joins what happens in it, and shows each mail, until `stop` is ready.
///
/// # Errors
/// When the application cannot start, or fails.
pub async fn run(
    env: &Env,
    bootstrap: &str,
    orders_per_second: f64,
    mut show: impl FnMut(&OrderMail),
    stop: impl Future<Output = ()>,
) -> Result<(), RuntimeError> {
    let properties = [("bootstrap.servers", bootstrap), ("client.id", "orders-demo")];
    let producer = Producer::new(env.clone(), ProducerConfig::from_properties(properties)?)?;
    let topics: Vec<Topic> = TOPICS.into_iter().chain([ORDER_MAILS]).collect();
    wait_for_topics(env, producer.client(), &topics).await;
    let reader = ConsumerConfig::from_properties(properties.into_iter().chain([
        ("group.id", "order-mail-reader"),
        ("auto.offset.reset", "earliest"),
        ("isolation.level", "read_committed"),
    ]))?;
    let reader = Consumer::new(env.clone(), reader)?;
    reader.subscribe([ORDER_MAILS.name])?;
    let running = start(env, bootstrap).await?;
    let mut shop = Shop::open(orders_per_second, env.clock.wall_ms());
    let showing = async {
        loop {
            send(&producer, &shop.step(env.clock.wall_ms(), &env.rng)).await;
            for record in reader.poll(STEP).await?.iter() {
                let mail = record.value.and_then(|value| serde_json::from_slice(value).ok());
                if let Some(mail) = mail {
                    show(&mail);
                }
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

/// Leaves the groups, so that the next start need not wait until their members are given up.
pub(crate) async fn end(running: RunningStreams, reader: &Consumer) {
    let (closed, left) = tokio::join!(running.close(END_MAX), reader.close(END_MAX));
    let errors =
        [closed.err().map(|error| error.to_string()), left.err().map(|error| error.to_string())];
    for error in errors.into_iter().flatten() {
        tracing::debug!(error, "a part of the demo ended without a word");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outgoing;
    use afluente_env::rng::Rng;
    use afluente_streams::driver::TestDriver;
    use afluente_streams::record::Record;
    use bytes::Bytes;
    use std::collections::{BTreeMap, BTreeSet};

    fn pipe(driver: &mut TestDriver, records: &[Outgoing], timestamp: i64) {
        for record in records {
            let value = record.value.clone().map(Bytes::from);
            let key = Bytes::from(record.key.clone());
            driver.pipe(record.topic, Record::new(key, value, timestamp)).unwrap();
        }
    }

    #[test]
    fn every_order_of_a_known_customer_becomes_a_mail() {
        let mut driver = TestDriver::new(&topology().unwrap(), APPLICATION).unwrap();
        let (mut shop, rng) = (Shop::open(50.0, 0), Rng::seeded(5));
        let (mut orders, mut names) = (BTreeSet::new(), BTreeMap::new());
        for step in 0..400 {
            let records = shop.step(step * 100, &rng);
            pipe(&mut driver, &records, step * 100);
            for record in &records {
                match (record.topic, &record.value) {
                    ("ORDER", Some(_)) => assert!(orders.insert(record.key.clone())),
                    ("CUSTOMER", Some(value)) => {
                        let customer: Customer = serde_json::from_slice(value).unwrap();
                        names.insert(customer.email, customer.name);
                    }
                    _ => {}
                }
            }
        }
        let mut mails = 0;
        while let Some(produced) = driver.read(ORDER_MAILS.name) {
            let mail: OrderMail = serde_json::from_slice(&produced.value.unwrap()).unwrap();
            assert!(orders.remove(&mail.order_id), "a mail for each order, once");
            assert_eq!(names[&mail.to], mail.name);
            mails += 1;
        }
        assert!(mails > 1_500 && orders.is_empty(), "{mails} mails, without: {orders:?}");
    }

    #[test]
    fn who_left_gets_no_mail_and_a_move_changes_the_address() {
        let mut driver = TestDriver::new(&topology().unwrap(), APPLICATION).unwrap();
        let put = |driver: &mut TestDriver, topic: &'static str, key: &str, value: &str| {
            let value = (!value.is_empty()).then(|| value.as_bytes().to_vec());
            pipe(driver, &[Outgoing { topic, key: key.to_owned(), value }], 1);
        };
        let order = |number: u32| {
            format!(
                r#"{{"orderId":"O{number}","customerId":"C1","itemId":"7","quantity":2,"orderedAt":1}}"#
            )
        };
        let address = |street: &str| {
            format!(r#"{{"customerId":"C1","street":"{street}","city":"Vigo","country":"ES"}}"#)
        };
        put(&mut driver, "ITEM", "7", r#"{"itemId":"7","name":"Tea","price":1.5}"#);
        put(&mut driver, "CUSTOMER", "C1", r#"{"customerId":"C1","name":"Ana","email":"a@b"}"#);
        put(&mut driver, "ORDER", "O1", &order(1));
        assert!(driver.read("ORDER-MAIL").is_none(), "there is no address yet");
        put(&mut driver, "CUSTOMER-ADDRESS", "C1", &address("Rúa 1"));
        put(&mut driver, "ORDER", "O2", &order(2));
        put(&mut driver, "CUSTOMER-ADDRESS", "C1", &address("Rúa 2"));
        put(&mut driver, "ORDER", "O3", &order(3));
        for (number, street) in [("O2", "Rúa 1"), ("O3", "Rúa 2")] {
            let produced = driver.read("ORDER-MAIL").unwrap();
            let mail: OrderMail = serde_json::from_slice(&produced.value.unwrap()).unwrap();
            assert_eq!((mail.order_id.as_str(), mail.total), (number, 3.0));
            assert_eq!(mail.address, format!("{street}, Vigo (ES)"));
            assert!(mail.text().contains("2 × Tea, 3.00 in all"));
        }
        put(&mut driver, "CUSTOMER", "C1", "");
        put(&mut driver, "ORDER", "O4", &order(4));
        assert!(driver.read("ORDER-MAIL").is_none());
    }
}
