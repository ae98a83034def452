//! `cargo xtask compat`: foreign Kafka clients against our binary, or against Apache Kafka.
//!
//! A suite is a folder of `tests/compat` with a `run.sh`, one row of [`SUITES`]. Each gets a broker of its own, its
//! address in `BOOTSTRAP`, and in `CONTROL` a door to restart it by (see `afluente_harness::control`). It prints a line
//! `pass NAME`, `fail NAME: why` or `skip NAME: why` a scenario; exit status 77 says that its toolchain is missing.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use afluente_harness::broker::{Broker, Program};
use afluente_harness::control;
use afluente_harness::java::{Jars, Java};
use afluente_harness::skip::skipped;
use anyhow::{Context as _, Result, bail, ensure};

/// One client, with the scenarios that go through it.
struct Suite {
    name: &'static str,
    /// The command line of `run.sh`, folder first.
    command: &'static [&'static str],
    /// Settings of the broker that this suite takes for granted.
    overrides: &'static [(&'static str, &'static str)],
}

impl Suite {
    const fn new(name: &'static str, command: &'static [&'static str]) -> Self {
        Self { name, command, overrides: &[] }
    }

    const fn with(self, overrides: &'static [(&'static str, &'static str)]) -> Self {
        Self { overrides, ..self }
    }
}

const SUITES: &[Suite] = &[
    // Scenarios of ours, by client. librdkafka goes through confluent-kafka for Python.
    Suite::new("librdkafka", &["python", "librdkafka"]),
    Suite::new("kafka-python", &["python", "kafka_python"]),
    Suite::new("aiokafka", &["python", "aiokafka_suite"]),
    Suite::new("kafkajs", &["node", "kafkajs"]),
    Suite::new("java-4.3", &["java", "kafka-4.3.1"]),
    Suite::new("java-4.4", &["java", "clients-4.4.0"]),
    Suite::new("java-3.9", &["java", "clients-3.9.2"]),
    Suite::new("franz-go", &["go", "franz"]),
    Suite::new("sarama", &["go", "sarama"]),
    Suite::new("kafka-go", &["go", "kafkago"]),
    Suite::new("rskafka", &["rskafka"]),
    Suite::new("kcat", &["kcat"]),
    Suite::new("apache-tools", &["java", "tools"]),
    // Suites that clients bring along, whole.
    Suite::new("kafka-python-own", &["python", "kafka_python_tests"]).with(&[
        ("node.id", "0"),
        ("num.partitions", "4"),
        ("group.min.session.timeout.ms", "1000"),
    ]),
    Suite::new("franz-go-own", &["go", "kgo_tests"]),
];

/// Settings for these brokers beyond the harness's own: a KIP-848 member hears of a new assignment with its next
/// heartbeat, by default only every five seconds.
const OVERRIDES: &[(&str, &str)] = &[
    ("group.consumer.min.heartbeat.interval.ms", "500"),
    ("group.consumer.heartbeat.interval.ms", "500"),
];

/// The exit status by which a suite says that it cannot run here.
const TOOLCHAIN_MISSING: i32 = 77;

/// Whom the clients talk to.
enum Server {
    /// A broker that is running already and not ours to restart.
    Running(String),
    Started(Program),
}

struct Options {
    only: Vec<String>,
    scenarios: Vec<String>,
    server: Server,
}

#[derive(Default)]
struct Verdict {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let options = Options::parse(arguments)?;
    let mut totals = Verdict::default();
    for suite in SUITES {
        if !options.only.is_empty() && !options.only.iter().any(|name| name == suite.name) {
            continue;
        }
        println!("=== {}", suite.name);
        let start = Instant::now();
        let verdict =
            run_suite(suite, &options).with_context(|| format!("in suite {}", suite.name))?;
        println!(
            "=== {}: {} passed, {} failed, {} skipped, {:.1} s\n",
            suite.name,
            verdict.passed,
            verdict.failed.len(),
            verdict.skipped.len(),
            start.elapsed().as_secs_f64()
        );
        totals.passed += verdict.passed;
        let named = |line: String| format!("{} {line}", suite.name);
        totals.failed.extend(verdict.failed.into_iter().map(named));
        totals.skipped.extend(verdict.skipped);
    }
    for failure in &totals.failed {
        println!("{failure}");
    }
    let (failed, skipped) = (totals.failed.len(), totals.skipped.len());
    println!("{} passed, {failed} failed, {skipped} skipped", totals.passed);
    Ok(totals.failed.is_empty())
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut only = Vec::new();
        let mut scenarios = Vec::new();
        let mut server = None;
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value =
                || words.next().with_context(|| format!("{word} wants a value")).cloned();
            match word.as_str() {
                "--only" => only.extend(value()?.split(',').map(str::to_owned)),
                "--scenario" => scenarios.push(value()?),
                "--bootstrap" => server = Some(Server::Running(value()?)),
                "--apache" => {
                    server = Some(Server::Started(Program::Apache(Java::find(Jars::Kafka)?)))
                }
                "--binary" => server = Some(Server::Started(Program::Afluente(value()?.into()))),
                unknown => bail!(
                    "compat knows --only SUITE,…, --scenario NAME, --bootstrap HOST:PORT, --apache and --binary PATH, \
                     not \"{unknown}\""
                ),
            }
        }
        for name in &only {
            let known: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
            ensure!(
                known.contains(&name.as_str()),
                "no suite \"{name}\"; there are {}",
                known.join(", ")
            );
        }
        let server = match server {
            Some(server) => server,
            None => Server::Started(Program::Afluente(build()?)),
        };
        Ok(Self { only, scenarios, server })
    }
}

/// Builds our binary as it ships and gives its path.
fn build() -> Result<PathBuf> {
    let built = crate::cargo()
        .args(["build", "--release", "--package", "afluente-cli", "--bin", "afluente"])
        .status()?;
    ensure!(built.success(), "could not build the binary");
    Ok(crate::target_dir().join("release/afluente"))
}

fn run_suite(suite: &Suite, options: &Options) -> Result<Verdict> {
    let [folder, arguments @ ..] = suite.command else { unreachable!("each row names a folder") };
    let mut command = Command::new(crate::root().join("tests/compat").join(folder).join("run.sh"));
    command.args(arguments).args(&options.scenarios);
    // Kept until the suite has ended: dropping it kills the broker.
    let broker = match &options.server {
        Server::Running(bootstrap) => {
            command.env("BOOTSTRAP", bootstrap);
            None
        }
        Server::Started(program) => {
            let broker = Arc::new(Mutex::new(Broker::start(
                program.clone(),
                &[OVERRIDES, suite.overrides].concat(),
            )?));
            command.env("CONTROL", control::open(Arc::clone(&broker))?.to_string());
            command.env("BOOTSTRAP", broker.lock().expect("nobody else has it").bootstrap());
            Some(broker)
        }
    };
    let log_path = crate::target_dir().join("compat").join(format!("{}.log", suite.name));
    std::fs::create_dir_all(log_path.parent().expect("just joined"))?;
    let verdict = watch(suite, &mut command, &log_path)?;
    if let Some(broker) = broker {
        let mut broker = broker.lock().expect("no holder panics");
        std::fs::write(log_path.with_extension("broker.log"), broker.log())?;
        if !verdict.failed.is_empty() {
            println!("(see {} and, beside it, the broker's log)", log_path.display());
        }
        // A restart that failed has left none to kill.
        if broker.pid().is_some() {
            broker.kill()?;
        }
    }
    Ok(verdict)
}

/// Runs the suite, prints its verdicts as they come, and keeps all it says in the log.
fn watch(suite: &Suite, command: &mut Command, log_path: &Path) -> Result<Verdict> {
    let mut log = File::create(log_path)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.try_clone()?);
    let mut child = command.spawn().with_context(|| format!("could not run {command:?}"))?;
    let stdout = child.stdout.take().context("stdout was piped")?;
    let mut verdict = Verdict::default();
    let mut last_line = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        writeln!(log, "{line}")?;
        match line.split_once(' ') {
            Some(("pass", _)) => verdict.passed += 1,
            Some(("fail", what)) => verdict.failed.push(what.to_owned()),
            Some(("skip", what)) => verdict.skipped.push(what.to_owned()),
            _ => {
                last_line = line;
                continue;
            }
        }
        println!("{line}");
    }
    let status = child.wait()?;
    if status.code() == Some(TOOLCHAIN_MISSING) {
        skipped(&format!("compat suite {}", suite.name), &last_line);
        verdict.skipped.push(last_line);
    } else if status.success() != verdict.failed.is_empty() || verdict.passed == 0 {
        verdict
            .failed
            .push(format!("(the suite as a whole): {status} after {} passed", verdict.passed));
    }
    Ok(verdict)
}
