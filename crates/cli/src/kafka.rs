//! Kafka's own tools: one file a tool, each with Kafka's flags, Kafka's output and Kafka's name.
//!
//! `afluente topics …` is `kafka-topics …`. The binary also looks at the name that it was started
//! by: `afluente tools install DIR` puts links of these names into a directory.
//!
//! Exit codes: 0 when everything was done; 1 when something failed or the command line makes no
//! sense, as with Kafka's tools.

pub(crate) mod connect;
pub(crate) mod install;

mod acls;
mod broker_api_versions;
mod client_metrics;
mod cluster;
mod configs;
mod console_consumer;
mod console_producer;
mod consumer_groups;
mod consumer_perf_test;
mod delete_records;
mod dump_log;
mod e2e_latency;
mod elsewhere;
mod features;
mod get_offsets;
mod groups;
mod leader_election;
mod log_dirs;
mod metadata_quorum;
mod options;
pub(crate) mod out;
pub(crate) mod producer_perf_test;
mod reassign_partitions;
mod server;
mod storage;
mod topics;
mod transactions;
mod verifiable_consumer;
mod verifiable_producer;

use afluente_client::{Admin, Error};
use afluente_protocol::error_code::ErrorCode;
use elsewhere::Class;
use options::{EVERYWHERE, Options, Spec};
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
    /// Without a cluster.
    Local(fn(Options, Out) -> Result<Out, Failure>),
}

type Running = Pin<Box<dyn Future<Output = Result<Out, Failure>> + Send>>;

/// Why a tool stops without having done everything.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line makes no sense: told with the help of the tool.
    Usage(String),
    /// Told on standard output, where Kafka's tool tells it.
    Told(Out, String),
    /// Told already, on the output.
    Ended(Out),
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
    acls::TOOL,
    broker_api_versions::TOOL,
    client_metrics::TOOL,
    cluster::TOOL,
    configs::TOOL,
    console_consumer::TOOL,
    console_producer::TOOL,
    consumer_groups::TOOL,
    consumer_perf_test::TOOL,
    delete_records::TOOL,
    dump_log::TOOL,
    e2e_latency::TOOL,
    features::TOOL,
    get_offsets::TOOL,
    groups::TOOL,
    leader_election::TOOL,
    log_dirs::TOOL,
    metadata_quorum::TOOL,
    producer_perf_test::TOOL,
    reassign_partitions::TOOL,
    server::START,
    server::STOP,
    storage::TOOL,
    topics::TOOL,
    transactions::TOOL,
    verifiable_consumer::TOOL,
    verifiable_producer::TOOL,
];

/// Tools whose `--help` succeeds under Kafka's name too; with the others, Kafka's ends with 1.
const HELP_SUCCEEDS: &[&str] =
    &["features", "metadata-quorum", "server-start", "server-stop", "storage"];

/// Tools that show their help, and succeed, if nothing is asked of them.
const NOTHING_SUCCEEDS: &[&str] =
    &["producer-perf-test", "verifiable-consumer", "verifiable-producer"];

/// Runs a tool if the binary was started by the name of one, or its first argument is one.
pub(crate) fn dispatch(mut arguments: Vec<String>) -> Option<ExitCode> {
    let started_as = arguments.first().map(String::as_str).unwrap_or_default();
    let started_as = Path::new(started_as).file_name().and_then(|name| name.to_str());
    let started_as = started_as.unwrap_or_default().to_owned();
    if let Some(code) = by_name(&started_as, &started_as, &arguments[1..]) {
        return Some(code);
    }
    let first = arguments.get(1)?.clone();
    arguments.drain(..2);
    if let Some(tool) = TOOLS.iter().find(|tool| tool.name == first) {
        return Some(tool.start(&format!("afluente {first}"), &arguments));
    }
    by_name(&first, &format!("afluente {first}"), &arguments)
}

/// What has one of Kafka's names, if `name` is one.
fn by_name(name: &str, shown: &str, arguments: &[String]) -> Option<ExitCode> {
    if let Some(tool) = by_kafkas_name(name) {
        return Some(tool.start(shown, arguments));
    }
    let answer = if ["kafka-run-class", "kafka-run-class.sh"].contains(&name) {
        match elsewhere::class(arguments) {
            Class::Tool(tool, rest) => return Some(tool.start(&arguments[0], &rest)),
            Class::Answer(answer) => answer,
        }
    } else {
        elsewhere::answer(name)?
    };
    out::complain(&answer);
    Some(ExitCode::FAILURE)
}

/// Names that `afluente tools install` makes links of, without `.sh`.
fn kafkas_names() -> Vec<String> {
    let mut names: Vec<String> = TOOLS.iter().map(|tool| format!("kafka-{}", tool.name)).collect();
    names.push("kafka-run-class".to_owned());
    names.extend(elsewhere::ANSWERS.iter().map(|(name, _)| (*name).to_owned()));
    names
}

/// The broker's own words, where there are any: scripts look for them.
pub(crate) fn brokers_words(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Error>() {
        Some(Error::Broker { message: Some(message), .. }) => message.clone(),
        Some(Error::Broker { code, .. }) => code.message().to_owned(),
        _ => format!("{error:#}"),
    }
}

/// An error as Java shows the exception of its code.
pub(crate) fn java_error(error: &Error) -> String {
    let Error::Broker { code, message, .. } = error else { return error.to_string() };
    let words = code.name().split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        format!("{first}{}", rest.to_ascii_lowercase())
    });
    let class = match code {
        ErrorCode::NonEmptyGroup => "GroupNotEmpty".to_owned(),
        _ => words.collect::<String>(),
    };
    let message = message.as_deref().unwrap_or(javas_message(*code));
    format!("org.apache.kafka.common.errors.{class}Exception: {message}")
}

/// What Kafka's tools say about a code where the broker says nothing.
pub(crate) fn javas_message(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::UnknownTopicOrPartition => "This server does not host this topic-partition.",
        ErrorCode::GroupIdNotFound => "The group id does not exist.",
        ErrorCode::NonEmptyGroup => "The group is not empty.",
        ErrorCode::GroupSubscribedToTopic => {
            "Deleting offsets of a topic is forbidden while the consumer group is actively \
             subscribed to it."
        }
        other => other.message(),
    }
}

/// The tool that is called `kafka-NAME` or `kafka-NAME.sh` in Kafka.
fn by_kafkas_name(name: &str) -> Option<&'static Tool> {
    let name = name.strip_prefix("kafka-")?;
    let name = name.strip_suffix(".sh").unwrap_or(name);
    TOOLS.iter().find(|tool| tool.name == name)
}

/// The tools as clap knows commands, for completions and pages of the manual: clap does not parse
/// their command lines, since Kafka's are not written as clap reads them.
pub(crate) fn commands() -> Vec<clap::Command> {
    let commands = TOOLS.iter().map(|tool| {
        let mut command = clap::Command::new(tool.name).about(tool.about);
        // A name of one letter is a short option of Kafka's.
        for spec in tool.specs.iter().chain(tool.specs_of_every_tool()) {
            if spec.name.len() < 2 || ["help", "version"].contains(&spec.name) {
                continue;
            }
            let mut argument = clap::Arg::new(spec.name).long(spec.name).help(spec.help);
            argument = match spec.value {
                Some(value) if spec.is_optional => argument.num_args(0..=1).value_name(value),
                Some(value) => argument.value_name(value),
                None => argument.action(clap::ArgAction::SetTrue),
            };
            if ["files", "config", "command-config"].contains(&spec.name)
                || spec.value == Some("FILE")
            {
                argument = argument.value_hint(clap::ValueHint::FilePath);
            }
            command = command.arg(argument);
        }
        command
    });
    commands.collect()
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
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
                Err(error) => {
                    out::complain(&format!("{name}: could not write the output: {error}"));
                    ExitCode::FAILURE
                }
            },
            Err(Failure::Ended(mut out)) => {
                // Nobody is left to tell when standard output is gone.
                let _ = out.flush();
                ExitCode::FAILURE
            }
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
        if arguments.is_empty() && NOTHING_SUCCEEDS.contains(&self.name) {
            out.line(options::help(name, self))?;
            return Ok(out);
        }
        if arguments.is_empty() && !matches!(self.run, Run::Local(_)) {
            return Err(Failure::Usage(self.about.to_owned()));
        }
        let options = Options::parse(name, self.specs, arguments)?;
        if options.has("help") {
            out.line(options::help(name, self))?;
            // `kafka-topics.sh`, or the class of a tool.
            let called = name.rsplit(' ').next().unwrap_or(name);
            let is_kafkas = called.starts_with("kafka-") || called.contains('.');
            let fails = is_kafkas && !HELP_SUCCEEDS.contains(&self.name);
            return if fails { Err(Failure::Ended(out)) } else { Ok(out) };
        }
        if options.has("version") {
            out.line(format!("{} (Afluente)", env!("CARGO_PKG_VERSION")))?;
            return Ok(out);
        }
        // Tools that take properties of a client may find the servers there.
        if matches!(self.run, Run::Admin(_)) {
            options.require("bootstrap-server")?;
        }
        if let Run::Local(run) = self.run {
            return run(options, out);
        }
        let world = connect::World::start()?;
        match self.run {
            Run::Admin(run) => {
                let admin = world.admin(&options)?;
                world.cores.block_on(run(admin, options, out))
            }
            Run::Blocking(run) => run(&world, options, out),
            Run::Local(run) => run(options, out),
        }
    }

    /// Options that it has because all have them.
    fn specs_of_every_tool(&self) -> impl Iterator<Item = &'static Spec> {
        let is_local = matches!(self.run, Run::Local(_));
        let of_clients = ["bootstrap-server", "command-config"];
        EVERYWHERE.iter().filter(move |spec| !(is_local && of_clients.contains(&spec.name)))
    }
}
