//! The keys that a producer has besides those of every client, with the defaults of Kafka 4.3.

use crate::config::key::Allowed::{Anything, AtLeast, Between, BetweenOr, OneOf};
use crate::config::key::Effect::{Applied, JvmOnly, NotYet};
use crate::config::key::Kind::{Boolean, Class, Int, List, Long, Text};
use crate::config::key::{Key, row};

/// Batches, acknowledgement, transactions. Goes in front of
/// [`keys::CLIENT`](crate::config::keys::CLIENT).
#[rustfmt::skip] // Two lines a row: what it is, and what it does.
pub const PRODUCER: &[Key] = &[
    row("acks", Text(OneOf(&["all", "-1", "0", "1"])), Some("all"), Applied,
        "When a record counts as written: `all` in-sync replicas have it (also `-1`), the leader has it (`1`), or it was sent (`0`)."),
    row("batch.size", Int(AtLeast(0)), Some("16384"), Applied,
        "Bytes of a batch before compression: no record is put into a batch that would grow beyond it. 0 means a batch for each record."),
    row("buffer.memory", Long(AtLeast(0)), Some("33554432"), Applied,
        "Bytes of batches that wait or are on their way; a record that finds no room waits for `max.block.ms`."),
    row("compression.gzip.level", Int(BetweenOr(1, 9, -1)), Some("-1"), Applied,
        "The level of gzip: 1 is fast, 9 is small."),
    row("compression.lz4.level", Int(Between(1, 17)), Some("9"), Applied,
        "The level of lz4. Every level gives the same output here."),
    row("compression.type", Text(OneOf(&["none", "gzip", "snappy", "lz4", "zstd"])), Some("none"), Applied,
        "How batches are compressed."),
    row("compression.zstd.level", Int(Between(-131_072, 22)), Some("3"), Applied,
        "The level of zstd: below 0 is fast, 22 is small."),
    row("delivery.timeout.ms", Int(AtLeast(0)), Some("120000"), Applied,
        "How long a record may take until it is acknowledged, everything included; then it has failed. Not less than `linger.ms` and `request.timeout.ms` together."),
    row("enable.idempotence", Boolean, Some("true"), Applied,
        "Whether a record that is sent again is kept from being written twice, and order from being lost."),
    row("interceptor.classes", List, Some(""), JvmOnly, "Java classes that see every record."),
    row("key.serializer", Class, None, JvmOnly, "A Java class that makes bytes of keys. Keys are bytes here."),
    row("linger.ms", Long(AtLeast(0)), Some("5"), Applied,
        "How long a batch waits for more records when it could be sent (KIP-1030: 5, not 0)."),
    row("max.block.ms", Long(AtLeast(0)), Some("60000"), Applied,
        "How long `send` waits for metadata and memory, and a call of a transaction for its coordinator."),
    row("max.in.flight.requests.per.connection", Int(AtLeast(1)), Some("5"), Applied,
        "How many requests may be sent to a broker and not answered; 5 at most with idempotence."),
    row("max.request.size", Int(AtLeast(0)), Some("1048576"), Applied,
        "Bytes of a record before compression, and of a request unless a single batch is larger."),
    row("metadata.max.idle.ms", Long(AtLeast(5000)), Some("300000"), NotYet,
        "How long a topic that nothing is sent to is still asked for. Here always."),
    row("partitioner.adaptive.partitioning.enable", Boolean, Some("true"), Applied,
        "Whether records without a key go less often to partitions that are slow (KIP-794)."),
    row("partitioner.availability.timeout.ms", Long(AtLeast(0)), Some("0"), NotYet,
        "How long a broker may not take records until its partitions are passed over. Here only those without a leader are."),
    row("partitioner.class", Class, None, Applied,
        "`RoundRobinPartitioner`, with or without its Java package, for one partition after the other. Nothing for keys by hash and the rest sticky."),
    row("partitioner.ignore.keys", Boolean, Some("false"), Applied,
        "Whether the partitioner treats records with a key like those without."),
    row("retries", Int(AtLeast(0)), Some("2147483647"), Applied,
        "How often a batch is sent again at most, within `delivery.timeout.ms`."),
    row("transaction.timeout.ms", Int(AtLeast(0)), Some("60000"), Applied,
        "How long a transaction may be open until the coordinator aborts it."),
    row("transaction.two.phase.commit.enable", Boolean, Some("false"), NotYet,
        "Whether another system coordinates transactions (KIP-939)."),
    row("transactional.id", Text(Anything), None, Applied,
        "The name under which this producer's transactions go on after a restart; turns transactions on."),
    row("value.serializer", Class, None, JvmOnly, "A Java class that makes bytes of values. Values are bytes here."),
];
