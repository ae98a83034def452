//! Versions and frames: what is served, what is refused, and how.

use super::super::Both;
use super::Dice;
use afluente_protocol::messages::api_versions_request::ApiVersionsRequest;
use afluente_protocol::messages::describe_quorum_request::{
    DescribeQuorumRequest, PartitionData, TopicData,
};
use afluente_protocol::messages::get_telemetry_subscriptions_request::GetTelemetrySubscriptionsRequest;
use afluente_protocol::messages::metadata_request::MetadataRequest;
use afluente_protocol::uuid::Uuid;

pub(crate) fn script(both: &mut Both, dice: &mut Dice) {
    for _ in 0..4 {
        let name = dice.pick(&["script", "", "a b", "-bad-"]).to_owned();
        both.ask(dice.version(3..=4), |_| ApiVersionsRequest {
            client_software_name: name.clone(),
            client_software_version: "1.0".to_owned(),
            ..Default::default()
        });
        refused(both, dice);
    }
    both.ask(dice.version(0..=2), |_| ApiVersionsRequest::default());
    both.ask(4, |_| MetadataRequest { topics: Some(vec![]), ..Default::default() });
    let topic_name = dice.pick(&["__cluster_metadata", "other"]).to_owned();
    let partition_index = dice.pick(&[0, 1]);
    both.ask(0, |_| DescribeQuorumRequest {
        topics: vec![TopicData {
            topic_name: topic_name.clone(),
            partitions: vec![PartitionData { partition_index }],
        }],
    });
    both.ask(0, |_| GetTelemetrySubscriptionsRequest { client_instance_id: Uuid([3; 16]) });
}

/// A header that asks for what there is not, or too few bytes for a header.
fn refused(both: &mut Both, dice: &mut Dice) {
    let key: i16 = dice.pick(&[3, 0, 1, 18, 18, 4, 7, 99, -1, 52, 10, 60]);
    let version: i16 = dice.pick(&[-1, 99, 30_000, 20]);
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(7_i32.to_be_bytes());
    frame.extend((-1_i16).to_be_bytes());
    match dice.number(3) {
        0 => frame.truncate(dice.number(9)),
        1 => frame.extend([0; 5]),
        _ => {}
    }
    both.ask_raw("header", &frame);
}
