//! librdkafka, as programs in C that are compiled here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::node::Node;

/// The settings of producers, but for how long they gather.
const PRODUCER: &[&str] = &["producer:acks=all"];

pub(super) struct Peer {
    produce: PathBuf,
    versus: PathBuf,
}

/// What a load took: wall time and processor time of the client, and of the broker where it was
/// looked at.
pub(super) struct Load {
    pub(super) wall: Duration,
    pub(super) client_cpu: Duration,
}

/// Single operations, and what they cost the broker.
pub(super) struct Operations {
    pub(super) wall: Duration,
    pub(super) broker_cpu: Duration,
    pub(super) latencies_us: Vec<f64>,
}

impl Peer {
    pub(super) fn compile(folder: &Path) -> Result<Self> {
        let compiled = |name: &str, source: &str| -> Result<PathBuf> {
            let program = folder.join(name);
            let path = program.with_extension("c");
            std::fs::write(&path, source)?;
            let mut command = Command::new("cc");
            command.arg("-O2").arg(path).arg("-o").arg(&program).args(["-lrdkafka", "-lpthread"]);
            let output = command.output().context("there is no C compiler `cc`")?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                bail!("the client does not compile; is librdkafka installed?\n{said}");
            }
            Ok(program)
        };
        Ok(Self {
            produce: compiled("produce", include_str!("../../peers/produce.c"))?,
            versus: compiled("versus", include_str!("../../peers/versus.c"))?,
        })
    }

    /// The version of the library, by the package's own account.
    pub(super) fn version(&self) -> String {
        let output = Command::new("pkg-config").args(["--modversion", "rdkafka"]).output();
        let version = output.ok().filter(|output| output.status.success());
        version.map_or_else(
            || "of unknown version".to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    }

    pub(super) fn produce(
        &self,
        node: &Node,
        topic: &str,
        record_bytes: u64,
        count: u64,
    ) -> Result<Load> {
        let mut command = Command::new(&self.produce);
        command.args([&node.bootstrap(), topic, &record_bytes.to_string(), &count.to_string()]);
        command.args(["acks=all", "linger.ms=5"]);
        load(&mut command)
    }

    pub(super) fn consume(
        &self,
        node: &Node,
        topic: &str,
        partitions: i32,
        count: u64,
    ) -> Result<Load> {
        let mut command = Command::new(&self.versus);
        command.args(["consume", &node.bootstrap(), topic]);
        command.args([partitions.to_string(), count.to_string()]);
        load(&mut command)
    }

    /// One record at a time.
    pub(super) fn requests(
        &self,
        node: &Node,
        topic: &str,
        record_bytes: u64,
        count: u64,
    ) -> Result<Operations> {
        let mut command = Command::new(&self.versus);
        command.args(["request", &node.bootstrap(), topic]);
        command.args([record_bytes.to_string(), count.to_string()]);
        command.args(PRODUCER).arg("producer:linger.ms=0");
        operations(&mut command, node)
    }

    /// So many records a second, produced and consumed.
    pub(super) fn end_to_end(
        &self,
        node: &Node,
        topic: &str,
        partitions: i32,
        rate: u64,
        seconds: u64,
    ) -> Result<Operations> {
        let mut command = Command::new(&self.versus);
        command.args(["latency", &node.bootstrap(), topic]);
        command.args([partitions.to_string(), 1024.to_string(), rate.to_string()]);
        command.arg(seconds.to_string()).args(PRODUCER);
        command.args(["producer:linger.ms=0", "producer:enable.idempotence=true"]);
        operations(&mut command, node)
    }
}

fn load(command: &mut Command) -> Result<Load> {
    let output = command.stderr(Stdio::inherit()).output().context("the client does not run")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut numbers = said.split_whitespace().map(str::parse);
    match (output.status.success(), numbers.next(), numbers.next()) {
        (true, Some(Ok(wall)), Some(Ok(cpu))) => {
            Ok(Load { wall: Duration::from_nanos(wall), client_cpu: Duration::from_nanos(cpu) })
        }
        _ => bail!("the client failed with {}: {said}", output.status),
    }
}

/// Runs a client that says when its measured part begins and ends.
fn operations(command: &mut Command, node: &Node) -> Result<Operations> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
    let mut next = || said.next().transpose();
    if next()?.as_deref() != Some("start") {
        bail!("the client did not start: {}", child.wait()?);
    }
    let before = node.cpu()?;
    child.stdin.take().context("stdin is piped")?.write_all(b"\n")?;
    let end = next()?.context("the client failed")?;
    let broker_cpu = node.cpu()?.saturating_sub(before);
    let wall = end.strip_prefix("end ").context("the client failed")?.parse()?;
    let mut latencies_us = Vec::new();
    while let Some(line) = next()? {
        latencies_us.push(line.parse::<f64>()? / 1_000.0);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the client failed with {status}");
    }
    latencies_us.sort_by(f64::total_cmp);
    Ok(Operations { wall: Duration::from_nanos(wall), broker_cpu, latencies_us })
}

impl Operations {
    /// What a share `q` of them did not exceed.
    pub(super) fn quantile_us(&self, q: f64) -> f64 {
        let rank = (self.latencies_us.len() as f64 * q).ceil() as usize;
        self.latencies_us.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }
}
