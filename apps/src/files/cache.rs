//! The files that were asked for a moment ago, as they were opened: between [`Files`](super::Files) and [`Root::find`].
//!
//! An entry is valid for `validity` after its file was opened, so whatever happens to a path is seen by then. A small file
//! is kept as its bytes, a large one as its descriptor, of which the metadata are compared at each request
//! ([`Representation::is_current`]). An entry also knows which precompressed siblings its file has. Paths without a file
//! are never kept: clients could make up any number of them.
//!
//! Invariants: whatever is kept is in `order`, oldest first; `held` is the sum of what the entries hold; nothing is kept
//! for longer than its validity and the second until [`Cache::expire`] is called again.

use super::coding::{CODINGS, Coding};
use super::content_type::content_type;
use super::representation::Representation;
use super::root::{NotFound, Root};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ops::{AddAssign, SubAssign};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use tine_common::sys::process;

/// Enough for the pages, styles and scripts of a site that are asked for within a second; at about 500 bytes each without
/// the contents, half a megabyte.
const ENTRIES_MAX: usize = 1024;

/// The contents of all small files, of each worker: 4 KiB for each entry.
const CONTENT_BYTES_MAX: usize = 4 << 20;

/// A large file costs more to send than to open, so few are worth a descriptor.
const DESCRIPTORS_MAX: usize = 128;

/// No more than a 32nd of the worker's descriptors: of 1024, half of those that are never used for clients.
const SHARE_OF_DESCRIPTORS: u64 = 32;

/// The times of a turn.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For the age of an entry.
    pub now: Instant,
    /// Of the response, for what is said of a file.
    pub date: SystemTime,
}

pub struct Cache {
    /// Zero: nothing is kept.
    validity: Duration,
    /// By the path beneath the root, decoded.
    entries: HashMap<Rc<[u8]>, Rc<Entry>>,
    /// When which paths were opened; also of entries that were replaced or dropped since.
    order: VecDeque<(Instant, Rc<[u8]>)>,
    held: Held,
    descriptors_max: usize,
}

/// A file as it was when it was opened.
pub struct Entry {
    pub plain: Rc<Representation>,
    opened: Instant,
    /// In the order of [`CODINGS`].
    siblings: RefCell<[Sibling; CODINGS.len()]>,
}

#[derive(Clone)]
enum Sibling {
    /// Not looked for yet.
    Unknown,
    /// There is none that can be served.
    Absent,
    Found(Rc<Representation>),
}

/// What entries hold.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Held {
    content_bytes: usize,
    descriptors: usize,
}

impl Cache {
    pub fn new(validity: Duration) -> Cache {
        let share = process::nofile().map_or(0, |nofile| nofile / SHARE_OF_DESCRIPTORS);
        let descriptors_max = usize::try_from(share).map_or(DESCRIPTORS_MAX, |share| share.min(DESCRIPTORS_MAX));
        Cache { validity, entries: HashMap::new(), order: VecDeque::new(), held: Held::default(), descriptors_max }
    }

    /// The file at this path: as it was opened within the validity, or opened now.
    pub fn find(&mut self, root: &Root, path: &[u8], at: Times) -> Result<Rc<Entry>, NotFound> {
        if let Some(entry) = self.entries.get(path) {
            if entry.expires(self.validity) > at.now && entry.plain.is_current(at.date) {
                return Ok(entry.clone());
            }
            self.remove(path);
        }
        let plain = self.open(root, path, || (content_type(path), None), at)?;
        let entry = Rc::new(Entry { plain, opened: at.now, siblings: RefCell::new([const { Sibling::Unknown }; 3]) });
        if self.has_room_for(&entry.plain) {
            self.insert(path, &entry);
        }
        Ok(entry)
    }

    /// The sibling of a file that [`Cache::find`] has returned in this turn. One that is older than its file belongs to an
    /// older version and is not served, nor is one that cannot be opened.
    pub fn sibling(
        &mut self,
        root: &Root,
        path: &[u8],
        entry: &Rc<Entry>,
        coding: Coding,
        at: Times,
    ) -> Option<Rc<Representation>> {
        let known = entry.siblings.borrow()[coding as usize].clone();
        match known {
            Sibling::Absent => return None,
            Sibling::Found(sibling) if sibling.is_current(at.date) => return Some(sibling),
            Sibling::Found(_) => self.set_sibling(path, entry, coding, Sibling::Unknown),
            Sibling::Unknown => {}
        }
        let path_of_sibling = [path, coding.suffix()].concat();
        let opened = self.open(root, &path_of_sibling, || (entry.plain.content_type.clone(), Some(coding)), at);
        match opened {
            Ok(sibling) if sibling.is_as_new_as(&entry.plain) => {
                if self.has_room_for(&sibling) {
                    self.set_sibling(path, entry, coding, Sibling::Found(sibling.clone()));
                }
                Some(sibling)
            }
            Ok(_) | Err(NotFound::Absent | NotFound::Directory | NotFound::Forbidden) => {
                self.set_sibling(path, entry, coding, Sibling::Absent);
                None
            }
            // There may be one.
            Err(NotFound::Exhausted | NotFound::Failed(_)) => None,
        }
    }

    /// Drops what is no longer valid, so that it holds no descriptor, and no space of a file that was deleted. Called once
    /// a second.
    pub fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(opened, _)| *opened + self.validity <= now) {
            self.remove_oldest();
        }
    }

    /// Opens the file. If no descriptor is left, those that are kept here are closed for it.
    fn open(
        &mut self,
        root: &Root,
        path: &[u8],
        kind: impl Fn() -> (std::borrow::Cow<'static, str>, Option<Coding>),
        at: Times,
    ) -> Result<Rc<Representation>, NotFound> {
        let (file, metadata) = match root.find(path) {
            Err(NotFound::Exhausted) if self.held.descriptors > 0 => {
                self.clear();
                root.find(path)?
            }
            found => found?,
        };
        let (content_type, coding) = kind();
        let representation = Representation::new(file, &metadata, content_type, coding);
        Ok(Rc::new(if self.validity.is_zero() { representation } else { representation.read(at.date) }))
    }

    /// Contents always find room, as they take the place of older ones; a descriptor only while few are held.
    fn has_room_for(&self, representation: &Representation) -> bool {
        let is_kept = !self.validity.is_zero() && representation.is_keepable();
        is_kept && self.held.descriptors + Held::by(representation).descriptors <= self.descriptors_max
    }

    fn insert(&mut self, path: &[u8], entry: &Rc<Entry>) {
        let path: Rc<[u8]> = path.into();
        self.expire(entry.opened);
        self.held += Held::by(&entry.plain);
        self.order.push_back((entry.opened, path.clone()));
        self.entries.insert(path, entry.clone());
        self.shrink();
    }

    /// Notes what is known of a sibling, for the life of the entry.
    fn set_sibling(&mut self, path: &[u8], entry: &Rc<Entry>, coding: Coding, sibling: Sibling) {
        let is_kept = self.entries.get(path).is_some_and(|kept| Rc::ptr_eq(kept, entry));
        let before = Held::by_entry(entry);
        entry.siblings.borrow_mut()[coding as usize] = sibling;
        if is_kept {
            self.held -= before;
            self.held += Held::by_entry(entry);
            self.shrink();
        }
    }

    /// Drops the oldest entries until the rest is within the bounds.
    fn shrink(&mut self) {
        while self.order.len() > ENTRIES_MAX || self.held.content_bytes > CONTENT_BYTES_MAX {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        let Some((opened, path)) = self.order.pop_front() else { return };
        if self.entries.get(&path).is_some_and(|entry| entry.opened == opened) {
            self.remove(&path);
        }
    }

    fn remove(&mut self, path: &[u8]) {
        if let Some(entry) = self.entries.remove(path) {
            self.held -= Held::by_entry(&entry);
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
        self.held = Held::default();
    }
}

impl Entry {
    fn expires(&self, validity: Duration) -> Instant {
        self.opened + validity
    }
}

impl Held {
    fn by(representation: &Representation) -> Held {
        match representation.kept_bytes() {
            Some(bytes) => Held { content_bytes: bytes.len(), descriptors: 0 },
            None => Held { content_bytes: 0, descriptors: 1 },
        }
    }

    fn by_entry(entry: &Entry) -> Held {
        let mut held = Held::by(&entry.plain);
        for sibling in entry.siblings.borrow().iter() {
            if let Sibling::Found(sibling) = sibling {
                held += Held::by(sibling);
            }
        }
        held
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, more: Held) {
        self.content_bytes += more.content_bytes;
        self.descriptors += more.descriptors;
    }
}

impl SubAssign for Held {
    fn sub_assign(&mut self, less: Held) {
        self.content_bytes -= less.content_bytes;
        self.descriptors -= less.descriptors;
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
