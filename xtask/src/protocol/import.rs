//! Kafka's message definitions (JSON with `//` comments) as our schema.
//!
//! Takes over names, types, versions, tags, defaults and nullability, and nothing of the prose.

use super::{Files, read_tree, snake_case};
use afluente_protocol_schema::model::{
    Api, Default, Definition, Field, Kind, Message, Plain, Struct, Type,
};
use afluente_protocol_schema::print::print;
use afluente_protocol_schema::versions::Versions;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a message that is neither request, response nor record goes; the others are left out.
const DATA_FOLDERS: &[(&str, &[&str])] = &[
    (
        "control",
        &[
            "AbortedTxn",
            "ControlRecordTypeSchema",
            "EndTxnMarker",
            "KRaftVersionRecord",
            "LeaderChangeMessage",
            "SnapshotFooterRecord",
            "SnapshotHeaderRecord",
            "VotersRecord",
        ],
    ),
    (
        "embedded",
        &["ConsumerProtocolAssignment", "ConsumerProtocolSubscription", "DefaultPrincipalData"],
    ),
    ("header", &["RequestHeader", "ResponseHeader"]),
];

/// The schema files for the messages of `superset` and, where it lacks one, of `baseline`.
pub(super) fn import(superset: &Path, baseline: &Path) -> Result<Files> {
    let newest = read_definitions(superset)?;
    let offered = read_definitions(baseline)?;
    let mut all = offered.clone();
    all.extend(newest);

    let mut files = Files::new();
    for (name, json) in &all {
        if json["validVersions"] == "none" {
            continue;
        }
        let partner = |suffix: &str, other: &str| -> Result<(String, Message)> {
            let stem = name.strip_suffix(suffix).with_context(|| format!("odd name {name}"))?;
            let other = format!("{stem}{other}");
            let json = all.get(&other).with_context(|| format!("{name} without {other}"))?;
            Ok((stem.to_owned(), message(json)?))
        };
        let number = || -> Result<i16> {
            let number =
                json["apiKey"].as_i64().with_context(|| format!("{name} has no number"))?;
            Ok(i16::try_from(number)?)
        };
        let (folder, definition) = match text(json, "type")? {
            "request" => {
                let (stem, response) = partner("Request", "Response")?;
                let listens = |on: &str| {
                    json["listeners"].as_array().is_some_and(|all| all.iter().any(|l| l == on))
                };
                let api = Api {
                    key: number()?,
                    on_broker: listens("broker"),
                    on_controller: listens("controller"),
                    advertise: advertise(offered.get(name))?,
                    request: message(json)?,
                    response,
                };
                ("api", Definition { name: stem, kind: Kind::Api(api) })
            }
            "coordinator-key" => {
                let (stem, value) = partner("Key", "Value")?;
                let kind = Kind::Coordinator { number: number()?, key: message(json)?, value };
                let folder = match stem.as_str() {
                    "TransactionLog" => "transaction_state",
                    "ShareSnapshot" | "ShareUpdate" => "share_group_state",
                    _ => "consumer_offsets",
                };
                (folder, Definition { name: stem, kind })
            }
            "metadata" => {
                let stem = name.strip_suffix("Record").unwrap_or(name).to_owned();
                let kind = Kind::Metadata { number: number()?, record: message(json)? };
                ("metadata", Definition { name: stem, kind })
            }
            "response" | "coordinator-value" => continue,
            _ => {
                let known = DATA_FOLDERS.iter().find(|(_, names)| names.contains(&name.as_str()));
                let Some((folder, _)) = known else { continue };
                (*folder, Definition { name: name.clone(), kind: Kind::Data(message(json)?) })
            }
        };
        let path = PathBuf::from(folder).join(format!("{}.schema", snake_case(&definition.name)));
        files.insert(path, print(&definition));
    }
    Ok(files)
}

/// The versions to offer: those of the baseline, but for unstable ones, and none where it lacks the API.
fn advertise(offered: Option<&Value>) -> Result<Versions> {
    let Some(json) = offered else { return Ok(Versions::NONE) };
    let mut versions = valid_versions(json)?;
    if json["latestVersionUnstable"] == true {
        versions.high -= 1;
    }
    if json["name"] == "ProduceRequest" {
        // librdkafka takes a broker without Produce 0 for one without compression; Kafka offers
        // versions 0 to 2, too, and refuses them when they come (KAFKA-18659).
        versions.low = 0;
    }
    Ok(versions)
}

fn read_definitions(folder: &Path) -> Result<BTreeMap<String, Value>> {
    let mut definitions = BTreeMap::new();
    let files = read_tree(folder)?;
    for (path, json) in
        files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "json"))
    {
        let lines = json.lines().filter(|line| !line.trim_start().starts_with("//"));
        let bare: String = lines.collect::<Vec<_>>().join("\n");
        let value: Value = serde_json::from_str(&bare)
            .with_context(|| format!("{} is not JSON", path.display()))?;
        if value.get("validVersions").is_some() {
            definitions.insert(text(&value, "name")?.to_owned(), value);
        }
    }
    ensure!(!definitions.is_empty(), "no message definitions below {}", folder.display());
    Ok(definitions)
}

fn text<'a>(json: &'a Value, key: &str) -> Result<&'a str> {
    json[key].as_str().with_context(|| format!("no \"{key}\" in {json:.100}"))
}

fn versions(json: &Value, key: &str) -> Result<Option<Versions>> {
    let Some(text) = json[key].as_str() else { return Ok(None) };
    let parsed = Versions::parse(text);
    Ok(Some(parsed.with_context(|| format!("\"{key}\": \"{text}\" is not a range of versions"))?))
}

fn valid_versions(json: &Value) -> Result<Versions> {
    versions(json, "validVersions")?.context("no \"validVersions\"")
}

fn message(json: &Value) -> Result<Message> {
    let name = text(json, "name")?.to_owned();
    let range = valid_versions(json)?;
    let flexible = versions(json, "flexibleVersions")?.unwrap_or(Versions::NONE).clip(range);
    let fields = fields(&json["fields"], range).with_context(|| name.clone())?;
    let mut shared = Vec::new();
    for json in json["commonStructs"].as_array().into_iter().flatten() {
        let own = versions(json, "versions")?.unwrap_or(Versions::ALL).clip(range);
        if !own.is_empty() {
            let fields = self::fields(&json["fields"], own)?;
            shared.push(Struct { name: text(json, "name")?.to_owned(), versions: own, fields });
        }
    }
    let mut message = Message { name, versions: range, flexible, fields, shared };
    // A shared struct may have lost its last use with the versions that are gone.
    let structs = message.structs();
    let used: Vec<&str> = structs
        .iter()
        .flat_map(|(found, _)| &found.fields)
        .filter_map(|field| field.kind.struct_name())
        .collect();
    message.shared.retain(|shared| used.contains(&shared.name.as_str()));
    Ok(message)
}

fn fields(json: &Value, within: Versions) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    for json in json.as_array().into_iter().flatten() {
        let name = text(json, "name")?;
        let field = field(json, within).with_context(|| format!("field {name}"))?;
        fields.extend(field);
    }
    Ok(fields)
}

/// A field, or `None` if only versions that are gone have it.
fn field(json: &Value, within: Versions) -> Result<Option<Field>> {
    let tagged = versions(json, "taggedVersions")?;
    let own = versions(json, "versions")?.or(tagged).context("no versions")?.clip(within);
    if own.is_empty() {
        return Ok(None);
    }
    let kind = Type::parse(text(json, "type")?);
    let tagged = tagged.unwrap_or(Versions::NONE).clip(own);
    let tag = match json["tag"].as_u64() {
        Some(tag) if !tagged.is_empty() => Some((u32::try_from(tag)?, tagged)),
        _ => None,
    };
    let inner = match json["fields"].as_array() {
        Some(all) if !all.is_empty() => Some(fields(&json["fields"], own)?),
        _ => None,
    };
    let nullable = versions(json, "nullableVersions")?.unwrap_or(Versions::NONE).clip(own);
    Ok(Some(Field {
        name: upper_camel(text(json, "name")?),
        versions: own,
        nullable,
        tag,
        default: default(&json["default"], &kind, !nullable.is_empty())?,
        // Where every version has the field there is nothing to ignore.
        ignorable: json["ignorable"] == true && own != within,
        inflexible: json["flexibleVersions"] == "none",
        fields: inner,
        kind,
    }))
}

fn default(json: &Value, kind: &Type, nullable: bool) -> Result<Default> {
    let text = match json {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    Ok(match text.as_str() {
        "null" => Default::Null,
        // Kafka's generator gives nullable records no other default.
        _ if *kind == Type::Plain(Plain::Records) && nullable => Default::Null,
        "" | "0" | "false" => Default::Zero,
        "true" => Default::True,
        hex if hex.starts_with("0x") => Default::Number(i64::from_str_radix(&hex[2..], 16)?),
        _ if *kind == Type::Plain(Plain::String) => bail!("a default text is not supported"),
        number => Default::Number(number.parse()?),
    })
}

fn upper_camel(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#"
        // A comment before
        {
          "apiKey": 3, "type": "request", "listeners": ["broker"], "name": "SampleRequest",
          // and one inside.
          "validVersions": "2-6", "latestVersionUnstable": true, "flexibleVersions": "5+",
          "fields": [
            { "name": "Gone", "type": "int8", "versions": "0-1" },
            { "name": "maxBytes", "type": "int32", "versions": "0+", "default": "0x7fffffff",
              "ignorable": true, "about": "Prose that stays behind." },
            { "name": "Rack", "type": "string", "versions": "3+", "nullableVersions": "4+",
              "default": "null", "ignorable": true },
            { "name": "Data", "type": "records", "versions": "0+", "nullableVersions": "0+" },
            { "name": "Node", "type": "Place", "versions": "5+", "taggedVersions": "5+", "tag": 1 },
            { "name": "Parts", "type": "[]Part", "versions": "0-3", "fields": [
              { "name": "Index", "type": "int32", "versions": "0+", "mapKey": true }
            ]}
          ],
          "commonStructs": [
            { "name": "Place", "versions": "0+", "fields": [
              { "name": "Port", "type": "uint16", "versions": "0+" } ]},
            { "name": "Unused", "versions": "0+", "fields": [] }
          ]
        }"#;
    const RESPONSE: &str = r#"{ "apiKey": 3, "type": "response", "name": "SampleResponse",
        "validVersions": "2-6", "flexibleVersions": "5+", "fields": [] }"#;
    const SCHEMA: &str = "\
api 3 Sample
on broker
advertise 2-5

request 2-6, flexible 5+
  MaxBytes: int32 = 2147483647
  Rack: string = null, 3+, null 4+, ignorable
  Data: records? = null
  Node: Place, 5+, tag 1
  Parts: []Part, 2-3
    Index: int32
  struct Place
    Port: uint16

response 2-6, flexible 5+
";

    #[test]
    fn facts_are_taken_over_clipped_to_the_versions_that_exist() {
        let folder = std::env::temp_dir().join(format!("afluente-import-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, json) in [("request.json", REQUEST), ("response.json", RESPONSE)] {
            std::fs::write(folder.join(name), json).expect("a file");
        }
        let files = import(&folder, &folder);
        std::fs::remove_dir_all(&folder).expect("the folder goes");
        let files = files.expect("good definitions");
        assert_eq!(
            files.into_iter().collect::<Vec<_>>(),
            [("api/sample.schema".into(), SCHEMA.into())]
        );
    }
}
