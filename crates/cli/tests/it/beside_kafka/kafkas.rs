//! Kafka's tools in one JVM.

use super::Said;
use afluente_harness::java::{Java, java_dir};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// The class of each tool, which is what its script in Kafka's `bin` starts.
const CLASSES: &[(&str, &str)] = &[
    ("acls", "org.apache.kafka.tools.AclCommand"),
    ("broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
    ("client-metrics", "org.apache.kafka.tools.ClientMetricsCommand"),
    ("cluster", "org.apache.kafka.tools.ClusterTool"),
    ("configs", "kafka.admin.ConfigCommand"),
    ("console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("console-producer", "org.apache.kafka.tools.ConsoleProducer"),
    ("consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("consumer-perf-test", "org.apache.kafka.tools.ConsumerPerformance"),
    ("delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
    ("dump-log", "org.apache.kafka.tools.DumpLogSegments"),
    ("e2e-latency", "org.apache.kafka.tools.EndToEndLatency"),
    ("features", "org.apache.kafka.tools.FeatureCommand"),
    ("get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("groups", "org.apache.kafka.tools.GroupsCommand"),
    ("leader-election", "org.apache.kafka.tools.LeaderElectionCommand"),
    ("log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    ("metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand"),
    ("producer-perf-test", "org.apache.kafka.tools.ProducerPerformance"),
    ("reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"),
    ("storage", "kafka.tools.StorageTool"),
    ("topics", "org.apache.kafka.tools.TopicCommand"),
    ("transactions", "org.apache.kafka.tools.TransactionsCommand"),
    ("verifiable-consumer", "org.apache.kafka.tools.VerifiableConsumer"),
    ("verifiable-producer", "org.apache.kafka.tools.VerifiableProducer"),
];

pub(super) struct Kafkas {
    java: Java,
    running: Option<Running>,
}

struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Kafkas {
    pub(super) fn new(java: Java) -> Self {
        Self { java, running: None }
    }

    pub(super) fn run(&mut self, tool: &str, arguments: &[String], stdin: &str) -> Said {
        if tool == "verifiable-producer" {
            return self.run_alone(tool, arguments);
        }
        let running = self.running.get_or_insert_with(|| Running::start(&self.java));
        let (_, class) = CLASSES.iter().find(|(name, _)| *name == tool).unwrap();
        let stdin = STANDARD.encode(stdin);
        let words: Vec<&str> =
            [&stdin, *class].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        writeln!(running.input, "{}", words.join("\t")).unwrap();
        let mut line = String::new();
        running.output.read_line(&mut line).unwrap();
        let parts: Vec<&str> = line.trim_end_matches('\n').split(' ').collect();
        let [code, out, err] = parts[..] else { panic!("{class} {arguments:?}: {line:?}") };
        let decoded =
            |part: &str| String::from_utf8_lossy(&STANDARD.decode(part).unwrap()).into_owned();
        let (out, err) = (decoded(out), decoded(err));
        let code = match code {
            // The tool has ended the JVM.
            "?" => {
                let mut ended = self.running.take().unwrap();
                ended.child.wait().unwrap().code().unwrap()
            }
            code => code.parse().unwrap(),
        };
        Said { code, out, err }
    }
}

impl Kafkas {
    /// In a JVM of its own, at whose end the tool does what it has to do last.
    fn run_alone(&self, tool: &str, arguments: &[String]) -> Said {
        let (_, class) = CLASSES.iter().find(|(name, _)| *name == tool).unwrap();
        let output = self.java.class(class).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code().unwrap(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

impl Running {
    fn start(java: &Java) -> Self {
        let mut command = java.program(&java_dir().join("ToolLines.java"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
