//! DescribeUserScramCredentials (50), version 0. KIP-554.
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::describe_user_scram_credentials_request::DescribeUserScramCredentialsRequest;
use afluente_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: DescribeUserScramCredentialsRequest,
) -> Result<DescribeUserScramCredentialsResponse, CloseReason> {
    let mut known: BTreeMap<String, Vec<CredentialInfo>> = BTreeMap::new();
    for ((name, mechanism), credential) in broker.metadata.image().scram_credentials() {
        let info = CredentialInfo { mechanism: *mechanism, iterations: credential.iterations };
        known.entry(name.clone()).or_default().push(info);
    }
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for user in request.users.unwrap_or_default() {
        *asked.entry(user.name).or_default() += 1;
    }
    if asked.is_empty() {
        asked = known.keys().map(|name| (name.clone(), 1)).collect();
    }
    let results = asked.into_iter().map(|(user, times)| {
        let refused = |code: ErrorCode, message: String| DescribeUserScramCredentialsResult {
            user: user.clone(),
            error_code: code.code(),
            error_message: Some(message),
            ..Default::default()
        };
        match known.remove(&user) {
            _ if times > 1 => refused(
                ErrorCode::DuplicateResource,
                format!(
                    "Cannot describe SCRAM credentials for the same user twice in a single \
                     request: {user}"
                ),
            ),
            None => refused(
                ErrorCode::ResourceNotFound,
                format!("Attempt to describe a user credential that does not exist: {user}"),
            ),
            Some(credential_infos) => {
                DescribeUserScramCredentialsResult { user, credential_infos, ..Default::default() }
            }
        }
    });
    Ok(DescribeUserScramCredentialsResponse { results: results.collect(), ..Default::default() })
}
