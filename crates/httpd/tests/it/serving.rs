//! Requests and answers, bounds, errors.

use crate::support::{STOPPED, Wish, connect, get, talk, with_server};
use afluente_httpd::login::Login;
use afluente_httpd::server::Limits;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn answers_are_whole_streamed_or_problems_and_all_carry_the_headers() {
    with_server(Wish::default(), |port| async move {
        let hello = get(port, "/hello", "").await;
        assert!(hello.starts_with("HTTP/1.1 200 OK"), "{hello}");
        assert!(
            hello.contains("x-content-type-options: nosniff") && hello.ends_with("\r\n\r\nhello")
        );

        let lines = get(port, "/lines", "").await;
        assert!(lines.contains("transfer-encoding: chunked"), "{lines}");
        assert!(lines.contains("0\n") && lines.ends_with("0\r\n\r\n"), "{lines}");

        let cut = get(port, "/cut", "").await;
        assert!(cut.contains("200 OK") && !cut.ends_with("0\r\n\r\n"), "{cut}");

        let missing = get(port, "/missing", "").await;
        assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
        assert!(missing.contains("x-content-type-options: nosniff"));
        let (_, body) = missing.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], "NOT_FOUND");
        assert_eq!(body["error"]["why"], "there is no /missing");
        assert!(!body["error"]["requestId"].as_str().unwrap().is_empty());
        assert!(get(port, "/healthz", "").await.ends_with("ok\n"));
    });
}

#[test]
fn bodies_are_read_up_to_the_bound_and_foreign_pages_are_refused() {
    let limits = Limits { body_bytes: 64, ..Limits::default() };
    with_server(Wish { limits, ..Wish::default() }, |port| async move {
        let post = |headers: &str, body: &str| {
            format!(
                "POST /echo HTTP/1.1\nhost: localhost\nconnection: close\n{headers}content-length: {}\n\n{body}",
                body.len()
            )
        };
        let json = "content-type: application/json\n";
        let answer = talk(port, &post(json, "{\"a\":[1,2]}")).await;
        assert!(answer.ends_with("{\"a\":[1,2]}"), "{answer}");
        let answer = talk(port, &post(json, "{\"a\":")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let answer = talk(port, &post(json, &format!("\"{}\"", "x".repeat(64)))).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        let foreign = format!("{json}origin: https://evil.example\n");
        let answer = talk(port, &post(&foreign, "1")).await;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("FOREIGN_ORIGIN"),
            "{answer}"
        );
        let answer =
            talk(port, "GET /hello HTTP/1.1\nhost: evil.example\nconnection: close\n\n").await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    });
}

#[test]
fn a_head_that_is_too_long_is_refused_and_an_idle_client_is_sent_away() {
    let limits =
        Limits { head_bytes: 8 << 10, idle: Duration::from_millis(50), ..Limits::default() };
    with_server(Wish { limits, ..Wish::default() }, |port| async move {
        let answer = get(port, "/hello", &format!("x-long: {}\n", "x".repeat(16 << 10))).await;
        assert!(!answer.contains("200 OK"), "{answer}");
        // Neither of these ends by itself: reading on until the end proves that the server closes.
        assert_eq!(talk(port, "").await, "");
        assert!(!talk(port, "GET /hello HTTP/1.1\nhost: loc").await.contains("200 OK"));
        assert!(talk(port, "GET /hello HTTP/1.1\nhost: localhost\n\n").await.ends_with("hello"));
    });
}

#[test]
fn one_connection_more_than_allowed_is_closed() {
    let limits = Limits { connections: 1, ..Limits::default() };
    with_server(Wish { limits, ..Wish::default() }, |port| async move {
        let mut first = connect(port).await;
        first.write_all(b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut some = [0; 8];
        first.read_exact(&mut some).await.unwrap();
        assert_eq!(get(port, "/hello", "").await, "");
    });
}

#[test]
fn an_answer_under_way_ends_when_its_client_goes() {
    with_server(Wish::default(), |port| async move {
        let mut stream = connect(port).await;
        stream.write_all(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut some = [0; 4096];
        stream.read_exact(&mut some).await.unwrap();
        drop(stream);
        STOPPED.notified().await;
    });
}

#[test]
fn with_a_password_only_health_is_open() {
    let login = Login::Password { user: "ana".to_owned(), password: "rio".to_owned() };
    with_server(Wish { login, ..Wish::default() }, |port| async move {
        let refused = get(port, "/hello", "").await;
        assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
        assert!(refused.contains("www-authenticate: Basic"), "{refused}");
        assert!(get(port, "/healthz", "").await.starts_with("HTTP/1.1 200"));
        let answer = get(port, "/hello", "authorization: Basic YW5hOnJpbw==\n").await;
        assert!(answer.ends_with("hello"), "{answer}");
    });
}

#[test]
fn files_are_compressed_where_accepted_and_not_sent_twice() {
    with_server(Wish::default(), |port| async move {
        let plain = get(port, "/assets/app-1.js", "").await;
        assert!(plain.contains("content-type: text/javascript") && plain.contains("immutable"));
        assert!(plain.ends_with("console.log('a a a a a a a a a a')"), "{plain}");
        let gzip = get(port, "/assets/app-1.js", "accept-encoding: gzip\n").await;
        assert!(gzip.contains("content-encoding: gzip"), "{gzip}");
        let page = get(port, "/", "accept-encoding: gzip, br\n").await;
        assert!(page.contains("content-encoding: br") && page.ends_with("as brotli"), "{page}");
        assert!(page.contains("cache-control: no-cache"), "{page}");
        let etag = page.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let again = get(port, "/", &format!("if-none-match: {etag}\n")).await;
        assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    });
}
