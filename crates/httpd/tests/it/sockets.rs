//! WebSockets over a real connection.

use crate::support::{Wish, connect, get, with_server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The key and answer of RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

#[test]
fn messages_come_back_whole_through_fragments_and_pings() {
    with_server(Wish::default(), |port| async move {
        let mut stream = connect(port).await;
        let head = format!(
            "GET /socket HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101") && answer.contains(ACCEPT), "{answer}");

        // a text in two pieces around a ping, masked by zeros; then a close.
        let frames: &[&[u8]] = &[
            &[0x01, 0x83, 0, 0, 0, 0, b'H', b'e', b'l'],
            &[0x89, 0x81, 0, 0, 0, 0, b'!'],
            &[0x80, 0x82, 0, 0, 0, 0, b'l', b'o'],
            &[0x88, 0x80, 0, 0, 0, 0],
        ];
        stream.write_all(&frames.concat()).await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        let expected: &[&[u8]] =
            &[&[0x8a, 1, b'!'], &[0x81, 5], b"Hello", &[0x88, 2], &1000_u16.to_be_bytes()];
        assert_eq!(back, expected.concat());
    });
}

#[test]
fn a_request_that_asks_for_no_websocket_is_told_so() {
    with_server(Wish::default(), |port| async move {
        let answer = get(port, "/socket", "").await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("RFC 6455"), "{answer}");
    });
}
