//! A rule over time: what its number is, whether it holds long enough, what it would have done.

use super::rule::{AlertEvent, LagUnit, NewRule, Rule, Source, StoredRule};
use crate::console::Console;
use serde::Serialize;
use std::sync::Arc;

/// A rule, and where it stands. `step(value, now)` is all that moves it.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) stored: StoredRule,
    state: State,
    value: Option<f64>,
    pub(super) delivery_error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Nothing is known of the number.
    Unknown,
    Ok {
        since: Option<i64>,
    },
    /// It holds, but not for long enough yet.
    Pending {
        since: i64,
    },
    Firing {
        since: i64,
        peak: f64,
    },
}

#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) has_changed: bool,
    /// A firing that began or ended.
    pub(super) event: Option<AlertEvent>,
}

impl Watch {
    pub(super) fn new(stored: StoredRule) -> Self {
        Self { stored, state: State::Unknown, value: None, delivery_error: None }
    }

    pub(super) fn is_firing(&self) -> bool {
        self.stored.rule.enabled && matches!(self.state, State::Firing { .. })
    }

    pub(super) fn rule(&self) -> Rule {
        let (state, since) = match self.state {
            _ if !self.stored.rule.enabled => ("disabled", None),
            State::Unknown => ("unknown", None),
            State::Ok { since } => ("ok", since),
            State::Pending { since } => ("pending", Some(since)),
            State::Firing { since, .. } => ("firing", Some(since)),
        };
        Rule {
            stored: self.stored.clone(),
            state,
            since,
            value: self.value,
            delivery_error: self.delivery_error.clone(),
        }
    }

    pub(super) fn step(&mut self, value: Option<f64>, now_ms: i64) -> Step {
        let rule = &self.stored.rule;
        let before = self.state;
        let holds = value.map(|value| rule.op.holds(value, rule.threshold));
        let mut event = None;
        self.state = match (before, holds) {
            _ if !rule.enabled => State::Unknown,
            // A number that is not known ends nothing and begins nothing.
            (State::Firing { .. }, None) => before,
            (_, None) => State::Unknown,
            (State::Firing { since, peak }, Some(true)) => {
                State::Firing { since, peak: rule.op.worse(peak, value.unwrap_or(peak)) }
            }
            (State::Firing { since, peak }, Some(false)) => {
                event = Some(self.event(since, Some(now_ms), peak));
                State::Ok { since: Some(now_ms) }
            }
            (State::Pending { since }, Some(true)) if now_ms - since >= rule.for_ms => {
                self.fire(since, value, &mut event)
            }
            (State::Pending { since }, Some(true)) => State::Pending { since },
            (_, Some(true)) if rule.for_ms == 0 => self.fire(now_ms, value, &mut event),
            (_, Some(true)) => State::Pending { since: now_ms },
            (State::Ok { since }, Some(false)) => State::Ok { since },
            (_, Some(false)) => State::Ok { since: Some(now_ms) },
        };
        let is_other = std::mem::discriminant(&before) != std::mem::discriminant(&self.state);
        let has_changed = is_other || self.value != value;
        self.value = value;
        Step { has_changed, event }
    }

    fn fire(&self, since: i64, value: Option<f64>, event: &mut Option<AlertEvent>) -> State {
        let peak = value.unwrap_or(self.stored.rule.threshold);
        *event = Some(self.event(since, None, peak));
        State::Firing { since, peak }
    }

    fn event(&self, from: i64, to: Option<i64>, peak: f64) -> AlertEvent {
        AlertEvent {
            id: format!("{}-{from}", self.stored.id),
            rule_id: self.stored.id.clone(),
            rule_name: self.stored.rule.name.clone(),
            severity: self.stored.rule.severity,
            from,
            to,
            peak: Some(peak),
            threshold: self.stored.rule.threshold,
        }
    }

    /// Silenced rules fire, but tell nobody.
    pub(super) fn is_silenced(stored: &StoredRule, now_ms: i64) -> bool {
        stored.silenced_until.is_some_and(|until| now_ms < until)
    }
}

/// A panel that a rule looks at begins with so much of the past.
const PANEL_HISTORY_MS: i64 = 300_000;

/// What the number of a rule is at this moment.
pub(super) fn value(console: &Arc<Console>, rule: &NewRule, now_ms: i64) -> Option<f64> {
    if !rule.enabled {
        return None;
    }
    match &rule.source {
        Source::Panel { panel_id } => {
            let panel = console.panels.panel(panel_id)?.panel;
            let view = console.panels.feeds.view(console, &panel, PANEL_HISTORY_MS)?;
            let points = view.aggregator.lock().points_since(now_ms - 5_000);
            points.last()?.1
        }
        Source::Lag { group, unit } => console.read(|state| {
            let lag = state.lag_of_group(state.groups.get(group)?, None);
            match unit {
                LagUnit::Messages => Some(lag.messages as f64),
                LagUnit::Seconds => lag.seconds,
            }
        }),
        Source::Disk => console.read(|state| {
            let directories = state.brokers.values().flat_map(|broker| &broker.log_dirs);
            let percent = directories.filter_map(|directory| {
                let (total, usable) = (directory.total_bytes?, directory.usable_bytes?);
                (total > 0).then(|| (total - usable) as f64 / total as f64 * 100.0)
            });
            percent.reduce(f64::max)
        }),
        Source::NoData { topic } => console.read(|state| {
            let topic = state.topics.get(topic)?;
            let since = topic.grew_ms.unwrap_or(console.started_ms);
            Some((now_ms - since).max(0) as f64 / 1_000.0)
        }),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RulePreview {
    t: Vec<i64>,
    v: Vec<Option<f64>>,
    firings: Vec<Firing>,
    known_ms: i64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Firing {
    from: i64,
    to: Option<i64>,
}

/// What a rule would have done with what is remembered of its number.
pub(super) fn preview(
    console: &Arc<Console>,
    rule: &NewRule,
    now_ms: i64,
    window_ms: i64,
) -> RulePreview {
    let from_ms = now_ms - window_ms;
    let points: Vec<(i64, Option<f64>)> = match &rule.source {
        Source::Panel { panel_id } => {
            let view = console.panels.panel(panel_id).and_then(|panel| {
                console.panels.feeds.view(console, &panel.panel, window_ms.min(PANEL_HISTORY_MS))
            });
            view.map(|view| view.aggregator.lock().points_since(from_ms)).unwrap_or_default()
        }
        Source::Lag { group, unit } => console.read(|state| {
            let history =
                state.groups.get(group).into_iter().flat_map(|group| group.history.iter());
            let point = |(at, lag, seconds): &(i64, i64, Option<f64>)| match unit {
                LagUnit::Messages => (*at, Some(*lag as f64)),
                LagUnit::Seconds => (*at, *seconds),
            };
            history.map(point).filter(|(at, _)| *at >= from_ms).collect()
        }),
        Source::Disk => console.read(|state| {
            let percent = |used: i64| Some(used as f64 / state.disk.total_bytes? as f64 * 100.0);
            let used = state.disk.used.iter();
            used.map(|(at, used)| (*at, percent(*used))).filter(|(at, _)| *at >= from_ms).collect()
        }),
        // When a topic was silent is not remembered.
        Source::NoData { .. } => vec![(now_ms, value(console, rule, now_ms))],
    };
    let firings = firings(rule, &points);
    RulePreview {
        known_ms: points.first().map_or(0, |(at, _)| now_ms - at),
        firings,
        t: points.iter().map(|(at, _)| *at).collect(),
        v: points.iter().map(|(_, value)| *value).collect(),
    }
}

fn firings(rule: &NewRule, points: &[(i64, Option<f64>)]) -> Vec<Firing> {
    let rule = NewRule { enabled: true, ..rule.clone() };
    let mut watch = Watch::new(StoredRule { id: String::new(), rule, silenced_until: None });
    let mut firings: Vec<Firing> = Vec::new();
    for (at, value) in points {
        let Some(event) = watch.step(*value, *at).event else { continue };
        match (event.to, firings.last_mut()) {
            (Some(to), Some(last)) => last.to = Some(to),
            _ => firings.push(Firing { from: event.from, to: event.to }),
        }
    }
    firings
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Op, Severity};
    use super::*;

    fn rule(for_ms: i64) -> NewRule {
        NewRule {
            name: "r".into(),
            enabled: true,
            source: Source::Disk,
            op: Op::Greater,
            threshold: 10.0,
            for_ms,
            severity: Severity::Warning,
            targets: Vec::new(),
        }
    }

    #[test]
    fn a_rule_fires_once_it_has_held_for_long_enough_and_ends_when_it_holds_no_more() {
        let points: Vec<(i64, Option<f64>)> = [
            (0, 5.0),
            (1, 11.0),
            (2, 11.0),
            (3, 5.0),
            (4, 20.0),
            (5, 30.0),
            (6, 25.0),
            (7, 25.0),
            (9, 1.0),
            (10, 50.0),
        ]
        .into_iter()
        .map(|(at, value)| (at, Some(value)))
        .collect();
        assert_eq!(firings(&rule(2), &points), [Firing { from: 4, to: Some(9) }]);
        let at_once = firings(&rule(0), &points);
        assert_eq!(at_once.len(), 3);
        assert_eq!(at_once[2], Firing { from: 10, to: None });
    }

    #[test]
    fn what_is_not_known_neither_begins_nor_ends_a_firing() {
        let points =
            [(0, Some(20.0)), (1, None), (2, Some(20.0)), (3, Some(1.0)), (4, None), (5, None)];
        assert_eq!(firings(&rule(0), &points), [Firing { from: 0, to: Some(3) }]);
        let mut watch =
            Watch::new(StoredRule { id: "a".into(), rule: rule(0), silenced_until: Some(9) });
        assert_eq!(watch.rule().state, "unknown");
        watch.step(Some(11.0), 1);
        watch.step(Some(99.0), 2);
        let ended = watch.step(Some(1.0), 3).event.unwrap();
        assert_eq!((ended.peak, ended.from, ended.to), (Some(99.0), 1, Some(3)));
        assert!(Watch::is_silenced(&watch.stored, 8) && !Watch::is_silenced(&watch.stored, 9));
    }
}
