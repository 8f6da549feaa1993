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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Admin;
    use tine_worker::testing::Client;

    #[test]
    fn open_metrics_only_for_those_that_prefer_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let mut client = Client::new(Admin::new(Sources::of_nothing()));
        for (accept, is_open) in [
            (None, false),
            (Some("*/*"), false),
            (Some("text/plain"), false),
            (Some("application/json"), false),
            (Some(prometheus), true),
            (Some("application/openmetrics-text;q=0.5,text/plain;q=0.6"), false),
            (Some("application/openmetrics-text;q=0"), false),
            (Some("application/*"), true),
        ] {
            let fields: Vec<(&str, &str)> = accept.into_iter().map(|accept| ("Accept", accept)).collect();
            let response = client.request("GET", "/metrics", &fields, b"");
            let expected = if is_open { Format::OpenMetrics } else { Format::Text };
            assert_eq!(response.header("content-type"), Some(expected.content_type()), "{accept:?}");
            assert_eq!(response.text().ends_with("# EOF\n"), is_open, "{accept:?}");
        }
    }
}
