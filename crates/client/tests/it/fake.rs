//! A cluster of scripted brokers, for tests of everything that stands on the client.
//!
//! A [`FakeCluster`] listens on real sockets on loopback. Out of the box each broker speaks every
//! version, describes the cluster (topics and leaders are what the test set), and says that it
//! coordinates everything. A test gives an API its behaviour with [`FakeCluster::on`], and what
//! happens once, before that, with [`FakeCluster::once`]; it can look at what came
//! ([`FakeCluster::seen`]), cut connections, and stop and start a broker on the same port.
#![allow(dead_code, reason = "each test uses what it needs")]

use afluente_client::config::ServerAddress;
use afluente_client::{Client, ClientConfig};
use afluente_env::Env;
use afluente_env::net::{ListenOptions, Listener, Stream};
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::frame::{SIZE_LEN, read_request_header};
use afluente_protocol::message::{Message, Request};
use afluente_protocol::messages::api_versions_request::ApiVersionsRequest;
use afluente_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use afluente_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use afluente_protocol::messages::find_coordinator_response::{
    Coordinator, FindCoordinatorResponse,
};
use afluente_protocol::messages::metadata_request::MetadataRequest;
use afluente_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use afluente_protocol::reader::Reader;
use afluente_protocol::uuid::Uuid;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Brokers that do what a test says. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FakeCluster(Arc<Mutex<State>>);

struct State {
    env: Env,
    brokers: Vec<Broker>,
    topics: BTreeMap<String, Topic>,
    handlers: BTreeMap<i16, Handler>,
    once: BTreeMap<i16, VecDeque<Handler>>,
    seen: Vec<Seen>,
    versions: BTreeMap<i16, (i16, i16)>,
    coordinator: i32,
    controller: i32,
    connections: usize,
}

struct Broker {
    id: i32,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
    /// A change closes every connection of the broker.
    cut: watch::Sender<u64>,
    is_advertised: bool,
}

/// A topic as metadata shows it.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    /// Leader and its epoch, by partition; -1 is no leader.
    pub(crate) leaders: Vec<(i32, i32)>,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) broker: i32,
    /// Counts the connections of the whole cluster, from 1.
    pub(crate) connection: usize,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) client_id: Option<String>,
    pub(crate) body: Bytes,
}

impl Seen {
    /// The request itself.
    pub(crate) fn request<R: Request>(&self) -> R {
        assert_eq!(self.key, R::KEY);
        R::from_bytes(self.body.clone(), self.version).unwrap()
    }
}

/// What a broker does with a request.
pub(crate) enum Reply<T> {
    /// Answers at once.
    Answer(T),
    /// Answers after a while; requests behind it on the connection wait, as at a real broker.
    After(Duration, T),
    /// Takes the request and never answers; requests behind it are not read.
    Silence,
    /// Takes the request, does what there is to do, and gives no answer: acks=0.
    Nothing,
    /// Closes the connection without an answer.
    Close,
    /// Answers, then closes the connection.
    AnswerAndClose(T),
    /// Sends bytes that are no answer.
    Raw(Bytes),
}

type Handler = Box<dyn FnMut(&Seen) -> Reply<Bytes> + Send>;

impl FakeCluster {
    /// `count` brokers with ids from 1, on free ports. Broker 1 is controller and coordinator.
    pub(crate) async fn start(count: usize) -> Self {
        let cluster = Self(Arc::new(Mutex::new(State {
            env: Env::real(),
            brokers: Vec::new(),
            topics: BTreeMap::new(),
            handlers: BTreeMap::new(),
            once: BTreeMap::new(),
            seen: Vec::new(),
            versions: ApiKey::ALL
                .iter()
                .filter_map(|key| Some((key.number(), key.supported()?.into_inner())))
                .collect(),
            coordinator: 1,
            controller: 1,
            connections: 0,
        })));
        cluster.on::<ApiVersionsRequest>({
            let cluster = cluster.clone();
            move |_, seen| Reply::Answer(cluster.api_versions(seen))
        });
        cluster.on::<MetadataRequest>({
            let cluster = cluster.clone();
            move |request, _| Reply::Answer(cluster.metadata(&request))
        });
        cluster.on::<FindCoordinatorRequest>({
            let cluster = cluster.clone();
            move |request, _| Reply::Answer(cluster.find_coordinator(request))
        });
        for index in 0..count {
            let id = i32::try_from(index + 1).unwrap();
            let env = Env::real();
            let listener = env.net.listen("127.0.0.1:0".parse().unwrap(), ListenOptions::default());
            let listener = listener.await.unwrap();
            let address = listener.local_addr().unwrap();
            cluster.0.lock().brokers.push(Broker {
                id,
                address,
                acceptor: None,
                cut: watch::Sender::new(0),
                is_advertised: true,
            });
            cluster.accept(id, listener);
        }
        cluster
    }

    /// `host:port` of every broker, comma separated.
    pub(crate) fn bootstrap(&self) -> String {
        let state = self.0.lock();
        let all: Vec<String> =
            state.brokers.iter().map(|broker| broker.address.to_string()).collect();
        all.join(",")
    }

    /// Where broker `id` listens.
    pub(crate) fn address(&self, id: i32) -> ServerAddress {
        let address = self.0.lock().broker(id).address;
        ServerAddress { host: address.ip().to_string(), port: address.port() }
    }

    /// A client of this cluster with short waits, and `properties` on top.
    pub(crate) fn client(&self, properties: &[(&str, &str)]) -> Client {
        Client::new(Env::real(), self.client_config(properties)).unwrap()
    }

    /// The configuration of [`FakeCluster::client`].
    pub(crate) fn client_config(&self, properties: &[(&str, &str)]) -> ClientConfig {
        let bootstrap = self.bootstrap();
        let quick = [
            ("bootstrap.servers", bootstrap.as_str()),
            ("retry.backoff.ms", "1"),
            ("retry.backoff.max.ms", "5"),
            ("reconnect.backoff.ms", "1"),
            ("reconnect.backoff.max.ms", "5"),
        ];
        ClientConfig::from_properties(quick.iter().chain(properties).copied()).unwrap()
    }

    /// Makes a topic; the leaders are the brokers in turn, with epoch 0.
    pub(crate) fn create_topic(&self, name: &str, partitions: usize) {
        let mut state = self.0.lock();
        let ids: Vec<i32> = state.brokers.iter().map(|broker| broker.id).collect();
        let leaders = (0..partitions).map(|index| (ids[index % ids.len()], 0)).collect();
        let mut id = [0; 16];
        id[0] = 1;
        id[15] = u8::try_from(state.topics.len() + 1).unwrap();
        state.topics.insert(name.into(), Topic { id: Uuid(id), leaders });
    }

    /// Changes what metadata says of a topic, or takes the topic away.
    pub(crate) fn change_topic(&self, name: &str, change: impl FnOnce(&mut Option<Topic>)) {
        let mut state = self.0.lock();
        let mut topic = state.topics.remove(name);
        change(&mut topic);
        if let Some(topic) = topic {
            state.topics.insert(name.into(), topic);
        }
    }

    /// Moves a partition to another leader, with the next epoch.
    pub(crate) fn move_leader(&self, topic: &str, partition: usize, to: i32) {
        self.change_topic(topic, |topic| {
            let leader = &mut topic.as_mut().unwrap().leaders[partition];
            *leader = (to, leader.1 + 1);
        });
    }

    /// The leader of a partition, and its epoch.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> (i32, i32) {
        self.0.lock().topics[topic].leaders[usize::try_from(partition).unwrap()]
    }

    /// The id of a topic.
    pub(crate) fn topic_id(&self, name: &str) -> Uuid {
        self.0.lock().topics[name].id
    }

    /// Who coordinates everything.
    pub(crate) fn set_coordinator(&self, id: i32) {
        self.0.lock().coordinator = id;
    }

    /// Which versions of an API are offered; `None` for none.
    pub(crate) fn offer(&self, key: ApiKey, versions: Option<(i16, i16)>) {
        let mut state = self.0.lock();
        match versions {
            Some(versions) => state.versions.insert(key.number(), versions),
            None => state.versions.remove(&key.number()),
        };
    }

    /// How every request of a kind is answered from here on.
    pub(crate) fn on<R: Request>(
        &self,
        handler: impl FnMut(R, &Seen) -> Reply<R::Response> + Send + 'static,
    ) {
        self.0.lock().handlers.insert(R::KEY.number(), erased::<R>(handler));
    }

    /// How the next request of a kind is answered; several are used up in their order.
    pub(crate) fn once<R: Request>(
        &self,
        handler: impl FnMut(R, &Seen) -> Reply<R::Response> + Send + 'static,
    ) {
        let handler = erased::<R>(handler);
        self.0.lock().once.entry(R::KEY.number()).or_default().push_back(handler);
    }

    /// Every request of a kind that came so far, in order.
    pub(crate) fn seen(&self, key: ApiKey) -> Vec<Seen> {
        self.0.lock().seen.iter().filter(|seen| seen.key == key).cloned().collect()
    }

    /// Every request that came so far, in order.
    pub(crate) fn all_seen(&self) -> Vec<Seen> {
        self.0.lock().seen.clone()
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.0.lock().connections
    }

    /// Closes every connection to a broker, which goes on listening.
    pub(crate) fn cut(&self, id: i32) {
        self.0.lock().broker(id).cut.send_modify(|times| *times += 1);
    }

    /// Stops a broker: connections are closed and refused. `forget` takes it out of the metadata.
    pub(crate) async fn stop(&self, id: i32, forget: bool) {
        let acceptor = {
            let mut state = self.0.lock();
            let broker = state.broker(id);
            broker.is_advertised &= !forget;
            broker.acceptor.take()
        };
        if let Some(acceptor) = acceptor {
            acceptor.abort();
            let _ = acceptor.await;
        }
        self.cut(id);
    }

    /// Starts a stopped broker on its port.
    pub(crate) async fn start_again(&self, id: i32) {
        let (env, address) = {
            let mut state = self.0.lock();
            state.broker(id).is_advertised = true;
            (state.env.clone(), state.broker(id).address)
        };
        let listener = env.net.listen(address, ListenOptions::default()).await.unwrap();
        self.accept(id, listener);
    }

    fn accept(&self, id: i32, listener: Listener) {
        let cluster = self.clone();
        let env = self.0.lock().env.clone();
        let tasks = env.tasks.clone();
        let acceptor = env.tasks.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (number, cut) = {
                    let mut state = cluster.0.lock();
                    state.connections += 1;
                    (state.connections, state.broker(id).cut.subscribe())
                };
                tasks.spawn(cluster.clone().serve(id, number, stream, cut));
            }
        });
        self.0.lock().broker(id).acceptor = Some(acceptor);
    }

    async fn serve(
        self,
        broker: i32,
        connection: usize,
        mut stream: Stream,
        mut cut: watch::Receiver<u64>,
    ) {
        let serve = async {
            loop {
                let mut size = [0; SIZE_LEN];
                if stream.read_exact(&mut size).await.is_err() {
                    return;
                }
                let mut frame = BytesMut::zeroed(u32::from_be_bytes(size) as usize);
                if stream.read_exact(&mut frame).await.is_err() {
                    return;
                }
                if !self.answer(broker, connection, frame.freeze(), &mut stream).await {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            _ = cut.changed() => {}
            () = serve => {}
        }
    }

    /// Answers one request; false closes the connection.
    async fn answer(
        &self,
        broker: i32,
        connection: usize,
        frame: Bytes,
        stream: &mut Stream,
    ) -> bool {
        let mut reader = Reader::new(frame.clone());
        let (key, header) = read_request_header(&mut reader).unwrap();
        let version = header.request_api_version;
        let body = frame.slice(frame.len() - reader.remaining()..);
        let client_id = header.client_id;
        let seen = Seen { broker, connection, key, version, client_id, body };
        self.0.lock().seen.push(seen.clone());
        // A handler is taken out while it runs: it may ask the cluster something.
        let once = self.0.lock().once.get_mut(&key.number()).and_then(VecDeque::pop_front);
        let reply = match once {
            Some(mut handler) => handler(&seen),
            None => {
                let handler = self.0.lock().handlers.remove(&key.number());
                let mut handler = handler.unwrap_or_else(|| panic!("no script for {key}"));
                let reply = handler(&seen);
                self.0.lock().handlers.entry(key.number()).or_insert(handler);
                reply
            }
        };
        let (bytes, goes_on) = match reply {
            Reply::Answer(body) => (body, true),
            Reply::After(wait, body) => {
                let clock = self.0.lock().env.clock.clone();
                clock.sleep(wait).await;
                (body, true)
            }
            Reply::AnswerAndClose(body) => (body, false),
            Reply::Silence => std::future::pending().await,
            Reply::Nothing => return true,
            Reply::Close => return false,
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return true;
            }
        };
        let mut framed = BytesMut::new();
        let is_tagged = key.response_header_version(version) == 1;
        let size = 4 + usize::from(is_tagged) + bytes.len();
        framed.extend_from_slice(&u32::try_from(size).unwrap().to_be_bytes());
        framed.extend_from_slice(&header.correlation_id.to_be_bytes());
        if is_tagged {
            framed.extend_from_slice(&[0]);
        }
        framed.extend_from_slice(&bytes);
        stream.write_all(&framed).await.is_ok() && goes_on
    }

    fn api_versions(&self, seen: &Seen) -> ApiVersionsResponse {
        let state = self.0.lock();
        let (first, last) = state.versions[&ApiKey::ApiVersions.number()];
        let error = if (first..=last).contains(&seen.version) {
            ErrorCode::None
        } else {
            ErrorCode::UnsupportedVersion
        };
        ApiVersionsResponse {
            error_code: error.code(),
            api_keys: state
                .versions
                .iter()
                .map(|(&api_key, &(min_version, max_version))| ApiVersion {
                    api_key,
                    min_version,
                    max_version,
                })
                .collect(),
            ..Default::default()
        }
    }

    /// What a broker of this cluster answers to `MetadataRequest`.
    pub(crate) fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let state = self.0.lock();
        let names: Vec<String> = match &request.topics {
            None => state.topics.keys().cloned().collect(),
            Some(topics) => topics
                .iter()
                .filter_map(|topic| {
                    topic.name.clone().or_else(|| {
                        let found =
                            state.topics.iter().find(|(_, found)| found.id == topic.topic_id);
                        found.map(|(name, _)| name.clone())
                    })
                })
                .collect(),
        };
        let brokers = state.brokers.iter().filter(|broker| broker.is_advertised);
        MetadataResponse {
            brokers: brokers
                .map(|broker| MetadataResponseBroker {
                    node_id: broker.id,
                    host: broker.address.ip().to_string(),
                    port: broker.address.port().into(),
                    rack: None,
                })
                .collect(),
            cluster_id: Some("fake".into()),
            controller_id: state.controller,
            topics: names.into_iter().map(|name| state.describe(name)).collect(),
            ..Default::default()
        }
    }

    fn find_coordinator(&self, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        let mut state = self.0.lock();
        let id = state.coordinator;
        let address = state.broker(id).address;
        let (host, port) = (address.ip().to_string(), i32::from(address.port()));
        if request.coordinator_keys.is_empty() {
            // Versions before 4 ask for one key, and answer without a list.
            return FindCoordinatorResponse { node_id: id, host, port, ..Default::default() };
        }
        let coordinators = request.coordinator_keys.into_iter().map(|key| Coordinator {
            key,
            node_id: id,
            host: host.clone(),
            port,
            ..Default::default()
        });
        FindCoordinatorResponse { coordinators: coordinators.collect(), ..Default::default() }
    }
}

impl State {
    fn broker(&mut self, id: i32) -> &mut Broker {
        self.brokers.iter_mut().find(|broker| broker.id == id).unwrap()
    }

    fn describe(&self, name: String) -> MetadataResponseTopic {
        let Some(topic) = self.topics.get(&name) else {
            let error_code = ErrorCode::UnknownTopicOrPartition.code();
            return MetadataResponseTopic { error_code, name: Some(name), ..Default::default() };
        };
        let partitions = (0..).zip(&topic.leaders).map(|(index, &(leader, epoch))| {
            let error = if leader < 0 { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
            MetadataResponsePartition {
                error_code: error.code(),
                partition_index: index,
                leader_id: leader,
                leader_epoch: epoch,
                replica_nodes: vec![leader],
                isr_nodes: vec![leader],
                offline_replicas: vec![],
            }
        });
        MetadataResponseTopic {
            name: Some(name),
            topic_id: topic.id,
            partitions: partitions.collect(),
            ..Default::default()
        }
    }
}

fn erased<R: Request>(
    mut handler: impl FnMut(R, &Seen) -> Reply<R::Response> + Send + 'static,
) -> Handler {
    Box::new(move |seen| {
        // A broker answers a version of ApiVersions that it does not know in version 0.
        let is_known = R::VERSIONS.contains(&seen.version);
        let request = if is_known { seen.request::<R>() } else { R::default() };
        let encode = |response: R::Response| {
            let probe = |version| response.to_bytes(version).unwrap();
            match R::KEY {
                ApiKey::ApiVersions if is_refusal(&probe(0)) => probe(0),
                _ => probe(seen.version),
            }
        };
        match handler(request, seen) {
            Reply::Answer(response) => Reply::Answer(encode(response)),
            Reply::After(wait, response) => Reply::After(wait, encode(response)),
            Reply::AnswerAndClose(response) => Reply::AnswerAndClose(encode(response)),
            Reply::Silence => Reply::Silence,
            Reply::Nothing => Reply::Nothing,
            Reply::Close => Reply::Close,
            Reply::Raw(bytes) => Reply::Raw(bytes),
        }
    })
}

/// Whether an answer to ApiVersions refuses the version.
fn is_refusal(body: &Bytes) -> bool {
    body.starts_with(&ErrorCode::UnsupportedVersion.code().to_be_bytes())
}

/// Waits until `condition` holds; what makes it true is on its way.
pub(crate) async fn eventually(condition: impl Fn() -> bool) {
    let clock = Env::real().clock;
    while !condition() {
        clock.sleep(Duration::from_millis(1)).await;
    }
}

/// Runs a test on a runtime of its own.
pub(crate) fn run<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}
