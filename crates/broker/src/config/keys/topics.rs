//! Keys about what topics are and who may make them. One row a key, in alphabetical order.

use crate::config::key::Allowed::{Anything, AtLeast, Between, GzipLevel, OneOf};
use crate::config::key::Effect::{Applied, JvmOnly, NotYet};
use crate::config::key::Importance::{High, Internal, Low, Medium};
use crate::config::key::Kind::{Boolean, Class, Int, Long, Text};
use crate::config::key::Update::{ClusterWide, ReadOnly};
use crate::config::key::{Key, row};

#[rustfmt::skip] // Two lines a row: what it is, and what it does.
pub(super) const KEYS: &[Key] = &[
    row("alter.config.policy.class.name", Class, None, Low, ReadOnly, JvmOnly,
        "A Java class that judges changes of configuration."),
    row("auto.create.topics.enable", Boolean, Some("true"), High, ReadOnly, Applied,
        "Whether a topic is created when a client first asks for it."),
    row("auto.leader.rebalance.enable", Boolean, Some("true"), High, ReadOnly, NotYet,
        "Whether leaderships move back to the preferred replica."),
    row("compression.gzip.level", Int(GzipLevel), Some("-1"), Medium, ClusterWide, Applied,
        "The level where the broker compresses with gzip itself."),
    row("compression.lz4.level", Int(Between(1, 17)), Some("9"), Medium, ClusterWide, Applied,
        "The level where the broker compresses with lz4 itself."),
    row("compression.type", Text(OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])), Some("producer"), High, ClusterWide, Applied,
        "The compression that stored batches get; `producer` keeps what the producer chose."),
    row("compression.zstd.level", Int(Between(-131_072, 22)), Some("3"), Medium, ClusterWide, Applied,
        "The level where the broker compresses with zstd itself."),
    row("create.topic.policy.class.name", Class, None, Low, ReadOnly, JvmOnly,
        "A Java class that judges new topics."),
    row("default.replication.factor", Int(Anything), Some("1"), Medium, ReadOnly, Applied,
        "Replicas of a topic that is created without a count."),
    row("delete.topic.enable", Boolean, Some("true"), High, ReadOnly, Applied,
        "Whether topics may be deleted."),
    row("leader.imbalance.check.interval.seconds", Long(AtLeast(1)), Some("300"), High, ReadOnly, NotYet,
        "How often the balance of leaderships is looked at."),
    row("message.max.bytes", Int(AtLeast(0)), Some("1048588"), High, ClusterWide, Applied,
        "The largest record batch taken."),
    row("min.insync.replicas", Int(AtLeast(1)), Some("1"), High, ClusterWide, Applied,
        "How many replicas must have a record before acks=all is answered."),
    row("num.partitions", Int(AtLeast(1)), Some("1"), Medium, ReadOnly, Applied,
        "Partitions of a topic that is created without a count."),
    row("unclean.leader.election.enable", Boolean, Some("false"), High, ClusterWide, NotYet,
        "Whether a replica that lacks records may become leader."),
    row("unclean.leader.election.interval.ms", Long(AtLeast(1)), Some("300000"), Internal, ReadOnly, NotYet,
        "How often partitions without leader are looked at for unclean election."),
];
