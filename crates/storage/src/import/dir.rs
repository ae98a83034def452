//! A whole log directory of Apache Kafka: whose it is, and which partitions are in it.

use super::error::ImportError;
use super::read_file;
use crate::kafka_files::clean_shutdown::{self, CLEAN_SHUTDOWN_FILE};
use crate::kafka_files::meta_properties::{META_PROPERTIES_FILE, MetaProperties};
use crate::kafka_files::names::{DirRole, PartitionDir};
use crate::kafka_files::offset_checkpoint::{
    self, CLEANER_FILE, HIGH_WATERMARK_FILE, LOG_START_FILE, PartitionOffsets, RECOVERY_POINT_FILE,
};
use afluente_env::disk::Disk;
use afluente_protocol::numbers::Offset;
use std::path::{Path, PathBuf};

/// A log directory.
#[derive(Debug)]
pub struct KafkaDir {
    /// Whose it is; `None` if it was never formatted.
    pub meta: Option<MetaProperties>,
    /// Whether the last stop was clean.
    pub is_clean: bool,
    /// The broker's epoch at that stop.
    pub broker_epoch: Option<i64>,
    /// The logs, by topic and partition.
    pub partitions: Vec<KafkaPartition>,
    /// Directories of partitions that are no logs: given up, stray, or copies under way.
    pub others: Vec<(PartitionDir, PathBuf)>,
    /// What was found that somebody may want to know of.
    pub notes: Vec<String>,
}

/// A log, and what the checkpoints of the directory say of it.
#[derive(Debug, Clone)]
pub struct KafkaPartition {
    /// Topic and partition.
    pub name: PartitionDir,
    /// Its directory.
    pub path: PathBuf,
    /// Up to here it was made durable; 0 if nothing is said.
    pub recovery_point: Offset,
    /// Where DeleteRecords or retention moved its start.
    pub start: Option<Offset>,
    /// The high watermark at the last checkpoint.
    pub high_watermark: Option<Offset>,
    /// Up to here it was compacted.
    pub cleaned_to: Option<Offset>,
}

/// Lists a log directory and reads its small files.
///
/// # Errors
/// The disk refuses, or `meta.properties` is damaged. A damaged checkpoint is none: Kafka writes
/// them again all the time, and each has a safe answer when it is not there.
pub fn read_dir(disk: &dyn Disk, path: &Path) -> Result<KafkaDir, ImportError> {
    let mut notes = Vec::new();
    let shutdown = read_file(disk, &path.join(CLEAN_SHUTDOWN_FILE))?;
    let recovery_points = read_checkpoint(disk, path, RECOVERY_POINT_FILE, &mut notes)?;
    let starts = read_checkpoint(disk, path, LOG_START_FILE, &mut notes)?;
    let high_watermarks = read_checkpoint(disk, path, HIGH_WATERMARK_FILE, &mut notes)?;
    let cleaned_to = read_checkpoint(disk, path, CLEANER_FILE, &mut notes)?;
    let mut dir = KafkaDir {
        meta: read_meta(disk, path)?,
        is_clean: shutdown.is_some(),
        broker_epoch: shutdown.and_then(|bytes| clean_shutdown::broker_epoch(&bytes)),
        partitions: Vec::new(),
        others: Vec::new(),
        notes,
    };
    let failed = |source| ImportError::io("list", path, source);
    for entry in disk.read_dir(path).map_err(failed)?.into_iter().filter(|entry| entry.is_dir) {
        let Some(name) = PartitionDir::parse(&entry.name) else {
            dir.notes.push(format!("\"{}\" is no partition's directory", entry.path.display()));
            continue;
        };
        if name.role != DirRole::Log {
            dir.others.push((name, entry.path));
            continue;
        }
        let key = (name.topic.clone(), name.partition);
        dir.partitions.push(KafkaPartition {
            path: entry.path,
            recovery_point: recovery_points.get(&key).copied().unwrap_or_default(),
            start: starts.get(&key).copied(),
            high_watermark: high_watermarks.get(&key).copied(),
            cleaned_to: cleaned_to.get(&key).copied(),
            name,
        });
    }
    dir.partitions
        .sort_by(|a, b| (&a.name.topic, a.name.partition).cmp(&(&b.name.topic, b.name.partition)));
    Ok(dir)
}

fn read_meta(disk: &dyn Disk, dir: &Path) -> Result<Option<MetaProperties>, ImportError> {
    let path = dir.join(META_PROPERTIES_FILE);
    let Some(bytes) = read_file(disk, &path)? else { return Ok(None) };
    let remedy = "put back the file with the cluster's and the node's id, which the other log \
                  directories of the node have too";
    let meta = MetaProperties::decode(&bytes);
    meta.map(Some).map_err(|source| ImportError::Text { path, remedy, source })
}

fn read_checkpoint(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    notes: &mut Vec<String>,
) -> Result<PartitionOffsets, ImportError> {
    let path = dir.join(name);
    let Some(bytes) = read_file(disk, &path)? else { return Ok(PartitionOffsets::new()) };
    Ok(offset_checkpoint::decode(&bytes).unwrap_or_else(|error| {
        notes.push(format!("\"{}\" is damaged and was passed over: {error}", path.display()));
        PartitionOffsets::new()
    }))
}
