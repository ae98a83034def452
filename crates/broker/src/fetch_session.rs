//! Incremental fetch sessions (KIP-227): the broker remembers which partitions a consumer reads, so
//! that its next fetch names only what changed, and the answer only what is new.
//!
//! A session belongs to whoever knows its id and its epoch, which grows with each fetch; a fetch
//! with another epoch is refused, so that a repeated or lost request cannot go unnoticed.

use crate::broker::Broker;
use crate::dispatch::RequestContext;
use crate::partition::Partition;
use afluente_env::clock::Moment;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use afluente_protocol::uuid::Uuid;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// No session wanted, or an existing one given up.
const FINAL_EPOCH: i32 = -1;
/// A new session wanted.
const INITIAL_EPOCH: i32 = 0;
/// The first version with topic ids instead of names.
const TOPIC_IDS_FROM: i16 = 13;
const READ_COMMITTED: i8 = 1;

/// A session that did nothing for so long gives way to a new one.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);

/// A partition that a fetch reads.
pub struct Wanted {
    /// The name, as far as it is known: the request's, or that of the id.
    pub topic: Arc<str>,
    /// Zero in versions that go by names.
    pub topic_id: Uuid,
    /// The partition's index.
    pub partition_index: i32,
    /// From where.
    pub offset: i64,
    /// How much.
    pub bytes_max: i32,
    /// The leader epoch that the client believes in; negative for none.
    pub leader_epoch: i32,
    /// The epoch of the last record that the client has; negative for none.
    pub last_fetched_epoch: i32,
    /// What the session last told: -1 when nothing or an error.
    pub told_high_watermark: i64,
    /// What the session last told: -1 when nothing or an error.
    pub told_log_start_offset: i64,
    /// The partition, if this broker has it.
    pub partition: Result<Arc<Partition>, ErrorCode>,
    /// Its place in the session's order.
    place: u64,
}

/// A fetch that may go on.
pub struct Begun {
    /// What to read, in order.
    pub wanted: Vec<Wanted>,
    /// The session, if there is one.
    pub session: Option<Arc<Session>>,
    /// Whether only news are to be told.
    pub is_incremental: bool,
    /// Whether aborted transactions are told.
    pub tells_aborted: bool,
}

/// What was found of a partition in this fetch.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// As told.
    pub high_watermark: i64,
    /// As told.
    pub log_start_offset: i64,
    /// Whether records are sent: others go first next time.
    pub has_records: bool,
    /// Whether an error is told: it is told again as long as it lasts.
    pub is_failed: bool,
}

/// All sessions.
pub struct FetchSessions {
    slots: usize,
    sessions: Mutex<BTreeMap<i32, Arc<Session>>>,
}

/// One session.
pub struct Session {
    id: i32,
    uses_topic_ids: bool,
    state: Mutex<State>,
}

struct State {
    /// What the next fetch must say.
    next_epoch: i32,
    last_used: Moment,
    /// Partitions in the order in which they are read.
    order: BTreeMap<u64, Cached>,
    places: BTreeMap<(TopicKey, i32), u64>,
    next_place: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum TopicKey {
    Name(Arc<str>),
    Id(Uuid),
}

struct Cached {
    key: (TopicKey, i32),
    request: FetchPartition,
    told_high_watermark: i64,
    told_log_start_offset: i64,
}

impl FetchSessions {
    /// Room for so many sessions.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self { slots, sessions: Mutex::default() }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sessions.lock().len()
    }

    /// Finds out what a fetch reads.
    ///
    /// # Errors
    /// The session is not there, or the request is not the one that it expects.
    pub fn begin(
        &self,
        request: FetchRequest,
        context: &RequestContext<'_>,
        broker: &Broker,
    ) -> Result<Begun, ErrorCode> {
        let uses_topic_ids = context.version >= TOPIC_IDS_FROM;
        let tells_aborted = request.isolation_level == READ_COMMITTED;
        let is_full = matches!(request.session_epoch, FINAL_EPOCH | INITIAL_EPOCH);
        if !is_full {
            let session = self.find(request.session_id)?;
            let wanted = session.advance(request, uses_topic_ids, broker, context.received)?;
            if wanted.is_empty() {
                self.sessions.lock().remove(&session.id);
                return Ok(Begun { wanted, session: None, is_incremental: true, tells_aborted });
            }
            return Ok(Begun {
                wanted,
                session: Some(session),
                is_incremental: true,
                tells_aborted,
            });
        }
        if request.session_id != 0 {
            self.sessions.lock().remove(&request.session_id);
        }
        let is_wanted = request.session_epoch == INITIAL_EPOCH;
        let state = State::new(request, uses_topic_ids, context.received);
        let wanted = state.wanted(broker);
        let session = if is_wanted && !wanted.is_empty() {
            self.insert(state, uses_topic_ids, broker, context.received)
        } else {
            None
        };
        Ok(Begun { wanted, session, is_incremental: false, tells_aborted })
    }

    /// Notes what a fetch told; gives the session id of the answer.
    pub fn end(&self, session: &Session, wanted: &[Wanted], seen: &[Seen]) -> i32 {
        let mut state = session.state.lock();
        for (wanted, seen) in wanted.iter().zip(seen) {
            state.note(wanted.place, *seen);
        }
        session.id
    }

    fn find(&self, id: i32) -> Result<Arc<Session>, ErrorCode> {
        self.sessions.lock().get(&id).cloned().ok_or(ErrorCode::FetchSessionIdNotFound)
    }

    /// Keeps a new session, unless all slots are taken by sessions in use.
    fn insert(
        &self,
        state: State,
        uses_topic_ids: bool,
        broker: &Broker,
        now: Moment,
    ) -> Option<Arc<Session>> {
        let mut sessions = self.sessions.lock();
        if sessions.len() >= self.slots {
            let (id, last_used) = sessions
                .iter()
                .map(|(id, session)| (*id, session.state.lock().last_used))
                .min_by_key(|(_, last_used)| *last_used)?;
            if now.saturating_since(last_used) < EVICTABLE_AFTER {
                return None;
            }
            sessions.remove(&id);
        }
        let id = loop {
            let id = i32::try_from(broker.env.rng.range(1..i32::MAX as u64)).unwrap_or(1);
            if !sessions.contains_key(&id) {
                break id;
            }
        };
        let session = Arc::new(Session { id, uses_topic_ids, state: Mutex::new(state) });
        sessions.insert(id, Arc::clone(&session));
        Some(session)
    }
}

impl Session {
    /// Checks the epoch, applies the changes that a fetch names, and gives what it reads.
    fn advance(
        &self,
        request: FetchRequest,
        uses_topic_ids: bool,
        broker: &Broker,
        now: Moment,
    ) -> Result<Vec<Wanted>, ErrorCode> {
        let mut state = self.state.lock();
        if request.session_epoch != state.next_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if uses_topic_ids != self.uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        for topic in request.forgotten_topics_data {
            let key = topic_key(&topic.topic, topic.topic_id, uses_topic_ids);
            for partition in topic.partitions {
                state.forget(&(key.clone(), partition));
            }
        }
        for topic in request.topics {
            let key = topic_key(&topic.topic, topic.topic_id, uses_topic_ids);
            for partition in topic.partitions {
                state.put(key.clone(), partition);
            }
        }
        state.next_epoch = next_epoch(state.next_epoch);
        state.last_used = now;
        Ok(state.wanted(broker))
    }
}

impl State {
    fn new(request: FetchRequest, uses_topic_ids: bool, now: Moment) -> Self {
        let mut state = Self {
            next_epoch: next_epoch(INITIAL_EPOCH),
            last_used: now,
            order: BTreeMap::new(),
            places: BTreeMap::new(),
            next_place: 0,
        };
        for topic in request.topics {
            let key = topic_key(&topic.topic, topic.topic_id, uses_topic_ids);
            for partition in topic.partitions {
                state.put(key.clone(), partition);
            }
        }
        state
    }

    fn put(&mut self, topic: TopicKey, request: FetchPartition) {
        let key = (topic, request.partition);
        if let Some(place) = self.places.get(&key)
            && let Some(cached) = self.order.get_mut(place)
        {
            cached.request = request;
            return;
        }
        let place = self.next_place;
        self.next_place += 1;
        self.places.insert(key.clone(), place);
        let cached = Cached { key, request, told_high_watermark: -1, told_log_start_offset: -1 };
        self.order.insert(place, cached);
    }

    fn forget(&mut self, key: &(TopicKey, i32)) {
        if let Some(place) = self.places.remove(key) {
            self.order.remove(&place);
        }
    }

    fn note(&mut self, place: u64, seen: Seen) {
        let Some(cached) = self.order.get_mut(&place) else { return };
        cached.told_log_start_offset = seen.log_start_offset;
        cached.told_high_watermark = if seen.is_failed { -1 } else { seen.high_watermark };
        if seen.has_records
            && let Some(cached) = self.order.remove(&place)
        {
            // To the end of the row: the others come first next time.
            self.places.insert(cached.key.clone(), self.next_place);
            self.order.insert(self.next_place, cached);
            self.next_place += 1;
        }
    }

    fn wanted(&self, broker: &Broker) -> Vec<Wanted> {
        let mut wanted = Vec::with_capacity(self.order.len());
        for (place, cached) in &self.order {
            let topic = match &cached.key.0 {
                TopicKey::Name(name) => broker.topics.resolve(name, &Uuid::ZERO),
                TopicKey::Id(id) if id.is_zero() => Err(ErrorCode::UnknownTopicId),
                TopicKey::Id(id) => broker.topics.resolve("", id),
            };
            let (name, topic_id) = match &cached.key.0 {
                TopicKey::Name(name) => (Arc::clone(name), Uuid::ZERO),
                TopicKey::Id(id) => (Arc::from(""), *id),
            };
            let request = &cached.request;
            let partition = topic.and_then(|topic| {
                topic
                    .partition(request.partition)
                    .cloned()
                    .ok_or(ErrorCode::UnknownTopicOrPartition)
            });
            wanted.push(Wanted {
                topic: name,
                topic_id,
                partition_index: request.partition,
                offset: request.fetch_offset,
                bytes_max: request.partition_max_bytes,
                leader_epoch: request.current_leader_epoch,
                last_fetched_epoch: request.last_fetched_epoch,
                told_high_watermark: cached.told_high_watermark,
                told_log_start_offset: cached.told_log_start_offset,
                partition,
                place: *place,
            });
        }
        wanted
    }
}

fn topic_key(name: &str, id: Uuid, uses_topic_ids: bool) -> TopicKey {
    if uses_topic_ids { TopicKey::Id(id) } else { TopicKey::Name(Arc::from(name)) }
}

/// Epochs go on after the largest at 1: 0 and -1 mean other things.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}
