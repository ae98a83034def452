//! Figures of the log directory.

use super::Exposition;
use afluente_storage::{DirState, LogDir};

pub(crate) fn expose(log_dir: &LogDir, page: &mut Exposition) {
    let figures = log_dir.figures();
    let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let (is_online, is_full) = match log_dir.state() {
        DirState::Online => (1, 0),
        DirState::Full => (1, 1),
        DirState::Offline(_) => (0, 0),
    };
    page.gauge("afluente_log_dir_online", "Whether the log directory works.", is_online);
    page.gauge("afluente_log_dir_full", "Whether the log directory has no room left.", is_full);
    page.counter("afluente_log_commits_total", "Group commits of the journal.", figures.commits);
    page.counter(
        "afluente_log_journal_bytes_total",
        "Bytes written to the journal.",
        figures.journal_bytes,
    );
    page.family(
        "afluente_log_commit_seconds_total",
        "Time that group commits took, together.",
        "counter",
    );
    page.sample(
        "afluente_log_commit_seconds_total",
        "",
        &super::histogram::seconds(figures.commit_ns / 1000),
    );
    page.counter(
        "afluente_log_segment_bytes_total",
        "Bytes written to segments.",
        figures.segment_bytes,
    );
    page.counter(
        "afluente_log_checkpoints_total",
        "Checkpoints of the log directory.",
        figures.checkpoints,
    );
    page.gauge(
        "afluente_log_tail_bytes",
        "Memory of the newest records.",
        gauge(figures.tail_bytes),
    );
    page.gauge(
        "afluente_log_dirty_bytes",
        "Records that are not in the segments yet.",
        gauge(figures.dirty_bytes),
    );
    page.gauge(
        "afluente_log_journal_uncovered_bytes",
        "Journal that a start after a crash has to read.",
        gauge(figures.journal_uncovered_bytes),
    );
}
