//! A client's socket, its TLS session and the two byte buffers of its connection.
//!
//! Public only for the master, which sets on its listeners the options that accepted sockets inherit.

mod file_part;
mod read_buffer;
mod sealed;
mod socket;
pub(crate) mod tls;
pub(crate) mod tls_crypto;
mod transport;
mod write_queue;

#[cfg(test)]
pub(crate) use file_part::file_of;
pub(crate) use file_part::{BrokenPart, FILE_PIECE_BYTES_MAX, FilePart};
pub(crate) use read_buffer::{ReadBuffer, Received};
pub(crate) use sealed::Shaken;
pub(crate) use socket::{FAST_CLIENT_BYTES, Socket};
pub(crate) use transport::Transport;
pub(crate) use write_queue::{Flushed, REFERENCE_BYTES_MIN, WriteQueue};

pub use socket::{Addresses, UNSENT_BYTES_MIN};
