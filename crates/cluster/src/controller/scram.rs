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
use std::collections::BTreeMap;

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
    // A user's first failure stays, whatever else the request says of the user.
    let mut records: BTreeMap<&str, MetadataRecord> = BTreeMap::new();
    let mut failed: BTreeMap<&str, Refusal> = BTreeMap::new();
    let mut take = |name, change: &dyn Fn() -> Result<MetadataRecord, Refusal>| {
        if failed.contains_key(name) {
            return;
        }
        if records.remove(name).is_some() {
            let message = "A user credential cannot be altered twice in the same request";
            failed.insert(name, (ErrorCode::DuplicateResource, message.to_owned()));
            return;
        }
        match change() {
            Ok(record) => drop(records.insert(name, record)),
            Err(refusal) => drop(failed.insert(name, refusal)),
        }
    };
    for deletion in &request.deletions {
        take(deletion.name.as_str(), &|| delete(image, deletion));
    }
    for upsertion in &request.upsertions {
        take(upsertion.name.as_str(), &|| upsert(upsertion, &derive));
    }
    let done = records.keys().map(|name| ((*name).to_owned(), Ok(())));
    let refused = failed.iter().map(|(name, refusal)| ((*name).to_owned(), Err(refusal.clone())));
    let answer = done.chain(refused).collect();
    Decision { records: records.into_values().collect(), answer }
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
