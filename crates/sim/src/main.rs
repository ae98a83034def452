//! `afluente-sim`: lives of a simulated cluster, as many as are asked for.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its terminal"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "it tells how long the simulations took in real time"
)]

use afluente_env::rng::Rng;
use afluente_sim::{Ran, Scenario, run_as};
use anyhow::{Context, Result, bail};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
Usage: afluente-sim [--from SEED] [--count N] [--lines N] [--keep-going] [--crowd] [--twice] [--log FILTER]

Lives the lives of N seeds (1 if not given), from SEED (0) on, and says which fail.

  --lines N      print the last N events of a single seed, or of one that fails
  --keep-going   do not end with the first failure
  --crowd        lives of one group of 50 members that come and go
  --twice        live each life again after it, and say where it parts from itself
  --log FILTER   print what broker and clients log, such as afluente_client=debug";

struct Arguments {
    from: u64,
    count: u64,
    lines: usize,
    keeps_going: bool,
    set_up: fn(&Rng) -> Scenario,
    twice: bool,
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| live(&arguments)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments {
        from: 0,
        count: 1,
        lines: 0,
        keeps_going: false,
        set_up: Scenario::of,
        twice: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut value = || given.next().with_context(|| format!("{name} needs a value"));
        match name.as_str() {
            "--from" => arguments.from = value()?.parse()?,
            "--count" => arguments.count = value()?.parse()?,
            "--lines" => arguments.lines = value()?.parse()?,
            "--keep-going" => arguments.keeps_going = true,
            "--twice" => arguments.twice = true,
            "--crowd" => arguments.set_up = Scenario::crowd,
            "--log" => tracing_subscriber::fmt()
                .with_env_filter(value()?)
                .without_time()
                .with_writer(std::io::stderr)
                .init(),
            _ => bail!("there is no option {name}"),
        }
    }
    Ok(arguments)
}

/// Gives how many failed.
fn live(arguments: &Arguments) -> Result<u64> {
    let began = Instant::now();
    let (mut failed, mut lived, mut elapsed) = (0, 0, Duration::ZERO);
    let (mut events, mut sent, mut acknowledged) = (0, 0, 0);
    for seed in arguments.from..arguments.from + arguments.count {
        lived += 1;
        match run_as(seed, arguments.lines, arguments.set_up) {
            Ok(ran) if arguments.twice && parts(&ran, seed, arguments) => failed += 1,
            Ok(ran) => {
                elapsed += ran.elapsed;
                events += ran.events;
                sent += ran.records.0;
                acknowledged += ran.records.1;
                if arguments.count == 1 {
                    ran.lines.iter().for_each(|line| println!("{line}"));
                }
            }
            Err(failure) => {
                failed += 1;
                for line in &failure.lines {
                    println!("{line}");
                }
                println!("{failure}");
                if !arguments.keeps_going {
                    break;
                }
            }
        }
        if lived % 1_000 == 0 {
            println!("{lived} seeds, {failed} failed, {:?}", began.elapsed());
        }
    }
    println!(
        "{lived} seeds from {}: {failed} failed; {sent} records sent, {acknowledged} acknowledged, \
         {events} events, {:?} simulated, {:?}",
        arguments.from,
        elapsed,
        began.elapsed()
    );
    Ok(failed)
}

/// Whether a life is another one when it is lived again; says where, if lines are kept.
fn parts(ran: &Ran, seed: u64, arguments: &Arguments) -> bool {
    let again = run_as(seed, arguments.lines, arguments.set_up);
    let lines = match again {
        Ok(again) if again == *ran => return false,
        Ok(again) => again.lines,
        Err(failure) => failure.lines,
    };
    println!("seed {seed} is not the same twice");
    let at = ran.lines.iter().zip(&lines).take_while(|(one, other)| one == other).count();
    for (name, lines) in [("first", &ran.lines), ("again", &lines)] {
        for line in lines.iter().skip(at.saturating_sub(LINES_BEFORE)).take(2 * LINES_BEFORE) {
            println!("{name}: {line}");
        }
    }
    true
}

/// Lines that are shown before two lives part, and after.
const LINES_BEFORE: usize = 20;
