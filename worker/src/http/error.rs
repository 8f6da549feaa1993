//! A client's error: a status, and the reason for the response's body.

use http::StatusCode;
use std::fmt;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error {
    /// The status that the client gets.
    pub status: StatusCode,
    /// Why, in the response's body.
    pub reason: &'static str,
}

impl Error {
    /// Refused with this status, for this reason.
    pub const fn new(status: StatusCode, reason: &'static str) -> Self {
        Error { status, reason }
    }

    /// 414 (RFC 9110, 15.5.15): `--request-line-max`.
    pub(crate) const LINE_TOO_LONG: Error =
        Error::new(StatusCode::URI_TOO_LONG, "the request line is longer than this server accepts");
    /// 431 (RFC 6585, 5): `--header-max`.
    pub(crate) const HEADER_TOO_LARGE: Error =
        Error::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the header is larger than this server accepts");
    /// 431: `--header-count-max`.
    pub(crate) const TOO_MANY_FIELDS: Error = Error::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "there are more header fields than this server accepts",
    );

    /// 400 (RFC 9110, 15.5.1).
    pub const fn bad_request(reason: &'static str) -> Self {
        Error::new(StatusCode::BAD_REQUEST, reason)
    }
}

impl fmt::Display for Error {
    /// `400 Bad Request: bare LF in the head`, as in the response's body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_str(), self.status.canonical_reason().unwrap_or("Error"), self.reason)
    }
}
