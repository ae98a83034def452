//! Live data to look at: invoices of a hundred stores, orders, and the flights of a week.
//!
//! The generators and the services that read them are state machines: they are given the time and
//! randomness, and give back records. Only [`run`] knows that there is a cluster.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

pub mod flights;
pub mod invoices;
pub mod mails;
pub mod orders;
pub mod services;
pub mod windows;

pub mod run;

mod pace;
mod record;

pub use record::{Outgoing, Topic};
