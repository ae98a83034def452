//! The admin client: what Kafka's tools and consoles ask of a cluster.
//!
//! A method that is about several things gives a result for each ([`Results`]), so that one topic
//! that does not exist does not hide the others; its own `Err` is for what concerns the call as a
//! whole. Requests go to whom they belong to: changes to the controller (by way of a broker), what
//! is about records to leaders, what is about groups to coordinators; a leader or coordinator that
//! has moved is found again until the deadline.
//!
//! There are methods for topics and partitions ([`topics`]), configurations ([`configs`]), offsets
//! and records ([`offsets`]), groups ([`groups`]), transactions and producers ([`transactions`]),
//! the cluster itself ([`cluster`]), replicas and their directories ([`replicas`]), who may do what
//! and how much of it ([`security`]), and delegation tokens ([`tokens`]). Share and streams groups
//! have none.

pub mod cluster;
pub mod configs;
pub mod groups;
pub mod offsets;
pub mod replicas;
mod routing;
pub mod security;
pub mod tokens;
pub mod topics;
pub mod transactions;

use crate::client::{Client, Target};
use crate::config::{ClientConfig, ConfigError, UnknownKey};
use crate::deadline::Deadline;
use crate::error::Error;
use afluente_protocol::message::Request;
use std::collections::BTreeMap;

/// The outcome for each thing that a call was about.
pub type Results<K, V> = BTreeMap<K, Result<V, Error>>;

/// What an admin client is configured with: that of every client, with Kafka's defaults for admin
/// clients.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// All there is.
    pub client: ClientConfig,
}

impl AdminConfig {
    /// From properties with Kafka's names.
    ///
    /// # Errors
    /// Every value that is not allowed, and `bootstrap.servers` if it is missing.
    pub fn from_properties<K, V>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        Ok(Self { client: ClientConfig::from_properties(properties)? })
    }

    /// What was given under names that are not known.
    #[must_use]
    pub fn unknown(&self) -> &[UnknownKey] {
        self.client.unknown()
    }
}

/// Asks and changes a cluster. Cheap to clone.
///
/// ```no_run
/// use afluente_client::admin::topics::NewTopic;
/// use afluente_client::{Admin, AdminConfig, Client};
/// use afluente_env::Env;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = AdminConfig::from_properties([("bootstrap.servers", "localhost:9092")])?;
/// let admin = Admin::new(Client::new(Env::real(), config.client)?);
/// for (topic, result) in admin.create_topics([NewTopic::new("orders", 3, 1)]).await? {
///     result?;
///     println!("{topic} is there");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
    timeout: Option<std::time::Duration>,
}

impl Admin {
    /// On a client, whose connections it shares.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, timeout: None }
    }

    /// The same, with calls that may take `timeout` in place of `default.api.timeout.ms`.
    #[must_use]
    pub fn with_timeout(&self, timeout: std::time::Duration) -> Self {
        Self { client: self.client.clone(), timeout: Some(timeout) }
    }

    /// The client that it stands on.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn deadline(&self) -> Deadline {
        match self.timeout {
            Some(timeout) => self.client.deadline_in(timeout),
            None => self.client.deadline(),
        }
    }

    /// The time that a broker is given for its part of a call.
    fn timeout_ms(&self, deadline: Deadline) -> i32 {
        i32::try_from(self.client.attempt_timeout(deadline).as_millis()).unwrap_or(i32::MAX)
    }

    /// Sends a request, and again while the answer as a whole is an error that may go away.
    async fn call<R: Request>(
        &self,
        target: Target,
        request: R,
        deadline: Deadline,
        check: impl Fn(&R::Response) -> Result<(), Error>,
    ) -> Result<R::Response, Error> {
        let mut retry = self.client.retry(deadline);
        loop {
            let outcome = self.client.send_once(&target, &request, deadline).await;
            let outcome = outcome.and_then(|response| {
                check(&response).inspect_err(|error| self.client.noticed(&target, error))?;
                Ok(response)
            });
            match outcome {
                Ok(response) => return Ok(response),
                Err(error) => retry.after(error).await?,
            }
        }
    }
}
