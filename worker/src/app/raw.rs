//! Raw access: output without framing, which only a test origin that fails on request needs.
//!
//! It takes a [`RawAccess`], which an application gets only if it was built for it: `tine_cli::serve_raw` passes one to its
//! factory, `tine_cli::serve` does not. Without it an application cannot break the framing of a response. The guarantees
//! also hold here: output is accepted only while there is room, and every wait has its deadline.

use super::AppError;
use crate::protocol::Sink;
use std::fmt;

/// The right to write bytes without framing.
#[derive(Clone, Copy)]
pub struct RawAccess(());

impl RawAccess {
    /// See [`crate::raw_access::grant`].
    pub(crate) fn new() -> RawAccess {
        RawAccess(())
    }
}

impl fmt::Debug for RawAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawAccess")
    }
}

/// What happens to the connection after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The connection is kept for the next request, unless the client or a drain ends it.
    Kept,
    /// Our side is shut down (FIN) after the last byte.
    Closed,
    /// The connection is reset (RST) once the client's kernel has acknowledged the last byte.
    Reset,
}

/// Raw output of one pull. After the last byte the exchange calls [`RawOut::end`] and returns `Pull::End`.
pub struct RawOut<'a> {
    sink: Sink<'a>,
}

impl<'a> RawOut<'a> {
    pub(super) fn of(mut sink: Sink<'a>) -> Result<RawOut<'a>, AppError> {
        sink.raw()?;
        Ok(RawOut { sink })
    }

    /// Bytes that fit below the high watermark.
    pub fn room(&self) -> usize {
        self.sink.room()
    }

    /// Queues a copy of `bytes`, as they are.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), AppError> {
        if !bytes.is_empty() && self.room() == 0 {
            return Err(AppError::new("the app wrote without room; check RawOut::room first"));
        }
        self.sink.raw_bytes(bytes);
        Ok(())
    }

    /// Sets what happens to the connection once the exchange returns `Pull::End`; by default it is closed.
    pub fn end(&mut self, end: ConnectionEnd) {
        self.sink.raw_end(end);
    }
}
