//! One version of a file, plain or coded: its content, its header fields, and the validators that decide conditional
//! requests. Shared by all requests for it within its life in the cache.

use super::coding::Coding;
use bytes::Bytes;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tine_worker::http::conditional::{EntityTag, Validators};
use tine_worker::http::{Fields, Head, HttpDate, StatusCode};

/// A file that changed more recently may change again with the same time stamp: file system clocks are coarse, and HTTP
/// dates have a resolution of a second (RFC 9110, 8.8.2.2). Until then its validators are weak.
const STRONG_AFTER: Duration = Duration::from_secs(2);

/// Up to this size a file that may be asked for again is read when it is opened. CPU a request of nginx's without a cache,
/// from memory: 4 KiB 0.52, 8 KiB 0.49, 16 KiB 0.75; by fstat and sendfile(2): 16 KiB 0.68 (benchmarks.md).
pub const KEPT_BYTES_MAX: u64 = 8 << 10;

pub struct Representation {
    pub content: Content,
    pub size: u64,
    pub content_type: Cow<'static, str>,
    coding: Option<Coding>,
    stamp: Stamp,
    /// The entity tag, without quotes.
    tag: String,
    modified: SystemTime,
    /// When `content` was read, its validators were strong: whatever is written later gets another time.
    was_strong: bool,
    /// The fields of a whole response whose validators are strong.
    strong_fields: OnceCell<Fields>,
    of_app: Option<AppFields>,
}

/// What an application that names the file adds. The file is not negotiated then: another Accept-Encoding gets the same.
pub struct AppFields {
    pub fields: Fields,
    /// They have a Content-Encoding.
    pub are_coded: bool,
}

/// Where the bytes are.
pub enum Content {
    Open(Rc<File>),
    /// All of them, read between two readings of the same metadata; the file is closed.
    Read(Bytes),
}

/// What tells two versions of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            inode: metadata.ino(),
            size: metadata.len(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        }
    }

    fn is_of(self, file: &File) -> bool {
        file.metadata().is_ok_and(|metadata| Stamp::of(&metadata) == self)
    }
}

impl Representation {
    pub fn new(
        file: File,
        metadata: &Metadata,
        content_type: Cow<'static, str>,
        coding: Option<Coding>,
    ) -> Representation {
        let stamp = Stamp::of(metadata);
        // With the inode: a deploy that keeps time and length, such as a reproducible build, still creates a new file.
        let Stamp { inode, size, seconds, nanoseconds } = stamp;
        Representation {
            content: Content::Open(Rc::new(file)),
            size,
            content_type,
            coding,
            stamp,
            tag: format!("{inode:x}-{size:x}-{:x}.{nanoseconds:x}", seconds as u64),
            modified: metadata.modified().unwrap_or(UNIX_EPOCH), // all Linux file systems have it
            was_strong: false,
            strong_fields: OnceCell::new(),
            of_app: None,
        }
    }

    #[cfg(any(feature = "lua54", feature = "luajit"))]
    pub fn with_fields(self, of_app: AppFields) -> Representation {
        Representation { of_app: Some(of_app), ..self }
    }

    /// A response to a request with another Accept-Encoding may be another one.
    pub fn is_negotiated(&self) -> bool {
        self.of_app.is_none()
    }

    /// Reads a small file, and closes it. If it changes meanwhile it stays open, and is not to be kept.
    pub fn read(mut self, date: SystemTime) -> Representation {
        let Content::Open(file) = &self.content else { return self };
        if self.size > KEPT_BYTES_MAX {
            return self;
        }
        let mut bytes = vec![0; self.size as usize];
        // An error is reported when the response needs the bytes.
        if file.read_exact_at(&mut bytes, 0).is_ok() && self.stamp.is_of(file) {
            self.was_strong = self.is_strong(date);
            self.content = Content::Read(bytes.into());
        }
        self
    }

    /// Whether it may be used for other requests.
    pub fn is_keepable(&self) -> bool {
        self.kept_bytes().is_some() || self.size > KEPT_BYTES_MAX
    }

    /// The bytes if they were read.
    pub fn kept_bytes(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Read(bytes) => Some(bytes),
            Content::Open(_) => None,
        }
    }

    /// Whether it can be used for a response of this date. An open file that was changed in place cannot. Nor can bytes
    /// that were read while their tag was weak, once it would be strong: they may have changed with the same time.
    pub fn is_current(&self, date: SystemTime) -> bool {
        match &self.content {
            Content::Open(file) => self.stamp.is_of(file),
            Content::Read(_) => self.was_strong || !self.is_strong(date),
        }
    }

    pub fn is_as_new_as(&self, other: &Representation) -> bool {
        self.modified >= other.modified
    }

    fn is_strong(&self, date: SystemTime) -> bool {
        self.modified.checked_add(STRONG_AFTER).is_some_and(|strong_at| strong_at <= date)
    }

    /// `date`: that of the response, here and below.
    pub fn validators(&self, date: SystemTime) -> Validators<'_> {
        Validators {
            etag: Some(self.etag(date)),
            last_modified: Some(self.last_modified(date)),
            last_modified_is_strong: self.is_strong(date),
        }
    }

    fn etag(&self, date: SystemTime) -> EntityTag<'_> {
        EntityTag::new(&self.tag, !self.is_strong(date)).expect("hexadecimal digits, dashes and a dot")
    }

    /// Never after the response's own date (RFC 9110, 8.8.2.1).
    fn last_modified(&self, date: SystemTime) -> HttpDate {
        HttpDate::new(self.modified.min(date))
    }

    /// The fields that a 200, a 206 and a 304 share (RFC 9110, 15.4.5).
    pub fn head(&self, status: StatusCode, date: SystemTime) -> Head {
        let mut fields = Fields::new();
        self.add_shared(&mut fields, date);
        Head::new(status).fields(fields)
    }

    /// The same, with the date of the last change.
    pub fn dated_head(&self, status: StatusCode, date: SystemTime) -> Head {
        let mut fields = Fields::new();
        self.add_shared(&mut fields, date);
        self.add_date(&mut fields, date);
        Head::new(status).fields(fields)
    }

    /// The same, and the fields that are left out for a client that has them already (15.3.7).
    pub fn full_head(&self, status: StatusCode, date: SystemTime) -> Head {
        let fields = match self.is_strong(date) {
            true => self.strong_fields.get_or_init(|| self.full_fields(date)).clone(),
            false => self.full_fields(date),
        };
        Head::new(status).content_type(self.content_type.clone()).fields(fields)
    }

    fn full_fields(&self, date: SystemTime) -> Fields {
        let mut fields = Fields::with_capacity(FIELDS_BYTES);
        self.add_shared(&mut fields, date);
        self.add_date(&mut fields, date);
        add(&mut fields, "Accept-Ranges", "bytes");
        if let Some(coding) = self.coding {
            add(&mut fields, "Content-Encoding", coding.token());
        }
        fields
    }

    fn add_shared(&self, fields: &mut Fields, date: SystemTime) {
        add(fields, "ETag", &self.etag(date).to_string());
        match &self.of_app {
            Some(of_app) => fields.append(&of_app.fields),
            None => add(fields, "Vary", "Accept-Encoding"),
        }
    }

    fn add_date(&self, fields: &mut Fields, date: SystemTime) {
        add(fields, "Last-Modified", &self.last_modified(date).to_string());
    }

    /// Whether the bytes are coded. Then only a single range can be sent: the framing of several would be taken for
    /// coded bytes.
    pub fn is_coded(&self) -> bool {
        self.coding.is_some() || self.of_app.as_ref().is_some_and(|of_app| of_app.are_coded)
    }
}

/// Room for the fields of most files.
const FIELDS_BYTES: usize = 192;

fn add(fields: &mut Fields, name: &str, value: &str) {
    fields.push(name.as_bytes(), value.as_bytes()).expect("fields of ours are valid");
}
