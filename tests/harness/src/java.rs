//! Java, the jars of Apache Kafka, and programs that run against them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::skip::skipped;

/// A set of jars; each is a folder with a `pom.xml` in `tests/java`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jars {
    /// Apache Kafka 4.3.1 whole: broker, tools, clients.
    Kafka,
    /// Apache Kafka 3.9.2 whole, the last of the 3.x line.
    Kafka39,
    /// Kafka Streams 4.3.1 and its test driver.
    Streams,
    /// `kafka-clients` 4.4.0.
    Clients44,
    /// `kafka-clients` 3.9.2.
    Clients39,
}

impl Jars {
    /// The name of the set, which is its folder in `tests/java` and in the cache.
    pub fn name(self) -> &'static str {
        match self {
            Jars::Kafka => "kafka-4.3.1",
            Jars::Kafka39 => "kafka-3.9.2",
            Jars::Streams => "streams-4.3.1",
            Jars::Clients44 => "clients-4.4.0",
            Jars::Clients39 => "clients-3.9.2",
        }
    }
}

/// A Java runtime with one set of jars at hand.
#[derive(Clone, Debug)]
pub struct Java {
    jars: Jars,
    libs: PathBuf,
}

impl Java {
    /// Finds Java and the jars, fetching them into the cache if they are not there yet.
    pub fn find(jars: Jars) -> Result<Java> {
        for program in ["java", "javac"] {
            let answered = Command::new(program)
                .arg("-version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            ensure!(answered, "`{program}` is not installed");
        }
        let fetched = Command::new(java_dir().join("fetch.sh"))
            .arg(jars.name())
            .output()
            .context("could not run tests/java/fetch.sh")?;
        if !fetched.status.success() {
            let said = String::from_utf8_lossy(&fetched.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
            bail!("the jars of {} could not be fetched: {}", jars.name(), last.trim());
        }
        Ok(Java { jars, libs: cache_dir().join(jars.name()).join("libs") })
    }

    /// As [`Java::find`], but where something is missing says `skipped: <what>: <why>` and gives `None`.
    pub fn or_skip(jars: Jars, what: &str) -> Option<Java> {
        match Java::find(jars) {
            Ok(java) => Some(java),
            Err(error) => {
                skipped(what, &format!("{error:#}"));
                None
            }
        }
    }

    /// The folder with the jars.
    pub fn libs(&self) -> &Path {
        &self.libs
    }

    /// A JVM about to run `class` from the jars; tuned for short programs. The caller adds arguments and runs it.
    pub fn class(&self, class: &str) -> Command {
        self.class_with(&["-Xmx512m"], class)
    }

    /// As [`Java::class`], with flags for the JVM.
    pub fn class_with(&self, jvm_flags: &[&str], class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                java_dir().join("log4j2.properties").display()
            ))
            .args(jvm_flags)
            .arg("-cp")
            .arg(self.libs.join("*"))
            .arg(class);
        command
    }

    /// A program of one source file, compiled on its first run, about to run against the jars.
    pub fn program(&self, source: &Path) -> Command {
        let mut command = Command::new(java_dir().join("run.sh"));
        command.args(["--libs", self.jars.name()]).arg(source);
        command
    }
}

/// Runs a command to its end and gives its standard output; a failure carries both outputs.
pub fn output_of(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not run {command:?}"))?;
    let stdout =
        String::from_utf8(stdout).with_context(|| format!("{command:?} wrote no UTF-8"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}\n{stdout}{}", String::from_utf8_lossy(&stderr));
    }
    Ok(stdout)
}

/// The folder that fetched and compiled things go to: `$AFLUENTE_CACHE`, or `~/.cache/afluente`.
pub fn cache_dir() -> PathBuf {
    match std::env::var_os("AFLUENTE_CACHE") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/afluente"),
    }
}

/// `tests/java` of this repository.
pub fn java_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/harness has a parent").join("java")
}
