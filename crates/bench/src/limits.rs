//! `afluente-bench limits`: what disk, memory and loopback of this machine can do at best.
//!
//! Every other figure is to be read beside these, from the same run of the same machine: a log
//! that reaches 90 % of a slow disk is good, whatever the number.

pub(crate) mod disk;
mod memory;
mod net;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::arguments::Arguments;
use crate::measure::in_rounds;

pub(crate) const OPTIONS: &str = "\
--dir DIR         measure the disk that holds it (the current directory)
--size-mib N      how much a run writes or reads (512)";

const SIZE_MIB_DEFAULT: u64 = 512;

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let dir: PathBuf = arguments.take("--dir")?.unwrap_or_else(|| PathBuf::from("."));
    let size_bytes = arguments.take("--size-mib")?.unwrap_or(SIZE_MIB_DEFAULT) << 20;
    let common = arguments.finish()?;

    let scratch = tempfile::Builder::new()
        .prefix("afluente-bench-")
        .tempdir_in(&dir)
        .with_context(|| format!("could not make a folder in {}", dir.display()))?;
    let mut measures = disk::measures(scratch.path(), size_bytes);
    measures.extend(memory::measures());
    measures.extend(net::measures());
    in_rounds(measures, &common)?.report("limits", &common)
}
