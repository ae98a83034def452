//! Which path is answered by whom.

use crate::console::Console;
use crate::front;
use crate::view::{
    about, alerts, cluster, configs, groups, live, messages, overview, panels, topics,
};
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use afluente_httpd::server::{Answer, Handler};
use afluente_httpd::{Method, StatusCode};
use std::sync::Arc;

/// The door to all screens.
pub(crate) struct Routes(pub(crate) Arc<Console>);

impl Handler for Routes {
    fn handle(self: Arc<Self>, request: Request) -> Answer {
        let console = Arc::clone(&self.0);
        Box::pin(async move { route(console, request).await })
    }
}

async fn route(console: Arc<Console>, request: Request) -> Result<Response, Problem> {
    let segments = request.segments()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let Some((&"api", path)) = segments.split_first() else {
        return match *request.method() {
            Method::GET | Method::HEAD => front::answer(&request),
            _ => Err(unknown(&request)),
        };
    };
    if console.config.read_only && changes(request.method(), path) {
        return Err(read_only());
    }
    let method = request.method().clone();
    match (method.as_str(), path) {
        ("GET", ["info"]) => Ok(about::info(&console)),
        ("GET", ["search"]) => about::search(&console, &request),
        ("GET", ["live"]) => live::open(console, request),

        ("GET", ["overview"]) => Ok(Response::json(&overview::overview(&console))),
        ("GET", ["overview", "history"]) => overview::history(&console, &request),

        ("GET", ["topics"]) => topics::list(&console, &request),
        ("POST", ["topics"]) => topics::create(&console, request).await,
        ("GET", ["topics", topic]) => topics::detail(&console, topic).await,
        ("DELETE", ["topics", topic]) => topics::delete(&console, &request, topic).await,
        ("POST", ["topics", topic, "partitions"]) => {
            topics::add_partitions(&console, topic, request).await
        }
        ("POST", ["topics", topic, "purge"]) => topics::purge(&console, topic, request).await,
        ("POST", ["topics", topic, "clone"]) => topics::clone(&console, topic, request).await,
        ("GET", ["topics", topic, "groups"]) => topics::groups(&console, topic),
        ("GET", ["topics", topic, "fields"]) => messages::fields::fields(&console, topic).await,
        ("GET", ["topics", topic, "configs"]) => configs::of_topic(&console, topic).await,
        ("PATCH", ["topics", topic, "configs"]) => {
            configs::change_topic(&console, topic, request).await
        }
        ("GET", ["topic-configs"]) => configs::for_new_topics(&console).await,

        ("GET", ["topics", topic, "messages"]) => {
            messages::search::search(console, topic, &request)
        }
        ("POST", ["topics", topic, "messages"]) => {
            messages::produce::produce(&console, topic, request).await
        }
        ("GET", ["topics", topic, "messages", partition, offset]) => {
            messages::one(&console, topic, partition, offset).await
        }
        ("GET", ["topics", topic, "histogram"]) => {
            messages::histogram::histogram(&console, topic, &request).await
        }
        ("GET", ["topics", topic, "export"]) => {
            messages::transfer::export(console, topic, &request)
        }
        ("POST", ["topics", topic, "import"]) => {
            messages::transfer::import(console, topic, request)
        }
        ("POST", ["filters", "check"]) => messages::check_filter(request).await,

        ("GET", ["groups"]) => groups::list(&console, &request),
        ("GET", ["groups", group]) => groups::detail(&console, group).await,
        ("DELETE", ["groups", group]) => groups::delete(&console, &request, group).await,
        ("GET", ["groups", group, "history"]) => groups::history(&console, &request, group),
        ("POST", ["groups", group, "offsets", "preview"]) => {
            groups::reset::preview(&console, group, request).await
        }
        ("POST", ["groups", group, "offsets"]) => {
            groups::reset::reset(&console, group, request).await
        }
        ("DELETE", ["groups", group, "offsets"]) => groups::forget(&console, &request, group).await,

        ("GET", ["cluster"]) => cluster::cluster(&console).await,
        ("GET", ["brokers", id]) => cluster::broker(&console, id).await,
        ("GET", ["brokers", id, "configs"]) => configs::of_broker(&console, id).await,
        ("PATCH", ["brokers", id, "configs"]) => {
            configs::change_broker(&console, id, request).await
        }

        ("GET", ["dashboards"]) => Ok(panels::list(&console)),
        ("POST", ["dashboards"]) => panels::create_dashboard(&console, request).await,
        ("PUT", ["dashboards", id]) => panels::change_dashboard(&console, id, request).await,
        ("DELETE", ["dashboards", id]) => panels::delete_dashboard(&console, id),
        ("POST", ["dashboards", id, "panels"]) => panels::create(&console, id, request).await,
        ("PUT", ["panels", id]) => panels::change(&console, id, request).await,
        ("DELETE", ["panels", id]) => panels::delete(&console, id),

        ("GET", ["alerts", "rules"]) => Ok(alerts::list(&console)),
        ("POST", ["alerts", "rules"]) => alerts::create(&console, request).await,
        ("PUT", ["alerts", "rules", id]) => alerts::change(&console, id, request).await,
        ("DELETE", ["alerts", "rules", id]) => alerts::delete(&console, id),
        ("POST", ["alerts", "rules", id, "silence"]) => {
            alerts::silence(&console, id, request).await
        }
        ("POST", ["alerts", "preview"]) => alerts::preview(&console, request).await,
        ("GET", ["alerts", "history"]) => alerts::history(&console, &request),

        _ => Err(unknown(&request)),
    }
}

/// Whether a request changes something; some only ask, with a body.
fn changes(method: &Method, path: &[&str]) -> bool {
    let asks = matches!(
        path,
        ["filters", "check"] | ["alerts", "preview"] | ["groups", _, "offsets", "preview"]
    );
    *method != Method::GET && !asks
}

fn read_only() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "READ_ONLY",
        "refused the change",
        "this console was started to look only",
    )
    .remedy("start it without --read-only to change things")
}

fn unknown(request: &Request) -> Problem {
    let why = format!("there is no {} {}", request.method(), request.path());
    Problem::not_found("could not answer the request", why)
}
