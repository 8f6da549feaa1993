//! `/status/{code}`: the echo with that status.
//!
//! A 1xx status is not final (RFC 9110, 15.2): it is sent as an interim response before a 200.

use super::echo::{self, Echo, RequestJson};
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Head, Request, Response, StatusCode};

const MISSING: &str = r#"{"error":"status code is required","example":"/status/404"}"#;
const INVALID: &str = r#"{"error":"invalid status code - must be a valid HTTP status code","example":"/status/404"}"#;
const OUT_OF_RANGE: &str = r#"{"error":"status code must be between 100 and 599","example":"/status/200"}"#;
const SWITCHES: &str =
    r#"{"error":"status code 101 switches protocols - a WebSocket handshake to /ws does that","example":"/ws"}"#;

pub fn answer(code: &str, request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Answer {
    let status = match parse(code) {
        Ok(status) => status,
        Err(wrong) => return Response::json(StatusCode::BAD_REQUEST, wrong).into(),
    };
    if status == StatusCode::RESET_CONTENT {
        // A 205 has no content (RFC 9110, 15.3.6).
        return Response::json(status, "").into();
    }
    let mut json = RequestJson::new(request, cx, hostname);
    json.insert("status_code", status.as_u16());
    json.insert("status_message", message(status));
    if status.is_informational() {
        return Answer::exchange(Interim { status: Some(status), echo: Echo::new(json, StatusCode::OK, echo::JSON) });
    }
    echo::answer_as(json, request, status, echo::JSON)
}

/// The status, or what is wrong with it.
fn parse(code: &str) -> Result<StatusCode, &'static str> {
    if code.is_empty() {
        return Err(MISSING);
    }
    // Signed, as in hpdummy: -1 is a number that is out of range.
    let code: i64 = code.parse().map_err(|_| INVALID)?;
    match u16::try_from(code) {
        Ok(101) => Err(SWITCHES),
        Ok(code @ 100..600) => StatusCode::from_u16(code).map_err(|_| OUT_OF_RANGE),
        _ => Err(OUT_OF_RANGE),
    }
}

/// The reason on the status line, with the hyphen that the http crate leaves out (RFC 9110, 15.3.4).
fn message(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NON_AUTHORITATIVE_INFORMATION => "Non-Authoritative Information",
        status => status.canonical_reason().unwrap_or("Unknown Status Code"),
    }
}

/// The head with the fields that its status MUST have (RFC 9110, 15), for a body of `length` bytes.
pub fn with_required_fields(head: Head, status: StatusCode, length: u64) -> Head {
    match status {
        // All of the body, as a part that was not asked for.
        StatusCode::PARTIAL_CONTENT => {
            head.header("Content-Range", format!("bytes 0-{}/{length}", length.saturating_sub(1)))
        }
        StatusCode::UNAUTHORIZED => head.header("WWW-Authenticate", "Basic realm=\"tine\""),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => head.header("Proxy-Authenticate", "Basic realm=\"tine\""),
        // No method is allowed, whichever was tried (10.2.1).
        StatusCode::METHOD_NOT_ALLOWED => head.header("Allow", ""),
        StatusCode::UPGRADE_REQUIRED => head.header("Upgrade", "websocket"),
        _ => head,
    }
}

/// An interim response at once, and the echo once the body has been read.
struct Interim {
    /// `None` once it was sent.
    status: Option<StatusCode>,
    echo: Echo,
}

impl Exchange for Interim {
    fn push(&mut self, body: &[u8], end: bool, cx: &Cx<'_>) -> Result<usize, AppError> {
        self.echo.push(body, end, cx)
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if let Some(status) = self.status.take() {
            out.interim(Head::new(status))?;
        }
        self.echo.pull(out, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        for code in (100..600).filter(|&code| code != 101) {
            assert_eq!(parse(&code.to_string()).map(|status| status.as_u16()), Ok(code));
        }
        assert_eq!(parse("+404"), Ok(StatusCode::NOT_FOUND));
        assert_eq!(parse("0404"), Ok(StatusCode::NOT_FOUND));
        for (code, wrong) in [
            ("", MISSING),
            ("abc", INVALID),
            ("404/", INVALID),
            ("4.4", INVALID),
            ("404 ", INVALID),
            ("99999999999999999999", INVALID),
            ("99", OUT_OF_RANGE),
            ("600", OUT_OF_RANGE),
            ("-404", OUT_OF_RANGE),
            ("65940", OUT_OF_RANGE),
            ("101", SWITCHES),
        ] {
            assert_eq!(parse(code), Err(wrong), "{code}");
        }
    }

    #[test]
    fn messages() {
        for (code, expected) in [
            (103, "Early Hints"),
            (200, "OK"),
            (203, "Non-Authoritative Information"),
            (404, "Not Found"),
            (418, "I'm a teapot"),
            (299, "Unknown Status Code"),
            (599, "Unknown Status Code"),
        ] {
            assert_eq!(message(StatusCode::from_u16(code).unwrap()), expected, "{code}");
        }
    }
}
