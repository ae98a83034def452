//! Exactly once under fire: processes are killed at any moment, and readers of committed records see what one undisturbed run
//! would have written.

use super::cluster::{Cluster, apache, built, number, ours, run};
use afluente_env::rng::Rng;
use afluente_harness::skip::skipped;
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

const KEYS: usize = 37;
const RECORDS: usize = 4_000;
const KILLS: usize = 3;

struct Process(Child);

impl Process {
    fn start(cluster: &Cluster, number: usize) -> Option<Self> {
        let program = built("examples/counting")?;
        let mut properties = cluster.properties("fire");
        properties.push(("processing.guarantee".into(), "exactly_once_v2".into()));
        // The others take over soon.
        properties.retain(|(key, _)| key != "consumer.session.timeout.ms");
        properties.push(("consumer.session.timeout.ms".into(), "3000".into()));
        properties.push(("client.id".into(), format!("process-{number}")));
        let arguments = properties.iter().map(|(key, value)| format!("{key}={value}"));
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        Some(Self(command.spawn().unwrap()))
    }

    /// As a power cut would, for the process.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn counts_are_exact(cluster: &Cluster, seed: u64) {
    cluster.create(&[("numbers", 4), ("counts", 4)]).await;
    let keys: Vec<String> = (0..KEYS).map(|key| format!("key-{key}")).collect();
    let rng = Rng::seeded(seed);
    let mut wanted: BTreeMap<&str, i64> = BTreeMap::new();
    let mut processes: Vec<Process> =
        (0..2).map(|number| Process::start(cluster, number).unwrap()).collect();
    let portion = RECORDS / (KILLS + 1);
    for round in 0..=KILLS {
        let chosen: Vec<&str> = (0..portion).map(|_| keys[rng.index(KEYS)].as_str()).collect();
        for key in &chosen {
            *wanted.entry(key).or_default() += 1;
        }
        cluster.put("numbers", chosen.iter().map(|key| (*key, Some("x"), 1_000))).await;
        if round < KILLS {
            // Somewhere in the portion.
            let seen = round * portion + rng.index(portion);
            cluster.read_until("counts", |rows| rows.len() >= seen).await;
            let victim = rng.index(2);
            processes[victim].kill();
            processes[victim] = Process::start(cluster, victim).unwrap();
        }
    }
    let total = portion * (KILLS + 1);
    let rows = cluster.read_until("counts", |rows| rows.len() >= total).await;
    let mut found: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for row in &rows {
        found.entry(&row.key).or_default().push(number(row.value.as_deref()));
    }
    for (key, count) in wanted {
        assert_eq!(found[key], (1..=count).collect::<Vec<_>>(), "{key}, seed {seed}");
    }
    assert_eq!(rows.len(), total);
}

fn has_program(what: &str) -> bool {
    let has = built("examples/counting").is_some();
    if !has {
        skipped(what, "the example counting is not built");
    }
    has
}

#[test]
fn committed_results_of_killed_processes_are_exact() {
    let what = "exactly once under kill -9";
    if has_program(what) {
        run(async {
            let Some(cluster) = ours(what) else { return };
            counts_are_exact(&cluster, 1).await;
        });
    }
}

#[test]
fn committed_results_of_killed_processes_are_exact_on_apache() {
    let what = "exactly once under kill -9 on Apache Kafka";
    if has_program(what) {
        run(async {
            let Some(cluster) = apache(what) else { return };
            counts_are_exact(&cluster, 2).await;
        });
    }
}
