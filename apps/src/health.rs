//! The answer to who asks whether the server is healthy, a balancer as a rule: at the origin's `/health`, and at the path of
//! `--health-path` before any application.

use crate::files::UrlPrefix;
use tine_worker::app::{Answer, App, AppFactory, Cx};
use tine_worker::http::{Request, Response, StatusCode};

/// 200 also in a drain, as hpdummy; 503 only where a stop takes its time so that somebody may see it (`--drain-delay`).
/// Without a `Retry-After`: nobody knows whether there will be another server here.
pub fn answer(cx: &Cx<'_>) -> Answer {
    match cx.is_lame_duck() {
        false => Response::json(StatusCode::OK, "{\"status\":\"ok\"}").into(),
        true => Response::json(StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"stopping\"}").into(),
    }
}

/// The application with a path before it that answers for the server. The application is never asked for it.
pub fn before(path: UrlPrefix, app: AppFactory) -> AppFactory {
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

    fn retires(&self) -> Option<&'static str> {
        self.app.retires()
    }
}
