//! The health check for load balancers: at the origin's `/health`, and at the path of `--health-path` before any
//! application.

use crate::around::around;
use crate::files::UrlPrefix;
use tine_worker::app::{Answer, AppFactory, Cx};
use tine_worker::http::{Response, StatusCode};

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
    Box::new(move |worker| {
        let path = path.clone();
        Ok(around(app(worker)?, move |app, request, cx| match path.strip(request.path()) {
            Some("") => answer(cx),
            _ => app.call(request, cx),
        }))
    })
}
