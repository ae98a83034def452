//! The services that read the invoices, each a consumer group of its own.

use super::stopped;
use crate::invoices::{INVOICES, Invoice};
use crate::services::Service;
use afluente_client::consumer::{Consumer, ConsumerConfig, ConsumerError};
use afluente_client::producer::Producer;
use afluente_client::{Client, Error};
use afluente_env::Env;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a poll waits; a service says what is due by time that often.
const POLL: Duration = Duration::from_millis(250);

/// Before trying again after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a service may take to leave its group.
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// The tasks of all services. Dropping it cuts them off.
pub(super) struct Readers(Vec<JoinHandle<()>>);

impl Readers {
    /// # Errors
    /// When the configuration cannot be used.
    pub(super) fn start(
        env: &Env,
        bootstrap: &str,
        producer: &Arc<Producer>,
        stop: &watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let mut tasks = Self(Vec::new());
        // The stock is the most work: a second member shares it, and the console shows who reads what.
        for service in Service::all().into_iter().chain([Service::Inventory]) {
            let group = service.group();
            let config = ConsumerConfig::from_properties([
                ("bootstrap.servers", bootstrap),
                ("group.id", group),
                ("client.id", group),
                ("auto.offset.reset", "earliest"),
                ("enable.auto.commit", "false"),
                // Members of a process that died keep their partitions until then.
                ("session.timeout.ms", "6000"),
                ("heartbeat.interval.ms", "2000"),
            ])
            .map_err(Error::from)?;
            let consumer =
                Consumer::with_client(Client::new(env.clone(), config.client.clone())?, config);
            let (env, producer, mut stop) = (env.clone(), Arc::clone(producer), stop.clone());
            tasks.0.push(env.tasks.clone().spawn(async move {
                tokio::select! {
                    () = read(&env, &consumer, service, &producer) => {}
                    () = stopped(&mut stop) => {}
                }
                if let Err(error) = consumer.close(LEAVE_MAX).await {
                    tracing::debug!(%error, group, "a service of the demo left without a word");
                }
            }));
        }
        Ok(tasks)
    }

    /// Waits until all have ended.
    pub(super) async fn ended(mut self) {
        for task in &mut self.0 {
            // One that failed has said so.
            let _ = task.await;
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

async fn read(env: &Env, consumer: &Consumer, mut service: Service, producer: &Producer) {
    let group = service.group();
    if let Err(error) = consumer.subscribe([INVOICES.name]) {
        tracing::error!(%error, group, "a service of the demo cannot subscribe");
        return;
    }
    let rng = env.rng.fork();
    loop {
        let outcome = async {
            let records = consumer.poll(POLL).await?;
            let now_ms = env.clock.wall_ms();
            let mut said = Vec::new();
            for record in &records {
                // Somebody may write to the topic by hand; what is no invoice is passed over.
                let invoice =
                    record.value.and_then(|value| serde_json::from_slice::<Invoice>(value).ok());
                said.extend(invoice.iter().flat_map(|invoice| service.take(invoice, now_ms, &rng)));
            }
            said.extend(service.step(now_ms));
            super::send(producer, &said).await;
            if !records.is_empty() {
                // What an invoice led to is written before the invoice counts as read: a process
                // that dies in between reads it once more, and loses nothing.
                producer.flush().await;
                consumer.commit_sync().await?;
            }
            Ok::<_, ConsumerError>(())
        };
        if let Err(error) = outcome.await {
            tracing::warn!(%error, group, "a service of the demo tries again");
            env.clock.sleep(PAUSE).await;
        }
    }
}
