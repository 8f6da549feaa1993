//! HPACK (RFC 7541): the compression of header fields.
//!
//! A connection has a [`Decoder`] and an [`Encoder`], which it keeps for as long as it lives: what they do to their tables
//! has to be what the client's do. A [`Block`] has the fields of a decoded header block, until the next is decoded; a worker
//! needs only one.
//!
//! ```text
//! decoder.decode(fragment, bounds, &mut block)?;      // all fragments of the block, joined
//! for (name, value) in block.iter() { ... }           // or block.excess(): more than the bounds, so not all are there
//!
//! encoder.begin(out);                                 // before the first field of each block
//! encoder.status(200, out);
//! encoder.known(names::CONTENT_TYPE, b"text/plain", out);
//! encoder.field(b"X-Other", b"value", out);           // writes the name in lower case
//! ```

// It is public for clients in tests only.
#![allow(clippy::new_without_default)]

mod block;
mod decoder;
#[cfg(test)]
mod decoder_tests;
mod dynamic_table;
mod encoder;
#[cfg(test)]
mod encoder_tests;
mod huffman;
mod huffman_code;
mod integer;
mod static_table;

pub use block::{Block, Bounds, Excess};
pub use decoder::{DecodeError, Decoder};
pub use encoder::Encoder;
pub use static_table::names;

/// SETTINGS_HEADER_TABLE_SIZE as long as no other value is announced (RFC 9113, 6.5.2).
pub const DEFAULT_TABLE_BYTES: usize = 4096;

/// A string or an integer that breaks the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CompressionError;
