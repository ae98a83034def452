//! Random messages, drawn from the schema, through the generated code and back.

use afluente_protocol::api_key::ApiKey;
use afluente_protocol::messages::any_request::AnyRequest;
use afluente_protocol::messages::any_response::AnyResponse;
use afluente_protocol::reader::Reader;
use afluente_protocol::writer::Writer;
use afluente_protocol_schema::sample::{Dice, Sampler, Tags};
use bytes::Bytes;

use crate::subject;

const SAMPLES_PER_VERSION: usize = 20;

#[test]
fn every_message_in_every_version_comes_back_byte_for_byte() {
    let mut dice = Dice::new(1);
    for subject in subject::all() {
        let sampler = Sampler::new(&subject.message);
        for version in subject.message.versions.iter() {
            for _ in 0..SAMPLES_PER_VERSION {
                let bytes = sampler.draw(version, Tags::Known, &mut dice);
                let name = &subject.message.name;
                let back = subject
                    .recode(&bytes, version)
                    .unwrap_or_else(|e| panic!("{name} {version}: {e}\n{bytes:02x?}"));
                assert_eq!(back, bytes, "{name} {version}");
            }
        }
    }
}

#[test]
fn tags_that_nobody_knows_are_dropped_and_nothing_else() {
    let mut dice = Dice::new(2);
    let mut dropped = 0;
    for subject in subject::all() {
        let sampler = Sampler::new(&subject.message);
        for version in subject.message.flexible.iter() {
            for _ in 0..SAMPLES_PER_VERSION {
                let bytes = sampler.draw(version, Tags::WithUnknown, &mut dice);
                let once = subject.recode(&bytes, version).unwrap();
                let twice = subject.recode(&once, version).unwrap();
                assert_eq!(once, twice, "{} {version}", subject.message.name);
                dropped += usize::from(once.len() < bytes.len());
                assert!(once.len() <= bytes.len());
            }
        }
    }
    assert!(dropped > 1000, "the samples hold unknown tags");
}

#[test]
fn a_fresh_message_can_be_written_in_every_version() {
    for &key in ApiKey::ALL {
        for version in key.versions() {
            let mut writer = Writer::new();
            AnyRequest::fresh(key).encode(&mut writer, version).unwrap();
            let mut reader = Reader::new(writer.into_bytes());
            AnyRequest::decode(key, &mut reader, version).unwrap();
            reader.expect_end().unwrap();

            let mut writer = Writer::new();
            AnyResponse::fresh(key).encode(&mut writer, version).unwrap();
            let mut reader = Reader::new(writer.into_bytes());
            AnyResponse::decode(key, &mut reader, version).unwrap();
            reader.expect_end().unwrap();
        }
        for version in [-1, key.versions().end() + 1] {
            let error = AnyRequest::decode(key, &mut Reader::new(Bytes::new()), version);
            let text = error.expect_err("no such version").to_string();
            assert!(text.contains(&format!("version {version} is not supported")), "{text}");
        }
    }
}
