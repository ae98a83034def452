//! The simulated file system without its mishaps: names, and files with their contents.

use super::contents::{Contents, WriteId};
use super::names::{Change, Name, Names, NodeId, ROOT};
use super::power_cut::PowerCut;
use super::{DirEntry, Metadata};
use crate::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

pub(super) struct Tree {
    names: Names,
    nodes: BTreeMap<NodeId, Node>,
    /// What has no live name any more, and may have a durable one or be open.
    unnamed: BTreeSet<NodeId>,
    locked: BTreeSet<NodeId>,
    node_count: NodeId,
    write_count: WriteId,
    used_pages: u64,
}

enum Node {
    Dir,
    File(FileNode),
}

#[derive(Default)]
struct FileNode {
    contents: Contents,
    modified_ns: i128,
    /// Of the last sync: a power cut may turn the time back.
    durable_modified_ns: i128,
    /// Open handles. A file without a name lives as long as somebody has it open.
    handles: u32,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            names: Names::default(),
            nodes: BTreeMap::from([(ROOT, Node::Dir)]),
            unnamed: BTreeSet::new(),
            locked: BTreeSet::new(),
            node_count: 1,
            write_count: 0,
            used_pages: 0,
        }
    }

    // --- what is there ---

    /// What `path` names; an error if it leads through a file.
    pub(super) fn lookup(&self, path: &Path) -> io::Result<Option<NodeId>> {
        let mut node = ROOT;
        for component in path.components() {
            let name = match component {
                Component::RootDir | Component::CurDir => continue,
                Component::Normal(name) => name,
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(ErrorKind::InvalidInput.into());
                }
            };
            if !self.is_dir(node) {
                return Err(ErrorKind::NotADirectory.into());
            }
            match self.names.get(node, name) {
                Some(found) => node = found,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        self.lookup(path)?.ok_or_else(|| ErrorKind::NotFound.into())
    }

    pub(super) fn find_dir(&self, path: &Path) -> io::Result<NodeId> {
        let node = self.find(path)?;
        if self.is_dir(node) { Ok(node) } else { Err(ErrorKind::NotADirectory.into()) }
    }

    pub(super) fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = self.find_dir(path)?;
        let entry = |(name, node): (&OsStr, NodeId)| DirEntry {
            name: name.to_string_lossy().into_owned(),
            path: path.join(name),
            is_dir: self.is_dir(node),
        };
        Ok(self.names.entries(dir).map(entry).collect())
    }

    pub(super) fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        let Some(node) = self.lookup(path)? else { return Ok(None) };
        Ok(Some(match &self.nodes[&node] {
            Node::Dir => Metadata { len: 0, is_dir: true, modified_ns: 0 },
            Node::File(file) => {
                Metadata { len: file.contents.len(), is_dir: false, modified_ns: file.modified_ns }
            }
        }))
    }

    /// All files that have a name, with their lengths, by path.
    pub(super) fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut open = vec![(ROOT, PathBuf::from("/"))];
        while let Some((dir, path)) = open.pop() {
            for (name, node) in self.names.entries(dir) {
                match &self.nodes[&node] {
                    Node::Dir => open.push((node, path.join(name))),
                    Node::File(file) => found.push((path.join(name), file.contents.len())),
                }
            }
        }
        found.sort();
        found
    }

    pub(super) fn used_pages(&self) -> u64 {
        self.used_pages
    }

    // --- files ---

    pub(super) fn open(&mut self, path: &Path) -> io::Result<NodeId> {
        let node = self.find(path)?;
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => file.handles += 1,
            _ => return Err(ErrorKind::IsADirectory.into()),
        }
        Ok(node)
    }

    pub(super) fn create_file(&mut self, path: &Path, now_ns: i128) -> io::Result<NodeId> {
        let name = self.name_of(path)?;
        let file = FileNode { modified_ns: now_ns, handles: 1, ..FileNode::default() };
        Ok(self.create(name, Node::File(file)))
    }

    pub(super) fn close(&mut self, node: NodeId) {
        let file = self.file_node(node);
        file.handles -= 1;
        if file.handles == 0 && self.unnamed.contains(&node) {
            self.give_room_back(node);
            self.free_unnamed();
        }
    }

    pub(super) fn file(&mut self, node: NodeId) -> &mut Contents {
        &mut self.file_node(node).contents
    }

    /// Turns one bit over, in the cache and on the medium.
    pub(super) fn flip_bit(&mut self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let node = self.find(path)?;
        if self.is_dir(node) {
            return Err(ErrorKind::IsADirectory.into());
        }
        let contents = self.file(node);
        if offset >= contents.len() || bit > 7 {
            return Err(ErrorKind::InvalidInput.into());
        }
        contents.flip_bit(offset, bit);
        // There may have been a hole.
        self.count_pages();
        Ok(())
    }

    pub(super) fn write(&mut self, node: NodeId, bytes: &[u8], offset: u64, now_ns: i128) {
        self.change_file(node, now_ns, |contents, write| contents.write(write, bytes, offset));
    }

    pub(super) fn set_len(&mut self, node: NodeId, len: u64, now_ns: i128) {
        self.change_file(node, now_ns, |contents, write| contents.set_len(write, len));
    }

    fn change_file(
        &mut self,
        node: NodeId,
        now_ns: i128,
        change: impl FnOnce(&mut Contents, WriteId),
    ) {
        self.write_count += 1;
        let write = self.write_count;
        let file = self.file_node(node);
        let before = file.contents.page_count();
        change(&mut file.contents, write);
        file.modified_ns = now_ns;
        let after = file.contents.page_count();
        self.used_pages = self.used_pages + after - before;
    }

    // --- names ---

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut so_far = PathBuf::new();
        for component in path.components() {
            so_far.push(component);
            match self.lookup(&so_far)? {
                Some(node) if self.is_dir(node) => {}
                // What `mkdir` says of the last component, and `open` of one on the way.
                Some(_) if so_far == path => return Err(ErrorKind::AlreadyExists.into()),
                Some(_) => return Err(ErrorKind::NotADirectory.into()),
                None => {
                    let name = self.name_of(&so_far)?;
                    self.create(name, Node::Dir);
                }
            }
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let (from_name, to_name) = (self.name_of(from)?, self.name_of(to)?);
        let moves_dir = self.is_dir(node);
        if moves_dir && to.starts_with(from) && to != from {
            return Err(ErrorKind::InvalidInput.into());
        }
        match self.lookup(to)? {
            Some(there) if there == node => return Ok(()),
            Some(there) => match (moves_dir, self.is_dir(there)) {
                (false, true) if from.starts_with(to) => {
                    return Err(ErrorKind::DirectoryNotEmpty.into());
                }
                (false, true) => return Err(ErrorKind::IsADirectory.into()),
                (true, false) => return Err(ErrorKind::NotADirectory.into()),
                (true, true) if self.names.entries(there).next().is_some() => {
                    return Err(ErrorKind::DirectoryNotEmpty.into());
                }
                _ => self.lose_name(there),
            },
            None => {}
        }
        let sets = vec![(from_name, None), (to_name, Some(node))];
        self.names.change(Change { sets, moves_dir, given_up: false });
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        if self.is_dir(node) {
            return Err(ErrorKind::IsADirectory.into());
        }
        self.remove(path)
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.find_dir(path)?;
        if self.names.entries(dir).next().is_some() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        self.remove(path)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let name = self.name_of(path)?;
        self.lose_name(self.find(path)?);
        self.names.change(Change::remove(name));
        Ok(())
    }

    // --- locks ---

    pub(super) fn lock(&mut self, path: &Path, now_ns: i128) -> io::Result<NodeId> {
        let node = match self.lookup(path)? {
            Some(_) => self.open(path)?,
            None => self.create_file(path, now_ns)?,
        };
        if !self.locked.insert(node) {
            self.close(node);
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(node)
    }

    pub(super) fn unlock(&mut self, node: NodeId) {
        self.locked.remove(&node);
        self.close(node);
    }

    // --- durability ---

    pub(super) fn sync_file(&mut self, node: NodeId) {
        let file = self.file_node(node);
        file.contents.sync();
        file.durable_modified_ns = file.modified_ns;
    }

    pub(super) fn sync_dir(&mut self, dir: NodeId) {
        self.names.sync_dir(dir);
        self.free_unnamed();
    }

    pub(super) fn sync(&mut self) {
        self.names.sync();
        let files: Vec<NodeId> = self.file_ids().collect();
        for node in files {
            self.sync_file(node);
        }
        self.free_unnamed();
    }

    /// A failed sync of one file or directory, or of everything.
    pub(super) fn give_up(&mut self, node: Option<NodeId>) {
        match node {
            Some(node) if self.is_dir(node) => self.names.give_up(Some(node)),
            Some(node) => self.file(node).give_up(),
            None => {
                self.names.give_up(None);
                let files: Vec<NodeId> = self.file_ids().collect();
                for node in files {
                    self.file(node).give_up();
                }
            }
        }
    }

    pub(super) fn cut_power(&mut self, rng: &Rng) {
        let mut cut = PowerCut::new(rng);
        self.names.cut_power(&cut);
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                file.handles = 0;
                file.contents.cut_power(&mut cut);
                if cut.coin() {
                    file.modified_ns = file.durable_modified_ns;
                }
                file.durable_modified_ns = file.modified_ns;
            }
        }
        self.locked.clear();
        self.free_all_unnamed();
    }

    pub(super) fn kill(&mut self, rng: &Rng) {
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                file.handles = 0;
                file.contents.drop_given_up_pages(|| rng.chance(0.5));
            }
        }
        self.locked.clear();
        self.free_unnamed();
        self.count_pages();
    }

    // --- inside ---

    fn is_dir(&self, node: NodeId) -> bool {
        matches!(self.nodes[&node], Node::Dir)
    }

    fn file_node(&mut self, node: NodeId) -> &mut FileNode {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => file,
            _ => panic!("node {node} is no file"),
        }
    }

    fn file_ids(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().filter(|(_, node)| matches!(node, Node::File(_))).map(|(&id, _)| id)
    }

    /// The directory and last component of a path; an error if the directory is not there.
    fn name_of(&self, path: &Path) -> io::Result<Name> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        Ok((self.find_dir(parent)?, OsString::from(name)))
    }

    fn create(&mut self, name: Name, node: Node) -> NodeId {
        let id = self.node_count;
        self.node_count += 1;
        self.nodes.insert(id, node);
        self.names.change(Change::create(name, id));
        id
    }

    fn lose_name(&mut self, node: NodeId) {
        self.unnamed.insert(node);
        if !self.is_dir(node) && self.file_node(node).handles == 0 {
            self.give_room_back(node);
        }
    }

    /// The room of a file that lost its name is free when it is closed, though the file may come
    /// back from a power cut: a real file system frees it some seconds later.
    fn give_room_back(&mut self, node: NodeId) {
        self.used_pages -= self.file(node).page_count();
    }

    /// Drops what lost its name and cannot get it back by a power cut, unless it is open.
    fn free_unnamed(&mut self) {
        if self.unnamed.is_empty() {
            return;
        }
        let named = self.names.nodes();
        for id in std::mem::take(&mut self.unnamed) {
            match &self.nodes[&id] {
                Node::File(file) if file.handles > 0 => self.unnamed.insert(id),
                _ if named.contains(&id) => self.unnamed.insert(id),
                _ => self.nodes.remove(&id).is_some(),
            };
        }
    }

    /// After a power cut: what is there now is what has a name now.
    fn free_all_unnamed(&mut self) {
        let named = self.names.nodes();
        self.nodes.retain(|id, _| named.contains(id));
        self.unnamed.clear();
        self.count_pages();
    }

    fn count_pages(&mut self) {
        let pages = |(id, node): (&NodeId, &Node)| match node {
            Node::File(file) if file.handles > 0 || !self.unnamed.contains(id) => {
                file.contents.page_count()
            }
            _ => 0,
        };
        self.used_pages = self.nodes.iter().map(pages).sum();
    }
}
