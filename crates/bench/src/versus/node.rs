//! A broker as a process to be measured: ours with its defaults, Apache Kafka with those of its
//! distribution.
//!
//! `tests/harness` starts brokers for tests, with small heaps and a JVM for short programs; these
//! here are as people run them.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::wire::Wire;

/// The flags of `kafka-server-start.sh` and `kafka-run-class.sh`.
const JVM_FLAGS: &[&str] = &[
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];

/// The `server.properties` of the distribution, but for addresses and directories.
const KAFKA_SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.segment.bytes=1073741824
";

/// What both get: deleted topics are to leave room for the next run.
const BOTH: &[(&str, &str)] =
    &[("log.segment.delete.delay.ms", "1000"), ("auto.create.topics.enable", "false")];

const READY_MAX: Duration = Duration::from_secs(120);
const CLOCK_TICKS_PER_S: u64 = 100;

#[derive(Clone)]
pub(super) enum Program {
    /// The binary.
    Afluente(PathBuf),
    /// The folder with the jars.
    Kafka(PathBuf),
}

/// A broker and its data, which both end with their owner.
pub(super) struct Node {
    program: Program,
    data: PathBuf,
    port: u16,
    controller_port: u16,
    child: Option<Child>,
}

impl Node {
    /// A broker on a directory that is made for it. Apache Kafka's is formatted.
    pub(super) fn new(program: Program, data: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&data)?;
        let ports = [free_port()?, free_port()?];
        let node =
            Self { program, data, port: ports[0].1, controller_port: ports[1].1, child: None };
        if let Program::Kafka(libs) = &node.program {
            std::fs::write(node.settings(), node.kafka_settings())?;
            let mut format = Command::new("java");
            format.arg("-cp").arg(libs.join("*")).arg("kafka.tools.StorageTool");
            format.args(["format", "--standalone", "-t", "AflueNteTestClusterIdA", "-c"]);
            let output = format.arg(node.settings()).output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "the directory cannot be formatted: {said}");
        }
        Ok(node)
    }

    /// Starts the process; gives how long it took until Metadata was answered with a broker in it.
    pub(super) fn start(&mut self) -> Result<Duration> {
        self.spawn()?;
        let start = Instant::now();
        while !self.wire().is_ok_and(|mut wire| wire.brokers().is_ok_and(|count| count > 0)) {
            self.wait_a_little(start)?;
        }
        Ok(start.elapsed())
    }

    /// Starts the process and waits for nothing.
    pub(super) fn spawn(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("could not run {command:?}"))?);
        Ok(())
    }

    /// Between two attempts to reach a broker that began at `start`.
    pub(super) fn wait_a_little(&mut self, start: Instant) -> Result<()> {
        let child = self.child.as_mut().context("the broker is not running")?;
        if let Some(status) = child.try_wait()? {
            bail!("the broker ended with {status}; see {}", self.log().display());
        }
        ensure!(start.elapsed() < READY_MAX, "the broker is not ready");
        std::thread::sleep(Duration::from_millis(1));
        Ok(())
    }

    /// kill -9.
    pub(super) fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the broker is not running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    pub(super) fn wire(&self) -> Result<Wire> {
        Wire::connect(self.port)
    }

    pub(super) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Processor time of the process so far, in user and kernel mode.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(self.proc("stat")?)?;
        let after_name = stat.rsplit_once(')').context("stat names the program")?.1;
        let field = |at: usize| -> Result<u64> {
            Ok(after_name.split_whitespace().nth(at).context("stat is short")?.parse()?)
        };
        Ok(Duration::from_millis((field(11)? + field(12)?) * 1000 / CLOCK_TICKS_PER_S))
    }

    /// Resident memory, now and at its greatest, in MiB.
    pub(super) fn resident_mib(&self) -> Result<(f64, f64)> {
        let status = std::fs::read_to_string(self.proc("status")?)?;
        let field = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib =
                line.and_then(|line| line.split_whitespace().next()).context("no such line")?;
            Ok(kib.parse::<f64>()? / 1024.0)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    fn proc(&self, file: &str) -> Result<PathBuf> {
        let child = self.child.as_ref().context("the broker is not running")?;
        Ok(Path::new("/proc").join(child.id().to_string()).join(file))
    }

    fn command(&self) -> Command {
        match &self.program {
            Program::Kafka(libs) => {
                let mut command = Command::new("java");
                command.args(JVM_FLAGS);
                let logging = afluente_harness::java::java_dir().join("log4j2.properties");
                command.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
                command.arg("-cp").arg(libs.join("*")).arg("kafka.Kafka").arg(self.settings());
                command
            }
            Program::Afluente(binary) => {
                let mut command = Command::new(binary);
                command.args(["serve", "--listen", &self.bootstrap(), "--data-dir"]);
                command.arg(&self.data).args(["--override", "http.listener="]);
                for (key, value) in BOTH {
                    command.arg("--override").arg(format!("{key}={value}"));
                }
                command
            }
        }
    }

    fn kafka_settings(&self) -> String {
        let (broker, controller) = (self.port, self.controller_port);
        let listeners =
            format!("PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}");
        let mut text = format!(
            "{KAFKA_SETTINGS}listeners={listeners}\nadvertised.listeners={listeners}\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\nlog.dirs={}\n",
            self.data.display()
        );
        for (key, value) in BOTH {
            text.push_str(&format!("{key}={value}\n"));
        }
        text
    }

    fn settings(&self) -> PathBuf {
        self.data.with_extension("properties")
    }

    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What cannot be ended or removed is not there any more, or goes with the whole folder.
        let _ = self.kill();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// A port that is free, kept until the listener is dropped, so that the next one is another.
fn free_port() -> Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}
