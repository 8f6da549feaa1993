//! Moves what one queue holds to another: the bytes of a stream to its connection, a frame at a time.

use super::{Segment, WriteQueue};

impl WriteQueue {
    /// Moves the first `count` bytes, as many as there are, to the end of `to`. What is only referenced is not copied, and a
    /// part of a file stays one.
    pub fn move_to(&mut self, to: &mut WriteQueue, count: usize) {
        debug_assert!(count <= self.len());
        let mut left = count;
        while left > 0 {
            let part = match self.segments.front_mut() {
                None => {
                    to.append(&self.copied[self.sent..][..left]);
                    left
                }
                Some(Segment::Copied(length)) => {
                    let part = left.min(*length);
                    to.append(&self.copied[self.sent..][..part]);
                    part
                }
                Some(Segment::Static(bytes)) => {
                    let part = left.min(bytes.len());
                    to.append_static(&bytes[..part]);
                    part
                }
                Some(Segment::Shared(bytes)) => {
                    let part = left.min(bytes.len());
                    to.append_shared(bytes.slice(..part));
                    part
                }
                Some(Segment::File(file)) => {
                    let part = left.min(file.len());
                    to.append_file(file.front(part));
                    part
                }
            };
            self.consume(part);
            left -= part;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::file_part::file_of;
    use super::*;
    use crate::net::FilePart;
    use bytes::Bytes;
    use std::time::Instant;
    use tine_common::request_name::RequestName;

    static STATIC: [u8; 2000] = [b's'; 2000];

    fn mixed() -> WriteQueue {
        let mut queue = WriteQueue::new(Instant::now());
        queue.append(b"head,");
        queue.append_static(&STATIC);
        queue.append(b"between,");
        queue.append_shared(Bytes::from(vec![b'h'; 1500]));
        let name = RequestName::new(b"GET", b"/");
        queue.append_file(FilePart::new(&file_of(&[b'f'; 3000]), &name, 0, 3000, false));
        queue.append(b"end");
        queue
    }

    #[test]
    fn whatever_is_moved_at_a_time_the_bytes_and_their_order_stay() {
        let all = mixed().contents();
        for count in [1, 7, 100, 512, 1000, 2005, 4096, all.len()] {
            let (mut from, mut to) = (mixed(), WriteQueue::new(Instant::now()));
            let mut moved = Vec::new();
            while !from.is_empty() {
                let part = count.min(from.len());
                to.append(b"#");
                moved.push(b'#');
                moved.extend_from_slice(&from.contents()[..part]);
                from.move_to(&mut to, part);
                assert_eq!(
                    (to.len(), from.len() + to.len() - moved.iter().filter(|&&b| b == b'#').count()),
                    (moved.len(), all.len())
                );
            }
            assert_eq!(to.contents(), moved, "{count}");
        }
    }

    #[test]
    fn what_is_referenced_is_not_copied() {
        let (mut from, mut to) = (mixed(), WriteQueue::new(Instant::now()));
        from.move_to(&mut to, 5 + 1000);
        assert_eq!(to.copied.len(), 5);
        from.move_to(&mut to, 1000 + 8 + 1500);
        assert_eq!(to.copied.len(), 5 + 8);
        from.move_to(&mut to, 600);
        from.move_to(&mut to, 2400 + 3);
        assert_eq!((to.copied.len(), from.len(), to.len()), (5 + 8 + 3, 0, 2000 + 1500 + 3000 + 16));
    }
}
