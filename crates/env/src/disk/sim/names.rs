//! The names of a simulated file system: what is there, and what a power cut may leave of it.
//!
//! A change of names (a creation, a rename, a removal) is live at once and durable when a directory
//! that it touches is synced. A power cut keeps or loses each other change as a whole, so a rename
//! leaves the old name or the new one, never neither. A change is never kept without the earlier
//! ones that touched the same names.
//!
//! This is harsher than ext4, which keeps all names in the order in which they were made and syncs
//! them all with any one directory, and no harsher than POSIX.

use super::power_cut::PowerCut;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

/// A file or directory, whatever it is called.
pub(super) type NodeId = u64;

/// The root directory.
pub(super) const ROOT: NodeId = 0;

/// A name: the directory that it is in, and the component.
pub(super) type Name = (NodeId, OsString);

#[derive(Debug, Default)]
pub(super) struct Names {
    live: BTreeMap<Name, NodeId>,
    durable: BTreeMap<Name, NodeId>,
    /// Live and not durable, in the order in which they were made.
    unsynced: Vec<Change>,
}

/// What one call did, all or nothing.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Each name, and what it stands for from now on.
    pub(super) sets: Vec<(Name, Option<NodeId>)>,
    /// Whether a directory moved: such changes keep their order among each other, or two of them
    /// could put each directory into the other.
    pub(super) moves_dir: bool,
    /// A sync of it failed: no later one makes it durable.
    pub(super) given_up: bool,
}

impl Names {
    pub(super) fn get(&self, dir: NodeId, name: &OsStr) -> Option<NodeId> {
        self.live.get(&(dir, name.to_owned())).copied()
    }

    pub(super) fn entries(&self, dir: NodeId) -> impl Iterator<Item = (&OsStr, NodeId)> {
        self.live
            .range((dir, OsString::new())..(dir + 1, OsString::new()))
            .map(|((_, name), &node)| (name.as_os_str(), node))
    }

    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.live, &change);
        self.unsynced.push(change);
    }

    /// A sync of directory `dir` that succeeded.
    pub(super) fn sync_dir(&mut self, dir: NodeId) {
        // Backwards: what touches the directory, and what that builds upon.
        let mut wanted = Touched::default();
        let mut is_wanted = vec![false; self.unsynced.len()];
        for (change, is_wanted) in self.unsynced.iter().zip(&mut is_wanted).rev() {
            *is_wanted = change.touches_dir(dir) || wanted.intersects(change);
            if *is_wanted {
                wanted.add(change);
            }
        }
        let mut is_wanted = is_wanted.into_iter();
        self.settle(|_| is_wanted.next().expect("one for each change"));
    }

    /// A sync of everything that succeeded.
    pub(super) fn sync(&mut self) {
        self.settle(|_| true);
    }

    /// Makes durable what is `wanted` and builds on nothing that is not; the rest stays.
    fn settle(&mut self, mut wanted: impl FnMut(&Change) -> bool) {
        let mut blocked = Touched::default();
        self.unsynced.retain(|change| {
            let settles = wanted(change) && !change.given_up && !blocked.intersects(change);
            if settles {
                apply(&mut self.durable, change);
            } else {
                blocked.add(change);
            }
            !settles
        });
    }

    /// A sync of `dir`, or of everything, that failed.
    pub(super) fn give_up(&mut self, dir: Option<NodeId>) {
        for change in &mut self.unsynced {
            change.given_up |= dir.is_none_or(|dir| change.touches_dir(dir));
        }
    }

    /// The power fails.
    pub(super) fn cut_power(&mut self, cut: &PowerCut) {
        let kept_in_order = cut.prefix_of(self.unsynced.len());
        let mut lost = Touched::default();
        for (at, change) in std::mem::take(&mut self.unsynced).iter().enumerate() {
            let kept = if cut.shuffles_names() { cut.coin() } else { at < kept_in_order };
            if kept && !lost.intersects(change) {
                apply(&mut self.durable, change);
            } else {
                lost.add(change);
            }
        }
        let reachable = reachable(&self.durable);
        self.durable.retain(|(dir, _), _| reachable.contains(dir));
        self.live = self.durable.clone();
    }

    /// What a name stands for, or may stand for after a power cut.
    pub(super) fn nodes(&self) -> BTreeSet<NodeId> {
        let unsynced = self.unsynced.iter().flat_map(|change| &change.sets);
        self.live
            .values()
            .chain(self.durable.values())
            .copied()
            .chain(unsynced.filter_map(|(_, node)| *node))
            .chain([ROOT])
            .collect()
    }
}

impl Change {
    pub(super) fn create(name: Name, node: NodeId) -> Self {
        Self { sets: vec![(name, Some(node))], moves_dir: false, given_up: false }
    }

    pub(super) fn remove(name: Name) -> Self {
        Self { sets: vec![(name, None)], moves_dir: false, given_up: false }
    }

    fn touches_dir(&self, dir: NodeId) -> bool {
        self.sets.iter().any(|((parent, _), _)| *parent == dir)
    }
}

/// What a set of changes touched.
#[derive(Default)]
struct Touched {
    names: BTreeSet<Name>,
    moves_dir: bool,
}

impl Touched {
    fn add(&mut self, change: &Change) {
        self.names.extend(change.sets.iter().map(|(name, _)| name.clone()));
        self.moves_dir |= change.moves_dir;
    }

    fn intersects(&self, change: &Change) -> bool {
        self.moves_dir && change.moves_dir
            || change.sets.iter().any(|(name, _)| self.names.contains(name))
    }
}

fn apply(names: &mut BTreeMap<Name, NodeId>, change: &Change) {
    for (name, node) in &change.sets {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

fn reachable(names: &BTreeMap<Name, NodeId>) -> BTreeSet<NodeId> {
    let mut found = BTreeSet::from([ROOT]);
    let mut open = vec![ROOT];
    while let Some(dir) = open.pop() {
        for (_, &node) in names.range((dir, OsString::new())..(dir + 1, OsString::new())) {
            if found.insert(node) {
                open.push(node);
            }
        }
    }
    found
}
