//! Settings that take effect while the broker runs (KIP-226): limits on connections, how long idle
//! producers are remembered, and what groups have for themselves. Those of logs follow in [`crate::metadata`].

use crate::admission::Limits;
use crate::broker::Broker;
use crate::config::Settings;
use afluente_cluster::image::{ConfigResource, MetadataImage};
use afluente_coordinator::groups::{GroupOverrides, GroupSettings};
use std::collections::BTreeMap;
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
    let groups = GroupSettings {
        overrides: group_overrides(&broker.metadata.image()),
        ..settings.coordinators.groups
    };
    broker.groups.set_settings(|running| *running = groups);
    let expiration_ms = settings.log.producer_expiration_ms;
    broker.dynamic.producer_expiration_ms.store(expiration_ms, Ordering::Relaxed);
}

/// What groups have for themselves; a value that an older or newer broker took and this one does
/// not understand is passed over.
fn group_overrides(image: &MetadataImage) -> BTreeMap<String, GroupOverrides> {
    let groups = image.configured().filter(|it| it.kind == ConfigResource::GROUP);
    groups
        .map(|resource| {
            let values = image.configs(resource);
            let of = |name: &str| values?.get(name)?.trim().parse().ok();
            let overrides = GroupOverrides {
                consumer_session_timeout_ms: of("consumer.session.timeout.ms"),
                consumer_heartbeat_interval_ms: of("consumer.heartbeat.interval.ms"),
                consumer_assignment_interval_ms: of("consumer.assignment.interval.ms"),
            };
            (resource.name.clone(), overrides)
        })
        .collect()
}
