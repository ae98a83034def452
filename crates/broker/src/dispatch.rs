//! Which handler answers which request: one table, and one `match` over all API keys.
//!
//! To add an API, write `handlers/<api>.rs` and move its key from the second list to the first.
//! ApiVersions then advertises it, in the versions of [`ApiKey::supported`].

use crate::broker::Broker;
use crate::connection::{Client, Frame, Pending};
use crate::handlers;
use afluente_env::clock::Moment;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::frame::{read_request_header, response_frame};
use afluente_protocol::message::{DecodeError, EncodeError, Message, Request};
use afluente_protocol::reader::Reader;
use afluente_protocol::rope::Records;
use std::sync::Arc;

/// What became of a request.
pub enum Outcome {
    /// Here is the answer, as a frame.
    Answer(Records),
    /// The answer waits for the disk; following requests may start.
    Later(Pending),
    /// There is none: a produce with acks=0.
    Nothing,
    /// The connection cannot go on.
    Close(CloseReason),
}

/// Why a connection cannot go on after a request.
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// The header cannot be read, so nobody knows what would be an answer.
    #[error("a request with a bad header: {0}")]
    Header(DecodeError),
    /// Kafka closes in this case too: a client asks ApiVersions first.
    #[error("{key} version {version} is not served")]
    NotServed {
        /// The API.
        key: ApiKey,
        /// The version asked for.
        version: i16,
    },
    /// The body cannot be read.
    #[error("a bad {key} request of version {version}: {error}")]
    Body {
        /// The API.
        key: ApiKey,
        /// The version.
        version: i16,
        /// Where and what.
        error: DecodeError,
    },
    /// A produce without answer failed, and this is the only way to say so.
    #[error("a produce with acks=0 failed: {0}")]
    UnansweredProduce(String),
    /// A mistake of ours: an answer that this version of the API cannot say.
    #[error("the answer to {key} version {version} cannot be written: {error}")]
    Answer {
        /// The API.
        key: ApiKey,
        /// The version.
        version: i16,
        /// What.
        error: EncodeError,
    },
}

/// What a handler knows of the request besides its body.
#[derive(Debug)]
pub struct RequestContext<'a> {
    /// Who asks.
    pub client: &'a Client,
    /// The API.
    pub key: ApiKey,
    /// Its version, one that is served.
    pub version: i16,
    /// Comes back in the answer.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
    /// When the request was whole.
    pub received: Moment,
}

impl RequestContext<'_> {
    /// Reads the body.
    ///
    /// # Errors
    /// The connection closes, as Kafka does with a body it cannot read.
    pub fn decode<R: Request>(&self, reader: &mut Reader) -> Result<R, CloseReason> {
        R::decode(reader, self.version).map_err(|error| CloseReason::Body {
            key: self.key,
            version: self.version,
            error,
        })
    }

    /// Writes the answer as a frame.
    ///
    /// # Errors
    /// A mistake of ours: a field that this version does not have.
    pub fn encode<M: Message>(&self, response: &M) -> Result<Records, CloseReason> {
        encode(response, self.key, self.version, self.correlation_id)
    }
}

/// Writes an answer as a frame; see [`RequestContext::encode`].
///
/// # Errors
/// A mistake of ours: a field that this version does not have.
pub fn encode<M: Message>(
    response: &M,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
) -> Result<Records, CloseReason> {
    response_frame(response, key, version, correlation_id).map_err(|error| CloseReason::Answer {
        key,
        version,
        error,
    })
}

/// Handles one request.
pub async fn dispatch(broker: &Arc<Broker>, client: &Client, frame: Frame) -> Outcome {
    let Frame { bytes, reservation } = frame;
    let size = bytes.len();
    let mut reader = Reader::new(bytes);
    let (key, header) = match read_request_header(&mut reader) {
        Ok(read) => read,
        Err(error) => return Outcome::Close(CloseReason::Header(error)),
    };
    let context = RequestContext {
        client,
        key,
        version: header.request_api_version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
        received: broker.env.clock.now(),
    };
    let is_served = is_served(key)
        && (key.serves(context.version)
            || (broker.settings.node.serves_unstable_versions
                && key.versions().contains(&context.version)));
    let outcome = if is_served {
        route(broker, &context, reader).await
    } else if key == ApiKey::ApiVersions {
        handlers::api_versions::refuse_version(&context)
    } else {
        Outcome::Close(CloseReason::NotServed { key, version: context.version })
    };
    drop(reservation);
    if !matches!(outcome, Outcome::Later(_)) {
        broker.request_done(&context, size);
    }
    outcome
}

/// Declares [`route`] and [`is_served`] from one list of keys with their handlers and one of keys
/// without. A key that is in neither does not compile.
macro_rules! table {
    (
        raw { $($raw_key:ident => $raw:ident,)* }
        served { $($key:ident => $handler:ident,)* }
        not_served { $($absent:ident,)* }
    ) => {
        /// Whether there is a handler.
        #[must_use]
        pub fn is_served(key: ApiKey) -> bool {
            match key {
                $(ApiKey::$raw_key)|* | $(ApiKey::$key)|* => true,
                $(ApiKey::$absent)|* => false,
            }
        }

        async fn route(broker: &Arc<Broker>, context: &RequestContext<'_>, reader: Reader) -> Outcome {
            match context.key {
                $(ApiKey::$raw_key => handlers::$raw::handle(broker, context, reader).await,)*
                $(ApiKey::$key => {
                    // On the heap, so that a connection is not as large as its rarest request.
                    let answer = Box::pin(async {
                        let mut reader = reader;
                        let request = context.decode(&mut reader)?;
                        let response = handlers::$handler::handle(broker, context, request).await?;
                        context.encode(&response)
                    });
                    match answer.await {
                        Ok(answer) => Outcome::Answer(answer),
                        Err(reason) => Outcome::Close(reason),
                    }
                })*
                $(ApiKey::$absent)|* => Outcome::Close(CloseReason::NotServed {
                    key: context.key,
                    version: context.version,
                }),
            }
        }
    };
}

table! {
    // Hot, or with an answer that may wait while others start: these decode for themselves.
    raw {
        Produce => produce,
        Fetch => fetch,
    }
    served {
        ListOffsets => list_offsets,
        Metadata => metadata,
        ApiVersions => api_versions,
        CreateTopics => create_topics,
        DeleteTopics => delete_topics,
        InitProducerId => init_producer_id,
        OffsetForLeaderEpoch => offset_for_leader_epoch,
        PushTelemetry => push_telemetry,
        ListConfigResources => list_config_resources,
        IncrementalAlterConfigs => incremental_alter_configs,
        GetTelemetrySubscriptions => get_telemetry_subscriptions,
        DescribeQuorum => describe_quorum,
        DescribeTopicPartitions => describe_topic_partitions,
        DescribeLogDirs => describe_log_dirs,
        DescribeConfigs => describe_configs,
        DescribeCluster => describe_cluster,
        DeleteRecords => delete_records,
        CreatePartitions => create_partitions,
        AlterConfigs => alter_configs,
        WriteTxnMarkers => write_txn_markers,
        TxnOffsetCommit => txn_offset_commit,
        SyncGroup => sync_group,
        OffsetFetch => offset_fetch,
        OffsetDelete => offset_delete,
        OffsetCommit => offset_commit,
        ListTransactions => list_transactions,
        ListGroups => list_groups,
        LeaveGroup => leave_group,
        JoinGroup => join_group,
        Heartbeat => heartbeat,
        FindCoordinator => find_coordinator,
        EndTxn => end_txn,
        DescribeTransactions => describe_transactions,
        DescribeProducers => describe_producers,
        DescribeGroups => describe_groups,
        DeleteGroups => delete_groups,
        ConsumerGroupHeartbeat => consumer_group_heartbeat,
        ConsumerGroupDescribe => consumer_group_describe,
        AddPartitionsToTxn => add_partitions_to_txn,
        AddOffsetsToTxn => add_offsets_to_txn,
        ElectLeaders => elect_leaders,
        AlterPartitionReassignments => alter_partition_reassignments,
        ListPartitionReassignments => list_partition_reassignments,
        AlterReplicaLogDirs => alter_replica_log_dirs,
        UpdateFeatures => update_features,
        DescribeClientQuotas => describe_client_quotas,
        AlterClientQuotas => alter_client_quotas,
        DescribeUserScramCredentials => describe_user_scram_credentials,
        AlterUserScramCredentials => alter_user_scram_credentials,
        DescribeAcls => describe_acls,
        CreateAcls => create_acls,
        DeleteAcls => delete_acls,
        CreateDelegationToken => create_delegation_token,
        RenewDelegationToken => renew_delegation_token,
        ExpireDelegationToken => expire_delegation_token,
        DescribeDelegationToken => describe_delegation_token,
        UnregisterBroker => unregister_broker,
        AddRaftVoter => add_raft_voter,
        RemoveRaftVoter => remove_raft_voter,
    }
    not_served {
        SaslHandshake,
        SaslAuthenticate,
        Vote,
        BeginQuorumEpoch,
        EndQuorumEpoch,
        AlterPartition,
        Envelope,
        FetchSnapshot,
        BrokerRegistration,
        BrokerHeartbeat,
        AllocateProducerIds,
        ControllerRegistration,
        AssignReplicasToDirs,
        ShareGroupHeartbeat,
        ShareGroupDescribe,
        ShareFetch,
        ShareAcknowledge,
        UpdateRaftVoter,
        InitializeShareGroupState,
        ReadShareGroupState,
        WriteShareGroupState,
        DeleteShareGroupState,
        ReadShareGroupStateSummary,
        StreamsGroupHeartbeat,
        StreamsGroupDescribe,
        DescribeShareGroupOffsets,
        AlterShareGroupOffsets,
        DeleteShareGroupOffsets,
        StreamsGroupTopologyDescriptionUpdate,
        UnregisterController,
    }
}
