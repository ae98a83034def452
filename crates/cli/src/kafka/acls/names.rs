//! Kafka's names and numbers of resources, patterns and operations.

pub(super) const ANY: i8 = 1;
pub(super) const MATCH: i8 = 2;
pub(super) const LITERAL: i8 = 3;
pub(super) const PREFIXED: i8 = 4;

pub(super) const TOPIC: i8 = 2;
pub(super) const GROUP: i8 = 3;
pub(super) const CLUSTER: i8 = 4;
pub(super) const TRANSACTIONAL_ID: i8 = 5;
pub(super) const DELEGATION_TOKEN: i8 = 6;
pub(super) const USER: i8 = 7;

/// What the one resource of kind cluster is called.
pub(super) const CLUSTER_NAME: &str = "kafka-cluster";

pub(super) const READ: i8 = 3;
pub(super) const WRITE: i8 = 4;
pub(super) const CREATE: i8 = 5;
pub(super) const DESCRIBE: i8 = 8;
pub(super) const IDEMPOTENT_WRITE: i8 = 12;

/// By number: as shown, and as typed.
const OPERATIONS: &[(i8, &str, &str)] = &[
    (2, "ALL", "All"),
    (READ, "READ", "Read"),
    (WRITE, "WRITE", "Write"),
    (CREATE, "CREATE", "Create"),
    (6, "DELETE", "Delete"),
    (7, "ALTER", "Alter"),
    (DESCRIBE, "DESCRIBE", "Describe"),
    (9, "CLUSTER_ACTION", "ClusterAction"),
    (10, "DESCRIBE_CONFIGS", "DescribeConfigs"),
    (11, "ALTER_CONFIGS", "AlterConfigs"),
    (IDEMPOTENT_WRITE, "IDEMPOTENT_WRITE", "IdempotentWrite"),
    (13, "CREATE_TOKENS", "CreateTokens"),
    (14, "DESCRIBE_TOKENS", "DescribeTokens"),
    (15, "TWO_PHASE_COMMIT", "TwoPhaseCommit"),
];

pub(super) fn operation(number: i8) -> &'static str {
    OPERATIONS.iter().find(|row| row.0 == number).map_or("UNKNOWN", |row| row.1)
}

/// The number of an operation, in whatever case it is typed.
pub(super) fn operation_of(name: &str) -> Option<i8> {
    let name = name.trim();
    let mut rows = OPERATIONS.iter();
    rows.find(|row| row.2.eq_ignore_ascii_case(name) || row.1 == name).map(|row| row.0)
}

pub(super) fn resource(number: i8) -> &'static str {
    match number {
        ANY => "ANY",
        TOPIC => "TOPIC",
        GROUP => "GROUP",
        CLUSTER => "CLUSTER",
        TRANSACTIONAL_ID => "TRANSACTIONAL_ID",
        DELEGATION_TOKEN => "DELEGATION_TOKEN",
        USER => "USER",
        _ => "UNKNOWN",
    }
}

pub(super) fn pattern(number: i8) -> &'static str {
    match number {
        ANY => "ANY",
        MATCH => "MATCH",
        LITERAL => "LITERAL",
        PREFIXED => "PREFIXED",
        _ => "UNKNOWN",
    }
}

/// What can be allowed or denied on a kind of resource.
pub(super) fn supported(resource: i8) -> &'static [i8] {
    match resource {
        TOPIC => &[2, 3, 4, 5, 6, 7, 8, 10, 11],
        GROUP => &[2, 3, 6, 8, 10, 11],
        CLUSTER => &[2, 5, 7, 8, 9, 10, 11, 12],
        TRANSACTIONAL_ID => &[2, 4, 8, 15],
        DELEGATION_TOKEN => &[2, 8],
        USER => &[2, 13, 14],
        _ => &[],
    }
}
