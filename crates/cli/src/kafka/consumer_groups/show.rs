//! What `kafka-consumer-groups --describe` shows.

use crate::kafka::Failure;
use crate::kafka::out::Out;
use afluente_client::admin::groups::{CommittedOffset, GroupDescription, MemberDescription};
use afluente_client::admin::offsets::{IsolationLevel, OffsetSpec};
use afluente_client::{Admin, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// No column of names is narrower.
const WIDTH_MIN: usize = 15;
const NOTHING: &str = "-";

/// A partition, and who has it.
type Row<'a> = (TopicPartition, Option<&'a MemberDescription>);

/// Where the group is in each partition, and how far that is from the end.
pub(super) async fn offsets(
    admin: &Admin,
    group: &GroupDescription,
    is_verbose: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    let committed = admin.committed_offsets(&group.group_id).await?;
    let mut members: Vec<&MemberDescription> = group.members.iter().collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.assignment.len()));
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut assigned = BTreeSet::new();
    for member in members {
        let mut partitions = member.assignment.clone();
        partitions.sort();
        for partition in partitions {
            assigned.insert(partition.clone());
            rows.push((partition, Some(member)));
        }
    }
    let others = committed.keys().filter(|partition| !assigned.contains(partition));
    rows.extend(others.map(|partition| (partition.clone(), None)));
    let asked = rows.iter().map(|(partition, _)| (partition.clone(), OffsetSpec::Latest));
    let ends = admin.list_offsets(asked, IsolationLevel::ReadUncommitted).await?;
    let ends: BTreeMap<TopicPartition, i64> = ends
        .into_iter()
        .filter_map(|(partition, found)| Some((partition, found.ok()?.offset)))
        .collect();
    let width =
        |of: &dyn Fn(&Row<'_>) -> usize| rows.iter().map(of).max().unwrap_or(0).max(WIDTH_MIN);
    let id_width = width(&|(_, member)| member.map_or(1, |member| member.member_id.len()));
    let topic_width = width(&|(partition, _)| partition.topic.len());
    let host_width = width(&|(_, member)| member.map_or(1, |member| member.host.len()));
    let group_width = group.group_id.len().max(WIDTH_MIN);
    let line = |cells: [&str; 10]| {
        let [name, topic, partition, epoch, current, end, lag, id, host, client] = cells;
        let epoch = if is_verbose { format!(" {epoch:<15}") } else { String::new() };
        format!(
            "{name:<group_width$} {topic:<topic_width$} {partition:<10}{epoch} {current:<15} \
             {end:<15} {lag:<15} {id:<id_width$} {host:<host_width$} {client}"
        )
    };
    out.line(format!(
        "\n{}",
        line([
            "GROUP",
            "TOPIC",
            "PARTITION",
            "LEADER-EPOCH",
            "CURRENT-OFFSET",
            "LOG-END-OFFSET",
            "LAG",
            "CONSUMER-ID",
            "HOST",
            "CLIENT-ID",
        ])
    ))?;
    for (partition, member) in &rows {
        let current = committed.get(partition);
        let end = ends.get(partition).copied();
        let shown =
            |number: Option<i64>| number.map_or_else(|| NOTHING.to_owned(), |n| n.to_string());
        let epoch = current.map(|one| one.leader_epoch).filter(|&epoch| epoch >= 0);
        let lag =
            current.zip(end).map(|(current, end): (&CommittedOffset, i64)| end - current.offset);
        out.line(line([
            &group.group_id,
            &partition.topic,
            &partition.partition.to_string(),
            &shown(epoch.map(i64::from)),
            &shown(current.map(|one| one.offset)),
            &shown(end),
            &shown(lag),
            member.map_or(NOTHING, |member| &member.member_id),
            member.map_or(NOTHING, |member| &member.host),
            member.map_or(NOTHING, |member| &member.client_id),
        ]))?;
    }
    Ok(())
}

/// Who is in the group, and what each has.
pub(super) fn members(
    group: &GroupDescription,
    is_verbose: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    let width = |of: &dyn Fn(&MemberDescription) -> usize| {
        group.members.iter().map(of).max().unwrap_or(0).max(WIDTH_MIN)
    };
    let id_width = width(&|member| member.member_id.len());
    let instance_width = width(&|member| member.instance_id.as_ref().map_or(1, String::len));
    let host_width = width(&|member| member.host.len());
    let client_width = width(&|member| member.client_id.len());
    let group_width = group.group_id.len().max(WIDTH_MIN);
    let has_instances = group.members.iter().any(|member| member.instance_id.is_some());
    let line = |cells: [&str; 10]| {
        let [name, id, instance, host, client, count, epoch, assigned, target_epoch, target] =
            cells;
        let instance =
            if has_instances { format!(" {instance:<instance_width$}") } else { String::new() };
        let mut line = format!(
            "{name:<group_width$} {id:<id_width$}{instance} {host:<host_width$} \
             {client:<client_width$} {count:<15} "
        );
        if is_verbose {
            let wide = assigned_width(group);
            line.push_str(&format!(
                "{epoch:<15} {assigned:<wide$} {target_epoch:<15} {target:<wide$}"
            ));
        }
        line
    };
    out.line(format!(
        "\n{}",
        line([
            "GROUP",
            "CONSUMER-ID",
            "GROUP-INSTANCE-ID",
            "HOST",
            "CLIENT-ID",
            "#PARTITIONS",
            "CURRENT-EPOCH",
            "CURRENT-ASSIGNMENT",
            "TARGET-EPOCH",
            "TARGET-ASSIGNMENT",
        ])
    ))?;
    let mut members: Vec<&MemberDescription> = group.members.iter().collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.assignment.len()));
    for member in members {
        let epoch =
            |epoch: Option<i32>| epoch.map_or_else(|| NOTHING.to_owned(), |e| e.to_string());
        let target_epoch = member.target_assignment.as_ref().and(group.assignment_epoch);
        let target = member
            .target_assignment
            .as_ref()
            .map_or_else(|| NOTHING.to_owned(), |all| assignment(all));
        out.line(line([
            &group.group_id,
            &member.member_id,
            member.instance_id.as_deref().unwrap_or(NOTHING),
            &member.host,
            &member.client_id,
            &member.assignment.len().to_string(),
            &epoch(member.member_epoch),
            &assignment(&member.assignment),
            &epoch(target_epoch),
            &target,
        ]))?;
    }
    Ok(())
}

/// `t:0,1 u:2`; `-` for nothing.
fn assignment(partitions: &[TopicPartition]) -> String {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for one in partitions {
        topics.entry(&one.topic).or_default().push(one.partition);
    }
    if topics.is_empty() {
        return NOTHING.to_owned();
    }
    let topics = topics.into_iter().map(|(topic, mut partitions)| {
        partitions.sort_unstable();
        let numbers: Vec<String> = partitions.iter().map(i32::to_string).collect();
        format!("{topic}:{}", numbers.join(","))
    });
    topics.collect::<Vec<_>>().join(";")
}

fn assigned_width(group: &GroupDescription) -> usize {
    let widths = group.members.iter().flat_map(|member| {
        let target = member.target_assignment.as_ref().map_or(0, |all| assignment(all).len());
        [assignment(&member.assignment).len(), target]
    });
    widths.max().unwrap_or(0).max(20)
}

/// What the group is doing.
pub(super) fn state(
    admin: &Admin,
    group: &GroupDescription,
    is_verbose: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    let metadata = admin.client().metadata();
    let coordinator = match group.coordinator {
        Some(id) => match metadata.brokers.get(&id) {
            Some(node) => format!("{}  ({id})", node.address),
            None => format!("({id})"),
        },
        None => NOTHING.to_owned(),
    };
    let coordinator_width = coordinator.len().max(25);
    let group_width = group.group_id.len().max(WIDTH_MIN);
    let line = |cells: [&str; 7]| {
        let [name, coordinator, strategy, state, group_epoch, target_epoch, count] = cells;
        let epochs = if is_verbose {
            format!(" {group_epoch:<15} {target_epoch:<25}")
        } else {
            String::new()
        };
        format!(
            "{name:<group_width$} {coordinator:<coordinator_width$} {strategy:<20} \
             {state:<20}{epochs} {count}"
        )
    };
    out.line(format!(
        "\n{}",
        line([
            "GROUP",
            "COORDINATOR (ID)",
            "ASSIGNMENT-STRATEGY",
            "STATE",
            "GROUP-EPOCH",
            "TARGET-ASSIGNMENT-EPOCH",
            "#MEMBERS",
        ])
    ))?;
    let epoch = |epoch: Option<i32>| epoch.map_or_else(|| NOTHING.to_owned(), |e| e.to_string());
    let assignor = if group.assignor.is_empty() { NOTHING } else { &group.assignor };
    out.line(line([
        &group.group_id,
        &coordinator,
        assignor,
        &group.state,
        &epoch(group.group_epoch),
        &epoch(group.assignment_epoch),
        &group.members.len().to_string(),
    ]))?;
    Ok(())
}
