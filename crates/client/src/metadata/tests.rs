//! What an answer does to what was known.

use super::*;
use afluente_protocol::messages::metadata_response::MetadataResponseBroker;

fn partition(leader_id: i32, leader_epoch: i32) -> MetadataResponsePartition {
    MetadataResponsePartition { leader_id, leader_epoch, ..Default::default() }
}

fn topic(name: &str, id: u8, partition: MetadataResponsePartition) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(name.into()),
        topic_id: Uuid([id; 16]),
        partitions: vec![partition],
        ..Default::default()
    }
}

fn answer(topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    let broker = |node_id| MetadataResponseBroker {
        node_id,
        host: "h".into(),
        port: 9000 + node_id,
        rack: None,
    };
    MetadataResponse {
        cluster_id: Some("c".into()),
        brokers: vec![broker(1), broker(2)],
        topics,
        ..Default::default()
    }
}

fn leader(metadata: &ClusterMetadata, topic: &str) -> Option<(i32, i32)> {
    metadata.leader(topic, 0).map(|(node, epoch)| (node.id, epoch))
}

#[test]
fn topics_that_were_not_asked_for_stay() {
    let known = ClusterMetadata::default()
        .updated(answer(vec![topic("a", 1, partition(1, 5))]), &TopicsAsked::named(["a"]));
    let next =
        known.updated(answer(vec![topic("b", 2, partition(2, 0))]), &TopicsAsked::named(["b"]));
    assert_eq!((leader(&next, "a"), leader(&next, "b")), (Some((1, 5)), Some((2, 0))));
    assert_eq!(next.topic_name(Uuid([1; 16])), Some("a"));
    assert!(next.covers(&TopicsAsked::named(["a", "b"])));
    assert!(!next.covers(&TopicsAsked::All));
    let all = next.updated(answer(vec![topic("b", 2, partition(2, 0))]), &TopicsAsked::All);
    assert_eq!((leader(&all, "a"), leader(&all, "b")), (None, Some((2, 0))));
    assert!(all.covers(&TopicsAsked::All));
}

#[test]
fn a_leader_epoch_goes_back_only_with_another_topic_or_cluster() {
    let named = TopicsAsked::named(["a"]);
    let known =
        ClusterMetadata::default().updated(answer(vec![topic("a", 1, partition(1, 5))]), &named);
    let older = known.updated(answer(vec![topic("a", 1, partition(2, 4))]), &named);
    assert_eq!(leader(&older, "a"), Some((1, 5)));
    let newer = known.updated(answer(vec![topic("a", 1, partition(2, 6))]), &named);
    assert_eq!(leader(&newer, "a"), Some((2, 6)));
    let made_again = known.updated(answer(vec![topic("a", 2, partition(2, 0))]), &named);
    assert_eq!(leader(&made_again, "a"), Some((2, 0)));
    let elsewhere = MetadataResponse {
        cluster_id: Some("d".into()),
        ..answer(vec![topic("a", 1, partition(2, 0))])
    };
    assert_eq!(leader(&known.updated(elsewhere, &named), "a"), Some((2, 0)));
}

#[test]
fn a_hint_about_the_leader_counts_only_if_it_is_newer() {
    let known = ClusterMetadata::default()
        .updated(answer(vec![topic("a", 1, partition(1, 5))]), &TopicsAsked::All);
    assert_eq!(known.with_leader("a", 0, 2, 5, &[]), None);
    assert_eq!(known.with_leader("a", 0, 3, 6, &[]), None, "nobody knows where broker 3 is");
    assert_eq!(known.with_leader("b", 0, 2, 6, &[]), None);
    let address = ServerAddress { host: "x".into(), port: 1 };
    let node = BrokerNode { id: 3, address, rack: None };
    let next = known.with_leader("a", 0, 3, 6, &[node]).unwrap();
    assert_eq!(leader(&next, "a"), Some((3, 6)));
}

#[test]
fn the_request_says_which_topics_in_the_words_of_the_version() {
    let named = TopicsAsked::named(["a"]);
    assert_eq!(request(&TopicsAsked::All, 12, false).topics, None);
    assert_eq!(request(&TopicsAsked::All, 0, false).topics, Some(vec![]));
    assert_eq!(request(&TopicsAsked::None, 12, false).topics, Some(vec![]));
    assert!(request(&named, 3, false).allow_auto_topic_creation);
    assert!(!request(&named, 4, false).allow_auto_topic_creation);
    let ids = TopicsAsked::Ids([Uuid([1; 16])].into());
    let by_id = request(&ids, 12, false).topics.unwrap();
    assert_eq!((by_id[0].topic_id, &by_id[0].name), (Uuid([1; 16]), &None));
}
