//! The admin client against real brokers.

use super::{Cluster, apache, ours};
use crate::fake::run;
use afluente_client::admin::configs::{AlterOp, ConfigResource, DescribeConfigsOptions};
use afluente_client::admin::groups::CommittedOffset;
use afluente_client::admin::offsets::{IsolationLevel, OffsetSpec};
use afluente_client::admin::security::{QuotaFilter, QuotaMatch};
use afluente_client::admin::topics::{NewPartitions, NewTopic};
use afluente_client::admin::transactions::TransactionFilter;
use afluente_client::producer::{Producer, ProducerConfig, Record};
use afluente_client::{Admin, TopicPartition};
use afluente_env::Env;
use afluente_harness::java::Jars;
use afluente_protocol::error_code::ErrorCode;
use std::collections::BTreeMap;

async fn topics_and_their_configurations(admin: &Admin) {
    let created = admin.create_topics([NewTopic::new("t", 2, 1)]).await.unwrap();
    assert_eq!(created["t"].as_ref().unwrap().partitions, Some(2));
    let again = admin.create_topics([NewTopic::new("t", 2, 1)]).await.unwrap();
    let error = again["t"].as_ref().unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::TopicAlreadyExists), "{error}");
    let more = NewPartitions { count: 3, assignments: None };
    let grown = admin.create_partitions([("t".to_owned(), more)]).await.unwrap();
    grown["t"].as_ref().unwrap();
    let described = loop {
        // The broker that is asked may hear of the third partition a little later.
        let described = admin.describe_topics(["t", "nowhere"]).await.unwrap();
        if described["t"].as_ref().unwrap().partitions.len() == 3 {
            break described;
        }
    };
    let error = described["nowhere"].as_ref().unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::UnknownTopicOrPartition), "{error}");

    let resource = ConfigResource::topic("t");
    let retention = async |expected: &str| {
        let options = DescribeConfigsOptions { synonyms: true, documentation: true };
        let entry = loop {
            // Here, too, the broker may hear of a change a little later.
            let found = admin.describe_configs([resource.clone()], options).await.unwrap();
            let entries = found[&resource].as_ref().unwrap();
            let entry = entries.iter().find(|entry| entry.name == "retention.ms").unwrap();
            if entry.value.as_deref() == Some(expected) {
                break entry.clone();
            }
        };
        assert!(entry.documentation.is_some(), "{entry:?}");
        entry.synonyms.len()
    };
    for (op, expected) in
        [(AlterOp::Set("86400000".into()), "86400000"), (AlterOp::Delete, "604800000")]
    {
        let changes = vec![("retention.ms".to_owned(), op)];
        let altered = admin.alter_configs([(resource.clone(), changes)]).await.unwrap();
        altered[&resource].as_ref().unwrap();
        let synonyms = retention(expected).await;
        // The value that was set has the one behind it among its synonyms.
        assert!(expected != "86400000" || synonyms > 0);
    }
}

async fn records_and_their_offsets(cluster: &Cluster, admin: &Admin) {
    let bootstrap = cluster.broker.bootstrap();
    let settings = [("bootstrap.servers", bootstrap.as_str()), ("linger.ms", "1")];
    let config = ProducerConfig::from_properties(settings).unwrap();
    let producer = Producer::new(Env::real(), config).unwrap();
    for n in 0..10 {
        let record = Record::to("t").partition(0).timestamp(1_000 + n).value(b"v");
        producer.send(record).await.unwrap().await.unwrap();
    }
    let partition: TopicPartition = ("t", 0).into();
    let offset = async |spec| {
        let asked = [(partition.clone(), spec)];
        let found = admin.list_offsets(asked, IsolationLevel::ReadCommitted).await.unwrap();
        found[&partition].as_ref().unwrap().offset
    };
    assert_eq!(offset(OffsetSpec::Latest).await, 10);
    assert_eq!(offset(OffsetSpec::At(1_005)).await, 5);
    assert_eq!(offset(OffsetSpec::MaxTimestamp).await, 9);
    let left = admin.delete_records([(partition.clone(), 4)]).await.unwrap();
    assert_eq!(*left[&partition].as_ref().unwrap(), 4);
    assert_eq!(offset(OffsetSpec::Earliest).await, 4);
    let producers = admin.describe_producers([partition.clone()]).await.unwrap();
    assert_eq!(producers[&partition].as_ref().unwrap()[0].last_sequence, 9);
    let dirs = admin.describe_log_dirs(&[1]).await.unwrap();
    let dirs = dirs[&1].as_ref().unwrap();
    assert!(dirs.values().any(|dir| dir.replicas.contains_key(&partition)), "{dirs:?}");
}

async fn groups_and_their_offsets(admin: &Admin) {
    let partition: TopicPartition = ("t", 0).into();
    let offset = CommittedOffset { offset: 7, leader_epoch: -1, metadata: "note".into() };
    let offsets = BTreeMap::from([(partition.clone(), offset)]);
    let altered = admin.alter_offsets("g", &offsets).await.unwrap();
    altered[&partition].as_ref().unwrap();
    assert_eq!(admin.committed_offsets("g").await.unwrap(), offsets);
    let groups = admin.list_groups(&[], &[]).await.unwrap();
    assert!(
        groups.iter().any(|group| group.group_id == "g" && group.state == "Empty"),
        "{groups:?}"
    );
    let described = admin.describe_groups(["g"]).await.unwrap();
    assert!(described["g"].as_ref().unwrap().members.is_empty());
    admin.delete_groups(["g"]).await.unwrap()["g"].as_ref().unwrap();
    assert!(admin.list_groups(&[], &[]).await.unwrap().iter().all(|group| group.group_id != "g"));
}

async fn the_cluster_and_its_quotas(admin: &Admin) {
    let cluster = admin.describe_cluster(false).await.unwrap();
    assert_eq!(cluster.brokers.len(), 1);
    assert_eq!(admin.describe_quorum().await.unwrap().voters.len(), 1);
    let versions = admin.broker_versions().await.unwrap();
    assert!(versions[&1].as_ref().unwrap().feature("metadata.version") > 0);
    let transactions = admin.list_transactions(&TransactionFilter::default()).await.unwrap();
    assert!(transactions.is_empty(), "{transactions:?}");
    let entity = BTreeMap::from([("client-id".to_owned(), Some("c".to_owned()))]);
    let quota = BTreeMap::from([("producer_byte_rate".to_owned(), Some(1024.0))]);
    let altered = admin.alter_client_quotas([(entity.clone(), quota)]).await.unwrap();
    altered[&entity].as_ref().unwrap();
    let filter = QuotaFilter { entity_type: "client-id".into(), of: QuotaMatch::Any };
    // The broker hears of it from its controller.
    while !admin
        .describe_client_quotas(std::slice::from_ref(&filter), true)
        .await
        .unwrap()
        .contains_key(&entity)
    {}
    let quotas = admin.describe_client_quotas(&[filter], true).await.unwrap();
    assert_eq!(quotas[&entity]["producer_byte_rate"], 1024.0);
}

async fn everything_works(cluster: &Cluster) {
    let admin = Admin::new(cluster.client.clone());
    topics_and_their_configurations(&admin).await;
    records_and_their_offsets(cluster, &admin).await;
    groups_and_their_offsets(&admin).await;
    the_cluster_and_its_quotas(&admin).await;
    admin.delete_topics(["t"]).await.unwrap()["t"].as_ref().unwrap();
}

#[test]
fn ours_is_administered() {
    let Some(cluster) = ours("administering our broker") else { return };
    run(everything_works(&cluster));
}

#[test]
fn apache_kafka_is_administered() {
    for jars in [Jars::Kafka, Jars::Kafka39] {
        let Some(cluster) = apache(jars, "the admin client against Apache Kafka") else { continue };
        run(everything_works(&cluster));
    }
}
