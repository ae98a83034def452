//! Writing messages.

use crate::console::Console;
use crate::kafka::NewRecordOwned;
use crate::trouble::problem;
use crate::view::page::Items;
use afluente_client::producer::RecordMetadata;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

const MESSAGES_MAX: usize = 1_000;

#[derive(Deserialize)]
struct NewMessages {
    messages: Vec<NewMessage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMessage {
    partition: Option<i32>,
    key: Option<NewPayload>,
    value: Option<NewPayload>,
    #[serde(default)]
    headers: Vec<NewHeader>,
    timestamp: Option<i64>,
}

#[derive(Deserialize)]
struct NewHeader {
    name: String,
    value: Option<NewPayload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum NewPayload {
    Text(String),
    Base64(String),
}

#[derive(Clone, Copy, Serialize)]
struct Produced {
    partition: i32,
    /// `None` where the broker only says that it has it already.
    offset: Option<i64>,
    timestamp: i64,
}

pub(crate) async fn produce(
    console: &Console,
    topic: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let what = format!("could not write to topic \"{topic}\"");
    let wanted: NewMessages = request.json().await?;
    if wanted.messages.len() > MESSAGES_MAX {
        let why = format!(
            "{} messages are more than the {MESSAGES_MAX} of one request",
            wanted.messages.len()
        );
        return Err(Problem::invalid(what, why).field("messages"));
    }
    let now_ms = console.env.clock.wall_ms();
    let mut records = Vec::new();
    for (index, message) in wanted.messages.into_iter().enumerate() {
        let record = record(message, now_ms).map_err(|why| {
            Problem::invalid(what.as_str(), why).field(format!("messages[{index}]"))
        })?;
        records.push(record);
    }
    let written = write(console, topic, &records).await.map_err(|error| problem(what, &error))?;
    let items = written.into_iter().map(|place| Produced {
        partition: place.partition,
        offset: place.offset,
        timestamp: place.timestamp,
    });
    Ok(Response::json(&Items { items: items.collect() }))
}

fn record(message: NewMessage, now_ms: i64) -> Result<(Option<i32>, NewRecordOwned), String> {
    let header = |header: NewHeader| Ok((header.name, header.value.map(bytes).transpose()?));
    let record = NewRecordOwned {
        key: message.key.map(bytes).transpose()?,
        value: message.value.map(bytes).transpose()?,
        headers: message.headers.into_iter().map(header).collect::<Result<_, String>>()?,
        timestamp: message.timestamp.unwrap_or(now_ms),
    };
    Ok((message.partition, record))
}

fn bytes(payload: NewPayload) -> Result<Vec<u8>, String> {
    match payload {
        NewPayload::Text(text) => Ok(text.into_bytes()),
        NewPayload::Base64(text) => {
            STANDARD.decode(&text).map_err(|error| format!("{text:?} is no base64: {error}"))
        }
    }
}

/// Writes records; where each went.
async fn write(
    console: &Console,
    topic: &str,
    records: &[(Option<i32>, NewRecordOwned)],
) -> Result<Vec<RecordMetadata>, afluente_client::Error> {
    // The producer would wait for a topic that is not there.
    console.kafka.partitions_of(topic).await?;
    console.writer.write(topic, records).await
}

/// Writes records whose places do not matter; how many were written.
pub(super) async fn write_all(
    console: &Console,
    topic: &str,
    records: Vec<(Option<i32>, NewRecordOwned)>,
) -> Result<usize, afluente_client::Error> {
    write(console, topic, &records).await.map(|written| written.len())
}
