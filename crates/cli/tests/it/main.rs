//! The binary as its users start it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod beside_kafka;
mod console;
mod differential;
mod own_commands;
mod producer_tools;
mod stopping;
mod takeover;
mod tools;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn afluente(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afluente"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A broker on a free port, without the page of metrics.
fn serve(dir: &Path) -> Command {
    let mut command =
        afluente(&["serve", "--listen", "127.0.0.1:0", "--override", "http.listener="]);
    command.arg("--data-dir").arg(dir).stderr(Stdio::piped());
    command
}

/// Starts a broker and reads its log until it listens; the last is where.
fn start(dir: &Path) -> (Child, BufReader<std::process::ChildStderr>, String) {
    let mut child = serve(dir).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"message\":\"listening\"") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it stopped before it listened");
    }
    let (_, behind) = line.split_once("\"address\":\"").unwrap();
    let (address, _) = behind.split_once('"').unwrap();
    (child, log, address.to_owned())
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").arg(name).arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
}

fn fails(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    text(&stderr)
}

#[test]
fn what_is_wrong_with_the_configuration_stops_the_start_and_is_told() {
    let bad = ["serve", "--override", "num.partitions=0", "--override", "log.cleaner.enable=yes"];
    let told = fails(afluente(&bad));
    assert!(told.contains("Invalid value 0 for configuration num.partitions"), "{told}");
    assert!(told.contains("Invalid value yes for configuration log.cleaner.enable"), "{told}");
    let told = fails(afluente(&["serve", "--config", "/nowhere/server.properties"]));
    assert!(told.contains("/nowhere/server.properties"), "{told}");
    let told = fails(afluente(&["serve"]));
    assert!(told.contains("--data-dir"), "without HOME there is no default: {told}");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test writes a file for the program to read")]
fn the_configuration_in_force_is_printed_with_where_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.properties");
    std::fs::write(&file, "num.partitions=7\n").unwrap();
    let mut command = afluente(&["serve", "--print-config", "--override", "broker.rack=r1"]);
    command.arg("--config").arg(&file).env("AFLUENTE_MIN_INSYNC_REPLICAS", "2");
    let printed = text(&command.output().unwrap().stdout);
    assert!(printed.contains("line 1\nnum.partitions=7\n"), "{printed}");
    assert!(printed.contains("# from --override\nbroker.rack=r1\n"));
    assert!(printed.contains("AFLUENTE_MIN_INSYNC_REPLICAS\nmin.insync.replicas=2\n"));
    assert!(printed.contains("\n#default.replication.factor=1\n"));
}

#[test]
fn sigterm_stops_a_broker_well_and_a_second_one_cannot_take_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (mut child, mut log, _) = start(dir.path());
        let told = fails(serve(dir.path()));
        assert!(told.contains("in use by another process"), "{told}");
        signal(&child, "-TERM");
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut log, &mut rest).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(rest.contains("\"message\":\"stopped\""), "{rest}");
        assert!(!rest.contains("\"level\":\"ERROR\""), "{rest}");
    }
}

#[test]
fn a_killed_broker_starts_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _log, _) = start(dir.path());
    signal(&child, "-KILL");
    child.wait().unwrap();
    let (mut child, _log, _) = start(dir.path());
    signal(&child, "-INT");
    assert!(child.wait().unwrap().success());
}
