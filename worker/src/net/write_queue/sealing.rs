//! What is queued as a TLS session takes it: a file's bytes are read here, and sealed together with what is before and
//! after them, such as a response's head, or the headers of frames.

use super::reading::with_block;
use super::{BrokenPart, SLICES_MAX, Segment, WriteQueue};
use std::io::{self, IoSlice};

impl WriteQueue {
    /// Passes the front to `seal`, up to `bytes_max` bytes, and leaves it queued; returns how many bytes those are, or the part of
    /// a file that can never be read. To be called with [`WriteQueue::on_sealed_sent`].
    pub fn seal_front(
        &self,
        bytes_max: usize,
        mut seal: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Result<usize, BrokenPart>> {
        if self.segments.is_empty() {
            let bytes = &self.copied[self.sent..];
            return seal(&[IoSlice::new(&bytes[..bytes.len().min(bytes_max)])]).map(Ok);
        }
        with_block(|block| {
            let mut lengths = [0; SLICES_MAX];
            let count = match self.read_parts(bytes_max, block, &mut lengths) {
                Ok(count) => count,
                Err(broken) => return Ok(Err(broken)),
            };
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let (mut copied, mut read) = (&self.copied[self.sent..], &block[..]);
            for ((slot, segment), &length) in slices.iter_mut().zip(&self.segments).zip(&lengths[..count]) {
                *slot = IoSlice::new(&segment.take(length, &mut copied, &mut read)[..length]);
            }
            seal(&slices[..count]).map(Ok)
        })
    }

    /// The first segments and how much of each makes up `bytes_max` bytes; the bytes of files are read, one after the other.
    /// A part that cannot be read counts only once it is the first.
    fn read_parts(
        &self,
        bytes_max: usize,
        block: &mut [u8],
        lengths: &mut [usize; SLICES_MAX],
    ) -> Result<usize, BrokenPart> {
        let (mut left, mut read, mut count) = (bytes_max, 0, 0);
        for (length, segment) in lengths.iter_mut().zip(&self.segments) {
            let whole = segment.len();
            *length = match segment {
                Segment::File(part) => {
                    let room = left.min(whole).min(block.len() - read);
                    match part.read_front(&mut block[read..read + room]) {
                        Ok(bytes) => bytes,
                        Err(broken) if count == 0 => return Err(broken),
                        Err(_) => break,
                    }
                }
                _ => whole.min(left),
            };
            if let Segment::File(_) = segment {
                read += *length;
            }
            (left, count) = (left - *length, count + 1);
            if *length < whole || left == 0 {
                break;
            }
        }
        Ok(count)
    }

    /// The socket has taken records of the first `count` bytes.
    pub fn on_sealed_sent(&mut self, count: usize) {
        self.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::file_part::file_of;
    use super::super::FilePart;
    use super::*;
    use std::time::Instant;
    use tine_common::request_name::RequestName;

    /// Copied, static and shared bytes, and parts of a file, of all lengths; each time a part of what is sealed is sent.
    #[test]
    fn everything_is_sealed_in_order_and_as_much_as_was_asked_for() {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let (file, name) = (file_of(&bytes), RequestName::new(b"GET", b"/"));
        let (mut queue, mut expected) = (WriteQueue::new(Instant::now()), Vec::new());
        for i in 0..60usize {
            queue.append(&[b'h'; 30][..i % 31]);
            expected.extend_from_slice(&[b'h'; 30][..i % 31]);
            queue.append_static(&[b's'; 5000][..i * 80]);
            expected.extend_from_slice(&[b's'; 5000][..i * 80]);
            let (offset, length) = (i * 1000, [1, 900, 70_000][i % 3]);
            queue.append_file(FilePart::new(&file, &name, offset as u64, length as u32, false));
            expected.extend_from_slice(&bytes[offset..offset + length]);
        }
        let (mut sealed, mut full) = (Vec::new(), 0);
        while !queue.is_empty() {
            let mut got = Vec::new();
            let taken = queue.seal_front(50_000, |slices| {
                slices.iter().for_each(|slice| got.extend_from_slice(slice));
                Ok(got.len())
            });
            let count = taken.expect("no error").unwrap_or_else(|_| panic!("a whole file"));
            assert!((1..=50_000).contains(&count));
            full += usize::from(count == 50_000);
            let sent = count - count / 3;
            sealed.extend_from_slice(&got[..sent]);
            queue.on_sealed_sent(sent);
        }
        assert!(sealed == expected, "{} bytes of {}", sealed.len(), expected.len());
        assert!(full > 10, "{full} were full");
    }

    #[test]
    fn a_file_that_has_become_short_is_no_error_before_it_is_the_first() {
        let (file, name) = (file_of(b"file"), RequestName::new(b"GET", b"/"));
        let mut queue = WriteQueue::new(Instant::now());
        queue.append(b"head ");
        queue.append_file(FilePart::new(&file, &name, 0, 10, false));
        let mut got = Vec::new();
        for _ in 0..2 {
            let taken = queue.seal_front(1000, |slices| {
                let before = got.len();
                slices.iter().for_each(|slice| got.extend_from_slice(slice));
                Ok(got.len() - before)
            });
            match taken.expect("no error") {
                Ok(count) => queue.on_sealed_sent(count),
                Err(_) => break,
            }
        }
        assert_eq!(got, b"head file");
        assert!(queue.seal_front(1000, |_| Ok(0)).expect("no error").is_err(), "it is the first now");
    }
}
