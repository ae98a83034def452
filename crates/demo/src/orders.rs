//! A shop's tables as streams of changes: customers, their addresses, items, and orders.
//!
//! Customers move, prices change, accounts are closed (tombstones): what a join over these topics
//! has to keep up with.

use crate::invoices::{self, Address};
use crate::pace::Pace;
use crate::record::{Outgoing, Topic, money};
use afluente_env::rng::Rng;
use serde::Serialize;

/// Keyed by `customerId`.
pub const CUSTOMERS: Topic = Topic::compacted("customers", 3);
/// Keyed by `customerId`, as customers are: a join needs no other partition.
pub const ADDRESSES: Topic = Topic::compacted("addresses", 3);
/// Keyed by `itemId`.
pub const ITEMS: Topic = Topic::compacted("items", 3);
/// Keyed by `orderId`.
pub const ORDERS: Topic = Topic::of("orders", 3);

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

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Customer {
    customer_id: String,
    name: String,
    email: String,
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
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Order<'a> {
            order_id: String,
            customer_id: &'a str,
            item_id: &'a str,
            quantity: u64,
            ordered_at: i64,
        }
        self.order_number += 1;
        let order = Order {
            order_id: format!("O{}", self.order_number),
            customer_id: &self.customers[customer].customer_id,
            item_id: invoices::item(rng).0,
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
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct CustomerAddress<'a> {
        customer_id: &'a str,
        street: String,
        city: String,
        country: String,
    }
    let Address { street, city, country } = invoices::address(rng);
    let value = CustomerAddress { customer_id, street, city, country };
    Outgoing::new(ADDRESSES.name, customer_id, &value)
}

fn item_record((code, name, _): (&str, &str, u64), cents: u64) -> Outgoing {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Item<'a> {
        item_id: &'a str,
        name: &'a str,
        price: f64,
    }
    Outgoing::new(ITEMS.name, code, &Item { item_id: code, name, price: money(cents) })
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
                ("customers", Some(_)) => assert!(customers.insert(record.key.clone())),
                ("customers", None) => {
                    closed += 1;
                    assert!(customers.remove(&record.key), "{}", record.key);
                }
                ("items", Some(_)) => {
                    items.insert(record.key.clone());
                }
                ("orders", Some(order)) => {
                    orders += 1;
                    assert!(customers.contains(order["customerId"].as_str().unwrap()));
                    assert!(items.contains(order["itemId"].as_str().unwrap()));
                }
                ("addresses", value) => {
                    assert!(value.is_none() || customers.contains(&record.key));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(orders > 4_500 && closed > 50, "{orders} orders, {closed} closed");
        assert!(shop.customers.len() <= CUSTOMERS_MAX);
    }
}
