//! Stream processing in the manner of Kafka Streams: an application describes a topology of streams, tables and stores, and
//! runs it as many times as it likes; each process takes its share of the partitions.
//!
//! The description is built by the [`dsl`]. The [`runtime`] runs it on a cluster, a [`TestDriver`](driver::TestDriver) by hand. Names, internal topics and the bytes on
//! them are those of Kafka Streams 4.3, and tests hold both against each other.
//!
//! Knows nothing about SQL, and reaches Kafka only through the client.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

pub mod driver;
pub mod dsl;
pub mod engine;
mod error;
pub mod handlers;
mod processors;
pub mod record;
pub mod runtime;
pub mod serdes;
pub mod stores;
pub mod topology;

pub use error::{Error, Flow};
pub use topology::Topology;
