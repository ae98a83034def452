//! Ctrl-C and SIGTERM: work goes on until one comes, and what comes after it is short.

use afluente_client::consumer::{Consumer, ConsumerError};
use afluente_env::tasks::stop_signal;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// After a signal, how long a command may take to commit, to leave its group or to have records
/// acknowledged: enough for a broker that answers, and nobody waits for one that does not.
pub(crate) const STOPPING_MAX: Duration = Duration::from_millis(1500);

/// How work ended.
pub(crate) enum Ended<T> {
    /// By itself.
    Done(T),
    /// The process was asked to stop.
    Stopped,
}

/// Works until the end, or until the process is asked to stop.
///
/// # Errors
/// When the system lets no handler of signals be installed.
pub(crate) async fn until_stop<T>(work: impl Future<Output = T>) -> io::Result<Ended<T>> {
    let mut stopped = pin!(stop_signal());
    let mut work = pin!(work);
    poll_fn(|context| {
        // Looked at first, so that a signal is caught from the beginning on.
        if let Poll::Ready(signal) = stopped.as_mut().poll(context) {
            return Poll::Ready(signal.map(|()| Ended::Stopped));
        }
        work.as_mut().poll(context).map(|outcome| Ok(Ended::Done(outcome)))
    })
    .await
}

/// Waits for `work` to end, but no longer than until `limit` is over or another signal comes.
pub(crate) async fn hurried<T>(
    clock: &afluente_env::clock::Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        outcome = work => Some(outcome),
        () = clock.sleep(limit) => None,
        _ = stop_signal() => None,
    }
}

/// Closes a consumer: with patience when its work is done, shortly after a signal.
///
/// # Errors
/// As [`Consumer::close`].
pub(crate) async fn close<T>(
    consumer: &Consumer,
    ended: &Ended<T>,
    patience: Duration,
) -> Result<(), ConsumerError> {
    match ended {
        Ended::Done(_) => consumer.close(patience).await,
        Ended::Stopped => {
            let clock = consumer.client().env().clock.clone();
            hurried(&clock, STOPPING_MAX, consumer.close(STOPPING_MAX)).await.unwrap_or(Ok(()))
        }
    }
}
