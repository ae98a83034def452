//! Each tool beside Apache Kafka's, on the same broker: the same exit code, and the same output.
//!
//! The command lines are in `beside_kafka/lines`, one file a tool:
//!
//! ```text
//! MODE: TOOL ARGUMENTS [<<< INPUT]
//! ```
//!
//! `MODE` says what must be equal beside the exit code, see [`Equal`]. `WHO` is `by-us` or `by-it`, `DIR` a directory
//! with files for tools, `AT` the option that names the broker; `|` in the input is the end of a line.

mod kafkas;

use crate::{afluente, text};
use afluente_harness::broker::{Broker, Program};
use afluente_harness::java::{Jars, Java};
use kafkas::Kafkas;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What a tool said, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn ours(name: &str, arguments: &[String], input: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afluente"));
    command.arg(name).args(arguments).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A tool that does not understand its command line ends without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

/// What must be equal, beside the exit code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Equal {
    /// All lines of standard output.
    Output,
    /// Those of standard error too.
    Both,
    /// The words of standard output: Kafka's tools show some of them in the order of a hash table.
    Words,
    /// The first line of standard output: what follows is a trace of Java.
    FirstLine,
    /// Standard output but for what the numbers in it are.
    Shape,
    /// Nothing: help and the like.
    Code,
    /// Nothing; we end with 1 where Kafka's tool ends with 0 although it has failed.
    WeFail,
}

struct Line {
    equal: Equal,
    tool: &'static str,
    arguments: &'static str,
    input: String,
}

impl Line {
    fn all() -> Vec<Self> {
        let files = [
            include_str!("beside_kafka/lines/topics.txt"),
            include_str!("beside_kafka/lines/configs.txt"),
            include_str!("beside_kafka/lines/consumer-groups.txt"),
            include_str!("beside_kafka/lines/groups.txt"),
            include_str!("beside_kafka/lines/get-offsets.txt"),
            include_str!("beside_kafka/lines/delete-records.txt"),
            include_str!("beside_kafka/lines/log-dirs.txt"),
            include_str!("beside_kafka/lines/cluster.txt"),
            include_str!("beside_kafka/lines/features.txt"),
            include_str!("beside_kafka/lines/transactions.txt"),
            include_str!("beside_kafka/lines/broker-api-versions.txt"),
            include_str!("beside_kafka/lines/console-producer.txt"),
            include_str!("beside_kafka/lines/console-consumer.txt"),
            include_str!("beside_kafka/lines/producer-perf-test.txt"),
            include_str!("beside_kafka/lines/consumer-perf-test.txt"),
            include_str!("beside_kafka/lines/e2e-latency.txt"),
            include_str!("beside_kafka/lines/verifiable-producer.txt"),
            include_str!("beside_kafka/lines/verifiable-consumer.txt"),
            include_str!("beside_kafka/lines/dump-log.txt"),
            include_str!("beside_kafka/lines/acls.txt"),
            include_str!("beside_kafka/lines/client-metrics.txt"),
            include_str!("beside_kafka/lines/leader-election.txt"),
            include_str!("beside_kafka/lines/reassign-partitions.txt"),
            include_str!("beside_kafka/lines/metadata-quorum.txt"),
            include_str!("beside_kafka/lines/storage.txt"),
        ];
        let lines = files.into_iter().flat_map(str::lines);
        lines.filter(|line| !line.starts_with('#')).map(Self::parse).collect()
    }

    fn parse(line: &'static str) -> Self {
        let (mode, rest) = line.split_once(": ").unwrap();
        let equal = match mode {
            "output" => Equal::Output,
            "both" => Equal::Both,
            "first-line" => Equal::FirstLine,
            "shape" => Equal::Shape,
            "words" => Equal::Words,
            "code" => Equal::Code,
            "we-fail" => Equal::WeFail,
            _ => panic!("{line}"),
        };
        let (command, input) = rest.split_once(" <<< ").unwrap_or((rest, ""));
        let (tool, arguments) = command.split_once(' ').unwrap_or((command, ""));
        let input = input.split_terminator('|').map(|line| format!("{line}\n")).collect();
        Self { equal, tool, arguments, input }
    }
}

/// Numbers, and the blanks that align them, as one sign.
fn shape(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' | '.' | '-' | ':' | 'E' | ' ' if shown.ends_with('#') => {}
            '0'..='9' => shown.push('#'),
            _ => shown.push(c),
        }
    }
    shown
}

/// Kafka's tools show partitions in the order of a hash table.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Standard error without what a JVM alone has to say: traces, and advice in its log.
fn told(text: &str) -> String {
    let lines = text.lines().filter(|line| {
        !line.starts_with("\tat ") && !line.starts_with("The consumer rebalance protocol (KIP-848)")
    });
    sorted(&lines.collect::<Vec<_>>().join("\n"))
}

/// What is compared of what a tool said.
fn compared(said: &Said, equal: Equal) -> String {
    let alike = |text: &str| text.replace("by-us", "WHO").replace("by-it", "WHO");
    let out = alike(&said.out);
    match equal {
        Equal::Output => sorted(&out),
        Equal::Both => sorted(&out) + "\nstandard error:\n" + &told(&alike(&said.err)),
        Equal::Words => {
            let mut words: Vec<&str> =
                out.split([' ', '\t', '\n', ',', '[', ']', '(', ')', '{', '}']).collect();
            words.sort_unstable();
            words.join(" ")
        }
        Equal::FirstLine => out.lines().next().unwrap_or_default().to_owned(),
        Equal::Shape => shape(&out),
        Equal::Code | Equal::WeFail => String::new(),
    }
}

#[allow(clippy::disallowed_methods, reason = "a test writes files for the programs to read")]
fn write_files(dir: &Path) {
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    let records = |topic: &str, offset: i64| {
        format!(
            r#"{{"partitions":[{{"topic":"{topic}","partition":0,"offset":{offset}}}],"version":1}}"#
        )
    };
    write("records.json", &records("some", 0));
    write("far-records.json", &records("some", 1000));
    write("version.json", r#"{"partitions":[],"version":9}"#);
    write("broken.json", "{");
    let one = r#"{"topic":"some","partition":0,"offset":1}"#;
    write("twice.json", &format!(r#"{{"partitions":[{one},{one}],"version":1}}"#));
    write("topics.json", r#"{"topics":[{"topic":"some"}],"version":1}"#);
    let moves = |broker: u32| {
        format!(
            r#"{{"version":1,"partitions":[{{"topic":"some","partition":0,"replicas":[{broker}]}}]}}"#
        )
    };
    write("move.json", &moves(1));
    write("far.json", &moves(77));
    write("topic.properties", "retention.ms=7000\nmax.message.bytes=9000\n");
    write("client.properties", "linger.ms=1\n");
    write("formatter.properties", "print.key=true\nprint.partition=true\n");
    write("reader.properties", "parse.key=true\nkey.separator=:\n");
    write("payload.txt", "one\ntwo\nthree\n");
    write("offsets.csv", "some,0,2\nsome,1,0\n");
    for who in ["by-us", "by-it"] {
        let data = dir.join("nothing").display().to_string();
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\nlog.dirs={data}\n\
             listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n\
             controller.listener.names=CONTROLLER\n\
             controller.quorum.bootstrap.servers=127.0.0.1:9093\n"
        );
        write(&format!("{who}.properties"), &text);
        write(&format!("records-{who}.json"), &records(&format!("cut-{who}"), 2));
        write(&format!("groups-{who}.csv"), &format!("{who},some,0,4\nother-{who},some,0,5\n"));
    }
}

/// Programs that are there while tools look at what they do.
struct Background(Vec<Child>);

impl Background {
    fn start(&mut self, arguments: &[String]) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = afluente(&arguments);
        self.0.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn tools_say_what_those_of_kafka_say_and_end_as_they_end() {
    let Some(java) = Java::or_skip(Jars::Kafka, "each tool beside Apache Kafka's") else { return };
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path());
    let binary = env!("CARGO_BIN_EXE_afluente").into();
    let broker = Broker::start(Program::Afluente(binary), &[("http.listener", "")]).unwrap();
    let at = format!("--bootstrap-server {}", broker.bootstrap());
    let arguments = |line: &str, who: &str| -> Vec<String> {
        let line = line.replace("WHO", who).replace("AT", &at);
        let line = line.replace("DIR", &dir.path().display().to_string());
        line.split_whitespace().map(str::to_owned).collect()
    };
    let prepare = |name: &str, line: &str, input: &str| {
        let said = ours(name, &arguments(line, "by-us"), input);
        assert_eq!(said.code, 0, "{name} {line}: {}{}", said.out, said.err);
        said.out
    };
    for topic in
        ["keys", "numbers", "open", "perf", "to-by-us", "to-by-it", "cut-by-us", "cut-by-it"]
    {
        prepare("topics", &format!("AT --create --topic {topic} --partitions 1"), "");
    }
    prepare("topics", "AT --create --topic some --partitions 1", "");
    let twenty = "AT --topic some --num-records 20 --throughput -1 --payload-monotonic";
    prepare("producer-perf-test", twenty, "");
    prepare("topics", "AT --alter --topic some --partitions 2", "");
    let keyed = "AT --topic keys --property parse.key=true --property parse.headers=true \
                 --property null.marker=NIL";
    prepare("console-producer", keyed, "a:1,b:2\tk\tv\nc:\tNIL\tw\nNIL\tk\tNIL\nd:3\tá\té\n");
    for topic in ["numbers", "cut-by-us", "cut-by-it"] {
        let eight = "12345678\n".repeat(4);
        prepare("console-producer", &format!("AT --topic {topic}"), &eight);
    }
    let reset = "AT --group g --reset-offsets --topic some --to-earliest --execute";
    prepare("consumer-groups", reset, "");
    let mut background = Background(Vec::new());
    for line in [
        "console-consumer AT --topic some --group live --command-property client.id=c",
        "console-consumer AT --topic some --group modern --command-property group.protocol=consumer",
        "producer-perf-test AT --topic open --num-records 100000 --record-size 5 --throughput 20 \
         --transactional-id open --transaction-duration-ms 10000000 --producer-props transaction.timeout.ms=900000",
    ] {
        background.start(&arguments(line, "by-us"));
    }
    for (name, line, expected) in [
        ("consumer-groups", "AT --describe --group live", "/127.0.0.1"),
        ("consumer-groups", "AT --describe --group modern", "/127.0.0.1"),
        ("transactions", "AT list", "Ongoing"),
    ] {
        // Each of them appears a moment after its program has started.
        let has_come = || ours(name, &arguments(line, "by-us"), "").out.contains(expected);
        assert!((0..2_000).any(|_| has_come()), "{name} {line}");
    }
    let mut kafkas = Kafkas::new(java);
    let mut differences = Vec::new();
    let only = std::env::var("AFLUENTE_TOOL").ok();
    for line in Line::all() {
        let Line { equal, tool, arguments: rest, ref input } = line;
        if only.as_ref().is_some_and(|only| only != tool) {
            continue;
        }
        let we = ours(&format!("kafka-{tool}.sh"), &arguments(rest, "by-us"), input);
        let they = kafkas.run(tool, &arguments(rest, "by-it"), input);
        let (our, their) = (compared(&we, equal), compared(&they, equal));
        let is_code_right = match equal {
            Equal::WeFail => (we.code, they.code) == (1, 0),
            _ => we.code == they.code,
        };
        if !is_code_right || our != their {
            differences.push(format!(
                "{tool} {rest}\n  we end with {}, they with {}\n  ours:   {our:?}\n  theirs: {their:?}\n  \
                 our errors: {:?}\n  their errors: {:?}",
                we.code,
                they.code,
                we.err.lines().next(),
                they.err.lines().next(),
            ));
        }
    }
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n"));
}
