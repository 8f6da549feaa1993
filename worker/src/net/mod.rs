//! A client's socket and the two byte buffers of its connection.

mod read_buffer;
mod socket;
mod write_queue;

pub use read_buffer::{ReadBuffer, Received};
pub use socket::Socket;
pub use write_queue::{Flushed, WriteQueue};
