//! The broker: bytes come in at a socket, go through a handler to a log, and an answer goes back.
//!
//! This crate puts the pure parts together with the world: it owns sockets (through `env`), the
//! order of answers, all waiting, the partitions of this node and their logs. It knows nothing
//! about the layout of files (`storage`), the encoding of messages (`protocol`), or how groups and
//! metadata decide (`coordinator`, `cluster`).

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

pub mod config;
