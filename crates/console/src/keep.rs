//! What readers make and want to find again: dashboards and alert rules, in one small file.
//!
//! The file is written beside itself and renamed, so that a crash leaves the old one or the new
//! one. Without a path nothing outlives the process.

use crate::view::alerts::rule::StoredRule;
use crate::view::panels::panel::StoredDashboard;
use afluente_env::Env;
use afluente_env::disk::{Access, OpenHow, read_full_at, write_all_at};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// A file that is larger is none of ours.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The first version of the file.
const VERSION: u32 = 1;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    version: u32,
    dashboards: Vec<StoredDashboard>,
    rules: Vec<StoredRule>,
}

/// The file, and what is in it.
pub(crate) struct Keep {
    env: Env,
    path: Option<PathBuf>,
    kept: Mutex<Kept>,
}

impl Keep {
    pub(crate) fn open(env: &Env, path: Option<PathBuf>) -> Result<Self, (PathBuf, io::Error)> {
        let kept = match &path {
            Some(path) => read(env, path).map_err(|error| (path.clone(), error))?,
            None => Kept::default(),
        };
        Ok(Self { env: env.clone(), path, kept: Mutex::new(kept) })
    }

    pub(crate) fn dashboards(&self) -> Vec<StoredDashboard> {
        self.kept.lock().dashboards.clone()
    }

    pub(crate) fn rules(&self) -> Vec<StoredRule> {
        self.kept.lock().rules.clone()
    }

    pub(crate) fn keep_dashboards(&self, dashboards: Vec<StoredDashboard>) -> io::Result<()> {
        let mut kept = self.kept.lock();
        let next = Kept { version: VERSION, dashboards, rules: kept.rules.clone() };
        self.write(&next)?;
        *kept = next;
        Ok(())
    }

    pub(crate) fn keep_rules(&self, rules: Vec<StoredRule>) -> io::Result<()> {
        let mut kept = self.kept.lock();
        let next = Kept { version: VERSION, dashboards: kept.dashboards.clone(), rules };
        self.write(&next)?;
        *kept = next;
        Ok(())
    }

    fn write(&self, kept: &Kept) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let disk = &self.env.disk;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        disk.create_dir_all(folder)?;
        let beside = path.with_extension("new");
        let bytes = serde_json::to_vec_pretty(kept)?;
        let file = disk.open(&beside, OpenHow::buffered(Access::CreateOrWrite))?;
        file.set_len(0)?;
        write_all_at(&*file, &bytes, 0)?;
        file.sync_data()?;
        disk.rename(&beside, path)?;
        disk.sync_dir(folder)
    }
}

fn read(env: &Env, path: &Path) -> io::Result<Kept> {
    if env.disk.metadata(path)?.is_none() {
        return Ok(Kept::default());
    }
    let file = env.disk.open(path, OpenHow::buffered(Access::Read))?;
    let length = file.len()?;
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    if length > FILE_BYTES_MAX {
        return Err(invalid(format!("{length} bytes are too many")));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(|error| invalid(error.to_string()))?];
    read_full_at(&*file, &mut bytes, 0)?;
    let kept: Kept = serde_json::from_slice(&bytes)?;
    if kept.version > VERSION {
        return Err(invalid(format!("version {} is newer than this program", kept.version)));
    }
    Ok(kept)
}
