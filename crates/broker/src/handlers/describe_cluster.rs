//! DescribeCluster (60), versions 0 to 2. KIP-700, KIP-919 (endpoint type), KIP-1073 (fenced
//! brokers).
//!
//! Not done: authorization; controllers have no listener of their own here.

use super::operations;
use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use afluente_protocol::messages::describe_cluster_response::{
    DescribeClusterBroker, DescribeClusterResponse,
};
use std::sync::Arc;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: DescribeClusterRequest,
) -> Result<DescribeClusterResponse, CloseReason> {
    let refused = |code: ErrorCode, message: &str| DescribeClusterResponse {
        error_code: code.code(),
        error_message: Some(message.to_owned()),
        ..Default::default()
    };
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            let message = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint \
                           of type CONTROLLER";
            return Ok(refused(ErrorCode::MismatchedEndpointType, message));
        }
        other => {
            let message = format!("Unsupported endpoint type {other}");
            return Ok(refused(ErrorCode::UnsupportedEndpointType, &message));
        }
    }
    let (host, port) = broker.advertised(context.client);
    let node_id = broker.settings.node.id;
    Ok(DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: broker.metadata.cluster_id().to_owned(),
        controller_id: node_id,
        brokers: vec![DescribeClusterBroker {
            broker_id: node_id,
            host,
            port: i32::from(port),
            rack: broker.settings.node.rack.clone(),
            is_fenced: false,
        }],
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => operations::CLUSTER,
            false => operations::NOT_ASKED,
        },
        ..Default::default()
    })
}
