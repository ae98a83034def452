//! The simulation's own promises, and the seeds that run with every change.
#![allow(clippy::unwrap_used, reason = "tests")]

mod seeds;
