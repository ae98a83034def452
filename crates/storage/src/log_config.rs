//! The configuration of a topic's log: every topic-level key of Kafka 4.3 that concerns the log,
//! and `durability`, which is ours.
//!
//! One table: a row gives the field of [`LogConfig`], its type, default and limits, the name that
//! Kafka has for it, the broker-level keys that give its default, and its documentation. What
//! DescribeConfigs shows follows from it.

mod key;
pub mod page;
mod value;

pub use key::{Allowed, Kind, LogConfigError, LogConfigKey, Synonym, SynonymUnit};
pub use value::{CleanupPolicy, CompressionType, Durability, ThrottledReplicas};

use Allowed::{Anything, AtLeast, Between, Fraction, GzipLevel};
use Synonym as S;
use afluente_protocol::records::TimestampType;

/// Declares [`LogConfig`], its defaults and the table from the same rows.
macro_rules! log_configs {
    ($(
        $(#[doc = $doc:literal])+
        $field:ident: $kind:ty = $default:expr, $name:literal, $allowed:expr,
            [$($synonym:expr),*];
    )*) => {
        /// How a log is kept. The fields are in the units of their names; see the table for what
        /// each means.
        #[derive(Debug, Clone, PartialEq)]
        pub struct LogConfig {
            $($(#[doc = $doc])+ pub $field: $kind,)*
        }

        impl Default for LogConfig {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        /// All keys, in the order of their names.
        pub const LOG_CONFIG_KEYS: &[LogConfigKey] = &[$(
            LogConfigKey {
                name: $name,
                kind: <$kind as value::Field>::KIND,
                allowed: $allowed,
                synonyms: &[$($synonym),*],
                doc: concat!($($doc),+),
                set: |config, text, allowed| {
                    config.$field = <$kind as value::Field>::parse(text, allowed)?;
                    Ok(())
                },
                get: |config| value::Field::show(&config.$field),
            },
        )*];
    };
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

log_configs! {
    /// What happens to old records: `delete` drops whole segments by age and size, `compact` keeps
    /// the last record of each key, both do both, and neither keeps everything.
    cleanup_policy: CleanupPolicy = CleanupPolicy::DELETE, "cleanup.policy", Anything,
        [S::same("log.cleanup.policy")];
    /// The gzip level, where `compression.type` is `gzip`: 1 to 9, or -1 for the library's own.
    compression_gzip_level: i32 = -1, "compression.gzip.level", GzipLevel,
        [S::same("compression.gzip.level")];
    /// The lz4 level, where `compression.type` is `lz4`.
    compression_lz4_level: i32 = 9, "compression.lz4.level", Between(1, 17),
        [S::same("compression.lz4.level")];
    /// The codec that records are kept in: that of their producer, none, or always this one.
    compression_type: CompressionType = CompressionType::Producer, "compression.type", Anything,
        [S::same("compression.type")];
    /// The zstd level, where `compression.type` is `zstd`.
    compression_zstd_level: i32 = 3, "compression.zstd.level", Between(-131_072, 22),
        [S::same("compression.zstd.level")];
    /// How long compaction keeps tombstones and transaction markers, counted from when it first
    /// meets them: a reader that is no slower than this misses no deletion.
    delete_retention_ms: i64 = DAY_MS, "delete.retention.ms", AtLeast(0),
        [S::same("log.cleaner.delete.retention.ms")];
    /// When an append counts as done. `sync`: when it is on disk. `replicated`: when it is in the
    /// memory of the operating system, as with Apache Kafka; it then survives the death of the
    /// process, and that of the machine only through other replicas. Not a key of Kafka.
    durability: Durability = Durability::Sync, "durability", Anything,
        [S::same("log.durability")];
    /// How long files that were given up stay on disk, for readers that are still in them.
    file_delete_delay_ms: i64 = 60_000, "file.delete.delay.ms", AtLeast(0),
        [S::same("log.segment.delete.delay.ms")];
    /// Records after which the log is made durable; with `durability=sync` all of them are, before
    /// they are acknowledged.
    flush_messages: i64 = i64::MAX, "flush.messages", AtLeast(1),
        [S::same("log.flush.interval.messages")];
    /// Milliseconds after which the log is made durable; with `durability=sync` all of it is,
    /// before it is acknowledged.
    flush_ms: i64 = i64::MAX, "flush.ms", AtLeast(0),
        [S::same("log.flush.interval.ms"), S::same("log.flush.scheduler.interval.ms")];
    /// The follower replicas of this topic whose replication is throttled: `*` for all, or pairs
    /// of partition and broker.
    follower_replication_throttled_replicas: ThrottledReplicas = ThrottledReplicas::NONE,
        "follower.replication.throttled.replicas", Anything, [];
    /// Bytes of the log from one entry of the offset index to the next. Fewer bytes make reads
    /// begin closer to their offset, and the indexes larger.
    index_interval_bytes: i32 = 4096, "index.interval.bytes", AtLeast(0),
        [S::same("log.index.interval.bytes")];
    /// The leader replicas of this topic whose replication is throttled: `*` for all, or pairs of
    /// partition and broker.
    leader_replication_throttled_replicas: ThrottledReplicas = ThrottledReplicas::NONE,
        "leader.replication.throttled.replicas", Anything, [];
    /// Of a tiered log, the bytes that also stay on the local disk; -2 means as `retention.bytes`,
    /// -1 no limit.
    local_retention_bytes: i64 = -2, "local.retention.bytes", AtLeast(-2),
        [S::same("log.local.retention.bytes")];
    /// Of a tiered log, how long records also stay on the local disk; -2 means as `retention.ms`,
    /// -1 for ever.
    local_retention_ms: i64 = -2, "local.retention.ms", AtLeast(-2),
        [S::same("log.local.retention.ms")];
    /// The longest time that a record stays out of compaction, however clean the log is.
    max_compaction_lag_ms: i64 = i64::MAX, "max.compaction.lag.ms", AtLeast(1),
        [S::same("log.cleaner.max.compaction.lag.ms")];
    /// The largest record batch that is taken, after compression.
    max_message_bytes: i32 = 1_048_588, "max.message.bytes", AtLeast(0),
        [S::same("message.max.bytes")];
    /// How far a record's timestamp may lie after the broker's clock, where timestamps are the
    /// producers'.
    message_timestamp_after_max_ms: i64 = 60 * 60 * 1000, "message.timestamp.after.max.ms",
        AtLeast(0), [S::same("log.message.timestamp.after.max.ms")];
    /// How far a record's timestamp may lie before the broker's clock, where timestamps are the
    /// producers'.
    message_timestamp_before_max_ms: i64 = i64::MAX, "message.timestamp.before.max.ms",
        AtLeast(0), [S::same("log.message.timestamp.before.max.ms")];
    /// Whose clock timestamps are from: the producer's (`CreateTime`), or the broker's at the
    /// append (`LogAppendTime`).
    message_timestamp_type: TimestampType = TimestampType::CreateTime, "message.timestamp.type",
        Anything, [S::same("log.message.timestamp.type")];
    /// The part of a compacted log that must be new before compaction runs: with 0.5, at most half
    /// of the log is records that a later one has replaced.
    min_cleanable_dirty_ratio: f64 = 0.5, "min.cleanable.dirty.ratio", Fraction(0.0, 1.0),
        [S::same("log.cleaner.min.cleanable.ratio")];
    /// The shortest time that a record stays in the log before compaction may remove it.
    min_compaction_lag_ms: i64 = 0, "min.compaction.lag.ms", AtLeast(0),
        [S::same("log.cleaner.min.compaction.lag.ms")];
    /// Replicas, the leader among them, that must be in sync for a write with `acks=all` to be
    /// taken.
    min_insync_replicas: i32 = 1, "min.insync.replicas", AtLeast(1),
        [S::same("min.insync.replicas")];
    /// Whether the disk blocks of a segment are reserved when it is created.
    preallocate: bool = false, "preallocate", Anything, [S::same("log.preallocate")];
    /// Of a tiered log: whether no more segments go to the remote storage, which is then only read.
    remote_log_copy_disable: bool = false, "remote.log.copy.disable", Anything, [];
    /// Whether the remote segments go when `remote.storage.enable` is turned off.
    remote_log_delete_on_disable: bool = false, "remote.log.delete.on.disable", Anything, [];
    /// Whether closed segments are kept in the remote storage too.
    remote_storage_enable: bool = false, "remote.storage.enable", Anything, [];
    /// With `cleanup.policy=delete`, the bytes of a partition above which its oldest segments go;
    /// -1 is no limit.
    retention_bytes: i64 = -1, "retention.bytes", Anything, [S::same("log.retention.bytes")];
    /// With `cleanup.policy=delete`, the age at which segments go; -1 keeps them for ever.
    retention_ms: i64 = 7 * DAY_MS, "retention.ms", AtLeast(-1),
        [
            S::milliseconds("log.retention.ms"),
            S::minutes("log.retention.minutes"),
            S::hours("log.retention.hours")
        ];
    /// Bytes of a segment file. Retention and compaction work on whole segments.
    segment_bytes: i32 = 1 << 30, "segment.bytes", AtLeast(1 << 20), [S::same("log.segment.bytes")];
    /// The greatest size of a segment's index files; a segment whose index is full is closed.
    segment_index_bytes: i32 = 10 << 20, "segment.index.bytes", AtLeast(4),
        [S::same("log.index.size.max.bytes")];
    /// By how much at most, chosen at random, a segment is closed before `segment.ms`: so that not
    /// all of them are at the same time.
    segment_jitter_ms: i64 = 0, "segment.jitter.ms", AtLeast(0),
        [S::same("log.roll.jitter.ms"), S::hours("log.roll.jitter.hours")];
    /// The age at which a segment is closed even if it is not full, so that retention and
    /// compaction can work on it.
    segment_ms: i64 = 7 * DAY_MS, "segment.ms", AtLeast(1),
        [S::same("log.roll.ms"), S::hours("log.roll.hours")];
    /// Whether a replica that was not in sync may become the leader when no other is left, which
    /// loses records.
    unclean_leader_election_enable: bool = false, "unclean.leader.election.enable", Anything,
        [S::same("unclean.leader.election.enable")];
}

/// The row of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static LogConfigKey> {
    LOG_CONFIG_KEYS.iter().find(|key| key.name == name)
}

impl LogConfig {
    /// The configuration of a topic: its own values over what the broker gives over the defaults.
    ///
    /// `broker` tells the value of a broker-level key, if somebody gave one.
    ///
    /// # Errors
    /// The first value that is not allowed, or values that contradict each other.
    pub fn resolve<'a>(
        broker: impl Fn(&str) -> Option<String>,
        topic: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, LogConfigError> {
        let mut config = Self::default();
        for key in LOG_CONFIG_KEYS {
            if let Some(text) = key.broker_default(&broker)? {
                key.set(&mut config, &text)?;
            }
        }
        for (name, text) in topic {
            config.set(name, text)?;
        }
        config.check()?;
        Ok(config)
    }

    /// Sets one key from its text.
    ///
    /// # Errors
    /// There is no such key, or the value is not allowed.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), LogConfigError> {
        match find(name) {
            Some(key) => key.set(self, text),
            None => Err(LogConfigError::UnknownKey { name: name.to_owned() }),
        }
    }

    /// Whether the values agree with each other.
    ///
    /// # Errors
    /// The first ones that do not.
    pub fn check(&self) -> Result<(), LogConfigError> {
        let (min, max) = (self.min_compaction_lag_ms, self.max_compaction_lag_ms);
        if min > max {
            return Err(LogConfigError::conflict(
                "min.compaction.lag.ms",
                min.to_string(),
                format!("must not be above max.compaction.lag.ms, which is {max}"),
            ));
        }
        if self.remote_storage_enable { self.check_remote() } else { Ok(()) }
    }

    /// The age at which a segment is closed: compaction that must not wait needs closed segments.
    #[must_use]
    pub fn segment_ms_max(&self) -> i64 {
        if self.cleanup_policy.compact {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }

    fn check_remote(&self) -> Result<(), LogConfigError> {
        if self.cleanup_policy.compact {
            return Err(LogConfigError::conflict(
                "remote.storage.enable",
                "true".to_owned(),
                format!(
                    "needs cleanup.policy=delete or an empty one, but it is {}",
                    value::Field::show(&self.cleanup_policy)
                ),
            ));
        }
        let no_more_copies = self.remote_log_copy_disable;
        check_local("ms", self.local_retention_ms, self.retention_ms, no_more_copies)?;
        check_local("bytes", self.local_retention_bytes, self.retention_bytes, no_more_copies)
    }
}

/// What stays on the local disk cannot be more than what stays at all.
fn check_local(
    unit: &str,
    local: i64,
    total: i64,
    no_more_copies: bool,
) -> Result<(), LogConfigError> {
    const AS_TOTAL: i64 = -2;
    const UNLIMITED: i64 = -1;
    let conflict = |what: String| {
        let name = if unit == "ms" { "local.retention.ms" } else { "local.retention.bytes" };
        Err(LogConfigError::conflict(name, local.to_string(), what))
    };
    if local == AS_TOTAL {
        return Ok(());
    }
    if no_more_copies && local != total {
        return conflict(format!(
            "must equal retention.{unit}, which is {total}, where remote.log.copy.disable is set"
        ));
    }
    if total != UNLIMITED && (local == UNLIMITED || local > total) {
        return conflict(format!("must not be above retention.{unit}, which is {total}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
