//! `kafka-server-start` and `kafka-server-stop`, as Kafka's scripts are typed.

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Tool};
use crate::serve;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) const START: Tool = Tool {
    name: "server-start",
    about: "Run a broker by a server.properties: server-start [-daemon] FILE [--override KEY=VALUE].",
    specs: START_SPECS,
    run: Run::Local(start),
};

pub(super) const STOP: Tool = Tool {
    name: "server-stop",
    about: "Stop the brokers of this user on this machine.",
    specs: STOP_SPECS,
    run: Run::Local(stop),
};

const START_SPECS: &[Spec] = &[
    flag("daemon", "Run in the background, with the output in logs/kafkaServer.out."),
    value("name", "NAME", "Has no effect."),
    flag("loggc", "Has no effect."),
    value("override", "KEY=VALUE", "Set a key of the configuration; may be repeated."),
];

const STOP_SPECS: &[Spec] = &[
    value("node-id", "ID", "Only the node of this id."),
    value("process-role", "ROLE", "broker or controller: every node is both."),
];

fn start(options: Options, mut out: Out) -> Result<Out, Failure> {
    let [file] = &options.words[..] else {
        let told = "USAGE: kafka-server-start [-daemon] server.properties [--override \
                    property=value]*";
        return Err(Failure::Usage(told.to_owned()));
    };
    let overrides: Vec<String> = options.all("override").into_iter().map(str::to_owned).collect();
    if !options.has("daemon") {
        serve::run_with_file(PathBuf::from(file), overrides)?;
        return Ok(out);
    }
    let (log, path) = daemon_log()?;
    let binary = std::env::current_exe().context("could not find out where this binary is")?;
    let mut command = Command::new(binary);
    command.args(["serve", "--config", file]);
    for one in &overrides {
        command.args(["--override", one]);
    }
    let log_too = log.try_clone().context("could not share the log")?;
    command.stdin(Stdio::null()).stdout(log).stderr(log_too).process_group(0);
    let child = command.spawn().context("could not start the broker")?;
    out.line(format!("started as process {}; it writes to {}", child.id(), path.display()))?;
    Ok(out)
}

/// `kafkaServer.out` in `LOG_DIR`, or in `logs` of the directory that one is in.
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the output of a program that is started in the background"
)]
fn daemon_log() -> anyhow::Result<(std::fs::File, PathBuf)> {
    let dir = std::env::var_os("LOG_DIR").map_or_else(|| PathBuf::from("logs"), PathBuf::from);
    std::fs::create_dir_all(&dir)
        .with_context(|| format!("could not make the directory {}", dir.display()))?;
    let path = dir.join("kafkaServer.out");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    Ok((file.with_context(|| format!("could not open {}", path.display()))?, path))
}

fn stop(options: Options, mut out: Out) -> Result<Out, Failure> {
    let node_id = options.number::<i32>("node-id")?;
    let servers = servers(node_id)?;
    if servers.is_empty() {
        return Err(Failure::Told(out, "No kafka server to stop".to_owned()));
    }
    for server in servers {
        kill_process(server, Signal::TERM)
            .with_context(|| format!("could not stop process {}", server.as_raw_nonzero()))?;
    }
    out.flush()?;
    Ok(out)
}

/// Processes of this binary, or of one with its name, that serve.
#[allow(clippy::disallowed_methods, reason = "processes are found in /proc")]
fn servers(node_id: Option<i32>) -> anyhow::Result<Vec<Pid>> {
    let own = rustix::process::getpid();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").context("could not list the processes in /proc")? {
        let Ok(entry) = entry else { continue };
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw).filter(|pid| *pid != own) else { continue };
        // Other users' processes cannot be read, and are not ours to stop.
        let (Ok(binary), Ok(line)) = (
            std::fs::read_link(entry.path().join("exe")),
            std::fs::read(entry.path().join("cmdline")),
        ) else {
            continue;
        };
        let dir = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let line: Vec<String> = line
            .split(|&byte| byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        if is_ours(&binary)
            && let Some(serving) = Serving::of(&line)
            && node_id.is_none_or(|id| serving.node_id(&dir) == id)
        {
            found.push(pid);
        }
    }
    Ok(found)
}

fn is_ours(binary: &Path) -> bool {
    // A binary that was replaced while it runs has a remark behind its name.
    let name = binary.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.trim_end_matches(" (deleted)") == "afluente"
}

/// What the command line of a broker says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Serving {
    file: Option<String>,
    node_id: Option<i32>,
}

impl Serving {
    /// `None` if it is that of another program.
    fn of(line: &[String]) -> Option<Self> {
        let (name, mut rest) = line.split_first()?;
        let name = Path::new(name).file_name()?.to_str()?;
        let is_start = |name: &str| {
            ["server-start", "kafka-server-start", "kafka-server-start.sh"].contains(&name)
        };
        let is_kafkas = is_start(name) || is_start(rest.first()?);
        if !is_start(name) {
            let (command, behind) = rest.split_first()?;
            if command != "serve" && !is_kafkas {
                return None;
            }
            rest = behind;
        }
        let mut serving = Self::default();
        let mut rest = rest.iter();
        while let Some(argument) = rest.next() {
            let (option, value) = match argument.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (argument.as_str(), None),
            };
            match option {
                "--config" => {
                    serving.file = value.map(str::to_owned).or_else(|| rest.next().cloned());
                }
                "--override" => {
                    let given =
                        value.or_else(|| rest.next().map(String::as_str)).unwrap_or_default();
                    if let Some(id) = given.strip_prefix("node.id=") {
                        serving.node_id = id.trim().parse().ok();
                    }
                }
                file if is_kafkas && !file.starts_with('-') && serving.file.is_none() => {
                    serving.file = Some(file.to_owned());
                }
                _ => {}
            }
        }
        Some(serving)
    }

    /// The id of the node, whose process is in `dir`.
    fn node_id(&self, dir: &Path) -> i32 {
        const DEFAULT: i32 = 1;
        let of_file = || {
            let settings = serve::config_of_file(&dir.join(self.file.as_ref()?)).ok()?;
            Some(settings.node.id)
        };
        self.node_id.or_else(of_file).unwrap_or(DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_told_from_other_processes_by_their_command_line() {
        let of = |line: &str| {
            let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
            Serving::of(&line)
        };
        let serving =
            |file: Option<&str>, node_id| Some(Serving { file: file.map(str::to_owned), node_id });
        assert_eq!(of("/usr/bin/afluente serve --listen x:1"), serving(None, None));
        assert_eq!(
            of("afluente serve --config a.properties --override node.id=7"),
            serving(Some("a.properties"), Some(7))
        );
        assert_eq!(
            of("./bin/kafka-server-start.sh config/server.properties --override node.id=3"),
            serving(Some("config/server.properties"), Some(3))
        );
        assert_eq!(of("afluente server-start a.properties"), serving(Some("a.properties"), None));
        for other in
            ["afluente console --x", "kafka-topics serve", "afluente", "kafka-topics.sh --list"]
        {
            let expected = (other == "kafka-topics serve").then(Serving::default);
            assert_eq!(of(other), expected, "{other}");
        }
        assert!(is_ours(Path::new("/opt/afluente (deleted)")));
        assert!(!is_ours(Path::new("/usr/bin/afluent")));
    }
}
