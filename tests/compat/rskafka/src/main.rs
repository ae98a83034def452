//! rskafka: a Rust client of few, old versions of the protocol, and without groups.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut failed = false;
    // One row a scenario.
    macro_rules! scenarios {
        ($($name:ident)*) => {$(
            if wanted.is_empty() || wanted.iter().any(|name| name == stringify!($name)) {
                let start = Instant::now();
                failed |= !verdict(stringify!($name), $name().await, start.elapsed());
            }
        )*};
    }
    scenarios! {
        topics_are_created_listed_and_deleted
        every_codec_comes_back_as_it_went
        keys_headers_and_nulls_come_back
        messages_of_ten_megabytes_pass_where_allowed
        offsets_are_found_and_records_deleted
        a_restart_in_the_middle_loses_nothing
        a_crash_in_the_middle_loses_nothing
    }
    std::process::exit(i32::from(failed));
}

fn verdict(name: &str, outcome: Result<()>, took: Duration) -> bool {
    match outcome {
        Ok(()) => println!("pass {name} {:.1}s", took.as_secs_f64()),
        Err(error) if error.is::<NotOurs>() => println!("skip {name}: {error}"),
        Err(error) => {
            println!("fail {name}: {}", format!("{error:#}").replace('\n', " "));
            return false;
        }
    }
    true
}

#[derive(Debug)]
struct NotOurs;

impl std::fmt::Display for NotOurs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the broker is not ours to restart")
    }
}

impl std::error::Error for NotOurs {}

async fn client() -> Result<Client> {
    let bootstrap = std::env::var("BOOTSTRAP").context("BOOTSTRAP is not set")?;
    Ok(ClientBuilder::new(vec![bootstrap]).max_message_size(100_000_000).build().await?)
}

fn unique() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("rskafka-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

async fn topic() -> Result<Arc<PartitionClient>> {
    let (client, topic) = (client().await?, unique());
    client.controller_client()?.create_topic(&topic, 1, 1, 10_000).await?;
    Ok(Arc::new(client.partition_client(topic, 0, UnknownTopicHandling::Retry).await?))
}

fn record(value: Vec<u8>) -> Record {
    Record { key: None, value: Some(value), headers: BTreeMap::new(), timestamp: at(1_000) }
}

fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).expect("within the range of dates")
}

/// All records from an offset to the end, in order and without gaps.
async fn read(partition: &PartitionClient, from: i64) -> Result<Vec<Record>> {
    let mut next = from;
    let mut records = Vec::new();
    while next < partition.get_offset(OffsetAt::Latest).await? {
        let (batch, _) = partition.fetch_records(next, 1..50_000_000, 1_000).await?;
        for found in batch {
            ensure!(found.offset == next, "offset {} where {next} was due", found.offset);
            next += 1;
            records.push(found.record);
        }
    }
    Ok(records)
}

async fn topics_are_created_listed_and_deleted() -> Result<()> {
    let (client, topic) = (client().await?, unique());
    let controller = client.controller_client()?;
    controller.create_topic(&topic, 3, 1, 10_000).await?;
    let mut listed = client.list_topics().await?;
    listed.retain(|found| found.name == topic);
    ensure!(listed.len() == 1 && listed[0].partitions.len() == 3, "listed as {listed:?}");
    match controller.create_topic(&topic, 1, 1, 10_000).await {
        Err(Error::ServerError { protocol_error: ProtocolError::TopicAlreadyExists, .. }) => {}
        other => bail!("created twice: {other:?}"),
    }
    controller.delete_topic(&topic, 10_000).await?;
    for _ in 0..600 {
        if !client.list_topics().await?.iter().any(|found| found.name == topic) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the topic is still listed");
}

async fn every_codec_comes_back_as_it_went() -> Result<()> {
    use Compression::{Gzip, Lz4, NoCompression, Snappy, Zstd};
    for codec in [NoCompression, Gzip, Lz4, Snappy, Zstd] {
        let partition = topic().await?;
        let sent: Vec<Record> = (0..1_000)
            .map(|i| record(format!("value {i} ").repeat(1 + i % 50).into_bytes()))
            .collect();
        let offsets = partition.produce(sent.clone(), codec).await?;
        ensure!(offsets == (0..1_000).collect::<Vec<i64>>(), "{codec:?} gave offsets {offsets:?}");
        ensure!(read(&partition, 0).await? == sent, "{codec:?} came back otherwise");
    }
    Ok(())
}

async fn keys_headers_and_nulls_come_back() -> Result<()> {
    let partition = topic().await?;
    let headers = BTreeMap::from([("a".to_owned(), b"1".to_vec()), ("empty".to_owned(), vec![])]);
    let sent = vec![
        Record {
            key: Some(b"k".to_vec()),
            value: Some(vec![]),
            headers,
            timestamp: at(1_234_567_890_123),
        },
        Record { key: Some(vec![]), value: None, headers: BTreeMap::new(), timestamp: at(5) },
    ];
    partition.produce(sent.clone(), Compression::NoCompression).await?;
    let found = read(&partition, 0).await?;
    ensure!(found == sent, "found {found:?}");
    Ok(())
}

async fn messages_of_ten_megabytes_pass_where_allowed() -> Result<()> {
    // It cannot set configs of topics, so only the refusal can be seen.
    let partition = topic().await?;
    let big = record((0..10_000_000_u32).map(|i| (i * 31 >> 3) as u8).collect());
    match partition.produce(vec![big], Compression::NoCompression).await {
        Err(Error::ServerError { protocol_error: ProtocolError::MessageTooLarge, .. }) => {}
        other => bail!("not refused: {other:?}"),
    }
    let fits = record(vec![7; 1_000_000]);
    partition.produce(vec![fits.clone()], Compression::NoCompression).await?;
    ensure!(read(&partition, 0).await? == [fits], "1 MB came back otherwise");
    Ok(())
}

async fn offsets_are_found_and_records_deleted() -> Result<()> {
    let partition = topic().await?;
    let records =
        (0..100).map(|i| Record { timestamp: at(1_000_000 + i * 10), ..record(vec![]) }).collect();
    partition.produce(records, Compression::Lz4).await?;
    for (asked, expected) in
        [(OffsetAt::Earliest, 0), (OffsetAt::Latest, 100), (OffsetAt::Timestamp(at(1_000_501)), 51)]
    {
        let found = partition.get_offset(asked).await?;
        ensure!(found == expected, "{asked:?} gave {found}");
    }
    partition.delete_records(40, 10_000).await?;
    ensure!(partition.get_offset(OffsetAt::Earliest).await? == 40, "the start did not move");
    ensure!(read(&partition, 40).await?.len() == 60, "not 60 records left");
    match partition.fetch_records(10, 1..1_000_000, 100).await {
        Err(Error::ServerError { protocol_error: ProtocolError::OffsetOutOfRange, .. }) => Ok(()),
        other => bail!("read what was deleted: {other:?}"),
    }
}

async fn a_restart_in_the_middle_loses_nothing() -> Result<()> {
    nothing_acknowledged_is_lost("restart").await
}

async fn a_crash_in_the_middle_loses_nothing() -> Result<()> {
    nothing_acknowledged_is_lost("crash").await
}

async fn nothing_acknowledged_is_lost(how: &'static str) -> Result<()> {
    let partition = topic().await?;
    let writer = Arc::clone(&partition);
    let writing = tokio::spawn(async move {
        for i in 0..300_u32 {
            writer
                .produce(vec![record(i.to_be_bytes().to_vec())], Compression::NoCompression)
                .await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::task::spawn_blocking(move || control(how)).await??;
    writing.await??;
    // Not idempotent: what was retried may have come twice, but in order and with nothing missing.
    let mut found: Vec<Option<Vec<u8>>> =
        read(&partition, 0).await?.into_iter().map(|r| r.value).collect();
    found.dedup();
    let expected: Vec<_> = (0..300_u32).map(|i| Some(i.to_be_bytes().to_vec())).collect();
    ensure!(found == expected, "{} of 300 records", found.len());
    Ok(())
}

fn control(what: &str) -> Result<()> {
    let Ok(address) = std::env::var("CONTROL") else { bail!(NotOurs) };
    let mut stream = TcpStream::connect(address)?;
    writeln!(stream, "{what}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.trim() == "ok", "{answer}");
    Ok(())
}
