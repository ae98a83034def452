//! The WebSocket that carries everything that moves.
//!
//! One task reads what the client asks for; each subscription has a task that makes its data; one
//! queue of bounded length leads to the socket. A client that reads slowly makes these tasks wait,
//! and what they would have sent meanwhile is merged into the next piece.

mod tail;

use crate::console::Console;
use crate::trouble::problem;
use crate::view::panels::panel::NewPanel;
use crate::view::{groups, overview, panels};
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use afluente_httpd::websocket::{self, Incoming, Reader, Writer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Frames that wait for the socket, over all subscriptions.
const FRAMES_MAX: usize = 16;

/// Subscriptions of one client.
const SUBSCRIPTIONS_MAX: usize = 64;

/// Names in one subscription to topics.
const TOPICS_MAX: usize = 200;

/// Between two looks at a panel.
const PANEL_EACH: Duration = Duration::from_millis(250);

/// How much of the past a panel may begin with.
const HISTORY_MS_MAX: i64 = 3_600_000;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
enum ClientFrame {
    Subscribe { id: String, stream: StreamRequest },
    Unsubscribe { id: String },
    Ping,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum StreamRequest {
    Overview,
    Topics { names: Vec<String> },
    Group { group: String },
    Tail(tail::TailRequest),
    Panel { panel_id: String, history_ms: i64 },
    PanelPreview { panel: NewPanel, history_ms: i64 },
    Alerts,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ServerFrame<'a> {
    Hello { version: &'static str, now: i64, boot_id: &'a str },
    Pong { now: i64 },
    Data { id: &'a str, data: Value },
    Error { id: &'a str, error: &'a Problem },
    End { id: &'a str },
}

/// Where a subscription's data goes.
pub(super) struct Out {
    id: String,
    frames: mpsc::Sender<String>,
}

/// The client is gone.
pub(super) struct Gone;

impl Out {
    pub(super) async fn data<T: Serialize>(&self, data: &T) -> Result<(), Gone> {
        let data = serde_json::to_value(data).expect("what we answer can be JSON");
        self.frame(&ServerFrame::Data { id: &self.id, data }).await
    }

    async fn error(&self, error: &Problem) -> Result<(), Gone> {
        self.frame(&ServerFrame::Error { id: &self.id, error }).await
    }

    async fn end(&self) -> Result<(), Gone> {
        self.frame(&ServerFrame::End { id: &self.id }).await
    }

    async fn frame(&self, frame: &ServerFrame<'_>) -> Result<(), Gone> {
        self.frames.send(text(frame)).await.map_err(|_| Gone)
    }
}

fn text(frame: &ServerFrame<'_>) -> String {
    serde_json::to_string(frame).expect("what we answer can be JSON")
}

pub(crate) fn open(console: Arc<Console>, request: Request) -> Result<Response, Problem> {
    websocket::upgrade(request, |reader, writer| serve(console, reader, writer))
}

async fn serve(console: Arc<Console>, reader: Reader, mut writer: Writer) {
    let (frames, mut queue) = mpsc::channel::<String>(FRAMES_MAX);
    let hello = ServerFrame::Hello {
        version: env!("CARGO_PKG_VERSION"),
        now: console.env.clock.wall_ms(),
        boot_id: &console.boot_id,
    };
    if writer.text(&text(&hello)).await.is_err() {
        return;
    }
    let mut reading = console.env.tasks.spawn(read(Arc::clone(&console), reader, frames));
    loop {
        tokio::select! {
            frame = queue.recv() => {
                let Some(frame) = frame else { break };
                if writer.text(&frame).await.is_err() {
                    break;
                }
            }
            _ = &mut reading => break,
        }
    }
    reading.abort();
    // A client that is gone needs no goodbye.
    let _ = writer.close(1000).await;
}

/// Tasks of the subscriptions; ended with it.
#[derive(Default)]
struct Subscriptions(BTreeMap<String, JoinHandle<()>>);

impl Drop for Subscriptions {
    fn drop(&mut self) {
        for task in self.0.values() {
            task.abort();
        }
    }
}

async fn read(console: Arc<Console>, mut reader: Reader, frames: mpsc::Sender<String>) {
    let mut subscriptions = Subscriptions::default();
    loop {
        let text = match reader.next().await {
            Ok(Some(Incoming::Text(text))) => text,
            // Browsers send no ping frames; others live by the frames that they get.
            Ok(Some(Incoming::Ping(_))) => continue,
            Ok(None) | Err(_) => return,
        };
        let frame = match serde_json::from_str::<ClientFrame>(&text) {
            Ok(frame) => frame,
            Err(error) => {
                let problem = Problem::invalid("could not read a frame", error.to_string());
                let id = serde_json::from_str::<Value>(&text).ok();
                let id = id.as_ref().and_then(|value| value["id"].as_str()).unwrap_or_default();
                let out = Out { id: id.to_owned(), frames: frames.clone() };
                if out.error(&problem).await.is_err() {
                    return;
                }
                continue;
            }
        };
        match frame {
            ClientFrame::Ping => {
                let pong = ServerFrame::Pong { now: console.env.clock.wall_ms() };
                if frames.send(text_of(&pong)).await.is_err() {
                    return;
                }
            }
            ClientFrame::Unsubscribe { id } => {
                if let Some(task) = subscriptions.0.remove(&id) {
                    task.abort();
                }
            }
            ClientFrame::Subscribe { id, stream } => {
                subscriptions.0.retain(|_, task| !task.is_finished());
                let out = Out { id: id.clone(), frames: frames.clone() };
                if subscriptions.0.len() >= SUBSCRIPTIONS_MAX {
                    let why = format!("a client has at most {SUBSCRIPTIONS_MAX} at a time");
                    if out.error(&Problem::invalid("could not subscribe", why)).await.is_err() {
                        return;
                    }
                    continue;
                }
                let task = console.env.tasks.spawn(subscribe(Arc::clone(&console), stream, out));
                if let Some(before) = subscriptions.0.insert(id, task) {
                    before.abort();
                }
            }
        }
    }
}

fn text_of(frame: &ServerFrame<'_>) -> String {
    text(frame)
}

/// Why a subscription ends.
pub(super) enum Ended {
    Gone,
    Problem(Problem),
}

impl From<Gone> for Ended {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

async fn subscribe(console: Arc<Console>, stream: StreamRequest, out: Out) {
    let ended = match stream {
        StreamRequest::Overview => overviews(&console, &out).await,
        StreamRequest::Topics { names } => topics(&console, names, &out).await,
        StreamRequest::Group { group } => group_details(&console, &group, &out).await,
        StreamRequest::Tail(request) => tail::tail(&console, request, &out).await,
        StreamRequest::Panel { panel_id, history_ms } => match console.panels.panel(&panel_id) {
            Some(panel) => panel_points(&console, &panel.panel, history_ms, &out).await,
            None => Err(Ended::Problem(Problem::not_found(
                "could not show the panel",
                format!("there is no panel {panel_id:?}"),
            ))),
        },
        StreamRequest::PanelPreview { panel, history_ms } => {
            match panels::check("could not show the panel", &panel) {
                Ok(()) => panel_points(&console, &panel, history_ms, &out).await,
                Err(problem) => Err(Ended::Problem(problem)),
            }
        }
        StreamRequest::Alerts => alerts(&console, &out).await,
    };
    if let Err(Ended::Problem(problem)) = ended {
        // When the client is gone there is nobody to tell.
        if out.error(&problem).await.is_ok() {
            let _ = out.end().await;
        }
    }
}

type Never = std::convert::Infallible;

async fn overviews(console: &Console, out: &Out) -> Result<Never, Ended> {
    let mut ticks = console.ticks.subscribe();
    loop {
        out.data(&overview::overview(console)).await?;
        ticks.changed().await.map_err(|_| Ended::Gone)?;
    }
}

#[derive(Serialize)]
struct TopicsTick {
    t: i64,
    topics: BTreeMap<String, TopicTick>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TopicTick {
    in_messages: f64,
    in_bytes: Option<f64>,
    messages: i64,
    size_bytes: Option<i64>,
}

async fn topics(console: &Console, mut names: Vec<String>, out: &Out) -> Result<Never, Ended> {
    names.truncate(TOPICS_MAX);
    let mut ticks = console.ticks.subscribe();
    loop {
        let tick = console.read(|state| {
            let of_topic = |name: &String| {
                let topic = state.topics.get(name)?;
                let tick = TopicTick {
                    in_messages: topic.in_messages(),
                    in_bytes: topic.in_bytes(),
                    messages: topic.messages(),
                    size_bytes: topic.size_bytes(),
                };
                Some((name.clone(), tick))
            };
            TopicsTick { t: state.as_of, topics: names.iter().filter_map(of_topic).collect() }
        });
        out.data(&tick).await?;
        ticks.changed().await.map_err(|_| Ended::Gone)?;
    }
}

async fn group_details(console: &Console, group: &str, out: &Out) -> Result<Never, Ended> {
    let mut ticks = console.ticks.subscribe();
    loop {
        match groups::detail_of(console, group).await {
            Ok(detail) => out.data(&detail).await?,
            // The cluster may be away for a while: the next round tries again.
            Err(problem) if problem.status.is_server_error() => out.error(&problem).await?,
            Err(problem) => return Err(Ended::Problem(problem)),
        }
        ticks.changed().await.map_err(|_| Ended::Gone)?;
    }
}

#[derive(Serialize)]
struct PanelTick {
    reset: bool,
    t: Vec<i64>,
    v: Vec<Option<f64>>,
    rows: Option<Vec<Row>>,
}

#[derive(Serialize)]
struct Row {
    key: String,
    value: f64,
}

async fn panel_points(
    console: &Arc<Console>,
    panel: &NewPanel,
    history_ms: i64,
    out: &Out,
) -> Result<Never, Ended> {
    let clock = &console.env.clock;
    let history_ms = history_ms.clamp(0, HISTORY_MS_MAX);
    let mut since_ms = clock.wall_ms() - history_ms;
    let mut reset = true;
    loop {
        let Some(view) = console.panels.feeds.view(console, panel, history_ms) else {
            let why = "as many panels are computed as this console allows";
            return Err(Ended::Problem(
                Problem::invalid("could not show the panel", why).retriable(),
            ));
        };
        let now_ms = clock.wall_ms();
        view.asked(now_ms);
        let (points, rows) = {
            let aggregator = view.aggregator.lock();
            (aggregator.points_since(since_ms), aggregator.rows(now_ms))
        };
        if let Some((last, _)) = points.last() {
            since_ms = last + 1;
            let rows =
                rows.map(|rows| rows.into_iter().map(|(key, value)| Row { key, value }).collect());
            let (t, v) = points.into_iter().unzip();
            out.data(&PanelTick { reset, t, v, rows }).await?;
            reset = false;
        }
        clock.sleep(PANEL_EACH).await;
    }
}

#[derive(Serialize)]
struct AlertsTick {
    rules: Vec<super::alerts::rule::Rule>,
}

async fn alerts(console: &Console, out: &Out) -> Result<Never, Ended> {
    let mut changes = console.alerts.changes.subscribe();
    loop {
        changes.borrow_and_update();
        out.data(&AlertsTick { rules: console.alerts.rules() }).await?;
        changes.changed().await.map_err(|_| Ended::Gone)?;
    }
}

/// As a problem of `what`.
pub(super) fn ended(what: &str, error: &afluente_client::Error) -> Ended {
    Ended::Problem(problem(what, error))
}
