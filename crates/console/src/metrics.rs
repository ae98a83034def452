//! What a broker of ours tells at `/metrics`: rates, latencies, the state of its journal.
//!
//! Another cluster has no such page, and then none of this is known.

use crate::series::Growth;
use afluente_env::Env;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A page that is longer is none of ours.
const PAGE_BYTES_MAX: u64 = 4 << 20;
const TIME_MAX: Duration = Duration::from_secs(2);

/// The numbers of one page: name with labels, as it stands there.
pub(crate) type Page = BTreeMap<String, f64>;

/// What is made of the pages so far.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) page: Page,
    produced_bytes: Growth,
    fetched_bytes: Growth,
    cpu_micros: Growth,
    commits: Growth,
    /// Counts of the buckets at the last look, to make percentiles of what came since.
    before: Page,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            page: Page::new(),
            produced_bytes: Growth::new(),
            fetched_bytes: Growth::new(),
            cpu_micros: Growth::new(),
            commits: Growth::new(),
            before: Page::new(),
        }
    }

    pub(crate) fn look(&mut self, now_ms: i64, page: Page) {
        let count = |name: &str| page.get(name).copied().unwrap_or(0.0) as i64;
        self.produced_bytes.look(now_ms, count("afluente_produced_bytes_total"));
        self.fetched_bytes.look(now_ms, count("afluente_fetched_bytes_total"));
        self.commits.look(now_ms, count("afluente_log_commits_total"));
        let cpu = page.get("process_cpu_seconds_total").copied().unwrap_or(0.0);
        self.cpu_micros.look(now_ms, (cpu * 1e6) as i64);
        self.before = std::mem::replace(&mut self.page, page);
    }

    pub(crate) fn in_bytes(&self) -> Option<f64> {
        self.produced_bytes.per_second()
    }

    pub(crate) fn out_bytes(&self) -> Option<f64> {
        self.fetched_bytes.per_second()
    }

    pub(crate) fn cpu_cores(&self) -> Option<f64> {
        self.cpu_micros.per_second().map(|micros| micros / 1e6)
    }

    pub(crate) fn commits_per_second(&self) -> Option<f64> {
        self.commits.per_second()
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.page.get(name).copied()
    }

    /// Milliseconds that a share of the group commits' time took, since the last look.
    pub(crate) fn commit_ms(&self) -> Option<f64> {
        let grown = |name: &str| Some(self.page.get(name)? - self.before.get(name)?);
        let commits = grown("afluente_log_commits_total")?;
        let seconds = grown("afluente_log_commit_seconds_total")?;
        (commits > 0.0).then(|| seconds / commits * 1_000.0)
    }

    /// The latency below which `share` of the requests of an API since the last look were
    /// answered, in milliseconds.
    pub(crate) fn latency_ms(&self, api: &str, share: f64) -> Option<f64> {
        let prefix = format!("afluente_request_seconds_bucket{{api=\"{api}\",le=\"");
        let mut buckets: Vec<(f64, f64)> = self
            .page
            .range(prefix.clone()..)
            .take_while(|(name, _)| name.starts_with(&prefix))
            .filter_map(|(name, count)| {
                let bound = name[prefix.len()..].trim_end_matches("\"}");
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
                Some((bound, count - self.before.get(name).copied().unwrap_or(0.0)))
            })
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let total = buckets.last()?.1;
        if total <= 0.0 {
            return None;
        }
        let wanted = total * share;
        let mut below = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted {
                // Beyond the last bound nothing is known but that it is more.
                let upper = if bound.is_finite() { bound } else { below.0 };
                let inside =
                    if count > below.1 { (wanted - below.1) / (count - below.1) } else { 1.0 };
                return Some((below.0 + (upper - below.0) * inside) * 1_000.0);
            }
            below = (bound, count);
        }
        None
    }
}

/// Reads `http://host:port/metrics`.
pub(crate) async fn read(env: &Env, host: &str, port: u16) -> io::Result<Page> {
    let read = async {
        let mut stream = env.net.connect(host, port).await?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(PAGE_BYTES_MAX).read_to_end(&mut answer).await?;
        let text = String::from_utf8_lossy(&answer);
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(parse(body)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no page of metrics")),
        }
    };
    tokio::select! {
        page = read => page,
        () = env.clock.sleep(TIME_MAX) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn parse(body: &str) -> Page {
    let number = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    body.lines().filter(|line| !line.starts_with('#')).filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_of_what_came_since_the_last_look() {
        let page = |counts: [u32; 3]| {
            let lines = ["0.001", "0.01", "+Inf"].iter().zip(counts);
            let line = |(bound, count): (&&str, u32)| {
                format!(
                    "afluente_request_seconds_bucket{{api=\"Produce\",le=\"{bound}\"}} {count}\n"
                )
            };
            parse(&format!("# HELP x\n{}", lines.map(line).collect::<String>()))
        };
        let mut metrics = Metrics::new();
        metrics.look(0, page([1_000, 1_000, 1_000]));
        metrics.look(1_000, page([1_000, 1_100, 1_100]));
        let median = metrics.latency_ms("Produce", 0.5).unwrap();
        assert!((5.0..6.0).contains(&median), "{median}");
        assert_eq!(metrics.latency_ms("Fetch", 0.5), None);
        metrics.look(2_000, page([1_000, 1_100, 1_100]));
        assert_eq!(metrics.latency_ms("Produce", 0.5), None);
    }
}
