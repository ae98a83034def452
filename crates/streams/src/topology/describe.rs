//! The text of a topology, letter for letter that of Kafka Streams' `Topology#describe()`.
//!
//! The order of nodes there is by how much hangs below them, and then by name; but neighbours are put into sorted sets
//! while these counts still grow, so the walk is repeated here step by step.

use super::java_order::{JavaTree, java_set_order};
use super::{NodeKind, NodeSpec, Topology};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write as _;

pub(super) fn describe(topology: &Topology) -> String {
    let mut text = String::from("Topologies:\n ");
    let mut groups: Vec<(usize, Vec<usize>)> =
        topology.node_groups().into_iter().enumerate().collect();
    let (global, ordinary): (Vec<_>, Vec<_>) =
        groups.drain(..).partition(|(_, group)| topology.is_global_group(group));
    // Java goes through both lists with one counter; whichever list ends first, the rest of the other follows.
    let (mut global, mut ordinary) =
        (global.into_iter().peekable(), ordinary.into_iter().peekable());
    let mut expected = 0;
    while let (Some((id, _)), Some(_)) = (ordinary.peek(), global.peek()) {
        text.push_str("  ");
        if *id == expected {
            let (id, group) = ordinary.next().expect("peeked");
            sub_topology(&mut text, topology, id, &group);
        } else {
            let (id, group) = global.next().expect("peeked");
            global_store(&mut text, topology, id, &group);
        }
        expected += 1;
    }
    for (id, group) in ordinary {
        text.push_str("  ");
        sub_topology(&mut text, topology, id, &group);
    }
    for (id, group) in global {
        text.push_str("  ");
        global_store(&mut text, topology, id, &group);
    }
    text
}

struct Described<'a> {
    spec: &'a NodeSpec,
    predecessors: JavaTree,
    successors: JavaTree,
    /// The node's places in `predecessors`, for the walk upwards.
    parents: Vec<usize>,
    size: usize,
}

fn sub_topology(text: &mut String, topology: &Topology, id: usize, group: &[usize]) {
    let names: Vec<String> = group.iter().map(|at| topology.nodes[*at].name.clone()).collect();
    // A set of names, and then a map by them: twice Java's order.
    let names = java_set_order(&java_set_order(&names));
    let mut nodes: Vec<Described<'_>> = names
        .iter()
        .map(|name| Described {
            spec: topology.node(name).expect("the name was taken from the topology"),
            predecessors: JavaTree::default(),
            successors: JavaTree::default(),
            parents: Vec::new(),
            size: 1,
        })
        .collect();
    let places: HashMap<&str, usize> =
        names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    for at in 0..nodes.len() {
        for parent in &nodes[at].spec.parents {
            let parent = places[parent.as_str()];
            insert(&mut nodes, at, parent, true);
            insert(&mut nodes, parent, at, false);
            nodes[at].parents.push(parent);
            let size = nodes[at].size;
            grow(&mut nodes, parent, size);
        }
    }
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by(|one, other| compare(&nodes, *one, *other));
    let _ = writeln!(text, "Sub-topology: {id}");
    for at in order {
        let _ = writeln!(text, "    {}", node_text(&nodes, at));
    }
    text.push('\n');
}

fn insert(nodes: &mut [Described<'_>], into: usize, item: usize, is_predecessor: bool) {
    let tree =
        if is_predecessor { &mut nodes[into].predecessors } else { &mut nodes[into].successors };
    let mut tree = std::mem::take(tree);
    tree.insert(item, |one, other| compare(nodes, one, other));
    if is_predecessor {
        nodes[into].predecessors = tree;
    } else {
        nodes[into].successors = tree;
    }
}

fn grow(nodes: &mut [Described<'_>], at: usize, by: usize) {
    nodes[at].size += by;
    for parent in nodes[at].parents.clone() {
        grow(nodes, parent, by);
    }
}

fn compare(nodes: &[Described<'_>], one: usize, other: usize) -> Ordering {
    nodes[other]
        .size
        .cmp(&nodes[one].size)
        .then_with(|| nodes[one].spec.name.cmp(&nodes[other].spec.name))
}

fn node_text(nodes: &[Described<'_>], at: usize) -> String {
    let node = &nodes[at];
    let name = &node.spec.name;
    let list = |tree: &JavaTree| {
        let names: Vec<&str> =
            tree.in_order().into_iter().map(|at| nodes[at].spec.name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let after = list(&node.successors);
    let before = list(&node.predecessors);
    match &node.spec.kind {
        NodeKind::Source { topics, pattern, .. } => {
            format!(
                "Source: {name} (topics: {})\n      --> {after}",
                topics_text(topics, pattern.as_deref())
            )
        }
        NodeKind::Processor { stores, .. } => {
            let stores = java_set_order(&java_set_order(stores)).join(", ");
            format!("Processor: {name} (stores: [{stores}])\n      --> {after}\n      <-- {before}")
        }
        NodeKind::Sink { topic: Some(topic), .. } => {
            format!("Sink: {name} (topic: {topic})\n      <-- {before}")
        }
        NodeKind::Sink { topic: None, .. } => {
            format!("Sink: {name} (extractor class: dynamic)\n      <-- {before}")
        }
    }
}

fn topics_text(topics: &[String], pattern: Option<&str>) -> String {
    pattern.map_or_else(|| format!("[{}]", java_set_order(topics).join(", ")), str::to_owned)
}

fn global_store(text: &mut String, topology: &Topology, id: usize, group: &[usize]) {
    let _ = writeln!(text, "Sub-topology: {id} for global store (will not generate tasks)");
    let find = |is_source: bool| {
        group
            .iter()
            .map(|at| &topology.nodes[*at])
            .find(|node| matches!(node.kind, NodeKind::Source { .. }) == is_source)
    };
    let (Some(source), Some(processor)) = (find(true), find(false)) else { return };
    if let (NodeKind::Source { topics, .. }, NodeKind::Processor { stores, .. }) =
        (&source.kind, &processor.kind)
    {
        let _ = writeln!(
            text,
            "    Source: {} (topics: {})\n      --> {}",
            source.name,
            topics_text(topics, None),
            processor.name
        );
        let _ = writeln!(
            text,
            "    Processor: {} (stores: [{}])\n      --> none\n      <-- {}",
            processor.name,
            stores.join(", "),
            source.name
        );
    }
}
