//! For tests only: the real Apache Kafka beside us.
//!
//! Truth about Kafka's wire, files and behaviour comes from Apache Kafka's own jars. This crate finds Java and the jars
//! ([`java`]), starts and stops a broker ([`broker`]: Apache Kafka's or our own binary, behind one face, and [`control`]), runs
//! `kafka-dump-log` over a directory and reads what it says ([`dump_log`]), and unpacks what Apache Kafka once wrote
//! ([`fixtures`]).
//!
//! A machine without Java is a normal one: [`java::Java::or_skip`] then prints `skipped: <what>: <why>`, which the
//! totals of `cargo xtask ci` count, and the test returns.
//!
//! It knows nothing of the crates of the product, and it touches files, processes and sockets directly: what it talks
//! to is outside of any simulation.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "drives real processes; the `env` door is for code that can be simulated"
)]

pub mod broker;
pub mod control;
pub mod dump_log;
pub mod fixtures;
pub mod java;
pub mod skip;
