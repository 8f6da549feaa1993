//! How the master hears that a file may have changed: by inotify(7), or by looking once a second.
//!
//! Directories are watched rather than files, because most editors replace a file by another. Each directory on the way to a
//! file is watched for the next name on the way, links included. So it is noticed if a directory is renamed, a link is led
//! elsewhere, or what is missing is created. Events about other names are dropped here.

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

pub const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// As in the kernel.
const LINKS_MAX: usize = 40;
/// 4 KiB of events each.
const READS_MAX: usize = 256;

/// The directories to be watched.
#[derive(Default)]
pub struct Plan {
    dirs: HashMap<PathBuf, Place>,
}

#[derive(Default)]
struct Place {
    names: HashSet<OsString>,
    /// All of its names matter: it belongs to a tree.
    is_of_tree: bool,
    /// It has a file that is watched, rather than only leading to one.
    has_files: bool,
}

impl Plan {
    /// The directories on the way to an absolute path.
    pub fn lead_to(&mut self, path: &Path) {
        let mut dir = PathBuf::from("/");
        let mut rest: VecDeque<OsString> = names_of(path);
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                dir.pop();
                continue;
            }
            let place = self.dirs.entry(dir.clone()).or_default();
            place.names.insert(name.clone());
            place.has_files |= rest.is_empty();
            let next = dir.join(&name);
            match fs::symlink_metadata(&next) {
                // Once it is created it is noticed here.
                Err(_) => return,
                Ok(found) if found.is_symlink() => {
                    links += 1;
                    let Some(target) = fs::read_link(&next).ok().filter(|_| links <= LINKS_MAX) else { return };
                    if target.is_absolute() {
                        dir = PathBuf::from("/");
                    }
                    names_of(&target).into_iter().rev().for_each(|name| rest.push_front(name));
                }
                Ok(_) => dir = next,
            }
        }
    }

    pub fn whole(&mut self, dir: &Path) {
        self.dirs.entry(dir.to_path_buf()).or_default().is_of_tree = true;
    }
}

fn names_of(path: &Path) -> VecDeque<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

pub enum Notices {
    Inotify(Watches),
    Polling { next: Instant },
}

pub struct Watches {
    inotify: Inotify,
    plan: Plan,
    /// Of each directory. One that has several paths has the same watch for all.
    watches: HashMap<PathBuf, WatchDescriptor>,
}

impl Notices {
    pub fn polling(now: Instant) -> Notices {
        Notices::Polling { next: now + POLL_INTERVAL }
    }

    /// The error: why the files have to be looked at instead.
    pub fn inotify() -> Result<Notices, String> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|e| match e {
            Errno::EMFILE => {
                "the limit of inotify instances is reached (sysctl fs.inotify.max_user_instances)".to_string()
            }
            other => format!("inotify is not available: {other}"),
        })?;
        Ok(Notices::Inotify(Watches { inotify, plan: Plan::default(), watches: HashMap::new() }))
    }

    pub fn descriptor(&self) -> Option<RawFd> {
        match self {
            Notices::Inotify(watches) => Some(watches.inotify.as_fd().as_raw_fd()),
            Notices::Polling { .. } => None,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Notices::Inotify(_) => None,
            Notices::Polling { next } => Some(*next),
        }
    }

    /// Whether something may have changed since the last call. `is_of_tree` is asked about an entry of a tree.
    pub fn take(&mut self, is_of_tree: impl Fn(&Path, &OsStr, bool) -> bool, now: Instant) -> bool {
        match self {
            Notices::Inotify(watches) => watches.take(is_of_tree),
            Notices::Polling { next } if now >= *next => {
                *next = now + POLL_INTERVAL;
                true
            }
            Notices::Polling { .. } => false,
        }
    }

    /// Watches the directories of the plan, and no others. The error: why the files have to be looked at instead.
    pub fn follow(&mut self, plan: Plan) -> Result<(), String> {
        match self {
            Notices::Inotify(watches) => watches.follow(plan),
            Notices::Polling { .. } => Ok(()),
        }
    }
}

impl Watches {
    fn follow(&mut self, plan: Plan) -> Result<(), String> {
        let mask = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let mut watches = HashMap::new();
        for (dir, place) in &plan.dirs {
            // A directory that is watched already keeps its watch; another one of the same name gets its own.
            match self.inotify.add_watch(dir, mask) {
                Ok(watch) => _ = watches.insert(dir.clone(), watch),
                Err(Errno::ENOSPC) => {
                    return Err(
                        "the limit of inotify watches is reached (sysctl fs.inotify.max_user_watches)".to_string()
                    );
                }
                Err(e @ (Errno::EACCES | Errno::ENOMEM)) if place.has_files || place.is_of_tree => {
                    return Err(format!("{} cannot be watched: {}", dir.display(), e.desc()));
                }
                // It only leads to others; or it is gone by now, which the directory above it reports.
                Err(_) => {}
            }
        }
        let kept: HashSet<WatchDescriptor> = watches.values().copied().collect();
        for old in std::mem::replace(&mut self.watches, watches).into_values().filter(|old| !kept.contains(old)) {
            // The kernel has removed it already if the directory is gone.
            let _ = self.inotify.rm_watch(old);
        }
        self.plan = plan;
        Ok(())
    }

    fn take(&self, is_of_tree: impl Fn(&Path, &OsStr, bool) -> bool) -> bool {
        let mut is_stirred = false;
        for _ in 0..READS_MAX {
            match self.inotify.read_events() {
                Ok(events) => is_stirred |= events.iter().any(|event| self.is_about_us(event, &is_of_tree)),
                Err(Errno::EINTR) => {}
                Err(_) => break, // all events are read
            }
        }
        is_stirred
    }

    fn is_about_us(&self, event: &InotifyEvent, is_of_tree: &impl Fn(&Path, &OsStr, bool) -> bool) -> bool {
        // Of a directory itself, or of events that were lost.
        let Some(name) = &event.name else {
            // The watch of a directory that is no longer watched ends as well.
            return event.mask != AddWatchFlags::IN_IGNORED || self.watches.values().any(|watch| *watch == event.wd);
        };
        let is_dir = event.mask.contains(AddWatchFlags::IN_ISDIR);
        let dirs = self.watches.iter().filter(|(_, watch)| **watch == event.wd).map(|(dir, _)| dir);
        dirs.filter_map(|dir| Some((dir, self.plan.dirs.get(dir)?)))
            .any(|(dir, place)| place.names.contains(name) || place.is_of_tree && is_of_tree(dir, name, is_dir))
    }
}
