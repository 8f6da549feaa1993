//! `/etag/{tag}`: a representation with that entity tag and a fixed date, for conditional requests.
//!
//! It never changes: a write whose preconditions hold gets the same response as a read.

use super::query;
use serde_json::json;
use std::time::{Duration, UNIX_EPOCH};
use tine_worker::app::Answer;
use tine_worker::http::conditional::{EntityTag, Precondition, Validators, evaluate};
use tine_worker::http::{HttpDate, Request, Response, StatusCode};

/// The Last-Modified date of all representations here: Wed, 01 Jan 2025 00:00:00 GMT.
const LAST_MODIFIED: Duration = Duration::from_secs(1_735_689_600);

pub fn answer(tag: &str, request: &Request<'_>) -> Answer {
    let response = respond(tag, request);
    response.unwrap_or_else(|text| Response::text(StatusCode::BAD_REQUEST, text)).into()
}

fn respond(tag: &str, request: &Request<'_>) -> Result<Response, String> {
    if tag.is_empty() {
        return Err("Please specify a tag: /etag/v1 or /etag/v1?weak=1\n".into());
    }
    let is_weak = query::flag(request, "weak")?;
    let etag = EntityTag::new(tag, is_weak)
        .ok_or(format!("a tag cannot have a quote, a space or a control character in it, as {tag:?} has\n"))?;
    Ok(unless_preconditions_hold(request, etag).unwrap_or_else(|| {
        let json = json!({ "etag": etag.to_string(), "last_modified": last_modified().to_string() });
        with_validators(Response::json(StatusCode::OK, json.to_string()), etag)
    }))
}

/// The 304 or the 412 that ends a request for a representation with this tag.
pub fn unless_preconditions_hold(request: &Request<'_>, etag: EntityTag<'_>) -> Option<Response> {
    match evaluate(request.method(), request.headers(), validators(etag)) {
        Precondition::Holds => None,
        Precondition::NotModified => Some(with_validators(Response::new(StatusCode::NOT_MODIFIED), etag)),
        Precondition::Failed => {
            let text = format!("412 Precondition Failed: the entity tag is {etag}, the date {}\n", last_modified());
            Some(Response::text(StatusCode::PRECONDITION_FAILED, text))
        }
    }
}

/// The validators of a representation that never changes.
pub fn validators(etag: EntityTag<'_>) -> Validators<'_> {
    Validators { etag: Some(etag), last_modified: Some(last_modified()), last_modified_is_strong: true }
}

/// The fields that a 200 and a 304 share (RFC 9110, 15.4.5): caches may store it, and must revalidate each time.
pub fn cache_fields(etag: EntityTag<'_>) -> [(&'static str, String); 3] {
    [
        ("ETag", etag.to_string()),
        ("Last-Modified", last_modified().to_string()),
        ("Cache-Control", "no-cache".to_string()),
    ]
}

fn with_validators(response: Response, etag: EntityTag<'_>) -> Response {
    cache_fields(etag).into_iter().fold(response, |response, (name, value)| response.header(name, value))
}

fn last_modified() -> HttpDate {
    HttpDate::new(UNIX_EPOCH + LAST_MODIFIED)
}
