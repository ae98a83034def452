//! What nobody should send: the sender loses its connection, and the others do not notice.

use crate::support::{TestBroker, batch, connect, fetch_request, produce_request, run};
use afluente_broker::dispatch::is_served;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::frame::request_frame;
use afluente_protocol::messages::metadata_request::MetadataRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends bytes on a connection of their own and waits until the broker closes it.
async fn sends(broker: &TestBroker, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(broker.address()).await;
    // The broker may close before everything is written.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = i32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

#[test]
fn wild_lengths_unknown_keys_and_old_versions_close_the_connection() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut bystander = broker.connect().await;
        for bytes in [
            &b"\xff\xff\xff\xff"[..],
            b"\x80\0\0\0",
            b"\x7f\xff\xff\xff",
            b"\x06\x40\0\x01", // one byte more than socket.request.max.bytes
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", // the start of TLS
            &frame(b""),
            &frame(b"\0"),
            &frame(b"\0\x04\0\0\0\0\0\x01\xff\xff"), // a key that is gone
            &frame(b"\x7f\xff\0\0\0\0\0\x01\xff\xff"),
            &frame(b"\xff\xff\0\0\0\0\0\x01\xff\xff"),
            &frame(b"\0\x03\0\x7f\0\0\0\x01\xff\xff"), // Metadata of version 127
            &frame(b"\0\x03\xff\xff\0\0\0\x01\xff\xff"), // and of version -1
            &frame(b"\0\0\0\0\0\0\0\x01\xff\xff"),     // Produce 0: advertised, and gone
        ] {
            assert_eq!(sends(&broker, bytes).await, b"", "{bytes:?}");
        }
        assert!(bystander.is_served().await);
    });
}

#[test]
fn counts_that_the_bytes_cannot_hold_are_refused_without_taking_memory() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let header = b"\0\x03\0\x01\0\0\0\x01\xff\xff";
        for count in [b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\xff\xff\xff"] {
            let body: Vec<u8> = header.iter().chain(count).copied().collect();
            assert_eq!(sends(&broker, &frame(&body)).await, b"");
        }
        assert!(broker.connect().await.is_served().await);
    });
}

#[test]
fn a_request_cut_at_each_byte_is_survived() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut bystander = broker.with_topic(1).await;
        let whole = [
            request_frame(&produce_request(0, batch(2, 20), -1), 9, 1, Some("x")).unwrap(),
            request_frame(&fetch_request(&[(0, 0)], 0), 12, 1, Some("x")).unwrap(),
            request_frame(&MetadataRequest::default(), 12, 1, Some("x")).unwrap(),
        ];
        for request in whole.map(|request| request.into_bytes()) {
            for len in 0..request.len() {
                // The end of the stream in the middle of a request.
                assert_eq!(sends(&broker, &request[..len]).await, b"");
                // The same bytes as a frame that claims to be whole.
                if len > 4 {
                    sends(&broker, &frame(&request[4..len])).await;
                }
            }
        }
        assert!(bystander.is_served().await);
    });
}

#[test]
fn a_request_with_any_one_bit_flipped_is_survived() {
    run(async {
        let broker = TestBroker::start(&[("auto.create.topics.enable", "false")]).await;
        let mut bystander = broker.with_topic(1).await;
        let whole = [
            request_frame(&produce_request(0, batch(1, 5), -1), 9, 1, Some("x")).unwrap(),
            request_frame(&fetch_request(&[(0, 0)], 0), 12, 1, Some("x")).unwrap(),
        ];
        for request in whole.map(|request| request.into_bytes()) {
            for bit in 0..request.len() * 8 {
                let mut bad = request.to_vec();
                bad[bit / 8] ^= 1 << (bit % 8);
                let mut stream = connect(broker.address()).await;
                let _ = stream.write_all(&bad).await;
                // No answer is waited for: a flipped wait time may make it come in hours.
            }
        }
        assert!(bystander.is_served().await);
    });
}

#[test]
fn random_bytes_are_survived() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut bystander = broker.connect().await;
        let rng = afluente_env::rng::Rng::seeded(7);
        for _ in 0..300 {
            let mut bytes = vec![0; rng.index(200)];
            rng.fill(&mut bytes);
            if rng.chance(0.5) {
                bytes = frame(&bytes);
            }
            let mut stream = connect(broker.address()).await;
            let _ = stream.write_all(&bytes).await;
        }
        assert!(bystander.is_served().await);
    });
}

#[test]
fn a_client_that_sends_one_byte_at_a_time_is_served() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut slow = broker.connect().await;
        let request = request_frame(&MetadataRequest::default(), 12, 1, None).unwrap().into_bytes();
        for byte in &request {
            slow.stream.write_all(&[*byte]).await.unwrap();
            slow.stream.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(slow.frame().await.is_some());
    });
}

#[test]
fn a_client_that_does_not_read_does_not_stop_the_others() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut bystander = broker.with_topic(1).await;
        for _ in 0..8 {
            bystander.produce(0, batch(10, 50_000)).await;
        }
        let mut deaf = broker.connect().await;
        let mut request = fetch_request(&[(0, 0)], 0);
        request.topics[0].partitions[0].partition_max_bytes = 4 << 20;
        for _ in 0..20 {
            deaf.send(&request, 12).await;
        }
        for _ in 0..50 {
            assert!(bystander.is_served().await);
        }
    });
}

#[test]
fn every_api_survives_bodies_of_random_bytes_in_every_version() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut bystander = broker.with_topic(1).await;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            // xorshift64: the same bytes in every run.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for key in ApiKey::ALL.iter().filter(|key| is_served(**key)) {
            for version in key.supported().into_iter().flatten() {
                let mut body = key.number().to_be_bytes().to_vec();
                body.extend(version.to_be_bytes());
                body.extend(7_i32.to_be_bytes());
                body.extend((-1_i16).to_be_bytes());
                if key.request_header_version(version) >= 2 {
                    body.push(0);
                }
                for size in [1, 5, 24, 300] {
                    let bytes = (0..size).map(|_| random().to_le_bytes()[0]);
                    let request: Vec<u8> = body.iter().copied().chain(bytes).collect();
                    sends(&broker, &frame(&request)).await;
                }
            }
        }
        assert!(bystander.is_served().await);
    });
}
