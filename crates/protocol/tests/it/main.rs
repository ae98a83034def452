//! The wire formats from outside: what the public API promises, and what Apache Kafka thinks of it.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests read the schema files")]

mod allocation;
mod hostile;
mod java;
mod records;
mod round_trip;
mod subject;
mod versions;
