//! Subscriptions by regular expression: which topics they mean, and when that is looked up anew.
//!
//! As in Kafka the look-up happens behind the heartbeat that asks for it: it may take long where
//! there are many topics.

use super::{ConsumerGroup, Member, Step};
use crate::groups::record;
use std::collections::BTreeSet;

/// After so long, expressions are resolved again without a reason; in milliseconds
/// (`group.consumer.regex.refresh.interval.ms`, an internal key of Kafka's with this default).
const REFRESH_INTERVAL_MS: i64 = 10 * 60 * 1_000;

/// What a member's request changes about expressions.
#[derive(Debug, Clone, Copy)]
pub(super) struct RegexChange {
    /// The member has another one than before, or none any more.
    pub(super) has_changed: bool,
    /// That changes what the member reads at once: the new one is known already, or there is none.
    pub(super) changes_topics: bool,
    /// Topics have to be looked up.
    pub(super) must_be_resolved: bool,
}

impl ConsumerGroup {
    pub(super) fn regex_change(
        &self,
        step: &Step<'_>,
        known: &Member,
        updated: &Member,
    ) -> RegexChange {
        let new = updated.topic_regex.as_ref();
        let has_changed = updated.topic_regex != known.topic_regex;
        let is_resolved = new.is_none_or(|regex| self.resolved_regexes.contains_key(regex));
        let mut others = self.members.values().filter_map(|member| member.topic_regex.as_ref());
        let is_used = new.is_some() || others.next().is_some();
        let is_stale = self.seen.resolved != Some(step.topics.version())
            || self
                .resolved_regexes
                .values()
                .any(|resolved| step.now_ms > resolved.resolved_at_ms + REFRESH_INTERVAL_MS);
        RegexChange {
            has_changed,
            changes_topics: has_changed && is_resolved,
            must_be_resolved: is_used && (!is_resolved || is_stale),
        }
    }

    /// Forgets expressions that no member is subscribed to any more.
    pub(super) fn drop_unused_regexes(&mut self, step: &mut Step<'_>) {
        let wanted = self.regexes();
        let unused = self.resolved_regexes.keys().filter(|regex| !wanted.contains(*regex));
        for regex in unused.cloned().collect::<Vec<_>>() {
            let tombstone = record::regex(&self.id, &regex, None);
            self.emit(step, tombstone);
        }
    }

    /// Finds the topics of all expressions anew; others than before make a new group epoch.
    pub(super) fn resolve_regexes(&mut self, step: &mut Step<'_>) {
        let names = step.topics.names();
        let mut has_changed = false;
        for regex in self.regexes() {
            // It was checked when the member sent it.
            let Ok(matcher) = regex_matcher(&regex) else { continue };
            let topics: BTreeSet<String> =
                names.iter().filter(|name| matcher.is_match(name)).cloned().collect();
            let before = self.resolved_regexes.get(&regex);
            let is_same = before.is_some_and(|resolved| resolved.topics == topics);
            let is_nothing = before.is_none() && topics.is_empty();
            has_changed |= !is_same && !is_nothing;
            let is_recent = before.is_some_and(|resolved| {
                step.now_ms <= resolved.resolved_at_ms + REFRESH_INTERVAL_MS
            });
            if !is_same || !is_recent {
                let resolved = record::regex(&self.id, &regex, Some((&topics, step.now_ms)));
                self.emit(step, resolved);
            }
        }
        self.seen.resolved = Some(step.topics.version());
        let topics_hash = self.hash_of_topics(step.topics);
        if has_changed || topics_hash != self.topics_hash {
            self.bump_epoch(step, topics_hash);
        }
    }

    fn regexes(&self) -> BTreeSet<String> {
        self.members.values().filter_map(|member| member.topic_regex.clone()).collect()
    }
}

/// Compiles a subscription's expression: RE2 syntax, matching whole names (KIP-848).
///
/// # Errors
/// The message of the compiler.
pub(super) fn regex_matcher(regex: &str) -> Result<regex_lite::Regex, regex_lite::Error> {
    regex_lite::Regex::new(&format!("^(?:{regex})$"))
}
