//! From the addresses of `bootstrap.servers` to a first set of brokers.

use crate::client::{Client, Rebootstrap};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::metadata::{self, TopicsAsked};
use crate::nodes::{Lane, NodeKey};
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::messages::metadata_request::MetadataRequest;
use afluente_protocol::messages::metadata_response::MetadataResponse;

impl Client {
    /// Asks one broker after the other for metadata, those with a connection first, and the
    /// bootstrap servers last; the answer of the first that gives one.
    pub(crate) async fn ask_for_metadata(
        &self,
        asked: &TopicsAsked,
        deadline: Deadline,
    ) -> Result<MetadataResponse, Error> {
        let mut tried = Vec::new();
        for node in self.metadata_sources() {
            if deadline.has_passed(&self.env().clock) {
                break;
            }
            match self.metadata_from(node, asked, deadline).await {
                Ok(response) => {
                    if matches!(node, NodeKey::Bootstrap(_)) {
                        self.nodes().forget_bootstrap_except(node);
                    }
                    return Ok(response);
                }
                // The same connection would fail again; another broker may be better off.
                Err(error) if error.is_transport() || error.is_retriable() => tried.push(error),
                Err(error) => return Err(error),
            }
        }
        match tried.len() {
            0 => Err(Error::DeadlinePassed { attempts: 0, last: None }),
            1 => Err(tried.remove(0)),
            _ => Err(Error::NoBroker { tried }),
        }
    }

    /// Where to ask for metadata, in order.
    fn metadata_sources(&self) -> Vec<NodeKey> {
        let snapshot = self.metadata();
        let mut brokers: Vec<NodeKey> =
            snapshot.brokers.keys().map(|&id| NodeKey::Broker(id)).collect();
        self.env().rng.shuffle(&mut brokers);
        brokers.sort_by_key(|&node| !self.nodes().is_connected(node));
        let count = self.config().bootstrap_servers.len();
        let mut bootstrap: Vec<NodeKey> = (0..count).map(NodeKey::Bootstrap).collect();
        self.env().rng.shuffle(&mut bootstrap);
        match self.rebootstrap() {
            Rebootstrap::Never if !brokers.is_empty() => brokers,
            Rebootstrap::Now => bootstrap,
            Rebootstrap::Never | Rebootstrap::AsLastResort => {
                brokers.extend(bootstrap);
                brokers
            }
        }
    }

    async fn metadata_from(
        &self,
        node: NodeKey,
        asked: &TopicsAsked,
        deadline: Deadline,
    ) -> Result<MetadataResponse, Error> {
        let connection = self.connect(node, Lane::General, deadline).await?;
        let version = connection.version_of(ApiKey::Metadata)?;
        let request: MetadataRequest =
            metadata::request(asked, version, self.config().allow_auto_create_topics);
        let timeout = self.attempt_timeout(deadline);
        let response = connection.submit(&request, version, timeout).await?.await?;
        // REBOOTSTRAP_REQUIRED comes here, from version 13 on.
        Error::check(response.error_code, None, || {
            format!("metadata from {}", connection.address())
        })?;
        Ok(response)
    }
}
