//! A client of one connection and one request at a time, that needs nothing before its first one.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use afluente_protocol::frame::{read_response_header, request_frame};
use afluente_protocol::message::{Message as _, Request};
use afluente_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use afluente_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use afluente_protocol::messages::metadata_request::MetadataRequest;
use afluente_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use afluente_protocol::reader::Reader;
use afluente_protocol::records::{BatchBuilder, BatchOptions, Compressor, NewRecord};
use afluente_protocol::rope::Records;
use anyhow::{Result, ensure};
use bytes::Bytes;

/// An answer that takes longer is none.
const ANSWER_MAX: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 64 << 20;

pub(super) struct Wire {
    stream: TcpStream,
}

impl Wire {
    pub(super) fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream })
    }

    pub(super) fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response> {
        let frame = request_frame(request, version, 1, Some("afluente-bench"))?;
        self.stream.write_all(&frame.into_bytes())?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = usize::try_from(i32::from_be_bytes(size))?;
        ensure!(size <= ANSWER_BYTES_MAX, "an answer of {size} bytes");
        let mut answer = vec![0; size];
        self.stream.read_exact(&mut answer)?;
        let mut reader = Reader::new(Bytes::from(answer));
        read_response_header(&mut reader, R::KEY, version)?;
        Ok(R::Response::decode(&mut reader, version)?)
    }

    /// How many brokers there are, by their own account.
    pub(super) fn brokers(&mut self) -> Result<usize> {
        let request = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
        Ok(self.call(&request, 4)?.brokers.len())
    }

    pub(super) fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<()> {
        let config = |&(name, value): &(&str, &str)| CreatableTopicConfig {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.to_owned(),
                num_partitions: partitions,
                replication_factor: 1,
                configs: configs.iter().map(config).collect(),
                ..Default::default()
            }],
            timeout_ms: 30_000,
            ..Default::default()
        };
        let answer = self.call(&request, 5)?;
        let code = answer.topics.first().map_or(0, |topic| topic.error_code);
        ensure!(code == 0, "the topic {name} cannot be made: error {code}");
        Ok(())
    }

    pub(super) fn delete_topic(&mut self, name: &str) -> Result<()> {
        let request = DeleteTopicsRequest {
            topic_names: vec![name.to_owned()],
            timeout_ms: 30_000,
            ..Default::default()
        };
        self.call(&request, 4)?;
        Ok(())
    }

    /// Produces one small record to each of these partitions, with `acks=all`; gives those that did
    /// not take it.
    pub(super) fn produce(&mut self, topic: &str, partitions: &[i32]) -> Result<Vec<i32>> {
        let records = one_record()?;
        let part = |&index: &i32| PartitionProduceData {
            index,
            records: Some(Records::from(records.clone())),
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: topic.to_owned(),
                partition_data: partitions.iter().map(part).collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = self.call(&request, 9)?;
        let refused = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        Ok(refused.filter(|part| part.error_code != 0).map(|part| part.index).collect())
    }
}

fn one_record() -> Result<Bytes> {
    let value = [b'x'; 100];
    // A broker refuses times that are far ahead of its own.
    let timestamp = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let record = NewRecord { timestamp, key: None, value: Some(&value), headers: &[] };
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&record)?;
    Ok(builder.finish(&mut Compressor::new())?)
}
