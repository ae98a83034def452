//! The log of the process: for people on a terminal, JSON otherwise, always on standard error.

use std::io::{IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// The variable that sets levels, as `info` or `afluente_broker=debug,warn`.
const LEVELS: &str = "AFLUENTE_LOG";

/// Starts logging.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env(LEVELS).unwrap_or_else(|_| EnvFilter::new("info"));
    // Whoever read the log may be gone. To say so on standard error would panic, and take the
    // request down that was being logged.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).init();
    } else {
        builder.json().flatten_event(true).with_ansi(false).init();
    }
}

/// Says why the command failed, cause by cause.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut out = std::io::stderr().lock();
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(out, "afluente: {error:#}");
}

/// Starts logging for a tool, of which only warnings are of interest.
pub(crate) fn start_quietly() {
    let filter = EnvFilter::try_from_env(LEVELS).unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
}
