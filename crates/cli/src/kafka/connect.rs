//! From the options of a tool to a client, and a runtime to run it on.

use super::Failure;
use super::options::Options;
use super::out::complain;
use crate::logging;
use crate::stopping::{STOPPING_MAX, hurried};
use afluente_broker::config::properties;
use afluente_client::config::UnknownKey;
use afluente_client::producer::Producer;
use afluente_client::{Admin, AdminConfig, Client};
use afluente_env::Env;
use afluente_env::tasks::{Cores, stop_signal};
use anyhow::Context;
use std::sync::Arc;

/// What a tool runs on.
pub(crate) struct World {
    pub(crate) cores: Cores,
    pub(crate) env: Env,
}

impl World {
    pub(crate) fn start() -> anyhow::Result<Self> {
        logging::start_quietly();
        let cores = Cores::start(1).context("could not start a runtime")?;
        let env = Env { tasks: cores.tasks(), ..Env::real() };
        Ok(Self { cores, env })
    }

    /// An admin client of the cluster that the options name; it connects when it is first used.
    pub(super) fn admin(&self, options: &Options) -> Result<Admin, Failure> {
        let config = AdminConfig::from_properties(client_properties(options)?)?;
        tell_unknown(config.unknown());
        Ok(Admin::new(Client::new(self.env.clone(), config.client)?))
    }
}

/// The properties of a client of the cluster that the options name.
pub(super) fn client_properties(options: &Options) -> Result<Vec<(String, String)>, Failure> {
    let mut properties = match options.get("command-config") {
        Some(path) => properties_file("command-config", path)?,
        None => Vec::new(),
    };
    let servers = options.require("bootstrap-server")?;
    properties.push(("bootstrap.servers".to_owned(), servers.to_owned()));
    Ok(properties)
}

/// The properties of a file that an option names.
#[allow(clippy::disallowed_methods, reason = "the command line names files of the user")]
pub(crate) fn properties_file(option: &str, path: &str) -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read the file {path:?} of --{option}"))?;
    let parsed = properties::parse(&text).with_context(|| format!("in {path}"))?;
    Ok(parsed.into_iter().map(|property| (property.name, property.value)).collect())
}

/// Has what was handed over to a producer written when the process is asked to stop, and then ends
/// it, with the exit code that shells expect. A second request ends it at once, and so does a broker
/// that does not answer.
#[allow(clippy::exit, reason = "the thread that reads the input may wait for it for ever")]
pub(crate) fn close_at_stop(world: &World, producer: &Arc<Producer>) {
    /// 128 and the number of SIGINT.
    const INTERRUPTED: i32 = 130;
    let producer = Arc::clone(producer);
    let clock = world.env.clock.clone();
    world.env.tasks.spawn(async move {
        if stop_signal().await.is_ok() {
            let closing = async {
                producer.flush().await;
                producer.close(STOPPING_MAX).await
            };
            match hurried(&clock, STOPPING_MAX, closing).await {
                Some(Ok(())) => {}
                Some(Err(error)) => complain(&error.to_string()),
                None => complain("stopped before every record was acknowledged"),
            }
            std::process::exit(INTERRUPTED);
        }
    });
}

/// Warns of keys that no client has.
pub(crate) fn tell_unknown(keys: &[UnknownKey]) {
    for key in keys {
        match key.nearest {
            Some(nearest) => tracing::warn!("{} is not known; did you mean {nearest}?", key.name),
            None => tracing::warn!("{} is not known, and has no effect", key.name),
        }
    }
}
