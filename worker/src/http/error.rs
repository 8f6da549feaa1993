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
