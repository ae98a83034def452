//! Delegation tokens (KIP-48): names and passwords that a broker makes, for a while, for programs that
//! are not to know those of whom they work for. One logs in with a token by SCRAM: the id is the name,
//! the HMAC in base64 the password, and the login module has `tokenauth=true`.

use super::Admin;
use crate::client::Target;
use crate::error::Error;
use afluente_protocol::message::Request;
use afluente_protocol::messages::create_delegation_token_request::{
    CreatableRenewers, CreateDelegationTokenRequest,
};
use afluente_protocol::messages::describe_delegation_token_request::{
    DescribeDelegationTokenOwner, DescribeDelegationTokenRequest,
};
use afluente_protocol::messages::expire_delegation_token_request::ExpireDelegationTokenRequest;
use afluente_protocol::messages::renew_delegation_token_request::RenewDelegationTokenRequest;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// Somebody, as brokers call them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Principal {
    /// What it is; `User`, as a rule.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A token that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewToken {
    /// For whom; `None` for who asks (KIP-373).
    pub owner: Option<Principal>,
    /// Who may renew it beside its owner.
    pub renewers: Vec<Principal>,
    /// How long it may be renewed; `None` for as long as the broker allows.
    pub max_lifetime: Option<Duration>,
}

/// A token. Times are in ms since 1970.
#[derive(Clone, PartialEq, Eq)]
pub struct DelegationToken {
    /// Its name.
    pub id: String,
    /// Its secret.
    pub hmac: Bytes,
    /// For whom it is.
    pub owner: Principal,
    /// Who asked for it.
    pub requester: Principal,
    /// Who may renew it beside its owner.
    pub renewers: Vec<Principal>,
    /// Since when it is good.
    pub issued_at_ms: i64,
    /// Until when it is good, unless it is renewed.
    pub expires_at_ms: i64,
    /// Until when it can be renewed.
    pub max_at_ms: i64,
}

impl Principal {
    /// A user.
    pub fn user(name: impl Into<String>) -> Self {
        Self { kind: "User".to_owned(), name: name.into() }
    }
}

/// Without the secret.
impl fmt::Debug for DelegationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelegationToken")
            .field("id", &self.id)
            .field("owner", &self.owner)
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// Makes a token.
    ///
    /// # Errors
    /// What the broker says; it makes none for who has not logged in, or who has by a token.
    pub async fn create_delegation_token(&self, new: &NewToken) -> Result<DelegationToken, Error> {
        let owner = new.owner.as_ref();
        let renewers = new.renewers.iter().map(|renewer| CreatableRenewers {
            principal_type: renewer.kind.clone(),
            principal_name: renewer.name.clone(),
        });
        let request = CreateDelegationTokenRequest {
            owner_principal_type: owner.map(|owner| owner.kind.clone()),
            owner_principal_name: owner.map(|owner| owner.name.clone()),
            renewers: renewers.collect(),
            max_lifetime_ms: new.max_lifetime.map_or(-1, in_ms),
        };
        let check = |response: &<CreateDelegationTokenRequest as Request>::Response| {
            Error::check(response.error_code, None, || "making a delegation token".to_owned())
        };
        let made = self.call(Target::Controller, request, self.deadline(), check).await?;
        let (kind, name) = (made.principal_type, made.principal_name);
        let owner = Principal { kind, name };
        let (kind, name) =
            (made.token_requester_principal_type, made.token_requester_principal_name);
        // Brokers before 3.3 do not say who asked: whoever it is for.
        let requester = if name.is_empty() { owner.clone() } else { Principal { kind, name } };
        Ok(DelegationToken {
            id: made.token_id,
            hmac: made.hmac,
            owner,
            requester,
            renewers: new.renewers.clone(),
            issued_at_ms: made.issue_timestamp_ms,
            expires_at_ms: made.expiry_timestamp_ms,
            max_at_ms: made.max_timestamp_ms,
        })
    }

    /// The tokens of these owners, or all that one may see with `None`.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn describe_delegation_tokens(
        &self,
        owners: Option<&[Principal]>,
    ) -> Result<Vec<DelegationToken>, Error> {
        let owner = |owner: &Principal| DescribeDelegationTokenOwner {
            principal_type: owner.kind.clone(),
            principal_name: owner.name.clone(),
        };
        let request = DescribeDelegationTokenRequest {
            owners: owners.map(|owners| owners.iter().map(owner).collect()),
        };
        let check = |response: &<DescribeDelegationTokenRequest as Request>::Response| {
            Error::check(response.error_code, None, || "the delegation tokens".to_owned())
        };
        let response = self.call(Target::Any, request, self.deadline(), check).await?;
        let tokens = response.tokens.into_iter().map(|token| DelegationToken {
            id: token.token_id,
            hmac: token.hmac,
            owner: Principal { kind: token.principal_type, name: token.principal_name },
            requester: Principal {
                kind: token.token_requester_principal_type,
                name: token.token_requester_principal_name,
            },
            renewers: token
                .renewers
                .into_iter()
                .map(|one| Principal { kind: one.principal_type, name: one.principal_name })
                .collect(),
            issued_at_ms: token.issue_timestamp,
            expires_at_ms: token.expiry_timestamp,
            max_at_ms: token.max_timestamp,
        });
        Ok(tokens.collect())
    }

    /// Makes the token of this secret good for `period` from now on, or for as long as the broker
    /// gives by itself; gives until when, in ms since 1970.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn renew_delegation_token(
        &self,
        hmac: Bytes,
        period: Option<Duration>,
    ) -> Result<i64, Error> {
        let request =
            RenewDelegationTokenRequest { hmac, renew_period_ms: period.map_or(-1, in_ms) };
        let check = |response: &<RenewDelegationTokenRequest as Request>::Response| {
            Error::check(response.error_code, None, || "renewing a delegation token".to_owned())
        };
        let response = self.call(Target::Controller, request, self.deadline(), check).await?;
        Ok(response.expiry_timestamp_ms)
    }

    /// Lets the token of this secret end `after` a while, or at once; gives when, in ms since 1970.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn expire_delegation_token(
        &self,
        hmac: Bytes,
        after: Option<Duration>,
    ) -> Result<i64, Error> {
        let request =
            ExpireDelegationTokenRequest { hmac, expiry_time_period_ms: after.map_or(-1, in_ms) };
        let check = |response: &<ExpireDelegationTokenRequest as Request>::Response| {
            Error::check(response.error_code, None, || "ending a delegation token".to_owned())
        };
        let response = self.call(Target::Controller, request, self.deadline(), check).await?;
        Ok(response.expiry_timestamp_ms)
    }
}

fn in_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
