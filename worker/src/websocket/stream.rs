//! The bytes of a WebSocket, as tungstenite's context reads and writes them: a connection's, or those of a stream of HTTP/2.

use super::frames::Frames;
use crate::net::{ReadBuffer, WriteQueue};
use std::io::{self, Read, Write};

/// The two directions, and whether the client has ended its own.
pub struct Duplex<'a> {
    pub input: &'a mut ReadBuffer,
    pub output: &'a mut WriteQueue,
    /// As in [`crate::protocol::Io`].
    pub input_ended: bool,
    pub hung_up: bool,
}

/// Both directions as the stream that the context reads and writes.
pub struct Buffered<'a, 'b> {
    pub io: &'a mut Duplex<'b>,
    pub frames: &'a mut Frames,
    /// Frames that may be begun.
    pub budget: &'a mut usize,
}

impl Read for Buffered<'_, '_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self.frames.read(self.io.input, room, self.budget)? {
            0 if !self.io.input_ended || *self.budget == 0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Buffered<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Queued(self.io.output).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The output alone, where nothing is read.
pub struct Queued<'a>(pub &'a mut WriteQueue);

impl Read for Queued<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Queued<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
