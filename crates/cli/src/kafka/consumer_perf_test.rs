//! `kafka-consumer-perf-test`: how fast records can be read.
//!
//! `--print-metrics` is not there; times are in UTC.

use super::connect::{World, client_properties, properties_file, tell_unknown};
use super::console_producer::pairs;
use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Tool};
use crate::calendar;
use afluente_client::TopicPartition;
use afluente_client::consumer::{Consumer, ConsumerConfig, RebalanceListener, Told};
use afluente_env::clock::Clock;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) const TOOL: Tool = Tool {
    name: "consumer-perf-test",
    about: "Measure how fast records of a topic can be read.",
    specs: SPECS,
    run: Run::Blocking(run),
};

const SPECS: &[Spec] = &[
    value("topic", "NAME", "The topic."),
    value("include", "REGEX", "In its place: the topics whose names match."),
    value("group", "GROUP", "The group to read as; one of its own if not given."),
    value("num-records", "COUNT", "How many records to read. Required."),
    value("messages", "COUNT", "As --num-records."),
    value("fetch-size", "BYTES", "max.partition.fetch.bytes; 1048576 if not given."),
    value("fetch-max-wait-ms", "MS", "fetch.max.wait.ms."),
    value("timeout", "MS", "Stop when no record has come for so long; 10000 if not given."),
    flag("from-latest", "Begin behind the last record, if the group has no committed offset."),
    flag("hide-header", "No line of names above the figures."),
    flag("show-detailed-stats", "A line for each interval, as --reporting-interval says."),
    value("reporting-interval", "MS", "How long an interval is; 5000 if not given."),
    value("date-format", "PATTERN", "How times are written: yyyy, MM, dd, HH, mm, ss, SSS."),
    value("socket-buffer-size", "BYTES", "receive.buffer.bytes."),
    value("command-property", "KEY=VALUE", "A property of the consumer; may be repeated."),
    value("consumer.config", "FILE", "As --command-config."),
];

const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);
const MIB: f64 = 1024.0 * 1024.0;

/// What came, and when.
#[derive(Default, Clone, Copy)]
struct Seen {
    bytes: u64,
    records: u64,
    start_ms: i64,
    end_ms: i64,
    rebalance_ms: i64,
}

/// How long the group keeps the consumer from reading.
struct Rebalances {
    clock: Clock,
    state: Mutex<(i64, Option<i64>)>,
}

impl Rebalances {
    fn lock(&self) -> std::sync::MutexGuard<'_, (i64, Option<i64>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RebalanceListener for Rebalances {
    fn revoked<'a>(&'a self, _: &'a Consumer, _: &'a [TopicPartition]) -> Told<'a> {
        self.lock().1 = Some(self.clock.wall_ms());
        Box::pin(std::future::ready(()))
    }

    fn assigned<'a>(&'a self, _: &'a Consumer, _: &'a [TopicPartition]) -> Told<'a> {
        let mut state = self.lock();
        if let Some(began) = state.1.take() {
            state.0 += self.clock.wall_ms() - began;
        }
        Box::pin(std::future::ready(()))
    }
}

fn run(world: &World, options: Options, mut out: Out) -> Result<Out, Failure> {
    let wanted: u64 = match (options.number("num-records")?, options.number("messages")?) {
        (Some(count), _) | (None, Some(count)) => count,
        (None, None) => return Err(Failure::Usage("Missing required option: num-records".into())),
    };
    if options.has("messages") {
        out.line("Warning: --messages is deprecated. Use --num-records instead.")?;
    }
    let dates = options.get("date-format").unwrap_or("yyyy-MM-dd HH:mm:ss:SSS").to_owned();
    calendar::written(0, &dates)
        .map_err(|told| Failure::Usage(format!("--date-format: {told}")))?;
    let line_dates = dates.clone();
    let timeout = Duration::from_millis(options.number("timeout")?.unwrap_or(10_000));
    let (topic, pattern) = (options.get("topic"), options.get("include"));
    if topic.is_some() == pattern.is_some() {
        let told = "Exactly one of the following arguments is required: --topic, --include";
        return Err(Failure::Usage(told.into()));
    }
    let mut id = [0; 4];
    world.env.rng.fill(&mut id);
    let config = ConsumerConfig::from_properties(properties(&options, u32::from_be_bytes(id))?)?;
    tell_unknown(config.unknown());
    let consumer = Consumer::new(world.env.clone(), config)?;
    let clock = world.env.clock.clone();
    let state = Mutex::new((0, Some(clock.wall_ms())));
    let rebalances = Arc::new(Rebalances { clock: clock.clone(), state });
    let start_ms = clock.wall_ms();
    match (topic, pattern) {
        (Some(topic), _) => consumer.subscribe_with([topic], rebalances.clone())?,
        (None, pattern) => {
            consumer.subscribe_pattern(pattern.unwrap_or_default(), Some(rebalances.clone()))?;
        }
    }
    let details = options.has("show-detailed-stats");
    let interval_ms: i64 = options.number("reporting-interval")?.unwrap_or(5000);
    if !options.has("hide-header") {
        out.line(if details { DETAILED_HEADER } else { HEADER })?;
        out.flush()?;
    }
    let seen: Result<(Seen, Out), Failure> = world.cores.block_on(async move {
        let mut seen = Seen { start_ms, ..Seen::default() };
        let mut interval = Seen { start_ms, ..Seen::default() };
        while seen.records < wanted {
            let records = consumer.poll(timeout).await?;
            if records.is_empty() {
                break;
            }
            for record in records.iter() {
                let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                seen.bytes += size as u64;
                seen.records += 1;
            }
            seen.end_ms = clock.wall_ms();
            seen.rebalance_ms = rebalances.lock().0;
            if details && seen.end_ms - interval.start_ms >= interval_ms {
                out.line(detailed(&seen, &interval, &line_dates))?;
                out.flush()?;
                interval = Seen { start_ms: seen.end_ms, ..seen };
            }
        }
        seen.rebalance_ms = rebalances.lock().0;
        consumer.close(CLOSE_TIMEOUT).await?;
        Ok((seen, out))
    });
    let (seen, mut out) = seen?;
    if !details {
        out.line(line(&seen, &dates))?;
    }
    if seen.records < wanted {
        out.line(format!(
            "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) \
             exceeded. You can use the --timeout option to increase the timeout.",
            timeout.as_millis()
        ))?;
    }
    Ok(out)
}

const HEADER: &str = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, \
                      nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";
const DETAILED_HEADER: &str = "time, threadId, data.consumed.in.MB, MB.sec, \
                               data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, \
                               fetch.MB.sec, fetch.nMsg.sec";

/// A line about what came since `before`, which ended where `now` begins.
fn detailed(now: &Seen, before: &Seen, dates: &str) -> String {
    let elapsed = now.end_ms - before.start_ms;
    let rebalance = now.rebalance_ms - before.rebalance_ms;
    let fetching = elapsed - rebalance;
    let seconds = |ms: i64| ms.max(1) as f64 / 1000.0;
    let mib = (now.bytes - before.bytes) as f64 / MIB;
    let records = (now.records - before.records) as f64;
    format!(
        "{}, 0, {:.4}, {:.4}, {}, {:.4}, {rebalance}, {fetching}, {:.4}, {:.4}",
        time(now.end_ms, dates),
        now.bytes as f64 / MIB,
        mib / seconds(elapsed),
        now.records,
        records / seconds(elapsed),
        mib / seconds(fetching),
        records / seconds(fetching),
    )
}

fn line(seen: &Seen, dates: &str) -> String {
    let end_ms = seen.end_ms.max(seen.start_ms);
    let seconds = |ms: i64| (ms.max(1)) as f64 / 1000.0;
    let (all, fetching) = (end_ms - seen.start_ms, end_ms - seen.start_ms - seen.rebalance_ms);
    let mib = seen.bytes as f64 / MIB;
    let records = seen.records as f64;
    format!(
        "{}, {}, {mib:.4}, {:.4}, {}, {:.4}, {}, {fetching}, {:.4}, {:.4}",
        time(seen.start_ms, dates),
        time(end_ms, dates),
        mib / seconds(all),
        seen.records,
        records / seconds(all),
        seen.rebalance_ms,
        mib / seconds(fetching),
        records / seconds(fetching),
    )
}

fn time(ms: i64, dates: &str) -> String {
    // The pattern was tried before.
    calendar::written(ms, dates).unwrap_or_default()
}

fn properties(options: &Options, random: u32) -> Result<Vec<(String, String)>, Failure> {
    let mut properties = vec![
        ("group.id".to_owned(), format!("perf-consumer-{}", random % 100_000)),
        ("client.id".to_owned(), "perf-consumer-client".to_owned()),
        ("check.crcs".to_owned(), "false".to_owned()),
        ("auto.offset.reset".to_owned(), "earliest".to_owned()),
    ];
    for (option, key) in [
        ("group", "group.id"),
        ("fetch-size", "max.partition.fetch.bytes"),
        ("fetch-max-wait-ms", "fetch.max.wait.ms"),
        ("socket-buffer-size", "receive.buffer.bytes"),
    ] {
        if let Some(value) = options.get(option) {
            properties.push((key.to_owned(), value.to_owned()));
        }
    }
    if options.has("from-latest") {
        properties.push(("auto.offset.reset".to_owned(), "latest".to_owned()));
    }
    if let Some(path) = options.get("consumer.config") {
        properties.extend(properties_file("consumer.config", path)?);
    }
    properties.extend(client_properties(options)?);
    properties.extend(pairs(options, &["command-property"])?);
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_as_many_columns_as_the_header() {
        let seen =
            Seen { bytes: 1 << 20, records: 1000, end_ms: 2000, rebalance_ms: 1000, start_ms: 0 };
        let expected = "1970-01-01 00:00:00:000, 1970-01-01 00:00:02:000, 1.0000, 0.5000, 1000, \
                        500.0000, 1000, 1000, 1.0000, 1000.0000";
        assert_eq!(line(&seen, "yyyy-MM-dd HH:mm:ss:SSS"), expected);
    }
}
