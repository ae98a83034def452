//! The harness against the real Apache Kafka.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "looks at the files of a real process")]

use afluente_harness::broker::{Broker, Program};
use afluente_harness::java::{Jars, Java, output_of};

#[test]
fn a_broker_starts_answers_its_tools_and_comes_back_after_stop_and_kill() {
    let Some(java) = Java::or_skip(Jars::Kafka, "a real Apache Kafka") else { return };
    let mut broker = Broker::start(Program::Apache(java.clone()), &[]).unwrap();
    let topics = |arguments: &[&str]| {
        let mut command = java.class("org.apache.kafka.tools.TopicCommand");
        output_of(command.args(["--bootstrap-server", &broker.bootstrap()]).args(arguments))
            .unwrap()
    };
    topics(&["--create", "--topic", "kept", "--partitions", "2"]);
    assert_eq!(topics(&["--list"]), "kept\n");

    broker.stop().unwrap();
    broker.start_again().unwrap();
    broker.kill().unwrap();
    broker.start_again().unwrap();
    assert!(broker.data_dir().join("kept-1").is_dir());
    broker.stop().unwrap();
}
