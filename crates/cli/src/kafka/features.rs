//! `kafka-features`: features of the cluster and their levels.

use super::options::{Options, Spec, flag, value};
use super::out::{Out, complain};
use super::{Failure, Run, Running, Tool, brokers_words};
use afluente_client::Admin;
use afluente_client::admin::cluster::{FeatureUpdate, UpgradeDirection};
use anyhow::anyhow;
use std::collections::BTreeMap;

pub(super) const TOOL: Tool = Tool {
    name: "features",
    about: "Show the features of the cluster (describe), change their levels (upgrade, downgrade, \
            disable), or show what Kafka's releases have (version-mapping, feature-dependencies).",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    value("feature", "NAME=LEVEL", "With upgrade, downgrade: the new level; may be repeated."),
    value("metadata", "LEVEL", "As --feature metadata.version=LEVEL, by number or release."),
    value("release-version", "RELEASE", "All features as of this release, such as 4.3-IV0."),
    flag("unsafe", "With downgrade, disable: though something may be lost."),
    flag("dry-run", "Only say whether it could be done."),
];

/// The releases of the levels of `metadata.version`, from level 7 on.
const METADATA_VERSIONS: &[&str] = &[
    "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2",
    "3.7-IV0", "3.7-IV1", "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0",
    "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0", "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0",
    "4.4-IV0",
];
const FIRST_METADATA_LEVEL: i16 = 7;
/// The level of `metadata.version` in Kafka 4.3; the one behind it is not released.
const RELEASED_LEVEL: i16 = 30;
const METADATA: &str = "metadata.version";

/// A feature: how high its levels are, and from which `metadata.version` on a cluster that is
/// made new has which.
struct Feature {
    name: &'static str,
    level_max: i16,
    default: (i16, i16),
}

/// In the order in which Kafka's tool lists them, beside `metadata.version`.
const FEATURES: &[Feature] = &[
    Feature { name: "kraft.version", level_max: 1, default: (21, 1) },
    Feature { name: "transaction.version", level_max: 2, default: (24, 2) },
    Feature { name: "group.version", level_max: 1, default: (22, 1) },
    Feature { name: "eligible.leader.replicas.version", level_max: 1, default: (26, 1) },
    Feature { name: "share.version", level_max: 1, default: (28, 1) },
    Feature { name: "streams.version", level_max: 1, default: (29, 1) },
];

fn run(admin: Admin, options: Options, out: Out) -> Running {
    Box::pin(async move {
        match options.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["describe"] => describe(&admin, out).await,
            ["version-mapping"] => version_mapping(&options, out),
            ["feature-dependencies"] => dependencies(&options, out),
            [action @ ("upgrade" | "downgrade" | "disable")] => {
                update(&admin, &options, action, out).await
            }
            _ => {
                let told = "Say what to do: describe, upgrade, downgrade, disable, \
                            version-mapping or feature-dependencies";
                Err(Failure::Usage(told.to_owned()))
            }
        }
    })
}

async fn describe(admin: &Admin, mut out: Out) -> Result<Out, Failure> {
    let mut brokers = admin.broker_versions().await?;
    let first = brokers.pop_first().map(|(_, versions)| versions).transpose()?;
    let Some(versions) = first else { return Ok(out) };
    let epoch = match versions.finalized_features_epoch {
        -1 => "-".to_owned(),
        epoch => epoch.to_string(),
    };
    for (feature, (min, max)) in &versions.supported_features {
        let level = versions.feature(feature);
        out.line(format!(
            "Feature: {feature:<42}SupportedMinVersion: {:<17}SupportedMaxVersion: \
             {:<17}FinalizedVersionLevel: {:<17}Epoch: {epoch}",
            shown(feature, *min),
            shown(feature, *max),
            shown(feature, level),
        ))?;
    }
    Ok(out)
}

/// The level as people know it: for `metadata.version` the release.
fn shown(feature: &str, level: i16) -> String {
    match release(level) {
        Some(release) if feature == METADATA => release.to_owned(),
        _ => level.to_string(),
    }
}

fn release(level: i16) -> Option<&'static str> {
    let index = usize::try_from(level - FIRST_METADATA_LEVEL).ok()?;
    METADATA_VERSIONS.get(index).copied()
}

/// The level of a release; also of one without its `IV`, which is its last.
fn level(release: &str) -> Result<i16, Failure> {
    let is_it = |known: &&str| {
        *known == release || known.strip_prefix(release).is_some_and(|rest| rest.starts_with("-IV"))
    };
    match METADATA_VERSIONS.iter().rposition(is_it) {
        Some(at) => Ok(FIRST_METADATA_LEVEL + i16::try_from(at).unwrap_or(i16::MAX)),
        None => Err(anyhow!(
            "Unknown metadata.version '{release}'. Supported metadata.version are: {}",
            METADATA_VERSIONS.join(", ")
        )
        .into()),
    }
}

/// The levels of all features in a cluster that is made new with this `metadata.version`.
fn levels_of(metadata: i16) -> Vec<(&'static str, i16)> {
    let others = FEATURES.iter().map(|feature| {
        let (from, level) = feature.default;
        (feature.name, if metadata >= from { level } else { 0 })
    });
    [(METADATA, metadata)].into_iter().chain(others).collect()
}

fn version_mapping(options: &Options, mut out: Out) -> Result<Out, Failure> {
    let metadata = match options.get("release-version") {
        Some(release) => level(release)?,
        None => RELEASED_LEVEL,
    };
    for (name, level) in levels_of(metadata) {
        match release(level) {
            Some(release) if name == METADATA => out.line(format!("{name}={level} ({release})"))?,
            _ => out.line(format!("{name}={level}"))?,
        }
    }
    Ok(out)
}

fn dependencies(options: &Options, mut out: Out) -> Result<Out, Failure> {
    for text in options.all("feature") {
        let (name, level) = assignment(text)?;
        let about = if name == METADATA {
            let release =
                release(level).ok_or_else(|| anyhow!("Unknown metadata.version {level}"))?;
            format!("{name}={level} ({release})")
        } else {
            let feature = FEATURES.iter().find(|feature| feature.name == name);
            let feature = feature.ok_or_else(|| anyhow!("Unknown feature: {name}"))?;
            if !(0..=feature.level_max).contains(&level) {
                return Err(anyhow!("No feature:{name} with feature level {level}").into());
            }
            format!("{name}={level}")
        };
        if (name.as_str(), level) == ("eligible.leader.replicas.version", 1) {
            out.line(format!("{about} requires:"))?;
            out.line("    metadata.version=23 (4.0-IV1)")?;
        } else {
            out.line(format!("{about} has no dependencies."))?;
        }
    }
    Ok(out)
}

async fn update(
    admin: &Admin,
    options: &Options,
    action: &str,
    mut out: Out,
) -> Result<Out, Failure> {
    let direction = match (action, options.has("unsafe")) {
        ("upgrade", _) => UpgradeDirection::Upgrade,
        (_, false) => UpgradeDirection::SafeDowngrade,
        (_, true) => UpgradeDirection::UnsafeDowngrade,
    };
    let levels = wanted(options, action == "disable", &mut out)?;
    let updates: Vec<FeatureUpdate> = levels
        .iter()
        .map(|(feature, &level)| FeatureUpdate { feature: feature.clone(), level, direction })
        .collect();
    let is_dry = options.has("dry-run");
    let outcome = admin.update_features(&updates, is_dry).await.map_err(anyhow::Error::from);
    let (can, could) = if is_dry { ("can be", "Can not") } else { ("was", "Could not") };
    for update in &updates {
        let (feature, level) = (&update.feature, update.level);
        let told = match (&outcome, action) {
            (Ok(_), "disable") => format!("{feature} {can} disabled."),
            (Ok(_), verb) => format!("{feature} {can} {verb}d to {level}."),
            (Err(error), "disable") => {
                format!("{could} disable {feature}. {}", brokers_words(error))
            }
            (Err(error), verb) => {
                format!("{could} {verb} {feature} to {level}. {}", brokers_words(error))
            }
        };
        out.line(told)?;
    }
    if outcome.is_err() {
        let count = updates.len();
        complain(&format!("{count} out of {count} operation(s) failed."));
        return Err(Failure::Ended(out));
    }
    Ok(out)
}

/// The levels that the options ask for.
fn wanted(
    options: &Options,
    is_off: bool,
    out: &mut Out,
) -> Result<BTreeMap<String, i16>, Failure> {
    let mut levels = BTreeMap::new();
    if let Some(text) = options.get("metadata") {
        out.line(" `metadata` flag is deprecated and may be removed in a future release.")?;
        let known = text.parse().or_else(|_| level(text))?;
        levels.insert(METADATA.to_owned(), known);
    }
    if let Some(release) = options.get("release-version") {
        if options.has("metadata") || options.has("feature") {
            let told = "Can not specify `release-version` with other feature flags.";
            return Err(anyhow!(told).into());
        }
        let all = levels_of(level(release)?);
        levels.extend(all.into_iter().map(|(name, level)| (name.to_owned(), level)));
    }
    for text in options.all("feature") {
        let (feature, level) = if is_off { (text.to_owned(), 0) } else { assignment(text)? };
        if levels.insert(feature.clone(), level).is_some() {
            return Err(anyhow!("Feature {feature} was specified more than once.").into());
        }
    }
    if levels.is_empty() {
        let told = "You must specify at least one of --feature, --metadata, --release-version";
        return Err(Failure::Usage(told.to_owned()));
    }
    Ok(levels)
}

/// `name=level`.
fn assignment(text: &str) -> Result<(String, i16), Failure> {
    let (name, level) = text.split_once('=').ok_or_else(|| {
        anyhow!("Can't parse feature=level string {text}: equals sign not found.")
    })?;
    let level = level.trim().parse().map_err(|_| {
        anyhow!("Can't parse feature=level string {text}: unable to parse {level} as a short.")
    })?;
    Ok((name.trim().to_owned(), level))
}
