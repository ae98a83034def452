//! What has to be done from time to time, whoever asks: sessions end, transactions time out,
//! offsets expire.

use crate::broker::Broker;
use std::sync::Arc;
use std::time::Duration;

/// Starts it; it ends with the broker.
pub(crate) fn start(broker: &Arc<Broker>) {
    spawn(broker, |broker| async move {
        broker.groups.load_all(&broker).await;
        broker.transactions.load_all(&broker).await;
        broker.groups.keep_time(&broker).await;
    });
    let every = broker.settings.coordinators.expire_offsets_every;
    spawn(broker, move |broker| async move {
        loop {
            broker.env.clock.sleep(every).await;
            broker.groups.expire_offsets(&broker).await;
        }
    });
    let every = broker.settings.log.expire_producers_every;
    spawn(broker, move |broker| async move {
        loop {
            broker.env.clock.sleep(every).await;
            expire_producers(&broker).await;
        }
    });
    if let Some(every) = broker.settings.metadata.snapshot_every {
        spawn(broker, move |broker| async move {
            loop {
                broker.env.clock.sleep(every).await;
                broker.metadata.snapshot(&broker).await;
            }
        });
    }
    let every = broker.settings.coordinators.abort_transactions_every;
    spawn(broker, move |broker| async move {
        loop {
            broker.env.clock.sleep(every.max(Duration::from_millis(1))).await;
            broker.transactions.expire(&broker).await;
        }
    });
}

/// Forgets the sequences of producers that have not written for long.
async fn expire_producers(broker: &Broker) {
    let expiration_ms = broker.dynamic.producer_expiration_ms();
    for topic in broker.topics.all() {
        for partition in &topic.partitions {
            partition.log().expire_producers(broker.env.clock.wall_ms(), expiration_ms);
        }
        // Requests come first.
        tokio::task::yield_now().await;
    }
}

/// Runs a task until the broker stops.
fn spawn<F>(broker: &Arc<Broker>, task: impl FnOnce(Arc<Broker>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let task = task(Arc::clone(broker));
    let broker = Arc::clone(broker);
    broker.env.tasks.clone().spawn(async move {
        tokio::select! {
            biased;
            () = task => {}
            () = broker.stopping.wait() => {}
        }
    });
}
