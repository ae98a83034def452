//! Invoices of 99 stores and one online shop, in waves like days of trade.

mod catalogue;

use crate::pace::{Pace, wave};
use crate::record::{Outgoing, Topic, money};
use afluente_env::rng::Rng;
use catalogue::{ITEMS, STREETS, TOWNS};
use serde::{Deserialize, Serialize};

/// Where invoices go, keyed by `StoreID`.
pub const INVOICES: Topic = Topic::of("invoices", 6);

/// Stores, with the online shop as the last one.
pub const STORES: u32 = 100;

/// `StoreID` of the shop that has no address.
pub const ONLINE: &str = "ONLINE";

/// Loyalty cards in the customers' pockets.
const CARDS: u64 = 5_000;

/// One of so many stores.
const ONLINE_SHARE: f64 = 0.2;

/// How busy the stores are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trade {
    /// Invoices a second, as the average of a day.
    pub per_second: f64,
    /// How long a day lasts; a short one shows its waves.
    pub day_ms: i64,
}

/// The till of all stores.
#[derive(Debug)]
pub struct Stores {
    trade: Trade,
    pace: Pace,
    number: u64,
}

/// What the customer takes home. Names are those of the till.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Invoice {
    /// Unique in all stores.
    pub invoice_number: String,
    /// Unix milliseconds.
    pub created_time: i64,
    /// `S01` to `S99`, or `ONLINE`.
    #[serde(rename = "StoreID")]
    pub store_id: String,
    /// Who sat at the till; nobody does online.
    #[serde(rename = "CashierID")]
    pub cashier_id: Option<String>,
    /// The loyalty card, if the customer has one.
    pub customer_card_no: Option<String>,
    /// Sum of the lines.
    pub total_amount: f64,
    /// Sum of the quantities.
    pub number_of_items: u32,
    /// `CARD`, `CASH` or `WALLET`.
    pub payment_method: String,
    /// `TAKE-AWAY` or `HOME-DELIVERY`.
    pub delivery_type: String,
    /// Where to, with home delivery.
    pub delivery_address: Option<Address>,
    /// What was bought.
    pub lines: Vec<Line>,
}

/// Where a customer lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Address {
    /// With the number of the house.
    pub street: String,
    /// The town.
    pub city: String,
    /// The country, ISO 3166.
    pub country: String,
}

/// A line of an invoice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Line {
    /// The item's number.
    pub item_code: String,
    /// The item's name.
    pub item_description: String,
    /// For one.
    pub item_price: f64,
    /// How many.
    pub item_qty: u32,
    /// Price times quantity.
    pub total_value: f64,
}

impl Stores {
    /// Opens the stores. `now_ms` starts the numbers, so that those of a later run differ.
    #[must_use]
    pub fn open(trade: Trade, now_ms: i64) -> Self {
        Self { trade, pace: Pace::new(), number: now_ms.unsigned_abs() / 100 * 1_000 }
    }

    /// The invoices that were written since the last step.
    pub fn step(&mut self, now_ms: i64, rng: &Rng) -> Vec<Outgoing> {
        let of_day = now_ms.rem_euclid(self.trade.day_ms) as f64 / self.trade.day_ms as f64;
        let due = self.pace.due(now_ms, self.trade.per_second * wave(of_day));
        (0..due).map(|_| self.sell(now_ms, rng)).collect()
    }

    fn sell(&mut self, now_ms: i64, rng: &Rng) -> Outgoing {
        self.number += 1;
        let is_online = rng.chance(ONLINE_SHARE);
        let store_id = if is_online {
            ONLINE.to_owned()
        } else {
            // The smaller of two numbers: stores with low ones sell more.
            let store = rng.range(1..u64::from(STORES)).min(rng.range(1..u64::from(STORES)));
            format!("S{store:02}")
        };
        let lines = lines(rng);
        let total_cents: u64 = lines.iter().map(|(_, cents)| cents).sum();
        let lines: Vec<Line> = lines.into_iter().map(|(line, _)| line).collect();
        let is_delivered = is_online || rng.chance(0.05);
        let cashier = rng.range(1..8);
        let invoice = Invoice {
            invoice_number: self.number.to_string(),
            created_time: now_ms,
            cashier_id: (!is_online).then(|| format!("{store_id}-C{cashier}")),
            customer_card_no: rng
                .chance(0.4)
                .then(|| format!("{:08}", 70_000_000 + rng.range(0..CARDS))),
            total_amount: money(total_cents),
            number_of_items: lines.iter().map(|line| line.item_qty).sum(),
            payment_method: pick(&["CARD", "CARD", "CASH", "WALLET"], rng).to_owned(),
            delivery_type: if is_delivered { "HOME-DELIVERY" } else { "TAKE-AWAY" }.to_owned(),
            delivery_address: is_delivered.then(|| address(rng)),
            store_id,
            lines,
        };
        Outgoing::new(INVOICES.name, &invoice.store_id, &invoice)
    }
}

/// The lines of an invoice, each with its value in cents.
fn lines(rng: &Rng) -> Vec<(Line, u64)> {
    let count = 1 + rng.range(0..4) + rng.range(0..4);
    (0..count)
        .map(|_| {
            // The smaller of two indexes: what stands first in the catalogue sells best.
            let (code, description, cents) =
                ITEMS[rng.index(ITEMS.len()).min(rng.index(ITEMS.len()))];
            let quantity = if rng.chance(0.7) { 1 } else { rng.range(2..6) };
            let line = Line {
                item_code: code.to_owned(),
                item_description: description.to_owned(),
                item_price: money(cents),
                item_qty: u32::try_from(quantity).expect("below 6"),
                total_value: money(cents * quantity),
            };
            (line, cents * quantity)
        })
        .collect()
}

pub(crate) fn address(rng: &Rng) -> Address {
    let (city, country) = TOWNS[rng.index(TOWNS.len())];
    Address {
        street: format!("{} {}", pick(STREETS, rng), rng.range(1..180)),
        city: city.to_owned(),
        country: country.to_owned(),
    }
}

pub(crate) fn item(rng: &Rng) -> (&'static str, &'static str, u64) {
    ITEMS[rng.index(ITEMS.len())]
}

pub(crate) fn items() -> &'static [(&'static str, &'static str, u64)] {
    ITEMS
}

pub(crate) fn pick<'a>(of: &[&'a str], rng: &Rng) -> &'a str {
    of[rng.index(of.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn day() -> Vec<Invoice> {
        let mut stores = Stores::open(Trade { per_second: 20.0, day_ms: 100_000 }, 0);
        let rng = Rng::seeded(7);
        (0..=1_000)
            .flat_map(|step| stores.step(step * 100, &rng))
            .map(|record| {
                let invoice: Invoice = serde_json::from_slice(&record.value.unwrap()).unwrap();
                assert_eq!((record.topic, &record.key), ("invoices", &invoice.store_id));
                invoice
            })
            .collect()
    }

    #[test]
    fn a_day_has_its_rate_its_waves_and_all_stores() {
        let invoices = day();
        assert!((1_800..2_200).contains(&invoices.len()), "{}", invoices.len());
        let between = |from: i64, to: i64| {
            invoices.iter().filter(|invoice| (from..to).contains(&invoice.created_time)).count()
        };
        let (night, evening) = (between(0, 10_000), between(72_000, 82_000));
        assert!(evening > 5 * night, "{evening} in the evening, {night} at night");
        let stores: BTreeSet<_> = invoices.iter().map(|invoice| &invoice.store_id).collect();
        assert!(stores.len() > 95 && stores.contains(&ONLINE.to_owned()), "{}", stores.len());
        let numbers: BTreeSet<_> = invoices.iter().map(|invoice| &invoice.invoice_number).collect();
        assert_eq!(numbers.len(), invoices.len());
    }

    #[test]
    fn an_invoice_adds_up() {
        for invoice in day() {
            let cents = |value: f64| (value * 100.0).round() as u64;
            let sum: u64 = invoice.lines.iter().map(|line| cents(line.total_value)).sum();
            assert_eq!(sum, cents(invoice.total_amount), "{invoice:?}");
            for line in &invoice.lines {
                assert_eq!(
                    cents(line.item_price) * u64::from(line.item_qty),
                    cents(line.total_value)
                );
            }
            assert_eq!(
                invoice.delivery_type == "HOME-DELIVERY",
                invoice.delivery_address.is_some()
            );
            assert_eq!(invoice.store_id == ONLINE, invoice.cashier_id.is_none());
        }
    }
}
