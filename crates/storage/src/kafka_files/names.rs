//! The names of partition directories and of the files in them.

use afluente_protocol::numbers::{Offset, PartitionId};
use std::fmt;

/// The longest name that file systems take, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// The longest topic name, in bytes: Kafka's limit, which leaves room for the suffixes.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// The name of a partition's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDir {
    /// The topic; of a directory that is to be deleted or stray, perhaps only its beginning.
    pub topic: String,
    /// Which partition.
    pub partition: PartitionId,
    /// What the directory is for.
    pub role: DirRole,
}

/// What a partition's directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirRole {
    /// The log.
    Log,
    /// `-delete`: given up, its files go in the background.
    Deleted,
    /// `-future`: a copy that is made to take the log's place (a move between directories).
    Future,
    /// `-stray`: the cluster's metadata does not know the log here.
    Stray,
}

impl DirRole {
    const SUFFIXED: [Self; 3] = [Self::Deleted, Self::Future, Self::Stray];

    fn suffix(self) -> &'static str {
        match self {
            Self::Log => "",
            Self::Deleted => "-delete",
            Self::Future => "-future",
            Self::Stray => "-stray",
        }
    }
}

impl PartitionDir {
    /// The directory of a log.
    #[must_use]
    pub fn log(topic: &str, partition: PartitionId) -> Self {
        Self { topic: topic.to_owned(), partition, role: DirRole::Log }
    }

    /// Its name. `unique` tells directories of one partition and role apart: 32 characters, as
    /// Kafka has them; a log needs none. A topic too long for the suffix is cut, except for a
    /// future log, which becomes a log again.
    ///
    /// # Panics
    /// If a future log's name is longer than a file system takes: a topic name that was checked
    /// cannot be.
    #[must_use]
    pub fn name(&self, unique: u128) -> String {
        let Self { topic, partition, role } = self;
        if *role == DirRole::Log {
            return format!("{topic}-{partition}");
        }
        let rest = format!("-{partition}.{unique:032x}{}", role.suffix());
        let mut kept = topic.len().min(NAME_BYTES_MAX - rest.len());
        assert!(
            *role != DirRole::Future || kept == topic.len(),
            "the name of a future log of topic {topic:?} is too long"
        );
        while !topic.is_char_boundary(kept) {
            kept -= 1;
        }
        format!("{}{rest}", &topic[..kept])
    }

    /// Reads a directory's name; `None` if it is none of a partition.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let role = DirRole::SUFFIXED.into_iter().find(|role| name.ends_with(role.suffix()));
        let (stem, role) = match role {
            None => (name, DirRole::Log),
            Some(role) => {
                let (stem, unique) = name.strip_suffix(role.suffix())?.rsplit_once('.')?;
                if unique.is_empty() {
                    return None;
                }
                (stem, role)
            }
        };
        let (topic, partition) = stem.rsplit_once('-')?;
        let partition = PartitionId(parse_digits(partition)?);
        is_topic_name(topic).then(|| Self { topic: topic.to_owned(), partition, role })
    }
}

/// Whether a topic can have this name (KIP-516 and before): letters, digits, `.`, `_` and `-`, at
/// most 249, and neither `.` nor `..`.
#[must_use]
pub fn is_topic_name(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(is_legal)
        && name != "."
        && name != ".."
}

/// The name of a file that belongs to a segment or a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentFile {
    /// The segment's base offset; of a snapshot, the offset that it was taken at.
    pub base: Offset,
    /// What is in it.
    pub kind: SegmentFileKind,
    /// Whether it counts.
    pub stage: FileStage,
}

/// What is in a segment's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SegmentFileKind {
    /// `.log`: batches.
    Log,
    /// `.index`: offsets to positions.
    OffsetIndex,
    /// `.timeindex`: timestamps to offsets.
    TimeIndex,
    /// `.txnindex`: aborted transactions.
    TxnIndex,
    /// `.snapshot`: producers.
    Snapshot,
}

impl SegmentFileKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TxnIndex, Self::Snapshot];

    /// The end of the name.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
        }
    }
}

/// Whether a file counts: the steps by which compaction puts new segments in the place of old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileStage {
    /// It does.
    Live,
    /// `.cleaned`: compaction was writing it. Worth nothing.
    Cleaned,
    /// `.swap`: complete, about to take the place of the segments whose offsets it spans.
    Swap,
    /// `.deleted`: given up, to be removed.
    Deleted,
}

impl FileStage {
    const SUFFIXED: [Self; 3] = [Self::Cleaned, Self::Swap, Self::Deleted];

    fn suffix(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Cleaned => ".cleaned",
            Self::Swap => ".swap",
            Self::Deleted => ".deleted",
        }
    }
}

impl SegmentFile {
    /// A file that counts.
    #[must_use]
    pub fn live(base: Offset, kind: SegmentFileKind) -> Self {
        Self { base, kind, stage: FileStage::Live }
    }

    /// The same file at another stage.
    #[must_use]
    pub fn at(self, stage: FileStage) -> Self {
        Self { stage, ..self }
    }

    /// Reads a file's name; `None` if it is none of a segment.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        const DIGITS_MIN: usize = 20;
        let stage = FileStage::SUFFIXED.into_iter().find(|stage| name.ends_with(stage.suffix()));
        let stage = stage.unwrap_or(FileStage::Live);
        let (base, kind) = name.strip_suffix(stage.suffix())?.split_once('.')?;
        let kind = SegmentFileKind::ALL.into_iter().find(|known| known.suffix()[1..] == *kind)?;
        if base.len() < DIGITS_MIN {
            return None;
        }
        Some(Self { base: Offset(parse_digits(base)?), kind, stage })
    }
}

impl fmt::Display for SegmentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}{}{}", self.base.0, self.kind.suffix(), self.stage.suffix())
    }
}

/// A number that is written with digits alone.
fn parse_digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn directories_are_named_as_kafka_names_them() {
        for (name, expected) in [
            ("orders-0", Some(("orders", 0, DirRole::Log))),
            ("my-topic-12", Some(("my-topic", 12, DirRole::Log))),
            ("__consumer_offsets-49", Some(("__consumer_offsets", 49, DirRole::Log))),
            ("a.b-3.1f-delete", Some(("a.b", 3, DirRole::Deleted))),
            ("a-3.1f-future", Some(("a", 3, DirRole::Future))),
            ("a-3.1f-stray", Some(("a", 3, DirRole::Stray))),
            // A topic that is called so: its partition comes last.
            ("a-delete-1", Some(("a-delete", 1, DirRole::Log))),
            ("a-3-delete", None),
            ("a-3.-delete", None),
            ("orders", None),
            ("-0", None),
            ("orders-", None),
            ("orders-+1", None),
            ("orders-99999999999", None),
            ("ord ers-0", None),
            ("..-0", None),
        ] {
            let parsed = PartitionDir::parse(name);
            let parsed = parsed.as_ref().map(|dir| (dir.topic.as_str(), dir.partition.0, dir.role));
            assert_eq!(parsed, expected, "{name}");
        }
        let deleted =
            PartitionDir { role: DirRole::Deleted, ..PartitionDir::log("t", PartitionId(4)) };
        assert_eq!(deleted.name(0xab), "t-4.000000000000000000000000000000ab-delete");
    }

    #[test]
    fn a_long_topic_is_cut_so_that_the_name_fits() {
        let topic = "x".repeat(TOPIC_NAME_BYTES_MAX);
        for role in [DirRole::Deleted, DirRole::Stray] {
            let dir = PartitionDir { topic: topic.clone(), partition: PartitionId(123), role };
            let name = dir.name(7);
            assert_eq!(name.len(), NAME_BYTES_MAX);
            assert_eq!(PartitionDir::parse(&name).unwrap().role, role);
        }
    }

    #[test]
    fn segment_files_are_named_as_kafka_names_them() {
        let file = |base, kind, stage| Some(SegmentFile { base: Offset(base), kind, stage });
        use {FileStage as Stage, SegmentFileKind as Kind};
        for (name, expected) in [
            ("00000000000000000000.log", file(0, Kind::Log, Stage::Live)),
            ("00000000000000000042.timeindex.swap", file(42, Kind::TimeIndex, Stage::Swap)),
            ("00000000000000000042.index.cleaned", file(42, Kind::OffsetIndex, Stage::Cleaned)),
            (
                "09223372036854775807.txnindex.deleted",
                file(i64::MAX, Kind::TxnIndex, Stage::Deleted),
            ),
            ("00000000000000000007.snapshot", file(7, Kind::Snapshot, Stage::Live)),
            ("09223372036854775808.log", None),
            ("0.log", None),
            ("0000000000000000000x.log", None),
            ("00000000000000000000.logs", None),
            ("00000000000000000000.log.bak", None),
            ("00000000000000000000", None),
            ("partition.metadata", None),
            ("leader-epoch-checkpoint", None),
        ] {
            assert_eq!(SegmentFile::parse(name), expected, "{name}");
            if let Some(expected) = expected {
                assert_eq!(expected.to_string(), name);
            }
        }
    }

    proptest! {
        #[test]
        fn a_name_gives_its_parts_back(topic in "[a-zA-Z0-9._-]{1,60}", partition in 0..i32::MAX) {
            prop_assume!(is_topic_name(&topic));
            for role in [DirRole::Log, DirRole::Deleted, DirRole::Future, DirRole::Stray] {
                let partition = PartitionId(partition);
                let dir = PartitionDir { topic: topic.clone(), partition, role };
                prop_assert_eq!(PartitionDir::parse(&dir.name(9)), Some(dir));
            }
        }

        #[test]
        fn any_name_gives_an_answer(name in ".{0,60}") {
            let _ = PartitionDir::parse(&name);
            let _ = SegmentFile::parse(&name);
        }
    }
}
