//! Writing the markers of a transaction: the control records that end it in each partition.

use crate::broker::Broker;
use crate::groups;
use crate::waiting::{AckOutcome, AckWait};
use afluente_coordinator::transactions::{Markers, PartitionKey};
use afluente_protocol::numbers::{Offset, ProducerEpoch, ProducerId};
use afluente_protocol::records::{EndTxnMarker, MarkerPlace, TxnOutcome};
use afluente_storage::origin::AppendOrigin;
use afluente_storage::{AppendError, AppendOptions};
use std::sync::Arc;
use std::time::Duration;

/// Between two tries at partitions that could not take their marker.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Writes a marker into each partition, and tries until it is durable in all of them. `false` if
/// the broker stops or the disk fails before that.
pub(super) async fn write(broker: &Arc<Broker>, markers: &Markers, coordinator_epoch: i32) -> bool {
    let mut left = markers.partitions.clone();
    while !left.is_empty() {
        let wait = AckWait::new();
        let mut refused = Vec::new();
        for partition in &left {
            let (topic, index) = partition;
            match write_one(broker, markers, partition, coordinator_epoch, &wait) {
                Ok(()) => {}
                // A later epoch was there first: this transaction has ended in that partition.
                Err(AppendError::Producer(error)) => {
                    tracing::warn!(topic, partition = index, %error, "a marker was refused");
                }
                Err(error) => {
                    tracing::debug!(topic, partition = index, %error, "no marker");
                    refused.push(partition.clone());
                }
            }
        }
        if wait.finished().await == AckOutcome::Failed {
            return false;
        }
        left = refused;
        if !left.is_empty() {
            if broker.stopping.is_said() {
                return false;
            }
            broker.env.clock.sleep(RETRY_PAUSE).await;
        }
    }
    true
}

/// Writes one marker.
///
/// # Errors
/// It has to be tried again, unless the producer has gone on in a later epoch.
pub(crate) fn write_one(
    broker: &Arc<Broker>,
    markers: &Markers,
    (topic, index): &PartitionKey,
    coordinator_epoch: i32,
    wait: &Arc<AckWait>,
) -> Result<(), AppendError> {
    // What is deleted needs no marker.
    let Some(partition) = broker.topics.partition(topic, *index) else { return Ok(()) };
    let now_ms = broker.env.clock.wall_ms();
    let outcome = if markers.is_commit { TxnOutcome::Commit } else { TxnOutcome::Abort };
    let batch = EndTxnMarker { outcome, coordinator_epoch }.batch(MarkerPlace {
        offset: Offset(0),
        partition_leader_epoch: partition.leader_epoch(),
        timestamp: now_ms,
        producer_id: ProducerId(markers.producer_id),
        producer_epoch: ProducerEpoch(markers.producer_epoch),
    });
    let options = AppendOptions::by(AppendOrigin::Coordinator, partition.leader_epoch(), now_ms);
    match partition.append(batch, options, wait) {
        Ok(_) => {}
        Err(AppendError::Deleted) => return Ok(()),
        Err(error) => return Err(error),
    }
    if topic == groups::TOPIC {
        broker.groups.transaction_ended(*index, markers.producer_id, markers.is_commit);
    }
    Ok(())
}
