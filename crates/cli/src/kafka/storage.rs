//! `kafka-storage`: gives directories to a cluster before its first start, and shows whose they are.
//!
//! Afluente needs no format: a directory that nobody formatted gets an id at the first start. What
//! `format` writes is the cluster's id, so that scripts which choose one get it. Not there:
//! `--initial-controllers`, `--feature` and `--add-scram`.

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Tool};
use crate::serve::config_of_file;
use afluente_env::rng::Rng;
use afluente_protocol::numbers::NodeId;
use afluente_protocol::uuid::Uuid;
use afluente_storage::kafka_files::meta_properties::{META_PROPERTIES_FILE, MetaProperties};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

pub(super) const TOOL: Tool = Tool {
    name: "storage",
    about: "Give directories to a cluster (format), show whose they are (info), or make an id \
            (random-uuid).",
    specs: SPECS,
    run: Run::Local(run),
};

const SPECS: &[Spec] = &[
    value("config", "FILE", "With format, info: server.properties. Required."),
    value("c", "FILE", "As --config."),
    value("cluster-id", "ID", "With format: the cluster's id. Required."),
    value("t", "ID", "As --cluster-id."),
    flag("ignore-formatted", "With format: pass over directories that are formatted."),
    flag("g", "As --ignore-formatted."),
    flag("standalone", "With format: has no effect, a node is its own controller."),
    flag("s", "As --standalone."),
    flag("no-initial-controllers", "With format: has no effect."),
    flag("N", "As --no-initial-controllers."),
    value("release-version", "VERSION", "With format: has no effect, 4.3-IV0 it is."),
    value("r", "VERSION", "As --release-version."),
];

/// The level of `metadata.version`, as Kafka calls it.
const RELEASE: &str = "4.3-IV0";

fn run(options: Options, mut out: Out) -> Result<Out, Failure> {
    match options.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["random-uuid"] => {
            out.line(Uuid::from_random_bytes(Rng::real().uuid()).to_string())?;
            Ok(out)
        }
        ["info"] => info(&options, out),
        ["format"] => format(&options, out),
        [action @ ("version-mapping" | "feature-dependencies")] => {
            let told = format!("{action} is not there; `kafka-features describe` shows levels");
            Err(anyhow::anyhow!(told).into())
        }
        _ => Err(Failure::Usage("Say what to do: format, info or random-uuid".to_owned())),
    }
}

/// A value by its long or its short name.
fn either<'a>(options: &'a Options, long: &str, short: &str) -> Result<&'a str, Failure> {
    options
        .get(long)
        .or_else(|| options.get(short))
        .ok_or_else(|| Failure::Usage(format!("argument --{long}/-{short} is required")))
}

/// The directories of a configuration, and the node's id.
fn directories(options: &Options) -> Result<(Vec<PathBuf>, i32), Failure> {
    let settings = config_of_file(Path::new(either(options, "config", "c")?))?;
    let dirs = settings.log.dirs;
    if dirs.is_empty() {
        return Err(anyhow::anyhow!("log.dirs is not set in the configuration").into());
    }
    Ok((dirs, settings.node.id))
}

#[allow(clippy::disallowed_methods, reason = "looks at directories of the user, without a broker")]
fn identity(dir: &Path) -> anyhow::Result<Option<MetaProperties>> {
    let path = dir.join(META_PROPERTIES_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let found = MetaProperties::decode(&bytes);
            Ok(Some(found.with_context(|| format!("{} is damaged", path.display()))?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

#[allow(clippy::disallowed_methods, reason = "looks at directories of the user, without a broker")]
fn info(options: &Options, mut out: Out) -> Result<Out, Failure> {
    let (dirs, _) = directories(options)?;
    let mut found = None;
    let mut problems = Vec::new();
    let mut present = Vec::new();
    for dir in &dirs {
        if !dir.is_dir() {
            problems.push(format!("{} does not exist", dir.display()));
            continue;
        }
        present.push(dir.display().to_string());
        match identity(dir) {
            Ok(Some(properties)) => found = found.or(Some(properties)),
            Ok(None) => problems.push(format!("{} is not formatted.", dir.display())),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    for (singular, plural, list) in [
        ("Found log directory:", "Found log directories:", &present),
        ("Found problem:", "Found problems:", &problems),
    ] {
        if list.is_empty() {
            continue;
        }
        if std::ptr::eq(list, &problems) {
            tell_identity(&mut out, found.as_ref())?;
        }
        out.line(if list.len() == 1 { singular } else { plural })?;
        for item in list {
            out.line(format!("  {item}"))?;
        }
        out.line("")?;
    }
    if problems.is_empty() {
        tell_identity(&mut out, found.as_ref())?;
        return Ok(out);
    }
    Err(Failure::Ended(out))
}

fn tell_identity(out: &mut Out, found: Option<&MetaProperties>) -> std::io::Result<()> {
    let Some(found) = found else { return Ok(()) };
    let directory = found.directory_id.map(|id| format!("directory.id={id}, ")).unwrap_or_default();
    out.line(format!(
        "Found metadata: {{cluster.id={}, {directory}node.id={}, version=1}}\n",
        found.cluster_id, found.node_id
    ))
}

fn format(options: &Options, mut out: Out) -> Result<Out, Failure> {
    let cluster_id = either(options, "cluster-id", "t")?.to_owned();
    let (dirs, node_id) = directories(options)?;
    let passes_over = options.has("ignore-formatted") || options.has("g");
    let mut fresh = Vec::new();
    for dir in dirs {
        match identity(&dir)? {
            None => fresh.push(dir),
            Some(found) if passes_over => {
                if found.cluster_id != cluster_id {
                    return Err(anyhow::anyhow!(
                        "Cluster ID in {} is {}, but the --cluster-id is {cluster_id}",
                        dir.display(),
                        found.cluster_id
                    )
                    .into());
                }
            }
            Some(_) => {
                return Err(anyhow::anyhow!(
                    "Log directory {} is already formatted. Use --ignore-formatted to ignore this \
                     directory and format the others.",
                    dir.display()
                )
                .into());
            }
        }
    }
    if fresh.is_empty() {
        out.line("All of the log directories are already formatted.")?;
    }
    for dir in fresh {
        let directory_id = Uuid::from_random_bytes(Rng::real().uuid());
        let properties = MetaProperties {
            cluster_id: cluster_id.clone(),
            node_id: NodeId(node_id),
            directory_id: Some(directory_id),
        };
        write(&dir, &properties)?;
        out.line(format!(
            "Formatting metadata directory {} with metadata.version {RELEASE}.",
            dir.display()
        ))?;
    }
    Ok(out)
}

/// Under another name first, so that half a file is never found.
#[allow(
    clippy::disallowed_methods,
    reason = "writes into a directory of the user, without a broker"
)]
fn write(dir: &Path, properties: &MetaProperties) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)
        .with_context(|| format!("could not make the directory {}", dir.display()))?;
    let mut entries =
        std::fs::read_dir(dir).with_context(|| format!("could not list {}", dir.display()))?;
    if entries.any(|entry| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            name.to_string_lossy() != "lost+found"
        })
    }) {
        bail!("{} has files of somebody else in it; an empty directory is needed", dir.display());
    }
    let path = dir.join(META_PROPERTIES_FILE);
    let beside = dir.join(format!("{META_PROPERTIES_FILE}.tmp"));
    std::fs::write(&beside, properties.encode())
        .and_then(|()| std::fs::rename(&beside, &path))
        .with_context(|| format!("could not write {}", path.display()))
}
