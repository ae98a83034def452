//! `afluente demo`: live data for any cluster.

use crate::logging;
use afluente_demo::run::{self, DemoConfig};
use afluente_env::Env;
use afluente_env::tasks::{self, Cores};
use anyhow::Context;
use clap::Args;
use std::time::Duration;
use tokio::task::JoinHandle;

#[derive(Args)]
pub(crate) struct DemoArguments {
    /// A broker of the cluster; several are separated by commas.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092")]
    bootstrap_server: String,
    /// Invoices a second, as the average of a day of trade; 0: none.
    #[arg(long, value_name = "RATE", default_value_t = 25.0)]
    invoices: f64,
    /// How long a day of trade lasts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    day: u64,
    /// Orders a second; 0: none.
    #[arg(long, value_name = "RATE", default_value_t = 5.0)]
    orders: f64,
    /// How much faster than in 2013 the flights leave; 0: none.
    #[arg(long, value_name = "FACTOR", default_value_t = 60.0)]
    flights: f64,
}

pub(crate) fn run(arguments: DemoArguments) -> anyhow::Result<()> {
    logging::start();
    let some = |rate: f64| Some(rate).filter(|rate| *rate > 0.0);
    let config = DemoConfig {
        bootstrap: arguments.bootstrap_server,
        invoices_per_second: some(arguments.invoices),
        day: Duration::from_secs(arguments.day.max(1)),
        orders_per_second: some(arguments.orders),
        flights_speed: some(arguments.flights),
    };
    let cores = Cores::start(0).context("could not start the runtimes")?;
    let env = Env { tasks: cores.tasks(), ..Env::real() };
    cores.block_on(async move {
        let demo = spawn(&env, config);
        tasks::stop_signal().await.context("could not listen for signals")?;
        demo.abort();
        anyhow::Ok(())
    })
}

/// Runs the demo beside what else this process does.
pub(crate) fn spawn(env: &Env, config: DemoConfig) -> JoinHandle<()> {
    let running = env.clone();
    env.tasks.spawn(async move {
        if let Err(error) = run::run(running, config).await {
            tracing::error!(%error, "the demo does not run");
        }
    })
}
