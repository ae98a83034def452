//! The keys of SCRAM (RFC 5802; RFC 7677 for SHA-256, and the same with SHA-512).
//!
//! ```text
//! salted password = PBKDF2-HMAC(password, salt, iterations)
//! client key      = HMAC(salted password, "Client Key")      stored key = H(client key)
//! server key      = HMAC(salted password, "Server Key")
//! proof           = client key XOR HMAC(stored key, auth message)
//! ```
//!
//! As in Kafka, a password is its UTF-8 bytes: it is not normalised by SASLprep.

use hmac::digest::{Digest as _, KeyInit};
use hmac::{Hmac, Mac};
use sha2::{Sha256, Sha512};

/// How SCRAM hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScramHash {
    /// `SCRAM-SHA-256`.
    Sha256,
    /// `SCRAM-SHA-512`.
    Sha512,
}

/// Fewer iterations are refused on both sides, as in Kafka.
pub const ITERATIONS_MIN: u32 = 4096;

/// More are refused: a broker that is not trusted yet must not keep a processor busy for minutes.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// A hash or a key; 32 or 64 bytes.
pub type Key = Vec<u8>;

impl ScramHash {
    /// The name of the mechanism.
    #[must_use]
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// `HMAC(key, text)`.
    #[must_use]
    pub fn hmac(self, key: &[u8], text: &[u8]) -> Key {
        match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, &[text]),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, &[text]),
        }
    }

    /// `H(text)`.
    #[must_use]
    pub fn hash(self, text: &[u8]) -> Key {
        match self {
            Self::Sha256 => Sha256::digest(text).to_vec(),
            Self::Sha512 => Sha512::digest(text).to_vec(),
        }
    }

    /// The password, hashed with `salt` so many times; this is slow on purpose.
    #[must_use]
    pub fn salted_password(self, password: &[u8], salt: &[u8], iterations: u32) -> Key {
        match self {
            Self::Sha256 => pbkdf2::<Hmac<Sha256>>(password, salt, iterations),
            Self::Sha512 => pbkdf2::<Hmac<Sha512>>(password, salt, iterations),
        }
    }

    /// What a client proves that it has.
    #[must_use]
    pub fn client_key(self, salted_password: &[u8]) -> Key {
        self.hmac(salted_password, b"Client Key")
    }

    /// What a broker proves that it has.
    #[must_use]
    pub fn server_key(self, salted_password: &[u8]) -> Key {
        self.hmac(salted_password, b"Server Key")
    }

    /// The client's proof for a conversation.
    #[must_use]
    pub fn client_proof(self, client_key: &[u8], auth_message: &[u8]) -> Key {
        let signature = self.hmac(&self.hash(client_key), auth_message);
        client_key.iter().zip(signature).map(|(one, other)| one ^ other).collect()
    }

    /// The broker's proof for a conversation.
    #[must_use]
    pub fn server_signature(self, server_key: &[u8], auth_message: &[u8]) -> Key {
        self.hmac(server_key, auth_message)
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = keyed::<M>(key);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> M {
    <M as Mac>::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// The first block of PBKDF2, which is as long as the hash: `Hi` of RFC 5802.
fn pbkdf2<M: Mac + KeyInit + Clone>(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let keyed = keyed::<M>(password);
    let step = |parts: &[&[u8]]| {
        let mut mac = keyed.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes()
    };
    let mut last = step(&[salt, &1_u32.to_be_bytes()]);
    let mut sum = last.to_vec();
    for _ in 1..iterations {
        last = step(&[&last]);
        for (sum, one) in sum.iter_mut().zip(&last) {
            *sum ^= one;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn keys_are_those_of_the_example_in_rfc_7677() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let hash = ScramHash::Sha256;
        let salted = hash.salted_password(b"pencil", &salt, 4096);
        let message = b"n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = hash.client_proof(&hash.client_key(&salted), message);
        assert_eq!(STANDARD.encode(proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let signature = hash.server_signature(&hash.server_key(&salted), message);
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn passwords_are_hashed_as_by_pbkdf2() {
        let cases = [
            (
                ScramHash::Sha256,
                1,
                "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b",
            ),
            (
                ScramHash::Sha256,
                4096,
                "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a",
            ),
            (
                ScramHash::Sha512,
                1,
                "867f70cf1ade02cff3752599a3a53dc4af34c7a669815ae5d513554e1c8cf252c02d470a285a0501bad999bfe943c08f050235d7d68b1da55e63f73b60a57fce",
            ),
        ];
        for (hash, iterations, expected) in cases {
            assert_eq!(hex(&hash.salted_password(b"password", b"salt", iterations)), expected);
        }
    }
}
