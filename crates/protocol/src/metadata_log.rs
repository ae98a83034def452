//! The frame around each record of the metadata log.
//!
//! ```text
//! frame version 1, varint | type number, varint | version, varint | the record's fields
//! ```

use crate::message::{DecodeError, DecodeProblem, EncodeError};
use crate::messages::metadata::MetadataRecord;
use crate::reader::Reader;
use crate::writer::Writer;
use bytes::Bytes;

/// The only version of the frame.
const FRAME_VERSION: u32 = 1;

/// Reads the value of a record of the metadata log: the record and the version it was written in.
pub fn read_metadata_record(bytes: Bytes) -> Result<(MetadataRecord, i16), DecodeError> {
    let mut reader = Reader::new(bytes);
    let frame_version = reader.varint()?;
    if frame_version != FRAME_VERSION {
        let version = i16::try_from(frame_version).unwrap_or(i16::MAX);
        let problem = DecodeProblem::UnsupportedVersion { version, supported: 1..=1 };
        return Err(DecodeError::new(problem, 0).within("MetadataRecord frame", None));
    }
    let number = reader.varint()?;
    let version = reader.varint()?;
    let number = i16::try_from(number).map_err(|_| {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        reader.error(DecodeProblem::UnknownRecordType { number })
    })?;
    // No record has a version that large: decoding says which it has.
    let version = i16::try_from(version).unwrap_or(i16::MAX);
    let record = MetadataRecord::decode(number, &mut reader, version)?;
    reader.expect_end()?;
    Ok((record, version))
}

/// The value of a record of the metadata log.
pub fn write_metadata_record(record: &MetadataRecord, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.varint(FRAME_VERSION);
    writer.varint(u32::from(record.number().unsigned_abs()));
    writer.varint(u32::from(version.unsigned_abs()));
    record.encode(&mut writer, version)?;
    Ok(writer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::metadata::topic_record::TopicRecord;
    use crate::uuid::Uuid;

    #[test]
    fn a_record_comes_back_from_its_frame() {
        let record = MetadataRecord::from(TopicRecord { name: "t".into(), topic_id: Uuid::ONE });
        let bytes = write_metadata_record(&record, 0).expect("version 0 exists");
        assert_eq!(&bytes[..6], b"\x01\x02\x00\x02t\x00");
        assert_eq!(read_metadata_record(bytes.clone()), Ok((record, 0)));
        for (bytes, error) in [
            (
                &b"\x00\x02\x00"[..],
                "byte 0 of MetadataRecord frame: version 0 is not supported (1 to 1 are)",
            ),
            (b"\x01\x7f\x00", "byte 3: record type 127 is not known"),
            (b"\x01\x02\x01", "byte 3 of TopicRecord: version 1 is not supported (0 to 0 are)"),
        ] {
            let found = read_metadata_record(Bytes::from_static(bytes)).expect_err("it is bad");
            assert_eq!(found.to_string(), error);
        }
    }
}
