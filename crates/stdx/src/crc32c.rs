//! CRC-32C (Castagnoli), the checksum of Kafka's record batches (KIP-98) and of our own files.

use crc_fast::{CrcAlgorithm, Digest, checksum};

/// The CRC-32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    truncated(checksum(CrcAlgorithm::Crc32Iscsi, bytes))
}

/// The CRC-32C of the concatenation of `parts`.
#[must_use]
pub fn crc32c_of_parts(parts: &[&[u8]]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    truncated(digest.finalize())
}

/// The CRC-32C of bytes that come in pieces.
pub struct Crc32c {
    digest: Digest,
}

impl Crc32c {
    /// The CRC of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self { digest: Digest::new(CrcAlgorithm::Crc32Iscsi) }
    }

    /// Takes in the bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// Of all bytes so far.
    #[must_use]
    pub fn value(&self) -> u32 {
        truncated(self.digest.finalize())
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

fn truncated(crc: u64) -> u32 {
    u32::try_from(crc).expect("a 32-bit CRC fits into 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_check_value_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c_of_parts(&[b"1234", b"", b"56789"]), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        let mut pieces = Crc32c::new();
        pieces.update(b"12345");
        pieces.update(b"6789");
        assert_eq!(pieces.value(), 0xE306_9283);
    }
}
