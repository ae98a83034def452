//! Configurations of topics and brokers.

use super::Kafka;
use afluente_client::{Error, Target};
use afluente_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use afluente_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use afluente_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use std::collections::BTreeMap;

/// What has a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    Topic(String),
    Broker(i32),
    /// What counts for all brokers.
    BrokerDefault,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) source: ConfigSource,
    pub(crate) kind: &'static str,
    pub(crate) documentation: Option<String>,
    pub(crate) read_only: bool,
    pub(crate) sensitive: bool,
    /// Where else a value comes from, the strongest first.
    pub(crate) synonyms: Vec<(ConfigSource, Option<String>)>,
}

/// Who gave a value, by the numbers of Kafka's `ConfigSource`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConfigSource {
    Topic,
    Broker,
    BrokerDefault,
    Static,
    Default,
    Unknown,
}

impl ConfigSource {
    fn of(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::BrokerDefault,
            4 => Self::Static,
            5 => Self::Default,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::BrokerDefault => "brokerDefault",
            Self::Static => "static",
            Self::Default => "default",
            Self::Unknown => "unknown",
        }
    }
}

impl Resource {
    fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) | Self::BrokerDefault => 4,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topic(name) => name.clone(),
            Self::Broker(id) => id.to_string(),
            Self::BrokerDefault => String::new(),
        }
    }

    fn target(&self) -> Target {
        match self {
            Self::Broker(id) => Target::Broker(*id),
            Self::Topic(_) | Self::BrokerDefault => Target::Any,
        }
    }
}

impl Kafka {
    /// All keys of a resource.
    pub(crate) async fn configs(&self, resource: &Resource) -> Result<Vec<Config>, Error> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name(),
                configuration_keys: None,
            }],
            include_synonyms: true,
            include_documentation: true,
        };
        let answer = self.client.send(resource.target(), request, self.deadline()).await?;
        let mut configs = Vec::new();
        for result in answer.results {
            let about = || format!("the configuration of {}", result.resource_name);
            Error::check(result.error_code, result.error_message.clone(), about)?;
            configs.extend(result.configs.into_iter().map(config));
        }
        Ok(configs)
    }

    /// A few keys of many topics; topics that are gone are left out.
    pub(crate) async fn topic_configs(
        &self,
        topics: &[String],
        keys: &[&str],
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
        let resource = |topic: &String| DescribeConfigsResource {
            resource_type: 2,
            resource_name: topic.clone(),
            configuration_keys: Some(keys.iter().map(|key| (*key).to_owned()).collect()),
        };
        let request = DescribeConfigsRequest {
            resources: topics.iter().map(resource).collect(),
            include_synonyms: false,
            include_documentation: false,
        };
        let answer = self.client.send(Target::Any, request, self.deadline()).await?;
        let of_topic = |configs: Vec<DescribeConfigsResourceResult>| {
            configs.into_iter().filter_map(|config| Some((config.name, config.value?))).collect()
        };
        let good = answer.results.into_iter().filter(|result| result.error_code == 0);
        Ok(good.map(|result| (result.resource_name, of_topic(result.configs))).collect())
    }

    /// Sets keys, and takes away the settings of others.
    pub(crate) async fn alter_configs(
        &self,
        resource: &Resource,
        set: &BTreeMap<String, String>,
        reset: &[String],
        validate_only: bool,
    ) -> Result<(), Error> {
        let set = set.iter().map(|(name, value)| AlterableConfig {
            name: name.clone(),
            config_operation: 0,
            value: Some(value.clone()),
        });
        let reset = reset.iter().map(|name| AlterableConfig {
            name: name.clone(),
            config_operation: 1,
            value: None,
        });
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name(),
                configs: set.chain(reset).collect(),
            }],
            validate_only,
        };
        let answer = self.client.send(resource.target(), request, self.deadline()).await?;
        for result in answer.responses {
            let about = || format!("the configuration of {}", result.resource_name);
            Error::check(result.error_code, result.error_message.clone(), about)?;
        }
        Ok(())
    }
}

/// A value of the key `of` as it counts for the key `name`: Kafka names `log.retention.hours` among
/// what `retention.ms` may come from.
fn in_unit_of(name: &str, of: &str, value: String) -> String {
    let factor = match of.rsplit('.').next() {
        Some("hours") if name.ends_with(".ms") => 3_600_000_i64,
        Some("minutes") if name.ends_with(".ms") => 60_000,
        _ => return value,
    };
    match value.parse::<i64>() {
        Ok(-1) | Err(_) => value,
        Ok(count) => count.saturating_mul(factor).to_string(),
    }
}

fn config(result: DescribeConfigsResourceResult) -> Config {
    let name = result.name.clone();
    Config {
        name: result.name,
        value: result.value,
        source: ConfigSource::of(result.config_source),
        kind: match result.config_type {
            1 => "boolean",
            3 => "int",
            4 => "short",
            5 => "long",
            6 => "double",
            7 => "list",
            8 => "class",
            9 => "password",
            _ => "string",
        },
        documentation: result.documentation.filter(|text| !text.is_empty()),
        read_only: result.read_only,
        sensitive: result.is_sensitive,
        synonyms: result
            .synonyms
            .into_iter()
            .map(|synonym| {
                let value = synonym.value.map(|value| in_unit_of(&name, &synonym.name, value));
                (ConfigSource::of(synonym.source), value)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_in_hours_counts_in_milliseconds() {
        let cases = [
            ("retention.ms", "log.retention.hours", "168", "604800000"),
            ("log.retention.ms", "log.retention.minutes", "2", "120000"),
            ("log.retention.ms", "log.retention.hours", "-1", "-1"),
            ("retention.ms", "log.retention.ms", "5", "5"),
            ("log.retention.hours", "log.retention.hours", "168", "168"),
        ];
        for (name, of, value, expected) in cases {
            assert_eq!(in_unit_of(name, of, value.to_owned()), expected, "{name} by {of}");
        }
    }
}
