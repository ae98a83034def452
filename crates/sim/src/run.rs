//! A life from its seed: the machines, the clock, the end.

use crate::scenario::{MACHINES, Program, Scenario};
use crate::shared::{BROKER, Phase, Shared};
use crate::turmoil::Turmoil;
use crate::{administration, audit, broker, following, group, processing, producing, transactions};
use afluente_env::Env;
use afluente_env::disk::Faults;
use afluente_env::rng::Rng;
use afluente_env::sim::{Outcome, Simulation};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How fine time is: delays and deadlines are rounded up to this.
const TICK: Duration = Duration::from_millis(5);
/// A life that is longer than this is one that hangs.
const LIFE_MAX: Duration = Duration::from_secs(600);

/// A life that was lived well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The hash of everything that happened.
    pub trace: u64,
    /// How many events that were.
    pub events: u64,
    /// How long it was.
    pub elapsed: Duration,
    /// Records sent, acknowledged and seen.
    pub records: (usize, usize, usize),
    /// The last events, where they were to be kept.
    pub lines: Vec<String>,
}

/// A life in which something is not as it must be.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which life.
    pub seed: u64,
    /// When it was found.
    pub at: Duration,
    /// What is wrong.
    pub what: Vec<String>,
    /// How it was set up.
    pub scenario: Scenario,
    /// The last events, where they were to be kept.
    pub lines: Vec<String>,
}

/// The most violations that a failure prints.
const SHOWN_MAX: usize = 8;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, what, scenario, .. } = self;
        writeln!(f, "seed {seed} fails after {at:?} of simulated time:")?;
        for what in what.iter().take(SHOWN_MAX) {
            writeln!(f, "  {what}")?;
        }
        if what.len() > SHOWN_MAX {
            writeln!(f, "  and {} more", what.len() - SHOWN_MAX)?;
        }
        writeln!(f, "  in {scenario:?}")?;
        write!(
            f,
            "repeat it: cargo run -p afluente-sim --features sim -- --from {seed} --lines 200"
        )
    }
}

impl std::error::Error for Failure {}

/// Lives the life of a seed. The last `lines_max` events are kept.
///
/// # Errors
/// What is not as it must be.
pub fn run(seed: u64, lines_max: usize) -> Result<Ran, Box<Failure>> {
    run_as(seed, lines_max, Scenario::of)
}

/// Lives a life of the cluster that `set_up` chooses, such as [`Scenario::crowd`].
///
/// # Errors
/// What is not as it must be.
pub fn run_as(
    seed: u64,
    lines_max: usize,
    set_up: fn(&Rng) -> Scenario,
) -> Result<Ran, Box<Failure>> {
    let mut simulation = Simulation::with_tick(seed, TICK);
    simulation.trace().keep_lines(lines_max);
    let trace = simulation.trace().clone();
    let scenario = set_up(&simulation.rng().fork());
    let shared = Shared::new(scenario, &trace);
    add_machines(&mut simulation, &shared);
    let outcome = live(&mut simulation, &shared);
    let judged = judged(seed, &mut simulation, &shared, outcome);
    // The workers of a process know its machine, and the machine them: only its death lets go.
    for machine in MACHINES.into_iter().chain([BROKER]) {
        simulation.kill(machine);
    }
    judged
}

fn judged(
    seed: u64,
    simulation: &mut Simulation,
    shared: &Shared,
    outcome: Outcome,
) -> Result<Ran, Box<Failure>> {
    let (trace, elapsed) = (simulation.trace().clone(), simulation.network().elapsed());
    let mut what = shared.oracle().violations().to_vec();
    what.extend(outcome.err().map(|error| error.to_string()));
    if what.is_empty() {
        return Ok(Ran {
            trace: trace.hash(),
            events: trace.count(),
            elapsed,
            records: shared.oracle().counts(),
            lines: trace.lines(),
        });
    }
    let scenario = shared.scenario.clone();
    Err(Box::new(Failure { seed, at: elapsed, what, scenario, lines: trace.lines() }))
}

fn add_machines(simulation: &mut Simulation, shared: &Arc<Shared>) {
    let at = Arc::clone(shared);
    let machine = simulation.machine(BROKER, move |env| broker::serve(env, Arc::clone(&at)));
    let latency = Duration::from_micros(20)..shared.scenario.disk_latency_max;
    machine.disk().set_faults(Faults { latency, ..Faults::default() });
    for (index, name) in MACHINES.into_iter().enumerate() {
        let (at, lives) = (Arc::clone(shared), AtomicUsize::new(0));
        simulation.machine(name, move |env| {
            let life = lives.fetch_add(1, Ordering::SeqCst);
            programs(env, Arc::clone(&at), index, life)
        });
    }
    let at = Arc::clone(shared);
    simulation.client("audit", |env| async move {
        let whole = audit::audit(env, at).await;
        whole.map_err(|error| format!("{error:#}").into())
    });
}

/// All programs of a machine.
async fn programs(env: Env, shared: Arc<Shared>, machine: usize, life: usize) -> Outcome {
    for (number, (program, on)) in shared.scenario.programs.iter().enumerate() {
        if *on == machine {
            let (own, shared, program) = (env.clone(), Arc::clone(&shared), *program);
            env.tasks.spawn(async move {
                let ended = start(own, Arc::clone(&shared), program, number, life).await;
                if let Err(error) = ended {
                    shared.oracle().violate(format_args!("{program:?} ends: {error:#}"));
                }
            });
        }
    }
    std::future::pending().await
}

async fn start(
    env: Env,
    shared: Arc<Shared>,
    program: Program,
    number: usize,
    life: usize,
) -> anyhow::Result<()> {
    match program {
        Program::Producer { is_idempotent } => producing::produce(env, shared, is_idempotent).await,
        Program::Transactions { index } => transactions::transact(env, shared, index).await,
        Program::Processor { index } => processing::process(env, shared, index).await,
        Program::Member { group } => group::read(env, shared, group, number).await,
        Program::Follower { topic, is_committed } => {
            following::follow(env, shared, topic, is_committed).await
        }
        Program::Administrator => administration::administer(env, shared, life).await,
    }
}

fn live(simulation: &mut Simulation, shared: &Arc<Shared>) -> Outcome {
    let mut turmoil = Turmoil::new(simulation.rng().fork(), shared);
    let mut turmoil_ends = None;
    loop {
        let now = simulation.network().elapsed();
        match shared.phase() {
            Phase::Turmoil => {
                let ends = *turmoil_ends.get_or_insert(now + shared.scenario.turmoil);
                if now < ends {
                    turmoil.step(simulation, shared, now);
                } else {
                    turmoil.end(simulation, shared);
                    shared.enter(Phase::Calm);
                }
            }
            _ if now > LIFE_MAX => return Err("this life does not end".into()),
            Phase::Setup | Phase::Calm | Phase::Done => {}
        }
        if simulation.step()? || !shared.oracle().violations().is_empty() {
            return Ok(());
        }
    }
}
