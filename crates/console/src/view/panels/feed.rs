//! Reading the topics that panels look at, once a panel, however many readers look at it.

use super::aggregate::Aggregator;
use super::panel::NewPanel;
use crate::console::Console;
use crate::filter::Subject;
use crate::kafka::Kafka;
use crate::scan::{FETCH_BYTES, Scan};
use crate::view::messages::search_starts;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Panels that are computed at a time, over all readers.
const VIEWS_MAX: usize = 200;

/// A view that nobody asked for so long is forgotten.
const IDLE_MS: i64 = 120_000;

/// Between two points of a line.
const POINT_MS: i64 = 250;

/// How long to wait after the cluster refused.
const PAUSE: Duration = Duration::from_secs(1);

/// A panel being computed, shared by all who look at it.
pub(crate) struct View {
    pub(crate) panel: NewPanel,
    pub(crate) aggregator: Mutex<Aggregator>,
    history_ms: i64,
    asked_ms: AtomicI64,
}

#[derive(Default)]
pub(crate) struct Feeds(Mutex<BTreeMap<String, Arc<View>>>);

impl Feeds {
    /// The view of a panel, begun if there is none. `None`: there are too many.
    pub(crate) fn view(
        &self,
        console: &Arc<Console>,
        panel: &NewPanel,
        history_ms: i64,
    ) -> Option<Arc<View>> {
        let now_ms = console.env.clock.wall_ms();
        let key = serde_json::to_string(panel).expect("a panel can be JSON");
        let mut views = self.0.lock();
        if let Some(view) = views.get(&key) {
            view.asked_ms.store(now_ms, Ordering::Relaxed);
            return Some(Arc::clone(view));
        }
        if views.len() >= VIEWS_MAX {
            return None;
        }
        let view = Arc::new(View {
            panel: panel.clone(),
            aggregator: Mutex::new(Aggregator::of(panel)),
            history_ms,
            asked_ms: AtomicI64::new(now_ms),
        });
        views.insert(key.clone(), Arc::clone(&view));
        let (console, running) = (Arc::clone(console), Arc::clone(&view));
        console.clone().env.tasks.spawn(async move {
            running.run(&console).await;
            console.panels.feeds.0.lock().remove(&key);
        });
        Some(view)
    }
}

impl View {
    /// Says that somebody looks.
    pub(crate) fn asked(&self, now_ms: i64) {
        self.asked_ms.store(now_ms, Ordering::Relaxed);
    }

    async fn run(&self, console: &Console) {
        let clock = &console.env.clock;
        let kafka = console.kafka.own();
        let mut scan: Option<Scan> = None;
        let mut pointed_ms = 0;
        let mut partitions_ms = 0;
        // Ends that are still to be reached before the past can be drawn.
        let mut behind = BTreeMap::new();
        while clock.wall_ms() - self.asked_ms.load(Ordering::Relaxed) < IDLE_MS {
            let now_ms = clock.wall_ms();
            if scan.is_none() || now_ms - partitions_ms > 10_000 {
                partitions_ms = now_ms;
                match self.begin(console, scan.take()).await {
                    Ok((begun, ends)) => {
                        if pointed_ms == 0 {
                            behind = ends;
                        }
                        scan = Some(begun);
                    }
                    // The topic may come yet; meanwhile the line goes on without it.
                    Err(_) => clock.sleep(PAUSE).await,
                }
            }
            if let Some(reading) = &mut scan {
                if self.read(console, &kafka, reading).await.is_ok() {
                    behind.retain(|one, end| {
                        reading.positions.get(one).is_some_and(|position| position < end)
                    });
                } else {
                    scan = None;
                    clock.sleep(PAUSE).await;
                }
            }
            let now_ms = clock.wall_ms();
            if now_ms - pointed_ms >= POINT_MS && behind.is_empty() {
                let mut aggregator = self.aggregator.lock();
                if pointed_ms == 0 {
                    aggregator.backfill(now_ms - self.history_ms, now_ms, 1_000);
                }
                aggregator.point(now_ms);
                pointed_ms = now_ms;
            }
        }
    }

    /// Where to read, and where the partitions end: new partitions from their beginning, at first
    /// from so far back as the window and the history reach.
    async fn begin(
        &self,
        console: &Console,
        known: Option<Scan>,
    ) -> Result<(Scan, BTreeMap<i32, i64>), afluente_client::Error> {
        let topic = &self.panel.topic;
        let partitions = console.kafka.partitions_of(topic).await?;
        let ranges = console.kafka.ranges(topic, &partitions).await?;
        let from_ms = console.env.clock.wall_ms() - self.panel.window_ms - self.history_ms;
        let positions = match known {
            Some(known) => {
                let position = |(one, (begin, end)): (&i32, &(i64, i64))| {
                    (*one, known.positions.get(one).copied().unwrap_or(*begin).clamp(*begin, *end))
                };
                ranges.iter().map(position).collect()
            }
            None => search_starts(console, topic, from_ms, &ranges).await?,
        };
        let ends = ranges.iter().map(|(one, (_, end))| (*one, *end)).collect();
        Ok((Scan { topic: topic.clone(), positions, ends: BTreeMap::new() }, ends))
    }

    async fn read(
        &self,
        console: &Console,
        kafka: &Kafka,
        scan: &mut Scan,
    ) -> Result<(), afluente_client::Error> {
        let fetched = scan.fetch(kafka, FETCH_BYTES).await?;
        let now_ms = console.env.clock.wall_ms();
        for fetched in &fetched {
            let mut aggregator = self.aggregator.lock();
            scan.each(fetched, |record, _| {
                let headers: Vec<(&[u8], Option<&[u8]>)> =
                    record.headers.map(|header| (header.key, header.value)).collect();
                let subject = Subject::new(
                    fetched.partition,
                    record.offset.0,
                    record.timestamp,
                    record.key,
                    record.value,
                    &headers,
                );
                aggregator.take(&subject, now_ms);
                true
            })?;
        }
        Ok(())
    }
}
