//! `kafka-features`: features of the cluster and their levels.
//!
//! `--release-version`, `version-mapping` and `feature-dependencies` are not there.

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Running, Tool};
use afluente_client::Admin;
use afluente_client::admin::cluster::{FeatureUpdate, UpgradeDirection};

pub(super) const TOOL: Tool = Tool {
    name: "features",
    about: "Show the features of the cluster (describe), or change their levels (upgrade, \
            downgrade, disable).",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    value("feature", "NAME=LEVEL", "With upgrade, downgrade: the new level; may be repeated."),
    value("metadata", "LEVEL", "As --feature metadata.version=LEVEL, by number."),
    flag("unsafe", "With downgrade, disable: though something may be lost."),
    flag("dry-run", "Only say whether it could be done."),
];

/// The releases of the levels of `metadata.version`, from level 7 on.
const METADATA_VERSIONS: &[&str] = &[
    "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2",
    "3.7-IV0", "3.7-IV1", "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0",
    "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0", "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0",
];
const FIRST_METADATA_LEVEL: i16 = 7;

fn run(admin: Admin, options: Options, mut out: Out) -> Running {
    Box::pin(async move {
        let action = match options.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [action @ ("describe" | "upgrade" | "downgrade" | "disable")] => action,
            _ => {
                let told = "Say what to do: describe, upgrade, downgrade or disable";
                return Err(Failure::Usage(told.to_owned()));
            }
        };
        if action == "describe" {
            return describe(&admin, out).await;
        }
        let direction = match (action, options.has("unsafe")) {
            ("upgrade", _) => UpgradeDirection::Upgrade,
            (_, false) => UpgradeDirection::SafeDowngrade,
            (_, true) => UpgradeDirection::UnsafeDowngrade,
        };
        let updates = updates(&options, action == "disable", direction)?;
        let is_dry = options.has("dry-run");
        admin.update_features(&updates, is_dry).await?;
        let (can, verb) = if is_dry { ("can be ", action) } else { ("was ", action) };
        for update in updates {
            let level = shown(&update.feature, update.level);
            let done = match verb {
                "disable" => format!("{} {can}disabled.", update.feature),
                verb => format!("{} {can}{verb}d to {level}.", update.feature),
            };
            out.line(done)?;
        }
        Ok(out)
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

fn shown(feature: &str, level: i16) -> String {
    let index = usize::try_from(level - FIRST_METADATA_LEVEL).ok();
    let release = index.and_then(|index| METADATA_VERSIONS.get(index));
    match release {
        Some(release) if feature == "metadata.version" => (*release).to_owned(),
        _ => level.to_string(),
    }
}

fn updates(
    options: &Options,
    is_off: bool,
    direction: UpgradeDirection,
) -> Result<Vec<FeatureUpdate>, Failure> {
    let mut updates = Vec::new();
    let metadata = options.get("metadata").map(|level| format!("metadata.version={level}"));
    for text in options.all("feature").into_iter().map(str::to_owned).chain(metadata) {
        let (feature, level) = match text.split_once('=') {
            Some((feature, level)) => (feature.to_owned(), level.parse().ok()),
            None if is_off => (text.clone(), Some(0)),
            None => (text.clone(), None),
        };
        let level = level.ok_or_else(|| {
            Failure::Usage(format!("--feature {text} is not NAME=LEVEL with a number"))
        })?;
        updates.push(FeatureUpdate { feature, level, direction });
    }
    if updates.is_empty() {
        return Err(Failure::Usage("Missing required argument \"[feature]\"".to_owned()));
    }
    Ok(updates)
}
