//! `/ip` and `/uuid`: the address of the client as the server sees it, and a unique identifier.

use serde_json::json;
use tine_worker::app::{Answer, Cx};
use tine_worker::http::{Request, Response, StatusCode};
use uuid::Uuid;

/// The peer's address without its port. What proxies claim about the client is shown beside it, but not trusted.
pub fn ip(request: &Request<'_>, cx: &Cx<'_>) -> Answer {
    let origin = cx.peer_address().map_or("unix".to_string(), |address| address.ip().to_string());
    let mut json = json!({ "origin": origin });
    let fields = request.headers().iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
    let values: Vec<_> = fields.map(|(_, value)| String::from_utf8_lossy(value)).collect();
    if !values.is_empty() {
        json["forwarded_for"] = values.join(", ").into();
    }
    Response::json(StatusCode::OK, json.to_string()).into()
}

/// A version 4 UUID (RFC 9562): 122 random bits from the kernel.
pub fn uuid() -> Answer {
    Response::json(StatusCode::OK, json!({ "uuid": Uuid::new_v4().to_string() }).to_string()).into()
}
