//! Two applications at one address: files at and below their prefix, the user's application for everything else. With the
//! prefix `/` that is every request that names no file.

use crate::files::Files;
use std::time::Instant;
use tine_worker::app::{Answer, App, AppError, Cx};
use tine_worker::http::Request;

/// Files, and an application for all other paths.
///
/// ```no_run
/// # mod tine { pub use tine_apps::{files, router}; pub use tine_worker::{app, http}; }
/// # use tine::app::{Answer, App, Cx};
/// # use tine::files::{Files, Root};
/// # use tine::http::{Request, Response, StatusCode};
/// # use tine::router::Router;
/// # use std::{path::Path, sync::Arc};
/// # struct Hello;
/// # impl App for Hello {
/// #     fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
/// #         Response::text(StatusCode::OK, "hello\n").into()
/// #     }
/// # }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let root = Arc::new(Root::open(Path::new("/srv/app/assets"))?);
/// let app = Router::new(Files::new(root, "/assets".parse()?), Box::new(Hello));
/// # Ok(())
/// # }
/// ```
pub struct Router {
    files: Files,
    /// It never gets a request for a path at or below the prefix, even if there is no such file; unless the prefix is `/`.
    app: Box<dyn App>,
}

impl Router {
    /// The prefix is that of the files.
    pub fn new(files: Files, app: Box<dyn App>) -> Router {
        Router { files, app }
    }
}

impl App for Router {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        let of_files = match self.files.is_everywhere() {
            true => self.files.answer_with_file(request, cx),
            false => self.files.answer(request, cx),
        };
        match of_files {
            Some(answer) => answer,
            None => self.app.call(request, cx),
        }
    }

    fn start(&mut self, cx: &Cx<'_>) -> Result<(), AppError> {
        self.app.start(cx)
    }

    fn stop(&mut self, cx: &Cx<'_>) {
        self.app.stop(cx);
    }

    fn each_second(&mut self, now: Instant) {
        self.files.each_second(now);
        self.app.each_second(now);
    }

    fn retires(&self) -> Option<&'static str> {
        self.app.retires()
    }
}
