//! `kafka-configs` for users, clients and addresses: quotas, and SCRAM credentials of users.

use super::{Changes, assignments};
use crate::kafka::Failure;
use crate::kafka::options::Options;
use crate::kafka::out::Out;
use afluente_auth::scram::ScramHash;
use afluente_client::Admin;
use afluente_client::admin::security::{
    QuotaEntity, QuotaFilter, QuotaMatch, ScramChange, ScramMechanism,
};
use anyhow::anyhow;
use bytes::Bytes;
use std::collections::BTreeMap;

/// A kind of entities, as options and as the protocol call it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Client,
    Ip,
}

const KINDS: &[(Kind, &str)] = &[(Kind::Client, "client"), (Kind::User, "user"), (Kind::Ip, "ip")];

impl Kind {
    fn wire(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Client => "client-id",
            Self::Ip => "ip",
        }
    }

    /// As it is told.
    fn told(self) -> &'static str {
        match self {
            Self::User => "user-principal",
            Self::Client => "client-id",
            Self::Ip => "ip",
        }
    }

    fn singular(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Client => "client",
            Self::Ip => "ip",
        }
    }
}

/// What the options name: kinds, and a name for each; `None` is all, the empty name the default.
pub(super) struct Entities(Vec<(Kind, Option<String>)>);

/// The users, clients or addresses that the options name, if they name any.
pub(super) fn entities(options: &Options) -> Result<Option<Entities>, Failure> {
    let kind_of = |text: &str| match text {
        "users" => Some(Kind::User),
        "clients" => Some(Kind::Client),
        "ips" => Some(Kind::Ip),
        _ => None,
    };
    let typed = options.all("entity-type");
    let is_generic =
        ["entity-type", "entity-name", "entity-default"].iter().any(|name| options.has(name));
    let is_special = |name: &str| options.has(name) || options.has(&format!("{name}-defaults"));
    if is_generic && KINDS.iter().any(|(_, name)| is_special(name)) {
        let told = "--entity-{type,name,default} should not be used in conjunction with specific \
                    entity flags";
        return Err(Failure::Usage(told.to_owned()));
    }
    let mut kinds: Vec<Kind> = typed.iter().filter_map(|text| kind_of(text)).collect();
    let has_others = kinds.len() < typed.len()
        || ["topic", "broker", "broker-logger", "group", "client-metrics", "broker-defaults"]
            .iter()
            .any(|option| options.has(option));
    let given = options.in_order(&["entity-name", "entity-default"]);
    let mut names: Vec<String> = given.into_iter().map(|(_, name)| name.to_owned()).collect();
    for &(kind, option) in KINDS {
        if let Some(name) = options.get(option) {
            kinds.push(kind);
            names.push(name.to_owned());
        }
    }
    for &(kind, option) in KINDS {
        if options.has(&format!("{option}-defaults")) {
            kinds.push(kind);
            names.push(String::new());
        }
    }
    if kinds.is_empty() {
        return Ok(None);
    }
    let are_a_pair = matches!(kinds[..], [Kind::User, Kind::Client] | [Kind::Client, Kind::User]);
    if has_others || (kinds.len() > 1 && !are_a_pair) {
        let told = "Only --entity-type users and --entity-type clients can be given together";
        return Err(Failure::Usage(told.to_owned()));
    }
    if names.len() > kinds.len() {
        return Err(Failure::Usage("More entity names specified than entity types".to_owned()));
    }
    let mut names = names.into_iter();
    Ok(Some(Entities(kinds.into_iter().map(|kind| (kind, names.next())).collect())))
}

impl Entities {
    fn has(&self, kind: Kind) -> bool {
        self.0.iter().any(|(one, _)| *one == kind)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(_, name)| name.as_deref())
    }

    fn filters(&self) -> Vec<QuotaFilter> {
        let filters = self.0.iter().map(|(kind, name)| QuotaFilter {
            entity_type: kind.wire().to_owned(),
            of: match name.as_deref() {
                None => QuotaMatch::Any,
                Some("") => QuotaMatch::Default,
                Some(name) => QuotaMatch::Exact(name.to_owned()),
            },
        });
        filters.collect()
    }
}

pub(super) async fn describe(
    admin: &Admin,
    entities: &Entities,
    mut out: Out,
) -> Result<Out, Failure> {
    for (entity, quotas) in admin.describe_client_quotas(&entities.filters(), true).await? {
        let parts = [Kind::User, Kind::Client, Kind::Ip].into_iter().filter_map(|kind| {
            Some(match entity.get(kind.wire())? {
                Some(name) => format!("{} '{name}'", kind.told()),
                None => format!("the default {}", kind.told()),
            })
        });
        let about = parts.collect::<Vec<_>>().join(", ");
        // As Java writes a number.
        let quotas: Vec<String> =
            quotas.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
        out.line(format!("Quota configs for {about} are {}", quotas.join(", ")))?;
    }
    // Credentials belong to users that are named, or to all of them.
    let is_of_users = entities.has(Kind::User) && !entities.has(Kind::Client);
    if is_of_users && entities.names().all(|name| !name.is_empty()) {
        let users: Vec<String> = entities.names().map(str::to_owned).collect();
        for (user, credentials) in admin.describe_scram_credentials(&users).await? {
            let Ok(credentials) = credentials else { continue };
            let credentials: Vec<String> = credentials
                .iter()
                .map(|(mechanism, iterations)| {
                    format!("{}=iterations={iterations}", mechanism.name())
                })
                .collect();
            out.line(format!(
                "SCRAM credential configs for user-principal '{user}' are {}",
                credentials.join(", ")
            ))?;
        }
    }
    Ok(out)
}

pub(super) async fn alter(
    admin: &Admin,
    options: &Options,
    entities: &Entities,
    mut out: Out,
) -> Result<Out, Failure> {
    if entities.names().count() < entities.0.len() {
        let told = "An entity name or default must be given for each entity type with --alter";
        return Err(Failure::Usage(told.to_owned()));
    }
    let Changes { set, deleted } = Changes::of(options)?;
    let is_scram = |key: &str| mechanism(key).is_some();
    let keys = set.iter().map(|(key, _)| key.as_str()).chain(deleted.iter().map(String::as_str));
    let scram_count = keys.clone().filter(|key| is_scram(key)).count();
    if scram_count == 0 {
        alter_quotas(admin, entities, &set, &deleted).await?;
    } else {
        let is_of_users = entities.has(Kind::User) && !entities.has(Kind::Client);
        if !is_of_users {
            let told = "Only quota configs can be added for 'clients' and 'ips'";
            return Err(anyhow!(told).into());
        }
        if entities.names().any(str::is_empty) {
            let told = "The use of --entity-default or --user-defaults is not allowed with User \
                        SCRAM Credentials using --bootstrap-server.";
            return Err(anyhow!(told).into());
        }
        if scram_count < keys.count() {
            let told = "Cannot alter both quota and SCRAM credential configs simultaneously for \
                        'users' using --bootstrap-server.";
            return Err(anyhow!(told).into());
        }
        for user in entities.names() {
            alter_credentials(admin, user, &set, &deleted).await?;
        }
    }
    let (kind, name) = (entities.0[0].0.singular(), entities.0[0].1.as_deref().unwrap_or_default());
    out.line(match name {
        "" => format!("Completed updating default config for {kind}s in the cluster."),
        name => format!("Completed updating config for {kind} {name}."),
    })?;
    Ok(out)
}

async fn alter_quotas(
    admin: &Admin,
    entities: &Entities,
    set: &[(String, String)],
    deleted: &[String],
) -> Result<(), Failure> {
    let entity: QuotaEntity = entities
        .0
        .iter()
        .map(|(kind, name)| (kind.wire().to_owned(), name.clone().filter(|name| !name.is_empty())))
        .collect();
    let mut changes: BTreeMap<String, Option<f64>> = BTreeMap::new();
    for (key, value) in set {
        let number = value
            .trim()
            .parse()
            .map_err(|_| anyhow!("Cannot parse quota configuration value for {key}: {value}"))?;
        changes.insert(key.clone(), Some(number));
    }
    let present = admin.describe_client_quotas(&entities.filters(), true).await?;
    let present = present.get(&entity);
    let unknown: Vec<&str> = deleted
        .iter()
        .filter(|key| present.is_none_or(|present| !present.contains_key(*key)))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        return Err(anyhow!("Invalid config(s): {}", unknown.join(",")).into());
    }
    changes.extend(deleted.iter().map(|key| (key.clone(), None)));
    for (_, result) in admin.alter_client_quotas([(entity, changes)]).await? {
        result?;
    }
    Ok(())
}

fn mechanism(key: &str) -> Option<ScramMechanism> {
    [ScramMechanism::Sha256, ScramMechanism::Sha512].into_iter().find(|one| one.name() == key)
}

async fn alter_credentials(
    admin: &Admin,
    user: &str,
    set: &[(String, String)],
    deleted: &[String],
) -> Result<(), Failure> {
    let mut changes = Vec::new();
    for (key, text) in set {
        if let Some(mechanism) = mechanism(key) {
            changes.push(credential(admin, user, mechanism, text)?);
        }
    }
    for mechanism in deleted.iter().filter_map(|key| mechanism(key)) {
        changes.push(ScramChange::Delete { user: user.to_owned(), mechanism });
    }
    for (_, result) in admin.alter_scram_credentials(changes).await? {
        result?;
    }
    Ok(())
}

/// From `iterations=8192,password=…`; only the hash leaves this process.
fn credential(
    admin: &Admin,
    user: &str,
    mechanism: ScramMechanism,
    text: &str,
) -> Result<ScramChange, Failure> {
    const ITERATIONS_MIN: u32 = 4096;
    const ITERATIONS_MAX: u32 = 16_384;
    const SALT_BYTES: usize = 32;
    let given: BTreeMap<String, String> = assignments(text)?.into_iter().collect();
    let password = given.get("password").filter(|password| !password.is_empty());
    let password = password
        .ok_or_else(|| anyhow!("{} needs password=… in its [brackets]", mechanism.name()))?;
    let iterations: u32 = match given.get("iterations") {
        None => ITERATIONS_MIN,
        Some(text) => text.parse().map_err(|_| anyhow!("iterations={text} is no number"))?,
    };
    if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
        return Err(anyhow!(
            "iterations={iterations} is not between {ITERATIONS_MIN} and {ITERATIONS_MAX}"
        )
        .into());
    }
    let mut salt = vec![0; SALT_BYTES];
    admin.client().env().rng.fill(&mut salt);
    let hash = match mechanism {
        ScramMechanism::Sha256 => ScramHash::Sha256,
        ScramMechanism::Sha512 => ScramHash::Sha512,
    };
    let salted = hash.salted_password(password.as_bytes(), &salt, iterations);
    Ok(ScramChange::Upsert {
        user: user.to_owned(),
        mechanism,
        iterations: i32::try_from(iterations).unwrap_or(i32::MAX),
        salt: Bytes::from(salt),
        salted_password: Bytes::from(salted),
    })
}
