//! HTTP/1.1 and 1.0 (RFC 9110, RFC 9112), pure: bytes in, bytes out, and what it waits for. No socket, no clock.

mod call;
mod decode;
mod discard;
mod encode;
mod exchange;
mod framing;
mod head_cache;
mod parse;
mod pipelined;
mod state;
#[cfg(test)]
mod state_drain_tests;
#[cfg(test)]
mod state_file_tests;
#[cfg(test)]
mod state_flow_tests;
#[cfg(test)]
mod state_out_tests;
#[cfg(test)]
mod state_prop_tests;
#[cfg(test)]
mod state_record_tests;
#[cfg(test)]
pub mod test_client;
mod writer;

pub use call::app_failed;
pub use discard::DISCARD_BYTES_MAX;
pub use encode::{SUBPROTOCOL, error_response, plain_to_tls, refusal};
pub use framing::{BodyFraming, Framing, ResponseFacts, take_declared, too_short};
pub use head_cache::HeadCache;
pub use state::{Http1, REQUESTS_PER_TURN};
pub use writer::Sink;
