//! The table against Kafka's defaults, and what is said of values that are not allowed.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// Names, types and defaults as Apache Kafka 4.3.1 describes them (`durability` aside).
const KAFKA: &str = "\
cleanup.policy LIST delete
compression.gzip.level INT -1
compression.lz4.level INT 9
compression.type STRING producer
compression.zstd.level INT 3
delete.retention.ms LONG 86400000
file.delete.delay.ms LONG 60000
flush.messages LONG 9223372036854775807
flush.ms LONG 9223372036854775807
follower.replication.throttled.replicas LIST
index.interval.bytes INT 4096
leader.replication.throttled.replicas LIST
local.retention.bytes LONG -2
local.retention.ms LONG -2
max.compaction.lag.ms LONG 9223372036854775807
max.message.bytes INT 1048588
message.timestamp.after.max.ms LONG 3600000
message.timestamp.before.max.ms LONG 9223372036854775807
message.timestamp.type STRING CreateTime
min.cleanable.dirty.ratio DOUBLE 0.5
min.compaction.lag.ms LONG 0
min.insync.replicas INT 1
preallocate BOOLEAN false
remote.log.copy.disable BOOLEAN false
remote.log.delete.on.disable BOOLEAN false
remote.storage.enable BOOLEAN false
retention.bytes LONG -1
retention.ms LONG 604800000
segment.bytes INT 1073741824
segment.index.bytes INT 10485760
segment.jitter.ms LONG 0
segment.ms LONG 604800000
unclean.leader.election.enable BOOLEAN false";

#[test]
fn the_table_has_the_keys_types_and_defaults_of_kafka() {
    let row = |key: &LogConfigKey| {
        let kind = format!("{:?}", key.kind).to_uppercase();
        format!("{} {kind} {}", key.name, key.default()).trim_end().to_owned()
    };
    let ours: Vec<_> = LOG_CONFIG_KEYS.iter().map(row).collect();
    assert!(ours.is_sorted());
    let kafkas: Vec<_> = ours.iter().filter(|row| !row.starts_with("durability ")).collect();
    assert_eq!(kafkas, KAFKA.lines().collect::<Vec<_>>());
    assert_eq!(ours.len(), kafkas.len() + 1);
}

#[test]
fn every_default_is_allowed_and_every_key_is_explained() {
    for key in LOG_CONFIG_KEYS {
        let mut config = LogConfig::default();
        key.set(&mut config, &key.default()).unwrap();
        assert_eq!(config, LogConfig::default(), "{}", key.name);
        let doc = key.doc();
        assert!(doc.ends_with('.') && !doc.contains("  "), "{}: {doc}", key.name);
    }
    LogConfig::default().check().unwrap();
}

#[test]
fn a_value_that_is_not_allowed_is_answered_with_what_is() {
    for (name, text, expected) in [
        ("retention.ms", "-2", "Value must be at least -1"),
        ("retention.ms", "1 day", "Not a number of type LONG"),
        ("retention.bytes", "9223372036854775808", "Not a number of type LONG"),
        ("segment.bytes", "1048575", "Value must be at least 1048576"),
        ("segment.bytes", "2147483648", "Not a number of type INT"),
        ("compression.gzip.level", "0", "Value must be between 1 and 9 or equal to -1"),
        ("compression.lz4.level", "18", "Value must be no more than 17"),
        ("min.cleanable.dirty.ratio", "1.1", "Value must be no more than 1"),
        ("min.cleanable.dirty.ratio", "NaN", "Not a number of type DOUBLE"),
        ("preallocate", "yes", "Expected value to be either true or false"),
        ("cleanup.policy", "purge", "String must be one of: compact, delete"),
        ("cleanup.policy", "delete,delete", "must not name a policy twice"),
        (
            "compression.type",
            "brotli",
            "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
        ),
        (
            "message.timestamp.type",
            "createtime",
            "String must be one of: CreateTime, LogAppendTime",
        ),
        ("durability", "none", "String must be one of: sync, replicated"),
        (
            "leader.replication.throttled.replicas",
            "0:1,2",
            "leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the \
             following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        ),
    ] {
        let error = LogConfig::default().set(name, text).unwrap_err();
        let shown = if text == "0:1,2" { "[0:1, 2]" } else { text };
        let expected = format!("Invalid value {shown} for configuration {name}: {expected}");
        assert_eq!(error.to_string(), expected);
    }
    let error = LogConfig::default().set("retention.days", "1").unwrap_err();
    assert_eq!(error.to_string(), "Unknown topic config name: retention.days");
}

#[test]
fn values_are_read_and_shown_as_kafka_does() {
    for (name, text, shown) in [
        ("cleanup.policy", " delete , compact ", "compact,delete"),
        ("cleanup.policy", "", ""),
        ("compression.type", "zstd", "zstd"),
        ("preallocate", "TRUE", "true"),
        ("min.cleanable.dirty.ratio", "0", "0"),
        ("follower.replication.throttled.replicas", "*", "*"),
        ("follower.replication.throttled.replicas", "0:1, 3:2", "0:1,3:2"),
        ("retention.ms", " 5 ", "5"),
    ] {
        let mut config = LogConfig::default();
        config.set(name, text).unwrap();
        assert_eq!(find(name).unwrap().get(&config), shown, "{name}={text:?}");
    }
}

#[test]
fn a_topic_overrides_the_broker_and_the_broker_the_default() {
    let broker = |name: &str| match name {
        "log.retention.hours" => Some("2".to_owned()),
        "log.retention.minutes" => Some("30".to_owned()),
        "log.roll.jitter.hours" => Some("1".to_owned()),
        "message.max.bytes" => Some("1000".to_owned()),
        _ => None,
    };
    let config = LogConfig::resolve(broker, [("max.message.bytes", "2000")]).unwrap();
    assert_eq!(config.retention_ms, 30 * 60 * 1000, "minutes go before hours");
    assert_eq!(config.segment_jitter_ms, 3_600_000);
    assert_eq!(config.max_message_bytes, 2000);
    let forever = |name: &str| (name == "log.retention.hours").then(|| "-1".to_owned());
    assert_eq!(LogConfig::resolve(forever, []).unwrap().retention_ms, -1);
    let wrong = |name: &str| (name == "log.retention.hours").then(|| "x".to_owned());
    let error = LogConfig::resolve(wrong, []).unwrap_err();
    let expected = "Invalid value x for configuration log.retention.hours: must be a whole number";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let check = |topic: &[(&str, &str)]| {
        LogConfig::resolve(|_| None, topic.iter().copied()).map_err(|error| error.to_string())
    };
    let remote = ("remote.storage.enable", "true");
    assert_eq!(
        check(&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "4")]).unwrap_err(),
        "Invalid value 5 for configuration min.compaction.lag.ms: \
         must not be above max.compaction.lag.ms, which is 4"
    );
    assert!(check(&[remote, ("cleanup.policy", "compact")]).is_err());
    assert!(check(&[remote, ("cleanup.policy", "")]).is_ok());
    assert_eq!(
        check(&[remote, ("local.retention.ms", "-1")]).unwrap_err(),
        "Invalid value -1 for configuration local.retention.ms: \
         must not be above retention.ms, which is 604800000"
    );
    assert!(check(&[remote, ("retention.bytes", "10"), ("local.retention.bytes", "11")]).is_err());
    assert!(check(&[remote, ("retention.bytes", "-1"), ("local.retention.bytes", "-1")]).is_ok());
    let copies_off = ("remote.log.copy.disable", "true");
    assert!(check(&[remote, copies_off, ("local.retention.ms", "5")]).is_err());
    assert!(check(&[remote, copies_off]).is_ok());
}

#[test]
fn a_compacted_segment_is_closed_in_time_for_compaction() {
    let mut config = LogConfig { max_compaction_lag_ms: 10, ..LogConfig::default() };
    assert_eq!(config.segment_ms_max(), config.segment_ms);
    config.cleanup_policy.compact = true;
    assert_eq!(config.segment_ms_max(), 10);
}
