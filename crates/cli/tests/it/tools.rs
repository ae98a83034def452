//! Kafka's tools, by Kafka's names, against our broker; and beside Kafka's own.

use crate::{signal, start, text};
use afluente_harness::java::{Jars, Java, output_of};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A broker, and a directory with links to the tools.
struct Stage {
    broker: Child,
    address: String,
    bin: PathBuf,
    dir: TempDir,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (broker, _log, address) = start(dir.path());
        let bin = dir.path().join("bin");
        let mut install = Command::new(env!("CARGO_BIN_EXE_afluente"));
        let output = install.args(["tools", "install"]).arg(&bin).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        Self { broker, address, bin, dir }
    }

    /// Runs a line as one types it, in the directory of the links.
    fn shell(&self, line: &str, input: &str) -> Output {
        let mut child = self.spawn(line);
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn spawn(&self, line: &str) -> Child {
        let line = line.replace("BROKER", &self.address);
        Command::new("sh")
            .args(["-c", &line])
            .current_dir(&self.bin)
            .env("PATH", format!("{}:/usr/bin:/bin", self.bin.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Standard output of a line that must succeed.
    fn says(&self, line: &str) -> String {
        self.says_to(line, "")
    }

    fn says_to(&self, line: &str, input: &str) -> String {
        let output = self.shell(line, input);
        assert!(
            output.status.success(),
            "{line}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// Both outputs of a line that must fail.
    fn fails(&self, line: &str) -> String {
        let output = self.shell(line, "");
        assert_eq!(output.status.code(), Some(1), "{line}");
        text(&output.stdout) + &text(&output.stderr)
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        signal(&self.broker, "-KILL");
        let _ = self.broker.wait();
    }
}

#[test]
fn lines_of_courses_work_word_for_word() {
    let stage = Stage::new();
    let created =
        stage.says("./kafka-topics.sh --create --topic desafio-bb --bootstrap-server BROKER");
    assert_eq!(created, "Created topic desafio-bb.\n");
    let sent = "./kafka-console-producer.sh --topic desafio-bb --bootstrap-server BROKER";
    stage.says_to(sent, "uno\ndos\ntres\n");
    assert_eq!(stage.says("kafka-topics --bootstrap-server BROKER --list"), "desafio-bb\n");
    let line = "./kafka-topics.sh --create --replication-factor 1 --partitions 1 --topic banco \
                --bootstrap-server BROKER";
    assert_eq!(stage.says(line), "Created topic banco.\n");
    let offsets = stage.says("kafka-get-offsets --bootstrap-server BROKER --topic desafio-bb");
    assert_eq!(offsets, "desafio-bb:0:3\n");
}

#[test]
fn topics_are_described_changed_and_deleted() {
    let stage = Stage::new();
    stage.says("kafka-topics --bootstrap-server BROKER --create --topic a --partitions 2 --config retention.ms=60000");
    let described = stage.says("kafka-topics.sh --describe --topic a --bootstrap-server BROKER");
    let lines: Vec<&str> = described.lines().collect();
    assert_eq!(lines.len(), 3, "{described}");
    assert!(lines[0].starts_with("Topic: a\tTopicId: "), "{described}");
    assert!(lines[0].contains("\tPartitionCount: 2\tReplicationFactor: 1\tConfigs: "));
    assert!(lines[0].contains("retention.ms=60000"));
    assert!(lines[2].starts_with("\tTopic: a\tPartition: 1\tLeader: "), "{described}");
    stage.says("kafka-topics --bootstrap-server BROKER --alter --topic a --partitions 5");
    let told =
        stage.fails("kafka-topics --bootstrap-server BROKER --alter --topic a --partitions 1");
    assert!(told.starts_with("Error while executing topic command : "), "{told}");
    let told = stage.fails("kafka-topics --bootstrap-server BROKER --create --topic a");
    assert!(
        told.contains("Error while executing topic command : Topic 'a' already exists."),
        "{told}"
    );
    stage.says("kafka-topics --bootstrap-server BROKER --create --topic a --if-not-exists");
    let told = stage.fails("kafka-topics --bootstrap-server BROKER --describe --topic b");
    assert_eq!(
        told,
        "Error while executing topic command : Topic 'b' does not exist as expected\n"
    );
    stage.says("kafka-topics --bootstrap-server BROKER --create --topic c");
    stage.says("kafka-topics --bootstrap-server BROKER --delete --topic c");
    assert_eq!(stage.says("kafka-topics --bootstrap-server BROKER --list"), "a\n");
}

#[test]
fn what_cannot_work_is_told_with_what_to_do() {
    let stage = Stage::new();
    let told = stage.fails("kafka-topics --list --zookeeper localhost:2181");
    assert!(told.contains("kafka-topics --list --bootstrap-server localhost:9092"), "{told}");
    let told = stage.fails("kafka-console-producer.sh --broker-list BROKER --topic a");
    let expected =
        format!("kafka-console-producer.sh --bootstrap-server {} --topic a", stage.address);
    assert!(told.contains(&expected), "{told}");
    let told = stage.fails("kafka-topics --list");
    assert!(told.contains("Missing required argument \"[bootstrap-server]\""), "{told}");
    let told = stage.fails("kafka-topics");
    assert!(told.contains("--create"), "{told}");
    let config = stage.path().join("client.properties");
    #[allow(clippy::disallowed_methods, reason = "a test writes a file for the program to read")]
    std::fs::write(&config, "default.api.timeout.ms=200\nbogus.key=1\n").unwrap();
    let line = format!(
        "kafka-topics --list --bootstrap-server 127.0.0.1:1 --command-config {}",
        config.display()
    );
    let told = stage.fails(&line);
    assert!(told.contains("could not connect to 127.0.0.1:1"), "{told}");
    assert!(told.contains("check that a broker runs there"), "{told}");
    assert!(told.contains("bogus.key is not known"), "{told}");
}

#[test]
fn configurations_and_records_are_changed() {
    let stage = Stage::new();
    stage.says("kafka-topics --bootstrap-server BROKER --create --topic a --partitions 1");
    let changed = "kafka-configs --bootstrap-server BROKER --alter --topic a --add-config retention.ms=5000,cleanup.policy=[compact,delete]";
    assert_eq!(stage.says(changed), "Completed updating config for topic a.\n");
    let described = stage.says("kafka-configs --bootstrap-server BROKER --describe --topic a");
    assert!(described.starts_with("Dynamic configs for topic a are:\n  cleanup.policy=compact,delete sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, "), "{described}");
    let taken = "kafka-configs --bootstrap-server BROKER --alter --topic a --delete-config retention.ms,cleanup.policy";
    stage.says(taken);
    let described = stage.says("kafka-configs --bootstrap-server BROKER --describe --topic a");
    assert_eq!(described, "Dynamic configs for topic a are:\n");

    stage.says_to("seq 1 20 | kafka-console-producer --bootstrap-server BROKER --topic a", "");
    let file = stage.path().join("delete.json");
    let json = r#"{"partitions":[{"topic":"a","partition":0,"offset":5}],"version":1}"#;
    #[allow(clippy::disallowed_methods, reason = "a test writes a file for the program to read")]
    std::fs::write(&file, json).unwrap();
    let line = format!(
        "kafka-delete-records --bootstrap-server BROKER --offset-json-file {}",
        file.display()
    );
    assert!(stage.says(&line).ends_with("partition: a-0\tlow_watermark: 5\n"));
    let first = stage.says("kafka-get-offsets --bootstrap-server BROKER --topic a --time earliest");
    assert_eq!(first, "a:0:5\n");
}

#[test]
fn groups_are_given_offsets_and_shown() {
    let stage = Stage::new();
    stage.says("kafka-topics --bootstrap-server BROKER --create --topic a --partitions 1");
    stage.says_to("seq 1 20 | kafka-console-producer --bootstrap-server BROKER --topic a", "");
    let reset = stage.says("kafka-consumer-groups --bootstrap-server BROKER --group g --reset-offsets --topic a --to-offset 7 --execute");
    assert!(reset.ends_with("g               a               0          7\n"), "{reset}");
    assert_eq!(stage.says("kafka-consumer-groups --bootstrap-server BROKER --list"), "g\n");
    let described =
        stage.says("kafka-consumer-groups --bootstrap-server BROKER --describe --group g");
    let row = "g               a               0          7               20              13              -               -               -";
    assert_eq!(described.lines().nth(2), Some(row), "{described}");
    let planned = stage.says("kafka-consumer-groups --bootstrap-server BROKER --group g --reset-offsets --all-topics --shift-by 100 --dry-run");
    assert!(planned.ends_with("0          20\n"), "{planned}");
    let deleted = stage.says("kafka-consumer-groups --bootstrap-server BROKER --delete --group g");
    assert_eq!(deleted, "Deletion of requested consumer groups ('g') was successful.\n");
}

#[test]
fn the_console_shows_what_was_sent_until_it_is_stopped() {
    let stage = Stage::new();
    stage.says("./kafka-topics.sh --create --topic desafio-bb --bootstrap-server BROKER");
    let sent = "./kafka-console-producer.sh --topic desafio-bb --bootstrap-server BROKER";
    stage.says_to(sent, "uno\ndos\ntres\n");
    let line = "exec ./kafka-console-consumer.sh --topic desafio-bb --from-beginning --bootstrap-server BROKER";
    let mut child = stage.spawn(line);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for expected in ["uno\n", "dos\n", "tres\n"] {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    }
    signal(&child, "-INT");
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(text(&ended.stderr), "Processed a total of 3 messages\n");

    // A group goes on behind what was shown, and not behind what was fetched.
    let two = "kafka-console-consumer --bootstrap-server BROKER --topic desafio-bb --group g --from-beginning --max-messages 2";
    assert_eq!(stage.says(two), "uno\ndos\n");
    let one = "kafka-console-consumer --bootstrap-server BROKER --topic desafio-bb --group g --max-messages 1";
    assert_eq!(stage.says(one), "tres\n");
    let from = "kafka-console-consumer --bootstrap-server BROKER --topic desafio-bb --partition 0 --offset 1 --max-messages 1 --formatter-property print.offset=true";
    assert_eq!(stage.says(from), "Offset:1\tdos\n");
}

/// Lines of which Apache Kafka's tool and ours must say the same: the tool's class and name, and
/// its arguments.
const LINES: &[(&str, &str, &str)] = &[
    ("org.apache.kafka.tools.TopicCommand", "topics", "--create --topic my.topic --if-not-exists"),
    ("org.apache.kafka.tools.TopicCommand", "topics", "--describe --topic my.topic"),
    ("org.apache.kafka.tools.TopicCommand", "topics", "--list"),
    ("org.apache.kafka.tools.GetOffsetShell", "get-offsets", "--topic-partitions my.topic:0,a"),
    (
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "consumer-groups",
        "--list --state --type",
    ),
    (
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "consumer-groups",
        "--describe --all-groups",
    ),
    ("kafka.admin.ConfigCommand", "configs", "--describe --topic a"),
    (
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "console-consumer",
        "--topic my.topic --from-beginning --max-messages 2 --formatter-property print.key=true \
         --formatter-property print.headers=true --formatter-property print.offset=true \
         --formatter-property print.partition=true --formatter-property print.timestamp=true",
    ),
    ("org.apache.kafka.tools.BrokerApiVersionsCommand", "broker-api-versions", ""),
    ("org.apache.kafka.tools.FeatureCommand", "features", "describe"),
    ("org.apache.kafka.tools.TransactionsCommand", "transactions", "list"),
];

#[test]
fn the_output_is_that_of_kafkas_tools() {
    let Some(java) = Java::or_skip(Jars::Kafka, "the tools beside Apache Kafka's") else { return };
    let stage = Stage::new();
    stage.says(
        "kafka-topics --bootstrap-server BROKER --create --topic a --config retention.ms=60000",
    );
    stage.says("kafka-consumer-groups --bootstrap-server BROKER --group g --reset-offsets --topic a --to-earliest --execute");
    stage.says("kafka-topics --bootstrap-server BROKER --create --topic my.topic --partitions 2");
    let keyed = "kafka-console-producer --bootstrap-server BROKER --topic my.topic --reader-property parse.key=true --reader-property parse.headers=true --reader-property null.marker=NULL";
    stage.says_to(keyed, "h1:a,h2:b\tk1\tv1\nNULL\tk1\tNULL\n");
    for (class, tool, arguments) in LINES {
        let ours = stage.says(&format!("kafka-{tool} --bootstrap-server BROKER {arguments}"));
        let mut command = java.class(class);
        command.args(["--bootstrap-server", &stage.address]).args(arguments.split_whitespace());
        let theirs = output_of(&mut command).unwrap();
        assert_eq!(ours, theirs, "{tool} {arguments}");
    }
}
