//! HTTP/2 (RFC 9113), pure: bytes in, bytes out. No socket, no clock.
//!
//! - `frame` parses frames, `frame_writer` writes them, `error` has their errors, `settings` those of the client.
//! - `hpack`: the compression of header fields; `head` makes a request's head of them, `encode` encodes those of responses.
//! - `windows`: flow control; `priority`: which response is sent first; `budget`: what a client may do that is of no use.
//! - `state`: a connection. `receive` handles its frames, `request` begins requests, `drive` calls their exchanges, `send` moves
//!   what these have written into frames, `deadlines` has the waits.
//! - `websocket`: a stream that has become a WebSocket (RFC 8441).
//! - `stream`: a request and its response, with a half each for what comes (`incoming`) and what goes (`outgoing`); `writer` is where
//!   an exchange writes; `raw` is what it writes beside the rules.

mod budget;
mod deadlines;
mod drive;
mod encode;
mod error;
mod frame;
mod frame_writer;
mod head;
pub mod hpack;
mod incoming;
mod last_head;
mod outgoing;
mod priority;
mod raw;
mod receive;
mod request;
mod send;
mod settings;
mod state;
#[cfg(test)]
mod state_flow_tests;
#[cfg(test)]
mod state_fuzz_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod state_wait_tests;
mod stream;
#[cfg(test)]
mod test_client;
mod websocket;
mod windows;
mod writer;

pub use raw::Acks;
pub use state::{Http2, INPUT_BYTES_MAX, Scratch, is_preface};
pub use writer::Sink;
