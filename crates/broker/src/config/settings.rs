//! The configuration as the broker uses it: typed, checked against each other, grouped by user.

use super::listeners::{self, Listener, ListenerTexts, SecurityProtocol};
use super::value::Value;
use super::{Config, ConfigError};
use afluente_coordinator::groups::GroupSettings;
use afluente_coordinator::groups::migration::MigrationPolicy;
use afluente_coordinator::transactions::TransactionSettings;
use afluente_storage::CleanerConfig;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What the broker reads of its configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who this node is.
    pub node: NodeSettings,
    /// Sockets and requests.
    pub network: NetworkSettings,
    /// Topics that are made.
    pub topics: TopicSettings,
    /// Fetches.
    pub fetch: FetchSettings,
    /// The log.
    pub log: LogSettings,
    /// The metadata log.
    pub metadata: MetadataSettings,
    /// Groups and transactions.
    pub coordinators: CoordinatorSettings,
}

/// The metadata log.
#[derive(Debug, Clone)]
pub struct MetadataSettings {
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub snapshot_after_bytes: usize,
    /// `metadata.log.max.snapshot.interval.ms`; `None`: time alone makes none.
    pub snapshot_every: Option<Duration>,
}

/// Who this node is.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// `node.id`.
    pub id: i32,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `unstable.api.versions.enable`.
    pub serves_unstable_versions: bool,
    /// `http.listener`, and whether somebody asked for it.
    pub http_listener: Option<HttpListener>,
}

/// Where metrics and health are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpListener {
    /// `host:port`.
    pub address: String,
    /// Whether it was configured; a default that is taken is no reason not to start.
    pub is_required: bool,
}

/// Sockets and requests.
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// Those that clients connect to.
    pub listeners: Vec<Listener>,
    /// Which of them other brokers use, by position.
    pub inter_broker_listener: usize,
    /// `max.connections`.
    pub connections_max: usize,
    /// `max.connections.per.ip`.
    pub connections_per_ip_max: usize,
    /// `max.connections.per.ip.overrides`.
    pub connections_per_ip_overrides: BTreeMap<IpAddr, usize>,
    /// `max.connection.creation.rate`, per second.
    pub connection_rate_max: u32,
    /// `connections.max.idle.ms`; `None`: for ever.
    pub idle_max: Option<Duration>,
    /// `socket.request.max.bytes`.
    pub request_bytes_max: usize,
    /// `queued.max.request.bytes`.
    pub request_memory_bytes: usize,
    /// `socket.receive.buffer.bytes`; `None`: the system's.
    pub receive_buffer_bytes: Option<u32>,
    /// `socket.send.buffer.bytes`; `None`: the system's.
    pub send_buffer_bytes: Option<u32>,
    /// `socket.listen.backlog.size`.
    pub backlog: u32,
}

/// Topics that are made.
#[derive(Debug, Clone)]
pub struct TopicSettings {
    /// `auto.create.topics.enable`.
    pub auto_create: bool,
    /// `delete.topic.enable`.
    pub delete_enabled: bool,
    /// `num.partitions`.
    pub partition_count: i32,
    /// `default.replication.factor`.
    pub replication_factor: i16,
}

/// Fetches.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    /// `fetch.max.bytes`.
    pub bytes_max: usize,
    /// `max.incremental.fetch.session.cache.slots`.
    pub session_slots: usize,
}

/// The log.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// `log.dirs`, or `log.dir`; empty when neither is set.
    pub dirs: Vec<PathBuf>,
    /// `log.cache.bytes`.
    pub cache_bytes: u64,
    /// `log.retention.check.interval.ms`.
    pub retention_interval: Duration,
    /// `log.cleaner.*`, but for what topics can have for themselves.
    pub cleaner: CleanerConfig,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// `producer.id.expiration.check.interval.ms`.
    pub expire_producers_every: Duration,
}

/// Groups and transactions.
#[derive(Debug, Clone)]
pub struct CoordinatorSettings {
    /// `group.*` and `offset*`.
    pub groups: GroupSettings,
    /// `group.coordinator.rebalance.protocols` has `consumer` (KIP-848).
    pub consumer_protocol_enabled: bool,
    /// `transaction*`.
    pub transactions: TransactionSettings,
    /// `offsets.retention.check.interval.ms`.
    pub expire_offsets_every: Duration,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub abort_transactions_every: Duration,
}

impl Settings {
    /// Reads a checked configuration, and checks keys against each other.
    ///
    /// # Errors
    /// All that is wrong, together.
    pub fn read(config: &Config) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        check_node(config, &mut problems);
        let network = read_network(config, &mut problems);
        let http_listener = read_http(config);
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        Ok(Self {
            node: NodeSettings {
                id: config.int("node.id"),
                rack: config.text("broker.rack"),
                serves_unstable_versions: config.boolean("unstable.api.versions.enable"),
                http_listener,
            },
            network,
            topics: TopicSettings {
                auto_create: config.boolean("auto.create.topics.enable"),
                delete_enabled: config.boolean("delete.topic.enable"),
                partition_count: config.int("num.partitions"),
                replication_factor: clamp_i16(config.int("default.replication.factor")),
            },
            fetch: FetchSettings {
                bytes_max: config.size("fetch.max.bytes"),
                session_slots: config.size("max.incremental.fetch.session.cache.slots"),
            },
            log: LogSettings {
                dirs: log_dirs(config),
                cache_bytes: u64::try_from(config.long("log.cache.bytes")).unwrap_or(0),
                retention_interval: config.millis("log.retention.check.interval.ms"),
                cleaner: read_cleaner(config),
                producer_expiration_ms: config.long("producer.id.expiration.ms"),
                expire_producers_every: config.millis("producer.id.expiration.check.interval.ms"),
            },
            metadata: MetadataSettings {
                snapshot_after_bytes: config
                    .size("metadata.log.max.record.bytes.between.snapshots"),
                snapshot_every: Some(config.millis("metadata.log.max.snapshot.interval.ms"))
                    .filter(|every| !every.is_zero()),
            },
            coordinators: read_coordinators(config),
        })
    }
}

fn read_cleaner(config: &Config) -> CleanerConfig {
    let bounded = CleanerConfig::default();
    CleanerConfig {
        is_enabled: config.boolean("log.cleaner.enable"),
        backoff: config.millis("log.cleaner.backoff.ms"),
        bytes_per_second_max: config.double("log.cleaner.io.max.bytes.per.second"),
        keys_bytes_max: config.size("log.cleaner.dedupe.buffer.size").min(bounded.keys_bytes_max),
    }
}

fn read_coordinators(config: &Config) -> CoordinatorSettings {
    let groups = GroupSettings {
        classic_max_size: config.int("group.max.size"),
        classic_initial_rebalance_delay_ms: config.int("group.initial.rebalance.delay.ms"),
        classic_min_session_timeout_ms: config.int("group.min.session.timeout.ms"),
        classic_max_session_timeout_ms: config.int("group.max.session.timeout.ms"),
        offset_metadata_max_bytes: config.int("offset.metadata.max.bytes"),
        offsets_retention_ms: i64::from(config.int("offsets.retention.minutes")) * 60_000,
        consumer_max_size: config.int("group.consumer.max.size"),
        consumer_session_timeout_ms: config.int("group.consumer.session.timeout.ms"),
        consumer_heartbeat_interval_ms: config.int("group.consumer.heartbeat.interval.ms"),
        consumer_assignment_interval_ms: config.int("group.consumer.assignment.interval.ms"),
        consumer_migration: config
            .text("group.consumer.migration.policy")
            .and_then(|name| MigrationPolicy::by_name(&name))
            .unwrap_or_default(),
        ..GroupSettings::default()
    };
    let transactions = TransactionSettings {
        timeout_ms_max: config.int("transaction.max.timeout.ms"),
        id_expiration_ms: i64::from(config.int("transactional.id.expiration.ms")),
    };
    CoordinatorSettings {
        groups,
        consumer_protocol_enabled: config
            .list("group.coordinator.rebalance.protocols")
            .is_some_and(|names| names.iter().any(|name| name == "consumer")),
        transactions,
        expire_offsets_every: config.millis("offsets.retention.check.interval.ms"),
        abort_transactions_every: config
            .millis("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
    }
}

/// Values by name, for the code that fills [`Settings`] and its like. A wrong name or kind is a
/// mistake in our own code, which the first test that reads the defaults finds.
impl Config {
    /// A `boolean`.
    #[must_use]
    pub fn boolean(&self, name: &str) -> bool {
        match self.get(name).value {
            Value::Boolean(value) => value,
            other => panic!("{name} is not a boolean: {other:?}"),
        }
    }

    /// An `int` or a `short`.
    #[must_use]
    pub fn int(&self, name: &str) -> i32 {
        match self.get(name).value {
            Value::Int(value) => value,
            Value::Short(value) => i32::from(value),
            other => panic!("{name} is not an int: {other:?}"),
        }
    }

    /// A `long`, an `int` or a `short`.
    #[must_use]
    pub fn long(&self, name: &str) -> i64 {
        match self.get(name).value {
            Value::Long(value) => value,
            Value::Int(value) => i64::from(value),
            other => panic!("{name} is not a long: {other:?}"),
        }
    }

    /// A number of things or bytes; what is below zero counts as zero.
    #[must_use]
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.long(name)).unwrap_or(0)
    }

    /// A number of milliseconds; what is below zero counts as zero.
    #[must_use]
    pub fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.long(name)).unwrap_or(0))
    }

    /// A `double`.
    #[must_use]
    pub fn double(&self, name: &str) -> f64 {
        match self.get(name).value {
            Value::Double(value) => value,
            other => panic!("{name} is not a double: {other:?}"),
        }
    }

    /// A `string` or `class`, if it is not null.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        match self.get(name).value {
            Value::Text(value) => Some(value),
            Value::Null => None,
            other => panic!("{name} is not a string: {other:?}"),
        }
    }

    /// A `list`, if it is not null.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        match self.get(name).value {
            Value::List(value) => Some(value),
            Value::Null => None,
            other => panic!("{name} is not a list: {other:?}"),
        }
    }
}

fn check_node(config: &Config, problems: &mut Vec<String>) {
    let id = config.int("node.id");
    let old_id = config.int("broker.id");
    let node_id_is_given = config.get("node.id").source != super::Source::Default;
    if old_id >= 0 && old_id != id && node_id_is_given {
        problems.push(format!("node.id is {id} and broker.id is {old_id}: give one, or the same"));
    }
    let roles = config.list("process.roles").unwrap_or_default();
    for role in ["broker", "controller"] {
        if !roles.iter().any(|given| given == role) {
            problems.push(format!(
                "process.roles must name both broker and controller: this version runs single nodes, \
                 and {role} is missing"
            ));
        }
    }
    if let Some(voters) = config.list("controller.quorum.voters") {
        let alone = voters.is_empty()
            || (voters.len() == 1 && voters[0].split('@').next() == Some(id.to_string().as_str()));
        if !alone {
            problems.push(format!(
                "controller.quorum.voters names others than node {id}: this version runs single nodes"
            ));
        }
    }
    if log_dirs(config).len() > 1 {
        problems.push("log.dirs names several directories: this version uses one".to_owned());
    }
    if config.text("authorizer.class.name").is_some_and(|name| !name.is_empty()) {
        problems.push(
            "authorizer.class.name is set, and this version authorizes nobody: \
             clear it if everybody may do everything"
                .to_owned(),
        );
    }
}

fn read_network(config: &Config, problems: &mut Vec<String>) -> NetworkSettings {
    let controllers = config.list("controller.listener.names").unwrap_or_default();
    let advertised = config.list("advertised.listeners");
    let resolved = listeners::resolve(ListenerTexts {
        listeners: &config.list("listeners").unwrap_or_default(),
        advertised: advertised.as_deref(),
        protocols: &config.text("listener.security.protocol.map").unwrap_or_default(),
        controllers: &controllers,
    });
    let listeners = resolved.unwrap_or_else(|why| {
        problems.push(why);
        Vec::new()
    });
    for listener in &listeners {
        if listener.protocol != SecurityProtocol::Plaintext {
            problems.push(format!(
                "listeners: {} speaks TLS or SASL, which this version does not: use PLAINTEXT",
                listener.bind
            ));
        }
    }
    let inter_broker_listener = match config.text("inter.broker.listener.name") {
        None => 0,
        Some(name) => listeners
            .iter()
            .position(|listener| listener.bind.name.eq_ignore_ascii_case(&name))
            .unwrap_or_else(|| {
                problems.push(format!(
                    "inter.broker.listener.name is {name}, which is not in listeners"
                ));
                0
            }),
    };
    let request_bytes_max = config.size("socket.request.max.bytes");
    NetworkSettings {
        listeners,
        inter_broker_listener,
        connections_max: config.size("max.connections"),
        connections_per_ip_max: config.size("max.connections.per.ip"),
        connections_per_ip_overrides: read_ip_overrides(config, problems),
        connection_rate_max: u32::try_from(config.int("max.connection.creation.rate")).unwrap_or(0),
        idle_max: (config.long("connections.max.idle.ms") >= 0)
            .then(|| config.millis("connections.max.idle.ms")),
        request_bytes_max,
        request_memory_bytes: request_memory(config, request_bytes_max),
        receive_buffer_bytes: u32::try_from(config.int("socket.receive.buffer.bytes")).ok(),
        send_buffer_bytes: u32::try_from(config.int("socket.send.buffer.bytes")).ok(),
        backlog: u32::try_from(config.int("socket.listen.backlog.size")).unwrap_or(50),
    }
}

/// Memory for requests where nobody says how much.
const REQUEST_MEMORY_BYTES: usize = 128 << 20;

fn request_memory(config: &Config, request_bytes_max: usize) -> usize {
    let given = config.long("queued.max.request.bytes");
    let wanted = usize::try_from(given).ok().filter(|bytes| *bytes > 0);
    wanted.unwrap_or(REQUEST_MEMORY_BYTES).max(request_bytes_max)
}

fn read_ip_overrides(config: &Config, problems: &mut Vec<String>) -> BTreeMap<IpAddr, usize> {
    let text = config.text("max.connections.per.ip.overrides").unwrap_or_default();
    let mut overrides = BTreeMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let parsed = entry.rsplit_once(':').and_then(|(address, count)| {
            let address = address.trim_matches(['[', ']']).parse().ok()?;
            Some((address, count.parse().ok()?))
        });
        match parsed {
            Some((address, count)) => {
                overrides.insert(address, count);
            }
            None => problems.push(format!(
                "max.connections.per.ip.overrides: {entry:?} is not address:count with an IP address"
            )),
        }
    }
    overrides
}

fn read_http(config: &Config) -> Option<HttpListener> {
    let given = config.get("http.listener");
    let address = given.value.to_string();
    (!address.is_empty())
        .then_some(HttpListener { address, is_required: given.source != super::Source::Default })
}

fn log_dirs(config: &Config) -> Vec<PathBuf> {
    let dirs = config.list("log.dirs").or_else(|| config.list("log.dir")).unwrap_or_default();
    dirs.iter().filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
}

fn clamp_i16(value: i32) -> i16 {
    i16::try_from(value).unwrap_or(i16::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Inputs;
    use super::*;

    fn read(overrides: &[(&str, &str)]) -> Result<Settings, String> {
        let overrides = overrides.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let (config, _) = Config::load(Inputs { overrides, ..Inputs::default() })
            .map_err(|error| error.to_string())?;
        Settings::read(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_make_a_single_node_on_the_loopback_address() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.node.id, 1);
        assert_eq!(settings.network.listeners.len(), 1);
        assert_eq!(settings.network.listeners[0].bind.to_string(), "PLAINTEXT://127.0.0.1:9092");
        assert_eq!(settings.network.request_memory_bytes, 128 << 20);
        assert_eq!(settings.network.idle_max, Some(Duration::from_secs(600)));
        assert_eq!(settings.topics.partition_count, 1);
        assert_eq!(settings.node.http_listener.map(|http| http.is_required), Some(false));
    }

    #[test]
    fn keys_that_contradict_each_other_stop_the_start() {
        for (overrides, expected) in [
            (
                &[("node.id", "1"), ("broker.id", "2")][..],
                "node.id is 1 and broker.id is 2: give one, or the same",
            ),
            (
                &[("process.roles", "broker")],
                "process.roles must name both broker and controller: this version runs single nodes, and controller is missing",
            ),
            (
                &[("controller.quorum.voters", "1@a:1,2@b:1")],
                "controller.quorum.voters names others than node 1: this version runs single nodes",
            ),
            (
                &[("listeners", "SSL://:9092")],
                "listeners: SSL://:9092 speaks TLS or SASL, which this version does not: use PLAINTEXT",
            ),
            (
                &[("inter.broker.listener.name", "X")],
                "inter.broker.listener.name is X, which is not in listeners",
            ),
            (
                &[("max.connections.per.ip.overrides", "10.0.0.1:5,x")],
                "max.connections.per.ip.overrides: \"x\" is not address:count with an IP address",
            ),
        ] {
            assert_eq!(read(overrides).map(|_| ()), Err(expected.to_owned()));
        }
    }

    #[test]
    fn the_file_that_apache_kafka_ships_for_a_single_node_is_taken() {
        let file = "process.roles=broker,controller\nnode.id=7\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
            listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
            advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
            controller.listener.names=CONTROLLER\n\
            listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
            num.network.threads=3\nnum.io.threads=8\nlog.dirs=/tmp/logs\nnum.recovery.threads.per.data.dir=1\n\
            log.retention.hours=168\nlog.segment.bytes=1073741824\n";
        let inputs =
            Inputs { file: Some(("server.properties".into(), file.into())), ..Inputs::default() };
        let (config, notices) = Config::load(inputs).unwrap();
        assert!(notices.iter().all(|notice| !notice.text.contains("unknown")));
        let settings = Settings::read(&config).unwrap();
        assert_eq!(settings.node.id, 7);
        assert_eq!(settings.log.dirs, [PathBuf::from("/tmp/logs")]);
        assert_eq!(settings.network.listeners[0].advertised.as_ref().unwrap().host, "localhost");
    }
}
