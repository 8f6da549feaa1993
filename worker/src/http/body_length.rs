//! The length of a request body, as its head declares it.

/// The longest body of a request or a response: the limit of a signed 64-bit byte count (off_t), and of other servers
/// and proxies.
pub const BODY_BYTES_MAX: u64 = i64::MAX as u64;

/// The body that a request's head announces (RFC 9112, 6.3).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    #[default]
    /// No body is announced.
    None,
    /// Content-Length, in bytes.
    Known(u64),
    /// Transfer-Encoding: chunked; the length is known at the end.
    Chunked,
}
