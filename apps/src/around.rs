//! An application around another: its calls are seen first, and all else is passed on.

use std::time::Instant;
use tine_worker::app::{Answer, App, AppError, Cx};
use tine_worker::http::Request;

/// Wraps `app`: requests are given to `call`, which may pass them on to it.
pub fn around<F>(app: Box<dyn App>, call: F) -> Box<dyn App>
where
    F: FnMut(&mut dyn App, &Request<'_>, &Cx<'_>) -> Answer + 'static,
{
    Box::new(Around { app, call })
}

struct Around<F> {
    app: Box<dyn App>,
    call: F,
}

impl<F: FnMut(&mut dyn App, &Request<'_>, &Cx<'_>) -> Answer> App for Around<F> {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        (self.call)(&mut *self.app, request, cx)
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
