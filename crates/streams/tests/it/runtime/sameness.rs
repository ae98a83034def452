//! With and without record caches, as one task and as many, in one go and restarted: an application ends in the same state.

use super::cluster::{CLOSE, Cluster, Row, ours, run};
use afluente_env::rng::Rng;
use afluente_streams::Topology;
use afluente_streams::driver::TestDriver;
use afluente_streams::dsl::{
    Consumed, Grouped, KStream, Materialized, Produced, StreamsBuilder, TimeWindows,
};
use afluente_streams::record::Record;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

const OUTPUTS: [&str; 3] = ["regions", "windows", "joined"];

const INPUTS: usize = 600;

/// Users by region, clicks by window, and each user beside their clicks.
fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let users =
        builder.table::<String, String>("users", Consumed::new(), Materialized::named("users"));
    let text = |stream: &KStream<String, i64>, topic| {
        stream
            .map_values(|_, count| count.map(|count| count.to_string()))
            .to(topic, Produced::new());
    };
    let regions = users
        .group_by(
            |_, region| (Some(region.clone()), Some(region.clone())),
            Grouped::<String, String>::new(),
        )
        .count(Materialized::named("by-region"));
    text(&regions.to_stream(), "regions");
    let clicks = builder.stream::<String, String>(&["clicks"], Consumed::new()).group_by_key();
    let windows =
        TimeWindows::of_size(Duration::from_millis(50)).with_grace(Duration::from_secs(3_600));
    let windows = clicks.windowed_by(windows).count_with(Materialized::named("by-window"));
    let windows = windows.to_stream().map(|window, count| {
        (window.map(|window| format!("{}@{}", window.key, window.window.start_ms)), count)
    });
    text(&windows, "windows");
    let totals = clicks.count_with(Materialized::named("totals"));
    users
        .left_join(
            &totals,
            |region, total| Some(format!("{region} {}", total.copied().unwrap_or(0))),
            Some(Materialized::named("beside")),
        )
        .to_stream()
        .to("joined", Produced::new());
    builder.build().unwrap()
}

struct Input {
    topic: &'static str,
    key: String,
    value: Option<&'static str>,
    time: i64,
}

fn inputs(seed: u64) -> Vec<Input> {
    let rng = Rng::seeded(seed);
    let mut all = Vec::new();
    for at in 0..INPUTS {
        let key = format!("user-{}", rng.index(20));
        let late = i64::try_from(rng.index(40)).unwrap();
        let time = (i64::try_from(at).unwrap() - late).max(0);
        all.push(if rng.index(4) == 0 {
            let value = [Some("north"), Some("south"), Some("east"), None][rng.index(4)];
            Input { topic: "users", key, value, time }
        } else {
            Input { topic: "clicks", key, value: Some("x"), time }
        });
    }
    all
}

type Tables = Vec<BTreeMap<String, Vec<u8>>>;

fn driven(mut driver: TestDriver, inputs: &[Input]) -> (Tables, usize) {
    for input in inputs {
        let record = Record::new(
            Bytes::from(input.key.clone()),
            input.value.map(|value| Bytes::from_static(value.as_bytes())),
            input.time,
        );
        driver.pipe(input.topic, record).unwrap();
    }
    let mut updates = 0;
    let tables = OUTPUTS.map(|topic| {
        let mut table = BTreeMap::new();
        while let Some(record) = driver.read(topic) {
            updates += 1;
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            match record.value {
                Some(value) => table.insert(key, value.to_vec()),
                None => table.remove(&key),
            };
        }
        table
    });
    (tables.into(), updates)
}

/// Runs it in two goes, with threads and a cache of so many bytes; gives how many updates there were.
async fn is_the_same(cluster: &Cluster, threads: &str, cache: &str, wanted: &Tables) -> usize {
    let settings = [
        ("num.stream.threads", threads),
        ("statestore.cache.max.bytes", cache),
        ("commit.interval.ms", "300"),
    ];
    let inputs = inputs(7);
    for (at, half) in inputs.chunks(INPUTS / 2).enumerate() {
        let running = cluster.run("same", topology(), &settings).await;
        for topic in ["users", "clicks"] {
            let rows = half.iter().filter(|input| input.topic == topic);
            cluster
                .put(topic, rows.map(|input| (input.key.as_str(), input.value, input.time)))
                .await;
        }
        if at == 1 {
            for (topic, wanted) in OUTPUTS.iter().zip(wanted) {
                cluster.read_until(topic, |rows| latest(rows) == *wanted).await;
            }
        }
        running.close(CLOSE).await.unwrap();
    }
    let mut updates = 0;
    for (topic, wanted) in OUTPUTS.iter().zip(wanted) {
        // What came last is still the same after the end.
        updates += cluster.read_until(topic, |rows| latest(rows) == *wanted).await.len();
    }
    updates
}

fn latest(rows: &[Row]) -> BTreeMap<String, Vec<u8>> {
    let mut table = BTreeMap::new();
    for row in rows {
        match &row.value {
            Some(value) => table.insert(row.key.clone(), value.clone()),
            None => table.remove(&row.key),
        };
    }
    table
}

#[test]
fn caches_tasks_and_restarts_do_not_change_where_it_ends() {
    let inputs = inputs(7);
    let (wanted, all) = driven(TestDriver::new(&topology(), "same").unwrap(), &inputs);
    let cached = driven(TestDriver::with_caches(&topology(), "same").unwrap(), &inputs);
    assert_eq!(cached.0, wanted);
    run(async {
        for (partitions, threads, cache) in [(1, "1", "0"), (4, "2", "10485760"), (3, "1", "2000")]
        {
            let Some(cluster) = ours("the same end") else { return };
            let mut topics = vec![("users", partitions), ("clicks", partitions)];
            topics.extend(OUTPUTS.map(|topic| (topic, 2)));
            cluster.create(&topics).await;
            let updates = is_the_same(&cluster, threads, cache, &wanted).await;
            eprintln!(
                "{partitions} partitions, cache {cache}: {updates} updates, {all} without caches"
            );
            if cache == "10485760" {
                assert!(updates < all, "{updates} of {all}: the cache held nothing back");
            }
        }
    });
}
