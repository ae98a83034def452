//! A shop's tables as streams of changes: customers, their addresses, items, and orders.
//!
//! Customers move, prices change, accounts are closed (tombstones): what a join over these topics
//! has to keep up with.

use crate::invoices::{self, Address};
use crate::pace::Pace;
use crate::record::{Outgoing, Topic, money};
use afluente_env::rng::Rng;
use serde::{Deserialize, Serialize};

/// Keyed by `customerId`.
pub const CUSTOMERS: Topic = Topic::compacted("CUSTOMER", 3);
/// Keyed by `customerId`, as customers are: a join needs no other partition.
pub const ADDRESSES: Topic = Topic::compacted("CUSTOMER-ADDRESS", 3);
/// Keyed by `itemId`.
pub const ITEMS: Topic = Topic::compacted("ITEM", 3);
/// Keyed by `orderId`.
pub const ORDERS: Topic = Topic::of("ORDER", 3);

/// All of the shop.
pub const TOPICS: [Topic; 4] = [CUSTOMERS, ADDRESSES, ITEMS, ORDERS];

/// Customers at a time; an order comes from one of them.
const CUSTOMERS_MAX: usize = 500;

const FIRST_NAMES: &[&str] = &[
    "Ana", "João", "Lucía", "Mateo", "Inês", "Diego", "Sofía", "Rui", "Carmen", "Tiago", "Elena",
    "Nuno",
];
const LAST_NAMES: &[&str] = &[
    "García",
    "Silva",
    "Fernández",
    "Souza",
    "Martínez",
    "Costa",
    "Pérez",
    "Almeida",
    "Ruiz",
    "Rocha",
];

/// The shop.
#[derive(Debug)]
pub struct Shop {
    per_second: f64,
    pace: Pace,
    is_stocked: bool,
    customers: Vec<Customer>,
    customer_number: u64,
    order_number: u64,
}

/// Who buys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    /// `C` and a number.
    pub customer_id: String,
    /// First and last name.
    pub name: String,
    /// Where mails go.
    pub email: String,
}

/// Where a customer lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomerAddress {
    /// Whose address it is.
    pub customer_id: String,
    /// Street and number.
    pub street: String,
    /// City.
    pub city: String,
    /// Two letters.
    pub country: String,
}

/// What is sold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Four digits.
    pub item_id: String,
    /// What it is called.
    pub name: String,
    /// For one.
    pub price: f64,
}

/// Some of one item for one customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// `O` and a number.
    pub order_id: String,
    /// Who ordered.
    pub customer_id: String,
    /// What.
    pub item_id: String,
    /// How many.
    pub quantity: u64,
    /// Unix milliseconds.
    pub ordered_at: i64,
}

impl Shop {
    /// Opens the shop, which takes `per_second` orders. `now_ms` starts the numbers, so that those
    /// of a later run differ.
    #[must_use]
    pub fn open(per_second: f64, now_ms: i64) -> Self {
        let number = now_ms.unsigned_abs() / 1_000 * 1_000;
        Self {
            per_second,
            pace: Pace::new(),
            is_stocked: false,
            customers: Vec::new(),
            customer_number: number,
            order_number: number,
        }
    }

    /// What happened since the last step. The first one puts the items on the shelves.
    pub fn step(&mut self, now_ms: i64, rng: &Rng) -> Vec<Outgoing> {
        let mut records = Vec::new();
        if !self.is_stocked {
            self.is_stocked = true;
            records.extend(invoices::items().iter().map(|item| item_record(*item, item.2)));
        }
        for _ in 0..self.pace.due(now_ms, self.per_second) {
            self.happen(now_ms, rng, &mut records);
        }
        records
    }

    fn happen(&mut self, now_ms: i64, rng: &Rng, records: &mut Vec<Outgoing>) {
        if self.customers.is_empty() || (self.customers.len() < CUSTOMERS_MAX && rng.chance(0.2)) {
            let customer = self.new_customer(rng);
            records.push(Outgoing::new(CUSTOMERS.name, &customer.customer_id, &customer));
            records.push(address_record(&customer.customer_id, rng));
            self.customers.push(customer);
        }
        let at = rng.index(self.customers.len());
        match rng.range(0..100) {
            // Moves house.
            0..5 => records.push(address_record(&self.customers[at].customer_id, rng)),
            // Closes the account: an order may still refer to it.
            5..7 if self.customers.len() > 10 => {
                let customer = self.customers.swap_remove(at);
                records.push(Outgoing::tombstone(CUSTOMERS.name, &customer.customer_id));
                records.push(Outgoing::tombstone(ADDRESSES.name, &customer.customer_id));
                return;
            }
            // A price goes up or down by up to a tenth.
            7..10 => {
                let item = invoices::item(rng);
                records.push(item_record(item, item.2 * rng.range(90..111) / 100));
            }
            _ => {}
        }
        records.push(self.order(at, now_ms, rng));
    }

    fn order(&mut self, customer: usize, now_ms: i64, rng: &Rng) -> Outgoing {
        self.order_number += 1;
        let order = Order {
            order_id: format!("O{}", self.order_number),
            customer_id: self.customers[customer].customer_id.clone(),
            item_id: invoices::item(rng).0.to_owned(),
            quantity: rng.range(1..5),
            ordered_at: now_ms,
        };
        Outgoing::new(ORDERS.name, &order.order_id, &order)
    }

    fn new_customer(&mut self, rng: &Rng) -> Customer {
        self.customer_number += 1;
        let (first, last) = (invoices::pick(FIRST_NAMES, rng), invoices::pick(LAST_NAMES, rng));
        Customer {
            customer_id: format!("C{}", self.customer_number),
            name: format!("{first} {last}"),
            email: format!("c{}@example.com", self.customer_number),
        }
    }
}

fn address_record(customer_id: &str, rng: &Rng) -> Outgoing {
    let Address { street, city, country } = invoices::address(rng);
    let value = CustomerAddress { customer_id: customer_id.to_owned(), street, city, country };
    Outgoing::new(ADDRESSES.name, customer_id, &value)
}

fn item_record((code, name, _): (&str, &str, u64), cents: u64) -> Outgoing {
    let item = Item { item_id: code.to_owned(), name: name.to_owned(), price: money(cents) };
    Outgoing::new(ITEMS.name, code, &item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn orders_refer_to_what_is_there_and_accounts_are_closed() {
        let mut shop = Shop::open(50.0, 0);
        let rng = Rng::seeded(3);
        let records: Vec<Outgoing> =
            (0..=1_000).flat_map(|step| shop.step(step * 100, &rng)).collect();
        let (mut customers, mut items) = (BTreeSet::new(), BTreeSet::new());
        let (mut orders, mut closed) = (0, 0);
        for record in &records {
            let value = record
                .value
                .as_ref()
                .map(|value| serde_json::from_slice::<serde_json::Value>(value).unwrap());
            match (record.topic, value) {
                ("CUSTOMER", Some(_)) => assert!(customers.insert(record.key.clone())),
                ("CUSTOMER", None) => {
                    closed += 1;
                    assert!(customers.remove(&record.key), "{}", record.key);
                }
                ("ITEM", Some(_)) => {
                    items.insert(record.key.clone());
                }
                ("ORDER", Some(order)) => {
                    orders += 1;
                    assert!(customers.contains(order["customerId"].as_str().unwrap()));
                    assert!(items.contains(order["itemId"].as_str().unwrap()));
                }
                ("CUSTOMER-ADDRESS", value) => {
                    assert!(value.is_none() || customers.contains(&record.key));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(orders > 4_500 && closed > 50, "{orders} orders, {closed} closed");
        assert!(shop.customers.len() <= CUSTOMERS_MAX);
    }
}
