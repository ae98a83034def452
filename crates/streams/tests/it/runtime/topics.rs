//! Internal topics, and topics that do not fit together.

use super::cluster::{CLOSE, ours, run};
use afluente_client::admin::configs::{ConfigResource, ResourceKind};
use afluente_streams::dsl::{
    Consumed, Grouped, Materialized, Produced, StreamsBuilder, TimeWindows,
};
use afluente_streams::runtime::RuntimeError;
use std::time::Duration;

#[test]
fn joined_topics_must_have_equally_many_partitions() {
    run(async {
        let Some(cluster) = ours("co-partitioning") else { return };
        cluster.create(&[("left", 2), ("right-side", 3), ("out", 1)]).await;
        let builder = StreamsBuilder::new();
        let right =
            builder.table::<String, String>("right-side", Consumed::new(), Materialized::new());
        builder
            .stream::<String, String>(&["left"], Consumed::new())
            .join_table(&right, |_, left, right| Some(format!("{left}{right}")))
            .to("out", Produced::new());
        let streams = cluster.streams("uneven", builder.build().unwrap(), &[]);
        let error = streams.start().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "topics that are joined must have the same number of partitions:\n  \
             left        2\n  right-side  3\n\
             add partitions to the smaller ones, or send one side through `repartition`"
        );
    });
}

#[test]
fn missing_topics_are_named() {
    run(async {
        let Some(cluster) = ours("missing topics") else { return };
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>(&["nowhere"], Consumed::new()).to("out", Produced::new());
        let streams = cluster.streams("missing", builder.build().unwrap(), &[]);
        let error = streams.start().await.unwrap_err();
        assert!(matches!(error, RuntimeError::MissingTopics { ref topics } if topics == "nowhere"));
    });
}

#[test]
fn internal_topics_have_the_names_and_settings_of_kafka_streams() {
    run(async {
        let Some(cluster) = ours("internal topics") else { return };
        cluster.create(&[("in", 3)]).await;
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>(&["in"], Consumed::new())
            .group_by_with(|_, value| value.cloned(), Grouped::new().named("by-value"))
            .windowed_by(
                TimeWindows::of_size(Duration::from_secs(60)).with_grace(Duration::from_secs(30)),
            )
            .count_with(Materialized::named("minutes"));
        let running = cluster.run("app", builder.build().unwrap(), &[]).await;
        let expected: [(&str, &[(&str, &str)]); 2] = [
            (
                "app-by-value-repartition",
                &[
                    ("cleanup.policy", "delete"),
                    ("retention.ms", "-1"),
                    ("segment.bytes", "52428800"),
                    ("message.timestamp.type", "CreateTime"),
                ],
            ),
            (
                "app-minutes-changelog",
                &[
                    ("cleanup.policy", "compact,delete"),
                    ("retention.ms", "86490000"),
                    ("message.timestamp.type", "CreateTime"),
                ],
            ),
        ];
        for (topic, settings) in expected {
            let described = cluster.admin.describe_topics([topic]).await.unwrap();
            assert_eq!(described[topic].as_ref().unwrap().partitions.len(), 3, "{topic}");
            let resource = ConfigResource { kind: ResourceKind::Topic, name: topic.to_owned() };
            let found = cluster
                .admin
                .describe_configs([resource.clone()], Default::default())
                .await
                .unwrap();
            let found = found[&resource].as_ref().unwrap();
            for (key, value) in settings {
                let entry = found.iter().find(|entry| entry.name == *key).unwrap();
                assert_eq!(entry.value.as_deref(), Some(*value), "{topic} {key}");
            }
        }
        running.close(CLOSE).await.unwrap();
    });
}
