//! `afluente serve`: runs a broker until it is told to stop.

use crate::{console, logging};
use afluente_broker::config::{Config, Inputs, Notice, Settings, render};
use afluente_broker::server::Server;
use afluente_console::{ConsoleConfig, ConsoleServer};
use afluente_demo::run::{DemoConfig, RunningDemo};
use afluente_env::Env;
use afluente_env::tasks::{self, Cores};
use anyhow::{Context, bail};
use clap::Args;
use std::future::poll_fn;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;

#[derive(Args, Default)]
pub(crate) struct ServeArguments {
    /// Kafka's `server.properties`, as it is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the data is kept; `~/.local/share/afluente` when neither this nor `log.dirs` is given.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where clients connect; 127.0.0.1:9092 when neither this nor `listeners` is given.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Set a key of the configuration; may be repeated.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Also run the web console, here.
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = "localhost:8080")]
    console: Option<String>,
    /// Also feed demo data to this broker: invoices, orders, flights.
    #[arg(long)]
    demo: bool,
    /// Show the configuration in force, with where each value came from, and stop.
    #[arg(long)]
    print_config: bool,
}

pub(crate) fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    let print_config = arguments.print_config;
    let beside = Beside { console: arguments.console.clone(), demo: arguments.demo };
    let (config, notices) = Config::load(inputs(arguments)?)?;
    let settings = Settings::read(&config)?;
    if print_config {
        std::io::stdout().lock().write_all(render::properties(&config).as_bytes())?;
        return Ok(());
    }
    logging::start();
    tell(&notices);
    let settings = with_log_dir(settings)?;
    let cores = Cores::start(0).context("could not start the runtimes")?;
    let env = Env { tasks: cores.tasks(), ..Env::real() };
    cores.block_on(async move {
        let mut stop = pin!(tasks::stop_signal());
        // The first poll begins to listen: a signal that comes during the start is not missed, and
        // does not kill the process in the middle of it.
        let first = poll_fn(|cx| Poll::Ready(stop.as_mut().poll(cx))).await;
        let data_dir = settings.log.dirs.first().cloned();
        let server = Server::start(env.clone(), config, settings).await?;
        let beside = beside.start(&env, &server, data_dir).await?;
        match first {
            Poll::Ready(listened) => listened,
            Poll::Pending => stop.await,
        }
        .context("could not listen for signals")?;
        tracing::info!("stopping");
        beside.stop(&env).await;
        server.stop().await.context("the data was not closed well")?;
        tracing::info!("stopped");
        anyhow::Ok(())
    })
}

/// Runs a broker as `kafka-server-start FILE --override KEY=VALUE` does.
pub(crate) fn run_with_file(file: PathBuf, overrides: Vec<String>) -> anyhow::Result<()> {
    run(ServeArguments { config: Some(file), overrides, ..ServeArguments::default() })
}

/// What a configuration file and the environment say.
pub(crate) fn config_of_file(file: &Path) -> anyhow::Result<Settings> {
    let config = Some(file.to_owned());
    let (config, _) = Config::load(inputs(ServeArguments { config, ..Default::default() })?)?;
    Ok(Settings::read(&config)?)
}

/// What runs beside the broker in this process, as a client of it like any other.
struct Beside {
    console: Option<String>,
    demo: bool,
}

/// The same, running.
struct Running {
    console: Option<ConsoleServer>,
    demo: Option<RunningDemo>,
}

impl Beside {
    async fn start(
        self,
        env: &Env,
        server: &Server,
        data_dir: Option<PathBuf>,
    ) -> anyhow::Result<Running> {
        let mut running = Running { console: None, demo: None };
        if self.console.is_none() && !self.demo {
            return Ok(running);
        }
        let (_, address) = server.addresses().first().context("the broker listens nowhere")?;
        let bootstrap = local(*address).to_string();
        let demo = self.demo.then(|| DemoConfig::all(bootstrap.clone()));
        let demos = demo.as_ref().map(DemoConfig::names).unwrap_or_default();
        if let Some(listen) = self.console {
            let metrics = server.http_address().map(|at| (at.ip().to_string(), at.port()));
            let config = ConsoleConfig {
                demos,
                metrics,
                is_afluente: true,
                keep: data_dir.map(|dir| dir.join("console.json")),
                ..console::config(listen, &[("bootstrap.servers".to_owned(), bootstrap)])?
            };
            running.console = Some(console::start(env, config).await?);
        }
        if let Some(demo) = demo {
            running.demo = Some(RunningDemo::start(env, demo));
        }
        Ok(running)
    }
}

impl Running {
    async fn stop(self, env: &Env) {
        if let Some(demo) = self.demo {
            demo.stop(&env.clock).await;
        }
        if let Some(console) = self.console {
            console.stop().await;
        }
    }
}

/// Where a client on this machine connects to what listens on `address`.
fn local(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

/// Puts the data where programs of this user keep theirs, when nobody says where.
#[allow(clippy::disallowed_methods, reason = "where a user's data goes is told by the environment")]
fn with_log_dir(mut settings: Settings) -> anyhow::Result<Settings> {
    if settings.log.dirs.is_empty() {
        let data_home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        let base = data_home
            .filter(|dir| dir.is_absolute())
            .or(home)
            .context("nobody says where to keep the data: give --data-dir DIR, or set HOME")?;
        settings.log.dirs.push(base.join("afluente"));
    }
    Ok(settings)
}

fn tell(notices: &[Notice]) {
    for Notice { text, is_warning } in notices {
        if *is_warning {
            tracing::warn!("configuration: {text}");
        } else {
            tracing::info!("configuration: {text}");
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the command line is where files named by the operator and the environment come in"
)]
fn inputs(arguments: ServeArguments) -> anyhow::Result<Inputs> {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
        .collect();
    let file = match arguments.config {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(&path).with_context(|| {
                format!("could not read the configuration file {}", path.display())
            })?;
            Some((path.display().to_string(), text))
        }
    };
    let overrides =
        arguments.overrides.iter().map(|text| key_and_value(text)).collect::<Result<_, _>>()?;
    let mut inputs = Inputs { file, environment, overrides, flags: Vec::new() };
    if let Some(address) = arguments.listen {
        inputs.flags.extend(listeners_of(&address)?);
    }
    if let Some(dir) = arguments.data_dir {
        inputs.flags.push(("log.dirs".to_owned(), path_text(&dir)?));
    }
    Ok(inputs)
}

fn key_and_value(text: &str) -> anyhow::Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => bail!("--override {text:?} is not KEY=VALUE, as in --override num.partitions=3"),
    }
}

/// One listener that replaces whatever the file says about listeners.
fn listeners_of(address: &str) -> anyhow::Result<[(String, String); 3]> {
    let port = address.rsplit_once(':').map(|(_, port)| port);
    if port.is_none_or(|port| port.parse::<u16>().is_err()) {
        bail!("--listen {address:?} is not HOST:PORT, as in --listen 127.0.0.1:9092");
    }
    let pair = |key: &str, value: String| (key.to_owned(), value);
    Ok([
        pair("listeners", format!("PLAINTEXT://{address}")),
        pair("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT".to_owned()),
        pair("inter.broker.listener.name", "PLAINTEXT".to_owned()),
    ])
}

fn path_text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    if text.contains(',') {
        bail!("the directory {text:?} has a comma in its name, which separates directories");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_are_malformed_are_named_with_an_example() {
        for text in ["num.partitions", "=3"] {
            let error = key_and_value(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("num.partitions=3"), "{error}");
        }
        for text in ["localhost", "localhost:", ":99999"] {
            assert!(listeners_of(text).unwrap_err().to_string().contains("127.0.0.1:9092"));
        }
        assert_eq!(listeners_of("[::1]:0").unwrap()[0].1, "PLAINTEXT://[::1]:0");
    }
}
