//! Members of groups, that come and go.

use crate::oracle::RecordId;
use crate::scenario::{GroupScenario, Scenario};
use crate::shared::{Phase, Shared, properties};
use afluente_client::TopicPartition;
use afluente_client::consumer::{
    Consumer, ConsumerConfig, ConsumerError, OffsetAndMetadata, RebalanceListener, Records, Told,
};
use afluente_env::Env;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Of all members. An answer to JoinGroup that is lost, together with the end of its connection, is
/// waited for as long as this, and some seconds: much less than Kafka's five minutes.
pub(crate) const POLL_INTERVAL_MAX_MS: &str = "8000";

/// The name of a group of a scenario.
pub(crate) fn name_of(group: usize) -> String {
    format!("group-{group}")
}

/// Reads as a member until the end, as one consumer after another.
pub(crate) async fn read(
    env: Env,
    shared: Arc<Shared>,
    group: usize,
    member: usize,
) -> anyhow::Result<()> {
    shared.until_set_up(&env).await;
    while shared.phase() < Phase::Done {
        let consumer = Member::new(&env, &shared, group, member)?;
        let stays = env.clock.now() + Duration::from_millis(env.rng.range(1_000..15_000));
        while shared.phase() < Phase::Done
            && (shared.phase() == Phase::Calm || env.clock.now() < stays)
        {
            consumer.turn().await;
        }
        // One in three goes without a word.
        if env.rng.chance(0.66)
            && let Err(error) = consumer.consumer.close(Duration::from_secs(3)).await
        {
            shared.note(format_args!("member {member} leaves: {error}"));
        }
        drop(consumer);
        shared.oracle().owns(&name_of(group), member, None);
        shared.pause(&env, Duration::from_millis(env.rng.range(0..1_000))).await;
    }
    Ok(())
}

struct Member {
    env: Env,
    shared: Arc<Shared>,
    scenario: GroupScenario,
    name: String,
    reader: String,
    consumer: Consumer,
    positions: Arc<Positions>,
}

/// The last offset that this member got of each partition, while it owns it.
struct Positions {
    shared: Arc<Shared>,
    group: String,
    member: usize,
    last: Mutex<BTreeMap<TopicPartition, i64>>,
}

impl RebalanceListener for Positions {
    fn revoked<'a>(&'a self, consumer: &'a Consumer, gone: &'a [TopicPartition]) -> Told<'a> {
        self.last.lock().retain(|partition, _| !gone.contains(partition));
        let mut owned = consumer.assignment();
        owned.retain(|partition| !gone.contains(partition));
        self.shared.oracle().owns(&self.group, self.member, Some(owned));
        Box::pin(std::future::ready(()))
    }

    fn assigned<'a>(&'a self, consumer: &'a Consumer, added: &'a [TopicPartition]) -> Told<'a> {
        self.last.lock().retain(|partition, _| !added.contains(partition));
        self.shared.oracle().owns(&self.group, self.member, Some(consumer.assignment()));
        Box::pin(std::future::ready(()))
    }
}

impl Member {
    fn new(env: &Env, shared: &Arc<Shared>, group: usize, member: usize) -> anyhow::Result<Self> {
        let scenario = shared.scenario.groups[group].clone();
        let (name, instance) = (name_of(group), format!("instance-{member}"));
        let isolation = if scenario.is_committed { "read_committed" } else { "read_uncommitted" };
        let mut more = vec![
            ("group.id", name.as_str()),
            ("group.protocol", scenario.protocol),
            ("isolation.level", isolation),
            ("enable.auto.commit", if scenario.is_auto_commit { "true" } else { "false" }),
            ("auto.commit.interval.ms", "700"),
            ("max.poll.interval.ms", POLL_INTERVAL_MAX_MS),
            ("auto.offset.reset", "earliest"),
            ("max.poll.records", ["1", "10", "500"][env.rng.index(3)]),
            ("fetch.max.wait.ms", ["100", "500"][env.rng.index(2)]),
        ];
        if scenario.is_static {
            more.push(("group.instance.id", instance.as_str()));
        }
        if scenario.protocol == "classic" {
            more.extend([
                ("partition.assignment.strategy", scenario.assignor),
                ("session.timeout.ms", "3000"),
                ("heartbeat.interval.ms", "500"),
            ]);
        } else {
            more.push(("group.remote.assignor", scenario.assignor));
        }
        let config = ConsumerConfig::from_properties(properties(&more))?;
        let consumer = Consumer::new(env.clone(), config)?;
        let positions = Arc::new(Positions {
            shared: Arc::clone(shared),
            group: name.clone(),
            member,
            last: Mutex::default(),
        });
        let topics = scenario.topics.iter().map(|&topic| Scenario::topic(topic));
        consumer.subscribe_with(topics, Arc::clone(&positions) as _)?;
        let reader = format!("member {member} of {name}");
        let (env, shared) = (env.clone(), Arc::clone(shared));
        Ok(Self { env, shared, scenario, name, reader, consumer, positions })
    }

    async fn turn(&self) {
        match self.consumer.poll(Duration::from_millis(300)).await {
            Ok(records) => self.got(&records),
            Err(error) => {
                self.shared.note(format_args!("{}: {error}", self.reader));
                self.env.clock.sleep(Duration::from_millis(50)).await;
            }
        }
        if !self.scenario.is_auto_commit && self.env.rng.chance(0.3) {
            self.commit().await;
        }
        if self.env.rng.chance(0.02) {
            self.ask_what_is_committed().await;
        }
    }

    fn got(&self, records: &Records) {
        let mut last = self.positions.last.lock();
        let mut oracle = self.shared.oracle();
        for record in records {
            let partition = TopicPartition::new(record.topic, record.partition);
            let offset = record.offset.0;
            let Some(id) = record.value.and_then(RecordId::of_value) else {
                oracle
                    .violate(format_args!("{} got nonsense at {partition}@{offset}", self.reader));
                continue;
            };
            oracle.saw(&self.reader, self.scenario.is_committed, &partition, offset, id);
            oracle.delivered(&self.name, &partition, offset);
            if let Some(before) = last.insert(partition.clone(), offset)
                && before >= offset
            {
                let reader = &self.reader;
                oracle.violate(format_args!("{reader} got {partition}@{offset} after {before}"));
            }
        }
    }

    /// Commits what was delivered: exactly what `commit_sync` would, with names for the oracle.
    async fn commit(&self) {
        let last = self.positions.last.lock().clone();
        let offsets: BTreeMap<TopicPartition, OffsetAndMetadata> =
            last.iter().map(|(partition, last)| (partition.clone(), (last + 1).into())).collect();
        if offsets.is_empty() {
            return;
        }
        for (partition, last) in &last {
            self.shared.oracle().offset_committing(&self.name, partition, last + 1);
        }
        match self.consumer.commit_offsets(&offsets).await {
            Ok(()) => {
                for (partition, last) in &last {
                    self.shared.oracle().offset_committed(&self.name, partition, last + 1);
                }
            }
            Err(ConsumerError::CommitFailed { .. }) => {}
            Err(error) => self.shared.note(format_args!("{} commits: {error}", self.reader)),
        }
    }

    async fn ask_what_is_committed(&self) {
        let owned = self.consumer.assignment();
        if let Ok(found) = self.consumer.committed(&owned).await {
            for partition in &owned {
                let offset = found.get(partition).map(|found| found.offset);
                self.shared.oracle().offset_read(&self.name, partition, offset);
            }
        }
    }
}
