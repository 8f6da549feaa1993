//! The health check for load balancers: at the origin's `/health`, and at the path of `--health-path` before any
//! application.

use crate::files::UrlPrefix;
use std::time::Instant;
use tine_worker::app::{Answer, App, AppError, AppFactory, Cx};
use tine_worker::http::{Request, Response, StatusCode};

/// 200 also while draining, as in hpdummy; 503 only while a stopping server waits for load balancers to notice
/// (`--drain-delay`). Without `Retry-After`: whether another server will replace this one is unknown.
pub fn answer(cx: &Cx<'_>) -> Answer {
    match cx.is_lame_duck() {
        false => Response::json(StatusCode::OK, "{\"status\":\"ok\"}").into(),
        true => Response::json(StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"stopping\"}").into(),
    }
}

/// A path for health checks, in the form that requests are compared with. The error has an example.
pub fn parse_path(text: &str) -> Result<String, String> {
    match text.parse::<UrlPrefix>() {
        Ok(path) if text.starts_with('/') && !path.is_root() => Ok(path.to_string()),
        _ => Err("give a path such as /health".to_string()),
    }
}

/// Wraps an application so that requests for `path`, if there is one, are answered by the server and never reach the
/// application.
pub fn at(path: Option<&str>, app: AppFactory) -> AppFactory {
    let Some(path) = path.and_then(|path| path.parse::<UrlPrefix>().ok()) else { return app };
    Box::new(move |worker| Ok(Box::new(Health { path: path.clone(), app: app(worker)? })))
}

struct Health {
    path: UrlPrefix,
    app: Box<dyn App>,
}

impl App for Health {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        match self.path.strip(request.path()) {
            Some("") => answer(cx),
            _ => self.app.call(request, cx),
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
