//! The keys of a consumer's configuration, with Kafka's defaults.

use crate::config::key::Allowed::{Anything, AtLeast, OneOf, OneOfAnyCase};
use crate::config::key::Effect::{Applied, JvmOnly};
use crate::config::key::Kind::{Boolean, Class, Int, List, Long, Text};
use crate::config::key::{Key, row};

/// The keys that a consumer has and other clients have not, and those that it has another default
/// for.
#[rustfmt::skip] // Two lines a row: what it is, and what it does.
pub const CONSUMER: &[Key] = &[
    row("allow.auto.create.topics", Boolean, Some("true"), Applied,
        "Whether subscribing to a topic may create it, where the broker allows it too."),
    row("auto.commit.interval.ms", Int(AtLeast(0)), Some("5000"), Applied,
        "How often positions are committed, with `enable.auto.commit`."),
    row("auto.offset.reset", Text(Anything), Some("latest"), Applied,
        "Where to begin without a committed offset, or when it is gone: earliest, latest, none (fail), or by_duration: and an ISO-8601 duration such as P1DT2H (KIP-1106)."),
    row("check.crcs", Boolean, Some("true"), Applied,
        "Whether to check the checksum of each batch."),
    row("client.rack", Text(Anything), Some(""), Applied,
        "The rack of this consumer: it reads from a replica there, if the broker names one (KIP-392)."),
    row("connections.max.idle.ms", Long(Anything), Some("540000"), Applied,
        "A connection without a request for so long is closed; below 0 never."),
    row("enable.auto.commit", Boolean, Some("true"), Applied,
        "Whether positions are committed by themselves: now and then, before partitions are given up, and when closing."),
    row("exclude.internal.topics", Boolean, Some("true"), Applied,
        "Whether a pattern passes over Kafka's own topics."),
    row("fetch.max.bytes", Int(AtLeast(0)), Some("52428800"), Applied,
        "Roughly how many bytes a fetch may return, and how many may wait here to be polled."),
    row("fetch.max.wait.ms", Int(AtLeast(0)), Some("500"), Applied,
        "How long a broker may wait for `fetch.min.bytes`."),
    row("fetch.min.bytes", Int(AtLeast(0)), Some("1"), Applied,
        "How many bytes a broker should wait for before it answers a fetch."),
    row("group.id", Text(Anything), None, Applied,
        "The group; needed to subscribe and to commit."),
    row("group.instance.id", Text(Anything), None, Applied,
        "Makes a static member of it, which may restart within the session timeout without a rebalance (KIP-345)."),
    row("group.protocol", Text(OneOfAnyCase(&["classic", "consumer"])), Some("classic"), Applied,
        "`classic`: a member assigns. `consumer`: the broker assigns (KIP-848)."),
    row("group.remote.assignor", Text(Anything), None, Applied,
        "The broker's assignor in a group of the consumer protocol: uniform or range; the broker chooses if there is none."),
    row("heartbeat.interval.ms", Int(Anything), Some("3000"), Applied,
        "How often a member of a classic group shows that it is alive; in the consumer protocol the broker says it."),
    row("interceptor.classes", List, Some(""), JvmOnly,
        "Java classes that see records."),
    row("isolation.level", Text(OneOfAnyCase(&["read_uncommitted", "read_committed"])), Some("read_uncommitted"), Applied,
        "`read_committed`: records of aborted transactions are left out, and those of open ones waited for."),
    row("key.deserializer", Class, None, JvmOnly,
        "A Java class that reads keys; here keys are bytes."),
    row("max.partition.fetch.bytes", Int(AtLeast(0)), Some("1048576"), Applied,
        "Roughly how many bytes a fetch may return for a partition; twice this may wait here to be polled."),
    row("max.poll.interval.ms", Int(AtLeast(1)), Some("300000"), Applied,
        "A member that does not poll for so long leaves its group."),
    row("max.poll.records", Int(AtLeast(1)), Some("500"), Applied,
        "How many records a poll gives at most."),
    row("partition.assignment.strategy", List, Some("range,cooperative-sticky"), Applied,
        "Assignors of a classic group, the preferred one first, by name or by the name of their Java class."),
    row("session.timeout.ms", Int(Anything), Some("45000"), Applied,
        "A member that shows no sign of life for so long is taken out of a classic group."),
    row("share.acknowledgement.mode", Text(OneOf(&["implicit", "explicit"])), None, crate::config::key::Effect::NotYet,
        "How records of share groups are acknowledged."),
    row("value.deserializer", Class, None, JvmOnly,
        "A Java class that reads values; here values are bytes."),
];
