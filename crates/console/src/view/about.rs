//! What this console is, and the search over everything.

use crate::console::Console;
use crate::view::page::Items;
use afluente_httpd::login::Login;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    version: &'static str,
    cluster_id: String,
    bootstrap: Vec<String>,
    server: &'static str,
    read_only: bool,
    environment: Option<&'a crate::console::Environment>,
    demos: &'a [String],
    warnings: Vec<Warning>,
    started_at: i64,
}

#[derive(Serialize)]
struct Warning {
    code: &'static str,
    message: String,
}

pub(crate) fn info(console: &Console) -> Response {
    let config = &console.config;
    let mut warnings = Vec::new();
    if let Some(address) = *console.open_to_others.read() {
        let message = format!("other machines can reach this console at {address}");
        warnings.push(Warning { code: "NOT_LOCALHOST", message });
        if matches!(config.login, Login::Open) {
            let message = "whoever reaches it may do everything: give it a login".to_owned();
            warnings.push(Warning { code: "NO_LOGIN", message });
        }
    }
    let has_metrics = console.read(|state| state.metrics.is_some());
    if let (Some((host, port)), false) = (&config.metrics, has_metrics) {
        let message = format!("the broker's metrics at {host}:{port} do not answer");
        warnings.push(Warning { code: "METRICS_UNREACHABLE", message });
    }
    let bootstrap = config.client.bootstrap_servers.iter().map(ToString::to_string).collect();
    Response::json(&Info {
        version: env!("CARGO_PKG_VERSION"),
        cluster_id: console.read(|state| state.cluster_id.clone()),
        bootstrap,
        server: if config.is_afluente { "afluente" } else { "other" },
        read_only: config.read_only,
        environment: config.environment.as_ref(),
        demos: &config.demos,
        warnings,
        started_at: console.started_ms,
    })
}

#[derive(Serialize)]
struct Hit {
    kind: &'static str,
    id: String,
    title: String,
}

pub(crate) fn search(console: &Console, request: &Request) -> Result<Response, Problem> {
    let query = request.query();
    let limit = query.parsed("limit")?.unwrap_or(20_usize).min(100);
    let wanted = query.get("q").unwrap_or_default().to_lowercase();
    let mut hits = console.read(|state| {
        let named = |kind: &'static str, name: &String| (kind, name.clone(), name.clone());
        let topics = state.topics.keys().map(|name| named("topic", name));
        let groups = state.groups.keys().map(|name| named("group", name));
        let brokers = state.brokers.iter().map(|(id, broker)| {
            ("broker", id.to_string(), format!("{id} {}:{}", broker.host, broker.port))
        });
        let all = topics.chain(groups).chain(brokers);
        all.filter(|(_, _, title)| title.to_lowercase().contains(&wanted)).collect::<Vec<_>>()
    });
    let panels = console.panels.titles().into_iter().map(|(id, title)| ("panel", id, title));
    let rules = console.alerts.titles().into_iter().map(|(id, title)| ("rule", id, title));
    let more = panels.chain(rules);
    hits.extend(more.filter(|(_, _, title)| title.to_lowercase().contains(&wanted)));
    // What begins with the words stands before what only contains them.
    hits.sort_by_key(|(_, _, title)| (!title.to_lowercase().starts_with(&wanted), title.len()));
    hits.truncate(limit);
    let hit = |(kind, id, title)| Hit { kind, id, title };
    Ok(Response::json(&Items { items: hits.into_iter().map(hit).collect() }))
}
