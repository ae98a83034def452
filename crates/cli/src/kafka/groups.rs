//! `kafka-groups`: the groups of every kind, with their kinds.

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Running, Tool};
use afluente_client::Admin;
use afluente_client::admin::groups::GroupListing;

pub(super) const TOOL: Tool =
    Tool { name: "groups", about: "List groups of all kinds.", specs: SPECS, run: Run::Admin(run) };

const SPECS: &[Spec] = &[
    flag("list", "List the groups."),
    flag("consumer", "Only groups of consumers: of either protocol, and without members."),
    flag("share", "Only share groups."),
    flag("streams", "Only groups of Streams applications."),
    value("group-type", "KIND", "Only this kind: classic, consumer, share or streams."),
    value("protocol", "NAME", "Only those with this protocol type."),
];

/// A column is at least so wide.
const WIDTH_MIN: usize = 20;

const KINDS: &[&str] = &["classic", "consumer", "share", "streams"];

fn run(admin: Admin, options: Options, mut out: Out) -> Running {
    Box::pin(async move {
        if !options.has("list") {
            let told = "Command must include exactly one action: --list.";
            return Err(Failure::Usage(told.to_owned()));
        }
        options_fit(&options)?;
        let kind = options.get("group-type").map(str::to_ascii_lowercase);
        if kind.as_ref().is_some_and(|kind| !KINDS.contains(&kind.as_str())) {
            return Err(anyhow::anyhow!("--group-type must be a valid group type.").into());
        }
        let mut groups = admin.list_groups(&[], &[]).await?;
        groups.retain(|group| is_wanted(group, &options, kind.as_deref()));
        groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        let rows: Vec<[String; 3]> = groups
            .into_iter()
            .map(|group| [group.group_id, group.kind, group.protocol_type])
            .collect();
        let longest = rows.iter().flatten().map(String::len).max().unwrap_or(0);
        let width = longest.max(WIDTH_MIN);
        out.line(format!("{:<width$} {:<width$} {:<width$}", "GROUP", "TYPE", "PROTOCOL"))?;
        for [group, kind, protocol] in rows {
            out.line(format!("{group:<width$} {kind:<width$} {protocol:<width$} "))?;
        }
        Ok(out)
    })
}

fn options_fit(options: &Options) -> Result<(), Failure> {
    for one in ["consumer", "share", "streams"] {
        if options.has(one) {
            let others = ["consumer", "share", "streams", "group-type", "protocol"];
            let others: Vec<&str> = others.into_iter().filter(|other| *other != one).collect();
            options.refuse(one, &others)?;
        }
    }
    Ok(())
}

fn is_wanted(group: &GroupListing, options: &Options, kind: Option<&str>) -> bool {
    let is = |name: &str| group.kind.eq_ignore_ascii_case(name);
    if options.has("consumer") {
        let of_consumers = ["", "consumer"].contains(&group.protocol_type.as_str());
        return is("consumer") || (is("classic") && of_consumers);
    }
    if options.has("share") {
        return is("share");
    }
    if options.has("streams") {
        return is("streams");
    }
    kind.is_none_or(is)
        && options.get("protocol").is_none_or(|protocol| group.protocol_type == protocol)
}
