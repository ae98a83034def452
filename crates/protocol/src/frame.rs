//! Frames: a size of four bytes, a header, a message.
//!
//! ```text
//! request   size i32 | api key i16 | version i16 | correlation id i32 | client id | (tags) | body
//! response  size i32 | correlation id i32 | (tags) | body
//! ```
//!
//! The size does not count itself. The tags are there in flexible versions, but never in the
//! header of an `ApiVersions` response.

use crate::api_key::ApiKey;
use crate::message::{DecodeError, DecodeProblem, EncodeError, Message, Request};
use crate::messages::header::request_header::RequestHeader;
use crate::messages::header::response_header::ResponseHeader;
use crate::reader::Reader;
use crate::rope::Records;
use crate::writer::Writer;
use bytes::{Buf as _, Bytes, BytesMut};

/// The size of the size.
pub const SIZE_LEN: usize = 4;

/// A size in front of a frame that cannot be right, or is not wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {size} bytes was announced, and at most {max} are allowed")]
pub struct FrameSizeError {
    /// The size as read.
    pub size: i32,
    /// The largest size allowed.
    pub max: usize,
}

/// Checks the size in front of a frame; it must not be negative nor above `max`.
pub fn check_size(prefix: [u8; SIZE_LEN], max: usize) -> Result<usize, FrameSizeError> {
    let size = i32::from_be_bytes(prefix);
    match usize::try_from(size) {
        Ok(checked) if checked <= max => Ok(checked),
        _ => Err(FrameSizeError { size, max }),
    }
}

/// Takes the first whole frame, without its size, off the front of `received`; `None` until it is
/// there.
pub fn take_frame(received: &mut BytesMut, max: usize) -> Result<Option<Bytes>, FrameSizeError> {
    let Some(prefix) = received.first_chunk::<SIZE_LEN>() else { return Ok(None) };
    let size = check_size(*prefix, max)?;
    if received.len() - SIZE_LEN < size {
        return Ok(None);
    }
    received.advance(SIZE_LEN);
    Ok(Some(received.split_to(size).freeze()))
}

/// Reads the header of a request, in the header version that its API version calls for.
///
/// The API version itself is not checked here: a request for `ApiVersions` in a version that is
/// too new gets an answer.
pub fn read_request_header(reader: &mut Reader) -> Result<(ApiKey, RequestHeader), DecodeError> {
    let mut ahead = reader.clone();
    let number = ahead.i16()?;
    let version = ahead.i16()?;
    let key = ApiKey::from_i16(number)
        .ok_or_else(|| reader.error(DecodeProblem::UnknownApiKey { key: number }))?;
    let header = RequestHeader::decode(reader, key.request_header_version(version))?;
    Ok((key, header))
}

/// Reads the header of the response to a request of `key` in `version`; gives the correlation id.
pub fn read_response_header(
    reader: &mut Reader,
    key: ApiKey,
    version: i16,
) -> Result<i32, DecodeError> {
    let header = ResponseHeader::decode(reader, key.response_header_version(version))?;
    Ok(header.correlation_id)
}

/// A request as a frame, in pieces.
pub fn request_frame<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Records, EncodeError> {
    let header = RequestHeader {
        request_api_key: R::KEY.number(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    let mut writer = Writer::with_capacity(128);
    let start = writer.begin_frame();
    header.encode(&mut writer, R::KEY.request_header_version(version))?;
    request.encode(&mut writer, version)?;
    writer.end_frame(start)?;
    Ok(writer.finish())
}

/// The response to a request of `key` as a frame, in pieces.
pub fn response_frame<M: Message>(
    response: &M,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
) -> Result<Records, EncodeError> {
    let mut writer = Writer::with_capacity(128);
    let start = writer.begin_frame();
    let header = ResponseHeader { correlation_id };
    header.encode(&mut writer, key.response_header_version(version))?;
    response.encode(&mut writer, version)?;
    writer.end_frame(start)?;
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::api_versions_request::ApiVersionsRequest;
    use crate::messages::api_versions_response::ApiVersionsResponse;

    #[test]
    fn frames_are_taken_whole_and_within_bounds() {
        let mut received = BytesMut::from(&b"\x00\x00\x00\x02ab\x00\x00\x00\x01"[..]);
        assert_eq!(take_frame(&mut received, 10), Ok(Some(Bytes::from_static(b"ab"))));
        assert_eq!(take_frame(&mut received, 10), Ok(None));
        received.extend_from_slice(b"c\xff\xff\xff\xff");
        assert_eq!(take_frame(&mut received, 10), Ok(Some(Bytes::from_static(b"c"))));
        assert_eq!(take_frame(&mut received, 10), Err(FrameSizeError { size: -1, max: 10 }));
        assert_eq!(check_size(11_i32.to_be_bytes(), 10), Err(FrameSizeError { size: 11, max: 10 }));
        assert_eq!(check_size([0; 4], 10), Ok(0));
    }

    #[test]
    fn a_request_frame_is_what_kafka_draws() {
        let request = ApiVersionsRequest {
            client_software_name: "a".into(),
            client_software_version: "1".into(),
            ..Default::default()
        };
        let frame = request_frame(&request, 3, 7, Some("me")).expect("it can be written");
        let bytes = frame.into_bytes();
        assert_eq!(&bytes[..], b"\0\0\0\x12\0\x12\0\x03\0\0\0\x07\0\x02me\0\x02a\x021\0");
        let mut reader = Reader::new(bytes.slice(SIZE_LEN..));
        let (key, header) = read_request_header(&mut reader).expect("a header");
        assert_eq!((key, header.client_id.as_deref()), (ApiKey::ApiVersions, Some("me")));
        assert_eq!(ApiVersionsRequest::decode(&mut reader, 3), Ok(request));
    }

    #[test]
    fn a_response_to_api_versions_has_no_tags_in_its_header() {
        let response = ApiVersionsResponse { error_code: 35, ..Default::default() };
        let frame =
            response_frame(&response, ApiKey::ApiVersions, 3, 7).expect("it can be written");
        assert_eq!(&frame.into_bytes()[..], b"\0\0\0\x0c\0\0\0\x07\0\x23\x01\0\0\0\0\0");
    }
}
