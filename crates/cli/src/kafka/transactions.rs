//! `kafka-transactions`: transactions that are open or were, and the producers behind them.

use super::options::{Options, Spec, value};
use super::out::Out;
use super::{Failure, Run, Running, Tool};
use afluente_client::admin::transactions::{
    AbortTransaction, ProducerDescription, TransactionFilter,
};
use afluente_client::{Admin, TopicPartition};
use std::collections::BTreeSet;

pub(super) const TOOL: Tool = Tool {
    name: "transactions",
    about: "Show transactions (list, describe, describe-producers, find-hanging), abort one \
            (abort), or shut out its producer (forceTerminateTransaction).",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    value("transactional-id", "ID", "With describe: which; also with forceTerminateTransaction."),
    value("transactionalId", "ID", "As --transactional-id."),
    value("duration-filter", "MS", "With list: those that are open for longer."),
    value("transactional-id-pattern", "REGEX", "With list: those that match."),
    value("topic", "NAME", "With describe-producers, abort, find-hanging: the topic."),
    value("partition", "N", "With describe-producers, abort, find-hanging: the partition."),
    value("broker-id", "ID", "With find-hanging: the replicas of this broker."),
    value(
        "max-transaction-timeout",
        "MINUTES",
        "With find-hanging: open for longer; 15 if not given.",
    ),
    value("start-offset", "OFFSET", "With abort: where the transaction begins."),
    value("producer-id", "ID", "With abort, for brokers before 3.0: the producer."),
    value("producer-epoch", "N", "With abort, for brokers before 3.0: its epoch."),
    value("coordinator-epoch", "N", "With abort, for brokers before 3.0: the coordinator's."),
];

fn run(admin: Admin, options: Options, out: Out) -> Running {
    Box::pin(async move {
        match options.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["list"] => list(&admin, &options, out).await,
            ["describe"] => describe(&admin, &options, out).await,
            ["describe-producers"] => describe_producers(&admin, &options, out).await,
            ["find-hanging"] => find_hanging(&admin, &options, out).await,
            ["abort"] => abort(&admin, &options, out).await,
            ["forceTerminateTransaction"] => terminate(&admin, &options, out).await,
            _ => Err(Failure::Usage(
                "Say what to do: list, describe, describe-producers, find-hanging, abort or \
                 forceTerminateTransaction"
                    .to_owned(),
            )),
        }
    })
}

async fn list(admin: &Admin, options: &Options, mut out: Out) -> Result<Out, Failure> {
    let filter = TransactionFilter {
        longer_than_ms: options.number("duration-filter")?,
        pattern: options.get("transactional-id-pattern").map(str::to_owned),
        ..TransactionFilter::default()
    };
    let mut rows = vec![row(&["TransactionalId", "Coordinator", "ProducerId", "TransactionState"])];
    for one in admin.list_transactions(&filter).await? {
        rows.push(vec![
            one.transactional_id,
            one.coordinator.to_string(),
            one.producer_id.to_string(),
            one.state,
        ]);
    }
    table(&mut out, &rows)?;
    Ok(out)
}

async fn describe(admin: &Admin, options: &Options, mut out: Out) -> Result<Out, Failure> {
    let id = transactional_id(options)?;
    let described = admin.describe_transactions([id.as_str()]).await?.remove(&id);
    let Some(found) = described.transpose()? else { return Ok(out) };
    let now = admin.client().env().clock.wall_ms();
    let (start, duration) = match found.start_time_ms {
        Some(start) => (start.to_string(), (now - start).to_string()),
        None => ("None".to_owned(), "None".to_owned()),
    };
    let partitions: Vec<String> = found.partitions.iter().map(ToString::to_string).collect();
    let rows = vec![
        row(&[
            "CoordinatorId",
            "TransactionalId",
            "ProducerId",
            "ProducerEpoch",
            "TransactionState",
            "TransactionTimeoutMs",
            "CurrentTransactionStartTimeMs",
            "TransactionDurationMs",
            "TopicPartitions",
        ]),
        vec![
            found.coordinator.to_string(),
            id,
            found.producer_id.to_string(),
            found.producer_epoch.to_string(),
            found.state,
            found.timeout_ms.to_string(),
            start,
            duration,
            partitions.join(","),
        ],
    ];
    table(&mut out, &rows)?;
    Ok(out)
}

async fn describe_producers(
    admin: &Admin,
    options: &Options,
    mut out: Out,
) -> Result<Out, Failure> {
    let partition = partition(options)?;
    let found = admin.describe_producers([partition.clone()]).await?.remove(&partition);
    let mut rows = vec![row(&[
        "ProducerId",
        "ProducerEpoch",
        "LatestCoordinatorEpoch",
        "LastSequence",
        "LastTimestamp",
        "CurrentTransactionStartOffset",
    ])];
    for one in found.transpose()?.unwrap_or_default() {
        rows.push(vec![
            one.producer_id.to_string(),
            one.producer_epoch.to_string(),
            one.coordinator_epoch.to_string(),
            one.last_sequence.to_string(),
            one.last_timestamp.to_string(),
            one.transaction_start_offset.map_or_else(|| "None".to_owned(), |at| at.to_string()),
        ]);
    }
    table(&mut out, &rows)?;
    Ok(out)
}

/// Transactions that are open in a partition for longer than any may be, and of which the coordinator
/// of their producer knows nothing.
async fn find_hanging(admin: &Admin, options: &Options, mut out: Out) -> Result<Out, Failure> {
    const MS_A_MINUTE: i64 = 60_000;
    let broker: Option<i32> = options.number("broker-id")?;
    let topic = options.get("topic");
    let partition: Option<i32> = options.number("partition")?;
    if topic.is_none() && (partition.is_some() || broker.is_none()) {
        let told = "The find-hanging command requires --topic, or --broker-id without --partition";
        return Err(Failure::Usage(told.to_owned()));
    }
    let minutes: i64 = options.number("max-transaction-timeout")?.unwrap_or(15);
    let metadata = admin.list_topics().await?;
    if let Some(topic) = topic
        && !metadata.topics.contains_key(topic)
    {
        return Err(anyhow::anyhow!("Could not find topic {topic}").into());
    }
    let mut asked = Vec::new();
    for found in metadata.topics.values().filter(|one| topic.is_none_or(|topic| one.name == topic))
    {
        for one in found.partitions.values() {
            if broker.is_none_or(|broker| one.replicas.contains(&broker))
                && partition.is_none_or(|partition| one.partition == partition)
            {
                asked.push(TopicPartition::new(found.name.as_str(), one.partition));
            }
        }
    }
    let now = admin.client().env().clock.wall_ms();
    let mut open = Vec::new();
    for (partition, producers) in admin.describe_producers(asked).await? {
        for one in producers? {
            let is_old = now - one.last_timestamp > minutes.saturating_mul(MS_A_MINUTE);
            if one.transaction_start_offset.is_some() && is_old {
                open.push((partition.clone(), one));
            }
        }
    }
    let mut rows = vec![row(&[
        "Topic",
        "Partition",
        "ProducerId",
        "ProducerEpoch",
        "CoordinatorEpoch",
        "StartOffset",
        "LastTimestamp",
        "Duration(min)",
    ])];
    let known = known_partitions(admin, &open).await?;
    for (partition, one) in open {
        if known.contains(&(one.producer_id, partition.clone())) {
            continue;
        }
        rows.push(vec![
            partition.topic.to_string(),
            partition.partition.to_string(),
            one.producer_id.to_string(),
            one.producer_epoch.to_string(),
            one.coordinator_epoch.to_string(),
            one.transaction_start_offset.map_or_else(|| "None".to_owned(), |at| at.to_string()),
            one.last_timestamp.to_string(),
            ((now - one.last_timestamp) / MS_A_MINUTE).to_string(),
        ]);
    }
    table(&mut out, &rows)?;
    Ok(out)
}

/// The partitions in the transactions that coordinators know of these producers.
async fn known_partitions(
    admin: &Admin,
    open: &[(TopicPartition, ProducerDescription)],
) -> Result<BTreeSet<(i64, TopicPartition)>, Failure> {
    if open.is_empty() {
        return Ok(BTreeSet::new());
    }
    let filter = TransactionFilter {
        producer_ids: open.iter().map(|(_, one)| one.producer_id).collect(),
        ..TransactionFilter::default()
    };
    let listed = admin.list_transactions(&filter).await?;
    let ids = listed.into_iter().map(|one| one.transactional_id);
    let mut known = BTreeSet::new();
    for described in admin.describe_transactions(ids).await?.into_values() {
        let described = described?;
        let partitions = described.partitions.into_iter();
        known.extend(partitions.map(|partition| (described.producer_id, partition)));
    }
    Ok(known)
}

async fn abort(admin: &Admin, options: &Options, out: Out) -> Result<Out, Failure> {
    let partition = partition(options)?;
    let abort = match options.number::<i64>("start-offset")? {
        Some(start) => {
            let found = admin.describe_producers([partition.clone()]).await?.remove(&partition);
            let producers = found.transpose()?.unwrap_or_default();
            let producer = producers
                .iter()
                .find(|one| one.transaction_start_offset == Some(start))
                .ok_or_else(|| {
                    anyhow::anyhow!(
                        "Could not find any open transactions starting at offset {start} on \
                         partition {partition}"
                    )
                })?;
            AbortTransaction {
                partition,
                producer_id: producer.producer_id,
                producer_epoch: i16::try_from(producer.producer_epoch).unwrap_or(i16::MAX),
                coordinator_epoch: producer.coordinator_epoch.max(0),
            }
        }
        None => AbortTransaction {
            partition,
            producer_id: needed(options, "producer-id")?,
            producer_epoch: needed(options, "producer-epoch")?,
            coordinator_epoch: needed(options, "coordinator-epoch")?,
        },
    };
    admin.abort_transaction(&abort).await?;
    Ok(out)
}

async fn terminate(admin: &Admin, options: &Options, out: Out) -> Result<Out, Failure> {
    let id = transactional_id(options)?;
    for (_, result) in admin.fence_producers([id]).await? {
        result?;
    }
    Ok(out)
}

fn transactional_id(options: &Options) -> Result<String, Failure> {
    match options.get("transactionalId") {
        Some(id) => Ok(id.to_owned()),
        None => options.require("transactional-id").map(str::to_owned),
    }
}

fn partition(options: &Options) -> Result<TopicPartition, Failure> {
    Ok(TopicPartition::new(options.require("topic")?, needed(options, "partition")?))
}

fn needed<N: std::str::FromStr>(options: &Options, name: &str) -> Result<N, Failure> {
    options
        .number(name)?
        .ok_or_else(|| Failure::Usage(format!("Missing required argument \"[{name}]\"")))
}

fn row(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Columns as wide as their widest value, with tabs behind them, as Kafka's tool prints them.
pub(super) fn table(out: &mut Out, rows: &[Vec<String>]) -> std::io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let mut line = String::new();
        for (value, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{value:<width$}\t"));
        }
        out.line(line)?;
    }
    Ok(())
}
