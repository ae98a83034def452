//! The simulated world: one seed, one thread, virtual time.
//!
//! [`Machine`] is a computer whose disk outlives its processes; a test of one part drives it by
//! hand, one worker step at a time. [`Simulation`] is many of them with a network between.

mod machine;
mod simulation;
mod trace;

pub use machine::Machine;
pub use simulation::{Outcome, Simulation};
pub use trace::Trace;
