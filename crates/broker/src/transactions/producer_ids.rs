//! Producer ids for steps that may need one: a step cannot wait, so the ids are fetched before it,
//! and those that it did not need serve the next one.

use crate::broker::Broker;
use afluente_coordinator::transactions::ProducerIds;
use afluente_protocol::error_code::ErrorCode;
use parking_lot::Mutex;

/// Ids that were fetched and not needed.
#[derive(Default)]
pub(super) struct IdsAtHand(Mutex<Vec<i64>>);

/// What one step may use.
pub(super) struct AtMostOne(Option<i64>);

impl IdsAtHand {
    /// An id for a step.
    ///
    /// # Errors
    /// The metadata log cannot be written.
    pub(super) async fn take(&self, broker: &Broker) -> Result<AtMostOne, ErrorCode> {
        let kept = self.0.lock().pop();
        Ok(AtMostOne(Some(match kept {
            Some(id) => id,
            None => broker.metadata.new_producer_id(broker).await?,
        })))
    }

    /// Takes back what a step did not need.
    pub(super) fn give_back(&self, ids: AtMostOne) {
        self.0.lock().extend(ids.0);
    }
}

impl ProducerIds for AtMostOne {
    fn next_producer_id(&mut self) -> Result<i64, ErrorCode> {
        self.0.take().ok_or(ErrorCode::CoordinatorLoadInProgress)
    }
}
