//! HTTP/2 (RFC 9113), pure: bytes in, bytes out. No socket, no clock.
//!
//! - `frame` parses frames, `frame_writer` writes them, `error` has their errors, `settings` those of the client.
//! - `hpack`: the compression of header fields; `head`: from the fields of a block to a request.
//! - `windows`: flow control; `priority`: which response is sent first; `budget`: what a client may do that is of no use.

pub mod budget;
pub mod error;
pub mod frame;
pub mod frame_writer;
pub mod head;
pub mod hpack;
pub mod priority;
pub mod settings;
pub mod windows;
