//! `kafka-client-metrics`: which clients send which metrics to the broker (KIP-714), as
//! configuration.

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Running, Tool};
use afluente_client::Admin;
use afluente_client::admin::configs::{
    AlterOp, ConfigEntry, ConfigResource, DescribeConfigsOptions, ResourceKind,
};
use afluente_protocol::uuid::Uuid;
use anyhow::anyhow;

pub(super) const TOOL: Tool = Tool {
    name: "client-metrics",
    about: "Show and change which clients are to send metrics.",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    flag("list", "List the configurations."),
    flag("describe", "Show a configuration, or all."),
    flag("alter", "Make or change a configuration."),
    flag("delete", "Delete a configuration."),
    value("name", "NAME", "The name of the configuration."),
    flag("generate-name", "With --alter: a new name, which is shown."),
    value("interval", "MS", "With --alter: how often metrics are sent; empty for the default."),
    value(
        "match",
        "KEY=VALUE,…",
        "With --alter: of which clients: client_id, client_instance_id, client_software_name, client_software_version, client_source_address, client_source_port.",
    ),
    value("metrics", "PREFIX,…", "With --alter: which metrics."),
];

const ACTIONS: &[&str] = &["alter", "delete", "describe", "list"];
const OF_ALTER: &[&str] = &["generate-name", "interval", "match", "metrics"];

fn run(admin: Admin, options: Options, mut out: Out) -> Running {
    Box::pin(async move {
        let given: Vec<&&str> = ACTIONS.iter().filter(|action| options.has(action)).collect();
        let [action] = given[..] else {
            let told = "Command must include exactly one action: --alter, --delete, --describe or \
                        --list.";
            return Err(Failure::Usage(told.to_owned()));
        };
        if *action != "alter" {
            options.refuse(action, OF_ALTER)?;
        }
        if *action == "list" {
            options.refuse("list", &["name"])?;
        }
        let outcome = act(&admin, action, &options, &mut out).await;
        match outcome {
            Ok(()) => Ok(out),
            Err(Failure::Failed(error)) if error.is::<afluente_client::Error>() => {
                let told = format!(
                    "Error while executing client metrics command : {}",
                    super::brokers_words(&error)
                );
                Err(Failure::Told(out, told))
            }
            Err(other) => Err(other),
        }
    })
}

async fn act(admin: &Admin, action: &str, options: &Options, out: &mut Out) -> Result<(), Failure> {
    let resource =
        |name: &str| ConfigResource { kind: ResourceKind::ClientMetrics, name: name.to_owned() };
    match action {
        "alter" => {
            if options.has("name") == options.has("generate-name") {
                let told = "One of --name or --generate-name must be specified with --alter.";
                return Err(anyhow!(told).into());
            }
            let name = match options.get("name") {
                Some(name) => name.to_owned(),
                None => Uuid::from_random_bytes(admin.client().env().rng.uuid()).to_string(),
            };
            let keys = [("interval", "interval.ms"), ("metrics", "metrics"), ("match", "match")];
            let ops = keys.into_iter().filter_map(|(option, key)| {
                let value = options.get(option)?;
                let op = match value {
                    "" => AlterOp::Delete,
                    value => AlterOp::Set(value.to_owned()),
                };
                Some((key.to_owned(), op))
            });
            change(admin, resource(&name), ops.collect()).await?;
            out.line(format!("Altered client metrics config for {name}."))?;
        }
        "delete" => {
            let name = options.get("name").ok_or_else(|| {
                anyhow!("A client metrics resource name must be specified with --delete.")
            })?;
            let entries = entries(admin, resource(name)).await?;
            let ops = entries.into_iter().map(|entry| (entry.name, AlterOp::Delete));
            change(admin, resource(name), ops.collect()).await?;
            out.line(format!("Deleted client metrics config for {name}."))?;
        }
        "list" => out.line(names(admin).await?.join("\n"))?,
        _ => {
            let known = names(admin).await?;
            let wanted = match options.get("name") {
                Some(name) if !known.iter().any(|known| known == name) => {
                    out.line(format!(
                        "The client metric resource {name} doesn't exist and doesn't have dynamic \
                         config."
                    ))?;
                    return Ok(());
                }
                Some(name) => vec![name.to_owned()],
                None => known,
            };
            for name in wanted {
                out.line(format!("Client metrics configs for {name} are:"))?;
                for entry in entries(admin, resource(&name)).await? {
                    out.line(format!("  {}={}", entry.name, entry.value.unwrap_or_default()))?;
                }
            }
        }
    }
    Ok(())
}

async fn names(admin: &Admin) -> Result<Vec<String>, Failure> {
    let found = admin.list_config_resources(&[ResourceKind::ClientMetrics]).await?;
    Ok(found.into_iter().map(|resource| resource.name).collect())
}

async fn entries(admin: &Admin, of: ConfigResource) -> Result<Vec<ConfigEntry>, Failure> {
    let asked = admin.describe_configs([of.clone()], DescribeConfigsOptions::default());
    let mut entries = asked.await?.remove(&of).transpose()?.unwrap_or_default();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

async fn change(
    admin: &Admin,
    of: ConfigResource,
    ops: Vec<(String, AlterOp)>,
) -> Result<(), Failure> {
    for (_, result) in admin.alter_configs([(of, ops)]).await? {
        result?;
    }
    Ok(())
}
