//! `/redirect/{n}`: a chain of n redirects that ends at the echo and passes its parameters on.

use super::query;
use crate::percent;
use tine_worker::app::{Answer, Cx};
use tine_worker::http::{Request, Response, StatusCode};

/// Where a chain ends.
const END: &str = "/anything";
/// More than any client follows.
const HOPS_MAX: u64 = 10_000;
/// The statuses that a client follows automatically (RFC 9110, 15.4).
const CODES: [(&str, StatusCode); 5] = [
    ("301", StatusCode::MOVED_PERMANENTLY),
    ("302", StatusCode::FOUND),
    ("303", StatusCode::SEE_OTHER),
    ("307", StatusCode::TEMPORARY_REDIRECT),
    ("308", StatusCode::PERMANENT_REDIRECT),
];

pub fn answer(hops: &str, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
    let response = respond(hops, request, cx);
    response.unwrap_or_else(|text| Response::text(StatusCode::BAD_REQUEST, text)).into()
}

fn respond(hops: &str, request: &Request<'_>, cx: &Cx<'_>) -> Result<Response, String> {
    if hops.is_empty() {
        return Err("Please specify how many: /redirect/3 or /redirect/3?code=307&absolute=1\n".into());
    }
    let hops = query::number_of("the number of redirections", hops, 1..=HOPS_MAX)?;
    let status = match query::value(request, "code") {
        None => StatusCode::FOUND,
        Some(text) => {
            let known = CODES.iter().find(|(code, _)| *code == text);
            known.map(|(_, status)| *status).ok_or(format!("code must be 301, 302, 303, 307 or 308, not {text:?}\n"))?
        }
    };
    let base = match (query::flag(request, "absolute")?, cx.host_of(request)) {
        (false, _) => String::new(),
        (true, "") => return Err("absolute=1 needs a Host header to build URLs from\n".into()),
        (true, host) => format!("{}://{host}", request.scheme()),
    };
    let path = if hops == 1 { END.to_string() } else { format!("/redirect/{}", hops - 1) };
    let query = request.query().map_or(String::new(), |query| format!("?{}", percent::encode_above_ascii(query)));
    let location = format!("{base}{}{path}{query}", cx.worker().root_path);
    let text = format!("{status}: {location}\n");
    Ok(Response::text(status, text).header("Location", location))
}
