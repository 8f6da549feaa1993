//! HTTP/2 (RFC 9113), pure: bytes in, bytes out. No socket, no clock.

pub mod hpack;
