//! What reads the invoices: four services, each a consumer group of its own.
//!
//! Each is given the invoices of its partitions and gives back what it has to say.

use crate::invoices::Invoice;
use crate::record::{Outgoing, Topic, money};
use afluente_env::rng::Rng;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// Stock that left the shelves, keyed by `ItemCode`.
pub const INVENTORY: Topic = Topic::of("inventory", 3);
/// Points that were earned, keyed by card.
pub const LOYALTY: Topic = Topic::of("loyalty", 3);
/// Messages to customers about their points, keyed by card.
pub const SMS: Topic = Topic::of("sms", 3);
/// What is to be brought home, keyed by `InvoiceNumber`.
pub const SHIPMENTS: Topic = Topic::of("shipments", 3);
/// The books, keyed by `StoreID`.
pub const LEDGER: Topic = Topic::of("ledger", 3);

/// A service, and what it remembers.
#[derive(Debug)]
pub enum Service {
    /// Takes what was sold off the stock.
    Inventory,
    /// Gives points to cards, and tells their owners seconds later.
    Loyalty(Loyalty),
    /// Sends what is to be delivered.
    Shipment,
    /// Keeps the books.
    Finance,
}

/// Points, and messages that wait to be sent.
#[derive(Debug, Default)]
pub struct Loyalty {
    points: BTreeMap<String, u64>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    due_ms: i64,
    card: String,
    points: u64,
    invoice_number: String,
}

/// Messages that wait; beyond, the oldest is sent at once.
const WAITING_MAX: usize = 10_000;

/// An SMS goes out so long after the reward.
const SMS_DELAY_MS: std::ops::Range<u64> = 2_000..6_000;

/// A point for each whole unit of money.
const CENTS_A_POINT: u64 = 100;

/// Of the gross amount.
const TAX_PERCENT: u64 = 21;

impl Service {
    /// All four.
    #[must_use]
    pub fn all() -> Vec<Self> {
        vec![Self::Inventory, Self::Loyalty(Loyalty::default()), Self::Shipment, Self::Finance]
    }

    /// Its consumer group.
    #[must_use]
    pub fn group(&self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Loyalty(_) => "loyalty",
            Self::Shipment => "shipment",
            Self::Finance => "finance",
        }
    }

    /// What an invoice makes it say.
    pub fn take(&mut self, invoice: &Invoice, now_ms: i64, rng: &Rng) -> Vec<Outgoing> {
        match self {
            Self::Inventory => stock_moves(invoice),
            Self::Loyalty(loyalty) => loyalty.reward(invoice, now_ms, rng).into_iter().collect(),
            Self::Shipment => shipment(invoice).into_iter().collect(),
            Self::Finance => vec![booking(invoice)],
        }
    }

    /// What became due by time alone.
    pub fn step(&mut self, now_ms: i64) -> Vec<Outgoing> {
        match self {
            Self::Loyalty(loyalty) => loyalty.send_due(now_ms),
            Self::Inventory | Self::Shipment | Self::Finance => Vec::new(),
        }
    }
}

fn stock_moves(invoice: &Invoice) -> Vec<Outgoing> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct StockMove<'a> {
        item_code: &'a str,
        item_description: &'a str,
        #[serde(rename = "StoreID")]
        store_id: &'a str,
        quantity: i64,
        invoice_number: &'a str,
    }
    let stock_move = |line: &crate::invoices::Line| {
        let value = StockMove {
            item_code: &line.item_code,
            item_description: &line.item_description,
            store_id: &invoice.store_id,
            quantity: -i64::from(line.item_qty),
            invoice_number: &invoice.invoice_number,
        };
        Outgoing::new(INVENTORY.name, &line.item_code, &value)
    };
    invoice.lines.iter().map(stock_move).collect()
}

fn shipment(invoice: &Invoice) -> Option<Outgoing> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Shipment<'a> {
        invoice_number: &'a str,
        #[serde(rename = "StoreID")]
        store_id: &'a str,
        address: &'a crate::invoices::Address,
        number_of_items: u32,
    }
    let value = Shipment {
        invoice_number: &invoice.invoice_number,
        store_id: &invoice.store_id,
        address: invoice.delivery_address.as_ref()?,
        number_of_items: invoice.number_of_items,
    };
    Some(Outgoing::new(SHIPMENTS.name, &invoice.invoice_number, &value))
}

fn booking(invoice: &Invoice) -> Outgoing {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Booking<'a> {
        invoice_number: &'a str,
        #[serde(rename = "StoreID")]
        store_id: &'a str,
        net: f64,
        tax: f64,
        gross: f64,
        payment_method: &'a str,
    }
    let gross = cents(invoice.total_amount);
    let net = gross * 100 / (100 + TAX_PERCENT);
    let value = Booking {
        invoice_number: &invoice.invoice_number,
        store_id: &invoice.store_id,
        net: money(net),
        tax: money(gross - net),
        gross: money(gross),
        payment_method: &invoice.payment_method,
    };
    Outgoing::new(LEDGER.name, &invoice.store_id, &value)
}

impl Loyalty {
    fn reward(&mut self, invoice: &Invoice, now_ms: i64, rng: &Rng) -> Option<Outgoing> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Reward<'a> {
            customer_card_no: &'a str,
            invoice_number: &'a str,
            earned_points: u64,
            total_points: u64,
        }
        let card = invoice.customer_card_no.as_ref()?;
        let earned_points = cents(invoice.total_amount) / CENTS_A_POINT;
        let total = self.points.entry(card.clone()).or_default();
        *total += earned_points;
        let value = Reward {
            customer_card_no: card,
            invoice_number: &invoice.invoice_number,
            earned_points,
            total_points: *total,
        };
        let delay = i64::try_from(rng.range(SMS_DELAY_MS)).expect("a few seconds");
        self.waiting.push_back(Waiting {
            due_ms: now_ms + delay,
            card: card.clone(),
            points: earned_points,
            invoice_number: invoice.invoice_number.clone(),
        });
        Some(Outgoing::new(LOYALTY.name, card, &value))
    }

    fn send_due(&mut self, now_ms: i64) -> Vec<Outgoing> {
        let mut due = Vec::new();
        let excess = self.waiting.len().saturating_sub(WAITING_MAX);
        due.extend(self.waiting.drain(..excess).map(|waiting| waiting.sms(now_ms)));
        // Delays differ, so what is due may stand behind what is not.
        self.waiting.retain(|waiting| {
            let is_due = waiting.due_ms <= now_ms;
            if is_due {
                due.push(waiting.sms(now_ms));
            }
            !is_due
        });
        due
    }
}

impl Waiting {
    fn sms(&self, now_ms: i64) -> Outgoing {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Sms<'a> {
            customer_card_no: &'a str,
            invoice_number: &'a str,
            sent_time: i64,
            text: String,
        }
        let value = Sms {
            customer_card_no: &self.card,
            invoice_number: &self.invoice_number,
            sent_time: now_ms,
            text: format!("Thank you! You earned {} points.", self.points),
        };
        Outgoing::new(SMS.name, &self.card, &value)
    }
}

fn cents(amount: f64) -> u64 {
    (amount * 100.0).round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invoices::{Address, Line};

    fn invoice(card: Option<&str>, delivered: bool) -> Invoice {
        let address =
            Address { street: "Calle Mayor 1".into(), city: "Madrid".into(), country: "ES".into() };
        Invoice {
            invoice_number: "17".into(),
            created_time: 5,
            store_id: "S01".into(),
            cashier_id: None,
            customer_card_no: card.map(str::to_owned),
            total_amount: 12.34,
            number_of_items: 2,
            payment_method: "CASH".into(),
            delivery_type: String::new(),
            delivery_address: delivered.then_some(address),
            lines: vec![Line {
                item_code: "2001".into(),
                item_description: "Coffee".into(),
                item_price: 6.17,
                item_qty: 2,
                total_value: 12.34,
            }],
        }
    }

    fn say(service: &mut Service, invoice: &Invoice) -> Vec<serde_json::Value> {
        let records = service.take(invoice, 0, &Rng::seeded(1));
        records
            .iter()
            .map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn each_service_says_what_concerns_it() {
        let [mut inventory, mut loyalty, mut shipment, mut finance] =
            <[Service; 4]>::try_from(Service::all()).unwrap();
        let plain = invoice(None, false);
        let moves = say(&mut inventory, &plain);
        assert_eq!((&moves[0]["ItemCode"], &moves[0]["Quantity"]), (&"2001".into(), &(-2).into()));
        assert!(say(&mut loyalty, &plain).is_empty() && say(&mut shipment, &plain).is_empty());
        let books = say(&mut finance, &plain);
        assert_eq!(books[0]["Net"].as_f64().unwrap() + books[0]["Tax"].as_f64().unwrap(), 12.34);
        assert_eq!(say(&mut shipment, &invoice(None, true))[0]["Address"]["City"], "Madrid");
    }

    #[test]
    fn points_add_up_and_the_sms_comes_seconds_after() {
        let mut loyalty = Service::Loyalty(Loyalty::default());
        let with_card = invoice(Some("70000001"), false);
        assert_eq!(say(&mut loyalty, &with_card)[0]["TotalPoints"], 12);
        assert_eq!(say(&mut loyalty, &with_card)[0]["TotalPoints"], 24);
        assert!(loyalty.step(1_999).is_empty());
        let sent = loyalty.step(6_000);
        assert_eq!(sent.len(), 2);
        assert_eq!((sent[0].topic, sent[0].key.as_str()), ("sms", "70000001"));
        assert!(loyalty.step(60_000).is_empty());
    }
}
