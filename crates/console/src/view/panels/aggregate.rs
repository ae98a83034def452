//! Count, sum, average, percentiles and the like over a sliding window, in bounded memory.
//!
//! Time is cut into buckets of [`BUCKET_MS`]; a window is the sum of its buckets. Percentiles come
//! from counts of values by size, in steps of 2 %, so that what is shown is within 1 % of a value
//! that was there.

use super::panel::{Aggregate, NewPanel};
use crate::filter::{self, Expr, Path, Subject};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) const WINDOW_MS_MIN: i64 = 1_000;
pub(crate) const WINDOW_MS_MAX: i64 = 86_400_000;

/// Groups that are shown, and counted; those that come later go into one that is not shown.
pub(crate) const GROUPS_SHOWN_MAX: usize = 50;
const GROUPS_MAX: usize = 2_000;

/// Distinct values that are told apart in a bucket.
const DISTINCT_MAX: usize = 5_000;

/// The shortest bucket; a long window has longer ones.
const BUCKET_MS: i64 = 250;
const BUCKETS_A_WINDOW: i64 = 240;

/// Points of the line that are remembered.
const POINTS_MAX: usize = 1_200;

/// What a panel makes of the messages that it is shown.
#[derive(Debug)]
pub(crate) struct Aggregator {
    aggregate: Aggregate,
    field: Option<Path>,
    filter: Option<Expr>,
    group_by: Option<Path>,
    top: usize,
    window_ms: i64,
    bucket_ms: i64,
    /// Oldest first; by the start of each.
    buckets: VecDeque<(i64, Bucket)>,
    points: VecDeque<(i64, Option<f64>)>,
}

#[derive(Debug, Default)]
struct Bucket {
    all: Sum,
    groups: BTreeMap<String, Sum>,
}

/// What is known of the values in some time.
#[derive(Debug, Clone, Default)]
struct Sum {
    count: u64,
    /// Of numbers.
    numbers: u64,
    total: f64,
    min: Option<f64>,
    max: Option<f64>,
    last: Option<f64>,
    /// Values by size: see [`step_of`].
    steps: BTreeMap<i32, u64>,
    distinct: BTreeSet<String>,
}

impl Aggregator {
    /// A panel that passed its check.
    pub(crate) fn of(panel: &NewPanel) -> Self {
        let path =
            |text: &Option<String>| text.as_deref().and_then(|text| filter::parse_path(text).ok());
        Self {
            aggregate: panel.aggregate,
            field: path(&panel.field),
            filter: panel.filter.as_deref().and_then(|text| filter::parse(text).ok()),
            group_by: path(&panel.group_by),
            top: panel.top,
            window_ms: panel.window_ms,
            bucket_ms: (panel.window_ms / BUCKETS_A_WINDOW).max(BUCKET_MS),
            buckets: VecDeque::new(),
            points: VecDeque::new(),
        }
    }

    /// Takes in a message, by its own time. What is older than the window, or from the future, is
    /// passed over.
    pub(crate) fn take(&mut self, subject: &Subject<'_>, now_ms: i64) {
        let at_ms = subject.timestamp;
        let horizon_ms = now_ms - self.window_ms - self.bucket_ms * 2 - self.history_ms();
        if at_ms < horizon_ms || at_ms > now_ms + self.window_ms {
            return;
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.is_true(subject)) {
            return;
        }
        let values: Vec<Value> = match &self.field {
            Some(path) => subject.find(path).into_iter().map(|value| value.into_owned()).collect(),
            None => vec![Value::Null],
        };
        let groups: Vec<String> = match &self.group_by {
            Some(path) => subject.find(path).iter().map(|value| name_of(value)).collect(),
            None => Vec::new(),
        };
        let (aggregate, needs_number) = (self.aggregate, self.field.is_some());
        let bucket = self.bucket_at(at_ms);
        for value in &values {
            if needs_number && value.is_null() {
                continue;
            }
            bucket.all.take(value, aggregate);
            for group in &groups {
                if bucket.groups.len() >= GROUPS_MAX && !bucket.groups.contains_key(group) {
                    continue;
                }
                bucket.groups.entry(group.clone()).or_default().take(value, aggregate);
            }
        }
    }

    /// How far back points are made when a panel begins with the past.
    fn history_ms(&self) -> i64 {
        self.bucket_ms * POINTS_MAX as i64
    }

    fn bucket_at(&mut self, at_ms: i64) -> &mut Bucket {
        let start = at_ms - at_ms.rem_euclid(self.bucket_ms);
        let place = self.buckets.partition_point(|(other, _)| *other < start);
        if self.buckets.get(place).is_none_or(|(other, _)| *other != start) {
            self.buckets.insert(place, (start, Bucket::default()));
        }
        &mut self.buckets[place].1
    }

    /// The number at a moment, noted as a point; buckets that no window needs any more go.
    pub(crate) fn point(&mut self, now_ms: i64) -> (i64, Option<f64>) {
        while self
            .buckets
            .front()
            .is_some_and(|(start, _)| *start < now_ms - self.window_ms - self.bucket_ms)
        {
            self.buckets.pop_front();
        }
        let point = (now_ms, self.value_at(now_ms));
        self.points.push_back(point);
        if self.points.len() > POINTS_MAX {
            self.points.pop_front();
        }
        point
    }

    /// Points for a past that was read in one go, before the first live one.
    pub(crate) fn backfill(&mut self, from_ms: i64, now_ms: i64, each_ms: i64) {
        let each_ms = each_ms.max((now_ms - from_ms) / POINTS_MAX as i64).max(1);
        let mut at_ms = from_ms;
        while at_ms < now_ms {
            let value = self.value_at(at_ms);
            self.points.push_back((at_ms, value));
            if self.points.len() > POINTS_MAX {
                self.points.pop_front();
            }
            at_ms += each_ms;
        }
    }

    pub(crate) fn points_since(&self, from_ms: i64) -> Vec<(i64, Option<f64>)> {
        self.points.iter().filter(|(at, _)| *at >= from_ms).copied().collect()
    }

    fn window(&self, now_ms: i64) -> impl Iterator<Item = &Bucket> {
        let from_ms = now_ms - self.window_ms;
        let inside = move |(start, _): &&(i64, Bucket)| *start > from_ms - 1 && *start <= now_ms;
        self.buckets.iter().filter(inside).map(|(_, bucket)| bucket)
    }

    fn value_at(&self, now_ms: i64) -> Option<f64> {
        let mut sum = Sum::default();
        for bucket in self.window(now_ms) {
            sum.add(&bucket.all);
        }
        sum.value(self.aggregate, self.window_ms)
    }

    /// The groups as they stand, the largest first.
    pub(crate) fn rows(&self, now_ms: i64) -> Option<Vec<(String, f64)>> {
        self.group_by.as_ref()?;
        let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
        for bucket in self.window(now_ms) {
            for (group, sum) in &bucket.groups {
                sums.entry(group).or_default().add(sum);
            }
        }
        let value = |(group, sum): (&str, Sum)| {
            Some((group.to_owned(), sum.value(self.aggregate, self.window_ms)?))
        };
        let mut rows: Vec<(String, f64)> = sums.into_iter().filter_map(value).collect();
        rows.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        rows.truncate(self.top);
        Some(rows)
    }
}

fn name_of(value: &Value) -> String {
    const CHARS_MAX: usize = 100;
    match value {
        Value::String(text) => text.chars().take(CHARS_MAX).collect(),
        other => other.to_string().chars().take(CHARS_MAX).collect(),
    }
}

impl Sum {
    fn take(&mut self, value: &Value, aggregate: Aggregate) {
        self.count += 1;
        if aggregate == Aggregate::Distinct && self.distinct.len() < DISTINCT_MAX {
            self.distinct.insert(name_of(value));
        }
        let Some(number) = value.as_f64() else { return };
        self.numbers += 1;
        self.total += number;
        self.min = Some(self.min.map_or(number, |min| min.min(number)));
        self.max = Some(self.max.map_or(number, |max| max.max(number)));
        self.last = Some(number);
        if matches!(aggregate, Aggregate::P50 | Aggregate::P95 | Aggregate::P99) {
            *self.steps.entry(step_of(number)).or_default() += 1;
        }
    }

    /// Adds what came after.
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.numbers += other.numbers;
        self.total += other.total;
        self.min = [self.min, other.min].into_iter().flatten().reduce(f64::min);
        self.max = [self.max, other.max].into_iter().flatten().reduce(f64::max);
        self.last = other.last.or(self.last);
        for (step, count) in &other.steps {
            *self.steps.entry(*step).or_default() += count;
        }
        if self.distinct.len() < DISTINCT_MAX {
            self.distinct.extend(other.distinct.iter().cloned());
        }
    }

    fn value(&self, aggregate: Aggregate, window_ms: i64) -> Option<f64> {
        match aggregate {
            Aggregate::Count => Some(self.count as f64),
            Aggregate::Rate => Some(self.count as f64 * 1_000.0 / window_ms as f64),
            Aggregate::Sum => Some(self.total),
            Aggregate::Avg => (self.numbers > 0).then(|| self.total / self.numbers as f64),
            Aggregate::Min => self.min,
            Aggregate::Max => self.max,
            Aggregate::Last => self.last,
            Aggregate::Distinct => Some(self.distinct.len() as f64),
            Aggregate::P50 => self.percentile(0.5),
            Aggregate::P95 => self.percentile(0.95),
            Aggregate::P99 => self.percentile(0.99),
        }
    }

    fn percentile(&self, share: f64) -> Option<f64> {
        let wanted = (self.numbers as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (step, count) in &self.steps {
            seen += count;
            if seen >= wanted {
                let value = value_of(*step);
                return Some(value.clamp(self.min.unwrap_or(value), self.max.unwrap_or(value)));
            }
        }
        None
    }
}

/// The growth from one step to the next.
const STEP: f64 = 1.02;

/// Smaller numbers count as 0.
const SMALLEST: f64 = 1e-6;

/// Which step of sizes a number is on: 0 for none, then up by 2 % each; negative ones mirrored.
fn step_of(number: f64) -> i32 {
    let size = number.abs();
    if size < SMALLEST || !size.is_finite() {
        return 0;
    }
    let step = ((size / SMALLEST).ln() / STEP.ln()).round() as i32 + 1;
    if number < 0.0 { -step } else { step }
}

fn value_of(step: i32) -> f64 {
    if step == 0 {
        return 0.0;
    }
    let size = SMALLEST * STEP.powi(step.abs() - 1);
    if step < 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::super::panel::Kind;
    use super::*;

    fn panel(aggregate: Aggregate) -> NewPanel {
        NewPanel {
            title: "t".into(),
            topic: "t".into(),
            field: Some("value.n".into()),
            aggregate,
            filter: Some("value.n != 13".into()),
            group_by: Some("value.g".into()),
            top: 2,
            window_ms: 10_000,
            kind: Kind::Line,
            unit: String::new(),
        }
    }

    fn fed(aggregate: Aggregate) -> Aggregator {
        let mut aggregator = Aggregator::of(&panel(aggregate));
        for n in 1..=100_i64 {
            let group = ["a", "b", "c"][(n % 3) as usize];
            let value = format!("{{\"n\":{n},\"g\":\"{group}\"}}");
            let subject = Subject::new(0, n, n * 100, None, Some(value.as_bytes()), &[]);
            aggregator.take(&subject, 10_000);
        }
        aggregator
    }

    #[test]
    fn each_number_is_what_its_name_says() {
        let cases = [
            (Aggregate::Count, 99.0),
            (Aggregate::Rate, 9.9),
            (Aggregate::Sum, 5_037.0),
            (Aggregate::Avg, 5_037.0 / 99.0),
            (Aggregate::Min, 1.0),
            (Aggregate::Max, 100.0),
            (Aggregate::Last, 100.0),
            (Aggregate::Distinct, 99.0),
        ];
        for (aggregate, expected) in cases {
            let (_, value) = fed(aggregate).point(10_000);
            let value = value.unwrap();
            assert!((value - expected).abs() < 1e-9, "{aggregate:?}: {value}");
        }
        for (aggregate, expected) in
            [(Aggregate::P50, 51.0), (Aggregate::P95, 95.0), (Aggregate::P99, 99.0)]
        {
            let (_, value) = fed(aggregate).point(10_000);
            let value = value.unwrap();
            assert!((value - expected).abs() <= expected * 0.02, "{aggregate:?}: {value}");
        }
    }

    #[test]
    fn groups_come_largest_first_and_the_window_slides() {
        let mut aggregator = fed(Aggregate::Count);
        let rows = aggregator.rows(10_000).unwrap();
        // 13, which the filter leaves out, is one of the second group.
        assert_eq!(rows, [("a".to_owned(), 33.0), ("b".to_owned(), 33.0)]);
        assert!(aggregator.point(15_000).1.unwrap() < 60.0);
        assert_eq!(aggregator.point(30_000).1, Some(0.0));
        assert!(aggregator.buckets.is_empty());
    }

    #[test]
    fn sizes_are_kept_within_two_percent() {
        for number in [0.0, 1e-9, 0.01, 1.0, 17.3, 1e9, -4.2] {
            let back = value_of(step_of(number));
            assert!((back - number).abs() <= number.abs() * 0.011 + 1e-6, "{number}: {back}");
        }
    }
}
