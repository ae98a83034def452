//! What happens to fields in versions that lack them.

use afluente_protocol::message::{EncodeError, Message as _};
use afluente_protocol::messages::fetch_request::{FetchRequest, FetchTopic, ForgottenTopic};
use afluente_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use afluente_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use afluente_protocol::rope::Records;
use afluente_protocol::uuid::Uuid;
use bytes::Bytes;

#[test]
fn a_field_that_may_not_be_dropped_makes_the_version_impossible() {
    let request = FetchRequest {
        forgotten_topics_data: vec![ForgottenTopic::default()],
        ..Default::default()
    };
    assert_eq!(
        request.to_bytes(6),
        Err(EncodeError::Absent { field: "FetchRequest.ForgottenTopicsData", version: 6 })
    );
    assert!(request.to_bytes(7).is_ok());
}

#[test]
fn an_ignorable_field_is_dropped_in_silence() {
    let topic = FetchTopic { topic: "t".into(), topic_id: Uuid::ONE, ..Default::default() };
    let request = FetchRequest { topics: vec![topic], ..Default::default() };
    for (version, name, id) in [(12, "t", Uuid::ZERO), (13, "", Uuid::ONE)] {
        let back = FetchRequest::from_bytes(request.to_bytes(version).unwrap(), version).unwrap();
        assert_eq!((back.topics[0].topic.as_str(), back.topics[0].topic_id), (name, id));
    }
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    let all_topics = MetadataRequest { topics: None, ..Default::default() };
    assert!(all_topics.to_bytes(1).is_ok());
    assert_eq!(
        all_topics.to_bytes(0),
        Err(EncodeError::Null { field: "MetadataRequest.Topics", version: 0 })
    );
    let by_id = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { topic_id: Uuid::ONE, name: None }]),
        ..Default::default()
    };
    assert_eq!(
        by_id.to_bytes(9),
        Err(EncodeError::Null { field: "MetadataRequestTopic.Name", version: 9 })
    );
    assert!(by_id.to_bytes(10).is_ok());
}

#[test]
fn a_version_that_does_not_exist_is_refused() {
    let error = EncodeError::UnsupportedVersion { message: "ProduceRequest", version: 2 };
    assert_eq!(ProduceRequest::default().to_bytes(2), Err(error));
}

#[test]
fn records_pass_through_by_reference_both_ways() {
    let batch = Bytes::from(vec![5; 100_000]);
    let partition =
        PartitionProduceData { records: Some(Records::from(batch.clone())), ..Default::default() };
    let topic = TopicProduceData { partition_data: vec![partition], ..Default::default() };
    let request = ProduceRequest { topic_data: vec![topic], ..Default::default() };
    let mut writer = afluente_protocol::writer::Writer::new();
    request.encode(&mut writer, 13).unwrap();
    let pieces = writer.finish();
    assert!(pieces.pieces().iter().any(|piece| piece.as_ptr() == batch.as_ptr()));

    let wire = pieces.into_bytes();
    let back = ProduceRequest::from_bytes(wire.clone(), 13).unwrap();
    let records = back.topic_data[0].partition_data[0].records.clone().unwrap();
    assert_eq!(records.len(), batch.len());
    assert!(wire.as_ptr_range().contains(&records.pieces()[0].as_ptr()));
}
