//! What goes wrong, and when.

use crate::scenario::MACHINES;
use crate::shared::{BROKER, Shared};
use afluente_env::rng::Rng;
use afluente_env::sim::Simulation;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The longest that a machine is off, or out of sight.
const TROUBLE_MAX_MS: u64 = 6_000;

/// What is to be put right later.
#[derive(Debug, Clone, Copy)]
enum Undo {
    Start(&'static str),
    Repair(&'static str),
    Release(&'static str),
}

/// Makes trouble, in an order and at times that a seed decides.
pub(crate) struct Turmoil {
    rng: Rng,
    calm_between: Duration,
    may_cut_power: bool,
    next_at: Duration,
    undo: Vec<(Duration, Undo)>,
    /// Machines that are off.
    off: Vec<&'static str>,
    /// The broker was asked to stop, after so many stops before.
    stopping: Option<usize>,
}

impl Turmoil {
    pub(crate) fn new(rng: Rng, shared: &Shared) -> Self {
        let scenario = &shared.scenario;
        Self {
            rng,
            calm_between: scenario.calm_between,
            may_cut_power: scenario.is_synced,
            next_at: Duration::ZERO,
            undo: Vec::new(),
            off: Vec::new(),
            stopping: None,
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn step(&mut self, simulation: &mut Simulation, shared: &Shared, now: Duration) {
        self.put_right(simulation, shared, now);
        if now < self.next_at {
            return;
        }
        let mean_ms = u64::try_from(self.calm_between.as_millis()).expect("seconds");
        self.next_at = now + Duration::from_millis(self.rng.range(1..mean_ms * 2));
        let until = now + Duration::from_millis(self.rng.range(10..TROUBLE_MAX_MS));
        let machine = MACHINES[self.rng.index(MACHINES.len())];
        match self.rng.range(0..10) {
            0..3 if self.is_on(BROKER) => {
                let cuts = self.may_cut_power && self.rng.chance(0.7);
                shared.note(format_args!("turmoil: {BROKER} dies, power cut: {cuts}"));
                self.turn_off(simulation, BROKER, cuts);
                // Quick starts, so that there is more than one.
                let off_ms = self.rng.range(1..1_500);
                self.undo.push((now + Duration::from_millis(off_ms), Undo::Start(BROKER)));
            }
            3 if self.is_on(BROKER) => {
                shared.note(format_args!("turmoil: {BROKER} is asked to stop"));
                self.stopping = Some(shared.broker_stops.load(Ordering::SeqCst));
                shared.stop_broker.notify_waiters();
            }
            4 if self.is_on(machine) => {
                shared.note(format_args!("turmoil: {machine} dies"));
                self.turn_off(simulation, machine, false);
                self.undo.push((until, Undo::Start(machine)));
            }
            5..7 => {
                shared.note(format_args!("turmoil: {machine} is out of sight"));
                let network = simulation.network();
                match self.rng.range(0..3) {
                    0 => network.partition_oneway(machine, BROKER),
                    1 => network.partition_oneway(BROKER, machine),
                    _ => network.partition(machine, BROKER),
                }
                self.undo.push((until, Undo::Repair(machine)));
            }
            7..9 => {
                shared.note(format_args!("turmoil: messages of {machine} are late"));
                simulation.network().hold(machine, BROKER);
                self.undo.push((until, Undo::Release(machine)));
            }
            _ => {
                let ms = self.rng.range(1..200);
                shared.note(format_args!("turmoil: messages of {machine} take up to {ms} ms"));
                simulation.network().set_link_max_message_latency(
                    machine,
                    BROKER,
                    Duration::from_millis(ms),
                );
            }
        }
    }

    /// Puts everything right.
    pub(crate) fn end(&mut self, simulation: &mut Simulation, shared: &Shared) {
        let now = Duration::MAX;
        self.put_right(simulation, shared, now);
        for machine in MACHINES {
            simulation.network().release(machine, BROKER);
            simulation.network().repair(machine, BROKER);
            simulation.network().set_link_max_message_latency(
                machine,
                BROKER,
                Duration::from_millis(20),
            );
        }
        if self.stopping.take().is_some() {
            self.turn_off(simulation, BROKER, false);
            self.start(simulation, BROKER);
        }
    }

    fn put_right(&mut self, simulation: &mut Simulation, shared: &Shared, now: Duration) {
        if let Some(before) = self.stopping
            && shared.broker_stops.load(Ordering::SeqCst) > before
        {
            shared.note(format_args!("turmoil: {BROKER} has stopped, and starts"));
            self.stopping = None;
            self.turn_off(simulation, BROKER, false);
            self.start(simulation, BROKER);
        }
        let due: Vec<Undo> =
            self.undo.extract_if(.., |(at, _)| *at <= now).map(|(_, undo)| undo).collect();
        for undo in due {
            shared.note(format_args!("turmoil: {undo:?}"));
            match undo {
                Undo::Start(machine) => self.start(simulation, machine),
                Undo::Repair(machine) => simulation.network().repair(machine, BROKER),
                Undo::Release(machine) => simulation.network().release(machine, BROKER),
            }
        }
    }

    fn is_on(&self, machine: &str) -> bool {
        !self.off.contains(&machine) && (machine != BROKER || self.stopping.is_none())
    }

    fn turn_off(&mut self, simulation: &mut Simulation, machine: &'static str, cuts_power: bool) {
        self.off.push(machine);
        if cuts_power {
            simulation.cut_power(machine);
        } else {
            simulation.kill(machine);
        }
    }

    fn start(&mut self, simulation: &mut Simulation, machine: &'static str) {
        self.off.retain(|off| *off != machine);
        simulation.start(machine);
    }
}
