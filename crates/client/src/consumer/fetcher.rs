//! Fetching: one task for each broker that leads, or is preferred for, an assigned partition.
//!
//! A task has one request on its way. It asks for all partitions of its broker at once, while the
//! queues have room (`fetch.max.bytes` in all, `max.partition.fetch.bytes` in one): what is being
//! polled is then fetched again before the queue is empty. A partition whose queue is full is left
//! out, but a request for the others waits at the broker, and the full one would wait with it; so the
//! task first gives the poll a moment to make room, and then asks for the others with a short wait.

use super::error::ConsumerError;
use super::fetched::Fetched;
use super::race::race;
use super::session::{Session, Wanted};
use super::shared::Shared;
use super::state::{Need, PartitionState, State};
use crate::client::Target;
use crate::config::ServerAddress;
use crate::error::Error;
use crate::metadata::{BrokerNode, ClusterMetadata};
use crate::topic_partition::TopicPartition;
use afluente_env::clock::Moment;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::fetch_request::FetchRequest;
use afluente_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use afluente_protocol::uuid::Uuid;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a poll is given to make room before partitions that are full are left out.
const ROOM_WAIT: Duration = Duration::from_millis(20);
/// How long a broker may wait while partitions are left out.
const SHORT_WAIT: Duration = Duration::from_millis(100);
/// The first version of `Fetch` that names topics by their ids.
const FIRST_VERSION_WITH_IDS: i16 = 13;

/// What to do next.
enum Plan {
    /// Nothing is to be fetched, or nothing may be.
    Wait,
    /// These, of all that could be fetched some or none are left out.
    Fetch { wanted: Vec<Wanted>, leaves_out: bool },
}

/// The task of one broker; ends when the consumer is closed.
pub(super) async fn run(shared: Arc<Shared>, node: i32) {
    let mut work = shared.work();
    let mut session = Session::default();
    let mut failures = 0;
    let mut has_waited = false;
    while !shared.is_closed() {
        work.borrow_and_update();
        let (wanted, leaves_out) = match plan(&shared, node) {
            Plan::Wait => {
                shared.wait(&mut work, None).await;
                continue;
            }
            Plan::Fetch { leaves_out: true, .. } if !has_waited => {
                has_waited = true;
                let until = shared.now() + ROOM_WAIT;
                shared.wait(&mut work, Some(until)).await;
                continue;
            }
            Plan::Fetch { wanted, leaves_out } => (wanted, leaves_out),
        };
        has_waited = false;
        if wanted.is_empty() {
            shared.wait(&mut work, None).await;
            continue;
        }
        let wait = match leaves_out {
            true => shared.config.fetch_max_wait.min(SHORT_WAIT),
            false => shared.config.fetch_max_wait,
        };
        let request = fetch(&shared, node, &mut session, &wanted, wait);
        match shared.unless_closed(request).await {
            None => return,
            Some(Ok(response)) => {
                failures = 0;
                take_in(&shared, node, &wanted, response);
            }
            Some(Err(error)) => {
                failures += 1;
                tracing::debug!(node, %error, "fetch failed");
                session.failed(is_unknown_session(&error));
                if is_unknown_session(&error) && failures == 1 {
                    continue;
                }
                for wanted in &wanted {
                    let TopicPartition { topic, partition } = &wanted.partition;
                    if error.is_stale_metadata() {
                        shared.client.forget_leader(topic, *partition);
                    }
                }
                forget_preferred(&shared, node, &wanted);
                if !error.may_pass() && !error.is_stale_metadata() {
                    shared.fail(error.into());
                }
                shared.ring_work();
                let until = shared.retry_at(failures);
                let pause = shared.client.env().clock.sleep_until(until);
                shared.unless_closed(pause).await;
            }
        }
    }
}

/// Where to fetch a partition from.
pub(super) fn source(
    state: &PartitionState,
    metadata: &ClusterMetadata,
    partition: &TopicPartition,
    now: Moment,
) -> Option<(i32, i32)> {
    let (leader, epoch) = metadata.leader(&partition.topic, partition.partition)?;
    match state.preferred {
        Some((node, until)) if now < until && metadata.brokers.contains_key(&node) => {
            Some((node, epoch))
        }
        _ => Some((leader.id, epoch)),
    }
}

fn plan(shared: &Shared, node: i32) -> Plan {
    let metadata = shared.client.metadata();
    let now = shared.now();
    let mut state = shared.state.lock();
    if state.is_full() {
        return Plan::Wait;
    }
    let (mut wanted, mut leaves_out, mut needs_check) = (Vec::new(), false, false);
    for (partition, found) in state.iter_mut() {
        if !found.is_fetchable() || found.retry_at.is_some_and(|at| now < at) {
            continue;
        }
        let Some((from, epoch)) = source(found, &metadata, partition, now) else { continue };
        if from != node {
            continue;
        }
        if epoch > found.checked_epoch {
            if found.fetch_from.leader_epoch.0 >= 0 {
                found.need = Need::Validation;
                needs_check = true;
                continue;
            }
            found.checked_epoch = epoch;
        }
        wanted.push(Wanted {
            partition: partition.clone(),
            topic_id: metadata.topic_id(&partition.topic).unwrap_or(Uuid::ZERO),
            version: found.version,
            from: found.fetch_from,
            leader_epoch: epoch,
            bytes_max: shared.config.partition_fetch_bytes_max,
        });
    }
    wanted.retain(|wanted| {
        let is_full =
            state.get(&wanted.partition).is_some_and(|found| state.is_partition_full(found));
        leaves_out |= is_full;
        !is_full
    });
    drop(state);
    if needs_check {
        shared.ring_work();
    }
    if wanted.is_empty() && !leaves_out {
        return Plan::Wait;
    }
    Plan::Fetch { wanted, leaves_out }
}

async fn fetch(
    shared: &Shared,
    node: i32,
    session: &mut Session,
    wanted: &[Wanted],
    wait: Duration,
) -> Result<FetchResponse, Error> {
    let ask = session.ask(wanted);
    let config = &shared.config;
    let request = FetchRequest {
        max_wait_ms: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: config.fetch_min_bytes,
        max_bytes: config.fetch_max_bytes,
        isolation_level: config.isolation_level.number(),
        session_id: ask.session_id,
        session_epoch: ask.session_epoch,
        topics: ask.topics,
        forgotten_topics_data: ask.forgotten,
        rack_id: config.rack.clone().unwrap_or_default(),
        ..FetchRequest::default()
    };
    let has_ids = wanted.iter().all(|wanted| !wanted.topic_id.is_zero());
    let version_max = if has_ids { i16::MAX } else { FIRST_VERSION_WITH_IDS - 1 };
    let deadline = shared.attempt_deadline();
    let target = Target::Broker(node);
    let connection = shared
        .client
        .connection_for(&target, afluente_protocol::api_key::ApiKey::Fetch, deadline)
        .await?;
    let version =
        connection.version_up_to(afluente_protocol::api_key::ApiKey::Fetch, version_max)?;
    let timeout = shared.client.config().request_timeout + wait;
    let mut response = connection.submit(&request, version, timeout).await?.await?;
    Error::check(response.error_code, None, || format!("a fetch from broker {node}"))?;
    session.answered(response.session_id);
    if version >= FIRST_VERSION_WITH_IDS {
        for topic in &mut response.responses {
            let id = topic.topic_id;
            if let Some(asked) = wanted.iter().find(|wanted| wanted.topic_id == id) {
                topic.topic = asked.partition.topic.to_string();
            }
        }
    }
    Ok(response)
}

/// Puts what came into the queues, and sees to what went wrong.
fn take_in(shared: &Shared, node: i32, wanted: &[Wanted], response: FetchResponse) {
    let by_partition: BTreeMap<(&str, i32), &Wanted> =
        wanted.iter().map(|w| ((&*w.partition.topic, w.partition.partition), w)).collect();
    let nodes: Vec<BrokerNode> = response
        .node_endpoints
        .into_iter()
        .filter_map(|node| {
            let port = u16::try_from(node.port).ok()?;
            let address = ServerAddress { host: node.host, port };
            Some(BrokerNode { id: node.node_id, address, rack: node.rack })
        })
        .collect();
    let (mut has_news, mut has_work) = (false, false);
    for topic in response.responses {
        for data in topic.partitions {
            let Some(wanted) = by_partition.get(&(topic.topic.as_str(), data.partition_index))
            else {
                continue;
            };
            let current = &data.current_leader;
            if current.leader_id >= 0 {
                let (id, epoch) = (current.leader_id, current.leader_epoch);
                shared.client.learn_leader(&topic.topic, data.partition_index, id, epoch, &nodes);
            }
            match Outcome::of(&data) {
                Outcome::Records => {
                    let (news, work) = take_records(shared, wanted, data);
                    has_news |= news;
                    has_work |= work;
                }
                Outcome::StaleMetadata => {
                    let told = data.current_leader.leader_id >= 0;
                    if !told {
                        shared.client.forget_leader(&topic.topic, data.partition_index);
                    }
                    forget_preferred(shared, node, std::slice::from_ref(*wanted));
                    pause(shared, wanted);
                    has_work = true;
                }
                Outcome::Later => {
                    pause(shared, wanted);
                    // Whoever sees to it that the rest ends has to hear of it.
                    has_work = true;
                }
                Outcome::OutOfRange => {
                    out_of_range(shared, node, wanted);
                    has_work = true;
                }
                Outcome::Failed(error) => {
                    let mut state = shared.state.lock();
                    if let Some(found) = current_state(&mut state, wanted) {
                        found.error = Some(error);
                        has_news = true;
                    }
                }
            }
        }
    }
    if has_work {
        shared.ring_work();
    }
    if has_news {
        shared.ring_news();
    }
}

/// What the answer for one partition says.
enum Outcome {
    Records,
    /// Another broker is to be asked.
    StaleMetadata,
    /// The same one is to be asked again.
    Later,
    OutOfRange,
    Failed(ConsumerError),
}

impl Outcome {
    fn of(data: &PartitionData) -> Self {
        match ErrorCode::from_i16(data.error_code) {
            Some(ErrorCode::None) => Self::Records,
            Some(ErrorCode::OffsetOutOfRange) => Self::OutOfRange,
            Some(
                ErrorCode::NotLeaderOrFollower
                | ErrorCode::ReplicaNotAvailable
                | ErrorCode::KafkaStorageError
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::InconsistentTopicId,
            ) => Self::StaleMetadata,
            Some(
                ErrorCode::UnknownLeaderEpoch
                | ErrorCode::OffsetNotAvailable
                // Kafka's consumer takes it as one of the passing troubles of a broker.
                | ErrorCode::UnknownServerError,
            ) => Self::Later,
            _ => {
                let about = || format!("a fetch of partition {}", data.partition_index);
                match Error::check(data.error_code, None, about) {
                    Err(error) => Self::Failed(error.into()),
                    Ok(()) => Self::Records,
                }
            }
        }
    }
}

/// The state of a partition if nothing has happened to it since it was asked for.
fn current_state<'a>(state: &'a mut State, wanted: &Wanted) -> Option<&'a mut PartitionState> {
    state.get_mut(&wanted.partition).filter(|found| {
        found.version == wanted.version && found.fetch_from.offset == wanted.from.offset
    })
}

/// Gives whether there is something for the poll, and something for the tasks.
fn take_records(shared: &Shared, wanted: &Wanted, data: PartitionData) -> (bool, bool) {
    let now = shared.now();
    let mut state = shared.state.lock();
    let Some(found) = current_state(&mut state, wanted) else { return (false, false) };
    let told = |offset: i64| (offset >= 0).then_some(offset);
    found.high_watermark = told(data.high_watermark).or(found.high_watermark);
    found.last_stable_offset = told(data.last_stable_offset).or(found.last_stable_offset);
    found.log_start_offset = told(data.log_start_offset).or(found.log_start_offset);
    found.retry_at = None;
    if data.preferred_read_replica >= 0 {
        let until = now + shared.client.renewal_interval();
        found.preferred = Some((data.preferred_read_replica, until));
        return (false, true);
    }
    let bytes = data.records.map(|records| records.into_bytes()).unwrap_or_default();
    if bytes.is_empty() {
        return (false, false);
    }
    match Fetched::new(bytes, data.aborted_transactions) {
        Ok(Some((fetched, end))) => {
            state.enqueue(&wanted.partition, fetched, end);
            (true, false)
        }
        // Less than a batch came: a broker always gives one whole batch, so it is on its way.
        Ok(None) => (false, false),
        Err(problem) => {
            let (partition, offset) = (wanted.partition.clone(), wanted.from.offset.0);
            found.error = Some(ConsumerError::UnreadableRecords { partition, offset, problem });
            (true, false)
        }
    }
}

/// Lets a partition rest before it is asked for again.
fn pause(shared: &Shared, wanted: &Wanted) {
    let until = shared.retry_at(1);
    if let Some(found) = current_state(&mut shared.state.lock(), wanted) {
        found.retry_at = Some(until);
    }
}

fn out_of_range(shared: &Shared, node: i32, wanted: &Wanted) {
    let leader = shared
        .client
        .metadata()
        .leader(&wanted.partition.topic, wanted.partition.partition)
        .map(|(leader, _)| leader.id);
    {
        let mut state = shared.state.lock();
        let Some(found) = current_state(&mut state, wanted) else { return };
        if leader != Some(node) {
            // A follower may not have it yet, or not any more; the leader knows.
            found.preferred = None;
            return;
        }
        if found.queued_bytes > 0 {
            // What was fetched before is good; the question comes again behind it.
            drop(state);
            return pause(shared, wanted);
        }
    }
    let (partition, offset) = (wanted.partition.clone(), wanted.from.offset.0);
    shared.reset(&wanted.partition, ConsumerError::OffsetOutOfRange { partition, offset });
}

fn forget_preferred(shared: &Shared, node: i32, wanted: &[Wanted]) {
    let mut state = shared.state.lock();
    for wanted in wanted {
        if let Some(found) = state.get_mut(&wanted.partition)
            && found.preferred.is_some_and(|(preferred, _)| preferred == node)
        {
            found.preferred = None;
        }
    }
}

fn is_unknown_session(error: &Error) -> bool {
    matches!(
        error.error_code(),
        Some(
            ErrorCode::FetchSessionIdNotFound
                | ErrorCode::InvalidFetchSessionEpoch
                | ErrorCode::FetchSessionTopicIdError
        )
    )
}

/// Keeps the metadata of the assigned partitions fresh, and a task for each broker at work; ends
/// when the consumer is closed.
pub(super) async fn supervise(shared: Arc<Shared>) {
    let mut work = shared.work();
    let mut metadata_changes = shared.client.watch_metadata();
    let mut running: std::collections::BTreeSet<i32> = std::collections::BTreeSet::new();
    let mut failures = 0;
    while !shared.is_closed() {
        work.borrow_and_update();
        let metadata = metadata_changes.borrow_and_update().clone();
        let (sources, is_missing, wake_at) = survey(&shared, &metadata);
        for node in sources {
            if running.insert(node) {
                shared.client.env().tasks.spawn(run(Arc::clone(&shared), node));
            }
        }
        let age_left =
            shared.client.renewal_interval().saturating_sub(shared.client.metadata_age());
        let topics = shared.assigned_topics();
        if is_missing || (age_left.is_zero() && !topics.is_empty()) {
            let asked = crate::metadata::TopicsAsked::Named(topics);
            let refresh = shared.client.refresh(&asked, shared.attempt_deadline());
            match shared.unless_closed(refresh).await {
                None => return,
                Some(Ok(metadata)) => {
                    let still_missing = survey(&shared, &metadata).1;
                    if !still_missing {
                        failures = 0;
                        // The tasks look at the new metadata.
                        shared.ring_work();
                        continue;
                    }
                    failures += 1;
                }
                Some(Err(error)) => {
                    failures += 1;
                    tracing::debug!(%error, "could not refresh metadata");
                    if !error.may_pass() {
                        shared.fail(error.into());
                    }
                }
            }
            let until = shared.retry_at(failures);
            let pause = shared.client.env().clock.sleep_until(until);
            shared.unless_closed(pause).await;
            continue;
        }
        failures = 0;
        // Without partitions there is nothing to keep fresh, however old it gets.
        let old_at = (!topics.is_empty()).then(|| shared.now() + age_left);
        let until = [old_at, wake_at].into_iter().flatten().min();
        let clock = &shared.client.env().clock;
        let time = async {
            match until {
                Some(until) => clock.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let changed = race(work.changed(), metadata_changes.changed());
        if let super::race::Either::Left(super::race::Either::Right(_)) = race(changed, time).await
        {
            shared.ring_work();
        } else if wake_at.is_some_and(|at| shared.now() >= at) {
            // A rest is over; the tasks of the brokers do not wake by themselves.
            clear_rests(&shared);
            shared.ring_work();
        }
    }
}

/// The brokers to fetch from, whether a leader is not known, and when the first rest ends.
fn survey(shared: &Shared, metadata: &ClusterMetadata) -> (Vec<i32>, bool, Option<Moment>) {
    let now = shared.now();
    let state = shared.state.lock();
    let (mut nodes, mut is_missing, mut wake_at) = (Vec::new(), false, None::<Moment>);
    for (partition, found) in state.iter() {
        match source(found, metadata, partition, now) {
            Some((node, _)) => nodes.push(node),
            None => is_missing = true,
        }
        if let Some(at) = found.retry_at.filter(|_| found.need == Need::Nothing) {
            wake_at = Some(wake_at.map_or(at, |wake_at| wake_at.min(at)));
        }
    }
    (nodes, is_missing, wake_at)
}

fn clear_rests(shared: &Shared) {
    let now = shared.now();
    for (_, found) in shared.state.lock().iter_mut() {
        if found.need == Need::Nothing && found.retry_at.is_some_and(|at| now >= at) {
            found.retry_at = None;
        }
    }
}
