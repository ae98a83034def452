//! Tools that produce, beside Kafka's own: the same lines, but for the numbers in them.

use afluente_harness::broker::{Broker, Program};
use afluente_harness::java::{Jars, Java, output_of};
use std::process::Command;

/// A text with every number in it as `#`, so that only what is said is left.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        let is_in_number = c == '.' && shown.ends_with('#');
        match c {
            '0'..='9' if shown.ends_with('#') => {}
            '0'..='9' => shown.push('#'),
            _ if is_in_number => {}
            _ => shown.push(c),
        }
    }
    shown.replace("#E-#", "#")
}

/// What our tool and, where there is Java, Kafka's say to the same command line.
fn both(broker: &Broker, tool: &str, class: &str, arguments: &[&str]) -> Vec<String> {
    let bootstrap = broker.bootstrap();
    let with_server = |command: &mut Command| {
        command.args(["--bootstrap-server", &bootstrap]).args(arguments);
    };
    let mut ours = Command::new(env!("CARGO_BIN_EXE_afluente"));
    with_server(ours.arg(tool));
    let mut said = vec![output_of(&mut ours).unwrap()];
    if let Some(java) = Java::or_skip(Jars::Kafka, tool) {
        let mut kafkas = java.class(&format!("org.apache.kafka.tools.{class}"));
        with_server(&mut kafkas);
        said.push(output_of(&mut kafkas).unwrap());
    }
    said.iter().map(|said| without_numbers(said)).collect()
}

#[test]
fn tools_that_produce_say_what_those_of_kafka_say() {
    let binary = env!("CARGO_BIN_EXE_afluente").into();
    let broker = Broker::start(Program::Afluente(binary), &[("http.listener", "")]).unwrap();
    let perf = ["--topic", "perf", "--num-records", "3000", "--throughput", "-1"];
    let perf = [&perf[..], &["--record-size", "100", "--warmup-records", "1000"]].concat();
    let said = both(&broker, "producer-perf-test", "ProducerPerformance", &perf);
    let summary = "records sent, # records/sec (# MB/sec), # ms avg latency, # ms max latency, \
                   # ms #th, # ms #th, # ms #th, # ms #th.";
    let last = |said: &String| said.lines().rev().take(2).map(str::to_owned).collect::<Vec<_>>();
    for said in &said {
        assert_eq!(last(said), [format!("# steady state {summary}"), format!("# {summary}")]);
    }
    let count = ["--topic", "count", "--max-messages", "3", "--value-prefix", "7"];
    let count = [&count[..], &["--repeating-keys", "2"]].concat();
    let said = both(&broker, "verifiable-producer", "VerifiableProducer", &count);
    assert!(said.iter().all(|other| *other == said[0]), "{said:#?}");
    assert_eq!(said[0].lines().count(), 6, "{said:#?}");

    // The old way to say where the brokers are, which course notes have.
    let mut old = Command::new(env!("CARGO_BIN_EXE_afluente"));
    old.args(["producer-perf-test", "--topic", "perf", "--num-records", "10"]);
    old.args(["--throughput", "100", "--payload-monotonic", "--producer-props"]);
    old.args([&format!("bootstrap.servers={}", broker.bootstrap()), "acks=1"]);
    let said = output_of(&mut old).unwrap();
    let (warning, figures) = said.split_once('\n').unwrap();
    assert!(warning.starts_with("Option --producer-props has been deprecated"), "{said}");
    assert!(figures.starts_with("10 records sent, "), "{said}");
}
