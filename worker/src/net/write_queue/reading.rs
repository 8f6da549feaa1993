//! Frames of HTTP/2 whose payloads are parts of a file: several are read at once and sent with their headers by one writev(2).
//! For parts as short as a frame, two system calls each cost more than a copy (docs/why.md, 310).

use super::{FilePart, SLICES_MAX, Segment, Socket, WriteQueue};
use std::cell::RefCell;
use std::io::{self, IoSlice};

/// A longer part is worth a sendfile(2).
const PART_BYTES_MAX: usize = 16 << 10;
/// What is read at once: more than a connection of HTTP/2 has in its output.
const BLOCK_BYTES: usize = 128 << 10;

thread_local! {
    /// What was read last, which nothing refers to; allocated once for all connections.
    static BLOCK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Room for what is read of files, until the end of `use_it`.
pub fn with_block<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    BLOCK.with_borrow_mut(|block| {
        block.resize(BLOCK_BYTES, 0);
        use_it(block)
    })
}

/// Parts that follow one another in their file, as far as their segments follow one another.
struct Run<'a> {
    first: &'a FilePart,
    bytes: usize,
}

impl WriteQueue {
    /// Whether two of the next segments, headers between them, are short parts of files.
    pub(super) fn has_short_parts(&self) -> bool {
        self.segments.iter().take(4).filter(|segment| short_part(segment).is_some()).count() >= 2
    }

    /// Reads the parts that are next, and sends them with what is between them. Returns how many bytes it offered and the
    /// socket took; `None`: a part is the first, and cannot be read as a whole. [`FilePart::send`] says why.
    pub(super) fn read_and_send(&self, socket: &Socket) -> io::Result<Option<(usize, Option<usize>)>> {
        with_block(|block| {
            let read = self.read(block);
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.slices(&block[..read], &mut slices);
            if count == 0 {
                return Ok(None);
            }
            let offered = slices[..count].iter().map(|slice| slice.len()).sum();
            Ok(Some((offered, socket.send_vectored(&slices[..count])?)))
        })
    }

    /// Reads the short parts that are next, one after the other, as far as there is room and each can be read as a whole;
    /// returns how many bytes.
    fn read(&self, block: &mut [u8]) -> usize {
        let (mut read, mut run) = (0, None::<Run<'_>>);
        let next = self.segments.iter().take(SLICES_MAX).take_while(|segment| is_short(segment));
        for part in next.filter_map(short_part) {
            let pending = run.as_ref().map_or(0, |run| run.bytes);
            if read + pending + part.len() > block.len() {
                break;
            }
            match &mut run {
                Some(run) if part.follows(run.first, run.bytes) => run.bytes += part.len(),
                _ => {
                    if let Some(run) = run.replace(Run { first: part, bytes: part.len() }) {
                        let count = run.first.read(&mut block[read..read + run.bytes]);
                        read += count;
                        if count < run.bytes {
                            return read;
                        }
                    }
                }
            }
        }
        read + run.map_or(0, |run| run.first.read(&mut block[read..read + run.bytes]))
    }
}

fn short_part(segment: &Segment) -> Option<&FilePart> {
    match segment {
        Segment::File(part) if part.len() <= PART_BYTES_MAX => Some(part),
        _ => None,
    }
}

/// Bytes in memory, or a short part.
fn is_short(segment: &Segment) -> bool {
    !matches!(segment, Segment::File(_)) || short_part(segment).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::super::file_part::file_of;
    use super::super::Flushed;
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;
    use tine_common::request_name::RequestName;

    fn pair() -> (Socket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Socket::new(ours.into(), false, None), theirs)
    }

    /// Frames of two files, whose parts follow one another or not, short ones and longer ones.
    #[test]
    fn frames_are_sent_in_order_whatever_the_socket_takes() {
        let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        let files = [file_of(&bytes), file_of(&bytes)];
        let name = RequestName::new(b"GET", b"/");
        let (mut queue, mut expected) = (WriteQueue::new(Instant::now()), Vec::new());
        let mut offsets = [0, 0];
        for i in 0..200usize {
            let of = i / 7 % 2;
            let length = [PART_BYTES_MAX, PART_BYTES_MAX, 1, PART_BYTES_MAX + 1, 777][i % 5];
            if offsets[of] + length > bytes.len() || i % 13 == 0 {
                offsets[of] = i;
            }
            queue.append(&[b'h'; 9][..i % 4 * 3]);
            queue.append_file(FilePart::new(&files[of], &name, offsets[of] as u64, length as u32, false));
            expected.extend_from_slice(&[b'h'; 9][..i % 4 * 3]);
            expected.extend_from_slice(&bytes[offsets[of]..offsets[of] + length]);
            offsets[of] += length;
        }
        assert!(queue.has_short_parts());
        let (socket, mut theirs) = pair();
        let (mut got, mut piece) = (Vec::new(), vec![0; 50_001]);
        while matches!(queue.flush(&socket, Instant::now()).unwrap(), Flushed::Blocked) {
            let count = theirs.read(&mut piece).unwrap();
            got.extend_from_slice(&piece[..count]);
        }
        drop(socket);
        theirs.read_to_end(&mut got).unwrap();
        assert!(got == expected, "{} bytes of {}", got.len(), expected.len());
    }

    #[test]
    fn a_file_that_has_become_shorter_breaks_the_queue_at_its_end() {
        for (held, sent) in [(0, 1), (10, 11), (999, 1000), (1000, 1002), (2500, 2503), (2999, 3002)] {
            let (socket, mut theirs) = pair();
            let file = file_of(&[b'f'; 3000]);
            let mut queue = WriteQueue::new(Instant::now());
            for frame in 0..3 {
                queue.append(b"h");
                queue.append_file(FilePart::new(&file, &RequestName::new(b"GET", b"/"), frame * 1000, 1000, false));
            }
            file.set_len(held).unwrap();
            let flushed = queue.flush(&socket, Instant::now()).unwrap();
            let Flushed::Broken(part) = flushed else { panic!("{flushed:?}, cut to {held}") };
            assert!(part.to_string().contains(&format!("ended at byte {held} while")), "{part}");
            drop(socket);
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).unwrap();
            assert_eq!(got.len(), sent, "cut to {held}");
        }
    }
}
