//! Consumer groups: what configuration and features switch on and off.

use crate::support::{Client, TestBroker, run};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages as m;

#[test]
fn the_consumer_protocol_is_served_unless_the_configuration_leaves_it_out() {
    run(async {
        for (protocols, expected) in [
            ("classic,consumer", ErrorCode::None),
            ("classic", ErrorCode::UnsupportedVersion),
            ("classic,streams", ErrorCode::UnsupportedVersion),
        ] {
            let settings = [("group.coordinator.rebalance.protocols", protocols)];
            let broker = TestBroker::start(&settings).await;
            let mut client = broker.connect().await;
            assert_eq!(
                joined_and_described(&mut client).await,
                [expected.code(); 2],
                "{protocols}"
            );
        }
    });
}

#[test]
fn the_consumer_protocol_is_served_only_where_its_feature_is_on() {
    use m::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.connect().await;
        let unsafe_downgrade = 3;
        for (level, kind, expected) in
            [(0, unsafe_downgrade, ErrorCode::UnsupportedVersion), (1, 1, ErrorCode::None)]
        {
            let update = FeatureUpdateKey {
                feature: "group.version".into(),
                max_version_level: level,
                upgrade_type: kind,
                ..Default::default()
            };
            let request =
                UpdateFeaturesRequest { feature_updates: vec![update], ..Default::default() };
            assert_eq!(client.call(&request, 2).await.error_code, 0);
            assert_eq!(joined_and_described(&mut client).await, [expected.code(); 2], "{level}");
        }
    });
}

/// The codes that a member of the consumer protocol and a describer of its group get.
async fn joined_and_described(client: &mut Client) -> [i16; 2] {
    let join = m::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest {
        group_id: "g".into(),
        member_id: "member".into(),
        rebalance_timeout_ms: 1000,
        subscribed_topic_names: Some(vec!["t".into()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let find = m::find_coordinator_request::FindCoordinatorRequest {
        coordinator_keys: vec!["g".into()],
        ..Default::default()
    };
    while client.call(&find, 6).await.coordinators[0].error_code != 0 {}
    let joined = loop {
        let code = client.call(&join, 1).await.error_code;
        if code != ErrorCode::CoordinatorLoadInProgress.code() {
            break code;
        }
    };
    let describe = m::consumer_group_describe_request::ConsumerGroupDescribeRequest {
        group_ids: vec!["g".into()],
        ..Default::default()
    };
    [joined, client.call(&describe, 1).await.groups[0].error_code]
}
