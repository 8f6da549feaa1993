//! The files that `--reload` watches: those that the workers report, the server's own, and those of directories.
//!
//! What a file was like is kept as its [`Stamp`], and a change is a stamp that differs. How the master hears that something
//! may have changed ([`notices`]) only decides when the stamps are looked at: so it does not matter how an editor saves.

mod notices;
mod pattern;
mod tree;

pub use pattern::Pattern;

use crate::development::Development;
use notices::{Notices, Plan};
use std::collections::{BTreeMap, HashSet};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tine_common::used_files::{Stamp, Use, UsedFile};
use tree::Tree;

/// The most files that workers have reported; those beyond are not watched.
const FILES_MAX: usize = 10_000;

pub struct Watching {
    files: BTreeMap<PathBuf, Watched>,
    /// The app writes them itself. As many as files, at most.
    written: HashSet<PathBuf>,
    tree: Tree,
    notices: Notices,
    /// The files are no longer those of the last plan.
    is_plan_old: bool,
    is_full: bool,
    here: PathBuf,
}

#[derive(Debug)]
struct Watched {
    stamp: Stamp,
    is_code: bool,
    /// Of the newest worker that has reported it; `None`: it is watched in any case.
    generation: Option<u64>,
}

impl Watching {
    pub fn new(development: &Development, now: Instant) -> Watching {
        let here = std::env::current_dir().unwrap_or_default();
        let absolute = |path: &PathBuf| here.join(path);
        let mut roots: Vec<PathBuf> = development.dirs.iter().map(absolute).collect();
        if roots.is_empty() && !development.include.is_empty() {
            roots.push(here.clone());
        }
        let own = development.files.iter().map(absolute).map(|path| {
            let stamp = Stamp::of(&path);
            (path, Watched { stamp, is_code: false, generation: None })
        });
        let notices = match development.polls {
            true => Ok(Notices::polling(now)),
            false => Notices::inotify(),
        };
        let mut watching = Watching {
            files: own.collect(),
            written: HashSet::new(),
            tree: Tree::new(roots, development.include.clone(), development.exclude.clone()),
            notices: notices.unwrap_or_else(|why| look_instead(&why, now)),
            is_plan_old: true,
            is_full: false,
            here,
        };
        if watching.tree.is_cut {
            log::warn!("--reload-dir: there are too many files to watch all of them; --reload-exclude leaves some out");
        }
        watching.follow(now);
        watching
    }

    /// To be polled for input.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.notices.descriptor()
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.notices.deadline()
    }

    /// A worker uses a file. True: it has changed since the worker looked at it. `generation` is the newest.
    pub fn note(&mut self, used: UsedFile, generation: u64) -> bool {
        let UsedFile { path, stamp, kind, .. } = used;
        if kind == Use::Written {
            if self.written.len() < FILES_MAX {
                // Its directory may remain watched until the next plan.
                self.files.remove(&path);
                self.written.insert(path);
            }
            return false;
        }
        let below = path.strip_prefix(&self.here).unwrap_or(&path);
        if self.written.contains(&path) || below.ancestors().any(|dir| self.tree.excludes(dir)) {
            return false;
        }
        let is_known = self.files.contains_key(&path);
        if !is_known && self.files.len() >= FILES_MAX {
            if !std::mem::replace(&mut self.is_full, true) {
                log::warn!("the app uses more than {FILES_MAX} files; changes of the others do not reload it");
            }
            return false;
        }
        self.is_plan_old |= !is_known;
        let now = Stamp::of(&path);
        // A worker that is leaving knows an older state.
        let has_changed = used.generation == generation && stamp != now;
        let watched =
            self.files.entry(path).or_insert(Watched { stamp: now, is_code: false, generation: Some(used.generation) });
        watched.is_code |= kind == Use::Code;
        watched.generation = watched.generation.map(|known| known.max(used.generation));
        if has_changed {
            watched.stamp = now;
        }
        has_changed
    }

    pub fn is_written(&self, path: &Path) -> bool {
        self.written.contains(path)
    }

    /// Whether something may have changed.
    pub fn is_stirred(&mut self, now: Instant) -> bool {
        let Watching { tree, notices, .. } = self;
        notices.take(|dir, name, is_dir| tree.is_about(dir, name, is_dir), now)
    }

    /// Whether files have come that have to be watched.
    pub fn is_plan_old(&self) -> bool {
        self.is_plan_old
    }

    /// Looks at all files; returns those that have changed since the last look. First of all, it watches what there is by
    /// now: what changes after the look is reported.
    pub fn look(&mut self, now: Instant) -> Vec<PathBuf> {
        self.follow(now);
        let mut changed: Vec<PathBuf> = Vec::new();
        for (path, watched) in &mut self.files {
            let stamp = Stamp::of(path);
            if stamp != watched.stamp {
                watched.stamp = stamp;
                changed.push(path.clone());
            }
        }
        let dirs = self.tree.dirs.clone();
        let mut in_tree = self.tree.scan();
        if self.tree.dirs != dirs {
            // What was created in a new directory before it was watched.
            self.follow(now);
            in_tree.extend(self.tree.scan());
        }
        changed.extend(in_tree.into_iter().filter(|path| !self.written.contains(path)));
        changed.sort();
        changed.dedup();
        changed
    }

    fn follow(&mut self, now: Instant) {
        self.is_plan_old = false;
        if self.notices.descriptor().is_none() {
            return;
        }
        let mut plan = Plan::default();
        self.files.keys().chain(&self.tree.roots).for_each(|path| plan.lead_to(path));
        self.tree.dirs.iter().for_each(|dir| plan.whole(dir));
        if let Err(why) = self.notices.follow(plan) {
            self.notices = look_instead(&why, now);
        }
    }

    /// The app was loaded anew: files that only earlier generations have used are forgotten.
    pub fn forget_before(&mut self, generation: u64) {
        self.files.retain(|_, watched| watched.generation.is_none_or(|used| used >= generation));
    }

    /// The files of code that exist.
    pub fn code(&self) -> Vec<PathBuf> {
        let code = self.files.iter().filter(|(_, file)| file.is_code && file.stamp != Stamp::Missing);
        code.map(|(path, _)| path.clone()).collect()
    }

    /// As a user would name it.
    pub fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.here).unwrap_or(path).display().to_string()
    }
}

fn look_instead(why: &str, now: Instant) -> Notices {
    log::warn!("--reload looks for changed files once a second: {why}");
    Notices::polling(now)
}
