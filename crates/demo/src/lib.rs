//! Live data to look at: invoices of a hundred stores, orders, and the flights of a week.
//!
//! The generators and the services that read them are state machines: they are given the time and
//! randomness, and give back records. They know nothing about clients, brokers or tasks.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

pub mod flights;
pub mod invoices;
pub mod orders;
pub mod services;

mod pace;
mod record;

pub use record::{Outgoing, Topic};
