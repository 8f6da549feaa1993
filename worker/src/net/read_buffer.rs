//! Bytes read from a client and not yet consumed.
//!
//! The worker owns one large buffer that all connections share. What a connection leaves in it at the end of its turn
//! is parked in a buffer of exactly its size, so that an idle connection owns none.

use super::Socket;
use std::io;

pub struct ReadBuffer {
    /// Initialised once, over its whole length; the unconsumed bytes are `start..end`.
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

/// The outcome of one read.
pub enum Received {
    /// `is_all`: the read was short, so the socket has no more for now.
    Bytes {
        is_all: bool,
    },
    Nothing,
    End,
}

impl ReadBuffer {
    pub fn with_capacity(bytes: usize) -> Self {
        ReadBuffer { bytes: vec![0; bytes].into_boxed_slice(), start: 0, end: 0 }
    }

    /// Exactly the unconsumed bytes, in a buffer of their own.
    pub fn park(&mut self) -> ReadBuffer {
        let bytes: Box<[u8]> = self.unconsumed().into();
        self.clear();
        ReadBuffer { start: 0, end: bytes.len(), bytes }
    }

    /// Puts parked bytes back; this buffer is empty and at least as large.
    pub fn unpark(&mut self, parked: &ReadBuffer) {
        debug_assert!(self.is_empty(), "the worker's buffer is empty between turns");
        let bytes = parked.unconsumed();
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        (self.start, self.end) = (0, bytes.len());
    }

    /// Whether nothing was consumed and nothing read since `parked` was put back.
    pub fn is_just_unparked(&self, parked: &ReadBuffer) -> bool {
        self.start == 0 && self.end == parked.len()
    }

    pub fn unconsumed(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub fn has_room(&self) -> bool {
        self.has_room_below(usize::MAX)
    }

    /// Whether there is room, and fewer than `bytes_max` bytes are in it.
    pub fn has_room_below(&self, bytes_max: usize) -> bool {
        self.len() < self.bytes.len().min(bytes_max)
    }

    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.start += count;
        if self.start == self.end {
            self.clear();
        }
    }

    /// Replaces an unconsumed byte.
    pub fn replace(&mut self, at: usize, byte: u8) {
        debug_assert!(at < self.len());
        self.bytes[self.start + at] = byte;
    }

    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// One recv(2) into the free room, which must not be empty, up to `bytes_max` bytes in the buffer.
    pub fn receive(&mut self, socket: &Socket, bytes_max: usize) -> io::Result<Received> {
        let room = self.room(bytes_max);
        let size = room.len();
        Ok(match socket.receive(room)? {
            None => Received::Nothing,
            Some(0) => Received::End,
            Some(count) => {
                self.end += count;
                Received::Bytes { is_all: count < size && socket.short_read_is_all() }
            }
        })
    }

    /// The free room, which must not be empty, up to `bytes_max` bytes in the buffer.
    pub fn room(&mut self, bytes_max: usize) -> &mut [u8] {
        let size = bytes_max - self.len().min(bytes_max);
        if self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let room = &mut self.bytes[self.end..];
        let size = size.min(room.len());
        debug_assert!(size > 0, "a read into no room would look like the end of the stream");
        &mut room[..size]
    }

    /// The first `count` bytes of the room are filled.
    pub fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.bytes.len());
    }
}

impl ReadBuffer {
    /// Adds bytes as if they had been read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parking_keeps_just_what_is_left() {
        let mut big = ReadBuffer::with_capacity(64);
        big.feed(b"consumed, left");
        big.consume(10);
        let parked = big.park();
        assert!(big.is_empty());
        assert_eq!((parked.unconsumed(), parked.bytes.len()), (&b"left"[..], 4));
        assert!(!parked.has_room());
        big.unpark(&parked);
        big.feed(b" and more");
        assert_eq!(big.unconsumed(), b"left and more");
    }

    #[test]
    fn it_reads_up_to_a_bound() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let socket = Socket::new(ours.into(), true, None);
        io::Write::write_all(&mut theirs, &[7; 100]).unwrap();
        let mut buffer = ReadBuffer::with_capacity(64);
        assert!(matches!(buffer.receive(&socket, 20), Ok(Received::Bytes { is_all: false })));
        assert_eq!((buffer.len(), buffer.has_room(), buffer.has_room_below(20)), (20, true, false));
        buffer.consume(5);
        assert!(matches!(buffer.receive(&socket, 30), Ok(Received::Bytes { is_all: false })));
        assert_eq!(buffer.len(), 30);
        assert!(matches!(buffer.receive(&socket, usize::MAX), Ok(Received::Bytes { is_all: false })));
        assert_eq!(buffer.len(), 59, "to the end of the room");
        buffer.clear();
        assert!(matches!(buffer.receive(&socket, 64), Ok(Received::Bytes { is_all: true })));
        assert_eq!(buffer.unconsumed(), [7; 36]);
    }
}
