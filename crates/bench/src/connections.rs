//! `afluente-bench connections`: how much memory idle connections take of a broker.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use afluente_protocol::frame::request_frame;
use afluente_protocol::messages::api_versions_request::ApiVersionsRequest;
use anyhow::{Context as _, Result, ensure};

use crate::arguments::Arguments;
use crate::measure::{CpuOf, Measure, Meter, Run, in_rounds};

pub(crate) const OPTIONS: &str = "\
--binary FILE     the program `afluente` to measure (beside this one)
--dir DIR         where (the current directory)
--count N         connections; the system must let a process open that many (10000)";

/// Attempts to reach the broker, a hundredth of a second apart.
const ATTEMPTS: u32 = 1_000;

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let beside = std::env::current_exe()?.with_file_name("afluente");
    let binary: PathBuf = arguments.take("--binary")?.unwrap_or(beside);
    let dir: PathBuf = arguments.take("--dir")?.unwrap_or_else(|| PathBuf::from("."));
    let count = arguments.take("--count")?.unwrap_or(10_000);
    let common = arguments.finish()?;
    let measure = Measure::new(format!("open {count} connections, one request each"), move || {
        open(&binary, &dir, count)
    });
    in_rounds(vec![measure], &common)?.report("connections", &common)
}

/// A broker that ends with its owner.
struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        // It may be gone already, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Broker {
    fn resident_bytes(&self) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.0.id()))?;
        let pages = text.split_whitespace().nth(1).context("statm has a second number")?;
        Ok(pages.parse::<u64>()? * 4096)
    }
}

fn open(binary: &PathBuf, dir: &PathBuf, count: u64) -> Result<Run> {
    let data = tempfile::tempdir_in(dir)?;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let broker = Command::new(binary)
        .args(["serve", "--override", "http.listener=", "--listen"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("--data-dir")
        .arg(data.path())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("could not start {}", binary.display()))?;
    let broker = Broker(broker);
    let mut attempts = 0;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        attempts += 1;
        ensure!(attempts < ATTEMPTS, "the broker does not listen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let request = request_frame(&ApiVersionsRequest::default(), 0, 1, Some("bench"))?.into_bytes();
    let before = broker.resident_bytes()?;
    let meter = Meter::start(CpuOf::Process);
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.write_all(&request)?;
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut answer)?;
        open.push(stream);
    }
    let run = meter.stop(0, count);
    let after = broker.resident_bytes()?;
    eprintln!(
        "{} MiB resident before, {} MiB with {count} idle connections",
        before >> 20,
        after >> 20
    );
    Ok(run)
}
