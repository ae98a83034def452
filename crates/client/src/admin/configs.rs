//! Configurations of topics, brokers, groups and the like: describe, change, list.

use super::{Admin, Results};
use crate::client::Target;
use crate::deadline::Deadline;
use crate::error::Error;
use afluente_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use afluente_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use afluente_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use afluente_protocol::messages::list_config_resources_request::ListConfigResourcesRequest;
use std::collections::BTreeMap;
use std::fmt;

/// What a configuration belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// What kind of thing.
    pub kind: ResourceKind,
    /// Its name; the id of a broker; empty for the default of all brokers.
    pub name: String,
}

/// What kinds of things have a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// A topic.
    Topic,
    /// A broker.
    Broker,
    /// The levels of a broker's loggers.
    BrokerLogger,
    /// A subscription to the metrics of clients (KIP-714).
    ClientMetrics,
    /// A group (KIP-848).
    Group,
}

/// One key of a configuration, as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// Its value; `None` if it is a secret, or has none.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it can be changed at all.
    pub is_read_only: bool,
    /// Whether it is a secret.
    pub is_sensitive: bool,
    /// The kind of its values, by Kafka's number; 0 if the broker does not say.
    pub kind: i8,
    /// What it is for, if that was asked for.
    pub documentation: Option<String>,
    /// The values that it could have from elsewhere, the one in force first.
    pub synonyms: Vec<ConfigSynonym>,
}

/// A value that is in force, or would be if one before it were not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key that it has there.
    pub name: String,
    /// The value.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic,
    /// Set on the broker while it ran.
    DynamicBroker,
    /// Set for all brokers while they ran.
    DynamicDefaultBroker,
    /// From the broker's file.
    StaticBroker,
    /// The default.
    Default,
    /// The level of a logger that was set.
    DynamicBrokerLogger,
    /// Set on the subscription to metrics.
    ClientMetrics,
    /// Set on the group.
    Group,
    /// A number that is not known here.
    Unknown(i8),
}

/// A change to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterOp {
    /// Gives it a value.
    Set(String),
    /// Takes its value away, so that what is behind it is in force.
    Delete,
    /// Adds items to a list.
    Append(String),
    /// Takes items out of a list.
    Subtract(String),
}

/// What [`Admin::describe_configs`] is to tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DescribeConfigsOptions {
    /// [`ConfigEntry::synonyms`].
    pub synonyms: bool,
    /// [`ConfigEntry::documentation`].
    pub documentation: bool,
}

impl ConfigResource {
    /// A topic.
    pub fn topic(name: impl Into<String>) -> Self {
        Self { kind: ResourceKind::Topic, name: name.into() }
    }

    /// A broker, by its id; or with `None` the default of all.
    #[must_use]
    pub fn broker(id: Option<i32>) -> Self {
        let name = id.map_or_else(String::new, |id| id.to_string());
        Self { kind: ResourceKind::Broker, name }
    }

    /// A group.
    pub fn group(name: impl Into<String>) -> Self {
        Self { kind: ResourceKind::Group, name: name.into() }
    }

    /// Who is to be asked: a broker knows its own configuration best.
    fn target(&self) -> Target {
        match (self.kind, self.name.parse()) {
            (ResourceKind::Broker | ResourceKind::BrokerLogger, Ok(id)) => Target::Broker(id),
            _ => Target::Any,
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind.name(), self.name)
    }
}

impl ResourceKind {
    /// Kafka's number.
    #[must_use]
    pub fn number(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }

    /// The kind of a number.
    #[must_use]
    pub fn from_number(number: i8) -> Option<Self> {
        [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group]
            .into_iter()
            .find(|kind| kind.number() == number)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::BrokerLogger => "loggers of broker",
            Self::ClientMetrics => "metrics subscription",
            Self::Group => "group",
        }
    }
}

impl ConfigSource {
    /// The source of a number.
    #[must_use]
    pub fn from_number(number: i8) -> Self {
        match number {
            1 => Self::DynamicTopic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            6 => Self::DynamicBrokerLogger,
            7 => Self::ClientMetrics,
            8 => Self::Group,
            other => Self::Unknown(other),
        }
    }

    /// Kafka's name, such as `DYNAMIC_TOPIC_CONFIG`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DynamicTopic => "DYNAMIC_TOPIC_CONFIG",
            Self::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
            Self::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Self::StaticBroker => "STATIC_BROKER_CONFIG",
            Self::Default => "DEFAULT_CONFIG",
            Self::DynamicBrokerLogger => "DYNAMIC_BROKER_LOGGER_CONFIG",
            Self::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
            Self::Group => "DYNAMIC_GROUP_CONFIG",
            Self::Unknown(_) => "UNKNOWN",
        }
    }
}

impl Admin {
    /// The configurations of `resources`, in the order of the broker.
    ///
    /// # Errors
    /// When no broker answers; each resource has a result of its own.
    pub async fn describe_configs(
        &self,
        resources: impl IntoIterator<Item = ConfigResource>,
        options: DescribeConfigsOptions,
    ) -> Result<Results<ConfigResource, Vec<ConfigEntry>>, Error> {
        let deadline = self.deadline();
        let mut results = Results::new();
        for (target, resources) in by_target(resources.into_iter().map(|one| (one, ()))) {
            let described = resources.iter().map(|(resource, ())| DescribeConfigsResource {
                resource_type: resource.kind.number(),
                resource_name: resource.name.clone(),
                configuration_keys: None,
            });
            let request = DescribeConfigsRequest {
                resources: described.collect(),
                include_synonyms: options.synonyms,
                include_documentation: options.documentation,
            };
            let sent = self.call(target, request, deadline, |_| Ok(())).await;
            let response = match sent {
                Ok(response) => response,
                Err(error) => {
                    let failed = resources.into_iter().map(|(one, ())| (one, Err(error.clone())));
                    results.extend(failed);
                    continue;
                }
            };
            for result in response.results {
                let Some(kind) = ResourceKind::from_number(result.resource_type) else { continue };
                let resource = ConfigResource { kind, name: result.resource_name };
                let about = || format!("the configuration of {resource}");
                let checked = Error::check(result.error_code, result.error_message, about);
                let entries =
                    checked.map(|()| result.configs.into_iter().map(entry).collect::<Vec<_>>());
                results.insert(resource, entries);
            }
        }
        Ok(results)
    }

    /// Changes single keys of configurations (KIP-339).
    ///
    /// # Errors
    /// When no broker answers; each resource has a result of its own.
    pub async fn alter_configs(
        &self,
        changes: impl IntoIterator<Item = (ConfigResource, Vec<(String, AlterOp)>)>,
    ) -> Result<Results<ConfigResource, ()>, Error> {
        self.alter_configs_until(changes, self.deadline()).await
    }

    async fn alter_configs_until(
        &self,
        changes: impl IntoIterator<Item = (ConfigResource, Vec<(String, AlterOp)>)>,
        deadline: Deadline,
    ) -> Result<Results<ConfigResource, ()>, Error> {
        let mut results = Results::new();
        for (target, resources) in by_target(changes) {
            let resources = resources.into_iter().map(|(resource, changes)| AlterConfigsResource {
                resource_type: resource.kind.number(),
                resource_name: resource.name,
                configs: changes.into_iter().map(|(name, op)| alterable(name, op)).collect(),
            });
            let request = IncrementalAlterConfigsRequest {
                resources: resources.collect(),
                validate_only: false,
            };
            let response = self.call(target, request, deadline, |_| Ok(())).await?;
            for result in response.responses {
                let Some(kind) = ResourceKind::from_number(result.resource_type) else { continue };
                let resource = ConfigResource { kind, name: result.resource_name };
                let about = || format!("changing the configuration of {resource}");
                let checked = Error::check(result.error_code, result.error_message, about);
                results.insert(resource, checked);
            }
        }
        Ok(results)
    }

    /// Everything that has a configuration of these kinds (KIP-1142); all kinds if there are none.
    ///
    /// # Errors
    /// When no broker answers, or it is too old.
    pub async fn list_config_resources(
        &self,
        kinds: &[ResourceKind],
    ) -> Result<Vec<ConfigResource>, Error> {
        let request = ListConfigResourcesRequest {
            resource_types: kinds.iter().map(|kind| kind.number()).collect(),
        };
        let check = |response: &<ListConfigResourcesRequest as afluente_protocol::message::Request>::Response| {
            Error::check(response.error_code, None, || "listing configurations".to_owned())
        };
        let response = self.call(Target::Any, request, self.deadline(), check).await?;
        let found = response.config_resources.into_iter().filter_map(|resource| {
            let kind = ResourceKind::from_number(resource.resource_type)?;
            Some(ConfigResource { kind, name: resource.resource_name })
        });
        Ok(found.collect())
    }
}

/// What goes to each target, in the order of what is first for it.
fn by_target<T>(
    items: impl IntoIterator<Item = (ConfigResource, T)>,
) -> Vec<(Target, Vec<(ConfigResource, T)>)> {
    let mut groups: BTreeMap<Option<i32>, Vec<(ConfigResource, T)>> = BTreeMap::new();
    for (resource, item) in items {
        let broker = match resource.target() {
            Target::Broker(id) => Some(id),
            _ => None,
        };
        groups.entry(broker).or_default().push((resource, item));
    }
    let targets = groups.into_iter().map(|(broker, items)| {
        let target = broker.map_or(Target::Any, Target::Broker);
        (target, items)
    });
    targets.collect()
}

fn entry(found: DescribeConfigsResourceResult) -> ConfigEntry {
    let synonyms = found.synonyms.into_iter().map(|synonym| ConfigSynonym {
        name: synonym.name,
        value: synonym.value,
        source: ConfigSource::from_number(synonym.source),
    });
    ConfigEntry {
        name: found.name,
        value: found.value,
        source: ConfigSource::from_number(found.config_source),
        is_read_only: found.read_only,
        is_sensitive: found.is_sensitive,
        kind: found.config_type,
        documentation: found.documentation,
        synonyms: synonyms.collect(),
    }
}

fn alterable(name: String, op: AlterOp) -> AlterableConfig {
    let (config_operation, value) = match op {
        AlterOp::Set(value) => (0, Some(value)),
        AlterOp::Delete => (1, None),
        AlterOp::Append(value) => (2, Some(value)),
        AlterOp::Subtract(value) => (3, Some(value)),
    };
    AlterableConfig { name, config_operation, value }
}
