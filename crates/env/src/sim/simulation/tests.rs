//! A small durable log server under power cuts, and what must repeat.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::disk::{Access, Disk, Faults, File, OpenHow, write_all_at};
use crate::net::{ListenOptions, Stream};
use crate::worker::{Doorbell, Step, Worker};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Writes what is queued to a file, a number of 8 bytes each, and syncs.
struct Journal {
    queue: Arc<Mutex<Vec<u64>>>,
    file: Arc<dyn File>,
    durable: Arc<AtomicU64>,
    advanced: Doorbell,
}

impl Worker for Journal {
    fn step(&mut self) -> Step {
        let queued = std::mem::take(&mut *self.queue.lock());
        if queued.is_empty() {
            return Step::Park;
        }
        let at = self.durable.load(Ordering::Relaxed);
        let bytes: Vec<u8> = queued.iter().flat_map(|number| number.to_be_bytes()).collect();
        if write_all_at(&*self.file, &bytes, at * 8).and_then(|()| self.file.sync_data()).is_err() {
            return Step::Done;
        }
        self.durable.store(at + queued.len() as u64, Ordering::Relaxed);
        self.advanced.ring();
        Step::Again
    }
}

/// Answers each number with the same number, once it is durable.
async fn server(env: Env) -> Outcome {
    let how = OpenHow::buffered(Access::CreateOrWrite);
    let file = env.disk.open("/log".as_ref(), how)?;
    env.disk.sync_dir("/".as_ref())?;
    let (queue, advanced) = (Arc::<Mutex<Vec<u64>>>::default(), Doorbell::new());
    let durable = Arc::new(AtomicU64::new(file.len()? / 8));
    let bell = Doorbell::new();
    let journal = Journal {
        queue: Arc::clone(&queue),
        file,
        durable: Arc::clone(&durable),
        advanced: advanced.clone(),
    };
    let _ = env.workers.start("journal", &bell, journal);
    let listener = env.net.listen("0.0.0.0:9092".parse()?, ListenOptions::default()).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut number = [0; 8];
        while stream.read_exact(&mut number).await.is_ok() {
            let expected = durable.load(Ordering::Relaxed) + 1;
            queue.lock().push(u64::from_be_bytes(number));
            bell.ring();
            while durable.load(Ordering::Relaxed) < expected {
                advanced.rung().await;
            }
            if stream.write_all(&number).await.is_err() {
                break;
            }
        }
    }
}

async fn reconnect(env: &Env) -> Stream {
    loop {
        if let Ok(stream) = env.net.connect("server", 9092).await {
            return stream;
        }
        env.clock.sleep(Duration::from_millis(10)).await;
    }
}

/// Sends numbers, each again until it is acknowledged, and tells which were.
async fn client(env: Env, acknowledged: Arc<Mutex<Vec<u64>>>) -> Outcome {
    let mut stream = reconnect(&env).await;
    for number in 0..30_u64 {
        let mut echo = [0; 8];
        loop {
            let sent = stream.write_all(&number.to_be_bytes()).await;
            if sent.is_ok() && stream.read_exact(&mut echo).await.is_ok() {
                break;
            }
            stream = reconnect(&env).await;
        }
        assert_eq!(u64::from_be_bytes(echo), number);
        acknowledged.lock().push(number);
        env.clock.sleep(Duration::from_millis(env.rng.range(1..20))).await;
    }
    Ok(())
}

struct Ran {
    trace: Trace,
    elapsed: Duration,
    acknowledged: Vec<u64>,
    stored: Vec<u64>,
}

fn run(seed: u64) -> Ran {
    let mut simulation = Simulation::new(seed);
    simulation.trace().keep_lines(10_000);
    let machine = simulation.machine("server", server);
    let milli = Duration::from_millis(1);
    machine.disk().set_faults(Faults { latency: milli..5 * milli, ..Faults::default() });
    let acknowledged = Arc::<Mutex<Vec<u64>>>::default();
    let inside = Arc::clone(&acknowledged);
    simulation.client("client", move |env| client(env, inside));
    for _ in 0..3 {
        let time = simulation.rng().range(10..300);
        simulation.run_for(Duration::from_millis(time)).unwrap();
        if simulation.rng().chance(0.5) {
            simulation.cut_power("server");
        } else {
            simulation.kill("server");
        }
        simulation.run_for(20 * milli).unwrap();
        simulation.start("server");
    }
    simulation.run().unwrap();
    simulation.cut_power("server");
    let disk = machine.disk();
    let file = disk.open("/log".as_ref(), OpenHow::buffered(Access::Read)).unwrap();
    let mut bytes = vec![0; file.len().unwrap().try_into().unwrap()];
    crate::disk::read_up_to(&*file, &mut bytes, 0).unwrap();
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    let acknowledged = acknowledged.lock().clone();
    Ran {
        trace: simulation.trace().clone(),
        elapsed: simulation.network.elapsed(),
        acknowledged,
        stored: bytes.chunks_exact(8).map(number).collect(),
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_does_not() {
    let (one, again, other) = (run(1), run(1), run(2));
    assert_eq!(one.trace.lines(), again.trace.lines());
    assert_eq!(one.trace.hash(), again.trace.hash());
    assert_eq!(one.elapsed, again.elapsed);
    assert_ne!(one.trace.hash(), other.trace.hash());
    let lines = one.trace.lines();
    for part in ["disk: Write", "net: read", "worker: journal", "time:"] {
        assert!(lines.iter().any(|line| line.starts_with(part)), "{part} is in the trace");
    }
}

#[test]
fn what_was_acknowledged_is_on_the_disk() {
    for seed in 0..20 {
        let ran = run(seed);
        assert_eq!(ran.acknowledged, (0..30).collect::<Vec<_>>());
        for number in ran.acknowledged {
            assert!(ran.stored.contains(&number), "seed {seed} lost {number}");
        }
    }
}

#[test]
fn a_panic_in_a_task_fails_the_simulation() {
    let mut simulation = Simulation::new(1);
    simulation.client("client", |env| async move {
        let task = env.tasks.spawn(async { panic!("as the test wants it") });
        let _ = task.await;
        Ok(())
    });
    assert_eq!(simulation.run().unwrap_err().to_string(), "1 tasks panicked");
}

#[test]
fn time_is_virtual_and_shared_but_for_the_skew_of_the_wall() {
    let mut simulation = Simulation::new(1);
    let ends = Arc::<Mutex<Vec<i64>>>::default();
    for (name, skew_ms) in [("one", 0), ("two", 0), ("late", -5000)] {
        let ends = Arc::clone(&ends);
        let machine = simulation.client(name, move |env| async move {
            let (now, wall_ms) = (env.clock.now(), env.clock.wall_ms());
            let minute = Duration::from_secs(60);
            env.clock.sleep(minute).await;
            assert_eq!(env.clock.now() - now, minute);
            assert_eq!(env.clock.wall_ms() - wall_ms, 60_000);
            ends.lock().push(env.clock.wall_ms());
            Ok(())
        });
        machine.clock().set_wall_skew_ms(skew_ms);
    }
    simulation.run().unwrap();
    let mut ends = ends.lock().clone();
    ends.sort_unstable();
    assert_eq!([ends[1], ends[2]], [ends[0] + 5000; 2]);
    assert_eq!(ends[2], i64::try_from(SIM_EPOCH.as_millis()).unwrap() + 60_000);
}
