//! How a struct reads and writes itself, version by version.

use super::structs::{at_default, default_value, field_name, plain_type};
use afluente_protocol_schema::model::{Field, Message, Plain, Struct, Type};
use afluente_protocol_schema::versions::Versions;
use anyhow::{Result, bail};

/// The body of `Element::read`.
pub(super) fn read_body(message: &Message, of: &Struct) -> Result<String> {
    let mut fields = String::new();
    let mut arms = String::new();
    for field in &of.fields {
        let name = field_name(field);
        let place = in_place(field)?;
        let value = if place.is_empty() {
            default_value(field)?
        } else {
            match test(place, of.versions) {
                None => read_value(field, place),
                Some(test) => format!(
                    "if {test} {{ {} }} else {{ {} }}",
                    read_value(field, place),
                    default_value(field)?
                ),
            }
        };
        fields.push_str(&format!("{name}: {value},\n"));
        if let Some((tag, tagged)) = field.tag {
            let guard = test(tagged, of.versions.clip(message.flexible))
                .map_or_else(String::new, |test| format!(" if {test}"));
            arms.push_str(&format!(
                "{tag}{guard} => value.{name} = {},\n",
                read_value(field, tagged)
            ));
        }
    }
    let literal =
        if fields.is_empty() { "Self {}".to_owned() } else { format!("Self {{\n{fields}}}") };
    let flexible = !of.versions.clip(message.flexible).is_empty();
    Ok(if !flexible {
        format!("Ok({literal})")
    } else if arms.is_empty() {
        format!("let value = {literal};\nreader.skip_tags()?;\nOk(value)")
    } else {
        format!(
            "let mut value = {literal};
            let mut tags = reader.tags()?;
            while let Some(tag) = tags.next(reader)? {{
                match tag {{
                    {arms}
                    _ => tags.skip(reader),
                }}
            }}
            Ok(value)"
        )
    })
}

/// The expression that reads a field in `versions`, all of which have it.
fn read_value(field: &Field, versions: Versions) -> String {
    let (method, argument) = match &field.kind {
        Type::Plain(Plain::String) if field.inflexible => ("short_string", ""),
        Type::Plain(plain) => (method(*plain), ""),
        Type::Struct(_) => ("structure", "version"),
        Type::Array(_) => ("array", "version"),
    };
    let plain = format!("reader.{method}({argument})?");
    // Kafka marks a null struct in one way among the other fields and in another in a tag.
    let is_tagged = field.tag.is_some_and(|(_, tagged)| tagged == versions);
    let tagged = if is_tagged && method == "structure" { "tagged_" } else { "" };
    let nullable = format!("reader.nullable_{tagged}{method}({argument})?");
    if field.nullable.is_empty() {
        return plain;
    }
    let null_here = field.nullable.clip(versions);
    if null_here.is_empty() {
        return format!("Some({plain})");
    }
    match test(null_here, versions) {
        None => nullable,
        Some(test) => format!("if {test} {{ {nullable} }} else {{ Some({plain}) }}"),
    }
}

/// The method of reader and writer for a type.
fn method(plain: Plain) -> &'static str {
    match plain {
        Plain::Uuid => "uuid",
        Plain::String => "string",
        Plain::Bytes => "bytes",
        Plain::Records => "records",
        number => plain_type(number),
    }
}

/// The body of `Element::write`.
pub(super) fn write_body(message: &Message, of: &Struct) -> Result<String> {
    let mut code = String::new();
    let mut tagged_fields = Vec::new();
    for field in &of.fields {
        if let Some((tag, tagged)) = field.tag {
            tagged_fields.push((tag, tagged, field));
        }
        let place = in_place(field)?;
        if !place.is_empty() {
            let value = write_value(of, field, place);
            match test(place, of.versions) {
                None => code.push_str(&value),
                Some(test) => code.push_str(&format!("if {test} {{ {value} }}\n")),
            }
        }
        if !field.ignorable
            && let Some(test) = test(field.versions, of.versions)
        {
            let check = format!(
                "absent({}, \"{}.{}\", version)?;",
                at_default(field)?,
                of.name,
                field.name
            );
            if !place.is_empty() && place == field.versions {
                // Follows the `if` of the same test.
                code.truncate(code.trim_end().len());
                code.push_str(&format!(" else {{ {check} }}\n"));
            } else {
                code.push_str(&format!("if {} {{ {check} }}\n", negated_test(&test)));
            }
        }
    }
    let flexible = of.versions.clip(message.flexible);
    if flexible.is_empty() {
        return Ok(code);
    }
    if tagged_fields.is_empty() {
        code.push_str("writer.no_tags();\n");
        return Ok(code);
    }
    tagged_fields.sort_by_key(|(tag, _, _)| *tag);
    code.push_str("let mut tags = writer.tags();\n");
    for (tag, tagged, field) in tagged_fields {
        let differs = negated(&at_default(field)?);
        let condition = match test(tagged, of.versions) {
            None => differs,
            Some(test) => format!("{test} && {differs}"),
        };
        code.push_str(&format!(
            "if {condition} {{
                writer.begin_tag(&mut tags, {tag});
                {}
                writer.end_tag(&mut tags)?;
            }}\n",
            write_value(of, field, tagged)
        ));
    }
    Ok(code)
}

/// The statement that writes a field in `versions`, all of which have it.
fn write_value(of: &Struct, field: &Field, versions: Versions) -> String {
    let place = format!("self.{}", field_name(field));
    let required = format!("required(&{place}, \"{}.{}\", version)?", of.name, field.name);
    let (plain, plain_required, nullable) = match &field.kind {
        Type::Plain(Plain::String) => {
            let method = if field.inflexible { "short_string" } else { "string" };
            (
                format!("writer.{method}(&{place})?;"),
                format!("writer.{method}({required})?;"),
                format!("writer.nullable_{method}({place}.as_deref())?;"),
            )
        }
        Type::Plain(plain @ (Plain::Bytes | Plain::Records)) => {
            let method = method(*plain);
            (
                format!("writer.{method}(&{place})?;"),
                format!("writer.{method}({required})?;"),
                format!("writer.nullable_{method}({place}.as_ref())?;"),
            )
        }
        Type::Plain(plain) => {
            (format!("writer.{}({place});", method(*plain)), String::new(), String::new())
        }
        Type::Struct(_) => {
            let is_tagged = field.tag.is_some_and(|(_, tagged)| tagged == versions);
            let method = if is_tagged { "nullable_tagged_structure" } else { "nullable_structure" };
            (
                format!("{place}.write(writer, version)?;"),
                format!("{required}.write(writer, version)?;"),
                format!("writer.{method}({place}.as_ref(), version)?;"),
            )
        }
        Type::Array(_) => (
            format!("writer.array(&{place}, version)?;"),
            format!("writer.array({required}, version)?;"),
            format!("writer.nullable_array({place}.as_deref(), version)?;"),
        ),
    };
    if field.nullable.is_empty() {
        return plain + "\n";
    }
    let null_here = field.nullable.clip(versions);
    if null_here.is_empty() {
        return plain_required + "\n";
    }
    match test(null_here, versions) {
        None => nullable + "\n",
        Some(test) => format!("if {test} {{ {nullable} }} else {{ {plain_required} }}\n"),
    }
}

/// `test` turned round.
fn negated(test: &str) -> String {
    if let Some(rest) = test.strip_prefix('!') {
        rest.to_owned()
    } else if test.contains(" == ") {
        test.replacen(" == ", " != ", 1)
    } else if let Some(place) = test.strip_suffix(".is_none()") {
        format!("{place}.is_some()")
    } else {
        format!("!{test}")
    }
}

/// The test that `version`, known to be in `within`, is in `versions`; `None` if it always is.
fn test(versions: Versions, within: Versions) -> Option<String> {
    let Versions { low, high } = versions;
    if low <= within.low && high >= within.high {
        None
    } else if high >= within.high {
        Some(if low == within.high {
            format!("version == {low}")
        } else {
            format!("version >= {low}")
        })
    } else if low <= within.low {
        Some(if high == within.low {
            format!("version == {high}")
        } else {
            format!("version <= {high}")
        })
    } else if low == high {
        Some(format!("version == {low}"))
    } else {
        Some(format!("({low}..={high}).contains(&version)"))
    }
}

fn negated_test(test: &str) -> String {
    test.strip_prefix("version >= ")
        .map(|low| format!("version < {low}"))
        .or_else(|| test.strip_prefix("version <= ").map(|high| format!("version > {high}")))
        .unwrap_or_else(|| negated(test))
}

/// The versions in which a field is in its place among the others, and not tagged.
fn in_place(field: &Field) -> Result<Versions> {
    match field.tag {
        None => Ok(field.versions),
        Some((_, tagged)) if tagged == field.versions => Ok(Versions::NONE),
        Some((_, tagged)) if tagged.high == field.versions.high => {
            Ok(Versions { low: field.versions.low, high: tagged.low - 1 })
        }
        Some(_) => bail!("{} stops being tagged", field.name),
    }
}
