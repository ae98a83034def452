//! Calls about many partitions: a request to each leader, and again for those that moved.

use super::{Admin, Results};
use crate::client::Target;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::metadata::TopicsAsked;
use crate::topic_partition::TopicPartition;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::message::Request;
use std::collections::BTreeMap;

/// Partitions of topics, with what is asked of each.
pub(super) type ByTopic<'a, T> = BTreeMap<&'a str, Vec<(i32, &'a T)>>;

impl Admin {
    /// Sends what is asked of each partition to its leader, in a request that `build` makes, and
    /// reads the outcomes with `read`. A partition that `read` says nothing of has failed.
    pub(super) async fn by_leader<T, R, V>(
        &self,
        mut items: BTreeMap<TopicPartition, T>,
        deadline: Deadline,
        build: impl Fn(&ByTopic<'_, T>) -> R,
        read: impl Fn(R::Response) -> Vec<(TopicPartition, Result<V, Error>)>,
    ) -> Result<Results<TopicPartition, V>, Error>
    where
        R: Request,
    {
        let mut results = BTreeMap::new();
        let mut retry = self.client().retry(deadline);
        while !items.is_empty() {
            let mut failed = BTreeMap::new();
            let (by_leader, without) = match self.leaders(&items, deadline).await {
                Ok(leaders) => leaders,
                // Time is up: what was found out before is worth telling.
                Err(_) if !results.is_empty() => break,
                Err(error) => return Err(error),
            };
            failed.extend(without);
            for (leader, partitions) in by_leader {
                let by_topic = group(&items, &partitions);
                let target = Target::Broker(leader);
                let sent = self.client().send_once(&target, &build(&by_topic), deadline).await;
                let outcomes = match sent {
                    Ok(response) => read(response),
                    Err(error) => {
                        partitions.iter().map(|one| (one.clone(), Err(error.clone()))).collect()
                    }
                };
                let mut missing: Vec<TopicPartition> = partitions;
                for (partition, outcome) in outcomes {
                    missing.retain(|one| *one != partition);
                    match outcome {
                        Ok(value) => {
                            results.insert(partition, Ok(value));
                        }
                        Err(error) => {
                            failed.insert(partition, error);
                        }
                    }
                }
                for partition in missing {
                    let error = Error::Broker {
                        about: partition.to_string(),
                        code: ErrorCode::UnknownServerError,
                        message: Some("the answer says nothing of it".to_owned()),
                    };
                    failed.insert(partition, error);
                }
            }
            items.retain(|partition, _| failed.contains_key(partition));
            // One wait for all that may be better off later; the others have their result.
            let mut waits_for = None;
            for (partition, error) in failed {
                if error.is_retriable() && error.is_stale_metadata() {
                    self.client().forget_leader(&partition.topic, partition.partition);
                }
                if error.is_retriable() {
                    waits_for = Some(error.clone());
                } else {
                    items.remove(&partition);
                }
                results.insert(partition, Err(error));
            }
            if let Some(error) = waits_for
                && retry.after(error).await.is_err()
            {
                break;
            }
        }
        Ok(results)
    }

    /// The leaders of partitions, and why some have none.
    #[allow(clippy::type_complexity, reason = "two maps that are taken apart at once")]
    async fn leaders<T>(
        &self,
        items: &BTreeMap<TopicPartition, T>,
        deadline: Deadline,
    ) -> Result<(BTreeMap<i32, Vec<TopicPartition>>, BTreeMap<TopicPartition, Error>), Error> {
        let topics = TopicsAsked::named(items.keys().map(|partition| partition.topic.to_string()));
        let mut metadata = self.client().fresh_metadata(&topics, deadline).await?;
        let has_all = items.keys().all(|one| metadata.leader(&one.topic, one.partition).is_some());
        if !has_all {
            metadata = self.client().refresh(&topics, deadline).await?;
        }
        let (mut leaders, mut without) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::new());
        for partition in items.keys() {
            let TopicPartition { topic, partition: index } = partition;
            match metadata.leader(topic, *index) {
                Some((node, _)) => leaders.entry(node.id).or_default().push(partition.clone()),
                None if metadata.partition(topic, *index).is_some() => {
                    let error = Error::NoLeader { topic: topic.to_string(), partition: *index };
                    without.insert(partition.clone(), error);
                }
                None => {
                    let refused = metadata.topics.get(&**topic).and_then(|topic| topic.error);
                    let code = refused.unwrap_or(ErrorCode::UnknownTopicOrPartition);
                    let error = Error::Broker { about: partition.to_string(), code, message: None };
                    without.insert(partition.clone(), error);
                }
            }
        }
        Ok((leaders, without))
    }
}

fn group<'a, T>(
    items: &'a BTreeMap<TopicPartition, T>,
    partitions: &'a [TopicPartition],
) -> ByTopic<'a, T> {
    let mut by_topic: ByTopic<'a, T> = BTreeMap::new();
    for partition in partitions {
        let item = &items[partition];
        by_topic.entry(&partition.topic).or_default().push((partition.partition, item));
    }
    by_topic
}
