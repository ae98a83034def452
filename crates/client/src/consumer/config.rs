//! The configuration of a consumer, by Kafka's names.

use super::assignor::{self, Assignor};
use super::keys::CONSUMER;
use super::reset::OffsetReset;
use crate::config::{ClientConfig, ConfigError, UnknownKey, Values, keys};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a consumer needs to know.
///
/// ```
/// use afluente_client::consumer::ConsumerConfig;
/// let config = ConsumerConfig::from_properties([
///     ("bootstrap.servers", "localhost:9092"),
///     ("group.id", "readers"),
///     ("auto.offset.reset", "earliest"),
/// ])?;
/// assert_eq!(config.max_poll_records, 500);
/// # Ok::<(), afluente_client::config::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ConsumerConfig {
    /// What every client needs to know.
    pub client: ClientConfig,
    /// `group.id`; an empty one is none.
    pub group_id: Option<String>,
    /// `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// `group.protocol`.
    pub group_protocol: GroupProtocol,
    /// `group.remote.assignor`.
    pub remote_assignor: Option<String>,
    /// `partition.assignment.strategy`; a program may put assignors of its own here.
    pub assignors: Vec<Arc<dyn Assignor>>,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`.
    pub max_poll_interval: Duration,
    /// `max.poll.records`.
    pub max_poll_records: usize,
    /// `enable.auto.commit`; off without a group.
    pub is_auto_commit: bool,
    /// `auto.commit.interval.ms`.
    pub auto_commit_interval: Duration,
    /// `auto.offset.reset`.
    pub offset_reset: OffsetReset,
    /// `isolation.level`.
    pub isolation_level: IsolationLevel,
    /// `client.rack`; an empty one is none.
    pub rack: Option<String>,
    /// `fetch.min.bytes`.
    pub fetch_min_bytes: i32,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: i32,
    /// `fetch.max.wait.ms`.
    pub fetch_max_wait: Duration,
    /// `max.partition.fetch.bytes`.
    pub partition_fetch_bytes_max: i32,
    /// `check.crcs`.
    pub checks_crcs: bool,
    /// `exclude.internal.topics`.
    pub excludes_internal_topics: bool,
}

/// Who assigns the partitions of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupProtocol {
    /// A member: JoinGroup, SyncGroup, Heartbeat.
    Classic,
    /// The coordinator: ConsumerGroupHeartbeat (KIP-848).
    Consumer,
}

/// Which records of transactions are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// All.
    #[default]
    ReadUncommitted,
    /// Those of committed ones.
    ReadCommitted,
}

impl IsolationLevel {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

impl ConsumerConfig {
    /// From properties with Kafka's names.
    ///
    /// # Errors
    /// Every value that is not allowed, and `bootstrap.servers` if it is missing.
    pub fn from_properties<K, V>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let values = Values::read(&[CONSUMER, keys::CLIENT, keys::SECURITY], properties)?;
        let text = |key| values.optional_text(key).filter(|text| !text.is_empty());
        let owned = |key| text(key).map(str::to_owned);
        let group_id = owned("group.id");
        let config = Self {
            group_instance_id: owned("group.instance.id"),
            group_protocol: match values.text("group.protocol").eq_ignore_ascii_case("consumer") {
                true => GroupProtocol::Consumer,
                false => GroupProtocol::Classic,
            },
            remote_assignor: owned("group.remote.assignor"),
            assignors: assignors(&values)?,
            session_timeout: values.duration("session.timeout.ms"),
            heartbeat_interval: values.duration("heartbeat.interval.ms"),
            max_poll_interval: values.duration("max.poll.interval.ms"),
            max_poll_records: values.size("max.poll.records"),
            is_auto_commit: values.bool("enable.auto.commit") && group_id.is_some(),
            auto_commit_interval: values.duration("auto.commit.interval.ms"),
            offset_reset: OffsetReset::parse(values.text("auto.offset.reset")).map_err(
                |allowed| {
                    let given = values.text("auto.offset.reset");
                    ConfigError::invalid("auto.offset.reset", given, allowed)
                },
            )?,
            isolation_level: match values.text("isolation.level") {
                level if level.eq_ignore_ascii_case("read_committed") => {
                    IsolationLevel::ReadCommitted
                }
                _ => IsolationLevel::ReadUncommitted,
            },
            rack: owned("client.rack"),
            fetch_min_bytes: values.i32("fetch.min.bytes"),
            fetch_max_bytes: values.i32("fetch.max.bytes"),
            fetch_max_wait: values.duration("fetch.max.wait.ms"),
            partition_fetch_bytes_max: values.i32("max.partition.fetch.bytes"),
            checks_crcs: values.bool("check.crcs"),
            excludes_internal_topics: values.bool("exclude.internal.topics"),
            group_id,
            client: ClientConfig::from_values(values)?,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let values = self.client.values();
        if self.group_protocol == GroupProtocol::Consumer {
            // As Kafka: what the broker decides is not for the consumer to set.
            for key in
                ["heartbeat.interval.ms", "session.timeout.ms", "partition.assignment.strategy"]
            {
                if values.is_given(key) {
                    let given = match values.get(key) {
                        crate::config::Value::List(items) => items.join(","),
                        _ => values.int(key).to_string(),
                    };
                    let allowed = "left out with group.protocol=consumer: the broker decides it";
                    return Err(ConfigError::invalid(key, &given, allowed));
                }
            }
        }
        if self.group_protocol == GroupProtocol::Classic
            && self.heartbeat_interval >= self.session_timeout
        {
            let given = self.heartbeat_interval.as_millis().to_string();
            let allowed = "less than session.timeout.ms, and at best no more than a third of it";
            return Err(ConfigError::invalid("heartbeat.interval.ms", &given, allowed));
        }
        Ok(())
    }

    /// What was given under names that no table has.
    #[must_use]
    pub fn unknown(&self) -> &[UnknownKey] {
        self.client.unknown()
    }
}

impl fmt::Debug for ConsumerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assignors: Vec<&str> = self.assignors.iter().map(|assignor| assignor.name()).collect();
        f.debug_struct("ConsumerConfig")
            .field("client", &self.client)
            .field("group_id", &self.group_id)
            .field("group_protocol", &self.group_protocol)
            .field("assignors", &assignors)
            .finish_non_exhaustive()
    }
}

fn assignors(values: &Values) -> Result<Vec<Arc<dyn Assignor>>, ConfigError> {
    const KEY: &str = "partition.assignment.strategy";
    let names = values.list(KEY).iter().filter(|name| !name.is_empty());
    names
        .map(|name| {
            assignor::by_name(name).ok_or_else(|| {
                let allowed = "range, roundrobin, sticky or cooperative-sticky";
                ConfigError::invalid(KEY, name, allowed)
            })
        })
        .collect()
}
