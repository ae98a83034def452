//! One file an API. Each opens with its card: versions, KIPs, and what is not done.
//!
//! A handler is `async fn handle(broker: &Arc<Broker>, context: &RequestContext<'_>, request) ->
//! Result<Response, CloseReason>`. What is wrong with a request is said in the response, as Kafka
//! does; `CloseReason` is for what cannot be answered.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_configs;
mod alter_resource;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod get_telemetry_subscriptions;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub(crate) mod operations;
pub mod produce;
pub mod push_telemetry;
pub mod sync_group;
pub(crate) mod topic_configs;
pub mod txn_offset_commit;
pub mod write_txn_markers;
