//! Kafka's own tools: one file a tool, each with Kafka's flags, Kafka's output and Kafka's name.
//!
//! `afluente topics …` is `kafka-topics …`. The binary also looks at the name that it was started
//! by: `afluente tools install DIR` puts links of these names into a directory.
//!
//! Exit codes: 0 when everything was done; 1 when something failed or the command line makes no
//! sense, as with Kafka's tools.

pub(crate) mod install;

mod broker_api_versions;
mod cluster;
mod configs;
mod connect;
mod console_consumer;
mod console_producer;
mod consumer_groups;
mod delete_records;
mod features;
mod get_offsets;
mod log_dirs;
mod options;
mod out;
mod producer_perf_test;
mod topics;
mod transactions;
mod verifiable_producer;

use afluente_client::Admin;
use options::{Options, Spec};
use out::Out;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;

/// A tool: one row a file.
pub(crate) struct Tool {
    /// As `afluente NAME`; Kafka's name has `kafka-` in front of it.
    name: &'static str,
    /// What it is for, for lists of commands.
    about: &'static str,
    /// Its options, but for those that every tool has.
    specs: &'static [Spec],
    /// What it does with them.
    run: Run,
}

/// How a tool is run.
pub(crate) enum Run {
    /// Beside an admin client.
    Admin(fn(Admin, Options, Out) -> Running),
    /// With whatever client it makes itself, on a thread that may block.
    Blocking(fn(&connect::World, Options, Out) -> Result<Out, Failure>),
}

type Running = Pin<Box<dyn Future<Output = Result<Out, Failure>> + Send>>;

/// Why a tool stops without having done everything.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line makes no sense: told with the help of the tool.
    Usage(String),
    /// Told on standard output, where Kafka's tool tells it.
    Told(Out, String),
    /// Told on standard error.
    Failed(anyhow::Error),
    /// Nobody reads the output any more.
    Unread,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        match error.downcast_ref::<std::io::Error>() {
            Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Failed(error),
        }
    }
}

/// Every tool, in the order of their names.
pub(crate) const TOOLS: &[Tool] = &[
    broker_api_versions::TOOL,
    cluster::TOOL,
    configs::TOOL,
    console_consumer::TOOL,
    console_producer::TOOL,
    consumer_groups::TOOL,
    delete_records::TOOL,
    features::TOOL,
    get_offsets::TOOL,
    log_dirs::TOOL,
    producer_perf_test::TOOL,
    topics::TOOL,
    transactions::TOOL,
    verifiable_producer::TOOL,
];

/// Runs a tool if the binary was started by the name of one, or its first argument is one.
pub(crate) fn dispatch(mut arguments: Vec<String>) -> Option<ExitCode> {
    let started_as = arguments.first().map(String::as_str).unwrap_or_default();
    let started_as = Path::new(started_as).file_name().and_then(|name| name.to_str());
    let started_as = started_as.unwrap_or_default();
    if let Some(tool) = by_kafkas_name(started_as) {
        let name = started_as.to_owned();
        arguments.remove(0);
        return Some(tool.start(&name, &arguments));
    }
    let first = arguments.get(1)?;
    let tool = TOOLS.iter().find(|tool| tool.name == *first).or_else(|| by_kafkas_name(first))?;
    let name = format!("afluente {}", tool.name);
    arguments.drain(..2);
    Some(tool.start(&name, &arguments))
}

/// The tool that is called `kafka-NAME` or `kafka-NAME.sh` in Kafka.
fn by_kafkas_name(name: &str) -> Option<&'static Tool> {
    let name = name.strip_prefix("kafka-")?;
    let name = name.strip_suffix(".sh").unwrap_or(name);
    TOOLS.iter().find(|tool| tool.name == name)
}

/// The tools, for the help of the binary.
pub(crate) fn list() -> String {
    let mut text = String::from(
        "Kafka's tools, with Kafka's options (also by Kafka's names, see `afluente tools install`):\n",
    );
    for tool in TOOLS {
        text.push_str(&format!("  {:<22} {}\n", tool.name, tool.about));
    }
    text
}

impl Tool {
    fn start(&self, name: &str, arguments: &[String]) -> ExitCode {
        match self.try_start(name, arguments) {
            Ok(mut out) => match out.flush() {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            },
            Err(Failure::Usage(problem)) => {
                out::complain(&format!("{problem}\n\n{}", options::help(name, self)));
                ExitCode::FAILURE
            }
            Err(Failure::Told(mut out, text)) => {
                // Nobody is left to tell when standard output is gone.
                let _ = out.line(text).and_then(|()| out.flush());
                ExitCode::FAILURE
            }
            Err(Failure::Failed(error)) => {
                out::complain(&format!("{name}: {error:#}"));
                ExitCode::FAILURE
            }
            Err(Failure::Unread) => ExitCode::SUCCESS,
        }
    }

    fn try_start(&self, name: &str, arguments: &[String]) -> Result<Out, Failure> {
        let mut out = Out::stdout();
        if arguments.is_empty() {
            return Err(Failure::Usage(self.about.to_owned()));
        }
        let options = Options::parse(name, self.specs, arguments)?;
        if options.has("help") {
            out.line(options::help(name, self))?;
            return Ok(out);
        }
        if options.has("version") {
            out.line(format!("{} (Afluente)", env!("CARGO_PKG_VERSION")))?;
            return Ok(out);
        }
        // Tools that take properties of a client may find the servers there.
        if matches!(self.run, Run::Admin(_)) {
            options.require("bootstrap-server")?;
        }
        let world = connect::World::start()?;
        match self.run {
            Run::Admin(run) => {
                let admin = world.admin(&options)?;
                world.cores.block_on(run(admin, options, out))
            }
            Run::Blocking(run) => run(&world, options, out),
        }
    }
}
