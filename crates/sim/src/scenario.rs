//! What a seed chooses: the cluster, who uses it, and how bad it gets.

use afluente_env::rng::Rng;
use std::time::Duration;

/// The topic of plain and idempotent producers whose records administrators delete.
pub(crate) const PLAIN: &str = "plain";
/// The topic that processors read.
pub(crate) const INPUT: &str = "input";
/// The topic that processors write.
pub(crate) const OUTPUT: &str = "output";
/// The topic of transactional producers.
pub(crate) const LEDGER: &str = "ledger";
/// All topics that the oracle judges record by record.
pub(crate) const TOPICS: [&str; 4] = [PLAIN, INPUT, OUTPUT, LEDGER];

/// The place of [`PLAIN`] among them: the one that gets more partitions.
const PLAIN_INDEX: usize = 0;

/// The place of [`INPUT`] among them.
const INPUT_INDEX: usize = 1;

/// How many members the group of [`Scenario::crowd`] has.
pub const CROWD: usize = 50;

/// The machines that programs run on.
pub const MACHINES: [&str; 3] = ["one", "two", "three"];

/// A life of a cluster, before it is lived.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Everything is durable before it is acknowledged. Where it is not, the power is never cut.
    pub is_synced: bool,
    /// Transactions as before KIP-890.
    pub has_old_transactions: bool,
    /// Partitions of each topic at first.
    pub partition_count: i32,
    /// How long trouble lasts.
    pub turmoil: Duration,
    /// The mean time between two troubles.
    pub calm_between: Duration,
    /// The longest that one operation of the broker's disk takes.
    pub disk_latency_max: Duration,
    /// Programs, and the index of the machine that each runs on.
    pub programs: Vec<(Program, usize)>,
    /// The groups that programs are members of.
    pub groups: Vec<GroupScenario>,
}

/// What runs on a machine, for as long as the machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Sends records to a topic, with idempotence or without.
    Producer {
        /// With `enable.idempotence`.
        is_idempotent: bool,
    },
    /// Writes to the ledger in transactions, commits most of them, aborts some, and dies in others.
    Transactions {
        /// Its transactional id is made of this.
        index: usize,
    },
    /// Reads the input, and writes to the output exactly once.
    Processor {
        /// Its transactional id is made of this.
        index: usize,
    },
    /// Reads as a member of a group.
    Member {
        /// Index into [`Scenario::groups`].
        group: usize,
    },
    /// Reads all partitions of a topic from the start, by hand.
    Follower {
        /// Index into the topics.
        topic: usize,
        /// Only what is committed.
        is_committed: bool,
    },
    /// Creates topics, adds partitions, deletes records, changes configurations.
    Administrator,
}

/// A group of readers.
#[derive(Debug, Clone)]
pub struct GroupScenario {
    /// `group.protocol`.
    pub protocol: &'static str,
    /// `partition.assignment.strategy`, or `group.remote.assignor`.
    pub assignor: &'static str,
    /// Index into the topics.
    pub topics: Vec<usize>,
    /// Only what is committed.
    pub is_committed: bool,
    /// Commits by itself; else the program commits what it has read.
    pub is_auto_commit: bool,
    /// Members have names of their own that outlive them.
    pub is_static: bool,
}

/// The protocols and assignors of groups.
const ASSIGNORS: &[(&str, &str)] = &[
    ("classic", "range"),
    ("classic", "roundrobin"),
    ("classic", "sticky"),
    ("classic", "cooperative-sticky"),
    ("consumer", "uniform"),
    ("consumer", "range"),
];

impl Scenario {
    /// The one of a seed. `rng` is drawn from for nothing else.
    #[must_use]
    pub fn of(rng: &Rng) -> Self {
        let mut programs = Vec::new();
        for _ in 0..1 + rng.index(2) {
            programs.push(Program::Producer { is_idempotent: true });
        }
        if rng.chance(0.7) {
            programs.push(Program::Producer { is_idempotent: false });
        }
        programs.extend((0..rng.index(3)).map(|index| Program::Transactions { index }));
        programs.extend((0..rng.index(3)).map(|index| Program::Processor { index }));
        let mut groups = Vec::new();
        for group in 0..1 + rng.index(2) {
            groups.push(GroupScenario::of(rng));
            programs.extend((0..1 + rng.index(3)).map(|_| Program::Member { group }));
        }
        for _ in 0..rng.index(3) {
            let (topic, is_committed) = (rng.index(TOPICS.len()), rng.chance(0.5));
            programs.push(Program::Follower { topic, is_committed });
        }
        if rng.chance(0.6) {
            programs.push(Program::Administrator);
        }
        let placed = programs.into_iter().map(|program| (program, rng.index(MACHINES.len())));
        Self {
            programs: placed.collect(),
            groups,
            is_synced: rng.chance(0.8),
            has_old_transactions: rng.chance(0.4),
            partition_count: i32::try_from(1 + rng.index(3)).expect("at most 3"),
            turmoil: Duration::from_millis(rng.range(4_000..20_000)),
            calm_between: Duration::from_millis(rng.range(500..5_000)),
            disk_latency_max: Duration::from_micros(if rng.chance(0.5) {
                rng.range(100..5_000)
            } else {
                100
            }),
        }
    }

    /// One group of [`CROWD`] members that come and go, on more partitions than members.
    #[must_use]
    pub fn crowd(rng: &Rng) -> Self {
        let group = GroupScenario { topics: vec![INPUT_INDEX], ..GroupScenario::of(rng) };
        let members = std::iter::repeat_n(Program::Member { group: 0 }, CROWD);
        let programs = std::iter::once(Program::Producer { is_idempotent: true }).chain(members);
        Self {
            programs: programs.map(|program| (program, rng.index(MACHINES.len()))).collect(),
            groups: vec![group],
            partition_count: i32::try_from(CROWD + rng.index(20)).expect("few"),
            ..Self::of(rng)
        }
    }

    /// The topics of a group, or of [`Program::Follower`]s.
    #[must_use]
    pub fn topic(index: usize) -> &'static str {
        TOPICS[index]
    }
}

impl GroupScenario {
    fn of(rng: &Rng) -> Self {
        let (protocol, assignor) = ASSIGNORS[rng.index(ASSIGNORS.len())];
        let mut topics: Vec<usize> = (0..TOPICS.len()).filter(|_| rng.chance(0.5)).collect();
        if topics.is_empty() {
            topics.push(rng.index(TOPICS.len()));
        }
        // A leader with a name of its own that comes back is told to leave the assignment as it is
        // (KIP-814), and takes the topics as it finds them for those that were assigned, as Apache
        // Kafka's does: partitions that were added while it was away wait for the next rebalance.
        let may_miss_partitions = protocol == "classic" && topics.contains(&PLAIN_INDEX);
        Self {
            protocol,
            assignor,
            topics,
            is_committed: rng.chance(0.5),
            is_auto_commit: rng.chance(0.5),
            is_static: rng.chance(0.3) && !may_miss_partitions,
        }
    }
}

impl Program {
    /// Whether it comes to an end by itself when all is calm.
    pub(crate) fn writes(self) -> bool {
        match self {
            Self::Producer { .. } | Self::Transactions { .. } | Self::Administrator => true,
            Self::Processor { .. } | Self::Member { .. } | Self::Follower { .. } => false,
        }
    }
}
