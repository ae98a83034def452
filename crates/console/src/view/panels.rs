//! Panels: numbers made of the messages of a topic, live.
//!
//! A panel is computed once, however many readers look at it, and no longer when nobody has looked
//! for a while. What it remembers is bounded in time and memory.

pub(crate) mod aggregate;
mod built_in;
pub(crate) mod feed;
pub(crate) mod panel;

use crate::console::Console;
use crate::filter;
use crate::keep::Keep;
use crate::view::messages::parse_filter;
use crate::view::page::Items;
use afluente_httpd::StatusCode;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use feed::Feeds;
use panel::{NewPanel, Panel, StoredDashboard};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::io;

/// Dashboards, and panels on one.
const DASHBOARDS_MAX: usize = 100;
const PANELS_MAX: usize = 50;

/// All dashboards, and what feeds them.
pub(crate) struct Panels {
    pub(crate) keep: Keep,
    /// Of readers; those that come with the product are apart.
    dashboards: Mutex<Vec<StoredDashboard>>,
    pub(crate) feeds: Feeds,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dashboard {
    #[serde(flatten)]
    stored: StoredDashboard,
    built_in: bool,
}

impl Panels {
    pub(crate) fn new(keep: Keep) -> Self {
        let dashboards = Mutex::new(keep.dashboards());
        Self { keep, dashboards, feeds: Feeds::default() }
    }

    /// A panel by its id.
    pub(crate) fn panel(&self, id: &str) -> Option<Panel> {
        let all = self.all();
        all.into_iter().flat_map(|dashboard| dashboard.stored.panels).find(|panel| panel.id == id)
    }

    pub(crate) fn titles(&self) -> Vec<(String, String)> {
        let panels = self.all().into_iter().flat_map(|dashboard| dashboard.stored.panels);
        panels.map(|panel| (panel.id, panel.panel.title)).collect()
    }

    fn all(&self) -> Vec<Dashboard> {
        let built_in = built_in::dashboards();
        let built_in = built_in.into_iter().map(|stored| Dashboard { stored, built_in: true });
        let own = self.dashboards.lock().clone();
        built_in
            .chain(own.into_iter().map(|stored| Dashboard { stored, built_in: false }))
            .collect()
    }

    /// Changes the dashboards of readers, and keeps them.
    fn change<T>(
        &self,
        what: &str,
        change: impl FnOnce(&mut Vec<StoredDashboard>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut dashboards = self.dashboards.lock();
        let mut next = dashboards.clone();
        let outcome = change(&mut next)?;
        self.keep.keep_dashboards(next.clone()).map_err(|error| not_kept(what, &error))?;
        *dashboards = next;
        Ok(outcome)
    }
}

pub(crate) fn not_kept(what: &str, error: &io::Error) -> Problem {
    Problem::internal(what, format!("it could not be written down: {error}"))
        .remedy("look whether the console's directory is there, can be written to, and has room")
}

pub(crate) fn list(console: &Console) -> Response {
    Response::json(&Items { items: console.panels.all() })
}

fn unknown(what: &str, kind: &str, id: &str) -> Problem {
    if built_in::dashboards()
        .iter()
        .any(|one| one.id == id || one.panels.iter().any(|panel| panel.id == id))
    {
        let why = format!("the {kind} comes with the product and cannot be changed");
        return Problem::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", what, why)
            .remedy("make one of your own");
    }
    Problem::not_found(what, format!("there is no {kind} {id:?}"))
}

#[derive(Deserialize)]
struct Title {
    title: String,
}

fn good_title(what: &str, title: &str) -> Result<(), Problem> {
    if title.trim().is_empty() || title.len() > 200 {
        return Err(Problem::invalid(what, "a title has 1 to 200 bytes").field("title"));
    }
    Ok(())
}

fn new_id(console: &Console) -> String {
    format!("{:016x}", console.env.rng.u64())
}

pub(crate) async fn create_dashboard(
    console: &Console,
    mut request: Request,
) -> Result<Response, Problem> {
    let what = "could not make a dashboard";
    let wanted: Title = request.json().await?;
    good_title(what, &wanted.title)?;
    let stored = StoredDashboard { id: new_id(console), title: wanted.title, panels: Vec::new() };
    console.panels.change(what, |dashboards| {
        if dashboards.len() >= DASHBOARDS_MAX {
            return Err(Problem::invalid(what, format!("there are {DASHBOARDS_MAX} already")));
        }
        dashboards.push(stored.clone());
        Ok(())
    })?;
    Ok(Response::json(&Dashboard { stored, built_in: false }))
}

#[derive(Deserialize)]
struct DashboardChange {
    title: Option<String>,
    order: Option<Vec<String>>,
}

pub(crate) async fn change_dashboard(
    console: &Console,
    id: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let what = "could not change the dashboard";
    let wanted: DashboardChange = request.json().await?;
    let stored = console.panels.change(what, |dashboards| {
        let found = dashboards.iter_mut().find(|dashboard| dashboard.id == id);
        let dashboard = found.ok_or_else(|| unknown(what, "dashboard", id))?;
        if let Some(title) = wanted.title {
            good_title(what, &title)?;
            dashboard.title = title;
        }
        if let Some(order) = &wanted.order {
            let place = |id: &str| order.iter().position(|other| other == id).unwrap_or(usize::MAX);
            dashboard.panels.sort_by_key(|panel| place(&panel.id));
        }
        Ok(dashboard.clone())
    })?;
    Ok(Response::json(&Dashboard { stored, built_in: false }))
}

pub(crate) fn delete_dashboard(console: &Console, id: &str) -> Result<Response, Problem> {
    let what = "could not delete the dashboard";
    console.panels.change(what, |dashboards| {
        let place = dashboards.iter().position(|dashboard| dashboard.id == id);
        dashboards.remove(place.ok_or_else(|| unknown(what, "dashboard", id))?);
        Ok(())
    })?;
    Ok(Response::no_content())
}

/// Whether a panel makes sense.
pub(crate) fn check(what: &str, panel: &NewPanel) -> Result<(), Problem> {
    good_title(what, &panel.title)?;
    if let Some(filter) = &panel.filter {
        parse_filter(filter, what)?;
    }
    let fields = [("field", &panel.field), ("groupBy", &panel.group_by)];
    for (name, path) in fields {
        if let Some(path) = path {
            filter::parse_path(path).map_err(|error| {
                let why = format!("{path:?} is no path: {} (at {})", error.message, error.position);
                Problem::invalid(what, why).field(name)
            })?;
        }
    }
    if panel.field.is_none() && panel.aggregate.needs_field() {
        return Err(
            Problem::invalid(what, "this number needs a field to be made of").field("field")
        );
    }
    if !(1..=aggregate::GROUPS_SHOWN_MAX).contains(&panel.top) {
        let why = format!("1 to {} groups can be shown", aggregate::GROUPS_SHOWN_MAX);
        return Err(Problem::invalid(what, why).field("top"));
    }
    if !(aggregate::WINDOW_MS_MIN..=aggregate::WINDOW_MS_MAX).contains(&panel.window_ms) {
        let why = "a window lasts from a second to a day";
        return Err(Problem::invalid(what, why).field("windowMs"));
    }
    Ok(())
}

pub(crate) async fn create(
    console: &Console,
    dashboard: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let what = "could not make the panel";
    let panel: NewPanel = request.json().await?;
    check(what, &panel)?;
    let panel = Panel { id: new_id(console), panel };
    console.panels.change(what, |dashboards| {
        let found = dashboards.iter_mut().find(|one| one.id == dashboard);
        let found = found.ok_or_else(|| unknown(what, "dashboard", dashboard))?;
        if found.panels.len() >= PANELS_MAX {
            return Err(Problem::invalid(
                what,
                format!("a dashboard has at most {PANELS_MAX} panels"),
            ));
        }
        found.panels.push(panel.clone());
        Ok(())
    })?;
    Ok(Response::json(&panel))
}

pub(crate) async fn change(
    console: &Console,
    id: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let what = "could not change the panel";
    let panel: NewPanel = request.json().await?;
    check(what, &panel)?;
    let panel = Panel { id: id.to_owned(), panel };
    console.panels.change(what, |dashboards| {
        let mut panels = dashboards.iter_mut().flat_map(|dashboard| &mut dashboard.panels);
        let found = panels.find(|panel| panel.id == id);
        *found.ok_or_else(|| unknown(what, "panel", id))? = panel.clone();
        Ok(())
    })?;
    Ok(Response::json(&panel))
}

pub(crate) fn delete(console: &Console, id: &str) -> Result<Response, Problem> {
    let what = "could not delete the panel";
    console.panels.change(what, |dashboards| {
        let found = dashboards.iter_mut().find(|one| one.panels.iter().any(|panel| panel.id == id));
        let found = found.ok_or_else(|| unknown(what, "panel", id))?;
        found.panels.retain(|panel| panel.id != id);
        Ok(())
    })?;
    Ok(Response::no_content())
}
