//! `afluente-bench coordinator-load`: how long groups and their offsets take to load after a start.

use std::path::{Path, PathBuf};

use afluente_broker::config::{Config, Inputs, Settings};
use afluente_broker::server::Server;
use afluente_env::Env;
use afluente_protocol::frame::request_frame;
use afluente_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::arguments::Arguments;
use crate::measure::{CpuOf, Measure, Meter, Run, in_rounds};

pub(crate) const OPTIONS: &str = "\
--dir DIR         where (the current directory)
--groups N        groups (10000)
--offsets N       committed offsets of each group (100)";

/// The version of the commits.
const VERSION: i16 = 8;

/// Commits that are sent before their answers are read.
const IN_FLIGHT: usize = 64;

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let dir: PathBuf = arguments.take("--dir")?.unwrap_or_else(|| PathBuf::from("."));
    let groups = arguments.take("--groups")?.unwrap_or(10_000);
    let offsets = arguments.take("--offsets")?.unwrap_or(100);
    let common = arguments.finish()?;
    let data = tempfile::tempdir_in(dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fill(data.path(), groups, offsets))?;
    let name = format!("{groups} groups with {offsets} offsets each");
    let load = || runtime.block_on(load(data.path(), u64::from(groups) * u64::from(offsets)));
    in_rounds(vec![Measure::new(name, load)], &common)?.report("coordinator-load", &common)
}

async fn start(dir: &Path) -> Result<Server> {
    let set = [
        ("listeners", "PLAINTEXT://127.0.0.1:0".to_owned()),
        ("log.dirs", dir.display().to_string()),
        ("http.listener", String::new()),
    ];
    let overrides = set.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let (config, _) = Config::load(Inputs { overrides, ..Inputs::default() })?;
    let settings = Settings::read(&config)?;
    Ok(Server::start(Env::real(), config, settings).await?)
}

/// Commits the offsets as clients without members do.
async fn fill(dir: &Path, groups: u32, offsets: u32) -> Result<()> {
    let server = start(dir).await?;
    let address = server.addresses().first().context("it listens")?.1;
    // The topic of the offsets is made with the first question for a coordinator.
    let find = afluente_protocol::messages::find_coordinator_request::FindCoordinatorRequest {
        key: "group-0".to_owned(),
        ..Default::default()
    };
    let mut stream = Env::real().net.connect(&address.ip().to_string(), address.port()).await?;
    stream.write_all(&request_frame(&find, 0, 0, None)?.into_bytes()).await?;
    skip_answer(&mut stream).await?;
    for first in (0..groups).step_by(IN_FLIGHT) {
        let some = first..groups.min(first + IN_FLIGHT as u32);
        for group in some.clone() {
            let partitions = (0..offsets).map(|partition| OffsetCommitRequestPartition {
                partition_index: partition.cast_signed(),
                committed_offset: i64::from(partition) * 1_000,
                committed_metadata: Some(String::new()),
                ..Default::default()
            });
            let request = OffsetCommitRequest {
                group_id: format!("group-{group}"),
                topics: vec![OffsetCommitRequestTopic {
                    name: "measured".to_owned(),
                    partitions: partitions.collect(),
                    ..Default::default()
                }],
                ..Default::default()
            };
            stream.write_all(&request_frame(&request, VERSION, 1, None)?.into_bytes()).await?;
        }
        for _ in some {
            skip_answer(&mut stream).await?;
        }
    }
    drop(stream);
    server.stop().await?;
    Ok(())
}

async fn skip_answer(stream: &mut afluente_env::net::Stream) -> Result<()> {
    let size = stream.read_i32().await?;
    let mut answer = vec![0; usize::try_from(size)?];
    stream.read_exact(&mut answer).await?;
    Ok(())
}

/// From nothing to all groups being there.
async fn load(dir: &Path, offsets: u64) -> Result<Run> {
    let meter = Meter::start(CpuOf::Process);
    let server = start(dir).await?;
    server.broker().groups.load_all(server.broker()).await;
    let run = meter.stop(0, offsets);
    server.stop().await?;
    Ok(run)
}
