//! `afluente-bench storage-recovery`: how long a directory takes to open after its process was
//! killed, and with many idle partitions.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use afluente_storage::log_config::Durability;
use anyhow::{Context as _, Result, ensure};

use super::{Bed, pool};
use crate::arguments::Arguments;
use crate::measure::{CpuOf, Measure, Meter, Run, in_rounds};

pub(crate) const OPTIONS: &str = "\
--dir DIR         where (the current directory)
--size-mib N      how much is appended before the kill (2048)
--partitions N    idle partitions (100000)";

const SIZE_MIB_DEFAULT: u64 = 2048;
const PARTITIONS_DEFAULT: usize = 100_000;

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    if let Some(victim) = arguments.take::<PathBuf>("--as-victim")? {
        let size_mib = arguments.take("--size-mib")?.unwrap_or(SIZE_MIB_DEFAULT);
        return be_killed(&victim, size_mib << 20);
    }
    let dir: PathBuf = arguments.take("--dir")?.unwrap_or_else(|| PathBuf::from("."));
    let size_mib = arguments.take("--size-mib")?.unwrap_or(SIZE_MIB_DEFAULT);
    let partitions = arguments.take("--partitions")?.unwrap_or(PARTITIONS_DEFAULT);
    let common = arguments.finish()?;
    let dir = dir.as_path();
    let measures = vec![
        Measure::new(format!("open after kill -9 with {size_mib} MiB appended"), move || {
            after_kill(dir, size_mib)
        }),
        Measure::new(format!("open with {partitions} idle partitions"), move || {
            idle(dir, partitions)
        }),
    ];
    in_rounds(measures, &common)?.report("storage-recovery", &common)
}

/// Appends until everything is durable, says so, and waits to be killed.
fn be_killed(dir: &Path, size_bytes: u64) -> Result<()> {
    let bed = Bed::make(dir, 10, Durability::Sync)?;
    bed.fill(&pool(16 << 10)?, size_bytes)?;
    bed.wait_durable();
    println!("durable");
    loop {
        std::thread::park();
    }
}

fn after_kill(dir: &Path, size_mib: u64) -> Result<Run> {
    let dir = tempfile::tempdir_in(dir)?;
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["storage-recovery", "--as-victim"])
        .arg(dir.path())
        .args(["--size-mib", &size_mib.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = victim.stdout.take().context("it is piped")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
    victim.kill()?;
    victim.wait()?;
    ensure!(line.trim() == "durable", "the process to be killed said \"{line}\"");
    let meter = Meter::start(CpuOf::Process);
    let bed = Bed::reopen(dir.path())?;
    let run = meter.stop(size_mib << 20, 1);
    ensure!(bed.logs.len() == 10, "{} of 10 logs came back", bed.logs.len());
    bed.dir.close()?;
    Ok(run)
}

fn idle(dir: &Path, partitions: usize) -> Result<Run> {
    let dir = tempfile::tempdir_in(dir)?;
    let bed = Bed::make(dir.path(), partitions, Durability::Sync)?;
    bed.dir.close()?;
    let before = resident_bytes()?;
    let meter = Meter::start(CpuOf::Process);
    let bed = Bed::reopen(dir.path())?;
    let run = meter.stop(0, 1);
    let grown = resident_bytes()?.saturating_sub(before);
    eprintln!("{} MiB more resident with {partitions} idle partitions", grown >> 20);
    ensure!(bed.logs.len() == partitions, "{} logs came back", bed.logs.len());
    bed.dir.close()?;
    Ok(run)
}

fn resident_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split_whitespace().nth(1).context("statm has a second number")?;
    Ok(pages.parse::<u64>()? * 4096)
}
