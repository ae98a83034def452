//! The files that belong to the repository, read once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Path (with `/`, from the root) → content; `None` where it is not text.
#[derive(Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// What git tracks, and what it would track if it were added: a rule should speak before the
    /// commit, not after it.
    pub(crate) fn of_repository(root: &Path) -> Result<Self> {
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("could not start git")?;
        ensure!(
            listing.status.success(),
            "git ls-files failed in {}: {}",
            root.display(),
            String::from_utf8_lossy(&listing.stderr).trim()
        );
        let names = String::from_utf8(listing.stdout).context("a file name is not UTF-8")?;
        let mut files = BTreeMap::new();
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            let path = root.join(name);
            // Removed but not yet committed, or a submodule: not a file of ours.
            if !path.is_file() {
                continue;
            }
            let bytes = std::fs::read(&path)
                .with_context(|| format!("could not read {}", path.display()))?;
            let is_binary = bytes.iter().take(8_000).any(|&byte| byte == 0);
            files.insert(
                name.to_owned(),
                if is_binary { None } else { String::from_utf8(bytes).ok() },
            );
        }
        Ok(Self { files })
    }

    /// The text files, sorted by path.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, text)| text.as_deref().map(|text| (path.as_str(), text)))
    }

    /// The text files whose name ends in `suffix`.
    pub(crate) fn texts_ending(&self, suffix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.ends_with(suffix))
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).and_then(Option::as_deref)
    }

    /// Whether `path` is a file or a directory that holds one.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        if path.is_empty() || self.files.contains_key(path) {
            return true;
        }
        let directory = format!("{path}/");
        self.files
            .range(directory.clone()..)
            .next()
            .is_some_and(|(next, _)| next.starts_with(&directory))
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())));
        Self { files: files.collect() }
    }
}

/// Whether a program wrote the file: it says so with the usual word in one of its first lines.
pub(crate) fn is_generated(text: &str) -> bool {
    text.lines().take(5).any(|line| line.contains("@generated"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_exists_when_a_file_lies_in_it() {
        let tree = Tree::of(&[("docs/formats/README.md", ""), ("docs.md", "")]);
        for path in ["docs", "docs/", "docs/formats", "docs/formats/README.md", "docs.md", ""] {
            assert!(tree.exists(path), "{path}");
        }
        for path in ["doc", "docs/form", "docs/formats/README", "docs/formats/README.md/x"] {
            assert!(!tree.exists(path), "{path}");
        }
    }
}
