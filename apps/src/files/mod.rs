//! Files beneath one directory: GET and HEAD, conditional and range requests, precompressed siblings, index.html.
//!
//! Nothing is cached between requests: each opens its file, so the response is what is on disk. docs/files.md lists the
//! responses.
//!
//! ```no_run
//! # mod tine { pub use tine_apps::files; pub use tine_worker::app; }
//! # use tine::{app::{AppError, AppFactory}, files::{Files, Root, UrlPrefix}};
//! # fn main() -> Result<(), String> {
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! // The files below /srv/www, at the URLs below /.
//! let root = Root::open(Path::new("/srv/www"))?;
//! let at: UrlPrefix = "/".parse()?;
//! // Opened in each worker: a reload serves the directory that has the name by then.
//! let factory: AppFactory = Box::new(move |_worker| {
//!     let root = Arc::new(root.reopen().map_err(AppError::new)?);
//!     Ok(Box::new(Files::new(root, at.clone())))
//! });
//! # Ok(())
//! # }
//! ```

mod coding;
mod content_type;
mod representation;
mod root;
mod sending;
mod url;

pub use root::Root;
pub use url::UrlPrefix;

use crate::percent;
use coding::{Chosen, choose_sibling};
use content_type::content_type;
use representation::Representation;
use root::{Found, NotFound};
use std::fs::{File, Metadata};
use std::sync::Arc;
use tine_worker::app::{Answer, App, Cx};
use tine_worker::http::conditional::{Precondition, evaluate};
use tine_worker::http::range::{self, Multipart, Selection};
use tine_worker::http::{Request, Response, StatusCode};
use url::{FilePath, WrongPath};

/// The file that is served for a directory.
const INDEX: &[u8] = b"index.html";

/// The methods that every path allows.
const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// When a client may retry if no descriptor was left.
const RETRY_AFTER_SECONDS: &str = "5";

/// An application that serves the files of a directory.
pub struct Files {
    root: Arc<Root>,
    at: UrlPrefix,
}

impl Files {
    /// `at`: the URL path of the root.
    pub fn new(root: Arc<Root>, at: UrlPrefix) -> Files {
        Files { root, at }
    }

    /// The response to a request for a path at or below the prefix; `None` for all other paths.
    pub fn answer(&self, request: &Request<'_>, cx: &Cx<'_>) -> Option<Answer> {
        let rest = self.at.strip(request.path())?;
        Some(self.respond(rest, request, cx))
    }

    fn respond(&self, rest: &str, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        match request.method() {
            "GET" | "HEAD" => {}
            "OPTIONS" => return options(),
            _ => {
                let text = "405 Method Not Allowed: files support only GET and HEAD\n";
                return Response::text(StatusCode::METHOD_NOT_ALLOWED, text).header("Allow", ALLOWED).into();
            }
        }
        let mut path = match FilePath::parse(rest) {
            Ok(path) => path,
            Err(wrong) => return refuse_path(wrong),
        };
        if path.bytes.is_empty() && !path.is_directory {
            return self.with_slash(&path, request);
        }
        if path.is_directory {
            if !path.bytes.is_empty() {
                path.bytes.push(b'/');
            }
            path.bytes.extend_from_slice(INDEX);
        }
        match self.root.find(&path.bytes) {
            Ok(Found::File(file, metadata)) => self.send(&path.bytes, file, metadata, request, cx),
            Ok(Found::Directory) if !path.is_directory => self.with_slash(&path, request),
            Ok(Found::Directory) | Err(NotFound::Absent) => no_such_file(),
            Err(NotFound::Forbidden) => {
                Response::text(StatusCode::FORBIDDEN, "403 Forbidden: the server may not read this file\n").into()
            }
            Err(NotFound::Exhausted) => {
                let text = "503 Service Unavailable: no descriptor is left to open the file; try again later\n";
                let response = Response::text(StatusCode::SERVICE_UNAVAILABLE, text);
                response.header("Retry-After", RETRY_AFTER_SECONDS).into()
            }
            Err(NotFound::Failed(e)) => {
                let name = String::from_utf8_lossy(&path.bytes).into_owned();
                sending::fail(format!("{name:?} in {} cannot be opened: {e}", self.root.path().display()))
            }
        }
    }

    /// A redirect to the same path with a slash, so that the relative links of a page resolve below it.
    fn with_slash(&self, path: &FilePath, request: &Request<'_>) -> Answer {
        let query = request.query().map_or(String::new(), |query| format!("?{}", percent::encode_above_ascii(query)));
        let location = format!("{}{}/{query}", self.at.encoded(), path.encoded());
        Response::text(
            StatusCode::MOVED_PERMANENTLY,
            "301 Moved Permanently: a directory's address ends with a slash\n",
        )
        .header("Location", location)
        .into()
    }

    fn send(&self, path: &[u8], file: File, metadata: Metadata, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        let content_type = content_type(path);
        let representation = match choose_sibling(&self.root, path, &metadata, request.headers()) {
            Chosen::Plain => Representation::new(file, &metadata, content_type, None, cx.date()),
            Chosen::Sibling(coding, file, metadata) => {
                Representation::new(file, &metadata, content_type, Some(coding), cx.date())
            }
            Chosen::Nothing => {
                let text =
                    "406 Not Acceptable: Accept-Encoding allows neither the file nor a compressed version of it\n";
                return negotiated(Response::text(StatusCode::NOT_ACCEPTABLE, text)).into();
            }
        };
        let validators = representation.validators();
        match evaluate(request.method(), request.headers(), validators) {
            Precondition::Holds => {}
            Precondition::NotModified => {
                let head = representation.dated(representation.head(StatusCode::NOT_MODIFIED));
                return Response::with_head(head, "").into();
            }
            Precondition::Failed => {
                let text = "412 Precondition Failed: the file does not meet the conditions of the request\n";
                return negotiated(Response::text(StatusCode::PRECONDITION_FAILED, text)).into();
            }
        }
        let selection = range::select(request.method(), request.headers(), validators, representation.size);
        send_selection(representation, selection, request)
    }
}

fn send_selection(representation: Representation, selection: Selection, request: &Request<'_>) -> Answer {
    let size = representation.size;
    let partial = || match request.headers().has("if-range") {
        true => representation.head(StatusCode::PARTIAL_CONTENT),
        false => representation.full_head(StatusCode::PARTIAL_CONTENT),
    };
    let selection = match selection {
        Selection::Parts(_) if representation.is_coded() => Selection::Whole,
        selection => selection,
    };
    match selection {
        Selection::Whole => {
            let head = representation.full_head(StatusCode::OK);
            if request.method() == "HEAD" {
                return sending::send_head(head, size);
            }
            sending::send_part(head, representation, 0, size)
        }
        Selection::Part(part) => {
            let head = partial().header("Content-Range", part.content_range(size));
            sending::send_part(head, representation, part.first, part.length())
        }
        Selection::Parts(parts) => {
            let boundary = uuid::Uuid::new_v4().simple().to_string();
            let multipart = Multipart::new(&parts, size, &representation.content_type, &boundary);
            let head = partial().content_type(multipart.content_type);
            sending::send_pieces(head, representation, multipart.length, multipart.pieces)
        }
        Selection::Unsatisfiable => {
            let text = format!("416 Range Not Satisfiable: the file has {size} bytes\n");
            negotiated(Response::text(StatusCode::RANGE_NOT_SATISFIABLE, text))
                .header("Content-Range", range::unsatisfied_content_range(size))
                .header("Accept-Ranges", "bytes")
                .into()
        }
    }
}

/// Adds Vary, whatever the status: another Accept-Encoding might have led to another response (RFC 9110, 12.5.5).
fn negotiated(response: Response) -> Response {
    response.header("Vary", "Accept-Encoding")
}

/// The allowed methods, whether the file exists or not: the default health check of HAProxy sends OPTIONS.
fn options() -> Answer {
    Response::new(StatusCode::OK).header("Allow", ALLOWED).into()
}

fn refuse_path(wrong: WrongPath) -> Answer {
    match wrong {
        WrongPath::NoFile => no_such_file(),
        WrongPath::Malformed => {
            let text = "400 Bad Request: a percent sign in the path is not followed by two hexadecimal digits\n";
            Response::text(StatusCode::BAD_REQUEST, text).into()
        }
    }
}

fn no_such_file() -> Answer {
    Response::text(StatusCode::NOT_FOUND, "404 Not Found: there is no such file\n").into()
}

/// Without another application: paths that are not below the prefix are not found.
impl App for Files {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        match self.answer(request, cx) {
            Some(answer) => answer,
            // `*` is the server as a whole (RFC 9110, 9.3.7), which serves only these files.
            None if request.path() == "*" => options(),
            None => no_such_file(),
        }
    }
}
