//! What a program is told of its partitions.

use super::Consumer;
use crate::topic_partition::TopicPartition;
use std::future::Future;
use std::pin::Pin;

/// A future that a listener gives back.
pub type Told<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Told when partitions come and go; called within [`Consumer::poll`], and within
/// [`Consumer::unsubscribe`] and [`Consumer::close`].
///
/// A listener may commit, seek, pause, and ask for positions; it may not poll. It has
/// `max.poll.interval.ms` before the group goes on without this member. If the call that it is in
/// is dropped, it is called again for the same partitions in the next one.
pub trait RebalanceListener: Send + Sync {
    /// These partitions are about to go to somebody else; they can still be committed. With
    /// `enable.auto.commit` that has been done.
    fn revoked<'a>(&'a self, consumer: &'a Consumer, partitions: &'a [TopicPartition]) -> Told<'a> {
        let _ = (consumer, partitions);
        Box::pin(std::future::ready(()))
    }

    /// These partitions are somebody else's already, since the group went on without this member;
    /// nothing can be committed for them. The default does as for [`RebalanceListener::revoked`].
    fn lost<'a>(&'a self, consumer: &'a Consumer, partitions: &'a [TopicPartition]) -> Told<'a> {
        self.revoked(consumer, partitions)
    }

    /// These partitions are new; nothing is fetched of them before this returns. Called after each
    /// rebalance, at times with none.
    fn assigned<'a>(
        &'a self,
        consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> Told<'a> {
        let _ = (consumer, partitions);
        Box::pin(std::future::ready(()))
    }
}

/// Is told nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoListener;

impl RebalanceListener for NoListener {}
