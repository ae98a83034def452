//! What the real Apache Kafka once wrote, kept in the repository so that it can be read without Java.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::java::output_of;

/// Where the archives are.
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/storage/tests/fixtures")
}

/// Unpacks `kafka-4.3.1.tar.gz`, two data directories and what a client saw of each; its README tells the rest.
pub fn kafka_node() -> Result<TempDir> {
    let target = tempfile::Builder::new().prefix("afluente-fixture-").tempdir()?;
    let archive = dir().join("kafka-4.3.1.tar.gz");
    output_of(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(target.path()))?;
    Ok(target)
}
