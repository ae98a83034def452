//! Alerts: rules on panels, lag, disk and silence of topics; their state, history and preview.

mod deliver;
pub(crate) mod rule;
mod watch;

use crate::console::Console;
use crate::view::page::{Items, Page, Wish};
use crate::view::panels::not_kept;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use parking_lot::Mutex;
use rule::{AlertEvent, NewRule, Rule, StoredRule};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::watch as signal;
use watch::Watch;

const RULES_MAX: usize = 200;

/// Firings that are remembered.
const HISTORY_MAX: usize = 1_000;

/// All rules, and what they saw.
pub(crate) struct Alerts {
    rules: Mutex<BTreeMap<String, Watch>>,
    history: Mutex<VecDeque<AlertEvent>>,
    /// Moves at each change of a rule or its state.
    pub(crate) changes: signal::Sender<u64>,
}

impl Alerts {
    pub(crate) fn new(stored: Vec<StoredRule>) -> Self {
        let rules = stored.into_iter().map(|stored| (stored.id.clone(), Watch::new(stored)));
        Self {
            rules: Mutex::new(rules.collect()),
            history: Mutex::default(),
            changes: signal::Sender::new(0),
        }
    }

    pub(crate) fn titles(&self) -> Vec<(String, String)> {
        let rules = self.rules.lock();
        rules.iter().map(|(id, watch)| (id.clone(), watch.stored.rule.name.clone())).collect()
    }

    /// Names and severities of those that fire and are not silenced.
    pub(crate) fn firing(&self) -> Vec<(String, &'static str)> {
        let rules = self.rules.lock();
        let firing = rules.values().map(|watch| (watch, &watch.stored.rule));
        let firing = firing.filter(|(watch, _)| watch.is_firing());
        firing.map(|(_, rule)| (rule.name.clone(), rule.severity.name())).collect()
    }

    pub(crate) fn rules(&self) -> Vec<Rule> {
        self.rules.lock().values().map(Watch::rule).collect()
    }

    /// One look at every rule; what began or ended to fire is delivered.
    pub(crate) async fn round(&self, console: &Arc<Console>, now_ms: i64) {
        let ids: Vec<(String, StoredRule)> = {
            let rules = self.rules.lock();
            rules.iter().map(|(id, watch)| (id.clone(), watch.stored.clone())).collect()
        };
        let mut has_changed = false;
        for (id, stored) in ids {
            let value = watch::value(console, &stored.rule, now_ms);
            let mut rules = self.rules.lock();
            let Some(watch) = rules.get_mut(&id) else { continue };
            let step = watch.step(value, now_ms);
            has_changed |= step.has_changed;
            let Some(event) = step.event else { continue };
            drop(rules);
            self.note(event.clone());
            deliver::all(console, &stored, event);
        }
        if has_changed {
            self.changed();
        }
    }

    fn note(&self, event: AlertEvent) {
        let mut history = self.history.lock();
        match history.iter_mut().find(|known| known.id == event.id) {
            Some(known) => *known = event,
            None => history.push_front(event),
        }
        history.truncate(HISTORY_MAX);
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn delivered(&self, id: &str, error: Option<String>) {
        if let Some(watch) = self.rules.lock().get_mut(id) {
            watch.delivery_error = error;
        }
        self.changed();
    }

    /// Changes the rules, and keeps them.
    fn change<T>(
        &self,
        console: &Console,
        what: &str,
        change: impl FnOnce(&mut Vec<StoredRule>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut rules = self.rules.lock();
        let mut stored: Vec<StoredRule> =
            rules.values().map(|watch| watch.stored.clone()).collect();
        let outcome = change(&mut stored)?;
        console.panels.keep.keep_rules(stored.clone()).map_err(|error| not_kept(what, &error))?;
        let mut before = std::mem::take(&mut *rules);
        for stored in stored {
            let watch = match before.remove(&stored.id) {
                Some(mut watch) if watch.stored.rule == stored.rule => {
                    watch.stored = stored.clone();
                    watch
                }
                _ => Watch::new(stored.clone()),
            };
            rules.insert(stored.id, watch);
        }
        drop(rules);
        self.changed();
        Ok(outcome)
    }

    fn rule(&self, id: &str) -> Option<Rule> {
        self.rules.lock().get(id).map(Watch::rule)
    }
}

pub(crate) fn list(console: &Console) -> Response {
    Response::json(&Items { items: console.alerts.rules() })
}

fn unknown(what: &str, id: &str) -> Problem {
    Problem::not_found(what, format!("there is no rule {id:?}"))
}

fn answer(console: &Console, what: &str, id: &str) -> Result<Response, Problem> {
    Ok(Response::json(&console.alerts.rule(id).ok_or_else(|| unknown(what, id))?))
}

pub(crate) async fn create(console: &Console, mut request: Request) -> Result<Response, Problem> {
    let what = "could not make the rule";
    let rule: NewRule = request.json().await?;
    rule.check(what)?;
    let id = format!("{:016x}", console.env.rng.u64());
    console.alerts.change(console, what, |rules| {
        if rules.len() >= RULES_MAX {
            return Err(Problem::invalid(what, format!("there are {RULES_MAX} already")));
        }
        rules.push(StoredRule { id: id.clone(), rule, silenced_until: None });
        Ok(())
    })?;
    answer(console, what, &id)
}

pub(crate) async fn change(
    console: &Console,
    id: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let what = "could not change the rule";
    let rule: NewRule = request.json().await?;
    rule.check(what)?;
    console.alerts.change(console, what, |rules| {
        let found = rules.iter_mut().find(|stored| stored.id == id);
        found.ok_or_else(|| unknown(what, id))?.rule = rule;
        Ok(())
    })?;
    answer(console, what, id)
}

pub(crate) fn delete(console: &Console, id: &str) -> Result<Response, Problem> {
    let what = "could not delete the rule";
    console.alerts.change(console, what, |rules| {
        let place = rules.iter().position(|stored| stored.id == id);
        rules.remove(place.ok_or_else(|| unknown(what, id))?);
        Ok(())
    })?;
    Ok(Response::no_content())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Silence {
    until_ms: Option<i64>,
}

pub(crate) async fn silence(
    console: &Console,
    id: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let what = "could not silence the rule";
    let wanted: Silence = request.json().await?;
    console.alerts.change(console, what, |rules| {
        let found = rules.iter_mut().find(|stored| stored.id == id);
        found.ok_or_else(|| unknown(what, id))?.silenced_until = wanted.until_ms;
        Ok(())
    })?;
    answer(console, what, id)
}

pub(crate) async fn preview(
    console: &Arc<Console>,
    mut request: Request,
) -> Result<Response, Problem> {
    let what = "could not preview the rule";
    let window_ms = request.query().parsed("windowMs")?.unwrap_or(3_600_000_i64);
    let rule: NewRule = request.json().await?;
    rule.check(what)?;
    let now_ms = console.env.clock.wall_ms();
    Ok(Response::json(&watch::preview(console, &rule, now_ms, window_ms)))
}

pub(crate) fn history(console: &Console, request: &Request) -> Result<Response, Problem> {
    let wish = Wish::read(request, "-from")?;
    let all: Vec<AlertEvent> = console.alerts.history.lock().iter().cloned().collect();
    let as_of = console.env.clock.wall_ms();
    let page: Page<AlertEvent> = wish.cut(
        all,
        as_of,
        |one, other| one.from.cmp(&other.from),
        |event| &event.id,
        |event| event,
    );
    Ok(Response::json(&page))
}
