//! UpdateFeatures (KIP-584): which level of a feature the cluster has agreed on.

use super::Refusal;
use crate::image::{METADATA_VERSION, MetadataImage};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::feature_level_record::FeatureLevelRecord;
use std::ops::RangeInclusive;

/// What may be done to get to a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureMove {
    /// Up only.
    Upgrade,
    /// Down too, where nothing is lost.
    SafeDowngrade,
    /// Down too, whatever is lost.
    UnsafeDowngrade,
}

/// A level that a feature is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureUpdate<'a> {
    /// Its name.
    pub name: &'a str,
    /// The level; 0 takes the feature away.
    pub level: i16,
    /// What may be done for it.
    pub by: FeatureMove,
}

/// Changes the level of one feature, of which `supported` levels can be done here, by the controller
/// of this id.
///
/// # Errors
/// `INVALID_UPDATE_VERSION`, with the reason.
pub fn update_feature(
    image: &MetadataImage,
    update: FeatureUpdate<'_>,
    supported: Option<RangeInclusive<i16>>,
    node_id: i32,
) -> Result<Option<MetadataRecord>, Refusal> {
    let FeatureUpdate { name, level, by } = update;
    let refused = |why: &str| {
        let message = format!("Invalid update version {level} for feature {name}. {why}");
        (ErrorCode::InvalidUpdateVersion, message)
    };
    if level < 0 {
        return Err(refused("A feature version cannot be less than 0."));
    }
    let Some(supported) = supported else {
        return Err(refused(&format!("Local controller {node_id} does not support this feature.")));
    };
    if !supported.contains(&level) {
        let (min, max) = (supported.start(), supported.end());
        let why = format!("Local controller {node_id} only supports versions {min}-{max}");
        return Err(refused(&why));
    }
    let present = image.features().get(name).copied().unwrap_or(0);
    if level == present {
        return Ok(None);
    }
    let is_downgrade = level < present;
    if is_downgrade && by == FeatureMove::Upgrade {
        return Err(refused(
            "Can't downgrade the version of this feature without setting the upgrade type to \
             either safe or unsafe downgrade.",
        ));
    }
    if !is_downgrade && by != FeatureMove::Upgrade {
        return Err(refused("Can't downgrade to a newer version."));
    }
    if is_downgrade && name == METADATA_VERSION {
        let message = format!(
            "Invalid metadata.version {level}. {}",
            if by == FeatureMove::UnsafeDowngrade {
                "Unsafe metadata downgrade is not supported in this version."
            } else {
                "Refusing to perform the requested downgrade because it might delete metadata \
                 information."
            }
        );
        return Err((ErrorCode::InvalidUpdateVersion, message));
    }
    Ok(Some(MetadataRecord::FeatureLevel(FeatureLevelRecord {
        name: name.to_owned(),
        feature_level: level,
    })))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn levels_go_up_freely_and_down_only_when_that_is_meant() {
        use FeatureMove::{SafeDowngrade, UnsafeDowngrade, Upgrade};
        let mut image = MetadataImage::default();
        let set = |image: &mut MetadataImage, name: &str, level, by, max| {
            let update = FeatureUpdate { name, level, by };
            let record = update_feature(image, update, Some(0..=max), 0)?;
            record.map(|record| image.apply(record).unwrap());
            Ok::<i16, Refusal>(image.features().get(name).copied().unwrap_or(0))
        };
        assert_eq!(set(&mut image, "group.version", 1, Upgrade, 1), Ok(1));
        assert_eq!(set(&mut image, "group.version", 1, SafeDowngrade, 1), Ok(1));
        assert!(set(&mut image, "group.version", 0, Upgrade, 1).is_err());
        assert!(set(&mut image, "group.version", 2, Upgrade, 1).is_err());
        assert_eq!(set(&mut image, "group.version", 0, SafeDowngrade, 1), Ok(0));
        assert!(set(&mut image, "group.version", 1, UnsafeDowngrade, 1).is_err());
        assert_eq!(set(&mut image, METADATA_VERSION, 30, Upgrade, 30), Ok(30));
        assert!(set(&mut image, METADATA_VERSION, 25, UnsafeDowngrade, 30).is_err());
        let unknown = FeatureUpdate { name: "x", level: 1, by: Upgrade };
        assert!(update_feature(&image, unknown, None, 0).is_err());
    }
}
