//! One version of a file, plain or coded: its header fields, and the validators that decide conditional requests.

use super::coding::Coding;
use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};
use tine_worker::http::conditional::{EntityTag, Validators};
use tine_worker::http::{Head, HttpDate, StatusCode};

/// A file that changed more recently may change again with the same time stamp: file system clocks are coarse, and HTTP
/// dates have a resolution of a second (RFC 9110, 8.8.2.2). Until then its validators are weak.
const STRONG_AFTER: Duration = Duration::from_secs(2);

pub struct Representation {
    pub file: File,
    pub size: u64,
    pub content_type: Cow<'static, str>,
    coding: Option<Coding>,
    /// The entity tag, without quotes.
    tag: String,
    is_strong: bool,
    last_modified: HttpDate,
}

impl Representation {
    /// `date`: that of the response.
    pub fn new(
        file: File,
        metadata: &Metadata,
        content_type: Cow<'static, str>,
        coding: Option<Coding>,
        date: SystemTime,
    ) -> Representation {
        let modified = metadata.modified().unwrap_or(date); // all Linux file systems have it
        // With the inode: a deploy that keeps time and length, such as a reproducible build, still creates a new file.
        let (seconds, nanoseconds) = (metadata.mtime() as u64, metadata.mtime_nsec());
        Representation {
            file,
            size: metadata.len(),
            content_type,
            coding,
            tag: format!("{:x}-{:x}-{seconds:x}.{nanoseconds:x}", metadata.ino(), metadata.len()),
            is_strong: modified.checked_add(STRONG_AFTER).is_some_and(|strong_at| strong_at <= date),
            // Never after the response's own date (8.8.2.1).
            last_modified: HttpDate::new(modified.min(date)),
        }
    }

    pub fn validators(&self) -> Validators<'_> {
        let etag = Some(self.etag());
        Validators { etag, last_modified: Some(self.last_modified), last_modified_is_strong: self.is_strong }
    }

    fn etag(&self) -> EntityTag<'_> {
        EntityTag::new(&self.tag, !self.is_strong).expect("hexadecimal digits, dashes and a dot")
    }

    /// The fields that a 200, a 206 and a 304 share (RFC 9110, 15.4.5).
    pub fn head(&self, status: StatusCode) -> Head {
        Head::new(status).header("ETag", self.etag().to_string()).header("Vary", "Accept-Encoding")
    }

    /// The same, and the fields that are left out for a client that has them already (15.3.7).
    pub fn full_head(&self, status: StatusCode) -> Head {
        let head = self.dated(self.head(status)).header("Accept-Ranges", "bytes");
        let head = head.content_type(self.content_type.clone());
        match self.coding {
            Some(coding) => head.header("Content-Encoding", coding.token()),
            None => head,
        }
    }

    pub fn dated(&self, head: Head) -> Head {
        head.header("Last-Modified", self.last_modified.to_string())
    }

    /// Whether the bytes are coded. Then only a single range can be sent: the framing of several would be taken for
    /// coded bytes.
    pub fn is_coded(&self) -> bool {
        self.coding.is_some()
    }
}
