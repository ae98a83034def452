//! Configuration by Kafka's names: [`ClientConfig`], and the table of keys that it, and each
//! configuration above it, is read by.
//!
//! A configuration is one table of [`Key`]s ([`keys`]), read into [`Values`], out of which a struct
//! takes what it needs. A key that no table has is kept aside ([`Values::unknown`]) with the
//! nearest name that there is, so that a caller can warn; a value that is not allowed is an error
//! that names the key, the value and what is allowed.

mod address;
pub mod key;
pub mod keys;
mod values;

pub use address::ServerAddress;
pub use key::{Allowed, Effect, Key, Kind};
pub use values::{ConfigError, ConfigProblem, UnknownKey, Value, Values};

use crate::retry::Backoff;
use crate::security::TokenSource;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What every client needs to know: where the cluster is, and how long to wait for what.
///
/// The producer's, consumer's and admin client's configurations hold one of these each.
#[derive(Clone)]
pub struct ClientConfig {
    /// `bootstrap.servers`: where to learn about the cluster; never empty.
    pub bootstrap_servers: Vec<ServerAddress>,
    /// `client.dns.lookup`.
    pub dns_lookup: DnsLookup,
    /// `client.id`: shown in the broker's logs, metrics and quotas.
    pub client_id: String,
    /// `request.timeout.ms`: how long one request may take.
    pub request_timeout: Duration,
    /// `default.api.timeout.ms`: how long a call may take that is given no deadline.
    pub default_api_timeout: Duration,
    /// `retry.backoff.ms` and `retry.backoff.max.ms`.
    pub retry_backoff: Backoff,
    /// `reconnect.backoff.ms` and `reconnect.backoff.max.ms`, per broker.
    pub reconnect_backoff: Backoff,
    /// `socket.connection.setup.timeout.ms` and `.max.ms`, which it grows to with each failure.
    pub connection_setup_timeout: Backoff,
    /// `connections.max.idle.ms`; `None` is never.
    pub connections_max_idle: Option<Duration>,
    /// `metadata.max.age.ms`: metadata older than this is asked for again.
    pub metadata_max_age: Duration,
    /// `metadata.recovery.strategy`: whether to start again from `bootstrap.servers` when no known
    /// broker can be reached (KIP-899).
    pub rebootstrap: bool,
    /// `metadata.recovery.rebootstrap.trigger.ms`: how long no metadata may be had before that
    /// (KIP-1102).
    pub rebootstrap_trigger: Duration,
    /// `allow.auto.create.topics`: whether asking for the metadata of a topic may create it. A
    /// producer always allows it.
    pub allow_auto_create_topics: bool,
    /// `max.in.flight.requests.per.connection`: requests sent and not answered. More wait.
    pub in_flight_max: usize,
    /// `security.protocol`.
    pub security_protocol: SecurityProtocol,
    /// Where the tokens of OAUTHBEARER come from. No property sets it; without it they are made, not
    /// signed, out of the options in `sasl.jaas.config`, which brokers take in development only.
    pub token_source: Option<Arc<dyn TokenSource>>,
    values: Values,
}

/// How names in `bootstrap.servers` become addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsLookup {
    /// `use_all_dns_ips`: each address that a name has is tried.
    UseAllDnsIps,
    /// `resolve_canonical_bootstrap_servers_only`: the same here. Kafka asks for the canonical
    /// names of the addresses, which matters to Kerberos alone.
    ResolveCanonicalBootstrapServersOnly,
}

/// What is under Kafka's protocol on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Nothing.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL.
    SaslPlaintext,
    /// SASL within TLS.
    SaslSsl,
}

impl ClientConfig {
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
        Self::from_values(Values::read(&[keys::CLIENT, keys::SECURITY], properties)?)
    }

    /// From values that were read by a table with the keys of [`keys::CLIENT`] and
    /// [`keys::SECURITY`] in it.
    ///
    /// # Errors
    /// As [`ClientConfig::from_properties`].
    ///
    /// # Panics
    /// If the table lacks one of these keys.
    pub fn from_values(values: Values) -> Result<Self, ConfigError> {
        let bootstrap_servers = address::read(&values)?;
        let dns_lookup = match values.text("client.dns.lookup") {
            "resolve_canonical_bootstrap_servers_only" => {
                DnsLookup::ResolveCanonicalBootstrapServersOnly
            }
            _ => DnsLookup::UseAllDnsIps,
        };
        let security_protocol = match values.text("security.protocol").to_ascii_uppercase().as_str()
        {
            "SSL" => SecurityProtocol::Ssl,
            "SASL_PLAINTEXT" => SecurityProtocol::SaslPlaintext,
            "SASL_SSL" => SecurityProtocol::SaslSsl,
            _ => SecurityProtocol::Plaintext,
        };
        let in_flight_max = values.int("max.in.flight.requests.per.connection");
        Ok(Self {
            bootstrap_servers,
            dns_lookup,
            client_id: values.text("client.id").to_owned(),
            request_timeout: values.duration("request.timeout.ms"),
            default_api_timeout: values.duration("default.api.timeout.ms"),
            retry_backoff: backoff(&values, "retry.backoff.ms", "retry.backoff.max.ms"),
            reconnect_backoff: backoff(&values, "reconnect.backoff.ms", "reconnect.backoff.max.ms"),
            connection_setup_timeout: backoff(
                &values,
                "socket.connection.setup.timeout.ms",
                "socket.connection.setup.timeout.max.ms",
            ),
            connections_max_idle: values.duration_unless_negative("connections.max.idle.ms"),
            metadata_max_age: values.duration("metadata.max.age.ms"),
            rebootstrap: values
                .text("metadata.recovery.strategy")
                .eq_ignore_ascii_case("rebootstrap"),
            rebootstrap_trigger: values.duration("metadata.recovery.rebootstrap.trigger.ms"),
            allow_auto_create_topics: values.bool("allow.auto.create.topics"),
            in_flight_max: usize::try_from(in_flight_max).expect("at least 1, says the table"),
            security_protocol,
            token_source: None,
            values,
        })
    }

    /// Every value, by Kafka's names.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// What was given under names that no table has.
    #[must_use]
    pub fn unknown(&self) -> &[UnknownKey] {
        self.values.unknown()
    }
}

/// Without the values of secrets.
impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("client_id", &self.client_id)
            .field("security_protocol", &self.security_protocol)
            .finish_non_exhaustive()
    }
}

/// The two keys of a wait that grows; a longest wait below the first one means a constant wait.
fn backoff(values: &Values, initial: &str, max: &str) -> Backoff {
    let initial = values.duration(initial);
    Backoff { initial, max: values.duration(max).max(initial) }
}

#[cfg(test)]
mod tests;
