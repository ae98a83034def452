//! Ctrl-C and SIGTERM.

use crate::{afluente, signal, text};
use afluente_harness::broker::{Broker, Program};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Far above what it takes, and below the patience of commands that nobody stops.
const PROMPT: Duration = Duration::from_secs(15);

#[allow(clippy::disallowed_methods, reason = "a test measures a program")]
fn stop(mut child: Child, signal_name: &str, what: &str) {
    let began = Instant::now();
    signal(&child, signal_name);
    child.wait().unwrap();
    assert!(began.elapsed() < PROMPT, "{what}: {:?}", began.elapsed());
}

#[test]
fn commands_end_at_a_signal_while_they_cannot_connect() {
    for line in [
        "console-consumer --topic t",
        "console-consumer --topic t --partition 0",
        "console-producer --topic t",
        "consumer-perf-test --topic t --num-records 1",
        "producer-perf-test --topic t --num-records 1 --record-size 1 --throughput 1",
        "verifiable-consumer --topic t --group-id g",
        "verifiable-producer --topic t",
        "e2e-latency --topic t --num-records 1 --producer-acks 1 --record-size 1",
        "topics --list",
        "consumer-groups --list",
        "consume t",
        "consume t --group g",
        "produce t",
        "top",
    ] {
        for name in ["-INT", "-TERM"] {
            let arguments: Vec<&str> = line.split(' ').collect();
            let mut command = afluente(&arguments);
            command.args(["--bootstrap-server", "127.0.0.1:1"]).stdin(Stdio::piped());
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            input.write_all(b"a\n").unwrap();
            stop(child, name, line);
        }
    }
}

#[test]
fn a_consumer_ends_at_a_signal_when_its_broker_is_gone() {
    let binary = env!("CARGO_BIN_EXE_afluente").into();
    let mut broker = Broker::start(Program::Afluente(binary), &[("http.listener", "")]).unwrap();
    let at = broker.bootstrap();
    let mut readers = Vec::new();
    let mut producer = afluente(&["produce", "t", "-q", "--bootstrap-server", &at]);
    let mut producer = producer.stdin(Stdio::piped()).spawn().unwrap();
    producer.stdin.take().unwrap().write_all(b"a\n").unwrap();
    assert!(producer.wait().unwrap().success());
    for line in [
        "console-consumer --topic t --from-beginning",
        "console-consumer --topic t --from-beginning --group g",
        "console-consumer --topic t --from-beginning --group h --command-property group.protocol=consumer",
        "consume t --group i",
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut command = afluente(&arguments);
        command.args(["--bootstrap-server", &at]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut shown = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut shown).unwrap();
        assert_eq!(text(shown.as_bytes()), "a\n", "{line}");
        readers.push((child, line));
    }
    broker.kill().unwrap();
    for (child, line) in readers {
        stop(child, "-TERM", line);
    }
}
