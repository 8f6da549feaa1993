//! Pipelined requests during a drain: a client may have sent several requests at once.
//!
//! The response with `Connection: close` is the last one (RFC 9112, 9.6), and requests after it are lost. So while a
//! complete request follows in the input, the response before it does not have that field. An incomplete one is not
//! waited for, and nothing more is read before the complete ones are answered: the drain ends with what had been read,
//! whatever the client keeps sending.

use super::parse::{later_minor_version, parse};
use crate::http::BodyLength;
use std::mem::MaybeUninit;
use tine_common::config::{HEADER_COUNT_CEILING, Limits};

/// Whether the bytes after a request, or after its head and `body`, begin with a complete request. One with a chunked
/// body does not count: its end is found only by decoding it.
pub fn is_request_pipelined(bytes: &[u8], body: BodyLength, limits: &Limits) -> bool {
    let Some(mut bytes) = after_body(bytes, body) else { return false };
    // Empty lines are skipped, as before any request.
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    if bytes.is_empty() {
        return false;
    }
    let mut of_our_version = Vec::new();
    if let Some(at) = later_minor_version(bytes) {
        of_our_version.extend_from_slice(bytes);
        of_our_version[at] = b'1';
        bytes = &of_our_version;
    }
    let mut fields = [const { MaybeUninit::uninit() }; HEADER_COUNT_CEILING];
    match parse(bytes, &mut fields[..limits.header_count_max], limits) {
        Ok(Some(next)) => after_body(&bytes[next.length..], next.request.body_length()).is_some(),
        Ok(None) | Err(_) => false,
    }
}

/// The bytes after a body, if it is complete.
fn after_body(bytes: &[u8], body: BodyLength) -> Option<&[u8]> {
    match body {
        BodyLength::None => Some(bytes),
        BodyLength::Known(length) => bytes.get(usize::try_from(length).ok()?..),
        BodyLength::Chunked => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_request_counts() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let of = |bytes: &str, body| is_request_pipelined(bytes.as_bytes(), body, &Limits::default());
        let none = BodyLength::None;
        for (bytes, expected) in [
            (String::new(), false),
            ("\r\n\r\n".to_string(), false),
            (get.to_string(), true),
            (format!("\r\n{get}"), true),
            (format!("{get}{get}"), true),
            (format!("{get}x"), true),
            (post.to_string(), false),
            (format!("{post}ab"), false),
            (get.replace("1.1", "1.2"), true),
            (get.replace("1.1", "2.0"), false),
            (format!("{post}abc"), true),
            (chunked.to_string(), false),
            ("GET / HTTP/1.1\r\n\r\n".to_string(), false), // no Host: a bad request
            ("nonsense\r\n\r\n".to_string(), false),
        ] {
            assert_eq!(of(&bytes, none), expected, "{bytes:?}");
            assert_eq!(of(&format!("abc{bytes}"), BodyLength::Known(3)), expected, "abc{bytes:?}");
            assert!(!of(&bytes, BodyLength::Chunked), "{bytes:?}");
        }
        for end in 0..get.len() {
            assert!(!of(&get[..end], none), "{end} bytes");
        }
        assert!(!of("ab", BodyLength::Known(3)), "the body before it is incomplete");
        assert!(!of(get, BodyLength::Known(u64::MAX)));
    }
}
