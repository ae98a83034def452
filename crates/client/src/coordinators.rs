//! Which broker coordinates a group or a transactional id, as last told.

use crate::client::{Client, Target};
use crate::config::ServerAddress;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::metadata::BrokerNode;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use afluente_protocol::messages::find_coordinator_response::FindCoordinatorResponse;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// What a coordinator coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CoordinatorKind {
    /// A group, of any protocol.
    Group,
    /// A transactional id.
    Transaction,
    /// The state of a share group, by `group:topic id:partition`.
    Share,
}

impl CoordinatorKind {
    fn number(self) -> i8 {
        match self {
            Self::Group => 0,
            Self::Transaction => 1,
            Self::Share => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Transaction => "transactional id",
            Self::Share => "share partition",
        }
    }
}

/// The first version in which several keys can be asked for at once (KIP-699).
const FIRST_BATCHED_VERSION: i16 = 4;

/// Coordinators that are remembered; beyond it, all are forgotten and looked up again as needed.
const REMEMBERED_MAX: usize = 10_000;

/// What was looked up.
#[derive(Debug, Default)]
pub(crate) struct Coordinators {
    known: Mutex<BTreeMap<(CoordinatorKind, String), BrokerNode>>,
}

impl Coordinators {
    fn get(&self, kind: CoordinatorKind, key: &str) -> Option<BrokerNode> {
        self.known.lock().get(&(kind, key.to_owned())).cloned()
    }

    fn put(&self, kind: CoordinatorKind, key: &str, node: BrokerNode) {
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert((kind, key.to_owned()), node);
    }

    fn forget(&self, kind: CoordinatorKind, key: &str) {
        self.known.lock().remove(&(kind, key.to_owned()));
    }
}

impl Client {
    /// The coordinator of `key`: the one that was last told, or one that is looked up, once.
    ///
    /// # Errors
    /// `COORDINATOR_NOT_AVAILABLE` and the like, which a later attempt may be spared.
    pub async fn coordinator(
        &self,
        kind: CoordinatorKind,
        key: &str,
        deadline: Deadline,
    ) -> Result<BrokerNode, Error> {
        if let Some(node) = self.coordinators().get(kind, key) {
            return Ok(node);
        }
        let connection = self.connection(&Target::Any, deadline).await?;
        let version = connection.version_of(ApiKey::FindCoordinator)?;
        let mut request = FindCoordinatorRequest { key_type: kind.number(), ..Default::default() };
        if version >= FIRST_BATCHED_VERSION {
            request.coordinator_keys.push(key.to_owned());
        } else {
            key.clone_into(&mut request.key);
        }
        let timeout = self.attempt_timeout(deadline);
        let response = connection.submit(&request, version, timeout).await?.await?;
        let node = found(response, kind, key)?;
        self.coordinators().put(kind, key, node.clone());
        Ok(node)
    }

    /// Forgets the coordinator of `key`, after an error that says it is another one
    /// ([`Error::is_stale_coordinator`]).
    pub fn forget_coordinator(&self, kind: CoordinatorKind, key: &str) {
        self.coordinators().forget(kind, key);
    }
}

fn found(
    response: FindCoordinatorResponse,
    kind: CoordinatorKind,
    key: &str,
) -> Result<BrokerNode, Error> {
    let about = || format!("the coordinator of {} {key:?}", kind.name());
    let (code, message, id, host, port) = match response.coordinators.into_iter().next() {
        Some(found) => {
            (found.error_code, found.error_message, found.node_id, found.host, found.port)
        }
        None => (
            response.error_code,
            response.error_message,
            response.node_id,
            response.host,
            response.port,
        ),
    };
    Error::check(code, message.filter(|text| !text.is_empty()), about)?;
    let port = u16::try_from(port).map_err(|_| Error::UnknownBroker { id })?;
    Ok(BrokerNode { id, address: ServerAddress { host, port }, rack: None })
}
