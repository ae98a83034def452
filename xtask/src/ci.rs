//! `cargo xtask ci`: everything that must hold before a change lands, here as in CI.
//!
//! A check is one row of [`STEPS`]. All run, whatever came of the ones before, so that one run
//! shows all there is to mend. The last line printed is `N passed, N failed, N skipped`: it counts
//! tests, and a step that is no test (formatting, say) only when it fails.

mod totals;
mod web;

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::tools::{self, DENY, MACHETE, NEXTEST, TYPOS};
use totals::Totals;

struct Step {
    name: &'static str,
    /// Left out by `--fast`.
    slow: bool,
    run: fn() -> Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step { name: "tools", slow: false, run: tools },
    Step { name: "fmt", slow: false, run: fmt },
    Step { name: "tidy", slow: false, run: tidy },
    Step { name: "typos", slow: false, run: typos },
    Step { name: "machete", slow: false, run: machete },
    Step { name: "deny", slow: false, run: deny },
    Step { name: "clippy", slow: false, run: clippy },
    Step { name: "tests", slow: false, run: tests },
    Step { name: "web", slow: true, run: web::run },
    Step { name: "doctests", slow: true, run: doctests },
    Step { name: "docs", slow: true, run: docs },
    Step { name: "default features", slow: true, run: default_features },
    Step { name: "fuzz targets", slow: true, run: fuzz_targets },
];

/// What came of a step.
struct Outcome {
    succeeded: bool,
    totals: Totals,
    /// How many of the skipped ones would have run on a machine that has more installed.
    lacking: usize,
}

/// What `ci` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    /// Leave out what is slow.
    fast: bool,
    /// What is skipped because the machine lacks something is a failure: for CI, which lacks
    /// nothing. Tests that a foreign suite skips by itself, on Apache Kafka too, are not meant.
    strict: bool,
}

pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let options = Options::parse(arguments)?;
    let mut totals = Totals::NONE;
    let mut lacking = 0;
    let mut table = Vec::new();
    for step in STEPS {
        if options.fast && step.slow {
            table.push((step.name, "left out", Duration::ZERO));
            continue;
        }
        println!("\n=== {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Outcome::of_check(false)
        });
        table.push((step.name, if outcome.succeeded { "good" } else { "FAILED" }, start.elapsed()));
        totals += outcome.totals;
        lacking += outcome.lacking;
    }

    println!();
    for (name, result, time) in &table {
        println!("{name:<18}{result:<10}{:>7.1} s", time.as_secs_f64());
    }
    let is_lacking = options.strict && lacking > 0;
    if is_lacking {
        println!("{lacking} were skipped for want of something, which fails here (--strict)");
    }
    println!("{totals}");
    Ok(totals.failed == 0 && !is_lacking)
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--fast" => options.fast = true,
                "--strict" => options.strict = true,
                unknown => bail!("ci knows --fast and --strict, not \"{unknown}\""),
            }
        }
        Ok(options)
    }
}

impl Outcome {
    /// Of a step that runs no tests.
    fn of_check(succeeded: bool) -> Self {
        let totals = if succeeded { Totals::NONE } else { Totals::ONE_FAILED };
        Self { succeeded, totals, lacking: 0 }
    }

    /// Of a step that runs tests. One that fails without a failed test (it did not compile, say),
    /// or that tells no totals, counts as one failed.
    fn of_tests(succeeded: bool, totals: Option<Totals>) -> Self {
        match totals {
            Some(totals) if succeeded == (totals.failed == 0) => {
                Self { succeeded, totals, lacking: 0 }
            }
            totals => {
                let mut totals = totals.unwrap_or(Totals::NONE);
                totals += Totals::ONE_FAILED;
                Self { succeeded: false, totals, lacking: 0 }
            }
        }
    }
}

fn tools() -> Result<Outcome> {
    tools::install_missing()?;
    Ok(Outcome::of_check(true))
}

fn fmt() -> Result<Outcome> {
    check(crate::cargo().args(["fmt", "--all", "--check"]))
}

fn tidy() -> Result<Outcome> {
    Ok(Outcome::of_check(crate::tidy::run(&[])?))
}

fn typos() -> Result<Outcome> {
    check(Command::new(TYPOS.path()?).current_dir(crate::root()))
}

fn machete() -> Result<Outcome> {
    check(Command::new(MACHETE.path()?).current_dir(crate::root()))
}

/// Licences, sources and bans only: advisories need a database from the network, and a build must
/// not turn red overnight.
fn deny() -> Result<Outcome> {
    check(
        Command::new(DENY.path()?)
            .args(["--all-features", "--log-level", "error"])
            .args(["check", "bans", "licenses", "sources"])
            .current_dir(crate::root()),
    )
}

fn clippy() -> Result<Outcome> {
    check(
        crate::cargo()
            .args(["clippy", "--workspace", "--all-targets", "--all-features", "--quiet"])
            .args(["--", "--deny", "warnings"]),
    )
}

/// All features, so that the simulated world is tested too.
fn tests() -> Result<Outcome> {
    let skips = SkippedFile::create()?;
    let (succeeded, lines) = execute(
        Command::new(NEXTEST.path()?)
            .args(["nextest", "run", "--workspace", "--all-features"])
            .args(["--profile", "ci", "--no-fail-fast", "--no-tests", "pass", "--cargo-quiet"])
            .env("AFLUENTE_SKIPPED", &skips.path)
            .current_dir(crate::root()),
        |_| true,
    )?;
    let totals = lines.iter().rev().find_map(|line| Totals::from_nextest(line));
    let mut outcome = Outcome::of_tests(succeeded, totals);
    outcome.lacking = skips.show()?;
    // The runner saw tests that passed.
    let skipped = outcome.lacking as u64;
    outcome.totals.passed = outcome.totals.passed.saturating_sub(skipped);
    outcome.totals.skipped += skipped;
    Ok(outcome)
}

/// Nextest does not run the examples in the documentation.
fn doctests() -> Result<Outcome> {
    let (succeeded, lines) = execute(
        crate::cargo()
            .args(["test", "--doc", "--workspace", "--all-features"])
            .args(["--no-fail-fast", "--quiet"]),
        |line| {
            !line.is_empty() && line != "running 0 tests" && !line.contains(" 0 passed; 0 failed;")
        },
    )?;
    let mut totals = Totals::NONE;
    lines.iter().filter_map(|line| Totals::from_cargo_test(line)).for_each(|some| totals += some);
    Ok(Outcome::of_tests(succeeded, Some(totals)))
}

fn docs() -> Result<Outcome> {
    check(
        crate::cargo()
            .args(["doc", "--workspace", "--no-deps", "--all-features", "--quiet"])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// What ships is built without the features that the tests switch on.
fn default_features() -> Result<Outcome> {
    check(crate::cargo().args(["clippy", "--workspace", "--quiet", "--", "--deny", "warnings"]))
}

/// A workspace of their own, which would rot unseen. Without the fuzzer itself, which needs a
/// nightly compiler and one for C++.
fn fuzz_targets() -> Result<Outcome> {
    check(
        crate::cargo()
            .args(["check", "--manifest-path", "fuzz/Cargo.toml", "--no-default-features"])
            .args(["--locked", "--quiet"]),
    )
}

/// Runs a command that is right or wrong, and says what it has to say by itself.
fn check(command: &mut Command) -> Result<Outcome> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("could not start {program}"))?;
    Ok(Outcome::of_check(status.success()))
}

/// Runs a command, shows its output as it comes, as far as that `is_wanted`, and gives back
/// whether it succeeded and the lines that it printed.
fn execute(
    command: &mut Command,
    is_wanted: impl Fn(&str) -> bool + Sync,
) -> Result<(bool, Vec<String>)> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {program}"))?;
    let stdout = child.stdout.take().expect("piped above");
    let stderr = child.stderr.take().expect("piped above");
    let lines = thread::scope(|scope| {
        let errors = scope.spawn(|| show(stderr, &is_wanted));
        let mut lines = show(stdout, &is_wanted);
        lines.append(&mut errors.join().expect("reading lines does not panic"));
        lines
    });
    let status = child.wait().with_context(|| format!("could not wait for {program}"))?;
    Ok((status.success(), lines))
}

fn show(stream: impl Read, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if is_wanted(&text) {
            println!("{text}");
        }
        lines.push(text);
        line.clear();
    }
    lines
}

/// Where a test that cannot run on this machine leaves a line that says why, since the runner
/// hides what a passing test prints.
struct SkippedFile {
    path: PathBuf,
}

impl SkippedFile {
    fn create() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("afluente-skipped-{}", std::process::id()));
        std::fs::write(&path, "").with_context(|| format!("could not write {}", path.display()))?;
        Ok(Self { path })
    }

    /// Prints the lines, and says how many they are.
    fn show(&self) -> Result<usize> {
        let text = std::fs::read_to_string(&self.path)
            .with_context(|| format!("could not read {}", self.path.display()))?;
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.iter().for_each(|line| println!("{line}"));
        Ok(lines.len())
    }
}

impl Drop for SkippedFile {
    fn drop(&mut self) {
        // Left behind in the folder for temporary files, it does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_without_a_failed_test_counts_as_one() {
        let passed = Totals { passed: 3, ..Totals::NONE };
        assert_eq!(Outcome::of_tests(true, Some(passed)).totals, passed);
        for (succeeded, totals) in [(false, None), (true, None), (false, Some(passed))] {
            let outcome = Outcome::of_tests(succeeded, totals);
            assert!(!outcome.succeeded);
            assert_eq!(outcome.totals.failed, 1);
        }
        assert_eq!(Outcome::of_check(false).totals, Totals::ONE_FAILED);
    }

    #[test]
    fn unknown_options_are_named() {
        let parse = |arguments: &[&str]| {
            Options::parse(&arguments.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
        };
        assert!(matches!(parse(&["--fast"]), Ok(Options { fast: true, strict: false })));
        assert!(parse(&["--quick"]).is_err_and(|error| error.to_string().contains("--quick")));
    }
}
