//! Which cluster a command is about, and how its clients are configured.

use crate::kafka::connect::{properties_file, tell_unknown};
use afluente_client::{Admin, AdminConfig, Client};
use afluente_env::Env;
use anyhow::bail;
use clap::Args;

#[derive(Args)]
pub(crate) struct ClusterArguments {
    /// A broker of the cluster; several are separated by commas.
    #[arg(short, long, value_name = "HOST:PORT", default_value = "localhost:9092")]
    bootstrap_server: String,
    /// A file of properties for the client, with Kafka's names.
    #[arg(long, value_name = "FILE")]
    command_config: Option<String>,
    /// A property of the client, by Kafka's name; may be repeated.
    #[arg(short = 'X', long = "property", value_name = "KEY=VALUE")]
    properties: Vec<String>,
}

impl ClusterArguments {
    /// What clients are configured with; `defaults` are what the command would have of itself.
    pub(crate) fn properties(
        &self,
        defaults: &[(&str, &str)],
    ) -> anyhow::Result<Vec<(String, String)>> {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let mut all: Vec<_> = defaults.iter().map(|(key, value)| pair(key, value)).collect();
        all.push(pair("bootstrap.servers", &self.bootstrap_server));
        if let Some(path) = &self.command_config {
            all.extend(properties_file("command-config", path)?);
        }
        for given in &self.properties {
            match given.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => all.push(pair(key.trim(), value)),
                _ => bail!("--property {given:?} is not KEY=VALUE, as in -X client.id=me"),
            }
        }
        Ok(all)
    }

    /// An admin client; it connects when it is first used.
    pub(crate) fn admin(&self, env: &Env) -> anyhow::Result<Admin> {
        let config = AdminConfig::from_properties(self.properties(&[("client.id", "afluente")])?)?;
        tell_unknown(config.unknown());
        Ok(Admin::new(Client::new(env.clone(), config.client)?))
    }
}
