//! Kafka's error codes: number, name, whether a client tries again, and a sentence of ours.
//!
//! The wire carries the number. The sentence is for logs and for the few responses that have an
//! error message field; a client shows its own text for a bare number.

use std::fmt;

/// Declares [`ErrorCode`] and its lookups from one table, a row a code: variant, number,
/// Kafka's name, whether it is retriable, and the sentence.
macro_rules! error_codes {
    ($($(#[$attribute:meta])* $variant:ident = $code:literal, $name:literal, $retriable:literal, $message:literal;)*) => {
        /// What a response says about one request, topic, partition or group.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $name, "`: ", $message, ".")]
            $(#[$attribute])*
            $variant = $code,)*
        }

        impl ErrorCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code of a number, or `None` for a number that this version does not know.
            pub fn from_i16(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Kafka's name, such as `UNKNOWN_TOPIC_OR_PARTITION`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// One sentence for people, without a full stop.
            pub fn message(self) -> &'static str {
                match self {
                    $(Self::$variant => $message,)*
                }
            }

            /// The sentence that Apache Kafka itself sends where a response has room for one and
            /// nothing more precise is known; tools show it and tests compare it. Ours otherwise.
            pub fn wire_message(self) -> &'static str {
                match self {
                    Self::UnknownTopicOrPartition => {
                        "This server does not host this topic-partition."
                    }
                    Self::UnknownTopicId => "This server does not host this topic ID.",
                    Self::InvalidRequest => {
                        "This most likely occurs because of a request being malformed by the client \
                         library or the message was sent to an incompatible broker. See the broker \
                         logs for more details."
                    }
                    other => other.message(),
                }
            }

            /// Whether the Java client tries the same request again by itself.
            pub fn is_retriable(self) -> bool {
                match self {
                    $(Self::$variant => $retriable,)*
                }
            }
        }
    };
}

error_codes! {
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", false, "unexpected error in the server";
    #[default]
    None = 0, "NONE", false, "no error";
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", false, "the offset is outside the range that this replica holds";
    CorruptMessage = 2, "CORRUPT_MESSAGE", true, "a batch is damaged: bad checksum, bad size, or no key where the topic is compacted";
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", true, "no such topic or partition here";
    InvalidFetchSize = 4, "INVALID_FETCH_SIZE", false, "the fetch size is not valid";
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", true, "the partition has no leader at the moment";
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", true, "this broker is not the leader, or not a replica, of the partition";
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", true, "the request did not finish in time";
    BrokerNotAvailable = 8, "BROKER_NOT_AVAILABLE", false, "the broker cannot be reached";
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", true, "the replica cannot be reached";
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", false, "a batch is larger than max.message.bytes";
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", false, "the controller epoch is an old one";
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", false, "the metadata text of a committed offset is too long";
    NetworkException = 13, "NETWORK_EXCEPTION", true, "the connection ended before the response came";
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", true, "the coordinator is still loading its state";
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", true, "the coordinator cannot be reached";
    NotCoordinator = 16, "NOT_COORDINATOR", true, "this broker is not the coordinator asked for";
    InvalidTopicException = 17, "INVALID_TOPIC_EXCEPTION", false, "the topic name is not valid, or the topic may not be used so";
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", false, "the batches together are larger than a segment may be";
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", true, "fewer replicas are in sync than min.insync.replicas asks for";
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", true, "written, but on fewer in-sync replicas than min.insync.replicas asks for";
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", false, "acks must be -1, 0 or 1";
    IllegalGeneration = 22, "ILLEGAL_GENERATION", false, "the group generation is not the current one";
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", false, "the member's protocols do not fit those of the group";
    InvalidGroupId = 24, "INVALID_GROUP_ID", false, "the group id is not valid";
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", false, "the group does not know this member";
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", false, "the session timeout is outside what the broker allows";
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", false, "the group is rebalancing: join again";
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", false, "the offsets to commit are too large";
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", false, "not allowed on this topic";
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", false, "not allowed on this group";
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", false, "not allowed on the cluster";
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", false, "a record's timestamp is outside what the topic accepts";
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", false, "the broker does not offer this SASL mechanism";
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", false, "the request does not fit this step of the SASL exchange";
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", false, "this version of the request is not supported";
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", false, "a topic of this name exists already";
    InvalidPartitions = 37, "INVALID_PARTITIONS", false, "the partition count is not valid";
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", false, "the replication factor is below 1 or above the number of brokers";
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", false, "the replica assignment is not valid";
    InvalidConfig = 40, "INVALID_CONFIG", false, "the configuration is not valid";
    NotController = 41, "NOT_CONTROLLER", true, "this node is not the active controller";
    InvalidRequest = 42, "INVALID_REQUEST", false, "the request is not valid";
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", false, "the message format in use cannot do this";
    PolicyViolation = 44, "POLICY_VIOLATION", false, "a policy of the cluster forbids this";
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false, "a sequence number of this producer was skipped";
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", false, "this sequence number was written already";
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", false, "the producer epoch is an old one";
    InvalidTxnState = 48, "INVALID_TXN_STATE", false, "the transaction is not in a state that allows this";
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", false, "the producer id does not belong to this transactional id";
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", false, "the transaction timeout is above transaction.max.timeout.ms";
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", true, "another operation on this transactional id is under way";
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", false, "a newer transaction coordinator has taken over";
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", false, "not allowed on this transactional id";
    SecurityDisabled = 54, "SECURITY_DISABLED", false, "security is not enabled on this cluster";
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", false, "not tried, since another part of the request failed";
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", true, "the disk failed under this log";
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND", false, "no such log directory on this broker";
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", false, "authentication failed";
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", false, "nothing is known any more about this producer id";
    ReassignmentInProgress = 60, "REASSIGNMENT_IN_PROGRESS", false, "the partition is being reassigned";
    DelegationTokenAuthDisabled = 61, "DELEGATION_TOKEN_AUTH_DISABLED", false, "delegation tokens are not enabled";
    DelegationTokenNotFound = 62, "DELEGATION_TOKEN_NOT_FOUND", false, "no such delegation token";
    DelegationTokenOwnerMismatch = 63, "DELEGATION_TOKEN_OWNER_MISMATCH", false, "the delegation token belongs to somebody else";
    DelegationTokenRequestNotAllowed = 64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", false, "delegation tokens cannot be asked for on such a connection";
    DelegationTokenAuthorizationFailed = 65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", false, "not allowed on this delegation token";
    DelegationTokenExpired = 66, "DELEGATION_TOKEN_EXPIRED", false, "the delegation token has expired";
    InvalidPrincipalType = 67, "INVALID_PRINCIPAL_TYPE", false, "this type of principal is not supported";
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", false, "the group still has members";
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", false, "no such group";
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", true, "no such fetch session";
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH", true, "the fetch session epoch is not the expected one";
    ListenerNotFound = 72, "LISTENER_NOT_FOUND", true, "the leader has no listener of the name that was used";
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED", false, "deleting topics is not enabled";
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", true, "the leader epoch is older than the broker's";
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", true, "the leader epoch is newer than the broker's";
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", false, "the client cannot read this compression";
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", false, "the broker epoch is an old one";
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", true, "the new leader's high watermark is not settled yet";
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", false, "join again with the member id of this response";
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", true, "the preferred leader is not available";
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", false, "the group is full";
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", false, "another member has taken over this group.instance.id";
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", true, "no replica that could lead is available";
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", true, "the partition has the leader it should have";
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS", false, "the partition is not being reassigned";
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", false, "the group is still subscribed to the topic";
    InvalidRecord = 87, "INVALID_RECORD", false, "a record breaks the rules of the topic";
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", true, "offsets of an open transaction are pending";
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", true, "the quota is used up";
    ProducerFenced = 90, "PRODUCER_FENCED", false, "a newer producer uses this transactional id";
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", false, "no such resource";
    DuplicateResource = 92, "DUPLICATE_RESOURCE", false, "the request names a resource twice";
    UnacceptableCredential = 93, "UNACCEPTABLE_CREDENTIAL", false, "the credential does not meet the rules";
    InconsistentVoterSet = 94, "INCONSISTENT_VOTER_SET", false, "sender or receiver is not among the expected voters";
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", false, "the version to update to is not valid";
    FeatureUpdateFailed = 96, "FEATURE_UPDATE_FAILED", false, "the features could not be updated";
    PrincipalDeserializationFailure = 97, "PRINCIPAL_DESERIALIZATION_FAILURE", false, "the forwarded principal could not be read";
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND", false, "no such snapshot";
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE", false, "the position is outside the snapshot";
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", true, "no topic of this id here";
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", false, "another live broker uses this id";
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", false, "no broker of this id is registered";
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID", true, "the topic id is not the one that the log has";
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID", false, "the cluster id is not this cluster's";
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", false, "no such transactional id";
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR", true, "the fetch session mixes topic names and topic ids";
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", false, "a replica of the new ISR may not be in it";
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", false, "the partition was changed, and another broker leads it now";
    OffsetMovedToTieredStorage = 109, "OFFSET_MOVED_TO_TIERED_STORAGE", false, "the offset is in tiered storage";
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", false, "the member epoch is fenced: give up all partitions and join again";
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", false, "another member still holds this instance id";
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", false, "the group cannot use this assignor";
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", false, "the member epoch is an old one: heartbeat and try again";
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE", false, "the request belongs to the other kind of endpoint";
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", false, "this kind of endpoint is not supported";
    UnknownControllerId = 116, "UNKNOWN_CONTROLLER_ID", false, "no controller of this id";
    UnknownSubscriptionId = 117, "UNKNOWN_SUBSCRIPTION_ID", false, "the telemetry subscription is unknown or out of date";
    TelemetryTooLarge = 118, "TELEMETRY_TOO_LARGE", false, "the telemetry is larger than the broker takes";
    InvalidRegistration = 119, "INVALID_REGISTRATION", false, "the registration is not valid";
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", false, "the transaction failed: abort it to go on";
    InvalidRecordState = 121, "INVALID_RECORD_STATE", false, "the record is not in a state that can be acknowledged so";
    ShareSessionNotFound = 122, "SHARE_SESSION_NOT_FOUND", true, "no such share session";
    InvalidShareSessionEpoch = 123, "INVALID_SHARE_SESSION_EPOCH", true, "the share session epoch is not the expected one";
    FencedStateEpoch = 124, "FENCED_STATE_EPOCH", false, "the share state epoch is not the coordinator's";
    InvalidVoterKey = 125, "INVALID_VOTER_KEY", false, "the voter key is not that of the receiver";
    DuplicateVoter = 126, "DUPLICATE_VOTER", false, "already a voter";
    VoterNotFound = 127, "VOTER_NOT_FOUND", false, "not a voter";
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", false, "the regular expression is not valid";
    RebootstrapRequired = 129, "REBOOTSTRAP_REQUIRED", false, "the client's metadata is out of date: bootstrap again";
    StreamsInvalidTopology = 130, "STREAMS_INVALID_TOPOLOGY", false, "the topology is not valid";
    StreamsInvalidTopologyEpoch = 131, "STREAMS_INVALID_TOPOLOGY_EPOCH", false, "the topology epoch is not valid";
    StreamsTopologyFenced = 132, "STREAMS_TOPOLOGY_FENCED", false, "the topology epoch is an old one";
    ShareSessionLimitReached = 133, "SHARE_SESSION_LIMIT_REACHED", true, "no further share session is allowed";
    GroupDeletionFailed = 134, "GROUP_DELETION_FAILED", false, "the group could not be deleted";
    StreamsTopologyDescriptionUpdateFailed = 135, "STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED", false, "the topology description could not be stored";
    ControllerIdNotRegistered = 136, "CONTROLLER_ID_NOT_REGISTERED", false, "no controller of this id is registered";
}

impl ErrorCode {
    /// The number on the wire.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// Whether this is anything but `NONE`.
    pub fn is_error(self) -> bool {
        self != Self::None
    }
}

impl From<ErrorCode> for i16 {
    fn from(code: ErrorCode) -> Self {
        code.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name(), self.code(), self.message())
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_run_without_gaps_from_minus_one() {
        for (index, &error) in ErrorCode::ALL.iter().enumerate() {
            let code = i16::try_from(index).expect("few codes") - 1;
            assert_eq!(error.code(), code, "{error:?}");
            assert_eq!(ErrorCode::from_i16(code), Some(error));
        }
        assert_eq!(ErrorCode::from_i16(-2), None);
        assert_eq!(ErrorCode::from_i16(ErrorCode::ALL.len() as i16), None);
    }

    #[test]
    fn display_gives_name_number_and_sentence() {
        assert_eq!(
            ErrorCode::NotCoordinator.to_string(),
            "NOT_COORDINATOR (16): this broker is not the coordinator asked for"
        );
        assert!(ErrorCode::NotCoordinator.is_retriable());
        assert!(!ErrorCode::InvalidRequest.is_retriable());
    }
}
