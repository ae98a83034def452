//! SCRAM credentials of users (KIP-554).

use super::{Decision, Refusal};
use crate::image::MetadataImage;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::alter_user_scram_credentials_request::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::remove_user_scram_credential_record::RemoveUserScramCredentialRecord;
use afluente_protocol::messages::metadata::user_scram_credential_record::UserScramCredentialRecord;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The ways to log in by SCRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramMechanism {
    /// `SCRAM-SHA-256`
    Sha256,
    /// `SCRAM-SHA-512`
    Sha512,
}

/// The most iterations that Kafka takes.
const ITERATIONS_MAX: i32 = 16_384;

impl ScramMechanism {
    fn from_code(code: i8) -> Option<Self> {
        match code {
            1 => Some(Self::Sha256),
            2 => Some(Self::Sha512),
            _ => None,
        }
    }

    fn iterations_min(self) -> i32 {
        4_096
    }
}

/// What a server keeps of a password (RFC 5802).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// `StoredKey`.
    pub stored: Bytes,
    /// `ServerKey`.
    pub server: Bytes,
}

/// Changes credentials, each user by itself and at most once. `derive` makes the keys that are kept
/// from a salted password.
#[must_use]
pub fn alter_scram_credentials(
    image: &MetadataImage,
    request: &AlterUserScramCredentialsRequest,
    derive: impl Fn(ScramMechanism, &[u8]) -> ScramKeys,
) -> Decision<BTreeMap<String, Result<(), Refusal>>> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut twice: BTreeSet<&str> = BTreeSet::new();
    let deleted = request.deletions.iter().map(|deletion| deletion.name.as_str());
    let upserted = request.upsertions.iter().map(|upsertion| upsertion.name.as_str());
    for name in deleted.chain(upserted) {
        if !seen.insert(name) {
            twice.insert(name);
        }
    }
    let mut decision = Decision { records: Vec::new(), answer: BTreeMap::new() };
    let mut take = |name: &str, result: Result<MetadataRecord, Refusal>| {
        let result = if twice.contains(name) {
            let message = "A user credential cannot be altered twice in the same request";
            Err((ErrorCode::DuplicateResource, message.to_owned()))
        } else {
            result.map(|record| decision.records.push(record))
        };
        decision.answer.insert(name.to_owned(), result);
    };
    for deletion in &request.deletions {
        take(&deletion.name, delete(image, deletion));
    }
    for upsertion in &request.upsertions {
        take(&upsertion.name, upsert(upsertion, &derive));
    }
    decision
}

fn mechanism(name: &str, code: i8) -> Result<ScramMechanism, Refusal> {
    if name.is_empty() {
        let message = "Username must not be empty".to_owned();
        return Err((ErrorCode::UnacceptableCredential, message));
    }
    ScramMechanism::from_code(code)
        .ok_or_else(|| (ErrorCode::UnsupportedSaslMechanism, "Unknown SCRAM mechanism".to_owned()))
}

fn delete(
    image: &MetadataImage,
    deletion: &ScramCredentialDeletion,
) -> Result<MetadataRecord, Refusal> {
    mechanism(&deletion.name, deletion.mechanism)?;
    let key = (deletion.name.clone(), deletion.mechanism);
    if !image.scram_credentials().contains_key(&key) {
        let message = "Attempt to delete a user credential that does not exist".to_owned();
        return Err((ErrorCode::ResourceNotFound, message));
    }
    let (name, mechanism) = key;
    Ok(MetadataRecord::RemoveUserScramCredential(RemoveUserScramCredentialRecord {
        name,
        mechanism,
    }))
}

fn upsert(
    upsertion: &ScramCredentialUpsertion,
    derive: &impl Fn(ScramMechanism, &[u8]) -> ScramKeys,
) -> Result<MetadataRecord, Refusal> {
    let mechanism = mechanism(&upsertion.name, upsertion.mechanism)?;
    let refused = |why: &str| Err((ErrorCode::UnacceptableCredential, why.to_owned()));
    if upsertion.iterations < mechanism.iterations_min() {
        return refused("Too few iterations");
    }
    if upsertion.iterations > ITERATIONS_MAX {
        return refused("Too many iterations");
    }
    let keys = derive(mechanism, &upsertion.salted_password);
    Ok(MetadataRecord::UserScramCredential(UserScramCredentialRecord {
        name: upsertion.name.clone(),
        mechanism: upsertion.mechanism,
        salt: upsertion.salt.clone(),
        stored_key: keys.stored,
        server_key: keys.server,
        iterations: upsertion.iterations,
    }))
}
