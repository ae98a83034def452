//! How a test says that it could not run here.

use std::io::Write;

/// Prints `skipped: <what>: <why>` on stderr, in the one form that the test totals count.
///
/// A runner that hides the output of passing tests sets `AFLUENTE_SKIPPED` to a file; the line is appended there too.
pub fn skipped(what: &str, why: &str) {
    let line = format!("skipped: {what}: {}\n", why.replace('\n', " "));
    // A test that cannot say that it was skipped must not pass for one that ran.
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
    if let Some(path) = std::env::var_os("AFLUENTE_SKIPPED") {
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .unwrap_or_else(|error| panic!("could not write {}: {error}", path.display()));
    }
}
