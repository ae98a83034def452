//! Limits on connections and memory, and stopping.

use crate::support::{TestBroker, batch, connect, fetch_request, produce_request, run};
use afluente_protocol::frame::request_frame;
use afluente_protocol::messages::fetch_request::FetchRequest;
use afluente_protocol::messages::produce_request::ProduceRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn connections_beyond_a_limit_are_closed_and_room_comes_back() {
    run(async {
        let broker = TestBroker::start(&[("max.connections.per.ip", "2")]).await;
        let (mut first, mut second) = (broker.connect().await, broker.connect().await);
        assert!(first.is_served().await && second.is_served().await);
        assert!(!broker.connect().await.is_served().await);
        drop(first);
        // The broker sees the end of the first connection when it gets to it.
        while broker.server.broker().metrics.connections.get() > 1 {
            tokio::task::yield_now().await;
        }
        assert!(broker.connect().await.is_served().await);
    });
}

#[test]
fn an_idle_connection_is_closed_and_one_in_use_is_not() {
    run(async {
        let broker = TestBroker::start(&[("connections.max.idle.ms", "200")]).await;
        let mut idle = broker.connect().await;
        assert!(idle.is_served().await);
        let mut waiting = broker.with_topic(1).await;
        // A fetch that waits is in use, however long.
        let id = waiting.send(&fetch_request(&[(0, 0)], 500), 12).await;
        assert_eq!(idle.frame().await, None);
        waiting.receive::<FetchRequest>(12, id).await;
    });
}

#[test]
fn large_requests_wait_for_memory_and_small_ones_pass() {
    run(async {
        let overrides =
            [("queued.max.request.bytes", "300000"), ("socket.request.max.bytes", "300000")];
        let broker = TestBroker::start(&overrides).await;
        let mut bystander = broker.with_topic(1).await;
        // Two requests of 250,000 bytes, of which the first stops in the middle.
        let announced = 250_000_i32.to_be_bytes();
        let mut greedy = connect(broker.address()).await;
        greedy.write_all(&announced).await.unwrap();
        greedy.write_all(&vec![0; 100_000]).await.unwrap();
        while broker.server.broker().memory.used_bytes() == 0 {
            tokio::task::yield_now().await;
        }
        let mut second = broker.connect().await;
        let request = produce_request(0, batch(1, 240_000), -1);
        let id = second.send(&request, 9).await;
        while broker.server.broker().memory.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(bystander.is_served().await, "small requests do not wait");
        drop(greedy);
        second.receive::<ProduceRequest>(9, id).await;
        assert_eq!(broker.server.broker().memory.used_bytes(), 0);
    });
}

#[test]
fn stopping_answers_what_is_in_flight() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.with_topic(1).await;
        let id = client.send(&fetch_request(&[(0, 0)], i32::MAX), 12).await;
        let mut other = broker.connect().await;
        assert!(other.is_served().await);
        broker.server.stop().await.unwrap();
        client.receive::<FetchRequest>(12, id).await;
        assert_eq!(client.frame().await, None);
        assert_eq!(other.frame().await, None);
    });
}

#[test]
fn a_request_that_is_half_here_when_the_broker_stops_is_answered() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.with_topic(1).await;
        let (id, request) = (77, produce_request(0, batch(1, 100_000), -1));
        let frame = request_frame(&request, 9, id, Some("test")).unwrap().into_bytes();
        client.stream.write_all(&frame[..70_000]).await.unwrap();
        let server = broker.server;
        let shared = std::sync::Arc::clone(server.broker());
        while shared.memory.used_bytes() == 0 {
            tokio::task::yield_now().await;
        }
        let rest = async {
            while !shared.stopping.is_said() {
                tokio::task::yield_now().await;
            }
            // In pieces, each of which wakes who waits for the whole.
            for piece in frame[70_000..].chunks(10_000) {
                client.stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            let answer = client.receive::<ProduceRequest>(9, id).await;
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
            assert_eq!(client.frame().await, None);
        };
        let (stopped, ()) = tokio::join!(server.stop(), rest);
        stopped.unwrap();
    });
}

#[test]
fn metrics_and_health_are_served_over_http() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.with_topic(3).await;
        client.produce(0, batch(1, 10)).await;
        let get = async |path: &str| {
            let mut stream = connect(broker.server.http_address().unwrap()).await;
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let metrics = get("/metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(metrics.contains("\nafluente_partitions 3\n"));
        assert!(metrics.contains("\nafluente_request_seconds_count{api=\"Produce\"} 1\n"));
        assert_eq!(documented(), shown(&metrics), "docs/metrics.md is not what is served");
        assert!(get("/healthz").await.ends_with("\r\n\r\nok\n"));
        assert!(get("/readyz").await.ends_with("\r\n\r\nok\n"));
        assert!(get("/else").await.starts_with("HTTP/1.1 404 "));
    });
}

/// Names and kinds of the table in docs/metrics.md.
fn documented() -> Vec<(String, String)> {
    let page = include_str!("../../../../docs/metrics.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        Some((name.to_owned(), cells.next()?.to_owned()))
    });
    rows.collect()
}

/// Names and kinds of a page of metrics.
fn shown(page: &str) -> Vec<(String, String)> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut shown: Vec<_> = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    shown.sort();
    shown
}

#[test]
fn a_limit_that_is_set_while_the_broker_runs_holds_at_once_and_after_a_restart() {
    use afluente_protocol::messages::incremental_alter_configs_request as alter;
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.connect().await;
        let set = |broker: &str, name: &str, value: &str| alter::IncrementalAlterConfigsRequest {
            resources: vec![alter::AlterConfigsResource {
                resource_type: 4,
                resource_name: broker.into(),
                configs: vec![alter::AlterableConfig {
                    name: name.into(),
                    config_operation: 0,
                    value: Some(value.into()),
                }],
            }],
            validate_only: false,
        };
        // What is set for one broker goes before what is set for all.
        for (of, value) in [("1", "2"), ("", "1")] {
            let request = set(of, "max.connections.per.ip", value);
            assert_eq!(client.call(&request, 1).await.responses[0].error_code, 0);
        }
        let mut second = broker.connect().await;
        assert!(second.is_served().await);
        assert!(!broker.connect().await.is_served().await);
        // Listeners are a broker's own.
        let request = set("", "listeners", "PLAINTEXT://:1");
        assert_ne!(client.call(&request, 1).await.responses[0].error_code, 0);

        drop((client, second));
        let broker = broker.restarted(|_| {}).await.unwrap();
        let (mut first, mut second) = (broker.connect().await, broker.connect().await);
        assert!(first.is_served().await && second.is_served().await);
        assert!(!broker.connect().await.is_served().await);
    });
}
