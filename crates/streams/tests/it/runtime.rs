//! Applications against real brokers: our binary, and Apache Kafka where Java and its jars are there.

mod cluster;
mod failing;
mod fire;
mod sameness;
mod sharing;
mod takeover;
mod topics;
