//! The scripts, one file a field, and the dice that they are drawn with.

mod configs;
mod consumer_groups;
mod groups;
mod records;
mod topics;
mod transactions;
mod versions;

use super::Both;
use afluente_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};

pub(crate) type Script = fn(&mut Both, &mut Dice);

pub(crate) const SCRIPTS: &[(&str, Script)] = &[
    ("topics", topics::script),
    ("configs", configs::script),
    ("records", records::script),
    ("groups", groups::script),
    ("consumer-groups", consumer_groups::script),
    ("transactions", transactions::script),
    ("versions", versions::script),
];

/// Randomness that a seed repeats (SplitMix64), and the pools that scripts draw from.
pub(crate) struct Dice {
    state: u64,
    /// Before each name that the script makes, so that scripts do not meet.
    prefix: String,
}

impl Dice {
    pub(crate) fn new(script: &str, seed: u64) -> Self {
        let state =
            script.bytes().fold(seed, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        Self { state, prefix: format!("{script}-{seed}") }
    }

    pub(crate) fn number(&mut self, below: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below as u64) as usize
    }

    pub(crate) fn pick<T: Clone>(&mut self, pool: &[T]) -> T {
        pool[self.number(pool.len())].clone()
    }

    /// True once in `times`.
    pub(crate) fn rarely(&mut self, times: usize) -> bool {
        self.number(times) == 0
    }

    pub(crate) fn version(&mut self, versions: std::ops::RangeInclusive<i16>) -> i16 {
        let count = usize::try_from(versions.end() - versions.start() + 1).unwrap();
        versions.start() + i16::try_from(self.number(count)).unwrap()
    }

    /// A name of this script's own.
    pub(crate) fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.prefix)
    }

    /// Mostly one of three topics of this script's own, else a strange one.
    pub(crate) fn topic(&mut self) -> String {
        match self.number(12) {
            0 => self.name("absent"),
            1 => self.pick(&["", ".", "..", "a b", "ä", "__consumer_offsets"]).to_owned(),
            2 => "x".repeat(250),
            3..6 => self.name("b"),
            _ => self.name("a"),
        }
    }

    pub(crate) fn partition(&mut self) -> i32 {
        self.pick(&[0, 0, 0, 1, 2, 7, -1])
    }
}

/// Makes topics `a` (one partition) and `b` (three), and learns their ids.
fn make_topics(both: &mut Both, dice: &Dice) {
    let topics = [("a", 1), ("b", 3)].map(|(suffix, num_partitions)| CreatableTopic {
        name: dice.name(suffix),
        num_partitions,
        replication_factor: 1,
        ..Default::default()
    });
    let request = CreateTopicsRequest { topics: topics.to_vec(), ..Default::default() };
    let (apache, ours) = both.ask(7, |_| request.clone());
    for (peer, answer) in [(&mut both.apache, apache), (&mut both.ours, ours)] {
        for topic in answer.response().map(|response| &response.topics[..]).unwrap_or_default() {
            peer.topic_ids.insert(topic.name.clone(), topic.topic_id);
        }
    }
    groups::wait_for_coordinators(both, dice);
    // Apache Kafka makes the logs after it has answered; a topic without its leader cannot be compared.
    for name in ["a", "b"] {
        topics::wait_for_leader(both, &dice.name(name));
    }
}
