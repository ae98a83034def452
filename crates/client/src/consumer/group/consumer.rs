//! A member of a group of the consumer protocol (KIP-848): one heartbeat says and hears everything.
//!
//! ```text
//!  heartbeat ──▶ target assignment ──▶ give up what is not in it ──▶ take on what is new ──┐
//!      ▲                                                                                    │
//!      └───────────── says what the member has, and everything that changed ◀──────────────┘
//! ```
//!
//! The member goes on with what it has all the time. The coordinator gives a partition to its new
//! owner once the old one has said that it gave it up.

use super::super::error::ConsumerError;
use super::super::race::{Either, race};
use super::super::shared::Shared;
use super::topics::Subscribed;
use super::{Event, Leaving, Partitions};
use crate::client::Target;
use crate::error::Error;
use crate::metadata::TopicsAsked;
use crate::topic_partition::TopicPartition;
use afluente_env::clock::Moment;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use afluente_protocol::messages::consumer_group_heartbeat_response::{
    Assignment, ConsumerGroupHeartbeatResponse,
};
use afluente_protocol::uuid::Uuid;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The epoch of a heartbeat that joins.
const JOIN_EPOCH: i32 = 0;
/// The epoch of a heartbeat that leaves.
const LEAVE_EPOCH: i32 = -1;
/// The epoch of a heartbeat by which a static member leaves for a while.
const LEAVE_STATIC_EPOCH: i32 = -2;
/// Between heartbeats until the coordinator has said how much, which it does in its first answer.
const FIRST_INTERVAL: Duration = Duration::from_secs(5);
/// The first version of the heartbeat that carries a regular expression.
const FIRST_VERSION_WITH_REGEX: i16 = 1;

/// Partitions by topic id.
type ById = BTreeMap<Uuid, BTreeSet<i32>>;

/// What the task knows of its member.
struct Member {
    shared: Arc<Shared>,
    group_id: String,
    target_broker: Target,
    member_id: String,
    epoch: i32,
    interval: Duration,
    /// What the coordinator wants this member to have, if it has not come to that yet.
    wanted: Option<ById>,
    /// What the program has.
    owned: Partitions,
    /// Ids of the topics that it was told of, which metadata may have forgotten.
    ids: BTreeMap<Arc<str>, Uuid>,
    step: Step,
    /// When topics whose names are not known may be asked for again, and how often that failed.
    names_at: Option<Moment>,
    names_failures: u32,
    /// The last time that the program unsubscribed, as far as the member has followed it.
    given_up_at: u64,
    /// What the coordinator knows, so that only changes are sent.
    sent: Sent,
    failures: u32,
}

/// Where the member is on its way to what is wanted.
enum Step {
    /// It is there, or has not begun.
    None,
    /// The poll gives up partitions; then it has these.
    GivingUp(Partitions, oneshot::Receiver<()>),
    /// The poll takes partitions on.
    TakingOn(oneshot::Receiver<()>),
}

/// What the last heartbeat that was answered said.
#[derive(Default)]
struct Sent {
    subscription_version: Option<u64>,
    names: Option<BTreeSet<String>>,
    owned: Option<Partitions>,
}

/// What follows from a heartbeat.
enum Beat {
    Fine,
    /// Try again after a while, with everything.
    Later,
    /// The coordinator does not have this member any more.
    Lost(ErrorCode),
    Refused(ConsumerError),
}

pub(super) async fn run(shared: Arc<Shared>) {
    let mut bytes = [0; 16];
    shared.client.env().rng.fill(&mut bytes);
    let group_id = shared.config.group_id.clone().unwrap_or_default();
    let mut member = Member {
        target_broker: Target::group(&*group_id),
        group_id,
        // The member names itself (KIP-1082), so that a lost answer makes no second member.
        member_id: Uuid::from_random_bytes(bytes).to_string(),
        epoch: JOIN_EPOCH,
        interval: FIRST_INTERVAL,
        wanted: None,
        owned: Partitions::new(),
        ids: BTreeMap::new(),
        step: Step::None,
        names_at: None,
        names_failures: 0,
        given_up_at: 0,
        sent: Sent::default(),
        failures: 0,
        shared,
    };
    member.run().await;
}

impl Member {
    async fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut orders = shared.work();
        let mut due = shared.now();
        loop {
            orders.borrow_and_update();
            if shared.is_closed() {
                return self.leave(Leaving::Closed).await;
            }
            let given_up_at = shared.group.given_up_at();
            if self.given_up_at != given_up_at {
                // Also if it subscribed again since: nothing of before is in its hands any more.
                self.given_up_at = given_up_at;
                self.leave(Leaving::Unsubscribed).await;
                self.forget();
                due = shared.now();
            }
            let (subscribed, version) = shared.group.subscribed();
            let Some(subscribed) = subscribed else {
                shared.wait(&mut orders, None).await;
                due = shared.now();
                continue;
            };
            if shared.group.poll_deadline(&shared).is_some_and(|at| shared.now() >= at) {
                self.leave(Leaving::PolledTooSeldom).await;
                self.lose(ErrorCode::UnknownMemberId).await;
                shared.polled_again().await;
                due = shared.now();
                continue;
            }
            self.advance().await;
            if shared.now() >= due || self.has_to_say(version) {
                due = match self.beat(&subscribed, version).await {
                    Beat::Fine => {
                        self.failures = 0;
                        shared.now() + self.interval
                    }
                    Beat::Later => {
                        self.failures += 1;
                        self.sent = Sent::default();
                        let at = shared.retry_at(self.failures);
                        self.rest_until(at).await;
                        at
                    }
                    Beat::Lost(code) => {
                        self.lose(code).await;
                        shared.now()
                    }
                    Beat::Refused(error) => {
                        self.lose(error.error_code().unwrap_or_default()).await;
                        shared.fail(error);
                        self.failures += 1;
                        let at = shared.retry_at(self.failures);
                        self.rest_until(at).await;
                        at
                    }
                };
                continue;
            }
            let poll_by = shared.group.poll_deadline(&shared);
            // Names are asked for only to go a step: at any other time that moment may have passed.
            let is_naming = self.wanted.is_some() && matches!(self.step, Step::None);
            let names_at = self.names_at.filter(|_| is_naming);
            let until = [poll_by, names_at].into_iter().flatten().fold(due, Moment::min);
            self.wait(&mut orders, until).await;
        }
    }

    fn hand(&self, event: Event) -> oneshot::Receiver<()> {
        self.shared.hand(event, self.given_up_at)
    }

    async fn rest_until(&self, moment: Moment) {
        let pause = self.shared.client.env().clock.sleep_until(moment);
        self.shared.unless_closed(pause).await;
    }

    /// Waits for an order, for the poll to be done with a step, or for `until`.
    async fn wait(&mut self, orders: &mut super::super::shared::Bell, until: Moment) {
        let clock = self.shared.client.env().clock.clone();
        let woken = race(orders.changed(), clock.sleep_until(until));
        let done = match &mut self.step {
            Step::None => {
                woken.await;
                return;
            }
            Step::GivingUp(_, done) | Step::TakingOn(done) => done,
        };
        // A receiver that has heard must not be asked again, so what it says is acted on here.
        if let Either::Left(_) = race(done, woken).await {
            self.step_done();
        }
    }

    fn step_done(&mut self) {
        if let Step::GivingUp(left, _) = std::mem::replace(&mut self.step, Step::None) {
            self.owned = left;
        }
    }

    /// Whether the coordinator has to hear something at once.
    fn has_to_say(&self, version: u64) -> bool {
        let is_at_rest = matches!(self.step, Step::None) && self.wanted.is_none();
        self.sent.subscription_version.is_some_and(|sent| sent != version)
            || (is_at_rest && self.sent.owned.as_ref().is_some_and(|sent| *sent != self.owned))
    }

    /// Goes a step towards what is wanted, if none is going on.
    async fn advance(&mut self) {
        if !matches!(self.step, Step::None) {
            return;
        }
        let Some(wanted) = self.wanted.clone() else { return };
        let Some(target) = self.named(&wanted).await else { return };
        let given_up: Partitions = self.owned.difference(&target).cloned().collect();
        if !given_up.is_empty() {
            let left = self.owned.intersection(&target).cloned().collect();
            self.step = Step::GivingUp(left, self.hand(Event::Revoke(given_up)));
            return;
        }
        let added: Partitions = target.difference(&self.owned).cloned().collect();
        self.wanted = None;
        self.owned.clone_from(&target);
        let event = Event::Assign { all: target, added };
        self.step = Step::TakingOn(self.hand(event));
    }

    /// The partitions by name; nothing if a topic is not known, which may be a new one.
    async fn named(&mut self, wanted: &ById) -> Option<Partitions> {
        let client = self.shared.client.clone();
        let known = |id: &Uuid| client.metadata().topic_name(*id).is_some();
        if wanted.keys().all(known) {
            (self.names_at, self.names_failures) = (None, 0);
        } else if self.names_at.is_none_or(|at| self.shared.now() >= at) {
            let asked = TopicsAsked::Ids(wanted.keys().copied().collect());
            if let Err(error) = client.refresh(&asked, self.shared.attempt_deadline()).await {
                tracing::debug!(%error, "could not learn the names of topics");
            }
            self.names_failures = self.names_failures.saturating_add(1);
            self.names_at = Some(self.shared.retry_at(self.names_failures));
        }
        let metadata = client.metadata();
        let mut named = Partitions::new();
        for (id, partitions) in wanted {
            let name: Arc<str> = metadata.topic_name(*id)?.into();
            self.ids.insert(Arc::clone(&name), *id);
            named.extend(partitions.iter().map(|&p| TopicPartition::new(Arc::clone(&name), p)));
        }
        Some(named)
    }

    async fn beat(&mut self, subscribed: &Subscribed, version: u64) -> Beat {
        let shared = Arc::clone(&self.shared);
        let deadline = shared.attempt_deadline();
        let answer = async {
            let connection = shared.client.connection(&self.target_broker, deadline).await?;
            let wire_version = connection.version_of(ApiKey::ConsumerGroupHeartbeat)?;
            let names = match subscribed {
                Subscribed::Pattern(_) if wire_version < FIRST_VERSION_WITH_REGEX => {
                    let asked = subscribed.asked();
                    let metadata = shared.client.fresh_metadata(&asked, deadline).await?;
                    Some(subscribed.topics(&shared, &metadata))
                }
                Subscribed::Pattern(_) => None,
                Subscribed::Topics(topics) => Some(topics.clone()),
            };
            let request = self.request(subscribed, names.clone(), wire_version, version);
            let timeout = shared.client.attempt_timeout(deadline);
            let answer = connection.submit(&request, wire_version, timeout).await?.await?;
            let said = request.topic_partitions.is_some().then(|| self.owned.clone());
            Ok((answer, names, said))
        };
        match answer.await {
            Ok((answer, names, said)) => {
                let about = || format!("group {}", self.group_id);
                match Error::check(answer.error_code, answer.error_message.clone(), about) {
                    Ok(()) => {
                        self.sent.subscription_version = Some(version);
                        self.sent.names = names;
                        if said.is_some() {
                            self.sent.owned = said;
                        }
                        self.hear(answer);
                        Beat::Fine
                    }
                    Err(error) => self.refused(error),
                }
            }
            Err(error) => self.refused(error),
        }
    }

    /// Everything when joining or after a failure, else what has changed.
    fn request(
        &self,
        subscribed: &Subscribed,
        names: Option<BTreeSet<String>>,
        wire_version: i16,
        version: u64,
    ) -> ConsumerGroupHeartbeatRequest {
        let config = &self.shared.config;
        let is_full = self.epoch == JOIN_EPOCH || self.sent.subscription_version.is_none();
        let is_new =
            is_full || self.sent.subscription_version != Some(version) || self.sent.names != names;
        // While a step is going on, the coordinator hears of it only when it is done.
        let is_at_rest = matches!(self.step, Step::None);
        let says_owned = is_full || (is_at_rest && self.sent.owned.as_ref() != Some(&self.owned));
        let regex = match subscribed {
            Subscribed::Pattern(pattern) if wire_version >= FIRST_VERSION_WITH_REGEX => {
                Some(pattern.source.to_string())
            }
            // An empty one takes an earlier one back.
            Subscribed::Topics(_) if !is_full && wire_version >= FIRST_VERSION_WITH_REGEX => {
                Some(String::new())
            }
            _ => None,
        };
        let names = names.unwrap_or_default().into_iter().collect();
        let timeout = i32::try_from(config.max_poll_interval.as_millis()).unwrap_or(i32::MAX);
        ConsumerGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: config.group_instance_id.clone(),
            rack_id: config.rack.clone().filter(|_| is_full),
            rebalance_timeout_ms: if is_full { timeout } else { -1 },
            subscribed_topic_names: is_new.then_some(names),
            subscribed_topic_regex: regex.filter(|_| is_new),
            server_assignor: config.remote_assignor.clone().filter(|_| is_full),
            topic_partitions: says_owned.then(|| self.owned_by_id()),
        }
    }

    fn owned_by_id(&self) -> Vec<TopicPartitions> {
        let mut by_id: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        if self.epoch != JOIN_EPOCH {
            for owned in &self.owned {
                if let Some(id) = self.ids.get(&owned.topic) {
                    by_id.entry(*id).or_default().push(owned.partition);
                }
            }
        }
        by_id
            .into_iter()
            .map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions })
            .collect()
    }

    fn hear(&mut self, answer: ConsumerGroupHeartbeatResponse) {
        if let Some(member_id) = answer.member_id.filter(|id| !id.is_empty()) {
            self.member_id = member_id;
        }
        self.epoch = answer.member_epoch;
        if let Ok(interval_ms) = u64::try_from(answer.heartbeat_interval_ms)
            && interval_ms > 0
        {
            self.interval = Duration::from_millis(interval_ms);
        }
        self.shared.group.set_member(&self.member_id, self.epoch);
        if let Some(assignment) = answer.assignment {
            let wanted = by_id(assignment);
            tracing::debug!(group = self.group_id, epoch = self.epoch, ?wanted, "assignment");
            self.wanted = Some(wanted);
        }
    }

    fn refused(&mut self, error: Error) -> Beat {
        self.shared.client.noticed(&self.target_broker, &error);
        match error.error_code() {
            Some(code @ (ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch)) => {
                Beat::Lost(code)
            }
            // A static member that was here before has not gone yet; its session will run out.
            Some(ErrorCode::UnreleasedInstanceId) => Beat::Later,
            _ if error.may_pass() => {
                tracing::debug!(group = self.group_id, %error, "heartbeat failed");
                Beat::Later
            }
            _ => Beat::Refused(error.into()),
        }
    }

    /// The member is not in the group any more: the program loses what it has.
    async fn lose(&mut self, code: ErrorCode) {
        tracing::info!(group = self.group_id, code = code.name(), "not a member any more");
        let owned = self.forget();
        if !owned.is_empty() {
            let handed = self.hand(Event::Lose(owned));
            self.shared.unless_closed(handed).await;
        }
    }

    /// Back to before joining; gives what it had.
    fn forget(&mut self) -> Partitions {
        self.epoch = JOIN_EPOCH;
        self.wanted = None;
        (self.names_at, self.names_failures) = (None, 0);
        self.step = Step::None;
        self.sent = Sent::default();
        self.shared.group.set_member("", -1);
        std::mem::take(&mut self.owned)
    }

    async fn leave(&mut self, leaving: Leaving) {
        if self.epoch == JOIN_EPOCH {
            return;
        }
        if leaving == Leaving::PolledTooSeldom {
            let group = &self.group_id;
            tracing::warn!(group, "max.poll.interval.ms passed without a poll; leaving the group");
        }
        let is_static = self.shared.config.group_instance_id.is_some();
        let goes_for_good = !is_static || leaving == Leaving::Unsubscribed;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: if goes_for_good { LEAVE_EPOCH } else { LEAVE_STATIC_EPOCH },
            instance_id: self.shared.config.group_instance_id.clone(),
            rebalance_timeout_ms: -1,
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let deadline = self.shared.attempt_deadline();
        let sent = self.shared.client.send_once(&self.target_broker, &request, deadline).await;
        // If it is not heard, the session runs out.
        if let Err(error) = sent {
            tracing::debug!(group = self.group_id, %error, "could not leave");
        }
    }
}

fn by_id(assignment: Assignment) -> ById {
    assignment
        .topic_partitions
        .into_iter()
        .map(|topic| (topic.topic_id, topic.partitions.into_iter().collect()))
        .collect()
}
