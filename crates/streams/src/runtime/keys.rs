//! The keys of an application's configuration, with the defaults of Kafka Streams 4.3.

use afluente_client::config::Allowed::{Anything, AtLeast, Between, OneOf};
use afluente_client::config::Effect::{Applied, JvmOnly, NotYet};
use afluente_client::config::Key;
use afluente_client::config::Kind::{Class, Int, List, Long, Text};
use afluente_client::config::key::row;

/// What an application is told beyond what its clients are.
#[rustfmt::skip] // Two lines a row: what it is, and what it does.
pub const STREAMS: &[Key] = &[
    row("acceptable.recovery.lag", Long(AtLeast(0)), Some("10000"), NotYet,
        "How far behind a copy of a task's state may be to count as caught up."),
    row("application.id", Text(Anything), None, Applied,
        "Name of the application: its group, and the beginning of the names of its topics."),
    row("application.server", Text(Anything), Some(""), Applied,
        "Where other instances reach this one, `host:port`."),
    row("buffered.records.per.partition", Int(AtLeast(1)), Some("1000"), Applied,
        "How many records of a partition wait here to be processed before no more are fetched."),
    row("commit.interval.ms", Long(AtLeast(0)), None, Applied,
        "How often is committed: 30000 by default, 100 with exactly_once_v2."),
    row("default.deserialization.exception.handler", Class, None, Applied,
        "The older name of `deserialization.exception.handler`."),
    row("default.production.exception.handler", Class, None, Applied,
        "The older name of `production.exception.handler`."),
    row("deserialization.exception.handler", Class, None, Applied,
        "What to do with a record that cannot be read: LogAndFailExceptionHandler (default) or LogAndContinueExceptionHandler."),
    row("errors.dead.letter.queue.topic.name", Text(Anything), Some(""), Applied,
        "Where records go that were given up (KIP-1034); none by default."),
    row("group.protocol", Text(OneOf(&["classic"])), Some("classic"), Applied,
        "How tasks are assigned: by a member. The broker's streams groups (KIP-1071) are not spoken."),
    row("max.task.idle.ms", Long(AtLeast(-1)), Some("0"), Applied,
        "How long a task waits for inputs that have no records at hand; 0 waits only for what is known to be in the topic, -1 never."),
    row("max.warmup.replicas", Int(AtLeast(1)), Some("2"), NotYet,
        "How many copies of state are built before their tasks move."),
    row("metric.reporters", List, Some(""), JvmOnly,
        "Java classes that see metrics."),
    row("num.standby.replicas", Int(AtLeast(0)), Some("0"), Applied,
        "How many other instances keep a copy of each task's state."),
    row("num.stream.threads", Int(AtLeast(1)), Some("1"), Applied,
        "How many stream threads the instance has: each is one consumer and one producer."),
    row("poll.ms", Long(AtLeast(0)), Some("100"), Applied,
        "The longest wait for records."),
    row("processing.exception.handler", Class, None, Applied,
        "What to do with a record that an operator fails on: LogAndFailProcessingExceptionHandler (default) or LogAndContinueProcessingExceptionHandler (KIP-1033)."),
    row("processing.guarantee", Text(OneOf(&["at_least_once", "exactly_once_v2"])), Some("at_least_once"), Applied,
        "What happens to a record when an instance dies: it may be processed again, or not so that readers of committed records see it."),
    row("production.exception.handler", Class, None, Applied,
        "What to do with a record that cannot be written: DefaultProductionExceptionHandler (default) fails, LogAndContinueProductionExceptionHandler goes on."),
    row("repartition.purge.interval.ms", Long(AtLeast(0)), Some("30000"), Applied,
        "How often records that were read are deleted from repartition topics."),
    row("replication.factor", Int(Between(-1, 32_767)), Some("-1"), Applied,
        "Replicas of internal topics; -1 leaves it to the broker."),
    row("state.dir", Text(Anything), Some(""), NotYet,
        "Where state is kept on disk; stores are in memory, and filled from their changelogs."),
    row("statestore.cache.max.bytes", Long(AtLeast(0)), Some("10485760"), Applied,
        "Memory for updates that are held back until the next commit, so that only the last of each key goes on; 0 lets all go on at once."),
    row("task.timeout.ms", Long(AtLeast(0)), Some("300000"), Applied,
        "How long a thread tries again when the cluster does not answer, before it fails."),
    row("windowstore.changelog.additional.retention.ms", Long(AtLeast(0)), Some("86400000"), Applied,
        "How much longer than its windows a windowed changelog is kept."),
];
