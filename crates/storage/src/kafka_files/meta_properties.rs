//! `meta.properties`: which cluster, node and directory a log directory belongs to, so that no
//! broker starts on the data of another.
//!
//! A Java properties file:
//!
//! ```text
//! #
//! #Sat Nov 21 08:00:00 UTC 2026
//! cluster.id=LTPVBJKTQz63bZ_A5WFXFA
//! directory.id=1FS0BWWLHJoQ3xsYPrUM3Q
//! node.id=1
//! version=1
//! ```

use super::text::{Line, TextError};
use afluente_protocol::numbers::NodeId;
use afluente_protocol::uuid::Uuid;

/// The name of the file in a log directory.
pub const META_PROPERTIES_FILE: &str = "meta.properties";

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster's id: any text, by custom a UUID.
    pub cluster_id: String,
    /// The node's id.
    pub node_id: NodeId,
    /// The directory's own id (KIP-858); older ones have none.
    pub directory_id: Option<Uuid>,
}

impl MetaProperties {
    /// The bytes of the file. Without a date: it would say nothing that the file system does not.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut lines = vec![format!("cluster.id={}", escaped(&self.cluster_id))];
        lines.extend(self.directory_id.map(|id| format!("directory.id={id}")));
        lines.push(format!("node.id={}", self.node_id));
        lines.push("version=1\n".to_owned());
        lines.join("\n").into_bytes()
    }

    /// Reads the bytes of the file. Keys that are not known are passed over, as Kafka does.
    ///
    /// # Errors
    /// The line that is not what the format asks for; a key that is missing is looked for behind
    /// the last line.
    pub fn decode(bytes: &[u8]) -> Result<Self, TextError> {
        let text = String::from_utf8_lossy(bytes);
        let end = Line { number: text.lines().count() + 1, text: "" };
        let mut found: [Option<(String, Line<'_>)>; 4] = [const { None }; 4];
        const KEYS: [&str; 4] = ["version", "cluster.id", "node.id", "directory.id"];
        for (at, text) in text.lines().enumerate() {
            let line = Line { number: at + 1, text };
            let Some((key, value)) = split(text) else { continue };
            if let Some(at) = KEYS.iter().position(|known| *known == key)
                && found[at].replace((value, line)).is_some()
            {
                return Err(line.not(format!("{key} only once")));
            }
        }
        let missing = |key: &str| end.not(format!("{key}=, which is missing"));
        let [version, cluster_id, node_id, directory_id] = found;
        let (version, line) = version.ok_or_else(|| missing("version"))?;
        if version != "1" {
            let expected = "version=1; a directory of version 0 is that of a ZooKeeper cluster, \
                            which Kafka 3.9 migrates";
            return Err(line.not(expected.to_owned()));
        }
        let (cluster_id, line) = cluster_id.ok_or_else(|| missing("cluster.id"))?;
        if cluster_id.is_empty() {
            return Err(line.not("the cluster's id".to_owned()));
        }
        let (node_id, line) = node_id.ok_or_else(|| missing("node.id"))?;
        let node_id = NodeId(line.number(&node_id, "node.id", 0)?);
        let directory_id = directory_id.map(|(text, line)| {
            text.parse().map_err(|_| line.not("22 characters of base64".to_owned()))
        });
        Ok(Self { cluster_id, node_id, directory_id: directory_id.transpose()? })
    }
}

/// Key and value of a line of a properties file; `None` for a comment or an empty line.
fn split(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', '!']) {
        return None;
    }
    let mut key = String::new();
    let mut rest = line.chars();
    loop {
        match rest.next() {
            Some('\\') => key.extend(rest.next()),
            None | Some('=' | ':' | ' ' | '\t') => break,
            Some(other) => key.push(other),
        }
    }
    let value = rest.as_str().trim_start().trim_start_matches(['=', ':']).trim_start();
    Some((key, unescaped(value)))
}

/// What Java puts a backslash before in a value.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '=' | ':' | '#' | '!') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character == '\\' { plain.extend(rest.next()) } else { plain.push(character) }
    }
    plain
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn kafkas_own_file_is_read() {
        let text = "#\n#Sat Nov 21 08:00:00 UTC 2026\nnode.id=3\ndirectory.id=1FS0BWWLHJoQ3xsYPrUM3Q\n\
                    version=1\ncluster.id=LTPVBJKTQz63bZ_A5WFXFA\nlater.key=x\n";
        let expected = MetaProperties {
            cluster_id: "LTPVBJKTQz63bZ_A5WFXFA".to_owned(),
            node_id: NodeId(3),
            directory_id: Some("1FS0BWWLHJoQ3xsYPrUM3Q".parse().unwrap()),
        };
        assert_eq!(MetaProperties::decode(text.as_bytes()), Ok(expected));
    }

    #[test]
    fn a_file_gives_back_what_was_written() {
        for (cluster_id, directory_id) in [("a=b:c\\#d!", None), ("x", Some(Uuid([9; 16])))] {
            let cluster_id = cluster_id.to_owned();
            let meta = MetaProperties { cluster_id, node_id: NodeId(0), directory_id };
            let file = meta.encode();
            assert_eq!(MetaProperties::decode(&file), Ok(meta.clone()));
            // Without its last line, or a part of it, it is not taken for whole.
            for cut in 0..file.len() - 1 {
                assert!(MetaProperties::decode(&file[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "line 1: found \"\", expected version=, which is missing"),
            (
                "version=1\nnode.id=1\n",
                "line 3: found \"\", expected cluster.id=, which is missing",
            ),
            (
                "version=1\ncluster.id=x\nnode.id=one\n",
                "line 3: found \"node.id=one\", expected node.id of at least 0",
            ),
            ("version=1\nversion=1\n", "line 2: found \"version=1\", expected version only once"),
            (
                "version=1\ncluster.id=x\nnode.id=1\ndirectory.id=y\n",
                "line 4: found \"directory.id=y\", expected 22 characters of base64",
            ),
        ] {
            assert_eq!(MetaProperties::decode(text.as_bytes()).unwrap_err().to_string(), expected);
        }
        let error = MetaProperties::decode(b"version=0\nbroker.id=1\n").unwrap_err();
        assert!(error.to_string().contains("ZooKeeper"), "{error}");
    }
}
