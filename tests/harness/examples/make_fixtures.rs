//! Makes `crates/storage/tests/fixtures/kafka-4.3.1.tar.gz` anew with the real Apache Kafka.
//!
//! `cargo run -p afluente-harness --example make_fixtures` takes about a minute. What the archive holds is told in the
//! README beside it; what is written, in `tests/java/FixtureNode.java`.
#![allow(clippy::disallowed_methods, reason = "drives real processes")]

use std::path::Path;
use std::process::Command;

use afluente_harness::broker::{Broker, Program};
use afluente_harness::java::{Jars, Java, java_dir, output_of};
use anyhow::Result;

/// Small indexes and few internal partitions keep the archive small; the cleaner and retention are made quick.
const OVERRIDES: &[(&str, &str)] = &[
    ("offsets.topic.num.partitions", "2"),
    ("transaction.state.log.num.partitions", "2"),
    ("log.index.size.max.bytes", "8192"),
    // The records say that they are of one fixed day; they are not to grow too old.
    ("log.retention.ms", "-1"),
    ("log.retention.check.interval.ms", "1000"),
    ("log.cleaner.backoff.ms", "500"),
    ("log.initial.task.delay.ms", "500"),
    ("metadata.log.max.record.bytes.between.snapshots", "6000"),
    ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
    ("super.users", "User:ANONYMOUS"),
    ("allow.everyone.if.no.acl.found", "true"),
];

fn main() -> Result<()> {
    let java = Java::find(Jars::Kafka)?;
    let work = tempfile::tempdir()?;
    let mut broker = Broker::start(Program::Apache(java.clone()), OVERRIDES)?;
    let run = |broker: &Broker, arguments: &[&str]| {
        let mut program = java.program(&java_dir().join("FixtureNode.java"));
        output_of(program.arg(broker.bootstrap()).args(arguments))
    };
    let list = |broker: &Broker, name: &str| {
        run(broker, &["list", &work.path().join(name).display().to_string()])
    };

    run(&broker, &["first"])?;
    broker.stop()?;
    broker.start_again()?;
    run(&broker, &["second"])?;
    broker.stop()?;
    broker.start_again()?;
    run(&broker, &["third"])?;
    list(&broker, "clean.json")?;
    broker.stop()?;
    copy(broker.data_dir(), &work.path().join("clean"))?;

    decode(&java, &work.path().join("clean"), &work.path().join("decoded"))?;

    broker.start_again()?;
    run(&broker, &["fourth"])?;
    list(&broker, "crashed.json")?;
    broker.kill()?;
    copy(broker.data_dir(), &work.path().join("crashed"))?;

    let fixtures = java_dir().join("../../crates/storage/tests/fixtures");
    output_of(
        Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .args(["--use-compress-program=gzip -9n", "-cf"])
            .arg(fixtures.join("kafka-4.3.1.tar.gz"))
            .arg("-C")
            .arg(work.path())
            .args(["clean", "clean.json", "crashed", "crashed.json", "decoded"]),
    )?;
    Ok(())
}

/// Writes down what the broker's own records say, by the decoders of `kafka-dump-log`.
fn decode(java: &Java, data: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    let mut entries = std::fs::read_dir(data)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let decoder = match name.split_once('-') {
            Some(("__cluster_metadata", _)) => "--cluster-metadata-decoder",
            Some(("__consumer_offsets", _)) => "--offsets-decoder",
            Some(("__transaction_state", _)) => "--transaction-log-decoder",
            _ => continue,
        };
        for file in std::fs::read_dir(entry.path())?.collect::<Result<Vec<_>, _>>()? {
            let path = file.path();
            if !path.extension().is_some_and(|kind| kind == "log" || kind == "checkpoint") {
                continue;
            }
            let mut dump = java.class("org.apache.kafka.tools.DumpLogSegments");
            let said = output_of(dump.args([decoder, "--files"]).arg(&path))?;
            // Without the first line: it names a path that nobody else has.
            let said = said.split_once('\n').map_or("", |(_, rest)| rest);
            std::fs::write(to.join(format!("{name}.{}.txt", file.file_name().display())), said)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    output_of(Command::new("cp").arg("-a").arg(from).arg(to)).map(drop)
}
