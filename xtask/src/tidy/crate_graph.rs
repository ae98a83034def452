//! Which crate may use which: the table of the house, held against what cargo says.
//!
//! A crate may use only crates from rows above its own, and of those only the ones named; `stdx`
//! is open to all. Where a crate needs another row, the table is the place to argue about it.

use super::Finding;
use super::metadata::{Dependency, Kind, Metadata, Package};
use super::tree::Tree;

struct Row {
    layer: u8,
    /// Folder `crates/<name>`, package `afluente-<name>`.
    name: &'static str,
    may_use: MayUse,
    /// Does no IO, reads no clock, spawns nothing: decisions come out as values.
    pure: bool,
}

#[derive(Clone, Copy)]
enum MayUse {
    Only(&'static [&'static str]),
    Anything,
}

use MayUse::{Anything, Only};

/// The layers, from the ground up. The last layer lies aside: no product crate may use its crates.
const ASIDE: u8 = u8::MAX;

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(0, "stdx", Only(&[])).pure(),
    row(1, "env", Only(&["stdx"])),
    // The schema language of Kafka's messages: for the code generator and for tests of `protocol`.
    row(1, "protocol-schema", Only(&[])).pure(),
    row(2, "protocol", Only(&["protocol-schema"])).pure(),
    row(2, "schema", Only(&["stdx"])).pure(),
    row(2, "auth", Only(&["protocol"])).pure(),
    row(2, "storage", Only(&["env", "protocol"])),
    row(2, "cluster", Only(&["protocol"])).pure(),
    row(2, "coordinator", Only(&["protocol"])).pure(),
    row(3, "broker", Only(&["env", "protocol", "auth", "storage", "cluster", "coordinator"])),
    row(3, "client", Only(&["env", "protocol", "auth"])),
    row(3, "httpd", Only(&["env", "auth"])),
    row(4, "streams", Only(&["client", "schema", "env"])),
    row(4, "registry", Only(&["client", "schema", "httpd", "env"])),
    row(4, "rest", Only(&["client", "schema", "httpd", "env"])),
    row(4, "connect", Only(&["client", "schema", "httpd", "env"])),
    row(5, "sql", Only(&["streams", "schema", "httpd"])),
    row(5, "flow", Only(&["streams", "connect", "httpd", "env"])),
    row(6, "console", Only(&["client", "httpd", "env", "protocol"])),
    // The demo is a user of the platform like any other, with Streams for its joins.
    row(6, "demo", Only(&["client", "protocol", "streams", "env"])),
    row(7, "cli", Anything),
    row(ASIDE, "sim", Anything),
    row(ASIDE, "bench", Anything),
    row(ASIDE, "harness", Anything),
];

/// The one crate aside that tests of all crates may use; it is no part of the product, so it does
/// not lie in `crates/`.
const TEST_HARNESS: &str = "harness";

/// Packages that reach the machine. A pure crate has no business with them.
const WORLDLY: &[&str] =
    &["getrandom", "libc", "mio", "nix", "rand", "rustix", "socket2", "tempfile", "tokio"];

/// Opaque errors are for the ends of the graph, where somebody reads them; a library has an enum.
const MAY_USE_ANYHOW: &[&str] = &["bench", "cli", "harness", "sim"];

pub(crate) fn check(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let mut findings = check_members(ROWS, &metadata.members);
    for member in &metadata.members {
        if let Some(manifest) = tree.text(&member.manifest_path) {
            findings.extend(check_manifest(&member.manifest_path, manifest));
        }
    }
    findings
}

fn check_members(rows: &[Row], members: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        if member.name == "xtask" {
            continue;
        }
        let at = member.manifest_path.as_str();
        let Some(name) = short_name(&member.name) else {
            findings.push(Finding::file(
                at,
                format!("package \"{}\" lacks the prefix afluente-", member.name),
            ));
            continue;
        };
        let folder = if name == TEST_HARNESS { "tests" } else { "crates" };
        if at != format!("{folder}/{name}/Cargo.toml") {
            findings.push(Finding::file(
                at,
                format!("package \"{}\" belongs in {folder}/{name}", member.name),
            ));
        }
        let Some(row) = rows.iter().find(|row| row.name == name) else {
            findings.push(Finding::file(
                at,
                format!(
                    "crate \"{name}\" has no row in the crate table (xtask/src/tidy/crate_graph.rs)"
                ),
            ));
            continue;
        };
        for dependency in &member.dependencies {
            findings.extend(
                check_dependency(rows, row, dependency).map(|message| Finding::file(at, message)),
            );
        }
    }
    findings
}

fn check_dependency(rows: &[Row], row: &Row, dependency: &Dependency) -> Option<String> {
    let is_shipped = dependency.kind != Some(Kind::Dev);
    let Some(used) = short_name(&dependency.name) else {
        let foreign = dependency.name.as_str();
        if row.pure && is_shipped && WORLDLY.contains(&foreign) {
            return Some(format!(
                "pure crate \"{}\" may not use {foreign}: take time and randomness as arguments, give decisions back as values",
                row.name
            ));
        }
        if foreign == "anyhow" && is_shipped && !MAY_USE_ANYHOW.contains(&row.name) {
            return Some(format!(
                "library crate \"{}\" may not use anyhow: it has one error enum",
                row.name
            ));
        }
        return None;
    };
    if used == TEST_HARNESS && !is_shipped {
        return None;
    }
    let is_aside = rows.iter().any(|other| other.name == used && other.layer == ASIDE);
    if is_aside && row.layer != ASIDE {
        return Some(format!("\"{}\" may not use \"{used}\", which lies aside", row.name));
    }
    match row.may_use {
        Anything => None,
        Only(names) if used == "stdx" || names.contains(&used) => None,
        Only(names) => {
            Some(format!("\"{}\" may not use \"{used}\", only stdx {}", row.name, names.join(" ")))
        }
    }
}

/// Lints and versions have one home, the root manifest.
fn check_manifest(path: &str, manifest: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !manifest.contains("[lints]\nworkspace = true") {
        findings.push(Finding::file(path, "lacks `[lints] workspace = true`"));
    }
    if !manifest.contains("\ndescription = \"") {
        findings.push(Finding::file(path, "lacks a description"));
    }
    let mut in_dependencies = false;
    for (number, line) in (1..).zip(manifest.lines()) {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies && line.contains('=') && !line.contains("workspace = true") {
            findings.push(Finding::line(
                path,
                number,
                "dependencies take their version from the root: `name.workspace = true`",
            ));
        }
    }
    findings
}

fn short_name(package: &str) -> Option<&str> {
    package.strip_prefix("afluente-")
}

const fn row(layer: u8, name: &'static str, may_use: MayUse) -> Row {
    Row { layer, name, may_use, pure: false }
}

impl Row {
    const fn pure(self) -> Self {
        Self { pure: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<Kind>)]) -> Package {
        let folder = name.trim_start_matches("afluente-");
        Package {
            name: name.to_owned(),
            manifest_path: format!("crates/{folder}/Cargo.toml"),
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: *kind })
                .collect(),
        }
    }

    fn check_one(package: Package) -> Vec<String> {
        check_members(ROWS, &[package]).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn the_table_is_in_order_and_names_only_rows_above() {
        for (index, row) in ROWS.iter().enumerate() {
            let above = &ROWS[..index];
            assert!(
                above.iter().all(|other| other.layer <= row.layer),
                "{} is out of order",
                row.name
            );
            assert!(above.iter().all(|other| other.name != row.name), "{} stands twice", row.name);
            if let Only(names) = row.may_use {
                for name in names {
                    assert!(above.iter().any(|other| other.name == *name), "{}: {name}", row.name);
                }
            }
        }
    }

    #[test]
    fn what_the_table_allows_passes() {
        let broker = package(
            "afluente-broker",
            &[
                ("afluente-storage", None),
                ("afluente-stdx", None),
                ("tokio", None),
                ("anyhow", Some(Kind::Dev)),
                ("afluente-harness", Some(Kind::Dev)),
            ],
        );
        assert_eq!(check_one(broker), [""; 0]);
    }

    #[test]
    fn what_the_table_forbids_is_found() {
        let cases = [
            (
                "broker and client never meet",
                package("afluente-broker", &[("afluente-client", None)]),
            ),
            ("nor in tests", package("afluente-broker", &[("afluente-client", Some(Kind::Dev))])),
            ("upwards", package("afluente-env", &[("afluente-storage", None)])),
            ("aside", package("afluente-cli", &[("afluente-sim", Some(Kind::Dev))])),
            ("the harness in the product", package("afluente-cli", &[("afluente-harness", None)])),
            ("not pure", package("afluente-coordinator", &[("tokio", None)])),
            ("opaque errors", package("afluente-storage", &[("anyhow", None)])),
            ("no row", package("afluente-attic", &[])),
            ("no prefix", package("attic", &[])),
            (
                "wrong folder",
                Package {
                    manifest_path: "storage/Cargo.toml".to_owned(),
                    ..package("afluente-storage", &[])
                },
            ),
        ];
        for (why, package) in cases {
            assert_eq!(check_one(package).len(), 1, "{why}");
        }
    }

    #[test]
    fn manifests_take_lints_and_versions_from_the_root() {
        let good = "[package]\nname = \"x\"\ndescription = \"y\"\n\n[lints]\nworkspace = true\n\n[dependencies]\nbytes.workspace = true\ntokio = { workspace = true, features = [\"rt\"] }\n";
        assert_eq!(check_manifest("Cargo.toml", good), []);
        let bad = good.replace("bytes.workspace = true", "bytes = \"1\"");
        assert_eq!(check_manifest("Cargo.toml", &bad)[0].line, Some(9));
        assert_eq!(check_manifest("Cargo.toml", "[package]\n").len(), 2);
    }
}
