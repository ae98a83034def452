//! `host:port`.

use super::values::{ConfigError, Values};
use std::fmt;
use std::str::FromStr;

/// Where a broker listens: a name or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for ServerAddress {
    type Err = &'static str;

    /// Reads `host:port` or `[ipv6]:port`, also behind `PROTOCOL://`, as Kafka does.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "host:port, as in localhost:9092";
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(FORM)?,
            None => host,
        };
        let port = port.parse().map_err(|_| FORM)?;
        if host.is_empty() || port == 0 {
            return Err(FORM);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// The addresses of `bootstrap.servers`.
pub(super) fn read(values: &Values) -> Result<Vec<ServerAddress>, ConfigError> {
    const KEY: &str = "bootstrap.servers";
    let items = values.list(KEY);
    let mut addresses = Vec::new();
    for item in items.iter().filter(|item| !item.is_empty()) {
        match item.parse() {
            Ok(address) if addresses.contains(&address) => {}
            Ok(address) => addresses.push(address),
            Err(allowed) => return Err(ConfigError::invalid(KEY, item, allowed)),
        }
    }
    if addresses.is_empty() {
        return Err(ConfigError::missing(KEY, "host:port, as in localhost:9092"));
    }
    Ok(addresses)
}
