//! Apache Kafka's own classes judge every message: their bytes come back from our code, and ours
//! from theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use afluente_harness::java::{Jars, Java, java_dir, output_of};
use afluente_protocol::api_key::ApiKey;
use afluente_protocol_schema::model::{Default, Field, Plain, Type};
use afluente_protocol_schema::sample::{Dice, Sampler, Tags};
use afluente_protocol_schema::versions::Versions;

use crate::subject::{self, Subject};

const SEED: u64 = 20_261_121;
/// Random messages of each version, drawn by us and by Java each.
const SAMPLES_PER_VERSION: usize = 12;

#[test]
fn kafka_4_3_1_and_we_write_the_same_bytes() {
    // Kafka 4.3.1 lacks what 4.4 brought; `AbortedTxn` is no message there.
    let newer = [
        "AbortedTxn",
        "StreamsGroupTopologyDescriptionUpdateRequest",
        "StreamsGroupTopologyDescriptionUpdateResponse",
        "UnregisterControllerRequest",
        "UnregisterControllerResponse",
    ];
    check(Jars::Kafka, |subject| newer.contains(&subject.message.name.as_str()));
}

#[test]
fn clients_4_4_0_and_we_write_the_same_bytes() {
    check(Jars::Clients44, |subject| !is_in_clients(subject));
}

/// Whether the message is one of kafka-clients, of which our schema has those of 4.4.0.
fn is_in_clients(subject: &Subject) -> bool {
    ["api", "control", "embedded", "header"].contains(&subject.folder.as_str())
}

/// Compares each message with the classes of `jars`; `lacks` says which may be missing there.
fn check(jars: Jars, lacks: impl Fn(&Subject) -> bool) {
    let what = format!("messages of {}", jars.name());
    let Some(java) = Java::or_skip(jars, &what) else { return };
    let subjects = subject::all();

    let described = run(&java, subjects.iter().map(|s| format!("class {}", s.message.name)));
    let java_versions = check_descriptions(jars, &subjects, &described, lacks);
    check_drawn_by_java(&subjects, &described);
    check_drawn_by_us(&java, &subjects, &java_versions);
}

/// Versions and defaults are the same. Gives the versions that both know.
fn check_descriptions(
    jars: Jars,
    subjects: &[Subject],
    lines: &[String],
    lacks: impl Fn(&Subject) -> bool,
) -> BTreeMap<String, Versions> {
    let mut versions = BTreeMap::new();
    let mut defaults = BTreeMap::new();
    for line in lines {
        match line.splitn(5, ' ').collect::<Vec<_>>()[..] {
            ["versions", name, low, high] => {
                let range = Versions { low: low.parse().unwrap(), high: high.parse().unwrap() };
                versions.insert(name.to_owned(), range);
            }
            ["default", message, holder, field, value] => {
                let place = format!("{message} {holder} {}", field.to_lowercase());
                defaults.insert(place, value.to_owned());
            }
            _ => {}
        }
    }
    for subject in subjects {
        let message = &subject.message;
        let Some(theirs) = versions.get(&message.name) else {
            assert!(lacks(subject), "{} is missing in {}", message.name, jars.name());
            continue;
        };
        assert!(!lacks(subject), "{} is there after all", message.name);
        // 4.3.1 may know fewer versions than our schema, which is that of 4.4.0.
        let same =
            if jars == Jars::Kafka { theirs.clip(message.versions) } else { message.versions };
        assert_eq!(*theirs, same, "{}", message.name);
        if jars == Jars::Kafka && is_in_clients(subject) {
            // 4.4.0 has another default here and there.
            continue;
        }
        for (holder, _) in message.structs() {
            for field in &holder.fields {
                let name = field.name.to_lowercase();
                let place = format!("{} {} {name}", message.name, holder.name);
                assert_eq!(defaults.get(&place), Some(&default_text(field)), "{place}");
            }
        }
    }
    versions
}

/// The default of a field as `Messages.java` prints it.
fn default_text(field: &Field) -> String {
    match (&field.default, &field.kind) {
        (Default::Null, _) => "null".to_owned(),
        (Default::True, _) => "true".to_owned(),
        (Default::Number(number), _) => number.to_string(),
        (Default::Zero, Type::Array(_) | Type::Plain(Plain::Bytes)) => "[0]".to_owned(),
        (Default::Zero, Type::Struct(_)) => "{}".to_owned(),
        (Default::Zero, Type::Plain(plain)) => match plain {
            Plain::Bool => "false".to_owned(),
            Plain::Float64 => "0.0".to_owned(),
            Plain::String => "\"\"".to_owned(),
            Plain::Uuid => "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            // Java has null here, which it cannot write; we have no bytes.
            Plain::Records => "null".to_owned(),
            _ => "0".to_owned(),
        },
    }
}

/// What Java drew comes back from our code byte for byte.
fn check_drawn_by_java(subjects: &[Subject], lines: &[String]) {
    let by_name: BTreeMap<&str, &Subject> =
        subjects.iter().map(|subject| (subject.message.name.as_str(), subject)).collect();
    let mut seen = BTreeSet::new();
    for line in lines {
        let ["drawn", name, version, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            continue;
        };
        let version: i16 = version.parse().unwrap();
        let bytes = from_hex(hex);
        let ours = by_name[name].recode(&bytes, version);
        let ours = ours.unwrap_or_else(|e| panic!("{name} {version}: {e}\n{hex}"));
        assert_eq!(to_hex(&ours), hex, "{name} {version}");
        seen.insert((name, version));
    }
    assert!(seen.len() > 500, "Java drew each message in each version: {}", seen.len());
}

/// What we drew comes back from Java byte for byte.
fn check_drawn_by_us(java: &Java, subjects: &[Subject], versions: &BTreeMap<String, Versions>) {
    let mut dice = Dice::new(SEED);
    let mut tasks = Vec::new();
    let mut expected = Vec::new();
    for subject in subjects {
        let name = &subject.message.name;
        let Some(theirs) = versions.get(name) else { continue };
        let sampler = Sampler::new(&subject.message);
        for version in subject.message.versions.clip(*theirs).iter() {
            for _ in 0..SAMPLES_PER_VERSION {
                let bytes = sampler.draw(version, Tags::Known, &mut dice);
                let ours = subject.recode(&bytes, version).unwrap();
                let hex = to_hex(&ours);
                tasks.push(format!("recode {name} {version} {hex}"));
                expected.push((name, version, format!("recoded {hex}")));
            }
        }
    }
    let answers = run(java, tasks.into_iter());
    assert_eq!(answers.len(), expected.len());
    for (answer, (name, version, expected)) in answers.iter().zip(expected) {
        assert_eq!(*answer, expected, "{name} {version}");
    }
}

#[test]
fn the_table_of_api_keys_is_kafkas() {
    for jars in [Jars::Kafka, Jars::Clients44] {
        let Some(java) = Java::or_skip(jars, "the table of API keys") else { return };
        let lines = run(&java, ["keys".to_owned()].into_iter());
        assert!(lines.len() > 80);
        for line in &lines {
            let words: Vec<&str> = line.split(' ').collect();
            let key = ApiKey::from_i16(words[1].parse().unwrap()).unwrap();
            let number = |index: usize| -> i16 { words[index].parse().unwrap() };
            let (low, high, stable) = (number(3), number(4), number(5));
            assert_eq!(key.name(), words[2]);
            assert_eq!(key.is_cluster_action().to_string(), words[8], "{key}");
            let mut headers = String::new();
            for version in low..=high {
                let request = key.request_header_version(version);
                let response = key.response_header_version(version);
                write!(headers, ",{request}/{response}").unwrap();
            }
            assert_eq!(&headers[1..], words[9], "{key}");
            if jars == Jars::Clients44 {
                assert_eq!(key.versions(), low..=high, "{key}");
                assert_eq!(key.on_broker().to_string(), words[6], "{key}");
                assert_eq!(key.on_controller().to_string(), words[7], "{key}");
            } else {
                let first = if key == ApiKey::Produce { 0 } else { low };
                assert_eq!(key.supported(), Some(first..=stable), "{key}");
            }
        }
        let known =
            ApiKey::ALL.iter().filter(|key| jars == Jars::Clients44 || key.supported().is_some());
        assert_eq!(known.count(), lines.len());
    }
}

/// Runs `Messages.java` over `tasks`; gives the lines of its answer.
fn run(java: &Java, tasks: impl Iterator<Item = String>) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    std::fs::write(&input, tasks.map(|task| task + "\n").collect::<String>()).unwrap();
    let mut command = java.program(&java_dir().join("Messages.java"));
    command.args([SEED.to_string(), SAMPLES_PER_VERSION.to_string()]).args([&input, &output]);
    output_of(&mut command).unwrap();
    std::fs::read_to_string(&output).unwrap().lines().map(str::to_owned).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
