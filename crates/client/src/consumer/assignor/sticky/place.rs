//! Balanced placing that moves as little as possible.
//!
//! Members and partitions are indices here. Where all members read the same topics, each is to have
//! P/M partitions, and P mod M of them one more: whoever has more gives up the rest, and what is free
//! is dealt out. Where they differ, what is free goes to whoever has the least and may have it, those
//! that fewest may have first; then single partitions move from members with more to members with at
//! least two less, until there are none.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A member while partitions are placed.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// What it reads.
    pub(super) topics: BTreeSet<&'a str>,
    /// Indices of its partitions: at first what it had, in order; in the end what it gets.
    pub(super) has: Vec<usize>,
}

/// Places the partitions, of which `topic_of` gives the topics. No partition may be had by two, nor
/// by one that does not read its topic.
pub(super) fn place(topic_of: &[&str], members: &mut [Member<'_>]) {
    if members.is_empty() {
        return;
    }
    let is_uniform = members.windows(2).all(|pair| pair[0].topics == pair[1].topics);
    if is_uniform {
        place_uniformly(topic_of.len(), members)
    } else {
        place_each(topic_of, members)
    }
}

fn place_uniformly(partitions: usize, members: &mut [Member<'_>]) {
    let least = partitions / members.len();
    let mut larger_left = partitions % members.len();
    let mut below = Vec::new();
    let mut at_least = VecDeque::new();
    for (index, member) in members.iter_mut().enumerate() {
        if member.has.len() < least {
            below.push(index);
        } else if member.has.len() > least && larger_left > 0 {
            larger_left -= 1;
            member.has.truncate(least + 1);
        } else {
            member.has.truncate(least);
            at_least.push_back(index);
        }
    }
    let mut free = free(partitions, members).into_iter();
    // One each in turn to those below, so that partitions of a topic spread.
    while !below.is_empty() {
        below.retain(|&index| {
            let next = free.next().expect("the sizes add up to the number of partitions");
            members[index].has.push(next);
            let is_below = members[index].has.len() < least;
            if !is_below {
                at_least.push_back(index);
            }
            is_below
        });
    }
    for partition in free {
        let member = at_least.pop_front().expect("fewer are left than there are members");
        members[member].has.push(partition);
    }
}

/// Those that nobody has, in order.
fn free(partitions: usize, members: &[Member<'_>]) -> Vec<usize> {
    let taken: BTreeSet<usize> = members.iter().flat_map(|member| &member.has).copied().collect();
    (0..partitions).filter(|partition| !taken.contains(partition)).collect()
}

fn place_each(topic_of: &[&str], members: &mut [Member<'_>]) {
    let mut takers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        for topic in &member.topics {
            takers.entry(topic).or_default().push(index);
        }
    }
    let mut free = free(topic_of.len(), members);
    free.sort_by_key(|&partition| takers.get(topic_of[partition]).map_or(0, Vec::len));
    for partition in free {
        let may = takers.get(topic_of[partition]).map_or(&[][..], Vec::as_slice);
        if let Some(&least) = may.iter().min_by_key(|&&index| members[index].has.len()) {
            members[least].has.push(partition);
        }
    }
    // Each move makes the sum of the squares of the sizes smaller, so there is an end.
    while move_one(topic_of, &takers, members) {}
}

/// Moves a partition to a member with at least two less; from the member with the most that can.
fn move_one(
    topic_of: &[&str],
    takers: &BTreeMap<&str, Vec<usize>>,
    members: &mut [Member<'_>],
) -> bool {
    let mut by_size: Vec<usize> = (0..members.len()).collect();
    by_size.sort_by_key(|&index| std::cmp::Reverse(members[index].has.len()));
    for from in by_size {
        let size = members[from].has.len();
        // What came last goes first: that is rather what was free than what it had.
        for place in (0..size).rev() {
            let may = &takers[topic_of[members[from].has[place]]];
            let least = may.iter().copied().min_by_key(|&index| members[index].has.len());
            let Some(to) = least.filter(|&to| members[to].has.len() + 1 < size) else { continue };
            let partition = members[from].has.remove(place);
            members[to].has.push(partition);
            return true;
        }
    }
    false
}
