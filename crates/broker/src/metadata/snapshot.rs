//! Snapshots of the metadata (KIP-630): the image at an offset as a file beside the log, from which
//! a start goes on and before which the log may go.
//!
//! ```text
//!   <end offset, 20 digits>-<epoch, 10 digits>.checkpoint
//!     control batch   SnapshotHeader, and from kraft.version 1 on KRaftVersion and KRaftVoters
//!     batches         the records of the image
//!     control batch   SnapshotFooter
//! ```
//!
//! A file is whole or not there: it is written under another name first.

use super::log::{MetadataError, damaged, read_file, write_file};
use super::quorum::Quorum;
use super::replay::Replay;
use crate::blocking::blocking;
use afluente_env::Env;
use afluente_protocol::message::Message;
use afluente_protocol::messages::control::kraft_version_record::KRaftVersionRecord;
use afluente_protocol::messages::control::snapshot_footer_record::SnapshotFooterRecord;
use afluente_protocol::messages::control::snapshot_header_record::SnapshotHeaderRecord;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::metadata_log::write_metadata_record;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, Compressor, ControlType, NewRecord, RecordsError,
};
use afluente_storage::Log;
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EXTENSION: &str = "checkpoint";

/// Snapshots that stay: the newest, and one before it, should the newest be damaged.
const KEPT: usize = 2;

/// Records that go into one batch.
const RECORDS_PER_BATCH: usize = 1_024;

/// A snapshot that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Snapshot {
    /// The offset that the log goes on from.
    pub(super) end_offset: i64,
    /// The epoch of the last record in it.
    pub(super) epoch: i32,
    pub(super) path: PathBuf,
}

/// All snapshots of a folder, the oldest first.
pub(super) fn list(env: &Env, folder: &Path) -> Result<Vec<Snapshot>, MetadataError> {
    let failed = |source| MetadataError::File { path: folder.to_owned(), source };
    if env.disk.metadata(folder).map_err(failed)?.is_none() {
        return Ok(Vec::new());
    }
    let entries = env.disk.read_dir(folder).map_err(failed)?;
    let snapshots = entries.into_iter().filter_map(|entry| {
        let name = entry.name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
        let (end_offset, epoch) = name.split_once('-')?;
        Some(Snapshot {
            end_offset: end_offset.parse().ok()?,
            epoch: epoch.parse().ok()?,
            path: entry.path,
        })
    });
    let mut snapshots: Vec<Snapshot> = snapshots.collect();
    snapshots.sort();
    Ok(snapshots)
}

impl Snapshot {
    /// Takes in what is in it.
    pub(super) fn read(&self, env: &Env, into: &mut Replay) -> Result<(), MetadataError> {
        let bytes = read_file(env, &self.path)?.unwrap_or_default();
        into.batches(&Bytes::from(bytes), Offset(0)).map_err(|error| MetadataError::BadFile {
            path: self.path.clone(),
            why: error.to_string(),
        })
    }
}

/// What a snapshot is made of.
pub(super) struct Contents {
    pub(super) records: Vec<MetadataRecord>,
    pub(super) quorum: Quorum,
    pub(super) end_offset: Offset,
    pub(super) epoch: LeaderEpoch,
    pub(super) now_ms: i64,
}

/// Writes a snapshot, and then lets go of older ones and of the log before them. On a thread of its
/// own: it waits for the disk.
pub(super) async fn write_and_trim(
    env: &Env,
    folder: &Path,
    log: Arc<Log>,
    contents: Contents,
) -> Result<(), MetadataError> {
    let (disk, folder) = (env.clone(), folder.to_owned());
    blocking(env, "metadata-snapshot", move || {
        write(&disk, &folder, &contents).and_then(|()| trim(&disk, &folder, &log))
    })
    .await
}

/// Writes a snapshot.
pub(super) fn write(env: &Env, folder: &Path, contents: &Contents) -> Result<(), MetadataError> {
    let name = format!("{:020}-{:010}.{EXTENSION}", contents.end_offset.0, contents.epoch.0);
    let path = folder.join(name);
    let bytes = encode(contents)?;
    write_file(env, &path, &bytes)
}

/// Deletes snapshots that newer ones have made superfluous, and the log before the oldest that is
/// left.
fn trim(env: &Env, folder: &Path, log: &Arc<Log>) -> Result<(), MetadataError> {
    let snapshots = list(env, folder)?;
    let superfluous = snapshots.len().saturating_sub(KEPT);
    let (old, kept) = snapshots.split_at(superfluous);
    if let Some(first) = kept.first() {
        let before = Offset(first.end_offset).min(log.high_watermark());
        log.delete_records_before(before)?;
    }
    for snapshot in old {
        let failed = |source| MetadataError::File { path: snapshot.path.clone(), source };
        env.disk.remove_file(&snapshot.path).map_err(failed)?;
    }
    Ok(())
}

fn encode(contents: &Contents) -> Result<Vec<u8>, MetadataError> {
    let wrong = |error: RecordsError| damaged(contents.end_offset.0, &error);
    let now_ms = contents.now_ms;
    let (mut bytes, mut compressor) = (Vec::new(), Compressor::new());
    let mut offset = Offset(0);
    let mut put = |is_control: bool, rows: &[(Option<ControlType>, Bytes)]| {
        let options = BatchOptions {
            base_offset: offset,
            partition_leader_epoch: contents.epoch,
            is_control,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        for (kind, value) in rows {
            match kind {
                Some(kind) => builder.append_control(*kind, value, now_ms)?,
                None => builder.append(&NewRecord {
                    timestamp: now_ms,
                    key: None,
                    value: Some(value),
                    headers: &[],
                })?,
            }
            offset.0 += 1;
        }
        bytes.extend_from_slice(&builder.finish(&mut compressor)?);
        Ok(())
    };

    let header = SnapshotHeaderRecord { version: 0, last_contained_log_timestamp: now_ms };
    let mut opening = vec![(Some(ControlType::SnapshotHeader), header.to_bytes(0)?)];
    let Quorum { kraft_version, voters } = &contents.quorum;
    if *kraft_version > 0 {
        let version = KRaftVersionRecord { version: 0, kraft_version: *kraft_version };
        opening.push((Some(ControlType::KraftVersion), version.to_bytes(0)?));
        if let Some(voters) = voters {
            opening.push((Some(ControlType::KraftVoters), voters.to_bytes(0)?));
        }
    }
    put(true, &opening).map_err(wrong)?;
    for records in contents.records.chunks(RECORDS_PER_BATCH) {
        let rows: Result<Vec<_>, _> = records
            .iter()
            .map(|record| Ok((None, write_metadata_record(record, *record.versions().end())?)))
            .collect();
        put(false, &rows.map_err(MetadataError::Encode)?).map_err(wrong)?;
    }
    let footer = SnapshotFooterRecord { version: 0 }.to_bytes(0)?;
    put(true, &[(Some(ControlType::SnapshotFooter), footer)]).map_err(wrong)?;
    Ok(bytes)
}
