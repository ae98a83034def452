//! One message as a file of structs that read and write themselves.

use super::codec::{read_body, write_body};
use crate::protocol::snake_case;
use afluente_protocol_schema::model::{
    Default, Definition, Field, Kind, Message, Plain, Struct, Type,
};
use afluente_protocol_schema::versions::Versions;
use anyhow::{Context as _, Result, bail};

/// The code of `message`, without the opening comment of the file.
pub(super) fn message(definition: &Definition, message: &Message) -> Result<String> {
    let mut body = String::new();
    for (index, (found, place)) in message.structs().iter().enumerate() {
        let context = || format!("{} in {}", found.name, message.name);
        let code = structure(definition, message, found, index == 0, place);
        body.push_str(&code.with_context(context)?);
        if index == 0 {
            body.push_str(&message_impl(definition, message));
        }
    }
    Ok(imports(&body) + &body)
}

/// The `use` lines for the names that occur in `body`.
fn imports(body: &str) -> String {
    let mut uses = String::new();
    let api_key = if mentions(body, "ApiKey") { "use crate::api_key::ApiKey;\n" } else { "" };
    uses.push_str(api_key);
    let from_message: Vec<&str> =
        ["DecodeError", "Element", "EncodeError", "Message", "Request", "absent", "required"]
            .into_iter()
            .filter(|name| mentions(body, name))
            .collect();
    uses.push_str(&format!("use crate::message::{{{}}};\n", from_message.join(", ")));
    uses.push_str("use crate::reader::Reader;\n");
    for (name, path) in [("Records", "crate::rope::Records"), ("Uuid", "crate::uuid::Uuid")] {
        if mentions(body, name) {
            uses.push_str(&format!("use {path};\n"));
        }
    }
    uses.push_str("use crate::writer::Writer;\n");
    if mentions(body, "Bytes") {
        uses.push_str("use bytes::Bytes;\n");
    }
    uses.push_str("use std::ops::RangeInclusive;\n\n");
    uses
}

/// Whether `name` occurs in `code` outside comments, as a word of its own.
fn mentions(code: &str, name: &str) -> bool {
    code.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == name)
    })
}

/// Whether `code` uses the argument `name`, and not merely a field of that name.
fn uses_argument(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(start, _)| {
        let before = code[..start].chars().next_back().unwrap_or(' ');
        let after = code[start + name.len()..].chars().next().unwrap_or(' ');
        let inside_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !inside_word(before) && before != '.' && !inside_word(after) && after != ':'
    })
}

fn structure(
    definition: &Definition,
    message: &Message,
    of: &Struct,
    is_message: bool,
    place: &str,
) -> Result<String> {
    let name = &of.name;
    let mut code = if is_message {
        message_doc(definition, message)
    } else if place == message.name {
        format!("/// A struct that several fields of [`{place}`] share.\n")
    } else {
        format!("/// What `{place}` holds.\n")
    };
    let derives_default = of.fields.iter().all(default_is_derivable);
    let derive = if derives_default { ", Default" } else { "" };
    code.push_str(&format!("#[derive(Clone, Debug, PartialEq{derive})]\npub struct {name} {{\n"));
    for field in &of.fields {
        let kind = rust_type(field)?;
        code.push_str(&format!(
            "/// {}\npub {}: {kind},\n",
            field_doc(field, of.versions),
            field_name(field)
        ));
    }
    code.push_str("}\n\n");
    if !derives_default {
        code.push_str(&format!("impl Default for {name} {{ fn default() -> Self {{ Self {{\n"));
        for field in &of.fields {
            code.push_str(&format!("{}: {},\n", field_name(field), default_value(field)?));
        }
        code.push_str("} } }\n\n");
    }
    let min_size =
        of.versions.iter().map(|version| message.min_size(of, version)).min().unwrap_or(0);
    let read = without_blank_lines(&read_body(message, of)?);
    let write = without_blank_lines(&write_body(message, of)?);
    let argument = |body: &str, name: &str| {
        if uses_argument(body, name) { name.to_owned() } else { format!("_{name}") }
    };
    code.push_str(&format!(
        "impl Element for {name} {{
            const NAME: &'static str = \"{name}\";
            const MIN_SIZE: usize = {min_size};

            fn read({}: &mut Reader, {}: i16) -> Result<Self, DecodeError> {{
                {read}
            }}

            fn write(&self, {}: &mut Writer, {}: i16) -> Result<(), EncodeError> {{
                {write}
                Ok(())
            }}
        }}\n\n",
        argument(&read, "reader"),
        argument(&read, "version"),
        argument(&write, "writer"),
        argument(&write, "version"),
    ));
    Ok(code)
}

fn without_blank_lines(code: &str) -> String {
    code.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
}

fn message_doc(definition: &Definition, message: &Message) -> String {
    let name = &definition.name;
    let what = match &definition.kind {
        Kind::Api(api) if message.name == api.request.name => {
            format!("The request of API key {} (`{name}`)", api.key)
        }
        Kind::Api(api) => format!("The response of API key {} (`{name}`)", api.key),
        Kind::Coordinator { number, key, .. } if message.name == key.name => {
            format!("The key of records of type {number}")
        }
        Kind::Coordinator { number, .. } => format!("The value of records of type {number}"),
        Kind::Metadata { number, .. } => format!("The metadata record of type {number}"),
        Kind::Data(_) => format!("`{name}`"),
    };
    let Versions { low, high } = message.versions;
    let versions =
        if low == high { format!("version {low}") } else { format!("versions {low} to {high}") };
    let flexible = if message.flexible.is_empty() {
        "never flexible".to_owned()
    } else {
        format!("flexible from {}", message.flexible.low)
    };
    format!("/// {what}: {versions}, {flexible}.\n")
}

fn message_impl(definition: &Definition, message: &Message) -> String {
    let Versions { low, high } = message.versions;
    let flexible = if message.flexible.is_empty() {
        "None".to_owned()
    } else {
        format!("Some({})", message.flexible.low)
    };
    let mut code = format!(
        "impl Message for {} {{
            const VERSIONS: RangeInclusive<i16> = {low}..={high};
            const FLEXIBLE_FROM: Option<i16> = {flexible};
        }}\n\n",
        message.name
    );
    if let Kind::Api(api) = &definition.kind
        && api.request.name == message.name
    {
        let response = &api.response.name;
        code.push_str(&format!(
            "impl Request for {} {{
                const KEY: ApiKey = ApiKey::{};
                type Response = super::{}::{response};
            }}\n\n",
            message.name,
            definition.name,
            snake_case(response)
        ));
    }
    code
}

fn field_doc(field: &Field, within: Versions) -> String {
    let mut doc = format!("`{}`", field.kind);
    if field.nullable == field.versions {
        doc.push_str(" or null");
    } else if !field.nullable.is_empty() {
        doc.push_str(&format!(", or null in {}", field.nullable.relative_to(field.versions)));
    }
    if field.versions != within {
        doc.push_str(&format!("; versions {}", field.versions.relative_to(within)));
        if field.ignorable {
            doc.push_str(", elsewhere dropped");
        }
    }
    if let Some((tag, _)) = field.tag {
        doc.push_str(&format!("; tag {tag}"));
    }
    match &field.default {
        Default::Zero => {}
        Default::Null => doc.push_str("; default null"),
        Default::True => doc.push_str("; default true"),
        Default::Number(number) => doc.push_str(&format!("; default {number}")),
    }
    doc + "."
}

pub(super) fn field_name(field: &Field) -> String {
    let name = snake_case(&field.name);
    match name.as_str() {
        "type" | "match" | "use" | "move" | "ref" | "static" | "in" => format!("r#{name}"),
        _ => name,
    }
}

fn rust_type(field: &Field) -> Result<String> {
    let bare = match &field.kind {
        Type::Plain(plain) => plain_type(*plain).to_owned(),
        Type::Struct(name) => name.clone(),
        Type::Array(element) => match &**element {
            Type::Plain(plain) => format!("Vec<{}>", plain_type(*plain)),
            Type::Struct(name) => format!("Vec<{name}>"),
            Type::Array(_) => bail!("an array of arrays"),
        },
    };
    if field.nullable.is_empty() {
        return Ok(bare);
    }
    match &field.kind {
        Type::Plain(Plain::String | Plain::Bytes | Plain::Records)
        | Type::Struct(_)
        | Type::Array(_) => Ok(format!("Option<{bare}>")),
        Type::Plain(other) => bail!("a nullable {}", other.name()),
    }
}

pub(super) fn plain_type(plain: Plain) -> &'static str {
    match plain {
        Plain::Bool => "bool",
        Plain::Int8 => "i8",
        Plain::Int16 => "i16",
        Plain::Uint16 => "u16",
        Plain::Int32 => "i32",
        Plain::Uint32 => "u32",
        Plain::Int64 => "i64",
        Plain::Float64 => "f64",
        Plain::Uuid => "Uuid",
        Plain::String => "String",
        Plain::Bytes => "Bytes",
        Plain::Records => "Records",
    }
}

/// Whether Rust's own default of the type is the schema's.
fn default_is_derivable(field: &Field) -> bool {
    match field.default {
        Default::Zero => field.nullable.is_empty(),
        Default::Null => true,
        Default::True | Default::Number(_) => false,
    }
}

pub(super) fn default_value(field: &Field) -> Result<String> {
    let bare = match (&field.kind, &field.default) {
        (_, Default::Null) => return Ok("None".to_owned()),
        (Type::Plain(Plain::Bool), Default::True) => "true".to_owned(),
        (Type::Plain(plain), Default::Number(number)) => number_text(*plain, *number),
        (Type::Plain(Plain::Bool), _) => "false".to_owned(),
        (Type::Plain(Plain::Float64), _) => "0.0".to_owned(),
        (Type::Plain(Plain::Uuid), _) => "Uuid::ZERO".to_owned(),
        (Type::Plain(plain @ (Plain::String | Plain::Bytes | Plain::Records)), _) => {
            format!("{}::new()", plain_type(*plain))
        }
        (Type::Plain(_), Default::Zero) => "0".to_owned(),
        (Type::Struct(name), Default::Zero) => format!("{name}::default()"),
        (Type::Array(_), Default::Zero) => "Vec::new()".to_owned(),
        (kind, default) => bail!("{default:?} as default of {kind}"),
    };
    Ok(if field.nullable.is_empty() { bare } else { format!("Some({bare})") })
}

fn number_text(plain: Plain, number: i64) -> String {
    match (plain, number) {
        (Plain::Int64, i64::MAX) => "i64::MAX".to_owned(),
        (Plain::Int32, 0x7fff_ffff) => "i32::MAX".to_owned(),
        (Plain::Int32, -0x8000_0000) => "i32::MIN".to_owned(),
        _ => number.to_string(),
    }
}

/// The test that a field, as a place in `self`, is at its default.
pub(super) fn at_default(field: &Field) -> Result<String> {
    let place = format!("self.{}", field_name(field));
    if field.default == Default::Null {
        return Ok(format!("{place}.is_none()"));
    }
    if !field.nullable.is_empty() {
        return Ok(match &field.kind {
            Type::Struct(_) => format!("{place} == {}", default_value(field)?),
            _ => format!("{place}.as_ref().is_some_and(|value| value.is_empty())"),
        });
    }
    Ok(match (&field.kind, &field.default) {
        (Type::Plain(Plain::Bool), Default::True) => place,
        (Type::Plain(Plain::Bool), _) => format!("!{place}"),
        (Type::Plain(Plain::Uuid), _) => format!("{place}.is_zero()"),
        (Type::Plain(Plain::String | Plain::Bytes | Plain::Records) | Type::Array(_), _) => {
            format!("{place}.is_empty()")
        }
        _ => format!("{place} == {}", default_value(field)?),
    })
}
