//! Settings that take effect while the broker runs (KIP-226): limits on connections, compaction,
//! how long idle producers are remembered, and what groups have for themselves. Those of logs follow in
//! [`crate::metadata`].

use crate::admission::Limits;
use crate::broker::Broker;
use crate::config::{Config, Settings};
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
    broker.log_dir.set_cleaner(settings.log.cleaner);
    broker.admission.set_limits(Limits::of(&settings.network));
    let groups = GroupSettings {
        overrides: group_overrides(&broker.metadata.image(), &config),
        ..settings.coordinators.groups
    };
    broker.groups.set_settings(|running| *running = groups);
    let expiration_ms = settings.log.producer_expiration_ms;
    broker.dynamic.producer_expiration_ms.store(expiration_ms, Ordering::Relaxed);
}

/// What groups have for themselves, brought within the bounds that the broker was started with: they
/// may have been others when it was set. A value that an older or newer broker took and this one
/// does not understand is passed over.
fn group_overrides(image: &MetadataImage, config: &Config) -> BTreeMap<String, GroupOverrides> {
    let bounded = |name: &str, value: i32| {
        let (least, most) = (
            config.int(&format!("group.consumer.min.{name}")),
            config.int(&format!("group.consumer.max.{name}")),
        );
        value.min(most).max(least)
    };
    let groups = image.configured().filter(|it| it.kind == ConfigResource::GROUP);
    groups
        .map(|resource| {
            let values = image.configs(resource);
            let of = |name: &str| {
                let value = values?.get(&format!("consumer.{name}"))?.trim().parse().ok()?;
                Some(bounded(name, value))
            };
            let overrides = GroupOverrides {
                consumer_session_timeout_ms: of("session.timeout.ms"),
                consumer_heartbeat_interval_ms: of("heartbeat.interval.ms"),
                consumer_assignment_interval_ms: of("assignment.interval.ms"),
            };
            (resource.name.clone(), overrides)
        })
        .collect()
}
