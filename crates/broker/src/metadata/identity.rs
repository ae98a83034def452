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
        let found = check(env, path, node_id)?;
        let fresh = || Uuid::from_random_bytes(env.rng.uuid());
        let properties = match found {
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

/// What the directory says of itself, if it says so and is this node's.
///
/// # Errors
/// It is another node's, or its file cannot be read.
pub(super) fn check(
    env: &Env,
    path: &Path,
    node_id: i32,
) -> Result<Option<MetaProperties>, MetadataError> {
    let file = path.join(META_PROPERTIES_FILE);
    let Some(bytes) = read_file(env, &file)? else { return Ok(None) };
    let properties = MetaProperties::decode(&bytes)
        .map_err(|source| MetadataError::BadFile { path: file.clone(), why: source.to_string() })?;
    match properties.node_id.0 {
        found if found == node_id => Ok(Some(properties)),
        found => Err(MetadataError::OtherNode { path: file, found, configured: node_id }),
    }
}
