//! Files beneath one directory: GET and HEAD, conditional and range requests, precompressed siblings, index.html.
//!
//! A response is what is on disk, or was a moment ago: a file that was opened is used again for [`VALIDITY`]. docs/files.md
//! lists the responses.
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

mod answering;
mod cache;
mod coding;
mod content_type;
mod representation;
mod root;
#[cfg(any(feature = "lua54", feature = "luajit"))]
pub(crate) mod sendfile;
mod sending;
mod url;

pub use root::Root;
#[cfg(any(feature = "lua54", feature = "luajit"))]
pub(crate) use sending::write_open;
pub use url::UrlPrefix;

use crate::percent;
use cache::{Cache, Entry, Times};
use coding::{Chosen, choose_sibling};
use root::NotFound;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tine_worker::app::{Answer, App, Cx};
use tine_worker::http::{Request, Response, StatusCode};
use url::{FilePath, WrongPath};

/// The methods that every path allows.
const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// When a client may retry if no descriptor was left.
const RETRY_AFTER_SECONDS: &str = "5";

/// For how long a file that was opened is used for other requests: not long enough for a person to see an old page after a
/// deploy, and yet a file that is asked for often is opened hardly ever.
pub const VALIDITY: Duration = Duration::from_secs(1);

/// An application that serves the files of a directory.
pub struct Files {
    root: Arc<Root>,
    at: UrlPrefix,
    cache: Cache,
}

impl Files {
    /// `at`: the URL path of the root.
    pub fn new(root: Arc<Root>, at: UrlPrefix) -> Files {
        Files { root, at, cache: Cache::new(VALIDITY) }
    }

    /// Sets for how long a file that was opened is used for other requests, in place of [`VALIDITY`]; zero: each request
    /// opens its file. [`App::each_second`] has to be called, so that no file is held for longer.
    pub fn cached_for(self, validity: Duration) -> Files {
        Files { cache: Cache::new(validity), ..self }
    }

    /// The response to a request for a path at or below the prefix; `None` for all other paths.
    pub fn answer(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Option<Answer> {
        let rest = self.at.strip(request.path())?;
        Some(self.respond(rest, request, cx))
    }

    /// The response with the file that a GET or HEAD names, or with the `index.html` of a directory; `None` for all other
    /// requests: an application answers those where both are served at the same paths.
    pub fn answer_with_file(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Option<Answer> {
        let rest = self.at.strip(request.path()).filter(|_| matches!(request.method(), "GET" | "HEAD"))?;
        let path = FilePath::parse(rest).ok()?.or_index();
        match self.cache.find(&self.root, &path.bytes, Times { now: cx.now(), date: cx.date() }) {
            Err(NotFound::Directory | NotFound::Absent) => None,
            _ => Some(self.respond(rest, request, cx)),
        }
    }

    /// Whether files and an application share all paths.
    pub fn is_everywhere(&self) -> bool {
        self.at.is_root()
    }

    fn respond(&mut self, rest: &str, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        match request.method() {
            "GET" | "HEAD" => {}
            "OPTIONS" => return options(),
            _ => {
                let text = "405 Method Not Allowed: files support only GET and HEAD\n";
                return Response::text(StatusCode::METHOD_NOT_ALLOWED, text).header("Allow", ALLOWED).into();
            }
        }
        let path = match FilePath::parse(rest) {
            Ok(path) => path.or_index(),
            Err(wrong) => return refuse_path(wrong),
        };
        if path.bytes.is_empty() && !path.is_directory {
            return self.with_slash(&path, request, cx);
        }
        let at = Times { now: cx.now(), date: cx.date() };
        match self.cache.find(&self.root, &path.bytes, at) {
            Ok(entry) => self.send(&path.bytes, &entry, request, at),
            Err(NotFound::Directory) if !path.is_directory => self.with_slash(&path, request, cx),
            Err(why) => not_found(why, &path.bytes, self.root.path()),
        }
    }

    /// A redirect to the same path with a slash, so that the relative links of a page resolve below it.
    fn with_slash(&self, path: &FilePath, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        let query = request.query().map_or(String::new(), |query| format!("?{}", percent::encode_above_ascii(query)));
        let location = format!("{}{}{}/{query}", cx.worker().root_path, self.at.encoded(), path.encoded());
        Response::text(
            StatusCode::MOVED_PERMANENTLY,
            "301 Moved Permanently: a directory's address ends with a slash\n",
        )
        .header("Location", location)
        .into()
    }

    fn send(&mut self, path: &[u8], entry: &Rc<Entry>, request: &Request<'_>, at: Times) -> Answer {
        let (cache, root) = (&mut self.cache, &self.root);
        let sibling = |coding| cache.sibling(root, path, entry, coding, at);
        let representation = match choose_sibling(request.headers(), sibling) {
            Chosen::Plain => entry.plain.clone(),
            Chosen::Sibling(sibling) => sibling,
            Chosen::Nothing => {
                let text =
                    "406 Not Acceptable: Accept-Encoding allows neither the file nor a compressed version of it\n";
                return answering::negotiated(Response::text(StatusCode::NOT_ACCEPTABLE, text)).into();
            }
        };
        answering::answer(representation, request.method(), request.headers(), at.date)
    }
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

/// `path`: beneath the root.
fn not_found(why: NotFound, path: &[u8], root: &Path) -> Answer {
    match why {
        NotFound::Directory | NotFound::Absent => no_such_file(),
        NotFound::Forbidden => {
            Response::text(StatusCode::FORBIDDEN, "403 Forbidden: the server may not read this file\n").into()
        }
        NotFound::Exhausted => {
            let text = "503 Service Unavailable: no descriptor is left to open the file; try again later\n";
            let response = Response::text(StatusCode::SERVICE_UNAVAILABLE, text);
            response.header("Retry-After", RETRY_AFTER_SECONDS).into()
        }
        NotFound::Failed(e) => {
            let name = String::from_utf8_lossy(path).into_owned();
            sending::fail(format!("{name:?} in {} cannot be opened: {e}", root.display()))
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

    fn each_second(&mut self, now: Instant) {
        self.cache.expire(now);
    }
}
