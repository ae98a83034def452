//! Keys about copying between brokers. One row a key, in alphabetical order.

use crate::config::key::Allowed::{Anything, AtLeast};
use crate::config::key::Effect::{JvmOnly, NotYet};
use crate::config::key::Importance::{High, Low, Medium};
use crate::config::key::Kind::{Boolean, Class, Int, Long, Text};
use crate::config::key::Update::{ClusterWide, ReadOnly};
use crate::config::key::{Key, row};

#[rustfmt::skip] // Two lines a row: what it is, and what it does.
pub(super) const KEYS: &[Key] = &[
    row("alter.log.dirs.replication.quota.window.num", Int(AtLeast(1)), Some("11"), Low, ReadOnly, NotYet,
        "Samples kept for the quota on moves between directories."),
    row("alter.log.dirs.replication.quota.window.size.seconds", Int(AtLeast(1)), Some("1"), Low, ReadOnly, NotYet,
        "The length of such a sample."),
    row("client.quota.callback.class", Class, None, Low, ReadOnly, JvmOnly,
        "A Java class that decides client quotas."),
    row("controller.quota.window.num", Int(AtLeast(1)), Some("11"), Low, ReadOnly, NotYet,
        "Samples kept for quotas on topic changes."),
    row("controller.quota.window.size.seconds", Int(AtLeast(1)), Some("1"), Low, ReadOnly, NotYet,
        "The length of such a sample."),
    row("follower.fetch.last.tiered.offset.enable", Boolean, Some("false"), Medium, ClusterWide, NotYet,
        "Whether a new follower starts at the last tiered offset."),
    row("num.replica.fetchers", Int(AtLeast(1)), Some("1"), High, ClusterWide, NotYet,
        "Fetchers to each other broker."),
    row("quota.window.num", Int(AtLeast(1)), Some("11"), Low, ReadOnly, NotYet,
        "Samples kept for client quotas."),
    row("quota.window.size.seconds", Int(AtLeast(1)), Some("1"), Low, ReadOnly, NotYet,
        "The length of such a sample."),
    row("replica.fetch.backoff.ms", Int(AtLeast(0)), Some("1000"), Medium, ReadOnly, NotYet,
        "The wait after a failed fetch from a leader."),
    row("replica.fetch.max.bytes", Int(AtLeast(0)), Some("1048576"), Medium, ReadOnly, NotYet,
        "The most bytes a follower asks for of one partition."),
    row("replica.fetch.min.bytes", Int(Anything), Some("1"), High, ReadOnly, NotYet,
        "The bytes a follower waits for."),
    row("replica.fetch.response.max.bytes", Int(AtLeast(0)), Some("10485760"), Medium, ReadOnly, NotYet,
        "The most bytes a follower asks for at once."),
    row("replica.fetch.wait.max.ms", Int(Anything), Some("500"), High, ReadOnly, NotYet,
        "How long a follower's fetch may wait."),
    row("replica.high.watermark.checkpoint.interval.ms", Long(Anything), Some("5000"), High, ReadOnly, NotYet,
        "How often high watermarks are noted on disk."),
    row("replica.lag.time.max.ms", Long(Anything), Some("30000"), High, ReadOnly, NotYet,
        "How long a follower may lag before it leaves the in-sync replicas."),
    row("replica.selector.class", Text(Anything), None, Medium, ReadOnly, JvmOnly,
        "A Java class that picks the replica a consumer reads from."),
    row("replica.socket.receive.buffer.bytes", Int(Anything), Some("65536"), High, ReadOnly, NotYet,
        "The receive buffer of a follower's connection."),
    row("replica.socket.timeout.ms", Int(Anything), Some("30000"), High, ReadOnly, NotYet,
        "How long a follower waits for its leader."),
    row("replication.quota.window.num", Int(AtLeast(1)), Some("11"), Low, ReadOnly, NotYet,
        "Samples kept for replication quotas."),
    row("replication.quota.window.size.seconds", Int(AtLeast(1)), Some("1"), Low, ReadOnly, NotYet,
        "The length of such a sample."),
];
