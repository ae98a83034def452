//! `afluente`: the whole platform in one binary, one file a command.
//!
//! A command is one of the binary's own, or one of Kafka's tools ([`kafka`]), which also answer to
//! Kafka's names.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

mod calendar;
mod cluster;
mod completions;
mod console;
mod consume;
mod demo;
mod kafka;
mod logging;
mod produce;
mod serve;
mod stopping;
mod terminal;
mod top;

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
    /// Show records of topics: since a time, the last ones, those that match.
    Consume(consume::ConsumeArguments),
    /// Send records from files and pipes: lines, JSON, CSV.
    Produce(produce::ProduceArguments),
    /// Watch what a cluster does: topics, rates, groups, lag.
    Top(top::TopArguments),
    /// Put Kafka's tools where they are found.
    Tools(kafka::install::ToolsArguments),
    /// Run the web console for a cluster, ours or Apache Kafka's.
    Console(console::ConsoleArguments),
    /// Feed live demo data to a cluster: invoices, orders, flights.
    Demo(demo::DemoArguments),
    /// Write what a shell needs to complete command lines.
    Completions(completions::CompletionsArguments),
    /// Write pages of the manual.
    Man(completions::ManArguments),
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
        Command::Consume(arguments) => consume::run(arguments),
        Command::Produce(arguments) => produce::run(arguments),
        Command::Top(arguments) => top::run(arguments),
        Command::Completions(arguments) => completions::run(Arguments::command(), arguments),
        Command::Man(arguments) => completions::man(Arguments::command(), arguments),
        Command::Tools(arguments) => kafka::install::run(arguments),
        Command::Console(arguments) => console::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(error) if is_unread(&error) => ExitCode::SUCCESS,
        Err(error) => {
            logging::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn is_unread(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The name that the binary was started by, and its arguments; those that are not UTF-8 are left
/// to clap, which says so.
fn command_line() -> Vec<String> {
    std::env::args_os().map_while(|argument| argument.into_string().ok()).collect()
}
