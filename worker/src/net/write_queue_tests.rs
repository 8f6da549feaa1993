//! Queues of copied and referenced bytes: their order, at every index, and what a socket gets of them.

use super::*;
use std::time::Duration;

static LARGE: [u8; 1000] = [b'L'; 1000];

fn mixed() -> (WriteQueue, Vec<u8>) {
    let mut queue = WriteQueue::new(Instant::now());
    queue.append(b"head");
    queue.append_static(&LARGE);
    queue.append(b"between");
    queue.append(b" too");
    queue.append_shared(Bytes::from(vec![b'S'; 600]));
    queue.append_static(b"small");
    let all = [b"head", &LARGE[..], b"between too", &[b'S'; 600], b"small"].concat();
    (queue, all)
}

#[test]
fn keeps_order_and_counts() {
    let (queue, all) = mixed();
    assert_eq!((queue.contents(), queue.len()), (all.clone(), all.len()));
    assert_eq!(queue.segments.len(), 5);
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
    let socket = Socket::new(ours.into(), false);
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
    while queue.flush(&socket, Instant::now()).unwrap() == Flushed::Blocked {
        let available = std::io::BufRead::fill_buf(&mut reader).unwrap().to_vec();
        std::io::BufRead::consume(&mut reader, available.len());
        got.extend_from_slice(&available);
    }
    drop(socket);
    std::io::Read::read_to_end(&mut reader, &mut got).unwrap();
    assert_eq!(got, expected);
}
