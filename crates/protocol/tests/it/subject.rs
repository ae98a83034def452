//! Every message there is, as a thing to test: its schema, and a way through the generated code.

use std::path::Path;

use afluente_protocol::api_key::ApiKey;
use afluente_protocol::message::{DecodeError, EncodeError, Message};
use afluente_protocol::messages::any_request::AnyRequest;
use afluente_protocol::messages::any_response::AnyResponse;
use afluente_protocol::messages::control::{
    aborted_txn::AbortedTxn, control_record_type_schema::ControlRecordTypeSchema,
    end_txn_marker::EndTxnMarker, kraft_version_record::KRaftVersionRecord,
    leader_change_message::LeaderChangeMessage, snapshot_footer_record::SnapshotFooterRecord,
    snapshot_header_record::SnapshotHeaderRecord, voters_record::VotersRecord,
};
use afluente_protocol::messages::embedded::{
    consumer_protocol_assignment::ConsumerProtocolAssignment,
    consumer_protocol_subscription::ConsumerProtocolSubscription,
    default_principal_data::DefaultPrincipalData,
};
use afluente_protocol::messages::header::{
    request_header::RequestHeader, response_header::ResponseHeader,
};
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::{consumer_offsets, share_group_state, transaction_state};
use afluente_protocol::reader::Reader;
use afluente_protocol::writer::Writer;
use afluente_protocol_schema::model::{self, Definition, Kind};
use afluente_protocol_schema::parse::parse;
use bytes::Bytes;

/// One message and the schema file that it comes from.
pub(crate) struct Subject {
    /// The folder of the schema file.
    pub(crate) folder: String,
    definition: Definition,
    /// The message.
    pub(crate) message: model::Message,
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

/// A function that decodes a key or a value of one coordinator's topic.
macro_rules! coordinator_record {
    ($module:ident) => {
        |number: i16, is_key: bool, bytes: Bytes, version: i16| {
            // A key opens with its type, a value with its version; neither is in the schema.
            let opening = if is_key { number } else { version };
            let whole = Bytes::from([&opening.to_be_bytes(), &bytes[..]].concat());
            let encode: Box<dyn Fn(i16) -> Bytes> = if is_key {
                let key = $module::Key::from_bytes(whole)?;
                assert_eq!(key.number(), number);
                Box::new(move |_| key.to_bytes().unwrap().slice(2..))
            } else {
                let value = $module::Value::from_bytes(number, whole)?;
                assert_eq!(value.number(), number);
                Box::new(move |version| value.to_bytes(version).unwrap().slice(2..))
            };
            Ok(encode)
        }
    };
}

/// Decodes a key or a value of a coordinator's topic.
type CoordinatorDecode =
    fn(i16, bool, Bytes, i16) -> Result<Box<dyn Fn(i16) -> Bytes>, DecodeError>;

impl Subject {
    /// Takes `bytes` through the generated code and back; all of them must be used up.
    pub(crate) fn recode(&self, bytes: &[u8], version: i16) -> Result<Bytes, DecodeError> {
        let message = self.decode(Bytes::copy_from_slice(bytes), version)?;
        Ok(message(version))
    }

    /// The message that `bytes` are, as a function that writes it again. All bytes must be used up.
    pub(crate) fn decode(
        &self,
        bytes: Bytes,
        version: i16,
    ) -> Result<Box<dyn Fn(i16) -> Bytes>, DecodeError> {
        let reader = &mut Reader::new(bytes.clone());
        let name = self.message.name.as_str();
        let encode: Box<dyn Fn(i16) -> Bytes> = match &self.definition.kind {
            Kind::Api(api) => {
                let key = ApiKey::from_i16(api.key).unwrap();
                if name == api.request.name {
                    let request = AnyRequest::decode(key, reader, version)?;
                    written(move |writer, version| request.encode(writer, version))
                } else {
                    let response = AnyResponse::decode(key, reader, version)?;
                    written(move |writer, version| response.encode(writer, version))
                }
            }
            Kind::Metadata { number, .. } => {
                let record = MetadataRecord::decode(*number, reader, version)?;
                written(move |writer, version| record.encode(writer, version))
            }
            Kind::Coordinator { number, key, .. } => {
                let record: CoordinatorDecode = match self.folder.as_str() {
                    "consumer_offsets" => coordinator_record!(consumer_offsets),
                    "transaction_state" => coordinator_record!(transaction_state),
                    "share_group_state" => coordinator_record!(share_group_state),
                    other => panic!("{other} needs a row here"),
                };
                return record(*number, name == key.name, bytes, version);
            }
            Kind::Data(_) => match name {
                "AbortedTxn" => plain::<AbortedTxn>(reader, version)?,
                "ControlRecordTypeSchema" => plain::<ControlRecordTypeSchema>(reader, version)?,
                "EndTxnMarker" => plain::<EndTxnMarker>(reader, version)?,
                "KRaftVersionRecord" => plain::<KRaftVersionRecord>(reader, version)?,
                "LeaderChangeMessage" => plain::<LeaderChangeMessage>(reader, version)?,
                "SnapshotFooterRecord" => plain::<SnapshotFooterRecord>(reader, version)?,
                "SnapshotHeaderRecord" => plain::<SnapshotHeaderRecord>(reader, version)?,
                "VotersRecord" => plain::<VotersRecord>(reader, version)?,
                "ConsumerProtocolAssignment" => {
                    plain::<ConsumerProtocolAssignment>(reader, version)?
                }
                "ConsumerProtocolSubscription" => {
                    plain::<ConsumerProtocolSubscription>(reader, version)?
                }
                "DefaultPrincipalData" => plain::<DefaultPrincipalData>(reader, version)?,
                "RequestHeader" => plain::<RequestHeader>(reader, version)?,
                "ResponseHeader" => plain::<ResponseHeader>(reader, version)?,
                other => panic!("{other} needs a row here"),
            },
        };
        reader.expect_end()?;
        Ok(encode)
    }
}

fn plain<M: Message + 'static>(
    reader: &mut Reader,
    version: i16,
) -> Result<Box<dyn Fn(i16) -> Bytes>, DecodeError> {
    let message = M::decode(reader, version)?;
    Ok(written(move |writer, version| message.encode(writer, version)))
}

fn written(
    encode: impl Fn(&mut Writer, i16) -> Result<(), EncodeError> + 'static,
) -> Box<dyn Fn(i16) -> Bytes> {
    Box::new(move |version| {
        let mut writer = Writer::new();
        encode(&mut writer, version).unwrap();
        writer.into_bytes()
    })
}
