//! `cargo xtask protocol …`: from Kafka's message definitions to our schema, and on to Rust.

mod generate;
mod import;

use afluente_protocol_schema::model::Definition;
use afluente_protocol_schema::parse::parse;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const USAGE: &str = "usage:
  cargo xtask protocol import SUPERSET BASELINE
      rewrites crates/protocol/schema from folders of Kafka's message definitions (*.json, looked
      for in all subfolders). SUPERSET: from the newest kafka-clients. BASELINE: from all jars of
      the release whose versions are offered to clients
  cargo xtask protocol generate
      rewrites the generated code of crates/protocol from the schema";

/// Runs the chore that `words` name.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["import", superset, baseline] => {
            let files = import::import(Path::new(superset), Path::new(baseline))?;
            replace(&schema_root(), files)?;
        }
        ["generate"] => write_generated(generate::generate(&read_schema()?)?)?,
        _ => bail!(USAGE),
    }
    Ok(true)
}

/// Files of one folder by their path in it.
type Files = BTreeMap<PathBuf, String>;

fn schema_root() -> PathBuf {
    protocol_root().join("schema")
}

fn protocol_root() -> PathBuf {
    crate::root().join("crates/protocol")
}

/// Every schema file, parsed, by the folder it is in and its name.
fn read_schema() -> Result<BTreeMap<PathBuf, Definition>> {
    let mut definitions = BTreeMap::new();
    for (path, text) in read_tree(&schema_root())? {
        let definition = parse(&text).with_context(|| format!("schema/{}", path.display()))?;
        definitions.insert(path, definition);
    }
    Ok(definitions)
}

/// Writes the generated code, and removes files in its folders that are no part of it any more.
fn write_generated(files: Files) -> Result<()> {
    let root = protocol_root().join("src");
    for path in generated_files_on_disk()?.into_keys().filter(|path| !files.contains_key(path)) {
        std::fs::remove_file(root.join(path))?;
    }
    write_changed(&root, files)
}

/// The files below `crates/protocol/src` that only the generator writes.
fn generated_files_on_disk() -> Result<Files> {
    let mut files = Files::new();
    for folder in generate::OWNED_FOLDERS {
        let below = read_tree(&protocol_root().join("src").join(folder))?;
        files.extend(below.into_iter().map(|(path, text)| (Path::new(folder).join(path), text)));
    }
    Ok(files)
}

/// Makes `root` hold exactly `files`.
fn replace(root: &Path, files: Files) -> Result<()> {
    for path in read_tree(root)?.into_keys().filter(|path| !files.contains_key(path)) {
        std::fs::remove_file(root.join(path))?;
    }
    write_changed(root, files)
}

/// Writes `files` below `root`, but for those that are right already: a build has less to do.
fn write_changed(root: &Path, files: Files) -> Result<()> {
    for (path, text) in files {
        let path = root.join(path);
        if std::fs::read_to_string(&path).ok().as_ref() == Some(&text) {
            continue;
        }
        std::fs::create_dir_all(path.parent().context("a file in a folder")?)?;
        std::fs::write(&path, text)
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}

fn read_tree(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("could not read {}", path.display()))?;
                files.insert(path.strip_prefix(root)?.to_owned(), text);
            }
        }
    }
    Ok(files)
}

/// `FetchRequest` as `fetch_request`.
fn snake_case(name: &str) -> String {
    // "KRaft" is one word.
    let name = name.replace("KRaft", "Kraft");
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (index, &letter) in letters.iter().enumerate() {
        let after_lower = index > 0 && !letters[index - 1].is_ascii_uppercase();
        let before_lower = letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && index > 0 && (after_lower || before_lower) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;
    use afluente_protocol_schema::print::print;

    #[test]
    fn the_committed_code_is_what_the_schema_gives() {
        let files = read_schema().and_then(|schema| generate::generate(&schema));
        let files = files.expect("the schema is good");
        let root = protocol_root().join("src");
        for (path, text) in &files {
            let committed = std::fs::read_to_string(root.join(path)).ok();
            let hint = "is stale: run `cargo xtask protocol generate`";
            assert!(committed.as_ref() == Some(text), "{} {hint}", path.display());
        }
        for path in generated_files_on_disk().expect("the folders can be read").into_keys() {
            assert!(files.contains_key(&path), "{} is a stray file", path.display());
        }
    }

    #[test]
    fn the_committed_schema_is_in_the_form_that_print_gives() {
        for (path, text) in read_tree(&schema_root()).expect("the folder can be read") {
            let definition = parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(print(&definition), text, "{}", path.display());
        }
    }

    #[test]
    fn snake_case_keeps_words_together() {
        for (name, snake) in [
            ("FetchRequest", "fetch_request"),
            ("KRaftVersionRecord", "kraft_version_record"),
            ("V3AndBelowTopics", "v3_and_below_topics"),
            ("ISR", "isr"),
            ("EndTxn", "end_txn"),
        ] {
            assert_eq!(snake_case(name), snake);
        }
    }
}
