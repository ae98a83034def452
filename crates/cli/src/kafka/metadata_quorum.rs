//! `kafka-metadata-quorum`: the controllers and how far each one's copy of the metadata reaches.
//!
//! `add-controller` and `remove-controller` are not there.

use super::options::{Options, Spec, flag};
use super::out::Out;
use super::transactions::table;
use super::{Failure, Run, Running, Tool};
use afluente_client::Admin;
use afluente_client::admin::cluster::{QuorumDescription, QuorumReplica};
use anyhow::Context;

pub(super) const TOOL: Tool = Tool {
    name: "metadata-quorum",
    about: "Show the quorum of controllers (describe --status, describe --replication).",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    flag("status", "With describe: a summary."),
    flag("replication", "With describe: how far each copy of the metadata reaches."),
    flag("human-readable", "With --replication: times as so many ms ago."),
];

fn run(admin: Admin, options: Options, out: Out) -> Running {
    Box::pin(async move {
        match options.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["describe"] => {}
            [action @ ("add-controller" | "remove-controller")] => {
                return Err(anyhow::anyhow!("{action} is not there").into());
            }
            _ => return Err(Failure::Usage("Say what to do: describe".to_owned())),
        }
        let told = match (options.has("status"), options.has("replication")) {
            (true, true) => {
                "Only one of --status or --replication should be specified with describe \
                 sub-command"
            }
            (false, false) => {
                "One of --status or --replication must be specified with describe sub-command"
            }
            (true, false) if options.has("human-readable") => {
                "The option --human-readable is only supported along with --replication"
            }
            (true, false) => return status(&admin, out).await,
            (false, true) => {
                return replication(&admin, out, options.has("human-readable")).await;
            }
        };
        Err(anyhow::anyhow!(told).into())
    })
}

fn leader(quorum: &QuorumDescription) -> anyhow::Result<&QuorumReplica> {
    let mut voters = quorum.voters.iter();
    voters.find(|voter| voter.id == quorum.leader_id).context("the quorum has no leader")
}

async fn status(admin: &Admin, mut out: Out) -> Result<Out, Failure> {
    let cluster_id = admin.describe_cluster(false).await?.cluster_id;
    let quorum = admin.describe_quorum().await?;
    let leader = leader(&quorum)?;
    let last = quorum.voters.iter().min_by_key(|voter| voter.log_end_offset).unwrap_or(leader);
    let lag_ms = match (leader.last_caught_up_timestamp, last.last_caught_up_timestamp) {
        _ if last.id == leader.id => 0,
        (leader, last) if leader >= 0 && last >= 0 => leader - last,
        _ => -1,
    };
    out.line(format!("ClusterId:              {cluster_id}"))?;
    out.line(format!("LeaderId:               {}", quorum.leader_id))?;
    out.line(format!("LeaderEpoch:            {}", quorum.leader_epoch))?;
    out.line(format!("HighWatermark:          {}", quorum.high_watermark))?;
    let lag = leader.log_end_offset - last.log_end_offset;
    out.line(format!("MaxFollowerLag:         {lag}"))?;
    out.line(format!("MaxFollowerLagTimeMs:   {lag_ms}"))?;
    out.line(format!("CurrentVoters:          {}", shown(&quorum, &quorum.voters)))?;
    out.line(format!("CurrentObservers:       {}", shown(&quorum, &quorum.observers)))?;
    Ok(out)
}

/// `[{"id": 1, "directoryId": "…", "endpoints": ["CONTROLLER://host:9093"]}]`.
fn shown(quorum: &QuorumDescription, replicas: &[QuorumReplica]) -> String {
    let replicas = replicas.iter().map(|replica| {
        let directory = if replica.directory_id.is_zero() {
            "null".to_owned()
        } else {
            format!("\"{}\"", replica.directory_id)
        };
        let endpoints = match quorum.nodes.get(&replica.id) {
            Some(endpoints) if !endpoints.is_empty() => {
                let endpoints = endpoints
                    .iter()
                    .map(|(listener, host, port)| format!("\"{listener}://{host}:{port}\""));
                format!(", \"endpoints\": [{}]", endpoints.collect::<Vec<_>>().join(", "))
            }
            _ => String::new(),
        };
        format!("{{\"id\": {}, \"directoryId\": {directory}{endpoints}}}", replica.id)
    });
    format!("[{}]", replicas.collect::<Vec<_>>().join(", "))
}

async fn replication(admin: &Admin, mut out: Out, is_relative: bool) -> Result<Out, Failure> {
    let quorum = admin.describe_quorum().await?;
    let leader = leader(&quorum)?;
    let header = [
        "NodeId",
        "DirectoryId",
        "LogEndOffset",
        "Lag",
        "LastFetchTimestamp",
        "LastCaughtUpTimestamp",
        "Status",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let followers = quorum.voters.iter().filter(|voter| voter.id != quorum.leader_id);
    let replicas = std::iter::once((leader, "Leader"))
        .chain(followers.map(|voter| (voter, "Follower")))
        .chain(quorum.observers.iter().map(|observer| (observer, "Observer")));
    let now = admin.client().env().clock.wall_ms();
    let time = |at: i64| match at {
        ..0 => "-1".to_owned(),
        at if is_relative => format!("{} ms ago", (now - at).max(0)),
        at => at.to_string(),
    };
    for (replica, status) in replicas {
        rows.push(vec![
            replica.id.to_string(),
            replica.directory_id.to_string(),
            replica.log_end_offset.to_string(),
            (leader.log_end_offset - replica.log_end_offset).to_string(),
            time(replica.last_fetch_timestamp),
            time(replica.last_caught_up_timestamp),
            status.to_owned(),
        ]);
    }
    table(&mut out, &rows)?;
    Ok(out)
}
