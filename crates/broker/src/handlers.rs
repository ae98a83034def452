//! One file an API. Each opens with its card: versions, KIPs, and what is not done.
//!
//! A handler is `async fn handle(broker: &Arc<Broker>, context: &RequestContext<'_>, request) ->
//! Result<Response, CloseReason>`. What is wrong with a request is said in the response, as Kafka
//! does; `CloseReason` is for what cannot be answered.

pub mod api_versions;
pub mod create_topics;
pub mod delete_topics;
pub mod fetch;
pub mod init_producer_id;
pub mod list_offsets;
pub mod metadata;
pub mod offset_for_leader_epoch;
pub(crate) mod operations;
pub mod produce;
