//! Keys about transactions and idempotent producers. One row a key, in alphabetical order.

use crate::config::key::Allowed::AtLeast;
use crate::config::key::Effect::{Applied, JvmOnly, NotYet};
use crate::config::key::Importance::{High, Internal, Low};
use crate::config::key::Kind::{Boolean, Int, Short};
use crate::config::key::Update::{ClusterWide, ReadOnly};
use crate::config::key::{Key, row};

#[rustfmt::skip] // Two lines a row: what it is, and what it does.
pub(super) const KEYS: &[Key] = &[
    row("add.partitions.to.txn.retry.backoff.max.ms", Int(AtLeast(0)), Some("100"), High, ReadOnly, Applied,
        "How long in all such verification is tried."),
    row("add.partitions.to.txn.retry.backoff.ms", Int(AtLeast(1)), Some("20"), High, ReadOnly, Applied,
        "The wait before a partition is verified again while its transaction changes."),
    row("producer.id.expiration.check.interval.ms", Int(AtLeast(1)), Some("600000"), Internal, ReadOnly, Applied,
        "How often producers are looked at for expiry."),
    row("producer.id.expiration.ms", Int(AtLeast(1)), Some("86400000"), Low, ClusterWide, Applied,
        "How long an idle producer's sequence is remembered."),
    row("transaction.abort.timed.out.transaction.cleanup.interval.ms", Int(AtLeast(1)), Some("10000"), Low, ReadOnly, Applied,
        "How often transactions are looked at for timeouts."),
    row("transaction.max.timeout.ms", Int(AtLeast(1)), Some("900000"), High, ReadOnly, Applied,
        "The longest timeout a transactional producer may ask for."),
    row("transaction.partition.verification.enable", Boolean, Some("true"), Low, ClusterWide, Applied,
        "Whether a transactional write is checked against its transaction first."),
    row("transaction.remove.expired.transaction.cleanup.interval.ms", Int(AtLeast(1)), Some("3600000"), Low, ReadOnly, Applied,
        "How often transactional ids are looked at for expiry."),
    row("transaction.state.log.load.buffer.size", Int(AtLeast(1)), Some("5242880"), High, ReadOnly, JvmOnly,
        "The buffer the JVM broker loads transactions with."),
    row("transaction.state.log.min.isr", Int(AtLeast(1)), Some("1"), High, ReadOnly, Applied,
        "Replicas of `__transaction_state` that must have a record. A single node has one."),
    row("transaction.state.log.num.partitions", Int(AtLeast(1)), Some("50"), High, ReadOnly, Applied,
        "Partitions of `__transaction_state`."),
    row("transaction.state.log.replication.factor", Short(AtLeast(1)), Some("1"), High, ReadOnly, Applied,
        "Replicas of `__transaction_state`. A single node makes one."),
    row("transaction.state.log.segment.bytes", Int(AtLeast(1)), Some("104857600"), High, ReadOnly, Applied,
        "The segment size of `__transaction_state`."),
    row("transaction.two.phase.commit.enable", Boolean, Some("false"), Low, ReadOnly, NotYet,
        "Whether transactions may be prepared and left open (KIP-939)."),
    row("transactional.id.expiration.ms", Int(AtLeast(1)), Some("604800000"), High, ReadOnly, Applied,
        "How long an unused transactional id is remembered."),
];
