//! Records that go wrong.

use super::cluster::{CLOSE, ours, run};
use afluente_streams::Topology;
use afluente_streams::dsl::{Consumed, Produced, StreamsBuilder};
use afluente_streams::runtime::State;

fn numbers() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, i64>(&["in"], Consumed::new())
        .map_values(|_, number| number.map(|number| number + 1))
        .to("out", Produced::new());
    builder.build().unwrap()
}

const EIGHT: &str = "\0\0\0\0\0\0\0\u{7}";

#[test]
fn a_record_that_cannot_be_read_ends_the_instance() {
    run(async {
        let Some(cluster) = ours("failing") else { return };
        cluster.create(&[("in", 1), ("out", 1)]).await;
        let running = cluster.run("failing", numbers(), &[]).await;
        cluster.put("in", [("a", Some("text"), 1)]).await;
        assert_eq!(running.wait_for(State::Error).await, State::Error);
        let error = running.close(CLOSE).await.unwrap_err().to_string();
        assert!(error.contains("the value of a record of topic \"in\""), "{error}");
    });
}

#[test]
fn a_record_that_cannot_be_read_is_left_out_and_kept_as_a_dead_letter() {
    run(async {
        let Some(cluster) = ours("dead letters") else { return };
        cluster.create(&[("in", 1), ("out", 1), ("dead", 1)]).await;
        let settings = [
            (
                "deserialization.exception.handler",
                "org.apache.kafka.streams.errors.LogAndContinueExceptionHandler",
            ),
            ("errors.dead.letter.queue.topic.name", "dead"),
        ];
        let running = cluster.run("continuing", numbers(), &settings).await;
        let rows = [("a", Some(EIGHT), 1), ("b", Some("text"), 2), ("c", Some(EIGHT), 3)];
        cluster.put("in", rows).await;
        let out = cluster.read_until("out", |rows| rows.len() >= 2).await;
        assert_eq!(out.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(super::cluster::number(out[0].value.as_deref()), 8);
        let dead = cluster.read_until("dead", |rows| !rows.is_empty()).await;
        assert_eq!((dead[0].key.as_str(), dead[0].value.as_deref()), ("b", Some(&b"text"[..])));
        running.close(CLOSE).await.unwrap();
    });
}

#[test]
fn unknown_settings_are_named() {
    use afluente_streams::runtime::StreamsConfig;
    let config = StreamsConfig::from_properties([
        ("application.id", "a"),
        ("bootstrap.servers", "localhost:1"),
        ("commit.intervals.ms", "5"),
        ("linger.ms", "5"),
        ("consumer.max.poll.records", "5"),
    ])
    .unwrap();
    let names: Vec<&str> = config.unknown().iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["commit.intervals.ms"]);
    let missing = StreamsConfig::from_properties([("bootstrap.servers", "localhost:1")]);
    assert!(missing.unwrap_err().to_string().contains("application.id"));
}
