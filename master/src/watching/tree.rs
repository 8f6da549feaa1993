//! The files below the directories of `--reload-dir`, or below the current one with `--reload-include` alone.
//!
//! Left out are hidden names, copies that editors make, `node_modules`, and links to directories, which could lead round in
//! circles.

use super::pattern::Pattern;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tine_common::used_files::Stamp;

/// Files and directories that are looked at; beyond it a tree is not complete.
const ENTRIES_MAX: usize = 20_000;
const DEPTH_MAX: usize = 64;

pub struct Tree {
    pub roots: Vec<PathBuf>,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    /// As of the last scan.
    pub files: BTreeMap<PathBuf, Stamp>,
    pub dirs: Vec<PathBuf>,
    /// There are more than [`ENTRIES_MAX`].
    pub is_cut: bool,
}

impl Tree {
    pub fn new(roots: Vec<PathBuf>, include: Vec<Pattern>, exclude: Vec<Pattern>) -> Tree {
        let mut tree = Tree { roots, include, exclude, files: BTreeMap::new(), dirs: Vec::new(), is_cut: false };
        tree.scan();
        tree
    }

    /// Looks at all files; returns those that have changed, are new or are gone.
    pub fn scan(&mut self) -> Vec<PathBuf> {
        if self.roots.is_empty() {
            return Vec::new();
        }
        let (mut files, mut dirs, mut budget) = (BTreeMap::new(), Vec::new(), ENTRIES_MAX);
        for root in &self.roots {
            self.descend(root, root, 0, &mut budget, &mut files, &mut dirs);
        }
        self.is_cut = budget == 0;
        self.dirs = dirs;
        let before = std::mem::replace(&mut self.files, files);
        let new = self.files.iter().filter(|(path, stamp)| before.get(*path) != Some(stamp)).map(|(path, _)| path);
        let gone = before.keys().filter(|path| !self.files.contains_key(*path));
        new.chain(gone).cloned().collect()
    }

    fn descend(
        &self,
        root: &Path,
        dir: &Path,
        depth: usize,
        budget: &mut usize,
        files: &mut BTreeMap<PathBuf, Stamp>,
        dirs: &mut Vec<PathBuf>,
    ) {
        dirs.push(dir.to_path_buf());
        // A directory that is gone or shut has no files.
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if *budget == 0 {
                return;
            }
            *budget -= 1;
            let path = entry.path();
            let below = path.strip_prefix(root).unwrap_or(&path);
            if self.leaves_out(below, &entry.file_name()) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => {
                    self.descend(root, &path, depth + 1, budget, files, dirs);
                }
                Ok(kind) if !kind.is_dir() && self.includes(below) && !path.is_dir() => {
                    let stamp = Stamp::of(&path);
                    files.insert(path, stamp);
                }
                _ => {}
            }
        }
    }

    fn leaves_out(&self, below: &Path, name: &OsStr) -> bool {
        is_never_watched(name) || self.excludes(below)
    }

    fn includes(&self, below: &Path) -> bool {
        self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(below))
    }

    pub fn excludes(&self, below: &Path) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(below))
    }

    /// Whether a new entry of one of the directories may matter: `is_dir` says that it is a directory.
    pub fn is_about(&self, dir: &Path, name: &OsStr, is_dir: bool) -> bool {
        let path = dir.join(name);
        let below = self.roots.iter().find_map(|root| path.strip_prefix(root).ok()).unwrap_or(&path);
        !self.leaves_out(below, name) && (is_dir || self.includes(below))
    }
}

/// Hidden names, among them vim's swap files and Emacs's locks; copies of editors; what package managers fill.
fn is_never_watched(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".") || name.ends_with(b"~") || name.starts_with(b"#") || name == b"node_modules"
}
