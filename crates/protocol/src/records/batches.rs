//! Walking the batches that lie one after the other in a buffer, without looking inside them.

use afluente_stdx::crc32c::crc32c;

use super::{
    BATCH_HEADER_BYTES, BatchHeader, RecordsError,
    header::{CRC_COVERS_FROM, LENGTH_OVERHEAD_BYTES},
};

/// One whole batch, borrowed from the buffer it lies in.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch at the beginning of `bytes`, which may go on after it.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and [`RecordsError::Truncated`] if the batch goes on after
    /// `bytes`.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordsError> {
        let header = BatchHeader::parse(bytes)?;
        match bytes.get(..header.size_bytes()) {
            Some(bytes) => Ok(Self { header, bytes }),
            None => {
                Err(RecordsError::Truncated { needed: header.size_bytes(), available: bytes.len() })
            }
        }
    }

    /// The parsed header.
    #[inline]
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The batch, header included. With `Bytes::slice_ref` this becomes a slice that shares the
    /// buffer.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What comes after the header: the records, compressed or not.
    #[inline]
    #[must_use]
    pub fn records_section(&self) -> &'a [u8] {
        &self.bytes[BATCH_HEADER_BYTES..]
    }

    /// Checks the CRC. Base offset, length, leader epoch and magic are outside of it.
    ///
    /// # Errors
    /// [`RecordsError::CrcMismatch`].
    #[inline]
    pub fn verify_crc(&self) -> Result<(), RecordsError> {
        let computed = crc32c(&self.bytes[CRC_COVERS_FROM..]);
        if computed == self.header.crc {
            Ok(())
        } else {
            Err(RecordsError::CrcMismatch { stored: self.header.crc, computed })
        }
    }
}

/// The batches of a buffer, in order.
///
/// Yields an error where no whole batch begins, and nothing after it. A buffer that ends inside a
/// batch is no more than [`RecordsError::Truncated`]: fetch responses and unflushed files end like
/// that. [`Batches::position`] then says where the rest begins.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    failed: bool,
}

impl<'a> Batches<'a> {
    /// The batches of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, failed: false }
    }

    /// Where the next batch begins; after an error, where the batch at fault begins; at the end,
    /// the length of the buffer.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    fn next_batch(&self) -> Result<Batch<'a>, RecordsError> {
        let rest = &self.bytes[self.position..];
        if rest.len() < LENGTH_OVERHEAD_BYTES {
            // Too short even to say how long it is, or which format it has.
            return Err(RecordsError::header_cut_short(rest.len()));
        }
        Batch::parse(rest)
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, RecordsError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.position == self.bytes.len() {
            return None;
        }
        let batch = self.next_batch();
        match &batch {
            Ok(batch) => self.position += batch.bytes.len(),
            Err(_) => self.failed = true,
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::numbers::{LeaderEpoch, Offset, ProducerId};
    use crate::records::{TimestampType, header};

    /// An idempotent batch with one record (null key, value "hello", create time), made by hand.
    fn batch(base_offset: i64) -> Vec<u8> {
        let records = [22, 0, 0, 0, 1, 10, b'h', b'e', b'l', b'l', b'o', 0];
        let mut raw = vec![0; BATCH_HEADER_BYTES];
        raw[8..12].copy_from_slice(&(49 + records.len() as i32).to_be_bytes());
        raw[16] = 2;
        raw[60] = 1;
        let mut header = BatchHeader::parse(&raw).unwrap();
        header.base_offset = Offset(base_offset);
        header.producer_id = ProducerId(7);
        header.crc = header.crc_with(&records);
        let mut batch = header.encode().to_vec();
        batch.extend_from_slice(&records);
        batch
    }

    #[test]
    fn batches_come_in_order_and_the_position_follows() {
        let buffer = [batch(0), batch(1), batch(2)].concat();
        let mut batches = Batches::new(&buffer);
        for n in 0..3 {
            let batch = batches.next().unwrap().unwrap();
            batch.verify_crc().unwrap();
            assert_eq!(batch.header().base_offset, Offset(n));
            assert_eq!(batches.position(), buffer.len() / 3 * (n as usize + 1));
        }
        assert!(batches.next().is_none());
    }

    #[test]
    fn a_cut_at_any_byte_is_truncation_at_the_right_place() {
        let buffer = [batch(0), batch(1)].concat();
        let size = buffer.len() / 2;
        for cut in 0..buffer.len() {
            let mut batches = Batches::new(&buffer[..cut]);
            let whole = batches.by_ref().take_while(Result::is_ok).count();
            assert_eq!(whole, cut / size);
            assert_eq!(batches.position(), whole * size);
            assert!(batches.next().is_none(), "nothing comes after an error");
            let last = Batches::new(&buffer[..cut]).last();
            assert_eq!(
                last.is_some_and(|last| matches!(last, Err(RecordsError::Truncated { .. }))),
                !cut.is_multiple_of(size),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_found_except_in_base_offset_and_leader_epoch() {
        let sound = batch(5);
        for bit in 0..sound.len() * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = Batch::parse(&damaged).and_then(|batch| batch.verify_crc()).is_err();
            let uncovered = (0..8).contains(&(bit / 8)) || (12..16).contains(&(bit / 8));
            assert_eq!(found, !uncovered, "bit {bit}");
        }
    }

    #[test]
    fn patches_outside_the_crc_leave_it_valid() {
        let mut bytes = batch(0);
        header::patch_base_offset(&mut bytes, Offset(1 << 40));
        header::patch_leader_epoch(&mut bytes, LeaderEpoch(12));
        let batch = Batch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(batch.header().base_offset, Offset(1 << 40));
        assert_eq!(batch.header().partition_leader_epoch, LeaderEpoch(12));
    }

    #[test]
    fn log_append_time_changes_the_header_alone() {
        let bytes = batch(0);
        let original = Batch::parse(&bytes).unwrap();
        let mut header = *original.header();
        let at = 1_700_000_000_000;
        header.set_max_timestamp(TimestampType::LogAppendTime, at, original.records_section());
        let stamped = [&header.encode(), original.records_section()].concat();
        let stamped = Batch::parse(&stamped).unwrap();
        stamped.verify_crc().unwrap();
        assert_eq!(stamped.header().max_timestamp, at);
        assert_eq!(stamped.header().base_timestamp, original.header().base_timestamp);
        assert_eq!(stamped.header().attributes.timestamp_type(), TimestampType::LogAppendTime);
    }
}
