//! Tests of the storage engine through its public interface, on a simulated machine.
#![allow(clippy::unwrap_used, reason = "tests")]

mod basics;
mod model;
mod world;
