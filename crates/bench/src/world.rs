//! `afluente-bench env`: what our own door to the world costs, above what the machine asks for.
//!
//! To be read beside `limits`: the round trip through a connection's task against the bare one
//! between two threads.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use afluente_env::Env;
use afluente_env::net::{ListenOptions, Stream};
use afluente_env::tasks::Cores;
use afluente_env::worker::{Doorbell, Step, Worker};
use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::arguments::Arguments;
use crate::measure::{CpuOf, Measure, Meter, Run, in_rounds};

pub(crate) const OPTIONS: &str = "";

/// For what takes nanoseconds.
const MANY: u64 = 10_000_000;
const WAKE_UPS: u64 = 20_000;
const CONNECTIONS: u64 = 2_000;
const ROUND_TRIPS: u64 = 20_000;
const MESSAGE_BYTES: usize = 64;

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let common = arguments.finish()?;
    let measures = vec![
        Measure::new("clock: now", || Ok(clock())),
        Measure::new("random number", || Ok(random())),
        Measure::new("doorbell: ring, nobody asleep", || Ok(ring_awake())),
        Measure::new("doorbell: wake a worker, be woken", || Ok(wake_ups())),
        Measure::new("connect, accept, hand out, answer", || connections(Cores::start(0)?)),
        Measure::new("the same, pinned", || connections(Cores::start_pinned(0)?)),
        Measure::new("round trip of 64 bytes", || round_trips(Cores::start(0)?)),
        Measure::new("the same, pinned", || round_trips(Cores::start_pinned(0)?)),
    ];
    in_rounds(measures, &common)?.report("env", &common)
}

fn clock() -> Run {
    let clock = Env::real().clock;
    let mut last = clock.now();
    let meter = Meter::start(CpuOf::Thread);
    for _ in 0..MANY {
        last = std::hint::black_box(clock.now());
    }
    let run = meter.stop(0, MANY);
    assert!(clock.now() >= last);
    run
}

fn random() -> Run {
    let rng = Env::real().rng;
    let meter = Meter::start(CpuOf::Thread);
    for _ in 0..MANY {
        std::hint::black_box(rng.u64());
    }
    meter.stop(0, MANY)
}

fn ring_awake() -> Run {
    let bell = Doorbell::new();
    let meter = Meter::start(CpuOf::Thread);
    for _ in 0..MANY {
        std::hint::black_box(&bell).ring();
    }
    meter.stop(0, MANY)
}

/// Answers with a ring of its own.
struct Answerer {
    steps: Arc<AtomicU64>,
    answered: Doorbell,
}

impl Worker for Answerer {
    fn step(&mut self) -> Step {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.answered.ring();
        Step::Park
    }
}

/// There and back: two threads wake each other.
fn wake_ups() -> Run {
    let workers = Env::real().workers;
    let (bell, answered) = (Doorbell::new(), Doorbell::new());
    let steps = Arc::<AtomicU64>::default();
    let worker = Answerer { steps: Arc::clone(&steps), answered: answered.clone() };
    let handle = workers.start("answerer", &bell, worker);
    let mut latencies = Vec::new();
    let meter = Meter::start(CpuOf::Process);
    for _ in 0..WAKE_UPS {
        let before = steps.load(Ordering::Relaxed);
        let start = Instant::now();
        bell.ring();
        workers.wait_until(&answered, || steps.load(Ordering::Relaxed) > before);
        latencies.push(start.elapsed());
    }
    let run = meter.stop(0, WAKE_UPS);
    handle.stop();
    Run { latencies, ..run }
}

/// One after the other: a connection, one byte there, one back, closed. Both ends are on the cores.
fn connections(cores: Cores) -> Result<Run> {
    with_echo(&cores, |env, port| async move {
        let mut latencies = Vec::new();
        let meter = Meter::start(CpuOf::Process);
        for _ in 0..CONNECTIONS {
            let start = Instant::now();
            let mut stream = env.net.connect("127.0.0.1", port).await?;
            stream.write_all(&[1; MESSAGE_BYTES]).await?;
            stream.read_exact(&mut [0; MESSAGE_BYTES]).await?;
            latencies.push(start.elapsed());
        }
        Ok(Run { latencies, ..meter.stop(0, CONNECTIONS) })
    })
}

fn round_trips(cores: Cores) -> Result<Run> {
    with_echo(&cores, |env, port| async move {
        let mut stream = env.net.connect("127.0.0.1", port).await?;
        let mut message = [0x5a; MESSAGE_BYTES];
        let mut latencies = Vec::new();
        let meter = Meter::start(CpuOf::Process);
        for _ in 0..ROUND_TRIPS {
            let start = Instant::now();
            stream.write_all(&message).await?;
            stream.read_exact(&mut message).await?;
            latencies.push(start.elapsed());
        }
        Ok(Run { latencies, ..meter.stop(0, ROUND_TRIPS) })
    })
}

/// Lets `client` talk to a server that sends every message back, on a thread each if there are two.
fn with_echo<F>(cores: &Cores, client: impl FnOnce(Env, u16) -> F + Send + 'static) -> Result<Run>
where
    F: Future<Output = Result<Run>> + Send + 'static,
{
    let env = Env { tasks: cores.tasks(), ..Env::real() };
    cores.block_on(async move {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = env.net.listen(any, ListenOptions::default()).await?;
        let port = listener.local_addr()?.port();
        // This one takes a seat on the first thread, where this task runs, so that the measured
        // connection comes to another thread.
        let serving = env.clone();
        env.tasks.spawn(async move {
            let complain = |error| eprintln!("could not accept: {error}");
            serving.tasks.serve(&serving.clock, &listener, |s, _| echo(s), complain).await;
        });
        let occupied = env.net.connect("127.0.0.1", port).await?;
        let run = client(env, port).await.context("the echo failed");
        drop(occupied);
        run
    })
}

async fn echo(mut stream: Stream) {
    let mut message = [0; MESSAGE_BYTES];
    while stream.read_exact(&mut message).await.is_ok() {
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
}
