//! The judgement at the end, on what the last readers found.

use super::{Delivery, Fate, Oracle, Promise, RecordId, Seen};
use afluente_client::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is in the cluster at the end.
#[derive(Debug, Default)]
pub struct Found {
    /// What was told before anybody looked.
    pub before: Seen,
    /// All records, as a reader of uncommitted ones gets them.
    pub all: BTreeMap<TopicPartition, BTreeMap<i64, RecordId>>,
    /// What a reader of committed records gets.
    pub committed: BTreeMap<TopicPartition, BTreeMap<i64, RecordId>>,
    /// For records of the output: which record of the input each stands for.
    pub sources: BTreeMap<(TopicPartition, i64), (TopicPartition, i64)>,
}

impl Oracle {
    /// Judges what was found. The input and the output are named when there were processors.
    pub fn judge(&mut self, found: &Found, processed: Option<(&str, &str)>) {
        let mut violations = Vec::new();
        self.judge_presence(found, &mut violations);
        self.judge_sequences(found, &mut violations);
        self.judge_transactions(found, &mut violations);
        self.judge_followers(found, &mut violations);
        if let Some((input, output)) = processed {
            judge_processing(found, input, output, &mut violations);
        }
        self.violations.extend(violations);
    }

    /// The groups that lack records or owners, each with what it lacks; none when all is well.
    #[must_use]
    pub fn unsettled_groups(
        &self,
        found: &Found,
        expected: &BTreeMap<String, (BTreeSet<TopicPartition>, bool)>,
    ) -> Vec<String> {
        let mut unsettled = Vec::new();
        let none = super::Group::default();
        for (name, (partitions, is_committed)) in expected {
            let group = self.groups.get(name).unwrap_or(&none);
            let mut owned: Vec<&TopicPartition> = group.assignments.values().flatten().collect();
            owned.sort_unstable();
            if !owned.iter().copied().eq(partitions) {
                let assignments = &group.assignments;
                unsettled.push(format!("{name}: {partitions:?} are owned as {assignments:?}"));
            }
            let log = if *is_committed { &found.committed } else { &found.all };
            for partition in partitions {
                let delivered = group.delivered.get(partition);
                let missing = log.get(partition).into_iter().flatten().find(|(offset, _)| {
                    !self.may_be_deleted(partition, **offset)
                        && !delivered.is_some_and(|delivered| delivered.contains(*offset))
                });
                if let Some((offset, id)) = missing {
                    unsettled
                        .push(format!("{name}: nobody got {id}, which is {partition}@{offset}"));
                }
            }
        }
        unsettled
    }

    fn may_be_deleted(&self, partition: &TopicPartition, offset: i64) -> bool {
        self.deleted.get(partition).is_some_and(|&before| offset < before)
    }

    /// What was acknowledged, and what was seen, is there.
    fn judge_presence(&self, found: &Found, violations: &mut Vec<String>) {
        for (partition, seen) in &found.before.0 {
            let log = found.all.get(partition);
            for (offset, id) in seen {
                let is_there = log.and_then(|log| log.get(offset)) == Some(id);
                if !is_there && !self.may_be_deleted(partition, *offset) {
                    violations.push(format!(
                        "{id} was acknowledged or seen at {partition}@{offset}, and is not there"
                    ));
                }
            }
        }
        let there: BTreeSet<RecordId> =
            found.all.values().flat_map(|log| log.values().copied()).collect();
        for (id, sent) in &self.records {
            // Where its offset is known, it was looked for above.
            let is_missing = sent.delivery == Delivery::Acknowledged(None) && !there.contains(id);
            let may_be_deleted = self.deleted.keys().any(|p| &*p.topic == sent.topic);
            if is_missing && !may_be_deleted {
                violations.push(format!("{id} was acknowledged, and is nowhere"));
            }
        }
    }

    /// Who promises to write once and in order has done so.
    fn judge_sequences(&self, found: &Found, violations: &mut Vec<String>) {
        for (partition, log) in &found.all {
            let mut last = BTreeMap::new();
            for (offset, id) in log {
                let Some(&promise) = self.producers.get(id.producer.0 as usize) else { continue };
                let before = last.insert(id.producer, id.sequence);
                let is_in_order = before.is_none_or(|before| before < id.sequence);
                if promise == Promise::Idempotent && !is_in_order {
                    violations.push(format!(
                        "{partition}@{offset} is {id}, after {} of the same producer",
                        before.expect("else it is in order")
                    ));
                }
            }
        }
        let mut places: BTreeMap<RecordId, (&TopicPartition, i64)> = BTreeMap::new();
        for (partition, log) in &found.all {
            for (offset, id) in log {
                let before = places.insert(*id, (partition, *offset));
                let promise = self.producers.get(id.producer.0 as usize);
                if let (Some((other, at)), Some(Promise::Idempotent)) = (before, promise) {
                    violations
                        .push(format!("{id} is twice: {other}@{at} and {partition}@{offset}"));
                }
            }
        }
    }

    /// All of a transaction, or nothing of it.
    fn judge_transactions(&self, found: &Found, violations: &mut Vec<String>) {
        let visible: BTreeSet<RecordId> =
            found.committed.values().flat_map(|log| log.values().copied()).collect();
        let mut parts = vec![(0, 0); self.transactions.len()];
        for (id, sent) in &self.records {
            let Some(transaction) = sent.transaction else { continue };
            if sent.delivery == Delivery::Refused {
                continue;
            }
            let (total, there) = &mut parts[transaction.0 as usize];
            *total += 1;
            *there += u32::from(visible.contains(id));
        }
        for (number, (fate, (total, there))) in self.transactions.iter().zip(parts).enumerate() {
            let is_right = match fate {
                Fate::Open | Fate::Aborted => there == 0,
                Fate::Committed => there == total,
                Fate::CommitAsked => there == 0 || there == total,
            };
            let is_seen = self
                .seen_committed
                .contains(&super::TransactionId(u32::try_from(number).expect("few")));
            if !is_right || (is_seen && there == 0) {
                violations.push(format!(
                    "transaction {number} is {fate:?} (read by others: {is_seen}), and {there} of \
                     its {total} records are to be read"
                ));
            }
        }
        // What is no transaction's is always visible.
        for (partition, log) in &found.all {
            for (offset, id) in log {
                let is_transactional =
                    self.records.get(id).is_some_and(|sent| sent.transaction.is_some());
                if !is_transactional && !visible.contains(id) {
                    violations.push(format!(
                        "{id} at {partition}@{offset} is not seen by who reads what is committed"
                    ));
                }
            }
        }
    }

    /// Who follows a topic has got everything up to where it is.
    fn judge_followers(&self, found: &Found, violations: &mut Vec<String>) {
        for (number, follower) in self.followers.iter().enumerate() {
            let log = if follower.is_committed { &found.committed } else { &found.all };
            for (partition, next) in &follower.next {
                let seen = &follower.seen[partition];
                let missing = log.get(partition).into_iter().flatten().find(|(offset, _)| {
                    *offset < next
                        && !seen.contains(*offset)
                        && !self.may_be_deleted(partition, **offset)
                });
                if let Some((offset, id)) = missing {
                    violations.push(format!(
                        "follower {number} of {} is at {next} in {partition}, without {id}@{offset}",
                        follower.topic
                    ));
                }
            }
        }
    }
}

/// Each record of the input has one of the output.
fn judge_processing(found: &Found, input: &str, output: &str, violations: &mut Vec<String>) {
    let mut written: BTreeMap<&(TopicPartition, i64), Vec<String>> = BTreeMap::new();
    for (partition, log) in found.committed.iter().filter(|(p, _)| &*p.topic == output) {
        for offset in log.keys() {
            match found.sources.get(&(partition.clone(), *offset)) {
                Some(source) => {
                    written.entry(source).or_default().push(format!("{partition}@{offset}"));
                }
                None => violations.push(format!("{partition}@{offset} stands for nothing")),
            }
        }
    }
    for (partition, log) in found.committed.iter().filter(|(p, _)| &*p.topic == input) {
        for (offset, id) in log {
            let places = written.remove(&(partition.clone(), *offset)).unwrap_or_default();
            if places.len() != 1 {
                violations.push(format!(
                    "{id} at {partition}@{offset} was processed {} times: {places:?}",
                    places.len()
                ));
            }
        }
    }
    for ((partition, offset), places) in written {
        violations
            .push(format!("{places:?} stand for {partition}@{offset}, where there is nothing"));
    }
}
