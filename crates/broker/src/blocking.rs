//! Work that waits for the disk, away from the threads of the network.

use afluente_env::Env;
use afluente_env::worker::{Doorbell, Step, Worker};
use tokio::sync::oneshot;

/// Does `work` on a thread of its own, and waits for what it gives. For what is rare: it costs a
/// thread.
pub(crate) async fn blocking<T: Send + 'static>(
    env: &Env,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = oneshot::channel();
    let job = Job(Some(move || {
        // Who asked may have stopped waiting.
        drop(sender.send(work()));
    }));
    env.workers.start(name, &Doorbell::new(), job);
    receiver.await.expect("the job sends before it is dropped, or takes the process with it")
}

struct Job<F>(Option<F>);

impl<F: FnOnce() + Send> Worker for Job<F> {
    fn step(&mut self) -> Step {
        if let Some(work) = self.0.take() {
            work();
        }
        Step::Done
    }
}
