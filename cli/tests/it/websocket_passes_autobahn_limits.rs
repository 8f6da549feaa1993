//! Autobahn's category 9: long messages, whole, in fragments and in small writes, and many short ones one by one. The
//! longest, 16 MiB, is exactly the limit of `/ws`.
//!
//! Autobahn checks the length of the echo; here every byte must be the one that was sent.

use crate::support::autobahn::Writes::{Chops, Joined};
use crate::support::autobahn::{Case, came, expect_all_pass, fragments};
use crate::support::websocket::{BINARY, Frame, TEXT};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The groups: for text and for binary messages.
const WHOLE: [(u32, u8); 2] = [(1, TEXT), (2, BINARY)];
const FRAGMENTED: [(u32, u8); 2] = [(3, TEXT), (4, BINARY)];
const CHOPPED: [(u32, u8); 2] = [(5, TEXT), (6, BINARY)];
const ONE_BY_ONE: [(u32, u8); 2] = [(7, TEXT), (8, BINARY)];

#[test]
fn websocket_passes_autobahn_limits() {
    let server = crate::websocket_echo();
    // Each is made when it is due: together they are hundreds of megabytes.
    let whole = table(WHOLE, &[64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB], whole);
    let sizes = &[64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
    let fragmented = table(FRAGMENTED, sizes, fragmented);
    let chopped = table(CHOPPED, &[64, 128, 256, 512, KIB, 2 * KIB], chopped);
    let one_by_one = table(ONE_BY_ONE, &[0, 16, 64, 256, KIB, 4 * KIB], one_by_one);
    let count = expect_all_pass(&server, 4, &[], whole.chain(fragmented).chain(chopped).chain(one_by_one));
    assert_eq!(count, 54, "Autobahn has this many");
}

/// A case for each group and size.
fn table(
    groups: [(u32, u8); 2],
    sizes: &[usize],
    case: fn(Case, u8, usize) -> Case,
) -> impl Iterator<Item = Case> + Send {
    groups.into_iter().flat_map(move |(group, opcode)| {
        sizes.iter().zip(1..).map(move |(&size, place)| case(Case::new(format!("9.{group}.{place}")), opcode, size))
    })
}

/// 9.1, 9.2: a message of this length.
fn whole(case: Case, opcode: u8, size: usize) -> Case {
    let message = Frame::new(true, 0, opcode, pattern(opcode, size));
    case.send(Joined, [message.clone()]).expect([came(message)])
}

/// 9.3, 9.4: 4 MiB in fragments of this length.
fn fragmented(case: Case, opcode: u8, size: usize) -> Case {
    // As in Autobahn: only the first of 9.4 is not text.
    let byte = if opcode == BINARY && size == 64 { 0xfe } else { b'*' };
    let message = Frame::new(true, 0, opcode, vec![byte; 4 * MIB]);
    case.send(Joined, fragments(opcode, &message.payload, size)).expect([came(message)])
}

/// 9.5, 9.6: 1 MiB in writes of this length.
fn chopped(case: Case, opcode: u8, size: usize) -> Case {
    let message = Frame::new(true, 0, opcode, pattern(opcode, MIB));
    case.send(Chops(size), [message.clone()]).expect([came(message)])
}

/// 9.7, 9.8: a thousand messages of this length, each after the echo of the previous one.
fn one_by_one(case: Case, opcode: u8, size: usize) -> Case {
    let message = Frame::new(true, 0, opcode, vec![if opcode == TEXT { b'*' } else { 0xfe }; size]);
    let ask =
        |case: Case, count| case.send(Joined, [message.clone()]).expect([came(message.clone())]).wait_events(count);
    (1..=1000).fold(case, ask)
}

fn pattern(opcode: u8, size: usize) -> Vec<u8> {
    let piece: &[u8] = if opcode == TEXT { b"BAsd7&jh23" } else { b"\x00\xfe\x23\xfa\xf0" };
    let mut pattern = piece.repeat(size.div_ceil(piece.len()));
    pattern.truncate(size);
    pattern
}
