//! Configurations as they are given.

use super::*;

fn read(properties: &[(&str, &str)]) -> Result<ClientConfig, ConfigError> {
    ClientConfig::from_properties(properties.iter().copied())
}

#[test]
fn defaults_are_kafkas() {
    let config = read(&[("bootstrap.servers", "a:1")]).unwrap();
    assert_eq!(config.request_timeout, Duration::from_secs(30));
    assert_eq!(config.default_api_timeout, Duration::from_secs(60));
    assert_eq!(config.retry_backoff.initial, Duration::from_millis(100));
    assert_eq!(config.retry_backoff.max, Duration::from_secs(1));
    assert_eq!(config.reconnect_backoff.initial, Duration::from_millis(50));
    assert_eq!(config.connections_max_idle, Some(Duration::from_secs(300)));
    assert!(config.rebootstrap);
    assert_eq!(config.security_protocol, SecurityProtocol::Plaintext);
    assert!(config.unknown().is_empty());
}

#[test]
fn every_default_is_allowed_and_every_table_is_sorted() {
    for table in [keys::CLIENT, keys::SECURITY] {
        for key in table {
            let _ = key.default_value();
            assert!(key.doc.ends_with('.'), "{}", key.name);
        }
        assert!(table.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}

#[test]
fn bootstrap_servers_are_read_as_kafka_reads_them() {
    let config = read(&[("bootstrap.servers", " a:1, [::1]:9092 ,PLAINTEXT://b:2,a:1,")]).unwrap();
    let shown: Vec<String> = config.bootstrap_servers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["a:1", "[::1]:9092", "b:2"]);
}

#[test]
fn an_error_names_the_key_the_value_and_what_is_allowed() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "bootstrap.servers must be given: host:port, as in localhost:9092"),
        (
            &[("bootstrap.servers", "localhost")],
            "bootstrap.servers is \"localhost\", and must be host:port, as in localhost:9092",
        ),
        (
            &[("bootstrap.servers", "a:0")],
            "bootstrap.servers is \"a:0\", and must be host:port, as in localhost:9092",
        ),
        (
            &[("request.timeout.ms", "30s"), ("security.protocol", "TLS")],
            "request.timeout.ms is \"30s\", and must be a whole number from 0 to 2147483647; \
             security.protocol is \"TLS\", and must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, \
             SASL_SSL",
        ),
        (
            &[("allow.auto.create.topics", "1")],
            "allow.auto.create.topics is \"1\", and must be true or false",
        ),
    ];
    for (properties, expected) in cases {
        assert_eq!(read(properties).unwrap_err().to_string(), *expected);
    }
}

#[test]
fn keys_that_are_not_known_are_kept_with_the_nearest_name() {
    let config = read(&[
        ("bootstrap.servers", "a:1"),
        ("requests.timeouts.ms", "1"),
        ("acme.colour", "blue"),
        ("send.buffer.bytes", "1"),
    ])
    .unwrap();
    let unknown: Vec<_> =
        config.unknown().iter().map(|key| (key.name.as_str(), key.nearest)).collect();
    assert_eq!(
        unknown,
        [("requests.timeouts.ms", Some("request.timeout.ms")), ("acme.colour", None)]
    );
    let without: Vec<_> = config.values().without_effect().iter().map(|key| key.name).collect();
    assert_eq!(without, ["send.buffer.bytes"]);
}

#[test]
fn secrets_are_not_shown() {
    let config = read(&[("bootstrap.servers", "a:1"), ("ssl.key.password", "wonderland")]).unwrap();
    assert!(!format!("{:?}{config:?}", config.values()).contains("wonderland"));
}
