//! How a response marks the end of its body: one function decides.

use crate::app::AppError;
use crate::http::{Head, Version};
use http::StatusCode;

/// The facts of the request and the connection that decide the framing of a response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseFacts {
    pub version: Version,
    /// The request's method is HEAD.
    pub is_head: bool,
    /// The connection can be kept, as far as the client and the server are concerned, before the response is known.
    pub keep_alive: bool,
}

impl ResponseFacts {
    /// The same for a response with this head, which may end the connection.
    pub fn with(self, head: &Head) -> ResponseFacts {
        ResponseFacts { keep_alive: self.keep_alive && !head.closes(), ..self }
    }
}

/// How a response marks the end of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    pub body: BodyFraming,
    /// The value of Content-Length, if the head has that field.
    pub content_length: Option<u64>,
    /// The head has `Transfer-Encoding: chunked`.
    pub says_chunked: bool,
    pub keep_alive: bool,
}

/// What may follow the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// Nothing: what the application writes is dropped.
    Empty,
    /// Exactly this many bytes more.
    Known(u64),
    Chunked,
    /// A chunk was begun, and this many bytes of it are missing.
    InChunk(u64),
    UntilClose,
    /// No framing by the server: see `app::RawAccess`.
    Raw,
}

/// `length` more bytes of a body of which `left` are to come.
pub fn take_declared(left: &mut u64, length: u64) -> Result<(), AppError> {
    let too_long = || AppError::new(format!("the body is {} bytes longer than declared", length - *left));
    *left = left.checked_sub(length).ok_or_else(too_long)?;
    Ok(())
}

/// A body has ended of which `left` bytes were to come.
pub fn too_short(left: u64) -> AppError {
    AppError::new(format!("the body ended {left} bytes short of what was declared"))
}

impl Framing {
    /// Decides the framing of a response whose body has `declared` bytes, if that is known (RFC 9112, 6.3).
    pub fn of(facts: ResponseFacts, status: StatusCode, declared: Option<u64>) -> Framing {
        let ResponseFacts { version, is_head, keep_alive } = facts;
        let framing =
            |body, content_length, says_chunked, keep_alive| Framing { body, content_length, says_chunked, keep_alive };
        // HTTP/2 needs no chunks to end a body of any length.
        let chunked_ok = version != Version::Http10;
        // 1. 1xx, 204 and 304 have no body, and neither length nor coding (RFC 9110, 8.6; RFC 9112, 6.1).
        if status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            return framing(BodyFraming::Empty, None, false, keep_alive);
        }
        // 2. 205 has none either, with a length of 0 (RFC 9110, 15.3.6): clients by older RFCs would wait for a body.
        if status == StatusCode::RESET_CONTENT {
            return framing(BodyFraming::Empty, Some(0), false, keep_alive);
        }
        // 3. A response to HEAD has the head that GET would have, and no body.
        if is_head {
            return framing(BodyFraming::Empty, declared, declared.is_none() && chunked_ok, keep_alive);
        }
        match declared {
            // 4. A known length is declared.
            Some(length) => framing(BodyFraming::Known(length), declared, false, keep_alive),
            // 5. A body of unknown length is chunked if the client can read that.
            None if chunked_ok => framing(BodyFraming::Chunked, None, true, keep_alive),
            // 6. For HTTP/1.0 the body ends with the connection.
            None => framing(BodyFraming::UntilClose, None, false, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BodyFraming::*;

    #[test]
    fn framing_by_request_and_status() {
        use Version::{Http10, Http11};
        for (version, is_head, status, declared, body, content_length, says_chunked, kept) in [
            (Http11, false, 200, Some(5), Known(5), Some(5), false, true),
            (Http11, false, 200, None, Chunked, None, true, true),
            (Http10, false, 200, Some(5), Known(5), Some(5), false, true),
            (Http10, false, 200, None, UntilClose, None, false, false),
            (Http11, true, 200, Some(5), Empty, Some(5), false, true),
            (Http11, true, 200, None, Empty, None, true, true),
            (Http10, true, 200, None, Empty, None, false, true),
            (Http11, false, 204, Some(5), Empty, None, false, true),
            (Http11, false, 304, Some(5), Empty, None, false, true),
            (Http11, false, 205, Some(0), Empty, Some(0), false, true),
            (Http11, false, 205, Some(5), Empty, Some(0), false, true),
            (Http11, false, 205, None, Empty, Some(0), false, true),
            (Http10, true, 205, None, Empty, Some(0), false, true),
        ] {
            let facts = ResponseFacts { version, is_head, keep_alive: true };
            let expected = Framing { body, content_length, says_chunked, keep_alive: kept };
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                Framing::of(facts, status, declared),
                expected,
                "{version:?} head={is_head} {status} {declared:?}"
            );
        }
    }
}
