//! Tests of the storage engine through its public interface, on a simulated machine.
#![allow(clippy::unwrap_used, reason = "tests")]

mod adopt;
mod basics;
mod damage;
mod dump;
mod kill;
mod model;
mod scrub;
mod steps;
mod world;
