//! What Kafka's `bin` has and this binary does not have: answers that say what to use instead.

use super::{TOOLS, Tool, options};

/// A name, without `.sh`, and what to do instead.
pub(super) const ANSWERS: &[(&str, &str)] = &[
    (
        "zookeeper-server-start",
        "there is no ZooKeeper any more, and the broker needs none. Start it alone:\n\n  \
         kafka-server-start.sh config/server.properties",
    ),
    (
        "zookeeper-server-stop",
        "there is no ZooKeeper any more; kafka-server-stop.sh stops the broker.",
    ),
    (
        "zookeeper-shell",
        "there is no ZooKeeper any more. What it knew is shown by kafka-topics.sh, \
         kafka-configs.sh and kafka-metadata-quorum.sh.",
    ),
    ("zookeeper-security-migration", "there is no ZooKeeper any more."),
    (
        "kafka-preferred-replica-election",
        "it is called kafka-leader-election.sh. Type:\n\n  kafka-leader-election.sh \
         --bootstrap-server localhost:9092 --election-type preferred --all-topic-partitions",
    ),
    (
        "kafka-metadata-shell",
        "it is not there. `kafka-dump-log.sh --cluster-metadata-decoder --files FILE` shows the \
         records of the metadata, `kafka-metadata-quorum.sh` the quorum.",
    ),
    (
        "kafka-jmx",
        "there is no JMX, for there is no JVM. The metrics of a broker are served by HTTP: \
         http.listener says where, docs/metrics.md what.",
    ),
    (
        "kafka-mirror-maker",
        "it is not there, as in Kafka 4. `afluente consume` and `afluente produce` copy a topic.",
    ),
    ("connect-mirror-maker", "it is not there."),
    ("kafka-delegation-tokens", "the broker issues no delegation tokens."),
    (
        "kafka-share-groups",
        "the broker serves no share groups. `kafka-groups.sh --list` shows all that it serves.",
    ),
    (
        "kafka-console-share-consumer",
        "the broker serves no share groups; use kafka-console-consumer.sh.",
    ),
    (
        "kafka-share-consumer-perf-test",
        "the broker serves no share groups; use kafka-consumer-perf-test.sh.",
    ),
    (
        "kafka-verifiable-share-consumer",
        "the broker serves no share groups; use kafka-verifiable-consumer.sh.",
    ),
    (
        "kafka-streams-application-reset",
        "it is not there. `kafka-consumer-groups.sh --reset-offsets --group APPLICATION.ID` sets \
         the offsets back, `kafka-topics.sh --delete` takes internal topics away.",
    ),
    (
        "kafka-streams-groups",
        "it is not there. `kafka-groups.sh --list --streams` lists groups of Streams.",
    ),
    ("kafka-storage-format", "it is called kafka-storage.sh format."),
    (
        "trogdor",
        "it is not there. kafka-producer-perf-test.sh and kafka-consumer-perf-test.sh measure.",
    ),
];

/// Classes of Kafka 4's tools.
const CLASSES: &[(&str, &str)] = &[
    ("kafka.Kafka", "server-start"),
    ("kafka.admin.ConfigCommand", "configs"),
    ("kafka.tools.StorageTool", "storage"),
    ("org.apache.kafka.tools.AclCommand", "acls"),
    ("org.apache.kafka.tools.BrokerApiVersionsCommand", "broker-api-versions"),
    ("org.apache.kafka.tools.ClientMetricsCommand", "client-metrics"),
    ("org.apache.kafka.tools.ClusterTool", "cluster"),
    ("org.apache.kafka.tools.ConsoleProducer", "console-producer"),
    ("org.apache.kafka.tools.ConsumerPerformance", "consumer-perf-test"),
    ("org.apache.kafka.tools.DeleteRecordsCommand", "delete-records"),
    ("org.apache.kafka.tools.DumpLogSegments", "dump-log"),
    ("org.apache.kafka.tools.EndToEndLatency", "e2e-latency"),
    ("org.apache.kafka.tools.FeatureCommand", "features"),
    ("org.apache.kafka.tools.GetOffsetShell", "get-offsets"),
    ("org.apache.kafka.tools.GroupsCommand", "groups"),
    ("org.apache.kafka.tools.LeaderElectionCommand", "leader-election"),
    ("org.apache.kafka.tools.LogDirsCommand", "log-dirs"),
    ("org.apache.kafka.tools.MetadataQuorumCommand", "metadata-quorum"),
    ("org.apache.kafka.tools.ProducerPerformance", "producer-perf-test"),
    ("org.apache.kafka.tools.TopicCommand", "topics"),
    ("org.apache.kafka.tools.TransactionsCommand", "transactions"),
    ("org.apache.kafka.tools.VerifiableConsumer", "verifiable-consumer"),
    ("org.apache.kafka.tools.VerifiableProducer", "verifiable-producer"),
    ("org.apache.kafka.tools.consumer.ConsoleConsumer", "console-consumer"),
    ("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "consumer-groups"),
    ("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "reassign-partitions"),
];

/// What to say to somebody who types `name`, with `.sh` or without it.
pub(super) fn answer(name: &str) -> Option<String> {
    let bare = name.strip_suffix(".sh").unwrap_or(name);
    let (_, answer) = ANSWERS.iter().find(|(known, _)| *known == bare)?;
    Some(format!("{name}: {answer}"))
}

/// What `kafka-run-class CLASS …` means.
pub(super) enum Class {
    /// A tool, and its arguments.
    Tool(&'static Tool, Vec<String>),
    /// Something to say.
    Answer(String),
}

/// Finds the tool of a class. A class that Kafka once had is answered with the line to type.
pub(super) fn class(arguments: &[String]) -> Class {
    let Some((class, rest)) = arguments.split_first() else {
        return Class::Answer(
            "USAGE: kafka-run-class [class of a tool of Kafka] [opts]".to_owned(),
        );
    };
    let tool_of = |name: &str| TOOLS.iter().find(|tool| tool.name == name);
    if let Some((_, name)) = CLASSES.iter().find(|(known, _)| known == class)
        && let Some(tool) = tool_of(name)
    {
        return Class::Tool(tool, rest.to_vec());
    }
    let simple = class.rsplit('.').next().unwrap_or(class);
    let known = CLASSES.iter().find(|(known, _)| known.rsplit('.').next() == Some(simple));
    if let Some((_, name)) = known {
        let name = format!("kafka-{name}.sh");
        let line = options::modern_line(&name, rest);
        return Class::Answer(format!("{class} is no class of Kafka 4. Type:\n\n  {line}"));
    }
    Class::Answer(format!("{class} is a class of Java, of which this binary has none."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_tool() {
        for (class, name) in CLASSES {
            let found = super::class(&[(*class).to_owned(), "--help".to_owned()]);
            assert!(matches!(found, Class::Tool(tool, _) if tool.name == *name), "{class}");
        }
    }

    #[test]
    fn what_courses_once_printed_is_answered_with_the_line_to_type() {
        let typed = "kafka.tools.GetOffsetShell --broker-list localhost:9092 --topic t --time -1";
        let arguments: Vec<String> = typed.split(' ').map(str::to_owned).collect();
        let Class::Answer(told) = class(&arguments) else { panic!("it is no tool") };
        let line = "kafka-get-offsets.sh --bootstrap-server localhost:9092 --topic t --time -1";
        assert!(told.ends_with(line), "{told}");
        assert!(answer("zookeeper-server-start.sh").unwrap().contains("kafka-server-start.sh"));
        assert_eq!(answer("kafka-topics"), None);
    }
}
