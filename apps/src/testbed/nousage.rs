//! `/nousage...`: replies from which token usage cannot be read, each for another reason.

use super::echo::{self, RequestJson};
use tine_worker::app::{Answer, Cx};
use tine_worker::http::{Request, Response, StatusCode};

/// Truncated inside a string.
const BAD_JSON: &str = r#"{"_myhostname":"test","uri":"/nousage/badjson","method":"GET","invalid json truncated"#;

/// `rest`: what follows `/nousage`, anything.
pub fn answer(rest: &str, request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Answer {
    let json = || RequestJson::new(request, cx, hostname).without_usage();
    match rest {
        "/wrongct" => echo::answer_as(json(), request, StatusCode::OK, "text/plain; charset=utf-8"),
        "/badjson" => Response::json(StatusCode::OK, BAD_JSON).into(),
        "/empty" => Response::json(StatusCode::OK, "").into(),
        _ => echo::answer_as(json(), request, StatusCode::OK, echo::JSON),
    }
}
