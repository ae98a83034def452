//! Settings of the broker that take effect while it runs (KIP-226): limits on connections, and how
//! long idle producers are remembered. Those of logs follow in [`crate::metadata`].

use crate::admission::Limits;
use crate::broker::Broker;
use crate::config::Settings;
use std::sync::atomic::{AtomicI64, Ordering};

/// What was read of the configuration the last time that it changed.
#[derive(Debug)]
pub struct Dynamic {
    producer_expiration_ms: AtomicI64,
}

impl Dynamic {
    /// As the broker was started.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { producer_expiration_ms: AtomicI64::new(settings.log.producer_expiration_ms) }
    }

    /// `producer.id.expiration.ms`.
    #[must_use]
    pub fn producer_expiration_ms(&self) -> i64 {
        self.producer_expiration_ms.load(Ordering::Relaxed)
    }
}

/// Takes in what was set for this broker, or for all, since it was started.
pub(crate) fn follow(broker: &Broker) {
    let mut config = broker.config.clone();
    broker.metadata.overlay(&mut config);
    let settings = match Settings::read(&config) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::warn!(%error, "what was set while running contradicts the configuration");
            return;
        }
    };
    broker.admission.set_limits(Limits::of(&settings.network));
    let expiration_ms = settings.log.producer_expiration_ms;
    broker.dynamic.producer_expiration_ms.store(expiration_ms, Ordering::Relaxed);
}
