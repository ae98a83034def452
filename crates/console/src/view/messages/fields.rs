//! What recent JSON messages hold: for panels, and for completion in filters.

use crate::console::Console;
use crate::scan::Scan;
use crate::trouble::problem;
use afluente_httpd::problem::Problem;
use afluente_httpd::response::Response;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Offsets at the end of each partition that are looked at.
const LOOK_BACK: i64 = 50;
const FETCH_BYTES: i32 = 1 << 20;
const FIELDS_MAX: usize = 300;
const DEPTH_MAX: usize = 6;
const EXAMPLE_CHARS_MAX: usize = 60;

#[derive(Serialize)]
struct Field {
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    example: String,
}

#[derive(Serialize)]
struct Fields {
    items: Vec<Field>,
    sampled: usize,
}

pub(crate) async fn fields(console: &Console, topic: &str) -> Result<Response, Problem> {
    let what = format!("could not look at the fields of topic \"{topic}\"");
    let trouble = |error| problem(what.as_str(), &error);
    let partitions = console.kafka.partitions_of(topic).await.map_err(trouble)?;
    let ranges = console.kafka.ranges(topic, &partitions).await.map_err(trouble)?;
    let mut scan = Scan {
        topic: topic.to_owned(),
        positions: ranges
            .iter()
            .map(|(one, (begin, end))| (*one, (end - LOOK_BACK).max(*begin)))
            .collect(),
        ends: ranges.iter().map(|(one, (_, end))| (*one, *end)).collect(),
    };
    let mut found = BTreeMap::new();
    let mut sampled = 0;
    if scan.remaining() > 0 {
        for fetched in scan.fetch(&console.kafka, FETCH_BYTES).await.map_err(trouble)? {
            scan.each(&fetched, |record, _| {
                sampled += 1;
                for (root, bytes) in [("key", record.key), ("value", record.value)] {
                    let Some(bytes) = bytes else { continue };
                    match serde_json::from_slice::<Value>(bytes) {
                        Ok(value) => note(root, &value, DEPTH_MAX, &mut found),
                        Err(_) if root == "key" => {
                            let text = String::from_utf8_lossy(bytes).into_owned();
                            note(root, &Value::from(text), DEPTH_MAX, &mut found);
                        }
                        Err(_) => {}
                    }
                }
                true
            })
            .map_err(trouble)?;
        }
    }
    let item = |(path, (kind, example))| Field { path, kind, example };
    Ok(Response::json(&Fields { items: found.into_iter().map(item).collect(), sampled }))
}

fn note(
    path: &str,
    value: &Value,
    depth: usize,
    found: &mut BTreeMap<String, (&'static str, String)>,
) {
    if found.len() >= FIELDS_MAX {
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let example = || match value {
        Value::String(text) => text.chars().take(EXAMPLE_CHARS_MAX).collect(),
        Value::Array(_) | Value::Object(_) => String::new(),
        other => other.to_string(),
    };
    let known = found.entry(path.to_owned()).or_insert_with(|| (kind, example()));
    if known.0 == "null" && kind != "null" {
        *known = (kind, example());
    }
    if depth == 0 {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                note(&format!("{path}{}", step(name)), value, depth - 1, found);
            }
        }
        Value::Array(items) => {
            for item in items.iter().take(3) {
                note(&format!("{path}[*]"), item, depth - 1, found);
            }
        }
        _ => {}
    }
}

fn step(name: &str) -> String {
    let is_word = !name.is_empty() && name.chars().all(|one| one.is_alphanumeric() || one == '_');
    if is_word { format!(".{name}") } else { format!("[{}]", Value::from(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_one_that_a_filter_understands() {
        let value = serde_json::json!({
            "total": 1.5, "lines": [{"sku": "a"}, {"sku": "b"}], "odd \"name\"": true, "none": null
        });
        let mut found = BTreeMap::new();
        note("value", &value, DEPTH_MAX, &mut found);
        let paths: Vec<&str> = found.keys().map(String::as_str).collect();
        assert!(paths.contains(&"value.lines[*].sku"), "{paths:?}");
        assert_eq!(found["value.total"], ("number", "1.5".to_owned()));
        for path in paths {
            crate::filter::parse_path(path).unwrap_or_else(|error| panic!("{path}: {error:?}"));
        }
    }
}
