//! What Kafka lacks: consume, produce, top, completions, pages of the manual, server-start.

use crate::{afluente, text};
use afluente_harness::broker::{Broker, Program};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

struct Stage {
    broker: Broker,
}

impl Stage {
    fn new() -> Self {
        let binary = env!("CARGO_BIN_EXE_afluente").into();
        Self { broker: Broker::start(Program::Afluente(binary), &[("http.listener", "")]).unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = afluente(arguments);
        command.args(["--bootstrap-server", &self.broker.bootstrap()]);
        command
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Standard output of a command that must succeed.
    fn says_to(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run_with(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn says(&self, arguments: &[&str]) -> String {
        self.says_to(arguments, "")
    }

    /// Standard error of a command that must fail.
    fn fails(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run_with(arguments, input);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }
}

const ORDERS: &str = r#"{"id": 1, "customer": {"id": "a"}, "total": 50, "at": "2026-01-01T00:00:01Z"}
{"id": 2, "customer": {"id": "b"}, "total": 150, "at": "2026-01-01T00:00:02Z"}
{"id": 3, "customer": {"id": "a"}, "total": 250, "at": "2026-01-01T00:00:03Z"}
"#;

#[test]
fn records_are_sent_by_path_and_shown_by_filter_time_and_format() {
    let stage = Stage::new();
    stage.says(&["topics", "--create", "--topic", "orders", "--partitions", "2"]);
    let sent =
        ["produce", "orders", "--input", "json", "--key", "customer.id", "--timestamp", "at"];
    stage.says_to(&[&sent[..], &["-H", "source=test", "-q"]].concat(), ORDERS);
    let shown = |more: &[&str]| stage.says(&[&["consume", "orders", "--exit"], more].concat());
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let mut expected: Vec<String> = ORDERS.lines().map(str::to_owned).collect();
    expected.sort();
    assert_eq!(sorted(shown(&[])), expected);
    assert_eq!(
        sorted(shown(&["--format", "%k %S %h %T"])),
        [
            "a 77 source=test 1767225601000",
            "a 78 source=test 1767225603000",
            "b 78 source=test 1767225602000",
        ]
    );
    let filter = "value.total > 100 && value.customer.id == 'a'";
    assert_eq!(shown(&["--filter", filter, "--format", "%k"]), "a\n");
    let of_time = ["--since", "2026-01-01T00:00:02Z", "--until", "2026-01-01T00:00:03Z"];
    assert_eq!(shown(&[&of_time[..], &["--format", "%D"]].concat()), "2026-01-01 00:00:02.000\n");
    let tail = stage.says(&["consume", "orders", "--tail", "2", "--format", "%T"]);
    assert_eq!(tail, "1767225602000\n1767225603000\n");
    assert_eq!(shown(&["-n", "1"]).lines().count(), 1);
    let json: serde_json::Value =
        serde_json::from_str(&shown(&["--output", "json", "--filter", "value.id == 2"])).unwrap();
    assert_eq!(json["key"], "b");
    assert_eq!(json["value"]["total"], 150);
    assert_eq!(json["headers"][0]["value"], "test");
    assert_eq!(shown(&["--output", "table"]).lines().count(), 4);

    // A topic is copied, with keys, headers and times.
    let all = shown(&["--output", "json"]);
    stage.says_to(&["produce", "copy", "--input", "records", "-q"], &all);
    let copied = stage.says(&["consume", "copy", "--exit", "--format", "%k %S %h %T"]);
    assert_eq!(sorted(copied), sorted(shown(&["--format", "%k %S %h %T"])));
}

#[test]
fn a_group_goes_on_behind_what_was_shown() {
    let stage = Stage::new();
    stage.says(&["topics", "--create", "--topic", "t", "--partitions", "1"]);
    stage.says_to(&["produce", "t", "-q"], "a\nb\nc\n");
    let two = stage.says(&["consume", "t", "--group", "g", "-n", "2"]);
    assert_eq!(two, "a\nb\n");
    assert_eq!(stage.says(&["consume", "t", "--group", "g", "-n", "1"]), "c\n");
    let top = stage.says(&["top", "--looks", "2", "--interval", "0.1", "--output", "json"]);
    let look: serde_json::Value = serde_json::from_str(top.lines().nth(1).unwrap()).unwrap();
    assert_eq!(look["topics"][0]["records"], 3);
    assert_eq!(look["topics"][0]["recordsPerSecond"], 0.0);
    assert_eq!(look["groups"][0]["lag"], 0);
    assert!(stage.says(&["top", "--looks", "1"]).contains("TOPIC"));
}

#[test]
fn csv_lines_and_whole_files_become_records() {
    let stage = Stage::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prices.csv");
    #[allow(clippy::disallowed_methods, reason = "a test writes a file for the program to read")]
    std::fs::write(&file, "product,price\n\"tea, green\",2.50\ncoffee,3\n").unwrap();
    let path = file.to_str().unwrap();
    stage.says(&["produce", "prices", path, "--input", "csv", "--key", "product", "-q"]);
    let shown = stage.says(&["consume", "prices", "-e", "-f", "%k=%s"]);
    assert_eq!(
        shown,
        "tea, green={\"price\":\"2.50\",\"product\":\"tea, green\"}\n\
         coffee={\"price\":3,\"product\":\"coffee\"}\n"
    );
    stage.says(&["produce", "files", path, "--input", "whole", "--key", "f", "-q"]);
    assert!(stage.says(&["consume", "files", "-e"]).starts_with("product,price\n"));
    stage.says_to(&["produce", "keyed", "--key-separator", ":", "--null", "-q"], "a:1\nb:\n");
    assert_eq!(stage.says(&["consume", "keyed", "-e", "-f", "%k %S"]), "a 1\nb -1\n");
    let slow = ["produce", "keyed", "--rate", "1000", "-n", "2", "-q"];
    stage.says_to(&slow, "x\ny\nz\n");
    assert_eq!(stage.says(&["consume", "keyed", "-t", "1"]), "y\n");
}

#[test]
fn what_is_wrong_is_named_at_its_place() {
    let stage = Stage::new();
    stage.says(&["topics", "--create", "--topic", "t", "--partitions", "1"]);
    for (arguments, input, expected) in [
        (&["consume", "none"][..], "", "there is no topic none"),
        (&["consume", "t", "--filter", "value >"], "", "--filter: "),
        (&["consume", "t", "--format", "%q"], "", "%q means nothing"),
        (&["consume", "t", "--since", "tomorrow"], "", "\"tomorrow\" is no time"),
        (&["consume", "t", "--offset", "x"], "", "--offset \"x\" is none"),
        (&["consume", "t", "-p", "7"], "", "topic t has no partition 7"),
        (&["consume", "(", "--regex"], "", "is no regular expression"),
        (&["produce", "t", "--input", "json"], "{}\n{", "-, line 2: it is no JSON"),
        (&["produce", "t", "--input", "json", "-k", "a.b"], "{}", "there is no a.b in it"),
        (&["produce", "t", "--input", "csv"], "a,b\n1\n", "row 2: it has 1 fields"),
        (&["produce", "t", "/none"], "", "could not open /none"),
        (&["produce", "t", "-H", "x"], "", "--header \"x\" is not KEY=VALUE"),
        (&["produce", "t", "-X", "acks=7"], "a", "acks"),
        (&["top", "--interval", "0"], "", "--interval"),
    ] {
        let told = stage.fails(arguments, input);
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
    let mut dead =
        afluente(&["consume", "t", "-b", "127.0.0.1:1", "-X", "default.api.timeout.ms=200"]);
    let told = text(&dead.output().unwrap().stderr);
    assert!(told.contains("could not connect to 127.0.0.1:1"), "{told}");
    assert_eq!(afluente(&["consume"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let stage = Stage::new();
    let many: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    stage.says_to(&["produce", "t", "-q"], &many);
    for arguments in [
        &["consume", "t", "--exit"][..],
        &["console-consumer", "--topic", "t", "--from-beginning", "--timeout-ms", "5000"],
    ] {
        let mut command = stage.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }
}

#[test]
fn shells_and_the_manual_know_every_command() {
    for (shell, expected) in
        [("bash", "_afluente()"), ("zsh", "#compdef afluente"), ("fish", "complete -c afluente")]
    {
        let said = text(&afluente(&["completions", shell]).output().unwrap().stdout);
        assert!(said.contains(expected), "{shell}");
        assert!(said.contains("reset-offsets") && said.contains("consumer-groups"), "{shell}");
    }
    let named = afluente(&["completions", "bash", "--kafka-names"]).output().unwrap();
    assert!(text(&named.stdout).contains("kafka-topics.sh"));
    let dir = tempfile::tempdir().unwrap();
    let said = afluente(&["man"]).arg(dir.path()).output().unwrap();
    assert!(said.status.success(), "{}", text(&said.stderr));
    #[allow(clippy::disallowed_methods, reason = "a test reads what the program wrote")]
    let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(page("afluente.1").contains("consume"));
    assert!(page("afluente-consume.1").contains("tail"));
    assert!(page("kafka-topics.1").contains("partitions"));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test writes files for the programs to read")]
fn kafkas_scripts_format_start_and_stop_a_broker() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = afluente(arguments);
        command.current_dir(dir.path()).env("LOG_DIR", dir.path().join("logs"));
        command.output().unwrap()
    };
    // A number that no other broker on this machine has.
    let node_id = std::process::id().to_string();
    let data = dir.path().join("data");
    let file = dir.path().join("server.properties");
    let settings = format!(
        "process.roles=broker,controller\nnode.id={node_id}\nlog.dirs={}\n\
         listeners=PLAINTEXT://127.0.0.1:0\nhttp.listener=\n",
        data.display()
    );
    std::fs::write(&file, settings).unwrap();
    let id = text(&run(&["kafka-storage.sh", "random-uuid"]).stdout);
    assert_eq!(id.trim().len(), 22, "{id}");
    let format =
        ["kafka-storage.sh", "format", "--standalone", "-t", id.trim(), "-c", "server.properties"];
    let said = run(&format);
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(
        text(&said.stdout).starts_with("Formatting metadata directory "),
        "{}",
        text(&said.stdout)
    );
    assert!(text(&run(&format).stderr).contains("is already formatted"));
    let info = text(&run(&["kafka-storage.sh", "info", "-c", "server.properties"]).stdout);
    assert!(info.contains(&format!("cluster.id={}", id.trim())), "{info}");

    let stop = ["kafka-server-stop.sh", "--node-id", &node_id];
    let said = run(&stop);
    assert_eq!(said.status.code(), Some(1));
    assert_eq!(text(&said.stdout), "No kafka server to stop\n");
    let said = run(&["kafka-server-start.sh", "-daemon", "server.properties"]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    let log = dir.path().join("logs/kafkaServer.out");
    let until = |expected: &str| loop {
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(!text.contains("\"level\":\"ERROR\"") && !text.contains("afluente: "), "{text}");
        if text.contains(expected) {
            return;
        }
        std::thread::yield_now();
    };
    until("\"message\":\"listening\"");
    assert!(run(&stop).status.success());
    until("\"message\":\"stopped\"");
}
