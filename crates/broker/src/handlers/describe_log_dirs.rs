//! DescribeLogDirs (35), versions 1 to 5. KIP-113, KIP-827 (space), KIP-1066 (cordoned).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use afluente_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use afluente_storage::DirState;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: DescribeLogDirsRequest,
) -> Result<DescribeLogDirsResponse, CloseReason> {
    let is_wanted = |topic: &str, index: i32| match &request.topics {
        None => true,
        Some(topics) => topics.iter().any(|t| t.topic == topic && t.partitions.contains(&index)),
    };
    let mut topics: Vec<DescribeLogDirsTopic> = Vec::new();
    for topic in broker.topics.all() {
        let wanted = topic.partitions.iter().filter(|p| is_wanted(&topic.name, p.index()));
        let partitions: Vec<DescribeLogDirsPartition> = wanted
            .map(|partition| DescribeLogDirsPartition {
                partition_index: partition.index(),
                partition_size: i64::try_from(partition.log().size_bytes()).unwrap_or(i64::MAX),
                ..Default::default()
            })
            .collect();
        if !partitions.is_empty() {
            topics.push(DescribeLogDirsTopic { name: topic.name.to_string(), partitions });
        }
    }
    let path = broker.settings.log.dirs.first().cloned().unwrap_or_else(PathBuf::new);
    let space = broker.env.disk.space(&path).ok();
    let bytes = |count: Option<u64>| count.and_then(|c| i64::try_from(c).ok()).unwrap_or(-1);
    let code = match broker.log_dir.state() {
        DirState::Offline { .. } => ErrorCode::KafkaStorageError,
        _ => ErrorCode::None,
    };
    let result = DescribeLogDirsResult {
        error_code: code.code(),
        log_dir: path.display().to_string(),
        topics,
        total_bytes: bytes(space.map(|space| space.total)),
        usable_bytes: bytes(space.map(|space| space.available)),
        is_cordoned: false,
    };
    Ok(DescribeLogDirsResponse { results: vec![result], ..Default::default() })
}
