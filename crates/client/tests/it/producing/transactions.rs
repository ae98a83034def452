//! What is said to coordinators, in which order, and what their errors do.

use super::logs::{Logs, refuse_once};
use super::{producer, send};
use crate::fake::{FakeCluster, Reply, Seen, run};
use afluente_client::producer::{ErrorHandling, GroupMetadata, OffsetToCommit, Producer};
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use afluente_protocol::messages::add_offsets_to_txn_response::AddOffsetsToTxnResponse;
use afluente_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnRequest;
use afluente_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnTopicResult,
};
use afluente_protocol::messages::api_versions_request::ApiVersionsRequest;
use afluente_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey,
};
use afluente_protocol::messages::end_txn_request::EndTxnRequest;
use afluente_protocol::messages::end_txn_response::EndTxnResponse;
use afluente_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequest;
use afluente_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use std::collections::BTreeMap;

/// A cluster with transactions of that version, whose coordinator agrees to everything.
async fn cluster(version: i16) -> (FakeCluster, Logs) {
    let cluster = FakeCluster::start(1).await;
    cluster.create_topic("t", 3);
    let logs = Logs::behind(&cluster);
    cluster.on::<ApiVersionsRequest>(move |_, _| {
        let api_keys = ApiKey::ALL.iter().filter_map(|key| {
            let versions = key.supported()?;
            let (min_version, max_version) = (*versions.start(), *versions.end());
            Some(ApiVersion { api_key: key.number(), min_version, max_version })
        });
        Reply::Answer(ApiVersionsResponse {
            api_keys: api_keys.collect(),
            finalized_features_epoch: 1,
            finalized_features: vec![FinalizedFeatureKey {
                name: "transaction.version".into(),
                max_version_level: version,
                min_version_level: 0,
            }],
            ..Default::default()
        })
    });
    cluster.on::<AddPartitionsToTxnRequest>(|request, _| {
        Reply::Answer(partitions_added(&request, ErrorCode::None))
    });
    cluster.on::<AddOffsetsToTxnRequest>(|_, _| Reply::Answer(AddOffsetsToTxnResponse::default()));
    cluster.on::<TxnOffsetCommitRequest>(|request, _| {
        Reply::Answer(offsets_committed(&request, ErrorCode::None))
    });
    cluster.on::<EndTxnRequest>(|request, _| Reply::Answer(ended(&request, ErrorCode::None)));
    (cluster, logs)
}

fn partitions_added(
    request: &AddPartitionsToTxnRequest,
    code: ErrorCode,
) -> AddPartitionsToTxnResponse {
    let results = request.v3_and_below_topics.iter().map(|topic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic
            .partitions
            .iter()
            .map(|partition| AddPartitionsToTxnPartitionResult {
                partition_index: *partition,
                partition_error_code: code.code(),
            })
            .collect(),
    });
    AddPartitionsToTxnResponse {
        results_by_topic_v3_and_below: results.collect(),
        ..Default::default()
    }
}

fn offsets_committed(request: &TxnOffsetCommitRequest, code: ErrorCode) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| TxnOffsetCommitResponseTopic {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| TxnOffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code.code(),
            })
            .collect(),
        ..Default::default()
    });
    TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

fn ended(request: &EndTxnRequest, code: ErrorCode) -> EndTxnResponse {
    EndTxnResponse {
        error_code: code.code(),
        producer_id: request.producer_id,
        producer_epoch: request.producer_epoch + 1,
        ..Default::default()
    }
}

fn transactional(cluster: &FakeCluster) -> Producer {
    producer(cluster, &[("transactional.id", "orders")])
}

async fn send_offsets(producer: &Producer) -> Result<(), afluente_client::Error> {
    let offset = OffsetToCommit { offset: 5, leader_epoch: Some(2), metadata: "m".into() };
    let offsets = [(("in".to_owned(), 1), offset)].into();
    let group = GroupMetadata {
        group_id: "g".into(),
        generation_id: 9,
        member_id: "member".into(),
        group_instance_id: None,
    };
    producer.send_offsets_to_transaction(&offsets, &group).await
}

/// The requests of transactions and producing that came, with their versions, in order.
fn story(cluster: &FakeCluster) -> Vec<(ApiKey, i16)> {
    cluster
        .all_seen()
        .iter()
        .filter(|seen| {
            ![ApiKey::ApiVersions, ApiKey::Metadata, ApiKey::FindCoordinator].contains(&seen.key)
        })
        .map(|seen| (seen.key, seen.version))
        .collect()
}

#[test]
fn each_version_of_transactions_has_its_own_story() {
    run(async {
        for (version, expected) in [
            (
                0,
                vec![
                    (ApiKey::InitProducerId, 5),
                    (ApiKey::AddPartitionsToTxn, 3),
                    (ApiKey::Produce, 11),
                    (ApiKey::AddOffsetsToTxn, 4),
                    (ApiKey::TxnOffsetCommit, 4),
                    (ApiKey::EndTxn, 4),
                    (ApiKey::AddPartitionsToTxn, 3),
                    (ApiKey::Produce, 11),
                    (ApiKey::EndTxn, 4),
                ],
            ),
            (
                2,
                vec![
                    (ApiKey::InitProducerId, 5),
                    (ApiKey::Produce, 12),
                    (ApiKey::TxnOffsetCommit, 5),
                    (ApiKey::EndTxn, 5),
                    (ApiKey::Produce, 12),
                    (ApiKey::EndTxn, 5),
                ],
            ),
        ] {
            let (cluster, logs) = cluster(version).await;
            cluster.offer(ApiKey::InitProducerId, Some((0, 5)));
            let producer = transactional(&cluster);
            producer.init_transactions().await.unwrap();
            producer.begin_transaction().unwrap();
            send(&producer, 0, "a").await.await.unwrap();
            send_offsets(&producer).await.unwrap();
            producer.commit_transaction().await.unwrap();
            producer.begin_transaction().unwrap();
            send(&producer, 0, "b").await.await.unwrap();
            producer.abort_transaction().await.unwrap();
            // Without anything in it, a transaction is nobody's business.
            producer.begin_transaction().unwrap();
            producer.commit_transaction().await.unwrap();
            let told = story(&cluster);
            let without_version: Vec<_> = told
                .iter()
                .map(|&(key, version)| {
                    (key, if key == ApiKey::InitProducerId { 5 } else { version })
                })
                .collect();
            assert_eq!(without_version, expected);
            assert_eq!(logs.values(0), ["a", "b"]);
            let commit: TxnOffsetCommitRequest = cluster.seen(ApiKey::TxnOffsetCommit)[0].request();
            assert_eq!((commit.generation_id_or_member_epoch, &*commit.member_id), (9, "member"));
            let offset = &commit.topics[0].partitions[0];
            assert_eq!((offset.committed_offset, offset.committed_leader_epoch), (5, 2));
            let ends: Vec<bool> = cluster
                .seen(ApiKey::EndTxn)
                .iter()
                .map(|seen| seen.request::<EndTxnRequest>().committed)
                .collect();
            assert_eq!(ends, [true, false]);
        }
    });
}

#[test]
fn errors_of_coordinators_pass_or_abort_or_end() {
    use ErrorHandling::{Abortable, ApplicationRecoverable, InvalidConfiguration};
    // The request, the code, and what can be done about it; nothing if it passes by itself.
    let cases = [
        (ApiKey::AddPartitionsToTxn, ErrorCode::ConcurrentTransactions, None),
        (ApiKey::AddPartitionsToTxn, ErrorCode::CoordinatorLoadInProgress, None),
        (ApiKey::AddPartitionsToTxn, ErrorCode::NotCoordinator, None),
        (ApiKey::AddPartitionsToTxn, ErrorCode::UnknownTopicOrPartition, None),
        (ApiKey::AddPartitionsToTxn, ErrorCode::TopicAuthorizationFailed, Some(Abortable)),
        (ApiKey::AddPartitionsToTxn, ErrorCode::TransactionAbortable, Some(Abortable)),
        (ApiKey::AddPartitionsToTxn, ErrorCode::InvalidProducerEpoch, Some(ApplicationRecoverable)),
        (ApiKey::AddPartitionsToTxn, ErrorCode::ProducerFenced, Some(ApplicationRecoverable)),
        (ApiKey::AddPartitionsToTxn, ErrorCode::InvalidTxnState, Some(ApplicationRecoverable)),
        (
            ApiKey::AddPartitionsToTxn,
            ErrorCode::TransactionalIdAuthorizationFailed,
            Some(InvalidConfiguration),
        ),
        (ApiKey::TxnOffsetCommit, ErrorCode::CoordinatorNotAvailable, None),
        (ApiKey::TxnOffsetCommit, ErrorCode::IllegalGeneration, Some(Abortable)),
        (ApiKey::TxnOffsetCommit, ErrorCode::UnknownMemberId, Some(Abortable)),
        (ApiKey::TxnOffsetCommit, ErrorCode::FencedInstanceId, Some(Abortable)),
        (ApiKey::TxnOffsetCommit, ErrorCode::GroupAuthorizationFailed, Some(Abortable)),
        (ApiKey::TxnOffsetCommit, ErrorCode::ProducerFenced, Some(ApplicationRecoverable)),
        (ApiKey::EndTxn, ErrorCode::ConcurrentTransactions, None),
        (ApiKey::EndTxn, ErrorCode::CoordinatorNotAvailable, None),
        (ApiKey::EndTxn, ErrorCode::TransactionAbortable, Some(Abortable)),
        (ApiKey::EndTxn, ErrorCode::InvalidTxnState, Some(ApplicationRecoverable)),
        (ApiKey::EndTxn, ErrorCode::ProducerFenced, Some(ApplicationRecoverable)),
        (ApiKey::EndTxn, ErrorCode::InvalidProducerIdMapping, Some(ApplicationRecoverable)),
        (ApiKey::Produce, ErrorCode::NotLeaderOrFollower, None),
        (ApiKey::Produce, ErrorCode::InvalidProducerEpoch, Some(Abortable)),
        (ApiKey::Produce, ErrorCode::TopicAuthorizationFailed, Some(Abortable)),
        (ApiKey::Produce, ErrorCode::InvalidTxnState, Some(Abortable)),
        (ApiKey::Produce, ErrorCode::TransactionAbortable, Some(Abortable)),
        (ApiKey::Produce, ErrorCode::ProducerFenced, Some(ApplicationRecoverable)),
    ];
    run(async {
        for version in [0, 2] {
            for (key, code, handling) in cases {
                if version == 2 && key == ApiKey::AddPartitionsToTxn {
                    continue;
                }
                check(version, key, code, handling).await;
            }
        }
    });
}

async fn check(version: i16, key: ApiKey, code: ErrorCode, handling: Option<ErrorHandling>) {
    let name = format!("{key} {code} in version {version}");
    let (cluster, logs) = cluster(version).await;
    match key {
        ApiKey::AddPartitionsToTxn => {
            cluster.once(move |request, _: &Seen| Reply::Answer(partitions_added(&request, code)))
        }
        ApiKey::TxnOffsetCommit => {
            cluster.once(move |request, _: &Seen| Reply::Answer(offsets_committed(&request, code)))
        }
        ApiKey::EndTxn => {
            cluster.once(move |request, _: &Seen| Reply::Answer(ended(&request, code)));
        }
        _ => refuse_once(&cluster, code),
    }
    let producer = transactional(&cluster);
    producer.init_transactions().await.unwrap();
    producer.begin_transaction().unwrap();
    let delivery = send(&producer, 0, "a").await;
    let outcome = async {
        send_offsets(&producer).await?;
        producer.commit_transaction().await
    };
    let Some(handling) = handling else {
        outcome.await.unwrap_or_else(|error| panic!("{name}: {error}"));
        delivery.await.unwrap();
        return;
    };
    let error = outcome.await.expect_err(&name);
    assert_eq!(error.handling(), handling, "{name}: {error}");
    if handling == ErrorHandling::Abortable {
        producer.abort_transaction().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        producer.begin_transaction().unwrap();
        send(&producer, 0, "again").await.await.unwrap();
        producer.commit_transaction().await.unwrap();
        assert_eq!(logs.values(0).last().map(String::as_str), Some("again"), "{name}");
        // After an error the epoch is another one: by request, or with every end.
        let mut epochs: BTreeMap<i16, u32> = BTreeMap::new();
        for seen in cluster.seen(ApiKey::EndTxn) {
            *epochs.entry(seen.request::<EndTxnRequest>().producer_epoch).or_default() += 1;
        }
        assert!(epochs.contains_key(&1), "{name}: {epochs:?}");
    } else {
        let again = producer.abort_transaction().await.expect_err(&name);
        assert_eq!(again.handling(), handling, "{name}");
        assert!(producer.begin_transaction().is_err(), "{name}");
    }
}

#[test]
fn aborting_drops_what_was_not_sent() {
    run(async {
        let (cluster, logs) = cluster(2).await;
        let producer =
            producer(&cluster, &[("transactional.id", "orders"), ("linger.ms", "60000")]);
        producer.init_transactions().await.unwrap();
        producer.begin_transaction().unwrap();
        let dropped = send(&producer, 0, "a").await;
        producer.abort_transaction().await.unwrap();
        let error = dropped.await.unwrap_err();
        assert!(error.to_string().contains("aborted before"), "{error}");
        producer.begin_transaction().unwrap();
        let kept = send(&producer, 0, "b").await;
        producer.commit_transaction().await.unwrap();
        kept.await.unwrap();
        assert_eq!(logs.values(0), ["b"]);
    });
}

#[test]
fn a_commit_that_got_no_answer_can_be_called_again() {
    run(async {
        let (cluster, logs) = cluster(2).await;
        let producer =
            producer(&cluster, &[("transactional.id", "orders"), ("max.block.ms", "60")]);
        producer.init_transactions().await.unwrap();
        producer.begin_transaction().unwrap();
        let _delivery = send(&producer, 0, "a").await;
        cluster.once::<EndTxnRequest>(|_, _| Reply::Silence);
        let error = producer.commit_transaction().await.unwrap_err();
        assert!(matches!(error, afluente_client::Error::DeadlinePassed { .. }), "{error:?}");
        assert!(producer.begin_transaction().is_err());
        producer.commit_transaction().await.unwrap();
        producer.begin_transaction().unwrap();
        assert_eq!(logs.values(0), ["a"]);
    });
}
