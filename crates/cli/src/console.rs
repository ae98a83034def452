//! `afluente console`: the web console for a cluster, ours or Apache Kafka's.

use crate::kafka::connect::tell_unknown;
use crate::logging;
use afluente_client::ClientConfig;
use afluente_console::{ConsoleConfig, ConsoleServer, Environment};
use afluente_env::Env;
use afluente_env::tasks::{self, Cores};
use afluente_httpd::login::Login;
use anyhow::{Context, bail};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct ConsoleArguments {
    /// A broker of the cluster; several are separated by commas.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap_server: String,
    /// Where the console listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:8080")]
    listen: String,
    /// A setting of the client, by Kafka's name; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    client_property: Vec<String>,
    /// A name by which the console may be opened, beside localhost and addresses; may be repeated.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Ask for this name and password.
    #[arg(long, value_name = "USER:PASSWORD")]
    login: Option<String>,
    /// Refuse all changes.
    #[arg(long)]
    read_only: bool,
    /// What the cluster is called on the screen, with a colour: production=#c92a2a.
    #[arg(long, value_name = "NAME=COLOR")]
    environment: Option<String>,
    /// The file that dashboards and alert rules are kept in; without it they end with the process.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Where the broker serves its metrics; only Afluente's are understood.
    #[arg(long, value_name = "HOST:PORT")]
    metrics: Option<String>,
}

pub(crate) fn run(arguments: ConsoleArguments) -> anyhow::Result<()> {
    logging::start();
    let mut properties = vec![("bootstrap.servers".to_owned(), arguments.bootstrap_server)];
    for text in &arguments.client_property {
        properties.push(split(text, '=', "--client-property", "client.id=console")?);
    }
    let metrics = arguments.metrics.as_deref().map(host_and_port).transpose()?;
    let login = match &arguments.login {
        Some(text) => {
            let (user, password) = split(text, ':', "--login", "ana:secret")?;
            Login::Password { user, password }
        }
        None => Login::Open,
    };
    let environment = match &arguments.environment {
        Some(text) => {
            let (name, color) = split(text, '=', "--environment", "production=#c92a2a")?;
            Some(Environment { name, color })
        }
        None => None,
    };
    let config = ConsoleConfig {
        names: arguments.name,
        login,
        is_afluente: metrics.is_some(),
        metrics,
        read_only: arguments.read_only,
        environment,
        keep: arguments.keep,
        ..config(arguments.listen, &properties)?
    };
    let cores = Cores::start(0).context("could not start the runtimes")?;
    let env = Env { tasks: cores.tasks(), ..Env::real() };
    cores.block_on(async move {
        let console = start(&env, config).await?;
        tasks::stop_signal().await.context("could not listen for signals")?;
        console.stop().await;
        anyhow::Ok(())
    })
}

/// A console with everything by default.
pub(crate) fn config(
    listen: String,
    properties: &[(String, String)],
) -> anyhow::Result<ConsoleConfig> {
    let given = properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let client = ClientConfig::from_properties(
        [("client.id", "afluente-console")].into_iter().chain(given),
    )?;
    tell_unknown(client.unknown());
    Ok(ConsoleConfig {
        listen,
        names: Vec::new(),
        login: Login::Open,
        client,
        metrics: None,
        read_only: false,
        environment: None,
        demos: Vec::new(),
        keep: None,
        is_afluente: false,
    })
}

pub(crate) async fn start(env: &Env, config: ConsoleConfig) -> anyhow::Result<ConsoleServer> {
    let console = ConsoleServer::start(env.clone(), config).await?;
    for address in console.addresses() {
        tracing::info!("the console is on http://{address}/");
    }
    Ok(console)
}

/// `key=value` and the like.
pub(crate) fn split(
    text: &str,
    between: char,
    flag: &str,
    example: &str,
) -> anyhow::Result<(String, String)> {
    match text.split_once(between) {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => bail!("{flag} {text:?} is not as in {flag} {example}"),
    }
}

fn host_and_port(text: &str) -> anyhow::Result<(String, u16)> {
    let parts =
        text.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parts.with_context(|| {
        format!("--metrics {text:?} is not HOST:PORT, as in --metrics localhost:9404")
    })
}
