//! What a consumer is subscribed to.

use super::super::error::ConsumerError;
use super::super::shared::Shared;
use crate::error::Error;
use crate::metadata::{ClusterMetadata, TopicsAsked};
use afluente_protocol::error_code::ErrorCode;
use regex_lite::Regex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Topics by name, or those that match.
#[derive(Debug, Clone)]
pub(in super::super) enum Subscribed {
    Topics(BTreeSet<String>),
    Pattern(Pattern),
}

/// A regular expression for names of topics; the whole name must match.
#[derive(Debug, Clone)]
pub(in super::super) struct Pattern {
    pub(in super::super) source: Arc<str>,
    regex: Regex,
}

impl Pattern {
    pub(in super::super) fn new(source: &str) -> Result<Self, ConsumerError> {
        let regex = Regex::new(&format!("^(?:{source})$")).map_err(|error| {
            ConsumerError::InvalidPattern { pattern: source.to_owned(), problem: error.to_string() }
        })?;
        Ok(Self { source: source.into(), regex })
    }
}

impl Subscribed {
    /// The question for the metadata of these topics.
    pub(super) fn asked(&self) -> TopicsAsked {
        match self {
            Self::Topics(topics) => TopicsAsked::Named(topics.clone()),
            Self::Pattern(_) => TopicsAsked::All,
        }
    }

    /// The names, by what is known of the cluster.
    pub(super) fn topics(&self, shared: &Shared, metadata: &ClusterMetadata) -> BTreeSet<String> {
        match self {
            Self::Topics(topics) => topics.clone(),
            Self::Pattern(pattern) => metadata
                .topics
                .values()
                .filter(|topic| topic.error.is_none())
                .filter(|topic| !(topic.is_internal && shared.config.excludes_internal_topics))
                .filter(|topic| pattern.regex.is_match(&topic.name))
                .map(|topic| topic.name.clone())
                .collect(),
        }
    }
}

/// What an assignment depends on: the topics, and how many partitions each has.
pub(super) type Shape = Vec<(String, usize)>;

/// The shape of `topics`.
pub(super) fn shape(topics: &BTreeSet<String>, metadata: &ClusterMetadata) -> Shape {
    topics
        .iter()
        .map(|topic| (topic.clone(), metadata.topic(topic).map_or(0, |t| t.partitions.len())))
        .collect()
}

/// What is wrong with the topics that the program asked for, if it can do something about it.
pub(super) fn refusal(topics: &BTreeSet<String>, metadata: &ClusterMetadata) -> Option<Error> {
    topics.iter().find_map(|topic| match metadata.topics.get(topic)?.error? {
        code @ (ErrorCode::InvalidTopicException | ErrorCode::TopicAuthorizationFailed) => {
            Some(Error::Broker { about: format!("topic {topic}"), code, message: None })
        }
        _ => None,
    })
}
