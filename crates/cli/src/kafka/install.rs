//! `afluente tools install DIR`: links by Kafka's names, so that scripts and fingers find them.

use super::kafkas_names;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(crate) struct ToolsArguments {
    #[command(subcommand)]
    command: ToolsCommand,
}

#[derive(Subcommand)]
enum ToolsCommand {
    /// Put links named as Kafka's tools (`kafka-topics`, `kafka-topics.sh`, …) into a directory.
    Install {
        /// The directory; it is made if it is not there.
        dir: PathBuf,
        /// Replace what has one of the names and is no link to this binary.
        #[arg(long)]
        force: bool,
    },
}

#[allow(
    clippy::disallowed_methods,
    reason = "makes links in a directory that the user names on the command line"
)]
pub(crate) fn run(arguments: ToolsArguments) -> anyhow::Result<()> {
    let ToolsCommand::Install { dir, force } = arguments.command;
    let binary = std::env::current_exe().context("could not find out where this binary is")?;
    std::fs::create_dir_all(&dir)
        .with_context(|| format!("could not make the directory {}", dir.display()))?;
    let mut count = 0;
    for name in kafkas_names() {
        for suffix in ["", ".sh"] {
            link(&binary, &dir.join(format!("{name}{suffix}")), force)?;
            count += 1;
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{count} links to {} in {}", binary.display(), dir.display())?;
    Ok(())
}

#[allow(
    clippy::disallowed_methods,
    reason = "makes links in a directory that the user names on the command line"
)]
fn link(binary: &Path, at: &Path, force: bool) -> anyhow::Result<()> {
    if let Ok(found) = std::fs::symlink_metadata(at) {
        if !found.is_symlink() && !force {
            bail!("{} is there already and is no link; --force replaces it", at.display());
        }
        std::fs::remove_file(at).with_context(|| format!("could not replace {}", at.display()))?;
    }
    std::os::unix::fs::symlink(binary, at)
        .with_context(|| format!("could not make the link {}", at.display()))
}
