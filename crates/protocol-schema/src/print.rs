//! A model as schema text, in the one form that [`crate::parse`] also accepts.

use crate::model::{Default, Definition, Field, Kind, Message};
use crate::versions::Versions;
use std::fmt::Write;

/// The text of a schema file.
pub fn print(definition: &Definition) -> String {
    let mut out = String::new();
    let name = &definition.name;
    match &definition.kind {
        Kind::Api(api) => {
            let listeners = match (api.on_broker, api.on_controller) {
                (true, true) => "broker, controller",
                (true, false) => "broker",
                (false, true) => "controller",
                (false, false) => "none",
            };
            line(&mut out, 0, &format!("api {} {name}", api.key));
            line(&mut out, 0, &format!("on {listeners}"));
            line(&mut out, 0, &format!("advertise {}", api.advertise));
            print_message(&mut out, "request", &api.request);
            print_message(&mut out, "response", &api.response);
        }
        Kind::Coordinator { number, key, value } => {
            line(&mut out, 0, &format!("coordinator {number} {name}"));
            print_message(&mut out, "key", key);
            print_message(&mut out, "value", value);
        }
        Kind::Metadata { number, record } => {
            line(&mut out, 0, &format!("metadata {number} {name}"));
            print_message(&mut out, "record", record);
        }
        Kind::Data(message) => {
            line(&mut out, 0, &format!("data {name}"));
            print_message(&mut out, "message", message);
        }
    }
    out
}

fn line(out: &mut String, depth: usize, text: &str) {
    writeln!(out, "{:1$}{text}", "", depth * 2).expect("a String takes all");
}

fn print_message(out: &mut String, heading: &str, message: &Message) {
    out.push('\n');
    let versions = message.versions;
    line(
        out,
        0,
        &format!("{heading} {versions}, flexible {}", message.flexible.relative_to(versions)),
    );
    print_fields(out, 1, &message.fields, versions);
    for shared in &message.shared {
        line(out, 1, &format!("struct {}{}", shared.name, suffix(shared.versions, versions)));
        print_fields(out, 2, &shared.fields, shared.versions);
    }
}

fn print_fields(out: &mut String, depth: usize, fields: &[Field], within: Versions) {
    for field in fields {
        line(out, depth, &print_field(field, within));
        if let Some(inner) = &field.fields {
            print_fields(out, depth + 1, inner, field.versions);
        }
    }
}

fn print_field(field: &Field, within: Versions) -> String {
    let mut text = format!("{}: {}", field.name, field.kind);
    let always_nullable = !field.nullable.is_empty() && field.nullable == field.versions;
    if always_nullable {
        text.push('?');
    }
    match &field.default {
        Default::Zero => {}
        Default::Null => text.push_str(" = null"),
        Default::True => text.push_str(" = true"),
        Default::Number(number) => text.push_str(&format!(" = {number}")),
    }
    text.push_str(&suffix(field.versions, within));
    if !always_nullable && !field.nullable.is_empty() {
        text.push_str(&format!(", null {}", field.nullable.relative_to(field.versions)));
    }
    if let Some((tag, versions)) = field.tag {
        text.push_str(&format!(", tag {tag}"));
        if versions != field.versions {
            text.push_str(&format!(" {}", versions.relative_to(field.versions)));
        }
    }
    if field.ignorable {
        text.push_str(", ignorable");
    }
    if field.inflexible {
        text.push_str(", inflexible");
    }
    text
}

fn suffix(versions: Versions, within: Versions) -> String {
    if versions == within { String::new() } else { format!(", {}", versions.relative_to(within)) }
}
