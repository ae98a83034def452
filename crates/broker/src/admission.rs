//! Who may connect: limits on connections, in all, by address, and on how fast they come.

use crate::config::settings::NetworkSettings;
use afluente_env::clock::Moment;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Counts connections.
#[derive(Debug)]
pub struct Admission {
    limits: RwLock<Limits>,
    counts: Mutex<Counts>,
}

/// How many may connect, and how fast.
#[derive(Debug, Clone)]
pub struct Limits {
    max: usize,
    per_ip_max: usize,
    per_ip_overrides: BTreeMap<IpAddr, usize>,
    rate_max: u32,
}

impl Limits {
    /// As they are configured.
    #[must_use]
    pub fn of(network: &NetworkSettings) -> Self {
        Self {
            max: network.connections_max,
            per_ip_max: network.connections_per_ip_max,
            per_ip_overrides: network.connections_per_ip_overrides.clone(),
            rate_max: network.connection_rate_max.max(1),
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    per_ip: BTreeMap<IpAddr, usize>,
    last_id: u64,
    /// When the next connection is due, at the rate that is allowed.
    next_due: Option<Moment>,
}

/// A connection that was let in, until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    ip: IpAddr,
    /// Unique in this process.
    pub connection_id: u64,
    /// How long it is to wait before its first request is read.
    pub delay: Duration,
}

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `max.connections`.
    #[error("max.connections, which is {0}, is reached")]
    Total(usize),
    /// `max.connections.per.ip`, or its override.
    #[error("max.connections.per.ip, which is {0} for this address, is reached")]
    PerIp(usize),
}

impl Admission {
    /// By these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits: RwLock::new(limits), counts: Mutex::default() })
    }

    /// Takes other limits for those who come from now on.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.write() = limits;
    }

    /// Lets a connection in, or not.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn admit(self: &Arc<Self>, peer: SocketAddr, now: Moment) -> Result<Admitted, Refused> {
        // A client that reached a socket of both families counts as the address that it has.
        let ip = peer.ip().to_canonical();
        let limits = self.limits.read();
        let per_ip_max = limits.per_ip_overrides.get(&ip).copied().unwrap_or(limits.per_ip_max);
        let mut counts = self.counts.lock();
        if counts.total >= limits.max {
            return Err(Refused::Total(limits.max));
        }
        let of_ip = counts.per_ip.get(&ip).copied().unwrap_or(0);
        if of_ip >= per_ip_max {
            return Err(Refused::PerIp(per_ip_max));
        }
        counts.per_ip.insert(ip, of_ip + 1);
        counts.total += 1;
        counts.last_id += 1;
        let connection_id = counts.last_id;
        let delay = counts.delay(now, limits.rate_max);
        drop(counts);
        Ok(Admitted { admission: Arc::clone(self), ip, connection_id, delay })
    }

    /// How many are connected.
    #[must_use]
    pub fn count(&self) -> usize {
        self.counts.lock().total
    }
}

impl Counts {
    /// Spreads connections evenly at the rate, after a burst of what one second allows.
    fn delay(&mut self, now: Moment, rate_max: u32) -> Duration {
        let due = self.next_due.map_or(now, |due| due.max(now));
        let ahead = due.saturating_since(now);
        self.next_due = Some(due + Duration::from_secs(1) / rate_max);
        ahead.saturating_sub(Duration::from_secs(1))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.total -= 1;
        match counts.per_ip.get_mut(&self.ip) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.per_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afluente_env::clock::Clock;

    fn admission(max: usize, per_ip_max: usize, rate_max: u32) -> Arc<Admission> {
        let overrides = BTreeMap::from([("10.0.0.9".parse().unwrap(), 2)]);
        Admission::new(Limits { max, per_ip_max, per_ip_overrides: overrides, rate_max })
    }

    #[test]
    fn limits_hold_and_a_closed_connection_makes_room() {
        let (admission, now) = (admission(4, 1, u32::MAX), Clock::real().now());
        let from = |address: &str| admission.admit(format!("{address}:1").parse().unwrap(), now);
        let first = from("10.0.0.1").unwrap();
        assert_eq!(from("10.0.0.1").unwrap_err(), Refused::PerIp(1));
        assert_eq!(from("[::ffff:10.0.0.1]").unwrap_err(), Refused::PerIp(1));
        let _two = (from("10.0.0.9").unwrap(), from("10.0.0.9").unwrap());
        assert_eq!(from("10.0.0.9").unwrap_err(), Refused::PerIp(2));
        let _fourth = from("10.0.0.2").unwrap();
        assert_eq!(from("10.0.0.3").unwrap_err(), Refused::Total(4));
        drop(first);
        assert!(from("10.0.0.1").is_ok());
    }

    #[test]
    fn connections_that_come_too_fast_wait_after_a_burst_of_a_second() {
        let (admission, now) = (admission(100, 100, 10), Clock::real().now());
        let delays: Vec<u128> = (0..13)
            .map(|_| admission.admit("10.0.0.1:1".parse().unwrap(), now).unwrap().delay.as_millis())
            .collect();
        assert_eq!(delays, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200]);
    }
}
