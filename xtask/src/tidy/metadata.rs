//! The packages of the workspace and what they stand on, as `cargo metadata` tells it.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// Sorted by name.
    pub(crate) members: Vec<Package>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// From the root of the repository.
    pub(crate) manifest_path: String,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Dev,
    Build,
}

impl Metadata {
    pub(crate) fn of_repository(root: &Path) -> Result<Self> {
        let output = crate::cargo()
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .output()
            .context("could not start cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let all: Whole =
            serde_json::from_slice(&output.stdout).context("could not read cargo's metadata")?;
        let mut members = all.packages;
        for member in &mut members {
            let path = Path::new(&member.manifest_path);
            member.manifest_path =
                path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { members })
    }
}

#[derive(Deserialize)]
struct Whole {
    packages: Vec<Package>,
}
