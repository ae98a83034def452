//! An application that was Kafka Streams' goes on as ours with the same application id, and back: names, changelogs, repartition
//! topics and committed offsets are the same.

use super::cluster::{CLOSE, Cluster, Row, apache, number, ours, run};
use afluente_env::Env;
use afluente_harness::java::{Jars, Java, java_dir};
use afluente_streams::Topology;
use afluente_streams::dsl::{Consumed, Materialized, Produced, StreamsBuilder, TimeWindows};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::Duration;

const APPLICATION: &str = "moving";

const WINDOW_MS: i64 = 10_000;

/// What `StreamsTakeover.java` describes, too.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>(&["clicks"], Consumed::new())
        .group_by_key()
        .windowed_by(
            TimeWindows::of_size(Duration::from_secs(10)).with_grace(Duration::from_secs(3_600)),
        )
        .count_with(Materialized::named("windows"))
        .to_stream()
        .map(|window, count| {
            (window.map(|window| format!("{}@{}", window.key, window.window.start_ms)), count)
        })
        .to("window-counts", Produced::new());
    let orders =
        builder.table::<String, String>("orders", Consumed::new(), Materialized::named("orders"));
    let customers = builder.table::<String, String>(
        "customers",
        Consumed::new(),
        Materialized::named("customers"),
    );
    orders
        .join_foreign(
            &customers,
            |_, order| order.split(':').next().map(str::to_owned),
            |order, customer| Some(format!("{order} for {customer}")),
            Materialized::named("joined"),
        )
        .to_stream()
        .to("mails", Produced::new());
    builder.build().unwrap()
}

/// Kafka Streams with the same application.
struct JavaApplication {
    child: Child,
    description: String,
}

impl JavaApplication {
    fn start(java: &Java, cluster: &Cluster, state: &std::path::Path) -> Self {
        tokio::task::block_in_place(|| {
            let mut child = java
                .program(&java_dir().join("StreamsTakeover.java"))
                .args([&cluster.broker.bootstrap(), APPLICATION])
                .arg(state)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut description = String::new();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            loop {
                let mut line = String::new();
                assert!(output.read_line(&mut line).unwrap() > 0, "Java ended: {description}");
                if line == "RUNNING\n" {
                    break;
                }
                description += &line;
            }
            child.stdout = Some(output.into_inner());
            Self { child, description }
        })
    }

    /// Lets it commit and leave its group.
    fn stop(mut self) {
        tokio::task::block_in_place(|| {
            drop(self.child.stdin.take());
            let mut rest = String::new();
            self.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
            assert!(self.child.wait().unwrap().success(), "{rest}");
        });
    }
}

impl Drop for JavaApplication {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn counts(rows: &[Row]) -> BTreeMap<String, i64> {
    rows.iter().map(|row| (row.key.clone(), number(row.value.as_deref()))).collect()
}

fn mails(rows: &[Row]) -> BTreeMap<&str, String> {
    let text = |row: &Row| String::from_utf8_lossy(row.value.as_deref().unwrap_or(b"-")).into();
    rows.iter().map(|row| (row.key.as_str(), text(row))).collect()
}

async fn application_moves_and_comes_back(cluster: &Cluster, java: &Java) {
    let topics =
        [("clicks", 2), ("orders", 2), ("customers", 3), ("window-counts", 2), ("mails", 2)];
    cluster.create(&topics).await;
    let state = tempfile::tempdir().unwrap();
    // Topics forget what is long past, so it is now.
    let (w0, w1) = {
        let start = Env::real().clock.wall_ms() / WINDOW_MS * WINDOW_MS;
        (start, start + WINDOW_MS)
    };
    let counts_are = |rows: &[Row], wanted: [(&str, i64, i64); 4]| {
        let wanted = wanted.map(|(key, window, count)| (format!("{key}@{window}"), count));
        assert_eq!(counts(rows), BTreeMap::from(wanted));
    };
    let first = JavaApplication::start(java, cluster, state.path());
    assert_eq!(first.description.trim(), topology().describe().trim());
    let clicks = [("a", w0 + 1), ("a", w0 + 2), ("b", w0 + 3), ("a", w1 + 2)];
    cluster.put("clicks", clicks.map(|(key, time)| (key, Some("x"), time))).await;
    cluster.put("customers", [("c1", Some("Ana"), w0), ("c2", Some("Rui"), w0)]).await;
    cluster.put("orders", [("o1", Some("c1:tea"), w0), ("o2", Some("c2:milk"), w0)]).await;
    let is = |rows: &[Row], wanted: &[(&str, &str)]| {
        let mails = mails(rows);
        wanted.iter().all(|(key, mail)| mails.get(key).is_some_and(|found| found == mail))
    };
    cluster.read_until("window-counts", |rows| rows.len() >= 4).await;
    let wanted = [("o1", "c1:tea for Ana"), ("o2", "c2:milk for Rui")];
    cluster.read_until("mails", |rows| is(rows, &wanted)).await;
    first.stop();

    let second = cluster.run(APPLICATION, topology(), &[]).await;
    assert!(second.metrics().restored() > 0, "the state came from Java's changelogs");
    cluster.put("clicks", [("a", Some("x"), w0 + 4), ("b", Some("x"), w1 + 3)]).await;
    let rows = cluster.read_until("window-counts", |rows| rows.len() >= 6).await;
    counts_are(&rows, [("a", w0, 3), ("a", w1, 1), ("b", w0, 1), ("b", w1, 1)]);
    // Who is subscribed to a customer is known from Java, too.
    cluster.put("customers", [("c1", Some("Ana Lima"), w0 + 5)]).await;
    cluster.read_until("mails", |rows| is(rows, &[("o1", "c1:tea for Ana Lima")])).await;
    cluster
        .put("orders", [("o2", Some("c1:milk"), w0 + 6), ("o3", Some("c2:bread"), w0 + 6)])
        .await;
    let wanted = [("o2", "c1:milk for Ana Lima"), ("o3", "c2:bread for Rui")];
    cluster.read_until("mails", |rows| is(rows, &wanted)).await;
    second.close(CLOSE).await.unwrap();

    let third = JavaApplication::start(java, cluster, state.path());
    cluster.put("clicks", [("a", Some("x"), w0 + 5), ("b", Some("x"), w1 + 4)]).await;
    let rows = cluster.read_until("window-counts", |rows| rows.len() >= 8).await;
    counts_are(&rows, [("a", w0, 4), ("a", w1, 1), ("b", w0, 1), ("b", w1, 2)]);
    cluster
        .put("customers", [("c2", Some("Rui Costa"), w0 + 9), ("c1", Some("Ana"), w0 + 9)])
        .await;
    let wanted =
        [("o1", "c1:tea for Ana"), ("o2", "c1:milk for Ana"), ("o3", "c2:bread for Rui Costa")];
    let rows = cluster.read_until("mails", |rows| is(rows, &wanted)).await;
    let lost = rows.iter().filter(|row| row.value.is_none()).count();
    assert_eq!(lost, 0, "no mail was taken back: {:?}", mails(&rows));
    third.stop();
}

#[test]
fn a_java_application_goes_on_as_ours_and_back() {
    run(async {
        let Some(java) = Java::or_skip(Jars::Streams, "the take-over from Java") else { return };
        let Some(cluster) = ours("the take-over from Java") else { return };
        application_moves_and_comes_back(&cluster, &java).await;
    });
}

#[test]
fn a_java_application_goes_on_as_ours_and_back_on_apache() {
    run(async {
        let what = "the take-over from Java on Apache Kafka";
        let Some(java) = Java::or_skip(Jars::Streams, what) else { return };
        let Some(cluster) = apache(what) else { return };
        application_moves_and_comes_back(&cluster, &java).await;
    });
}
