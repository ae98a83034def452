//! A door by which a test program in another language restarts the broker that it talks to.
//!
//! It connects, writes `restart` (stop cleanly, start again) or `crash` (kill -9, start again) and a line end, and reads
//! `ok` once the broker is ready, or what went wrong.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::broker::Broker;

/// Opens the door on a free port of 127.0.0.1; it stays open as long as the process lives.
pub fn open(broker: Arc<Mutex<Broker>>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A caller that went away has no use for an answer, and the next one is served all the same.
            let _ = serve(&broker, &stream);
        }
    });
    Ok(address)
}

fn serve(broker: &Mutex<Broker>, mut stream: &TcpStream) -> Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer = match obey(broker, line.trim()) {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("{error:#}").replace('\n', " "),
    };
    writeln!(stream, "{answer}").context("the caller is gone")
}

fn obey(broker: &Mutex<Broker>, order: &str) -> Result<()> {
    let mut broker = broker.lock().expect("no holder panics");
    match order {
        "restart" => broker.stop()?,
        "crash" => broker.kill()?,
        unknown => bail!("the orders are restart and crash, not `{unknown}`"),
    }
    broker.start_again()
}
