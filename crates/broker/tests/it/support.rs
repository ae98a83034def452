//! A broker in this process, and a client that sends what it is told to.

use afluente_broker::config::{Config, Inputs, Settings};
use afluente_broker::server::{Server, StartError};
use afluente_env::Env;
use afluente_env::net::Stream;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::frame::{read_response_header, request_frame};
use afluente_protocol::message::{Message, Request};
use afluente_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use afluente_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use afluente_protocol::messages::fetch_response::FetchResponse;
use afluente_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use afluente_protocol::messages::produce_response::ProduceResponse;
use afluente_protocol::reader::Reader;
use afluente_protocol::rope::Records;
use bytes::Bytes;
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) struct TestBroker {
    pub(crate) server: Server,
    settings: Vec<(String, String)>,
    dir: TempDir,
}

/// Runs a test on a runtime of its own.
pub(crate) fn run<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

impl TestBroker {
    pub(crate) async fn start(overrides: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut all: Vec<(String, String)> = vec![
            ("listeners".into(), "PLAINTEXT://127.0.0.1:0".into()),
            ("log.dirs".into(), dir.path().display().to_string()),
            ("http.listener".into(), "127.0.0.1:0".into()),
        ];
        all.extend(overrides.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let server = serve(&all).await.unwrap();
        Self { server, settings: all, dir }
    }

    /// Stops, lets something be done to the directory, and starts again.
    pub(crate) async fn restarted(self, meanwhile: impl FnOnce(&Path)) -> Result<Self, StartError> {
        self.server.stop().await.unwrap();
        meanwhile(self.dir.path());
        let server = serve(&self.settings).await?;
        Ok(Self { server, settings: self.settings, dir: self.dir })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.addresses()[0].1
    }

    pub(crate) async fn connect(&self) -> Client {
        Client { stream: connect(self.address()).await, next_id: 1 }
    }

    /// A client, after making topic `t` with `partitions`.
    pub(crate) async fn with_topic(&self, partitions: i32) -> Client {
        let mut client = self.connect().await;
        let topic = CreatableTopic {
            name: "t".into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        let response = client.call(&request, 7).await;
        assert_eq!(response.topics[0].error_code, 0);
        client
    }
}

async fn serve(settings: &[(String, String)]) -> Result<Server, StartError> {
    let inputs = Inputs { overrides: settings.to_vec(), ..Inputs::default() };
    let (config, _) = Config::load(inputs).unwrap();
    let settings = Settings::read(&config).unwrap();
    Server::start(Env::real(), config, settings).await
}

pub(crate) async fn connect(address: SocketAddr) -> Stream {
    Env::real().net.connect(&address.ip().to_string(), address.port()).await.unwrap()
}

pub(crate) struct Client {
    pub(crate) stream: Stream,
    next_id: i32,
}

impl Client {
    /// Sends a request and reads the answer to it.
    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let id = self.send(request, version).await;
        self.receive::<R>(version, id).await
    }

    /// Sends a request; gives its correlation id.
    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        let id = self.next_id;
        self.next_id += 1;
        let frame = request_frame(request, version, id, Some("test")).unwrap().into_bytes();
        self.stream.write_all(&frame).await.unwrap();
        id
    }

    /// Reads an answer, which must be the one to the request of that correlation id.
    pub(crate) async fn receive<R: Request>(&mut self, version: i16, id: i32) -> R::Response {
        let frame = self.frame().await.expect("an answer, and not the end of the connection");
        let mut reader = Reader::new(frame);
        assert_eq!(read_response_header(&mut reader, R::KEY, version).unwrap(), id);
        let response = R::Response::decode(&mut reader, version).unwrap();
        reader.expect_end().unwrap();
        response
    }

    /// The next frame; `None` when the broker has closed.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let mut size = [0; 4];
        match self.stream.read_exact(&mut size).await {
            Ok(_) => {}
            Err(_) => return None,
        }
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        self.stream.read_exact(&mut frame).await.unwrap();
        Some(frame.into())
    }

    /// Whether the broker still answers.
    pub(crate) async fn is_served(&mut self) -> bool {
        let request = afluente_protocol::messages::metadata_request::MetadataRequest::default();
        let id = self.next_id;
        self.next_id += 1;
        let frame = request_frame(&request, 12, id, None).unwrap().into_bytes();
        if self.stream.write_all(&frame).await.is_err() {
            return false;
        }
        match self.frame().await {
            None => false,
            Some(frame) => {
                let mut reader = Reader::new(frame);
                read_response_header(&mut reader, ApiKey::Metadata, 12).unwrap() == id
            }
        }
    }

    pub(crate) async fn produce(&mut self, partition: i32, batch: Bytes) -> ProduceResponse {
        self.call(&produce_request(partition, batch, -1), 9).await
    }

    pub(crate) async fn fetch(
        &mut self,
        partition: i32,
        offset: i64,
        wait_ms: i32,
    ) -> FetchResponse {
        self.call(&fetch_request(&[(partition, offset)], wait_ms), 12).await
    }
}

pub(crate) fn produce_request(partition: i32, batch: Bytes, acks: i16) -> ProduceRequest {
    let data = PartitionProduceData { index: partition, records: Some(Records::from(batch)) };
    let topic =
        TopicProduceData { name: "t".into(), partition_data: vec![data], ..Default::default() };
    ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() }
}

pub(crate) fn fetch_request(partitions: &[(i32, i64)], wait_ms: i32) -> FetchRequest {
    let partitions = partitions.iter().map(|&(partition, fetch_offset)| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        ..Default::default()
    });
    let topic =
        FetchTopic { topic: "t".into(), partitions: partitions.collect(), ..Default::default() };
    FetchRequest {
        replica_id: -1,
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    }
}

/// A record batch without compression, of `count` records that hold `size` bytes each.
pub(crate) fn batch(count: i32, size: usize) -> Bytes {
    let mut records = Vec::new();
    for delta in 0..count {
        let mut record = vec![0]; // attributes
        put_varint(&mut record, 0); // timestamp delta
        put_varint(&mut record, i64::from(delta));
        put_varint(&mut record, -1); // no key
        put_varint(&mut record, i64::try_from(size).unwrap());
        record.extend(std::iter::repeat_n(b'x', size));
        put_varint(&mut record, 0); // no headers
        put_varint(&mut records, i64::try_from(record.len()).unwrap());
        records.extend(record);
    }
    let mut checked = Vec::new();
    checked.extend(0_i16.to_be_bytes()); // attributes
    checked.extend((count - 1).to_be_bytes()); // last offset delta
    checked.extend(NOW_MS.to_be_bytes());
    checked.extend(NOW_MS.to_be_bytes());
    checked.extend((-1_i64).to_be_bytes()); // producer id
    checked.extend((-1_i16).to_be_bytes()); // producer epoch
    checked.extend((-1_i32).to_be_bytes()); // base sequence
    checked.extend(count.to_be_bytes());
    checked.extend(records);
    let crc = afluente_stdx::crc32c::crc32c(&checked);
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend(i32::try_from(checked.len() + 9).unwrap().to_be_bytes());
    batch.extend((-1_i32).to_be_bytes()); // leader epoch
    batch.push(2); // magic
    batch.extend(crc.to_be_bytes());
    batch.extend(checked);
    batch.into()
}

/// A day in 2023: within what a topic accepts by default.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

fn put_varint(to: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        to.push((zigzag as u8 & 0x7f) | 0x80);
        zigzag >>= 7;
    }
    to.push(zigzag as u8);
}
