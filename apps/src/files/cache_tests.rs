use super::super::representation::KEPT_BYTES_MAX;
use super::*;
use std::fs;
use std::path::PathBuf;

/// A directory of files that are an hour old, and a cache of it.
struct Site {
    folder: PathBuf,
    root: Root,
    cache: Cache,
    began: Times,
}

const SECOND: Duration = Duration::from_secs(1);

impl Site {
    fn new(validity: Duration) -> Site {
        let folder = std::env::temp_dir().join(format!("tine-cache-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).expect("a folder can be made");
        let root = Root::open(&folder).expect("it can be opened");
        let cache = Cache { descriptors_max: 4, ..Cache::new(validity) };
        Site { folder, root, cache, began: Times { now: Instant::now(), date: SystemTime::now() } }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        self.write_at(name, bytes, self.began.date - 3600 * SECOND);
    }

    /// A new file in place of the old one.
    fn write_at(&self, name: &str, bytes: &[u8], modified: SystemTime) {
        let new = self.folder.join("new");
        fs::write(&new, bytes).expect("it can be written");
        fs::File::open(&new).and_then(|file| file.set_modified(modified)).expect("its time can be set");
        fs::rename(&new, self.folder.join(name)).expect("it can be renamed");
    }

    fn after(&self, time: Duration) -> Times {
        Times { now: self.began.now + time, date: self.began.date + time }
    }

    fn find(&mut self, name: &str, after: Duration) -> Result<Rc<Entry>, NotFound> {
        let at = self.after(after);
        self.cache.find(&self.root, name.as_bytes(), at)
    }

    /// The bytes of a small file, as found after this time.
    fn bytes(&mut self, name: &str, after: Duration) -> Vec<u8> {
        let entry = self.find(name, after).expect("a file");
        entry.plain.kept_bytes().expect("it was read").to_vec()
    }

    fn sibling(&mut self, name: &str, coding: Coding, after: Duration) -> Option<Vec<u8>> {
        let (entry, at) = (self.find(name, after).expect("a file"), self.after(after));
        let sibling = self.cache.sibling(&self.root, name.as_bytes(), &entry, coding, at);
        sibling.map(|sibling| sibling.kept_bytes().expect("it was read").to_vec())
    }

    /// The invariants.
    fn check(&self) {
        let Cache { entries, order, held, .. } = &self.cache;
        let mut sum = Held::default();
        entries.values().for_each(|entry| sum += Held::by_entry(entry));
        assert_eq!(*held, sum);
        assert!(held.descriptors <= 5 && held.content_bytes <= CONTENT_BYTES_MAX && order.len() <= ENTRIES_MAX);
        assert!(entries.iter().all(|(path, entry)| order.contains(&(entry.opened, path.clone()))));
        assert!(order.iter().is_sorted_by_key(|(opened, _)| *opened));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.check();
        // A folder of the system's for temporary files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_file_is_opened_again_after_its_validity() {
    let mut site = Site::new(SECOND);
    site.write("x", b"one");
    assert_eq!(site.bytes("x", SECOND), b"one");
    site.write("x", b"two");
    assert_eq!(site.bytes("x", SECOND + SECOND / 2), b"one");
    assert_eq!(site.bytes("x", 2 * SECOND), b"two", "the second is over");
    fs::remove_file(site.folder.join("x")).expect("it is there");
    assert_eq!(site.bytes("x", 2 * SECOND + SECOND / 2), b"two");
    assert_eq!(site.find("x", 3 * SECOND).err(), Some(NotFound::Absent));
    site.write("x", b"three");
    assert_eq!(site.bytes("x", 3 * SECOND), b"three", "that there is no file is not kept");
}

#[test]
fn nothing_is_kept_with_a_validity_of_zero() {
    let mut site = Site::new(Duration::ZERO);
    site.write("x", b"one");
    let entry = site.find("x", Duration::ZERO).expect("a file");
    assert!(entry.plain.kept_bytes().is_none(), "it is not read before it is needed");
    assert!(site.cache.entries.is_empty() && site.cache.order.is_empty());
}

#[test]
fn what_is_no_longer_valid_is_dropped_once_a_second() {
    let mut site = Site::new(SECOND);
    site.write("small", b"x");
    site.write("large", &[b'x'; KEPT_BYTES_MAX as usize + 1]);
    site.find("small", Duration::ZERO).expect("a file");
    site.find("large", SECOND / 2).expect("a file");
    assert_eq!(site.cache.held, Held { content_bytes: 1, descriptors: 1 });
    site.cache.expire(site.began.now + SECOND);
    assert_eq!(site.cache.held, Held { content_bytes: 0, descriptors: 1 });
    site.cache.expire(site.began.now + SECOND + SECOND / 2);
    assert_eq!((site.cache.held, site.cache.entries.len()), (Held::default(), 0));
    site.check();
}

/// Bytes that were read while the file could still change with the same time are read again before their tag is strong.
#[test]
fn a_tag_becomes_strong_only_with_bytes_read_by_then() {
    let mut site = Site::new(60 * SECOND);
    let modified = site.began.date;
    site.write_at("x", b"one", modified);
    assert_eq!(site.bytes("x", SECOND), b"one");
    fs::write(site.folder.join("x"), b"two").expect("it can be written");
    let changed = fs::File::open(site.folder.join("x")).and_then(|file| file.set_modified(modified));
    changed.expect("its time can be set");
    assert_eq!(site.bytes("x", SECOND + SECOND / 2), b"one", "with a weak tag");
    assert_eq!(site.bytes("x", 2 * SECOND), b"two");
    let entry = site.find("x", 3 * SECOND).expect("a file");
    assert!(entry.plain.validators(site.after(3 * SECOND).date).last_modified_is_strong);
}

#[test]
fn siblings_are_known_as_long_as_their_file() {
    let mut site = Site::new(SECOND);
    site.write("x.js", b"plain");
    site.write("x.js.gz", b"coded");
    let none = Duration::ZERO;
    assert_eq!(site.sibling("x.js", Coding::Gzip, none).as_deref(), Some(&b"coded"[..]));
    assert_eq!(site.sibling("x.js", Coding::Brotli, none), None);
    assert_eq!(site.cache.held, Held { content_bytes: 10, descriptors: 0 });
    site.check();
    site.write("x.js.br", b"new");
    fs::remove_file(site.folder.join("x.js.gz")).expect("it is there");
    assert_eq!(site.sibling("x.js", Coding::Gzip, SECOND / 2).as_deref(), Some(&b"coded"[..]));
    assert_eq!(site.sibling("x.js", Coding::Brotli, SECOND / 2), None);
    assert_eq!(site.sibling("x.js", Coding::Gzip, SECOND), None);
    assert_eq!(site.sibling("x.js", Coding::Brotli, SECOND).as_deref(), Some(&b"new"[..]));
    // A file of that name is another, with its own type.
    let itself = site.find("x.js.br", SECOND).expect("a file");
    assert_ne!(itself.plain.content_type, site.find("x.js", SECOND).expect("a file").plain.content_type);
    site.write_at("x.js.zst", b"older", site.began.date - 7200 * SECOND);
    assert_eq!(site.sibling("x.js", Coding::Zstd, SECOND), None);
}

#[test]
fn entries_contents_and_descriptors_have_their_bounds() {
    let mut site = Site::new(SECOND);
    let none = Duration::ZERO;
    for number in 0..ENTRIES_MAX + 10 {
        site.write(&format!("e{number}"), b"x.js");
        site.find(&format!("e{number}"), none).expect("a file");
    }
    assert_eq!(site.cache.entries.len(), ENTRIES_MAX);
    assert!(!site.cache.entries.contains_key(&b"e9"[..]) && site.cache.entries.contains_key(&b"e10"[..]));
    site.write("whole", &[b'x'; KEPT_BYTES_MAX as usize]);
    for number in 0..2 * CONTENT_BYTES_MAX / KEPT_BYTES_MAX as usize {
        let link = format!("l{number}");
        std::os::unix::fs::symlink("whole", site.folder.join(&link)).expect("a link");
        site.find(&link, none).expect("a file");
    }
    assert!(site.cache.held.content_bytes > CONTENT_BYTES_MAX - 2 * KEPT_BYTES_MAX as usize);
    let kept = site.cache.entries.len();
    for number in 0..8 {
        site.write(&format!("large{number}"), &[b'x'; KEPT_BYTES_MAX as usize + 1]);
        site.find(&format!("large{number}"), none).expect("a file");
    }
    assert_eq!((site.cache.held.descriptors, site.cache.entries.len()), (4, kept + 4), "no small one had to go");
}

/// A large file that changes at each request is opened at each, and leaves nothing.
#[test]
fn a_large_file_in_change_is_never_kept_for_long() {
    let mut site = Site::new(60 * SECOND);
    site.write("x", b"");
    let file = fs::File::options().write(true).open(site.folder.join("x")).expect("it is there");
    let mut last = None;
    for number in 1..3 * ENTRIES_MAX as u64 {
        file.set_len(KEPT_BYTES_MAX + number).expect("a sparse file");
        let entry = site.find("x", Duration::from_millis(number)).expect("a file");
        assert!(last.is_none_or(|last| !Rc::ptr_eq(&last, &entry)));
        assert!(Rc::ptr_eq(&entry, &site.find("x", Duration::from_millis(number)).expect("a file")));
        last = Some(entry);
    }
    assert_eq!(site.cache.held, Held { content_bytes: 0, descriptors: 1 });
}
