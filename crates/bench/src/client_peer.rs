//! What `client-produce` and `client-consume` share: librdkafka as the peer, and a topic to use.
//!
//! A peer is a C program in `crates/bench/peers`, compiled by `cc` with the installed librdkafka. It
//! prints the wall time and the processor time of its own process, in nanoseconds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use afluente_client::{Client, ClientConfig, Target};
use afluente_env::Env;
use afluente_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use afluente_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use anyhow::{Context as _, Result, bail, ensure};

use crate::measure::Run;

/// Of the topics that are written and read.
pub(crate) const PARTITIONS: i32 = 6;

/// Compiles the peer `name`; `None`, which is said, if this machine lacks what it needs.
pub(crate) fn compiled(name: &str, folder: &Path) -> Result<Option<PathBuf>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(format!("{name}.c"));
    let program = folder.join(name);
    let mut command = Command::new("cc");
    match command.arg("-O2").arg(&source).arg("-o").arg(&program).arg("-lrdkafka").output() {
        Ok(output) if output.status.success() => Ok(Some(program)),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said.lines().next().unwrap_or_default();
            println!("librdkafka is left out: {} does not compile: {first}", source.display());
            Ok(None)
        }
        Err(error) => {
            println!("librdkafka is left out: there is no C compiler `cc`: {error}");
            Ok(None)
        }
    }
}

/// Runs a peer that moves `operations` records, of `bytes` together.
pub(crate) fn run(mut command: Command, bytes: u64, operations: u64) -> Result<Run> {
    let output = command.output().context("could not run the peer")?;
    ensure!(output.status.success(), "the peer: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let times: Vec<u64> = said.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [wall, cpu] = times[..] else { bail!("the peer said {said:?}") };
    Ok(Run {
        wall: Duration::from_nanos(wall),
        cpu: Duration::from_nanos(cpu),
        bytes,
        operations,
        latencies: Vec::new(),
    })
}

/// A text of which payloads are slices; it repeats after `text_bytes`.
pub(crate) fn text(text_bytes: usize, record_bytes: usize) -> Vec<u8> {
    (0..text_bytes + record_bytes).map(|at| b'a' + (((at * 7919) >> 5) % 26) as u8).collect()
}

fn client(bootstrap: &str) -> Result<Client> {
    let config = ClientConfig::from_properties([("bootstrap.servers", bootstrap)])?;
    Ok(Client::new(Env::real(), config)?)
}

/// Makes a topic; one that a former run left over will do.
pub(crate) async fn make_topic(bootstrap: &str, name: &str) -> Result<()> {
    let client = client(bootstrap)?;
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions: PARTITIONS,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let response = client.send(Target::Controller, request, client.deadline()).await?;
    let code = response.topics.first().map_or(0, |topic| topic.error_code);
    ensure!(code == 0 || code == 36, "the topic cannot be made: error {code}");
    Ok(())
}

/// Removes a topic, if it is there.
pub(crate) async fn remove_topic(bootstrap: &str, name: &str) -> Result<()> {
    let client = client(bootstrap)?;
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some(name.to_owned()), ..Default::default() }],
        topic_names: vec![name.to_owned()],
        timeout_ms: 30_000,
    };
    client.send(Target::Controller, request, client.deadline()).await?;
    Ok(())
}
