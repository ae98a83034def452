//! The world behind one door: clock, disk, network, randomness and spawning.
//!
//! Nothing outside this crate touches files, sockets, clocks, randomness or threads; that is what
//! makes a whole cluster run in one deterministic simulation. Each part is a small trait with a
//! real implementation and, under the feature `sim`, a simulated one.
//!
//! Knows nothing about Kafka, logs or protocols.

pub mod disk;
