//! What Apache Kafka looks at before anything else: the first batch of each partition.
//!
//! A size or a format that no batch has refuses the request as a whole, and so do transactional
//! records without a transactional id. Everything else about the records is checked partition by
//! partition, when they are appended.

use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::produce_request::TopicProduceData;
use afluente_protocol::records::{
    Attributes, CRC_COVERS_FROM, LEGACY_LENGTH_MIN, LENGTH_OVERHEAD_BYTES, MAGIC_AT, MAGIC_V2,
};
use afluente_protocol::rope::Records;

/// # Errors
/// What the whole request is refused with, and what is said of it.
pub(super) fn check(
    topics: &[TopicProduceData],
    transactional_id: Option<&str>,
) -> Result<(), (ErrorCode, Option<String>)> {
    let mut is_transactional = false;
    for part in topics.iter().flat_map(|topic| &topic.partition_data) {
        if let Some(records) = &part.records {
            is_transactional |= look_at(records)?;
        }
    }
    if is_transactional && transactional_id.is_none() {
        return Err((ErrorCode::TransactionalIdAuthorizationFailed, None));
    }
    Ok(())
}

/// Whether the first batch is transactional; false where there is no whole batch.
fn look_at(records: &Records) -> Result<bool, (ErrorCode, Option<String>)> {
    // To the end of the attributes, the first thing that the checksum covers.
    let mut head = [0_u8; CRC_COVERS_FROM + 2];
    let mut present = 0;
    for piece in records.pieces() {
        let taken = piece.len().min(head.len() - present);
        head[present..present + taken].copy_from_slice(&piece[..taken]);
        present += taken;
    }
    if present < LENGTH_OVERHEAD_BYTES {
        return Ok(false);
    }
    let length = i32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    let corrupt = |message: String| Err((ErrorCode::CorruptMessage, Some(message)));
    if length < LEGACY_LENGTH_MIN {
        return corrupt(format!(
            "Record size {length} is less than the minimum record overhead ({LEGACY_LENGTH_MIN})"
        ));
    }
    if present <= MAGIC_AT {
        return Ok(false);
    }
    let magic = head[MAGIC_AT].cast_signed();
    if !(0..=MAGIC_V2).contains(&magic) {
        return corrupt(format!("Invalid magic found in record: {magic}"));
    }
    let is_whole =
        usize::try_from(length).is_ok_and(|length| LENGTH_OVERHEAD_BYTES + length <= records.len());
    let attributes = [head[CRC_COVERS_FROM], head[CRC_COVERS_FROM + 1]];
    Ok(magic == MAGIC_V2
        && is_whole
        && present == head.len()
        && Attributes::from_bits(i16::from_be_bytes(attributes)).is_transactional())
}
