//! `/metrics`, in the format that the scraper prefers.

use super::Sources;
use crate::accept;
use std::time::Instant;
use tine_common::telemetry::exposition::Format;
use tine_common::telemetry::report::report;
use tine_worker::http::{Headers, Response, StatusCode};

pub fn answer(sources: &Sources, headers: Headers<'_>, now: Instant) -> Response {
    let format = preferred(headers);
    let text = report(&sources.server, sources.roster().as_ref(), format, now);
    Response::new(StatusCode::OK).content_type(format.content_type()).header("Vary", "Accept").body(text)
}

/// OpenMetrics only if it is asked for: a client without a preference, such as curl, gets the text format.
fn preferred(headers: Headers<'_>) -> Format {
    let open = accept::quality(headers, "application", "openmetrics-text");
    let text = accept::quality(headers, "text", "plain");
    if open > text { Format::OpenMetrics } else { Format::Text }
}
