//! What a producer asks of coordinators: an identity, and the parts and the end of a transaction.
//!
//! | request | to | version 1 | version 2 (KIP-890) |
//! |---|---|---|---|
//! | `InitProducerId` | transaction coordinator, or any broker | yes | yes |
//! | `AddPartitionsToTxn` | transaction coordinator | up to version 3 | by writing |
//! | `AddOffsetsToTxn` | transaction coordinator | yes | by `TxnOffsetCommit` |
//! | `TxnOffsetCommit` | group coordinator (KIP-447) | up to version 4 | from version 5 |
//! | `EndTxn` | transaction coordinator | up to version 4 | from version 5, gives the next epoch |
//!
//! Each tries again by the kind of the error until its deadline; what the error then means for the
//! transaction is decided in [`super::transaction`].

use super::error::ProducerError;
use super::sequences::Identity;
use super::transaction::End;
use crate::client::{Client, Target};
use crate::deadline::Deadline;
use crate::error::Error;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::message::Request;
use afluente_protocol::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use afluente_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use afluente_protocol::messages::end_txn_request::EndTxnRequest;
use afluente_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use afluente_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use afluente_protocol::numbers::{ProducerEpoch, ProducerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// The feature that says which transactions a cluster has.
const FEATURE: &str = "transaction.version";

/// The last versions of the requests of transactions of version 1.
pub(crate) const PRODUCE_V1_MAX: i16 = 11;
const TXN_OFFSET_COMMIT_V1_MAX: i16 = 4;
const END_TXN_V1_MAX: i16 = 4;
/// Later versions are for brokers.
const ADD_PARTITIONS_MAX: i16 = 3;

/// How long to wait while the end of the last transaction is written: it takes little time.
const CONCURRENT_WAIT: Duration = Duration::from_millis(20);

/// An offset to commit with a transaction: where to go on reading.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OffsetToCommit {
    /// The offset of the next record to read.
    pub offset: i64,
    /// The leader epoch of the last record that was read, if it is known.
    pub leader_epoch: Option<i32>,
    /// Any text.
    pub metadata: String,
}

/// Who commits offsets with a transaction, as the consumer knows it (KIP-447): a member that is
/// not one any more is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group.
    pub group_id: String,
    /// The generation, or the member's epoch; -1 for who is no member.
    pub generation_id: i32,
    /// The member; empty for who is no member.
    pub member_id: String,
    /// `group.instance.id`, if the member has one.
    pub group_instance_id: Option<String>,
}

impl GroupMetadata {
    /// Of a group without members, whose offsets anybody may commit.
    #[must_use]
    pub fn of_group(group_id: impl Into<String>) -> Self {
        Self {
            group_id: group_id.into(),
            generation_id: -1,
            member_id: String::new(),
            group_instance_id: None,
        }
    }
}

/// Offsets by topic and partition.
pub type OffsetsToCommit = BTreeMap<(String, i32), OffsetToCommit>;

/// The calls of one transactional id.
#[derive(Debug, Clone)]
pub(crate) struct Coordinator {
    pub(crate) client: Client,
    pub(crate) transactional_id: String,
}

/// What an answer said.
enum Said<T> {
    Done(T),
    /// No; [`Error::is_retriable`] tells whether it may help to ask again.
    Refused(Error),
}

/// Asks until the answer is not one that another attempt may change.
async fn ask<R: Request + Clone, T>(
    client: &Client,
    target: &Target,
    request: &R,
    version_max: i16,
    deadline: Deadline,
    read: impl Fn(R::Response) -> Said<T>,
) -> Result<T, Error> {
    let mut retry = client.retry(deadline);
    loop {
        let response =
            client.send_up_to(target.clone(), request.clone(), version_max, deadline).await?;
        let error = match read(response) {
            Said::Done(value) => return Ok(value),
            Said::Refused(error) => error,
        };
        client.noticed(target, &error);
        let is_short = error.error_code() == Some(ErrorCode::ConcurrentTransactions);
        if is_short && !deadline.has_passed(&client.env().clock) {
            client.env().clock.sleep(CONCURRENT_WAIT).await;
        } else {
            retry.after(error).await?;
        }
    }
}

/// An answer that is a code and nothing else of interest.
fn said<T>(code: i16, about: impl FnOnce() -> String, value: T) -> Said<T> {
    match check(code, about) {
        Ok(()) => Said::Done(value),
        Err(error) => Said::Refused(error),
    }
}

/// An identity for a producer that is idempotent only.
pub(crate) async fn idempotent_identity(
    client: &Client,
    deadline: Deadline,
) -> Result<Identity, Error> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    ask(client, &Target::Any, &request, i16::MAX, deadline, |response| {
        let identity = Identity {
            id: ProducerId(response.producer_id),
            epoch: ProducerEpoch(response.producer_epoch),
        };
        said(response.error_code, || "InitProducerId".to_owned(), identity)
    })
    .await
}

impl Coordinator {
    fn target(&self) -> Target {
        Target::transaction(self.transactional_id.as_str())
    }

    fn about(&self) -> String {
        format!("transactional id {}", self.transactional_id)
    }

    /// Whether the cluster has transactions of version 2, as the coordinator says.
    pub(crate) async fn is_v2(&self, deadline: Deadline) -> Result<bool, Error> {
        let mut retry = self.client.retry(deadline);
        loop {
            let target = self.target();
            match self.client.connection(&target, deadline).await {
                Ok(connection) => return Ok(connection.versions().feature(FEATURE) >= 2),
                Err(error) => {
                    self.client.noticed(&target, &error);
                    retry.after(error).await?;
                }
            }
        }
    }

    /// An identity; `known` asks for the next epoch of it, after an error (KIP-360).
    pub(crate) async fn identity(
        &self,
        timeout: Duration,
        known: Option<Identity>,
        deadline: Deadline,
    ) -> Result<Identity, Error> {
        let request = InitProducerIdRequest {
            transactional_id: Some(self.transactional_id.clone()),
            transaction_timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            producer_id: known.map_or(-1, |known| known.id.0),
            producer_epoch: known.map_or(-1, |known| known.epoch.0),
            ..Default::default()
        };
        ask(&self.client, &self.target(), &request, i16::MAX, deadline, |response| {
            let identity = Identity {
                id: ProducerId(response.producer_id),
                epoch: ProducerEpoch(response.producer_epoch),
            };
            said(response.error_code, || self.about(), identity)
        })
        .await
    }

    /// Makes partitions part of the transaction.
    pub(crate) async fn add_partitions(
        &self,
        identity: Identity,
        partitions: &BTreeMap<String, Vec<i32>>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let topics = partitions
            .iter()
            .map(|(name, partitions)| AddPartitionsToTxnTopic {
                name: name.clone(),
                partitions: partitions.clone(),
            })
            .collect();
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.transactional_id.clone(),
            v3_and_below_producer_id: identity.id.0,
            v3_and_below_producer_epoch: identity.epoch.0,
            v3_and_below_topics: topics,
            ..Default::default()
        };
        ask(&self.client, &self.target(), &request, ADD_PARTITIONS_MAX, deadline, |response| {
            let mut refused: Vec<Error> = Vec::new();
            for topic in response.results_by_topic_v3_and_below {
                for result in topic.results_by_partition {
                    let about = || format!("{}-{}", topic.name, result.partition_index);
                    refused.extend(check(result.partition_error_code, about).err());
                }
            }
            // What says most comes first: not what was merely not attempted, nor what may pass.
            refused.sort_by_key(|error| {
                let is_other = error.error_code() == Some(ErrorCode::OperationNotAttempted);
                (is_other, error.is_retriable())
            });
            refused.into_iter().next().map_or(Said::Done(()), Said::Refused)
        })
        .await
    }

    /// Makes the offsets of a group part of a transaction, and commits them with it.
    pub(crate) async fn commit_offsets(
        &self,
        identity: Identity,
        is_v2: bool,
        offsets: &OffsetsToCommit,
        group: &GroupMetadata,
        deadline: Deadline,
    ) -> Result<(), Error> {
        if !is_v2 {
            let request = AddOffsetsToTxnRequest {
                transactional_id: self.transactional_id.clone(),
                producer_id: identity.id.0,
                producer_epoch: identity.epoch.0,
                group_id: group.group_id.clone(),
            };
            ask(&self.client, &self.target(), &request, i16::MAX, deadline, |response| {
                said(response.error_code, || self.about(), ())
            })
            .await?;
        }
        let mut topics: BTreeMap<&str, Vec<TxnOffsetCommitRequestPartition>> = BTreeMap::new();
        for ((topic, partition), offset) in offsets {
            topics.entry(topic).or_default().push(TxnOffsetCommitRequestPartition {
                partition_index: *partition,
                committed_offset: offset.offset,
                committed_leader_epoch: offset.leader_epoch.unwrap_or(-1),
                committed_metadata: Some(offset.metadata.clone()),
            });
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| TxnOffsetCommitRequestTopic {
                name: name.to_owned(),
                partitions,
                ..Default::default()
            })
            .collect();
        let request = TxnOffsetCommitRequest {
            transactional_id: self.transactional_id.clone(),
            group_id: group.group_id.clone(),
            producer_id: identity.id.0,
            producer_epoch: identity.epoch.0,
            generation_id_or_member_epoch: group.generation_id,
            member_id: group.member_id.clone(),
            group_instance_id: group.group_instance_id.clone(),
            topics,
        };
        let version_max = if is_v2 { i16::MAX } else { TXN_OFFSET_COMMIT_V1_MAX };
        let target = Target::group(group.group_id.as_str());
        ask(&self.client, &target, &request, version_max, deadline, |response| {
            let mut refused: Vec<Error> = Vec::new();
            for topic in response.topics {
                for partition in topic.partitions {
                    let about = || {
                        let GroupMetadata { group_id, .. } = group;
                        format!(
                            "offsets of {group_id} for {}-{}",
                            topic.name, partition.partition_index
                        )
                    };
                    refused.extend(check(partition.error_code, about).err());
                }
            }
            refused.sort_by_key(Error::is_retriable);
            refused.into_iter().next().map_or(Said::Done(()), Said::Refused)
        })
        .await
    }

    /// Ends the transaction; gives the identity for the next one, if that is another one.
    pub(crate) async fn end(
        &self,
        identity: Identity,
        is_v2: bool,
        end: End,
        deadline: Deadline,
    ) -> Result<Option<Identity>, Error> {
        let request = EndTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: identity.id.0,
            producer_epoch: identity.epoch.0,
            committed: end == End::Commit,
        };
        let version_max = if is_v2 { i16::MAX } else { END_TXN_V1_MAX };
        ask(&self.client, &self.target(), &request, version_max, deadline, |response| {
            let next = (is_v2 && response.producer_id >= 0).then_some(Identity {
                id: ProducerId(response.producer_id),
                epoch: ProducerEpoch(response.producer_epoch),
            });
            said(response.error_code, || self.about(), next)
        })
        .await
    }
}

/// The refusal `code` of a coordinator, if it is one.
///
/// Those of older clusters say `INVALID_PRODUCER_EPOCH` for what is called `PRODUCER_FENCED` since;
/// from the leader of a partition the same code means less. So does `INVALID_TXN_STATE`: a
/// coordinator that disagrees about the state will go on doing so.
fn check(code: i16, about: impl FnOnce() -> String) -> Result<(), Error> {
    let code = if code == ErrorCode::InvalidProducerEpoch.code() {
        ErrorCode::ProducerFenced.code()
    } else {
        code
    };
    Error::check(code, None, about).map_err(|error| {
        if code == ErrorCode::InvalidTxnState.code() {
            ProducerError::Fatal { cause: Box::new(error) }.into()
        } else {
            error
        }
    })
}
