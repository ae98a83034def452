//! Who may do what, and how much of it: access control lists, quotas, SCRAM credentials.

use super::{Admin, Results};
use crate::client::Target;
use crate::error::Error;
use afluente_protocol::message::Request;
use afluente_protocol::messages::alter_client_quotas_request as alter_quotas;
use afluente_protocol::messages::alter_client_quotas_request::AlterClientQuotasRequest;
use afluente_protocol::messages::alter_user_scram_credentials_request::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use afluente_protocol::messages::create_acls_request::{AclCreation, CreateAclsRequest};
use afluente_protocol::messages::delete_acls_request::{DeleteAclsFilter, DeleteAclsRequest};
use afluente_protocol::messages::describe_acls_request::DescribeAclsRequest;
use afluente_protocol::messages::describe_client_quotas_request::{
    ComponentData, DescribeClientQuotasRequest,
};
use afluente_protocol::messages::describe_user_scram_credentials_request::{
    DescribeUserScramCredentialsRequest, UserName,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// One rule of access, with Kafka's numbers for what is an enumeration there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclBinding {
    /// 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user.
    pub resource_type: i8,
    /// The name, or the prefix of names.
    pub resource_name: String,
    /// 3 literal, 4 prefixed.
    pub pattern_type: i8,
    /// Whom it is about, such as `User:alice`.
    pub principal: String,
    /// From where; `*` is anywhere.
    pub host: String,
    /// 2 all, 3 read, 4 write, 5 create, 6 delete, 7 alter, 8 describe, 9 cluster action,
    /// 10 describe configs, 11 alter configs, 12 idempotent write, 13 create tokens,
    /// 14 describe tokens, 15 two-phase commit.
    pub operation: i8,
    /// 2 deny, 3 allow.
    pub permission: i8,
}

/// Which rules; `None` and 1 are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclFilter {
    /// As in [`AclBinding`].
    pub resource_type: i8,
    /// The name.
    pub resource_name: Option<String>,
    /// As in [`AclBinding`]; 2 is every pattern that matches the name.
    pub pattern_type: i8,
    /// The principal.
    pub principal: Option<String>,
    /// The host.
    pub host: Option<String>,
    /// As in [`AclBinding`].
    pub operation: i8,
    /// As in [`AclBinding`].
    pub permission: i8,
}

impl Default for AclFilter {
    /// Every rule.
    fn default() -> Self {
        Self {
            resource_type: 1,
            resource_name: None,
            pattern_type: 1,
            principal: None,
            host: None,
            operation: 1,
            permission: 1,
        }
    }
}

/// Whom a quota is for: the name by kind (`user`, `client-id`, `ip`); `None` is the default.
pub type QuotaEntity = BTreeMap<String, Option<String>>;

/// Which quotas, by one kind of entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaFilter {
    /// `user`, `client-id` or `ip`.
    pub entity_type: String,
    /// Whose.
    pub of: QuotaMatch,
}

/// Whose quotas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaMatch {
    /// That of this name.
    Exact(String),
    /// The default.
    Default,
    /// Any that is given.
    Any,
}

/// How SCRAM hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScramMechanism {
    /// `SCRAM-SHA-256`.
    Sha256,
    /// `SCRAM-SHA-512`.
    Sha512,
}

/// A change of a user's SCRAM credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScramChange {
    /// Gives the user a credential, or another one.
    Upsert {
        /// The user.
        user: String,
        /// The mechanism.
        mechanism: ScramMechanism,
        /// How often it is hashed.
        iterations: i32,
        /// The salt.
        salt: Bytes,
        /// The password, hashed so often with the salt (RFC 5802's `SaltedPassword`).
        salted_password: Bytes,
    },
    /// Takes the credential away.
    Delete {
        /// The user.
        user: String,
        /// The mechanism.
        mechanism: ScramMechanism,
    },
}

impl ScramMechanism {
    /// Kafka's number.
    #[must_use]
    pub fn number(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    /// `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn from_number(number: i8) -> Option<Self> {
        [Self::Sha256, Self::Sha512].into_iter().find(|one| one.number() == number)
    }
}

impl Admin {
    /// The rules that match.
    ///
    /// # Errors
    /// What the broker says: `SECURITY_DISABLED` where there is no authorizer.
    pub async fn describe_acls(&self, filter: &AclFilter) -> Result<Vec<AclBinding>, Error> {
        let filter = filter.clone();
        let request = DescribeAclsRequest {
            resource_type_filter: filter.resource_type,
            resource_name_filter: filter.resource_name,
            pattern_type_filter: filter.pattern_type,
            principal_filter: filter.principal,
            host_filter: filter.host,
            operation: filter.operation,
            permission_type: filter.permission,
        };
        let check = |response: &<DescribeAclsRequest as Request>::Response| {
            let about = || "listing ACLs".to_owned();
            Error::check(response.error_code, response.error_message.clone(), about)
        };
        let response = self.call(Target::Any, request, self.deadline(), check).await?;
        let found = response.resources.into_iter().flat_map(|resource| {
            let (resource_type, pattern_type) = (resource.resource_type, resource.pattern_type);
            let name = resource.resource_name;
            resource.acls.into_iter().map(move |acl| AclBinding {
                resource_type,
                resource_name: name.clone(),
                pattern_type,
                principal: acl.principal,
                host: acl.host,
                operation: acl.operation,
                permission: acl.permission_type,
            })
        });
        Ok(found.collect())
    }

    /// Adds rules; the results are in their order.
    ///
    /// # Errors
    /// What concerns all.
    pub async fn create_acls(
        &self,
        bindings: Vec<AclBinding>,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let creations = bindings.into_iter().map(|binding| AclCreation {
            resource_type: binding.resource_type,
            resource_name: binding.resource_name,
            resource_pattern_type: binding.pattern_type,
            principal: binding.principal,
            host: binding.host,
            operation: binding.operation,
            permission_type: binding.permission,
        });
        let request = CreateAclsRequest { creations: creations.collect() };
        let response = self.call(Target::Controller, request, self.deadline(), |_| Ok(())).await?;
        let results = response.results.into_iter().map(|result| {
            Error::check(result.error_code, result.error_message, || "adding an ACL".to_owned())
        });
        Ok(results.collect())
    }

    /// Removes the rules that match each filter; gives those that it removed, in the order of the
    /// filters.
    ///
    /// # Errors
    /// What concerns all.
    pub async fn delete_acls(
        &self,
        filters: Vec<AclFilter>,
    ) -> Result<Vec<Result<Vec<AclBinding>, Error>>, Error> {
        let filters = filters.into_iter().map(|filter| DeleteAclsFilter {
            resource_type_filter: filter.resource_type,
            resource_name_filter: filter.resource_name,
            pattern_type_filter: filter.pattern_type,
            principal_filter: filter.principal,
            host_filter: filter.host,
            operation: filter.operation,
            permission_type: filter.permission,
        });
        let request = DeleteAclsRequest { filters: filters.collect() };
        let response = self.call(Target::Controller, request, self.deadline(), |_| Ok(())).await?;
        let about = || "removing ACLs".to_owned();
        let results = response.filter_results.into_iter().map(|result| {
            Error::check(result.error_code, result.error_message, about)?;
            let removed = result.matching_acls.into_iter().map(|acl| {
                Error::check(acl.error_code, acl.error_message, about)?;
                Ok(AclBinding {
                    resource_type: acl.resource_type,
                    resource_name: acl.resource_name,
                    pattern_type: acl.pattern_type,
                    principal: acl.principal,
                    host: acl.host,
                    operation: acl.operation,
                    permission: acl.permission_type,
                })
            });
            removed.collect()
        });
        Ok(results.collect())
    }

    /// The quotas of entities that match every filter; with `strict` of no others.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn describe_client_quotas(
        &self,
        filters: &[QuotaFilter],
        strict: bool,
    ) -> Result<BTreeMap<QuotaEntity, BTreeMap<String, f64>>, Error> {
        let components = filters.iter().map(|filter| {
            let (match_type, name) = match &filter.of {
                QuotaMatch::Exact(name) => (0, Some(name.clone())),
                QuotaMatch::Default => (1, None),
                QuotaMatch::Any => (2, None),
            };
            ComponentData { entity_type: filter.entity_type.clone(), match_type, r#match: name }
        });
        let request = DescribeClientQuotasRequest { components: components.collect(), strict };
        let check = |response: &<DescribeClientQuotasRequest as Request>::Response| {
            let about = || "the quotas".to_owned();
            Error::check(response.error_code, response.error_message.clone(), about)
        };
        let response = self.call(Target::Any, request, self.deadline(), check).await?;
        let found = response.entries.unwrap_or_default().into_iter().map(|entry| {
            let entity = entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name));
            let values = entry.values.into_iter().map(|value| (value.key, value.value));
            (entity.collect(), values.collect())
        });
        Ok(found.collect())
    }

    /// Sets quotas, or takes them away with `None`.
    ///
    /// # Errors
    /// What concerns all; each entity has a result of its own.
    pub async fn alter_client_quotas(
        &self,
        changes: impl IntoIterator<Item = (QuotaEntity, BTreeMap<String, Option<f64>>)>,
    ) -> Result<Results<QuotaEntity, ()>, Error> {
        let entries = changes.into_iter().map(|(entity, ops)| alter_quotas::EntryData {
            entity: entity
                .into_iter()
                .map(|(entity_type, entity_name)| alter_quotas::EntityData {
                    entity_type,
                    entity_name,
                })
                .collect(),
            ops: ops
                .into_iter()
                .map(|(key, value)| alter_quotas::OpData {
                    key,
                    value: value.unwrap_or(0.0),
                    remove: value.is_none(),
                })
                .collect(),
        });
        let request = AlterClientQuotasRequest { entries: entries.collect(), validate_only: false };
        let response = self.call(Target::Controller, request, self.deadline(), |_| Ok(())).await?;
        let results = response.entries.into_iter().map(|entry| {
            let entity: QuotaEntity =
                entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name)).collect();
            let about = || format!("the quotas of {entity:?}");
            let checked = Error::check(entry.error_code, entry.error_message, about);
            (entity, checked)
        });
        Ok(results.collect())
    }

    /// Which SCRAM credentials users have, with their iterations; of all users if none is given.
    ///
    /// # Errors
    /// What concerns all; each user has a result of its own.
    pub async fn describe_scram_credentials(
        &self,
        users: &[String],
    ) -> Result<Results<String, BTreeMap<ScramMechanism, i32>>, Error> {
        let names = users.iter().map(|name| UserName { name: name.clone() });
        let request = DescribeUserScramCredentialsRequest {
            users: (!users.is_empty()).then(|| names.collect()),
        };
        let check = |response: &<DescribeUserScramCredentialsRequest as Request>::Response| {
            let about = || "the SCRAM credentials".to_owned();
            Error::check(response.error_code, response.error_message.clone(), about)
        };
        let response = self.call(Target::Any, request, self.deadline(), check).await?;
        let results = response.results.into_iter().map(|result| {
            let about = || format!("the SCRAM credentials of {:?}", result.user);
            let checked = Error::check(result.error_code, result.error_message, about);
            let found = result.credential_infos.into_iter().filter_map(|one| {
                Some((ScramMechanism::from_number(one.mechanism)?, one.iterations))
            });
            (result.user, checked.map(|()| found.collect()))
        });
        Ok(results.collect())
    }

    /// Changes SCRAM credentials.
    ///
    /// # Errors
    /// What concerns all; each user has a result of its own.
    pub async fn alter_scram_credentials(
        &self,
        changes: impl IntoIterator<Item = ScramChange>,
    ) -> Result<Results<String, ()>, Error> {
        let mut request = AlterUserScramCredentialsRequest::default();
        for change in changes {
            match change {
                ScramChange::Upsert { user, mechanism, iterations, salt, salted_password } => {
                    request.upsertions.push(ScramCredentialUpsertion {
                        name: user,
                        mechanism: mechanism.number(),
                        iterations,
                        salt,
                        salted_password,
                    });
                }
                ScramChange::Delete { user, mechanism } => {
                    let mechanism = mechanism.number();
                    request.deletions.push(ScramCredentialDeletion { name: user, mechanism });
                }
            }
        }
        let response = self.call(Target::Controller, request, self.deadline(), |_| Ok(())).await?;
        let results = response.results.into_iter().map(|result| {
            let about = || format!("the SCRAM credentials of {:?}", result.user);
            let checked = Error::check(result.error_code, result.error_message, about);
            (result.user, checked)
        });
        Ok(results.collect())
    }
}
