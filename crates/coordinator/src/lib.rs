//! Groups, committed offsets and transactions: what Kafka's coordinators decide.
//!
//! Everything here is a state machine. A request, or the passing of time, goes in; records to
//! append and answers to give come out by value ([`effects::Effects`]). Recovery replays the same
//! records through [`groups::GroupShard::replay`].
//!
//! Does no IO, reads no clock, spawns nothing: time and randomness come in as arguments. Knows
//! nothing about sockets, logs or the cluster's metadata log.

pub mod effects;
pub mod groups;
pub mod timers;
pub mod topics;
pub mod transactions;
