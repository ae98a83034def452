//! The simulated world: one seed, one thread, virtual time.
//!
//! [`Machine`] is a computer whose disk outlives its processes; it can be driven by hand, one worker
//! step at a time.

mod machine;
mod trace;

pub use machine::Machine;
pub use trace::Trace;
