//! A client's bytes and what the context gets of them, in portions of all sizes.

use super::frames::{FRAGMENT_BYTES, Frames};
use crate::net::ReadBuffer;
use std::io::ErrorKind;

const MASK: [u8; 4] = [1, 2, 3, 4];

fn header(first: u8, length: usize) -> Vec<u8> {
    let length = match length {
        0..126 => vec![0x80 | length as u8],
        126..65536 => [&[0x80 | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[0x80 | 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    [vec![first], length, MASK.to_vec()].concat()
}

/// With the length in two bytes.
fn fragment_header(first: u8, length: usize) -> Vec<u8> {
    [&[first, 0x80 | 126][..], &(length as u16).to_be_bytes(), &MASK].concat()
}

/// All that is passed on, if the bytes arrive and are taken in portions of these sizes.
fn passed_on(sent: &[u8], max: usize, come: usize, take: usize) -> (Vec<u8>, Option<ErrorKind>, Frames) {
    let mut frames = Frames::new(max);
    let mut input = ReadBuffer::with_capacity(1 << 20);
    let mut got = Vec::new();
    let mut room = vec![0; take];
    for bytes in sent.chunks(come) {
        input.feed(bytes);
        loop {
            match frames.read(&mut input, &mut room, &mut usize::MAX.clone()) {
                Ok(0) => break,
                Ok(count) => got.extend_from_slice(&room[..count]),
                Err(error) => return (got, Some(error), frames),
            }
        }
        assert!(input.is_empty(), "no input is left that would have to be read again");
    }
    (got, None, frames)
}

#[test]
fn long_frames_are_fragmented_and_nothing_else_changes() {
    let payload: Vec<u8> = (0..3 * FRAGMENT_BYTES + 5).map(|at| at as u8).collect();
    let [a, b, c, d] =
        [0, 1, 2, 3].map(|at| &payload[at * FRAGMENT_BYTES..payload.len().min((at + 1) * FRAGMENT_BYTES)]);
    let just = header(0x82, FRAGMENT_BYTES);
    let more = header(0x82, FRAGMENT_BYTES + 1);
    let cases: Vec<(&str, Vec<u8>, Vec<u8>, bool)> = vec![
        ("nothing", vec![], vec![], true),
        (
            "short frames",
            [header(0x81, 1), vec![7]].concat().repeat(3),
            [header(0x81, 1), vec![7]].concat().repeat(3),
            true,
        ),
        ("empty ones", [header(0x01, 0), header(0x89, 0)].concat(), [header(0x01, 0), header(0x89, 0)].concat(), false),
        ("one as long as a fragment", [&just, a].concat(), [&just, a].concat(), true),
        (
            "one longer than a fragment",
            [&more, a, &b[..1]].concat(),
            [&fragment_header(0x02, FRAGMENT_BYTES), a, &fragment_header(0x80, 1), &b[..1]].concat(),
            true,
        ),
        (
            "a long fragment, a long last one, a ping between",
            [&header(0x01, 2 * FRAGMENT_BYTES), a, b, &header(0x89, 0), &header(0x80, FRAGMENT_BYTES + 5), c, d]
                .concat(),
            [
                &fragment_header(0x01, FRAGMENT_BYTES),
                a,
                &fragment_header(0x00, FRAGMENT_BYTES),
                b,
                &header(0x89, 0),
                &fragment_header(0x00, FRAGMENT_BYTES),
                c,
                &fragment_header(0x80, 5),
                d,
            ]
            .concat(),
            true,
        ),
        ("half a header", header(0x82, 70_000)[..13].to_vec(), vec![], false),
        ("a header", header(0x82, 70_000), fragment_header(0x02, FRAGMENT_BYTES), false),
    ];
    for (name, sent, expected, is_between) in &cases {
        for (come, take) in [(1 << 20, 1 << 20), (1 << 20, 1), (1, 1 << 20), (1, 1), (1000, 1024), (1024, 13)] {
            let (got, error, frames) = passed_on(sent, 1 << 20, come, take);
            assert_eq!((got == *expected, error), (true, None), "{name}, by {come} and {take}");
            assert_eq!(frames.is_between_messages(), *is_between, "{name}");
        }
    }
}

#[test]
fn errors_in_the_header_are_refused_at_the_header() {
    const MAX: usize = 100_000;
    let fine = [header(0x81, 2), vec![7, 7]].concat();
    let half = [header(0x02, 60_000), vec![0; 60_000]].concat();
    let cases = [
        ("too long", vec![], header(0x82, MAX + 1), ErrorKind::FileTooLarge),
        ("beyond all bounds", vec![], [&[0x82, 0xff][..], &[0xff; 8], &MASK].concat(), ErrorKind::FileTooLarge),
        ("too long together", half.clone(), header(0x00, 40_001), ErrorKind::FileTooLarge),
        ("a long ping", vec![], header(0x89, 126), ErrorKind::InvalidData),
        ("no mask", vec![], vec![0x81, 1], ErrorKind::InvalidData),
    ];
    for (name, before, bad, expected) in cases {
        let expected_before = passed_on(&[&fine[..], &before].concat(), MAX, 1 << 20, 1 << 20).0;
        for (come, take) in [(1 << 20, 1 << 20), (1, 1 << 20), (1000, 13)] {
            let (got, error, _) = passed_on(&[&fine[..], &before, &bad].concat(), MAX, come, take);
            assert_eq!((got == expected_before, error), (true, Some(expected)), "{name}, by {come} and {take}");
        }
    }
    let whole = [half.clone(), header(0x80, 40_000), vec![0; 40_000]].concat();
    assert_eq!(passed_on(&whole.repeat(2), MAX, 1 << 20, 1024).1, None, "each message has the whole limit");
}

#[test]
fn no_more_frames_begin_than_the_budget_allows() {
    for come in [1, 7, 1 << 20] {
        let (mut frames, mut input) = (Frames::new(1 << 20), ReadBuffer::with_capacity(1 << 20));
        let (mut room, mut begun) = (vec![0; 1024], 0);
        for bytes in header(0x01, 0).repeat(20).chunks(come) {
            input.feed(bytes);
            let mut budget = 5;
            let count = frames.read(&mut input, &mut room, &mut budget).expect("they are valid");
            begun += 5 - budget;
            assert!(count <= 5 * 6, "{count} bytes");
        }
        assert_eq!((begun, input.len()), if come == 1 << 20 { (5, 15 * 6) } else { (20, 0) });
    }
}
