//! `listeners`, `advertised.listeners` and `listener.security.protocol.map`.

use std::collections::BTreeMap;
use std::fmt;

/// An address under a listener's name: `INTERNAL://10.0.0.1:9092`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndPoint {
    /// The listener, in capitals as Kafka keeps it.
    pub name: String,
    /// A host name or address; empty where everything is meant.
    pub host: String,
    /// The TCP port; 0 lets the system choose.
    pub port: u16,
}

/// What a listener speaks below Kafka's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// TCP as it is.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL over TCP.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

/// A listener that clients may connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub bind: EndPoint,
    /// What clients are told; `None`: the address that they reached.
    pub advertised: Option<EndPoint>,
    /// What it speaks.
    pub protocol: SecurityProtocol,
}

impl EndPoint {
    /// Reads `NAME://host:port`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let malformed = || format!("{text:?} is not NAME://host:port");
        let (name, address) = text.split_once("://").ok_or_else(malformed)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(malformed)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(malformed)?,
            None if host.contains([':', '/']) => return Err(malformed()),
            None => host,
        };
        if name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        {
            return Err(malformed());
        }
        let port = port.parse().map_err(|_| malformed())?;
        Ok(Self { name: name.to_ascii_uppercase(), host: host.to_owned(), port })
    }

    /// Whether it stands for every address of the machine.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::")
    }
}

impl fmt::Display for EndPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, host, port } = self;
        if host.contains(':') {
            write!(f, "{name}://[{host}]:{port}")
        } else {
            write!(f, "{name}://{host}:{port}")
        }
    }
}

impl SecurityProtocol {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "PLAINTEXT" => Self::Plaintext,
            "SSL" => Self::Ssl,
            "SASL_PLAINTEXT" => Self::SaslPlaintext,
            "SASL_SSL" => Self::SaslSsl,
            _ => return None,
        })
    }
}

/// The texts of the keys that together say where to listen.
#[derive(Debug, Clone, Copy)]
pub struct ListenerTexts<'a> {
    /// `listeners`.
    pub listeners: &'a [String],
    /// `advertised.listeners`, if set.
    pub advertised: Option<&'a [String]>,
    /// `listener.security.protocol.map`.
    pub protocols: &'a str,
    /// `controller.listener.names`.
    pub controllers: &'a [String],
}

/// Puts the keys together, and leaves out the controllers' listeners: a node that is its own only
/// controller talks to itself without a socket.
///
/// # Errors
/// A sentence that names the key and what is wrong with it.
pub fn resolve(texts: ListenerTexts<'_>) -> Result<Vec<Listener>, String> {
    let protocols = parse_protocols(texts.protocols)?;
    let binds = parse_end_points("listeners", texts.listeners)?;
    let mut advertised = parse_end_points("advertised.listeners", texts.advertised.unwrap_or(&[]))?;
    let is_controllers =
        |end: &EndPoint| texts.controllers.iter().any(|name| name.eq_ignore_ascii_case(&end.name));
    let mut listeners = Vec::new();
    for bind in binds.into_iter().filter(|bind| !is_controllers(bind)) {
        let protocol = *protocols.get(&bind.name).ok_or_else(|| {
            format!("listener.security.protocol.map has no protocol for the listener {}", bind.name)
        })?;
        let told = advertised.iter().position(|end| end.name == bind.name);
        let advertised = told
            .map(|at| advertised.remove(at))
            .or_else(|| (!bind.is_wildcard()).then(|| bind.clone()));
        if advertised.as_ref().is_some_and(|end| end.is_wildcard() && told.is_some()) {
            return Err(format!(
                "advertised.listeners cannot name every address for {}: clients need one to connect to",
                bind.name
            ));
        }
        listeners.push(Listener { bind, advertised, protocol });
    }
    if let Some(left) = advertised.iter().find(|end| !is_controllers(end)) {
        return Err(format!("advertised.listeners names {}, which is not in listeners", left.name));
    }
    if listeners.is_empty() {
        return Err("listeners has none that clients can connect to".to_owned());
    }
    Ok(listeners)
}

fn parse_end_points(key: &str, texts: &[String]) -> Result<Vec<EndPoint>, String> {
    let mut ends: Vec<EndPoint> = Vec::with_capacity(texts.len());
    for text in texts {
        let end = EndPoint::parse(text).map_err(|why| format!("{key}: {why}"))?;
        if ends.iter().any(|other| other.name == end.name) {
            return Err(format!("{key} names {} twice", end.name));
        }
        if ends
            .iter()
            .any(|other| (other.port, &other.host) == (end.port, &end.host) && end.port != 0)
            && key == "listeners"
        {
            return Err(format!("{key} uses {}:{} twice", end.host, end.port));
        }
        ends.push(end);
    }
    Ok(ends)
}

fn parse_protocols(text: &str) -> Result<BTreeMap<String, SecurityProtocol>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let (name, protocol) = entry.split_once(':').ok_or_else(|| {
                format!("listener.security.protocol.map: {entry:?} is not NAME:PROTOCOL")
            })?;
            let protocol = SecurityProtocol::parse(protocol.trim()).ok_or_else(|| {
                format!(
                    "listener.security.protocol.map: {:?} is not PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
                    protocol.trim()
                )
            })?;
            Ok((name.trim().to_ascii_uppercase(), protocol))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listeners: &str, advertised: &str, protocols: &str) -> String {
        let list = |text: &str| {
            text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let advertised_list = list(advertised);
        let resolved = resolve(ListenerTexts {
            listeners: &list(listeners),
            advertised: (!advertised.is_empty()).then_some(&advertised_list),
            protocols,
            controllers: &["CONTROLLER".to_owned()],
        });
        match resolved {
            Err(why) => why,
            Ok(listeners) => listeners
                .iter()
                .map(|l| {
                    format!(
                        "{} as {}",
                        l.bind,
                        l.advertised.as_ref().map_or_else(|| "reached".into(), ToString::to_string)
                    )
                })
                .collect::<Vec<_>>()
                .join("; "),
        }
    }

    #[test]
    fn listeners_and_their_advertised_addresses() {
        let map = "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT";
        for (listeners, advertised, expected) in [
            ("PLAINTEXT://:9092", "", "PLAINTEXT://:9092 as reached"),
            (
                "PLAINTEXT://h:9092,CONTROLLER://h:9093",
                "",
                "PLAINTEXT://h:9092 as PLAINTEXT://h:9092",
            ),
            (
                "internal://10.0.0.1:9092,EXTERNAL://[::]:9094",
                "EXTERNAL://broker.example:9094",
                "INTERNAL://10.0.0.1:9092 as INTERNAL://10.0.0.1:9092; EXTERNAL://[::]:9094 as EXTERNAL://broker.example:9094",
            ),
            (
                "PLAINTEXT://:9092",
                "PLAINTEXT://0.0.0.0:9092",
                "advertised.listeners cannot name every address for PLAINTEXT: clients need one to connect to",
            ),
            (
                "PLAINTEXT://:9092",
                "OTHER://h:9092",
                "advertised.listeners names OTHER, which is not in listeners",
            ),
            (
                "OTHER://:9092",
                "",
                "listener.security.protocol.map has no protocol for the listener OTHER",
            ),
            ("CONTROLLER://:9092", "", "listeners has none that clients can connect to"),
            ("PLAINTEXT://:9092,PLAINTEXT://:9093", "", "listeners names PLAINTEXT twice"),
            ("PLAINTEXT://:9092,INTERNAL://:9092", "", "listeners uses :9092 twice"),
            ("localhost:9092", "", "listeners: \"localhost:9092\" is not NAME://host:port"),
            (
                "PLAINTEXT://h:99999",
                "",
                "listeners: \"PLAINTEXT://h:99999\" is not NAME://host:port",
            ),
            (
                "PLAINTEXT://::1:9092",
                "",
                "listeners: \"PLAINTEXT://::1:9092\" is not NAME://host:port",
            ),
        ] {
            assert_eq!(check(listeners, advertised, map), expected);
        }
        assert_eq!(
            check("PLAINTEXT://:1", "", "PLAINTEXT=PLAINTEXT"),
            "listener.security.protocol.map: \"PLAINTEXT=PLAINTEXT\" is not NAME:PROTOCOL"
        );
    }
}
