//! The world behind one door: clock, disk, network, randomness and spawning.
//!
//! Nothing outside this crate touches files, sockets, clocks, randomness or threads; that is what
//! makes a whole cluster run in one deterministic simulation. Each part has a real implementation
//! and, under the feature `sim`, a simulated one.
//!
//! Knows nothing about Kafka, logs or protocols.

pub mod clock;
pub mod disk;
pub mod memory;
pub mod net;
pub mod rng;
#[cfg(feature = "sim")]
pub mod sim;
pub mod tasks;
pub mod watch;
pub mod worker;

use clock::Clock;
use disk::{Disk, RealDisk};
use net::Net;
use rng::Rng;
use std::fmt;
use std::sync::Arc;
use tasks::Tasks;
use worker::Workers;

/// Everything that a part of the product may touch of the world. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    /// Time.
    pub clock: Clock,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Sockets.
    pub net: Net,
    /// Randomness.
    pub rng: Rng,
    /// What waits for sockets and time.
    pub tasks: Tasks,
    /// Threads for work that blocks.
    pub workers: Workers,
}

impl Env {
    /// This machine, with tasks on the runtime of who spawns them; a server puts the tasks of its
    /// [`Cores`](tasks::Cores) in their place.
    #[must_use]
    pub fn real() -> Self {
        Self {
            clock: Clock::real(),
            disk: Arc::new(RealDisk),
            net: Net::real(),
            rng: Rng::real(),
            tasks: Tasks::here(),
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
