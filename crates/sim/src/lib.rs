//! A broker, its disk, the network and its clients in one deterministic simulation, under turmoil.
//!
//! A seed decides a whole life: how the cluster is set up, who uses it ([`scenario`]), when the
//! broker dies and how, when machines lose sight of each other ([`turmoil`]), and every delay in
//! between. The broker is [`afluente_broker`], whole; the programs that use it stand on
//! [`afluente_client`] and are as careful as a good user. They tell an [`oracle`] what they asked
//! for, what was acknowledged and what they read; it is a plain model in memory, and knows nothing of
//! how either side works.
//!
//! What is held against every life:
//!
//! * A record that was acknowledged is there at the end, at its offset, and so is a record that any
//!   reader ever saw.
//! * A reader sees offsets in order and skips nothing that was there to be read.
//! * A record of an idempotent or transactional producer is there once, in the order of sending.
//! * Of a transaction all records are read or none: all when its commit was acknowledged, none when
//!   it was aborted or its commit was never asked for.
//! * What is read, processed and written in transactions is written exactly once.
//! * A group delivers every record to one of its members at least, its committed offsets do not go
//!   back, and when the turmoil is over each partition has one owner.
//! * When the turmoil is over, everything comes to an end: no transaction hangs, no call does.
//!
//! | module | what it knows |
//! |---|---|
//! | [`scenario`] | what a seed chooses |
//! | [`run`](mod@run) | the machines, the clock, the end |
//! | [`turmoil`] | crashes and partitions, and when |
//! | [`oracle`] | what was said and seen, and what cannot be |
//! | `broker`, `producing`, `transactions`, `processing`, `group`, `following`, `administration` | the programs |
//! | `audit` | the last reader, when all is calm |
#![cfg(feature = "sim")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

pub mod oracle;
pub mod run;
pub mod scenario;
pub mod turmoil;

mod administration;
mod audit;
mod broker;
mod following;
mod group;
mod processing;
mod producing;
mod shared;
mod transactions;

pub use run::{Failure, Ran, run, run_as};
pub use scenario::Scenario;
