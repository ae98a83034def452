//! Every text file: white space, unfinished work, and names that bind the tree to one machine.
//!
//! The strings that must not occur are put together from pieces, so that this file may stand
//! beside them.

use super::Finding;
use super::metadata::Metadata;
use super::tree::{Tree, is_generated};

/// Cargo writes the registry's address into it.
const WRITTEN_BY_CARGO: &str = "Cargo.lock";

/// Input for tests and fuzzers is what it is, and so is what a bundler writes.
const DATA_FOLDERS: &[&str] = &["testdata", "corpus", "vendor", "dist"];

/// Hosts of package registries: a build finds them through its client's configuration, which may
/// name a mirror.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("registry.npm", "js.org"),
    concat!("pypi", ".org"),
    concat!("repo1.", "maven.org"),
    concat!("repo.", "maven.apache.org"),
    concat!("proxy.go", "lang.org"),
    concat!("arti", "factory"),
];

/// Folders of one machine.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Words for what is not done: it is done, or it is an issue.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimple", "mented!")];

pub(crate) fn check(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        let is_data = path.split('/').any(|folder| DATA_FOLDERS.contains(&folder));
        if path.ends_with(WRITTEN_BY_CARGO) || is_data {
            continue;
        }
        for (number, line) in (1..).zip(text.split('\n')) {
            findings.extend(check_line(line).map(|message| Finding::line(path, number, message)));
        }
        if !text.is_empty() && !text.ends_with('\n') && !is_generated(text) {
            findings.push(Finding::file(path, "lacks the new line at its end"));
        }
    }
    findings
}

fn check_line(line: &str) -> impl Iterator<Item = String> {
    let mut messages = Vec::new();
    if line.ends_with('\r') {
        messages.push("ends its lines as DOS does".to_owned());
    } else if line.ends_with([' ', '\t']) {
        messages.push("trailing white space".to_owned());
    }
    for host in REGISTRY_HOSTS {
        if line.contains(host) {
            messages.push(format!(
                "names the registry {host}: leave that to the client's configuration"
            ));
        }
    }
    for path in MACHINE_PATHS {
        if starts_a_path(line, path) {
            messages.push(format!("names {path}, a folder of one machine"));
        }
    }
    for word in UNFINISHED {
        if is_a_word(line, word) {
            messages.push(format!("{word}: do it, or open an issue"));
        }
    }
    messages.into_iter()
}

/// Whether `path` stands in `line` as the beginning of a path, not as a part of a longer one.
fn starts_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-}~*".contains(before))
    })
}

fn is_a_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_passes() {
        for line in ["", "a sentence", "\tindented", "crates/log/network/x", "a method todo()"] {
            assert_eq!(check_line(line).count(), 0, "{line}");
        }
    }

    #[test]
    fn each_fault_is_found() {
        let mut lines = vec!["space ".to_owned(), "tab\t".to_owned(), "dos\r".to_owned()];
        lines.extend(REGISTRY_HOSTS.iter().map(|host| format!("https://{host}/x")));
        lines.extend(MACHINE_PATHS.iter().map(|path| format!("cd {path}x")));
        lines.extend(UNFINISHED.iter().map(|word| format!("// {word}: later")));
        for line in lines {
            assert_eq!(check_line(&line).count(), 1, "{line}");
        }
    }

    #[test]
    fn a_file_ends_with_a_new_line_and_data_is_left_alone() {
        let tree = Tree::of(&[("a.md", "text"), ("b.md", "text\n"), ("x/testdata/c", "text  ")]);
        let findings = check(&tree, &Metadata::default());
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "a.md");
    }
}
