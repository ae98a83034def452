//! Stream processing in the manner of Kafka Streams: an application describes a topology of streams, tables and stores, and
//! runs it as many times as it likes; each process takes its share of the partitions.
//!
//! The description is built by the [`dsl`]. A [`TestDriver`](driver::TestDriver) runs it by hand. Names, internal topics and the bytes on
//! them are those of Kafka Streams 4.3, and tests hold both against each other.
//!
//! Knows nothing about SQL, and reaches Kafka only through the client.

#![allow(
    dead_code,
    reason = "punctuation, restoring and global stores wait for the processor API and the runtime"
)]

pub mod driver;
pub mod dsl;
pub mod engine;
mod error;
mod processors;
pub mod record;
pub mod serdes;
pub mod stores;
pub mod topology;

pub use error::{Error, Flow};
pub use topology::Topology;
