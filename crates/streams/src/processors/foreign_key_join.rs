//! Joins of two tables by a key that the left one has in its values (KIP-213, KIP-775).
//!
//! A row of the left table subscribes at the partition of its foreign key. There, subscriptions are kept beside the right table, so
//! that a change on either side finds the other. What is found goes back to the partition of the row, with the hash of the row's value
//! as it was: an answer to a value that is not the row's any more is dropped.
//!
//! ```text
//! subscription  [1 bit no hash][7 bits version = 1][1 B instruction][16 B hash]?[primary key][4 B partition of the row]
//! answer        [1 bit no hash][7 bits version = 0][16 B hash]?[right value]?
//! key of store  [4 B length][foreign key][primary key]
//! ```

use super::getter::{GetterSupplier, ValueGetter};
use crate::engine::{Context, Node, Step, node};
use crate::error::{Error, Flow};
use crate::record::{Change, Data, Record};
use crate::serdes::{Serde, SerdeOf};
use crate::stores::handles::{Handle, StoreRef, TimestampedKeyValue};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::sync::Arc;

/// Of a value's bytes.
pub(crate) type ValueHash = [u64; 2];

/// What a subscription asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// Forget it, and say nothing.
    Delete,
    /// Forget it, and say that there is nothing.
    DeleteAndTell,
    /// Keep it, and say what there is, or that there is nothing.
    TellAlways,
    /// Keep it, and say what there is, if anything.
    TellIfFound,
}

impl Instruction {
    fn of_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Delete,
            1 => Self::DeleteAndTell,
            2 => Self::TellAlways,
            3 => Self::TellIfFound,
            _ => return None,
        })
    }

    fn byte(self) -> u8 {
        match self {
            Self::Delete => 0,
            Self::DeleteAndTell => 1,
            Self::TellAlways => 2,
            Self::TellIfFound => 3,
        }
    }
}

/// What a row of the left table sends to where its foreign key is.
#[derive(Clone, Debug)]
pub(crate) struct Subscription<K> {
    hash: Option<ValueHash>,
    instruction: Instruction,
    key: K,
    /// `None` in what older versions wrote.
    partition: Option<i32>,
}

/// What comes back to the row.
#[derive(Clone, Debug)]
pub(crate) struct Answer<V> {
    hash: Option<ValueHash>,
    value: Option<V>,
    /// Not part of the bytes: it says where they go.
    pub(crate) partition: Option<i32>,
}

const NO_HASH: u8 = 0x80;

fn put_hash(bytes: &mut BytesMut, hash: Option<ValueHash>) {
    for half in hash.into_iter().flatten() {
        bytes.put_u64(half);
    }
}

fn take_hash(bytes: &mut Bytes, first: u8) -> Result<Option<ValueHash>, String> {
    if first & NO_HASH != 0 {
        return Ok(None);
    }
    if bytes.len() < 16 {
        return Err(format!("expected 16 bytes of a hash, found {}", bytes.len()));
    }
    Ok(Some([bytes.get_u64(), bytes.get_u64()]))
}

pub(crate) struct SubscriptionSerde<K>(pub(crate) SerdeOf<K>);

impl<K: Data> Serde<Subscription<K>> for SubscriptionSerde<K> {
    fn serialize(&self, topic: &str, value: &Subscription<K>) -> Result<Bytes, String> {
        let key = self.0.serialize(topic, &value.key)?;
        let mut bytes = BytesMut::with_capacity(22 + key.len());
        let version = u8::from(value.partition.is_some());
        bytes.put_u8(if value.hash.is_some() { version } else { version | NO_HASH });
        bytes.put_u8(value.instruction.byte());
        put_hash(&mut bytes, value.hash);
        bytes.put_slice(&key);
        if let Some(partition) = value.partition {
            bytes.put_i32(partition);
        }
        Ok(bytes.freeze())
    }

    fn deserialize(&self, topic: &str, bytes: &Bytes) -> Result<Subscription<K>, String> {
        let mut bytes = bytes.clone();
        if bytes.len() < 2 {
            return Err(format!("a subscription has 2 bytes or more, found {}", bytes.len()));
        }
        let (first, instruction) = (bytes.get_u8(), bytes.get_u8());
        let version = first & !NO_HASH;
        if version > 1 {
            return Err(format!("version {version} of a subscription is not known"));
        }
        let instruction = Instruction::of_byte(instruction)
            .ok_or_else(|| format!("instruction {instruction} of a subscription is not known"))?;
        let hash = take_hash(&mut bytes, first)?;
        let partition = match version {
            0 => None,
            _ if bytes.len() < 4 => {
                return Err("a subscription ends before its partition".to_owned());
            }
            _ => Some(bytes.split_off(bytes.len() - 4).get_i32()),
        };
        Ok(Subscription { hash, instruction, key: self.0.deserialize(topic, &bytes)?, partition })
    }
}

pub(crate) struct AnswerSerde<V>(pub(crate) SerdeOf<V>);

impl<V: Data> Serde<Answer<V>> for AnswerSerde<V> {
    fn serialize(&self, topic: &str, answer: &Answer<V>) -> Result<Bytes, String> {
        let mut bytes = BytesMut::new();
        bytes.put_u8(if answer.hash.is_some() { 0 } else { NO_HASH });
        put_hash(&mut bytes, answer.hash);
        if let Some(value) = &answer.value {
            bytes.put_slice(&self.0.serialize(topic, value)?);
        }
        Ok(bytes.freeze())
    }

    fn deserialize(&self, topic: &str, bytes: &Bytes) -> Result<Answer<V>, String> {
        let mut bytes = bytes.clone();
        if bytes.is_empty() {
            return Err("an answer has a byte or more".to_owned());
        }
        let first = bytes.get_u8();
        if first & !NO_HASH != 0 {
            return Err(format!("version {} of an answer is not known", first & !NO_HASH));
        }
        let hash = take_hash(&mut bytes, first)?;
        let value = if bytes.is_empty() { None } else { Some(self.0.deserialize(topic, &bytes)?) };
        Ok(Answer { hash, value, partition: None })
    }
}

/// The foreign key of a row, if it has one.
pub(crate) type ForeignKeyOf<K, V, F> = Arc<dyn Fn(&K, &V) -> Option<F> + Send + Sync>;

/// Sends subscriptions for the changes of the left table.
pub(crate) struct Subscribe<K, V, F> {
    pub(crate) foreign_key: ForeignKeyOf<K, V, F>,
    pub(crate) foreign_keys: SerdeOf<F>,
    pub(crate) values: SerdeOf<V>,
    pub(crate) is_left: bool,
    /// Changes of the past of a versioned table are dropped (KIP-914).
    pub(crate) drops_older: bool,
}

impl<K: Data, V: Data, F: Data> Step<K, Change<V>> for Subscribe<K, V, F> {
    fn process(&mut self, record: Record<K, Change<V>>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(key), value: Some(change), timestamp, headers } = record else {
            return Ok(());
        };
        if self.drops_older && !change.is_latest {
            ctx.drop_record();
            return Ok(());
        }
        let foreign = |value: &Option<V>| (self.foreign_key)(&key, value.as_ref()?);
        let (old, new) = (foreign(&change.old), foreign(&change.new));
        let hash = match &change.new {
            Some(value) => Some(hash(&self.bytes(&self.values, value)?)),
            None => None,
        };
        let partition = ctx.origin().map(|origin| origin.partition).or(Some(ctx.task().partition));
        let send = |foreign: Option<F>, instruction| {
            let value = Subscription { hash, instruction, key: key.clone(), partition };
            let headers = headers.clone();
            ctx.forward(Record { key: foreign, value: Some(value), timestamp, headers })
        };
        if self.is_left {
            if change.old.is_none() && change.new.is_none() {
                return Ok(());
            }
            if let Some(old) = old
                && self.is_another(Some(&old), new.as_ref())?
            {
                send(Some(old), Instruction::Delete)?;
            }
            // A row without a foreign key asks, too: its answer is that there is nothing.
            return send(new, Instruction::TellAlways);
        }
        match (change.new.is_some(), new, old) {
            (true, Some(new), Some(old)) => {
                if self.is_another(Some(&old), Some(&new))? {
                    send(Some(old), Instruction::Delete)?;
                    send(Some(new), Instruction::TellAlways)
                } else {
                    send(Some(new), Instruction::TellIfFound)
                }
            }
            (true, Some(new), None) => send(Some(new), Instruction::TellIfFound),
            (has_new, None, old) => {
                if has_new {
                    ctx.drop_record();
                }
                old.map_or(Ok(()), |old| send(Some(old), Instruction::DeleteAndTell))
            }
            (false, Some(_), _) => unreachable!("a foreign key comes from a value"),
        }
    }
}

impl<K, V: Data, F: Data> Subscribe<K, V, F> {
    fn bytes<T>(&self, serde: &SerdeOf<T>, value: &T) -> Result<Bytes, Error> {
        serialize(serde, "value", value)
    }

    fn is_another(&self, one: Option<&F>, other: Option<&F>) -> Result<bool, Error> {
        let bytes =
            |key: Option<&F>| key.map(|key| serialize(&self.foreign_keys, "key", key)).transpose();
        Ok(bytes(one)? != bytes(other)?)
    }
}

fn serialize<T>(serde: &SerdeOf<T>, part: &'static str, value: &T) -> Result<Bytes, Error> {
    let topic = "a foreign-key join";
    serde.serialize(topic, value).map_err(|reason| Error::Serialize {
        topic: topic.into(),
        part,
        reason,
    })
}

/// How subscriptions are kept: `[4 B length][foreign key][primary key]`.
pub(crate) struct KeySchema<K, F> {
    pub(crate) keys: SerdeOf<K>,
    pub(crate) foreign_keys: SerdeOf<F>,
}

impl<K, F> Clone for KeySchema<K, F> {
    fn clone(&self) -> Self {
        Self { keys: Arc::clone(&self.keys), foreign_keys: Arc::clone(&self.foreign_keys) }
    }
}

impl<K, F> KeySchema<K, F> {
    fn prefix(&self, foreign: &F) -> Result<BytesMut, Error> {
        let foreign = serialize(&self.foreign_keys, "key", foreign)?;
        let mut bytes = BytesMut::with_capacity(4 + foreign.len());
        bytes.put_u32(u32::try_from(foreign.len()).unwrap_or(u32::MAX));
        bytes.put_slice(&foreign);
        Ok(bytes)
    }

    fn key(&self, foreign: &F, key: &K) -> Result<Bytes, Error> {
        let mut bytes = self.prefix(foreign)?;
        bytes.put_slice(&serialize(&self.keys, "key", key)?);
        Ok(bytes.freeze())
    }
}

/// Subscriptions, by foreign key and key.
pub(crate) type SubscriptionStore<K> = StoreRef<Bytes, Subscription<K>>;

type SubscriptionHandle<K> = Handle<Bytes, Subscription<K>, TimestampedKeyValue>;

/// A subscription on its way to the right table.
#[derive(Clone)]
struct Subscribed<K, F> {
    foreign: Option<F>,
    subscription: Subscription<K>,
}

struct Receive<K, F> {
    schema: KeySchema<K, F>,
    store: SubscriptionStore<K>,
    handle: Option<SubscriptionHandle<K>>,
}

/// Keeps subscriptions, and hands them on.
pub(crate) fn receive<K: Data, F: Data>(
    schema: KeySchema<K, F>,
    store: SubscriptionStore<K>,
) -> Box<dyn Node> {
    node(Receive { schema, store, handle: None })
}

impl<K: Data, F: Data> Step<F, Subscription<K>> for Receive<K, F> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        Ok(())
    }

    fn process(&mut self, record: Record<F, Subscription<K>>, ctx: &Context<'_>) -> Flow {
        let Record { key: foreign, value: Some(subscription), timestamp, headers } = record else {
            ctx.drop_record();
            return Ok(());
        };
        match &foreign {
            None if subscription.instruction != Instruction::TellAlways => {
                ctx.drop_record();
                return Ok(());
            }
            None => {}
            Some(foreign) => {
                let key = self.schema.key(foreign, &subscription.key)?;
                let store = self.handle.as_ref().expect("opened in `init`");
                let kept = match subscription.instruction {
                    Instruction::Delete | Instruction::DeleteAndTell => None,
                    Instruction::TellAlways | Instruction::TellIfFound => Some(&subscription),
                };
                store.put_with(ctx, &key, kept, timestamp, headers.clone())?;
            }
        }
        let key = Some(subscription.key.clone());
        let value = Some(Subscribed { foreign, subscription });
        ctx.forward(Record { key, value, timestamp, headers })
    }
}

struct AnswerSubscription<F, V> {
    right: Box<dyn ValueGetter<F, V>>,
}

/// Answers a subscription with what the right table has.
pub(crate) fn answer_subscription<K: Data, F: Data, V: Data>(
    right: &GetterSupplier<F, V>,
) -> Box<dyn Node> {
    node::<K, Subscribed<K, F>>(AnswerSubscription { right: (right.make)() })
}

impl<K: Data, F: Data, V: Data> Step<K, Subscribed<K, F>> for AnswerSubscription<F, V> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.right.init(ctx)
    }

    fn process(&mut self, record: Record<K, Subscribed<K, F>>, ctx: &Context<'_>) -> Flow {
        let Record { key, value: Some(subscribed), timestamp, headers } = record else {
            return Ok(());
        };
        let found = match &subscribed.foreign {
            Some(foreign) => self.right.get(ctx, foreign)?,
            None => None,
        };
        let timestamp = found.as_ref().map_or(timestamp, |found| timestamp.max(found.timestamp));
        let found = found.map(|found| found.value);
        let value = match subscribed.subscription.instruction {
            Instruction::Delete => return Ok(()),
            Instruction::TellIfFound if found.is_none() => return Ok(()),
            Instruction::DeleteAndTell => None,
            Instruction::TellAlways | Instruction::TellIfFound => found,
        };
        let Subscription { hash, partition, .. } = subscribed.subscription;
        let value = Some(Answer { hash, value, partition });
        ctx.forward(Record { key, value, timestamp, headers })
    }
}

struct AnswerChange<K, F> {
    schema: KeySchema<K, F>,
    store: SubscriptionStore<K>,
    handle: Option<SubscriptionHandle<K>>,
    drops_older: bool,
}

/// Tells all that are subscribed to a key of the right table of its change.
pub(crate) fn answer_change<K: Data, F: Data, V: Data>(
    schema: KeySchema<K, F>,
    store: SubscriptionStore<K>,
    drops_older: bool,
) -> Box<dyn Node> {
    node::<F, Change<V>>(AnswerChange { schema, store, handle: None, drops_older })
}

impl<K: Data, F: Data, V: Data> Step<F, Change<V>> for AnswerChange<K, F> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        Ok(())
    }

    fn process(&mut self, record: Record<F, Change<V>>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(foreign), value: Some(change), timestamp, headers } = record else {
            ctx.drop_record();
            return Ok(());
        };
        if self.drops_older && !change.is_latest {
            ctx.drop_record();
            return Ok(());
        }
        let store = self.handle.as_ref().expect("opened in `init`");
        let prefix = self.schema.prefix(&foreign)?;
        for (_, subscription) in store.with_prefix(ctx, &prefix)? {
            let Subscription { hash, key, partition, .. } = subscription.value;
            let value = Some(Answer { hash, value: change.new.clone(), partition });
            let headers = headers.clone();
            ctx.forward(Record { key: Some(key), value, timestamp, headers })?;
        }
        Ok(())
    }
}

/// Puts a row and what its foreign key led to together.
pub(crate) type ForeignJoiner<V, V2, VR> = Arc<dyn Fn(&V, Option<&V2>) -> Option<VR> + Send + Sync>;

/// Joins the row with an answer, if it is one to the value that the row has.
pub(crate) struct Resolve<K, V, V2, VR> {
    pub(crate) left: Box<dyn ValueGetter<K, V>>,
    pub(crate) values: SerdeOf<V>,
    pub(crate) joiner: ForeignJoiner<V, V2, VR>,
    pub(crate) is_left: bool,
}

impl<K: Data, V: Data, V2: Data, VR: Data> Step<K, Answer<V2>> for Resolve<K, V, V2, VR> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.left.init(ctx)
    }

    fn process(&mut self, record: Record<K, Answer<V2>>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(key), value: Some(answer), timestamp, headers } = record else {
            return Ok(());
        };
        let row = self.left.get(ctx, &key)?;
        let now = match &row {
            Some(row) => Some(hash(&serialize(&self.values, "value", &row.value)?)),
            None => None,
        };
        if now != answer.hash {
            ctx.drop_record();
            return Ok(());
        }
        let value = row.and_then(|row| {
            if answer.value.is_none() && !self.is_left {
                return None;
            }
            (self.joiner)(&row.value, answer.value.as_ref())
        });
        ctx.forward(Record { key: Some(key), value, timestamp, headers })
    }
}

/// Murmur3 of 128 bits (x64), with Kafka Streams' seed.
fn hash(bytes: &[u8]) -> ValueHash {
    const SEED: u64 = 104_729;
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let mix1 = |word: u64| word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix2 = |word: u64| word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let (mut h1, mut h2) = (SEED, SEED);
    let mut chunks = bytes.chunks_exact(16);
    for chunk in &mut chunks {
        let (mut low, mut high) = chunk.split_at(8);
        h1 ^= mix1(low.get_u64_le());
        h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mix2(high.get_u64_le());
        h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let rest = chunks.remainder();
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    let (mut low, mut high) = last.split_at(8);
    h2 ^= mix2(high.get_u64_le());
    h1 ^= mix1(low.get_u64_le());
    let finish = |mut half: u64| {
        half ^= half >> 33;
        half = half.wrapping_mul(0xff51_afd7_ed55_8ccd);
        half ^= half >> 33;
        half = half.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        half ^ (half >> 33)
    };
    h1 ^= bytes.len() as u64;
    h2 ^= bytes.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2) = (finish(h1), finish(h2));
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    [h1, h2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serdes::HasSerde;

    #[test]
    fn wrappers_come_back_and_broken_ones_are_refused() {
        let serde = SubscriptionSerde(String::serde());
        for (hash, partition) in [(Some([1, u64::MAX]), Some(7)), (None, Some(0)), (None, None)] {
            let instruction = Instruction::TellAlways;
            let value = Subscription { hash, instruction, key: "k".to_owned(), partition };
            let bytes = serde.serialize("", &value).unwrap();
            let back = serde.deserialize("", &bytes).unwrap();
            assert_eq!((back.hash, back.partition, back.key.as_str()), (hash, partition, "k"));
            for length in 0..bytes.len() {
                // A cut may leave a shorter key; it must not panic.
                let _ = serde.deserialize("", &bytes.slice(..length));
            }
        }
        assert!(serde.deserialize("", &Bytes::from_static(&[0x82, 0, 1])).is_err());
        assert!(serde.deserialize("", &Bytes::from_static(&[0x80, 9, 1])).is_err());
        let answers = AnswerSerde(i64::serde());
        for value in [None, Some(5)] {
            let answer = Answer { hash: Some([3, 4]), value, partition: None };
            let bytes = answers.serialize("", &answer).unwrap();
            assert_eq!(answers.deserialize("", &bytes).unwrap().value, value);
            assert!((1..17).all(|length| answers.deserialize("", &bytes.slice(..length)).is_err()));
        }
    }
}
