//! Kafka's errors in the words of the console.

use afluente_client::Error;
use afluente_httpd::StatusCode;
use afluente_httpd::problem::Problem;
use afluente_protocol::error_code::ErrorCode;

/// What went wrong with `what`, for the reader.
pub(crate) fn problem(what: impl Into<String>, error: &Error) -> Problem {
    let what = what.into();
    let (why, code) = match error {
        Error::Broker { code, message, .. } => {
            let why = message.clone().filter(|text| !text.is_empty());
            (why.unwrap_or_else(|| code.message().to_owned()), Some(*code))
        }
        error => (error.to_string(), error.error_code()),
    };
    let name = match (error, code) {
        (_, Some(ErrorCode::NetworkException) | None) => "CLUSTER_UNREACHABLE",
        (_, Some(code)) => code.name(),
    };
    let problem = Problem::new(status(name), name, what, why);
    let problem = if error.is_retriable() { problem.retriable() } else { problem };
    match remedy(name) {
        Some(remedy) => problem.remedy(remedy),
        None => problem,
    }
}

fn status(name: &str) -> StatusCode {
    match name {
        "CLUSTER_UNREACHABLE"
        | "BROKER_NOT_AVAILABLE"
        | "LEADER_NOT_AVAILABLE"
        | "COORDINATOR_NOT_AVAILABLE" => StatusCode::BAD_GATEWAY,
        "REQUEST_TIMED_OUT" => StatusCode::GATEWAY_TIMEOUT,
        "UNSUPPORTED_VERSION" => StatusCode::NOT_IMPLEMENTED,
        "UNKNOWN_TOPIC_OR_PARTITION"
        | "GROUP_ID_NOT_FOUND"
        | "UNKNOWN_TOPIC_ID"
        | "RESOURCE_NOT_FOUND" => StatusCode::NOT_FOUND,
        "TOPIC_ALREADY_EXISTS" | "NON_EMPTY_GROUP" | "GROUP_SUBSCRIBED_TO_TOPIC" => {
            StatusCode::CONFLICT
        }
        "UNKNOWN_SERVER_ERROR" => StatusCode::INTERNAL_SERVER_ERROR,
        name if name.ends_with("_AUTHORIZATION_FAILED") => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn remedy(name: &str) -> Option<&'static str> {
    Some(match name {
        "CLUSTER_UNREACHABLE" => {
            "check that the broker runs, and that its address can be reached from the console"
        }
        "REQUEST_TIMED_OUT" => {
            "try again; if it goes on, look at the load and the log of the broker"
        }
        "UNSUPPORTED_VERSION" => "this cluster is too old for it, or does not do it at all",
        "UNKNOWN_TOPIC_OR_PARTITION" => {
            "look at the list of topics: it may have been deleted, or be spelled otherwise"
        }
        "TOPIC_ALREADY_EXISTS" => "choose another name, or delete the topic first",
        "NON_EMPTY_GROUP" => "stop the members of the group, and try again",
        "GROUP_SUBSCRIBED_TO_TOPIC" => "stop the members that read this topic, and try again",
        "INVALID_TOPIC_EXCEPTION" => {
            "a name has 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`"
        }
        "INVALID_REPLICATION_FACTOR" => "there cannot be more replicas than brokers",
        "INVALID_PARTITIONS" => {
            "give a number that is larger than now; partitions are never taken away"
        }
        "MESSAGE_TOO_LARGE" => "raise max.message.bytes of the topic, or send less at once",
        name if name.ends_with("_AUTHORIZATION_FAILED") => {
            "ask who runs the cluster for the right to do it"
        }
        _ => return None,
    })
}
