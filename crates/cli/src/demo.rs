//! `afluente demo`: live data for any cluster.

use crate::logging;
use afluente_demo::run::{DemoConfig, RunningDemo};
use afluente_demo::{mails, windows};
use afluente_env::Env;
use afluente_env::tasks::{self, Cores};
use anyhow::Context;
use clap::{Args, Subcommand};
use std::time::Duration;

#[derive(Args)]
pub(crate) struct DemoArguments {
    #[command(subcommand)]
    only: Option<OnlyDemo>,
    /// A broker of the cluster; several are separated by commas.
    #[arg(long, global = true, value_name = "HOST:PORT", default_value = "localhost:9092")]
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

/// One part of the demo alone, with what comes of it on the screen.
#[derive(Subcommand)]
enum OnlyDemo {
    /// A shop whose customers, addresses, items and orders are joined into mails, which are printed.
    Orders {
        /// Orders a second.
        #[arg(long, value_name = "RATE", default_value_t = 2.0)]
        rate: f64,
    },
    /// Orders counted in windows of ten seconds: the stream of changes and the table, side by side.
    Windows {
        /// Orders a second.
        #[arg(long, value_name = "RATE", default_value_t = 2.0)]
        rate: f64,
    },
}

fn run_only(only: OnlyDemo, bootstrap: &str) -> anyhow::Result<()> {
    let cores = Cores::start(0).context("could not start the runtimes")?;
    let env = Env { tasks: cores.tasks(), ..Env::real() };
    let bootstrap = bootstrap.to_owned();
    cores.block_on(async move {
        let mut signal = Ok(());
        let stop = async { signal = tasks::stop_signal().await };
        let demo = async {
            match only {
                OnlyDemo::Orders { rate } => {
                    mails::run(&env, &bootstrap, rate, |mail| print(&mail.text()), stop).await
                }
                OnlyDemo::Windows { rate } => {
                    windows::run(&env, &bootstrap, rate, print, stop).await
                }
            }
        };
        demo.await.context("the demo ended")?;
        signal.context("could not listen for signals")
    })
}

#[allow(clippy::print_stdout, reason = "what the demo shows is its output")]
fn print(text: &str) {
    println!("{text}");
}

pub(crate) fn run(arguments: DemoArguments) -> anyhow::Result<()> {
    logging::start();
    if let Some(only) = arguments.only {
        return run_only(only, &arguments.bootstrap_server);
    }
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
        let demo = RunningDemo::start(&env, config);
        tasks::stop_signal().await.context("could not listen for signals")?;
        demo.stop(&env.clock).await;
        anyhow::Ok(())
    })
}
