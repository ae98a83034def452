//! What the quorum keeps of itself in control records: the version of its protocol and, from
//! version 1 on, its voters (KIP-853). Under version 0 the voters stand in the configuration.

use super::identity::Identity;
use crate::config::Config;
use crate::config::listeners::EndPoint;
use afluente_protocol::message::{DecodeError, Message};
use afluente_protocol::messages::control::kraft_version_record::KRaftVersionRecord;
use afluente_protocol::messages::control::voters_record::{
    Endpoint, KRaftVersionFeature, Voter, VotersRecord,
};
use afluente_protocol::reader::Reader;
use afluente_protocol::records::ControlType;
use bytes::Bytes;

/// The newest version of the quorum's protocol.
const KRAFT_VERSION_MAX: i16 = 1;

/// Where a controller listens if nobody says so; Kafka's examples have it there.
const CONTROLLER_PORT: u16 = 9093;

/// The quorum as the control records up to an offset tell it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Quorum {
    pub(super) kraft_version: i16,
    pub(super) voters: Option<VotersRecord>,
}

impl Quorum {
    /// This node alone.
    pub(super) fn of_one(config: &Config, node_id: i32, identity: &Identity) -> Self {
        let voter = Voter {
            voter_id: node_id,
            voter_directory_id: identity.directory_id,
            endpoints: vec![controller_end(config)],
            kraft_version_feature: KRaftVersionFeature {
                min_supported_version: 0,
                max_supported_version: KRAFT_VERSION_MAX,
            },
        };
        let voters = VotersRecord { version: 0, voters: vec![voter] };
        Self { kraft_version: KRAFT_VERSION_MAX, voters: Some(voters) }
    }

    /// Takes in a control record; those of other kinds say nothing of the quorum.
    pub(super) fn take(&mut self, kind: ControlType, value: Bytes) -> Result<(), DecodeError> {
        let mut reader = Reader::new(value);
        match kind {
            ControlType::KraftVersion => {
                self.kraft_version = KRaftVersionRecord::decode(&mut reader, 0)?.kraft_version;
            }
            ControlType::KraftVoters => {
                self.voters = Some(VotersRecord::decode(&mut reader, 0)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Voters that are not `node_id`.
    pub(super) fn others(&self, node_id: i32) -> Vec<i32> {
        let voters = self.voters.iter().flat_map(|record| &record.voters);
        voters.map(|voter| voter.voter_id).filter(|id| *id != node_id).collect()
    }
}

/// Where the node would be found as a controller: nobody connects to it here, but Apache Kafka
/// wants to find its own listener among the voter's.
fn controller_end(config: &Config) -> Endpoint {
    let names = config.list("controller.listener.names").unwrap_or_default();
    let name = names.first().map_or_else(|| "CONTROLLER".to_owned(), |name| name.to_uppercase());
    let told = ["advertised.listeners", "listeners"].into_iter().find_map(|key| {
        let ends = config.list(key).unwrap_or_default();
        let mut ends = ends.iter().filter_map(|text| EndPoint::parse(text).ok());
        ends.find(|end| end.name == name)
    });
    let (host, port) = told
        .map(|end| (if end.is_wildcard() { String::new() } else { end.host }, end.port))
        .unwrap_or((String::new(), CONTROLLER_PORT));
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    Endpoint { name, host, port }
}
