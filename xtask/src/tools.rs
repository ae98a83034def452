//! `cargo xtask tools`: the programs that the checks need, at pinned versions.
//!
//! They are built from source with cargo alone and live in the cache folder, beside each other,
//! under their version: two checkouts that pin different versions do not fight. Built without
//! optimisation, because compiling them costs more than running them ever will.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

/// A program from the registry.
pub(crate) struct Tool {
    package: &'static str,
    version: &'static str,
    /// The name of the executable.
    program: &'static str,
    features: &'static [&'static str],
}

pub(crate) const NEXTEST: Tool = Tool {
    package: "cargo-nextest",
    version: "0.9.151",
    program: "cargo-nextest",
    // Without the updater, which would fetch a binary from the network.
    features: &["--no-default-features", "--features", "default-no-update"],
};
pub(crate) const TYPOS: Tool =
    Tool { package: "typos-cli", version: "1.52.0", program: "typos", features: &[] };
pub(crate) const MACHETE: Tool =
    Tool { package: "cargo-machete", version: "0.9.2", program: "cargo-machete", features: &[] };
pub(crate) const DENY: Tool =
    Tool { package: "cargo-deny", version: "0.20.2", program: "cargo-deny", features: &[] };

const TOOLS: &[&Tool] = &[&NEXTEST, &TYPOS, &MACHETE, &DENY];

pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    if let Some(unknown) = arguments.first() {
        bail!("tools takes no arguments, got \"{unknown}\"");
    }
    install_missing()?;
    for tool in TOOLS {
        println!("{}", tool.path()?.display());
    }
    Ok(true)
}

/// Installs what is missing, one after the other: each build uses all cores by itself.
pub(crate) fn install_missing() -> Result<()> {
    let missing: Vec<&Tool> = {
        let mut missing = Vec::new();
        for tool in TOOLS {
            if !tool.path()?.is_file() {
                missing.push(*tool);
            }
        }
        missing
    };
    if missing.is_empty() {
        return Ok(());
    }
    // Shared by the builds, so that what they have in common is compiled once; then removed.
    let build_folder = cache()?.join("tools-build");
    for tool in missing {
        tool.install(&build_folder)?;
    }
    match std::fs::remove_dir_all(&build_folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", build_folder.display()))
        }
        _ => Ok(()),
    }
}

impl Tool {
    /// Where the program is, or will be.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        Ok(self.folder()?.join("bin").join(self.program))
    }

    fn folder(&self) -> Result<PathBuf> {
        Ok(cache()?.join("tools").join(format!("{}-{}", self.package, self.version)))
    }

    fn install(&self, build_folder: &Path) -> Result<()> {
        println!("installing {} {}", self.package, self.version);
        let start = Instant::now();
        let status = crate::cargo()
            .args(["install", "--quiet", "--locked", "--debug"])
            .args([self.package, "--version", self.version])
            .args(self.features)
            .arg("--root")
            .arg(self.folder()?)
            .env("CARGO_TARGET_DIR", build_folder)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
            .env("CARGO_INCREMENTAL", "0")
            // The flags of this build, `-D warnings` say, are not for other people's code.
            .env_remove("RUSTFLAGS")
            .status()
            .context("could not start cargo install")?;
        ensure!(
            status.success(),
            "could not install {} {}: see what cargo says above; it needs the package registry and a C compiler",
            self.package,
            self.version
        );
        println!("installed {} in {:.0} s", self.package, start.elapsed().as_secs_f64());
        Ok(())
    }
}

/// What outlives a checkout: `$AFLUENTE_CACHE`, or `~/.cache/afluente`.
fn cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("AFLUENTE_CACHE").filter(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let home = std::env::var_os("HOME")
        .context("neither AFLUENTE_CACHE nor HOME is set: where may tools be installed?")?;
    Ok(PathBuf::from(home).join(".cache/afluente"))
}
