//! Queues of copied and referenced bytes: their order, at every index, and what a socket receives.

use super::*;
use crate::net::file_of;
use std::fs::File;
use std::rc::Rc;
use std::time::Duration;
use tine_common::request_name::RequestName;

fn request() -> RequestName {
    RequestName::new(b"GET", b"/file")
}

static LARGE: [u8; 1000] = [b'L'; 1000];

fn mixed() -> (WriteQueue, Vec<u8>) {
    let mut queue = WriteQueue::new(Instant::now());
    queue.append(b"head");
    queue.append_static(&LARGE);
    queue.append(b"between");
    queue.append(b" too");
    queue.append_shared(Bytes::from(vec![b'S'; 600]));
    queue.append_static(b"small");
    let file = file_of(b"..file and more..");
    queue.append_file(FilePart::new(&file, &request(), 2, 5, false));
    queue.append_file(FilePart::new(&file, &request(), 7, 0, false));
    queue.append_file(FilePart::new(&file, &request(), 7, 8, false));
    queue.append(b"tail");
    let all = [b"head", &LARGE[..], b"between too", &[b'S'; 600], b"smallfile and moretail"].concat();
    (queue, all)
}

#[test]
fn keeps_order_and_counts() {
    let (queue, all) = mixed();
    assert_eq!((queue.contents(), queue.len()), (all.clone(), all.len()));
    assert_eq!(queue.segments.len(), 8);
    assert_eq!(size_of::<Segment>(), 40, "as docs/design.md states");
}

#[test]
fn consuming_at_every_index_leaves_the_rest() {
    let (_, all) = mixed();
    for at in 0..=all.len() {
        let (mut queue, _) = mixed();
        queue.consume(at);
        assert_eq!(queue.len(), all.len() - at);
        assert_eq!(queue.contents(), &all[at..], "at {at}");
        queue.append(b"!");
        let later = queue.progressed() + Duration::from_secs(60);
        let mut parked = queue.park(later);
        assert_eq!(parked.progressed(), later);
        assert!(queue.is_empty());
        assert_eq!(parked.contents(), [&all[at..], b"!"].concat());
        parked.shrink();
        parked.consume(parked.len());
        assert!(parked.is_empty() && parked.segments.is_empty());
    }
}

#[test]
fn a_queue_that_is_never_empty_does_not_grow() {
    for reference in [false, true] {
        let mut queue = WriteQueue::new(Instant::now());
        queue.append(&[0; 500]);
        if reference {
            queue.append_static(&LARGE);
        }
        for round in 1..=100u8 {
            queue.append(&[round; 1000]);
            queue.consume(1000);
        }
        assert_eq!(queue.contents()[queue.len() - 500..], [100; 500]);
        assert!(queue.copied.capacity() <= 8 * 1024, "{} bytes", queue.copied.capacity());
    }
}

#[test]
fn flush_sends_everything_in_order_whatever_the_socket_takes() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let socket = Socket::new(ours.into(), false, None);
    let mut queue = WriteQueue::new(Instant::now());
    let mut expected = Vec::new();
    for i in 0..600u32 {
        queue.append(&i.to_le_bytes());
        queue.append_static(&LARGE);
        expected.extend_from_slice(&i.to_le_bytes());
        expected.extend_from_slice(&LARGE);
    }
    let mut got = Vec::new();
    let mut reader = std::io::BufReader::new(&theirs);
    while matches!(queue.flush(&socket, Instant::now()).unwrap(), Flushed::Blocked) {
        let available = std::io::BufRead::fill_buf(&mut reader).unwrap().to_vec();
        std::io::BufRead::consume(&mut reader, available.len());
        got.extend_from_slice(&available);
    }
    drop(socket);
    std::io::Read::read_to_end(&mut reader, &mut got).unwrap();
    assert_eq!(got, expected);
}

/// A connected pair: the queue's socket, and what the client reads from.
fn pair() -> (Socket, std::os::unix::net::UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Socket::new(ours.into(), false, None), theirs)
}

#[test]
fn flush_sends_files_in_order_whatever_the_socket_takes() {
    let (socket, theirs) = pair();
    let bytes: Vec<u8> = (0..FILE_BYTES).map(|i| (i % 251) as u8).collect();
    let file = file_of(&bytes);
    let mut queue = WriteQueue::new(Instant::now());
    let mut expected = Vec::new();
    for i in 0..20u32 {
        queue.append(&i.to_le_bytes());
        queue.append_static(&LARGE);
        queue.append_file(FilePart::new(&file, &request(), u64::from(i), FILE_BYTES - 20, false));
        expected.extend_from_slice(&i.to_le_bytes());
        expected.extend_from_slice(&LARGE);
        expected.extend_from_slice(&bytes[i as usize..][..FILE_BYTES as usize - 20]);
    }
    let mut got = Vec::new();
    let mut reader = std::io::BufReader::with_capacity(7001, &theirs);
    while matches!(queue.flush(&socket, Instant::now()).unwrap(), Flushed::Blocked) {
        assert_eq!(queue.len(), queue.contents().len());
        let available = std::io::BufRead::fill_buf(&mut reader).unwrap().to_vec();
        std::io::BufRead::consume(&mut reader, available.len());
        got.extend_from_slice(&available);
    }
    assert!(queue.is_empty());
    drop(socket);
    std::io::Read::read_to_end(&mut reader, &mut got).unwrap();
    assert!(got == expected, "{} bytes of {}", got.len(), expected.len());
}

const FILE_BYTES: u32 = 100_000;

#[test]
fn a_file_that_is_shorter_than_announced_breaks_the_queue_at_its_end() {
    for ends_with_connection in [false, true] {
        for (length, held) in [(0, 0), (1, 1), (3000, 3000), (5000, 5000)] {
            let (socket, mut theirs) = pair();
            let file = file_of(&[b'f'; 5000]);
            let mut queue = WriteQueue::new(Instant::now());
            queue.append(b"head");
            queue.append_file(FilePart::new(&file, &request(), 0, 5001, ends_with_connection));
            queue.append(b"never sent");
            file.set_len(length).unwrap();
            let flushed = queue.flush(&socket, Instant::now()).unwrap();
            let Flushed::Broken(part) = flushed else { panic!("{flushed:?}, cut to {length}") };
            assert_eq!(part.ends_with_connection, ends_with_connection);
            assert!(part.to_string().contains(&format!("ended at byte {held} while")), "{part}");
            drop(socket);
            let mut got = Vec::new();
            std::io::Read::read_to_end(&mut theirs, &mut got).unwrap();
            assert_eq!(got.len(), 4 + held as usize);
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_breaks_the_queue() {
    let (socket, _theirs) = pair();
    let mut queue = WriteQueue::new(Instant::now());
    // A directory: EINVAL, as of a file system without such reads.
    queue.append_file(FilePart::new(&Rc::new(File::open("/").unwrap()), &request(), 0, 10, false));
    let flushed = queue.flush(&socket, Instant::now()).unwrap();
    assert!(matches!(&flushed, Flushed::Broken(part) if part.to_string().contains("cannot be read at byte 0")));
}
