//! Two applications at one address: files at and below their prefix, the user's application for everything else.

use crate::files::Files;
use std::time::Instant;
use tine_worker::app::{Answer, App, Cx};
use tine_worker::http::Request;

pub struct Router {
    files: Files,
    /// It never gets a request for a path at or below the prefix, even if there is no such file.
    app: Box<dyn App>,
}

impl Router {
    pub fn new(files: Files, app: Box<dyn App>) -> Router {
        Router { files, app }
    }
}

impl App for Router {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        match self.files.answer(request, cx) {
            Some(answer) => answer,
            None => self.app.call(request, cx),
        }
    }

    fn each_second(&mut self, now: Instant) {
        self.app.each_second(now);
    }

    fn retires(&self) -> Option<&'static str> {
        self.app.retires()
    }
}
