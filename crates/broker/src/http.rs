//! `/metrics`, `/healthz` and `/readyz`, for Prometheus and for whoever starts and watches us.
//!
//! As much of HTTP/1.1 as such clients use: one GET a connection.

use crate::broker::Broker;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest request head that is read.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// How long a client may take over it.
const TIME_MAX: Duration = Duration::from_secs(10);

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers one request.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(broker: Arc<Broker>, mut stream: S) {
    let answer = async {
        let Some(head) = read_head(&mut stream).await else { return };
        let response = respond(&broker, &head);
        // A client that is gone needs no answer.
        let _ = stream.write_all(response.as_bytes()).await;
        let _ = stream.shutdown().await;
    };
    tokio::select! {
        biased;
        () = answer => {}
        () = broker.env.clock.sleep(TIME_MAX) => {}
    }
}

/// Everything up to the empty line; `None` if it does not come.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn respond(broker: &Broker, head: &[u8]) -> String {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = std::str::from_utf8(line).unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != "GET" {
        return page("405 Method Not Allowed", TEXT, "only GET is answered here\n");
    }
    match path.split('?').next().unwrap_or_default() {
        "/metrics" => page("200 OK", PROMETHEUS, &broker.metrics_page()),
        "/healthz" => page("200 OK", TEXT, "ok\n"),
        "/readyz" if broker.stopping.is_said() => {
            page("503 Service Unavailable", TEXT, "stopping\n")
        }
        "/readyz" => page("200 OK", TEXT, "ok\n"),
        _ => page("404 Not Found", TEXT, "there are /metrics, /healthz and /readyz\n"),
    }
}

fn page(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
