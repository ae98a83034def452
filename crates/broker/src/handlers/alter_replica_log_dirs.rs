//! AlterReplicaLogDirs (34), versions 1 and 2. KIP-113.
//!
//! Not done: authorization. There is one log directory: everything is in it already.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::alter_replica_log_dirs_request::AlterReplicaLogDirsRequest;
use afluente_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsResponse,
};
use std::path::Path;
use std::sync::Arc;

/// What file systems take.
const FOLDER_NAME_LENGTH_MAX: usize = 255;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: AlterReplicaLogDirsRequest,
) -> Result<AlterReplicaLogDirsResponse, CloseReason> {
    let own = broker.settings.log.dirs.first();
    let mut results = Vec::new();
    for dir in request.dirs {
        let is_own = own.is_some_and(|own| own == Path::new(&dir.path));
        for topic in dir.topics {
            let found = broker.topics.by_name(&topic.name);
            let partitions = topic.partitions.iter().map(|index| {
                let is_here = found.as_ref().is_some_and(|t| t.partition(*index).is_some());
                // The folder of the replica that is to be: `topic-0.<32 digits>-future`.
                let name_length = format!("{}-{index}", topic.name).len() + 1 + 32 + 7;
                let code = if name_length > FOLDER_NAME_LENGTH_MAX {
                    ErrorCode::InvalidTopicException
                } else if !is_own {
                    ErrorCode::LogDirNotFound
                } else if !is_here {
                    ErrorCode::UnknownTopicOrPartition
                } else {
                    ErrorCode::None
                };
                AlterReplicaLogDirPartitionResult {
                    partition_index: *index,
                    error_code: code.code(),
                }
            });
            let partitions = partitions.collect();
            results.push(AlterReplicaLogDirTopicResult { topic_name: topic.name, partitions });
        }
    }
    Ok(AlterReplicaLogDirsResponse { results, ..Default::default() })
}
