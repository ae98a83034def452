//! `afluente`: the whole platform in one binary, one file a command.
//!
//! A command is one of the binary's own, or one of Kafka's tools ([`kafka`]), which also answer to
//! Kafka's names.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

mod console;
mod demo;
mod kafka;
mod logging;
mod serve;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "afluente", version, about = "The Apache Kafka platform in one binary")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a broker; with a console and demo data beside it, if asked.
    Serve(serve::ServeArguments),
    /// Put Kafka's tools where they are found.
    Tools(kafka::install::ToolsArguments),
    /// Run the web console for a cluster, ours or Apache Kafka's.
    Console(console::ConsoleArguments),
    /// Feed live demo data to a cluster: invoices, orders, flights.
    Demo(demo::DemoArguments),
}

fn main() -> ExitCode {
    if let Some(code) = kafka::dispatch(command_line()) {
        return code;
    }
    let matches = Arguments::command().after_help(kafka::list()).get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let outcome = match arguments.command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Tools(arguments) => kafka::install::run(arguments),
        Command::Console(arguments) => console::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// The name that the binary was started by, and its arguments; those that are not UTF-8 are left
/// to clap, which says so.
fn command_line() -> Vec<String> {
    std::env::args_os().map_while(|argument| argument.into_string().ok()).collect()
}
