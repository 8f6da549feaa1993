//! The URL prefix of the files, and which file a path names.
//!
//! A path is compared and decoded segment by segment, as it was sent: dot segments are not resolved, empty segments are
//! not merged, and an encoded slash stays inside its segment, where no file name can have one. So each file has exactly
//! one path, except for the encoding of its characters.

use crate::percent;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The file that is served for a directory.
const INDEX: &[u8] = b"index.html";

/// The path below which files are served: `/static`, or `/` for all paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPrefix {
    /// Decoded.
    segments: Vec<Vec<u8>>,
}

impl UrlPrefix {
    /// All paths.
    pub const ROOT: UrlPrefix = UrlPrefix { segments: Vec::new() };

    /// Whether it is `/`, so that every path is below it.
    pub fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// The rest of `path`, which is undecoded, after the prefix: empty, or with its leading slash. `None`: `path` is
    /// not below the prefix.
    pub fn strip<'p>(&self, path: &'p str) -> Option<&'p str> {
        let mut rest = path;
        for segment in &self.segments {
            let tail = rest.strip_prefix('/')?;
            let (first, _) = tail.split_once('/').unwrap_or((tail, ""));
            if decode(first)? != segment.as_slice() {
                return None;
            }
            rest = &tail[first.len()..];
        }
        Some(rest)
    }

    /// The prefix of a URL path without its final slash: `/static`, or empty for the root.
    pub fn encoded(&self) -> String {
        self.segments.iter().fold(String::new(), |url, segment| url + "/" + &encode(segment))
    }
}

impl fmt::Display for UrlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "/" } else { "" })?;
        f.write_str(&self.encoded())
    }
}

impl FromStr for UrlPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<UrlPrefix, String> {
        let wrong = || "give a path such as /static, without a query, dots or empty parts".to_string();
        let path = text.strip_prefix('/').ok_or_else(wrong)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() && text.len() <= 1 {
            return Ok(UrlPrefix::ROOT);
        }
        let segment_of = |part: &str| {
            let is_plain = part.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b));
            let segment = decode(part).filter(|_| is_plain)?.into_owned();
            let is_name = !matches!(segment.as_slice(), b"" | b"." | b"..") && !has_no_file(&segment);
            is_name.then_some(segment)
        };
        let segments = path.split('/').map(segment_of).collect::<Option<_>>().ok_or_else(wrong)?;
        Ok(UrlPrefix { segments })
    }
}

/// A file or directory that a path names, relative to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath {
    /// Decoded, without slashes at either end; empty for the root itself.
    pub bytes: Vec<u8>,
    /// The path ends with a slash.
    pub is_directory: bool,
}

/// Why a path cannot name a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongPath {
    /// A percent sign without two hexadecimal digits: 400.
    Malformed,
    /// No file that is served can have such a name: 404.
    NoFile,
}

impl FilePath {
    /// `rest`: undecoded, as [`UrlPrefix::strip`] leaves it.
    pub fn parse(rest: &str) -> Result<FilePath, WrongPath> {
        let Some(path) = rest.strip_prefix('/') else {
            // The prefix itself without its slash; or the `*` of OPTIONS.
            let is_empty = rest.is_empty();
            return is_empty.then(FilePath::root).ok_or(WrongPath::NoFile);
        };
        let (path, is_directory) = match path.strip_suffix('/') {
            Some(path) => (path, true),
            None => (path, path.is_empty()),
        };
        if path.is_empty() {
            // "/"; or "//", which asks for an empty name.
            let is_root = rest.len() == 1;
            return is_root.then_some(FilePath { is_directory, ..FilePath::root() }).ok_or(WrongPath::NoFile);
        }
        let mut bytes = Vec::with_capacity(path.len());
        let mut verdict = Ok(());
        for part in path.split('/') {
            let segment = decode(part).ok_or(WrongPath::Malformed)?;
            let is_well_known = bytes.is_empty() && *segment == *WELL_KNOWN;
            // Dot segments and hidden files.
            if segment.is_empty() || (segment[0] == b'.' && !is_well_known) || has_no_file(&segment) {
                verdict = Err(WrongPath::NoFile); // unless a later segment is malformed
            }
            if !bytes.is_empty() {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(&segment);
        }
        verdict.map(|()| FilePath { bytes, is_directory })
    }

    /// The path of the file that is served: for a directory its [`INDEX`].
    pub fn or_index(mut self) -> FilePath {
        if self.is_directory {
            if !self.bytes.is_empty() {
                self.bytes.push(b'/');
            }
            self.bytes.extend_from_slice(INDEX);
        }
        self
    }

    fn root() -> FilePath {
        FilePath { bytes: Vec::new(), is_directory: false }
    }

    /// The path with a leading slash, encoded for a URL.
    pub fn encoded(&self) -> String {
        let segments = self.bytes.split(|&b| b == b'/').filter(|segment| !segment.is_empty());
        segments.fold(String::new(), |url, segment| url + "/" + &encode(segment))
    }
}

/// RFC 8615: the one hidden name that is meant to be served.
const WELL_KNOWN: &[u8] = b".well-known";

/// Whether the segment has bytes that no file name can have.
fn has_no_file(segment: &[u8]) -> bool {
    segment.iter().any(|&b| b == 0 || b == b'/')
}

/// `None` where a percent sign is not followed by two hexadecimal digits.
fn decode(segment: &str) -> Option<Cow<'_, [u8]>> {
    percent::decode(segment).ok()
}

/// Encodes all bytes that a segment may not contain literally (RFC 3986, 3.3).
fn encode(segment: &[u8]) -> String {
    let mut url = String::with_capacity(segment.len());
    for &b in segment {
        if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b) {
            url.push(char::from(b));
        } else {
            url.push_str(&format!("%{b:02X}"));
        }
    }
    url
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
