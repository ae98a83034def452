//! `kafka-acls`: who may do what.

mod names;

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Running, Tool};
use afluente_client::Admin;
use afluente_client::admin::security::{AclBinding, AclFilter};
use anyhow::anyhow;
use names::{ANY, LITERAL, MATCH, PREFIXED};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};

pub(super) const TOOL: Tool = Tool {
    name: "acls",
    about: "Show and change who may do what.",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    flag("list", "List rules, those of a resource if one is named."),
    flag("add", "Add rules."),
    flag("remove", "Remove rules."),
    value("topic", "NAME", "A topic; * is all of them. May be repeated, as all resources."),
    value("group", "NAME", "A group; * is all of them."),
    value("transactional-id", "ID", "A transactional id; * is all of them."),
    value("delegation-token", "ID", "A delegation token; * is all of them."),
    value("user-principal", "NAME", "A user, for the tokens that may be made for it."),
    flag("cluster", "The cluster."),
    value(
        "resource-pattern-type",
        "KIND",
        "literal, prefixed; for --list and --remove also any, match.",
    ),
    value(
        "operation",
        "NAME",
        "What may be done: Read, Write, Create, Delete, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, CreateTokens, DescribeTokens, TwoPhaseCommit, All. All if not given; may be repeated.",
    ),
    value("allow-principal", "User:NAME", "Who may; may be repeated."),
    value("deny-principal", "User:NAME", "Who may not, whatever else allows it; may be repeated."),
    value("allow-host", "HOST", "From where, for --allow-principal; * if not given."),
    value("deny-host", "HOST", "From where, for --deny-principal; * if not given."),
    value("principal", "User:NAME", "With --list: only rules about it; may be repeated."),
    flag("producer", "What a producer to --topic needs: Write, Describe, Create."),
    flag("consumer", "What a consumer of --topic in --group needs: Read, Describe; Read."),
    flag("idempotent", "With --producer: IdempotentWrite on the cluster too."),
    flag("force", "With --remove: without asking."),
    value("bootstrap-controller", "HOST:PORT", "Not there: --bootstrap-server reaches them."),
];

/// A resource, or a filter of them: kind, name, pattern type; in the order they are shown in.
type Resource = (i8, String, i8);

/// A rule about a resource: principal, host, operation, permission.
type Entry = (String, String, i8, i8);

type Rules = Vec<(Resource, Vec<Entry>)>;

const ALLOW: i8 = 3;
const DENY: i8 = 2;

fn run(admin: Admin, options: Options, mut out: Out) -> Running {
    Box::pin(async move {
        check(&options)?;
        let outcome = if options.has("add") {
            add(&admin, &options, &mut out).await
        } else if options.has("remove") {
            remove(&admin, &options, &mut out).await
        } else {
            list(&admin, &options, &mut out).await
        };
        match outcome {
            Ok(()) => Ok(out),
            Err(Failure::Failed(error)) => {
                let words = match error.downcast_ref() {
                    Some(error) => super::java_error(error),
                    None => format!("{error:#}"),
                };
                Err(Failure::Told(out, format!("Error while executing ACL command: {words}")))
            }
            Err(other) => Err(other),
        }
    })
}

fn check(options: &Options) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
    let actions = ["add", "remove", "list"].iter().filter(|action| options.has(action)).count();
    if actions != 1 {
        return usage("Command must include exactly one action: --list, --add, --remove. ");
    }
    let who = ["allow-host", "allow-principal", "deny-host", "deny-principal"];
    if options.has("list") {
        options.refuse("list", &[&["producer", "consumer"], &who[..]].concat())?;
    }
    for role in ["producer", "consumer"] {
        if options.has(role) {
            options.refuse(role, &["operation", "deny-principal", "deny-host"])?;
        }
    }
    if options.has("principal") && !options.has("list") {
        return usage("The --principal option is only available if --list is set");
    }
    if options.has("producer") && !options.has("topic") {
        return usage("With --producer you must specify a --topic");
    }
    if options.has("idempotent") && !options.has("producer") {
        return usage("The --idempotent option is only available if --producer is set");
    }
    let is_consumer_alone = options.has("consumer") && !options.has("producer");
    if options.has("consumer") && !(options.has("topic") && options.has("group"))
        || is_consumer_alone && (options.has("cluster") || options.has("transactional-id"))
    {
        return usage(
            "With --consumer you must specify a --topic and a --group and no --cluster or \
             --transactional-id option should be specified.",
        );
    }
    Ok(())
}

async fn add(admin: &Admin, options: &Options, out: &mut Out) -> Result<(), Failure> {
    if [ANY, MATCH].contains(&pattern_type(options)?) {
        let given = options.get("resource-pattern-type").unwrap_or_default().to_uppercase();
        return Err(Failure::Usage(format!(
            "A '--resource-pattern-type' value of '{given}' is not valid when adding acls."
        )));
    }
    let rules = rules(options)?;
    if rules.iter().any(|(_, entries)| entries.is_empty()) {
        return Err(Failure::Usage(
            "You must specify one of: --allow-principal, --deny-principal when trying to add ACLs."
                .to_owned(),
        ));
    }
    for (resource, entries) in rules {
        let lines = entry_lines(&entries);
        let bindings =
            entries.into_iter().map(|(principal, host, operation, permission)| AclBinding {
                resource_type: resource.0,
                resource_name: resource.1.clone(),
                pattern_type: resource.2,
                principal,
                host,
                operation,
                permission,
            });
        for result in admin.create_acls(bindings.collect()).await? {
            result?;
        }
        out.line(format!("Adding ACLs for resource `{}`: ", shown(&resource)))?;
        out.line(format!(" {lines}\n"))?;
    }
    Ok(())
}

async fn remove(admin: &Admin, options: &Options, out: &mut Out) -> Result<(), Failure> {
    for (resource, entries) in rules(options)? {
        let resource_shown = shown(&resource);
        let question = if entries.is_empty() {
            format!(
                "Are you sure you want to delete all ACLs for resource filter `{resource_shown}`? \
                 (y/n)"
            )
        } else {
            format!(
                "Are you sure you want to remove ACLs: \n {}\n from resource filter \
                 `{resource_shown}`? (y/n)",
                entry_lines(&entries)
            )
        };
        if !options.has("force") && !confirms(out, &question)? {
            continue;
        }
        let filter = filter(&resource);
        let filters = if entries.is_empty() {
            vec![filter]
        } else {
            let entries =
                entries.into_iter().map(|(principal, host, operation, permission)| AclFilter {
                    principal: Some(principal),
                    host: Some(host),
                    operation,
                    permission,
                    ..filter.clone()
                });
            entries.collect()
        };
        for result in admin.delete_acls(filters).await? {
            result?;
        }
    }
    Ok(())
}

async fn list(admin: &Admin, options: &Options, out: &mut Out) -> Result<(), Failure> {
    let filters: Vec<AclFilter> = match resources(options)? {
        none if none.is_empty() => vec![filter(&(ANY, String::new(), ANY))],
        resources => resources.iter().map(filter).collect(),
    };
    let mut found: BTreeMap<Resource, Vec<Entry>> = BTreeMap::new();
    for filter in filters {
        for rule in admin.describe_acls(&filter).await? {
            let resource = (rule.resource_type, rule.resource_name, rule.pattern_type);
            let entry = (rule.principal, rule.host, rule.operation, rule.permission);
            let entries = found.entry(resource).or_default();
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
    }
    let principals = options.all("principal");
    if principals.is_empty() {
        return show(out, &found, None);
    }
    for principal in principals {
        out.line(format!("ACLs for principal `{principal}`"))?;
        show(out, &found, Some(principal))?;
    }
    Ok(())
}

fn show(
    out: &mut Out,
    rules: &BTreeMap<Resource, Vec<Entry>>,
    principal: Option<&str>,
) -> Result<(), Failure> {
    for (resource, entries) in rules {
        let mut entries = entries.clone();
        entries.retain(|entry| principal.is_none_or(|principal| entry.0 == principal));
        entries.sort();
        if !entries.is_empty() {
            out.line(format!("Current ACLs for resource `{}`:", shown(resource)))?;
            out.line(format!("{}\n", entry_lines(&entries)))?;
        }
    }
    Ok(())
}

fn filter(resource: &Resource) -> AclFilter {
    let (kind, name, pattern_type) = resource.clone();
    AclFilter {
        resource_type: kind,
        resource_name: (kind != ANY).then_some(name),
        pattern_type,
        principal: None,
        host: None,
        operation: ANY,
        permission: ANY,
    }
}

fn shown((kind, name, pattern_type): &Resource) -> String {
    format!(
        "ResourcePattern(resourceType={}, name={name}, patternType={})",
        names::resource(*kind),
        names::pattern(*pattern_type)
    )
}

fn entry_lines(entries: &[Entry]) -> String {
    let lines = entries.iter().map(|(principal, host, operation, permission)| {
        format!(
            "\t(principal={principal}, host={host}, operation={}, permissionType={})",
            names::operation(*operation),
            if *permission == ALLOW { "ALLOW" } else { "DENY" }
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn confirms(out: &mut Out, question: &str) -> Result<bool, Failure> {
    out.line(question)?;
    out.flush()?;
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn pattern_type(options: &Options) -> Result<i8, Failure> {
    match options.get("resource-pattern-type").map(str::to_ascii_lowercase).as_deref() {
        None | Some("literal") => Ok(LITERAL),
        Some("prefixed") => Ok(PREFIXED),
        Some("any") => Ok(ANY),
        Some("match") => Ok(MATCH),
        Some(other) => Err(Failure::Usage(format!("Unknown resource-pattern-type: {other}"))),
    }
}

/// The resources that the command line names.
fn resources(options: &Options) -> Result<Vec<Resource>, Failure> {
    let pattern_type = pattern_type(options)?;
    let mut found = Vec::new();
    for (option, kind) in [
        ("topic", names::TOPIC),
        ("group", names::GROUP),
        ("transactional-id", names::TRANSACTIONAL_ID),
        ("delegation-token", names::DELEGATION_TOKEN),
        ("user-principal", names::USER),
    ] {
        for name in options.all(option) {
            found.push((kind, name.trim().to_owned(), pattern_type));
        }
    }
    if pattern_type == LITERAL && (options.has("cluster") || options.has("idempotent")) {
        found.push((names::CLUSTER, names::CLUSTER_NAME.to_owned(), LITERAL));
    }
    Ok(found)
}

/// What the command line says, with the entries of each resource.
fn rules(options: &Options) -> Result<Rules, Failure> {
    let resources = resources(options)?;
    if resources.is_empty() {
        return Err(Failure::Usage(
            "You must provide at least one resource: --topic <topic> or --cluster or --group \
             <group> or --delegation-token <Delegation Token ID>"
                .to_owned(),
        ));
    }
    let mut rules: BTreeMap<Resource, Vec<Entry>> = BTreeMap::new();
    let is_role = options.has("producer") || options.has("consumer");
    for resource in resources {
        let mut operations = Vec::new();
        if !is_role {
            let given = match options.all("operation") {
                none if none.is_empty() => vec!["All"],
                given => given,
            };
            for name in given {
                // What is not known is an operation that no resource has.
                operations.push(names::operation_of(name).unwrap_or(0));
            }
        }
        if options.has("producer") {
            operations.extend(match resource.0 {
                names::TOPIC => vec![names::DESCRIBE, names::WRITE, names::CREATE],
                names::TRANSACTIONAL_ID => vec![names::DESCRIBE, names::WRITE],
                names::CLUSTER if options.has("idempotent") => vec![names::IDEMPOTENT_WRITE],
                _ => Vec::new(),
            });
        }
        if options.has("consumer") {
            operations.extend(match resource.0 {
                names::TOPIC => vec![names::DESCRIBE, names::READ],
                names::GROUP => vec![names::READ],
                _ => Vec::new(),
            });
        }
        if is_role && operations.is_empty() {
            continue;
        }
        let supported = names::supported(resource.0);
        if operations.iter().any(|operation| !supported.contains(operation)) {
            let all: Vec<&str> =
                supported.iter().map(|operation| names::operation(*operation)).collect();
            return Err(Failure::Usage(format!(
                "ResourceType {} only supports operations [{}]",
                names::resource(resource.0),
                all.join(", ")
            )));
        }
        let entries = rules.entry(resource).or_default();
        for entry in entries_of(options, &operations)? {
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
    }
    Ok(rules.into_iter().collect())
}

fn entries_of(options: &Options, operations: &[i8]) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for (who, from, permission) in
        [("allow-principal", "allow-host", ALLOW), ("deny-principal", "deny-host", DENY)]
    {
        let hosts = match options.all(from) {
            none if none.is_empty() => vec!["*"],
            hosts => hosts,
        };
        for principal in options.all(who) {
            let principal = principal.trim();
            if principal
                .split_once(':')
                .is_none_or(|(kind, name)| kind.is_empty() || name.is_empty())
            {
                return Err(anyhow!(
                    "expected a string in format principalType:principalName but got {principal}"
                )
                .into());
            }
            for &operation in operations {
                for host in &hosts {
                    let host = host.trim().to_owned();
                    entries.push((principal.to_owned(), host, operation, permission));
                }
            }
        }
    }
    Ok(entries)
}
