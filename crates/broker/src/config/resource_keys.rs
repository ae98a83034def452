//! What may be set for groups and for client metrics subscriptions, which the broker's own
//! configuration does not have: one row a key.

use afluente_cluster::controller::Refusal;
use afluente_protocol::error_code::ErrorCode;

/// A key of a group or of a client metrics subscription.
pub(crate) struct ResourceKey {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The value unless it is set; `None` where the broker gives it, in a key of the same name
    /// behind `group.`.
    pub(crate) default: Option<&'static str>,
}

/// What the values of a key are.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A whole number of 32 bits, not below this one.
    Int(i32),
    /// True or false.
    Boolean,
    /// One of these words; one that ends with a colon begins what may follow it.
    Word(&'static [&'static str]),
    /// Words, separated by commas.
    List,
}

use Kind::{Boolean, Int, List, Word};

const fn row(name: &'static str, kind: Kind, default: Option<&'static str>) -> ResourceKey {
    ResourceKey { name, kind, default }
}

/// Of groups (KIP-848, KIP-932, KIP-1071).
pub(crate) const GROUP: &[ResourceKey] = &[
    row("consumer.assignment.interval.ms", Int(0), None),
    row("consumer.heartbeat.interval.ms", Int(1), None),
    row("consumer.session.timeout.ms", Int(1), None),
    row("share.assignment.interval.ms", Int(0), None),
    row("share.auto.offset.reset", Word(&["latest", "earliest", "by_duration:"]), Some("latest")),
    row("share.delivery.count.limit", Int(2), None),
    row("share.heartbeat.interval.ms", Int(1), None),
    row(
        "share.isolation.level",
        Word(&["read_committed", "read_uncommitted"]),
        Some("read_uncommitted"),
    ),
    row("share.partition.max.record.locks", Int(100), None),
    row("share.record.lock.duration.ms", Int(1000), None),
    row("share.renew.acknowledge.enable", Boolean, Some("true")),
    row("share.session.timeout.ms", Int(1), None),
    row("streams.assignment.interval.ms", Int(0), None),
    row("streams.heartbeat.interval.ms", Int(1), None),
    row("streams.initial.rebalance.delay.ms", Int(0), None),
    row("streams.num.standby.replicas", Int(0), None),
    row("streams.session.timeout.ms", Int(1), None),
];

/// Of client metrics subscriptions (KIP-714).
pub(crate) const CLIENT_METRICS: &[ResourceKey] = &[
    row("interval.ms", Int(i32::MIN), Some("300000")),
    row("match", List, Some("")),
    row("metrics", List, Some("")),
];

/// The properties of a client that a subscription can match on.
const MATCHED_ON: &[&str] = &[
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// How often clients may be asked to push, in milliseconds.
const PUSH_INTERVAL_MS: std::ops::RangeInclusive<i32> = 100..=3_600_000;

impl ResourceKey {
    /// Whether the key can have this value.
    ///
    /// # Errors
    /// `INVALID_CONFIG`, and `INVALID_REQUEST` for an interval out of its range, in Kafka's words.
    pub(crate) fn check(&self, value: &str) -> Result<(), Refusal> {
        let name = self.name;
        let invalid = |why: &str| {
            let message = format!("Invalid value {value} for configuration {name}: {why}");
            Err((ErrorCode::InvalidConfig, message))
        };
        match self.kind {
            Int(least) => match value.trim().parse::<i32>() {
                Err(_) => invalid("Not a number of type INT"),
                Ok(number) if number < least => invalid(&format!("Value must be at least {least}")),
                Ok(number) if name == "interval.ms" && !PUSH_INTERVAL_MS.contains(&number) => {
                    let message = format!(
                        "Invalid value {value} for interval.ms, interval must be between 100 and \
                         3600000 (1 hour)"
                    );
                    Err((ErrorCode::InvalidRequest, message))
                }
                Ok(_) => Ok(()),
            },
            Boolean if matches!(&*value.trim().to_ascii_lowercase(), "true" | "false") => Ok(()),
            Boolean => invalid("Expected value to be either true or false"),
            Word(words) => {
                let fits = |word: &&str| match word.strip_suffix(':') {
                    Some(head) => value.strip_prefix(head).is_some_and(|it| it.starts_with(':')),
                    None => *word == value,
                };
                if words.iter().any(fits) {
                    return Ok(());
                }
                invalid(&format!("String must be one of: {}", words.join(", ")))
            }
            List if name == "match" => {
                let patterns = value.split(',').map(str::trim).filter(|it| !it.is_empty());
                patterns.into_iter().try_for_each(check_pattern)
            }
            List => Ok(()),
        }
    }

    /// The kind of the values, by the numbers of DescribeConfigs.
    pub(crate) fn kind_code(&self) -> i8 {
        match self.kind {
            Int(_) => 3,
            Boolean => 1,
            Word(_) => 2,
            List => 7,
        }
    }
}

fn check_pattern(pattern: &str) -> Result<(), Refusal> {
    let is_known = pattern.split_once('=').is_some_and(|(property, expression)| {
        MATCHED_ON.contains(&property.trim()) && regex_lite::Regex::new(expression).is_ok()
    });
    if is_known {
        return Ok(());
    }
    Err((ErrorCode::InvalidConfig, format!("Illegal client matching pattern: {pattern}")))
}
