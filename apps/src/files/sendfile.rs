//! Files that an application names in its response (X-Sendfile), beneath directories that the operator allows.
//!
//! They are opened for each response, and nothing is kept: an application names a file that it may have written just now.

use super::content_type::content_type;
use super::representation::{AppFields, Representation};
use super::root::{NotFound, Root};
use super::{answering, not_found, sending};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;
use tine_common::request_name::RequestName;
use tine_worker::app::Answer;
use tine_worker::http::{Fields, Head, KeptHeaders, Request, StatusCode};

/// The directories that files may be in.
pub struct Sendfile {
    roots: Vec<Allowed>,
}

struct Allowed {
    root: Root,
    /// Absolute names of the directory, without a slash at the end: as it was given, and without symbolic links.
    names: Vec<Vec<u8>>,
}

/// What an application responds with.
pub struct Named {
    pub path: Vec<u8>,
    pub status: StatusCode,
    /// `None`: the one of the file's name.
    pub content_type: Option<String>,
    /// All other fields, apart from those that the file decides: [`IS_OF_FILE`].
    pub fields: Fields,
    /// They have a Content-Encoding.
    pub is_coded: bool,
}

/// Fields that describe the file's bytes, in place of those of the application.
pub const IS_OF_FILE: [&str; 4] = ["etag", "last-modified", "accept-ranges", "content-range"];

/// What of a request decides about the response, for an application that responds later.
pub struct Conditions {
    method: &'static str,
    headers: KeptHeaders,
}

impl Conditions {
    pub fn of(request: &Request<'_>) -> Conditions {
        let method = match request.method() {
            "GET" => "GET",
            "HEAD" => "HEAD",
            _ => "",
        };
        let is_condition = |name: &str| {
            name.eq_ignore_ascii_case("range") || name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-"))
        };
        Conditions { method, headers: request.headers().keep(is_condition) }
    }
}

impl Sendfile {
    /// The error is one line.
    pub fn open(directories: &[PathBuf]) -> Result<Sendfile, String> {
        let allow = |directory: &PathBuf| {
            let wrong = |why| format!("--sendfile-root {}: {why}", directory.display());
            let root = Root::open(directory).map_err(wrong)?;
            let names = [std::path::absolute(directory), directory.canonicalize()];
            let mut names: Vec<_> = names.into_iter().flatten().map(|name| bare(&name).to_vec()).collect();
            names.dedup();
            Ok(Allowed { root, names })
        };
        Ok(Sendfile { roots: directories.iter().map(allow).collect::<Result<_, String>>()? })
    }

    /// The response with the file that the application names. What is not there, and not allowed, is the application's
    /// mistake, and logged.
    pub fn answer(&self, named: &Named, asked: &Conditions, request: &RequestName, date: SystemTime) -> Answer {
        let shown = || String::from_utf8_lossy(&named.path);
        let (file, metadata) = match self.find(&named.path) {
            Ok(found) => found,
            Err(Missing::Outside) => {
                log::error!("{request}: X-Sendfile {:?} is not beneath a --sendfile-root", shown());
                return not_found(NotFound::Absent, &named.path, Path::new("/"));
            }
            Err(Missing::In(root, why)) => {
                log::error!("{request}: X-Sendfile {:?} in {}: {why}", shown(), root.display());
                return not_found(why, &named.path, root);
            }
        };
        let content_type = named.content_type.clone().map_or_else(|| content_type(&named.path), Into::into);
        let of_app = AppFields { fields: named.fields.clone(), are_coded: named.is_coded };
        if named.status == StatusCode::OK && !asked.method.is_empty() {
            let representation = Representation::new(file, &metadata, content_type, None).with_fields(of_app);
            return answering::answer(Rc::new(representation), asked.method, asked.headers.as_headers(), date);
        }
        // An error page, or the result of a POST: the file is what the response consists of, and not what the URL names.
        let head = Head::new(named.status).content_type(content_type.clone()).fields(of_app.fields);
        let representation = Representation::new(file, &metadata, content_type, None);
        sending::send_whole(head, Rc::new(representation), asked.method == "HEAD")
    }

    fn find(&self, path: &[u8]) -> Result<(std::fs::File, std::fs::Metadata), Missing<'_>> {
        let mut missing = Missing::Outside;
        for Allowed { root, names } in &self.roots {
            let beneath = match path.starts_with(b"/") {
                true => names.iter().find_map(|name| path.strip_prefix(&name[..])?.strip_prefix(b"/")),
                false => Some(path),
            };
            let Some(beneath) = beneath else { continue };
            let start = beneath.iter().take_while(|&&b| b == b'/').count();
            match root.find(&beneath[start..]) {
                Ok(found) => return Ok(found),
                Err(why) => missing = Missing::In(root.path(), why),
            }
        }
        Err(missing)
    }
}

enum Missing<'a> {
    Outside,
    In(&'a Path, NotFound),
}

/// Without the slashes at its end, so that `/` is empty.
fn bare(name: &Path) -> &[u8] {
    let bytes = name.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|&b| b != b'/').map_or(0, |at| at + 1);
    &bytes[..end]
}
