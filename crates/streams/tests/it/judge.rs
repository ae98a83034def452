//! Java as the judge: described topologies with random inputs, run by Kafka Streams' own test driver and by ours. Outputs,
//! changelogs, contents of stores and descriptions have to be equal byte for byte.
//!
//! `AFLUENTE_JUDGE_CASES=5000 cargo test -p afluente-streams judge` runs so many, `AFLUENTE_JUDGE_SEED=17` begins at that one; a case that
//! differs is printed with its seed.

mod functions;
mod generate;
mod interpret;

use afluente_harness::java::{Jars, Java, java_dir};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

const CASES: u64 = 200;

/// How much of a difference is printed.
const SHOWN_CHARS: usize = 600;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn random_topologies_do_what_they_do_in_java() {
    let Some(java) = Java::or_skip(Jars::Streams, "streams against Kafka Streams") else { return };
    let first = number("AFLUENTE_JUDGE_SEED", 1);
    let cases = number("AFLUENTE_JUDGE_CASES", CASES);
    let mut child = java
        .program(&java_dir().join("StreamsJudge.java"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to_java = child.stdin.take().unwrap();
    let mut from_java = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut differing = Vec::new();
    let mut refused = 0;
    for seed in first..first + cases {
        let case = generate::case(seed);
        writeln!(to_java, "{case}").unwrap();
        let java: Value = serde_json::from_str(&from_java.next().unwrap().unwrap()).unwrap();
        let ours = interpret::run(&case);
        if java.get("error").is_some() && ours.get("error").is_some() {
            refused += 1;
            continue;
        }
        let failed = java.get("error").or_else(|| ours.get("error")).map(plain);
        if let Some(difference) = failed.or_else(|| difference("", &java, &ours)) {
            let difference: String = difference.chars().take(SHOWN_CHARS).collect();
            if differing.is_empty() {
                eprintln!("{}\ncase {case}", show(&case));
            }
            eprintln!("seed {seed}: {difference}\n");
            differing.push(seed);
        }
    }
    drop(to_java);
    assert!(child.wait().unwrap().success());
    eprintln!("{cases} topologies, of which {refused} were refused by both");
    assert!(differing.is_empty(), "{} of {cases} differ: seeds {differing:?}", differing.len());
    assert!(refused * 4 < cases, "too many topologies are refused by both to prove anything");
}

fn show(case: &Value) -> String {
    let mut text = String::new();
    for (at, op) in case["ops"].as_array().unwrap().iter().enumerate() {
        text += &format!("{at}: {op}\n");
    }
    for input in case["inputs"].as_array().unwrap() {
        text += &format!("  {input}\n");
    }
    text
}

/// Where two answers differ first.
fn difference(path: &str, java: &Value, ours: &Value) -> Option<String> {
    match (java, ours) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: std::collections::BTreeSet<&String> =
                one.keys().chain(other.keys()).collect();
            keys.into_iter().find_map(|key| {
                let (one, other) = (one.get(key), other.get(key));
                difference(
                    &format!("{path}/{key}"),
                    one.unwrap_or(&Value::Null),
                    other.unwrap_or(&Value::Null),
                )
            })
        }
        (Value::Array(one), Value::Array(other)) => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                if one != other {
                    return Some(format!(
                        "{path}[{at}]\n java {}\n ours {}",
                        plain(one),
                        plain(other)
                    ));
                }
            }
            (one.len() != other.len()).then(|| {
                let rest = one.iter().skip(other.len()).chain(other.iter().skip(one.len()));
                format!(
                    "{path}: {} in java, {} in ours, the first of which is {}",
                    one.len(),
                    other.len(),
                    rest.map(plain).next().unwrap_or_default()
                )
            })
        }
        (Value::String(one), Value::String(other)) => one
            .lines()
            .zip(other.lines())
            .find(|(one, other)| one != other)
            .map(|(one, other)| format!("{path}\n java {one}\n ours {other}")),
        (one, other) => {
            (one != other).then(|| format!("{path}\n java {}\n ours {}", plain(one), plain(other)))
        }
    }
}

/// Hexadecimal texts as texts, as far as they are.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let readable = |hex: &str| -> Option<String> {
                let bytes: Option<Vec<u8>> = (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
                    .collect();
                Some(bytes?.escape_ascii().to_string())
            };
            text.split(['=', '@'])
                .map(|part| readable(part).unwrap_or_else(|| part.to_owned()))
                .collect::<Vec<_>>()
                .join(" = ")
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
