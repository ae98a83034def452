//! The broker: bytes come in at a socket, go through a handler to a log, and an answer goes back.
//!
//! This crate puts the pure parts together with the world: it owns sockets (through `env`), the
//! order of answers, all waiting, the partitions of this node and their logs. It knows nothing
//! about the layout of files (`storage`), the encoding of messages (`protocol`), or how groups and
//! metadata decide (`coordinator`, `cluster`).
//!
//! The walk of a request: [`server`] accepts, [`connection`] takes it off the socket, [`dispatch`]
//! finds its handler under [`handlers`], which looks things up in [`topics`], appends to or reads
//! from a [`partition`], and waits through [`waiting`]; the answer leaves through the connection,
//! in the order of the requests.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

pub mod config;

pub mod server;

pub mod admission;
pub mod connection;
pub mod memory;

pub mod dispatch;
pub mod handlers;

mod blocking;
pub mod broker;
pub mod dynamic;
pub mod fetch_session;
pub mod metadata;
pub mod partition;
pub mod topics;
pub mod waiting;

pub mod groups;
mod housekeeping;
mod shards;
mod state_log;
pub mod transactions;

mod http;
pub mod metrics;
mod observer;
pub mod stopping;
