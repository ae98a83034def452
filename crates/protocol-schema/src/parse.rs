//! Schema text as a model.
//!
//! ```text
//! file    = head message+
//! head    = "api" KEY NAME / "on" LISTENERS / "advertise" VERSIONS
//!         | "coordinator" NUMBER NAME | "metadata" NUMBER NAME | "data" NAME
//! message = ("request" | "response" | "key" | "value" | "record" | "message")
//!           VERSIONS ", flexible" VERSIONS
//!           (field | "struct" NAME ["," VERSIONS] field+)*
//! field   = NAME ":" TYPE ["?"] ["=" DEFAULT] ("," attribute)*
//! attribute = VERSIONS | "null" VERSIONS | "tag" NUMBER [VERSIONS] | "ignorable" | "inflexible"
//! ```
//!
//! Two spaces of indentation make a field part of the struct above it. `#` opens a comment.

use crate::model::{Api, Default, Definition, Field, Kind, Message, Struct, Type};
use crate::versions::Versions;

/// Why a schema file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ParseError {
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads a schema file.
pub fn parse(text: &str) -> Result<Definition, ParseError> {
    let lines = split_lines(text)?;
    let mut parser = Parser { lines, next: 0 };
    let definition = parser.definition()?;
    match parser.peek() {
        None => Ok(definition),
        Some(extra) => Err(extra.error(format!("unexpected \"{}\"", extra.text))),
    }
}

/// A line that says something: number, levels of indentation, text without comment.
#[derive(Clone)]
struct Line {
    number: usize,
    depth: usize,
    text: String,
}

impl Line {
    fn error(&self, problem: String) -> ParseError {
        ParseError { line: self.number, problem }
    }
}

fn split_lines(text: &str) -> Result<Vec<Line>, ParseError> {
    let mut lines = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let kept = raw.split('#').next().expect("split gives at least one").trim_end();
        let words = kept.trim_start();
        if words.is_empty() {
            continue;
        }
        let indent = kept.len() - words.len();
        let line = Line { number: index + 1, depth: indent / 2, text: words.to_owned() };
        if indent % 2 != 0 || kept[..indent].contains('\t') {
            return Err(line.error("indent by two spaces a level".to_owned()));
        }
        lines.push(line);
    }
    Ok(lines)
}

struct Parser {
    lines: Vec<Line>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Line> {
        self.lines.get(self.next)
    }

    /// Takes the next line, which must be at the left edge and open with `word`; gives the rest.
    fn take(&mut self, word: &str) -> Result<(Line, String), ParseError> {
        let last = self.lines.last().map_or(0, |line| line.number);
        let line = self.peek().cloned().ok_or_else(|| ParseError {
            line: last,
            problem: format!("the file ends where \"{word}\" is expected"),
        })?;
        let rest = line.text.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '));
        match rest {
            Some(rest) if line.depth == 0 => {
                self.next += 1;
                Ok((line.clone(), rest.to_owned()))
            }
            _ => Err(line.error(format!("expected \"{word} …\" at the left edge"))),
        }
    }

    fn definition(&mut self) -> Result<Definition, ParseError> {
        let word =
            self.peek().and_then(|line| line.text.split(' ').next()).unwrap_or("").to_owned();
        match word.as_str() {
            "coordinator" => {
                let (number, name) = self.numbered("coordinator")?;
                let key = self.message("key", format!("{name}Key"))?;
                let value = self.message("value", format!("{name}Value"))?;
                Ok(Definition { name, kind: Kind::Coordinator { number, key, value } })
            }
            "metadata" => {
                let (number, name) = self.numbered("metadata")?;
                let record = self.message("record", format!("{name}Record"))?;
                Ok(Definition { name, kind: Kind::Metadata { number, record } })
            }
            "data" => {
                let (line, name) = self.take("data")?;
                check_name(&line, &name)?;
                let message = self.message("message", name.clone())?;
                Ok(Definition { name, kind: Kind::Data(message) })
            }
            _ => self.api(),
        }
    }

    fn api(&mut self) -> Result<Definition, ParseError> {
        let (key, name) = self.numbered("api")?;
        let (line, listeners) = self.take("on")?;
        let (on_broker, on_controller) = match listeners.as_str() {
            "broker, controller" => (true, true),
            "broker" => (true, false),
            "controller" => (false, true),
            "none" => (false, false),
            _ => {
                return Err(line.error("listeners are broker, controller, both or none".to_owned()));
            }
        };
        let (line, advertise) = self.take("advertise")?;
        let advertise = versions(&line, &advertise)?;
        let request = self.message("request", format!("{name}Request"))?;
        let response = self.message("response", format!("{name}Response"))?;
        let api = Api { key, on_broker, on_controller, advertise, request, response };
        Ok(Definition { name, kind: Kind::Api(api) })
    }

    fn numbered(&mut self, word: &str) -> Result<(i16, String), ParseError> {
        let (line, rest) = self.take(word)?;
        let (number, name) = rest
            .split_once(' ')
            .ok_or_else(|| line.error(format!("expected \"{word} NUMBER NAME\"")))?;
        let number = number
            .parse()
            .map_err(|_| line.error(format!("\"{number}\" is not a number of 16 bits")))?;
        check_name(&line, name)?;
        Ok((number, name.to_owned()))
    }

    fn message(&mut self, heading: &str, name: String) -> Result<Message, ParseError> {
        let (line, rest) = self.take(heading)?;
        let (range, flexible) = rest.split_once(", flexible ").ok_or_else(|| {
            line.error(format!("expected \"{heading} VERSIONS, flexible VERSIONS\""))
        })?;
        let range = versions(&line, range)?;
        let flexible = versions(&line, flexible)?.clip(range);
        if range.is_empty() || range.high == i16::MAX {
            return Err(line.error("a message has a first and a last version".to_owned()));
        }
        if !flexible.is_empty() && flexible.high != range.high {
            return Err(line.error("once flexible, a message stays so".to_owned()));
        }
        let mut message =
            Message { name, versions: range, flexible, fields: Vec::new(), shared: Vec::new() };
        while let Some(next) = self.peek().cloned().filter(|next| next.depth == 1) {
            if let Some(rest) = next.text.strip_prefix("struct ") {
                self.next += 1;
                let (name, own) = match rest.split_once(", ") {
                    Some((name, own)) => (name, within(&next, own, range)?),
                    None => (rest, range),
                };
                check_name(&next, name)?;
                let fields = self.fields(2, own, flexible)?;
                message.shared.push(Struct { name: name.to_owned(), versions: own, fields });
            } else {
                message.fields.extend(self.fields(1, range, flexible)?);
            }
        }
        check_structs(&line, &message)?;
        Ok(message)
    }

    /// The fields at `depth`, up to the first line that is not one.
    fn fields(
        &mut self,
        depth: usize,
        range: Versions,
        flexible: Versions,
    ) -> Result<Vec<Field>, ParseError> {
        let mut fields = Vec::new();
        while let Some(line) = self.peek().cloned().filter(|line| line.depth == depth) {
            if line.text.starts_with("struct ") {
                break;
            }
            self.next += 1;
            let mut field = field(&line, range, flexible)?;
            if self.peek().is_some_and(|next| next.depth == depth + 1) {
                if field.kind.struct_name().is_none() {
                    return Err(line.error(format!("{} has no fields", field.kind)));
                }
                field.fields = Some(self.fields(depth + 1, field.versions, flexible)?);
            }
            fields.push(field);
        }
        match self.peek() {
            Some(line) if line.depth > depth => Err(line.error("indented too far".to_owned())),
            _ => Ok(fields),
        }
    }
}

fn field(line: &Line, range: Versions, flexible: Versions) -> Result<Field, ParseError> {
    let (name, rest) = line
        .text
        .split_once(": ")
        .ok_or_else(|| line.error("expected \"NAME: TYPE\"".to_owned()))?;
    check_name(line, name)?;
    let mut parts = rest.split(", ");
    let first = parts.next().expect("split gives at least one");
    let (kind, default) = first.split_once(" = ").map_or((first, None), |(k, d)| (k, Some(d)));
    let (kind, question) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
    let kind = Type::parse(kind);
    if let Some(name) = kind.struct_name() {
        check_name(line, name)?;
    }
    let mut field = Field {
        name: name.to_owned(),
        kind,
        versions: range,
        nullable: Versions::NONE,
        tag: None,
        default: default.map_or(Ok(Default::Zero), |text| parse_default(line, text))?,
        ignorable: false,
        inflexible: false,
        fields: None,
    };
    let mut parts = parts.peekable();
    if let Some(own) = parts.peek().filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
        field.versions = within(line, own, range)?;
        parts.next();
    }
    if question {
        field.nullable = field.versions;
    }
    for part in parts {
        match part.split(' ').collect::<Vec<_>>()[..] {
            ["ignorable"] => field.ignorable = true,
            ["inflexible"] => field.inflexible = true,
            ["null", range] if !question => field.nullable = within(line, range, field.versions)?,
            ["tag", number] => field.tag = Some((tag(line, number)?, field.versions)),
            ["tag", number, range] => {
                field.tag = Some((tag(line, number)?, within(line, range, field.versions)?));
            }
            _ => return Err(line.error(format!("cannot read \"{part}\""))),
        }
    }
    if let Some((_, tagged)) = field.tag
        && tagged.clip(flexible) != tagged
    {
        return Err(line.error("tagged in a version that is not flexible".to_owned()));
    }
    if field.default == Default::Null && field.nullable.is_empty() {
        return Err(line.error("null as default of a field that is never null".to_owned()));
    }
    Ok(field)
}

fn parse_default(line: &Line, text: &str) -> Result<Default, ParseError> {
    match text {
        "null" => Ok(Default::Null),
        "true" => Ok(Default::True),
        number => number
            .parse()
            .map(Default::Number)
            .map_err(|_| line.error(format!("\"{text}\" is not null, true or a number"))),
    }
}

fn versions(line: &Line, text: &str) -> Result<Versions, ParseError> {
    Versions::parse(text)
        .ok_or_else(|| line.error(format!("\"{text}\" is not a range of versions")))
}

/// A range that must lie within another, except for an open end.
fn within(line: &Line, text: &str, outer: Versions) -> Result<Versions, ParseError> {
    let range = versions(line, text)?;
    let clipped = range.clip(outer);
    let kept = clipped.low == range.low && (clipped.high == range.high || range.high == i16::MAX);
    if clipped.is_empty() || !kept {
        return Err(line.error(format!("versions {range} are not within {outer}")));
    }
    Ok(clipped)
}

fn tag(line: &Line, text: &str) -> Result<u32, ParseError> {
    text.parse().map_err(|_| line.error(format!("\"{text}\" is not a tag number")))
}

fn check_name(line: &Line, name: &str) -> Result<(), ParseError> {
    let good = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_alphanumeric());
    if good { Ok(()) } else { Err(line.error(format!("\"{name}\" is not a name in camel case"))) }
}

/// Every struct that is named is defined, once.
fn check_structs(line: &Line, message: &Message) -> Result<(), ParseError> {
    let structs = message.structs();
    let mut names: Vec<&str> = structs.iter().map(|(found, _)| found.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(line.error(format!("{} is defined twice", twice[0])));
    }
    for field in structs.iter().flat_map(|(found, _)| &found.fields) {
        if let Some(name) = field.kind.struct_name()
            && names.binary_search(&name).is_err()
        {
            return Err(line.error(format!("{name} is not defined")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::print;

    const EXAMPLE: &str = "\
api 1 Example
on broker, controller
advertise 2-5

request 1-5, flexible 4+
  Owner: string? = null, 4+, tag 0, ignorable
  Rack: string, 2-3, null 3
  Topics: []Topic
    Name: string, inflexible
    Partitions: []int32?
    Leader: Node = null, 5, null 5, tag 1
  Size: int64 = -1, 2+, tag 3 4+
  struct Node, 4+
    Id: int32

response 1-5, flexible none
";

    #[test]
    fn prints_what_it_parsed() {
        let text = EXAMPLE.replace("Node = null, 5, null 5, tag", "Node? = null, 5, tag");
        let definition = parse(&text).expect("a good example");
        assert_eq!(print(&definition), text);
        assert_eq!(parse(EXAMPLE), Ok(definition), "`null 5` says the same as `?` on version 5");
    }

    #[test]
    fn errors_name_the_line_and_the_problem() {
        for (from, to, error) in [
            ("4+, tag 0", "3+, tag 0", "line 6: tagged in a version that is not flexible"),
            ("2-3, null 3", "2-3, null 4", "line 7: versions 4 are not within 2-3"),
            ("  Rack", "   Rack", "line 7: indent by two spaces a level"),
            ("    Name", "      Name", "line 9: indented too far"),
            ("[]Topic", "[]Subject", ""),
            ("struct Node", "struct Knot", "line 5: Node is not defined"),
            ("struct Node", "struct Topic", "line 5: Topic is defined twice"),
            ("= -1", "= minus one", "line 12: \"minus one\" is not null, true or a number"),
            ("inflexible\n", "bendy\n", "line 9: cannot read \"bendy\""),
            ("response", "answer", "line 16: expected \"response …\" at the left edge"),
            ("flexible 4+", "flexible 4", "line 5: once flexible, a message stays so"),
            ("api 1", "api x", "line 1: \"x\" is not a number of 16 bits"),
        ] {
            let text = EXAMPLE.replacen(from, to, 1);
            let found = parse(&text).map_or_else(|e| e.to_string(), |_| String::new());
            assert_eq!(found, error, "{from} -> {to}");
        }
    }
}
