//! `afluente-bench`: every figure that the project claims, each printed by one command.
//!
//! A sub-command is one row of [`SUBCOMMANDS`] and one file. It makes a list of [`measure::Measure`]s
//! and has them run in rounds; medians, processor time, the table and the JSON are the same for all
//! ([`figures`]). A benchmark is not a test: it fails only when it could not measure.
//!
//! Build it with `--release`; figures of a debug build say so.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its terminal"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it measures the real machine, which has no simulation"
)]

mod arguments;
mod client_consume;
mod client_peer;
mod client_produce;
mod connections;
mod coordinator;
mod figures;
mod limits;
mod measure;
mod records;
mod storage;
mod validate;
mod versus;
mod world;

use std::process::ExitCode;

use anyhow::{Result, bail};

use arguments::Arguments;

struct Subcommand {
    name: &'static str,
    about: &'static str,
    /// One line an option, `--name VALUE   what it does`; besides [`arguments::COMMON_HELP`].
    options: &'static str,
    run: fn(Arguments) -> Result<()>,
}

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "connections",
        about: "how much memory idle connections take of a broker",
        options: connections::OPTIONS,
        run: connections::run,
    },
    Subcommand {
        name: "coordinator-load",
        about: "how long groups and their offsets take to load after a start",
        options: coordinator::OPTIONS,
        run: coordinator::run,
    },
    Subcommand {
        name: "limits",
        about: "what disk, memory and loopback of this machine can do at best",
        options: limits::OPTIONS,
        run: limits::run,
    },
    Subcommand {
        name: "records",
        about: "what a record batch costs to check, read, build and compress",
        options: records::OPTIONS,
        run: records::run,
    },
    Subcommand {
        name: "storage-append",
        about: "what durable appends cost, and how long a commit takes",
        options: storage::append::OPTIONS,
        run: storage::append::run,
    },
    Subcommand {
        name: "storage-read",
        about: "what reads from memory and from the disk cost",
        options: storage::read::OPTIONS,
        run: storage::read::run,
    },
    Subcommand {
        name: "storage-recovery",
        about: "how long a log directory takes to open",
        options: storage::recovery::OPTIONS,
        run: storage::recovery::run,
    },
    Subcommand {
        name: "validate",
        about: "what it costs to check what producers send",
        options: validate::OPTIONS,
        run: validate::run,
    },
    Subcommand {
        name: "client-consume",
        about: "what it costs a client to consume, beside librdkafka, from a broker that runs already",
        options: client_consume::OPTIONS,
        run: client_consume::run,
    },
    Subcommand {
        name: "versus",
        about: "ours beside Apache Kafka, with a librdkafka client for both",
        options: versus::OPTIONS,
        run: versus::run,
    },
    Subcommand {
        name: "client-produce",
        about: "what it costs a client to produce, beside librdkafka, to a broker that runs already",
        options: client_produce::OPTIONS,
        run: client_produce::run,
    },
    Subcommand {
        name: "env",
        about: "what our own door to the world costs: clock, doorbells, connections",
        options: world::OPTIONS,
        run: world::run,
    },
];

fn main() -> ExitCode {
    match dispatch(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(mut words: Vec<String>) -> Result<()> {
    if words.is_empty() {
        bail!("which figures?\n\n{}", usage());
    }
    let name = words.remove(0);
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        println!("{}", usage());
        return Ok(());
    }
    match SUBCOMMANDS.iter().find(|subcommand| subcommand.name == name) {
        Some(subcommand) => (subcommand.run)(Arguments::new(words)),
        None => bail!("there is no sub-command \"{name}\"\n\n{}", usage()),
    }
}

fn usage() -> String {
    let mut text = String::from("Usage: afluente-bench <sub-command> [options]\n");
    for subcommand in SUBCOMMANDS {
        text.push_str(&format!("\n{}: {}\n", subcommand.name, subcommand.about));
        for line in subcommand.options.lines().chain(arguments::COMMON_HELP.lines()) {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.trim_end().to_owned()
}
