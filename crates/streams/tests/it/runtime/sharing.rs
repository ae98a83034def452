//! What applications compute, alone and together, over restarts.

use super::cluster::{CLOSE, Cluster, Row, apache, number, ours, run};
use afluente_streams::Topology;
use afluente_streams::dsl::{Consumed, Materialized, Produced, StreamsBuilder};
use afluente_streams::runtime::{RunningStreams, State};
use std::collections::BTreeMap;
use std::time::Duration;

/// Words of lines, counted through a repartition topic.
fn word_count() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>(&["lines"], Consumed::new())
        .flat_map_values(|_, line| {
            let line = line.unwrap_or_default();
            line.split_whitespace().map(|word| Some(word.to_owned())).collect::<Vec<_>>()
        })
        .group_by(|_, word| word.cloned())
        .count_with(Materialized::named("words"))
        .to_stream()
        .to("word-counts", Produced::new());
    builder.build().unwrap()
}

fn latest(rows: &[Row]) -> BTreeMap<&str, i64> {
    rows.iter().map(|row| (row.key.as_str(), number(row.value.as_deref()))).collect()
}

const LINES: [(&str, Option<&str>, i64); 3] =
    [("a", Some("to be or not to be"), 10), ("b", Some("be that as it may"), 20), ("c", None, 30)];

async fn counts_go_on_after_a_restart(cluster: &Cluster, guarantee: &str) {
    cluster.create(&[("lines", 2), ("word-counts", 3)]).await;
    cluster.put("lines", LINES).await;
    let settings = [("processing.guarantee", guarantee)];
    let first = cluster.run("words", word_count(), &settings).await;
    let rows = cluster
        .read_until("word-counts", |rows| {
            let now = latest(rows);
            let is_there = |word| now.contains_key(word);
            now.get("be") == Some(&3)
                && now.get("to") == Some(&2)
                && is_there("may")
                && is_there("or")
        })
        .await;
    assert_eq!(latest(&rows)["or"], 1);
    first.close(CLOSE).await.unwrap();
    cluster.put("lines", LINES).await;
    let second = cluster.run("words", word_count(), &settings).await;
    assert!(second.metrics().restored() >= 8, "the words come back from the changelog");
    let rows = cluster
        .read_until("word-counts", |rows| {
            let now = latest(rows);
            rows.len() >= 22 && now.get("be") == Some(&6) && now.get("to") == Some(&4)
        })
        .await;
    assert_eq!(rows.len(), 22, "each word of each line once: {rows:?}");
    second.close(CLOSE).await.unwrap();
}

#[test]
fn word_counts_go_on_after_a_restart() {
    run(async {
        for guarantee in ["at_least_once", "exactly_once_v2"] {
            let Some(cluster) = ours("word count") else { return };
            counts_go_on_after_a_restart(&cluster, guarantee).await;
        }
    });
}

#[test]
fn word_counts_go_on_after_a_restart_on_apache() {
    run(async {
        let Some(cluster) = apache("word count on Apache Kafka") else { return };
        counts_go_on_after_a_restart(&cluster, "exactly_once_v2").await;
    });
}

/// Two instances with two threads each share the tasks; when one goes, the other has all.
#[test]
fn instances_share_the_work_and_take_over() {
    run(async {
        let Some(cluster) = ours("two instances") else { return };
        cluster.create(&[("lines", 4), ("word-counts", 2)]).await;
        let settings = [("num.stream.threads", "2"), ("num.standby.replicas", "1")];
        let first = cluster.run("shared", word_count(), &settings).await;
        let second = cluster.run("shared", word_count(), &settings).await;
        let mut both = 0;
        let keys: Vec<String> = (0..40).map(|key| format!("k{key}")).collect();
        for round in 0..5 {
            let rows = keys.iter().map(|key| (key.as_str(), Some("one two"), round));
            cluster.put("lines", rows).await;
            both += 40;
            cluster.read_until("word-counts", |rows| latest(rows).get("two") == Some(&both)).await;
        }
        let shares = [first.metrics().processed(), second.metrics().processed()];
        assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
        first.close(CLOSE).await.unwrap();
        cluster.put("lines", keys.iter().map(|key| (key.as_str(), Some("one two"), 9))).await;
        let rows = cluster
            .read_until("word-counts", |rows| {
                latest(rows).get("two") == Some(&240) && latest(rows).get("one") == Some(&240)
            })
            .await;
        assert_eq!(rows.len(), 480);
        second.close(CLOSE).await.unwrap();
    });
}

/// Customers as a table, prices as a global table, orders as a stream.
fn joins() -> Topology {
    let builder = StreamsBuilder::new();
    let customers =
        builder.table::<String, String>("customers", Consumed::new(), Materialized::new());
    let prices =
        builder.global_table::<String, String>("prices", Consumed::new(), Materialized::new());
    builder
        .stream::<String, String>(&["orders"], Consumed::new())
        .join_table(&customers, |_, order, customer| Some(format!("{customer} wants {order}")))
        .join_global(
            &prices,
            |_, text| text.and_then(|text| text.rsplit(' ').next()).map(str::to_owned),
            |_, text, price| Some(format!("{text} for {price}")),
        )
        .to("mails", Produced::new());
    builder.build().unwrap()
}

async fn joins_see_tables(cluster: &Cluster) {
    cluster.create(&[("customers", 2), ("prices", 3), ("orders", 2), ("mails", 1)]).await;
    cluster.put("prices", [("tea", Some("2"), 1), ("milk", Some("1"), 1)]).await;
    cluster.put("customers", [("1", Some("Ana"), 1), ("2", Some("Rui"), 1)]).await;
    cluster
        .put("orders", [("1", Some("tea"), 5), ("2", Some("milk"), 6), ("3", Some("tea"), 7)])
        .await;
    let running = cluster.run("joining", joins(), &[]).await;
    let text = |rows: &[Row]| -> Vec<String> {
        let texts = rows.iter().map(|row| String::from_utf8(row.value.clone().unwrap()).unwrap());
        let mut texts: Vec<String> = texts.collect();
        texts.sort();
        texts
    };
    let rows = cluster.read_until("mails", |rows| rows.len() >= 2).await;
    assert_eq!(text(&rows), ["Ana wants tea for 2", "Rui wants milk for 1"]);
    // A customer who left gets no mail any more.
    cluster.put("customers", [("1", None, 8), ("2", Some("Rui Costa"), 8)]).await;
    cluster.put("orders", [("1", Some("tea"), 9), ("2", Some("tea"), 9)]).await;
    let rows = cluster.read_until("mails", |rows| rows.len() >= 3).await;
    assert_eq!(text(&rows[2..]), ["Rui Costa wants tea for 2"]);
    running.close(CLOSE).await.unwrap();
}

#[test]
fn joins_see_tables_and_global_tables() {
    run(async {
        let Some(cluster) = ours("joins") else { return };
        joins_see_tables(&cluster).await;
    });
}

#[test]
fn joins_see_tables_and_global_tables_on_apache() {
    run(async {
        let Some(cluster) = apache("joins on Apache Kafka") else { return };
        joins_see_tables(&cluster).await;
    });
}

#[test]
fn a_paused_instance_processes_nothing_until_it_goes_on() {
    run(async {
        let Some(cluster) = ours("pausing") else { return };
        cluster.create(&[("lines", 1), ("word-counts", 1)]).await;
        let running = cluster.run("paused", word_count(), &[]).await;
        running.pause();
        cluster.put("lines", LINES).await;
        // It stays in its group all the while, and polls.
        let waited = running.wait_for(State::Error);
        let clock = afluente_env::Env::real().clock;
        tokio::select! {
            state = waited => panic!("{state:?}"),
            () = clock.sleep(Duration::from_millis(500)) => {}
        }
        assert_eq!(running.metrics().processed(), 0);
        running.resume();
        cluster.read_until("word-counts", |rows| latest(rows).get("be") == Some(&3)).await;
        running.close(CLOSE).await.unwrap();
    });
}

/// A task goes to another instance and comes back to the thread that had it: its stores are whole again.
#[test]
fn a_task_that_comes_back_has_its_whole_state() {
    run(async {
        let Some(cluster) = ours("tasks that come back") else { return };
        cluster.create(&[("in", 2), ("counts", 2)]).await;
        let topology = || {
            let builder = StreamsBuilder::new();
            builder
                .stream::<String, String>(&["in"], Consumed::new())
                .group_by_key()
                .count_with(Materialized::named("store"))
                .to_stream()
                .to("counts", Produced::new());
            builder.build().unwrap()
        };
        let keys: Vec<String> = (0..50).map(|key| format!("k{key}")).collect();
        let put = async |time: i64| {
            cluster.put("in", keys.iter().map(|key| (key.as_str(), Some("x"), time))).await;
        };
        let first = cluster.run("back", topology(), &[]).await;
        put(1).await;
        cluster.read_until("counts", |rows| rows.len() >= 50).await;
        for round in 0..2 {
            let guest = cluster.run("back", topology(), &[]).await;
            put(2 + 2 * round).await;
            let rows = usize::try_from(100 * round + 100).unwrap();
            cluster.read_until("counts", |all| all.len() >= rows).await;
            assert!(guest.metrics().processed() > 0, "the guest had no task");
            guest.close(CLOSE).await.unwrap();
            put(3 + 2 * round).await;
            cluster.read_until("counts", |all| all.len() >= rows + 50).await;
            let all = first.store::<String, i64>("store").all(100).unwrap();
            assert_eq!(all.len(), 50);
            let count = 3 + 2 * round;
            assert!(all.iter().all(|(_, counted)| *counted == count), "{count}: {all:?}");
        }
        first.close(CLOSE).await.unwrap();
    });
}

/// A table whose topic serves as its changelog, and beside it counts with one of their own.
fn users() -> Topology {
    let builder = StreamsBuilder::new().reusing_source_topics();
    let users =
        builder.table::<String, String>("users", Consumed::new(), Materialized::named("users"));
    users.filter(|_, user| user == "in").to_stream().to("kept", Produced::new());
    users.to_stream().group_by_key().count_with(Materialized::named("changes"));
    builder.build().unwrap()
}

/// What was not processed of a topic that serves as changelog is not in the store: else the table would not know what a
/// change replaces.
#[test]
fn a_table_is_filled_from_its_source_only_as_far_as_it_was_processed() {
    run(async {
        let Some(cluster) = ours("a source as changelog") else { return };
        cluster.create(&[("users", 1), ("kept", 1)]).await;
        let first = cluster.run("users-app", users(), &[]).await;
        cluster.put("users", [("k", Some("in"), 1)]).await;
        cluster.read_until("kept", |rows| rows.len() == 1).await;
        first.close(CLOSE).await.unwrap();
        // Filled with this, the table would find that nothing was kept before.
        cluster.put("users", [("k", Some("out"), 2), ("z", Some("in"), 3)]).await;
        let second = cluster.run("users-app", users(), &[]).await;
        let rows = cluster.read_until("kept", |rows| rows.iter().any(|row| row.key == "z")).await;
        let kept: Vec<_> = rows.iter().map(|row| (row.key.as_str(), row.value.is_some())).collect();
        assert_eq!(kept, [("k", true), ("k", false), ("z", true)]);
        second.close(CLOSE).await.unwrap();
    });
}

/// A standby is no further than the commits of the instance that works.
#[test]
fn a_standby_reads_a_source_only_as_far_as_it_was_committed() {
    run(async {
        let Some(cluster) = ours("a standby of a source") else { return };
        cluster.create(&[("users", 1), ("kept", 1)]).await;
        let settings = [("num.standby.replicas", "1"), ("commit.interval.ms", "3600000")];
        let first = cluster.run("standing-users", users(), &settings).await;
        let second = cluster.run("standing-users", users(), &settings).await;
        cluster.put("users", [("k", Some("in"), 1)]).await;
        // The counts are on their way at once, the commit is not.
        let counted = |running: &RunningStreams| {
            let view = running.store::<String, i64>("changes").with_standby();
            view.get(&"k".to_owned()).unwrap() == Some(1)
        };
        cluster.read_until("kept", |_| counted(&first) && counted(&second)).await;
        let user = |running: &RunningStreams| {
            running.store::<String, String>("users").with_standby().get(&"k".to_owned()).unwrap()
        };
        let (working, standing) =
            if first.metrics().processed() > 0 { (first, second) } else { (second, first) };
        assert_eq!(user(&working).as_deref(), Some("in"));
        assert_eq!(user(&standing), None);
        working.close(CLOSE).await.unwrap();
        cluster.put("users", [("k", Some("out"), 2)]).await;
        let rows = cluster.read_until("kept", |rows| rows.len() == 2).await;
        assert_eq!(rows[1].value, None, "the standby knew what it replaced");
        standing.close(CLOSE).await.unwrap();
    });
}

/// Two instances, each the standby of the other: when one goes, its tasks need not be filled anew, and queries find what they hold.
#[test]
fn a_standby_takes_over_without_reading_everything_again() {
    run(async {
        let Some(cluster) = ours("standby tasks") else { return };
        cluster.create(&[("in", 2), ("counts", 2)]).await;
        let topology = || {
            let builder = StreamsBuilder::new();
            builder
                .stream::<String, String>(&["in"], Consumed::new())
                .group_by_key()
                .count_with(Materialized::named("store"))
                .to_stream()
                .to("counts", Produced::new());
            builder.build().unwrap()
        };
        let settings =
            |server: &'static str| [("num.standby.replicas", "1"), ("application.server", server)];
        let first = cluster.run("standing", topology(), &settings("one:1")).await;
        let keys: Vec<String> = (0..500).map(|key| format!("k{key}")).collect();
        let put = async |time: i64| {
            cluster.put("in", keys.iter().map(|key| (key.as_str(), Some("x"), time))).await;
        };
        put(1).await;
        cluster.read_until("counts", |rows| rows.len() >= 500).await;
        let second = cluster.run("standing", topology(), &settings("two:2")).await;
        put(2).await;
        cluster.read_until("counts", |rows| rows.len() >= 1_000).await;
        // Each has one task, and follows the changelog of the other's.
        let is_followed = |running: &RunningStreams| {
            let all = running.store::<String, i64>("store").with_standby().all(1_000).unwrap();
            all.len() == 500 && all.iter().all(|(_, count)| *count == 2)
        };
        cluster.read_until("counts", |_| is_followed(&first) && is_followed(&second)).await;
        let here =
            |running: &RunningStreams| running.store::<String, i64>("store").all(1_000).unwrap();
        let (one, two) = (here(&first), here(&second));
        assert_eq!(one.len() + two.len(), 500);
        assert!(!one.is_empty() && !two.is_empty());
        for (key, count) in &one {
            assert_eq!(*count, 2);
            let hosts = first.host_of("store", key).unwrap();
            assert_eq!(hosts.active.as_deref(), Some("one:1"), "{key}");
            assert_eq!(hosts.standby, ["two:2"], "{key}");
        }
        let restored = (second.metrics().restored(), second.metrics().restored_bytes());
        first.close(CLOSE).await.unwrap();
        put(3).await;
        cluster.read_until("counts", |rows| rows.len() >= 1_500).await;
        let again = second.metrics().restored() - restored.0;
        let again_bytes = second.metrics().restored_bytes() - restored.1;
        eprintln!("the take-over restored {again_bytes} of {} bytes", restored.1);
        assert!(again < 100, "{again} records were read anew");
        assert!(again_bytes * 5 < restored.1, "{again_bytes} bytes were read anew");
        assert_eq!(here(&second).len(), 500);
        assert_eq!(second.store::<String, i64>("store").get(&keys[0]).unwrap(), Some(3));
        second.close(CLOSE).await.unwrap();
    });
}
