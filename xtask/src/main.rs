//! The project's own chores, as one program: `cargo xtask <chore>`.
//!
//! A chore is one row of [`CHORES`] and one file. What runs here runs on a developer's machine and
//! in CI alike; there is no other build script, Makefile or hosted pipeline that knows more.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its terminal"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool of the source tree is not simulated: it reads files and starts programs itself"
)]

mod ci;
mod compat;
mod protocol;
mod tidy;
mod tools;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

/// Something that `cargo xtask` can be asked to do.
struct Chore {
    name: &'static str,
    about: &'static str,
    /// Gets what follows the chore's name. `Ok(false)`: it ran, and what it looked at is not good;
    /// it has said why.
    run: fn(&[String]) -> Result<bool>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "ci",
        about: "everything that must hold before a change lands [--fast] [--strict]",
        run: ci::run,
    },
    Chore {
        name: "compat",
        about: "foreign clients against our binary [--only SUITE,…] [--apache | --bootstrap HOST:PORT]",
        run: compat::run,
    },
    Chore {
        name: "protocol",
        about: "import Kafka's message definitions, generate code from the schema",
        run: protocol::run,
    },
    Chore { name: "tidy", about: "the rules of the house that no compiler checks", run: tidy::run },
    Chore {
        name: "tools",
        about: "install the pinned tools that `ci` needs, where missing",
        run: tools::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<bool> {
    let Some((name, rest)) = arguments.split_first() else {
        bail!("no chore given\n\n{}", usage())
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        println!("{}", usage());
        return Ok(true);
    }
    match CHORES.iter().find(|chore| chore.name == name) {
        Some(chore) => (chore.run)(rest),
        None => bail!("there is no chore \"{name}\"\n\n{}", usage()),
    }
}

fn usage() -> String {
    let mut text = String::from("Usage: cargo xtask <chore> [options]\n\nChores:");
    for chore in CHORES {
        text.push_str(&format!("\n  {:<10}{}", chore.name, chore.about));
    }
    text
}

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the root of the repository")
}

/// Where cargo puts what it builds.
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that runs us, in the root of the repository.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}
