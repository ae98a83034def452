//! A broker as a process: Apache Kafka 4.3.1, or our own binary, behind one face.
//!
//! Both are a single node on 127.0.0.1 with a data directory that outlives the process, so that a test can stop, kill
//! and start it again on the same data and the same port.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::java::{Java, output_of};

/// Whose broker it is.
#[derive(Clone, Debug)]
pub enum Program {
    /// Apache Kafka from its jars, as one combined KRaft node.
    Apache(Java),
    /// Our binary, started as `afluente serve --data-dir DIR --listen HOST:PORT --override key=value`.
    Afluente(PathBuf),
}

/// Settings with which either broker is quick to use in tests: small internal topics, no waiting for group members,
/// and, for Apache Kafka, a short session so that a start after `kill -9` does not wait nine seconds for its own ghost.
pub const TEST_OVERRIDES: &[(&str, &str)] = &[
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.num.partitions", "4"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "500"),
];

/// What Apache Kafka needs to know to be a cluster of one; our binary has these as defaults.
const SINGLE_NODE: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
];

/// A broker that is not ready after this many polls has failed to start.
const READY_POLLS_MAX: u32 = 2_400;
const READY_POLL: Duration = Duration::from_millis(50);

/// A broker process and its data directory. Dropping it kills the process and removes the directory if it made it.
#[derive(Debug)]
pub struct Broker {
    program: Program,
    overrides: Vec<(String, String)>,
    data_dir: PathBuf,
    port: u16,
    controller_port: u16,
    /// Of Apache Kafka, beside the plain one: names, which are also the security protocols, and ports.
    listeners: Vec<(String, u16)>,
    log_path: PathBuf,
    child: Option<Child>,
    /// Holds settings and the log; also the data where the caller gave no directory.
    work: TempDir,
}

impl Broker {
    /// Starts a broker on a free port with a data directory of its own, and waits until it answers Metadata.
    ///
    /// `overrides` come after [`TEST_OVERRIDES`] and win over them.
    pub fn start(program: Program, overrides: &[(&str, &str)]) -> Result<Broker> {
        Broker::start_with(program, None, &[], with_test_overrides(overrides))
    }

    /// As [`Broker::start`] of Apache Kafka, with a listener for each of these security protocols (`SSL`, `SASL_SSL`, …)
    /// beside the plain one; `overrides` say the rest about them.
    pub fn start_with_listeners(
        java: Java,
        protocols: &[&str],
        overrides: &[(&str, &str)],
    ) -> Result<Broker> {
        Broker::start_with(Program::Apache(java), None, protocols, with_test_overrides(overrides))
    }

    /// As [`Broker::start`], on a data directory that stays, and with exactly these settings.
    ///
    /// For Apache Kafka an empty or missing directory is formatted first; another one is started as it stands.
    pub fn start_on(
        program: Program,
        data_dir: Option<&Path>,
        overrides: Vec<(String, String)>,
    ) -> Result<Broker> {
        Broker::start_with(program, data_dir, &[], overrides)
    }

    fn start_with(
        program: Program,
        data_dir: Option<&Path>,
        protocols: &[&str],
        overrides: Vec<(String, String)>,
    ) -> Result<Broker> {
        let work = tempfile::Builder::new().prefix("afluente-broker-").tempdir()?;
        let data_dir = data_dir.map_or_else(|| work.path().join("data"), Path::to_path_buf);
        std::fs::create_dir_all(&data_dir)?;
        let ports = free_ports(2 + protocols.len())?;
        let (port, controller_port) = (ports[0], ports[1]);
        let names = protocols.iter().map(|&name| name.to_owned());
        let listeners = names.zip(ports[2..].iter().copied()).collect();
        let log_path = work.path().join("broker.log");
        let mut broker = Broker {
            program,
            overrides,
            data_dir,
            port,
            controller_port,
            listeners,
            log_path,
            child: None,
            work,
        };
        broker.format()?;
        broker.start_again()?;
        Ok(broker)
    }

    /// `127.0.0.1:PORT`; the same after each start.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:PORT` of the listener for a security protocol.
    pub fn listener(&self, protocol: &str) -> String {
        let found = self.listeners.iter().find(|(name, _)| name == protocol);
        let (_, port) = found.unwrap_or_else(|| panic!("no listener for {protocol}"));
        format!("127.0.0.1:{port}")
    }

    /// Where the broker keeps its data.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// What the broker has written to stdout and stderr so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log_path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts the process on the data and port it had, and waits until it answers Metadata.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the broker is running");
        let log = File::options().create(true).append(true).open(&self.log_path)?;
        let mut command = self.command()?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("could not run {command:?}"))?);
        self.wait_ready()
    }

    /// Asks the process to stop (SIGTERM) and waits for it; fails if it does not end cleanly.
    pub fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the broker is not running")?;
        output_of(Command::new("kill").args(["-TERM", &child.id().to_string()]))?;
        let status = child.wait()?;
        // A JVM that ends by SIGTERM says 143 however cleanly it shut down.
        let clean = status.success() || status.code() == Some(143);
        ensure!(clean, "the broker ended with {status}\n{}", self.log_tail());
        Ok(())
    }

    /// Kills the process (SIGKILL), as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the broker is not running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Writes Apache Kafka's settings and formats an empty data directory; ours needs neither.
    fn format(&self) -> Result<()> {
        let Program::Apache(java) = &self.program else { return Ok(()) };
        let (host, broker, controller) = (Ipv4Addr::LOCALHOST, self.port, self.controller_port);
        let mut listeners = format!("PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}");
        for (name, port) in &self.listeners {
            listeners.push_str(&format!(",{name}://{host}:{port}"));
        }
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        for (name, _) in &self.listeners {
            protocols.push_str(&format!(",{name}:{name}"));
        }
        let mut settings = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             listeners={listeners}\nadvertised.listeners={listeners}\n\
             listener.security.protocol.map={protocols}\ncontroller.listener.names=CONTROLLER\n\
             controller.quorum.bootstrap.servers={host}:{controller}\n\
             log.dirs={}\n",
            self.data_dir.display()
        );
        let single_node = SINGLE_NODE.iter().map(|&(key, value)| (key, value));
        let overrides = self.overrides.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in single_node.chain(overrides) {
            settings.push_str(&format!("{key}={value}\n"));
        }
        let path = self.settings_path();
        std::fs::write(&path, settings)?;
        if std::fs::read_dir(&self.data_dir)?.next().is_none() {
            let mut format = java.class("kafka.tools.StorageTool");
            format.args(["format", "--standalone", "-t", "AflueNteTestClusterIdA", "-c"]).arg(path);
            output_of(&mut format).context("could not format the data directory")?;
        }
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        match &self.program {
            Program::Apache(java) => {
                let mut command = java.class_with(
                    &["-Xmx768m", "-Xms128m", "-Dafluente.log.level=INFO"],
                    "kafka.Kafka",
                );
                command.arg(self.settings_path());
                Ok(command)
            }
            Program::Afluente(binary) => {
                ensure!(binary.is_file(), "no such binary: {}", binary.display());
                let mut command = Command::new(binary);
                command.arg("serve").arg("--data-dir").arg(&self.data_dir);
                command.arg("--listen").arg(self.bootstrap());
                for (key, value) in &self.overrides {
                    command.arg("--override").arg(format!("{key}={value}"));
                }
                Ok(command)
            }
        }
    }

    fn settings_path(&self) -> PathBuf {
        self.work.path().join("server.properties")
    }

    fn wait_ready(&mut self) -> Result<()> {
        for _ in 0..READY_POLLS_MAX {
            if brokers_in_metadata(self.port).is_ok_and(|brokers| brokers > 0) {
                return Ok(());
            }
            let child = self.child.as_mut().expect("start_again set it");
            if let Some(status) = child.try_wait()? {
                self.child = None;
                bail!("the broker ended with {status} before it was ready\n{}", self.log_tail());
            }
            sleep(READY_POLL);
        }
        self.kill()?;
        bail!("the broker did not answer Metadata\n{}", self.log_tail());
    }

    /// The end of the log, enough to see why something failed.
    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.child.is_some() {
            // Nothing to do about a failure here: the process is gone, or the test has failed already.
            let _ = self.kill();
        }
    }
}

/// Sends Metadata v1 for no topic and gives the number of brokers in the answer.
fn brokers_in_metadata(port: u16) -> Result<u32> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // length | api key 3 | version 1 | correlation id 1 | client id null | empty list: no topics
    let request = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0];
    stream.write_all(&request)?;
    // length | correlation id | count of brokers | …
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(u32::from_be_bytes(head[8..].try_into().expect("four bytes")))
}

fn with_test_overrides(overrides: &[(&str, &str)]) -> Vec<(String, String)> {
    let settings = TEST_OVERRIDES.iter().chain(overrides);
    settings.map(|&(key, value)| (key.into(), value.into())).collect()
}

/// Ports that were free a moment ago.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<std::io::Result<_>>()?;
    let ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port()));
    ports.collect()
}
