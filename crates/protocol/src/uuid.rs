//! Kafka's UUID: sixteen bytes, written as 22 characters of URL-safe base64.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Length of the text form: 128 bits at six a character.
const TEXT_LEN: usize = 22;

/// The id of a topic, a directory, a cluster or a member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

/// A text that is not the form [`Uuid`] prints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a Kafka UUID (22 characters of URL-safe base64)")]
pub struct UuidParseError {
    /// What was given.
    pub text: String,
}

impl Uuid {
    /// All zeros: "no id" wherever the protocol has an optional one.
    pub const ZERO: Self = Self([0; 16]);
    /// The id of the metadata topic, `__cluster_metadata`; as a directory id: "not known".
    pub const ONE: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// Whether this is [`Self::ZERO`].
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Makes a version 4 UUID out of sixteen random bytes.
    pub fn from_random_bytes(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_LEN];
        // Six bits a character from the high end; the last character has the four bits left over.
        let mut bits = u128::from_be_bytes(self.0);
        for place in &mut text {
            *place = ALPHABET[(bits >> 122) as usize];
            bits <<= 6;
        }
        f.write_str(std::str::from_utf8(&text).expect("base64 is ASCII"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = UuidParseError;

    fn from_str(text: &str) -> Result<Self, UuidParseError> {
        let fail = || UuidParseError { text: text.to_owned() };
        if text.len() != TEXT_LEN {
            return Err(fail());
        }
        let mut bits = 0_u128;
        for (index, byte) in text.bytes().enumerate() {
            let six = ALPHABET.iter().position(|&c| c == byte).ok_or_else(fail)? as u128;
            if index + 1 < TEXT_LEN {
                bits = bits << 6 | six;
            } else if six & 0b1111 == 0 {
                bits = bits << 2 | six >> 4;
            } else {
                return Err(fail());
            }
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_as_kafka_does() {
        // What `org.apache.kafka.common.Uuid` prints for the same bytes.
        let cases = [
            (Uuid::ZERO, "AAAAAAAAAAAAAAAAAAAAAA"),
            (Uuid::ONE, "AAAAAAAAAAAAAAAAAAAAAQ"),
            (Uuid([0xff; 16]), "_____________________w"),
            (
                Uuid(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128.to_be_bytes()),
                "ASNFZ4mrze_-3LqYdlQyEA",
            ),
        ];
        for (uuid, text) in cases {
            assert_eq!(uuid.to_string(), text);
            assert_eq!(text.parse(), Ok(uuid));
        }
    }

    #[test]
    fn refuses_what_it_would_not_print() {
        for text in
            ["", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAA+A", "é"]
        {
            assert_eq!(text.parse::<Uuid>(), Err(UuidParseError { text: text.to_owned() }));
        }
    }

    #[test]
    fn random_uuids_are_version_4() {
        let uuid = Uuid::from_random_bytes([0xff; 16]);
        assert_eq!((uuid.0[6], uuid.0[8]), (0x4f, 0xbf));
    }
}
