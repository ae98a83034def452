//! `kafka-cluster`: the id of the cluster, its brokers, and taking one out for good.

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Running, Tool};
use afluente_client::Admin;

pub(super) const TOOL: Tool = Tool {
    name: "cluster",
    about: "Show the id of the cluster (cluster-id) and its brokers (list-endpoints), or take a \
            broker out (unregister).",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    value("id", "ID", "With unregister: the broker."),
    value("config", "FILE", "As --command-config."),
    flag("include-fenced-brokers", "With list-endpoints: also brokers that are not there."),
];

fn run(admin: Admin, options: Options, mut out: Out) -> Running {
    Box::pin(async move {
        match options.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["cluster-id"] => {
                let cluster = admin.describe_cluster(false).await?;
                out.line(format!("Cluster ID: {}", cluster.cluster_id))?;
            }
            ["unregister"] => {
                let id = options.number("id")?.ok_or_else(|| {
                    Failure::Usage("Missing required argument \"[id]\"".to_owned())
                })?;
                admin.unregister_broker(id).await?;
                out.line(format!("Broker {id} is no longer registered."))?;
            }
            ["list-endpoints"] => {
                let with_fenced = options.has("include-fenced-brokers");
                let cluster = admin.describe_cluster(with_fenced).await?;
                let width = cluster.brokers.iter().map(|broker| broker.host.len()).max();
                let width = width.unwrap_or(0).max("HOST".len());
                let line =
                    |id: &str, host: &str, port: &str, rack: &str, state: &str, kind: &str| {
                        format!(
                            "{id:<10} {host:<width$} {port:<10} {rack:<10} {state:<10} {kind:<15}"
                        )
                    };
                out.line(line("ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE"))?;
                for broker in cluster.brokers {
                    let state = if broker.is_fenced { "fenced" } else { "unfenced" };
                    let rack = broker.rack.as_deref().unwrap_or("null");
                    let (id, port) = (broker.id.to_string(), broker.port.to_string());
                    out.line(line(&id, &broker.host, &port, rack, state, "broker"))?;
                }
            }
            _ => {
                let told = "Say what to do: cluster-id, list-endpoints or unregister";
                return Err(Failure::Usage(told.to_owned()));
            }
        }
        Ok(out)
    })
}
