//! Many machines and the network between them, all from one seed, on one thread, in virtual time.

use super::{Machine, Trace};
use crate::Env;
use crate::clock::{SIM_EPOCH, SimClock};
use crate::disk::BitFlip;
use crate::rng::Rng;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::{Duration, UNIX_EPOCH};

/// What simulated software ends with; an error ends the simulation.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A network of simulated machines.
///
/// The seed decides everything: delays on the links, the order of machines and workers, short
/// transfers, what a power cut keeps. What is left to the software is to bring in no chance of its
/// own: no `HashMap` whose order can be seen, and `biased` in each `tokio::select!`.
///
/// ```
/// # use afluente_env::{net::ListenOptions, sim::Simulation};
/// let mut simulation = Simulation::new(7);
/// simulation.machine("server", |env| async move {
///     let listener = env.net.listen("0.0.0.0:9092".parse()?, ListenOptions::default()).await?;
///     loop {
///         listener.accept().await?;
///     }
/// });
/// simulation.client("client", |env| async move {
///     env.net.connect("server", 9092).await?;
///     Ok(())
/// });
/// simulation.run().unwrap();
/// ```
pub struct Simulation {
    network: turmoil::Sim<'static>,
    machines: BTreeMap<String, Machine>,
    rng: Rng,
    trace: Trace,
    traced: u64,
}

impl Simulation {
    /// A network without machines.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_tick(seed, Duration::from_millis(1))
    }

    /// A network without machines, whose time goes on by `tick`: each step of a simulation costs
    /// the same, so that a coarse one is good for long lives.
    #[must_use]
    pub fn with_tick(seed: u64, tick: Duration) -> Self {
        let rng = Rng::seeded(seed);
        align_task_ids();
        let network = turmoil::Builder::new()
            .rng_seed(rng.u64())
            .epoch(UNIX_EPOCH + SIM_EPOCH)
            .tick_duration(tick)
            .max_message_latency(Duration::from_millis(20))
            .enable_random_order()
            // The one who runs it says when it is enough.
            .simulation_duration(Duration::from_secs(1 << 32))
            .build();
        Self { network, machines: BTreeMap::new(), rng, trace: Trace::new(), traced: 0 }
    }

    /// Adds a machine and starts it. `software` is a process: it is called at each start, with a
    /// fresh world on the old disk.
    pub fn machine<F>(&mut self, name: &str, software: impl Fn(Env) -> F + 'static) -> Machine
    where
        F: Future<Output = Outcome> + 'static,
    {
        let machine = self.new_machine(name);
        let booting = machine.clone();
        self.network.host(name, move || {
            let env = boot(&booting);
            software(env)
        });
        machine
    }

    /// Adds a machine whose software runs once. The simulation ends when all clients have ended.
    pub fn client<F>(&mut self, name: &str, software: impl FnOnce(Env) -> F + 'static) -> Machine
    where
        F: Future<Output = Outcome> + 'static,
    {
        let machine = self.new_machine(name);
        let booting = machine.clone();
        self.network.client(name, async move { software(boot(&booting)).await });
        machine
    }

    fn new_machine(&mut self, name: &str) -> Machine {
        let machine = Machine::new(SimClock::of_turmoil(), self.rng.fork(), self.trace.clone());
        let previous = self.machines.insert(name.to_owned(), machine.clone());
        assert!(previous.is_none(), "two machines called \"{name}\"");
        machine
    }

    /// Cuts the power of a machine, which stays off until [`Simulation::start`]. Gives the bit that
    /// flipped on its disk, if one did.
    pub fn cut_power(&mut self, name: &str) -> Option<BitFlip> {
        // The disk first: what the dying do in their drops must not reach it.
        let flip = self.machines[name].cut_power();
        self.network.crash(name);
        flip
    }

    /// Kills the process of a machine, which is not started again until [`Simulation::start`].
    pub fn kill(&mut self, name: &str) {
        self.machines[name].kill();
        self.network.crash(name);
    }

    /// Starts a machine that lost its power, or its process.
    pub fn start(&mut self, name: &str) {
        self.network.bounce(name);
    }

    /// Lets a tick pass. True when all clients have ended.
    ///
    /// # Errors
    /// What software ended with, or that a task panicked.
    pub fn step(&mut self) -> Result<bool, Box<dyn std::error::Error>> {
        let ended = self.network.step()?;
        if self.trace.count() != self.traced {
            self.trace.note(format_args!("time: {:?}", self.network.elapsed()));
            self.traced = self.trace.count();
        }
        match self.trace.panics() {
            0 => Ok(ended),
            count => Err(format!("{count} tasks panicked").into()),
        }
    }

    /// Steps until all clients have ended.
    ///
    /// # Errors
    /// What software ended with, or that a task panicked.
    pub fn run(&mut self) -> Outcome {
        while !self.step()? {}
        Ok(())
    }

    /// Steps for so much virtual time, or until all clients have ended.
    ///
    /// # Errors
    /// What software ended with, or that a task panicked.
    pub fn run_for(&mut self, time: Duration) -> Outcome {
        let end = self.network.elapsed() + time;
        while self.network.elapsed() < end && !self.step()? {}
        Ok(())
    }

    /// The network, to part machines, hold messages, or change delays.
    pub fn network(&mut self) -> &mut turmoil::Sim<'static> {
        &mut self.network
    }

    /// Randomness for who runs the simulation.
    #[must_use]
    pub fn rng(&self) -> &Rng {
        &self.rng
    }

    /// What happened so far.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// Tokio numbers tasks through the whole process, and when a runtime dies it drops its tasks in an
/// order that depends on their numbers modulo the shards of its list. Each dropped connection draws
/// a delay from the seed: so each simulation begins at a multiple of this, as the first one does.
const TASK_ID_MODULUS: u64 = 64;

/// Uses up numbers of tasks until the next is a multiple of [`TASK_ID_MODULUS`]. Other simulations
/// on other threads of the process spoil it; a process for each test does not.
fn align_task_ids() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without drivers needs nothing of the system");
    for _ in 0..TASK_ID_MODULUS {
        let number = runtime.spawn(async {}).id().to_string();
        if number.parse::<u64>().is_ok_and(|number| number.is_multiple_of(TASK_ID_MODULUS)) {
            break;
        }
    }
}

/// A process begins: its world, and who steps its workers.
#[expect(clippy::disallowed_methods, reason = "the driver is no task of the software")]
fn boot(machine: &Machine) -> Env {
    tokio::spawn(machine.workers().drive());
    machine.boot()
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machines: Vec<_> = self.machines.keys().collect();
        write!(f, "Simulation({machines:?}, {:?}, {:?})", self.network.elapsed(), self.trace)
    }
}

#[cfg(test)]
mod tests;
