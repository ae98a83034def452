//! Telling the world about a firing: to a webhook, to a topic. The console itself shows it anyway.
//!
//! A webhook is called by plain HTTP; there is no TLS here yet, so `https` is refused by name.

use super::rule::{AlertEvent, StoredRule, Target};
use super::watch::Watch;
use crate::console::Console;
use crate::kafka::NewRecordOwned;
use afluente_env::Env;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const TIME_MAX: Duration = Duration::from_secs(10);

/// Attempts for one event; between them 1, 2, 4 … seconds.
const ATTEMPTS_MAX: u32 = 4;

const HEAD_BYTES_MAX: u64 = 16 << 10;

/// Where a webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Webhook {
    host: String,
    port: u16,
    path: String,
}

impl Webhook {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("https://") {
            return Err("webhooks by https are not there yet; use http, or a topic".to_owned());
        }
        let rest = url.strip_prefix("http://").ok_or("a webhook begins with http://")?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| format!("{port:?} is no port"))?),
            None => (authority, 80),
        };
        let is_good = |text: &str| !text.chars().any(|one| one.is_whitespace() || one.is_control());
        if host.is_empty() || !is_good(url) || host.contains('@') {
            return Err(format!("{url:?} is no address of a webhook"));
        }
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port, path: path.to_owned() })
    }

    async fn call(&self, env: &Env, body: &[u8]) -> io::Result<()> {
        let call = async {
            let mut stream = env.net.connect(&self.host, self.port).await?;
            let head = format!(
                "POST {} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nUser-Agent: afluente\r\nConnection: close\r\n\r\n",
                self.path,
                self.host,
                self.port,
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body).await?;
            let mut answer = Vec::new();
            stream.take(HEAD_BYTES_MAX).read_to_end(&mut answer).await?;
            let line = String::from_utf8_lossy(&answer);
            let line = line.lines().next().unwrap_or_default();
            match line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()) {
                Some(200..=299) => Ok(()),
                _ => Err(io::Error::other(format!("the webhook answered {line:?}"))),
            }
        };
        tokio::select! {
            outcome = call => outcome,
            () = env.clock.sleep(TIME_MAX) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Delivers an event to all targets of its rule, each in a task of its own.
pub(super) fn all(console: &Arc<Console>, stored: &StoredRule, event: AlertEvent) {
    let now_ms = console.env.clock.wall_ms();
    let is_over = event.to.is_some();
    tracing::info!(rule = event.rule_name, is_over, peak = event.peak, "alert");
    if Watch::is_silenced(stored, now_ms) {
        return;
    }
    let body = serde_json::to_vec(&event).expect("an event can be JSON");
    for target in stored.rule.targets.clone() {
        if target == Target::Console {
            continue;
        }
        let (console, id, body) = (Arc::clone(console), stored.id.clone(), body.clone());
        console.clone().env.tasks.spawn(async move {
            let outcome = deliver(&console, &target, &id, &body).await;
            console.alerts.delivered(&id, outcome.err());
        });
    }
}

async fn deliver(console: &Console, target: &Target, id: &str, body: &[u8]) -> Result<(), String> {
    let mut error = String::new();
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 0 {
            console.env.clock.sleep(Duration::from_secs(1 << (attempt - 1))).await;
        }
        let outcome = match target {
            Target::Console => return Ok(()),
            Target::Webhook { url } => Webhook::parse(url)?
                .call(&console.env, body)
                .await
                .map_err(|error| error.to_string()),
            Target::Topic { topic } => {
                let record = NewRecordOwned {
                    key: Some(id.as_bytes().to_vec()),
                    value: Some(body.to_vec()),
                    headers: Vec::new(),
                    timestamp: console.env.clock.wall_ms(),
                };
                let written = console.writer.write(topic, &[(None, record)]).await;
                written.map(drop).map_err(|error| error.to_string())
            }
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(why) => error = why,
        }
    }
    tracing::warn!(rule = id, error, "an alert could not be delivered");
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_an_address_by_plain_http() {
        let parsed = Webhook::parse("http://hooks.example:8080/a/b?c=d").unwrap();
        assert_eq!(
            (parsed.host.as_str(), parsed.port, parsed.path.as_str()),
            ("hooks.example", 8080, "/a/b?c=d")
        );
        assert_eq!(Webhook::parse("http://h").unwrap().path, "/");
        assert_eq!(Webhook::parse("http://[::1]:1/").unwrap().host, "::1");
        for wrong in
            ["https://h/", "ftp://h", "http://", "http://h:x/", "http://h/a\r\nb", "http://u@h/"]
        {
            assert!(Webhook::parse(wrong).is_err(), "{wrong}");
        }
    }
}
