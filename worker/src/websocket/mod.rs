//! WebSocket (RFC 6455) on a connection that HTTP/1.1 handed over, pure like every protocol: bytes in, bytes out.
//!
//! Frames and the closing handshake are tungstenite's context, which reads from the connection's input and writes to its
//! output; messages go out past it, so that a large payload is not copied. No extension is offered: the library has none.

mod frames;
#[cfg(test)]
mod frames_tests;
mod handshake;
mod state;
#[cfg(test)]
mod state_prop_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod state_time_tests;
#[cfg(test)]
mod test_client;

pub use handshake::{Refusal, accept};
pub use state::{INPUT_BYTES_MAX, WebSocket};
