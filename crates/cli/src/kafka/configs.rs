//! `kafka-configs`: shows and changes configurations of topics, brokers, groups, subscriptions to
//! metrics, the levels of loggers, quotas and SCRAM credentials.

mod quotas;

use super::connect::properties_file;
use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Running, Tool};
use afluente_client::admin::configs::{
    AlterOp, ConfigEntry, ConfigResource, ConfigSource, DescribeConfigsOptions, ResourceKind,
};
use afluente_client::{Admin, Error};
use std::collections::BTreeSet;

pub(super) const TOOL: Tool = Tool {
    name: "configs",
    about: "Show and change the configuration of topics, brokers, groups, metrics subscriptions; \
            quotas; SCRAM credentials.",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    flag("describe", "Show configurations."),
    flag("alter", "Change configurations."),
    value(
        "entity-type",
        "TYPE",
        "topics, brokers, broker-loggers, groups, client-metrics, users, clients or ips; users and \
         clients together too.",
    ),
    value("entity-name", "NAME", "The name of the topic or group, or the id of the broker."),
    flag("entity-default", "With brokers, users, clients, ips: the default of all of them."),
    value("topic", "NAME", "As --entity-type topics --entity-name NAME."),
    value("broker", "ID", "As --entity-type brokers --entity-name ID."),
    value("broker-logger", "ID", "As --entity-type broker-loggers --entity-name ID."),
    value("group", "NAME", "As --entity-type groups --entity-name NAME."),
    value("client-metrics", "NAME", "As --entity-type client-metrics --entity-name NAME."),
    value("user", "NAME", "As --entity-type users --entity-name NAME."),
    value("client", "ID", "As --entity-type clients --entity-name ID."),
    value("ip", "ADDRESS", "As --entity-type ips --entity-name ADDRESS."),
    flag("broker-defaults", "As --entity-type brokers --entity-default."),
    flag("user-defaults", "As --entity-type users --entity-default."),
    flag("client-defaults", "As --entity-type clients --entity-default."),
    flag("ip-defaults", "As --entity-type ips --entity-default."),
    flag("all", "With --describe: every key, and not only those that were set."),
    value("add-config", "KEY=VALUE,…", "Set these; a value with commas stands in [brackets]."),
    value("add-config-file", "FILE", "Set the properties of a file."),
    value("delete-config", "KEY,…", "Take these away, so that their defaults are in force."),
];

fn run(admin: Admin, options: Options, out: Out) -> Running {
    Box::pin(async move {
        let action = options.one_of(&["describe", "alter"])?;
        if action == "describe" {
            options.refuse("describe", &["add-config", "add-config-file", "delete-config"])?;
        } else {
            options.refuse("alter", &["all"])?;
        }
        if let Some(entities) = quotas::entities(&options)? {
            return match action {
                "alter" => quotas::alter(&admin, &options, &entities, out).await,
                _ => quotas::describe(&admin, &entities, out).await,
            };
        }
        let (kind, name) = entity(&options)?;
        let is_of_broker = matches!(kind, ResourceKind::Broker | ResourceKind::BrokerLogger);
        if let Some(name) = name.as_deref().filter(|name| is_of_broker && !name.is_empty())
            && name.parse::<i32>().is_err()
        {
            return Err(Failure::Usage(format!(
                "The entity name for {}s must be a valid integer broker id, but it is: {name}",
                singular(kind)
            )));
        }
        match action {
            "alter" => alter(&admin, &options, kind, name, out).await,
            _ => describe(&admin, &options, kind, name, out).await,
        }
    })
}

/// What the options name; an empty name is the default, `None` is all.
fn entity(options: &Options) -> Result<(ResourceKind, Option<String>), Failure> {
    for (option, kind) in [
        ("topic", ResourceKind::Topic),
        ("broker", ResourceKind::Broker),
        ("broker-logger", ResourceKind::BrokerLogger),
        ("group", ResourceKind::Group),
        ("client-metrics", ResourceKind::ClientMetrics),
    ] {
        if let Some(name) = options.get(option) {
            return Ok((kind, Some(name.to_owned())));
        }
    }
    if options.has("broker-defaults") {
        return Ok((ResourceKind::Broker, Some(String::new())));
    }
    let kind = match options.require("entity-type")? {
        "topics" => ResourceKind::Topic,
        "brokers" => ResourceKind::Broker,
        "broker-loggers" => ResourceKind::BrokerLogger,
        "groups" => ResourceKind::Group,
        "client-metrics" => ResourceKind::ClientMetrics,
        other => {
            return Err(Failure::Usage(format!(
                "Invalid entity type {other}, the entity type must be one of topics, brokers, \
                 broker-loggers, groups, client-metrics, users, clients, ips"
            )));
        }
    };
    let name = match options.get("entity-name") {
        Some(name) => Some(name.to_owned()),
        None => options.has("entity-default").then(String::new),
    };
    Ok((kind, name))
}

async fn describe(
    admin: &Admin,
    options: &Options,
    kind: ResourceKind,
    name: Option<String>,
    mut out: Out,
) -> Result<Out, Failure> {
    let is_one = name.is_some();
    let names = match (name, kind) {
        (Some(name), _) => vec![name],
        (None, ResourceKind::Topic) => admin.list_topics().await?.topics.keys().cloned().collect(),
        (None, ResourceKind::Broker | ResourceKind::BrokerLogger) => {
            let cluster = admin.describe_cluster(false).await?;
            let mut names: Vec<String> =
                cluster.brokers.iter().map(|broker| broker.id.to_string()).collect();
            if kind == ResourceKind::Broker {
                names.push(String::new());
            }
            names
        }
        (None, _) => with_configs(admin, kind).await?,
    };
    let is_all = options.has("all");
    for name in names {
        if is_one && !is_all && !name.is_empty() && !is_there(admin, kind, &name).await? {
            let kind = singular(kind);
            out.line(format!(
                "The {kind} '{name}' doesn't exist and doesn't have dynamic config."
            ))?;
            continue;
        }
        let resource = ConfigResource { kind, name };
        let wanted = DescribeConfigsOptions { synonyms: true, documentation: false };
        let described = admin.describe_configs([resource.clone()], wanted).await?;
        let name = &resource.name;
        let mut entries = match described.into_iter().next() {
            Some((_, Ok(entries))) => entries,
            Some((_, Err(error))) => return Err(error.into()),
            None => Vec::new(),
        };
        out.line(match (kind, name.as_str(), is_all) {
            (ResourceKind::Broker, "", _) => {
                "Default configs for brokers in the cluster are:".to_owned()
            }
            (_, name, true) => format!("All configs for {} {name} are:", singular(kind)),
            (_, name, false) => format!("Dynamic configs for {} {name} are:", singular(kind)),
        })?;
        entries.retain(|entry| is_all || is_set(entry, &resource));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            out.line(line(&entry))?;
        }
    }
    Ok(out)
}

/// The groups, or subscriptions to metrics, that there are or that have a configuration.
async fn with_configs(admin: &Admin, kind: ResourceKind) -> Result<Vec<String>, Failure> {
    let found = admin.list_config_resources(&[kind]).await?;
    let mut names: BTreeSet<String> = found.into_iter().map(|resource| resource.name).collect();
    if kind == ResourceKind::Group {
        let groups = admin.list_groups(&[], &[]).await?;
        names.extend(groups.into_iter().map(|group| group.group_id));
    }
    Ok(names.into_iter().collect())
}

async fn is_there(admin: &Admin, kind: ResourceKind, name: &str) -> Result<bool, Failure> {
    Ok(match kind {
        ResourceKind::Topic => admin.list_topics().await?.topics.contains_key(name),
        ResourceKind::Broker | ResourceKind::BrokerLogger => {
            let cluster = admin.describe_cluster(false).await?;
            cluster.brokers.iter().any(|broker| broker.id.to_string() == name)
        }
        ResourceKind::ClientMetrics | ResourceKind::Group => {
            with_configs(admin, kind).await?.iter().any(|one| one == name)
        }
    })
}

/// Whether a value was set on the very thing that was asked for.
fn is_set(entry: &ConfigEntry, resource: &ConfigResource) -> bool {
    let source = match (resource.kind, resource.name.as_str()) {
        (ResourceKind::Topic, _) => ConfigSource::DynamicTopic,
        (ResourceKind::Broker, "") => ConfigSource::DynamicDefaultBroker,
        (ResourceKind::Broker, _) => ConfigSource::DynamicBroker,
        (ResourceKind::BrokerLogger, _) => ConfigSource::DynamicBrokerLogger,
        (ResourceKind::ClientMetrics, _) => ConfigSource::ClientMetrics,
        (ResourceKind::Group, _) => ConfigSource::Group,
    };
    entry.source == source
}

fn line(entry: &ConfigEntry) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms: Vec<String> = entry
        .synonyms
        .iter()
        .map(|one| format!("{}:{}={}", one.source.name(), one.name, shown(&one.value)))
        .collect();
    format!(
        "  {}={} sensitive={} synonyms={{{}}}",
        entry.name,
        shown(&entry.value),
        entry.is_sensitive,
        synonyms.join(", ")
    )
}

fn singular(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Topic => "topic",
        ResourceKind::Broker => "broker",
        ResourceKind::BrokerLogger => "broker-logger",
        ResourceKind::ClientMetrics => "client-metric",
        ResourceKind::Group => "group",
    }
}

async fn alter(
    admin: &Admin,
    options: &Options,
    kind: ResourceKind,
    name: Option<String>,
    mut out: Out,
) -> Result<Out, Failure> {
    let Some(name) = name else {
        let told = "At least one of --entity-name or --entity-default must be given with --alter";
        return Err(Failure::Usage(told.to_owned()));
    };
    let Changes { set, deleted } = Changes::of(options)?;
    let set = set.into_iter().map(|(key, value)| (key, AlterOp::Set(value)));
    let changes = set.chain(deleted.into_iter().map(|key| (key, AlterOp::Delete))).collect();
    let resource = ConfigResource { kind, name };
    for (_, result) in admin.alter_configs([(resource.clone(), changes)]).await? {
        result.map_err(|error: Error| {
            anyhow::Error::from(error).context("Error while executing config command")
        })?;
    }
    out.line(match (kind, resource.name.as_str()) {
        (ResourceKind::Broker, "") => {
            "Completed updating default config for brokers in the cluster.".to_owned()
        }
        (_, name) => format!("Completed updating config for {} {name}.", singular(kind)),
    })?;
    Ok(out)
}

/// What `--alter` asks for.
struct Changes {
    set: Vec<(String, String)>,
    deleted: Vec<String>,
}

impl Changes {
    fn of(options: &Options) -> Result<Self, Failure> {
        let mut set = match options.get("add-config") {
            Some(text) => assignments(text)?,
            None => Vec::new(),
        };
        if let Some(path) = options.get("add-config-file") {
            set.extend(properties_file("add-config-file", path)?);
        }
        let keys = options.get("delete-config").unwrap_or_default().split(',').map(str::trim);
        let deleted: Vec<String> = keys.filter(|key| !key.is_empty()).map(str::to_owned).collect();
        if set.is_empty() && deleted.is_empty() {
            let told = "At least one of --add-config, --add-config-file, or --delete-config must be \
                        specified with --alter";
            return Err(Failure::Usage(told.to_owned()));
        }
        Ok(Self { set, deleted })
    }
}

/// `key=value,key=[a,b]`.
fn assignments(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, behind) = rest
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--add-config {rest:?} is not KEY=VALUE")))?;
        let (value, next) = match behind.trim_start().strip_prefix('[') {
            Some(list) => {
                let (value, behind) = list.split_once(']').ok_or_else(|| {
                    Failure::Usage(format!("the [ in --add-config {rest:?} has no ]"))
                })?;
                (value, behind.trim_start().trim_start_matches(','))
            }
            None => behind.split_once(',').unwrap_or((behind, "")),
        };
        found.push((key.trim().to_owned(), value.trim().to_owned()));
        rest = next.trim_start();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_with_lists_in_brackets() {
        let read = |text| assignments(text).unwrap();
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        assert_eq!(read("a=1,b=[x,y], c=2"), pairs(&[("a", "1"), ("b", "x,y"), ("c", "2")]));
        assert_eq!(read("a="), pairs(&[("a", "")]));
        assert!(assignments("a").is_err() && assignments("a=[1").is_err());
    }
}
