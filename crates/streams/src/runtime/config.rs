//! What an application is told, by Kafka's names.

use super::error::RuntimeError;
use super::keys::STREAMS;
use crate::handlers::{Handlers, OnError};
use afluente_client::config::{ConfigError, UnknownKey, Values};
use afluente_client::{ClientConfig, ConsumerConfig, ProducerConfig};
use std::time::Duration;

/// What happens to a record when an instance dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// It is processed again, and what it led to may be there twice.
    #[default]
    AtLeastOnce,
    /// It is processed again, but readers of committed records see what it led to once (`exactly_once_v2`).
    ExactlyOnce,
}

/// The settings of an application.
///
/// ```
/// use afluente_streams::runtime::StreamsConfig;
/// let config = StreamsConfig::from_properties([
///     ("application.id", "orders"),
///     ("bootstrap.servers", "localhost:9092"),
///     ("processing.guarantee", "exactly_once_v2"),
/// ])?;
/// assert_eq!(config.commit_interval.as_millis(), 100);
/// # Ok::<(), afluente_streams::runtime::RuntimeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StreamsConfig {
    /// `application.id`.
    pub application_id: String,
    /// `processing.guarantee`.
    pub guarantee: Guarantee,
    /// `commit.interval.ms`.
    pub commit_interval: Duration,
    /// `num.stream.threads`.
    pub thread_count: usize,
    /// `num.standby.replicas`.
    pub standby_count: usize,
    /// `application.server`.
    pub application_server: Option<String>,
    /// `statestore.cache.max.bytes`, of all threads together; 0 lets every update go on at once.
    pub cache_bytes_max: usize,
    /// `buffered.records.per.partition`.
    pub buffered_records_max: usize,
    /// `max.task.idle.ms`; `None` never waits for an input.
    pub task_idle: Option<Duration>,
    /// `poll.ms`.
    pub poll: Duration,
    /// `replication.factor`; `None` leaves it to the broker.
    pub replication_factor: Option<i16>,
    /// `repartition.purge.interval.ms`.
    pub purge_interval: Duration,
    /// `task.timeout.ms`.
    pub task_timeout: Duration,
    /// `windowstore.changelog.additional.retention.ms`.
    pub additional_retention_ms: i64,
    /// What happens with records that cannot be read, processed or written; with `errors.dead.letter.queue.topic.name`.
    pub handlers: Handlers,
    properties: Vec<(String, String)>,
    unknown: Vec<UnknownKey>,
}

/// Time that a transaction may take before the coordinator aborts it, as in Kafka Streams.
const TRANSACTION_TIMEOUT_MS: &str = "10000";

/// Records that a poll of a changelog gives at most.
const RESTORE_RECORDS_MAX: &str = "10000";

impl StreamsConfig {
    /// From properties with Kafka's names. Those that are not of the application itself are for its clients; the prefixes
    /// `consumer.`, `main.consumer.`, `restore.consumer.`, `global.consumer.`, `producer.`, `admin.` and `topic.` say for which.
    ///
    /// # Errors
    ///
    /// Every value that is not allowed, and what is missing.
    pub fn from_properties<K: Into<String>, V: Into<String>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, RuntimeError> {
        let properties: Vec<(String, String)> =
            properties.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let own = properties.iter().filter(|(key, _)| STREAMS.iter().any(|row| row.name == key));
        let values = Values::read(&[STREAMS], own.map(|(key, value)| (key, value)))?;
        let text = |key| values.optional_text(key).filter(|text| !text.is_empty());
        let application_id = text("application.id").ok_or_else(|| {
            ConfigError::missing(
                "application.id",
                "a name for the application, the same for all its instances",
            )
        })?;
        let guarantee = match values.text("processing.guarantee") {
            "exactly_once_v2" => Guarantee::ExactlyOnce,
            _ => Guarantee::AtLeastOnce,
        };
        let commit_interval = match (values.is_given("commit.interval.ms"), guarantee) {
            (true, _) => values.duration("commit.interval.ms"),
            (false, Guarantee::AtLeastOnce) => Duration::from_secs(30),
            (false, Guarantee::ExactlyOnce) => Duration::from_millis(100),
        };
        let config = Self {
            application_id: application_id.to_owned(),
            guarantee,
            commit_interval,
            thread_count: values.size("num.stream.threads"),
            standby_count: values.size("num.standby.replicas"),
            application_server: text("application.server").map(str::to_owned),
            cache_bytes_max: values.size("statestore.cache.max.bytes"),
            buffered_records_max: values.size("buffered.records.per.partition"),
            task_idle: values.duration_unless_negative("max.task.idle.ms"),
            poll: values.duration("poll.ms"),
            replication_factor: i16::try_from(values.int("replication.factor"))
                .ok()
                .filter(|factor| *factor > 0),
            purge_interval: values.duration("repartition.purge.interval.ms"),
            task_timeout: values.duration("task.timeout.ms"),
            additional_retention_ms: values.int("windowstore.changelog.additional.retention.ms"),
            handlers: handlers(&values)?,
            properties,
            unknown: Vec::new(),
        };
        // A key is unknown when neither kind of client has it.
        let producer = config.producer("")?;
        let consumer = config.consumer("")?;
        let is_unknown =
            |key: &&UnknownKey| producer.unknown().iter().any(|other| other.name == key.name);
        let unknown = consumer.unknown().iter().filter(is_unknown).cloned().collect();
        Ok(Self { unknown, ..config })
    }

    /// What was given under names that no table has.
    #[must_use]
    pub fn unknown(&self) -> &[UnknownKey] {
        &self.unknown
    }

    /// What is for a client: properties without a prefix, over them those with one of `prefixes` (later ones win), over
    /// them `own`.
    fn for_client(&self, prefixes: &[&str], own: &[(&str, &str)]) -> Vec<(String, String)> {
        const PREFIXES: [&str; 7] = [
            "consumer.",
            "main.consumer.",
            "restore.consumer.",
            "global.consumer.",
            "producer.",
            "admin.",
            "topic.",
        ];
        let mut all: Vec<(String, String)> = Vec::new();
        let mut set = |key: &str, value: &str| {
            if let Some(there) = all.iter_mut().find(|(name, _)| name == key) {
                value.clone_into(&mut there.1);
            } else {
                all.push((key.to_owned(), value.to_owned()));
            }
        };
        for (key, value) in &self.properties {
            let is_own = STREAMS.iter().any(|row| row.name == key);
            if !is_own && PREFIXES.iter().all(|prefix| !key.starts_with(prefix)) {
                set(key, value);
            }
        }
        for prefix in prefixes {
            for (key, value) in &self.properties {
                if let Some(key) = key.strip_prefix(prefix) {
                    set(key, value);
                }
            }
        }
        for (key, value) in own {
            set(key, value);
        }
        all
    }

    pub(super) fn client(&self) -> Result<ClientConfig, RuntimeError> {
        Ok(ClientConfig::from_properties(self.for_client(&["admin."], &[]))?)
    }

    /// The consumer of a thread: its partitions are committed by the thread alone.
    pub(super) fn consumer(&self, client_id: &str) -> Result<ConsumerConfig, RuntimeError> {
        let mut own = vec![
            ("client.id", client_id),
            ("group.id", self.application_id.as_str()),
            ("enable.auto.commit", "false"),
            ("group.protocol", "classic"),
        ];
        if self.guarantee == Guarantee::ExactlyOnce {
            own.push(("isolation.level", "read_committed"));
        }
        let prefixes = ["consumer.", "main.consumer."];
        let mut properties = vec![
            ("auto.offset.reset".to_owned(), "earliest".to_owned()),
            ("max.poll.records".to_owned(), "1000".to_owned()),
        ];
        let given = self.for_client(&prefixes, &own);
        properties.retain(|(key, _)| given.iter().all(|(other, _)| other != key));
        properties.extend(given);
        Ok(ConsumerConfig::from_properties(properties)?)
    }

    /// A consumer that fills stores. Only what was committed is in a store, whatever the guarantee of those who wrote it.
    pub(super) fn restorer(
        &self,
        client_id: &str,
        prefix: &str,
    ) -> Result<ConsumerConfig, RuntimeError> {
        let own = [
            ("client.id", client_id),
            ("group.id", ""),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("isolation.level", "read_committed"),
            ("max.poll.records", RESTORE_RECORDS_MAX),
        ];
        Ok(ConsumerConfig::from_properties(self.for_client(&["consumer.", prefix], &own))?)
    }

    /// The producer of a thread. Each has a name of its own: who is fenced is decided by the group's generation (KIP-447).
    pub(super) fn producer(&self, transactional_id: &str) -> Result<ProducerConfig, RuntimeError> {
        let mut own = vec![("enable.idempotence", "true")];
        if self.guarantee == Guarantee::ExactlyOnce {
            own.push(("transactional.id", transactional_id));
        }
        let mut properties = vec![
            ("linger.ms".to_owned(), "100".to_owned()),
            ("transaction.timeout.ms".to_owned(), TRANSACTION_TIMEOUT_MS.to_owned()),
        ];
        let given = self.for_client(&["producer."], &own);
        properties.retain(|(key, _)| given.iter().all(|(other, _)| other != key));
        properties.extend(given);
        Ok(ProducerConfig::from_properties(properties)?)
    }

    /// `topic.…`: settings of internal topics.
    pub(super) fn topic_configs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("topic.")?, value.as_str())))
    }
}

/// By the names of Java's classes.
fn handlers(values: &Values) -> Result<Handlers, ConfigError> {
    let read = |keys: &[&'static str]| {
        let given = keys.iter().find_map(|key| Some((*key, values.optional_text(key)?)));
        let Some((key, name)) = given else { return Ok(None) };
        let class = name.rsplit('.').next().unwrap_or(name);
        if class.starts_with("LogAndContinue") {
            Ok(Some(OnError::Continue.into()))
        } else if class.starts_with("LogAndFail") || class.starts_with("Default") {
            Ok(None)
        } else {
            Err(ConfigError::invalid(key, name, "one that logs and fails, or logs and continues"))
        }
    };
    let topic = values.optional_text("errors.dead.letter.queue.topic.name");
    Ok(Handlers {
        deserialization: read(&[
            "deserialization.exception.handler",
            "default.deserialization.exception.handler",
        ])?,
        processing: read(&["processing.exception.handler"])?,
        production: read(&[
            "production.exception.handler",
            "default.production.exception.handler",
        ])?,
        dead_letter_topic: topic.filter(|topic| !topic.is_empty()).map(Into::into),
    })
}
