//! One version of a file, as it is or in a coding: what is said of it, and what requests for it are decided by.

use super::coding::Coding;
use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};
use tine_worker::http::conditional::{EntityTag, Validators};
use tine_worker::http::{Head, HttpDate, StatusCode};

/// A file that changed this lately may change again and look the same: clocks of file systems tick slowly, and HTTP's
/// dates by the second (RFC 9110, 8.8.2.2). Until then it is not vouched for byte by byte.
const SETTLED: Duration = Duration::from_secs(2);

pub struct Representation {
    pub file: File,
    pub size: u64,
    pub content_type: Cow<'static, str>,
    coding: Option<Coding>,
    /// What stands between the quotes of its entity tag.
    tag: String,
    is_settled: bool,
    last_modified: HttpDate,
}

impl Representation {
    /// `date`: the response's.
    pub fn new(
        file: File,
        metadata: &Metadata,
        content_type: Cow<'static, str>,
        coding: Option<Coding>,
        date: SystemTime,
    ) -> Representation {
        let modified = metadata.modified().unwrap_or(date); // every file system of Linux has it
        // The inode too: deploys that keep time and length, as builds with fixed times do, still make a new file.
        let (seconds, nanoseconds) = (metadata.mtime() as u64, metadata.mtime_nsec());
        Representation {
            file,
            size: metadata.len(),
            content_type,
            coding,
            tag: format!("{:x}-{:x}-{seconds:x}.{nanoseconds:x}", metadata.ino(), metadata.len()),
            is_settled: modified.checked_add(SETTLED).is_some_and(|settled| settled <= date),
            // Never after the response's own date (8.8.2.1).
            last_modified: HttpDate::new(modified.min(date)),
        }
    }

    pub fn validators(&self) -> Validators<'_> {
        let etag = Some(self.etag());
        Validators { etag, last_modified: Some(self.last_modified), last_modified_is_strong: self.is_settled }
    }

    fn etag(&self) -> EntityTag<'_> {
        EntityTag::new(&self.tag, !self.is_settled).expect("hexadecimal digits, dashes and a dot")
    }

    /// What a 200, a 206 and a 304 all tell caches (RFC 9110, 15.4.5).
    pub fn head(&self, status: StatusCode) -> Head {
        Head::new(status).header("ETag", self.etag().to_string()).header("Vary", "Accept-Encoding")
    }

    /// The same, and what a client that has it already knows (15.3.7).
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

    /// Whether its bytes are coded: then parts of them can be sent one at a time, but not framed together, as the framing would
    /// pass for coded.
    pub fn is_coded(&self) -> bool {
        self.coding.is_some()
    }
}
