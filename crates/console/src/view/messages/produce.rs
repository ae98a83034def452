//! Writing messages.

use crate::console::Console;
use crate::kafka::NewRecordOwned;
use crate::trouble::problem;
use crate::view::page::Items;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    offset: i64,
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
    let produced = write(console, topic, records).await.map_err(|error| problem(what, &error))?;
    Ok(Response::json(&Items { items: produced.into_values().collect() }))
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

/// Writes records, one batch a partition; where each went, by its place in `records`.
async fn write(
    console: &Console,
    topic: &str,
    records: Vec<(Option<i32>, NewRecordOwned)>,
) -> Result<BTreeMap<usize, Produced>, afluente_client::Error> {
    let partitions = console.kafka.partitions_of(topic).await?;
    let mut by_partition: BTreeMap<i32, (Vec<usize>, Vec<NewRecordOwned>)> = BTreeMap::new();
    // Those without key and partition stay together, as with Kafka's own producer.
    let any = partitions[console.env.rng.index(partitions.len())];
    for (place, (partition, record)) in records.into_iter().enumerate() {
        let partition = partition.unwrap_or_else(|| match &record.key {
            Some(key) => partition_for(key, partitions.len()),
            None => any,
        });
        let (places, batch) = by_partition.entry(partition).or_default();
        places.push(place);
        batch.push(record);
    }
    let mut produced = BTreeMap::new();
    for (partition, (places, batch)) in by_partition {
        let (base, appended_ms) = console.kafka.produce(topic, partition, &batch).await?;
        for ((place, record), offset) in places.into_iter().zip(&batch).zip(base..) {
            let timestamp = appended_ms.unwrap_or(record.timestamp);
            produced.insert(place, Produced { partition, offset, timestamp });
        }
    }
    Ok(produced)
}

/// Writes records whose places do not matter; how many were written.
pub(super) async fn write_all(
    console: &Console,
    topic: &str,
    records: Vec<(Option<i32>, NewRecordOwned)>,
) -> Result<usize, afluente_client::Error> {
    write(console, topic, records).await.map(|produced| produced.len())
}

/// Where Kafka's default partitioner puts a key: murmur2 of it, without the sign.
fn partition_for(key: &[u8], partitions: usize) -> i32 {
    let positive = (murmur2(key) & 0x7fff_ffff) as usize;
    i32::try_from(positive % partitions).expect("partitions are counted in i32")
}

/// MurmurHash2 of 32 bits with the seed that Kafka uses.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ (bytes.len() as u32);
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let mut word = u32::from_le_bytes(chunk.try_into().expect("four bytes"));
        word = word.wrapping_mul(M);
        word ^= word >> 24;
        word = word.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_kafka_puts_them() {
        // From the unit tests of Kafka's `Utils.murmur2`.
        let cases: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (key, expected) in cases {
            assert_eq!(murmur2(key).cast_signed(), expected, "{key:?}");
        }
    }
}
