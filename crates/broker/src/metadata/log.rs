//! The metadata log, `__cluster_metadata-0`: an ordinary log in Kafka's own format (KIP-595,
//! KIP-630, KIP-631), of which this node is the only voter.
//!
//! At every start the node elects itself: the new epoch goes into `quorum-state`, then as a
//! LeaderChange record into the log. A start goes on from the newest snapshot; new ones are written
//! as the log grows.

use super::identity::Identity;
use super::quorum::Quorum;
use super::registration::{self, refuse_foreign};
use super::replay::Replay;
use super::snapshot::{self, Contents};
use crate::config::Config;
use crate::partition::Partition;
use crate::topics::Topics;
use crate::waiting::{AckOutcome, AckWait};
use afluente_cluster::image::MetadataImage;
use afluente_env::Env;
use afluente_env::disk::{Access, OpenHow, read_full_at, write_all_at};
use afluente_protocol::message::{EncodeError, Message};
use afluente_protocol::messages::control::leader_change_message::{LeaderChangeMessage, Voter};
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::metadata_log::write_metadata_record;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, Compressor, ControlType, NewRecord, RecordsError,
};
use afluente_protocol::uuid::Uuid;
use afluente_protocol::writer::Writer;
use afluente_storage::log_config::LogConfig;
use afluente_storage::origin::AppendOrigin;
use afluente_storage::{
    AppendError, AppendOptions, LogDir, ReadError, StorageError, TopicPartition,
};
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The topic that the log is kept as.
pub(crate) const TOPIC: &str = "__cluster_metadata";

const QUORUM_STATE: &str = "quorum-state";

/// The largest snapshot that is read.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

/// Why the metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The directory belongs to another node.
    #[error(
        "{} belongs to node {found}, and node.id is {configured}: set node.id={found}, or give another directory",
        path.display()
    )]
    OtherNode {
        /// The file that says so.
        path: PathBuf,
        /// Its node.
        found: i32,
        /// Ours.
        configured: i32,
    },
    /// Several nodes, or a version that is not known: not for a single node of this version.
    #[error("the metadata in {} cannot be taken over: {why}", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// What stands in the way, and what to do.
        why: String,
    },
    /// A file is not what it should be.
    #[error("{}: {why}", path.display())]
    BadFile {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file cannot be read or written.
    #[error("could not read or write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The log holds something that is no metadata record.
    #[error("the metadata log cannot be read at offset {offset}: {why}")]
    Damaged {
        /// Where.
        offset: i64,
        /// What is wrong.
        why: String,
    },
    /// The log cannot be read.
    #[error("the metadata log cannot be read")]
    Read(#[from] ReadError),
    /// The log cannot be written.
    #[error("the metadata log cannot be written")]
    Append(#[from] AppendError),
    /// A record of ours cannot be written down: a mistake.
    #[error("a metadata record cannot be written")]
    Encode(#[from] EncodeError),
    /// A log of a partition cannot be made or used.
    #[error("the log of a partition cannot be used")]
    Storage(#[from] StorageError),
    /// The log directory failed while a change waited for it.
    #[error("the log directory is offline")]
    Offline,
}

/// The log, led by this node.
pub(super) struct MetadataLog {
    partition: Arc<Partition>,
    folder: PathBuf,
    quorum: Quorum,
    /// Bytes of the log that no snapshot has taken in.
    since_snapshot: AtomicUsize,
}

/// Whose log it is.
pub(super) struct Owner<'a> {
    pub(super) node_id: i32,
    pub(super) identity: &'a Identity,
    pub(super) config: &'a Config,
}

impl MetadataLog {
    /// Opens the log, reads the image that it makes, and becomes its leader. Refuses what a single
    /// node cannot go on with before it writes anything.
    pub(super) async fn open(
        env: &Env,
        path: &Path,
        dir: &LogDir,
        topics: &Topics,
        owner: Owner<'_>,
    ) -> Result<(Self, MetadataImage), MetadataError> {
        let partition = TopicPartition::new(Arc::from(TOPIC), 0);
        let log = match dir.log(&partition) {
            Some(log) => log,
            None => dir.create_log(&partition, Uuid::ONE, Arc::new(keep_for_ever()))?,
        };
        log.set_config(Arc::new(keep_for_ever()))?;
        log.set_high_watermark(log.durable_end());
        let folder = path.join(format!("{TOPIC}-0"));
        env.disk
            .create_dir_all(&folder)
            .map_err(|source| MetadataError::File { path: folder.clone(), source })?;
        let mut replay = Replay::default();
        let mut start = Offset(0);
        if let Some(newest) = snapshot::list(env, &folder)?.last() {
            newest.read(env, &mut replay)?;
            start = Offset(newest.end_offset);
        }
        let (first, end) = (log.start_offset(), log.end_offset());
        if start < first || start > end {
            let why = format!(
                "the log has the records from {first} to {end}, and the newest snapshot ends at \
                 {start}: put the missing files of {TOPIC}-0 back from where it was copied"
            );
            return Err(damaged(start.0, &why));
        }
        let since_snapshot = replay.log(&log, start).await?;
        if replay.image.features().is_empty() {
            refuse_orphans(path, dir)?;
        } else {
            refuse_foreign(path, &replay.image, &replay.quorum, owner.node_id)?;
        }

        let voted = voted_epoch(env, &folder)?;
        let written = log.latest_leader_epoch().map_or(0, |epoch| epoch.0);
        let epoch = LeaderEpoch(voted.max(written) + 1);
        if replay.image.features().is_empty() && replay.quorum.voters.is_none() {
            replay.quorum = Quorum::of_one(owner.config, owner.node_id, owner.identity);
            let contents = Contents {
                records: Vec::new(),
                quorum: replay.quorum.clone(),
                end_offset: Offset(0),
                epoch: LeaderEpoch(0),
                now_ms: env.clock.wall_ms(),
            };
            snapshot::write(env, &folder, &contents)?;
        }
        // The vote before the record: an epoch is never led twice.
        write_file(env, &folder.join(QUORUM_STATE), quorum_state(owner.node_id, epoch).as_bytes())?;
        log.begin_leader_epoch(epoch);
        let metadata = Self {
            partition: Partition::new(0, log, epoch),
            folder,
            quorum: replay.quorum,
            since_snapshot: AtomicUsize::new(since_snapshot),
        };
        topics.set_metadata(Arc::clone(&metadata.partition));
        metadata.append_leader_change(env, owner.node_id)?;
        let mut image = replay.image;
        if image.features().is_empty() {
            let first = registration::first_records(env, path, owner.node_id)?;
            metadata.append(env, &mut image, first).await?;
        }
        Ok((metadata, image))
    }

    /// The partition that it is.
    pub(super) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// The offset after the last record.
    pub(super) fn end_offset(&self) -> i64 {
        self.partition.log().end_offset().0
    }

    /// Bytes of the log that no snapshot has taken in.
    pub(super) fn bytes_since_snapshot(&self) -> usize {
        self.since_snapshot.load(Ordering::Relaxed)
    }

    /// Writes down the image, of which these are the records, and lets go of the log before the
    /// snapshot that is the oldest then. Nothing may be appended meanwhile.
    pub(super) async fn snapshot(
        &self,
        env: &Env,
        records: Vec<MetadataRecord>,
    ) -> Result<(), MetadataError> {
        let log = Arc::clone(self.partition.log());
        let contents = Contents {
            records,
            quorum: self.quorum.clone(),
            end_offset: log.end_offset(),
            epoch: self.partition.leader_epoch(),
            now_ms: env.clock.wall_ms(),
        };
        snapshot::write_and_trim(env, &self.folder, log, contents).await?;
        self.since_snapshot.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Appends records, waits until they are durable, and applies them.
    pub(super) async fn append(
        &self,
        env: &Env,
        image: &mut MetadataImage,
        records: Vec<MetadataRecord>,
    ) -> Result<(), MetadataError> {
        self.append_durably(env, &records).await?;
        for record in records {
            image.apply(record).map_err(|misfit| damaged(self.end_offset(), &misfit))?;
        }
        Ok(())
    }

    /// Appends records as one batch, and waits until they are durable.
    pub(super) async fn append_durably(
        &self,
        env: &Env,
        records: &[MetadataRecord],
    ) -> Result<(), MetadataError> {
        let now_ms = env.clock.wall_ms();
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for record in records {
            let value = write_metadata_record(record, *record.versions().end())?;
            let record =
                NewRecord { timestamp: now_ms, key: None, value: Some(&value), headers: &[] };
            builder.append(&record).map_err(|error| damaged(self.end_offset(), &error))?;
        }
        let batch = builder.finish(&mut Compressor::new());
        let batch = batch.map_err(|error| damaged(self.end_offset(), &error))?;
        let wait = AckWait::new();
        self.append_batch(now_ms, batch, &wait)?;
        match wait.finished().await {
            AckOutcome::Durable => Ok(()),
            AckOutcome::Failed => Err(MetadataError::Offline),
        }
    }

    fn append_leader_change(&self, env: &Env, node_id: i32) -> Result<(), MetadataError> {
        let now_ms = env.clock.wall_ms();
        let voter = || vec![Voter { voter_id: node_id, ..Voter::default() }];
        let message = LeaderChangeMessage {
            leader_id: node_id,
            voters: voter(),
            granting_voters: voter(),
            ..LeaderChangeMessage::default()
        };
        let mut writer = Writer::new();
        // Apache Kafka 4.3 reads no other version, whatever the quorum's is.
        message.encode(&mut writer, 0)?;
        let options = BatchOptions { is_control: true, ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        let key = ControlType::LeaderChange.key();
        let value = writer.into_bytes();
        let record =
            NewRecord { timestamp: now_ms, key: Some(&key), value: Some(&value), headers: &[] };
        let built = builder.append(&record).and_then(|()| builder.finish(&mut Compressor::new()));
        let batch = built.map_err(|error| damaged(self.end_offset(), &error))?;
        // The records that follow are waited for, and with them this one.
        self.append_batch(now_ms, batch, &AckWait::new())
    }

    fn append_batch(
        &self,
        now_ms: i64,
        batch: Bytes,
        wait: &Arc<AckWait>,
    ) -> Result<(), MetadataError> {
        let epoch = self.partition.leader_epoch();
        let options = AppendOptions::by(AppendOrigin::Coordinator, epoch, now_ms);
        self.since_snapshot.fetch_add(batch.len(), Ordering::Relaxed);
        self.partition.append(batch, options, wait)?;
        Ok(())
    }
}

/// Metadata is never too old or too much: snapshots say what may go.
fn keep_for_ever() -> LogConfig {
    LogConfig { retention_ms: -1, retention_bytes: -1, ..LogConfig::default() }
}

/// Logs of topics without the metadata that they belong to: somebody has to look.
fn refuse_orphans(path: &Path, dir: &LogDir) -> Result<(), MetadataError> {
    let orphan = dir.logs().into_iter().find(|log| &*log.partition().topic != TOPIC);
    let Some(orphan) = orphan else { return Ok(()) };
    let why = format!(
        "there is a log of {}-{}, and no record of that topic: {TOPIC}-0 is missing or empty. \
         Put it back from where the directory was copied, or start on an empty directory",
        orphan.partition().topic,
        orphan.partition().partition
    );
    Err(MetadataError::NotOurs { path: path.to_owned(), why })
}

pub(super) fn damaged(offset: i64, why: &dyn std::fmt::Display) -> MetadataError {
    MetadataError::Damaged { offset, why: why.to_string() }
}

impl From<RecordsError> for MetadataError {
    fn from(error: RecordsError) -> Self {
        damaged(-1, &error)
    }
}

/// The highest epoch that this node has voted in, from Kafka's `quorum-state`.
fn voted_epoch(env: &Env, folder: &Path) -> Result<i32, MetadataError> {
    let path = folder.join(QUORUM_STATE);
    let Some(bytes) = read_file(env, &path)? else { return Ok(0) };
    let text = String::from_utf8_lossy(&bytes);
    let epoch = text.split_once("\"leaderEpoch\":").map(|(_, rest)| {
        rest.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>()
    });
    epoch.and_then(|digits| digits.parse().ok()).ok_or_else(|| MetadataError::BadFile {
        path,
        why: "it has no \"leaderEpoch\" with a number: is it Kafka's quorum-state?".to_owned(),
    })
}

/// Kafka's file, in the version that goes with `kraft.version` 1.
fn quorum_state(node_id: i32, epoch: LeaderEpoch) -> String {
    let nobody = Uuid::ZERO;
    format!(
        "{{\"leaderId\":{node_id},\"leaderEpoch\":{},\"votedId\":-1,\"votedDirectoryId\":\"{nobody}\",\
         \"data_version\":1}}",
        epoch.0
    )
}

/// A whole small file, or `None` if there is none.
pub(super) fn read_file(env: &Env, path: &Path) -> Result<Option<Vec<u8>>, MetadataError> {
    let read = || {
        let Some(metadata) = env.disk.metadata(path)? else { return Ok(None) };
        if metadata.len > SNAPSHOT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
        }
        let file = env.disk.open(path, OpenHow::buffered(Access::Read))?;
        let mut bytes = vec![0; usize::try_from(metadata.len).unwrap_or(0)];
        read_full_at(&*file, &mut bytes, 0)?;
        Ok(Some(bytes))
    };
    read().map_err(|source| MetadataError::File { path: path.to_owned(), source })
}

/// Writes a small file so that a crash leaves the old one or the new one.
pub(super) fn write_file(env: &Env, path: &Path, bytes: &[u8]) -> Result<(), MetadataError> {
    let write = || {
        let temporary = path.with_extension("tmp");
        let file = env.disk.open(&temporary, OpenHow::buffered(Access::CreateOrWrite))?;
        file.set_len(0)?;
        write_all_at(&*file, bytes, 0)?;
        file.sync_data()?;
        env.disk.rename(&temporary, path)?;
        match path.parent() {
            Some(folder) => env.disk.sync_dir(folder),
            None => Ok(()),
        }
    };
    write().map_err(|source| MetadataError::File { path: path.to_owned(), source })
}
