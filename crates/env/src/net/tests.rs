//! Sockets of this machine.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::Env;
use crate::tasks::{Cores, Tasks};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ANY_PORT: &str = "127.0.0.1:0";

/// Sends back what it gets until the peer stops.
async fn echo(mut stream: Stream) {
    let mut buf = [0; 1000];
    while let Ok(read @ 1..) = stream.read(&mut buf).await {
        stream.write_all(&buf[..read]).await.unwrap();
    }
}

#[test]
fn what_is_sent_comes_back_on_every_core() {
    let cores = Cores::start(2).unwrap();
    let env = Env { tasks: cores.tasks(), ..Env::real() };
    let served = Arc::new(AtomicUsize::new(0));
    let (count, env_inside) = (Arc::clone(&served), env.clone());
    cores.block_on(async move {
        let env = env_inside;
        let listener = env.net.listen(ANY_PORT.parse().unwrap(), ListenOptions::default());
        let listener = listener.await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inside = env.clone();
        let serving = env.tasks.spawn(async move {
            let serve = move |stream, _peer| {
                count.fetch_add(1, Ordering::Relaxed);
                echo(stream)
            };
            inside.tasks.serve(&inside.clock, &listener, serve, |error| panic!("{error}")).await;
        });
        let clients: Vec<_> = (0..10_u8)
            .map(|i| {
                let net = env.net.clone();
                env.tasks.spawn(async move {
                    let stream = net.connect("localhost", port).await.unwrap();
                    assert_eq!(stream.peer_addr().unwrap().port(), port);
                    let (mut read, mut write) = stream.into_split();
                    let sent = vec![i; 100_000];
                    let writing = tokio::spawn(async move {
                        let (one, two) = sent.split_at(7);
                        let bufs = [IoSlice::new(one), IoSlice::new(two)];
                        let written = write.write_vectored(&bufs).await.unwrap();
                        write.write_all(&sent[written..]).await.unwrap();
                        write.shutdown().await.unwrap();
                    });
                    let mut received = Vec::new();
                    read.read_to_end(&mut received).await.unwrap();
                    writing.await.unwrap();
                    assert!(received == vec![i; 100_000]);
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        serving.abort();
    });
    assert_eq!(served.load(Ordering::Relaxed), 10);
}

#[test]
fn errors_say_what_the_matter_is() {
    let cores = Cores::start(1).unwrap();
    cores.block_on(async {
        let net = Net::real();
        let listener =
            net.listen(ANY_PORT.parse().unwrap(), ListenOptions::default()).await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(listener.to_string(), address.to_string());
        let again = net.listen(address, ListenOptions::default()).await;
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let refused = net.connect("127.0.0.1", address.port()).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(net.lookup("no such host.invalid", 1).await.is_err());
        assert_eq!(net.lookup("127.0.0.1", 9).await.unwrap(), ["127.0.0.1:9".parse().unwrap()]);
    });
}

#[test]
fn connections_are_spread_over_the_cores() {
    let cores = Cores::start(2).unwrap();
    let env = Env { tasks: cores.tasks(), ..Env::real() };
    let names = cores.block_on(async move {
        let listener = env.net.listen(ANY_PORT.parse().unwrap(), ListenOptions::default());
        let listener = listener.await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inside = env.clone();
        let serving = env.tasks.spawn(async move {
            let serve = |mut stream: Stream, _peer| async move {
                let name = std::thread::current().name().unwrap_or("").to_owned();
                stream.write_all(name.as_bytes()).await.unwrap();
                // Held open until the client has seen them all.
                let _ = stream.read(&mut [0]).await;
            };
            inside.tasks.serve(&inside.clock, &listener, serve, |error| panic!("{error}")).await;
        });
        let (mut names, mut open) = (Vec::new(), Vec::new());
        for _ in 0..6 {
            let mut stream = env.net.connect("127.0.0.1", port).await.unwrap();
            let mut name = [0; 5];
            stream.read_exact(&mut name).await.unwrap();
            names.push(String::from_utf8(name.to_vec()).unwrap());
            open.push(stream);
        }
        serving.abort();
        names
    });
    for core in ["net-0", "net-1"] {
        assert_eq!(names.iter().filter(|name| *name == core).count(), 3, "{names:?}");
    }
}

#[test]
fn dropping_the_cores_drops_the_tasks() {
    let cores = Cores::start(1).unwrap();
    let alive = Arc::new(());
    let inside = Arc::clone(&alive);
    let tasks: Tasks = cores.tasks();
    tasks.spawn(async move {
        let _inside = inside;
        std::future::pending::<()>().await;
    });
    drop(cores);
    assert_eq!(Arc::strong_count(&alive), 1);
}
