//! Measuring: how long something took, and what it cost the processor.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::arguments::Common;
use crate::figures::Figures;

/// Something to measure, again and again.
pub(crate) struct Measure<'a> {
    pub(crate) name: String,
    run: Box<dyn FnMut() -> Result<Run> + 'a>,
}

/// What one run took. Latencies are of single operations, where these were looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) bytes: u64,
    pub(crate) operations: u64,
    pub(crate) latencies: Vec<Duration>,
}

/// Whose processor time counts, in user and kernel mode. What kernel threads do on our behalf
/// (writing dirty pages back) is in neither.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CpuOf {
    /// All threads of this process.
    Process,
    /// The calling thread.
    Thread,
}

/// A measurement that has begun.
pub(crate) struct Meter {
    cpu_of: CpuOf,
    cpu_at_start: Duration,
    start: Instant,
}

impl<'a> Measure<'a> {
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut() -> Result<Run> + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// Runs all measures that are asked for one after the other, so many rounds over: a slow minute of
/// a shared machine then falls on all of them, and not on one.
pub(crate) fn in_rounds(measures: Vec<Measure<'_>>, common: &Common) -> Result<Figures> {
    let only = common.only.as_deref().unwrap_or_default();
    let (measures, others): (Vec<_>, Vec<_>) =
        measures.into_iter().partition(|measure| measure.name.contains(only));
    if measures.is_empty() {
        let names: Vec<String> = others.into_iter().map(|measure| measure.name).collect();
        bail!("nothing has \"{only}\" in its name; there are:\n{}", names.join("\n"));
    }
    let rounds = common.runs;
    let mut measures: Vec<(Measure<'_>, Vec<Run>)> =
        measures.into_iter().map(|measure| (measure, Vec::new())).collect();
    for round in 1..=rounds {
        for (measure, runs) in &mut measures {
            show_progress(&format!("round {round} of {rounds}: {}", measure.name));
            let run =
                (measure.run)().with_context(|| format!("could not measure {}", measure.name))?;
            runs.push(run);
        }
    }
    show_progress("");
    let mut figures = Figures::default();
    for (measure, runs) in measures {
        figures.add(measure.name, &runs);
    }
    Ok(figures)
}

/// One line that the next one overwrites, for whoever is watching.
pub(crate) fn show_progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}

impl Meter {
    pub(crate) fn start(cpu_of: CpuOf) -> Self {
        Self { cpu_of, cpu_at_start: cpu_of.now(), start: Instant::now() }
    }

    /// Ends the measurement of `operations` that moved `bytes`.
    pub(crate) fn stop(self, bytes: u64, operations: u64) -> Run {
        let wall = self.start.elapsed();
        let cpu = self.cpu_of.now().saturating_sub(self.cpu_at_start);
        Run { wall, cpu, bytes, operations, latencies: Vec::new() }
    }
}

impl CpuOf {
    fn now(self) -> Duration {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(match self {
            Self::Process => ClockId::ProcessCPUTime,
            Self::Thread => ClockId::ThreadCPUTime,
        });
        Duration::from_secs(tv_sec.cast_unsigned()) + Duration::from_nanos(tv_nsec.cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn measures_take_turns() {
        let turns = std::cell::RefCell::new(String::new());
        let turn = |name: &'static str| {
            let turns = &turns;
            Measure::new(name, move || {
                turns.borrow_mut().push_str(name);
                Ok(Run { bytes: 1, wall: Duration::from_secs(1), ..Run::default() })
            })
        };
        let common = |only: &str| Common { runs: 2, only: Some(only.to_owned()), json: None };
        in_rounds(vec![turn("a"), turn("b")], &common("")).unwrap();
        assert_eq!(*turns.borrow(), "abab");
        in_rounds(vec![turn("a"), turn("b")], &common("b")).unwrap();
        assert_eq!(*turns.borrow(), "ababbb");
        let error = in_rounds(vec![turn("a")], &common("c")).err().unwrap();
        assert!(error.to_string().contains("there are:\na"), "{error}");
    }

    #[test]
    fn processor_time_is_that_of_whoever_worked() {
        let meter = Meter::start(CpuOf::Process);
        let idle = Meter::start(CpuOf::Thread);
        std::thread::spawn(|| {
            while CpuOf::Thread.now() < Duration::from_millis(20) {
                std::hint::spin_loop();
            }
        })
        .join()
        .unwrap();
        assert!(meter.stop(0, 0).cpu >= Duration::from_millis(20));
        assert!(idle.stop(0, 0).cpu < Duration::from_millis(20));
    }
}
