//! Calls of the client, when brokers behave and when they do not.

use crate::fake::{FakeCluster, Reply, run};
use afluente_client::deadline::until;
use afluente_client::metadata::TopicsAsked;
use afluente_client::{Error, Target};
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::api_versions_request::ApiVersionsRequest;
use afluente_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use afluente_protocol::messages::heartbeat_request::HeartbeatRequest;
use afluente_protocol::messages::heartbeat_response::HeartbeatResponse;
use afluente_protocol::messages::list_groups_request::ListGroupsRequest;
use afluente_protocol::messages::list_groups_response::ListGroupsResponse;
use afluente_protocol::messages::metadata_request::MetadataRequest;
use afluente_protocol::messages::metadata_response::MetadataResponse;
use bytes::Bytes;
use std::time::Duration;

fn list_groups() -> ListGroupsRequest {
    ListGroupsRequest::default()
}

fn listed(cluster: &FakeCluster) {
    cluster.on::<ListGroupsRequest>(|_, _| Reply::Answer(ListGroupsResponse::default()));
}

#[test]
fn a_request_goes_to_its_target_in_the_newest_version_of_both() {
    run(async {
        let cluster = FakeCluster::start(3).await;
        cluster.create_topic("t", 3);
        cluster.offer(ApiKey::ListGroups, Some((0, 3)));
        listed(&cluster);
        let client = cluster.client(&[("client.id", "me")]);
        for (target, broker) in [
            (Target::leader("t", 1), 2),
            (Target::leader("t", 2), 3),
            (Target::Controller, 1),
            (Target::Broker(2), 2),
            (Target::group("g"), 1),
        ] {
            client.send(target.clone(), list_groups(), client.deadline()).await.unwrap();
            let seen = cluster.seen(ApiKey::ListGroups).pop().unwrap();
            assert_eq!((seen.broker, seen.version), (broker, 3), "{target:?}");
            assert_eq!(seen.client_id.as_deref(), Some("me"));
        }
    });
}

#[test]
fn an_older_broker_is_asked_again_in_a_version_of_api_versions_that_it_knows() {
    run(async {
        for (last, expected) in [(4, vec![4]), (3, vec![4, 3]), (0, vec![4, 0])] {
            let cluster = FakeCluster::start(1).await;
            cluster.offer(ApiKey::ApiVersions, Some((0, last)));
            let client = cluster.client(&[]);
            client.refresh(&TopicsAsked::None, client.deadline()).await.unwrap();
            let seen = cluster.seen(ApiKey::ApiVersions);
            let versions: Vec<i16> = seen.iter().map(|seen| seen.version).collect();
            assert_eq!(versions, expected);
        }
    });
}

#[test]
fn what_the_broker_does_not_offer_is_an_error_that_names_it() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.offer(ApiKey::ListGroups, Some((90, 91)));
        cluster.offer(ApiKey::Heartbeat, None);
        let client = cluster.client(&[]);
        let error = client.send(Target::Any, list_groups(), client.deadline()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{} does not offer ListGroups in a version that can be used (it offers versions 90 \
                 to 91)",
                cluster.address(1)
            )
        );
        assert_eq!(error.error_code(), Some(ErrorCode::UnsupportedVersion));
        let request = HeartbeatRequest::default();
        let error = client.send(Target::Any, request, client.deadline()).await.unwrap_err();
        assert!(error.to_string().ends_with("(it does not know it)"), "{error}");
    });
}

#[test]
fn a_broken_connection_is_made_again_and_the_request_sent_again() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        listed(&cluster);
        let client = cluster.client(&[]);
        for _ in 0..3 {
            cluster.once::<ListGroupsRequest>(|_, _| Reply::Close);
        }
        client.send(Target::Any, list_groups(), client.deadline()).await.unwrap();
        assert_eq!(cluster.seen(ApiKey::ListGroups).len(), 4);
        cluster.once::<ListGroupsRequest>(|_, _| Reply::Raw(Bytes::from_static(b"HTTP/1.1 400")));
        let error = client.send(Target::Any, list_groups(), client.deadline()).await.unwrap_err();
        assert!(error.to_string().contains("it speaks HTTP"), "{error}");
        client.send(Target::Any, list_groups(), client.deadline()).await.unwrap();
    });
}

#[test]
fn one_attempt_is_one_attempt() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.on::<ListGroupsRequest>(|_, _| Reply::Close);
        let client = cluster.client(&[]);
        let sent = client.send_once(&Target::Any, &list_groups(), client.deadline()).await;
        let error = sent.unwrap_err();
        assert!(matches!(error, Error::Disconnected { api: ApiKey::ListGroups, .. }), "{error}");
        assert!(error.is_retriable());
        assert_eq!(cluster.seen(ApiKey::ListGroups).len(), 1);
    });
}

#[test]
fn a_late_answer_closes_the_connection_and_the_deadline_ends_the_call() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.on::<ListGroupsRequest>(|_, _| Reply::Silence);
        let client = cluster.client(&[("request.timeout.ms", "20")]);
        let deadline = client.deadline_in(Duration::from_millis(100));
        let error = client.send(Target::Any, list_groups(), deadline).await.unwrap_err();
        assert!(matches!(error, Error::DeadlinePassed { .. } | Error::RequestTimedOut { .. }));
        let seen = cluster.seen(ApiKey::ListGroups);
        assert!(seen.len() > 1, "{error}");
        assert_ne!(seen[0].connection, seen[1].connection);
    });
}

#[test]
fn answers_to_many_requests_come_back_to_who_asked() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.on::<HeartbeatRequest>(|request, _| {
            Reply::Answer(HeartbeatResponse {
                throttle_time_ms: request.generation_id,
                ..Default::default()
            })
        });
        let client = cluster.client(&[("max.in.flight.requests.per.connection", "3")]);
        let connection = client.connection(&Target::Broker(1), client.deadline()).await.unwrap();
        let mut answers = Vec::new();
        for generation_id in 0..100 {
            let request = HeartbeatRequest { generation_id, ..Default::default() };
            let timeout = Duration::from_secs(30);
            answers.push(connection.submit(&request, 4, timeout).await.unwrap());
        }
        // Some are dropped: the others still get theirs.
        answers.retain({
            let mut index = 0;
            move |_| {
                index += 1;
                index % 3 != 0
            }
        });
        for (answer, generation_id) in answers.into_iter().zip((0..100).filter(|n| n % 3 != 2)) {
            assert_eq!(answer.await.unwrap().throttle_time_ms, generation_id);
        }
        let seen = cluster.seen(ApiKey::Heartbeat);
        let order: Vec<i32> =
            seen.iter().map(|seen| seen.request::<HeartbeatRequest>().generation_id).collect();
        assert!(order.is_sorted());
    });
}

#[test]
fn a_call_that_is_dropped_leaves_the_connection_as_it_was() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        listed(&cluster);
        let client = cluster.client(&[]);
        client.send(Target::Broker(1), list_groups(), client.deadline()).await.unwrap();
        let wait = Duration::from_millis(30);
        cluster.once::<ListGroupsRequest>(move |_, _| {
            Reply::After(wait, ListGroupsResponse::default())
        });
        let dropped = client.send(Target::Broker(1), list_groups(), client.deadline());
        let clock = &client.env().clock;
        assert!(until(clock, client.deadline_in(wait / 10), dropped).await.is_none());
        client.send(Target::Broker(1), list_groups(), client.deadline()).await.unwrap();
        let seen = cluster.seen(ApiKey::ListGroups);
        assert_eq!(seen.len(), 3);
        assert!(seen.iter().all(|one| one.connection == seen[0].connection));
    });
}

#[test]
fn a_leader_that_moved_is_found_after_it_was_noticed() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        cluster.create_topic("t", 1);
        listed(&cluster);
        let client = cluster.client(&[]);
        let target = Target::leader("t", 0);
        client.send(target.clone(), list_groups(), client.deadline()).await.unwrap();
        cluster.move_leader("t", 0, 2);
        let error = Error::check(ErrorCode::NotLeaderOrFollower.code(), None, String::new);
        client.noticed(&target, &error.unwrap_err());
        client.send(target, list_groups(), client.deadline()).await.unwrap();
        let brokers: Vec<i32> =
            cluster.seen(ApiKey::ListGroups).iter().map(|seen| seen.broker).collect();
        assert_eq!(brokers, [1, 2]);
    });
}

#[test]
fn a_coordinator_is_remembered_until_it_is_noticed_to_be_another_one() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        cluster.offer(ApiKey::FindCoordinator, Some((0, 3)));
        listed(&cluster);
        let client = cluster.client(&[]);
        let target = Target::group("g");
        for _ in 0..2 {
            client.send(target.clone(), list_groups(), client.deadline()).await.unwrap();
        }
        assert_eq!(cluster.seen(ApiKey::FindCoordinator).len(), 1);
        cluster.set_coordinator(2);
        let error = Error::check(ErrorCode::NotCoordinator.code(), None, String::new);
        client.noticed(&target, &error.unwrap_err());
        client.send(target, list_groups(), client.deadline()).await.unwrap();
        assert_eq!(cluster.seen(ApiKey::ListGroups).pop().unwrap().broker, 2);
        let asked = cluster.seen(ApiKey::FindCoordinator).pop().unwrap();
        assert_eq!(asked.request::<FindCoordinatorRequest>().key, "g");
    });
}

#[test]
fn nobody_there_is_told_with_the_address_and_what_to_check() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.stop(1, false).await;
        let client = cluster.client(&[]);
        let deadline = client.deadline_in(Duration::from_secs(3));
        let error = client.refresh(&TopicsAsked::None, deadline).await.unwrap_err();
        let told = error.to_string();
        assert!(told.contains(&format!("could not connect to {}", cluster.address(1))), "{told}");
        assert!(told.contains("check that a broker runs there"), "{told}");
        cluster.start_again(1).await;
        client.refresh(&TopicsAsked::None, client.deadline()).await.unwrap();
    });
}

#[test]
fn when_all_known_brokers_are_gone_it_starts_again_from_the_bootstrap_servers() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        let first = cluster.address(1).to_string();
        // Metadata names broker 2 alone; broker 1 is but the bootstrap server.
        cluster.stop(1, true).await;
        cluster.start_again(1).await;
        let second = cluster.address(2);
        cluster.on::<MetadataRequest>({
            let cluster = cluster.clone();
            move |request, _| {
                let mut response = cluster.metadata(&request);
                response.brokers.retain(|broker| broker.port == i32::from(second.port));
                Reply::Answer(response)
            }
        });
        for (strategy, is_found) in [("rebootstrap", true), ("none", false)] {
            let client = cluster.client(&[
                ("bootstrap.servers", first.as_str()),
                ("metadata.recovery.strategy", strategy),
            ]);
            client.refresh(&TopicsAsked::None, client.deadline()).await.unwrap();
            assert_eq!(client.metadata().brokers.keys().copied().collect::<Vec<_>>(), [2]);
            cluster.stop(2, false).await;
            let deadline = client.deadline_in(Duration::from_millis(200));
            let refreshed = client.refresh(&TopicsAsked::None, deadline).await;
            assert_eq!(refreshed.is_ok(), is_found, "{strategy}: {refreshed:?}");
            cluster.start_again(2).await;
        }
    });
}

#[test]
fn a_broker_can_ask_for_a_new_start() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        let client = cluster.client(&[]);
        client.refresh(&TopicsAsked::None, client.deadline()).await.unwrap();
        let before = cluster.connections();
        cluster.once::<MetadataRequest>(|_, _| {
            Reply::Answer(MetadataResponse {
                error_code: ErrorCode::RebootstrapRequired.code(),
                ..Default::default()
            })
        });
        client.refresh(&TopicsAsked::None, client.deadline()).await.unwrap();
        assert!(
            cluster.connections() > before,
            "it went to a bootstrap server, by a connection of its own"
        );
    });
}

#[test]
fn an_answer_that_cannot_be_read_says_where_it_is_wrong() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.once::<ApiVersionsRequest>(|_, _| {
            Reply::Raw(Bytes::from_static(&[0, 0, 0, 6, 0, 0, 0, 0, 0, 0]))
        });
        let client = cluster.client(&[]);
        let deadline = client.deadline_in(Duration::from_millis(200));
        let error = client.refresh(&TopicsAsked::None, deadline).await.unwrap_err();
        assert!(
            error.to_string().contains("an answer to ApiVersions that cannot be read"),
            "{error}"
        );
    });
}
