//! Every message there is, as a thing to test: its schema, and a way through the generated code.

use std::path::Path;

use afluente_protocol::api_key::ApiKey;
use afluente_protocol::message::DecodeError;
use afluente_protocol::messages::any_request::AnyRequest;
use afluente_protocol::messages::any_response::AnyResponse;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::{
    consumer_offsets, control, embedded, header, share_group_state, transaction_state,
};
use afluente_protocol::reader::Reader;
use afluente_protocol::writer::Writer;
use afluente_protocol_schema::model::{Definition, Kind, Message};
use afluente_protocol_schema::parse::parse;
use bytes::Bytes;

/// One message and the schema file that it comes from.
pub(crate) struct Subject {
    /// The folder of the schema file.
    pub(crate) folder: String,
    definition: Definition,
    /// The message.
    pub(crate) message: Message,
}

/// All messages, in the order of their schema files.
pub(crate) fn all() -> Vec<Subject> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let mut subjects = Vec::new();
    for folder in sorted_names(&root) {
        for file in sorted_names(&root.join(&folder)) {
            let text = std::fs::read_to_string(root.join(&folder).join(&file)).unwrap();
            let definition = parse(&text).unwrap_or_else(|e| panic!("{folder}/{file}: {e}"));
            for message in definition.messages() {
                subjects.push(Subject {
                    folder: folder.clone(),
                    definition: definition.clone(),
                    message: message.clone(),
                });
            }
        }
    }
    subjects
}

fn sorted_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

impl Subject {
    /// Takes `bytes` through the generated code and back; all of them must be used up.
    pub(crate) fn recode(&self, bytes: &[u8], version: i16) -> Result<Bytes, DecodeError> {
        let name = self.message.name.as_str();
        match &self.definition.kind {
            Kind::Api(api) => {
                let key = ApiKey::from_i16(api.key).unwrap();
                if name == api.request.name {
                    through(
                        bytes,
                        |reader| AnyRequest::decode(key, reader, version),
                        |request, writer| request.encode(writer, version).unwrap(),
                    )
                } else {
                    through(
                        bytes,
                        |reader| AnyResponse::decode(key, reader, version),
                        |response, writer| response.encode(writer, version).unwrap(),
                    )
                }
            }
            Kind::Metadata { number, .. } => through(
                bytes,
                |reader| MetadataRecord::decode(*number, reader, version),
                |record, writer| record.encode(writer, version).unwrap(),
            ),
            Kind::Coordinator { number, key, .. } => {
                let is_key = name == key.name;
                // A key opens with its type, a value with its version.
                let opening = if is_key { *number } else { version };
                let whole = Bytes::from([&opening.to_be_bytes(), bytes].concat());
                let whole = self.recode_coordinator_record(whole, *number, is_key, version)?;
                Ok(whole.slice(2..))
            }
            Kind::Data(_) => match name {
                "AbortedTxn" => plain::<control::aborted_txn::AbortedTxn>(bytes, version),
                "ControlRecordTypeSchema" => plain::<
                    control::control_record_type_schema::ControlRecordTypeSchema,
                >(bytes, version),
                "EndTxnMarker" => plain::<control::end_txn_marker::EndTxnMarker>(bytes, version),
                "KRaftVersionRecord" => {
                    plain::<control::kraft_version_record::KRaftVersionRecord>(bytes, version)
                }
                "LeaderChangeMessage" => {
                    plain::<control::leader_change_message::LeaderChangeMessage>(bytes, version)
                }
                "SnapshotFooterRecord" => {
                    plain::<control::snapshot_footer_record::SnapshotFooterRecord>(bytes, version)
                }
                "SnapshotHeaderRecord" => {
                    plain::<control::snapshot_header_record::SnapshotHeaderRecord>(bytes, version)
                }
                "VotersRecord" => plain::<control::voters_record::VotersRecord>(bytes, version),
                "ConsumerProtocolAssignment" => plain::<
                    embedded::consumer_protocol_assignment::ConsumerProtocolAssignment,
                >(bytes, version),
                "ConsumerProtocolSubscription" => plain::<
                    embedded::consumer_protocol_subscription::ConsumerProtocolSubscription,
                >(bytes, version),
                "DefaultPrincipalData" => {
                    plain::<embedded::default_principal_data::DefaultPrincipalData>(bytes, version)
                }
                "RequestHeader" => plain::<header::request_header::RequestHeader>(bytes, version),
                "ResponseHeader" => {
                    plain::<header::response_header::ResponseHeader>(bytes, version)
                }
                other => panic!("{other} needs a row here"),
            },
        }
    }

    fn recode_coordinator_record(
        &self,
        whole: Bytes,
        number: i16,
        is_key: bool,
        version: i16,
    ) -> Result<Bytes, DecodeError> {
        macro_rules! in_module {
            ($module:ident) => {
                if is_key {
                    let key = $module::Key::from_bytes(whole)?;
                    assert_eq!(key.number(), number);
                    Ok(key.to_bytes().unwrap())
                } else {
                    let value = $module::Value::from_bytes(number, whole)?;
                    assert_eq!(value.number(), number);
                    Ok(value.to_bytes(version).unwrap())
                }
            };
        }
        match self.folder.as_str() {
            "consumer_offsets" => in_module!(consumer_offsets),
            "transaction_state" => in_module!(transaction_state),
            "share_group_state" => in_module!(share_group_state),
            other => panic!("{other} needs a row here"),
        }
    }
}

fn plain<M: afluente_protocol::message::Message>(
    bytes: &[u8],
    version: i16,
) -> Result<Bytes, DecodeError> {
    through(
        bytes,
        |reader| M::decode(reader, version),
        |message, writer| message.encode(writer, version).unwrap(),
    )
}

fn through<T>(
    bytes: &[u8],
    decode: impl FnOnce(&mut Reader) -> Result<T, DecodeError>,
    encode: impl FnOnce(&T, &mut Writer),
) -> Result<Bytes, DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    let message = decode(&mut reader)?;
    reader.expect_end()?;
    let mut writer = Writer::new();
    encode(&message, &mut writer);
    Ok(writer.into_bytes())
}
