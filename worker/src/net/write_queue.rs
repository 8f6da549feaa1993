//! Bytes queued for a client, in order: copied ones, references to static or shared memory, and parts of files, which
//! are not read here.
//!
//! Invariant: when `segments` is empty, all that is queued is in `copied[sent..]` (the common case: heads and small
//! bodies, one send(2)); otherwise the lengths of the `Copied` segments sum up to `copied.len() - sent`.

mod moving;
mod reading;
mod sealing;

use super::{BrokenPart, FilePart, Socket};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Instant;

/// Below this, copying costs less than one more slice of a writev(2).
pub const REFERENCE_BYTES_MIN: usize = 512;
/// Slices of one writev(2).
const SLICES_MAX: usize = 64;
/// The most that `copied` keeps allocated while it is empty.
const KEPT_BYTES_MAX: usize = 256 << 10;

enum Segment {
    Copied(usize),
    Static(&'static [u8]),
    Shared(Bytes),
    File(FilePart),
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Segment::Copied(length) => *length,
            Segment::Static(bytes) => bytes.len(),
            Segment::Shared(bytes) => bytes.len(),
            Segment::File(part) => part.len(),
        }
    }

    /// Its bytes, of a file's the first `length`. What is copied, and what was read of files, is taken from the front of these.
    #[inline]
    fn take<'a>(&'a self, length: usize, copied: &mut &'a [u8], read: &mut &'a [u8]) -> &'a [u8] {
        let (from, count) = match self {
            Segment::Copied(whole) => (copied, *whole),
            Segment::Static(bytes) => return bytes,
            Segment::Shared(bytes) => return bytes,
            Segment::File(_) => (read, length),
        };
        let (this, rest) = from.split_at(count);
        *from = rest;
        this
    }
}

pub struct WriteQueue {
    copied: Vec<u8>,
    sent: usize,
    segments: VecDeque<Segment>,
    referenced_bytes: usize,
    /// When the socket last took a byte, or when the queue was last empty; of a stream's queue: as its owner says.
    progressed: Instant,
}

/// The outcome of a flush.
#[derive(Debug)]
pub enum Flushed {
    Empty,
    /// The socket is not writable.
    Blocked,
    /// What is next can never be sent: its file has changed or cannot be read.
    Broken(BrokenPart),
}

impl WriteQueue {
    pub fn new(now: Instant) -> Self {
        WriteQueue { copied: Vec::new(), sent: 0, segments: VecDeque::new(), referenced_bytes: 0, progressed: now }
    }

    pub fn len(&self) -> usize {
        self.copied.len() - self.sent + self.referenced_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn progressed(&self) -> Instant {
        self.progressed
    }

    /// Queues what `write` appends to the copied bytes.
    #[inline]
    pub fn append_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        // A client that reads slowly never empties its queue, so the space of sent bytes is reused before the queue
        // grows. No more is moved than was sent.
        if self.sent > 0 && self.sent >= self.copied.len() - self.sent {
            self.copied.drain(..self.sent);
            self.sent = 0;
        }
        let before = self.copied.len();
        let result = write(&mut self.copied);
        let added = self.copied.len() - before;
        if !self.segments.is_empty() && added > 0 {
            match self.segments.back_mut() {
                Some(Segment::Copied(length)) => *length += added,
                _ => self.segments.push_back(Segment::Copied(added)),
            }
        }
        result
    }

    pub fn append(&mut self, bytes: &[u8]) {
        self.append_with(|copied| copied.extend_from_slice(bytes));
    }

    pub fn append_static(&mut self, bytes: &'static [u8]) {
        if bytes.len() < REFERENCE_BYTES_MIN {
            self.append(bytes);
        } else {
            self.append_reference(Segment::Static(bytes), bytes.len());
        }
    }

    pub fn append_shared(&mut self, bytes: Bytes) {
        if bytes.len() < REFERENCE_BYTES_MIN {
            self.append(&bytes);
        } else {
            let length = bytes.len();
            self.append_reference(Segment::Shared(bytes), length);
        }
    }

    /// The file is read as it is sent; see [`FilePart`].
    pub fn append_file(&mut self, part: FilePart) {
        let length = part.len();
        if length > 0 {
            self.append_reference(Segment::File(part), length);
        }
    }

    fn append_reference(&mut self, segment: Segment, length: usize) {
        let copied = self.copied.len() - self.sent;
        if self.segments.is_empty() && copied > 0 {
            self.segments.push_back(Segment::Copied(copied));
        } else if self.segments.capacity() == 0 {
            // A body without a head: a stream's of HTTP/2, and often all that it has.
            self.segments.reserve_exact(1);
        }
        self.segments.push_back(segment);
        self.referenced_bytes += length;
    }

    /// Sends until the queue is empty or the socket is not writable.
    pub fn flush(&mut self, socket: &Socket, now: Instant) -> io::Result<Flushed> {
        while !self.is_empty() {
            let (offered, taken) = if self.segments.is_empty() {
                let bytes = &self.copied[self.sent..];
                (bytes.len(), socket.send(bytes)?)
            } else if self.has_short_parts()
                && let Some(sent) = self.read_and_send(socket)?
            {
                sent
            } else if let Some(Segment::File(part)) = self.segments.front_mut() {
                match part.send(socket)? {
                    // A short count may also be the file's end, which no event would report: try again.
                    Ok(Some(taken)) => (taken, Some(taken)),
                    Ok(None) => (part.len(), None),
                    Err(broken) => return Ok(Flushed::Broken(broken)),
                }
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.slices(&[], &mut slices);
                let offered = slices[..count].iter().map(|slice| slice.len()).sum();
                match &slices[..count] {
                    before if matches!(self.segments.get(count), Some(Segment::File(_))) => {
                        (offered, socket.send_before_file(before)?)
                    }
                    [one] => (offered, socket.send(one)?),
                    many => (offered, socket.send_vectored(many)?),
                }
            };
            let taken = taken.unwrap_or(0);
            self.consume(taken);
            if taken > 0 {
                self.progressed = now;
            }
            if taken < offered {
                return Ok(Flushed::Blocked);
            }
        }
        self.progressed = now;
        Ok(Flushed::Empty)
    }

    /// The socket has taken something, though not all of a record; the client takes something of a stream.
    pub fn on_progress(&mut self, now: Instant) {
        self.progressed = now;
    }

    /// The bytes in memory, up to the first part of a file that is not as a whole in `read`: what was read of the parts, in
    /// their order.
    fn slices<'a>(&'a self, mut read: &'a [u8], slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut copied = &self.copied[self.sent..];
        let mut count = 0;
        for (slot, segment) in slices.iter_mut().zip(&self.segments) {
            if matches!(segment, Segment::File(part) if part.len() > read.len()) {
                break;
            }
            *slot = IoSlice::new(segment.take(segment.len(), &mut copied, &mut read));
            count += 1;
        }
        count
    }

    fn consume(&mut self, mut count: usize) {
        if self.segments.is_empty() {
            self.sent += count;
        }
        while count > 0 && !self.segments.is_empty() {
            let (whole, length) = match &mut self.segments[0] {
                Segment::Copied(length) => {
                    let part = count.min(*length);
                    *length -= part;
                    self.sent += part;
                    (*length == 0, part)
                }
                Segment::Static(bytes) => {
                    let part = count.min(bytes.len());
                    *bytes = &bytes[part..];
                    self.referenced_bytes -= part;
                    (bytes.is_empty(), part)
                }
                Segment::Shared(bytes) => {
                    let part = count.min(bytes.len());
                    bytes::Buf::advance(bytes, part);
                    self.referenced_bytes -= part;
                    (bytes.is_empty(), part)
                }
                Segment::File(file) => {
                    let part = count.min(file.len());
                    file.advance(part);
                    self.referenced_bytes -= part;
                    (file.len() == 0, part)
                }
            };
            count -= length;
            if whole {
                self.segments.pop_front();
            }
        }
        if self.sent == self.copied.len() {
            self.copied.clear();
            self.sent = 0;
            if self.copied.capacity() > KEPT_BYTES_MAX {
                self.copied.shrink_to(KEPT_BYTES_MAX);
            }
        }
    }

    /// Moves what is queued to a queue of its own, no larger than needed; this one is then empty and keeps its
    /// capacity. All of it was queued in this turn, so the write timeout begins now, whenever this queue, which all
    /// connections share, last made progress.
    pub fn park(&mut self, now: Instant) -> WriteQueue {
        let parked = WriteQueue {
            copied: self.copied[self.sent..].to_vec(),
            sent: 0,
            segments: std::mem::take(&mut self.segments),
            referenced_bytes: std::mem::take(&mut self.referenced_bytes),
            progressed: now,
        };
        self.copied.clear();
        self.sent = 0;
        parked
    }

    /// Drops what is queued.
    pub fn clear(&mut self) {
        self.copied.clear();
        self.sent = 0;
        self.segments.clear();
        self.referenced_bytes = 0;
    }

    /// Frees memory that a parked queue no longer needs.
    pub fn shrink(&mut self) {
        let queued = self.copied.len() - self.sent;
        if self.copied.capacity() > 1024 && queued < self.copied.capacity() / 4 {
            self.copied.drain(..self.sent);
            self.sent = 0;
            self.copied.shrink_to_fit();
        }
    }
}

impl WriteQueue {
    /// All queued bytes, in order.
    pub fn contents(&self) -> Vec<u8> {
        if self.segments.is_empty() {
            return self.copied[self.sent..].to_vec();
        }
        let mut copied = &self.copied[self.sent..];
        let mut all = Vec::new();
        for segment in &self.segments {
            match segment {
                Segment::Copied(length) => {
                    all.extend_from_slice(&copied[..*length]);
                    copied = &copied[*length..];
                }
                Segment::Static(bytes) => all.extend_from_slice(bytes),
                Segment::Shared(bytes) => all.extend_from_slice(bytes),
                Segment::File(part) => all.extend_from_slice(&part.contents()),
            }
        }
        all
    }
}

#[cfg(test)]
#[path = "write_queue_tests.rs"]
mod tests;
