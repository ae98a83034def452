//! The client against real brokers: our binary, and Apache Kafka 4.3 and 3.9 where Java and the jars
//! are there.

mod administering;
mod consuming;
mod producing;
mod secured;

use afluente_client::metadata::TopicsAsked;
use afluente_client::{Client, ClientConfig, Target};
use afluente_env::Env;
use afluente_harness::broker::{Broker, Program};
use afluente_harness::java::{Jars, Java};
use afluente_harness::skip::skipped;
use afluente_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};

/// A broker, and a client for what is around the test.
struct Cluster {
    broker: Broker,
    client: Client,
}

/// Kafka 3.9 has the groups of KIP-848 behind a switch.
const WITH_CONSUMER_GROUPS: &[(&str, &str)] =
    &[("group.coordinator.rebalance.protocols", "classic,consumer")];

/// Our binary as it was last built beside this test, in whole runs of the workspace the present one.
fn ours(what: &str) -> Option<Cluster> {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join("afluente");
    if !matches!(Env::real().disk.metadata(&binary), Ok(Some(_))) {
        skipped(what, "the binary afluente is not built");
        return None;
    }
    Some(Cluster::start(Program::Afluente(binary), &[("http.listener", "")]))
}

fn apache(jars: Jars, what: &str) -> Option<Cluster> {
    let overrides = if jars == Jars::Kafka39 { WITH_CONSUMER_GROUPS } else { &[] };
    Java::or_skip(jars, what).map(|java| Cluster::start(Program::Apache(java), overrides))
}

impl Cluster {
    fn start(program: Program, overrides: &[(&str, &str)]) -> Self {
        let broker = Broker::start(program, overrides).unwrap();
        let config = ClientConfig::from_properties([("bootstrap.servers", broker.bootstrap())]);
        let client = Client::new(Env::real(), config.unwrap()).unwrap();
        Self { broker, client }
    }

    async fn create_topic(&self, name: &str, partitions: i32) {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let response =
            self.client.send(Target::Controller, request, self.client.deadline()).await.unwrap();
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
        let asked = TopicsAsked::named([name]);
        loop {
            let metadata = self.client.refresh(&asked, self.client.deadline()).await.unwrap();
            if (0..partitions).all(|partition| metadata.leader(name, partition).is_some()) {
                return;
            }
        }
    }
}
