//! The world behind one door: clock, disk, network, randomness and spawning.
//!
//! Nothing outside this crate touches files, sockets, clocks, randomness or threads; that is what
//! makes a whole cluster run in one deterministic simulation. Each part has a real implementation
//! and, under the feature `sim`, a simulated one.
//!
//! Knows nothing about Kafka, logs or protocols.

pub mod clock;
pub mod disk;
pub mod rng;
#[cfg(feature = "sim")]
pub mod sim;
pub mod worker;

use clock::Clock;
use disk::{Disk, RealDisk};
use rng::Rng;
use std::fmt;
use std::sync::Arc;
use worker::Workers;

/// Everything that a part of the product may touch of the world. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    /// Time.
    pub clock: Clock,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Randomness.
    pub rng: Rng,
    /// Threads for work that blocks.
    pub workers: Workers,
}

impl Env {
    /// This machine.
    #[must_use]
    pub fn real() -> Self {
        Self {
            clock: Clock::real(),
            disk: Arc::new(RealDisk),
            rng: Rng::real(),
            workers: Workers::real(),
        }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("clock", &self.clock)
            .field("rng", &self.rng)
            .finish_non_exhaustive()
    }
}
