//! WebSocket (RFC 6455) on a connection that switched from HTTP/1.1, or on a stream of HTTP/2 (RFC 8441); pure like every
//! protocol: bytes in, bytes out.
//!
//! tungstenite's context handles frames and the close handshake; it reads from the connection's input and writes to its
//! output. Messages are written without it, so that a large payload is not copied. No extension is offered: the library
//! has none.

mod calls;
mod closing;
mod frames;
#[cfg(test)]
mod frames_tests;
mod handshake;
mod state;
#[cfg(test)]
mod state_end_tests;
#[cfg(test)]
mod state_prop_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod state_time_tests;
mod stream;
#[cfg(test)]
mod test_client;

pub use handshake::{NotHandshake, check};
pub use state::{INPUT_BYTES_MAX, WebSocket, outcome};
pub use stream::Duplex;
