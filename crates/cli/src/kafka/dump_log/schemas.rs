//! The schemas of what Kafka writes into its own topics, parsed when they are first needed.

use afluente_protocol_schema::model::{Definition, Kind, Message};
use afluente_protocol_schema::parse::parse;
use std::sync::LazyLock;

/// A topic of a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    ConsumerOffsets,
    TransactionState,
    ShareGroupState,
}

impl Topic {
    pub(super) fn definitions(self) -> &'static [Definition] {
        match self {
            Self::ConsumerOffsets => &CONSUMER_OFFSETS,
            Self::TransactionState => &TRANSACTION_STATE,
            Self::ShareGroupState => &SHARE_GROUP_STATE,
        }
    }
}

macro_rules! texts {
    ($dir:literal: $($name:literal)*) => {
        &[$(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"), "/../protocol/schema/", $dir, "/", $name, ".schema"
        ))),*]
    };
}

#[rustfmt::skip] // A list of files.
const CONSUMER_OFFSETS_TEXTS: &[&str] = texts!("consumer_offsets":
    "consumer_group_current_member_assignment"
    "consumer_group_member_metadata"
    "consumer_group_metadata"
    "consumer_group_partition_metadata"
    "consumer_group_regular_expression"
    "consumer_group_target_assignment_member"
    "consumer_group_target_assignment_metadata"
    "group_metadata"
    "legacy_offset_commit"
    "offset_commit"
    "share_group_current_member_assignment"
    "share_group_member_metadata"
    "share_group_metadata"
    "share_group_state_partition_metadata"
    "share_group_target_assignment_member"
    "share_group_target_assignment_metadata"
    "streams_group_current_member_assignment"
    "streams_group_member_metadata"
    "streams_group_metadata"
    "streams_group_target_assignment_member"
    "streams_group_target_assignment_metadata"
    "streams_group_topology"
);

static CONSUMER_OFFSETS: LazyLock<Vec<Definition>> =
    LazyLock::new(|| parsed(CONSUMER_OFFSETS_TEXTS));

#[rustfmt::skip] // A list of files.
const TRANSACTION_STATE_TEXTS: &[&str] = texts!("transaction_state":
    "transaction_log"
);

static TRANSACTION_STATE: LazyLock<Vec<Definition>> =
    LazyLock::new(|| parsed(TRANSACTION_STATE_TEXTS));

#[rustfmt::skip] // A list of files.
const SHARE_GROUP_STATE_TEXTS: &[&str] = texts!("share_group_state":
    "share_snapshot"
    "share_update"
);

static SHARE_GROUP_STATE: LazyLock<Vec<Definition>> =
    LazyLock::new(|| parsed(SHARE_GROUP_STATE_TEXTS));

#[rustfmt::skip] // A list of files.
const METADATA_TEXTS: &[&str] = texts!("metadata":
    "abort_transaction"
    "access_control_entry"
    "begin_transaction"
    "broker_registration_change"
    "clear_elr"
    "client_quota"
    "config"
    "delegation_token"
    "end_transaction"
    "feature_level"
    "fence_broker"
    "no_op"
    "partition"
    "partition_change"
    "producer_ids"
    "register_broker"
    "register_controller"
    "remove_access_control_entry"
    "remove_delegation_token"
    "remove_topic"
    "remove_user_scram_credential"
    "topic"
    "unfence_broker"
    "unregister_broker"
    "user_scram_credential"
    "zk_migration_state"
);

static METADATA: LazyLock<Vec<Definition>> = LazyLock::new(|| parsed(METADATA_TEXTS));

#[rustfmt::skip] // A list of files.
const CONTROL_TEXTS: &[&str] = texts!("control":
    "kraft_version_record"
    "leader_change_message"
    "snapshot_footer_record"
    "snapshot_header_record"
    "voters_record"
);

static CONTROL: LazyLock<Vec<Definition>> = LazyLock::new(|| parsed(CONTROL_TEXTS));

#[rustfmt::skip] // A list of files.
const EMBEDDED_TEXTS: &[&str] = texts!("embedded":
    "consumer_protocol_assignment"
    "consumer_protocol_subscription"
);

static EMBEDDED: LazyLock<Vec<Definition>> = LazyLock::new(|| parsed(EMBEDDED_TEXTS));

fn parsed(texts: &[&str]) -> Vec<Definition> {
    let parsed = texts.iter().map(|text| parse(text).expect("a test parses every schema"));
    parsed.collect()
}

pub(super) fn metadata() -> &'static [Definition] {
    &METADATA
}

/// The message of that name among those without a number.
fn data(all: &'static [Definition], name: &str) -> &'static Message {
    let mut found = all.iter().filter(|definition| definition.name == name);
    match found.next().map(|definition| &definition.kind) {
        Some(Kind::Data(message)) => message,
        _ => unreachable!("a test looks up each name"),
    }
}

pub(super) fn leader_change() -> &'static Message {
    data(&CONTROL, "LeaderChangeMessage")
}

pub(super) fn snapshot_header() -> &'static Message {
    data(&CONTROL, "SnapshotHeaderRecord")
}

pub(super) fn snapshot_footer() -> &'static Message {
    data(&CONTROL, "SnapshotFooterRecord")
}

pub(super) fn kraft_version() -> &'static Message {
    data(&CONTROL, "KRaftVersionRecord")
}

pub(super) fn voters() -> &'static Message {
    data(&CONTROL, "VotersRecord")
}

pub(super) fn subscription() -> &'static Message {
    data(&EMBEDDED, "ConsumerProtocolSubscription")
}

pub(super) fn assignment() -> &'static Message {
    data(&EMBEDDED, "ConsumerProtocolAssignment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_one_and_is_found() {
        assert!(metadata().len() > 20);
        for topic in [Topic::ConsumerOffsets, Topic::TransactionState, Topic::ShareGroupState] {
            assert!(!topic.definitions().is_empty());
        }
        let messages = [
            leader_change(),
            snapshot_header(),
            snapshot_footer(),
            kraft_version(),
            voters(),
            subscription(),
            assignment(),
        ];
        assert!(messages.iter().all(|message| !message.fields.is_empty()));
    }
}
