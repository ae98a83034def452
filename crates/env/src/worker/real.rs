//! Workers on threads of their own.
#![allow(clippy::disallowed_methods, reason = "this is the door to threads")]

use super::doorbell::Listening;
use super::{Doorbell, Step, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

pub(super) struct RealHandle {
    thread: JoinHandle<()>,
    stopping: Arc<AtomicBool>,
    doorbell: Doorbell,
}

pub(super) fn start(name: &str, doorbell: &Doorbell, worker: Box<dyn Worker>) -> RealHandle {
    let stopping = Arc::new(AtomicBool::new(false));
    let listening = doorbell.listen();
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn({
            let (doorbell, stopping) = (doorbell.clone(), Arc::clone(&stopping));
            move || run(&doorbell, listening, &stopping, worker)
        })
        .unwrap_or_else(|error| {
            panic!("the system refused a thread for worker \"{name}\": {error}")
        });
    RealHandle { thread, stopping, doorbell: doorbell.clone() }
}

pub(super) fn wait_until(doorbell: &Doorbell, mut condition: impl FnMut() -> bool) {
    let _listening = doorbell.listen();
    let waker = waker_of_this_thread();
    loop {
        doorbell.take();
        if condition() {
            return;
        }
        park(doorbell, &waker, None);
    }
}

impl RealHandle {
    pub(super) fn stop(self) {
        // Before the ring, which publishes it.
        self.stopping.store(true, Ordering::Relaxed);
        self.doorbell.ring();
        self.join();
    }

    pub(super) fn join(self) {
        assert!(self.thread.thread().id() != thread::current().id(), "a worker waits for itself");
        // A panic never gets here: it ends the process.
        let _ = self.thread.join();
    }
}

fn run(
    doorbell: &Doorbell,
    listening: Listening,
    stopping: &AtomicBool,
    mut worker: Box<dyn Worker>,
) {
    let _listening = listening;
    let _bomb = AbortOnPanic;
    let waker = waker_of_this_thread();
    doorbell.take();
    while !stopping.load(Ordering::Relaxed) {
        match worker.step() {
            Step::Again => {}
            Step::Park => park(doorbell, &waker, None),
            Step::ParkFor(time) => park(doorbell, &waker, Some(time)),
            Step::Done => break,
        }
    }
}

/// Sleeps until the bell rings or the time is over, and takes the ring.
fn park(doorbell: &Doorbell, waker: &Waker, time: Option<Duration>) {
    let deadline = time.map(|time| Instant::now() + time);
    if doorbell.sleep(waker) {
        while doorbell.is_asleep() {
            let Some(deadline) = deadline else {
                thread::park();
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
    }
    doorbell.take();
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

fn waker_of_this_thread() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// Ends the process when a worker's stack unwinds; the panic's message was printed before.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::Workers;
    use super::*;
    use parking_lot::Mutex;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;

    /// Adds up what it is sent, and parks when there is nothing.
    struct Adder {
        queue: Arc<Mutex<Vec<u64>>>,
        sum: Arc<AtomicU64>,
        answered: Doorbell,
        until: u64,
    }

    impl Worker for Adder {
        fn step(&mut self) -> Step {
            let taken = std::mem::take(&mut *self.queue.lock());
            let sum = self.sum.fetch_add(taken.iter().sum(), Ordering::Relaxed);
            self.answered.ring();
            match taken.is_empty() {
                true if sum == self.until => Step::Done,
                true => Step::Park,
                false => Step::Again,
            }
        }
    }

    #[test]
    fn no_ring_is_lost_between_a_step_and_the_park() {
        const COUNT: u64 = 20_000;
        let (doorbell, answered) = (Doorbell::new(), Doorbell::new());
        let (queue, sum) = (Arc::default(), Arc::<AtomicU64>::default());
        let adder = Adder {
            queue: Arc::clone(&queue),
            sum: Arc::clone(&sum),
            answered: answered.clone(),
            until: COUNT,
        };
        let workers = Workers::real();
        let handle = workers.start("adder", &doorbell, adder);
        for sent in 1..=COUNT {
            queue.lock().push(1);
            doorbell.ring();
            if sent % 2 == 0 {
                // Were one ring lost, this would wait for ever.
                workers.wait_until(&answered, || sum.load(Ordering::Relaxed) == sent);
            }
        }
        handle.join();
        assert_eq!(sum.load(Ordering::Relaxed), COUNT);
    }

    #[test]
    fn rings_of_many_threads_reach_a_worker_that_also_wakes_by_itself() {
        const RINGERS: u64 = 4;
        const COUNT: u64 = 5_000;
        /// Sleeps now until a ring, now for so short that it wakes while somebody rings.
        struct Dozer(Arc<AtomicU64>, Doorbell, u64);
        impl Worker for Dozer {
            fn step(&mut self) -> Step {
                self.2 += 1;
                self.1.ring();
                match self.0.load(Ordering::Relaxed) {
                    done if done == RINGERS * COUNT => Step::Done,
                    _ if self.2.is_multiple_of(3) => Step::Park,
                    _ => Step::ParkFor(Duration::from_nanos(self.2 % 20_000)),
                }
            }
        }
        let (doorbell, answered) = (Doorbell::new(), Doorbell::new());
        let done = Arc::<AtomicU64>::default();
        let dozer = Dozer(Arc::clone(&done), answered.clone(), 0);
        let handle = Workers::real().start("dozer", &doorbell, dozer);
        let ringers: Vec<_> = (0..RINGERS)
            .map(|_| {
                let (done, doorbell) = (Arc::clone(&done), doorbell.clone());
                thread::spawn(move || {
                    for _ in 0..COUNT {
                        done.fetch_add(1, Ordering::Relaxed);
                        doorbell.ring();
                    }
                })
            })
            .collect();
        // Hangs if the last ring was lost.
        handle.join();
        ringers.into_iter().for_each(|ringer| ringer.join().unwrap());
    }

    struct Sleeper(mpsc::SyncSender<()>, Step);

    impl Worker for Sleeper {
        fn step(&mut self) -> Step {
            self.0.send(()).expect("the test listens");
            self.1
        }
    }

    #[test]
    fn a_worker_parked_for_a_while_wakes_by_itself() {
        let (sender, receiver) = mpsc::sync_channel(0);
        let bell = Doorbell::new();
        let step = Step::ParkFor(Duration::from_millis(1));
        let handle = Workers::real().start("sleeper", &bell, Sleeper(sender, step));
        for _ in 0..3 {
            receiver.recv().unwrap();
        }
        let stopper = thread::spawn(move || handle.stop());
        // It may be in the middle of handing over.
        while receiver.recv().is_ok() {}
        stopper.join().unwrap();
    }

    #[test]
    fn a_parked_worker_can_be_stopped_and_its_bell_reused() {
        let (sender, receiver) = mpsc::sync_channel(9);
        let bell = Doorbell::new();
        for _ in 0..2 {
            let worker = Sleeper(sender.clone(), Step::Park);
            let handle = Workers::real().start("sleeper", &bell, worker);
            receiver.recv().unwrap();
            handle.stop();
        }
        bell.ring();
    }
}
