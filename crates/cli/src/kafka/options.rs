//! Options in the manner of Kafka's tools: `--name value`, `--name=value`, `-name value`; some may
//! be given several times.
//!
//! What Kafka once had and does not have any more is answered with the line to type instead.

use super::{Failure, Tool};
use std::fmt::Write as _;

/// An option of a tool.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// What its value is called in the help; `None` if it has none.
    pub(crate) value: Option<&'static str>,
    /// Whether it may also stand without its value.
    pub(crate) is_optional: bool,
    pub(crate) help: &'static str,
}

/// With a value.
pub(crate) const fn value(name: &'static str, value: &'static str, help: &'static str) -> Spec {
    Spec { name, value: Some(value), is_optional: false, help }
}

/// With a value or without one, which then is empty.
pub(crate) const fn maybe(name: &'static str, value: &'static str, help: &'static str) -> Spec {
    Spec { name, value: Some(value), is_optional: true, help }
}

/// Without a value.
pub(crate) const fn flag(name: &'static str, help: &'static str) -> Spec {
    Spec { name, value: None, is_optional: false, help }
}

/// What every tool has.
pub(crate) const EVERYWHERE: &[Spec] = &[
    value(
        "bootstrap-server",
        "HOST:PORT[,…]",
        "Where the cluster is; one broker that can be reached is enough. Required.",
    ),
    value("command-config", "FILE", "A file of properties for the client, with Kafka's names."),
    flag("help", "Show this."),
    flag("version", "Show the version."),
];

/// What was given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    given: Vec<(&'static str, String)>,
    /// Words without a dash.
    pub(crate) words: Vec<String>,
}

impl Options {
    pub(crate) fn parse(
        tool: &str,
        specs: &'static [Spec],
        arguments: &[String],
    ) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(name) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))
            else {
                options.words.push(argument.clone());
                continue;
            };
            let (name, attached) = match name.split_once('=') {
                Some((name, attached)) => (name, Some(attached.to_owned())),
                None => (name, None),
            };
            let Some(spec) = specs.iter().chain(EVERYWHERE).find(|spec| spec.name == name) else {
                return Err(Failure::Usage(match old_spelling(tool, name, arguments) {
                    Some(answer) => answer,
                    None => unknown(name, specs),
                }));
            };
            let given = match (spec.value, attached) {
                (None, None) => String::new(),
                (None, Some(_)) => {
                    return Err(Failure::Usage(format!("Option --{name} takes no value")));
                }
                (Some(_), Some(attached)) => attached,
                (Some(_), None) if spec.is_optional => {
                    let mut ahead = rest.clone();
                    match ahead.next() {
                        Some(value) if !value.starts_with('-') => {
                            rest = ahead;
                            value.clone()
                        }
                        _ => String::new(),
                    }
                }
                (Some(placeholder), None) => match rest.next() {
                    Some(value) if !value.starts_with("--") => value.clone(),
                    _ => {
                        let problem = format!("Option --{name} needs a value: {placeholder}");
                        return Err(Failure::Usage(problem));
                    }
                },
            };
            options.given.push((spec.name, given));
        }
        Ok(options)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| *given == name)
    }

    /// The value, the last one if there are several.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Every value, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.given.iter().filter(|(given, _)| *given == name);
        found.map(|(_, value)| value.as_str()).collect()
    }

    /// Those of `names` that were given, with their values, in their order.
    pub(crate) fn in_order(&self, names: &[&str]) -> Vec<(&'static str, &str)> {
        let found = self.given.iter().filter(|(given, _)| names.contains(given));
        found.map(|(name, value)| (*name, value.as_str())).collect()
    }

    pub(crate) fn require(&self, name: &str) -> Result<&str, Failure> {
        self.get(name)
            .ok_or_else(|| Failure::Usage(format!("Missing required argument \"[{name}]\"")))
    }

    /// A number.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Failure::Usage(format!(
                    "Cannot parse argument '{text}' of option {name}: a whole number is needed"
                ))),
            },
        }
    }

    /// The one of `names` that was given.
    pub(crate) fn one_of(&self, names: &[&'static str]) -> Result<&'static str, Failure> {
        let given: Vec<&'static str> =
            names.iter().copied().filter(|name| self.has(name)).collect();
        match given[..] {
            [name] => Ok(name),
            _ => {
                let all: Vec<String> = names.iter().map(|name| format!("--{name}")).collect();
                Err(Failure::Usage(format!(
                    "Command must include exactly one action: {}",
                    all.join(", ")
                )))
            }
        }
    }

    /// Refuses options that mean nothing beside another one.
    pub(crate) fn refuse(&self, beside: &str, names: &[&str]) -> Result<(), Failure> {
        match names.iter().find(|name| self.has(name)) {
            Some(name) => Err(Failure::Usage(format!(
                "Option \"[{beside}]\" can't be used with option \"[{name}]\""
            ))),
            None => Ok(()),
        }
    }
}

fn unknown(name: &str, specs: &[Spec]) -> String {
    let like = specs.iter().chain(EVERYWHERE).find(|spec| {
        spec.name.starts_with(name) || name.starts_with(spec.name) || spec.name.contains(name)
    });
    match like {
        Some(spec) if !name.is_empty() => {
            format!("{name} is not a recognized option; did you mean --{}?", spec.name)
        }
        _ => format!("{name} is not a recognized option"),
    }
}

/// What to type in place of an option that Kafka had before.
fn old_spelling(tool: &str, name: &str, arguments: &[String]) -> Option<String> {
    let why = match name {
        "zookeeper" => "there is no ZooKeeper any more; tools talk to a broker",
        "broker-list" => "--broker-list is called --bootstrap-server",
        "new-consumer" => "there is no other consumer any more",
        _ => return None,
    };
    let line = modern_line(tool, arguments);
    Some(format!("{name} is not a recognized option: {why}. Type:\n\n  {line}"))
}

/// A command line without the options that Kafka does not have any more.
pub(crate) fn modern_line(tool: &str, arguments: &[String]) -> String {
    let mut typed = vec![tool.to_owned()];
    let mut has_server =
        arguments.iter().any(|argument| argument.starts_with("--bootstrap-server"));
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let (option, attached) = match argument.split_once('=') {
            Some((option, attached)) => (option, Some(attached.to_owned())),
            None => (argument.as_str(), None),
        };
        match option.trim_start_matches('-') {
            "new-consumer" => continue,
            "zookeeper" | "broker-list" => {
                let given = match attached {
                    Some(attached) => attached,
                    None => rest.next().cloned().unwrap_or_default(),
                };
                if has_server {
                    continue;
                }
                has_server = true;
                typed.push("--bootstrap-server".to_owned());
                typed.push(match option.trim_start_matches('-') {
                    "broker-list" => given,
                    _ => "localhost:9092".to_owned(),
                });
            }
            _ => typed.push(quoted(argument)),
        }
    }
    if !has_server {
        typed.push("--bootstrap-server localhost:9092".to_owned());
    }
    typed.join(" ")
}

/// An argument as one types it in a shell.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

/// The help of a tool.
pub(crate) fn help(name: &str, tool: &Tool) -> String {
    let mut text = format!("{}\n\nUsage: {name} [OPTION]…\n\n", tool.about);
    for spec in tool.specs.iter().chain(tool.specs_of_every_tool()) {
        let left = match spec.value {
            Some(value) if spec.is_optional => format!("--{} [<{value}>]", spec.name),
            Some(value) => format!("--{} <{value}>", spec.name),
            None => format!("--{}", spec.name),
        };
        // Written to a string, which does not fail.
        let _ = writeln!(text, "  {left}\n        {}", spec.help);
    }
    text.push_str("\nExit codes: 0 done, 1 failed or not understood.");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[Spec] = &[
        value("topic", "NAME", "A topic."),
        flag("create", "Create."),
        maybe("state", "STATE", "States."),
    ];

    fn parse(line: &str) -> Result<Options, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse("kafka-topics.sh", SPECS, &arguments).map_err(|failure| match failure {
            Failure::Usage(problem) => problem,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn options_are_read_in_each_of_their_forms() {
        let options =
            parse("--create --topic a --topic=b -bootstrap-server h:1 word --topic -1").unwrap();
        assert!(options.has("create") && !options.has("help"));
        assert_eq!(options.all("topic"), ["a", "b", "-1"]);
        assert_eq!(options.get("bootstrap-server"), Some("h:1"));
        assert_eq!(options.words, ["word"]);
        let optional = |line| parse(line).unwrap().get("state").map(str::to_owned);
        assert_eq!(optional("--state --create"), Some(String::new()));
        assert_eq!(optional("--create --state"), Some(String::new()));
        assert_eq!(optional("--state Empty"), Some("Empty".to_owned()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, expected) in [
            ("--frob", "frob is not a recognized option"),
            ("--top x", "top is not a recognized option; did you mean --topic?"),
            ("--topic", "Option --topic needs a value: NAME"),
            ("--topic --create", "Option --topic needs a value: NAME"),
            ("--create=x", "Option --create takes no value"),
        ] {
            assert_eq!(parse(line).unwrap_err(), expected);
        }
    }

    #[test]
    fn old_spellings_get_the_line_to_type() {
        for (line, expected) in [
            (
                "--create --zookeeper localhost:2181 --topic a",
                "kafka-topics.sh --create --bootstrap-server localhost:9092 --topic a",
            ),
            (
                "--broker-list=h:9,i:9 --topic a*",
                "kafka-topics.sh --bootstrap-server h:9,i:9 --topic 'a*'",
            ),
            (
                "--bootstrap-server h:1 --zookeeper z:2 --create",
                "kafka-topics.sh --bootstrap-server h:1 --create",
            ),
        ] {
            let told = parse(line).unwrap_err();
            assert!(told.ends_with(&format!("Type:\n\n  {expected}")), "{told}");
        }
    }
}
