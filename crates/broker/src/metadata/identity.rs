//! Which cluster and node a log directory belongs to: Kafka's `meta.properties`.

use super::log::{MetadataError, read_file, write_file};
use afluente_env::Env;
use afluente_protocol::numbers::NodeId;
use afluente_protocol::uuid::Uuid;
use afluente_storage::kafka_files::meta_properties::{META_PROPERTIES_FILE, MetaProperties};
use std::path::Path;

/// Who the directory says that it is.
pub(super) struct Identity {
    pub(super) cluster_id: String,
    pub(super) directory_id: Uuid,
}

impl Identity {
    /// Reads the directory's identity, or gives it one.
    pub(super) fn open(env: &Env, path: &Path, node_id: i32) -> Result<Self, MetadataError> {
        let file = path.join(META_PROPERTIES_FILE);
        let found = match read_file(env, &file)? {
            None => None,
            Some(bytes) => Some(MetaProperties::decode(&bytes).map_err(|source| {
                MetadataError::BadFile { path: file.clone(), why: source.to_string() }
            })?),
        };
        let fresh = || Uuid::from_random_bytes(env.rng.uuid());
        let properties = match found {
            Some(properties) if properties.node_id.0 != node_id => {
                return Err(MetadataError::OtherNode {
                    path: file,
                    found: properties.node_id.0,
                    configured: node_id,
                });
            }
            Some(MetaProperties { cluster_id, directory_id: Some(directory_id), .. }) => {
                return Ok(Self { cluster_id, directory_id });
            }
            // Written before directories had ids.
            Some(properties) => MetaProperties { directory_id: Some(fresh()), ..properties },
            None => MetaProperties {
                cluster_id: fresh().to_string(),
                node_id: NodeId(node_id),
                directory_id: Some(fresh()),
            },
        };
        write_file(env, &file, &properties.encode())?;
        Ok(Self {
            cluster_id: properties.cluster_id,
            directory_id: properties.directory_id.unwrap_or(Uuid::ZERO),
        })
    }
}
