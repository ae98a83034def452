//! An administrator who changes topics while others use them.

use crate::scenario::PLAIN;
use crate::shared::{Phase, Shared, admin};
use afluente_client::Admin;
use afluente_client::TopicPartition;
use afluente_client::admin::configs::{AlterOp, ConfigResource};
use afluente_client::admin::offsets::{IsolationLevel, OffsetSpec};
use afluente_client::admin::topics::{NewPartitions, NewTopic};
use afluente_env::Env;
use afluente_protocol::error_code::ErrorCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The most partitions that [`PLAIN`] grows to.
const PARTITIONS_MAX: i32 = 6;

/// Changes something every now and then, until the calm.
pub(crate) async fn administer(env: Env, shared: Arc<Shared>, life: usize) -> anyhow::Result<()> {
    shared.until_set_up(&env).await;
    let admin = admin(&env)?;
    let mut made = 0;
    while shared.phase() < Phase::Calm {
        match env.rng.range(0..6) {
            0 => {
                made += 1;
                create_topic(&shared, &admin, &format!("extra-{life}-{made}")).await;
            }
            1 if made > 0 => {
                let which = 1 + env.rng.index(made);
                delete_topic(&shared, &admin, &format!("extra-{life}-{which}")).await;
            }
            2 => add_partition(&env, &shared, &admin).await,
            3 => delete_records(&env, &shared, &admin).await,
            _ => change_config(&env, &shared, &admin).await,
        }
        shared.pause(&env, Duration::from_millis(env.rng.range(100..2_000))).await;
    }
    shared.writers_done.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

async fn create_topic(shared: &Shared, admin: &Admin, name: &str) {
    let created = admin.create_topics([NewTopic::new(name, 2, 1)]).await;
    match created.map(|mut results| results.remove(name)) {
        Ok(Some(Ok(_))) => {
            let mut oracle = shared.oracle();
            let topic = oracle.topic(name);
            (topic.is_created, topic.partitions_min) = (true, 2);
        }
        // An attempt whose answer was lost has done it.
        Ok(Some(Err(error))) if error.error_code() == Some(ErrorCode::TopicAlreadyExists) => {
            let mut oracle = shared.oracle();
            let topic = oracle.topic(name);
            (topic.is_created, topic.partitions_min) = (true, 2);
        }
        other => shared.note(format_args!("creating {name}: {other:?}")),
    }
}

async fn delete_topic(shared: &Shared, admin: &Admin, name: &str) {
    shared.oracle().topic(name).may_be_deleted = true;
    let deleted = admin.delete_topics([name]).await;
    match deleted.map(|mut results| results.remove(name)) {
        Ok(Some(Ok(()))) => shared.oracle().topic(name).is_deleted = true,
        other => shared.note(format_args!("deleting {name}: {other:?}")),
    }
}

async fn add_partition(env: &Env, shared: &Shared, admin: &Admin) {
    let count = shared.oracle().topic(PLAIN).partitions_min.max(shared.scenario.partition_count);
    if count >= PARTITIONS_MAX || env.rng.chance(0.5) {
        return;
    }
    let more = NewPartitions { count: count + 1, assignments: None };
    let added = admin.create_partitions([(PLAIN.to_owned(), more)]).await;
    match added.map(|mut results| results.remove(PLAIN)) {
        Ok(Some(Ok(()))) => shared.oracle().topic(PLAIN).partitions_min = count + 1,
        other => shared.note(format_args!("adding a partition: {other:?}")),
    }
}

async fn delete_records(env: &Env, shared: &Shared, admin: &Admin) {
    let count = usize::try_from(shared.scenario.partition_count).expect("at least 1");
    let index = i32::try_from(env.rng.index(count)).expect("few");
    let partition = TopicPartition::new(PLAIN, index);
    let asked = [(partition.clone(), OffsetSpec::Latest)];
    let found = admin.list_offsets(asked, IsolationLevel::ReadUncommitted).await;
    let Ok(Some(Ok(end))) = found.map(|mut results| results.remove(&partition)) else { return };
    if end.offset <= 0 {
        return;
    }
    let before = i64::try_from(env.rng.range(0..end.offset.unsigned_abs() + 1)).expect("an offset");
    shared.oracle().deleting(&partition, before);
    let deleted = admin.delete_records([(partition.clone(), before)]).await;
    match deleted.map(|mut results| results.remove(&partition)) {
        Ok(Some(Ok(low))) if low < before => shared.oracle().violate(format_args!(
            "records of {partition} before {before} were deleted, and it starts at {low}"
        )),
        other => shared.note(format_args!("deleting before {before}: {other:?}")),
    }
}

async fn change_config(env: &Env, shared: &Shared, admin: &Admin) {
    // Long enough that nothing goes for its age.
    let ms = i64::try_from(env.rng.range(3_600_000..900_000_000)).expect("small");
    let resource = ConfigResource::topic(PLAIN);
    let change = vec![("retention.ms".to_owned(), AlterOp::Set(ms.to_string()))];
    shared.oracle().topic(PLAIN).retention_ms_maybe.push(ms);
    let changed = admin.alter_configs([(resource.clone(), change)]).await;
    match changed.map(|mut results| results.remove(&resource)) {
        Ok(Some(Ok(()))) => {
            let mut oracle = shared.oracle();
            let topic = oracle.topic(PLAIN);
            topic.retention_ms = Some(ms);
            topic.retention_ms_maybe.retain(|maybe| *maybe != ms);
        }
        other => shared.note(format_args!("changing retention.ms: {other:?}")),
    }
}
