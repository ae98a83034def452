//! The configuration of a producer, by Kafka's names.

use super::keys::PRODUCER;
use super::partitioner::Partitioner;
use crate::config::{ClientConfig, ConfigError, UnknownKey, Values, keys};
use afluente_protocol::records::{Compression, GzipLevel, Lz4Level, ZstdLevel};
use std::time::Duration;

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// It was sent.
    None,
    /// The leader has it.
    Leader,
    /// All in-sync replicas have it.
    All,
}

impl Acks {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// What a producer needs to know.
///
/// ```
/// use afluente_client::producer::ProducerConfig;
/// let config = ProducerConfig::from_properties([
///     ("bootstrap.servers", "localhost:9092"),
///     ("compression.type", "zstd"),
///     ("linger.ms", "20"),
/// ])?;
/// assert_eq!(config.batch_bytes, 16_384);
/// # Ok::<(), afluente_client::config::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// What every client needs to know.
    pub client: ClientConfig,
    /// `acks`.
    pub acks: Acks,
    /// `batch.size`, before compression.
    pub batch_bytes: usize,
    /// `buffer.memory`.
    pub memory_bytes: usize,
    /// `compression.type` and the level of it.
    pub compression: Compression,
    /// `delivery.timeout.ms`.
    pub delivery_timeout: Duration,
    /// `enable.idempotence`.
    pub is_idempotent: bool,
    /// `linger.ms`.
    pub linger: Duration,
    /// `max.block.ms`.
    pub block_max: Duration,
    /// `max.request.size`.
    pub request_bytes_max: usize,
    /// `partitioner.class`.
    pub partitioner: Partitioner,
    /// `partitioner.adaptive.partitioning.enable`.
    pub is_adaptive: bool,
    /// `partitioner.ignore.keys`.
    pub ignores_keys: bool,
    /// `retries`.
    pub retries_max: u32,
    /// `transactional.id`.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`.
    pub transaction_timeout: Duration,
}

/// The broker remembers so many batches of a producer; a duplicate further back is not known.
const IN_FLIGHT_IDEMPOTENT_MAX: usize = 5;

impl ProducerConfig {
    /// From properties with Kafka's names.
    ///
    /// # Errors
    /// Every value that is not allowed, and values that contradict each other.
    pub fn from_properties<K, V>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        Self::from_values(Values::read(&[PRODUCER, keys::CLIENT, keys::SECURITY], properties)?)
    }

    /// From values that were read by a table with [`PRODUCER`], [`keys::CLIENT`] and
    /// [`keys::SECURITY`] in it.
    ///
    /// # Errors
    /// As [`ProducerConfig::from_properties`].
    ///
    /// # Panics
    /// If the table lacks one of these keys.
    pub fn from_values(values: Values) -> Result<Self, ConfigError> {
        let acks = match values.text("acks") {
            "0" => Acks::None,
            "1" => Acks::Leader,
            _ => Acks::All,
        };
        let transactional_id =
            values.optional_text("transactional.id").filter(|id| !id.is_empty()).map(str::to_owned);
        let is_idempotent = idempotence(&values, acks, transactional_id.is_some())?;
        let compression = compression(&values);
        let partitioner = partitioner(&values)?;
        let linger = values.duration("linger.ms");
        let retries_max = u32::try_from(values.int("retries")).expect("at least 0, says the table");
        let delivery_timeout = delivery_timeout(&values, linger)?;
        let batch_bytes = values.size("batch.size");
        let memory_bytes = values.size("buffer.memory");
        let request_bytes_max = values.size("max.request.size");
        let block_max = values.duration("max.block.ms");
        let is_adaptive = values.bool("partitioner.adaptive.partitioning.enable");
        let ignores_keys = values.bool("partitioner.ignore.keys");
        let transaction_timeout = values.duration("transaction.timeout.ms");
        let mut client = ClientConfig::from_values(values)?;
        // A producer creates what it writes to, where the broker lets it.
        client.allow_auto_create_topics = true;
        Ok(Self {
            client,
            acks,
            batch_bytes,
            memory_bytes,
            compression,
            delivery_timeout,
            is_idempotent,
            linger,
            block_max,
            request_bytes_max,
            partitioner,
            is_adaptive,
            ignores_keys,
            retries_max,
            transactional_id,
            transaction_timeout,
        })
    }

    /// What was given under names that no table has.
    #[must_use]
    pub fn unknown(&self) -> &[UnknownKey] {
        self.client.unknown()
    }
}

/// Whether the producer is idempotent: by default, unless something that was asked for rules it
/// out; if it was asked for itself, or has to be for transactions, that is an error.
fn idempotence(values: &Values, acks: Acks, is_transactional: bool) -> Result<bool, ConfigError> {
    const KEY: &str = "enable.idempotence";
    let in_flight = values.size("max.in.flight.requests.per.connection");
    if !values.bool(KEY) {
        if is_transactional {
            return Err(ConfigError::invalid(KEY, "false", "true, since transactional.id is set"));
        }
        return Ok(false);
    }
    let is_asked_for = values.is_given(KEY) || is_transactional;
    let hindrances = [
        ("acks", values.text("acks").to_owned(), acks != Acks::All, "all"),
        ("retries", "0".to_owned(), values.int("retries") == 0, "1 or more"),
        (
            "max.in.flight.requests.per.connection",
            in_flight.to_string(),
            in_flight > IN_FLIGHT_IDEMPOTENT_MAX,
            "1 to 5",
        ),
    ];
    for (key, value, is_hindrance, allowed) in hindrances {
        if !is_hindrance {
            continue;
        }
        // As in Kafka, too many in flight are an error in any case: they may be a mistake.
        if is_asked_for || key == "max.in.flight.requests.per.connection" {
            let allowed = format!("{allowed}, for a producer that is idempotent");
            return Err(ConfigError::invalid(key, &value, allowed));
        }
        return Ok(false);
    }
    Ok(true)
}

fn delivery_timeout(values: &Values, linger: Duration) -> Result<Duration, ConfigError> {
    const KEY: &str = "delivery.timeout.ms";
    let given = values.duration(KEY);
    let least = linger + values.duration("request.timeout.ms");
    if given >= least {
        return Ok(given);
    }
    if values.is_given(KEY) {
        let allowed = format!("{} (linger.ms + request.timeout.ms) or more", least.as_millis());
        return Err(ConfigError::invalid(KEY, &given.as_millis().to_string(), allowed));
    }
    Ok(least)
}

fn compression(values: &Values) -> Compression {
    const IN_RANGE: &str = "the table has the same range";
    match values.text("compression.type") {
        "gzip" => {
            Compression::Gzip(GzipLevel::new(values.i32("compression.gzip.level")).expect(IN_RANGE))
        }
        "snappy" => Compression::Snappy,
        "lz4" => {
            Compression::Lz4(Lz4Level::new(values.i32("compression.lz4.level")).expect(IN_RANGE))
        }
        "zstd" => {
            Compression::Zstd(ZstdLevel::new(values.i32("compression.zstd.level")).expect(IN_RANGE))
        }
        _ => Compression::None,
    }
}

fn partitioner(values: &Values) -> Result<Partitioner, ConfigError> {
    const KEY: &str = "partitioner.class";
    match values.optional_text(KEY) {
        None | Some("") => Ok(Partitioner::Default),
        Some(class) if class.rsplit('.').next() == Some("RoundRobinPartitioner") => {
            Ok(Partitioner::RoundRobin)
        }
        Some(class) => Err(ConfigError::invalid(KEY, class, "RoundRobinPartitioner, or nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(properties: &[(&str, &str)]) -> Result<ProducerConfig, String> {
        let address = ("bootstrap.servers", "localhost:9092");
        ProducerConfig::from_properties(properties.iter().copied().chain([address]))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_kafka() {
        let config = read(&[]).unwrap();
        assert_eq!(config.acks, Acks::All);
        assert_eq!(config.acks.number(), -1);
        assert_eq!(config.linger, Duration::from_millis(5));
        assert_eq!(config.delivery_timeout, Duration::from_secs(120));
        assert_eq!(config.client.in_flight_max, 5);
        assert_eq!(config.compression, Compression::None);
        assert_eq!(config.retries_max, i32::MAX.unsigned_abs());
        assert!(config.is_idempotent && config.is_adaptive && config.transactional_id.is_none());
    }

    #[test]
    fn idempotence_yields_to_what_rules_it_out_unless_it_was_asked_for() {
        for (properties, expected) in [
            (&[("acks", "1")][..], Ok(false)),
            (&[("retries", "0")], Ok(false)),
            (&[("enable.idempotence", "false"), ("acks", "0")], Ok(false)),
            (&[("acks", "1"), ("enable.idempotence", "true")], Err("acks")),
            (&[("acks", "1"), ("transactional.id", "t")], Err("acks")),
            (&[("max.in.flight.requests.per.connection", "6")], Err("max.in.flight")),
            (&[("enable.idempotence", "false"), ("transactional.id", "t")], Err("enable.idem")),
            (&[("transactional.id", "")], Ok(true)),
        ] {
            match (read(properties), expected) {
                (Ok(config), Ok(expected)) => assert_eq!(config.is_idempotent, expected),
                (Err(error), Err(key)) => assert!(error.contains(key), "{error}"),
                (found, _) => panic!("{properties:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn the_delivery_timeout_leaves_room_for_one_request() {
        let error = read(&[("delivery.timeout.ms", "30000")]).unwrap_err();
        assert!(error.contains("30005"), "{error}");
        let config = read(&[("request.timeout.ms", "200000")]).unwrap();
        assert_eq!(config.delivery_timeout, Duration::from_millis(200_005));
    }

    #[test]
    fn codecs_levels_and_partitioners_are_read() {
        let config =
            read(&[("compression.type", "zstd"), ("compression.zstd.level", "9")]).unwrap();
        assert_eq!(config.compression, Compression::Zstd(ZstdLevel::new(9).unwrap()));
        assert!(read(&[("compression.type", "brotli")]).unwrap_err().contains("zstd"));
        let class = "org.apache.kafka.clients.producer.RoundRobinPartitioner";
        let config = read(&[("partitioner.class", class)]).unwrap();
        assert_eq!(config.partitioner, Partitioner::RoundRobin);
        assert!(read(&[("partitioner.class", "Mine")]).unwrap_err().contains("RoundRobin"));
    }
}
