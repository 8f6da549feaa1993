//! An application that is mounted below a path (`--root-path`): it sees the paths of its requests without it.
//!
//! A request for a path below it is taken for one whose proxy has left it there, any other for one whose proxy has removed it: both are
//! usual. What the application calls itself in links and redirections is its own; [`WorkerInfo::root_path`](tine_worker::app::WorkerInfo)
//! has the path.

use std::time::Instant;
use tine_common::config::RootPath;
use tine_worker::app::{Answer, App, AppError, AppFactory, Cx};
use tine_worker::http::Request;

/// Wraps an application that is mounted below a path, if there is one.
pub fn at(root: Option<RootPath>, app: AppFactory) -> AppFactory {
    let Some(root) = root else { return app };
    Box::new(move |worker| Ok(Box::new(Mounted { root, app: app(worker)? })))
}

struct Mounted {
    root: RootPath,
    app: Box<dyn App>,
}

impl App for Mounted {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        match self.root.length_in(request.path()) {
            Some(length) => self.app.call(&request.below(length), cx),
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
        self.app.each_second(now);
    }

    fn retires(&self) -> Option<&'static str> {
        self.app.retires()
    }
}
