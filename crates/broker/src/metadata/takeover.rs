//! Whether a directory that Apache Kafka wrote can be taken over: found out by reading alone,
//! before anything in it is changed.

use super::identity;
use super::log::{MetadataError, TOPIC};
use super::registration::refuse_foreign;
use super::replay::{BATCH_BYTES_MAX, Replay};
use super::snapshot;
use afluente_env::Env;
use afluente_env::disk::{Access, OpenHow, read_full_at};
use afluente_protocol::numbers::Offset;
use afluente_storage::CHECKPOINT_FILE;
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};

/// Offset and length, with which every batch begins.
const BATCH_PREFIX_BYTES: usize = 12;

/// Refuses a directory whose node or cluster is not for this one to go on with.
///
/// # Errors
/// What stands in the way, and what to do about it. Nothing has changed then.
pub(crate) fn check(env: &Env, path: &Path, node_id: i32) -> Result<(), MetadataError> {
    identity::check(env, path, node_id)?;
    let folder = path.join(format!("{TOPIC}-0"));
    let is_there = |path: &Path| {
        env.disk.metadata(path).map(|found| found.is_some()).map_err(|source| file(path, source))
    };
    if is_there(&path.join(CHECKPOINT_FILE))? {
        // Our own is looked at when its log is read.
        return Ok(());
    }
    if !is_there(&folder)? {
        return match foreign_partition(env, path)? {
            None => Ok(()),
            Some(partition) => Err(MetadataError::NotOurs {
                path: path.to_owned(),
                why: format!(
                    "it holds partitions, such as {partition}, and no {TOPIC}-0 that would say \
                     whose they are: bring that folder along, or give another directory"
                ),
            }),
        };
    }
    let mut replay = Replay::default();
    let mut from = Offset(0);
    if let Some(snapshot) = snapshot::list(env, &folder)?.last() {
        snapshot.read(env, &mut replay)?;
        from = Offset(snapshot.end_offset);
    }
    for segment in segments(env, &folder)? {
        read_segment(env, &segment, from, &mut replay)?;
    }
    if replay.image.features().is_empty() {
        return Ok(());
    }
    refuse_foreign(path, &replay.image, &replay.quorum, node_id)
}

/// A folder that looks like the partition of a topic.
fn foreign_partition(env: &Env, path: &Path) -> Result<Option<String>, MetadataError> {
    if env.disk.metadata(path).map_err(|source| file(path, source))?.is_none() {
        return Ok(None);
    }
    let entries = env.disk.read_dir(path).map_err(|source| file(path, source))?;
    for entry in entries.into_iter().filter(|entry| entry.is_dir) {
        let number = entry.name.rsplit_once('-').map(|(_, number)| number.parse::<u32>());
        if matches!(number, Some(Ok(_))) && !segments(env, &entry.path)?.is_empty() {
            return Ok(Some(entry.name));
        }
    }
    Ok(None)
}

fn segments(env: &Env, folder: &Path) -> Result<Vec<PathBuf>, MetadataError> {
    let entries = env.disk.read_dir(folder).map_err(|source| file(folder, source))?;
    let is_segment = |name: &str| {
        name.strip_suffix(".log").is_some_and(|base| base.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut segments: Vec<PathBuf> =
        entries.into_iter().filter(|entry| is_segment(&entry.name)).map(|e| e.path).collect();
    segments.sort();
    Ok(segments)
}

/// Takes in a segment file batch by batch, up to the first that is not whole.
fn read_segment(
    env: &Env,
    path: &Path,
    from: Offset,
    replay: &mut Replay,
) -> Result<(), MetadataError> {
    let failed = |source| file(path, source);
    let segment = env.disk.open(path, OpenHow::buffered(Access::Read)).map_err(failed)?;
    let end = segment.len().map_err(failed)?;
    let mut at = 0;
    while at + BATCH_PREFIX_BYTES as u64 <= end {
        let mut prefix = [0; BATCH_PREFIX_BYTES];
        read_full_at(&*segment, &mut prefix, at).map_err(failed)?;
        let [.., l0, l1, l2, l3] = prefix;
        let length = usize::try_from(i32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(0);
        if length == 0 || length > BATCH_BYTES_MAX {
            // Preallocated, or torn: what a clean stop leaves has neither.
            break;
        }
        let mut batch = vec![0; BATCH_PREFIX_BYTES + length];
        if at + batch.len() as u64 > end {
            break;
        }
        read_full_at(&*segment, &mut batch, at).map_err(failed)?;
        at += batch.len() as u64;
        replay.batches(&Bytes::from(batch), from)?;
    }
    Ok(())
}

fn file(path: &Path, source: io::Error) -> MetadataError {
    MetadataError::File { path: path.to_owned(), source }
}
