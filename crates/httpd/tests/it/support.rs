//! A server on a free port, and a client that speaks bytes.

use afluente_env::Env;
use afluente_env::net::Stream;
use afluente_httpd::assets::Asset;
use afluente_httpd::guard::Guard;
use afluente_httpd::login::Login;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use afluente_httpd::server::{Answer, Handler, HttpServer, Limits, ServerConfig};
use afluente_httpd::websocket::{self, Incoming};
use afluente_httpd::{Method, header};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

static SCRIPT: Asset = Asset::new("assets/app-1.js", b"console.log('a a a a a a a a a a')", None);
static PAGE: Asset = Asset::new("index.html", b"<!doctype html>", Some(b"as brotli"));

/// What the tests ask for.
struct Paths;

impl Handler for Paths {
    fn handle(self: Arc<Self>, mut request: Request) -> Answer {
        Box::pin(async move {
            let path = request.path().to_owned();
            match (request.method(), path.as_str()) {
                (&Method::GET, "/hello") => Ok(Response::text("hello")),
                (&Method::POST, "/echo") => {
                    let value: serde_json::Value = request.json().await?;
                    Ok(Response::json(&value))
                }
                (&Method::GET, "/lines") => {
                    let (response, sender) = Response::stream("application/x-ndjson");
                    Env::real().tasks.spawn(async move {
                        for number in 0..3 {
                            sender.line(&number).await.unwrap();
                        }
                    });
                    Ok(response)
                }
                (&Method::GET, "/endless") => {
                    let (response, sender) = Response::stream("text/plain");
                    Env::real().tasks.spawn(async move {
                        while sender.send(vec![b'x'; 1 << 10]).await.is_ok() {}
                        STOPPED.notify_one();
                    });
                    Ok(response)
                }
                (&Method::GET, "/cut") => {
                    let (response, sender) = Response::stream("text/plain");
                    Env::real().tasks.spawn(async move {
                        sender.send("half").await.unwrap();
                        sender.abort().await;
                    });
                    Ok(response)
                }
                (&Method::GET, "/socket") => {
                    websocket::upgrade(request, |mut reader, mut writer| async move {
                        loop {
                            match reader.next().await {
                                Ok(Some(Incoming::Text(text))) => writer.text(&text).await.unwrap(),
                                Ok(Some(Incoming::Ping(bytes))) => {
                                    writer.pong(&bytes).await.unwrap()
                                }
                                Ok(None) => return writer.close(1000).await.unwrap_or(()),
                                Err(_) => return writer.close(1002).await.unwrap_or(()),
                            }
                        }
                    })
                }
                (&Method::GET, "/assets/app-1.js") => Ok(SCRIPT.answer(&request, true)),
                (&Method::GET, "/") => Ok(PAGE.answer(&request, false)),
                _ => Err(Problem::not_found("could not find it", format!("there is no {path}"))),
            }
        })
    }
}

/// Told when the endless answer has noticed that its client is gone.
pub(crate) static STOPPED: tokio::sync::Notify = tokio::sync::Notify::const_new();

/// How a test wants the server.
#[derive(Default)]
pub(crate) struct Wish {
    pub(crate) limits: Limits,
    pub(crate) login: Login,
}

/// Runs `test` with the port of a server, on one thread.
pub(crate) fn with_server<F: Future<Output = ()>>(wish: Wish, test: impl FnOnce(u16) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = ServerConfig {
            listen: "localhost:0".to_owned(),
            guard: Guard::default(),
            login: wish.login,
            limits: wish.limits,
            headers: vec![(header::X_CONTENT_TYPE_OPTIONS, "nosniff".parse().unwrap())],
        };
        let server = HttpServer::start(Env::real(), config, Arc::new(Paths)).await.unwrap();
        assert_eq!(server.open_to_others(), None);
        test(server.addresses()[0].port()).await;
        server.stop().await;
    });
}

pub(crate) async fn connect(port: u16) -> Stream {
    Env::real().net.connect("localhost", port).await.unwrap()
}

/// Sends `request` and gives back all that comes until the server closes.
pub(crate) async fn talk(port: u16, request: &str) -> String {
    let mut stream = connect(port).await;
    stream.write_all(request.replace('\n', "\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses in the middle of our sending resets the connection.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A GET of one connection.
pub(crate) async fn get(port: u16, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\nhost: localhost\nconnection: close\n{headers}\n");
    talk(port, &request).await
}
