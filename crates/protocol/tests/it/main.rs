//! The wire formats from outside: what the public API promises, and what Apache Kafka thinks of it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod records;
