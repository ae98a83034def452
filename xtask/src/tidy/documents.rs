//! Markdown: links lead somewhere, named paths exist, the change log is open for the next change.

use std::collections::BTreeSet;

use super::Finding;
use super::metadata::Metadata;
use super::tree::Tree;

/// Documents that walk the reader through the tree. A path they name in backquotes must be there;
/// a path with a placeholder (`crates/<name>`) is a pattern.
const GUIDES: &[&str] = &["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "docs/"];

/// Folders whose README lists every document beside it.
const LISTED: &[&str] = &["docs/formats/", "docs/recipes/"];

const MAP: &str = "ARCHITECTURE.md";

const CHANGELOG: &str = "CHANGELOG.md";

pub(crate) fn check(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts_ending(".md") {
        let is_guide = GUIDES.iter().any(|guide| path.starts_with(guide));
        for (number, line) in prose(text) {
            for target in link_targets(line) {
                findings.extend(
                    check_link(tree, path, target)
                        .map(|message| Finding::line(path, number, message)),
                );
            }
            if is_guide {
                for name in named_paths(tree, line).filter(|name| !tree.exists(name)) {
                    findings.push(Finding::line(path, number, format!("there is no `{name}`")));
                }
            }
        }
    }
    findings.extend(LISTED.iter().flat_map(|folder| unlisted(tree, folder)));
    findings.extend(unmapped(tree.text(MAP).unwrap_or_default(), metadata));
    match tree.text(CHANGELOG) {
        Some(text) if text.lines().any(|line| line == "## [Unreleased]") => {}
        _ => findings.push(Finding::file(CHANGELOG, "needs a section `## [Unreleased]`")),
    }
    findings
}

/// The crates that the map of the code leaves out, or calls planned although they are there.
fn unmapped(map: &str, metadata: &Metadata) -> Vec<Finding> {
    let crates =
        metadata.members.iter().filter(|member| member.manifest_path.starts_with("crates/"));
    crates
        .filter_map(|member| {
            let name = member.name.trim_start_matches("afluente-");
            if !map.contains(&format!("`{name}`")) {
                Some(Finding::file(MAP, format!("the map of the code lacks `{name}`")))
            } else if map.contains(&format!("`{name}` *planned*")) {
                Some(Finding::file(MAP, format!("`{name}` is there, and no longer planned")))
            } else {
                None
            }
        })
        .collect()
}

/// The documents in `folder` to which its README has no link.
fn unlisted(tree: &Tree, folder: &str) -> Vec<Finding> {
    let readme = format!("{folder}README.md");
    let listed: BTreeSet<String> = prose(tree.text(&readme).unwrap_or_default())
        .flat_map(|(_, line)| link_targets(line))
        .map(|target| resolve(&readme, target))
        .collect();
    tree.texts_ending(".md")
        .map(|(path, _)| path)
        .filter(|path| path.starts_with(folder) && *path != readme && !listed.contains(*path))
        .map(|path| Finding::file(path, format!("{readme} does not list it")))
        .collect()
}

/// The lines outside of fenced code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// What follows `](` up to the closing parenthesis.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// What is wrong with a link. Only links within the repository are looked at.
fn check_link(tree: &Tree, from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { from.to_owned() } else { resolve(from, file) };
    if !tree.exists(&path) {
        return Some(format!("the link {target} leads nowhere: there is no {path}"));
    }
    let text = tree.text(&path)?;
    let is_missing = !anchor.is_empty() && !anchors(text).contains(anchor);
    is_missing.then(|| format!("the link {target} leads nowhere: {path} has no such heading"))
}

/// `relative` as seen from the folder of the file `from`.
fn resolve(from: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors of a document's headings: lower case, words joined by hyphens, the rest left out.
fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter_map(|(_, line)| line.strip_prefix('#'))
        .map(|heading| {
            let title = heading.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|&c| c.is_alphanumeric() || " -_".contains(c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// What stands in backquotes and begins with a folder of the tree: `crates/…`, `docs/…`.
fn named_paths<'a>(tree: &Tree, line: &'a str) -> impl Iterator<Item = &'a str> {
    line.split('`').skip(1).step_by(2).filter(|quoted| {
        let is_path = quoted.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
        is_path
            && quoted.split_once('/').is_some_and(|(top, _)| !top.is_empty() && tree.exists(top))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::metadata::Package;

    fn check_files(files: &[(&str, &str)]) -> Vec<String> {
        let mut files = files.to_vec();
        if files.iter().all(|(path, _)| *path != CHANGELOG) {
            files.push((CHANGELOG, "## [Unreleased]\n"));
        }
        let findings = check(&Tree::of(&files), &Metadata::default());
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_and_paths_that_lead_somewhere_pass() {
        let found = check_files(&[
            (
                "README.md",
                "[a](docs/a.md#two-words-and-x) [self](#top) [out](https://example.org/x)\n# Top\n",
            ),
            (
                "docs/a.md",
                "`docs/a.md` `docs/<name>.md` `storage/log` [up](../README.md)\n## Two words, and `x`\n",
            ),
            ("docs/b.md", "```\n[not](a/link)\n```\n"),
            ("docs/recipes/README.md", "* [x](add-x.md)\n"),
            ("docs/recipes/add-x.md", "# Add an x\n"),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn the_map_shows_every_crate_as_it_is() {
        let package = |name: &str| Package {
            name: format!("afluente-{name}"),
            manifest_path: format!("crates/{name}/Cargo.toml"),
            dependencies: Vec::new(),
        };
        let metadata = Metadata { members: ["env", "auth", "sim"].map(package).to_vec() };
        assert_eq!(unmapped("`env` `auth` `sim`, `schema` *planned*", &metadata), []);
        let messages: Vec<String> = unmapped("| `env` | `auth` *planned* |", &metadata)
            .into_iter()
            .map(|finding| finding.message)
            .collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
    }

    #[test]
    fn each_fault_is_found() {
        for text in [
            "[a](docs/gone.md)\n",
            "[a](../gone.md)\n",
            "[a](#gone)\n",
            "[a](b.md#gone)\n",
            "see `docs/recipes/gone.md`\n",
        ] {
            let found = check_files(&[("docs/a.md", text), ("docs/b.md", "# B\n")]);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
        }
        assert_eq!(check_files(&[(CHANGELOG, "## [0.1.0]\n")]).len(), 1);
        assert_eq!(check_files(&[("docs/recipes/add-x.md", "# Add an x\n")]).len(), 1);
    }
}
