//! Makes the topics at the start, and reads everything at the end.

use crate::oracle::RecordId;
use crate::oracle::judgement::Found;
use crate::scenario::{INPUT, OUTPUT, PLAIN, Program, Scenario, TOPICS};
use crate::shared::{Phase, Shared, admin, properties};
use crate::{group, processing};
use afluente_client::admin::cluster::{FeatureUpdate, UpgradeDirection};
use afluente_client::admin::configs::{ConfigResource, DescribeConfigsOptions};
use afluente_client::admin::offsets::{IsolationLevel, OffsetSpec};
use afluente_client::admin::topics::NewTopic;
use afluente_client::admin::transactions::TransactionFilter;
use afluente_client::consumer::{Consumer, ConsumerConfig};
use afluente_client::{Admin, TopicPartition};
use afluente_env::Env;
use afluente_protocol::error_code::ErrorCode;
use anyhow::{Context, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What takes longer than this in the calm does not come to an end.
const CALM_MAX: Duration = Duration::from_secs(120);
/// How often is looked whether it has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The whole of it, as the one client of the simulation.
pub(crate) async fn audit(env: Env, shared: Arc<Shared>) -> anyhow::Result<()> {
    let admin = admin(&env)?;
    set_up(&env, &shared, &admin).await?;
    shared.enter(Phase::Turmoil);
    while shared.phase() < Phase::Calm {
        env.clock.sleep(LOOK_EVERY).await;
    }
    let deadline = env.clock.now() + CALM_MAX;
    let writers = shared.scenario.programs.iter().filter(|(program, _)| program.writes()).count();
    while shared.writers_done.load(Ordering::SeqCst) < writers {
        if env.clock.now() >= deadline {
            let done = shared.writers_done.load(Ordering::SeqCst);
            bail!("only {done} of {writers} writers have come to their end");
        }
        env.clock.sleep(LOOK_EVERY).await;
    }
    let deadline = env.clock.now() + CALM_MAX;
    let has_processors =
        shared.scenario.programs.iter().any(|(p, _)| matches!(p, Program::Processor { .. }));
    let mut why = String::new();
    while env.clock.now() < deadline {
        match settled(&env, &shared, &admin, has_processors).await {
            Ok(Ok(found)) => {
                let processed = has_processors.then_some((INPUT, OUTPUT));
                shared.oracle().judge(&found, processed);
                check_topics(&shared, &admin).await?;
                return Ok(());
            }
            Ok(Err(not_yet)) => why = not_yet,
            Err(error) => why = format!("{error:#}"),
        }
        env.clock.sleep(LOOK_EVERY).await;
    }
    bail!("it does not settle: {why}")
}

/// Makes the topics, and sets the level of transactions.
async fn set_up(env: &Env, shared: &Shared, admin: &Admin) -> anyhow::Result<()> {
    for topic in TOPICS {
        loop {
            let new = NewTopic::new(topic, shared.scenario.partition_count, 1);
            match admin.create_topics([new]).await.map(|mut results| results.remove(topic)) {
                Ok(Some(Ok(_))) => break,
                Ok(Some(Err(error)))
                    if error.error_code() == Some(ErrorCode::TopicAlreadyExists) =>
                {
                    break;
                }
                other => shared.note(format_args!("creating {topic}: {other:?}")),
            }
            env.clock.sleep(LOOK_EVERY).await;
        }
        shared.oracle().topic(topic).is_created = true;
    }
    if shared.scenario.has_old_transactions {
        let update = FeatureUpdate {
            feature: "transaction.version".to_owned(),
            level: 1,
            direction: UpgradeDirection::SafeDowngrade,
        };
        admin.update_features(&[update], false).await.context("transactions of version 1")?;
    }
    Ok(())
}

/// Everything, once nothing is open and all who read have read it; else why not.
async fn settled(
    env: &Env,
    shared: &Shared,
    admin: &Admin,
    has_processors: bool,
) -> anyhow::Result<Result<Found, String>> {
    let metadata = admin.list_topics().await?;
    let counts: BTreeMap<String, i32> = metadata
        .topics
        .iter()
        .map(|(name, topic)| {
            (name.to_string(), i32::try_from(topic.partitions.len()).expect("few"))
        })
        .collect();
    let partitions: BTreeSet<TopicPartition> = TOPICS
        .iter()
        .flat_map(|&topic| {
            let count = counts.get(topic).copied().unwrap_or(0);
            (0..count).map(move |partition| TopicPartition::new(topic, partition))
        })
        .collect();
    let before = shared.oracle().seen();
    let ends = ends_of(admin, &partitions, IsolationLevel::ReadUncommitted).await?;
    let stable = ends_of(admin, &partitions, IsolationLevel::ReadCommitted).await?;
    if ends != stable {
        let open = admin.list_transactions(&TransactionFilter::default()).await;
        return Ok(Err(format!("a transaction is open: {ends:?}, {stable:?}, {open:?}")));
    }
    let (all, sources) = read(env, &partitions, &ends, "read_uncommitted").await?;
    let (committed, _) = read(env, &partitions, &ends, "read_committed").await?;
    let found = Found { before, all, committed, sources };
    let mut groups = BTreeMap::new();
    for (index, scenario) in shared.scenario.groups.iter().enumerate() {
        let topics: Vec<&str> = scenario.topics.iter().map(|&t| Scenario::topic(t)).collect();
        let of_group = partitions.iter().filter(|p| topics.contains(&&*p.topic)).cloned().collect();
        groups.insert(group::name_of(index), (of_group, scenario.is_committed));
    }
    let mut unsettled = shared.oracle().unsettled_groups(&found, &groups);
    if has_processors {
        let committed = admin.committed_offsets(processing::GROUP).await?;
        for partition in processing::partitions(&counts) {
            let reached = committed.get(&partition).map_or(0, |found| found.offset);
            let last = found.committed.get(&partition).and_then(|log| log.keys().last());
            if last.is_some_and(|last| reached <= *last) {
                unsettled.push(format!("processors are at {reached} in {partition}"));
            }
        }
    }
    // Whoever processes may have gone on meanwhile: what was found is not the whole of it then.
    let later = ends_of(admin, &partitions, IsolationLevel::ReadUncommitted).await?;
    if later != ends {
        unsettled.push(format!("records are still written: {ends:?}, {later:?}"));
    }
    Ok(if unsettled.is_empty() { Ok(found) } else { Err(unsettled.join("; ")) })
}

async fn ends_of(
    admin: &Admin,
    partitions: &BTreeSet<TopicPartition>,
    isolation: IsolationLevel,
) -> anyhow::Result<BTreeMap<TopicPartition, i64>> {
    let asked = partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest));
    let found = admin.list_offsets(asked, isolation).await?;
    found.into_iter().map(|(partition, result)| Ok((partition, result?.offset))).collect()
}

type Log = BTreeMap<TopicPartition, BTreeMap<i64, RecordId>>;
type Sources = BTreeMap<(TopicPartition, i64), (TopicPartition, i64)>;

/// Reads all that is there.
async fn read(
    env: &Env,
    partitions: &BTreeSet<TopicPartition>,
    ends: &BTreeMap<TopicPartition, i64>,
    isolation: &str,
) -> anyhow::Result<(Log, Sources)> {
    let more = [("isolation.level", isolation), ("auto.offset.reset", "earliest")];
    let config = ConsumerConfig::from_properties(properties(&more))?;
    let consumer = Consumer::new(env.clone(), config)?;
    consumer.assign(partitions.iter().cloned())?;
    let (mut log, mut sources) = (Log::new(), Sources::new());
    let deadline = env.clock.now() + CALM_MAX;
    loop {
        for record in &consumer.poll(Duration::from_millis(200)).await? {
            let partition = TopicPartition::new(record.topic, record.partition);
            let value = record.value.context("a record without a value")?;
            let id = RecordId::of_value(value).context("a record that nobody sent")?;
            if record.topic == OUTPUT
                && let Some(source) = processing::source_of(value)
            {
                sources.insert((partition.clone(), record.offset.0), source);
            }
            log.entry(partition).or_default().insert(record.offset.0, id);
        }
        let is_at_end = |(partition, end): (&TopicPartition, &i64)| {
            consumer.current_position(partition).is_some_and(|found| found.offset.0 >= *end)
        };
        if ends.iter().all(is_at_end) {
            break;
        }
        if env.clock.now() >= deadline {
            bail!("the end of the logs cannot be reached");
        }
    }
    consumer.close(Duration::from_secs(1)).await?;
    Ok((log, sources))
}

/// What administrators were told is so.
async fn check_topics(shared: &Shared, admin: &Admin) -> anyhow::Result<()> {
    let metadata = admin.list_topics().await?;
    let topics = shared.oracle().topics().clone();
    for (name, expected) in &topics {
        let found = metadata.topic(name);
        let count = found.map_or(0, |topic| topic.partitions.len());
        let count = i32::try_from(count).expect("few");
        let is_right = match expected {
            topic if topic.is_deleted => found.is_none(),
            topic if topic.is_created && !topic.may_be_deleted => {
                found.is_some() && count >= topic.partitions_min
            }
            _ => true,
        };
        if !is_right {
            shared.oracle().violate(format_args!(
                "topic {name} has {count} partitions at the end, and was said to be {expected:?}"
            ));
        }
    }
    let expected = &topics[PLAIN];
    let resource = ConfigResource::topic(PLAIN);
    let described =
        admin.describe_configs([resource.clone()], DescribeConfigsOptions::default()).await?;
    let entries = described[&resource].clone()?;
    let retention = entries.iter().find(|entry| entry.name == "retention.ms");
    let found: Option<i64> = retention.and_then(|entry| entry.value.as_ref()?.parse().ok());
    let is_right = expected.retention_ms.is_none()
        || found == expected.retention_ms
        || found.is_some_and(|ms| expected.retention_ms_maybe.contains(&ms));
    if !is_right {
        shared.oracle().violate(format_args!(
            "retention.ms is {found:?} at the end, and was said to be {expected:?}"
        ));
    }
    Ok(())
}
