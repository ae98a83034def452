//! `afluente completions SHELL` and `afluente man DIR`: from the same definitions as the help.

use crate::kafka;
use anyhow::Context;
use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(after_help = "Examples:
  afluente completions bash > ~/.local/share/bash-completion/completions/afluente
  afluente completions zsh > \"${fpath[1]}/_afluente\"
  afluente completions fish > ~/.config/fish/completions/afluente.fish")]
pub(crate) struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Which,
    /// Also for Kafka's names: kafka-topics, kafka-topics.sh, …; bash and fish only.
    #[arg(long)]
    kafka_names: bool,
}

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Bash,
    Zsh,
    Fish,
}

#[derive(Args)]
pub(crate) struct ManArguments {
    /// Where the pages go; the directory is made if it is not there. `man -l FILE` shows one.
    dir: PathBuf,
}

/// All commands, Kafka's tools among them.
fn whole(own: Command) -> Command {
    let tools = kafka::commands().into_iter();
    own.name("afluente").subcommands(tools)
}

pub(crate) fn run(own: Command, arguments: CompletionsArguments) -> anyhow::Result<()> {
    let shell = match arguments.shell {
        Which::Bash => Shell::Bash,
        Which::Zsh => Shell::Zsh,
        Which::Fish => Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut whole(own), "afluente", &mut text);
    if arguments.kafka_names && arguments.shell != Which::Zsh {
        for tool in kafka::commands() {
            for suffix in ["", ".sh"] {
                let name = format!("kafka-{}{suffix}", tool.get_name());
                clap_complete::generate(shell, &mut tool.clone(), name, &mut text);
            }
        }
    }
    std::io::stdout().lock().write_all(&text)?;
    Ok(())
}

pub(crate) fn man(own: Command, arguments: ManArguments) -> anyhow::Result<()> {
    let dir = &arguments.dir;
    #[allow(clippy::disallowed_methods, reason = "the command line names a directory of the user")]
    std::fs::create_dir_all(dir)
        .with_context(|| format!("could not make the directory {}", dir.display()))?;
    let own = own.name("afluente");
    let mut count = 0;
    for command in own.get_subcommands() {
        page(dir, &format!("afluente-{}", command.get_name()), command.clone())?;
        count += 1;
    }
    page(dir, "afluente", whole(own))?;
    for tool in kafka::commands() {
        page(dir, &format!("kafka-{}", tool.get_name()), tool)?;
        count += 1;
    }
    writeln!(std::io::stdout().lock(), "{} pages in {}", count + 1, dir.display())?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the command line names a directory of the user")]
fn page(dir: &Path, name: &str, command: Command) -> anyhow::Result<()> {
    let path = dir.join(format!("{name}.1"));
    let mut text = Vec::new();
    // clap keeps names as long as the process lives.
    let name: &'static str = name.to_owned().leak();
    clap_mangen::Man::new(command.name(name)).render(&mut text)?;
    std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
}
