//! Figures of the process, by the names that Prometheus' own client libraries use. Where the system
//! has no `/proc`, there are none.

use super::Exposition;
use afluente_env::disk::{Access, Disk, OpenHow, read_up_to};
use std::path::Path;

/// Processor time in `/proc` is counted in these, on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// The largest file of these.
const PROC_FILE_BYTES_MAX: usize = 16 << 10;

pub(crate) fn expose(disk: &dyn Disk, page: &mut Exposition) {
    let status = read(disk, "/proc/self/status").unwrap_or_default();
    if let Some(kib) = field(&status, "VmRSS:") {
        let bytes = i64::try_from(kib.saturating_mul(1024)).unwrap_or(i64::MAX);
        page.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.", bytes);
    }
    if let Some(threads) = field(&status, "Threads:") {
        page.gauge("process_threads", "Threads.", i64::try_from(threads).unwrap_or(i64::MAX));
    }
    if let Some(ticks) = read(disk, "/proc/self/stat").and_then(|stat| cpu_ticks(&stat)) {
        page.family("process_cpu_seconds_total", "Processor time.", "counter");
        let us = ticks.saturating_mul(1_000_000 / TICKS_PER_SECOND);
        page.sample("process_cpu_seconds_total", "", &super::histogram::seconds(us));
    }
}

fn read(disk: &dyn Disk, path: &str) -> Option<String> {
    let file = disk.open(Path::new(path), OpenHow::buffered(Access::Read)).ok()?;
    let mut bytes = vec![0; PROC_FILE_BYTES_MAX];
    let len = read_up_to(file.as_ref(), &mut bytes, 0).ok()?;
    bytes.truncate(len);
    String::from_utf8(bytes).ok()
}

/// The first number behind a name.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time. The name of the program, which may hold anything, is in parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_linux_are_read() {
        assert_eq!(field("Name:\tx\nVmRSS:\t   5284 kB\nThreads:\t7\n", "VmRSS:"), Some(5284));
        assert_eq!(field("Name:\tx\n", "VmRSS:"), None);
        let stat = "1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 123 45 0 0 20 0";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks(""), None);
    }
}
