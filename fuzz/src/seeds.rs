//! Writes a corpus of good messages for each target, drawn from the schema.

use std::fs;
use std::path::Path;

use afluente_protocol::api_key::ApiKey;
use afluente_protocol_schema::model::{Definition, Kind, Message};
use afluente_protocol_schema::parse::parse;
use afluente_protocol_schema::sample::{Dice, Sampler, Tags};

fn main() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dice = Dice::new(1);
    let mut count = 0;
    let mut keep = |target: &str, bytes: Vec<u8>| {
        let folder = fuzz.join("corpus").join(target);
        fs::create_dir_all(&folder).expect("the corpus can be made");
        fs::write(folder.join(format!("drawn-{count}")), bytes).expect("a seed can be written");
        count += 1;
    };
    let schema = fuzz.join("../crates/protocol/schema");
    for (folder, definition) in definitions(&schema) {
        match &definition.kind {
            Kind::Api(api) => {
                let key = ApiKey::from_i16(api.key).expect("a key of the schema");
                for version in api.request.versions.iter() {
                    let opening = [api.key.to_be_bytes(), version.to_be_bytes()].concat();
                    let request = draw(&api.request, version, &mut dice);
                    let response = draw(&api.response, version, &mut dice);
                    keep("requests", [&opening[..], &request].concat());
                    keep("responses", [&opening[..], &response].concat());
                    // Correlation id and a null client id; in flexible versions no tags.
                    let tags: &[u8] = if key.is_flexible(version) { &[0] } else { &[] };
                    let header = [&opening[..], &[0, 0, 0, 1, 0xff, 0xff], tags].concat();
                    let size = (header.len() + request.len()) as u32;
                    keep("frames", [&size.to_be_bytes()[..], &header, &request].concat());
                }
            }
            Kind::Metadata { number, record } => {
                for version in record.versions.iter() {
                    let fields = draw(record, version, &mut dice);
                    let opening = [0, 0, 1, *number as u8, version as u8];
                    keep("stored_records", [&opening[..], &fields].concat());
                }
            }
            Kind::Coordinator { number, key, value } => {
                let topic = match folder.as_str() {
                    "consumer_offsets" => 1,
                    "transaction_state" => 2,
                    _ => 3,
                };
                let opening = [topic, *number as u8];
                let fields = draw(key, key.versions.low, &mut dice);
                keep("stored_records", [&opening[..], &number.to_be_bytes(), &fields].concat());
                for version in value.versions.iter() {
                    let fields = draw(value, version, &mut dice);
                    keep(
                        "stored_records",
                        [&opening[..], &version.to_be_bytes(), &fields].concat(),
                    );
                }
            }
            Kind::Data(_) => {}
        }
    }
    println!("{count} seeds");
}

fn draw(message: &Message, version: i16, dice: &mut Dice) -> Vec<u8> {
    Sampler::new(message).draw(version, Tags::WithUnknown, dice)
}

/// Every schema file with the name of its folder.
fn definitions(schema: &Path) -> Vec<(String, Definition)> {
    let mut found = Vec::new();
    for folder in fs::read_dir(schema).expect("the schema is there") {
        let folder = folder.expect("a folder").path();
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        for file in fs::read_dir(&folder).expect("a folder of schema files") {
            let text = fs::read_to_string(file.expect("a file").path()).expect("a text");
            found.push((name.clone(), parse(&text).expect("a good schema file")));
        }
    }
    found.sort_by(|a, b| (&a.0, &a.1.name).cmp(&(&b.0, &b.1.name)));
    found
}
