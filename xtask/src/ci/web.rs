//! The front end of the console, in `web/`: is what is committed in `dist` what the sources make, and does it hold up
//! in a browser? Needs Node; the tests need Chromium too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::totals::Totals;
use super::{Outcome, execute};

/// What `web/package.json` asks for.
const NODE_VERSION_MIN: (u32, u32) = (20, 19);

const CHROMIUM: &[&str] =
    &["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/// Whose installed packages these are: the lock file that they came from lies among them.
const INSTALLED_LOCK: &str = "node_modules/.installed-from-lock.json";

pub(super) fn run() -> Result<Outcome> {
    let web = crate::root().join("web");
    if let Some(why) = lacks_node() {
        println!("skipped: web: {why}");
        return Ok(Outcome {
            succeeded: true,
            totals: Totals { skipped: 1, ..Totals::NONE },
            lacking: 1,
        });
    }
    install(&web)?;
    if !npm(&web, &["run", "--silent", "check"])? || !node(&web, &["scripts/same.mjs"])? {
        return Ok(Outcome::of_check(false));
    }
    let (succeeded, lines) = execute(
        Command::new("node").args(["--test", "--test-reporter=spec", "tests/"]).current_dir(&web),
        |_| true,
    )?;
    let mut outcome = Outcome::of_tests(succeeded, Totals::from_node(&lines));
    if !CHROMIUM.iter().any(|path| Path::new(path).exists())
        && std::env::var_os("CHROMIUM").is_none()
    {
        println!("skipped: web tests: no Chromium (Debian: apt-get install chromium)");
        outcome.lacking = 1;
    }
    Ok(outcome)
}

/// Why there is no Node that will do.
fn lacks_node() -> Option<String> {
    let Ok(output) = Command::new("node").arg("--version").output() else {
        return Some("no Node".to_owned());
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let is_new_enough = parse_version(&version).is_some_and(|version| version >= NODE_VERSION_MIN);
    (!is_new_enough).then(|| {
        format!("Node {version} is older than {}.{}", NODE_VERSION_MIN.0, NODE_VERSION_MIN.1)
    })
}

/// `v20.19.1` is (20, 19).
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix('v')?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Installs the packages that the lock file names, unless they are there.
fn install(web: &Path) -> Result<()> {
    let lock_path = web.join("package-lock.json");
    let lock = std::fs::read(&lock_path)
        .with_context(|| format!("could not read {}", lock_path.display()))?;
    let installed: PathBuf = web.join(INSTALLED_LOCK);
    if std::fs::read(&installed).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    ensure!(
        npm(
            web,
            &["ci", "--ignore-scripts", "--no-progress", "--prefer-offline", "--loglevel=error"]
        )?,
        "could not install the packages of web/package-lock.json"
    );
    std::fs::write(&installed, lock)
        .with_context(|| format!("could not write {}", installed.display()))
}

fn npm(web: &Path, arguments: &[&str]) -> Result<bool> {
    succeeds(Command::new("npm").args(arguments).current_dir(web))
}

fn node(web: &Path, arguments: &[&str]) -> Result<bool> {
    succeeds(Command::new("node").args(arguments).current_dir(web))
}

fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("could not run {command:?}"))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_compared_by_number() {
        assert_eq!(parse_version("v20.19.1"), Some((20, 19)));
        assert!(parse_version("v20.9.0") < Some(NODE_VERSION_MIN));
        assert_eq!(parse_version("20.19.1"), None);
        assert_eq!(parse_version(""), None);
    }
}
